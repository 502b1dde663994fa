// Wall-clock time as text and back, always UTC unless the text says otherwise. Pure functions; parsers reject with
// kInvalid and never guess. WallTime holds 1677..2262; a date outside is kOutOfRange.
#pragma once

#include "kernel/base/clock.h"
#include "kernel/base/result.h"

namespace polis::base {

// A point in time taken apart in UTC.
struct CivilTime {
  int year;
  unsigned month;   // 1..12
  unsigned day;     // 1..31
  unsigned hour;    // 0..23
  unsigned minute;  // 0..59
  unsigned second;  // 0..59
  uint32_t nanosecond;
  unsigned weekday;  // 0 is Sunday
};
CivilTime civil_time(WallTime time);
// Ignores `weekday`. kInvalid if a field is outside its range (the 30th of February, too).
Result<WallTime> wall_time(const CivilTime& civil);

// "2026-11-21T23:06:25.123Z"; what is below a millisecond is cut off.
std::string format_rfc3339(WallTime time);
// "2026-11-21T23:06:25Z"
std::string format_rfc3339_seconds(WallTime time);
// RFC 3339 §5.6: 'T', 't' or a space between; 0..9 digits of fraction; 'Z', 'z' or an offset; a leap second counts as
// the next.
Result<WallTime> parse_rfc3339(std::string_view text);

// RFC 9110 §5.6.7, IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT"
std::string format_http_date(WallTime time);
// All three forms that §5.6.7 demands: IMF-fixdate, RFC 850 and asctime. `now` decides the century of RFC 850's
// two-digit year: one more than 50 years ahead is the past one. The day's name must be one, but need not be right.
Result<WallTime> parse_http_date(std::string_view text, WallTime now);

// AWS's compact ISO 8601 form, as in X-Amz-Date: "20130524T000000Z"
std::string format_aws_time(WallTime time);
Result<WallTime> parse_aws_time(std::string_view text);
// Its date alone, as in a credential scope: "20130524"
std::string format_aws_date(WallTime time);

}  // namespace polis::base
