// Tables that may become large and are touched in no order. Addresses for the most that a table may hold are taken at
// once, memory only for what is used, so nothing ever moves, a place is found by one addition, and growing copies
// nothing. A small table has small pages, as many as it touches; behind the first 2 MiB pages are of 2 MiB, where the
// system has such pages to give ("madvise" or "always" in /sys/kernel/mm/transparent_hugepage/enabled).
//
// A page costs time when it is touched first (measured in a virtual machine: 3 us for a small one, 490 us for a huge
// one): whoever must not wait then populates ahead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernel/base/result.h"

namespace polis::base {

// Bytes, all zeros at first. Owned by one thread at a time.
class ReservedMemory {
 public:
  ReservedMemory() = default;
  static constexpr size_t kSmallBytes = size_t{2} << 20;
  // Takes addresses alone. Ends the process when there are none: a machine has 2^47 bytes of them. The first
  // `small_bytes` have small pages.
  explicit ReservedMemory(size_t bytes_max, size_t small_bytes = kSmallBytes);
  ~ReservedMemory();
  ReservedMemory(ReservedMemory&& other) noexcept { *this = std::move(other); }
  ReservedMemory& operator=(ReservedMemory&& other) noexcept;

  std::byte* data() const { return data_; }  // at 2 MiB; null when made from nothing
  size_t bytes_max() const { return bytes_max_; }
  size_t open_bytes() const { return open_bytes_; }  // may be touched; taken from the system only once they are
  // At least so many may be touched; more than were asked for, so that growing byte by byte calls the system seldom.
  // Not above bytes_max.
  void open(size_t bytes);
  // Gives the open bytes of [begin, end) their memory now (Linux 5.14; elsewhere they get it when they are touched).
  void populate(size_t begin, size_t end);

 private:
  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  std::byte* data_ = nullptr;
  size_t bytes_max_ = 0;
  size_t small_bytes_ = 0;
  size_t open_bytes_ = 0;
};

// The same as places for values: zeros, until their owner makes something there. Nothing is destroyed at the end.
template <class T>
class ReservedArray {
 public:
  ReservedArray() = default;
  explicit ReservedArray(size_t count_max) : memory_(count_max * sizeof(T)) { refresh(); }
  ReservedArray(ReservedArray&& other) noexcept { *this = std::move(other); }
  ReservedArray& operator=(ReservedArray&& other) noexcept {
    memory_ = std::move(other.memory_);
    refresh();
    other.refresh();
    return *this;
  }

  T& operator[](size_t i) { return values_[i]; }
  const T& operator[](size_t i) const { return values_[i]; }
  T* data() { return values_; }
  const T* data() const { return values_; }

  bool made() const { return values_ != nullptr; }
  size_t open() const { return open_; }  // values before this may be touched
  void open(size_t end) {
    if (end <= open_) return;
    memory_.open(end * sizeof(T));
    refresh();
  }
  void populate(size_t begin, size_t end) {
    if (begin < end) memory_.populate(begin * sizeof(T), end * sizeof(T));
  }

 private:
  void refresh() {
    values_ = reinterpret_cast<T*>(memory_.data());
    open_ = memory_.open_bytes() / sizeof(T);
  }
  ReservedMemory memory_;
  T* values_ = nullptr;
  size_t open_ = 0;
};

}  // namespace polis::base
