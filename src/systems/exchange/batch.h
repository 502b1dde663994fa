// What one step makes: values of a plain kind that are appended, read and forgotten together. Keeps its memory, so that
// steps ask for none once the largest was seen. As std::vector, but one more value costs a comparison and the value
// itself: growing is out of the way, and no place is looked at twice.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace polis::exchange {

template <class T>
class Batch {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  using value_type = T;
  Batch() = default;
  Batch(const Batch& other) { append(other); }
  Batch(Batch&& other) noexcept { swap(other); }
  Batch& operator=(Batch other) noexcept {
    swap(other);
    return *this;
  }
  ~Batch() { give_back(); }

  T* begin() { return begin_; }
  T* end() { return end_; }
  const T* begin() const { return begin_; }
  const T* end() const { return end_; }
  size_t size() const { return static_cast<size_t>(end_ - begin_); }
  size_t capacity() const { return static_cast<size_t>(room_end_ - begin_); }
  bool empty() const { return end_ == begin_; }
  T& operator[](size_t i) { return begin_[i]; }
  const T& operator[](size_t i) const { return begin_[i]; }
  T& front() { return *begin_; }
  T& back() { return end_[-1]; }
  const T& front() const { return *begin_; }
  const T& back() const { return end_[-1]; }

  // One more, for the caller to fill where it stays: a value that is made elsewhere and copied at once stalls the
  // processor longer than making it takes. Good until the next one.
  T& emplace_back() { return *new (extend()) T(); }
  // The same, and nothing is written: the caller makes all of it, at once.
  T* extend() {
    if (end_ == room_end_) [[unlikely]]
      grow(size() + 1);
    return end_++;
  }
  void push_back(const T& value) {
    const T copy = value;  // it may stand in here
    new (extend()) T(copy);
  }
  void append(std::span<const T> values) {
    if (values.empty()) return;
    reserve(size() + values.size());
    std::memcpy(static_cast<void*>(end_), values.data(), values.size_bytes());
    end_ += values.size();
  }
  void clear() { end_ = begin_; }
  void reserve(size_t count) {
    if (count > capacity()) grow(count);
  }
  friend void swap(Batch& a, Batch& b) noexcept { a.swap(b); }
  friend bool operator==(const Batch& a, const Batch& b)
    requires std::equality_comparable<T>
  {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  [[gnu::noinline, gnu::cold]] void grow(size_t count) {
    const size_t used = size(), room = std::max({count, used * 2, size_t{16}});
    auto* memory = static_cast<T*>(::operator new(room * sizeof(T), kLine));
    if (used != 0) std::memcpy(static_cast<void*>(memory), begin_, used * sizeof(T));
    give_back();
    begin_ = memory;
    end_ = memory + used;
    room_end_ = memory + room;
  }
  void give_back() {
    if (begin_ != nullptr) ::operator delete(begin_, kLine);
  }
  void swap(Batch& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(room_end_, other.room_end_);
  }

  static constexpr std::align_val_t kLine{64};  // of the processor's cache
  T* begin_ = nullptr;
  T* end_ = nullptr;
  T* room_end_ = nullptr;
};

}  // namespace polis::exchange
