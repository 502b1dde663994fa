#include "systems/stream/server/access.h"

#include "systems/stream/server/access_rules.h"
#include "systems/stream/server/handlers_test_support.h"

namespace polis::stream {
namespace {

using enum Operation;

AccessRule rule(std::string principal, Permission permission, Operation operation, std::string name,
                PatternType pattern = PatternType::kLiteral, ResourceType resource = ResourceType::kTopic,
                std::string host = "*") {
  return {.resource = resource,
          .pattern = pattern,
          .name = std::move(name),
          .principal = std::move(principal),
          .host = std::move(host),
          .operation = operation,
          .permission = permission};
}

constexpr auto kAllow = Permission::kAllow, kDeny = Permission::kDeny;
constexpr auto kPrefixed = PatternType::kPrefixed;

class AccessTest : public ServerTest {
 protected:
  void add(AccessRule one) { must(world.run(access->add({std::move(one)}))); }
  bool may(const Session& session, std::string_view topic, Operation operation) {
    return access->allowed(*session.identity, ResourceType::kTopic, topic, operation);
  }
};

TEST_F(AccessTest, without_rules_the_plain_door_is_open_and_others_are_closed) {
  EXPECT_TRUE(may(plain_client(), "t", kWrite));
  EXPECT_FALSE(may(named("alice"), "t", kWrite));
  EXPECT_TRUE(may(administrator(), "t", kWrite));
  EXPECT_FALSE(access->allowed(Identity{}, ResourceType::kCluster, kClusterResource, kAlter));
}

TEST_F(AccessTest, a_rule_for_one_closes_the_resource_to_all_others_even_at_the_plain_door) {
  add(rule("User:alice", kAllow, kRead, "t"));
  EXPECT_TRUE(may(named("alice"), "t", kRead));
  EXPECT_TRUE(may(named("alice"), "t", kDescribe));
  EXPECT_FALSE(may(named("alice"), "t", kWrite));
  EXPECT_FALSE(may(named("bob"), "t", kRead));
  EXPECT_FALSE(may(plain_client(), "t", kRead));
  EXPECT_TRUE(may(plain_client(), "u", kRead));
}

TEST_F(AccessTest, a_deny_goes_before_every_allow_but_not_before_an_administrator) {
  add(rule("User:*", kAllow, kAll, "*"));
  add(rule("User:alice", kDeny, kWrite, "secret-", kPrefixed));
  EXPECT_TRUE(may(named("alice"), "secret-1", kRead));
  EXPECT_FALSE(may(named("alice"), "secret-1", kWrite));
  EXPECT_TRUE(may(named("alice"), "secret", kWrite));
  EXPECT_TRUE(may(named("bob"), "secret-1", kWrite));
  add(rule("User:root", kDeny, kAll, "*"));
  EXPECT_TRUE(may(administrator(), "t", kWrite));
}

TEST_F(AccessTest, a_deny_for_everybody_reaches_the_anonymous) {
  add(rule("User:*", kDeny, kWrite, "t"));
  EXPECT_FALSE(may(plain_client(), "t", kWrite));
  add(rule("User:ANONYMOUS", kAllow, kRead, "t"));
  EXPECT_TRUE(may(plain_client(), "t", kRead));
}

TEST_F(AccessTest, rules_hold_for_their_host_only) {
  add(rule("User:alice", kAllow, kRead, "t", PatternType::kLiteral, ResourceType::kTopic, "192.0.2.7"));
  add(rule("User:bob", kAllow, kRead, "t", PatternType::kLiteral, ResourceType::kTopic, "192.0.2.8"));
  EXPECT_TRUE(may(named("alice"), "t", kRead));
  EXPECT_FALSE(may(named("bob"), "t", kRead));
}

TEST_F(AccessTest, policies_of_kernel_auth_allow_and_deny) {
  const auth::User user = add_user("carol");
  must(world.run(directory->put_user_policy(actor(), user.id, "writes", R"({"Version":"2012-10-17","Statement":[
      {"Effect":"Allow","Action":["stream:Write","stream:AlterConfigs"],"Resource":"arn:polis:stream:::topic/orders-*"},
      {"Effect":"Deny","Action":"stream:*","Resource":"arn:polis:stream:::topic/orders-secret"}]})")));
  const Session carol =
      session_of({.name = "User:carol", .principal = must(world.run(directory->authenticate_certificate("carol")))});
  EXPECT_TRUE(may(carol, "orders-1", kWrite));
  EXPECT_TRUE(may(carol, "orders-1", kDescribe));
  EXPECT_TRUE(may(carol, "orders-1", kDescribeConfigs));
  EXPECT_FALSE(may(carol, "orders-1", kRead));
  EXPECT_FALSE(may(carol, "other", kWrite));
  EXPECT_TRUE(access->allowed_somewhere(*carol.identity, ResourceType::kTopic, kWrite));
  EXPECT_FALSE(access->allowed_somewhere(*carol.identity, ResourceType::kTopic, kDelete));
  // What a policy denies, no rule of the list gives.
  add(rule("User:carol", kAllow, kAll, "orders-secret"));
  EXPECT_FALSE(may(carol, "orders-secret", kRead));
}

TEST_F(AccessTest, the_root_of_another_account_owns_nothing_here) {
  const auth::Account tenant = must(world.run(directory->create_account(actor(), {.name = "tenant"})));
  must(world.run(directory->create_user(
      actor(), {.account_id = tenant.id, .name = "boss", .password = std::string(kPassword), .root = true})));
  const Session boss =
      session_of({.name = "User:" + tenant.id + "/boss",
                  .principal = must(world.run(directory->authenticate_certificate(tenant.id + "/boss")))});
  EXPECT_FALSE(may(boss, "t", kRead));
  EXPECT_FALSE(access->allowed_somewhere(*boss.identity, ResourceType::kTopic, kWrite));
  add(rule("User:" + tenant.id + "/boss", kAllow, kRead, "t"));
  EXPECT_TRUE(may(boss, "t", kRead));
}

TEST_F(AccessTest, rules_survive_a_restart_and_are_known_to_every_shard) {
  add(rule("User:alice", kAllow, kRead, "t"));
  add(rule("User:alice", kAllow, kRead, "t"));
  restart();
  EXPECT_EQ(access->rules({}).size(), 1U);
  const auto elsewhere = [&]() -> Task<bool> { co_return may(named("alice"), "t", kRead); };
  EXPECT_TRUE(world.run(io::on(world.shard(1), elsewhere)));
  EXPECT_EQ(must(world.run(access->remove({}))).size(), 1U);
  EXPECT_FALSE(world.run(io::on(world.shard(1), elsewhere)));
  restart();
  EXPECT_TRUE(access->rules({}).empty());
}

TEST_F(AccessTest, a_change_that_is_not_durable_is_no_change) {
  store.refuse_commits = Error(Code::kIo, "the disk is gone");
  EXPECT_FALSE(world.run(access->add({rule("User:alice", kAllow, kRead, "t")})));
  EXPECT_TRUE(access->rules({}).empty());
  store.refuse_commits.reset();
}

TEST_F(AccessTest, rules_that_nobody_can_mean_are_refused) {
  std::vector<AccessRule> bad(13, rule("User:alice", kAllow, kRead, "t"));
  bad[0].principal = "alice";
  bad[1].principal = "User:";
  bad[2].principal = ":alice";
  bad[3].name = "";
  bad[4].name = std::string(kResourceNameBytesMax + 1, 'x');
  bad[5].operation = kAny;
  bad[6].operation = static_cast<Operation>(99);
  bad[7].permission = Permission::kAny;
  bad[8].pattern = PatternType::kMatch;
  bad[9].resource = static_cast<ResourceType>(77);
  bad[10].operation = kIdempotentWrite;
  bad[11].host = "";
  bad[12].name = "line\nfeed";
  for (const AccessRule& one : bad) {
    const auto added = world.run(access->add({one}));
    ASSERT_FALSE(added) << &one - bad.data();
    EXPECT_EQ(added.error().code(), Code::kInvalid);
  }
  EXPECT_FALSE(world.run(
      access->add({rule("User:a", kAllow, kAlter, "cluster", PatternType::kLiteral, ResourceType::kCluster)})));
  EXPECT_TRUE(access->rules({}).empty());
}

TEST_F(AccessTest, filters_mean_what_kafka_means) {
  add(rule("User:alice", kAllow, kRead, "orders"));
  add(rule("User:alice", kAllow, kRead, "ord", kPrefixed));
  add(rule("User:bob", kDeny, kWrite, "*"));
  add(rule("User:bob", kAllow, kRead, "orders", PatternType::kLiteral, ResourceType::kGroup));
  const auto count = [&](const AccessFilter& filter) { return access->rules(filter).size(); };
  EXPECT_EQ(count({}), 4U);
  EXPECT_EQ(count({.name = "orders"}), 2U);
  EXPECT_EQ(count({.pattern = PatternType::kMatch, .name = "orders"}), 4U);
  EXPECT_EQ(count({.resource = ResourceType::kTopic, .pattern = PatternType::kMatch, .name = "order"}), 2U);
  EXPECT_EQ(count({.pattern = kPrefixed}), 1U);
  EXPECT_EQ(count({.pattern = kPrefixed, .name = "orders"}), 0U);
  EXPECT_EQ(count({.principal = "User:bob"}), 2U);
  EXPECT_EQ(count({.permission = kDeny}), 1U);
  EXPECT_EQ(count({.host = "192.0.2.7"}), 0U);
}

TEST_F(AccessTest, authorized_operations_are_bits) {
  add(rule("User:alice", kAllow, kRead, "t"));
  const Session alice = named("alice");
  EXPECT_EQ(access->allowed_operations(*alice.identity, ResourceType::kTopic, "t"), (1 << 3) | (1 << 8));
  EXPECT_EQ(access->allowed_operations(*administrator().identity, ResourceType::kTopic, "t"),
            (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11));
}

// Against the obvious: look at every rule.
TEST(AccessRules, answers_are_those_of_a_walk_through_the_list) {
  base::SeededRandom random(7);
  const std::vector<std::string> names{"a", "ab", "abc", "b", "*"}, principals{"User:x", "User:y", "User:*"};
  const std::vector<Operation> operations{kRead, kWrite, kDescribe, kAll, kAlter};
  for (int round = 0; round < 300; ++round) {
    std::vector<AccessRule> list;
    for (uint64_t i = random.below(8); i > 0; --i)
      list.push_back(rule(principals[random.below(3)], random.chance(1, 3) ? kDeny : kAllow,
                          operations[random.below(operations.size())], names[random.below(names.size())],
                          random.chance(1, 3) ? kPrefixed : PatternType::kLiteral));
    const AccessRules rules(list);
    bool somewhere = false;
    for (const std::string asked : {"a", "ab", "abc", "abcd", "b", "c", "zzz"}) {
      AccessRules::Answer expected;
      for (const AccessRule& one : list) {
        const bool meant =
            one.pattern == kPrefixed ? asked.starts_with(one.name) : one.name == asked || one.name == "*";
        if (!meant) continue;
        expected.concerned = true;
        if (one.principal == "User:y") continue;
        if (one.permission == kDeny) expected.denied |= one.operation == kRead || one.operation == kAll;
        if (one.permission == kAllow) expected.allowed |= one.operation == kRead || one.operation == kAll;
      }
      const AccessRules::Answer answer = rules.ask("User:x", "h", ResourceType::kTopic, asked, kRead);
      EXPECT_EQ(answer.concerned, expected.concerned);
      EXPECT_EQ(answer.denied, expected.denied);
      EXPECT_EQ(answer.allowed, expected.allowed);
      somewhere |= expected.allowed && !expected.denied;
    }
    if (somewhere) EXPECT_TRUE(rules.allows_somewhere("User:x", "h", ResourceType::kTopic, kRead));
  }
}

}  // namespace
}  // namespace polis::stream
