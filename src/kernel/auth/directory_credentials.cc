// Sessions, API tokens and access keys.
#include <algorithm>

#include "kernel/auth/directory.h"
#include "kernel/auth/directory_parts.h"
#include "kernel/auth/rows.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {
namespace {

// The longest credential text that is worth hashing: prefix, id and 256 bits in base64.
constexpr size_t kCredentialBytesMax = 128;
// A session's id, as listings and audits show it.
constexpr size_t kSessionIdDigits = 16;

std::unexpected<Error> refused(std::string_view what) {
  return fail(Code::kUnauthenticated, "the " + std::string(what) + " is unknown, expired or was ended; sign in again");
}

// Everything that says "no such credential" becomes one answer; a store that cannot be read stays what it is.
Error refusal_of(Error error, std::string_view what) {
  return error.code() == Code::kNotFound ? refused(what).error() : std::move(error);
}

}  // namespace

// --- access keys

AccessKeyPtr Directory::cached_access_key(std::string_view id) {
  Cache& mine = cache();
  auto found = mine.access_keys.find(id);
  return found == mine.access_keys.end() ? nullptr : found->second;
}

Task<Result<AccessKeyPtr>> Directory::access_key(std::string id) {
  if (AccessKeyPtr cached = cached_access_key(id)) co_return cached;
  if (!rows::check_id("access key id", id, 128)) co_return fail(Code::kNotFound, "there is no such access key");
  uint64_t generation = generation_.load();
  auto txn = CO_TRY(co_await store_.begin());
  rows::AccessKeyRow row = CO_TRY(co_await rows::read_access_key(*txn, keyspace_, id));
  if (!row.record.active) co_return fail(Code::kNotFound, "the access key " + id + " is not active");
  auto principal = CO_TRY(co_await load_principal(*txn, row.record.user_id, CredentialKind::kAccessKey, id, {}));
  std::string secret = CO_TRY(node_key_->open(row.sealed_secret, rows::key("k/", id)));
  // Shared by caches and requests in flight; the last one wipes the secret.
  AccessKeyPtr key(new AccessKey{id, std::move(secret), std::move(principal)}, [](const AccessKey* gone) {
    base::secure_wipe(as_writable_bytes(const_cast<AccessKey*>(gone)->secret));
    delete gone;
  });
  Cache& mine = cache();
  if (current(generation)) mine.access_keys.insert_or_assign(std::move(id), key);
  co_return key;
}

Result<void> Directory::add_access_key(store::Txn& txn, const AccessKeyRecord& record, std::string_view secret) {
  std::string row_key = rows::key("k/", record.id);
  TRY(txn.insert(keyspace_, row_key,
                 rows::encode(rows::AccessKeyRow{record, node_key_->seal(secret, row_key, random_)})));
  return txn.insert(keyspace_, rows::key("ku/", record.user_id, record.id), {});
}

Task<Result<IssuedAccessKey>> Directory::create_access_key(Actor actor, std::string user_id, std::string description,
                                                           std::string id, std::string secret) {
  if (id.empty() != secret.empty())
    co_return fail(Code::kInvalid, "preset both the access key id and its secret, or neither");
  if (description.size() > 256)
    co_return fail(Code::kTooLarge, "the description of an access key has at most 256 bytes");
  if (id.empty()) {
    id = "AKIA" + random_text(kCapitalsAndDigits, 16);
    secret = random_text(kLettersAndDigits, 40);
  }
  CO_TRY(check_access_key_preset(id, secret));
  co_return co_await change([&](store::Txn& txn) -> Task<Result<IssuedAccessKey>> {
    rows::UserRow user = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    if (CO_TRY(co_await txn.get(keyspace_, rows::key("k/", id))))
      co_return fail(Code::kExists, "there is an access key " + id + " already");
    auto owned = CO_TRY(co_await rows::all(txn, keyspace_, rows::key("ku/", user_id, ""), true));
    if (owned.size() >= kAccessKeysPerUserMax)
      co_return fail(Code::kTooLarge,
                     "a user has at most " + std::to_string(kAccessKeysPerUserMax) + " access keys; delete one before");
    CO_TRY(add_access_key(txn, {.id = id, .user_id = user_id, .description = description, .created_at = clock_.wall()},
                          secret));
    CO_TRY(audit_.append(
        txn, audit_.describe(actor, "auth:CreateAccessKey", user_arn(user.user), AuditOutcome::kSuccess, id)));
    co_return IssuedAccessKey{id, secret};
  });
}

