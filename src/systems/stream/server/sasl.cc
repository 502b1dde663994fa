#include "systems/stream/server/sasl.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "kernel/io/peer_certificate.h"
#include "systems/stream/server/admin_answers.h"
#include "systems/stream/server/call.h"
#include "systems/stream/server/scram.h"

namespace polis::stream {
namespace {

using auth::PrincipalPtr;
using State = SaslExchange::State;

constexpr std::string_view kPlain = "PLAIN";
constexpr std::string_view kMechanisms[] = {kPlain, "SCRAM-SHA-256", "SCRAM-SHA-512"};

// Whoever fails waits so long for the answer, and somebody who hurries waits for his turn.
constexpr Duration kFailureDelay = std::chrono::milliseconds(200);
constexpr Duration kBusyDelay = std::chrono::milliseconds(50), kBusyTimeMax = std::chrono::seconds(25);
constexpr Duration kRightsAge = std::chrono::seconds(10);

// Between the two steps of SCRAM.
struct ScramMemory {
  ScramExchange exchange;
  std::string user;
};

std::string directory_name(const auth::Principal& principal) {
  return principal.of_main_account ? principal.user_name : principal.account_id + "/" + principal.user_name;
}

std::shared_ptr<const auth::Principal> with_credential(const auth::Principal& principal, auth::CredentialKind kind,
                                                       std::string id) {
  auto copy = std::make_shared<auth::Principal>(principal);
  copy->credential = kind;
  copy->credential_id = std::move(id);
  return copy;
}

SaslReply sasl_refusal(ErrorCode code, std::string message) {
  SaslReply reply;
  reply.code = code;
  reply.message = std::move(message);
  return reply;
}

Task<SaslReply> refuse_guess(ServerParts& parts, Session& session, std::string user, std::string message) {
  session.sasl.state = State::kFailed;
  session.sasl.memory.reset();
  auth::AuditRecord record = parts.auth.audit().describe(
      {.principal = auth::anonymous_principal(), .peer = session.peer.text()}, "stream:SignIn", shown(user),
      auth::AuditOutcome::kDenied, session.sasl.mechanism + ": wrong name or password");
  // The refusal stands whether or not it could be recorded.
  if (auto recorded = co_await parts.auth.audit().record(std::move(record)); !recorded)
    co_return sasl_refusal(ErrorCode::kSaslAuthenticationFailed, std::move(message));
  if (auto slept = co_await io::sleep_for(kFailureDelay); !slept)
    co_return sasl_refusal(ErrorCode::kSaslAuthenticationFailed, {});
  co_return sasl_refusal(ErrorCode::kSaslAuthenticationFailed, std::move(message));
}

SaslReply refuse_exchange(Session& session, ErrorCode code, std::string message) {
  session.sasl.state = State::kFailed;
  session.sasl.memory.reset();
  return sasl_refusal(code, std::move(message));
}

std::string invalid_credentials(const Session& session) {
  return fmt::format("Authentication failed during {} due to invalid credentials with SASL mechanism {}",
                     session.sasl.authenticated ? "re-authentication" : "authentication", session.sasl.mechanism);
}

// He proved who he is.
SaslReply let_in(ServerParts& parts, Session& session, std::string name, PrincipalPtr principal, Bytes token) {
  SaslExchange& sasl = session.sasl;
  sasl.memory.reset();
  if (sasl.authenticated && session.identity->name != name)
    return refuse_exchange(
        session, ErrorCode::kSaslAuthenticationFailed,
        fmt::format("Cannot change principals during re-authentication from {} to {}", session.identity->name, name));
  auto identity = std::make_shared<Identity>(*session.identity);
  identity->name = std::move(name);
  identity->principal = std::move(principal);
  identity->plain_door = false;
  session.identity = std::move(identity);
  sasl.state = State::kDone;
  sasl.raw_tokens = false;
  sasl.authenticated = true;
  const SteadyTime now = io::Shard::current().now();
  sasl.rights_due = now + kRightsAge;
  const Duration lifetime = parts.configs.session_lifetime();
  sasl.expires_at = lifetime > Duration::zero() ? std::optional(now + lifetime) : std::nullopt;
  SaslReply reply;
  reply.token = std::move(token);
  reply.lifetime_ms = std::chrono::duration_cast<std::chrono::milliseconds>(lifetime).count();
  return reply;
}

// Waits for a turn to guess. False: there were too many attempts.
Task<bool> turn_to_guess(ServerParts& parts, const std::string& user, const std::string& address) {
  for (Duration waited{}; waited < kBusyTimeMax; waited += kBusyDelay) {
    if (co_await parts.scram.may_attempt(user, address)) co_return true;
    if (!co_await io::sleep_for(kBusyDelay)) co_return false;
  }
  co_return false;
}

// What failed inside is not told to strangers.
constexpr std::string_view kNotNow = "Authentication is not possible now, try again later";
constexpr std::string_view kTooMany = "Authentication failed: too many attempts, try again in a minute";

// --- PLAIN (RFC 4616): [authorization id] NUL name NUL password

struct PlainToken {
  std::string user, password;
};

Result<PlainToken> parse_plain(BytesView token) {
  const std::string_view text = as_text(token);
  const size_t first = text.find('\0');
  const size_t second = first == std::string_view::npos ? first : text.find('\0', first + 1);
  if (second == std::string_view::npos || text.find('\0', second + 1) != std::string_view::npos)
    return fail(Code::kInvalid, "Invalid SASL/PLAIN response: expected 3 tokens");
  const std::string_view authorization = text.substr(0, first);
  const std::string_view user = text.substr(first + 1, second - first - 1);
  const std::string_view password = text.substr(second + 1);
  if (user.empty()) return fail(Code::kInvalid, "Authentication failed: username not specified");
  if (password.empty()) return fail(Code::kInvalid, "Authentication failed: password not specified");
  if (user.size() > kUserNameBytesMax || !base::utf8_valid(user))
    return fail(Code::kInvalid, "Authentication failed: the username is too long or not UTF-8");
  if (!authorization.empty() && authorization != user)
    return fail(Code::kInvalid,
                "Authentication failed: Client requested an authorization id that is different from username");
  return PlainToken{std::string(user), std::string(password)};
}

// A name may be an access key's id; then its secret is the password. What does not match takes the way of a password,
// and its time.
Task<Result<PrincipalPtr>> by_access_key(ServerParts& parts, const PlainToken& plain) {
  const bool possible =
      plain.user.size() >= 3 && plain.user.size() <= 128 && std::ranges::all_of(plain.user, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      });
  if (!possible) co_return fail(Code::kNotFound, "no access key has such an id");
  const auth::AccessKeyPtr key = CO_TRY(co_await parts.auth.access_key(plain.user));
  if (!base::constant_time_equal(as_bytes(key->secret), as_bytes(plain.password)))
    co_return fail(Code::kUnauthenticated, "the secret is wrong");
  co_return key->principal;
}

Task<Result<PrincipalPtr>> by_password(ServerParts& parts, const PlainToken& plain, const std::string& peer) {
  for (Duration waited{};; waited += kBusyDelay) {
    auto principal = co_await parts.auth.authenticate_password(plain.user, plain.password, peer);
    // Many clients that start at once wait for one another.
    if (principal || principal.error().code() != Code::kBusy || waited >= kBusyTimeMax) co_return principal;
    CO_TRY(co_await io::sleep_for(kBusyDelay));
  }
}

Task<SaslReply> plain_step(ServerParts& parts, Session& session, BytesView token) {
  auto plain = parse_plain(token);
  if (!plain) co_return refuse_exchange(session, ErrorCode::kSaslAuthenticationFailed, plain.error().message());
  const std::string address = session.peer.address;
  if (!co_await turn_to_guess(parts, plain->user, address))
    co_return refuse_exchange(session, ErrorCode::kSaslAuthenticationFailed, std::string(kTooMany));
  auto principal = co_await by_access_key(parts, *plain);
  if (!principal) principal = co_await by_password(parts, *plain, session.peer.text());
  base::secure_wipe(as_writable_bytes(plain->password));
  if (!principal) {
    if (principal.error().code() == Code::kBusy)
      co_return refuse_exchange(session, ErrorCode::kSaslAuthenticationFailed, std::string(kTooMany));
    if (principal.error().code() != Code::kUnauthenticated)
      co_return refuse_exchange(session, error_code(principal.error()), std::string(kNotNow));
    co_return co_await refuse_guess(parts, session, plain->user, "Authentication failed: Invalid username or password");
  }
  co_await parts.scram.succeeded(plain->user, address);
  co_return let_in(parts, session, principal_name(**principal), *principal, {});
}

// --- SCRAM

// Who the owner of a credential is to kernel/auth: nobody, if nobody had that name when it was made and nobody has it
// now. kUnauthenticated when the name has come to be another's since, or its user is gone or disabled.
Task<Result<PrincipalPtr>> scram_principal(ServerParts& parts, const std::string& user,
                                           const ScramCredential& credential) {
  auto found = co_await parts.auth.find_user(user);
  if (!found && found.error().code() != Code::kNotFound && found.error().code() != Code::kInvalid)
    co_return fail(std::move(found).error());
  if (credential.user_id != (found ? found->id : std::string()))
    co_return fail(Code::kUnauthenticated, "the credential was made for another user of that name");
  if (!found) co_return auth::anonymous_principal();
  auto principal = CO_TRY(co_await parts.auth.authenticate_certificate(user));
  co_return with_credential(*principal, auth::CredentialKind::kPassword, std::string(name(credential.mechanism)));
}

Task<SaslReply> scram_first(ServerParts& parts, Session& session, BytesView token) {
  const ScramMechanism mechanism = scram_mechanism(session.sasl.mechanism);
  std::array<std::byte, 24> random;
  parts.broker.random.fill(random);
  auto memory =
      std::make_shared<ScramMemory>(ScramExchange(mechanism, base::base64_encode(random, base::Base64::kUrl)), "");
  auto user = memory->exchange.begin(token);
  if (!user) co_return refuse_exchange(session, ErrorCode::kSaslAuthenticationFailed, invalid_credentials(session));
  memory->user = std::move(*user);
  if (!co_await turn_to_guess(parts, memory->user, session.peer.address))
    co_return refuse_exchange(session, ErrorCode::kSaslAuthenticationFailed, std::string(kTooMany));
  auto credential = co_await parts.scram.find(memory->user, mechanism);
  if (!credential) co_return refuse_exchange(session, error_code(credential.error()), std::string(kNotNow));
  SaslReply reply;
  reply.token = memory->exchange.challenge(*credential ? **credential : parts.scram.decoy(memory->user, mechanism));
  session.sasl.memory = std::move(memory);
  session.sasl.state = State::kChallenged;
  co_return reply;
}

Task<SaslReply> scram_final(ServerParts& parts, Session& session, BytesView token) {
  const auto memory = std::static_pointer_cast<ScramMemory>(session.sasl.memory);
  const ScramMechanism mechanism = scram_mechanism(session.sasl.mechanism);
  auto answer = memory->exchange.finish(token);
  // Known users and unknown ones take the same way.
  auto credential = co_await parts.scram.find(memory->user, mechanism);
  if (!credential) co_return refuse_exchange(session, error_code(credential.error()), std::string(kNotNow));
  if (!answer || !*credential)
    co_return co_await refuse_guess(parts, session, memory->user, invalid_credentials(session));
  auto principal = co_await scram_principal(parts, memory->user, **credential);
  if (!principal && principal.error().code() != Code::kUnauthenticated)
    co_return refuse_exchange(session, error_code(principal.error()), std::string(kNotNow));
  if (!principal) co_return co_await refuse_guess(parts, session, memory->user, invalid_credentials(session));
  co_await parts.scram.succeeded(memory->user, session.peer.address);
  std::string name = (*principal)->anonymous() ? "User:" + memory->user : principal_name(**principal);
  co_return let_in(parts, session, std::move(name), std::move(*principal), std::move(*answer));
}

constexpr int16_t kSaslHandshakeKey = 17, kApiVersionsKey = 18, kSaslAuthenticateKey = 36;

}  // namespace

