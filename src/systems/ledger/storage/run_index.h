// The field index of a run: for each field the (value, rank) pairs of its rows, sorted. An entry is 8 bytes: the top 48
// bits of the value, spread by a multiplication, over 16 bits of rank; so a run has at most 2^16 rows. Values that
// differ only in what is cut off collide, which searches allow. Immutable once built; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "systems/ledger/storage/posting.h"

namespace polis::ledger {

// One value of one field. Fields are small numbers that the log's owner chooses; values are hashed to 64 bits by him:
// different values may collide, so a search always compares the row itself too.
struct FieldValue {
  uint8_t field = 0;
  uint64_t value = 0;
};

// The values of a row, at most `fields`, into `values`; returns how many. Pure, any thread.
using IndexRow = size_t (*)(const std::byte* row, FieldValue* values);

inline constexpr uint32_t kRowsPerRunMax = 1 << 16;
inline constexpr uint8_t kFieldsMax = 16;
inline constexpr unsigned kRankBits = 16;  // of a run's entry
inline constexpr unsigned kValueBits = 48;

// A value as indexes hold it: 48 bits, evenly spread whatever the owner's values are, so that a search may guess the
// place. The constant is 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, §6.4).
inline uint64_t index_value(uint64_t value) {
  value ^= value >> 32;
  return value * 0x9E37'79B9'7F4A'7C15 >> (64 - kValueBits);
}

class RunIndex {
 public:
  // Of `count` rows that lie `row_bytes` apart.
  static RunIndex build(const std::byte* rows, uint32_t count, uint32_t row_bytes, uint8_t fields, IndexRow index);

  // The rows that carry the value; the run outlives it.
  Posting find(uint8_t field, uint64_t index_value) const;
  // (value << 16 | rank), ascending, each pair once.
  std::span<const uint64_t> entries(uint8_t field) const { return fields_[field]; }
  uint64_t memory_bytes() const;

 private:
  std::vector<std::vector<uint64_t>> fields_;
};

// Sorts entries whose values are spread evenly over `value_bits` bits above `rank_bits`: one pass over the top bits,
// then the few that share them. `scratch` is overwritten. Entries that arrive in order of rank stay cheap whatever
// their values; in the worst case O(n log n).
void sort_entries(std::vector<uint64_t>& entries, std::vector<uint64_t>& scratch);

}  // namespace polis::ledger
