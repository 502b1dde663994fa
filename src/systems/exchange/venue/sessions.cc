#include "systems/exchange/venue/sessions.h"

#include <algorithm>

namespace polis::exchange {

void SessionBook::on_numbers(const Request& request) {
  if (request.session == 0) return;
  Session& session = this->session(request.session);
  SessionNumbers& numbers = session.numbers;
  const NumbersFields& told = request.body.numbers;
  if (told.reset) {
    numbers.next_in = numbers.next_out = 1;
    numbers.reports_base = numbers.reports;
    session.forgotten = 0;
    session.administrative.clear();
  }
  if (told.next_in != 0) numbers.next_in = told.next_in;
  if (told.admin_count == 0 || told.admin_first == 0) return;
  numbers.next_out += told.admin_count;
  std::vector<Run>& runs = session.administrative;
  const uint32_t before = runs.empty() ? 0 : runs.back().count;
  const uint32_t last = told.admin_first + told.admin_count - 1;
  if (!runs.empty() && told.admin_first == runs.back().last + 1) {
    runs.back().last = last;
    runs.back().count += told.admin_count;
    return;
  }
  if (runs.size() == kRunsMax) {
    const auto half = runs.begin() + kRunsMax / 2;
    session.forgotten = (half - 1)->last;
    runs.erase(runs.begin(), half);
  }
  runs.push_back({.first = told.admin_first, .last = last, .count = before + told.admin_count});
}

SessionNumbers SessionBook::numbers(SessionId session) const {
  return session < sessions_.size() ? sessions_[session].numbers : SessionNumbers{};
}

std::optional<uint64_t> SessionBook::ordinal(SessionId id, uint32_t number) const {
  if (id >= sessions_.size()) return std::nullopt;
  const Session& session = sessions_[id];
  if (number == 0 || number >= session.numbers.next_out || number <= session.forgotten) return std::nullopt;
  const std::vector<Run>& runs = session.administrative;
  // The first run that does not end before it.
  const auto run = std::partition_point(runs.begin(), runs.end(), [&](const Run& one) { return one.last < number; });
  if (run != runs.end() && run->first <= number) return std::nullopt;
  uint32_t before = 0;
  if (run != runs.begin()) {
    before = (run - 1)->count;
  } else if (run != runs.end()) {
    before = run->count - (run->last - run->first + 1);
  }
  return session.numbers.reports_base + number - before;
}

SessionId SessionBook::save(SessionId from, size_t bytes, base::Writer& out) const {
  SessionId id = std::max<SessionId>(from, 1);
  for (; id < sessions_.size() && out.size_bytes() < bytes; ++id) {
    const Session& session = sessions_[id];
    out.boolean(true);
    out.u32(id);
    out.varint(session.numbers.next_in);
    out.varint(session.numbers.next_out);
    out.varint(session.numbers.reports);
    out.varint(session.numbers.reports_base);
    out.varint(session.forgotten);
    out.varint(session.administrative.size());
    for (const Run& run : session.administrative) {
      out.varint(run.first);
      out.varint(run.last - run.first);
      out.varint(run.count);
    }
  }
  out.boolean(false);
  return id < sessions_.size() ? id : 0;
}

Result<void> SessionBook::load(base::Reader& in, SessionId sessions_max) {
  while (in.ok() && in.boolean()) {
    const SessionId id = in.u32();
    if (id == 0 || id > sessions_max || id < sessions_.size()) {
      in.reject("a session that cannot be");
      break;
    }
    Session& session = this->session(id);
    session.numbers.next_in = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
    session.numbers.next_out = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
    session.numbers.reports = in.varint();
    session.numbers.reports_base = in.varint_up_to(session.numbers.reports);
    session.forgotten = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
    const size_t runs = in.count(3);
    if (runs > kRunsMax) in.reject("too many runs");
    for (size_t i = 0; i < runs && in.ok(); ++i) {
      const auto first = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
      const auto last = first + static_cast<uint32_t>(in.varint_up_to(UINT32_MAX - first));
      const auto count = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
      if (!session.administrative.empty() && first <= session.administrative.back().last)
        in.reject("runs out of order");
      session.administrative.push_back({.first = first, .last = last, .count = count});
    }
  }
  return in.status();
}

}  // namespace polis::exchange
