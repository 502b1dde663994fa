#include "systems/ledger/storage/id_index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace polis::ledger {
namespace {

constexpr size_t kCacheLineBytes = 64;
constexpr uint32_t kSlotsPerLine = kCacheLineBytes / sizeof(uint64_t);

// Full at 3/4, where a search that finds nothing reads 1.5 cache lines on average; then half as large again.
bool full(uint64_t size, uint64_t capacity) {
  return 4 * (size + 1) > 3 * capacity;
}
uint64_t whole_lines(uint64_t slots) {
  return (slots + kSlotsPerLine - 1) / kSlotsPerLine * kSlotsPerLine;
}

uint64_t* make_slots(uint32_t capacity) {
  void* memory = std::aligned_alloc(kCacheLineBytes, capacity * sizeof(uint64_t));
  if (!memory) throw std::bad_alloc();
  return static_cast<uint64_t*>(std::memset(memory, 0, capacity * sizeof(uint64_t)));
}

}  // namespace

IdIndex::IdIndex(uint64_t key) : hash_(key), tables_(kTables) {}

IdIndex::~IdIndex() {
  for (Table& table : tables_) std::free(table.slots);
}

void IdIndex::place(Table& table, uint64_t entry) {
  uint64_t i = home(entry >> kReferenceBits, table.capacity);
  while (table.slots[i] != kEmpty) i = next(i, table.capacity);
  table.slots[i] = entry;
}

void IdIndex::insert(uint64_t hash, uint64_t reference) {
  POLIS_ASSERT(reference <= kReferenceMax);
  Table& table = tables_[hash >> kTableShift];
  if (full(table.size, table.capacity)) {
    // A table never holds more than its 2^24 tags: 4096 of those are 50 billion ids.
    const uint64_t grown = whole_lines(table.capacity + table.capacity / 2 + 1);
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
    const uint64_t from_home = (i + table.capacity - wanted) % table.capacity;
    const uint64_t from_gap = (i + table.capacity - gap) % table.capacity;
    if (from_home < from_gap) continue;
    table.slots[gap] = table.slots[i];
    gap = i;
  }
  table.slots[gap] = kEmpty;
  --table.size;
  --size_;
}

void IdIndex::resize(Table& table, uint32_t capacity) {
  Table grown{.slots = make_slots(capacity), .capacity = capacity, .size = table.size};
  for (uint64_t i = 0; i < table.capacity; ++i)
    if (table.slots[i] != kEmpty) place(grown, table.slots[i]);
  std::free(table.slots);
  slots_ += grown.capacity - table.capacity;
  table = grown;
}

void IdIndex::reserve(uint64_t ids) {
  const uint64_t each = (ids + kTables - 1) / kTables;
  // At 5/8 there is room for the tables that got more than their share.
  const uint64_t capacity = std::min(whole_lines(each + each * 3 / 5 + 1), uint64_t{1} << kTagBits);
  for (Table& table : tables_)
    if (table.capacity < capacity) resize(table, static_cast<uint32_t>(capacity));
}

uint64_t IdIndex::memory_bytes() const {
  return slots_ * sizeof(uint64_t) + tables_.size() * sizeof(Table);
}

}  // namespace polis::ledger
