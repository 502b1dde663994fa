#include "systems/stream/broker/groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"
#include "systems/stream/broker/memory_store_test_support.h"
#include "systems/stream/broker/topics_registry.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr int64_t kNothing = -1;  // no offset is committed
constexpr int64_t kUnstable = -88;
constexpr int64_t kPowerless = -99;

// A broker without sockets in a simulated machine of three shards: topics and groups. Transactions are begun and ended
// at the offsets partition as their coordinator does it.
class GroupsTest : public testing::Test {
 public:
  explicit GroupsTest(uint64_t seed = 1) : world(seed, three_shards()), random(seed) {
    rows = *store.keyspace("stream");
    open();
    create("orders");
  }
  ~GroupsTest() override {
    if (topics) close();
  }
  void TestBody() override {}

  static sim::WorldOptions three_shards() {
    sim::WorldOptions world_options;
    world_options.shards = 3;
    world_options.time_max = std::chrono::hours(24 * 100);
    return world_options;
  }
  void open() {
    TopicsOptions topics_options;
    topics_options.directory = "polis/stream";
    auto registry = world.run(TopicRegistry::open({.disk = world.disk(),
                                                   .store = store,
                                                   .rows = rows,
                                                   .clock = world.clock(),
                                                   .random = random,
                                                   .shards = {&world.shard(0), &world.shard(1), &world.shard(2)}},
                                                  topics_options));
    ASSERT_TRUE(registry) << registry.error().text();
    topics = std::move(*registry);
    auto opened =
        world.run(open_groups({.topics = *topics, .clock = world.clock(), .random = random, .options = options}));
    ASSERT_TRUE(opened) << opened.error().text();
    groups = std::move(*opened);
    topics->when_erased([this](std::string name) { return groups->topic_erased(std::move(name)); });
  }
  void close() {
    world.run(groups->close());
    world.run(topics->close());
    groups.reset();
    topics.reset();
  }
  void restart() {
    close();
    open();
  }
  // The power goes now; what is open dies with it.
  void crash() {
    if (world.disk().powered()) world.disk().crash();
    close();
    world.disk().restart();
    open();
  }
  void create(std::string name) {
    EXPECT_TRUE(
        world.run(static_cast<Topics&>(*topics).create({.name = std::move(name), .partitions = 4}, false, false)).ok());
  }

