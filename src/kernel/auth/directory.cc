#include "kernel/auth/directory.h"

#include <array>
#include <unordered_map>

#include "kernel/auth/attempt_limit.h"
#include "kernel/auth/directory_parts.h"
#include "kernel/auth/node_key.h"
#include "kernel/auth/password.h"
#include "kernel/auth/rows.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {
namespace {

// A node key that does not fit the store would make every access key unreadable, one by one; better not to start.
// With `forget_sealed` a lost key is replaced, and what only it could open is erased.
Task<Result<NodeKey>> open_node_key(store::Store& store, store::Keyspace keyspace, io::Disk& disk, std::string path,
                                    Random& random, bool forget_sealed) {
  auto txn = CO_TRY(co_await store.begin());
  auto known = CO_TRY(co_await txn->get(keyspace, rows::kNodeKey));
  auto key = co_await NodeKey::read(disk, path);
  if (!key && key.error().code() != Code::kNotFound) co_return fail(std::move(key).error());
  if (!key && known && !forget_sealed)
    co_return fail(
        Code::kNotFound,
        path + " is missing, but this store holds secrets sealed with it: restore it from the backup of the keys");
  if (!key) key = co_await NodeKey::create(disk, path, random);
  if (!key) co_return fail(std::move(key).error());
  if (known && known->value != key->fingerprint() && forget_sealed) {
    for (const char* prefix : {"k/", "ku/"})
      for (const store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace, prefix, true)))
        CO_TRY(txn->erase(keyspace, row.key));
    known.reset();
  }
  if (known && known->value != key->fingerprint())
    co_return fail(Code::kInvalid, path + " is the node key of another polis (" + key->fingerprint() +
                                       ", the store was sealed with " + known->value + "): restore the right one");
  if (!known) {
    CO_TRY(txn->put(keyspace, rows::kNodeKey, key->fingerprint()));
    CO_TRY(co_await txn->commit());
  }
  co_return std::move(*key);
}

}  // namespace

Task<Result<std::unique_ptr<Directory>>> Directory::open(store::Store& store, io::Disk& disk, const Clock& clock,
                                                         Random& random, DirectoryOptions options) {
  store::Keyspace keyspace = CO_TRY(store.keyspace("auth"));
  NodeKey key = CO_TRY(co_await open_node_key(store, keyspace, disk, options.keys_directory + "/node.key",
                                               random, options.forget_sealed));
  co_return std::unique_ptr<Directory>(
      new Directory(store, keyspace, clock, random, std::move(options), std::move(key)));
}

Directory::Directory(store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random,
                     DirectoryOptions options, NodeKey node_key)
    : store_(store),
      keyspace_(keyspace),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      home_(io::Shard::current()),
      audit_(store, keyspace, clock, random, options_.audit),
      node_key_(std::make_unique<NodeKey>(std::move(node_key))),
      doors_(std::make_unique<Doors>(random)) {
  for (unsigned i = 0; i < std::max(options_.shards, home_.index() + 1); ++i)
    caches_.push_back(std::make_unique<Cache>());
}

Directory::~Directory() = default;

Directory::Cache& Directory::cache() {
  unsigned index = io::Shard::current().index();
  POLIS_ASSERT(index < caches_.size());
  Cache& mine = *caches_[index];
  uint64_t now = generation_.load();
  if (mine.generation != now || mine.size() >= options_.cached_credentials_max) mine.clear();
  mine.generation = now;
  return mine;
}

// --- first start

Task<Result<std::optional<RootCredentials>>> Directory::bootstrap(RootPresets presets) {
  {
    auto txn = CO_TRY(co_await store_.begin());
    if (CO_TRY(co_await txn->get(keyspace_, rows::kMainKey))) co_return std::optional<RootCredentials>{};
  }
  if (presets.access_key.empty() != presets.secret_key.empty())
    co_return fail(Code::kInvalid, "preset both the access key and the secret key of root, or neither");
  RootCredentials root{presets.user.empty() ? "root" : presets.user, presets.password, presets.access_key,
                       presets.secret_key};
  if (root.password.empty()) root.password = random_text(kLettersAndDigits, 24);
  if (root.access_key.empty()) {
    root.access_key = "AKIA" + random_text(kCapitalsAndDigits, 16);
    root.secret_key = random_text(kLettersAndDigits, 40);
  }
  CO_TRY(rows::check_name("name of the root user", root.user, 64));
  CO_TRY(check_password_rules(root.password));
  CO_TRY(check_access_key_preset(root.access_key, root.secret_key));
  std::string hash = CO_TRY(co_await make_password_hash(root.password));

  Account account = make_account({.name = "main"});
  User user = make_user({.name = root.user, .root = true, .administrator = true}, account.id);
  auto made = co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    CO_TRY(txn.insert(keyspace_, rows::kMainKey, account.id));
    CO_TRY(txn.insert(keyspace_, rows::key("a/", account.id), rows::encode(account)));
    CO_TRY(txn.insert(keyspace_, rows::key("ac/", account.canonical_id), account.id));
    CO_TRY(co_await add_user(txn, user, hash));
    CO_TRY(add_access_key(
        txn, {.id = root.access_key, .user_id = user.id, .description = "first start", .created_at = clock_.wall()},
        root.secret_key));
    CO_TRY(audit_.append(
        txn, audit_.describe({.principal = internal_principal("first start")}, "auth:Bootstrap", user_arn(user))));
    co_return Result<void>{};
  });
  if (!made && made.error().code() == Code::kExists)
    co_return std::optional<RootCredentials>{};  // Another one was first.
  if (!made) co_return fail(std::move(made).error());
  co_return std::optional(std::move(root));
}

