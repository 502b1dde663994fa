#include "kernel/base/ordered_key.h"

#include "kernel/base/endian.h"

namespace polis::base {
namespace {

constexpr std::byte kZero{0x00};
constexpr std::byte kEscapedZero{0xff};
constexpr std::byte kEnd{0x01};
constexpr uint64_t kSignBit = uint64_t{1} << 63;

}  // namespace

void append_key_bytes(Bytes& key, BytesView part) {
  key.reserve(key.size() + part.size() + 2);
  for (std::byte byte : part) {
    key.push_back(byte);
    if (byte == kZero) key.push_back(kEscapedZero);
  }
  key.push_back(kZero);
  key.push_back(kEnd);
}

void append_key_u64(Bytes& key, uint64_t part) {
  size_t at = key.size();
  key.resize(at + sizeof part);
  store_big(key.data() + at, part);
}

void append_key_i64(Bytes& key, int64_t part) {
  append_key_u64(key, static_cast<uint64_t>(part) ^ kSignBit);
}

Result<Bytes> take_key_bytes(BytesView& key) {
  Bytes part;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key[i] != kZero) {
      part.push_back(key[i]);
      continue;
    }
    if (++i == key.size()) break;
    if (key[i] == kEnd) {
      key = key.subspan(i + 1);
      return part;
    }
    if (key[i] != kEscapedZero)
      return fail(Code::kCorrupt, "a key holds an unknown escape at byte " + std::to_string(i));
    part.push_back(kZero);
  }
  return fail(Code::kCorrupt, "a key ends inside a part");
}

Result<uint64_t> take_key_u64(BytesView& key) {
  if (key.size() < sizeof(uint64_t)) return fail(Code::kCorrupt, "a key ends inside a number");
  uint64_t value = load_big<uint64_t>(key.data());
  key = key.subspan(sizeof value);
  return value;
}

Result<int64_t> take_key_i64(BytesView& key) {
  return static_cast<int64_t>(TRY(take_key_u64(key)) ^ kSignBit);
}

Bytes key_after_prefix(BytesView prefix) {
  while (!prefix.empty() && prefix.back() == std::byte{0xff}) prefix = prefix.first(prefix.size() - 1);
  Bytes after(prefix.begin(), prefix.end());
  if (!after.empty()) after.back() = static_cast<std::byte>(std::to_integer<unsigned>(after.back()) + 1);
  return after;
}

}  // namespace polis::base
