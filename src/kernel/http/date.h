// HTTP dates (RFC 9110 §5.6.7). Written as IMF-fixdate; read in that form and the two obsolete ones. Seconds, UTC.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/clock.h"

namespace polis::http {

// "Sun, 06 Nov 1994 08:49:37 GMT". Years 1 to 9999.
std::string format_date(WallTime time);
// The same, formatted once a second and thread.
std::string_view cached_date(WallTime time);
// Empty for anything that is no valid date, so that a condition on it is ignored.
std::optional<WallTime> parse_date(std::string_view text);

}  // namespace polis::http
