#include <algorithm>

#include "systems/stream/server/handlers_test_support.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

constexpr int8_t kTopicResource = 2, kBrokerResource = 4;

class AdminTest : public ServerTest {
 protected:
  using NewTopicRequest = CreateTopicsRequest::CreatableTopic;

  AdminTest() : client(plain_client()) {}
  static NewTopicRequest topic(std::string_view name, int32_t partitions = 1, int16_t replicas = 1) {
    NewTopicRequest wish;
    wish.name = name;
    wish.num_partitions = partitions;
    wish.replication_factor = replicas;
    return wish;
  }
  CreateTopicsResponse create(std::vector<NewTopicRequest> wishes, bool validate_only = false) {
    CreateTopicsRequest request;
    request.topics = std::move(wishes);
    request.validate_only = validate_only;
    return ask(client, request);
  }
  int16_t create_one(NewTopicRequest wish) { return create({std::move(wish)}).topics.at(0).error_code; }
  bool exists(std::string_view name) { return topics->table()->find(name) != nullptr; }
  void deny(std::string principal, ResourceType resource, std::string name, Operation operation) {
    must(world.run(access->add({{.resource = resource,
                                 .pattern = PatternType::kLiteral,
                                 .name = std::move(name),
                                 .principal = std::move(principal),
                                 .operation = operation,
                                 .permission = Permission::kDeny}})));
  }
  DescribeConfigsResponse describe(int8_t type, std::string_view name,
                                   std::optional<std::vector<std::string_view>> keys = std::nullopt) {
    DescribeConfigsRequest request;
    request.include_synonyms = request.include_documentation = true;
    request.resources.push_back({.resource_type = type, .resource_name = name, .configuration_keys = std::move(keys)});
    return ask(client, request);
  }
  IncrementalAlterConfigsResponse change(int8_t type, std::string_view name, std::string_view key, int8_t step,
                                         std::optional<std::string_view> value) {
    IncrementalAlterConfigsRequest request;
    request.resources.push_back({.resource_type = type, .resource_name = name, .configs = {{key, step, value}}});
    return ask(client, request);
  }

  Session client;
};

TEST_F(AdminTest, topics_are_made_in_the_order_of_the_request_and_described) {
  NewTopicRequest configured = topic("b", 3);
  configured.configs.push_back({"retention.ms", "1000"});
  const auto response = create({topic("a"), configured, topic("c", -1, -1)});
  ASSERT_EQ(response.topics.size(), 3U);
  for (const auto& made : response.topics) EXPECT_EQ(made.error_code, 0) << made.name;
  EXPECT_EQ(response.topics[1].name, "b");
  EXPECT_EQ(response.topics[1].num_partitions, 3);
  EXPECT_EQ(response.topics[1].replication_factor, 1);
  EXPECT_EQ(response.topics[1].topic_id, topics->table()->find("b")->id);
  EXPECT_EQ(response.topics[2].num_partitions, 1);
  const auto& options = *response.topics[1].configs;
  const auto found = std::ranges::find(options, "retention.ms", &std::decay_t<decltype(options[0])>::name);
  ASSERT_NE(found, options.end());
  EXPECT_EQ(*found->value, "1000");
  EXPECT_EQ(found->config_source, 1);
}

TEST_F(AdminTest, validation_makes_nothing) {
  EXPECT_EQ(create({topic("a")}, true).topics.at(0).error_code, 0);
  EXPECT_FALSE(exists("a"));
}

TEST_F(AdminTest, topics_that_cannot_be_are_refused_with_kafkas_codes) {
  ASSERT_EQ(create_one(topic("there")), 0);
  EXPECT_EQ(create_one(topic("there")), 36);
  EXPECT_EQ(create_one(topic("a/b")), 17);
  EXPECT_EQ(create_one(topic("")), 17);
  EXPECT_EQ(create_one(topic(std::string_view("a\n", 2))), 17);
  EXPECT_EQ(create_one(topic("t", 0)), 37);
  EXPECT_EQ(create_one(topic("t", -2)), 37);
  EXPECT_EQ(create_one(topic("t", 1, 0)), 38);
  EXPECT_EQ(create_one(topic("t", 1, 3)), 38);
  EXPECT_EQ(create_one(topic("__cluster_metadata")), 42);
  NewTopicRequest odd = topic("t");
  odd.configs.push_back({"dummy.doesntexist", "x"});
  EXPECT_EQ(create_one(odd), 40);
  odd.configs = {{"retention.ms", std::nullopt}};
  EXPECT_EQ(create_one(odd), 40);
  const auto twice = create({topic("t"), topic("u"), topic("t")});
  ASSERT_EQ(twice.topics.size(), 2U);
  EXPECT_EQ(twice.topics[0].error_code, 42);
  EXPECT_EQ(twice.topics[1].error_code, 0);
  EXPECT_FALSE(exists("t"));
}