  struct Committing {
    std::string_view member = "";
    int32_t generation = -1;
    std::string_view metadata = "";
    int64_t retention_ms = -1;
  };
  static OffsetCommitRequest request_of(std::string_view group, int32_t partition, int64_t offset, Committing how) {
    OffsetCommitRequest request;
    request.group_id = group;
    request.member_id = how.member;
    request.generation_id_or_member_epoch = how.generation;
    request.retention_time_ms = how.retention_ms;
    request.topics = {{"orders",
                       {{.partition_index = partition,
                         .committed_offset = offset,
                         .committed_leader_epoch = 0,
                         .commit_timestamp = -1,
                         .committed_metadata = how.metadata}}}};
    return request;
  }
  ErrorCode commit(std::string_view group, int32_t partition, int64_t offset, Committing how) {
    const auto response = world.run(groups->commit(request_of(group, partition, offset, how)));
    return static_cast<ErrorCode>(response.topics.at(0).partitions.at(0).error_code);
  }
  ErrorCode commit(std::string_view group, int32_t partition, int64_t offset) {
    return commit(group, partition, offset, Committing());
  }
  ErrorCode commit_in_transaction(std::string_view group, int32_t partition, int64_t offset, int64_t producer,
                                  int16_t epoch = 0, std::string_view member = "", int32_t generation = -1) {
    TxnOffsetCommitRequest request;
    request.transactional_id = "t";
    request.group_id = group;
    request.producer_id = producer;
    request.producer_epoch = epoch;
    request.member_id = member;
    request.generation_id = generation;
    request.topics = {{"orders",
                       {{.partition_index = partition,
                         .committed_offset = offset,
                         .committed_leader_epoch = -1,
                         .committed_metadata = {}}}}};
    const auto response = world.run(groups->commit_in_transaction(request));
    return static_cast<ErrorCode>(response.topics.at(0).partitions.at(0).error_code);
  }
  template <class F>
  auto at_offsets_of(std::string_view group, F use) {
    const auto picture = topics->table();
    return world.run(topics->with(*picture->find(kOffsetsTopic), groups->partition_of(group), use));
  }
  bool begin_transaction(std::string_view group, int64_t producer, int16_t epoch = 0) {
    if (!world.run(groups->prepare(std::string(group)))) return false;
    const auto use = [&](Partition& partition) -> Task<bool> {
      partition.begin_transaction(producer, epoch);
      co_return true;
    };
    return at_offsets_of(group, use).has_value();
  }
  bool mark(std::string_view group, int64_t producer, bool commits, int16_t epoch = 0) {
    const auto use = [&](Partition& partition) -> Task<Result<void>> {
      const AppendResult appended = partition.end_transaction(producer, epoch, commits, 0);
      if (!appended.refusal.ok()) co_return fail(Code::kIo, appended.refusal.message);
      co_return co_await partition.wait(appended.next_offset);
    };
    return at_offsets_of(group, use).has_value();
  }
  bool end_transaction(std::string_view group, int64_t producer, bool commits, int16_t epoch = 0) {
    if (!mark(group, producer, commits, epoch)) return false;
    world.run(groups->end_transaction(groups->partition_of(group), producer, commits));
    return true;
  }
  int64_t fetch(std::string_view group, int32_t partition, bool require_stable = true) {
    OffsetFetchRequest request;
    request.groups = {{.group_id = group, .member_id = {}, .member_epoch = -1, .topics = {{{"orders", {partition}}}}}};
    request.require_stable = require_stable;
    const auto response = world.run(groups->fetch(request, 8));
    if (response.groups.at(0).error_code != 0) {
      EXPECT_FALSE(world.disk().powered()) << response.groups.at(0).error_code;
      return kPowerless;
    }
    const auto& one = response.groups.at(0).topics.at(0).partitions.at(0);
    if (one.error_code != 0) return -one.error_code;
    return one.committed_offset;
  }
  // Joins as the only member and gets its assignment.
  std::string join(std::string_view group, int32_t& generation) {
    JoinGroupRequest request{.group_id = group,
                             .session_timeout_ms = 10'000,
                             .rebalance_timeout_ms = 10'000,
                             .member_id = {},
                             .group_instance_id = {},
                             .protocol_type = "consumer",
                             .protocols = {{"range", as_bytes("orders, as I say")}},
                             .reason = {}};
    const auto first = world.run(groups->join(request, {.client_id = "c", .client_host = "/h", .version = 4}));
    EXPECT_EQ(first.error_code, number(ErrorCode::kMemberIdRequired));
    request.member_id = first.member_id;
    const auto second = world.run(groups->join(request, {.client_id = "c", .client_host = "/h", .version = 4}));
    EXPECT_EQ(second.error_code, 0);
    generation = second.generation_id;
    SyncGroupRequest sync;
    sync.group_id = group;
    sync.generation_id = generation;
    sync.member_id = first.member_id;
    sync.assignments = {{first.member_id, as_bytes("all")}};
    EXPECT_EQ(as_text(world.run(groups->sync(sync)).assignment), "all");
    return first.member_id;
  }
  ErrorCode heartbeat(std::string_view group, std::string_view member, int32_t generation) {
    HeartbeatRequest request;
    request.group_id = group;
    request.member_id = member;
    request.generation_id = generation;
    return static_cast<ErrorCode>(world.run(groups->heartbeat(request)).error_code);
  }
  ErrorCode leave(std::string_view group, std::string_view member) {
    LeaveGroupRequest request;
    request.group_id = group;
    request.member_id = member;
    return static_cast<ErrorCode>(world.run(groups->leave(request, 0)).error_code);
  }
  ErrorCode erase(std::string_view group) {
    DeleteGroupsRequest request;
    request.groups_names = {group};
    return static_cast<ErrorCode>(world.run(groups->erase(request)).results.at(0).error_code);
  }
  std::vector<std::string> listed(std::vector<std::string_view> states = {}) {
    ListGroupsRequest request;
    request.states_filter = std::move(states);
    std::vector<std::string> ids;
    for (const auto& one : world.run(groups->list(request)).groups) ids.push_back(one.group_id + ":" + one.group_state);
    return ids;
  }