Task<Result<std::vector<AccessKeyRecord>>> Directory::access_keys(std::string user_id) {
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(co_await rows::read_user(*txn, keyspace_, user_id));
  std::vector<AccessKeyRecord> out;
  for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, rows::key("ku/", user_id, ""), true)))
    out.push_back(
        CO_TRY(co_await rows::read_access_key(*txn, keyspace_, std::string(rows::last_part(row.key)))).record);
  co_return out;
}

Task<Result<AccessKeyRecord>> Directory::access_key_record(std::string id) {
  auto txn = CO_TRY(co_await store_.begin());
  rows::AccessKeyRow row = CO_TRY(co_await rows::read_access_key(*txn, keyspace_, id));
  co_return std::move(row.record);
}

Task<Result<void>> Directory::set_access_key_active(Actor actor, std::string id, bool active) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::AccessKeyRow row = CO_TRY(co_await rows::read_access_key(txn, keyspace_, id));
    row.record.active = active;
    CO_TRY(txn.put(keyspace_, rows::key("k/", id), rows::encode(row)));
    co_return audit_.append(txn, audit_.describe(actor, active ? "auth:EnableAccessKey" : "auth:DisableAccessKey", id));
  });
}

Task<Result<void>> Directory::delete_access_key(Actor actor, std::string id) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::AccessKeyRow row = CO_TRY(co_await rows::read_access_key(txn, keyspace_, id));
    CO_TRY(txn.erase(keyspace_, rows::key("k/", id)));
    CO_TRY(txn.erase(keyspace_, rows::key("ku/", row.record.user_id, id)));
    co_return audit_.append(txn, audit_.describe(actor, "auth:DeleteAccessKey", id));
  });
}

// --- tokens

Task<Result<IssuedToken>> Directory::create_token(Actor actor, std::string user_id, std::string name,
                                                  std::vector<std::string> scopes, std::optional<Duration> lifetime) {
  if (name.empty() || name.size() > 128 || !base::utf8_valid(name))
    co_return fail(Code::kInvalid, "a token needs a name of at most 128 bytes");
  if (lifetime && *lifetime <= Duration::zero())
    co_return fail(Code::kInvalid, "the lifetime of a token must be positive");
  if (scopes.size() > 64 ||
      std::ranges::any_of(scopes, [](const std::string& scope) { return scope.empty() || scope.size() > 128; }))
    co_return fail(Code::kInvalid,
                   "a token has at most 64 scopes, patterns of actions such as s3:Get*, of at most 128 bytes each");
  std::array<std::byte, 32> secret;
  random_.fill(secret);
  std::string id = random_text(kCapitalsAndDigits, 16);
  std::string token = std::string(kTokenPrefix) + id + "_" + base::base64_encode(secret, base::Base64::kUrl);
  base::secure_wipe(secret);
  WallTime now = clock_.wall();
  TokenRecord record{
      .id = id, .user_id = user_id, .name = std::move(name), .scopes = std::move(scopes), .created_at = now};
  if (lifetime) record.expires_at = now + *lifetime;
  co_return co_await change([&](store::Txn& txn) -> Task<Result<IssuedToken>> {
    rows::UserRow user = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    auto owned = CO_TRY(co_await rows::all(txn, keyspace_, rows::key("tu/", user_id, ""), true));
    if (owned.size() >= kTokensPerUserMax)
      co_return fail(Code::kTooLarge,
                     "a user has at most " + std::to_string(kTokensPerUserMax) + " tokens; delete one before");
    CO_TRY(txn.insert(keyspace_, rows::key("t/", id), rows::encode(rows::TokenRow{record, hash_of_token(token)})));
    CO_TRY(txn.insert(keyspace_, rows::key("tu/", user_id, id), {}));
    CO_TRY(audit_.append(txn, audit_.describe(actor, "auth:CreateToken", user_arn(user.user), AuditOutcome::kSuccess,
                                              id + " " + record.name)));
    co_return IssuedToken{id, token};
  });
}

