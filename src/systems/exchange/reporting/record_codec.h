// How a record becomes bytes and back. A record says which fields it has, once, as a tuple of its members (fields_of in
// records.cc), and both directions follow from that.
//
//     record     := mask:varint field*             bit i: the i-th field differs from that of the record before
//     number     := zigzag of the difference, modulo 2^64
//     enumerator := u8
//     flag       := nothing: it is the other one
//     text       := shared:varint rest:sized       as many bytes as both begin with, then its own
//
// The record before is that of the same chunk; the first one, and one that stands alone, come behind one of zeros. So a
// field that seldom changes costs neither bytes nor time, and those that change often stand first, where the mask is
// short. A value has one form, and readers refuse every other.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "kernel/base/binary.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

inline constexpr size_t kRecordTextBytesMax = 512;  // of a std::string; longer ones are cut

template <class T>
inline constexpr bool kIsText = std::is_same_v<T, std::string>;
template <size_t N>
inline constexpr bool kIsText<Text<N>> = true;

// As many as both begin with.
inline size_t shared_bytes(std::string_view one, std::string_view other) {
  const size_t most = std::min(one.size(), other.size());
  size_t shared = 0;
  for (; shared + sizeof(uint64_t) <= most; shared += sizeof(uint64_t)) {
    const uint64_t differ =
        base::load_little<uint64_t>(one.data() + shared) ^ base::load_little<uint64_t>(other.data() + shared);
    if (differ != 0) return shared + static_cast<size_t>(std::countr_zero(differ)) / 8;
  }
  while (shared < most && one[shared] == other[shared]) ++shared;
  return shared;
}
inline std::string_view text_of(const std::string& text) {
  return std::string_view(text).substr(0, kRecordTextBytesMax);
}
template <size_t N>
std::string_view text_of(const Text<N>& text) {
  return text.view();
}

// Visits the fields of two records side by side, those of records inside them, too.
template <class Codec, class Record, class Before>
void visit_fields(Codec& codec, Record& record, const Before& before) {
  const auto visit = [&](auto member) {
    auto& value = record.*member;
    const auto& old = before.*member;
    using T = std::remove_cvref_t<decltype(value)>;
    if constexpr (kIsText<T>) {
      codec.text(value, old);
    } else if constexpr (std::is_same_v<T, bool>) {
      codec.flag(value, old);
    } else if constexpr (std::is_enum_v<T>) {
      codec.enumerator(value, old);
    } else if constexpr (std::is_integral_v<T>) {
      codec.number(value, old);
    } else {
      visit_fields(codec, value, old);
    }
  };
  std::apply([&](auto... members) { (visit(members), ...); }, fields_of(before));
}

class RecordWriter {
 public:
  template <class T>
  void number(T value, T before) {
    if (differs(value != before))
      varint(base::zigzag_encode(static_cast<int64_t>(static_cast<uint64_t>(value) - static_cast<uint64_t>(before))));
  }
  template <class E>
  void enumerator(E value, E before) {
    if (differs(value != before)) *end_++ = static_cast<std::byte>(value);
  }
  void flag(bool value, bool before) { differs(value != before); }
  template <class T>
  void text(const T& value, const T& before) {
    if (!differs(value != before)) return;
    const std::string_view now = text_of(value);
    const size_t shared = shared_bytes(now, text_of(before));
    varint(shared);
    varint(now.size() - shared);
    end_ = std::copy(as_bytes(now).begin() + static_cast<ptrdiff_t>(shared), as_bytes(now).end(), end_);
  }
  // Behind the last field, once. Valid as long as this.
  BytesView finish() {
    std::byte mask[base::kVarintBytesMax];
    const size_t size = base::varint_encode(mask_, mask);
    std::byte* const begin = bytes_ + kMaskBytesMax - size;
    std::copy(mask, mask + size, begin);
    return {begin, end_};
  }

 private:
  bool differs(bool yes) {
    mask_ |= uint64_t{yes} << fields_++;
    return yes;
  }
  void varint(uint64_t value) {
    if (value < 0x80)
      *end_++ = static_cast<std::byte>(value);
    else
      end_ += base::varint_encode(value, end_);
  }

  static constexpr size_t kMaskBytesMax = base::kVarintBytesMax;
  // No record has more than 64 fields of 10 bytes and two long texts.
  std::byte bytes_[kMaskBytesMax + 64 * base::kVarintBytesMax + 2 * kRecordTextBytesMax];
  std::byte* end_ = bytes_ + kMaskBytesMax;
  uint64_t mask_ = 0;
  unsigned fields_ = 0;
};

class RecordReader {
 public:
  explicit RecordReader(base::Reader& in) : in_(in), mask_(in.varint()) {}

  template <class T>
  void number(T& value, T before) {
    value = before;
    if (!differs()) return;
    const uint64_t difference = static_cast<uint64_t>(in_.zigzag());
    const uint64_t sum = static_cast<uint64_t>(before) + difference;
    if (difference == 0 || (sizeof(T) < sizeof sum && sum != static_cast<T>(sum))) in_.reject("a number out of range");
    value = static_cast<T>(sum);
  }
  template <class E>
  void enumerator(E& value, E before) {
    value = before;
    if (!differs()) return;
    const auto read = static_cast<E>(in_.u8());
    if (read == before || read > last_of(read)) return in_.reject("an unknown enumerator");
    value = read;
  }
  void flag(bool& value, bool before) { value = before != differs(); }
  template <class T>
  void text(T& value, const T& before) {
    value = before;
    if (!differs()) return;
    const std::string_view old = text_of(before);
    const size_t shared = in_.varint_up_to(old.size());
    std::string now(old.substr(0, shared));
    now += in_.sized_text(kRecordTextBytesMax);
    if (now.size() > kRecordTextBytesMax || now == old || shared_bytes(now, old) != shared)
      return in_.reject("a text in no form of its own");
    if constexpr (!std::is_same_v<T, std::string>) {
      if (!T::fits(now)) return in_.reject("a text that does not fit");
    }
    value = T(now);
  }
  void finish() {
    if (mask_ != 0) in_.reject("fields that no record of its kind has");
  }

 private:
  bool differs() {
    const bool yes = (mask_ & 1) != 0;
    mask_ >>= 1;
    return yes;
  }

  base::Reader& in_;
  uint64_t mask_;
};

}  // namespace polis::exchange
