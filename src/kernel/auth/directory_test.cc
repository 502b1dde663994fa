#include "kernel/auth/directory.h"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>

#include "kernel/auth/attempt_limit.h"
#include "kernel/auth/node_key.h"
#include "kernel/auth/password.h"
#include "kernel/store/rocks_store.h"

namespace polis::auth {
namespace {

constexpr std::string_view kPassword = "correct horse battery";
constexpr std::string_view kPeer = "192.0.2.1:4000";

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis_auth_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A directory on a real store. Its clock stands still unless moved; the runtime's is the machine's.
class DirectoryTest : public testing::Test {
 protected:
  using Body = std::function<Task<Result<void>>(Directory&)>;

  // Opens what is on disk, runs the body on shard 0, closes.
  Result<void> try_run(Body body, unsigned shards = 1) {
    io::Runtime runtime({.shards = shards, .blocking_threads = 2});
    runtime.start();
    runtime_ = &runtime;
    auto store = TRY(store::RocksStore::open({.directory = files_.path("store")}));
    auto result = runtime.call(0, [&]() -> Task<Result<void>> { return run_on(*store, body, shards); });
    auto closed = runtime.call(0, [&]() -> Task<Result<void>> { return store->close(); });
    runtime.stop();
    runtime_ = nullptr;
    return result ? closed : result;
  }
  void run(Body body, unsigned shards = 1) {
    auto result = try_run(std::move(body), shards);
    EXPECT_TRUE(result) << result.error().text();
  }

  Task<Result<void>> run_on(store::Store& store, Body& body, unsigned shards) {
    DirectoryOptions options{
        .keys_directory = files_.path("keys"), .password_cost = {.memory_kib = 64, .passes = 1}, .shards = shards};
    options.audit.records_max = 50;
    auto directory = CO_TRY(co_await Directory::open(store, *disk_, clock_, random_, options));
    root_ = CO_TRY(co_await directory->bootstrap(presets_));
    auto admin = CO_TRY(co_await directory->find_user("root"));
    Principal principal;
    principal.user_id = admin.id;
    principal.user_name = admin.name;
    principal.administrator = true;
    actor_ = {.principal = std::make_shared<const Principal>(principal), .peer = "test"};
    co_return co_await body(*directory);
  }

  Task<Result<User>> add_user(Directory& directory, std::string name) {
    return directory.create_user(actor_, {.name = name, .password = std::string(kPassword)});
  }

