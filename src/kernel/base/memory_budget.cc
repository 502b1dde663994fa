#include "kernel/base/memory_budget.h"

namespace polis::base {

bool MemoryBudget::take_here(size_t size_bytes) {
  size_t used = used_bytes_.load(std::memory_order_relaxed);
  do {
    if (size_bytes > limit_bytes_ - used) {
      refusals_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
  } while (!used_bytes_.compare_exchange_weak(used, used + size_bytes, std::memory_order_relaxed));
  size_t seen = used_bytes_max_.load(std::memory_order_relaxed);
  while (seen < used + size_bytes &&
         !used_bytes_max_.compare_exchange_weak(seen, used + size_bytes, std::memory_order_relaxed)) {
  }
  return true;
}

void MemoryBudget::give_here(size_t size_bytes) {
  size_t before = used_bytes_.fetch_sub(size_bytes, std::memory_order_relaxed);
  POLIS_ASSERT(before >= size_bytes);
}

MemoryBudget* MemoryBudget::take_or_find_full(size_t size_bytes) {
  for (MemoryBudget* level = this; level != nullptr; level = level->parent_) {
    if (level->take_here(size_bytes)) continue;
    for (MemoryBudget* taken = this; taken != level; taken = taken->parent_) taken->give_here(size_bytes);
    return level;
  }
  return nullptr;
}

bool MemoryBudget::try_take(size_t size_bytes) {
  return take_or_find_full(size_bytes) == nullptr;
}

void MemoryBudget::give(size_t size_bytes) {
  for (MemoryBudget* level = this; level != nullptr; level = level->parent_) level->give_here(size_bytes);
}

Result<MemoryBudget::Lease> MemoryBudget::lease(size_t size_bytes) {
  if (MemoryBudget* full = take_or_find_full(size_bytes))
    return fail(Code::kBusy, "the memory budget of '" + full->name_ + "' has no room for " +
                                 std::to_string(size_bytes) + " bytes (" + std::to_string(full->used_bytes()) + " of " +
                                 std::to_string(full->limit_bytes_) + " in use); try later");
  return Lease(*this, size_bytes);
}

bool MemoryBudget::Lease::resize(size_t size_bytes) {
  if (budget_ == nullptr) return size_bytes == 0;
  if (size_bytes > size_bytes_) {
    if (!budget_->try_take(size_bytes - size_bytes_)) return false;
  } else {
    budget_->give(size_bytes_ - size_bytes);
  }
  size_bytes_ = size_bytes;
  return true;
}

void MemoryBudget::Lease::release() {
  if (budget_ != nullptr) budget_->give(size_bytes_);
  budget_ = nullptr;
  size_bytes_ = 0;
}

}  // namespace polis::base
