// Parses hostile dates: what is accepted is written and read again as the same second.
#include "kernel/base/time_format.h"

using namespace polis;
using namespace polis::base;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr WallTime kNow{std::chrono::seconds(1'795'302'385)};
  if (auto time = parse_rfc3339(text)) {
    auto whole = std::chrono::floor<std::chrono::milliseconds>(*time);
    // An offset may carry the first or last day out of the years that the parser takes.
    if (auto again = parse_rfc3339(format_rfc3339(*time))) POLIS_ASSERT(*again == whole);
  }
  if (auto time = parse_http_date(text, kNow))
    POLIS_ASSERT(parse_http_date(format_http_date(*time), kNow).value() == *time);
  if (auto time = parse_aws_time(text)) POLIS_ASSERT(format_aws_time(*time) == text);
  return 0;
}