  TemporaryDirectory files_;
  std::unique_ptr<io::Disk> disk_ = io::make_system_disk();
  base::ManualClock clock_;
  base::SystemRandom random_;
  RootPresets presets_;
  std::optional<RootCredentials> root_;
  Actor actor_;
  io::Runtime* runtime_ = nullptr;
};

template <class T>
Code code_of(const Result<T>& result) {
  return result ? Code{255} : result.error().code();
}

TEST_F(DirectoryTest, the_first_start_makes_root_and_later_ones_change_nothing) {
  RootCredentials first;
  run([&](Directory& directory) -> Task<Result<void>> {
    EXPECT_TRUE(root_.has_value());
    if (!root_) co_return Result<void>{};
    first = *root_;
    EXPECT_EQ(first.user, "root");
    EXPECT_EQ(first.access_key.size(), 20u);
    EXPECT_EQ(first.secret_key.size(), 40u);
    auto principal = CO_TRY(co_await directory.authenticate_password("root", first.password, std::string(kPeer)));
    EXPECT_TRUE(principal->root && principal->administrator && principal->of_main_account);
    EXPECT_EQ(principal->canonical_id.size(), 64u);
    EXPECT_EQ(principal->arn, "arn:aws:iam::" + principal->account_id + ":root");
    co_return Result<void>{};
  });
  EXPECT_EQ(std::filesystem::status(files_.path("keys/node.key")).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  presets_.password = "another password";
  run([&](Directory& directory) -> Task<Result<void>> {
    EXPECT_FALSE(root_.has_value());
    auto key = CO_TRY(co_await directory.access_key(first.access_key));
    EXPECT_EQ(key->secret, first.secret_key);
    EXPECT_TRUE(key->principal->root);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, presets_of_the_first_start_are_taken_and_checked) {
  presets_ = {.user = "root", .password = "a-preset-password", .access_key = "minioadmin", .secret_key = "minioadmin"};
  run([&](Directory& directory) -> Task<Result<void>> {
    CO_TRY(co_await directory.authenticate_password("root", "a-preset-password", std::string(kPeer)));
    EXPECT_EQ(CO_TRY(co_await directory.access_key("minioadmin"))->secret, "minioadmin");
    EXPECT_EQ(code_of(co_await directory.bootstrap({.access_key = "only-half"})),
              Code{255});  // Not the first start any more.
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, the_path_of_a_user_is_kept_and_part_of_the_arn) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User there = CO_TRY(co_await directory.create_user(actor_, {.name = "there", .path = "/staff/tools/"}));
    EXPECT_EQ(arn(there), "arn:aws:iam::" + there.account_id + ":user/staff/tools/there");
    User here = CO_TRY(co_await directory.create_user(actor_, {.name = "here", .path = "/"}));
    EXPECT_EQ(arn(here), "arn:aws:iam::" + here.account_id + ":user/here");
    for (std::string wrong : {std::string("staff/"), std::string("/staff"), std::string("x"), std::string("/a b/"),
                              "/" + std::string(600, 'x') + "/"})
      EXPECT_EQ(code_of(co_await directory.create_user(actor_, {.name = "wrong", .path = wrong})), Code::kInvalid);
    co_return Result<void>{};
  });
  run([&](Directory& directory) -> Task<Result<void>> {
    EXPECT_EQ(CO_TRY(co_await directory.find_user("there")).path, "/staff/tools/");
    EXPECT_EQ(CO_TRY(co_await directory.find_user("here")).path, "");
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, temporary_keys_end_by_themselves_and_with_their_user) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User user = CO_TRY(co_await add_user(directory, "guest"));
    auto issued = CO_TRY(co_await directory.create_temporary_key(actor_, user.id, std::chrono::hours(1)));
    EXPECT_TRUE(issued.id.starts_with("ASIA"));
    auto key = CO_TRY(co_await directory.temporary_key(issued.id, issued.token));
    EXPECT_EQ(key->secret, issued.secret);
    EXPECT_EQ(key->principal->user_id, user.id);
    EXPECT_EQ(key->principal->credential_id, issued.id);
    EXPECT_EQ(code_of(co_await directory.access_key(issued.id)), Code::kNotFound) << "not without its token";
    auto other = CO_TRY(co_await directory.create_temporary_key(actor_, user.id, std::chrono::hours(1)));
    EXPECT_EQ(code_of(co_await directory.temporary_key(issued.id, other.token)), Code::kUnauthenticated);
    std::string bent = issued.token;
    bent[bent.size() / 2] = bent[bent.size() / 2] == 'A' ? 'B' : 'A';
    for (std::string wrong : {std::string(), std::string("x"), bent, std::string(4000, 'A')})
      EXPECT_EQ(code_of(co_await directory.temporary_key(issued.id, wrong)), Code::kUnauthenticated);
    for (Duration wrong : {Duration(std::chrono::minutes(14)), Duration(std::chrono::hours(37))})
      EXPECT_EQ(code_of(co_await directory.create_temporary_key(actor_, user.id, wrong)), Code::kInvalid);
    CO_TRY(co_await directory.set_disabled(actor_, user.id, true));
    EXPECT_EQ(code_of(co_await directory.temporary_key(issued.id, issued.token)), Code::kUnauthenticated);
    CO_TRY(co_await directory.set_disabled(actor_, user.id, false));
    EXPECT_TRUE(co_await directory.temporary_key(issued.id, issued.token));
    clock_.advance(std::chrono::hours(1));
    EXPECT_EQ(code_of(co_await directory.temporary_key(issued.id, issued.token)), Code::kTimeout);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, unusable_presets_are_refused) {
  for (RootPresets presets :
       {RootPresets{.user = "a/b"}, RootPresets{.password = "short"}, RootPresets{.access_key = "AKIA"},
        RootPresets{.access_key = "a b", .secret_key = "12345678"},
        RootPresets{.access_key = "abc", .secret_key = "x"}}) {
    presets_ = presets;
    EXPECT_EQ(code_of(try_run([](Directory&) -> Task<Result<void>> { co_return Result<void>{}; })), Code::kInvalid);
  }
}

TEST_F(DirectoryTest, a_lost_or_foreign_node_key_stops_the_start) {
  auto nothing = [](Directory&) -> Task<Result<void>> { co_return Result<void>{}; };
  run(nothing);
  std::filesystem::rename(files_.path("keys/node.key"), files_.path("keys/saved"));
  EXPECT_EQ(code_of(try_run(nothing)), Code::kNotFound);
  auto made = io::run([&]() -> Task<Result<void>> {
    CO_TRY(co_await NodeKey::create(*disk_, files_.path("keys/node.key"), random_));
    co_return Result<void>{};
  });
  ASSERT_TRUE(made);
  EXPECT_EQ(code_of(try_run(nothing)), Code::kInvalid);
  std::filesystem::resize_file(files_.path("keys/node.key"), 20);
  EXPECT_EQ(code_of(try_run(nothing)), Code::kCorrupt);
  std::filesystem::rename(files_.path("keys/saved"), files_.path("keys/node.key"));
  EXPECT_TRUE(try_run(nothing));
}

TEST_F(DirectoryTest, a_wrong_password_and_an_unknown_user_get_the_same_answer) {
  run([&](Directory& directory) -> Task<Result<void>> {
    CO_TRY(co_await add_user(directory, "alice"));
    auto wrong = co_await directory.authenticate_password("alice", "wrong password", std::string(kPeer));
    auto unknown = co_await directory.authenticate_password("nobody", "wrong password", std::string(kPeer));
    auto hostile = co_await directory.authenticate_password("a/b/../c\n", "x", std::string(kPeer));
    EXPECT_EQ(code_of(wrong), Code::kUnauthenticated);
    EXPECT_EQ(code_of(unknown), Code::kUnauthenticated);
    EXPECT_EQ(code_of(hostile), Code::kUnauthenticated);
    if (!wrong && !unknown) EXPECT_EQ(wrong.error().message(), unknown.error().message());
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, guessing_is_slowed_down_and_other_peers_are_not) {
  run([&](Directory& directory) -> Task<Result<void>> {
    CO_TRY(co_await add_user(directory, "alice"));
    int refused = 0;
    for (int i = 0; i < 15; ++i)
      if (code_of(co_await directory.authenticate_password("alice", "guess number " + std::to_string(i),
                                                           "198.51.100.1:" + std::to_string(1000 + i))) == Code::kBusy)
        ++refused;
    EXPECT_EQ(refused, 5);
    EXPECT_EQ(code_of(co_await directory.authenticate_password("alice", std::string(kPassword), "198.51.100.1:9")),
              Code::kBusy);
    CO_TRY(co_await directory.authenticate_password("alice", std::string(kPassword), std::string(kPeer)));
    clock_.advance(std::chrono::seconds(10));
    CO_TRY(co_await directory.authenticate_password("alice", std::string(kPassword), "198.51.100.1:9"));
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, a_session_slides_and_ends) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    auto session = CO_TRY(co_await directory.sign_in("alice", std::string(kPassword), std::string(kPeer)));
    EXPECT_EQ(session.principal->user_id, alice.id);
    for (int i = 0; i < 5; ++i) {
      clock_.advance(std::chrono::hours(11));
      CO_TRY(co_await directory.authenticate_session(session.token));
    }
    clock_.advance(std::chrono::hours(12) + std::chrono::seconds(1));
    EXPECT_EQ(code_of(co_await directory.authenticate_session(session.token)), Code::kUnauthenticated);
    EXPECT_EQ(CO_TRY(co_await directory.sweep()), 1u);

    auto old = CO_TRY(co_await directory.sign_in("alice", std::string(kPassword), std::string(kPeer)));
    for (int i = 0; i < 30 * 3 - 1; ++i) {
      clock_.advance(std::chrono::hours(8));
      CO_TRY(co_await directory.authenticate_session(old.token));
    }
    clock_.advance(std::chrono::hours(8));
    EXPECT_EQ(code_of(co_await directory.authenticate_session(old.token)),
              Code::kUnauthenticated);  // 30 days, whatever happens.
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, signing_out_a_new_password_and_disabling_end_sessions) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    std::string peer(kPeer), password(kPassword);
    auto one = CO_TRY(co_await directory.sign_in("alice", password, peer));
    auto two = CO_TRY(co_await directory.sign_in("alice", password, peer));
    EXPECT_EQ(CO_TRY(co_await directory.sessions(alice.id)).size(), 2u);
    CO_TRY(co_await directory.authenticate_session(one.token));
    CO_TRY(co_await directory.sign_out(one.token));
    EXPECT_EQ(code_of(co_await directory.authenticate_session(one.token)), Code::kUnauthenticated);
    CO_TRY(co_await directory.authenticate_session(two.token));

    CO_TRY(co_await directory.set_disabled(actor_, alice.id, true));
    EXPECT_EQ(code_of(co_await directory.authenticate_session(two.token)), Code::kUnauthenticated);
    EXPECT_EQ(code_of(co_await directory.authenticate_password("alice", password, peer)), Code::kUnauthenticated);
    CO_TRY(co_await directory.set_disabled(actor_, alice.id, false));
    CO_TRY(co_await directory.authenticate_session(two.token));

    CO_TRY(co_await directory.set_password(actor_, alice.id, "a newer password"));
    EXPECT_EQ(code_of(co_await directory.authenticate_session(two.token)), Code::kUnauthenticated);
    EXPECT_EQ(code_of(co_await directory.authenticate_password("alice", password, peer)), Code::kUnauthenticated);
    auto three = CO_TRY(co_await directory.sign_in("alice", "a newer password", peer));
    auto listed = CO_TRY(co_await directory.sessions(alice.id));
    EXPECT_EQ(listed.size(), 1u);
    EXPECT_EQ(code_of(co_await directory.end_session(actor_, alice.id, "")), Code::kNotFound);
    CO_TRY(co_await directory.end_session(actor_, alice.id, listed.at(0).id));
    EXPECT_EQ(code_of(co_await directory.authenticate_session(three.token)), Code::kUnauthenticated);
    for (std::string bad : {std::string(), std::string("polis_s_"), std::string("polis_s_x"), three.token + "x", "polis_t_" + three.token})
      EXPECT_EQ(code_of(co_await directory.authenticate_session(bad)), Code::kUnauthenticated);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, tokens_expire_carry_scopes_and_can_be_deleted) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    auto token = CO_TRY(co_await directory.create_token(actor_, alice.id, "ci", {"s3:Get*"}, std::chrono::hours(1)));
    auto forever = CO_TRY(co_await directory.create_token(actor_, alice.id, "cron", {}, {}));
    auto principal = CO_TRY(co_await directory.authenticate_token(token.token));
    EXPECT_EQ(principal->scopes, std::vector<std::string>{"s3:Get*"});
    EXPECT_EQ(principal->credential, CredentialKind::kToken);
    std::string changed = token.token;
    changed.back() = changed.back() == 'A' ? 'E' : 'A';
    for (std::string bad : {std::string(), std::string("polis_t_"), std::string("polis_t_/_x"), changed,
                            token.token + "A", token.token.substr(0, 30)})
      EXPECT_EQ(code_of(co_await directory.authenticate_token(bad)), Code::kUnauthenticated) << bad;
    clock_.advance(std::chrono::hours(1));
    EXPECT_EQ(code_of(co_await directory.authenticate_token(token.token)), Code::kUnauthenticated);
    EXPECT_EQ(CO_TRY(co_await directory.sweep()), 1u);
    CO_TRY(co_await directory.authenticate_token(forever.token));
    CO_TRY(co_await directory.delete_token(actor_, forever.id));
    EXPECT_EQ(code_of(co_await directory.authenticate_token(forever.token)), Code::kUnauthenticated);
    EXPECT_TRUE(CO_TRY(co_await directory.tokens(alice.id)).empty());
    EXPECT_EQ(code_of(co_await directory.create_token(actor_, alice.id, "", {}, {})), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.create_token(actor_, alice.id, "x", {}, Duration(-1))), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.create_token(actor_, "nobody", "x", {}, {})), Code::kNotFound);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, access_keys_come_from_the_cache_until_something_changes) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    auto issued = CO_TRY(co_await directory.create_access_key(actor_, alice.id, "laptop"));
    EXPECT_EQ(directory.cached_access_key(issued.id), nullptr);
    auto key = CO_TRY(co_await directory.access_key(issued.id));
    EXPECT_EQ(key->secret, issued.secret);
    EXPECT_EQ(key->principal->user_name, "alice");
    EXPECT_EQ(directory.cached_access_key(issued.id), key);

    CO_TRY(co_await directory.set_access_key_active(actor_, issued.id, false));
    EXPECT_EQ(code_of(co_await directory.access_key(issued.id)), Code::kNotFound);
    CO_TRY(co_await directory.set_access_key_active(actor_, issued.id, true));
    CO_TRY(co_await directory.access_key(issued.id));
    CO_TRY(co_await directory.attach_policy(actor_, alice.id, "ReadOnlyAccess"));
    EXPECT_EQ(CO_TRY(co_await directory.access_key(issued.id))->principal->policies.size(), 1u);
    CO_TRY(co_await directory.delete_access_key(actor_, issued.id));
    EXPECT_EQ(code_of(co_await directory.access_key(issued.id)), Code::kNotFound);
    EXPECT_EQ(code_of(co_await directory.access_key("../../x")), Code::kNotFound);

    CO_TRY(co_await directory.create_access_key(actor_, alice.id, "", "PRESETKEY", "preset-secret"));
    EXPECT_EQ(code_of(co_await directory.create_access_key(actor_, alice.id, "", "PRESETKEY", "preset-secret")),
              Code::kExists);
    for (size_t i = 1; i < kAccessKeysPerUserMax; ++i) CO_TRY(co_await directory.create_access_key(actor_, alice.id));
    EXPECT_EQ(code_of(co_await directory.create_access_key(actor_, alice.id)), Code::kTooLarge);
    EXPECT_EQ(CO_TRY(co_await directory.access_keys(alice.id)).size(), kAccessKeysPerUserMax);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, a_key_revoked_on_one_shard_is_refused_on_all) {
  run(
      [&](Directory& directory) -> Task<Result<void>> {
        User alice = CO_TRY(co_await add_user(directory, "alice"));
        auto issued = CO_TRY(co_await directory.create_access_key(actor_, alice.id));
        auto ask = [&]() -> Task<Result<AccessKeyPtr>> { return directory.access_key(issued.id); };
        CO_TRY(co_await io::on(runtime_->shard(1), ask));
        CO_TRY(co_await ask());
        CO_TRY(co_await directory.delete_access_key(actor_, issued.id));
        EXPECT_EQ(code_of(co_await io::on(runtime_->shard(1), ask)), Code::kNotFound);
        // Password work comes home from any shard.
        auto sign_in = [&]() -> Task<Result<IssuedSession>> {
          return directory.sign_in("alice", std::string(kPassword), std::string(kPeer));
        };
        CO_TRY(co_await io::on(runtime_->shard(1), sign_in));
        co_return Result<void>{};
      },
      2);
}

TEST_F(DirectoryTest, accounts_keep_their_users_and_names_apart) {
  run([&](Directory& directory) -> Task<Result<void>> {
    Account alt = CO_TRY(co_await directory.create_account(
        actor_, {.name = "alt", .email = "alt@example.com", .id = "alt.id", .canonical_id = "56789abcdef"}));
    EXPECT_EQ(code_of(co_await directory.create_account(actor_, {.name = "x", .id = "alt.id"})), Code::kExists);
    EXPECT_EQ(code_of(co_await directory.create_account(actor_, {.name = "x", .id = "a/b"})), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.create_account(actor_, {.name = ""})), Code::kInvalid);
    User here = CO_TRY(co_await add_user(directory, "same"));
    User there = CO_TRY(co_await directory.create_user(actor_, {.account_id = alt.id,
                                                                .name = "same",
                                                                .email = "same@example.com",
                                                                .password = "their own password",
                                                                .root = true}));
    EXPECT_NE(here.id, there.id);
    EXPECT_EQ(code_of(co_await add_user(directory, "same")), Code::kExists);
    EXPECT_EQ(CO_TRY(co_await directory.find_user("same")).id, here.id);
    EXPECT_EQ(CO_TRY(co_await directory.find_user("alt.id/same")).id, there.id);
    auto principal =
        CO_TRY(co_await directory.authenticate_password("alt.id/same", "their own password", std::string(kPeer)));
    EXPECT_EQ(principal->canonical_id, "56789abcdef");
    EXPECT_EQ(principal->display_name, "alt");
    EXPECT_TRUE(principal->root && !principal->of_main_account && !principal->administrator);
    EXPECT_EQ(CO_TRY(co_await directory.find_account("56789abcdef")).id, alt.id);
    EXPECT_EQ(CO_TRY(co_await directory.find_account("alt@example.com")).id, alt.id);
    EXPECT_EQ(CO_TRY(co_await directory.find_account("same@example.com")).id, alt.id);
    EXPECT_EQ(code_of(co_await directory.find_account("none@example.com")), Code::kNotFound);
    EXPECT_EQ(CO_TRY(co_await directory.accounts()).size(), 2u);
    EXPECT_EQ(CO_TRY(co_await directory.users()).size(), 3u);
    EXPECT_EQ(CO_TRY(co_await directory.users(alt.id)).size(), 1u);
    for (std::string bad : {"", "a/b", "a b", "ä"})
      EXPECT_EQ(code_of(co_await directory.create_user(actor_, {.name = bad})), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.create_user(actor_, {.account_id = "none", .name = "x"})), Code::kNotFound);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, deleting_a_user_takes_everything_of_theirs_along) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    auto key = CO_TRY(co_await directory.create_access_key(actor_, alice.id));
    auto token = CO_TRY(co_await directory.create_token(actor_, alice.id, "t", {}, {}));
    auto session = CO_TRY(co_await directory.sign_in("alice", std::string(kPassword), std::string(kPeer)));
    CO_TRY(co_await directory.access_key(key.id));
    CO_TRY(co_await directory.delete_user(actor_, alice.id));
    EXPECT_EQ(code_of(co_await directory.access_key(key.id)), Code::kNotFound);
    EXPECT_EQ(code_of(co_await directory.authenticate_token(token.token)), Code::kUnauthenticated);
    EXPECT_EQ(code_of(co_await directory.authenticate_session(session.token)), Code::kUnauthenticated);
    EXPECT_EQ(code_of(co_await directory.user(alice.id)), Code::kNotFound);
    EXPECT_EQ(code_of(co_await directory.delete_user(actor_, alice.id)), Code::kNotFound);
    User again = CO_TRY(co_await add_user(directory, "alice"));
    EXPECT_TRUE(CO_TRY(co_await directory.access_keys(again.id)).empty());
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, the_last_administrator_stays) {
  run([&](Directory& directory) -> Task<Result<void>> {
    User root = CO_TRY(co_await directory.find_user("root"));
    EXPECT_EQ(code_of(co_await directory.delete_user(actor_, root.id)), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.set_disabled(actor_, root.id, true)), Code::kInvalid);
    User other = CO_TRY(co_await directory.create_user(actor_, {.name = "other", .administrator = true}));
    CO_TRY(co_await directory.set_disabled(actor_, root.id, true));
    EXPECT_EQ(code_of(co_await directory.delete_user(actor_, other.id)), Code::kInvalid);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, policies_are_checked_attached_and_followed) {
  constexpr const char* kRead = R"({"Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}})";
  constexpr const char* kDeny = R"({"Statement":{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::b/secret"}})";
  run([&](Directory& directory) -> Task<Result<void>> {
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    EXPECT_EQ(code_of(co_await directory.put_policy(actor_, "bad", "{")), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.put_policy(actor_, "a/b", kRead)), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.put_policy(actor_, "AdministratorAccess", kRead)), Code::kReadOnly);
    CO_TRY(co_await directory.put_policy(actor_, "read", kRead));
    EXPECT_EQ(code_of(co_await directory.attach_policy(actor_, alice.id, "none")), Code::kNotFound);
    CO_TRY(co_await directory.attach_policy(actor_, alice.id, "read"));
    CO_TRY(co_await directory.put_user_policy(actor_, alice.id, "no-secrets", kDeny));
    auto principal =
        CO_TRY(co_await directory.authenticate_password("alice", std::string(kPassword), std::string(kPeer)));
    EXPECT_TRUE(authorize({.principal = principal.get(), .action = "s3:GetObject", .resource = "arn:aws:s3:::b/k"}));
    EXPECT_FALSE(
        authorize({.principal = principal.get(), .action = "s3:GetObject", .resource = "arn:aws:s3:::b/secret"}));
    EXPECT_FALSE(authorize({.principal = principal.get(), .action = "s3:PutObject", .resource = "arn:aws:s3:::b/k"}));

    EXPECT_EQ(code_of(co_await directory.delete_policy(actor_, "read")), Code::kInvalid);
    CO_TRY(co_await directory.detach_policy(actor_, alice.id, "read"));
    EXPECT_EQ(code_of(co_await directory.detach_policy(actor_, alice.id, "read")), Code::kNotFound);
    CO_TRY(co_await directory.delete_policy(actor_, "read"));
    EXPECT_EQ(code_of(co_await directory.policy("read")), Code::kNotFound);
    EXPECT_EQ(CO_TRY(co_await directory.policies()).size(), 4u);
    EXPECT_EQ(CO_TRY(co_await directory.user_policy(alice.id, "no-secrets")).text, kDeny);
    CO_TRY(co_await directory.delete_user_policy(actor_, alice.id, "no-secrets"));
    EXPECT_TRUE(CO_TRY(co_await directory.user_policies(alice.id)).empty());
    for (auto& builtin : CO_TRY(co_await directory.policies()))
      CO_TRY(Policy::parse(builtin.text, PolicyKind::kIdentity));
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, changes_and_sign_ins_leave_audit_records) {
  run([&](Directory& directory) -> Task<Result<void>> {
    clock_.advance(std::chrono::seconds(1));
    User alice = CO_TRY(co_await add_user(directory, "alice"));
    clock_.advance(std::chrono::seconds(1));
    (void)co_await directory.sign_in("alice", "wrong password", std::string(kPeer));
    clock_.advance(std::chrono::seconds(1));
    CO_TRY(co_await directory.sign_in("alice", std::string(kPassword), std::string(kPeer)));
    AuditPage page = CO_TRY(co_await directory.audit().query({.limit = 3}));
    EXPECT_EQ(page.records.size(), 3u);
    EXPECT_EQ(page.records.at(0).action, "auth:SignIn");
    EXPECT_EQ(page.records.at(0).user_name, "alice");
    EXPECT_EQ(page.records.at(0).peer, kPeer);
    EXPECT_EQ(page.records.at(1).outcome, AuditOutcome::kDenied);
    EXPECT_EQ(page.records.at(2).action, "auth:CreateUser");
    EXPECT_EQ(page.records.at(2).user_name, "root");
    AuditPage rest = CO_TRY(co_await directory.audit().query({.before = page.next}));
    EXPECT_EQ(rest.records.at(0).action, "auth:Bootstrap");
    EXPECT_EQ(rest.next, "");
    EXPECT_EQ(CO_TRY(co_await directory.audit().query({.outcome = AuditOutcome::kDenied})).records.size(), 1u);
    EXPECT_EQ(
        CO_TRY(co_await directory.audit().query({.user_id = alice.id, .action_pattern = "auth:Sign*"})).records.size(),
        1u);
    EXPECT_EQ(code_of(co_await directory.audit().query({.before = "zz"})), Code::kInvalid);
    EXPECT_EQ(code_of(co_await directory.audit().query({.limit = 0})), Code::kInvalid);
    co_return Result<void>{};
  });
}

