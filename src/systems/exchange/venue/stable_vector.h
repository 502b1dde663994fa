// A vector that never moves what it holds: addresses for the most it may hold are reserved, memory comes as it grows,
// so that growing costs no copy, references stay good, and a place is found by one addition. Small ones take a page or
// two, large ones huge pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "kernel/base/reserved_array.h"

namespace polis::exchange {

template <class T>
class StableVector {
 public:
  // 32 GiB of addresses unless somebody knows better: more than such a machine has memory for.
  static constexpr size_t kCountMax = (size_t{32} << 30) / sizeof(T);

  StableVector() = default;
  // Never holds more; one more ends the process.
  explicit StableVector(size_t count_max) : count_max_(count_max) {}
  StableVector(StableVector&& other) noexcept
      : values_(std::move(other.values_)), size_(std::exchange(other.size_, 0)), count_max_(other.count_max_) {}
  StableVector& operator=(StableVector&&) = delete;
  ~StableVector() { clear(); }

  size_t size() const { return size_; }
  size_t count_max() const { return count_max_; }
  T& operator[](size_t i) { return values_[i]; }
  const T& operator[](size_t i) const { return values_[i]; }
  T& push_back() {
    if (size_ == values_.open()) [[unlikely]]
      grow(size_ + 1);
    return *new (&values_[size_++]) T();
  }
  T& push_back(const T& value) {
    if (size_ == values_.open()) [[unlikely]]
      grow(size_ + 1);
    return *new (&values_[size_++]) T(value);
  }
  // Memory for so many more than there are, now: none of them waits for the system to give it.
  void populate(size_t more) {
    const size_t end = size_ + more < count_max_ ? size_ + more : count_max_;
    grow(end);
    values_.populate(size_, end);
  }
  // Memory is kept for what comes.
  void clear() {
    if constexpr (!std::is_trivially_destructible_v<T>)
      for (size_t i = 0; i < size_; ++i) values_[i].~T();
    size_ = 0;
  }

 private:
  [[gnu::noinline]] void grow(size_t end) {
    if (!values_.made()) values_ = base::ReservedArray<T>(count_max_);
    values_.open(end);
  }

  base::ReservedArray<T> values_;
  size_t size_ = 0;
  size_t count_max_ = kCountMax;
};

}  // namespace polis::exchange
