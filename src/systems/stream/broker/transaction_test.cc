#include "systems/stream/broker/transaction.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/sim/seeds.h"

namespace polis::stream {
namespace {

constexpr int32_t kTimeoutMs = 60'000;
const std::set<TopicPartition> kOrders{{"orders", 0}, {"orders", 1}};

Transaction owned(ProducerIdentity producer) {
  Transaction transaction;
  transaction.producer = producer;
  transaction.timeout_ms = kTimeoutMs;
  return transaction;
}
Transaction ongoing(ProducerIdentity producer) {
  return *add_partitions(owned(producer), producer, kOrders, 1000).next;
}
Transaction aborted_by_time(ProducerIdentity producer) {
  return complete_transaction(abort_transaction(ongoing(producer), 2000), 2001);
}

TEST(Transaction, a_new_id_asks_for_a_producer_id_and_begins_with_epoch_0) {
  EXPECT_TRUE(begin_producer({}, std::nullopt, kTimeoutMs, 1, std::nullopt).needs_producer_id);
  const auto step = begin_producer({}, std::nullopt, kTimeoutMs, 1, 4000);
  ASSERT_TRUE(step.next);
  EXPECT_EQ(step.next->producer, (ProducerIdentity{4000, 0}));
  EXPECT_EQ(step.next->previous, ProducerIdentity{});
  EXPECT_EQ(step.next->state, TransactionState::kEmpty);
}

TEST(Transaction, the_next_producer_gets_the_next_epoch_and_fences_the_one_before) {
  const auto step = begin_producer(owned({7, 3}), std::nullopt, kTimeoutMs, 1, std::nullopt);
  ASSERT_TRUE(step.next);
  EXPECT_EQ(step.next->producer, (ProducerIdentity{7, 4}));
  EXPECT_EQ(add_partitions(*step.next, {7, 3}, kOrders, 2).code, ErrorCode::kProducerFenced);
  EXPECT_EQ(end_transaction(*step.next, {7, 3}, true, 2).code, ErrorCode::kProducerFenced);
  EXPECT_EQ(begin_producer(*step.next, ProducerIdentity{7, 3}, kTimeoutMs, 2, std::nullopt).code,
            ErrorCode::kProducerFenced);
}

TEST(Transaction, another_producer_id_has_no_part_in_it) {
  EXPECT_EQ(add_partitions(owned({7, 3}), {8, 3}, kOrders, 2).code, ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(end_transaction(ongoing({7, 3}), {8, 3}, true, 2).code, ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(add_partitions({}, {-1, 0}, kOrders, 2).code, ErrorCode::kProducerFenced);
}

TEST(Transaction, a_producer_that_goes_on_after_an_error_names_its_epoch_and_may_repeat_itself) {
  const ProducerIdentity mine{7, 3};
  const auto step = begin_producer(owned(mine), mine, kTimeoutMs, 1, std::nullopt);
  ASSERT_TRUE(step.next);
  EXPECT_EQ(step.next->producer, (ProducerIdentity{7, 4}));
  const auto again = begin_producer(*step.next, mine, kTimeoutMs, 2, std::nullopt);
  EXPECT_EQ(again.code, ErrorCode::kNone);
  EXPECT_FALSE(again.next);
  // Somebody else came in between.
  const auto other = begin_producer(*step.next, std::nullopt, kTimeoutMs, 3, std::nullopt);
  EXPECT_EQ(begin_producer(*other.next, mine, kTimeoutMs, 4, std::nullopt).code, ErrorCode::kProducerFenced);
}

TEST(Transaction, an_open_transaction_is_aborted_with_a_higher_epoch_before_the_next_producer_gets_the_id) {
  const auto fence = begin_producer(ongoing({7, 3}), std::nullopt, kTimeoutMs, 1, std::nullopt);
  ASSERT_TRUE(fence.next);
  EXPECT_EQ(fence.next->state, TransactionState::kPrepareAbort);
  EXPECT_EQ(fence.next->producer, (ProducerIdentity{7, 4}));
  EXPECT_EQ(fence.next->partitions, kOrders);
  EXPECT_EQ(begin_producer(*fence.next, std::nullopt, kTimeoutMs, 1, std::nullopt).code,
            ErrorCode::kConcurrentTransactions);
  const auto next = begin_producer(complete_transaction(*fence.next, 2), std::nullopt, kTimeoutMs, 3, std::nullopt);
  EXPECT_EQ(next.next->producer, (ProducerIdentity{7, 5}));
  EXPECT_TRUE(next.next->partitions.empty());
}

TEST(Transaction, a_producer_of_the_past_cannot_abort_what_its_successor_has_open) {
  EXPECT_EQ(begin_producer(ongoing({7, 3}), ProducerIdentity{7, 2}, kTimeoutMs, 1, std::nullopt).code,
            ErrorCode::kProducerFenced);
}

TEST(Transaction, who_was_aborted_by_time_is_fenced_but_may_come_back) {
  const Transaction after = aborted_by_time({7, 3});
  EXPECT_EQ(add_partitions(after, {7, 3}, kOrders, 3000).code, ErrorCode::kProducerFenced);
  const auto back = begin_producer(after, ProducerIdentity{7, 3}, kTimeoutMs, 3000, std::nullopt);
  EXPECT_EQ(back.code, ErrorCode::kNone);
  EXPECT_FALSE(back.next);
  EXPECT_EQ(after.producer, (ProducerIdentity{7, 4}));
}

TEST(Transaction, used_up_epochs_give_a_fresh_id_and_nobody_gets_the_one_that_fences) {
  const ProducerIdentity last{7, kProducerEpochMax};
  for (const auto& expected : {std::optional<ProducerIdentity>{}, std::optional{last}}) {
    for (const Transaction& now : {owned(last), aborted_by_time(last)}) {
      EXPECT_TRUE(begin_producer(now, expected, kTimeoutMs, 1, std::nullopt).needs_producer_id);
      const auto step = begin_producer(now, expected, kTimeoutMs, 1, 8);
      ASSERT_TRUE(step.next);
      EXPECT_EQ(step.next->producer, (ProducerIdentity{8, 0}));
      if (expected)
        EXPECT_FALSE(begin_producer(*step.next, expected, kTimeoutMs, 2, std::nullopt).next) << "a repetition";
    }
  }
}

TEST(Transaction, what_was_decided_is_decided) {
  const ProducerIdentity mine{7, 3};
  using enum TransactionState;
  struct Case {
    TransactionState state;
    ErrorCode commit, abort;
  };
  for (const Case& one : {Case{kEmpty, ErrorCode::kInvalidTxnState, ErrorCode::kInvalidTxnState},
                          Case{kPrepareCommit, ErrorCode::kConcurrentTransactions, ErrorCode::kInvalidTxnState},
                          Case{kPrepareAbort, ErrorCode::kInvalidTxnState, ErrorCode::kConcurrentTransactions},
                          Case{kCompleteCommit, ErrorCode::kNone, ErrorCode::kInvalidTxnState},
                          Case{kCompleteAbort, ErrorCode::kInvalidTxnState, ErrorCode::kNone}}) {
    Transaction now = owned(mine);
    now.state = one.state;
    for (const bool commit : {true, false}) {
      const auto step = end_transaction(now, mine, commit, 1);
      EXPECT_EQ(step.code, commit ? one.commit : one.abort) << name(one.state);
      EXPECT_FALSE(step.next);
    }
  }
}

TEST(Transaction, partitions_gather_until_the_end_and_begin_anew_after_it) {
  const ProducerIdentity mine{7, 3};
  const Transaction open = ongoing(mine);
  EXPECT_FALSE(add_partitions(open, mine, {{"orders", 1}}, 1500).next) << "it has that one";
  const auto more = add_partitions(open, mine, {{"stock", 0}}, 1500);
  EXPECT_EQ(more.next->partitions.size(), 3u);
  EXPECT_EQ(more.next->started_ms, 1000);
  const Transaction done = complete_transaction(*end_transaction(*more.next, mine, true, 1600).next, 1601);
  EXPECT_EQ(done.state, TransactionState::kCompleteCommit);
  const auto next = add_partitions(done, mine, {{"orders", 1}}, 1700);
  EXPECT_EQ(next.next->partitions, (std::set<TopicPartition>{{"orders", 1}}));
  EXPECT_EQ(next.next->started_ms, 1700);
}

TEST(Transaction, a_row_is_read_back_as_it_was_written_and_a_damaged_one_is_refused) {
  Transaction one = aborted_by_time({int64_t{1} << 40, 32766});
  one.partitions.insert({std::string(249, 'x'), kPartitionsMax});
  const Bytes row = one.encode();
  const auto back = Transaction::decode(row);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, one);
  for (size_t size = 0; size < row.size(); ++size) EXPECT_FALSE(Transaction::decode(BytesView(row).first(size)));
  base::SeededRandom random(1);
  for (int i = 0; i < 2000; ++i) {
    Bytes damaged = row;
    damaged[random.below(damaged.size())] ^= static_cast<std::byte>(1 + random.below(255));
    (void)Transaction::decode(damaged);  // an error or another row, nothing worse
  }
}

// Random requests of producers that know nothing of each other: epochs only rise, one producer at most is not fenced,
// and what is decided is never changed.
TEST(Transaction, whatever_is_asked_in_whatever_order_there_is_one_owner_and_one_outcome) {
  const auto round = [](uint64_t seed) {
    base::SeededRandom random(seed);
    Transaction now;
    std::vector<ProducerIdentity> clients(4);
    int64_t fresh = 100;
    for (int64_t at = 0; at < 300; ++at) {
      const Transaction before = now;
      ProducerIdentity& client = clients[random.below(clients.size())];
      TransactionStep step;
      switch (random.below(6)) {
        case 0:
        case 1: {
          std::optional<ProducerIdentity> expected;
          if (client.epoch >= 0 && random.chance(1, 2)) expected = client;
          step = begin_producer(now, expected, kTimeoutMs, at, std::nullopt);
          if (step.needs_producer_id) step = begin_producer(now, expected, kTimeoutMs, at, ++fresh);
          if (step.code == ErrorCode::kNone && !(step.next && step.next->prepared()))
            client = step.next ? step.next->producer : now.producer;
          break;
        }
        case 2:
          step = add_partitions(now, client, {{"t", static_cast<int32_t>(random.below(3))}}, at);
          break;
        case 3:
          step = end_transaction(now, client, random.chance(1, 2), at);
          break;
        case 4:
          if (now.prepared()) step.next = complete_transaction(now, at);
          break;
        default:
          if (now.ongoing() && random.chance(1, 4)) step.next = abort_transaction(now, at);
      }
      if (step.code != ErrorCode::kNone) ASSERT_FALSE(step.next) << "refused, and changed";
      if (step.next) now = *step.next;
      // Close to the end of the epochs, so that it is met.
      if (now.state == TransactionState::kEmpty && now.producer.epoch >= 0 && random.chance(1, 20)) {
        const bool known = std::ranges::find(clients, now.producer) != clients.end();
        if (!known) now.producer.epoch = static_cast<int16_t>(kProducerEpochMax - random.below(3));
      }
      ASSERT_GE(now.producer.id, before.producer.id);
      if (now.producer.id == before.producer.id && before.producer.epoch < kProducerEpochMax - 3)
        ASSERT_GE(now.producer.epoch, before.producer.epoch);
      if (before.state == TransactionState::kPrepareCommit)
        ASSERT_TRUE(now == before || now.state == TransactionState::kCompleteCommit);
      if (before.state == TransactionState::kPrepareAbort)
        ASSERT_TRUE(now == before || now.state == TransactionState::kCompleteAbort);
      for (const ProducerIdentity& one : clients) ASSERT_LE(one.epoch, kProducerEpochMax);
      ASSERT_EQ(Transaction::decode(now.encode()).value(), now);
    }
  };
  const uint64_t failed = sim::for_each_seed(sim::seeds(), round, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(failed, 0u) << "POLIS_SEED=" << failed;
}

}  // namespace
}  // namespace polis::stream
