// Range requests (RFC 9110 §14), as pure functions.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "kernel/io/stream.h"

namespace polis::http {

// Thousands of tiny ranges cost the server more than the client: beyond this the field is ignored and everything is
// sent.
inline constexpr size_t kRangesMax = 32;

enum class RangeOutcome : uint8_t {
  kWhole,          // no usable Range: 200 with everything
  kPartial,        // 206
  kUnsatisfiable,  // 416 with `Content-Range: bytes */size`
};

struct RangeSet {
  RangeOutcome outcome = RangeOutcome::kWhole;
  std::array<io::ByteRange, kRangesMax> ranges;
  size_t count = 0;
  std::span<const io::ByteRange> all() const { return {ranges.data(), count}; }
};

// Range of a representation of `size_bytes`. Ranges are cut to its end; those that lie beyond it are left out;
// overlapping ones are merged, and then all of them sorted. `bytes=-0`, and any range of an empty representation, is
// unsatisfiable.
RangeSet parse_range(std::string_view value, uint64_t size_bytes);

// "bytes 0-99/1000"
std::string content_range(const io::ByteRange& range, uint64_t size_bytes);
// "bytes */1000"
std::string unsatisfied_content_range(uint64_t size_bytes);

}  // namespace polis::http
