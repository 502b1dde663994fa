#include "systems/ledger/engine_sessions.h"

#include <algorithm>

namespace polis::ledger {

const Session* Sessions::find(u128 client) const {
  const auto found = sessions_.find(client);
  return found == sessions_.end() ? nullptr : &found->second;
}

void Sessions::open(u128 client, uint64_t op, uint32_t request) {
  sessions_.erase(client);
  if (sessions_.size() >= limit_) {
    // Ops are unique, so the choice does not depend on the order in the table.
    const auto silent = std::min_element(sessions_.begin(), sessions_.end(), [](const auto& a, const auto& b) {
      return a.second.last_op < b.second.last_op;
    });
    sessions_.erase(silent);
  }
  sessions_[client] = {.client = client, .number = op, .last_op = op, .request = request};
}

void Sessions::note(u128 client, uint64_t number, uint64_t op, uint32_t request) {
  const auto found = sessions_.find(client);
  if (found == sessions_.end() || found->second.number != number) return;
  found->second.last_op = op;
  found->second.request = request;
}

std::vector<Session> Sessions::all() const {
  std::vector<Session> sessions;
  sessions.reserve(sessions_.size());
  for (const auto& [client, session] : sessions_) sessions.push_back(session);
  std::sort(sessions.begin(), sessions.end(), [](const Session& a, const Session& b) { return a.last_op < b.last_op; });
  return sessions;
}

}  // namespace polis::ledger