// One user has one name, whichever way he came.
std::string principal_name(const auth::Principal& principal) {
  return principal.of_main_account ? "User:" + principal.user_name
                                   : fmt::format("User:{}/{}", principal.account_id, principal.user_name);
}

Task<Refusal> put_scram_credential(ServerParts& parts, const Identity& who, std::string user,
                                   ScramCredential credential) {
  auto owner = co_await parts.auth.find_user(user);
  if (!owner && owner.error().code() != Code::kNotFound && owner.error().code() != Code::kInvalid)
    co_return Refusal{error_code(owner.error()), owner.error().message()};
  if (owner) {
    const auth::Principal& asking = *who.principal;
    if (!asking.administrator && (asking.anonymous() || asking.user_id != owner->id))
      co_return Refusal{ErrorCode::kClusterAuthorizationFailed,
                        shown(user) + " is a user of polis: only he and administrators may set that credential"};
    credential.user_id = owner->id;
  }
  auto put = co_await parts.scram.put(std::move(user), std::move(credential));
  if (put) co_return Refusal{};
  const Code code = put.error().code();
  co_return Refusal{
      code == Code::kInvalid || code == Code::kTooLarge ? ErrorCode::kUnacceptableCredential : error_code(put.error()),
      put.error().message()};
}

std::span<const std::string_view> sasl_mechanisms() {
  return kMechanisms;
}

