#include "systems/exchange/runtime/journal_format.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/exchange/runtime/market_test.h"
#include "systems/exchange/runtime/recovery.h"

namespace polis::exchange {
namespace {

Bytes join(const std::array<BytesView, 2>& parts) {
  Bytes bytes(parts[0].begin(), parts[0].end());
  bytes.insert(bytes.end(), parts[1].begin(), parts[1].end());
  return bytes;
}

std::vector<JournalStep> random_steps(uint64_t seed, size_t count) {
  base::SeededRandom random(seed);
  TestMarket market;
  std::vector<JournalStep> steps;
  Stamp stamp{1 + random.below(1 << 20), 1'700'000'000'000'000'000};
  for (size_t i = 0; i < count; ++i) {
    JournalStep step;
    step.stamp = stamp;
    step.turn = random.chance(1, 5);
    step.answered_at_once = !step.turn && random.chance(1, 2);
    step.slots = 1 + random.below(20);
    step.digest = random.chance(1, 4) ? 0 : random.next();
    if (random.chance(1, 10)) step.rolling = base::Hash128{random.next(), random.next()};
    if (!step.turn) {
      step.request = market.random(random);
      if (random.chance(1, 10)) random.fill(step.request.body.bytes);
    }
    steps.push_back(step);
    stamp.sequence += step.slots;
    stamp.now += static_cast<VenueTime>(random.below(1'000'000));
  }
  return steps;
}

Bytes encode(const std::vector<JournalStep>& steps) {
  JournalBatch batch;
  for (const JournalStep& step : steps) batch.add(step);
  return join(batch.parts(true));
}

TEST(journal_format, what_is_written_is_read_to_the_bit) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const auto steps = random_steps(seed, seed);
    const Bytes record = encode(steps);
    auto reader = JournalBatchReader::open(record);
    ASSERT_TRUE(reader) << reader.error().text();
    EXPECT_TRUE(reader->head().acknowledged_from_bus);
    EXPECT_FALSE(reader->head().closed);
    EXPECT_EQ(reader->head().steps, steps.size());
    JournalStep step;
    for (const JournalStep& wanted : steps) {
      auto more = reader->next(step);
      ASSERT_TRUE(more && *more);
      EXPECT_EQ(step.stamp.sequence, wanted.stamp.sequence);
      EXPECT_EQ(step.stamp.now, wanted.stamp.now);
      EXPECT_EQ(step.turn, wanted.turn);
      EXPECT_EQ(step.answered_at_once, wanted.answered_at_once);
      EXPECT_EQ(step.slots, wanted.slots);
      EXPECT_EQ(step.digest, wanted.digest);
      EXPECT_EQ(step.rolling, wanted.rolling);
      if (!wanted.turn) EXPECT_EQ(std::memcmp(&step.request, &wanted.request, sizeof step.request), 0);
    }
    auto more = reader->next(step);
    ASSERT_TRUE(more);
    EXPECT_FALSE(*more);
  }
}

TEST(journal_format, an_order_takes_less_than_half_of_its_size) {
  TestMarket market;
  JournalStep step;
  step.stamp = {1'000'000, 1'700'000'000'000'000'000};
  step.slots = 6;
  step.digest = ~uint64_t{0};
  step.answered_at_once = true;
  step.request = market.order(3, Side::kBuy, 10'001, 200);
  JournalBatch batch;
  batch.add(step);
  EXPECT_LT(batch.size_bytes(), sizeof(Request) / 2);
}

TEST(journal_format, a_closing_record_says_so) {
  const Bytes record = JournalBatch::closing(77, 5, false);
  auto reader = JournalBatchReader::open(record);
  ASSERT_TRUE(reader) << reader.error().text();
  EXPECT_TRUE(reader->head().closed);
  EXPECT_EQ(reader->head().first, 77u);
  EXPECT_EQ(reader->head().steps, 0u);
}

TEST(journal_format, records_that_are_cut_are_corrupt) {
  const Bytes record = encode(random_steps(7, 20));
  for (size_t size = 0; size < record.size(); ++size) {
    auto reader = JournalBatchReader::open(BytesView(record).first(size));
    bool failed = !reader;
    JournalStep step;
    while (!failed) {
      auto more = reader->next(step);
      failed = !more;
      if (more && !*more) break;
    }
    EXPECT_TRUE(failed) << size;
  }
}

TEST(journal_format, damage_is_refused_or_read_as_something_else_but_never_more) {
  const Bytes record = encode(random_steps(9, 30));
  base::SeededRandom random(1);
  for (int round = 0; round < 5'000; ++round) {
    Bytes damaged = record;
    for (uint64_t i = 0, n = 1 + random.below(3); i < n; ++i)
      damaged[random.below(damaged.size())] = static_cast<std::byte>(random.below(256));
    auto reader = JournalBatchReader::open(damaged);
    if (!reader) continue;
    JournalStep step;
    size_t steps = 0;
    while (true) {
      auto more = reader->next(step);
      if (!more || !*more) break;
      ASSERT_LE(++steps, damaged.size());
    }
  }
}

TEST(journal_format, a_version_of_the_future_is_unsupported) {
  Bytes record = encode(random_steps(3, 2));
  for (const uint8_t version : {0, 3, 255}) {
    record[0] = std::byte{version};
    auto reader = JournalBatchReader::open(record);
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code(), Code::kUnsupported);
  }
}

TEST(journal_format, the_first_version_had_no_behaviour_and_means_the_first) {
  const auto steps = random_steps(3, 20);
  Bytes record = encode(steps);
  record[0] = std::byte{1};
  record.erase(record.begin() + 2);
  auto reader = JournalBatchReader::open(record);
  ASSERT_TRUE(reader) << reader.error().text();
  EXPECT_EQ(reader->head().behaviour, 1u);
  JournalStep step;
  for (const JournalStep& wanted : steps) {
    ASSERT_TRUE(reader->next(step));
    EXPECT_EQ(step.digest, wanted.digest);
  }
}

TEST(journal_format, steps_of_other_rules_are_refused_by_name_unless_they_are_behind_already) {
  JournalStep step;
  step.stamp = {1, 1'700'000'000'000'000'000};
  step.answered_at_once = true;
  step.slots = kRequestSlots;
  Bytes record = encode({step});
  ASSERT_EQ(record[2], std::byte{kVenueBehaviour});
  record[2] = std::byte{kVenueBehaviour + 1};
  Venue venue({.assets_max = 4, .instruments_max = 4, .accounts_max = 10, .sessions_max = 10, .orders_max = 100});
  Outputs outputs;
  StepsAhead ahead;
  ReplayPlace place;
  const auto refused = redo_record(venue, {7, record}, 0, place, outputs, ahead, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_NE(refused.error().text().find("record 7 of the journal is of other rules"), std::string::npos);
  EXPECT_EQ(place.next, 1u);
  place.next = 1 + kRequestSlots;
  EXPECT_TRUE(redo_record(venue, {7, record}, 0, place, outputs, ahead, {}));
  EXPECT_EQ(place.record, 8u);
}

}  // namespace
}  // namespace polis::exchange