Task<Result<PrincipalPtr>> Directory::authenticate_token(std::string token) {
  size_t id_begin = kTokenPrefix.size();
  if (token.size() > kCredentialBytesMax || !token.starts_with(kTokenPrefix)) co_return refused("token");
  size_t id_end = token.find('_', id_begin);
  if (id_end == std::string::npos) co_return refused("token");
  std::string id = token.substr(id_begin, id_end - id_begin);
  if (!rows::check_id("token id", id, 64)) co_return refused("token");
  std::string hash = hash_of_token(token);
  {
    Cache& mine = cache();
    if (auto found = mine.tokens.find(hash); found != mine.tokens.end()) {
      if (!found->second.expires_at || clock_.wall() < *found->second.expires_at) co_return found->second.principal;
      mine.tokens.erase(found);
      co_return refused("token");
    }
  }
  uint64_t generation = generation_.load();
  auto txn = CO_TRY(co_await store_.begin());
  auto row = co_await rows::read_token(*txn, keyspace_, id);
  if (!row) co_return fail(refusal_of(std::move(row).error(), "token"));
  if (!base::constant_time_equal(as_bytes(row->token_hash), as_bytes(hash))) co_return refused("token");
  if (row->record.expires_at && clock_.wall() >= *row->record.expires_at) co_return refused("token");
  auto principal = co_await load_principal(*txn, row->record.user_id, CredentialKind::kToken, id, row->record.scopes);
  if (!principal) co_return fail(refusal_of(std::move(principal).error(), "token"));
  Cache& mine = cache();
  if (current(generation))
    mine.tokens.insert_or_assign(std::move(hash), Cache::Token{*principal, row->record.expires_at});
  co_return principal;
}

Task<Result<std::vector<TokenRecord>>> Directory::tokens(std::string user_id) {
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(co_await rows::read_user(*txn, keyspace_, user_id));
  std::vector<TokenRecord> out;
  for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, rows::key("tu/", user_id, ""), true)))
    out.push_back(CO_TRY(co_await rows::read_token(*txn, keyspace_, std::string(rows::last_part(row.key)))).record);
  co_return out;
}

Task<Result<TokenRecord>> Directory::token_record(std::string id) {
  auto txn = CO_TRY(co_await store_.begin());
  rows::TokenRow row = CO_TRY(co_await rows::read_token(*txn, keyspace_, id));
  co_return std::move(row.record);
}

Task<Result<void>> Directory::delete_token(Actor actor, std::string id) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::TokenRow row = CO_TRY(co_await rows::read_token(txn, keyspace_, id));
    CO_TRY(txn.erase(keyspace_, rows::key("t/", id)));
    CO_TRY(txn.erase(keyspace_, rows::key("tu/", row.record.user_id, id)));
    co_return audit_.append(txn, audit_.describe(actor, "auth:DeleteToken", id));
  });
}

// --- certificates

Task<Result<PrincipalPtr>> Directory::authenticate_certificate(std::string common_name) {
  auto txn = CO_TRY(co_await store_.begin());
  auto unknown = [&](Error error) -> Error {
    if (error.code() != Code::kNotFound && error.code() != Code::kInvalid) return error;
    return Error(Code::kUnauthenticated, "the certificate names nobody who may come in: '" + common_name + "'");
  };
  auto id = co_await resolve_user(*txn, common_name);
  if (!id) co_return fail(unknown(std::move(id).error()));
  auto principal = co_await load_principal(*txn, *id, CredentialKind::kCertificate, common_name, {});
  if (!principal) co_return fail(unknown(std::move(principal).error()));
  co_return principal;
}

// --- sessions