bool may_request(const Session& session, int16_t api_key, SteadyTime now) {
  if (!session.must_authenticate) return true;
  const SaslExchange& sasl = session.sasl;
  const bool of_sasl = api_key == kSaslHandshakeKey || api_key == kSaslAuthenticateKey;
  switch (sasl.state) {
    case State::kNone:
      return of_sasl || api_key == kApiVersionsKey;
    case State::kHandshaken:
    case State::kChallenged:
      return of_sasl;
    case State::kDone:
      return of_sasl || !sasl.expires_at || now < *sasl.expires_at;
    case State::kFailed:
      return false;
  }
  return false;
}

Task<SaslReply> sasl_token(ServerParts& parts, Session& session, BytesView token) {
  SaslExchange& sasl = session.sasl;
  if (sasl.state != State::kHandshaken && sasl.state != State::kChallenged)
    co_return sasl_refusal(ErrorCode::kIllegalSaslState,
                           sasl.state == State::kDone
                               ? "SaslAuthenticate request received after successful authentication"
                               : "SaslAuthenticate request received before SaslHandshake");
  if (token.size() > kSaslTokenBytesMax)
    co_return refuse_exchange(session, ErrorCode::kSaslAuthenticationFailed, "the SASL token is too long");
  if (sasl.mechanism == kPlain) co_return co_await plain_step(parts, session, token);
  if (sasl.state == State::kHandshaken) co_return co_await scram_first(parts, session, token);
  co_return co_await scram_final(parts, session, token);
}

