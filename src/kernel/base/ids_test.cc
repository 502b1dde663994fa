#include "kernel/base/ids.h"

#include <array>
#include <gtest/gtest.h>
#include <vector>

#include "kernel/base/random.h"

namespace polis::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Ids, the_layout_is_41_bits_of_time_10_of_worker_12_of_sequence) {
  ManualClock clock(WallTime(milliseconds(kIdEpochMs + 5)));
  IdGenerator generator(clock, {.worker = 3});
  EXPECT_EQ(generator.try_next(), (uint64_t{5} << 22) | (3u << 12) | 0u);
  EXPECT_EQ(generator.try_next(), (uint64_t{5} << 22) | (3u << 12) | 1u);
  EXPECT_EQ(decode_id((uint64_t{5} << 22) | (3u << 12) | 1u), (IdParts{kIdEpochMs + 5, 3, 1}));
}

TEST(Ids, a_used_up_millisecond_answers_nothing_until_time_moves) {
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 1});
  for (uint32_t i = 0; i <= kIdSequenceMax; ++i) ASSERT_TRUE(generator.try_next());
  EXPECT_FALSE(generator.try_next());
  clock.advance(milliseconds(1));
  std::optional<uint64_t> id = generator.try_next();
  ASSERT_TRUE(id);
  EXPECT_EQ(decode_id(*id).sequence, 0u);
}

TEST(Ids, ahead_lets_the_next_milliseconds_be_used_early) {
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 1, .ahead_ms_max = 2});
  std::vector<uint64_t> ids(5 * 4096);
  EXPECT_EQ(generator.try_next_n(ids), 3u * 4096);
}

TEST(Ids, steps_of_the_wall_clock_never_repeat_or_reorder_ids) {
  SeededRandom random(5);
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 9});
  uint64_t last = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random.chance(1, 3)) clock.advance(Duration(random.below(3'000'000)));
    if (random.chance(1, 50)) clock.step_wall(-hours(1));
    if (random.chance(1, 50)) clock.step_wall(hours(1));
    std::optional<uint64_t> id = generator.try_next();
    if (!id) continue;
    ASSERT_GT(*id, last);
    last = *id;
  }
}

TEST(Ids, time_follows_a_stepped_wall_clock_at_500_ppm_and_reports_the_offset) {
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 9});
  int64_t start = decode_id(*generator.try_next()).time_ms;
  clock.step_wall(-seconds(10));
  for (int i = 0; i < 100; ++i) {
    clock.advance(seconds(1));
    (void)generator.try_next();
  }
  int64_t passed = generator.last_ms() - start;
  EXPECT_GE(passed, 99'949);  // 100 s less at most 50 ms of slew
  EXPECT_LE(passed, 99'952);
  EXPECT_LT(generator.wall_offset(), -seconds(9));
}

TEST(Ids, a_restart_begins_after_the_mark_even_if_the_clock_went_back) {
  ManualClock clock;
  int64_t mark = milliseconds_since_epoch(clock.wall()) + 3'000;
  clock.step_wall(-hours(2));
  IdGenerator generator(clock, {.worker = 2, .not_before_ms = mark + 1});
  EXPECT_EQ(decode_id(*generator.try_next()).time_ms, mark + 1);
  clock.advance(milliseconds(7));
  EXPECT_EQ(decode_id(*generator.try_next()).time_ms, mark + 8);
}

TEST(Ids, beyond_the_mark_no_id_is_given_until_it_is_renewed) {
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 2});
  int64_t now = milliseconds_since_epoch(clock.wall());
  generator.allow_until(now + 5);
  EXPECT_TRUE(generator.try_next());
  clock.advance(milliseconds(6));
  EXPECT_FALSE(generator.try_next());
  EXPECT_EQ(generator.next().error().code(), Code::kBusy);
  generator.allow_until(now + 50);
  EXPECT_EQ(decode_id(generator.next().value()).time_ms, now + 6);
}

TEST(Ids, after_2089_the_layout_is_over) {
  ManualClock clock(WallTime{milliseconds(kIdTimeMsMax)});
  IdGenerator generator(clock, {.worker = kIdWorkerMax});
  EXPECT_EQ(generator.try_next(), (uint64_t{1} << 63) - 4096);
  clock.advance(milliseconds(1));
  EXPECT_FALSE(generator.try_next());
  EXPECT_EQ(generator.next().error().code(), Code::kOutOfRange);
}

TEST(Ids, next_opens_the_next_millisecond_on_a_clock_that_stands_still) {
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 2});
  std::vector<uint64_t> ids(4096);
  ASSERT_EQ(generator.try_next_n(ids), ids.size());
  EXPECT_GT(generator.next().value(), ids.back());
}

TEST(Ids, ids_from_the_machines_clock_rise_strictly) {
  SystemClock clock;
  IdGenerator generator(clock, {.worker = 2});
  uint64_t last = 0;
  for (int i = 0; i < 10'000; ++i) {
    uint64_t id = generator.next().value();
    ASSERT_GT(id, last);
    last = id;
  }
}

TEST(Ids, the_ends_of_a_millisecond_enclose_its_ids_and_clamp_outside_the_layout) {
  ManualClock clock;
  IdGenerator generator(clock, {.worker = 512});
  uint64_t id = *generator.try_next();
  EXPECT_LE(min_id_at(clock.wall()), id);
  EXPECT_GE(max_id_at(clock.wall()), id);
  EXPECT_EQ(max_id_at(clock.wall()) + 1, min_id_at(clock.wall() + milliseconds(1)));
  EXPECT_EQ(min_id_at(WallTime(seconds(-5))), 0u);
  EXPECT_EQ(max_id_at(WallTime(milliseconds(kIdTimeMsMax)) + hours(9)), (uint64_t{1} << 63) - 1);
}

TEST(IdsDeathTest, a_worker_number_beyond_ten_bits_ends_the_process) {
  ManualClock clock;
  EXPECT_DEATH(IdGenerator(clock, {.worker = 1024}), "worker_ <= kIdWorkerMax");
}

}  // namespace
}  // namespace polis::base