Task<Result<IssuedSession>> Directory::sign_in(std::string name, std::string password, std::string peer) {
  auto principal = co_await authenticate_password(name, std::move(password), peer);
  if (!principal) {
    // Attempts beyond the limit leave no record, or guessing would fill the audit.
    if (principal.error().code() == Code::kUnauthenticated)
      CO_TRY(co_await audit_.record(
          audit_.describe({.peer = peer}, "auth:SignIn", name, AuditOutcome::kDenied, "wrong name or password")));
    co_return fail(std::move(principal).error());
  }
  std::array<std::byte, 32> secret;
  random_.fill(secret);
  std::string token = std::string(kSessionPrefix) + base::base64_encode(secret, base::Base64::kUrl);
  base::secure_wipe(secret);
  std::string hash = hash_of_token(token);
  WallTime now = clock_.wall();
  SessionRecord session{.id = hash.substr(0, kSessionIdDigits),
                        .user_id = (*principal)->user_id,
                        .peer = peer.substr(0, 128),
                        .created_at = now,
                        .expires_at = now + std::min(options_.session_idle_max, options_.session_age_max)};
  auto made = co_await store::transact(store_, [&](store::Txn& txn) -> Task<Result<PrincipalPtr>> {
    auto owned = CO_TRY(co_await rows::all(txn, keyspace_, rows::key("su/", session.user_id, ""), true));
    if (owned.size() >= kSessionsPerUserMax) {
      std::optional<std::pair<WallTime, std::string>> oldest;
      for (const store::Row& one : owned) {
        std::string other(rows::last_part(one.key));
        auto row = CO_TRY(co_await txn.get(keyspace_, rows::key("s/", other)));
        WallTime begun = row ? CO_TRY(rows::decode_session(row->value)).created_at : WallTime{};
        if (!oldest || begun < oldest->first) oldest.emplace(begun, other);
      }
      CO_TRY(end_session_row(txn, session.user_id, oldest->second));
    }
    CO_TRY(txn.insert(keyspace_, rows::key("s/", hash), rows::encode(session)));
    CO_TRY(txn.insert(keyspace_, rows::key("su/", session.user_id, hash), {}));
    auto signed_in = CO_TRY(co_await load_principal(txn, session.user_id, CredentialKind::kSession, session.id, {}));
    CO_TRY(audit_.append(txn, audit_.describe({signed_in, peer}, "auth:SignIn", signed_in->arn)));
    co_return signed_in;
  });
  if (!made) co_return fail(std::move(made).error());
  co_return IssuedSession{std::move(token), session.expires_at, std::move(*made)};
}

Task<Result<PrincipalPtr>> Directory::authenticate_session(std::string token) {
  if (token.size() > kCredentialBytesMax || !token.starts_with(kSessionPrefix)) co_return refused("session");
  std::string hash = hash_of_token(token);
  WallTime now = clock_.wall();
  PrincipalPtr principal;
  WallTime expires_at, dies_at;
  {
    Cache& mine = cache();
    if (auto found = mine.sessions.find(hash); found != mine.sessions.end() && now < found->second.expires_at) {
      principal = found->second.principal;
      expires_at = found->second.expires_at;
      dies_at = found->second.dies_at;
    }
  }
  if (!principal) {
    principal = CO_TRY(co_await read_session(hash));
    Cache& mine = cache();
    auto found = mine.sessions.find(hash);
    if (found == mine.sessions.end()) co_return principal;  // Something changed meanwhile: slide at the next use.
    expires_at = found->second.expires_at;
    dies_at = found->second.dies_at;
  }
  // Each use moves the end, but a row is written only once the end would move by a twelfth.
  WallTime moved = std::min(now + options_.session_idle_max, dies_at);
  if (moved - expires_at >= options_.session_idle_max / 12) CO_TRY(co_await slide_session(hash, moved));
  co_return principal;
}

Task<Result<PrincipalPtr>> Directory::read_session(std::string hash) {
  uint64_t generation = generation_.load();
  auto txn = CO_TRY(co_await store_.begin());
  auto row = CO_TRY(co_await txn->get(keyspace_, rows::key("s/", hash)));
  if (!row) co_return refused("session");
  SessionRecord session = CO_TRY(rows::decode_session(row->value));
  if (clock_.wall() >= session.expires_at) co_return refused("session");
  auto principal = co_await load_principal(*txn, session.user_id, CredentialKind::kSession, session.id, {});
  if (!principal) co_return fail(refusal_of(std::move(principal).error(), "session"));
  Cache& mine = cache();
  if (current(generation))
    mine.sessions.insert_or_assign(
        hash, Cache::Session{*principal, session.expires_at, session.created_at + options_.session_age_max});
  co_return principal;
}

Task<Result<void>> Directory::slide_session(std::string hash, WallTime expires_at) {
  // Not a change() of the directory: other shards may go on with the earlier end, and read the row when it comes.
  auto slid = co_await store::transact(
      store_,
      [&](store::Txn& txn) -> Task<Result<void>> {
        auto row = CO_TRY(co_await txn.get(keyspace_, rows::key("s/", hash)));
        if (!row) co_return Result<void>{};  // Ended meanwhile.
        SessionRecord session = CO_TRY(rows::decode_session(row->value));
        if (session.expires_at >= expires_at) co_return Result<void>{};
        session.expires_at = expires_at;
        co_return txn.update_if_version(keyspace_, row->key, row->version, rows::encode(session));
      },
      store::Sync::kOs);
  if (!slid && slid.error().code() != Code::kVersionMismatch && slid.error().code() != Code::kConflict)
    co_return fail(std::move(slid).error());
  Cache& mine = cache();
  if (auto found = mine.sessions.find(hash); found != mine.sessions.end())
    found->second.expires_at = std::max(found->second.expires_at, expires_at);
  co_return Result<void>{};
}

