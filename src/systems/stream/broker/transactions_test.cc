#include "systems/stream/broker/transactions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"
#include "systems/stream/broker/groups.h"
#include "systems/stream/broker/memory_store_test_support.h"
#include "systems/stream/broker/topics_registry.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int32_t kTransactionTimeoutMs = 60'000;

struct TestProducer {
  std::string id;
  int64_t producer_id = -1;
  int16_t epoch = -1;
  std::map<TopicPartition, int32_t> sequences;  // the next one
};

// A broker without sockets in a simulated machine: topics, groups and the coordinator, on three shards.
class TransactionsTest : public testing::Test {
 protected:
  explicit TransactionsTest(uint64_t seed = 1) : world(seed, three_shards()), random(seed) {
    rows = *store.keyspace("stream");
  }
  ~TransactionsTest() override {
    if (topics) close();
  }
  static sim::WorldOptions three_shards() {
    sim::WorldOptions options;
    options.shards = 3;
    return options;
  }

  void open() {
    const std::vector<io::Shard*> shards{&world.shard(0), &world.shard(1), &world.shard(2)};
    TopicsOptions topics_options;
    topics_options.directory = "polis/stream";
    auto registry = world.run(TopicRegistry::open({.disk = world.disk(),
                                                   .store = store,
                                                   .rows = rows,
                                                   .clock = world.clock(),
                                                   .random = random,
                                                   .shards = shards},
                                                  topics_options));
    ASSERT_TRUE(registry) << registry.error().text();
    topics = std::move(*registry);
    auto opened_groups =
        world.run(open_groups({.topics = *topics, .clock = world.clock(), .random = random, .options = {}}));
    ASSERT_TRUE(opened_groups) << opened_groups.error().text();
    groups = std::move(*opened_groups);
    auto opened = world.run(open_transactions(
        {.store = store, .rows = rows, .topics = *topics, .groups = *groups, .shards = shards, .clock = world.clock()},
        options));
    ASSERT_TRUE(opened) << opened.error().text();
    transactions = std::move(*opened);
  }
  void close() {
    world.run(transactions->close());
    world.run(groups->close());
    world.run(topics->close());
    transactions.reset();
    groups.reset();
    topics.reset();
  }
  void restart() {
    world.disk().crash_after(0);
    close();
    power_on();
    open();
  }
  // The power goes now; what is open dies with it.
  void crash() {
    world.disk().crash_after(0);
    if (world.disk().powered()) world.disk().crash();
    close();
    power_on();
    open();
  }
  // A cut that was due in the middle of an operation may still be on its way.
  void power_on() {
    world.run_for(20ms);
    if (!world.disk().powered()) world.disk().restart();
  }
  void create(std::string name, int32_t partitions, std::map<std::string, std::string> config = {}) {
    const Refusal refusal = world.run(static_cast<Topics&>(*topics).create(
        {.name = std::move(name), .partitions = partitions, .config = std::move(config)}, false));
    ASSERT_TRUE(refusal.ok()) << refusal.message;
  }

