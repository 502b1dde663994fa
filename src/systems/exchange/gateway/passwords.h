// Passwords of FIX sessions: rows of the Store ("exchange.passwords": session name to Argon2id hash). The venue's
// journal never sees them. Any shard for set and clear; check() on the gateway's home shard, where attempts are
// counted.
#pragma once

#include <memory>
#include <string>

#include "kernel/auth/attempt_limit.h"
#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"

namespace polis::exchange::gateway {

class Passwords {
 public:
  // All references outlive it.
  static Result<std::unique_ptr<Passwords>> open(store::Store& store, const Clock& clock, Random& random);

  // kInvalid for one that is too short.
  Task<Result<void>> set(std::string session, std::string password);
  Task<Result<void>> clear(std::string session);

  enum class Answer : uint8_t {
    kRight,
    kNone,  // the session has no password
    kWrong,
    kTooOften,  // too many wrong ones for now; this one was not looked at
  };
  // Fails if the store does.
  Task<Result<Answer>> check(std::string session, std::string password, std::string peer);

 private:
  Passwords(store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random);

  store::Store& store_;
  const store::Keyspace keyspace_;
  const Clock& clock_;
  Random& random_;
  auth::AttemptLimit attempts_;
  io::Semaphore hashing_;  // each takes 19 MiB
};

}  // namespace polis::exchange::gateway
