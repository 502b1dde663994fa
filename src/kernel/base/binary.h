// Binary records: LEB128 varints, and a Writer and a Reader with sticky failure. Every record that polis writes to disk
// or between its own parts is built from these few shapes:
//
//   u8 u16 u32 u64      fixed width, little endian (the default) or big endian (_big)
//   varint              unsigned LEB128, 1..10 bytes, 7 bits each, lowest first
//   zigzag              a signed number as varint: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
//   sized               varint length, then that many bytes
//
// Values; owned by one function; no thread of their own.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/endian.h"
#include "kernel/base/result.h"

namespace polis::base {

inline constexpr size_t kVarintBytesMax = 10;

constexpr uint64_t zigzag_encode(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t zigzag_decode(uint64_t value) {
  return static_cast<int64_t>((value >> 1) ^ (0 - (value & 1)));
}

// Bytes that varint_encode writes for `value`.
constexpr size_t varint_size_bytes(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}
// Writes at most kVarintBytesMax bytes to `out` and returns how many.
size_t varint_encode(uint64_t value, std::byte* out);
// Reads one varint from the front of `in` into `value` and returns its bytes; 0 if `in` ends too early, or holds more
// than 64 bits, or is not the shortest form (so that one value has one encoding and a checksum over a record means
// something).
size_t varint_decode(BytesView in, uint64_t& value);

// Appends to a Bytes that the caller owns and that outlives the Writer. A record never grows past `size_bytes_max`: the
// write that would is dropped, all later ones too, and finish() says kTooLarge.
class Writer {
 public:
  // 64 MiB: four times the largest record of any protocol that polis speaks by default; a caller with a limit passes
  // its own.
  static constexpr size_t kDefaultSizeBytesMax = size_t{64} << 20;

  explicit Writer(Bytes& target, size_t size_bytes_max = kDefaultSizeBytesMax)
      : target_(target), begin_(target.size()), size_bytes_max_(size_bytes_max) {}

  void u8(uint8_t value) { fixed(value); }
  void u16(uint16_t value) { fixed(to_little(value)); }
  void u32(uint32_t value) { fixed(to_little(value)); }
  void u64(uint64_t value) { fixed(to_little(value)); }
  void u16_big(uint16_t value) { fixed(to_big(value)); }
  void u32_big(uint32_t value) { fixed(to_big(value)); }
  void u64_big(uint64_t value) { fixed(to_big(value)); }
  void boolean(bool value) { fixed(static_cast<uint8_t>(value)); }
  void varint(uint64_t value);
  void zigzag(int64_t value) { varint(zigzag_encode(value)); }
  void bytes(BytesView raw);
  void sized(BytesView value);
  void sized(std::string_view value) { sized(as_bytes(value)); }

  // Bytes written by this Writer so far.
  size_t size_bytes() const { return target_.size() - begin_; }
  bool ok() const { return ok_; }
  [[nodiscard]] Result<void> finish() const;

 private:
  template <class T>
  void fixed(T value) {
    bytes({reinterpret_cast<const std::byte*>(&value), sizeof value});
  }

  Bytes& target_;
  size_t begin_;
  size_t size_bytes_max_;
  bool ok_ = true;
};

// Reads a record that may be hostile. The first failure sticks: every later read answers zero or an empty view, so a
// decoder reads its fields in a row and asks once, with finish() (nothing may be left over) or status(). Views point
// into the input. No read allocates; a count that drives an allocation comes from count(), which the bytes that are
// really there bound.
class Reader {
 public:
  explicit Reader(BytesView input) : input_(input) {}

  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return to_little(fixed<uint16_t>()); }
  uint32_t u32() { return to_little(fixed<uint32_t>()); }
  uint64_t u64() { return to_little(fixed<uint64_t>()); }
  uint16_t u16_big() { return to_big(fixed<uint16_t>()); }
  uint32_t u32_big() { return to_big(fixed<uint32_t>()); }
  uint64_t u64_big() { return to_big(fixed<uint64_t>()); }
  // Anything but 0 and 1 is a failure.
  bool boolean();
  uint64_t varint();
  int64_t zigzag() { return zigzag_decode(varint()); }
  // A varint that must not exceed `max`.
  uint64_t varint_up_to(uint64_t max);
  // A varint count of elements that take at least `element_size_bytes_min` > 0 bytes each: fails unless so many can
  // follow.
  size_t count(size_t element_size_bytes_min);
  BytesView bytes(size_t size_bytes);
  // Length-prefixed bytes of at most `size_bytes_max`.
  BytesView sized(size_t size_bytes_max = SIZE_MAX);
  std::string_view sized_text(size_t size_bytes_max = SIZE_MAX) { return as_text(sized(size_bytes_max)); }
  // Everything not read yet.
  BytesView rest() { return bytes(remaining_bytes()); }

  // Marks the record as broken from outside, for a rule that the decoder itself checks.
  void reject(const char* why);

  bool ok() const { return failure_ == nullptr; }
  size_t position() const { return position_; }
  size_t remaining_bytes() const { return ok() ? input_.size() - position_ : 0; }
  // kCorrupt with the offset and the reason of the first failure.
  [[nodiscard]] Result<void> status() const;
  // As status(), and kCorrupt if bytes are left over.
  [[nodiscard]] Result<void> finish() const;

 private:
  template <class T>
  T fixed() {
    BytesView raw = bytes(sizeof(T));
    T value = 0;
    if (!raw.empty()) std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }

  BytesView input_;
  size_t position_ = 0;
  const char* failure_ = nullptr;  // Static text.
};

}  // namespace polis::base
