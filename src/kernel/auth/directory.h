// The directory of accounts, users and their credentials: rows of the Store (keyspace "auth"), with a cache per shard
// so that checking a session, a token or an access key costs no read of the store. Passwords are kept as Argon2id
// hashes, sessions and tokens as SHA-256 of 256 random bits, access-key secrets sealed with the node key (they must be
// known to check signatures).
//
// Used from any shard of the runtime that opened it. Caches are per shard; every change raises one generation number,
// which empties them, so a revoked credential is refused on every shard once the revoking call has returned. Password
// work runs on the blocking pool, at most two at a time, and attempts are limited per peer and user; both limits live
// on the shard that opened the directory.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/audit.h"
#include "kernel/auth/policy.h"
#include "kernel/auth/principal.h"
#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"

namespace polis::auth {

// --- what the rows hold

struct Account {
  std::string id;            // 12 digits unless preset: [A-Za-z0-9._-]{1,64}
  std::string canonical_id;  // 64 hex digits unless preset, same alphabet
  std::string name;
  std::string email;
  WallTime created_at{};
};

struct User {
  std::string id;  // "AIDA" + 16 unless preset
  std::string account_id;
  std::string name;  // unique in its account: [A-Za-z0-9_.@+=,-]{1,64}
  std::string path;  // "/a/b/", a part of the ARN that groups users; empty: "/"
  std::string display_name;
  std::string email;
  bool root = false;
  bool administrator = false;
  bool disabled = false;  // no credential of the user works
  bool has_password = false;
  std::vector<std::string> attached_policies;  // names of managed policies
  WallTime created_at{};
};

struct AccessKeyRecord {  // without its secret
  std::string id;
  std::string user_id;
  std::string description;
  bool active = true;
  WallTime created_at{};
};

struct TokenRecord {
  std::string id;
  std::string user_id;
  std::string name;
  std::vector<std::string> scopes;  // action patterns; empty: everything the user may
  WallTime created_at{};
  std::optional<WallTime> expires_at;
};

struct SessionRecord {
  std::string id;  // start of the token's hash, for listings and for ending it
  std::string user_id;
  std::string peer;
  WallTime created_at{};
  WallTime expires_at{};
};

struct PolicyRecord {
  std::string name;
  std::string text;
  bool builtin = false;
};

// --- what callers hand in and get back

struct NewAccount {
  std::string name;
  std::string email;
  std::string id, canonical_id;  // presets; empty: made
};

struct NewUser {
  std::string account_id;  // empty: the main account
  std::string name;
  std::string path;          // as User's
  std::string display_name;  // empty: the name
  std::string email;
  std::string id;        // preset; empty: made
  std::string password;  // empty: cannot sign in with one
  bool root = false;
  bool administrator = false;
};

// "arn:aws:iam::ACCOUNT:user/NAME", or "...:root".
std::string arn(const User& user);

// A credential as its owner gets to see it, once.
struct IssuedAccessKey {
  std::string id, secret;
};
struct IssuedTemporaryKey {
  std::string id, secret, token;
  WallTime expires_at{};
};
struct IssuedToken {
  std::string id, token;
};
struct IssuedSession {
  std::string token;
  WallTime expires_at{};
  PrincipalPtr principal;
};

// What SigV4 needs to know about an access key id.
struct AccessKey {
  std::string id;
  std::string secret;
  PrincipalPtr principal;
};
using AccessKeyPtr =
    std::shared_ptr<const AccessKey>;  // shared by the caches and the requests in flight; wiped with the last

// Presets of the first start; empty ones are made.
struct RootPresets {
  std::string user;  // "root" if empty
  std::string password;
  std::string access_key, secret_key;  // both or none
};
struct RootCredentials {
  std::string user, password, access_key, secret_key;
};

// Argon2id. RFC 9106 §4 asks for as much memory as is affordable; OWASP's floor of 19 MiB and two passes is taken
// because two at once must stay far below the process' 100 MB. About 25 ms on one Zen 4 core.
struct PasswordCost {
  uint32_t memory_kib = 19 * 1024;
  uint32_t passes = 2;
  uint32_t lanes = 1;
};

struct DirectoryOptions {
  std::string keys_directory;  // DIR/keys: holds node.key (0600), made at the first start
  // After a restore without the keys: make a new node key and erase every access key that the lost one sealed.
  bool forget_sealed = false;
  PasswordCost password_cost;
  unsigned shards = 1;                                     // caches to keep: Runtime::size()
  size_t cached_credentials_max = 4096;                    // a shard; about 2 KB each
  Duration session_idle_max = std::chrono::hours(12);      // sliding
  Duration session_age_max = std::chrono::hours(24 * 30);  // whatever happens
  AuditOptions audit;
};

inline constexpr size_t kAccessKeysPerUserMax = 10;
inline constexpr Duration kTemporaryKeyLifetimeMin = std::chrono::minutes(15);  // both are STS's
inline constexpr Duration kTemporaryKeyLifetimeMax = std::chrono::hours(36);
inline constexpr size_t kTokensPerUserMax = 100;
inline constexpr size_t kSessionsPerUserMax = 100;  // the oldest ends when one more begins
inline constexpr size_t kPoliciesPerUserMax = 20;   // attached and inline, each
inline constexpr size_t kPasswordBytesMin = 8;
inline constexpr size_t kPasswordBytesMax = 1024;

class NodeKey;
class AttemptLimit;

class Directory {
 public:
  // Reads or makes the node key, opens the keyspace. `random` must be thread-safe and fit for secrets: SystemRandom.
  // All references outlive the directory. The calling shard becomes its home.
  static Task<Result<std::unique_ptr<Directory>>> open(store::Store& store, io::Disk& disk, const Clock& clock,
                                                       Random& random, DirectoryOptions options);
  ~Directory();

