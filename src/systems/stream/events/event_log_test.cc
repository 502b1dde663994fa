#include "systems/stream/events/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "systems/stream/client/partitioner.h"
#include "systems/stream/events/event_test_support.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

NewRecord event(std::string_view key, std::string_view value) {
  return {.key = as_bytes(key), .value = as_bytes(value)};
}

class EventLogTest : public testing::Test {
 public:
  BrokerWorld at;

  std::unique_ptr<Producer> producer(ProducerOptions options = {}) {
    auto made = at.world.run(at.log().producer(std::move(options)));
    EXPECT_TRUE(made) << made.error().text();
    return std::move(*made);
  }
  // Of one partition, from the beginning.
  std::vector<std::string> values(std::string topic, int32_t partition,
                                  Isolation isolation = Isolation::kReadCommitted) {
    return at.world.run(
        [](EventLogTest& test, std::string name, int32_t number, Isolation level) -> Task<std::vector<std::string>> {
          std::vector<std::string> all;
          auto consumer = co_await test.at.log().consumer({.isolation = level});
          EXPECT_TRUE(co_await (*consumer)->assign({{TopicPartition{name, number}, kEarliestOffset}}));
          while (true) {
            auto polled = co_await (*consumer)->poll(0s);
            EXPECT_TRUE(polled) << polled.error().text();
            if (!polled || polled->empty()) break;
            for (const Record& record : polled->records) all.emplace_back(as_text(record.value.value_or(BytesView())));
          }
          co_await (*consumer)->close();
          co_return all;
        }(*this, std::move(topic), partition, isolation));
  }
};

TEST_F(EventLogTest, what_is_sent_is_read_in_order_with_its_headers) {
  at.make("orders", 3);
  auto made = producer();
  at.world.run([](Producer& out, BrokerWorld& where) -> Task<void> {
    for (int i = 0; i < 20; ++i) {
      const std::string value = std::to_string(i);
      NewRecord record = event("k", value);
      record.headers = {{.key = "h", .value = as_bytes(value)}};
      record.timestamp_ms = 1000 + i;
      const auto sent = co_await out.send("orders", record);
      EXPECT_TRUE(sent);
      EXPECT_EQ(sent->offset, i);
      EXPECT_EQ(sent->partition, partition_of_key(as_bytes(std::string_view("k")), 3));
    }
    auto consumer = co_await where.log().consumer({});
    EXPECT_TRUE(co_await (*consumer)->assign({{TopicPartition{"orders", 0}, kEarliestOffset},
                                              {TopicPartition{"orders", 1}, kEarliestOffset},
                                              {TopicPartition{"orders", 2}, kEarliestOffset}}));
    int seen = 0;
    while (seen < 20) {
      const auto polled = co_await (*consumer)->poll(1s);
      EXPECT_TRUE(polled && !polled->empty());
      if (!polled || polled->empty()) break;
      for (const Record& record : polled->records) {
        EXPECT_EQ(as_text(*record.value), std::to_string(seen));
        EXPECT_EQ(as_text(*record.key), "k");
        EXPECT_EQ(as_text(*record.headers.at(0).value), std::to_string(seen));
        EXPECT_EQ(record.timestamp, 1000 + seen);
        ++seen;
      }
    }
    EXPECT_TRUE((co_await (*consumer)->poll(0s))->empty());
    co_await (*consumer)->close();
  }(*made, at));
}