TEST_F(DirectoryTest, the_audit_is_bounded_in_number_and_age) {
  run([&](Directory& directory) -> Task<Result<void>> {
    AuditLog& audit = directory.audit();
    for (int i = 0; i < 70; ++i) {
      clock_.advance(std::chrono::seconds(1));
      AuditRecord record = audit.describe({}, "test:Act", std::to_string(i));
      record.detail = std::string(2 * kAuditTextBytesMax, 'x');
      CO_TRY(co_await audit.record(record));
    }
    CO_TRY(co_await audit.trim());
    AuditPage page = CO_TRY(co_await audit.query({.limit = 1000}));
    EXPECT_EQ(page.records.size(), 50u);
    EXPECT_EQ(page.records.front().resource, "69");
    EXPECT_EQ(page.records.back().resource, "20");
    EXPECT_EQ(page.records.front().detail.size(), kAuditTextBytesMax);
    clock_.advance(std::chrono::hours(24 * 90) - std::chrono::seconds(10));
    CO_TRY(co_await audit.trim());
    EXPECT_EQ(CO_TRY(co_await audit.query({.limit = 1000})).records.size(), 11u);
    EXPECT_EQ(CO_TRY(co_await audit.trim()), 0u);
    co_return Result<void>{};
  });
}

// --- the parts

