// When pending transfers are due: a binary heap of (expiry, slot), so that the next is at hand and equal times go by
// age. A transfer that was posted or voided stays in until it comes up or stale ones are the larger half; then they are
// swept. Lies in pages, so that a snapshot saves it while commands go on. Lives on the engine's shard.
#pragma once

#include <algorithm>
#include <vector>

#include "systems/ledger/storage/paged_table.h"

namespace polis::ledger {

struct Due {
  uint64_t expires_at = 0;  // ns
  uint64_t transfer = 0;    // slot
  auto operator<=>(const Due&) const = default;
};

class DueQueue {
 public:
  bool empty() const { return heap_.size() == 0; }
  const Due& first() const { return heap_[0]; }
  void add(Due due) {
    uint64_t i = heap_.append(due);
    for (; i > 0 && due < heap_[parent(i)]; i = parent(i)) heap_.change(i) = heap_[parent(i)];
    heap_.change(i) = due;
  }
  void remove_first() {
    const Due last = heap_[heap_.size() - 1];
    heap_.truncate(heap_.size() - 1);
    if (!empty()) sink(0, last);
  }
  // One that is in here was posted or voided.
  void add_stale() { ++stale_; }
  // One that was posted or voided has been removed.
  void remove_stale() { --stale_; }
  uint64_t stale() const { return stale_; }
  // Between commands: makes first() one that is still open, and keeps the stale ones below half.
  template <class IsOpen>
  void tidy(IsOpen is_open) {
    // One sweep is cheaper than taking them from the front one by one.
    if (stale_ > kStaleMin && stale_ > heap_.size() / 2) sweep(is_open);
    while (stale_ > 0 && !is_open(first())) {
      remove_first();
      remove_stale();
    }
  }

  // --- snapshots
  PagedTable<Due>& pages() { return heap_; }
  const PagedTable<Due>& pages() const { return heap_; }
  void load_stale(uint64_t stale) { stale_ = stale; }

 private:
  // Below this, sweeping costs more than it frees: 16 kB.
  static constexpr uint64_t kStaleMin = 1'024;
  static uint64_t parent(uint64_t i) { return (i - 1) / 2; }

  void sink(uint64_t i, Due due) {
    for (;;) {
      uint64_t child = 2 * i + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child]) ++child;
      if (due <= heap_[child]) break;
      heap_.change(i) = heap_[child];
      i = child;
    }
    heap_.change(i) = due;
  }
  template <class IsOpen>
  void sweep(IsOpen is_open) {
    std::vector<Due> open;
    for (uint64_t i = 0; i < heap_.size(); ++i)
      if (is_open(heap_[i])) open.push_back(heap_[i]);
    std::sort(open.begin(), open.end());  // a sorted array is a heap
    heap_.truncate(open.size());
    for (uint64_t i = 0; i < open.size(); ++i) heap_.change(i) = open[i];
    stale_ = 0;
  }

  PagedTable<Due> heap_;
  uint64_t stale_ = 0;
};

}  // namespace polis::ledger
