// SASL: how a client proves who he is. PLAIN asks kernel/auth (a user's password, or an access key and its secret);
// SCRAM-SHA-256 and -512 (RFC 5802, 7677) compare with a salted key that AlterUserScramCredentials or the command line
// stored: rows of the Store ("s"), no password among them.
//
// A user of SCRAM who is also a user of kernel/auth has that user's rights; one who is not has what the access rules
// give User:NAME. Unknown users take the same path and time as wrong passwords.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/io/stream.h"
#include "kernel/io/task.h"
#include "kernel/store/store.h"
#include "systems/stream/server/access.h"

namespace polis::stream {

enum class ScramMechanism : int8_t { kUnknown = 0, kSha256 = 1, kSha512 = 2 };  // numbers are the protocol's

struct ScramCredential {
  ScramMechanism mechanism = ScramMechanism::kUnknown;
  int32_t iterations = 4096;  // 4096..16384
  Bytes salt, stored_key, server_key;
  // Whose of kernel/auth it was made for; empty where nobody had that name. A user who comes to have the name later
  // does not inherit it.
  std::string user_id;
};
inline constexpr int32_t kScramIterationsMin = 4096, kScramIterationsMax = 16384;
inline constexpr size_t kScramUsersMax = 10'000, kUserNameBytesMax = 256;
// RFC 5802, section 3.
Result<ScramCredential> make_scram_credential(ScramMechanism mechanism, std::string_view password, BytesView salt,
                                              int32_t iterations);

class ScramCredentials {
 public:
  virtual ~ScramCredentials() = default;
  virtual Task<Result<std::optional<ScramCredential>>> find(std::string user, ScramMechanism mechanism) = 0;
  virtual Task<Result<std::vector<std::pair<std::string, ScramCredential>>>> all() = 0;
  // Durable when it returns. kInvalid for a name or credential that cannot be, kTooLarge beyond kScramUsersMax.
  virtual Task<Result<void>> put(std::string user, ScramCredential credential) = 0;
  virtual Task<Result<bool>> erase(std::string user, ScramMechanism mechanism) = 0;  // whether there was one

  // What is shown for a user without a credential: always the same for a name, and nobody's.
  virtual ScramCredential decoy(std::string_view user, ScramMechanism mechanism) const = 0;
  // Guessing is slow: whether another attempt may be made, which counts as failed until succeeded() is called. Any
  // shard.
  virtual Task<bool> may_attempt(std::string user, std::string address) = 0;
  virtual Task<void> succeeded(std::string user, std::string address) = 0;
};

struct ScramParts {
  store::Store& store;
  store::Keyspace rows;
  const Clock& clock;
  Random& random;   // thread-safe, fit for secrets
  io::Shard& home;  // of the limits of attempts
};
Task<Result<std::unique_ptr<ScramCredentials>>> open_scram_credentials(ScramParts parts);

// One exchange on one connection: what has been said so far. The steps are coroutines in sasl.cc.
struct SaslExchange {
  enum class State : uint8_t { kNone, kHandshaken, kChallenged, kDone, kFailed };
  State state = State::kNone;
  std::string mechanism;
  // After a SaslHandshake of version 0: until it is done, every frame is a token of the mechanism, without a header.
  bool raw_tokens = false;
  bool authenticated = false;  // once done; stays while he authenticates again
  // He must have authenticated again by then (connections.max.reauth.ms).
  std::optional<SteadyTime> expires_at;
  // When his rights are to be read again.
  SteadyTime rights_due{};
  std::shared_ptr<void> memory;  // of the mechanism, between its steps
};

struct ServerParts;
struct Session;

// By preference.
std::span<const std::string_view> sasl_mechanisms();

inline constexpr size_t kSaslTokenBytesMax = 4096;
// What a connection may send before it is authenticated, and how long it may take.
inline constexpr size_t kFrameBytesMaxBeforeAuthentication = 8 << 10;
inline constexpr Duration kAuthenticationTimeMax = std::chrono::seconds(15);

// Whether a request of this api may be handled now. If not, the connection is closed without an answer, as Kafka does:
// he has not authenticated, is in the middle of it, has failed, or let his time run out.
bool may_request(const Session& session, int16_t api_key, SteadyTime now);

// One token of the client in, one of ours out. The steps of a connection run one at a time, and nothing is handled
// meanwhile that came after them. When it ends well, session.identity is the new one.
struct SaslReply {
  ErrorCode code = ErrorCode::kNone;  // else the connection is closed after the answer
  std::string message;
  Bytes token;
  int64_t lifetime_ms = 0;  // 0: no limit
  bool ok() const { return code == ErrorCode::kNone; }
};
Task<SaslReply> sasl_token(ServerParts& parts, Session& session, BytesView token);

// What rules call a user of kernel/auth: "User:alice", of another account than main "User:ACCOUNT/alice".
std::string principal_name(const auth::Principal& principal);

// Stores a credential on behalf of `who`, whose right to alter the cluster was checked before. If `user` is a user of
// kernel/auth, the credential opens that user's rights, and only he or an administrator may set it:
// kClusterAuthorizationFailed. kUnacceptableCredential for what cannot be.
Task<Refusal> put_scram_credential(ServerParts& parts, const Identity& who, std::string user,
                                   ScramCredential credential);

// Who a client is by the certificate that TLS checked; kUnauthenticated for one that names nobody.
Task<Result<std::shared_ptr<const Identity>>> certificate_identity(ServerParts& parts, const io::Stream& stream);

// Reads again what a connected client may: his user may have been disabled, or have other policies by now. Cheap until
// due (every 10 s); ask before a request is handled. False: he is nobody any more, close the connection.
Task<bool> rights_are_current(ServerParts& parts, Session& session);

}  // namespace polis::stream
