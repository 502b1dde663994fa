#include "systems/stream/events/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/sim/seeds.h"
#include "systems/stream/events/event_test_support.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class OutboxTest : public testing::Test {
 public:
  explicit OutboxTest(uint64_t seed = 1) : at(seed) {}
  BrokerWorld at;

  Result<std::unique_ptr<Outbox>> open(std::string name = "orders") {
    return at.world.run(
        Outbox::open({.broker = *at.broker, .store = at.store, .rows = at.rows}, {.name = std::move(name)}));
  }
  void close(std::unique_ptr<Outbox>& outbox) {
    at.world.run(outbox->close());
    outbox.reset();
  }
  // One transaction: a row of the system's own, and the event that tells of it.
  Task<Result<store::CommitTime>> change(Outbox& outbox, std::string value, bool commit = true) {
    auto txn = CO_TRY(co_await at.store.begin({}));
    CO_TRY(txn->put(at.own, value, "there"));
    CO_TRY(outbox.put(*txn, "events", {.key = as_bytes(value), .value = as_bytes(value)}));
    if (!commit) co_return store::CommitTime{0};
    auto committed = co_await txn->commit(store::Sync::kDisk);
    outbox.notify();
    co_return committed;
  }
  // Of all partitions, one after the other.
  std::vector<std::string> events() {
    return at.world.run([](BrokerWorld& where) -> Task<std::vector<std::string>> {
      std::vector<std::string> all;
      auto consumer = co_await where.log().consumer({});
      std::map<TopicPartition, Offset> partitions;
      const auto table = where.topics->table();
      for (int32_t p = 0; p < table->find("events")->partitions; ++p) partitions[{"events", p}] = kEarliestOffset;
      EXPECT_TRUE(co_await (*consumer)->assign(partitions));
      while (true) {
        const auto polled = co_await (*consumer)->poll(0s);
        EXPECT_TRUE(polled) << polled.error().text();
        if (!polled || polled->empty()) break;
        for (const Record& record : polled->records) all.emplace_back(as_text(*record.value));
      }
      co_await (*consumer)->close();
      co_return all;
    }(at));
  }
};

TEST_F(OutboxTest, events_come_in_the_order_of_their_commits_and_not_without_one) {
  at.make("events");
  auto outbox = std::move(*open());
  EXPECT_TRUE(at.world.run(change(*outbox, "a")));
  EXPECT_TRUE(at.world.run(change(*outbox, "never", false)));
  EXPECT_TRUE(at.world.run(change(*outbox, "b")));
  EXPECT_TRUE(at.world.run(outbox->settled()));
  EXPECT_THAT(events(), ElementsAre("a", "b"));
  // Who began first but committed last comes last.
  at.world.run([](OutboxTest& test, Outbox& out) -> Task<void> {
    auto slow = co_await test.at.store.begin({});
    EXPECT_TRUE(out.put(**slow, "events", {.value = as_bytes(std::string_view("slow"))}));
    EXPECT_TRUE(co_await test.change(out, "fast"));
    EXPECT_TRUE(co_await out.settled());
    EXPECT_TRUE(co_await (*slow)->commit(store::Sync::kDisk));
    EXPECT_TRUE(co_await out.settled());
  }(*this, *outbox));
  EXPECT_THAT(events(), ElementsAre("a", "b", "fast", "slow"));
  EXPECT_EQ(outbox->statistics().sent, 4u);
  close(outbox);
}

TEST_F(OutboxTest, what_waits_while_there_is_no_topic_comes_when_there_is_one) {
  auto outbox = std::move(*open());
  EXPECT_TRUE(at.world.run(change(*outbox, "early")));
  at.world.run_for(1s);
  EXPECT_THAT(outbox->statistics().error, HasSubstr("events"));
  at.make("events");
  at.world.run_for(2s);
  EXPECT_THAT(events(), ElementsAre("early"));
  EXPECT_EQ(outbox->statistics().error, "");
  close(outbox);
}

TEST_F(OutboxTest, two_outboxes_share_a_topic) {
  at.make("events");
  auto one = std::move(*open("one")), two = std::move(*open("two"));
  EXPECT_TRUE(at.world.run(change(*one, "1")));
  EXPECT_TRUE(at.world.run(change(*two, "2")));
  EXPECT_TRUE(at.world.run(one->settled()));
  EXPECT_TRUE(at.world.run(two->settled()));
  EXPECT_THAT(events(), testing::UnorderedElementsAre("1", "2"));
  close(one);
  close(two);
}

TEST_F(OutboxTest, what_cannot_be_put_is_refused) {
  EXPECT_FALSE(open(""));
  EXPECT_FALSE(open("A b"));
  auto outbox = std::move(*open());
  auto txn = std::move(*at.world.run(at.store.begin({})));
  EXPECT_EQ(outbox->put(*txn, "no/topic", {}).error().code(), Code::kInvalid);
  const std::string huge(kOutboxRecordBytesMax, 'x');
  EXPECT_EQ(outbox->put(*txn, "events", {.value = as_bytes(huge)}).error().code(), Code::kTooLarge);
  close(outbox);
}

// Rows are refused and power goes at any moment: every committed event comes exactly once, no other ever.
class OutboxLife : public OutboxTest {
 public:
  explicit OutboxLife(uint64_t seed) : OutboxTest(seed) {}
  void TestBody() override {
    at.make("events", 3);
    std::multiset<std::string> committed;
    int number = 0;
    for (int round = 0; round < 6; ++round) {
      auto opened = open();
      ASSERT_TRUE(opened) << opened.error().text();
      at.world.disk().crash_after(1 + at.random.below(40));
      for (int i = 0; i < 30 && at.world.disk().powered(); ++i) {
        if (at.random.chance(1, 10)) at.store.refuse_commits = Error(Code::kBusy, "not now");
        const std::string value = std::to_string(number++);
        if (at.world.run(change(**opened, value))) committed.insert(value);
        if (at.random.chance(1, 2)) at.world.run_for(std::chrono::milliseconds(at.random.below(30)));
        at.store.refuse_commits.reset();
      }
      close(*opened);
      at.restart_after_crash();
    }
    auto outbox = std::move(*open());
    EXPECT_TRUE(at.world.run(outbox->settled()));
    const auto came = events();
    EXPECT_EQ(std::multiset<std::string>(came.begin(), came.end()), committed);
    close(outbox);
  }
};

TEST(OutboxCrash, every_committed_event_comes_exactly_once) {
  const uint64_t failed =
      sim::for_each_seed(sim::seeds(20), [](uint64_t seed) { OutboxLife(seed).TestBody(); }, testing::Test::HasFailure);
  EXPECT_EQ(failed, 0u) << "run it again with POLIS_SEED=" << failed;
}

}  // namespace
}  // namespace polis::stream
