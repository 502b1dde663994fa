// Fields of values on their way into a snapshot and out of it: one list of them serves both directions. Integers little
// endian in their own width; an enumeration or a truth value that cannot be is a corrupt record.
#pragma once

#include <type_traits>

#include "kernel/base/binary.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

class SavedFields {
 public:
  explicit SavedFields(base::Writer& out) : out_(out) {}
  template <class... T>
  void operator()(const T&... values) {
    (one(values), ...);
  }
  template <class E>
  void choice(const E& value, E) {
    out_.u8(static_cast<uint8_t>(value));
  }

 private:
  template <class T>
  void one(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      out_.boolean(value);
    } else {
      static_assert(std::is_integral_v<T>);
      const auto bits = static_cast<std::make_unsigned_t<T>>(value);
      if constexpr (sizeof(T) == 1) out_.u8(bits);
      if constexpr (sizeof(T) == 2) out_.u16(bits);
      if constexpr (sizeof(T) == 4) out_.u32(bits);
      if constexpr (sizeof(T) == 8) out_.u64(bits);
    }
  }
  template <size_t N>
  void one(const Text<N>& text) {
    out_.bytes({reinterpret_cast<const std::byte*>(text.characters), N});
  }
  base::Writer& out_;
};

class LoadedFields {
 public:
  explicit LoadedFields(base::Reader& in) : in_(in) {}
  template <class... T>
  void operator()(T&... values) {
    (one(values), ...);
  }
  template <class E>
  void choice(E& value, E most) {
    const uint8_t read = in_.u8();
    if (read > static_cast<uint8_t>(most)) return in_.reject("a choice that nobody offers");
    value = static_cast<E>(read);
  }

 private:
  template <class T>
  void one(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = in_.boolean();
    } else {
      static_assert(std::is_integral_v<T>);
      if constexpr (sizeof(T) == 1) value = static_cast<T>(in_.u8());
      if constexpr (sizeof(T) == 2) value = static_cast<T>(in_.u16());
      if constexpr (sizeof(T) == 4) value = static_cast<T>(in_.u32());
      if constexpr (sizeof(T) == 8) value = static_cast<T>(in_.u64());
    }
  }
  template <size_t N>
  void one(Text<N>& text) {
    const BytesView raw = in_.bytes(N);
    if (!raw.empty()) std::memcpy(text.characters, raw.data(), N);
  }
  base::Reader& in_;
};

}  // namespace polis::exchange
