// The work of `polis ledger bench`: which accounts a transfer touches, and batches of transfers rewritten in place.
// Pure; the same seed and run give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/base/bytes.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

struct BenchWorkload {
  uint64_t accounts = 10'000;  // at least 2
  // This percentage of the accounts takes 80 % of all sides; 0 or 100: all alike.
  uint32_t hot_percent = 0;
  bool two_phase = false;  // every batch of pending transfers is followed by one that posts them
  uint32_t ledger = 1;
  uint64_t books = 0;  // upper half of the accounts' ids
  uint64_t run = 0;    // upper half of the transfers' ids
};

// SplitMix64 (Steele, Lea, Flood, 2014): one multiplication chain a number, and a bijection, so counters give distinct
// ids.
constexpr uint64_t split_mix(uint64_t number) {
  number += 0x9E37'79B9'7F4A'7C15;
  number = (number ^ (number >> 30)) * 0xBF58'476D'1CE4'E5B9;
  number = (number ^ (number >> 27)) * 0x94D0'49BB'1331'11EB;
  return number ^ (number >> 31);
}

class BenchLoad {
 public:
  explicit BenchLoad(const BenchWorkload& workload);

  // Accounts first .. first+count-1 (from 0), 128 bytes each.
  void write_accounts(MutableBytes body, uint64_t first, size_t count) const;
  // `count` transfers with the numbers first .. first+count-1; numbers are used once in a run.
  // Posting: those that the batch of the same numbers reserved. The sum of their amounts.
  u128 write_transfers(MutableBytes body, uint64_t first, size_t count, bool post) const;

  Id account_id(uint64_t index) const;

 private:
  uint64_t pick(uint64_t random) const;

  BenchWorkload workload_;
  uint64_t hot_accounts_ = 0;  // the first so many
};

}  // namespace polis::ledger
