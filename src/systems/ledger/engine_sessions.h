// The sessions of clients: which command was the last of each. The reply itself is not kept: the logs hold all that was
// in it. Lives on the engine's shard.
#pragma once

#include <unordered_map>
#include <vector>

#include "systems/ledger/types.h"

namespace polis::ledger {

struct Session {
  u128 client = 0;
  uint64_t number = 0;   // the op that registered it
  uint64_t last_op = 0;  // of its last command; the session's own at first
  uint32_t request = 0;  // of the last command
  uint32_t reserved[3] = {};
};
static_assert(sizeof(Session) == 48 && kIsRecord<Session>);

class Sessions {
 public:
  explicit Sessions(size_t limit) : limit_(limit) {}

  size_t size() const { return sessions_.size(); }
  const Session* find(u128 client) const;
  // A new session in place of the client's old one; at the limit the one that was silent for longest goes.
  void open(u128 client, uint64_t op, uint32_t request);
  // The command `op` came from this session, if it exists still.
  void note(u128 client, uint64_t number, uint64_t op, uint32_t request);

  // By last op: the same order wherever the same commands ran.
  std::vector<Session> all() const;
  void load(const Session& session) { sessions_[session.client] = session; }

 private:
  struct Hash {
    size_t operator()(u128 client) const {
      return static_cast<size_t>((static_cast<uint64_t>(client) ^ static_cast<uint64_t>(client >> 64)) *
                                 0x9E37'79B9'7F4A'7C15);
    }
  };
  const size_t limit_;
  std::unordered_map<u128, Session, Hash> sessions_;
};

}  // namespace polis::ledger
