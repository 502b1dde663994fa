#include "systems/stream/broker/topics_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"
#include "systems/stream/broker/memory_store_test_support.h"
#include "systems/stream/broker/topic_row.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

class TopicsTest : public testing::Test {
 protected:
  explicit TopicsTest(uint64_t seed = 1) : world(seed, three_shards()), random(seed) {
    options.directory = "polis/stream";
    rows = *store.keyspace("stream");
  }
  static sim::WorldOptions three_shards() {
    sim::WorldOptions options;
    options.shards = 3;
    return options;
  }
  ~TopicsTest() override {
    if (topics) close();
  }
  Result<void> try_open() {
    auto opened = world.run(TopicRegistry::open({.disk = world.disk(),
                                                 .store = store,
                                                 .rows = rows,
                                                 .clock = world.clock(),
                                                 .random = random,
                                                 .shards = {&world.shard(0), &world.shard(1), &world.shard(2)}},
                                                options));
    if (!opened) return fail(opened.error());
    topics = std::move(*opened);
    return {};
  }
  void open() {
    const auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error().text();
  }
  void close() {
    world.run(topics->close());
    topics.reset();
  }
  // The power goes now; what is open dies with it.
  void crash() {
    if (world.disk().powered()) world.disk().crash();
    close();
    world.disk().restart();
  }
  Refusal create(std::string name, int32_t partitions = 1, std::map<std::string, std::string> config = {}) {
    return world.run(static_cast<Topics&>(*topics).create(
        {.name = std::move(name), .partitions = partitions, .config = std::move(config)}, false));
  }
  const Topic* find(std::string_view name) { return topics->table()->find(name); }
  Result<Offset> append(std::string_view name, int32_t partition) {
    BatchBuilder builder;
    builder.add(1, as_bytes("key"), as_bytes("value"));
    const Bytes batch = builder.finish();
    const auto use = [&](Partition& open) -> Task<Result<Offset>> {
      const AppendResult appended = open.append(batch, AppendOrigin::kClient);
      if (!appended.refusal.ok()) co_return fail(Code::kInvalid, appended.refusal.message);
      CO_TRY(co_await open.wait(appended.next_offset));
      co_return appended.base_offset;
    };
    const auto picture = topics->table();
    return world.run(topics->with(*picture->find(name), partition, use));
  }
  Result<Offset> end(std::string_view name, int32_t partition) {
    const auto use = [](Partition& open) -> Task<Result<Offset>> { co_return open.end_offset(); };
    const auto picture = topics->table();
    return world.run(topics->with(*picture->find(name), partition, use));
  }

  sim::World world;
  base::SeededRandom random;
  MemoryStore store;
  store::Keyspace rows;
  TopicsOptions options;
  std::unique_ptr<TopicRegistry> topics;
};

TEST_F(TopicsTest, a_topic_and_its_records_are_there_after_a_restart_on_every_shard) {
  open();
  EXPECT_TRUE(create("orders", 7, {{"retention.ms", "1000"}}).ok());
  const Uuid id = find("orders")->id;
  for (int32_t p = 0; p < 7; ++p) EXPECT_EQ(append("orders", p).value_or(-1), 0);
  close();
  open();
  const Topic* topic = find("orders");
  ASSERT_TRUE(topic);
  EXPECT_EQ(topic->id, id);
  EXPECT_EQ(topics->table()->find(id), topic);
  EXPECT_EQ(topic->partitions, 7);
  EXPECT_EQ(topic->config.retention_ms, 1000);
  for (int32_t p = 0; p < 7; ++p) EXPECT_EQ(end("orders", p).value_or(-1), 1);
  const auto elsewhere = [&]() -> Task<bool> { co_return topics->table()->find("orders") == topic; };
  for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(world.run(io::on(world.shard(i), elsewhere)));
  EXPECT_EQ(end("orders", 7).error().code(), Code::kNotFound);
  EXPECT_EQ(end("orders", -1).error().code(), Code::kNotFound);
}