  // --- what a client does
  ErrorCode init(TestProducer& client, bool go_on = false, int32_t timeout_ms = kTransactionTimeoutMs) {
    InitProducerIdRequest request{.transactional_id = client.id, .transaction_timeout_ms = timeout_ms};
    if (go_on) {
      request.producer_id = client.producer_id;
      request.producer_epoch = client.epoch;
    }
    const auto response = world.run(transactions->init_producer_id(request));
    if (response.error_code == 0) {
      client.producer_id = response.producer_id;
      client.epoch = response.producer_epoch;
      client.sequences.clear();
    }
    return static_cast<ErrorCode>(response.error_code);
  }
  ErrorCode add(const TestProducer& client, std::string_view topic, std::vector<int32_t> partitions) {
    AddPartitionsToTxnRequest request{.v3_and_below_transactional_id = client.id,
                                      .v3_and_below_producer_id = client.producer_id,
                                      .v3_and_below_producer_epoch = client.epoch,
                                      .v3_and_below_topics = {{topic, std::move(partitions)}}};
    const auto response = world.run(transactions->add_partitions(request));
    return static_cast<ErrorCode>(
        response.results_by_topic_v3_and_below.at(0).results_by_partition.at(0).partition_error_code);
  }
  ErrorCode produce(TestProducer& client, std::string topic, int32_t partition, std::string_view value) {
    int32_t& sequence = client.sequences[{topic, partition}];
    BatchBuilder builder({.id = client.producer_id,
                          .epoch = client.epoch,
                          .base_sequence = sequence,
                          .transactional = !client.id.empty()});
    builder.add(base::milliseconds_since_epoch(world.clock().wall()), as_bytes("key"), as_bytes(value));
    const Bytes batch = builder.finish();
    const auto use = [&batch](Partition& open) -> Task<Refusal> {
      const AppendResult appended = open.append(batch, AppendOrigin::kClient);
      if (!appended.refusal.ok()) co_return appended.refusal;
      const auto waited = co_await open.wait(appended.next_offset);
      co_return waited ? Refusal{} : Refusal{ErrorCode::kKafkaStorageError, waited.error().text()};
    };
    const auto picture = topics->table();
    const Topic* known = picture->find(topic);
    if (!known) return ErrorCode::kUnknownTopicOrPartition;
    const auto refusal = world.run(topics->with(*known, partition, use));
    const ErrorCode code = refusal ? refusal->code : error_code(refusal.error());
    if (code == ErrorCode::kNone) ++sequence;
    return code;
  }
  ErrorCode end(const TestProducer& client, bool commit) {
    const auto response = world.run(transactions->end({.transactional_id = client.id,
                                                       .producer_id = client.producer_id,
                                                       .producer_epoch = client.epoch,
                                                       .committed = commit}));
    return static_cast<ErrorCode>(response.error_code);
  }
  std::string state_of(const TestProducer& client) {
    const std::string_view id = client.id;
    return world.run(transactions->describe({.transactional_ids = {id}})).transaction_states.at(0).transaction_state;
  }
  // The values that a reader is shown, in their order.
  std::vector<std::string> read(std::string_view topic, int32_t partition,
                                Isolation isolation = Isolation::kReadCommitted) {
    std::vector<std::string> values;
    const auto use = [&](Partition& open) -> Task<Result<void>> {
      Offset from = open.log_start_offset();
      while (true) {
        const Fetched fetched = co_await open.fetch(from, 1 << 20, isolation);
        if (!fetched.refusal.ok()) co_return fail(Code::kIo, fetched.refusal.message);
        Bytes bytes(fetched.range.size);
        if (!fetched.file) co_return {};
        CO_TRY(co_await fetched.file->read_at(fetched.range.offset, bytes));
        BytesView rest = bytes;
        std::map<int64_t, Offset> aborting;  // producer → marker
        while (!rest.empty()) {
          const auto size = RecordBatch::size_of(rest);
          if (!size || !*size) co_return fail(Code::kCorrupt, "a batch is cut");
          const RecordBatch batch(rest.first(**size));
          rest = rest.subspan(**size);
          from = batch.last_offset() + 1;
          if (batch.control()) continue;
          const bool aborted = std::ranges::any_of(fetched.aborted, [&](const AbortedTransaction& one) {
            return one.producer_id == batch.producer_id() && one.first_offset <= batch.base_offset() &&
                   batch.base_offset() < one.marker_offset;
          });
          if (aborted && isolation == Isolation::kReadCommitted) continue;
          RecordReader records(batch, batch.records());
          while (const auto record = CO_TRY(records.next())) values.emplace_back(as_text(*record->value));
        }
      }
    };
    const auto picture = topics->table();
    const auto done = world.run(topics->with(*picture->find(topic), partition, use));
    EXPECT_TRUE(done) << done.error().text();
    return values;
  }
  size_t open_in(std::string_view topic, int32_t partition) {
    const auto use = [](Partition& open) -> Task<size_t> { co_return open.statistics().open_transactions; };
    const auto picture = topics->table();
    return world.run(topics->with(*picture->find(topic), partition, use)).value_or(99);
  }

  sim::World world;
  base::SeededRandom random;
  MemoryStore store;
  store::Keyspace rows;
  TransactionsOptions options;
  std::unique_ptr<TopicRegistry> topics;
  std::unique_ptr<Groups> groups;
  std::unique_ptr<Transactions> transactions;
};

TEST_F(TransactionsTest, producer_ids_are_given_once_before_and_after_a_restart) {
  open();
  std::set<int64_t> ids;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1100; ++i) {
      const auto given = world.run(transactions->init_producer_id({}));
      ASSERT_EQ(given.error_code, 0);
      ASSERT_EQ(given.producer_epoch, 0);
      ASSERT_TRUE(ids.insert(given.producer_id).second) << given.producer_id;
    }
    restart();
  }
}

