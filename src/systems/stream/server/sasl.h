// SASL: how a client proves who he is. PLAIN asks kernel/auth (a user's password, or an access key and its secret);
// SCRAM-SHA-256 and -512 (RFC 5802, 7677) compare with a salted key that AlterUserScramCredentials or the command line
// stored: rows of the Store ("s"), no password among them.
//
// A user of SCRAM who is also a user of kernel/auth has that user's rights; one who is not has what the access rules
// give User:NAME. Unknown users take the same path and time as wrong passwords.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/io/task.h"
#include "systems/stream/server/access.h"

namespace polis::stream {

enum class ScramMechanism : int8_t { kUnknown = 0, kSha256 = 1, kSha512 = 2 };  // numbers are the protocol's

struct ScramCredential {
  ScramMechanism mechanism = ScramMechanism::kUnknown;
  int32_t iterations = 4096;  // 4096..16384
  Bytes salt, stored_key, server_key;
};
// RFC 5802, section 3.
Result<ScramCredential> make_scram_credential(ScramMechanism mechanism, std::string_view password, BytesView salt,
                                              int32_t iterations);

class ScramCredentials {
 public:
  virtual ~ScramCredentials() = default;
  virtual Task<Result<std::optional<ScramCredential>>> find(std::string user, ScramMechanism mechanism) = 0;
  virtual Task<Result<std::vector<std::pair<std::string, ScramCredential>>>> all() = 0;
  // Durable when it returns.
  virtual Task<Result<void>> put(std::string user, ScramCredential credential) = 0;
  virtual Task<Result<bool>> erase(std::string user, ScramMechanism mechanism) = 0;  // whether there was one
};

// One exchange on one connection: what has been said so far. The steps are coroutines in sasl.cc.
struct SaslExchange {
  enum class State : uint8_t { kNone, kHandshaken, kChallenged, kDone, kFailed };
  State state = State::kNone;
  std::string mechanism;
  std::shared_ptr<void> memory;  // of the mechanism, between its steps
};

}  // namespace polis::stream