Result<void> Directory::end_session_row(store::Txn& txn, const std::string& user_id, std::string_view hash) {
  TRY(txn.erase(keyspace_, rows::key("s/", hash)));
  return txn.erase(keyspace_, rows::key("su/", user_id, hash));
}

Task<Result<void>> Directory::end_all_sessions(store::Txn& txn, std::string user_id) {
  for (const store::Row& one : CO_TRY(co_await rows::all(txn, keyspace_, rows::key("su/", user_id, ""), true)))
    CO_TRY(end_session_row(txn, user_id, rows::last_part(one.key)));
  co_return Result<void>{};
}

Task<Result<void>> Directory::sign_out(std::string token) {
  if (token.size() > kCredentialBytesMax || !token.starts_with(kSessionPrefix)) co_return Result<void>{};
  std::string hash = hash_of_token(token);
  {
    // Unknown tokens must not empty the caches.
    auto txn = CO_TRY(co_await store_.begin());
    if (!CO_TRY(co_await txn->get(keyspace_, rows::key("s/", hash)))) co_return Result<void>{};
  }
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    auto row = CO_TRY(co_await txn.get(keyspace_, rows::key("s/", hash)));
    if (!row) co_return Result<void>{};
    SessionRecord session = CO_TRY(rows::decode_session(row->value));
    co_return end_session_row(txn, session.user_id, hash);
  });
}

Task<Result<std::vector<SessionRecord>>> Directory::sessions(std::string user_id) {
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(co_await rows::read_user(*txn, keyspace_, user_id));
  std::vector<SessionRecord> out;
  for (const store::Row& one : CO_TRY(co_await rows::all(*txn, keyspace_, rows::key("su/", user_id, ""), true))) {
    auto row = CO_TRY(co_await txn->get(keyspace_, rows::key("s/", rows::last_part(one.key))));
    if (!row) continue;
    SessionRecord session = CO_TRY(rows::decode_session(row->value));
    if (clock_.wall() < session.expires_at) out.push_back(std::move(session));
  }
  std::ranges::sort(out, std::greater{}, &SessionRecord::created_at);
  co_return out;
}

Task<Result<void>> Directory::end_session(Actor actor, std::string user_id, std::string session_id) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    // The id is the start of the hash, which is the end of the key.
    auto found = CO_TRY(co_await rows::all(txn, keyspace_, rows::key("su/", user_id, session_id), true));
    if (session_id.size() != kSessionIdDigits || found.size() != 1)
      co_return fail(Code::kNotFound, "there is no session " + session_id);
    CO_TRY(end_session_row(txn, user_id, rows::last_part(found.front().key)));
    co_return audit_.append(txn, audit_.describe(actor, "auth:EndSession", session_id));
  });
}

Task<Result<size_t>> Directory::sweep() {
  size_t erased = 0;
  WallTime now = clock_.wall();
  for (bool sessions : {true, false}) {
    store::KeyRange range = store::prefix_range(sessions ? "s/" : "t/");
    for (;;) {
      auto txn = CO_TRY(co_await store_.begin());
      auto scan = CO_TRY(co_await txn->scan(keyspace_, range, {.limit = 500}));
      size_t erased_here = 0;
      for (const store::Row& row : scan.rows) {
        std::string id(rows::last_part(row.key));
        if (sessions) {
          SessionRecord session = CO_TRY(rows::decode_session(row.value));
          if (now < session.expires_at) continue;
          CO_TRY(end_session_row(*txn, session.user_id, id));
        } else {
          TokenRecord token = CO_TRY(rows::decode_token(row.value)).record;
          if (!token.expires_at || now < *token.expires_at) continue;
          CO_TRY(txn->erase(keyspace_, row.key));
          CO_TRY(txn->erase(keyspace_, rows::key("tu/", token.user_id, id)));
        }
        ++erased_here;
      }
      if (erased_here > 0) {
        auto committed = co_await txn->commit(store::Sync::kOs);
        if (!committed && committed.error().code() != Code::kConflict) co_return fail(std::move(committed).error());
        if (committed) erased += erased_here;  // After a conflict the next sweep comes by again.
      }
      if (!scan.more) break;
      range.begin = scan.rows.back().key + '\0';
    }
  }
  co_return erased;
}

}  // namespace polis::auth
