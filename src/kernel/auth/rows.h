// The rows of the keyspace "auth": keys, values, and reading them inside a transaction. Inside Directory only.
//
//   a/ACCOUNT              account                    ac/CANONICAL      its account id
//   u/USER                 user                       un/ACCOUNT/NAME   its user id
//   k/KEY                  access key, sealed         ku/USER/KEY
//   t/TOKEN                API token, hashed          tu/USER/TOKEN
//   s/HASH                 session                    su/USER/HASH
//   p/NAME                 managed policy             pi/USER/NAME      inline policy
//   l/TIME                 audit (audit.cc)           m/main, m/node    main account id, fingerprint of the node key
//
// Values begin with a version byte (binary.h's shapes follow). Ids and names hold no '/', so the parts of a key cannot
// run together.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/directory.h"
#include "kernel/store/store.h"

namespace polis::auth::rows {

struct UserRow {
  User user;
  std::string password_hash;  // empty: none
};
struct AccessKeyRow {
  AccessKeyRecord record;
  std::string sealed_secret;
};
struct TokenRow {
  TokenRecord record;
  std::string token_hash;  // SHA-256, 32 bytes
};

inline constexpr std::string_view kMainKey = "m/main";
inline constexpr std::string_view kNodeKey = "m/node";

// "u/" + "id", "ku/" + "user" + "/" + "id"
std::string key(std::string_view prefix, std::string_view id);
std::string key(std::string_view prefix, std::string_view owner, std::string_view id);

std::string encode(const Account& account);
std::string encode(const UserRow& row);
std::string encode(const AccessKeyRow& row);
std::string encode(const TokenRow& row);
std::string encode(const SessionRecord& session);
// kCorrupt for anything that encode() did not write.
Result<Account> decode_account(std::string_view value);
Result<UserRow> decode_user(std::string_view value);
Result<AccessKeyRow> decode_access_key(std::string_view value);
Result<TokenRow> decode_token(std::string_view value);
Result<SessionRecord> decode_session(std::string_view value);

// kNotFound, in words, if the row is not there.
Task<Result<Account>> read_account(store::Txn& txn, store::Keyspace keyspace, std::string id);
Task<Result<UserRow>> read_user(store::Txn& txn, store::Keyspace keyspace, std::string id);
Task<Result<AccessKeyRow>> read_access_key(store::Txn& txn, store::Keyspace keyspace, std::string id);
Task<Result<TokenRow>> read_token(store::Txn& txn, store::Keyspace keyspace, std::string id);

// Every row under a prefix. kTooLarge beyond kRowsMax.
inline constexpr size_t kRowsMax = 100'000;
Task<Result<std::vector<store::Row>>> all(store::Txn& txn, store::Keyspace keyspace, std::string prefix,
                                          bool keys_only = false);
// What follows the prefix in a key of all(): the id.
std::string_view last_part(std::string_view key);

// Names of users and policies: [A-Za-z0-9_.@+=,-]{1,limit}. Ids: [A-Za-z0-9._-]{1,limit}.
Result<void> check_name(std::string_view what, std::string_view name, size_t limit);
Result<void> check_id(std::string_view what, std::string_view id, size_t limit);

}  // namespace polis::auth::rows