TEST_F(EventLogTest, records_sent_at_once_share_batches_in_every_compression) {
  at.make("t", 1);
  for (const Compression compression :
       {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    auto made = producer({.compression = compression});
    std::vector<std::string> texts;
    std::vector<NewRecord> records;
    for (int i = 0; i < 500; ++i) texts.push_back("a value that is much like the one before it " + std::to_string(i));
    for (const std::string& text : texts) records.push_back({.value = as_bytes(text)});
    const auto sent = at.world.run(made->send_all("t", records));
    EXPECT_TRUE(sent) << sent.error().text();
  }
  EXPECT_EQ(values("t", 0).size(), 2500u);
  const auto batches = [](Partition& open) -> Task<Result<uint64_t>> { co_return open.statistics().appended_batches; };
  const auto table = at.topics->table();
  EXPECT_LE(*at.world.run(at.topics->with(*table->find("t"), 0, batches)), 10u);
}

TEST_F(EventLogTest, what_cannot_be_sent_is_refused) {
  at.make("t", 2, {{"max.message.bytes", "1000"}});
  auto made = producer();
  const auto code = [&](std::string topic, std::string_view value, std::optional<int32_t> partition = std::nullopt) {
    const auto sent = at.world.run(made->send(topic, {.value = as_bytes(value)}, partition));
    return sent ? Code::kExists : sent.error().code();
  };
  EXPECT_EQ(code("nobody", "x"), Code::kNotFound);
  EXPECT_EQ(code("t", "x", 2), Code::kNotFound);
  EXPECT_EQ(code("t", "x", -1), Code::kNotFound);
  EXPECT_EQ(code("t", std::string(2000, 'x')), Code::kTooLarge);
  EXPECT_EQ(code("t", "x", 1), Code::kExists);
  EXPECT_FALSE(made->begin());
  EXPECT_FALSE(at.world.run(at.log().consumer({.group = "g"})));  // which topics?
}

TEST_F(EventLogTest, a_send_may_be_given_up_and_its_producer_closed) {
  at.make("t", 1);
  auto made = producer();
  at.world.run([](Producer& out) -> Task<void> {
    io::TaskGroup group;
    const auto send = [](Producer& to) -> Task<void> {
      EXPECT_EQ((co_await to.send("t", event("k", "given up"))).error().code(), Code::kCancelled);
    };
    group.spawn(send(out));
    co_await io::yield();
    group.stop();
    co_await group.join();
    co_await out.close();
  }(*made));
  made.reset();
  EXPECT_THAT(values("t", 0), ElementsAre("given up"));
}

TEST_F(EventLogTest, a_poll_waits_for_what_comes_and_no_longer_than_it_was_told) {
  at.make("t", 2);
  auto made = producer();
  at.world.run([](BrokerWorld& where, Producer& out) -> Task<void> {
    auto consumer = co_await where.log().consumer({});
    EXPECT_TRUE(co_await (*consumer)->assign(
        {{TopicPartition{"t", 0}, kLatestOffset}, {TopicPartition{"t", 1}, kLatestOffset}}));
    const SteadyTime begin = io::Shard::current().clock().steady();
    EXPECT_TRUE((co_await (*consumer)->poll(500ms))->empty());
    EXPECT_GE(io::Shard::current().clock().steady() - begin, 500ms);
    io::TaskGroup group;
    const auto later = [](Producer& to) -> Task<void> {
      (void)co_await io::sleep_for(200ms);
      EXPECT_TRUE(co_await to.send("t", event("k", "late"), 1));
    };
    group.spawn(later(out));
    const auto polled = co_await (*consumer)->poll(60s);
    EXPECT_EQ(polled->records.size(), 1u);
    EXPECT_LT(io::Shard::current().clock().steady() - begin, 2s);
    co_await group.join();
    co_await (*consumer)->close();
  }(at, *made));
}

TEST_F(EventLogTest, a_position_that_retention_has_passed_goes_on_at_the_beginning_of_what_is_left) {
  at.make("t", 1);
  auto made = producer();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(at.world.run(made->send("t", event("k", std::to_string(i)))));
  const auto drop = [](Partition& open) { return open.delete_before(7); };
  const auto table = at.topics->table();
  EXPECT_TRUE(at.world.run(at.topics->with(*table->find("t"), 0, drop)));
  at.world.run([](BrokerWorld& where) -> Task<void> {
    auto consumer = co_await where.log().consumer({});
    EXPECT_TRUE(co_await (*consumer)->assign({{TopicPartition{"t", 0}, 2}}));
    const auto polled = co_await (*consumer)->poll(0s);
    EXPECT_EQ(polled->records.at(0).offset, 7);
    EXPECT_EQ(co_await (*consumer)->lag({"t", 0}), 0);
    EXPECT_EQ(((*consumer)->positions()), (std::map<TopicPartition, Offset>{{{"t", 0}, 10}}));
    co_await (*consumer)->close();
  }(at));
}

TEST_F(EventLogTest, a_committed_transaction_is_seen_whole_and_an_aborted_one_never) {
  at.make("t", 2);
  auto made = producer({.transactional_id = "pay"});
  EXPECT_FALSE(at.world.run(made->send("t", event("k", "too early"))));
  at.world.run([](EventLogTest& test, Producer& out) -> Task<void> {
    EXPECT_TRUE(out.begin());
    EXPECT_FALSE(out.begin());
    EXPECT_TRUE(co_await out.send("t", event("k", "a"), 0));
    EXPECT_TRUE(co_await out.send("t", event("k", "b"), 1));
    EXPECT_TRUE(co_await out.commit());
    EXPECT_TRUE(out.begin());
    EXPECT_TRUE(co_await out.send("t", event("k", "never"), 0));
    EXPECT_TRUE(co_await out.abort());
    EXPECT_TRUE(out.begin());
    EXPECT_TRUE(co_await out.commit());  // of nothing
    EXPECT_TRUE(out.begin());
    EXPECT_TRUE(co_await out.send("t", event("k", "c"), 0));
    EXPECT_TRUE(co_await out.commit());
    (void)test;
  }(*this, *made));
  EXPECT_THAT(values("t", 0), ElementsAre("a", "c"));
  EXPECT_THAT(values("t", 1), ElementsAre("b"));
  EXPECT_THAT(values("t", 0, Isolation::kReadUncommitted), ElementsAre("a", "never", "c"));
}

TEST_F(EventLogTest, a_second_producer_of_an_id_fences_the_first_and_ends_what_it_left) {
  at.make("t", 1);
  auto first = producer({.transactional_id = "pay"});
  EXPECT_TRUE(first->begin());
  EXPECT_TRUE(at.world.run(first->send("t", event("k", "left open"))));
  auto second = producer({.transactional_id = "pay"});
  const auto refused = at.world.run(first->send("t", event("k", "fenced")));
  ASSERT_FALSE(refused);
  EXPECT_FALSE(at.world.run(first->commit()));
  EXPECT_TRUE(second->begin());
  EXPECT_TRUE(at.world.run(second->send("t", event("k", "mine"))));
  EXPECT_TRUE(at.world.run(second->commit()));
  EXPECT_THAT(values("t", 0), ElementsAre("mine"));
}

TEST_F(EventLogTest, a_group_shares_the_partitions_and_goes_on_where_it_committed) {
  at.make("t", 4);
  auto made = producer();
  at.world.run([](BrokerWorld& where, Producer& out) -> Task<void> {
    const ConsumerOptions options{.group = "g", .topics = {"t"}};
    auto one = co_await where.log().consumer(options);
    EXPECT_TRUE(one) << one.error().text();
    EXPECT_EQ((*one)->positions().size(), 4u);
    for (int p = 0; p < 4; ++p) EXPECT_TRUE(co_await out.send("t", event("k", std::to_string(p)), p));
    std::set<std::string> seen;
    while (seen.size() < 4) {
      const auto polled = co_await (*one)->poll(5s);
      EXPECT_TRUE(polled && !polled->empty());
      if (!polled || polled->empty()) break;
      for (const Record& record : polled->records) seen.emplace(as_text(*record.value));
    }
    EXPECT_TRUE(co_await (*one)->commit());

    // A second member takes half; both learn of it while they poll.
    io::TaskGroup group;
    std::unique_ptr<Consumer> two;
    const auto join = [](BrokerWorld& there, const ConsumerOptions& as, std::unique_ptr<Consumer>& into) -> Task<void> {
      auto joined = co_await there.log().consumer(as);
      EXPECT_TRUE(joined) << joined.error().text();
      if (joined) into = std::move(*joined);
    };
    group.spawn(join(where, options, two));
    for (int i = 0; i < 20 && !two; ++i) EXPECT_TRUE((co_await (*one)->poll(1s))->empty());
    co_await group.join();
    EXPECT_TRUE((co_await (*one)->poll(0s))->empty());
    EXPECT_EQ((*one)->positions().size(), 2u);
    EXPECT_EQ(two->positions().size(), 2u);
    for (const auto& [partition, offset] : two->positions()) EXPECT_EQ(offset, 1);

    // One leaves; the other takes over without losing or repeating anything.
    for (int p = 0; p < 4; ++p) EXPECT_TRUE(co_await out.send("t", event("k", std::to_string(10 + p)), p));
    co_await (*one)->close();
    seen.clear();
    for (int i = 0; i < 50 && seen.size() < 4; ++i) {
      const auto polled = co_await two->poll(1s);
      EXPECT_TRUE(polled) << polled.error().text();
      if (!polled) break;
      for (const Record& record : polled->records) seen.emplace(as_text(*record.value));
    }
    EXPECT_EQ(seen, (std::set<std::string>{"10", "11", "12", "13"}));
    co_await two->close();
  }(at, *made));
}

TEST_F(EventLogTest, offsets_move_with_the_transaction_that_derived_from_them) {
  at.make("in", 1);
  at.make("out", 1);
  auto source = producer();
  auto made = producer({.transactional_id = "copy"});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(at.world.run(source->send("in", event("k", std::to_string(i)))));
  for (const bool commit : {false, true}) {
    at.world.run([](BrokerWorld& where, Producer& out, bool ends_well) -> Task<void> {
      auto consumer = co_await where.log().consumer({.group = "copiers", .topics = {"in"}});
      EXPECT_TRUE(consumer) << consumer.error().text();
      const auto polled = co_await (*consumer)->poll(1s);
      EXPECT_EQ(polled->records.size(), 3u);
      EXPECT_TRUE(out.begin());
      for (const Record& record : polled->records)
        EXPECT_TRUE(co_await out.send("out", {.key = record.key, .value = record.value}));
      const auto sent = co_await out.send_offsets("copiers", (*consumer)->positions(), (*consumer)->generation(),
                                                  (*consumer)->member());
      EXPECT_TRUE(sent) << sent.error().text();
      const auto ended = ends_well ? co_await out.commit() : co_await out.abort();
      EXPECT_TRUE(ended) << ended.error().text();
      co_await (*consumer)->close();
    }(at, *made, commit));
  }
  EXPECT_THAT(values("out", 0), ElementsAre("0", "1", "2"));
  at.world.run([](BrokerWorld& where) -> Task<void> {
    auto consumer = co_await where.log().consumer({.group = "copiers", .topics = {"in"}});
    EXPECT_TRUE((co_await (*consumer)->poll(0s))->empty());
    co_await (*consumer)->close();
  }(at));
}

TEST_F(EventLogTest, everything_acknowledged_is_there_after_a_power_cut) {
  at.make("t", 3);
  size_t acknowledged = 0;
  for (int round = 0; round < 5; ++round) {
    auto made = producer();
    at.world.disk().crash_after(20 + at.random.below(60));
    for (int i = 0; i < 200; ++i) {
      if (!at.world.run(made->send("t", event(std::to_string(i), "x")))) break;
      ++acknowledged;
    }
    made.reset();
    at.restart_after_crash();
    const size_t there = values("t", 0).size() + values("t", 1).size() + values("t", 2).size();
    EXPECT_GE(there, acknowledged);
    EXPECT_LE(there, acknowledged + static_cast<size_t>(round) + 1);  // one in doubt a round
  }
}

}  // namespace
}  // namespace polis::stream
