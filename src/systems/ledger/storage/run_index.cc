#include "systems/ledger/storage/run_index.h"

namespace polis::ledger {

void RunIndex::build(const std::byte* rows, uint32_t count, uint32_t row_bytes, uint8_t fields, IndexRow index,
                     Scratch& scratch) {
  POLIS_ASSERT(count <= kRowsPerRunMax && fields <= kFieldsMax);
  ends_.assign(size_t{fields} << kBucketBits, 0);
  // Each field has room for every row's values, as a row may carry one field several times.
  uint64_t* next[kFieldsMax];
  for (uint8_t field = 0; field < fields; ++field) {
    scratch.pairs[field].resize(size_t{count} * fields);
    next[field] = scratch.pairs[field].data();
  }
  uint32_t* const counts = ends_.data();
  FieldValue values[kFieldsMax];
  for (uint32_t rank = 0; rank < count; ++rank) {
    const size_t carried = index(rows + size_t{rank} * row_bytes, values);
    POLIS_ASSERT(carried <= fields);
    for (size_t i = 0; i < carried; ++i) {
      const uint8_t field = values[i].field;
      POLIS_ASSERT(field < fields);
      const uint32_t value = index_value(values[i].value);
      ++counts[(size_t{field} << kBucketBits) + (value >> kTagBits)];
      *next[field]++ = uint64_t{value} << kRankBits | rank;
    }
  }
  // Counts become where each bucket begins; as the buckets fill, these move on to where they end.
  uint32_t total = 0;
  for (uint32_t& end : ends_) {
    const uint32_t size = end;
    end = total;
    total += size;
  }
  entries_.resize(total);
  for (uint8_t field = 0; field < fields; ++field) {
    uint32_t* const ends = ends_.data() + (size_t{field} << kBucketBits);
    for (const uint64_t* pair = scratch.pairs[field].data(); pair < next[field]; ++pair)
      entries_[ends[*pair >> (kTagBits + kRankBits)]++] = static_cast<uint32_t>(*pair);
  }
}

Posting RunIndex::find(uint8_t field, uint32_t value) const {
  return Posting::tagged(bucket(field, value >> kTagBits), static_cast<uint16_t>(value));
}

}  // namespace polis::ledger
