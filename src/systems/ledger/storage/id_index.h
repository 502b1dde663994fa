// IdIndex: where the record of an id lies, for hundreds of millions of ids. An entry is 8 bytes: 24 bits of the id's
// hash and a 40-bit reference; the caller compares the id in the record itself (one more cache line, only when 24 bits
// agree).
//
// Open addressing with linear probing, in 2^12 tables by the top bits of the hash that each grow alone: growing copies
// at most a few thousand entries at a time, so that no command waits for a big one. 12 to 16 bytes an id at its load.
// The hash is keyed (base/hash.h) with a key that the journal does not need: no result depends on the order in here.
// Lives on the engine's shard.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "systems/ledger/types.h"

namespace polis::ledger {

class IdIndex {
 public:
  static constexpr uint64_t kReferenceMax = (uint64_t{1} << 40) - 2;

  IdIndex();
  ~IdIndex();
  IdIndex(const IdIndex&) = delete;
  IdIndex& operator=(const IdIndex&) = delete;

  // Mixes all 128 bits; the same for the same id everywhere in this process.
  uint64_t hash(Id id) const;
  // Loads the cache line that find() and insert() of this hash touch first.
  void prefetch(uint64_t hash) const;
  // Calls same(reference) for each entry whose 24 bits agree, until it answers true; that reference, or kNone.
  static constexpr uint64_t kNone = ~uint64_t{0};
  template <class Same>
  uint64_t find(uint64_t hash, Same same) const;
  // The caller has looked: the id is not there.
  void insert(uint64_t hash, uint64_t reference);
  // Takes exactly this entry out (undo of a linked chain). It must be there.
  void erase(uint64_t hash, uint64_t reference);

  uint64_t size() const;
  uint64_t memory_bytes() const;
};

}  // namespace polis::ledger