TEST_F(TransactionsTest, what_is_committed_is_read_in_every_partition_and_what_is_aborted_in_none) {
  open();
  create("orders", 3);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0, 1, 2}), ErrorCode::kNone);
  for (int32_t p = 0; p < 3; ++p) ASSERT_EQ(produce(client, "orders", p, "first"), ErrorCode::kNone);
  EXPECT_THAT(read("orders", 1), IsEmpty()) << "it is open";
  ASSERT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_EQ(state_of(client), "CompleteCommit");
  for (int32_t p = 0; p < 3; ++p) EXPECT_THAT(read("orders", p), ElementsAre("first"));

  ASSERT_EQ(add(client, "orders", {1}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 1, "second"), ErrorCode::kNone);
  ASSERT_EQ(end(client, false), ErrorCode::kNone);
  EXPECT_THAT(read("orders", 1), ElementsAre("first"));
  EXPECT_THAT(read("orders", 1, Isolation::kReadUncommitted), ElementsAre("first", "second"));
  EXPECT_EQ(end(client, false), ErrorCode::kNone) << "a repetition";
  EXPECT_EQ(end(client, true), ErrorCode::kInvalidTxnState);
}

TEST_F(TransactionsTest, a_partition_takes_nothing_that_was_not_added_to_the_transaction) {
  open();
  create("orders", 2);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  EXPECT_EQ(produce(client, "orders", 0, "early"), ErrorCode::kInvalidTxnState);
  ASSERT_EQ(add(client, "orders", {0}), ErrorCode::kNone);
  EXPECT_EQ(produce(client, "orders", 0, "in"), ErrorCode::kNone);
  EXPECT_EQ(produce(client, "orders", 1, "elsewhere"), ErrorCode::kInvalidTxnState);
  ASSERT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_EQ(produce(client, "orders", 0, "late"), ErrorCode::kInvalidTxnState);
}

