// SpscQueue: one writer, one reader, values of one type, in process memory: the queues between shards and the order
// manager, and between order manager and engine. No allocation, no lock and no system call after construction; each
// side keeps its own copy of the other's place, so a line changes hands once a lap at best, not once a value. Values
// stay where they are when they were read: a vector in one keeps its memory for the next lap.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "kernel/base/result.h"

namespace polis::exchange {

template <class T>
class SpscQueue {
 public:
  // Holds `capacity` values, rounded up to a power of two; at most 2^30.
  explicit SpscQueue(size_t capacity)
      : mask_(std::bit_ceil(capacity < 2 ? size_t{2} : capacity) - 1), values_(std::make_unique<T[]>(mask_ + 1)) {
    POLIS_ASSERT(capacity <= size_t{1} << 30);
  }
  SpscQueue(const SpscQueue&) = delete;
  SpscQueue& operator=(const SpscQueue&) = delete;

  size_t capacity() const { return mask_ + 1; }

  // --- the writer's thread
  // Where the next value goes, to be filled in before publish(); null: full.
  T* claim() {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ > mask_) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ > mask_) return nullptr;
    }
    return &values_[tail & mask_];
  }
  void publish() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  // False: full, nothing has changed.
  bool push(const T& value) {
    T* place = claim();
    if (place == nullptr) return false;
    *place = value;
    publish();
    return true;
  }

  // --- the reader's thread
  // The oldest value, valid until pop(); null if there is none.
  const T* front() {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return nullptr;
    }
    return &values_[head & mask_];
  }
  // The one that comes `ahead` places after front(), as far as front() has looked; null if there is none.
  const T* peek(uint64_t ahead) const {
    const uint64_t place = head_.load(std::memory_order_relaxed) + ahead;
    return place < tail_seen_ ? &values_[place & mask_] : nullptr;
  }
  // Only after front() gave a value.
  void pop() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // --- any thread: how many wait, as of some moment ago.
  size_t size() const {
    const uint64_t head = head_.load(std::memory_order_acquire);
    const uint64_t tail = tail_.load(std::memory_order_acquire);
    return tail - head;
  }

 private:
  const size_t mask_;
  const std::unique_ptr<T[]> values_;
  // A pair of 64-byte lines a side: the prefetcher fetches lines in pairs.
  alignas(128) std::atomic<uint64_t> tail_{0};
  uint64_t head_seen_ = 0;
  alignas(128) std::atomic<uint64_t> head_{0};
  uint64_t tail_seen_ = 0;
};

}  // namespace polis::exchange
