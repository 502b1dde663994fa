// Integers in memory of a fixed byte order, at any alignment. The caller guarantees that sizeof(T) bytes are there;
// records from outside go through Reader (binary.h), which checks.
#pragma once

#include <bit>
#include <concepts>

#include "kernel/base/bytes.h"

namespace polis::base {

template <std::unsigned_integral T>
constexpr T to_little(T value) {
  if constexpr (std::endian::native == std::endian::big) return std::byteswap(value);
  return value;
}
template <std::unsigned_integral T>
constexpr T to_big(T value) {
  if constexpr (std::endian::native == std::endian::little) return std::byteswap(value);
  return value;
}

template <std::unsigned_integral T>
T load_little(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return to_little(value);
}
template <std::unsigned_integral T>
T load_big(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return to_big(value);
}
template <std::unsigned_integral T>
void store_little(void* to, T value) {
  value = to_little(value);
  std::memcpy(to, &value, sizeof value);
}
template <std::unsigned_integral T>
void store_big(void* to, T value) {
  value = to_big(value);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace polis::base