TEST(NodeKey, what_is_sealed_opens_only_with_the_same_key_and_place) {
  base::SystemRandom random;
  std::array<std::byte, 32> bytes{}, others{};
  others[0] = std::byte{1};
  NodeKey key(bytes), other(others);
  std::string sealed = key.seal("secret", "k/AKIA", random);
  EXPECT_EQ(key.open(sealed, "k/AKIA").value(), "secret");
  EXPECT_NE(sealed, key.seal("secret", "k/AKIA", random));
  EXPECT_FALSE(key.open(sealed, "k/AKIB"));
  EXPECT_FALSE(other.open(sealed, "k/AKIA"));
  EXPECT_NE(key.fingerprint(), other.fingerprint());
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] ^= 1;
    EXPECT_FALSE(key.open(changed, "k/AKIA")) << i;
    EXPECT_FALSE(key.open(sealed.substr(0, i), "k/AKIA")) << i;
  }
}

TEST(Password, hashes_verify_and_tell_their_cost) {
  base::SystemRandom random;
  PasswordCost cost{.memory_kib = 64, .passes = 1};
  std::string hash = hash_password("password", cost, random).value();
  EXPECT_TRUE(verify_password("password", hash));
  EXPECT_FALSE(verify_password("passwore", hash));
  EXPECT_FALSE(verify_password("", hash));
  EXPECT_FALSE(verify_password("password", ""));
  EXPECT_FALSE(verify_password("password", "$argon2id$v=19$m=64,t=1,p=1$$"));
  EXPECT_FALSE(password_hash_outdated(hash, cost));
  cost.passes = 2;
  EXPECT_TRUE(password_hash_outdated(hash, cost));
  EXPECT_FALSE(check_password_rules("short"));
  EXPECT_FALSE(check_password_rules(std::string(2000, 'x')));
}

TEST(AttemptLimit, a_burst_then_one_at_a_time) {
  base::SeededRandom random(1);
  AttemptLimit limit(3, std::chrono::seconds(10), random);
  SteadyTime now{std::chrono::seconds(1000)};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limit.allows("a", now));
    limit.count("a", now);
  }
  EXPECT_FALSE(limit.allows("a", now));
  EXPECT_TRUE(limit.allows("b", now));
  EXPECT_FALSE(limit.allows("a", now + std::chrono::seconds(9)));
  EXPECT_TRUE(limit.allows("a", now + std::chrono::seconds(10)));
  limit.refund("a", now);
  EXPECT_TRUE(limit.allows("a", now));
  limit.count("a", now);
  EXPECT_FALSE(limit.allows("a", now));
  limit.forgive("a");
  EXPECT_TRUE(limit.allows("a", now));
}

}  // namespace
}  // namespace polis::auth
