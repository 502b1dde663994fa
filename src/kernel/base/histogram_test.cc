#include "kernel/base/histogram.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::base {
namespace {

TEST(Histogram, an_empty_one_answers_zero) {
  Histogram histogram;
  EXPECT_EQ(histogram.percentile(99), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(Histogram, percentiles_agree_with_a_sorted_list_to_the_promised_digits) {
  for (int digits : {1, 2, 3, 4}) {
    SeededRandom random(10);
    Histogram histogram(Histogram::kHourUs, digits);
    std::vector<uint64_t> values(5000);
    for (uint64_t& value : values) histogram.record(value = random.next() >> (32 + random.below(32)));
    for (uint64_t& value : values) value = std::min(value, Histogram::kHourUs);
    std::ranges::sort(values);
    EXPECT_EQ(histogram.min(), values.front());
    EXPECT_EQ(histogram.max(), values.back());
    for (double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      auto rank = std::max<size_t>(1, static_cast<size_t>(std::ceil(percent / 100 * 5000 - 1e-6)));
      auto exact = static_cast<double>(values[rank - 1]);
      EXPECT_NEAR(static_cast<double>(histogram.percentile(percent)), exact, exact * std::pow(10, -digits)) << percent;
    }
  }
}

TEST(Histogram, buckets_cover_the_range_without_gap_or_overlap) {
  Histogram histogram(100'000, 2);
  for (uint64_t value = 0; value <= 100'000; ++value) histogram.record(value);
  uint64_t next = 0, total = 0;
  histogram.for_each_bucket([&](uint64_t lowest, uint64_t highest, uint64_t count) {
    EXPECT_EQ(lowest, next);
    EXPECT_LE(static_cast<double>(highest - lowest), 0.01 * static_cast<double>(lowest) + 1);
    next = highest + 1;
    total += count;
  });
  EXPECT_EQ(total, 100'001u);
  EXPECT_EQ(histogram.count_at_or_below(50), 51u);
  EXPECT_EQ(histogram.count_at_or_below(UINT64_MAX), 100'001u);
}

TEST(Histogram, values_beyond_the_range_are_clamped_and_counted) {
  Histogram histogram(1000, 3);
  histogram.record(UINT64_MAX, 2);
  EXPECT_EQ(histogram.clamped(), 2u);
  EXPECT_EQ(histogram.max(), 1000u);
  EXPECT_EQ(histogram.percentile(50), 1000u);
}

TEST(Histogram, the_whole_range_of_64_bits_can_be_recorded) {
  Histogram histogram(UINT64_MAX, 3);
  histogram.record(UINT64_MAX);
  histogram.record(0);
  EXPECT_EQ(histogram.percentile(100), UINT64_MAX);
  EXPECT_EQ(histogram.percentile(50), 0u);
}

TEST(Histogram, a_merge_is_the_histogram_of_all_values) {
  SeededRandom random(11);
  Histogram all, left, right, coarse(1'000'000, 1);
  for (int i = 0; i < 10'000; ++i) {
    uint64_t value = random.below(1'000'000);
    all.record(value);
    (i % 2 ? left : right).record(value);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.percentile(99), all.percentile(99));
  EXPECT_EQ(left.min(), all.min());
  coarse.merge(all);
  EXPECT_EQ(coarse.count(), all.count());
  EXPECT_NEAR(static_cast<double>(coarse.percentile(50)), 500'000, 80'000);
  all.reset();
  EXPECT_EQ(all.count(), 0u);
  EXPECT_EQ(all.percentile(50), 0u);
}

TEST(Histogram, correction_adds_the_waits_that_a_stall_hid) {
  Histogram histogram;
  histogram.record_corrected(1000, 100);
  EXPECT_EQ(histogram.count(), 10u);  // 1000, 900, ..., 100
  EXPECT_EQ(histogram.min(), 100u);
  histogram.record_corrected(50, 100);
  EXPECT_EQ(histogram.count(), 11u);
}

}  // namespace
}  // namespace polis::base
