// A high-dynamic-range histogram: counts values from 0 to a maximum in log-linear buckets, so that every value is known
// to a fixed number of significant decimal digits over the whole range, in constant memory and a few nanoseconds a
// record (after Gil Tene's HdrHistogram). For latencies: unit and range belong to the owner, best in the name
// (latency_us).
//
// One writer; a reader on another thread works on a copy that the writer made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polis::base {

class Histogram {
 public:
  // An hour in microseconds, with three digits, takes 184 KiB.
  static constexpr uint64_t kHourUs = 3'600'000'000;

  // Values in [0, value_max]; value_max >= 2. `significant_digits` is 1..5: with 3, a value of a million is known to 1
  // in 1,000.
  explicit Histogram(uint64_t value_max = kHourUs, int significant_digits = 3);

  // A value above value_max counts as value_max and in clamped().
  void record(uint64_t value, uint64_t count = 1);
  // For a load generator that sends one request every `expected_interval`: when a reply was late, also records the
  // waits of the requests that should have been sent meanwhile ("coordinated omission").
  void record_corrected(uint64_t value, uint64_t expected_interval);
  // Adds the counts of `other`, of any shape.
  void merge(const Histogram& other);
  void reset();

  uint64_t count() const { return count_; }
  uint64_t clamped() const { return clamped_; }
  // Exact; 0 when empty.
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  // From bucket middles.
  double mean() const;
  // The least bucket end so that at least `percent` (0..100) of all values lie at or below it, never above max(). 0
  // when empty.
  uint64_t percentile(double percent) const;
  // How many values lie at or below `value`, to the histogram's precision.
  uint64_t count_at_or_below(uint64_t value) const;

  // Calls visit(lowest value, highest value, count) for every bucket in use, upwards.
  template <class Visit>
  void for_each_bucket(Visit visit) const {
    for (size_t i = 0; i < counts_.size(); ++i)
      if (counts_[i] != 0) visit(lowest_of(i), highest_of(i), counts_[i]);
  }

  uint64_t value_max() const { return value_max_; }
  int significant_digits() const { return significant_digits_; }
  size_t size_bytes() const { return counts_.size() * sizeof(uint64_t); }

 private:
  size_t index_of(uint64_t value) const;
  uint64_t lowest_of(size_t index) const;
  uint64_t highest_of(size_t index) const;

  uint64_t value_max_;
  int significant_digits_;
  int half_bits_;  // a bucket of doubling range has 2^half_bits_ linear parts; the first has twice as many
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t clamped_ = 0;
  uint64_t min_ = UINT64_MAX;
  uint64_t max_ = 0;
};

}  // namespace polis::base