  // On a store without users: makes the main account, its root user (also administrator), a password and an access key,
  // and returns them: they cannot be read again. Otherwise changes nothing and returns nothing.
  Task<Result<std::optional<RootCredentials>>> bootstrap(RootPresets presets);

  // --- proving who asks. kUnauthenticated whatever the reason, so that nothing can be probed

  // `name` is a user of the main account, "ACCOUNT/NAME" any user. kBusy: too many attempts for now, or too many
  // waiting. Takes the same time for unknown users.
  Task<Result<PrincipalPtr>> authenticate_password(std::string name, std::string password, std::string peer);
  // Slides the expiry, written at most once per twelfth of session_idle_max.
  Task<Result<PrincipalPtr>> authenticate_session(std::string token);
  Task<Result<PrincipalPtr>> authenticate_token(std::string token);
  // Who a client certificate is for, once TLS has proved that an authority of ours signed it: `common_name` is as the
  // name of authenticate_password. Not cached: ask once in a while per connection.
  Task<Result<PrincipalPtr>> authenticate_certificate(std::string common_name);
  // kNotFound for unknown and inactive keys and disabled users.
  Task<Result<AccessKeyPtr>> access_key(std::string id);
  // As access_key, from this shard's cache alone; null if the cache does not know.
  AccessKeyPtr cached_access_key(std::string_view id);

  // --- sessions

  // Signs in: authenticate_password, then a session. The attempt is audited.
  Task<Result<IssuedSession>> sign_in(std::string name, std::string password, std::string peer);
  Task<Result<void>> sign_out(std::string token);
  Task<Result<std::vector<SessionRecord>>> sessions(std::string user_id);
  Task<Result<void>> end_session(Actor actor, std::string user_id, std::string session_id);
  // Erases sessions and tokens that have expired; call about once an hour. Returns how many.
  Task<Result<size_t>> sweep();

  // --- accounts and users. Changes are audited in the same transaction; callers authorize before

  Task<Result<Account>> create_account(Actor actor, NewAccount account);
  Task<Result<Account>> account(std::string id);
  // By canonical id, for ACL grants. Also by email with a '@' inside.
  Task<Result<Account>> find_account(std::string canonical_id_or_email);
  Task<Result<std::vector<Account>>> accounts();
  Task<Result<Account>> main_account();

  Task<Result<User>> create_user(Actor actor, NewUser user);
  Task<Result<User>> user(std::string id);
  // As the name of authenticate_password.
  Task<Result<User>> find_user(std::string name);
  Task<Result<std::vector<User>>> users(
      std::string account_id = {});  // empty: of all accounts; sorted by account and name
  Task<Result<void>> set_password(Actor actor, std::string user_id,
                                  std::string password);  // also ends the user's sessions
  Task<Result<void>> set_disabled(Actor actor, std::string user_id, bool disabled);
  // Erases the user with all credentials and inline policies. The last enabled administrator cannot go: kInvalid.
  Task<Result<void>> delete_user(Actor actor, std::string user_id);

  // --- credentials

