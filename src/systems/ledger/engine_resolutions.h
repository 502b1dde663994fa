// What became of every pending transfer: two bits a transfer, by slot. Lies in pages, so that a snapshot saves it while
// commands go on. Lives on the engine's shard.
#pragma once

#include "systems/ledger/storage/paged_table.h"

namespace polis::ledger {

enum class Resolution : uint8_t { kOpen = 0, kPosted = 1, kVoided = 2, kExpired = 3 };

class Resolutions {
 public:
  // For a new transfer at `slot`, which is the next.
  void add(uint64_t slot) {
    if (slot / kPerWord == words_.size()) words_.append(0);
  }
  // Forgets the transfers from `slot` on; they are open again.
  void truncate(uint64_t slot) { words_.truncate((slot + kPerWord - 1) / kPerWord); }
  Resolution operator[](uint64_t slot) const {
    return static_cast<Resolution>(words_[slot / kPerWord] >> shift(slot) & 3);
  }
  void set(uint64_t slot, Resolution resolution) {
    uint64_t& word = words_.change(slot / kPerWord);
    word = (word & ~(uint64_t{3} << shift(slot))) | (static_cast<uint64_t>(resolution) << shift(slot));
  }
  void prefetch(uint64_t slot) const { words_.prefetch(slot / kPerWord); }

  // --- snapshots
  bool holds(uint64_t transfers) const { return words_.size() == (transfers + kPerWord - 1) / kPerWord; }
  PagedTable<uint64_t>& pages() { return words_; }
  const PagedTable<uint64_t>& pages() const { return words_; }

 private:
  static constexpr uint64_t kPerWord = 32;
  static unsigned shift(uint64_t slot) { return 2 * static_cast<unsigned>(slot % kPerWord); }

  PagedTable<uint64_t> words_;
};

}  // namespace polis::ledger
