#include "kernel/base/time_format.h"

#include <array>
#include <cstring>
#include <fmt/format.h>

namespace polis::base {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::array<std::string_view, 7> kWeekdays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
// The whole years inside what 64 bits of nanoseconds hold.
constexpr int kYearMin = 1678;
constexpr int kYearMax = 2261;

// Takes a text apart from the front. The first mismatch sticks.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : left_(text) {}

  // Exactly `digits` decimal digits.
  unsigned number(size_t digits) {
    if (left_.size() < digits) return mismatch();
    unsigned value = 0;
    for (char c : left_.substr(0, digits)) {
      if (c < '0' || c > '9') return mismatch();
      value = value * 10 + static_cast<unsigned>(c - '0');
    }
    left_.remove_prefix(digits);
    return value;
  }
  bool try_literal(std::string_view literal) {
    if (!left_.starts_with(literal)) return false;
    left_.remove_prefix(literal.size());
    return true;
  }
  void literal(std::string_view literal) {
    if (!try_literal(literal)) mismatch();
  }
  char one_of(std::string_view characters) {
    if (left_.empty() || !characters.contains(left_.front())) {
      mismatch();
      return 0;
    }
    char found = left_.front();
    left_.remove_prefix(1);
    return found;
  }
  // 1..12
  unsigned month() {
    for (size_t i = 0; i < kMonths.size(); ++i)
      if (try_literal(kMonths[i])) return static_cast<unsigned>(i + 1);
    return mismatch();
  }
  void weekday(bool full) {
    for (std::string_view name : kWeekdays)
      if (try_literal(full ? name : name.substr(0, 3))) return;
    mismatch();
  }
  // As many digits as there are, at most 9, as nanoseconds.
  uint32_t fraction() {
    uint32_t value = 0;
    size_t digits = 0;
    while (digits < left_.size() && left_[digits] >= '0' && left_[digits] <= '9') {
      if (digits == 9) return mismatch();
      value = value * 10 + static_cast<uint32_t>(left_[digits++] - '0');
    }
    if (digits == 0) return mismatch();
    left_.remove_prefix(digits);
    for (; digits < 9; ++digits) value *= 10;
    return value;
  }
  bool done() const { return ok_ && left_.empty(); }

 private:
  unsigned mismatch() {
    ok_ = false;
    left_ = {};
    return 0;
  }
  std::string_view left_;
  bool ok_ = true;
};

void scan_clock(Scanner& scan, CivilTime& civil) {
  civil.hour = scan.number(2);
  scan.literal(":");
  civil.minute = scan.number(2);
  scan.literal(":");
  civil.second = scan.number(2);
}

// What was rejected, bounded, without control characters: it may come from anyone.
std::unexpected<Error> malformed(std::string_view what, std::string_view text) {
  std::string shown;
  for (char c : text.substr(0, 40)) shown.push_back(c >= ' ' && c <= '~' ? c : '?');
  return fail(Code::kInvalid, fmt::format("'{}' is no {}", shown, what));
}

}  // namespace

CivilTime civil_time(WallTime time) {
  nanoseconds since_epoch = time.time_since_epoch();
  days whole_days = std::chrono::floor<days>(since_epoch);
  std::chrono::sys_days date(whole_days);
  std::chrono::year_month_day calendar(date);
  nanoseconds of_day = since_epoch - whole_days;
  seconds whole_seconds = std::chrono::floor<seconds>(of_day);
  auto second_of_day = static_cast<unsigned>(whole_seconds.count());
  return {.year = static_cast<int>(calendar.year()),
          .month = static_cast<unsigned>(calendar.month()),
          .day = static_cast<unsigned>(calendar.day()),
          .hour = second_of_day / 3600,
          .minute = second_of_day / 60 % 60,
          .second = second_of_day % 60,
          .nanosecond = static_cast<uint32_t>((of_day - whole_seconds).count()),
          .weekday = std::chrono::weekday(date).c_encoding()};
}

Result<WallTime> wall_time(const CivilTime& civil) {
  std::chrono::year_month_day calendar(std::chrono::year(civil.year), std::chrono::month(civil.month),
                                       std::chrono::day(civil.day));
  if (!calendar.ok() || civil.hour > 23 || civil.minute > 59 || civil.second > 59 || civil.nanosecond > 999'999'999)
    return fail(Code::kInvalid, "a date or time has a field outside its range");
  if (civil.year < kYearMin || civil.year > kYearMax)
    return fail(Code::kOutOfRange, fmt::format("the year {} is outside {}..{}", civil.year, kYearMin, kYearMax));
  return WallTime(std::chrono::sys_days(calendar).time_since_epoch() + hours(civil.hour) + minutes(civil.minute) +
                  seconds(civil.second) + nanoseconds(civil.nanosecond));
}

