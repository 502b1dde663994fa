#include "kernel/base/binary.h"

#include <algorithm>

namespace polis::base {

size_t varint_encode(uint64_t value, std::byte* out) {
  size_t size_bytes = 0;
  while (value >= 0x80) {
    out[size_bytes++] = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  out[size_bytes++] = static_cast<std::byte>(value);
  return size_bytes;
}

size_t varint_decode(BytesView in, uint64_t& value) {
  uint64_t result = 0;
  size_t limit = std::min(in.size(), kVarintBytesMax);
  for (size_t i = 0; i < limit; ++i) {
    uint64_t byte = std::to_integer<uint64_t>(in[i]);
    if (i == kVarintBytesMax - 1 && byte > 1) return 0;  // The tenth byte holds bit 63 alone.
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (byte == 0 && i > 0) return 0;  // A longer form of a shorter number.
      value = result;
      return i + 1;
    }
  }
  return 0;
}

void Writer::varint(uint64_t value) {
  std::byte encoded[kVarintBytesMax];
  bytes({encoded, varint_encode(value, encoded)});
}

void Writer::bytes(BytesView raw) {
  if (!ok_ || raw.size() > size_bytes_max_ - size_bytes()) {
    ok_ = false;
    return;
  }
  target_.insert(target_.end(), raw.begin(), raw.end());
}

void Writer::sized(BytesView value) {
  varint(value.size());
  bytes(value);
}

Result<void> Writer::finish() const {
  if (ok_) return {};
  return fail(Code::kTooLarge, "the record exceeds its limit of " + std::to_string(size_bytes_max_) + " bytes");
}

BytesView Reader::bytes(size_t size_bytes) {
  if (size_bytes > remaining_bytes()) {
    reject("the record ends too early");
    return {};
  }
  BytesView view = input_.subspan(position_, size_bytes);
  position_ += size_bytes;
  return view;
}

bool Reader::boolean() {
  uint8_t value = u8();
  if (value > 1) reject("a boolean is neither 0 nor 1");
  return value == 1;
}

uint64_t Reader::varint() {
  if (!ok()) return 0;
  uint64_t value = 0;
  size_t size_bytes = varint_decode(input_.subspan(position_), value);
  if (size_bytes == 0) {
    reject("a variable-length number is cut off, too long or not in its shortest form");
    return 0;
  }
  position_ += size_bytes;
  return value;
}

uint64_t Reader::varint_up_to(uint64_t max) {
  uint64_t value = varint();
  if (value <= max) return value;
  reject("a number exceeds its limit");
  return 0;
}

size_t Reader::count(size_t element_size_bytes_min) {
  POLIS_ASSERT(element_size_bytes_min > 0);
  uint64_t value = varint();
  if (value <= remaining_bytes() / element_size_bytes_min) return static_cast<size_t>(value);
  reject("a count exceeds what the record can hold");
  return 0;
}

BytesView Reader::sized(size_t size_bytes_max) {
  uint64_t size_bytes = varint();
  if (size_bytes > size_bytes_max) {
    reject("a length exceeds its limit");
    return {};
  }
  return bytes(static_cast<size_t>(size_bytes));
}

void Reader::reject(const char* why) {
  if (failure_ == nullptr) failure_ = why;
}

Result<void> Reader::status() const {
  if (ok()) return {};
  return fail(Code::kCorrupt, std::string(failure_) + " (at byte " + std::to_string(position_) + " of " +
                                  std::to_string(input_.size()) + ")");
}

Result<void> Reader::finish() const {
  if (ok() && position_ != input_.size())
    return fail(Code::kCorrupt, std::to_string(input_.size() - position_) + " bytes follow the end of the record");
  return status();
}

}  // namespace polis::base