TEST_F(TopicsTest, what_cannot_be_made_is_refused_with_its_code) {
  options.partitions_max = 20;
  open();
  EXPECT_EQ(create("a/b").code, ErrorCode::kInvalidTopic);
  EXPECT_EQ(create("..").code, ErrorCode::kInvalidTopic);
  EXPECT_EQ(create("").code, ErrorCode::kInvalidTopic);
  EXPECT_EQ(create("__consumer_offsets").code, ErrorCode::kInvalidTopic);
  EXPECT_EQ(create("a", 0).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(create("a", -2).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(create("a", kPartitionsMax + 1).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(create("a", 21).code, ErrorCode::kPolicyViolation);
  EXPECT_EQ(create("a", 1, {{"no.such", "1"}}).code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(create("a", 1, {{"retention.ms", "soon"}}).code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(world.run(topics->create({.name = "a", .replication_factor = 3}, false, false)).code,
            ErrorCode::kInvalidReplicationFactor);
  EXPECT_TRUE(world.run(topics->create({.name = "a"}, true, false)).ok());  // validated only
  EXPECT_EQ(find("a"), nullptr);
  EXPECT_TRUE(create("a").ok());
  EXPECT_EQ(create("a").code, ErrorCode::kTopicAlreadyExists);
  EXPECT_EQ(world.run(topics->erase("b")).code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(world.run(topics->create({.name = "__own"}, false, true)).ok());
  EXPECT_EQ(world.run(topics->erase("__own")).code, ErrorCode::kPolicyViolation);
}

TEST_F(TopicsTest, an_erased_topic_leaves_no_file_and_its_successor_begins_empty) {
  open();
  std::vector<std::string> told;
  topics->when_erased([&](std::string name) -> Task<void> {
    told.push_back(std::move(name));
    co_return;
  });
  ASSERT_TRUE(create("a", 4).ok());
  ASSERT_TRUE(create("a-1", 2).ok());
  const Uuid id = find("a")->id;
  for (int32_t p = 0; p < 4; ++p) ASSERT_TRUE(append("a", p));
  ASSERT_TRUE(append("a-1", 0));
  EXPECT_TRUE(world.run(topics->erase("a")).ok());
  EXPECT_EQ(told, std::vector<std::string>{"a"});
  EXPECT_EQ(find("a"), nullptr);
  for (int32_t p = 0; p < 4; ++p)
    EXPECT_THAT(world.disk().files("polis/stream/a-" + std::to_string(p) + "/"), IsEmpty());
  ASSERT_TRUE(create("a", 4).ok());
  EXPECT_NE(find("a")->id, id);
  EXPECT_EQ(end("a", 0).value_or(-1), 0);
  EXPECT_EQ(end("a-1", 0).value_or(-1), 1);
}

TEST_F(TopicsTest, who_waits_in_a_partition_is_answered_when_its_topic_is_erased) {
  open();
  ASSERT_TRUE(create("a").ok());
  const auto script = [](Topics& topics) -> Task<void> {
    const auto picture = topics.table();
    io::TaskGroup group;
    bool answered = false;
    const auto wait = [](Topics& all, const Topic& topic, bool& done) -> Task<void> {
      const auto use = [](Partition& open) -> Task<Result<void>> {
        co_return co_await open.wait_for_data(0, 1, Isolation::kReadUncommitted);
      };
      (void)co_await all.with(topic, 0, use);
      done = true;
    };
    group.spawn(wait(topics, *picture->find("a"), answered));
    (void)co_await io::sleep_for(1s);
    EXPECT_FALSE(answered);
    EXPECT_TRUE((co_await topics.erase("a")).ok());
    co_await group.join();
    EXPECT_TRUE(answered);
  };
  world.run(script(*topics));
}

TEST_F(TopicsTest, a_topic_grows_and_never_shrinks) {
  open();
  ASSERT_TRUE(create("a", 2).ok());
  ASSERT_TRUE(append("a", 1));
  EXPECT_EQ(world.run(topics->add_partitions("a", 2, false)).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(world.run(topics->add_partitions("a", 1, false)).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(world.run(topics->add_partitions("b", 3, false)).code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(world.run(topics->add_partitions("a", 5, true)).ok());
  EXPECT_EQ(find("a")->partitions, 2);
  EXPECT_TRUE(world.run(topics->add_partitions("a", 5, false)).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(find("a")->partitions, 5);
    EXPECT_EQ(end("a", 1).value_or(-1), 1);
    EXPECT_EQ(end("a", 4).value_or(-1), 0);
    close();
    open();
  }
}

TEST_F(TopicsTest, options_are_changed_one_by_one_or_all_and_take_effect_at_once) {
  open();
  ASSERT_TRUE(create("a", 3, {{"max.message.bytes", "70"}, {"segment.ms", "5000"}}).ok());
  EXPECT_FALSE(append("a", 2));
  const auto change = [&](std::map<std::string, std::optional<std::string>> changes, bool all, bool only = false) {
    return world.run(topics->configure("a", std::move(changes), all, only));
  };
  EXPECT_EQ(change({{"max.message.bytes", "many"}}, false).code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(change({{"no.such", std::nullopt}}, false).code, ErrorCode::kInvalidConfig);
  EXPECT_TRUE(change({{"max.message.bytes", "1000"}}, false, true).ok());
  EXPECT_FALSE(append("a", 2));
  EXPECT_TRUE(change({{"max.message.bytes", "1000"}}, false).ok());
  EXPECT_TRUE(append("a", 2));
  EXPECT_EQ(find("a")->config.segment_ms, 5000);
  EXPECT_TRUE(change({{"segment.ms", std::nullopt}}, false).ok());
  EXPECT_EQ(find("a")->config.segment_ms, TopicConfig{}.segment_ms);
  EXPECT_TRUE(change({{"retention.ms", "9"}}, true).ok());
  close();
  open();
  EXPECT_EQ(find("a")->overrides, (std::map<std::string, std::string>{{"retention.ms", "9"}}));
}

TEST_F(TopicsTest, a_partition_that_cannot_be_opened_is_told_and_the_others_go_on) {
  options.tend_every = 1s;
  open();
  ASSERT_TRUE(create("a", 3).ok());
  for (int32_t p = 0; p < 3; ++p) ASSERT_TRUE(append("a", p));
  close();
  world.disk().put("polis/stream/a-1/state", as_bytes("damaged"));
  open();
  ASSERT_EQ(topics->problems().size(), 1u);
  EXPECT_EQ(topics->problems()[0].name, "a-1");
  const auto damaged = end("a", 1);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(error_code(damaged.error()), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(end("a", 0).value_or(-1), 1);
  EXPECT_EQ(end("a", 2).value_or(-1), 1);
  EXPECT_TRUE(world.run(topics->erase("a")).ok());
  EXPECT_THAT(topics->problems(), IsEmpty());
}

TEST_F(TopicsTest, a_partition_whose_files_are_gone_is_not_replaced_by_an_empty_one) {
  open();
  ASSERT_TRUE(create("a", 2).ok());
  close();
  world.run([](sim::World& w) -> Task<void> {
    for (const std::string& file : w.disk().files("polis/stream/a-0")) EXPECT_TRUE(co_await w.disk().remove(file));
    (void)co_await w.disk().remove("polis/stream/a-0/log");  // made by the first append only
    EXPECT_TRUE(co_await w.disk().remove("polis/stream/a-0"));
  }(world));
  open();
  const auto missing = end("a", 0);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kCorrupt);
  EXPECT_THAT(missing.error().message(), HasSubstr("missing"));
  EXPECT_EQ(end("a", 1).value_or(-1), 0);
}

TEST_F(TopicsTest, a_creation_whose_row_is_refused_leaves_no_topic_and_can_be_tried_again) {
  open();
  store.refuse_commits = Error(Code::kIo, "no rows today");
  EXPECT_EQ(create("a", 2).code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(find("a"), nullptr);
  store.refuse_commits.reset();
  EXPECT_TRUE(create("a", 2).ok());
  EXPECT_TRUE(append("a", 1));
}

TEST_F(TopicsTest, a_full_disk_is_seen_and_so_is_its_end) {
  open();
  EXPECT_FALSE(topics->disk_full());
  world.disk().put("ballast", Bytes(1000));
  world.disk().set_capacity(1040);
  world.run_for(6s);
  EXPECT_TRUE(topics->disk_full());
  world.disk().set_capacity(1 << 30);
  world.run_for(6s);
  EXPECT_FALSE(topics->disk_full());
}

TEST_F(TopicsTest, old_segments_go_in_the_rounds) {
  open();
  ASSERT_TRUE(create("a", 1, {{"retention.ms", "1000"}, {"segment.ms", "1000"}}).ok());
  ASSERT_TRUE(append("a", 0));  // of 1970
  world.run_for(2 * options.tend_every);
  const auto start = [](Partition& open) -> Task<Result<Offset>> { co_return open.log_start_offset(); };
  EXPECT_EQ(world.run(topics->with(*find("a"), 0, start)).value_or(-1), 1);
}

TEST_F(TopicsTest, rows_that_are_damaged_or_of_a_later_polis_are_refused) {
  Topic topic;
  topic.name = "a";
  topic.partitions = 3;
  topic.overrides = {{"retention.ms", "5"}};
  const std::string row = encode_topic(topic);
  EXPECT_TRUE(decode_topic("ta", row));
  for (size_t size = 0; size < row.size(); ++size) EXPECT_FALSE(decode_topic("ta", row.substr(0, size))) << size;
  EXPECT_FALSE(decode_topic("ta", row + "x"));
  EXPECT_FALSE(decode_topic("ta/", row));
  std::string later = row;
  later[0] = 9;
  EXPECT_EQ(decode_topic("ta", later).error().code(), Code::kUnsupported);
}

TEST_F(TopicsTest, directories_are_named_by_topic_and_number) {
  EXPECT_EQ(parse_partition_name("a-b-12"), std::pair(std::string("a-b"), 12));
  for (const char* other : {"a", "a-", "-1", "a-01", "a-1x", "a b-1", "a-99999999999", "a--1x"})
    EXPECT_FALSE(parse_partition_name(other)) << other;
}

// The power goes in the middle of changes; what was acknowledged holds, and what was not is there whole or not at all.
class TopicsLife : public TopicsTest {
 public:
  explicit TopicsLife(uint64_t seed) : TopicsTest(seed) {}
  void TestBody() override {
    std::map<std::string, int32_t> model;  // acknowledged
    open();
    for (int round = 0; round < 12; ++round) live(model);
  }

 private:
  void live(std::map<std::string, int32_t>& model) {
    std::string doubtful;
    world.disk().crash_after(1 + random.below(120));
    for (int step = 0; step < 40 && doubtful.empty(); ++step) {
      const std::string name(1, static_cast<char>('a' + random.below(4)));
      const auto known = model.find(name);
      Refusal done;
      if (known == model.end()) {
        const auto partitions = static_cast<int32_t>(1 + random.below(4));
        done = create(name, partitions);
        if (done.ok()) model[name] = partitions;
      } else if (random.chance(1, 2)) {
        done = world.run(topics->erase(name));
        if (done.ok()) model.erase(name);
      } else {
        done = world.run(topics->add_partitions(name, known->second + 1, false));
        if (done.ok()) ++known->second;
      }
      if (!done.ok()) doubtful = name;
    }
    crash();
    open();
    for (const PartitionProblem& problem : topics->problems()) ADD_FAILURE() << problem.name << problem.error.text();
    for (const auto& topic : topics->table()->all()) {
      if (topic->name != doubtful) EXPECT_EQ(model.count(topic->name), 1u) << topic->name;
      for (int32_t p = 0; p < topic->partitions; ++p) EXPECT_EQ(end(topic->name, p).value_or(-1), 0);
    }
    for (const auto& [name, partitions] : model) {
      if (name == doubtful) continue;
      ASSERT_TRUE(find(name)) << name;
      EXPECT_EQ(find(name)->partitions, partitions);
    }
    if (doubtful.empty()) return;
    if (const Topic* topic = find(doubtful))
      model[doubtful] = topic->partitions;
    else
      model.erase(doubtful);
  }
};

TEST(TopicsCrash, changes_are_whole_after_a_crash) {
  const uint64_t failed =
      sim::for_each_seed(sim::seeds(20), [](uint64_t seed) { TopicsLife(seed).TestBody(); }, testing::Test::HasFailure);
  EXPECT_EQ(failed, 0u) << "run it again with POLIS_SEED=" << failed;
}

}  // namespace
}  // namespace polis::stream
