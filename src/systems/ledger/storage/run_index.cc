#include "systems/ledger/storage/run_index.h"

#include <algorithm>
#include <bit>

namespace polis::ledger {
namespace {

// About 8 entries share a bucket, which insertion sorts in a few nanoseconds each; 2^12 counters stay in the first
// cache.
constexpr unsigned kBucketBitsMax = 12;
constexpr size_t kInsertionMax = 32;

void insertion_sort(uint64_t* begin, uint64_t* end) {
  for (uint64_t* at = begin + 1; at < end; ++at) {
    const uint64_t entry = *at;
    uint64_t* to = at;
    for (; to > begin && to[-1] > entry; --to) *to = to[-1];
    *to = entry;
  }
}

void sort_bucket(uint64_t* begin, uint64_t* end) {
  if (static_cast<size_t>(end - begin) <= kInsertionMax) return insertion_sort(begin, end);
  if (!std::is_sorted(begin, end)) std::sort(begin, end);
}

}  // namespace

void sort_entries(std::vector<uint64_t>& entries, std::vector<uint64_t>& scratch) {
  const size_t count = entries.size();
  if (count <= 2 * kInsertionMax) return sort_bucket(entries.data(), entries.data() + count);
  const unsigned bits = std::min(kBucketBitsMax, static_cast<unsigned>(std::bit_width(count / 8)));
  const unsigned shift = 64 - bits;
  uint32_t ends[1 << kBucketBitsMax] = {};
  for (uint64_t entry : entries) ++ends[entry >> shift];
  uint32_t total = 0;
  for (size_t i = 0; i < size_t{1} << bits; ++i) {
    const uint32_t size = ends[i];
    ends[i] = total;
    total += size;
  }
  scratch.resize(count);
  uint64_t* const to = scratch.data();
  for (uint64_t entry : entries) to[ends[entry >> shift]++] = entry;
  uint32_t begin = 0;
  for (size_t i = 0; i < size_t{1} << bits; ++i) {
    sort_bucket(to + begin, to + ends[i]);
    begin = ends[i];
  }
  entries.swap(scratch);
}

RunIndex RunIndex::build(const std::byte* rows, uint32_t count, uint32_t row_bytes, uint8_t fields, IndexRow index) {
  POLIS_ASSERT(count <= kRowsPerRunMax && fields <= kFieldsMax);
  RunIndex run;
  run.fields_.resize(fields);
  if (fields == 0) return run;
  std::vector<std::vector<uint64_t>> entries(fields);
  FieldValue values[kFieldsMax];
  for (uint32_t rank = 0; rank < count; ++rank) {
    const std::byte* row = rows + size_t{rank} * row_bytes;
    const size_t carried = index(row, values);
    POLIS_ASSERT(carried <= fields);
    for (size_t i = 0; i < carried; ++i) {
      POLIS_ASSERT(values[i].field < fields);
      auto& field = entries[values[i].field];
      if (field.empty()) field.reserve(count);
      field.push_back(index_value(values[i].value) << kRankBits | rank);
    }
  }
  std::vector<uint64_t> scratch;
  for (uint8_t field = 0; field < fields; ++field) {
    auto& sorted = entries[field];
    sort_entries(sorted, scratch);
    // A row that carries a value twice carries it once.
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    run.fields_[field].assign(sorted.begin(), sorted.end());  // exactly as large as needed
  }
  return run;
}

Posting RunIndex::find(uint8_t field, uint64_t value) const {
  const auto& entries = fields_[field];
  const auto begin = std::lower_bound(entries.begin(), entries.end(), value << kRankBits);
  const auto end = std::upper_bound(begin, entries.end(), value << kRankBits | (kRowsPerRunMax - 1));
  if (begin == end) return {};
  return Posting::packed(std::span(begin, end));
}

uint64_t RunIndex::memory_bytes() const {
  uint64_t size_bytes = fields_.size() * sizeof(fields_[0]);
  for (const auto& field : fields_) size_bytes += field.capacity() * sizeof(uint64_t);
  return size_bytes;
}

}  // namespace polis::ledger
