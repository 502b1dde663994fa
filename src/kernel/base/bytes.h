// Views of raw bytes and the conversions to text that everything shares. Views never own; the comment of a function says how
// long what it returns stays valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polis::base {

using Byte = std::byte;
using BytesView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using Bytes = std::vector<std::byte>;

inline BytesView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline MutableBytes as_writable_bytes(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(BytesView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline const uint8_t* u8(BytesView bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }
inline uint8_t* u8(MutableBytes bytes) { return reinterpret_cast<uint8_t*>(bytes.data()); }

}  // namespace polis::base

namespace polis {
using base::as_bytes;
using base::as_text;
using base::as_writable_bytes;
using base::Byte;
using base::Bytes;
using base::BytesView;
using base::MutableBytes;
}  // namespace polis
