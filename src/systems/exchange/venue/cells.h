// What an account has of an asset or in an instrument: cells that stand in the order in which they were made, found by
// a pair of ids through a table, or directly by their number, which an order keeps.
#pragma once

#include <algorithm>
#include <vector>

#include "systems/exchange/messages.h"
#include "systems/exchange/venue/stable_vector.h"

namespace polis::exchange {

using CellNumber = uint32_t;
inline constexpr CellNumber kNoCell = UINT32_MAX;

struct BalanceCell {
  AccountId account = 0;
  AssetId of = 0;
  Amount total = 0, reserved = 0;
};

struct PositionCell {
  AccountId account = 0;
  InstrumentId of = 0;
  bool restricted = false;
  Quantity position = 0;                   // lots bought less sold
  Quantity open_buys = 0, open_sells = 0;  // lots that open orders could still trade
};

template <class Cell>
class Cells {
 public:
  Cells(uint32_t accounts_max, uint32_t others_max)
      : cells_(std::min((uint64_t{accounts_max} + 1) * (uint64_t{others_max} + 1), kCellsMax)),
        table_(kPlacesFirst, kNoCell) {}

  size_t size() const { return cells_.size(); }
  Cell& operator[](CellNumber number) { return cells_[number]; }
  const Cell& operator[](CellNumber number) const { return cells_[number]; }

  CellNumber find(AccountId account, uint32_t of) const { return table_.data()[probe(account, of)]; }
  CellNumber make(AccountId account, uint32_t of) {
    const size_t at = probe(account, of);
    if (table_.data()[at] != kNoCell) return table_.data()[at];
    const auto number = static_cast<CellNumber>(cells_.size());
    Cell cell;
    cell.account = account;
    cell.of = of;
    cells_.push_back(cell);
    table_[at] = number;
    if (cells_.size() * 2 > table_.size()) grow();
    return number;
  }

  // Starts to bring near where it will be looked for, or (some time later) what is there.
  void prefetch(AccountId account, uint32_t of, bool cell) const {
    const CellNumber* place = &table_.data()[home(account, of)];
    if (!cell) return __builtin_prefetch(place);
    if (*place != kNoCell) __builtin_prefetch(&cells_[*place], 1);
  }

 private:
  static constexpr uint64_t kCellsMax = uint64_t{1} << 30;
  // 64 KiB: small enough to stay near, and of the times that it grows later the last, with 10^5 accounts, takes a few
  // milliseconds.
  static constexpr size_t kPlacesFirst = size_t{1} << 14;
  size_t home(AccountId account, uint32_t of) const {
    // Fibonacci hashing; the multiplier is 2^64 over the golden ratio.
    const uint64_t key = uint64_t{account} << 32 | of;
    return (key ^ key >> 29) * 0x9E3779B97F4A7C15u >> 20 & (table_.size() - 1);
  }
  size_t probe(AccountId account, uint32_t of) const {
    size_t at = home(account, of);
    for (;; at = (at + 1) & (table_.size() - 1)) {
      const CellNumber number = table_.data()[at];
      if (number == kNoCell || (cells_[number].account == account && cells_[number].of == of)) return at;
    }
  }
  void grow() {
    table_.assign(table_.size() * 2, kNoCell);
    for (size_t i = 0; i < cells_.size(); ++i)
      table_[probe(cells_[i].account, cells_[i].of)] = static_cast<CellNumber>(i);
  }

  StableVector<Cell> cells_;
  std::vector<CellNumber> table_;
};

}  // namespace polis::exchange