std::string Directory::random_text(std::string_view alphabet, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += alphabet[random_.below(alphabet.size())];
  return text;
}

// --- principals

Task<Result<PrincipalPtr>> Directory::load_principal(store::Txn& txn, std::string user_id, CredentialKind kind,
                                                     std::string credential_id, std::vector<std::string> scopes) {
  rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, std::move(user_id)));
  const User& user = row.user;
  if (user.disabled) co_return fail(Code::kNotFound, "the user " + user.name + " is disabled");
  Account account = CO_TRY(co_await rows::read_account(txn, keyspace_, user.account_id));
  Principal principal;
  principal.user_id = user.id;
  principal.user_name = user.name;
  principal.arn = user_arn(user);
  principal.account_id = account.id;
  principal.canonical_id = account.canonical_id;
  principal.display_name = account.name;
  principal.root = user.root;
  principal.administrator = user.administrator;
  auto main = CO_TRY(co_await txn.get(keyspace_, rows::kMainKey));
  principal.of_main_account = main && main->value == account.id;
  principal.credential = kind;
  principal.credential_id = std::move(credential_id);
  principal.scopes = std::move(scopes);
  for (const std::string& name : user.attached_policies) {
    std::string text;
    if (auto builtin = builtin_policy(name)) {
      text = *builtin;
    } else {
      auto stored = CO_TRY(co_await txn.get(keyspace_, rows::key("p/", name)));
      if (!stored)
        co_return fail(Code::kCorrupt, "the user " + user.name + " has the policy " + name + ", which is not there");
      text = std::move(stored->value);
    }
    principal.policies.push_back({name, CO_TRY(Policy::parse(text, PolicyKind::kIdentity))});
  }
  for (const store::Row& inline_row : CO_TRY(co_await rows::all(txn, keyspace_, rows::key("pi/", user.id, ""))))
    principal.policies.push_back(
        {std::string(rows::last_part(inline_row.key)), CO_TRY(Policy::parse(inline_row.value, PolicyKind::kIdentity))});
  co_return std::make_shared<const Principal>(std::move(principal));
}

// --- passwords

Task<Result<std::string>> Directory::make_password_hash(std::string password) {
  CO_TRY(check_password_rules(password));
  co_return co_await io::on(home_, [this, &password]() -> Task<Result<std::string>> {
    Permit permit = CO_TRY(co_await doors_->enter());
    co_return co_await io::blocking([&] { return hash_password(password, options_.password_cost, random_); });
  });
}

Task<Result<PrincipalPtr>> Directory::authenticate_password(std::string name, std::string password, std::string peer) {
  std::string address = address_of_peer(peer);
  co_return co_await io::on(home_,
                            [&]() -> Task<Result<PrincipalPtr>> { return check_password(name, password, address); });
}

Task<Result<PrincipalPtr>> Directory::check_password(std::string name, std::string password, std::string peer_address) {
  // The text of a name and an address: neither holds a line feed.
  std::string pair = name + "\n" + peer_address;
  SteadyTime now = clock_.steady();
  if (!doors_->by_pair.allows(pair, now) || !doors_->by_peer.allows(peer_address, now) ||
      !doors_->by_name.allows(name, now))
    co_return fail(Code::kBusy, "too many attempts to sign in; try again in a minute");
  // Counted before the answer is known, so that attempts side by side count, too.
  doors_->by_pair.count(pair, now);
  doors_->by_peer.count(peer_address, now);
  doors_->by_name.count(name, now);
  Permit permit = CO_TRY(co_await doors_->enter());

  auto txn = CO_TRY(co_await store_.begin());
  rows::UserRow row;
  if (auto id = co_await resolve_user(*txn, name)) {
    row = CO_TRY(co_await rows::read_user(*txn, keyspace_, *id));
  } else if (id.error().code() != Code::kNotFound && id.error().code() != Code::kInvalid) {
    co_return fail(std::move(id).error());
  }
  bool usable = !row.password_hash.empty() && !row.user.disabled;
  std::string hash = usable ? row.password_hash : unmatched_password_hash(options_.password_cost);
  bool matches = co_await io::blocking([&] { return verify_password(password, hash); });
  if (!usable || !matches) co_return fail(Code::kUnauthenticated, "the user name or the password is wrong");
  now = clock_.steady();
  doors_->by_pair.forgive(pair);
  doors_->by_peer.refund(peer_address, now);
  doors_->by_name.refund(name, now);
  auto principal = co_await load_principal(*txn, row.user.id, CredentialKind::kPassword, {}, {});
  txn.reset();
  if (password_hash_outdated(hash, options_.password_cost)) {
    std::string fresh =
        CO_TRY(co_await io::blocking([&] { return hash_password(password, options_.password_cost, random_); }));
    CO_TRY(co_await change([&](store::Txn& again) -> Task<Result<void>> {
      rows::UserRow newest = CO_TRY(co_await rows::read_user(again, keyspace_, row.user.id));
      if (newest.password_hash != hash) co_return Result<void>{};  // Changed meanwhile.
      newest.password_hash = fresh;
      co_return again.put(keyspace_, rows::key("u/", row.user.id), rows::encode(newest));
    }));
  }
  co_return principal;
}

}  // namespace polis::auth
