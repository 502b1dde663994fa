// Nested memory budgets: connection < system < process. What one level takes, every level above takes too; at a limit
// the answer is "no" at once, and the protocol turns it into its own "try later".
//
// Thread-safe, without locks. The counters of the upper levels are shared by all shards: a connection takes its buffers
// in pieces of kilobytes, not byte by byte.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>

#include "kernel/base/result.h"

namespace polis::base {

class MemoryBudget {
 public:
  class Lease;

  // `parent` (null at the top) outlives this budget. `name` appears in errors: "connection", "object", "process".
  MemoryBudget(std::string name, size_t limit_bytes, MemoryBudget* parent = nullptr)
      : name_(std::move(name)), limit_bytes_(limit_bytes), parent_(parent) {}
  // Everything taken must have been given back.
  ~MemoryBudget() { POLIS_ASSERT(used_bytes() == 0); }
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // True if this level and all above had room; else nothing is taken anywhere.
  [[nodiscard]] bool try_take(size_t size_bytes);
  // Returns what try_take took, whole or in parts. More than is taken is a broken invariant.
  void give(size_t size_bytes);
  // try_take as a Result: kBusy names the level that is full.
  Result<Lease> lease(size_t size_bytes);

  const std::string& name() const { return name_; }
  size_t limit_bytes() const { return limit_bytes_; }
  size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  size_t used_bytes_max() const { return used_bytes_max_.load(std::memory_order_relaxed); }
  // How often this level said no.
  uint64_t refusals() const { return refusals_.load(std::memory_order_relaxed); }

 private:
  // Null if everything was taken, else the level that refused.
  MemoryBudget* take_or_find_full(size_t size_bytes);
  bool take_here(size_t size_bytes);
  void give_here(size_t size_bytes);

  std::string name_;
  size_t limit_bytes_;
  MemoryBudget* parent_;
  std::atomic<size_t> used_bytes_{0};
  std::atomic<size_t> used_bytes_max_{0};
  std::atomic<uint64_t> refusals_{0};
};

// Holds part of a budget and gives it back at its end. Movable; owned by one thread at a time. The budget outlives it.
class MemoryBudget::Lease {
 public:
  Lease() = default;
  ~Lease() { release(); }
  Lease(Lease&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this == &other) return *this;
    release();
    budget_ = std::exchange(other.budget_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    return *this;
  }

  size_t size_bytes() const { return size_bytes_; }
  // Makes the lease exactly so large; on false it is unchanged. An empty default lease holds no budget and only resizes
  // to 0.
  [[nodiscard]] bool resize(size_t size_bytes);
  void release();

 private:
  friend class MemoryBudget;
  Lease(MemoryBudget& budget, size_t size_bytes) : budget_(&budget), size_bytes_(size_bytes) {}

  MemoryBudget* budget_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace polis::base

namespace polis {
using base::MemoryBudget;
}  // namespace polis