TEST_F(AdminTest, partitions_may_be_assigned_to_this_node_only) {
  const auto assigned = [&](std::vector<NewTopicRequest::CreatableReplicaAssignment> assignments) {
    NewTopicRequest wish = topic("t", -1, -1);
    wish.assignments = std::move(assignments);
    return create({wish}, true).topics.at(0).error_code;
  };
  EXPECT_EQ(assigned({{0, {1}}, {1, {1}}}), 0);
  EXPECT_EQ(assigned({{0, {2}}}), 39);
  EXPECT_EQ(assigned({{0, {1, 2}}}), 39);
  EXPECT_EQ(assigned({{0, {1, 1}}}), 39);
  EXPECT_EQ(assigned({{0, {}}}), 39);
  EXPECT_EQ(assigned({{1, {1}}}), 39);
  EXPECT_EQ(assigned({{0, {1}}, {0, {1}}}), 39);
  EXPECT_EQ(assigned({{0, {1}}, {-1, {1}}}), 39);
  NewTopicRequest both = topic("t", 1, -1);
  both.assignments = {{0, {1}}};
  EXPECT_EQ(create_one(both), 42);
  both.num_partitions = -1;
  both.replication_factor = 1;
  EXPECT_EQ(create_one(both), 42);
}

TEST_F(AdminTest, a_topic_is_erased_by_name_or_by_id) {
  ASSERT_EQ(create_one(topic("a")), 0);
  ASSERT_EQ(create_one(topic("b")), 0);
  DeleteTopicsRequest request;
  request.topics = {{"a", {}}, {std::nullopt, topics->table()->find("b")->id}, {"nowhere", {}}};
  request.topics.push_back({std::nullopt, {.bytes = {std::byte{9}}}});
  request.topics.push_back({std::nullopt, {}});
  const auto response = ask(client, request);
  ASSERT_EQ(response.responses.size(), 5U);
  EXPECT_EQ(response.responses[0].error_code, 0);
  EXPECT_EQ(response.responses[1].error_code, 0);
  EXPECT_EQ(*response.responses[1].name, "b");
  EXPECT_EQ(response.responses[2].error_code, 3);
  EXPECT_EQ(response.responses[3].error_code, 100);
  EXPECT_EQ(response.responses[4].error_code, 42);
  EXPECT_FALSE(exists("a"));
  EXPECT_FALSE(exists("b"));
}

TEST_F(AdminTest, a_topic_that_is_named_twice_is_not_erased) {
  ASSERT_EQ(create_one(topic("a")), 0);
  DeleteTopicsRequest request;
  request.topics = {{"a", {}}, {std::nullopt, topics->table()->find("a")->id}};
  for (const auto& one : ask(client, request).responses) EXPECT_EQ(one.error_code, 42);
  EXPECT_TRUE(exists("a"));
  DeleteTopicsRequest old;
  old.topic_names = {"a"};
  EXPECT_EQ(ask(client, old, 3).responses.at(0).error_code, 0);
  EXPECT_FALSE(exists("a"));
}

TEST_F(AdminTest, whether_a_topic_is_there_is_not_told_to_who_may_not_see_it) {
  ASSERT_EQ(create_one(topic("a")), 0);
  Session alice = named("alice");
  DeleteTopicsRequest request;
  request.topics = {{"a", {}}, {"nowhere", {}}, {std::nullopt, topics->table()->find("a")->id}};
  const auto response = ask(alice, request);
  for (const auto& one : response.responses) EXPECT_EQ(one.error_code, 29);
  EXPECT_EQ(response.responses[2].name, std::nullopt);
  CreateTopicsRequest create;
  create.topics = {topic("mine")};
  EXPECT_EQ(ask(alice, create).topics.at(0).error_code, 29);
  EXPECT_TRUE(exists("a"));
}

