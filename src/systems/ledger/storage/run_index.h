// The field index of a run: for each field the (value, rank) pairs of its rows. A value counts by 28 bits, spread by a
// multiplication; the top 12 choose one of 2^12 buckets, and a bucket holds its pairs in the order of rank, 4 bytes
// each: the other 16 bits of the value over 16 bits of rank. So building one is a single counting pass, without
// comparisons, and a look-up reads one bucket. Values that agree in 28 bits collide, which searches allow. Once built
// it may be read by any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "systems/ledger/storage/posting.h"

namespace polis::ledger {

// One value of one field. Fields are small numbers that the log's owner chooses; different values may collide, so a
// search always compares the row itself too.
struct FieldValue {
  uint8_t field = 0;
  uint64_t value = 0;
};

// The values of a row, at most `fields`, into `values`; returns how many. Pure, any thread.
using IndexRow = size_t (*)(const std::byte* row, FieldValue* values);

inline constexpr uint32_t kRowsPerRunMax = 1 << 16;
inline constexpr uint8_t kFieldsMax = 16;
inline constexpr unsigned kBucketBits = 12;
inline constexpr unsigned kTagBits = 16;
inline constexpr unsigned kRankBits = 16;  // of a run's entry
inline constexpr unsigned kValueBits = kBucketBits + kTagBits;

// A value as indexes hold it: 28 bits, evenly spread whatever the owner's values are. The constant is 2^64 divided by
// the golden ratio (Knuth, The Art of Computer Programming 3, §6.4).
inline uint32_t index_value(uint64_t value) {
  value ^= value >> 32;
  return static_cast<uint32_t>(value * 0x9E37'79B9'7F4A'7C15 >> (64 - kValueBits));
}

class RunIndex {
 public:
  // What building needs besides, kept by the caller from run to run.
  struct Scratch {
    std::vector<uint64_t> pairs[kFieldsMax];  // value << 16 | rank
  };
  // Indexes `count` rows that lie `row_bytes` apart, in place of what was here.
  void build(const std::byte* rows, uint32_t count, uint32_t row_bytes, uint8_t fields, IndexRow index,
             Scratch& scratch);

  // The rows that carry the value; the run outlives it.
  Posting find(uint8_t field, uint32_t index_value) const;
  // (tag << 16 | rank), ascending by rank. A row that carries a value twice is there twice.
  std::span<const uint32_t> bucket(uint8_t field, uint32_t number) const {
    const uint32_t* ends = ends_.data() + (size_t{field} << kBucketBits) + number;
    const uint32_t begin = field == 0 && number == 0 ? 0 : ends[-1];
    return {entries_.data() + begin, *ends - begin};
  }
  uint64_t memory_bytes() const { return (entries_.capacity() + ends_.capacity()) * sizeof(uint32_t); }

 private:
  std::vector<uint32_t> entries_;  // field after field, bucket after bucket
  std::vector<uint32_t> ends_;     // of each bucket in entries_
};

}  // namespace polis::ledger
