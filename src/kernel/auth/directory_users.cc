// Accounts and users.
#include <algorithm>

#include "kernel/auth/directory.h"
#include "kernel/auth/directory_parts.h"
#include "kernel/auth/password.h"
#include "kernel/auth/rows.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {

// --- accounts

Account Directory::make_account(const NewAccount& account) {
  Account made{.id = account.id,
               .canonical_id = account.canonical_id,
               .name = account.name,
               .email = account.email,
               .created_at = clock_.wall()};
  if (made.id.empty()) made.id = std::to_string(100'000'000'000 + random_.below(900'000'000'000));
  if (made.canonical_id.empty()) {
    std::array<std::byte, 32> id;
    random_.fill(id);
    made.canonical_id = base::hex_encode(id);
  }
  return made;
}

Task<Result<Account>> Directory::create_account(Actor actor, NewAccount account) {
  Account made = make_account(account);
  CO_TRY(rows::check_id("account id", made.id, 64));
  CO_TRY(rows::check_id("canonical id", made.canonical_id, 128));
  if (made.name.empty() || made.name.size() > 256 || !base::utf8_valid(made.name) || made.email.size() > 256)
    co_return fail(Code::kInvalid,
                   "an account needs a name of at most 256 bytes, and an e-mail address has at most as many");
  co_return co_await change([&](store::Txn& txn) -> Task<Result<Account>> {
    auto same_id = CO_TRY(co_await txn.get(keyspace_, rows::key("a/", made.id)));
    auto same_canonical = CO_TRY(co_await txn.get(keyspace_, rows::key("ac/", made.canonical_id)));
    if (same_id || same_canonical)
      co_return fail(Code::kExists, "there is an account " + made.id + " or its canonical id already");
    CO_TRY(txn.insert(keyspace_, rows::key("a/", made.id), rows::encode(made)));
    CO_TRY(txn.insert(keyspace_, rows::key("ac/", made.canonical_id), made.id));
    CO_TRY(audit_.append(txn, audit_.describe(actor, "auth:CreateAccount", made.id + " " + made.name)));
    co_return made;
  });
}

Task<Result<Account>> Directory::account(std::string id) {
  auto txn = CO_TRY(co_await store_.begin());
  co_return co_await rows::read_account(*txn, keyspace_, std::move(id));
}

Task<Result<Account>> Directory::find_account(std::string canonical_id_or_email) {
  auto txn = CO_TRY(co_await store_.begin());
  if (canonical_id_or_email.find('@') == std::string::npos) {
    auto id = CO_TRY(co_await txn->get(keyspace_, rows::key("ac/", canonical_id_or_email)));
    if (!id) co_return fail(Code::kNotFound, "there is no account with the canonical id " + canonical_id_or_email);
    co_return co_await rows::read_account(*txn, keyspace_, id->value);
  }
  for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, "a/"))) {
    Account account = CO_TRY(rows::decode_account(row.value));
    if (account.email == canonical_id_or_email) co_return account;
  }
  // An address may also be a user's; it then stands for the user's account.
  for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, "u/"))) {
    rows::UserRow user = CO_TRY(rows::decode_user(row.value));
    if (user.user.email == canonical_id_or_email)
      co_return co_await rows::read_account(*txn, keyspace_, user.user.account_id);
  }
  co_return fail(Code::kNotFound, "no account has the e-mail address " + canonical_id_or_email);
}

Task<Result<std::vector<Account>>> Directory::accounts() {
  auto txn = CO_TRY(co_await store_.begin());
  std::vector<Account> out;
  for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, "a/")))
    out.push_back(CO_TRY(rows::decode_account(row.value)));
  co_return out;
}

Task<Result<Account>> Directory::main_account() {
  auto txn = CO_TRY(co_await store_.begin());
  auto id = CO_TRY(co_await txn->get(keyspace_, rows::kMainKey));
  if (!id) co_return fail(Code::kNotFound, "there is no main account before the first start");
  co_return co_await rows::read_account(*txn, keyspace_, id->value);
}

// --- users