TEST_F(AdminTest, partitions_grow_and_never_shrink) {
  ASSERT_EQ(create_one(topic("a", 2)), 0);
  const auto grow = [&](int32_t count, bool validate_only = false,
                        std::optional<std::vector<std::vector<int32_t>>> brokers = std::nullopt) {
    CreatePartitionsRequest request;
    auto& wish = request.topics.emplace_back();
    wish.name = "a";
    wish.count = count;
    if (brokers) {
      wish.assignments.emplace();
      for (auto& one : *brokers) wish.assignments->push_back({std::move(one)});
    }
    request.validate_only = validate_only;
    return ask(client, request).results.at(0).error_code;
  };
  EXPECT_EQ(grow(2), 37);
  EXPECT_EQ(grow(1), 37);
  EXPECT_EQ(grow(4, true), 0);
  EXPECT_EQ(topics->table()->find("a")->partitions, 2);
  EXPECT_EQ(grow(4, false, {{{1}}}), 39);
  EXPECT_EQ(grow(4, false, {{{1}, {2}}}), 39);
  EXPECT_EQ(grow(4, false, {{{1}, {1}}}), 0);
  EXPECT_EQ(topics->table()->find("a")->partitions, 4);
  CreatePartitionsRequest unknown;
  unknown.topics.push_back({.name = "nowhere", .count = 3});
  EXPECT_EQ(ask(client, unknown).results.at(0).error_code, 3);
}