namespace {

void write_digits(char* at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

// "yyyy-mm-ddThh:mm:ss", 19 bytes, of a year with four digits. Listings write a thousand of them a page.
constexpr size_t kSecondsSize = 19;
bool has_four_digits(const CivilTime& t) {
  return t.year >= 0 && t.year <= 9999;
}
void write_seconds(char* at, const CivilTime& t) {
  std::memcpy(at, "0000-00-00T00:00:00", kSecondsSize);
  write_digits(at, static_cast<unsigned>(t.year), 4);
  write_digits(at + 5, t.month, 2);
  write_digits(at + 8, t.day, 2);
  write_digits(at + 11, t.hour, 2);
  write_digits(at + 14, t.minute, 2);
  write_digits(at + 17, t.second, 2);
}

}  // namespace

std::string format_rfc3339(WallTime time) {
  CivilTime t = civil_time(time);
  if (has_four_digits(t)) {
    std::string text(kSecondsSize + 5, 'Z');
    write_seconds(text.data(), t);
    text[kSecondsSize] = '.';
    write_digits(text.data() + kSecondsSize + 1, static_cast<unsigned>(t.nanosecond / 1'000'000), 3);
    return text;
  }
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.year, t.month, t.day, t.hour, t.minute, t.second,
                     t.nanosecond / 1'000'000);
}

std::string format_rfc3339_seconds(WallTime time) {
  CivilTime t = civil_time(time);
  if (has_four_digits(t)) {
    std::string text(kSecondsSize + 1, 'Z');
    write_seconds(text.data(), t);
    return text;
  }
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second);
}

Result<WallTime> parse_rfc3339(std::string_view text) {
  Scanner scan(text);
  CivilTime civil{};
  civil.year = static_cast<int>(scan.number(4));
  scan.literal("-");
  civil.month = scan.number(2);
  scan.literal("-");
  civil.day = scan.number(2);
  scan.one_of("Tt ");
  scan_clock(scan, civil);
  if (scan.try_literal(".")) civil.nanosecond = scan.fraction();
  char zone = scan.one_of("Zz+-");
  minutes offset{};
  if (zone == '+' || zone == '-') {
    unsigned offset_hours = scan.number(2);
    scan.literal(":");
    unsigned offset_minutes = scan.number(2);
    if (offset_hours > 23 || offset_minutes > 59) return malformed("RFC 3339 time", text);
    offset = hours(offset_hours) + minutes(offset_minutes);
    if (zone == '-') offset = -offset;
  }
  if (!scan.done()) return malformed("RFC 3339 time (like 2026-11-21T23:06:25Z)", text);
  seconds leap{civil.second == 60 ? 1 : 0};
  if (leap.count() != 0) civil.second = 59;
  return TRY(wall_time(civil)) + leap - offset;
}

std::string format_http_date(WallTime time) {
  CivilTime t = civil_time(time);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kWeekdays[t.weekday].substr(0, 3), t.day,
                     kMonths[t.month - 1], t.year, t.hour, t.minute, t.second);
}

namespace {

// "Sun, 06 Nov 1994 08:49:37 GMT"
bool scan_imf_fixdate(std::string_view text, CivilTime& civil) {
  Scanner scan(text);
  scan.weekday(false);
  scan.literal(", ");
  civil.day = scan.number(2);
  scan.literal(" ");
  civil.month = scan.month();
  scan.literal(" ");
  civil.year = static_cast<int>(scan.number(4));
  scan.literal(" ");
  scan_clock(scan, civil);
  scan.literal(" GMT");
  return scan.done();
}

// "Sunday, 06-Nov-94 08:49:37 GMT"
bool scan_rfc850(std::string_view text, CivilTime& civil, int year_now) {
  Scanner scan(text);
  scan.weekday(true);
  scan.literal(", ");
  civil.day = scan.number(2);
  scan.literal("-");
  civil.month = scan.month();
  scan.literal("-");
  civil.year = static_cast<int>(scan.number(2)) + year_now / 100 * 100;
  if (civil.year > year_now + 50) civil.year -= 100;
  scan.literal(" ");
  scan_clock(scan, civil);
  scan.literal(" GMT");
  return scan.done();
}

// "Sun Nov  6 08:49:37 1994"
bool scan_asctime(std::string_view text, CivilTime& civil) {
  Scanner scan(text);
  scan.weekday(false);
  scan.literal(" ");
  civil.month = scan.month();
  scan.literal(" ");
  civil.day = scan.try_literal(" ") ? scan.number(1) : scan.number(2);
  scan.literal(" ");
  scan_clock(scan, civil);
  scan.literal(" ");
  civil.year = static_cast<int>(scan.number(4));
  return scan.done();
}

}  // namespace

Result<WallTime> parse_http_date(std::string_view text, WallTime now) {
  CivilTime civil{};
  if (!scan_imf_fixdate(text, civil) && !scan_rfc850(text, civil = {}, civil_time(now).year) &&
      !scan_asctime(text, civil = {}))
    return malformed("HTTP date (like Sun, 06 Nov 1994 08:49:37 GMT)", text);
  if (civil.second == 60) civil.second = 59;  // RFC 9110 allows a leap second; a date this coarse needs no more.
  return wall_time(civil);
}

std::string format_aws_time(WallTime time) {
  CivilTime t = civil_time(time);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second);
}

std::string format_aws_date(WallTime time) {
  CivilTime t = civil_time(time);
  return fmt::format("{:04}{:02}{:02}", t.year, t.month, t.day);
}

Result<WallTime> parse_aws_time(std::string_view text) {
  Scanner scan(text);
  CivilTime civil{};
  civil.year = static_cast<int>(scan.number(4));
  civil.month = scan.number(2);
  civil.day = scan.number(2);
  scan.literal("T");
  civil.hour = scan.number(2);
  civil.minute = scan.number(2);
  civil.second = scan.number(2);
  scan.literal("Z");
  if (!scan.done()) return malformed("time of the form 20130524T000000Z", text);
  return wall_time(civil);
}

}  // namespace polis::base