User Directory::make_user(const NewUser& user, const std::string& account_id) {
  return {.id = user.id.empty() ? "AIDA" + random_text(kCapitalsAndDigits, 16) : user.id,
          .account_id = account_id,
          .name = user.name,
          .path = user.path == "/" ? "" : user.path,
          .display_name = user.display_name.empty() ? user.name : user.display_name,
          .email = user.email,
          .root = user.root,
          .administrator = user.administrator,
          .has_password = !user.password.empty(),
          .created_at = clock_.wall()};
}

Task<Result<void>> Directory::add_user(store::Txn& txn, User& user, std::string password_hash) {
  user.has_password = !password_hash.empty();
  if (CO_TRY(co_await txn.get(keyspace_, rows::key("un/", user.account_id, user.name))))
    co_return fail(Code::kExists, "there is a user " + user.name + " already");
  if (CO_TRY(co_await txn.get(keyspace_, rows::key("u/", user.id))))
    co_return fail(Code::kExists, "there is a user with the id " + user.id + " already");
  CO_TRY(txn.insert(keyspace_, rows::key("u/", user.id), rows::encode(rows::UserRow{user, std::move(password_hash)})));
  CO_TRY(txn.insert(keyspace_, rows::key("un/", user.account_id, user.name), user.id));
  co_return Result<void>{};
}

std::string arn(const User& user) {
  return user_arn(user);
}

namespace {

Result<void> check_path(std::string_view path) {
  bool sound = path.empty() || (path.size() <= 512 && path.front() == '/' && path.back() == '/' &&
                                std::ranges::all_of(path, [](char c) { return c > ' ' && c < 0x7f; }));
  if (sound) return {};
  return fail(Code::kInvalid, "the path of a user begins and ends with '/' and has at most 512 printable characters");
}

}  // namespace

Task<Result<User>> Directory::create_user(Actor actor, NewUser user) {
  CO_TRY(rows::check_name("name of the user", user.name, 64));
  if (!user.id.empty()) CO_TRY(rows::check_id("user id", user.id, 128));
  CO_TRY(check_path(user.path));
  if (user.display_name.size() > 256 || !base::utf8_valid(user.display_name) || user.email.size() > 256)
    co_return fail(Code::kInvalid, "the display name and the e-mail address of a user have at most 256 bytes each");
  std::string hash;
  if (!user.password.empty()) hash = CO_TRY(co_await make_password_hash(user.password));
  co_return co_await change([&](store::Txn& txn) -> Task<Result<User>> {
    std::string account_id = user.account_id;
    if (account_id.empty()) {
      auto main = CO_TRY(co_await txn.get(keyspace_, rows::kMainKey));
      if (!main) co_return fail(Code::kNotFound, "there is no main account before the first start");
      account_id = main->value;
    }
    CO_TRY(co_await rows::read_account(txn, keyspace_, account_id));
    User made = make_user(user, account_id);
    CO_TRY(co_await add_user(txn, made, hash));
    CO_TRY(audit_.append(txn, audit_.describe(actor, "auth:CreateUser", user_arn(made))));
    co_return made;
  });
}

Task<Result<User>> Directory::user(std::string id) {
  auto txn = CO_TRY(co_await store_.begin());
  co_return CO_TRY(co_await rows::read_user(*txn, keyspace_, std::move(id))).user;
}

Task<Result<std::string>> Directory::resolve_user(store::Txn& txn, std::string name) {
  size_t slash = name.find('/');
  std::string account_id = name.substr(0, slash == std::string::npos ? 0 : slash);
  std::string user_name = slash == std::string::npos ? name : name.substr(slash + 1);
  CO_TRY(rows::check_name("name of the user", user_name, 64));
  if (slash == std::string::npos) {
    auto main = CO_TRY(co_await txn.get(keyspace_, rows::kMainKey));
    if (!main) co_return fail(Code::kNotFound, "there is no main account before the first start");
    account_id = main->value;
  } else {
    CO_TRY(rows::check_id("account id", account_id, 64));
  }
  auto id = CO_TRY(co_await txn.get(keyspace_, rows::key("un/", account_id, user_name)));
  if (!id) co_return fail(Code::kNotFound, "there is no user " + name);
  co_return std::move(id->value);
}