TEST_F(AdminTest, changes_beyond_the_quota_are_refused_for_clients_that_know_of_it) {
  EXPECT_TRUE(world.run(quotas->alter({{"user", "ANONYMOUS"}}, {{"controller_mutation_rate", 1.0}}, false)).ok());
  EXPECT_EQ(create_one(topic("a", 30)), 0);
  const auto second = create({topic("b")});
  EXPECT_EQ(second.topics.at(0).error_code, 89);
  // Simulated syncs take a few milliseconds.
  EXPECT_NEAR(second.throttle_time_ms, 20'000, 100);
  EXPECT_NEAR(std::chrono::duration<double>(throttle).count(), 20, 0.1);
  EXPECT_FALSE(exists("b"));
  CreateTopicsRequest old;
  old.topics = {topic("b")};
  EXPECT_EQ(ask(client, old, 5).topics.at(0).error_code, 0);
  EXPECT_NEAR(std::chrono::duration<double>(throttle).count(), 21, 0.1);
}

TEST_F(AdminTest, options_tell_value_source_synonyms_and_meaning) {
  ASSERT_EQ(create_one(topic("a")), 0);
  EXPECT_EQ(change(kTopicResource, "a", "retention.ms", 0, "5000").responses.at(0).error_code, 0);
  const auto response = describe(kTopicResource, "a", {{"retention.ms", "segment.bytes", "no.such"}});
  ASSERT_EQ(response.results.at(0).configs.size(), 2U);
  const auto& set = response.results[0].configs[0];
  EXPECT_EQ(set.name, "retention.ms");
  EXPECT_EQ(*set.value, "5000");
  EXPECT_EQ(set.config_source, 1);
  EXPECT_FALSE(set.is_default);
  EXPECT_FALSE(set.read_only);
  EXPECT_EQ(set.config_type, 5);
  EXPECT_FALSE(set.documentation->empty());
  ASSERT_EQ(set.synonyms.size(), 2U);
  EXPECT_EQ(set.synonyms[1].name, "log.retention.ms");
  EXPECT_EQ(*set.synonyms[1].value, "604800000");
  EXPECT_EQ(response.results[0].configs[1].config_source, 5);
  EXPECT_EQ(describe(kTopicResource, "a").results.at(0).configs.size(), topic_options().size());
}

TEST_F(AdminTest, options_of_what_is_not_there_are_refused) {
  EXPECT_EQ(describe(kTopicResource, "nowhere").results.at(0).error_code, 3);
  EXPECT_EQ(describe(kTopicResource, "a/b").results.at(0).error_code, 17);
  EXPECT_EQ(describe(kBrokerResource, "2").results.at(0).error_code, 42);
  EXPECT_EQ(describe(kBrokerResource, "one").results.at(0).error_code, 42);
  EXPECT_EQ(describe(99, "x").results.at(0).error_code, 42);
  EXPECT_EQ(change(kTopicResource, "nowhere", "compression.type", 0, "lz4").responses.at(0).error_code, 3);
  EXPECT_EQ(change(kTopicResource, "nowhere", "no.such.option", 0, "x").responses.at(0).error_code, 3);
}

TEST_F(AdminTest, options_are_set_taken_away_appended_to_and_subtracted_from) {
  ASSERT_EQ(create_one(topic("a")), 0);
  const auto code = [&](std::string_view key, int8_t step, std::optional<std::string_view> value) {
    return change(kTopicResource, "a", key, step, value).responses.at(0).error_code;
  };
  const auto value = [&](const std::string& key) { return topics->table()->find("a")->config.get(key); };
  EXPECT_EQ(code("cleanup.policy", 2, "compact"), 0);
  EXPECT_EQ(topics->table()->find("a")->config.cleanup_policy, CleanupPolicy::kCompactAndDelete);
  EXPECT_EQ(code("cleanup.policy", 3, "delete"), 0);
  EXPECT_EQ(value("cleanup.policy"), "compact");
  EXPECT_EQ(code("cleanup.policy", 3, "compact"), 40);
  EXPECT_EQ(code("retention.ms", 2, "1"), 40);
  EXPECT_EQ(code("retention.ms", 0, "7"), 0);
  EXPECT_EQ(code("retention.ms", 1, std::nullopt), 0);
  EXPECT_EQ(value("retention.ms"), "604800000");
  EXPECT_EQ(code("retention.ms", 0, std::nullopt), 42);
  EXPECT_EQ(code("retention.ms", 9, "1"), 42);
  EXPECT_EQ(code("retention.ms", 0, "soon"), 40);
  EXPECT_EQ(code("no.such.option", 0, "1"), 40);
}

TEST_F(AdminTest, the_old_request_replaces_all_options) {
  ASSERT_EQ(create_one(topic("a")), 0);
  EXPECT_EQ(change(kTopicResource, "a", "retention.ms", 0, "7").responses.at(0).error_code, 0);
  AlterConfigsRequest request;
  request.resources.push_back({.resource_type = kTopicResource,
                               .resource_name = "a",
                               .configs = {{"compression.type", "gzip"}, {"flush.ms", "12345678"}}});
  EXPECT_EQ(ask(client, request).responses.at(0).error_code, 0);
  const Topic& topic = *topics->table()->find("a");
  EXPECT_EQ(topic.overrides.size(), 2U);
  EXPECT_EQ(topic.config.get("flush.ms"), "12345678");
  request.resources.push_back(request.resources[0]);
  for (const auto& one : ask(client, request).responses) EXPECT_EQ(one.error_code, 42);
  request.resources.pop_back();
  request.resources[0].configs.push_back({"flush.ms", "1"});
  EXPECT_EQ(ask(client, request).responses.at(0).error_code, 0);
  EXPECT_EQ(topics->table()->find("a")->config.get("flush.ms"), "1");  // the last value holds
  IncrementalAlterConfigsRequest twice;
  twice.resources.push_back(
      {.resource_type = kTopicResource, .resource_name = "a", .configs = {{"flush.ms", 0, "1"}, {"flush.ms", 0, "2"}}});
  EXPECT_EQ(ask(client, twice).responses.at(0).error_code, 42);
}

TEST_F(AdminTest, the_broker_shows_its_options_and_lets_a_few_be_set) {
  const auto all = describe(kBrokerResource, "1").results.at(0);
  EXPECT_EQ(all.error_code, 0);
  const auto find = [](const auto& result, std::string_view name) {
    const auto found = std::ranges::find(result.configs, name, &std::decay_t<decltype(result.configs[0])>::name);
    return found == result.configs.end() ? std::nullopt : std::optional(*found);
  };
  EXPECT_EQ(*find(all, "node.id")->value, "1");
  EXPECT_TRUE(find(all, "node.id")->read_only);
  EXPECT_EQ(find(all, "node.id")->config_source, 4);
  EXPECT_EQ(change(kBrokerResource, "1", "node.id", 0, "2").responses.at(0).error_code, 42);
  EXPECT_EQ(
      change(kBrokerResource, "1", "sasl.kerberos.min.time.before.relogin", 0, "58000").responses.at(0).error_code, 0);
  EXPECT_EQ(change(kBrokerResource, "", "connections.max.reauth.ms", 0, "1000").responses.at(0).error_code, 0);
  EXPECT_EQ(change(kBrokerResource, "1", "connections.max.reauth.ms", 0, "-1").responses.at(0).error_code, 40);
  EXPECT_EQ(configs->session_lifetime(), 1s);
  restart();
  EXPECT_EQ(configs->session_lifetime(), 1s);
  const auto again = describe(kBrokerResource, "1").results.at(0);
  EXPECT_EQ(*find(again, "sasl.kerberos.min.time.before.relogin")->value, "58000");
  EXPECT_EQ(find(again, "sasl.kerberos.min.time.before.relogin")->config_source, 2);
  EXPECT_EQ(find(again, "connections.max.reauth.ms")->config_source, 3);
  EXPECT_EQ(describe(kBrokerResource, "").results.at(0).configs.size(), 1U);
}

TEST_F(AdminTest, log_directories_tell_what_is_on_the_disk) {
  ASSERT_EQ(create_one(topic("a", 3)), 0);
  BatchBuilder builder;
  builder.add(1, as_bytes("key"), as_bytes("value"));
  const Bytes batch = builder.finish();
  const auto append = [&](Partition& open) -> Task<Result<void>> {
    const AppendResult appended = open.append(batch, AppendOrigin::kClient);
    co_return co_await open.wait(appended.next_offset);
  };
  const auto table = topics->table();
  must(world.run(topics->with(*table->find("a"), 2, append)));
  DescribeLogDirsRequest request;
  request.topics.emplace().push_back({.topic = "a", .partitions = {0, 2, 77}});
  request.topics->push_back({.topic = "nowhere", .partitions = {0}});
  const auto response = ask(client, request);
  ASSERT_EQ(response.results.size(), 1U);
  ASSERT_EQ(response.results[0].topics.size(), 1U);
  const auto& partitions = response.results[0].topics[0].partitions;
  ASSERT_EQ(partitions.size(), 2U);
  EXPECT_EQ(partitions[1].partition_index, 2);
  EXPECT_GE(partitions[1].partition_size, static_cast<int64_t>(batch.size()));
  EXPECT_LT(partitions[0].partition_size, partitions[1].partition_size);
  EXPECT_FALSE(response.results[0].log_dir.empty());
  request.topics.reset();
  EXPECT_EQ(ask(client, request).results.at(0).topics.at(0).partitions.size(), 3U);
}

TEST_F(AdminTest, one_node_elects_and_moves_nothing) {
  ASSERT_EQ(create_one(topic("a")), 0);
  ElectLeadersRequest elect;
  elect.topic_partitions.emplace().push_back({.topic = "a", .partitions = {0, 1}});
  const auto elected = ask(client, elect);
  EXPECT_EQ(elected.replica_election_results.at(0).partition_result.at(0).error_code, 84);
  EXPECT_EQ(elected.replica_election_results.at(0).partition_result.at(1).error_code, 3);
  elect.election_type = 7;
  EXPECT_EQ(ask(client, elect).error_code, 42);
  elect.election_type = 0;
  elect.topic_partitions.reset();
  EXPECT_TRUE(ask(client, elect).replica_election_results.empty());

  AlterPartitionReassignmentsRequest move;
  auto& wish = move.topics.emplace_back();
  wish.name = "a";
  wish.partitions = {
      {0, std::nullopt}, {0, std::vector<int32_t>{1}}, {0, std::vector<int32_t>{2}}, {5, std::vector<int32_t>{1}}};
  const auto moved = ask(client, move).responses.at(0).partitions;
  EXPECT_EQ(moved.at(0).error_code, 85);
  EXPECT_EQ(moved.at(1).error_code, 0);
  EXPECT_EQ(moved.at(2).error_code, 39);
  EXPECT_EQ(moved.at(3).error_code, 3);
  EXPECT_TRUE(ask(client, ListPartitionReassignmentsRequest{}).topics.empty());
}

TEST_F(AdminTest, every_request_of_administration_asks_for_rights) {
  Session alice = named("alice");
  ASSERT_EQ(create_one(topic("a")), 0);
  EXPECT_EQ(ask(alice, DescribeLogDirsRequest{}).error_code, 31);
  EXPECT_EQ(ask(alice, ElectLeadersRequest{}).error_code, 31);
  EXPECT_EQ(ask(alice, AlterPartitionReassignmentsRequest{}).error_code, 31);
  EXPECT_EQ(ask(alice, ListPartitionReassignmentsRequest{}).error_code, 31);
  EXPECT_EQ(ask(alice, DescribeAclsRequest{}).error_code, 31);
  EXPECT_EQ(ask(alice, DescribeClientQuotasRequest{}).error_code, 31);
  EXPECT_EQ(ask(alice, DescribeUserScramCredentialsRequest{}).error_code, 31);
  CreateAclsRequest create;
  create.creations.emplace_back();
  EXPECT_EQ(ask(alice, create).results.at(0).error_code, 31);
  DeleteAclsRequest erase;
  erase.filters.emplace_back();
  EXPECT_EQ(ask(alice, erase).filter_results.at(0).error_code, 31);
  AlterClientQuotasRequest quota;
  quota.entries.emplace_back();
  EXPECT_EQ(ask(alice, quota).entries.at(0).error_code, 31);
  AlterUserScramCredentialsRequest scram_request;
  scram_request.deletions.push_back({.name = "x", .mechanism = 1});
  EXPECT_EQ(ask(alice, scram_request).results.at(0).error_code, 31);
  CreatePartitionsRequest grow;
  grow.topics.push_back({.name = "a", .count = 3});
  EXPECT_EQ(ask(alice, grow).results.at(0).error_code, 29);
  DescribeConfigsRequest configs_request;
  configs_request.resources = {{.resource_type = kTopicResource, .resource_name = "a"},
                               {.resource_type = kBrokerResource, .resource_name = "1"}};
  const auto described = ask(alice, configs_request);
  EXPECT_EQ(described.results.at(0).error_code, 29);
  EXPECT_EQ(described.results.at(1).error_code, 31);
  EXPECT_TRUE(described.results.at(0).configs.empty());
  AlterConfigsRequest alter;
  alter.resources = {{.resource_type = kTopicResource, .resource_name = "a"},
                     {.resource_type = kBrokerResource, .resource_name = "1"}};
  EXPECT_EQ(ask(alice, alter).responses.at(0).error_code, 29);
  EXPECT_EQ(ask(alice, alter).responses.at(1).error_code, 31);
}

// --- the access list and quotas, as the protocol shows them

TEST_F(AdminTest, access_rules_are_made_listed_and_erased) {
  CreateAclsRequest create;
  create.creations.push_back({.resource_type = 2,
                              .resource_name = "orders",
                              .resource_pattern_type = 4,
                              .principal = "User:alice",
                              .host = "*",
                              .operation = 3,
                              .permission_type = 3});
  create.creations.push_back(create.creations[0]);
  create.creations[1].resource_name = "";
  const auto made = ask(client, create);
  EXPECT_EQ(made.results.at(0).error_code, 0);
  EXPECT_EQ(made.results.at(1).error_code, 42);

  DescribeAclsRequest list{.resource_type_filter = 1, .pattern_type_filter = 1, .operation = 1, .permission_type = 1};
  const auto listed = ask(client, list);
  ASSERT_EQ(listed.resources.size(), 1U);
  EXPECT_EQ(listed.resources[0].pattern_type, 4);
  EXPECT_EQ(listed.resources[0].acls.at(0).principal, "User:alice");
  list.pattern_type_filter = 3;
  EXPECT_TRUE(ask(client, list, 0).resources.empty());
  list.pattern_type_filter = 0;
  EXPECT_EQ(ask(client, list).error_code, 42);

  DeleteAclsRequest erase;
  erase.filters.push_back({.resource_type_filter = 2,
                           .resource_name_filter = "orders-1",
                           .pattern_type_filter = 2,
                           .operation = 1,
                           .permission_type = 1});
  const auto erased = ask(client, erase);
  ASSERT_EQ(erased.filter_results.at(0).matching_acls.size(), 1U);
  EXPECT_EQ(erased.filter_results[0].matching_acls[0].resource_name, "orders");
  EXPECT_TRUE(access->rules({}).empty());
  const auto records = must(world.run(directory->audit().query({.action_pattern = "stream:*Acl"})));
  EXPECT_EQ(records.records.size(), 2U);
}

TEST_F(AdminTest, quotas_are_set_and_found_by_what_they_are_for) {
  AlterClientQuotasRequest alter;
  auto& entry = alter.entries.emplace_back();
  entry.entity = {{"user", "alice"}, {"client-id", std::nullopt}};
  entry.ops = {{"producer_byte_rate", 1000, false}};
  EXPECT_EQ(ask(client, alter).entries.at(0).error_code, 0);
  const auto found = [&](std::vector<DescribeClientQuotasRequest::ComponentData> components, bool strict) {
    DescribeClientQuotasRequest request;
    request.components = std::move(components);
    request.strict = strict;
    const auto response = ask(client, request);
    return response.error_code != 0 ? -response.error_code : static_cast<int>(response.entries->size());
  };
  EXPECT_EQ(found({}, false), 1);
  EXPECT_EQ(found({}, true), 0);
  EXPECT_EQ(found({{"user", 0, "alice"}}, false), 1);
  EXPECT_EQ(found({{"user", 0, "alice"}}, true), 0);
  EXPECT_EQ(found({{"user", 0, "alice"}, {"client-id", 1, std::nullopt}}, true), 1);
  EXPECT_EQ(found({{"user", 2, std::nullopt}, {"client-id", 2, std::nullopt}}, true), 1);
  EXPECT_EQ(found({{"user", 1, std::nullopt}}, false), 0);
  EXPECT_EQ(found({{"user", 0, std::nullopt}}, false), -42);
  EXPECT_EQ(found({{"user", 1, "x"}}, false), -42);
  EXPECT_EQ(found({{"user", 7, "x"}}, false), -42);
  EXPECT_EQ(found({{"", 0, "x"}}, false), -42);
  EXPECT_EQ(found({{"planet", 0, "x"}}, false), -35);
  EXPECT_EQ(found({{"user", 0, "a"}, {"user", 0, "b"}}, false), -42);
  EXPECT_EQ(found({{"user", 0, "a"}, {"ip", 0, "b"}}, false), -42);
  entry.ops[0].remove = true;
  EXPECT_EQ(ask(client, alter).entries.at(0).error_code, 0);
  EXPECT_EQ(found({}, false), 0);
  entry.entity.push_back({"user", "bob"});
  EXPECT_EQ(ask(client, alter).entries.at(0).error_code, 42);
}

TEST_F(AdminTest, scram_credentials_are_made_shown_without_secrets_and_erased) {
  const Bytes salt(16), salted(64);
  AlterUserScramCredentialsRequest alter;
  alter.upsertions = {{"carol", 2, 8192, salt, salted},
                      {"", 2, 8192, salt, salted},
                      {"x", 3, 8192, salt, salted},
                      {"y", 2, 100, salt, salted},
                      {"z", 2, 99999, salt, salted}};
  alter.deletions = {{"nobody", 1}};
  const auto altered = ask(client, alter);
  std::map<std::string, int16_t> codes;
  for (const auto& result : altered.results) codes[result.user] = result.error_code;
  EXPECT_EQ(codes,
            (std::map<std::string, int16_t>{{"carol", 0}, {"", 93}, {"x", 33}, {"y", 93}, {"z", 93}, {"nobody", 91}}));
  DescribeUserScramCredentialsRequest describe_request;
  const auto all = ask(client, describe_request);
  ASSERT_EQ(all.results.size(), 1U);
  EXPECT_EQ(all.results[0].credential_infos.at(0).iterations, 8192);
  describe_request.users = {{"carol"}, {"nobody"}, {"twice"}, {"twice"}};
  codes.clear();
  for (const auto& result : ask(client, describe_request).results) codes[result.user] = result.error_code;
  EXPECT_EQ(codes, (std::map<std::string, int16_t>{{"carol", 0}, {"nobody", 91}, {"twice", 92}}));
  alter.upsertions = {{"carol", 2, 8192, salt, salted}};
  alter.deletions = {{"carol", 2}};
  EXPECT_EQ(ask(client, alter).results.at(0).error_code, 92);
  alter.upsertions.clear();
  EXPECT_EQ(ask(client, alter).results.at(0).error_code, 0);
  EXPECT_TRUE(ask(client, DescribeUserScramCredentialsRequest{}).results.empty());
}

}  // namespace
}  // namespace polis::stream