Task<Result<std::shared_ptr<const Identity>>> certificate_identity(ServerParts& parts, const io::Stream& stream) {
  const std::string common_name = io::peer_common_name(stream);
  if (common_name.empty()) co_return fail(Code::kUnauthenticated, "the certificate has no single common name");
  PrincipalPtr principal = CO_TRY(co_await parts.auth.authenticate_certificate(common_name));
  auto identity = std::make_shared<Identity>();
  identity->name = principal_name(*principal);
  identity->host = stream.peer().address;
  identity->principal = std::move(principal);
  identity->encrypted = true;
  co_return identity;
}

Task<bool> rights_are_current(ServerParts& parts, Session& session) {
  const SteadyTime now = io::Shard::current().now();
  const std::shared_ptr<const Identity> was = session.identity;
  const auth::Principal& principal = *was->principal;
  const bool scram_only = session.sasl.authenticated && principal.anonymous();
  if ((principal.anonymous() && !scram_only) || now < session.sasl.rights_due) co_return true;
  session.sasl.rights_due = now + kRightsAge;
  Result<PrincipalPtr> fresh = fail(Code::kUnauthenticated, "nobody");
  if (scram_only) {
    // Known by a credential alone, which may have been taken away, or its name given to somebody.
    const std::string user = was->name.substr(was->name.find(':') + 1);
    auto credential = co_await parts.scram.find(user, scram_mechanism(session.sasl.mechanism));
    if (!credential) co_return true;  // The store failed; that is no reason to throw him out.
    if (!*credential) co_return false;
    fresh = co_await scram_principal(parts, user, **credential);
  } else if (principal.credential == auth::CredentialKind::kAccessKey) {
    auto key = co_await parts.auth.access_key(principal.credential_id);
    fresh = key ? Result<PrincipalPtr>((*key)->principal) : fail(std::move(key).error());
  } else {
    fresh = co_await parts.auth.authenticate_certificate(directory_name(principal));
    if (fresh) fresh = with_credential(**fresh, principal.credential, principal.credential_id);
  }
  if (!fresh) {
    const Code code = fresh.error().code();
    co_return code != Code::kUnauthenticated&& code != Code::kNotFound&& code != Code::kInvalid;
  }
  if ((*fresh)->user_id != principal.user_id) co_return false;
  if (session.identity != was) co_return true;  // He authenticated again meanwhile.
  auto identity = std::make_shared<Identity>(*was);
  identity->principal = std::move(*fresh);
  session.identity = std::move(identity);
  co_return true;
}

}  // namespace polis::stream