TEST_F(TransactionsTest, bad_requests_are_refused_with_the_codes_of_the_protocol) {
  open();
  create("orders", 1);
  TestProducer nobody{.id = ""};
  EXPECT_EQ(init(nobody), ErrorCode::kInvalidRequest);
  EXPECT_EQ(add(nobody, "orders", {0}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(end(nobody, true), ErrorCode::kInvalidRequest);
  TestProducer client{.id = "shop"};
  EXPECT_EQ(init(client, false, 0), ErrorCode::kInvalidTransactionTimeout);
  EXPECT_EQ(init(client, false, -1), ErrorCode::kInvalidTransactionTimeout);
  EXPECT_EQ(init(client, false, 900'001), ErrorCode::kInvalidTransactionTimeout);
  EXPECT_EQ(add(client, "orders", {0}), ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(end(client, true), ErrorCode::kInvalidProducerIdMapping);
  TestProducer half{.id = "half", .producer_id = 4, .epoch = -1};
  EXPECT_EQ(init(half, true), ErrorCode::kInvalidRequest);
  TestProducer endless{.id = std::string(5000, 'x')};
  EXPECT_EQ(init(endless), ErrorCode::kInvalidRequest);

  ASSERT_EQ(init(client, false, 900'000), ErrorCode::kNone);
  EXPECT_EQ(add(client, "orders", {1}), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(add(client, "nothing", {0}), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(add(client, "orders", {0, 1}), ErrorCode::kOperationNotAttempted) << "all or none";
  EXPECT_EQ(end(client, true), ErrorCode::kInvalidTxnState) << "none is open";
  EXPECT_EQ(world.run(transactions->abort("shop")).code, ErrorCode::kInvalidTxnState);
  EXPECT_EQ(world.run(transactions->abort("nobody")).code, ErrorCode::kTransactionalIdNotFound);
  const auto described = world.run(transactions->describe({.transactional_ids = {"nobody", ""}}));
  EXPECT_EQ(described.transaction_states.at(0).error_code, 105);
  EXPECT_EQ(described.transaction_states.at(1).error_code, 42);
}

TEST_F(TransactionsTest, a_second_producer_aborts_what_the_first_has_open_and_fences_it) {
  open();
  create("orders", 1);
  TestProducer first{.id = "shop"}, second{.id = "shop"};
  ASSERT_EQ(init(first), ErrorCode::kNone);
  ASSERT_EQ(add(first, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(first, "orders", 0, "zombie"), ErrorCode::kNone);
  ASSERT_EQ(init(second), ErrorCode::kNone);
  EXPECT_EQ(second.producer_id, first.producer_id);
  EXPECT_GT(second.epoch, first.epoch);
  EXPECT_EQ(produce(first, "orders", 0, "zombie"), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(add(first, "orders", {0}), ErrorCode::kProducerFenced);
  EXPECT_EQ(end(first, true), ErrorCode::kProducerFenced);
  EXPECT_EQ(init(first, true), ErrorCode::kProducerFenced);
  ASSERT_EQ(add(second, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(second, "orders", 0, "owner"), ErrorCode::kNone);
  ASSERT_EQ(end(second, true), ErrorCode::kNone);
  EXPECT_THAT(read("orders", 0), ElementsAre("owner"));
}

TEST_F(TransactionsTest, an_open_transaction_goes_on_after_a_restart_and_one_that_was_decided_is_told_again) {
  open();
  create("orders", 2);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0, 1}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 0, "before"), ErrorCode::kNone);
  crash();
  EXPECT_EQ(state_of(client), "Ongoing");
  ASSERT_EQ(produce(client, "orders", 0, "after"), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 1, "never sent to before"), ErrorCode::kNone);

  // The disk dies with the first marker: what was decided stands in the rows.
  world.disk().crash_after(1);
  ASSERT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_EQ(state_of(client), "PrepareCommit");
  crash();
  world.run_for(3s);
  EXPECT_EQ(state_of(client), "CompleteCommit");
  EXPECT_THAT(read("orders", 0), ElementsAre("before", "after"));
  EXPECT_THAT(read("orders", 1), ElementsAre("never sent to before"));
}

TEST_F(TransactionsTest, time_that_runs_out_aborts_and_the_producer_may_come_back) {
  open();
  create("orders", 1);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client, false, 10'000), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 0, "too slow"), ErrorCode::kNone);
  world.run_for(8s);
  EXPECT_EQ(state_of(client), "Ongoing");
  restart();  // the time before it counts
  world.run_for(4s);
  EXPECT_EQ(state_of(client), "CompleteAbort");
  EXPECT_EQ(open_in("orders", 0), 0u);
  EXPECT_EQ(end(client, true), ErrorCode::kProducerFenced);
  ASSERT_EQ(init(client, true), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 0, "in time"), ErrorCode::kNone);
  ASSERT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_THAT(read("orders", 0), ElementsAre("in time"));
}

TEST_F(TransactionsTest, an_operator_ends_a_transaction_that_hangs) {
  open();
  create("orders", 1);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 0, "hangs"), ErrorCode::kNone);
  const auto listed = world.run(transactions->list({.state_filters = {"Ongoing", "Broken"}}));
  ASSERT_EQ(listed.transaction_states.size(), 1u);
  EXPECT_EQ(listed.transaction_states[0].transactional_id, "shop");
  EXPECT_THAT(listed.unknown_state_filters, ElementsAre("Broken"));
  EXPECT_THAT(world.run(transactions->list({.duration_filter = 1000})).transaction_states, IsEmpty());
  world.run_for(2s);
  EXPECT_EQ(world.run(transactions->list({.duration_filter = 1000})).transaction_states.size(), 1u);
  EXPECT_TRUE(world.run(transactions->abort("shop")).ok());
  EXPECT_EQ(open_in("orders", 0), 0u);
  EXPECT_THAT(read("orders", 0), IsEmpty());
}

TEST_F(TransactionsTest, a_partition_that_is_gone_does_not_keep_a_transaction_from_ending) {
  open();
  create("orders", 1);
  create("gone", 1);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(add(client, "gone", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 0, "kept"), ErrorCode::kNone);
  ASSERT_TRUE(world.run(static_cast<Topics&>(*topics).erase("gone")).ok());
  ASSERT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_EQ(state_of(client), "CompleteCommit");
  EXPECT_THAT(read("orders", 0), ElementsAre("kept"));
}

TEST_F(TransactionsTest, a_change_that_the_store_refuses_did_not_happen) {
  open();
  create("orders", 1);
  TestProducer client{.id = "shop"};
  store.refuse_commits = Error(Code::kBusy, "too much waits");
  EXPECT_EQ(init(client), ErrorCode::kCoordinatorNotAvailable);
  store.refuse_commits.reset();
  ASSERT_EQ(init(client), ErrorCode::kNone);
  ASSERT_EQ(add(client, "orders", {0}), ErrorCode::kNone);
  ASSERT_EQ(produce(client, "orders", 0, "kept"), ErrorCode::kNone);
  store.refuse_commits = Error(Code::kBusy, "too much waits");
  EXPECT_EQ(end(client, true), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(state_of(client), "Ongoing");
  EXPECT_THAT(read("orders", 0), IsEmpty());
  store.refuse_commits.reset();
  EXPECT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_THAT(read("orders", 0), ElementsAre("kept"));
}

TEST_F(TransactionsTest, an_open_transaction_that_no_row_knows_is_ended_at_start) {
  open();
  create("orders", 1);
  TestProducer stranger{.id = "nobody", .producer_id = 77, .epoch = 2};
  const auto admit = [](Partition& open) -> Task<bool> {
    open.begin_transaction(77, 2);
    co_return true;
  };
  {
    const auto picture = topics->table();
    ASSERT_TRUE(world.run(topics->with(*picture->find("orders"), 0, admit)));
  }
  ASSERT_EQ(produce(stranger, "orders", 0, "lost"), ErrorCode::kNone);
  EXPECT_EQ(open_in("orders", 0), 1u);
  restart();
  EXPECT_EQ(open_in("orders", 0), 0u);
  EXPECT_THAT(read("orders", 0), IsEmpty());
}

TEST_F(TransactionsTest, offsets_of_a_group_become_valid_with_the_transaction) {
  open();
  create("orders", 1);
  TestProducer client{.id = "shop"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  const auto committed = [&] {
    const auto fetched = world.run(groups->fetch(
        {.group_id = "readers", .topics = std::vector<OffsetFetchRequest::OffsetFetchRequestTopic>{{"orders", {0}}}},
        5));
    EXPECT_EQ(fetched.topics.size(), 1u);
    return fetched.topics.empty() ? -2 : fetched.topics[0].partitions.at(0).committed_offset;
  };
  const auto commit_offset = [&](Offset offset) {
    TxnOffsetCommitRequest request;
    request.transactional_id = client.id;
    request.group_id = "readers";
    request.producer_id = client.producer_id;
    request.producer_epoch = client.epoch;
    request.topics = {{"orders", {{.partition_index = 0, .committed_offset = offset, .committed_metadata = {}}}}};
    const auto response = world.run(groups->commit_in_transaction(request));
    return static_cast<ErrorCode>(response.topics.at(0).partitions.at(0).error_code);
  };
  const auto add_offsets = [&] {
    const auto response = world.run(transactions->add_offsets({.transactional_id = client.id,
                                                               .producer_id = client.producer_id,
                                                               .producer_epoch = client.epoch,
                                                               .group_id = "readers"}));
    return static_cast<ErrorCode>(response.error_code);
  };
  ASSERT_EQ(add_offsets(), ErrorCode::kNone);
  ASSERT_EQ(commit_offset(5), ErrorCode::kNone);
  EXPECT_EQ(committed(), -1);
  ASSERT_EQ(end(client, true), ErrorCode::kNone);
  EXPECT_EQ(committed(), 5);
  EXPECT_EQ(commit_offset(6), ErrorCode::kInvalidTxnState) << "not in a transaction";
  ASSERT_EQ(add_offsets(), ErrorCode::kNone);
  ASSERT_EQ(commit_offset(6), ErrorCode::kNone);
  crash();
  ASSERT_EQ(commit_offset(7), ErrorCode::kNone) << "it goes on";
  ASSERT_EQ(end(client, false), ErrorCode::kNone);
  EXPECT_EQ(committed(), 5);
  crash();
  EXPECT_EQ(committed(), 5);
}

TEST_F(TransactionsTest, an_id_that_nobody_uses_is_forgotten) {
  options.id_expiry = 3h;
  open();
  create("orders", 1);
  TestProducer client{.id = "shop"}, other{.id = "busy"};
  ASSERT_EQ(init(client), ErrorCode::kNone);
  world.run_for(2h);
  ASSERT_EQ(init(other), ErrorCode::kNone);
  world.run_for(2h);
  EXPECT_EQ(add(client, "orders", {0}), ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(add(other, "orders", {0}), ErrorCode::kNone);
  restart();
  EXPECT_EQ(add(client, "orders", {0}), ErrorCode::kInvalidProducerIdMapping);
  const int64_t before = client.producer_id;
  ASSERT_EQ(init(client), ErrorCode::kNone);
  EXPECT_NE(client.producer_id, before);
}

// Producers that begin, write, commit, abort, fall asleep and fence each other, under power cuts and restarts: in the
// end a reader is shown exactly the values of the transactions whose commit was acknowledged, each once, in the order
// in which their producer wrote them.
class TransactionsHistory : public TransactionsTest {
 public:
  explicit TransactionsHistory(uint64_t seed) : TransactionsTest(seed), chance(seed * 31 + 7) {}
  void TestBody() override {}

  void run() {
    open();
    create("t", kPartitions);
    writers.resize(3);
    for (size_t i = 0; i < writers.size(); ++i) writers[i].client.id = "id" + std::to_string(i);
    for (int step = 0; step < 150 && !HasFailure(); ++step) {
      if (chance.chance(1, 25)) world.disk().crash_after(1 + chance.below(6));
      if (chance.chance(1, 60)) world.run_for(kTimeout);
      take_step(writers[chance.below(writers.size())]);
      if (!world.disk().powered()) crash();
      if (chance.chance(1, 40)) restart();
    }
    world.disk().crash_after(0);
    world.run_for(1s);  // a cut that has begun still comes
    if (!world.disk().powered()) crash();
    world.run_for(2 * kTimeout);  // what is open runs out of time
    check();
    crash();
    check();
  }

 private:
  static constexpr int32_t kPartitions = 3;
  static constexpr Duration kTimeout = 20s;
  struct Writer {
    TestProducer client;
    bool has_epoch = false;
    bool spoiled = false;  // the outcome of a write is unknown: it must abort
    std::set<int32_t> added;
    std::vector<std::string> written;
    void forget() {
      spoiled = false;
      added.clear();
      written.clear();
    }
  };

  void begin(Writer& writer) {
    const bool go_on = writer.client.epoch >= 0 && chance.chance(1, 2);
    writer.forget();
    writer.has_epoch = init(writer.client, go_on, 20'000) == ErrorCode::kNone;
    if (writer.has_epoch) return;
    writer.client.producer_id = -1;
    writer.client.epoch = -1;
  }
  void take_step(Writer& writer) {
    if (!writer.has_epoch || chance.chance(1, 30)) return begin(writer);
    const auto partition = static_cast<int32_t>(chance.below(kPartitions));
    if (!writer.spoiled && !writer.added.contains(partition)) {
      const ErrorCode code = add(writer.client, "t", {partition});
      if (code == ErrorCode::kNone) writer.added.insert(partition);
      return note_failure(writer, code);
    }
    if (!writer.spoiled && chance.chance(3, 5)) {
      const std::string value = writer.client.id + ":" + std::to_string(++values);
      if (produce(writer.client, "t", partition, value) == ErrorCode::kNone)
        writer.written.push_back(value);
      else
        writer.spoiled = true;
      return;
    }
    if (writer.added.empty()) return;
    const bool commit = !writer.spoiled && chance.chance(2, 3);
    const ErrorCode code = end(writer.client, commit);
    if (code != ErrorCode::kNone) return note_failure(writer, code);
    if (commit) committed.insert(writer.written.begin(), writer.written.end());
    if (writer.spoiled) writer.has_epoch = false;  // it does not know which sequence is next
    writer.forget();
  }
  void note_failure(Writer& writer, ErrorCode code) {
    // Without power markers wait; a producer that slept was aborted. Nothing else is to be expected.
    if (code == ErrorCode::kNone || code == ErrorCode::kConcurrentTransactions) return;
    if (code == ErrorCode::kKafkaStorageError && !world.disk().powered()) return;
    EXPECT_EQ(code, ErrorCode::kProducerFenced);
    writer.forget();
    writer.has_epoch = false;
  }
  void check() {
    std::multiset<std::string> shown;
    for (int32_t p = 0; p < kPartitions; ++p) {
      EXPECT_EQ(open_in("t", p), 0u);
      std::map<std::string, int> last;
      for (const std::string& value : read("t", p)) {
        shown.insert(value);
        const size_t colon = value.find(':');
        const int number = std::stoi(value.substr(colon + 1));
        EXPECT_LT(std::exchange(last[value.substr(0, colon)], number), number) << "the order of " << value;
      }
    }
    EXPECT_EQ(shown, committed);
  }

  base::SeededRandom chance;
  std::vector<Writer> writers;
  std::multiset<std::string> committed;
  int values = 0;
};

TEST(TransactionsProperties, readers_are_shown_what_was_committed_once_and_in_order_whatever_breaks) {
  const auto round = [](uint64_t seed) { TransactionsHistory(seed).run(); };
  const uint64_t failed = sim::for_each_seed(sim::seeds(), round, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(failed, 0u) << "POLIS_SEED=" << failed;
}

}  // namespace
}  // namespace polis::stream
