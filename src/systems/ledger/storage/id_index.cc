#include "systems/ledger/storage/id_index.h"

#include <algorithm>

namespace polis::ledger {
namespace {

constexpr uint64_t kSlotsPerLine = 8;  // of a cache line

// Full at 4/5, where a search that finds nothing reads two cache lines that lie together.
bool full(uint64_t size, uint64_t capacity) {
  return 5 * (size + 1) > 4 * capacity;
}
uint64_t whole_lines(uint64_t slots) {
  return (slots + kSlotsPerLine - 1) / kSlotsPerLine * kSlotsPerLine;
}

}  // namespace

IdIndex::IdIndex(uint64_t key) : hash_(key), tables_(kTables) {}

// The sizes of table t are 8 * 1.5^(i + t / 4096): at any moment the tables are evenly spread over the sizes between
// one and one and a half, and so is the work of growing them.
uint64_t IdIndex::capacity_for(uint64_t table, uint64_t size) {
  // Times 2 * kTables, to keep what rounding would take; 1.5^x for 0 <= x < 1 is 1 + x / 2 within 2 %.
  uint64_t exact = kSlotsPerLine * (2 * kTables + table);
  uint64_t capacity = kSlotsPerLine;
  while (full(size, capacity)) {
    exact += exact / 2;
    capacity = whole_lines(exact / (2 * kTables));
  }
  return capacity;
}

void IdIndex::place(Table& table, uint64_t entry) {
  uint64_t i = home(entry >> kReferenceBits, table.capacity);
  while (table.slots[i] != kEmpty) i = next(i, table.capacity);
  table.slots[i] = entry;
}

void IdIndex::insert(uint64_t hash, uint64_t reference) {
  POLIS_ASSERT(reference <= kReferenceMax);
  Table& table = tables_[hash >> kTableShift];
  if (full(table.size, table.capacity)) [[unlikely]] {
    // A table never has more slots than there are tags: 4096 of those are 50 billion ids.
    const uint64_t grown = capacity_for(hash >> kTableShift, table.size);
    POLIS_ASSERT(grown <= uint64_t{1} << kTagBits);
    resize(table, static_cast<uint32_t>(grown));
  }
  place(table, tag(hash) << kReferenceBits | (reference + 1));
  ++table.size;
  ++size_;
}

void IdIndex::erase(uint64_t hash, uint64_t reference) {
  Table& table = tables_[hash >> kTableShift];
  POLIS_ASSERT(table.size > 0);
  const uint64_t entry = tag(hash) << kReferenceBits | (reference + 1);
  uint64_t gap = home(tag(hash), table.capacity);
  while (table.slots[gap] != entry) {
    POLIS_ASSERT(table.slots[gap] != kEmpty);
    gap = next(gap, table.capacity);
  }
  // What stands behind moves up unless that would be before its home; so there are no marks of erased entries.
  for (uint64_t i = next(gap, table.capacity); table.slots[i] != kEmpty; i = next(i, table.capacity)) {
    const uint64_t wanted = home(table.slots[i] >> kReferenceBits, table.capacity);
    const uint64_t from_home = i >= wanted ? i - wanted : i + table.capacity - wanted;
    const uint64_t from_gap = i >= gap ? i - gap : i + table.capacity - gap;
    if (from_home < from_gap) continue;
    table.slots[gap] = table.slots[i];
    gap = i;
  }
  table.slots[gap] = kEmpty;
  --table.size;
  --size_;
}

void IdIndex::resize(Table& table, uint32_t capacity) {
  Table grown{.slots = arena_.allocate(capacity), .capacity = capacity, .size = table.size};
  for (uint64_t i = 0; i < table.capacity; ++i)
    if (table.slots[i] != kEmpty) place(grown, table.slots[i]);
  arena_.release(table.slots, table.capacity);
  table = grown;
}

void IdIndex::reserve(uint64_t ids) {
  const uint64_t each = (ids + kTables - 1) / kTables;
  for (uint64_t i = 0; i < kTables; ++i) {
    // A few more than the share: the hash spreads ids as dice would, within some square roots.
    uint64_t spread = 1;
    while (spread * spread < each) spread *= 2;
    const uint64_t capacity = std::min(capacity_for(i, each + 2 * spread), uint64_t{1} << kTagBits);
    if (tables_[i].capacity < capacity) resize(tables_[i], static_cast<uint32_t>(capacity));
  }
}

uint64_t IdIndex::memory_bytes() const {
  return arena_.memory_bytes() + tables_.size() * sizeof(Table);
}

}  // namespace polis::ledger