  sim::World world;
  base::SeededRandom random;
  MemoryStore store;
  store::Keyspace rows;
  GroupsOptions options;
  std::unique_ptr<TopicRegistry> topics;
  std::unique_ptr<Groups> groups;
};

TEST_F(GroupsTest, a_committed_offset_survives_a_power_cut) {
  EXPECT_EQ(fetch("g", 0), kNothing);
  ASSERT_EQ(commit("g", 0, 42), ErrorCode::kNone);
  ASSERT_EQ(commit("g", 1, 7), ErrorCode::kNone);
  ASSERT_EQ(commit("g", 0, 43), ErrorCode::kNone);
  EXPECT_EQ(fetch("g", 0), 43);
  crash();
  EXPECT_EQ(fetch("g", 0), 43);
  EXPECT_EQ(fetch("g", 1), 7);
  EXPECT_EQ(fetch("g", 2), kNothing);
  EXPECT_EQ(fetch("other", 0), kNothing);
}

TEST_F(GroupsTest, members_go_on_after_a_power_cut_without_a_rebalance) {
  int32_t generation = 0;
  const std::string member = join("g", generation);
  ASSERT_EQ(commit("g", 0, 5, {.member = member, .generation = generation}), ErrorCode::kNone);
  crash();
  EXPECT_EQ(heartbeat("g", member, generation), ErrorCode::kNone);
  EXPECT_EQ(commit("g", 0, 6, {.member = member, .generation = generation}), ErrorCode::kNone);
  EXPECT_EQ(fetch("g", 0), 6);
  EXPECT_THAT(listed(), ElementsAre("g:Stable"));
  world.run_for(30s);
  EXPECT_EQ(heartbeat("g", member, generation), ErrorCode::kUnknownMemberId);
  EXPECT_THAT(listed(), ElementsAre("g:Empty"));
  crash();
  EXPECT_THAT(listed(), ElementsAre("g:Empty"));
  EXPECT_EQ(fetch("g", 0), 6);
}