  // `id` and `secret` preset the pair (both or none): id [A-Za-z0-9]{3,128}, secret 8..128 printable characters.
  Task<Result<IssuedAccessKey>> create_access_key(Actor actor, std::string user_id, std::string description = {},
                                                  std::string id = {}, std::string secret = {});
  Task<Result<std::vector<AccessKeyRecord>>> access_keys(std::string user_id);
  Task<Result<AccessKeyRecord>> access_key_record(std::string id);  // also of inactive keys
  Task<Result<void>> set_access_key_active(Actor actor, std::string id, bool active);
  Task<Result<void>> delete_access_key(Actor actor, std::string id);

  // An access key of this user that ends by itself and is presented together with its token; nothing is stored.
  Task<Result<IssuedTemporaryKey>> create_temporary_key(Actor actor, std::string user_id, Duration lifetime);
  // kTimeout if it has expired, kUnauthenticated for a token that is not this key's. Not cached.
  Task<Result<AccessKeyPtr>> temporary_key(std::string id, std::string token);

  Task<Result<IssuedToken>> create_token(Actor actor, std::string user_id, std::string name,
                                         std::vector<std::string> scopes, std::optional<Duration> lifetime);
  Task<Result<std::vector<TokenRecord>>> tokens(std::string user_id);
  Task<Result<TokenRecord>> token_record(std::string id);
  Task<Result<void>> delete_token(Actor actor, std::string id);

  // --- policies

  // Managed policies by name: [A-Za-z0-9_.@+=,-]{1,128}. Built in, and not changeable: AdministratorAccess,
  // ReadOnlyAccess, AmazonS3FullAccess, AmazonS3ReadOnlyAccess.
  Task<Result<void>> put_policy(Actor actor, std::string name, std::string text);
  Task<Result<PolicyRecord>> policy(std::string name);
  Task<Result<std::vector<PolicyRecord>>> policies();
  Task<Result<void>> delete_policy(Actor actor, std::string name);  // kInvalid while a user has it
  Task<Result<void>> attach_policy(Actor actor, std::string user_id, std::string name);
  Task<Result<void>> detach_policy(Actor actor, std::string user_id, std::string name);
  // Inline policies of one user.
  Task<Result<void>> put_user_policy(Actor actor, std::string user_id, std::string name, std::string text);
  Task<Result<PolicyRecord>> user_policy(std::string user_id, std::string name);
  Task<Result<std::vector<PolicyRecord>>> user_policies(std::string user_id);
  Task<Result<void>> delete_user_policy(Actor actor, std::string user_id, std::string name);

  AuditLog& audit() { return audit_; }

 private:
  struct Cache;
  struct Doors;
  Directory(store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random, DirectoryOptions options,
            NodeKey node_key);

  // The cache of the calling shard, emptied if anything changed since its last use.
  Cache& cache();
  // Whether what was read since `generation` may be cached: nothing changed meanwhile.
  bool current(uint64_t generation) const { return generation_.load() == generation; }
  // Runs a change in a transaction, then empties all caches.
  template <class F>
  auto change(F body) -> std::invoke_result_t<F&, store::Txn&>;
  Task<Result<PrincipalPtr>> load_principal(store::Txn& txn, std::string user_id, CredentialKind kind,
                                            std::string credential_id, std::vector<std::string> scopes);
  Task<Result<std::string>> resolve_user(store::Txn& txn, std::string name);
  Task<Result<void>> another_administrator(store::Txn& txn, std::string user_id);
  Task<Result<void>> add_user(store::Txn& txn, User& user, std::string password_hash);
  Result<void> add_access_key(store::Txn& txn, const AccessKeyRecord& record, std::string_view secret);
  Result<void> end_session_row(store::Txn& txn, const std::string& user_id, std::string_view hash);
  Task<Result<void>> end_all_sessions(store::Txn& txn, std::string user_id);
  Task<Result<PrincipalPtr>> check_password(std::string name, std::string password, std::string peer_address);
  Task<Result<std::string>> make_password_hash(std::string password);
  Task<Result<PrincipalPtr>> read_session(std::string hash);
  Task<Result<void>> slide_session(std::string hash, WallTime expires_at);
  std::string random_text(std::string_view alphabet, size_t size);
  Account make_account(const NewAccount& account);
  User make_user(const NewUser& user, const std::string& account_id);

  store::Store& store_;
  const store::Keyspace keyspace_;
  const Clock& clock_;
  Random& random_;
  const DirectoryOptions options_;
  io::Shard& home_;
  AuditLog audit_;
  std::unique_ptr<NodeKey> node_key_;
  std::unique_ptr<Doors> doors_;  // password permits and attempt limits; on home_ only
  std::atomic<uint64_t> generation_{1};
  std::vector<std::unique_ptr<Cache>> caches_;  // by shard index; each touched by its shard alone
};

}  // namespace polis::auth
