#include "systems/stream/partition/producer_table.h"

#include <gtest/gtest.h>
#include <limits>

#include "kernel/base/binary.h"
#include "kernel/base/random.h"

namespace polis::stream {
namespace {

Bytes batch_of(int64_t producer, int16_t epoch, int32_t sequence, int32_t count, Offset offset,
               bool transactional = false) {
  BatchBuilder builder({.id = producer, .epoch = epoch, .base_sequence = sequence, .transactional = transactional});
  for (int32_t i = 0; i < count; ++i) builder.add(1000 + i, std::nullopt, as_bytes("v"));
  return builder.finish(offset);
}

Bytes marker_at(int64_t producer, int16_t epoch, bool commit, Offset offset, int32_t coordinator_epoch = 0) {
  Bytes bytes = encode_marker(producer, epoch, {.commit = commit, .coordinator_epoch = coordinator_epoch}, 2000);
  set_base_offset(bytes, offset);
  return bytes;
}

ErrorCode judge(const ProducerTable& table, const Bytes& bytes) {
  return table.judge(RecordBatch(bytes)).refusal.code;
}

TEST(ProducerTable, a_repeated_batch_is_found_with_its_old_offset) {
  ProducerTable table;
  for (int i = 0; i < 7; ++i) table.note(RecordBatch(batch_of(1, 0, i * 10, 10, 100 + i * 10)));
  const Bytes last = batch_of(1, 0, 60, 10, 0), third = batch_of(1, 0, 20, 10, 0), first = batch_of(1, 0, 0, 10, 0);
  EXPECT_EQ(table.judge(RecordBatch(last)).duplicate_of, 160);
  EXPECT_EQ(table.judge(RecordBatch(third)).duplicate_of, 120);
  EXPECT_EQ(judge(table, first), ErrorCode::kDuplicateSequenceNumber);  // the sixth last
}

TEST(ProducerTable, a_gap_a_stale_epoch_and_an_unknown_producer_are_refused) {
  ProducerTable table;
  EXPECT_EQ(judge(table, batch_of(1, 0, 5, 1, 0)), ErrorCode::kUnknownProducerId);
  EXPECT_EQ(judge(table, batch_of(1, 0, 0, 1, 0)), ErrorCode::kNone);
  table.note(RecordBatch(batch_of(1, 3, 0, 4, 0)));
  EXPECT_EQ(judge(table, batch_of(1, 3, 4, 1, 0)), ErrorCode::kNone);
  EXPECT_EQ(judge(table, batch_of(1, 3, 5, 1, 0)), ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(judge(table, batch_of(1, 2, 4, 1, 0)), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(judge(table, batch_of(1, 4, 0, 1, 0)), ErrorCode::kNone);
  EXPECT_EQ(judge(table, batch_of(1, 4, 4, 1, 0)), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST(ProducerTable, sequences_go_round) {
  ProducerTable table;
  table.note(RecordBatch(batch_of(1, 0, 0, 1, 0)));
  table.note(RecordBatch(batch_of(1, 0, 0x7ffffffe, 2, 1)));  // as after two thousand million records
  EXPECT_EQ(judge(table, batch_of(1, 0, 0, 1, 0)), ErrorCode::kNone);
  ProducerTable over;
  over.note(RecordBatch(batch_of(1, 0, 0x7ffffffe, 4, 1)));
  EXPECT_EQ(judge(over, batch_of(1, 0, 2, 1, 0)), ErrorCode::kNone);
  EXPECT_EQ(judge(over, batch_of(1, 0, 3, 1, 0)), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST(ProducerTable, transactional_batches_come_only_into_partitions_that_were_added) {
  ProducerTable table;
  const Bytes batch = batch_of(1, 0, 0, 2, 10, true);
  EXPECT_EQ(judge(table, batch), ErrorCode::kInvalidTxnState);
  table.admit(1, 0);
  EXPECT_EQ(judge(table, batch), ErrorCode::kNone);
  table.note(RecordBatch(batch));
  EXPECT_TRUE(table.open_transaction(1));
  EXPECT_EQ(judge(table, batch_of(1, 0, 2, 1, 12)), ErrorCode::kInvalidTxnState);  // not part of it
  table.note(RecordBatch(marker_at(1, 0, true, 12)));
  EXPECT_EQ(judge(table, batch_of(1, 0, 2, 1, 13, true)), ErrorCode::kInvalidTxnState);
  EXPECT_EQ(judge(table, batch_of(1, 0, 2, 1, 13)), ErrorCode::kNone);
}

TEST(ProducerTable, the_last_stable_offset_waits_for_the_oldest_open_transaction_and_for_its_marker) {
  ProducerTable table;
  EXPECT_EQ(table.last_stable_offset(5), 5);
  table.note(RecordBatch(batch_of(1, 0, 0, 2, 5, true)));
  table.note(RecordBatch(batch_of(2, 0, 0, 2, 7, true)));
  EXPECT_EQ(table.last_stable_offset(9), 5);
  table.note(RecordBatch(marker_at(1, 0, true, 9)));
  EXPECT_EQ(table.last_stable_offset(9), 5);  // the marker itself is not acknowledged yet
  EXPECT_EQ(table.last_stable_offset(10), 7);
  table.note(RecordBatch(marker_at(2, 0, false, 10)));
  EXPECT_EQ(table.last_stable_offset(11), 11);
  EXPECT_EQ(table.aborted(0, 7).size(), 0u);
  ASSERT_EQ(table.aborted(0, 8).size(), 1u);
  EXPECT_EQ(table.aborted(10, 11).size(), 1u);
  EXPECT_EQ(table.aborted(11, 20).size(), 0u);
  table.trim(11);
  EXPECT_EQ(table.aborted(0, 8).size(), 0u);
}

TEST(ProducerTable, a_marker_fences_older_epochs_and_older_coordinators) {
  ProducerTable table;
  table.note(RecordBatch(batch_of(1, 0, 0, 2, 5, true)));
  table.note(RecordBatch(marker_at(1, 1, false, 7, 3)));
  EXPECT_EQ(judge(table, batch_of(1, 0, 2, 1, 8)), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(judge(table, batch_of(1, 1, 0, 1, 8)), ErrorCode::kNone);
  EXPECT_EQ(table.judge_marker(1, 0, 3).code, ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(table.judge_marker(1, 1, 2).code, ErrorCode::kTransactionCoordinatorFenced);
  EXPECT_TRUE(table.judge_marker(1, 1, 3).ok());
  EXPECT_TRUE(table.judge_marker(9, 0, 0).ok());
}

TEST(ProducerTable, silent_producers_are_forgotten_but_not_inside_a_transaction) {
  ProducerTable table;
  table.note(RecordBatch(batch_of(1, 0, 0, 1, 0)));
  table.note(RecordBatch(batch_of(2, 0, 0, 1, 1, true)));
  table.expire(1'000'000, 1000);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_TRUE(table.open_transaction(2));
}

TEST(ProducerTable, it_is_the_same_after_a_round_through_bytes_at_any_point) {
  base::SeededRandom random(11);
  for (int round = 0; round < 200; ++round) {
    ProducerTable table;
    Offset offset = 0;
    std::map<int64_t, int32_t> sequences;
    for (int step = 0; step < 30; ++step) {
      const auto id = static_cast<int64_t>(random.below(3));
      if (table.open_transaction(id) && random.chance(1, 2)) {
        table.note(RecordBatch(marker_at(id, 0, random.chance(1, 2), offset++)));
        continue;
      }
      const auto count = static_cast<int32_t>(1 + random.below(5));
      table.note(RecordBatch(
          batch_of(id, 0, sequences[id], count, offset, table.open_transaction(id) || random.chance(1, 2))));
      sequences[id] += count;
      offset += count;
    }
    (void)table.last_stable_offset(offset);
    auto back = ProducerTable::decode(table.encode(offset));
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(back->second, offset);
    EXPECT_EQ(back->first.last_stable_offset(offset), table.last_stable_offset(offset));
    EXPECT_EQ(back->first.aborted(0, offset).size(), table.aborted(0, offset).size());
    for (int64_t id = 0; id < 3; ++id)
      for (int32_t sequence = 0; sequence < 40; ++sequence) {
        const Bytes probe = batch_of(id, 0, sequence, 2, offset);
        EXPECT_EQ(judge(back->first, probe), judge(table, probe));
      }
    // Cut or changed it is refused or another table, and nothing worse.
    Bytes bytes = table.encode(offset);
    EXPECT_FALSE(ProducerTable::decode(BytesView(bytes).first(bytes.size() - 1)));
    bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
    (void)ProducerTable::decode(bytes);
  }
}

}  // namespace
TEST(ProducerTable, bytes_whose_marker_lies_before_its_transaction_are_refused) {
  Bytes empty = ProducerTable().encode(0);
  empty.pop_back();  // the count of aborted transactions
  for (const auto& [first, marker] : std::initializer_list<std::pair<Offset, Offset>>{
           {5, 4}, {-1, 4}, {0, -1}, {std::numeric_limits<Offset>::min(), std::numeric_limits<Offset>::max()}}) {
    Bytes bytes = empty;
    base::Writer out(bytes);
    out.varint(1);
    out.zigzag(1);
    out.zigzag(first);
    out.zigzag(marker);
    EXPECT_FALSE(ProducerTable::decode(bytes)) << first << " " << marker;
  }
  Bytes bytes = empty;
  base::Writer out(bytes);
  out.varint(1);
  for (const int64_t number : {1, 4, 5}) out.zigzag(number);
  EXPECT_TRUE(ProducerTable::decode(bytes));
}

}  // namespace polis::stream
