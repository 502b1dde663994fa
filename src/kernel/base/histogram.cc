#include "kernel/base/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernel/base/result.h"

namespace polis::base {
namespace {

// Linear parts per doubling so that one part is at most 10^-digits of a value: at least 10^digits, as a power of two.
int half_bits_for(int significant_digits) {
  uint64_t parts = 1;
  for (int digit = 0; digit < significant_digits; ++digit) parts *= 10;
  return static_cast<int>(std::bit_width(parts - 1));
}

}  // namespace

// Values below 2^(half_bits + 1) have a bucket each. Above, a value whose highest bit is at position p is shifted right
// by s = p - half_bits; its index is s * 2^half_bits + (value >> s), which continues without a gap.
Histogram::Histogram(uint64_t value_max, int significant_digits)
    : value_max_(value_max), significant_digits_(significant_digits), half_bits_(half_bits_for(significant_digits)) {
  POLIS_ASSERT(value_max >= 2);
  POLIS_ASSERT(significant_digits >= 1 && significant_digits <= 5);
  counts_.resize(index_of(value_max) + 1);
}

size_t Histogram::index_of(uint64_t value) const {
  int shift = std::max(0, static_cast<int>(std::bit_width(value)) - 1 - half_bits_);
  return (static_cast<size_t>(shift) << half_bits_) + static_cast<size_t>(value >> shift);
}

uint64_t Histogram::lowest_of(size_t index) const {
  size_t half = size_t{1} << half_bits_;
  if (index < 2 * half) return index;
  size_t shift = (index >> half_bits_) - 1;
  return static_cast<uint64_t>(index - (shift << half_bits_)) << shift;
}

uint64_t Histogram::highest_of(size_t index) const {
  size_t half = size_t{1} << half_bits_;
  if (index < 2 * half) return index;
  size_t shift = (index >> half_bits_) - 1;
  return lowest_of(index) + ((uint64_t{1} << shift) - 1);
}

void Histogram::record(uint64_t value, uint64_t count) {
  if (value > value_max_) [[unlikely]] {
    clamped_ += count;
    value = value_max_;
  }
  counts_[index_of(value)] += count;
  count_ += count;
  if (count == 0) return;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void Histogram::record_corrected(uint64_t value, uint64_t expected_interval) {
  record(value);
  if (expected_interval == 0) return;
  // Never more records than the histogram can tell apart: a stall of hours with a tiny interval must not stall the
  // caller too.
  uint64_t missing = std::min<uint64_t>(std::min(value, value_max_) / expected_interval, 1'000'000);
  uint64_t waited = std::min(value, value_max_);
  for (uint64_t i = 0; i < missing; ++i) {
    waited -= expected_interval;
    if (waited < expected_interval) return;
    record(waited);
  }
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  bool same_shape = other.half_bits_ == half_bits_ && other.value_max_ == value_max_;
  if (same_shape) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
  } else {
    other.for_each_bucket(
        [this](uint64_t lowest, uint64_t highest, uint64_t count) { record(lowest + (highest - lowest) / 2, count); });
  }
  clamped_ += other.clamped_;
  min_ = std::min(min_, std::min(other.min_, value_max_));
  max_ = std::max(max_, std::min(other.max_, value_max_));
}

void Histogram::reset() {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = clamped_ = max_ = 0;
  min_ = UINT64_MAX;
}

double Histogram::mean() const {
  if (count_ == 0) return 0;
  double sum = 0;
  for_each_bucket([&](uint64_t lowest, uint64_t highest, uint64_t count) {
    sum += (static_cast<double>(lowest) + static_cast<double>(highest)) / 2 * static_cast<double>(count);
  });
  return sum / static_cast<double>(count_);
}

uint64_t Histogram::percentile(double percent) const {
  if (count_ == 0) return 0;
  double share = std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_);
  // A rank within a millionth of a whole number is that number: 99.9 % of 1,000 is 999, whatever binary fractions say.
  auto rank = static_cast<uint64_t>(std::ceil(share - 1e-6));
  rank = std::clamp<uint64_t>(rank, 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::clamp(highest_of(i), min_, max_);
  }
  return max_;
}

uint64_t Histogram::count_at_or_below(uint64_t value) const {
  size_t end = index_of(std::min(value, value_max_)) + 1;
  uint64_t sum = 0;
  for (size_t i = 0; i < end; ++i) sum += counts_[i];
  return sum;
}

}  // namespace polis::base