TEST_F(GroupsTest, strangers_and_stale_members_commit_nothing) {
  EXPECT_EQ(commit("new", 0, 1, {.member = "x", .generation = 3}), ErrorCode::kIllegalGeneration);
  int32_t generation = 0;
  const std::string member = join("g", generation);
  EXPECT_EQ(commit("g", 0, 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(commit("g", 0, 1, {.member = member, .generation = generation - 1}), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit_in_transaction("g", 0, 1, 9, 0, member, generation - 1), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit_in_transaction("g", 0, 1, -1), ErrorCode::kInvalidProducerIdMapping);
  const std::string metadata(4097, 'm');
  EXPECT_EQ(commit("g", 0, 1, {.member = member, .generation = generation, .metadata = metadata}),
            ErrorCode::kOffsetMetadataTooLarge);
  EXPECT_EQ(fetch("g", 0), kNothing);
  const std::string endless(5000, 'g');
  EXPECT_EQ(commit(endless, 0, 1), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(heartbeat("", "m", 1), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(heartbeat("nobody", "m", 1), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupsTest, offsets_of_a_transaction_are_seen_when_it_commits_and_never_when_it_aborts) {
  ASSERT_EQ(commit("g", 0, 10), ErrorCode::kNone);
  EXPECT_EQ(commit_in_transaction("g", 0, 20, 9), ErrorCode::kInvalidTxnState) << "not part of the transaction";
  ASSERT_TRUE(begin_transaction("g", 9));
  ASSERT_EQ(commit_in_transaction("g", 0, 20, 9), ErrorCode::kNone);
  EXPECT_EQ(fetch("g", 0), kUnstable);
  EXPECT_EQ(fetch("g", 0, false), 10);
  EXPECT_EQ(fetch("g", 1), kNothing);
  ASSERT_TRUE(end_transaction("g", 9, false));
  EXPECT_EQ(fetch("g", 0), 10);

  ASSERT_TRUE(begin_transaction("g", 9, 1));
  EXPECT_EQ(commit_in_transaction("g", 0, 21, 9, 0), ErrorCode::kInvalidTxnState);
  ASSERT_EQ(commit_in_transaction("g", 0, 22, 9, 1), ErrorCode::kNone);
  ASSERT_EQ(commit_in_transaction("g", 0, 23, 9, 1), ErrorCode::kNone);
  EXPECT_EQ(commit_in_transaction("g", 0, 24, 9, 0), ErrorCode::kInvalidProducerEpoch) << "a zombie";
  ASSERT_TRUE(end_transaction("g", 9, true, 1));
  EXPECT_EQ(fetch("g", 0), 23);
  ASSERT_TRUE(end_transaction("g", 9, true, 1)) << "told twice";
  EXPECT_EQ(fetch("g", 0), 23);
  EXPECT_EQ(commit_in_transaction("g", 0, 25, 9, 1), ErrorCode::kInvalidTxnState) << "it is over";
  restart();
  EXPECT_EQ(fetch("g", 0), 23);
}

TEST_F(GroupsTest, an_open_transaction_stays_open_over_a_power_cut) {
  ASSERT_TRUE(begin_transaction("g", 9));
  ASSERT_EQ(commit_in_transaction("g", 0, 20, 9), ErrorCode::kNone);
  crash();
  EXPECT_EQ(fetch("g", 0), kUnstable);
  EXPECT_EQ(fetch("g", 0, false), kNothing);
  ASSERT_TRUE(end_transaction("g", 9, true));
  crash();
  EXPECT_EQ(fetch("g", 0), 20);
}

TEST_F(GroupsTest, a_marker_that_nobody_told_of_is_found_in_the_log) {
  ASSERT_TRUE(begin_transaction("g", 9));
  ASSERT_EQ(commit_in_transaction("g", 0, 20, 9), ErrorCode::kNone);
  ASSERT_TRUE(mark("g", 9, true));
  EXPECT_EQ(fetch("g", 0), kUnstable);
  crash();
  EXPECT_EQ(fetch("g", 0), 20);
}

TEST_F(GroupsTest, a_plain_commit_after_that_of_a_transaction_wins) {
  ASSERT_TRUE(begin_transaction("g", 9));
  ASSERT_EQ(commit_in_transaction("g", 0, 20, 9), ErrorCode::kNone);
  ASSERT_EQ(commit("g", 0, 30), ErrorCode::kNone);
  ASSERT_TRUE(end_transaction("g", 9, true));
  EXPECT_EQ(fetch("g", 0), 30);
  crash();
  EXPECT_EQ(fetch("g", 0), 30);
}

TEST_F(GroupsTest, many_commits_share_a_sync) {
  ASSERT_EQ(commit("g", 0, 0), ErrorCode::kNone);
  const uint64_t syncs = world.disk().statistics().syncs;
  constexpr int kCommits = 500;
  const auto all = [this]() -> Task<bool> {
    io::TaskGroup tasks;
    for (int i = 1; i <= kCommits; ++i) {
      const auto one = [](Groups* to, int offset) -> Task<void> {
        const auto response = co_await to->commit(request_of("g", 0, offset, Committing()));
        EXPECT_EQ(response.topics.at(0).partitions.at(0).error_code, 0);
      };
      tasks.spawn(one(groups.get(), i));
    }
    co_await tasks.join();
    co_return true;
  };
  EXPECT_TRUE(world.run(all()));
  EXPECT_LT(world.disk().statistics().syncs - syncs, 20u);
  EXPECT_EQ(fetch("g", 0), kCommits) << "in the order in which they came";
}

TEST_F(GroupsTest, a_group_with_members_is_not_deleted_and_one_without_leaves_nothing) {
  int32_t generation = 0;
  const std::string member = join("g", generation);
  ASSERT_EQ(commit("g", 0, 5, {.member = member, .generation = generation}), ErrorCode::kNone);
  EXPECT_EQ(erase("g"), ErrorCode::kNonEmptyGroup);
  EXPECT_EQ(erase("other"), ErrorCode::kGroupIdNotFound);
  ASSERT_EQ(leave("g", member), ErrorCode::kNone);
  ASSERT_TRUE(begin_transaction("g", 9));
  ASSERT_EQ(commit_in_transaction("g", 1, 20, 9), ErrorCode::kNone);
  EXPECT_EQ(erase("g"), ErrorCode::kNone);
  EXPECT_EQ(fetch("g", 0), kNothing);
  EXPECT_THAT(listed(), IsEmpty());
  crash();
  EXPECT_EQ(fetch("g", 0), kNothing);
  ASSERT_TRUE(end_transaction("g", 9, true));
  EXPECT_EQ(fetch("g", 1), kNothing) << "its offset was deleted with the group";
  restart();
  EXPECT_EQ(fetch("g", 1), kNothing);
  EXPECT_THAT(listed(), IsEmpty());
}

TEST_F(GroupsTest, single_offsets_are_deleted_unless_they_are_read) {
  ASSERT_EQ(commit("g", 0, 5), ErrorCode::kNone);
  ASSERT_EQ(commit("g", 1, 6), ErrorCode::kNone);
  OffsetDeleteRequest request;
  request.group_id = "g";
  request.topics = {{"orders", {{0}, {3}}}};
  auto response = world.run(groups->erase_offsets(request));
  EXPECT_EQ(response.error_code, 0);
  EXPECT_EQ(response.topics.at(0).partitions.at(1).error_code, 0) << "there was none, and there is none";
  EXPECT_EQ(fetch("g", 0), kNothing);
  EXPECT_EQ(fetch("g", 1), 6);
  crash();
  EXPECT_EQ(fetch("g", 0), kNothing);
  EXPECT_EQ(fetch("g", 1), 6);
  int32_t generation = 0;
  (void)join("g", generation);
  response = world.run(groups->erase_offsets(request));
  EXPECT_EQ(response.topics.at(0).partitions.at(0).error_code, number(ErrorCode::kGroupSubscribedToTopic))
      << "what the member reads cannot be told, so it may be this";
  request.group_id = "nobody";
  EXPECT_EQ(world.run(groups->erase_offsets(request)).error_code, number(ErrorCode::kGroupIdNotFound));
}

TEST_F(GroupsTest, offsets_go_with_their_topic) {
  ASSERT_EQ(commit("g", 0, 5), ErrorCode::kNone);
  EXPECT_TRUE(world.run(topics->erase("orders")).ok());
  EXPECT_EQ(fetch("g", 0), kNothing);
  create("orders");
  crash();
  EXPECT_EQ(fetch("g", 0), kNothing) << "a topic of the same name is another topic";
}

TEST_F(GroupsTest, offsets_of_a_topic_in_whose_end_polis_ended_are_not_those_of_its_successor) {
  create("bills");
  ASSERT_EQ(commit("g", 0, 5), ErrorCode::kNone);
  auto of_bills = request_of("g", 0, 6, {});
  of_bills.topics.at(0).name = "bills";
  EXPECT_EQ(world.run(groups->commit(of_bills)).topics.at(0).partitions.at(0).error_code, 0);
  ASSERT_TRUE(begin_transaction("h", 77));
  ASSERT_EQ(commit_in_transaction("h", 1, 8, 77), ErrorCode::kNone);
  // The topic goes, and nobody comes to tell the groups.
  topics->when_erased([](std::string) -> Task<void> { co_return; });
  EXPECT_TRUE(world.run(topics->erase("orders")).ok());
  crash();
  create("orders");  // perhaps before its offsets are read
  EXPECT_EQ(fetch("g", 0), kNothing);
  EXPECT_TRUE(end_transaction("h", 77, true));
  EXPECT_EQ(fetch("h", 1), kNothing);
  EXPECT_EQ(commit("g", 0, 7), ErrorCode::kNone);
  crash();
  EXPECT_EQ(fetch("g", 0), 7) << "what was committed since is the new topic's";
  EXPECT_EQ(fetch("h", 1), kNothing);
  OffsetFetchRequest bills;
  bills.groups = {{.group_id = "g", .member_id = {}, .member_epoch = -1, .topics = {{{"bills", {0}}}}}};
  EXPECT_EQ(world.run(groups->fetch(bills, 8)).groups.at(0).topics.at(0).partitions.at(0).committed_offset, 6);
}

TEST_F(GroupsTest, offsets_that_nobody_uses_expire) {
  int32_t generation = 0;
  const std::string member = join("members", generation);
  ASSERT_EQ(commit("members", 0, 5, {.member = member, .generation = generation}), ErrorCode::kNone);
  ASSERT_EQ(commit("simple", 0, 6), ErrorCode::kNone);
  ASSERT_EQ(commit("hasty", 0, 7, {.retention_ms = 3'600'000}), ErrorCode::kNone);
  ASSERT_EQ(leave("members", member), ErrorCode::kNone);
  world.run_for(2h);
  EXPECT_EQ(fetch("hasty", 0), kNothing);
  EXPECT_EQ(fetch("simple", 0), 6);
  world.run_for(24h * 6);
  restart();
  EXPECT_EQ(fetch("members", 0), 5);
  EXPECT_EQ(fetch("simple", 0), 6);
  world.run_for(24h);
  EXPECT_EQ(fetch("members", 0), kNothing);
  EXPECT_EQ(fetch("simple", 0), kNothing);
  EXPECT_THAT(listed(), IsEmpty());
  restart();
  EXPECT_THAT(listed(), IsEmpty());
}

TEST_F(GroupsTest, groups_are_listed_by_state_and_described) {
  int32_t generation = 0;
  (void)join("members", generation);
  ASSERT_EQ(commit("simple", 0, 6), ErrorCode::kNone);
  EXPECT_THAT(listed(), UnorderedElementsAre("members:Stable", "simple:Empty"));
  EXPECT_THAT(listed({"stable"}), ElementsAre("members:Stable"));
  EXPECT_THAT(listed({"Dead"}), IsEmpty());
  DescribeGroupsRequest request;
  request.groups = {"members", "nobody"};
  const auto described = world.run(groups->describe(request));
  EXPECT_EQ(described.groups.at(0).members.size(), 1u);
  EXPECT_EQ(described.groups.at(0).protocol_data, "range");
  EXPECT_EQ(described.groups.at(1).group_state, "Dead");
}

TEST_F(GroupsTest, a_broker_without_groups_has_no_offsets_topic) {
  EXPECT_THAT(listed(), IsEmpty());
  EXPECT_FALSE(topics->table()->find(kOffsetsTopic));
  EXPECT_TRUE(world.run(groups->prepare("g")));
  EXPECT_TRUE(topics->table()->find(kOffsetsTopic));
}

// --- everything at random, against what was acknowledged

class OffsetsModel {
 public:
  explicit OffsetsModel(uint64_t seed) : test_(seed), random_(seed * 7 + 1) {
    for (size_t group = 0; group < 2; ++group)
      for (int32_t partition = 0; partition < kPartitions; ++partition) committed_[{group, partition}] = {kNothing};
  }

  void run() {
    for (int step = 0; step < 120 && !testing::Test::HasFailure(); ++step) {
      if (random_.chance(1, 8) && test_.world.disk().powered()) test_.world.disk().crash_after(random_.below(6));
      switch (random_.below(8)) {
        case 0:
        case 1:
        case 2:
          plain();
          break;
        case 3:
        case 4:
          transactional();
          break;
        case 5:
          end();
          break;
        case 6:
          erase();
          break;
        default:
          if (random_.chance(1, 3) && test_.world.disk().powered()) test_.world.disk().crash(sim::Survival::kAll);
      }
      if (!test_.world.disk().powered()) {
        test_.crash();
        open_again();
      }
      check();
    }
  }

 private:
  static constexpr std::string_view kGroups[] = {"g", "h"};
  static constexpr int32_t kPartitions = 3;
  struct Key {
    size_t group = 0;
    int32_t partition = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Open {
    bool open = false;
    int16_t epoch = 0;
    std::map<Key, int64_t> pending;
    std::set<Key> perhaps;  // not acknowledged
  };
  Key key() { return {random_.below(2), static_cast<int32_t>(random_.below(kPartitions))}; }

  void plain() {
    const Key where = key();
    const int64_t offset = ++last_offset_;
    if (test_.commit(kGroups[where.group], where.partition, offset) == ErrorCode::kNone) {
      committed_[where] = {offset};
    } else {
      committed_[where].insert(offset);
    }
  }
  void transactional() {
    const size_t i = random_.below(2);
    Open& producer = producers_[i];
    if (!producer.open) {
      producer = {.open = true, .epoch = static_cast<int16_t>(producer.epoch + 1), .pending = {}, .perhaps = {}};
      if (!let_in(i)) {
        producer.open = false;
        return;
      }
    }
    const Key where = key();
    const int64_t offset = ++last_offset_;
    const ErrorCode done = test_.commit_in_transaction(kGroups[where.group], where.partition, offset,
                                                       static_cast<int64_t>(i), producer.epoch);
    if (done == ErrorCode::kNone) {
      producer.pending[where] = offset;
    } else {
      producer.perhaps.insert(where);
      maybe_[where].insert(offset);
    }
  }
  bool let_in(size_t i) {
    return std::ranges::all_of(kGroups, [&](std::string_view group) {
      return test_.begin_transaction(group, static_cast<int64_t>(i), producers_[i].epoch);
    });
  }
  void end() {
    const size_t i = random_.below(2);
    Open& producer = producers_[i];
    if (!producer.open) return;
    decided_ = std::pair(i, random_.chance(1, 2));
    finish();
  }
  // As the coordinator of transactions does: again and again until every partition has its marker.
  void finish() {
    if (!decided_) return;
    const auto [i, commits] = *decided_;
    Open& producer = producers_[i];
    for (const std::string_view group : kGroups)
      if (!test_.end_transaction(group, static_cast<int64_t>(i), commits, producer.epoch)) return;
    decided_.reset();
    if (commits) {
      for (const auto& [where, offset] : producer.pending) committed_[where] = won(where, {offset});
      for (const Key& where : producer.perhaps) committed_[where].merge(won(where, maybe_[where]));
    }
    producer.open = false;
    producer.pending.clear();
    producer.perhaps.clear();
  }
  // What is committed once these are: offsets grow with each record, and the newest record wins whenever it becomes
  // valid.
  std::set<int64_t> won(const Key& where, const std::set<int64_t>& offsets) {
    std::set<int64_t> all;
    for (const int64_t before : committed_[where])
      for (const int64_t offset : offsets) all.insert(std::max(before, offset));
    return all;
  }
  void erase() {
    const Key where = key();
    OffsetDeleteRequest request;
    request.group_id = kGroups[where.group];
    request.topics = {{"orders", {{where.partition}}}};
    const auto response = test_.world.run(test_.groups->erase_offsets(request));
    if (response.error_code == number(ErrorCode::kGroupIdNotFound)) return;
    if (response.error_code == 0) {
      committed_[where] = {kNothing};
      for (auto& one : producers_) one.pending.erase(where);
    } else {
      committed_[where].insert(kNothing);
      for (auto& one : producers_) {
        const auto pending = one.pending.extract(where);
        if (pending.empty()) continue;
        one.perhaps.insert(where);
        maybe_[where].insert(pending.mapped());
      }
    }
  }
  void open_again() {
    for (size_t i = 0; i < 2; ++i)
      if (producers_[i].open) (void)let_in(i);  // else the power is gone again
    finish();
  }
  void check() {
    if (!test_.world.disk().powered()) return;
    for (size_t group = 0; group < 2; ++group) {
      for (int32_t partition = 0; partition < kPartitions; ++partition) {
        const Key where{group, partition};
        const int64_t stable = test_.fetch(kGroups[group], partition);
        const int64_t seen = test_.fetch(kGroups[group], partition, false);
        if (stable == kPowerless || seen == kPowerless) return;
        std::set<int64_t>& allowed = committed_[where];
        if (decided_) continue;
        bool pending = false, perhaps = false;
        for (const Open& one : producers_) {
          pending |= one.pending.contains(where);
          perhaps |= one.perhaps.contains(where);
        }
        EXPECT_TRUE(allowed.contains(seen)) << seen << " was never acknowledged";
        if (pending) EXPECT_EQ(stable, kUnstable);
        if (!pending && !perhaps) EXPECT_EQ(stable, seen);
        if (stable != kUnstable) EXPECT_EQ(stable, seen);
        allowed = {seen};  // what was seen once stays
      }
    }
  }

  GroupsTest test_;
  base::SeededRandom random_;
  std::map<Key, std::set<int64_t>> committed_;
  std::map<Key, std::set<int64_t>> maybe_;
  Open producers_[2];
  std::optional<std::pair<size_t, bool>> decided_;
  int64_t last_offset_ = 0;
};

TEST(GroupsModel, acknowledged_offsets_are_there_whatever_happens_and_others_only_if_they_were_committed) {
  const uint64_t broken = sim::for_each_seed(
      sim::seeds(40), [](uint64_t seed) { OffsetsModel(seed).run(); }, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

}  // namespace
}  // namespace polis::stream
