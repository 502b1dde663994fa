#include "systems/object/access_tail.h"

#include <algorithm>

namespace polis::object {

std::vector<AccessLine> AccessTail::lines() const {
  std::vector<AccessLine> out;
  const uint64_t count = std::min<uint64_t>(seen_, kLinesMax);
  out.reserve(count);
  for (uint64_t at = seen_ - count; at < seen_; ++at) out.push_back(lines_[at % kLinesMax]);
  return out;
}

}  // namespace polis::object
