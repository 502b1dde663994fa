// IdIndex: where the record of an id lies, for hundreds of millions of ids. An entry is 8 bytes: 24 bits of the id's
// hash and a 40-bit reference; the caller compares the id in the record itself (one more cache line, only when the
// bits agree).
//
// Open addressing with linear probing, in 2^12 tables by the top bits of the hash that each grow alone, by half, and
// not all at the same size: so there is always one that grows, and never many, and no command waits for a big one.
// Inside a table the 24 bits choose the place, so an entry is placed again without its id, and a search meets a
// stranger's reference once in 2^36 / size times. 14 to 16 bytes an id. The hash is keyed with a number that the
// journal does not need: no result depends on the order in here. Lives on the engine's shard.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel/base/result.h"
#include "systems/ledger/storage/slot_arena.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// The hash of ids, keyed: who does not know the key cannot choose ids that meet in one place. Two multiplications of 64
// by 64 bits, their halves folded. Stable between versions: chunks store it. Making one costs as much as hashing twice.
class IdHash {
 public:
  constexpr explicit IdHash(uint64_t key = 0) {
    for (uint64_t& k : keys_) {
      key = (key + 0x9E37'79B9'7F4A'7C15) * 0xD134'2543'DE82'EF95;
      key ^= key >> 29;
      k = key | 1;
    }
  }
  uint64_t operator()(Id id) const {
    const u128 first =
        static_cast<u128>(static_cast<uint64_t>(id) ^ keys_[0]) * (static_cast<uint64_t>(id >> 64) ^ keys_[1]);
    const uint64_t folded =
        static_cast<uint64_t>(first) ^ static_cast<uint64_t>(first >> 64) ^ static_cast<uint64_t>(id);
    const u128 second = static_cast<u128>(folded ^ keys_[2]) * keys_[3];
    return static_cast<uint64_t>(second) ^ static_cast<uint64_t>(second >> 64);
  }

 private:
  uint64_t keys_[4] = {};
};

class IdIndex {
 public:
  static constexpr uint64_t kReferenceMax = (uint64_t{1} << 40) - 2;

  // `key` is a secret of the installation, or 0 where nobody attacks.
  explicit IdIndex(uint64_t key = 0);
  IdIndex(const IdIndex&) = delete;
  IdIndex& operator=(const IdIndex&) = delete;

  // Mixes all 128 bits; the same for the same id and key everywhere.
  uint64_t hash(Id id) const { return hash_(id); }
  // Loads what prefetch() itself reads: for who has many ids at hand, first this for all of them.
  void prefetch_table(uint64_t hash) const { __builtin_prefetch(&tables_[hash >> kTableShift]); }
  // Loads the cache lines that find() and insert() of this hash touch.
  void prefetch(uint64_t hash) const {
    const Table& table = tables_[hash >> kTableShift];
    // A number, not a pointer: an empty table has no slots to point to.
    const auto slot = reinterpret_cast<uintptr_t>(table.slots) + home(tag(hash), table.capacity) * sizeof(uint64_t);
    __builtin_prefetch(reinterpret_cast<const void*>(slot), 1);
    // A search that finds nothing looks at 3 to 8 slots: often the next line's, too.
    __builtin_prefetch(reinterpret_cast<const void*>(slot + 5 * sizeof(uint64_t)), 1);
  }
  // Calls same(reference) for each entry whose bits agree, until it answers true; that reference, or kNone.
  static constexpr uint64_t kNone = ~uint64_t{0};
  template <class Same>
  uint64_t find(uint64_t hash, Same same) const {
    const Table& table = tables_[hash >> kTableShift];
    if (table.capacity == 0) return kNone;
    const uint64_t wanted = tag(hash);
    for (uint64_t i = home(wanted, table.capacity);; i = next(i, table.capacity)) {
      const uint64_t entry = table.slots[i];
      if (entry == kEmpty) return kNone;
      if (entry >> kReferenceBits != wanted) continue;
      const uint64_t reference = (entry & kReferenceMask) - 1;
      if (same(reference)) return reference;
    }
  }
  // The caller has looked: the id is not there.
  void insert(uint64_t hash, uint64_t reference);
  // Takes exactly this entry out (undo of a linked chain). It must be there.
  void erase(uint64_t hash, uint64_t reference);
  // Makes room for `ids` in all, so that filling it at a start grows no table twice.
  void reserve(uint64_t ids);

  uint64_t size() const { return size_; }
  uint64_t memory_bytes() const;

 private:
  static constexpr uint64_t kTables = 1 << 12;
  static constexpr unsigned kTableShift = 64 - 12;
  static constexpr unsigned kTagBits = 24;
  static constexpr unsigned kReferenceBits = 40;
  static constexpr uint64_t kReferenceMask = (uint64_t{1} << kReferenceBits) - 1;
  static constexpr uint64_t kEmpty = 0;  // a reference is stored plus 1, so no entry is 0

  struct Table {
    uint64_t* slots = nullptr;  // of arena_
    uint32_t capacity = 0;
    uint32_t size = 0;
  };
  static uint64_t tag(uint64_t hash) { return hash >> (kTableShift - kTagBits) & ((uint64_t{1} << kTagBits) - 1); }
  static uint64_t home(uint64_t tag, uint64_t capacity) { return tag * capacity >> kTagBits; }
  static uint64_t next(uint64_t i, uint64_t capacity) { return i + 1 == capacity ? 0 : i + 1; }
  static void place(Table& table, uint64_t entry);
  void resize(Table& table, uint32_t capacity);
  static uint64_t capacity_for(uint64_t table, uint64_t size);

  IdHash hash_;
  std::vector<Table> tables_;
  uint64_t size_ = 0;
  SlotArena arena_;
};

}  // namespace polis::ledger
