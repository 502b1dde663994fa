#include "kernel/http/range.h"

#include <algorithm>

#include "kernel/http/field.h"
#include "kernel/http/h1_head.h"

namespace polis::http {
namespace {

// Sorted and disjoint if any two overlap or touch; untouched otherwise, so that the client gets its own order.
size_t merge(std::span<io::ByteRange> ranges) {
  auto end = [](const io::ByteRange& range) { return range.offset + range.size; };
  bool overlap = false;
  for (size_t i = 0; i < ranges.size() && !overlap; ++i) {
    for (size_t j = 0; j < i && !overlap; ++j) {
      overlap = ranges[i].offset <= end(ranges[j]) && ranges[j].offset <= end(ranges[i]);
    }
  }
  if (!overlap) return ranges.size();
  std::ranges::sort(ranges, {}, &io::ByteRange::offset);
  size_t last = 0;
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].offset <= end(ranges[last])) {
      ranges[last].size = std::max(end(ranges[last]), end(ranges[i])) - ranges[last].offset;
    } else {
      ranges[++last] = ranges[i];
    }
  }
  return last + 1;
}

}  // namespace

RangeSet parse_range(std::string_view value, uint64_t size_bytes) {
  RangeSet set;
  const RangeSet whole;
  value = trim_blanks(value);
  if (value.size() < 6 || !equal_ignoring_case(value.substr(0, 6), "bytes=")) return whole;
  value.remove_prefix(6);
  size_t seen = 0;
  std::string_view element;
  while (next_list_element(value, element)) {
    if (++seen > kRangesMax) return whole;
    size_t dash = element.find('-');
    if (dash == std::string_view::npos) return whole;
    std::string_view first_text = element.substr(0, dash), last_text = element.substr(dash + 1);
    uint64_t first = 0, last = 0;
    if (first_text.empty()) {
      if (!h1::detail::parse_decimal(last_text, last)) return whole;
      uint64_t length = std::min(last, size_bytes);
      if (length != 0) set.ranges[set.count++] = {size_bytes - length, length};
      continue;
    }
    if (!h1::detail::parse_decimal(first_text, first)) return whole;
    if (last_text.empty()) {
      last = UINT64_MAX;
    } else if (!h1::detail::parse_decimal(last_text, last) || last < first) {
      return whole;
    }
    if (first >= size_bytes) continue;
    set.ranges[set.count++] = {first, std::min(last, size_bytes - 1) - first + 1};
  }
  if (seen == 0) return whole;
  if (set.count == 0) {
    set.outcome = RangeOutcome::kUnsatisfiable;
    return set;
  }
  set.outcome = RangeOutcome::kPartial;
  set.count = merge({set.ranges.data(), set.count});
  return set;
}

std::string content_range(const io::ByteRange& range, uint64_t size_bytes) {
  return "bytes " + std::to_string(range.offset) + "-" + std::to_string(range.offset + range.size - 1) + "/" +
         std::to_string(size_bytes);
}

std::string unsatisfied_content_range(uint64_t size_bytes) {
  return "bytes */" + std::to_string(size_bytes);
}

}  // namespace polis::http