Task<Result<User>> Directory::find_user(std::string name) {
  auto txn = CO_TRY(co_await store_.begin());
  std::string id = CO_TRY(co_await resolve_user(*txn, std::move(name)));
  co_return CO_TRY(co_await rows::read_user(*txn, keyspace_, std::move(id))).user;
}

Task<Result<std::vector<User>>> Directory::users(std::string account_id) {
  auto txn = CO_TRY(co_await store_.begin());
  std::vector<User> out;
  for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, "u/"))) {
    User user = CO_TRY(rows::decode_user(row.value)).user;
    if (account_id.empty() || user.account_id == account_id) out.push_back(std::move(user));
  }
  std::ranges::sort(out, {}, [](const User& user) { return std::tie(user.account_id, user.name); });
  co_return out;
}

Task<Result<void>> Directory::set_password(Actor actor, std::string user_id, std::string password) {
  std::string hash = CO_TRY(co_await make_password_hash(std::move(password)));
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    row.password_hash = hash;
    CO_TRY(txn.put(keyspace_, rows::key("u/", user_id), rows::encode(row)));
    CO_TRY(co_await end_all_sessions(txn, user_id));
    co_return audit_.append(txn, audit_.describe(actor, "auth:SetPassword", user_arn(row.user)));
  });
}

// Without an administrator nobody could ever make another one. The lock on one row keeps two such changes from passing
// each other.
Task<Result<void>> Directory::another_administrator(store::Txn& txn, std::string user_id) {
  CO_TRY(co_await txn.get_for_update(keyspace_, rows::kMainKey));
  for (const store::Row& row : CO_TRY(co_await rows::all(txn, keyspace_, "u/"))) {
    User user = CO_TRY(rows::decode_user(row.value)).user;
    if (user.administrator && !user.disabled && user.id != user_id) {
      // Written as it is, so that of two transactions that both lean on this row only one commits.
      auto main = CO_TRY(co_await txn.get(keyspace_, rows::kMainKey));
      if (main) CO_TRY(txn.put(keyspace_, rows::kMainKey, main->value));
      co_return Result<void>{};
    }
  }
  co_return fail(Code::kInvalid, "this is the last administrator who can sign in; make another one before");
}

Task<Result<void>> Directory::set_disabled(Actor actor, std::string user_id, bool disabled) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    if (row.user.disabled == disabled) co_return Result<void>{};
    if (disabled && row.user.administrator) CO_TRY(co_await another_administrator(txn, user_id));
    row.user.disabled = disabled;
    CO_TRY(txn.put(keyspace_, rows::key("u/", user_id), rows::encode(row)));
    co_return audit_.append(
        txn, audit_.describe(actor, disabled ? "auth:DisableUser" : "auth:EnableUser", user_arn(row.user)));
  });
}

Task<Result<void>> Directory::delete_user(Actor actor, std::string user_id) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    if (row.user.administrator) CO_TRY(co_await another_administrator(txn, user_id));
    for (std::string_view kind : {"k", "t"}) {
      std::string index = std::string(kind) + "u/" + user_id + "/";
      for (const store::Row& one : CO_TRY(co_await rows::all(txn, keyspace_, index, true))) {
        CO_TRY(txn.erase(keyspace_, rows::key(std::string(kind) + "/", rows::last_part(one.key))));
        CO_TRY(txn.erase(keyspace_, one.key));
      }
    }
    CO_TRY(co_await end_all_sessions(txn, user_id));
    for (const store::Row& one : CO_TRY(co_await rows::all(txn, keyspace_, rows::key("pi/", user_id, ""), true)))
      CO_TRY(txn.erase(keyspace_, one.key));
    CO_TRY(txn.erase(keyspace_, rows::key("un/", row.user.account_id, row.user.name)));
    CO_TRY(txn.erase(keyspace_, rows::key("u/", user_id)));
    co_return audit_.append(txn, audit_.describe(actor, "auth:DeleteUser", user_arn(row.user)));
  });
}

}  // namespace polis::auth
