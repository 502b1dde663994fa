#include "kernel/http/date.h"

#include <chrono>

namespace polis::http {
namespace {

constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr std::string_view kLongDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr size_t kDateSize = 29;

int64_t seconds_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

void put_two(char* at, unsigned value) {
  at[0] = static_cast<char>('0' + value / 10 % 10);
  at[1] = static_cast<char>('0' + value % 10);
}

void write_date(int64_t seconds, char* out) {
  std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  auto day = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day date{day};
  std::chrono::hh_mm_ss clock{time - day};
  unsigned year = static_cast<unsigned>(static_cast<int>(date.year()));
  kDays.substr(std::chrono::weekday{day}.c_encoding() * 3, 3).copy(out, 3);
  out[3] = ',';
  out[4] = out[7] = out[11] = out[16] = out[25] = ' ';
  put_two(out + 5, static_cast<unsigned>(date.day()));
  kMonths.substr((static_cast<unsigned>(date.month()) - 1) * 3, 3).copy(out + 8, 3);
  put_two(out + 12, year / 100);
  put_two(out + 14, year % 100);
  put_two(out + 17, static_cast<unsigned>(clock.hours().count()));
  out[19] = out[22] = ':';
  put_two(out + 20, static_cast<unsigned>(clock.minutes().count()));
  put_two(out + 23, static_cast<unsigned>(clock.seconds().count()));
  out[26] = 'G';
  out[27] = 'M';
  out[28] = 'T';
}

// Reads the shapes below from left to right; the first mismatch sticks.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool ok() const { return ok_; }
  bool finished() const { return ok_ && text_.empty(); }
  void literal(std::string_view expected) {
    if (!text_.starts_with(expected)) ok_ = false;
    if (ok_) text_.remove_prefix(expected.size());
  }
  int number(size_t digits) {
    if (text_.size() < digits) ok_ = false;
    int value = 0;
    for (size_t i = 0; ok_ && i < digits; ++i) {
      if (text_[i] < '0' || text_[i] > '9') ok_ = false;
      value = value * 10 + (text_[i] - '0');
    }
    if (ok_) text_.remove_prefix(digits);
    return value;
  }
  // 0-based index of a three-letter name.
  int name(std::string_view names) {
    size_t at = text_.size() < 3 ? std::string_view::npos : names.find(text_.substr(0, 3));
    if (at == std::string_view::npos || at % 3 != 0) ok_ = false;
    if (ok_) text_.remove_prefix(3);
    return ok_ ? static_cast<int>(at / 3) : 0;
  }
  bool at(char c) const { return !text_.empty() && text_.front() == c; }

 private:
  std::string_view text_;
  bool ok_ = true;
};

struct Parts {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

std::optional<WallTime> assemble(const Parts& parts) {
  std::chrono::year_month_day date{std::chrono::year(parts.year),
                                   std::chrono::month(static_cast<unsigned>(parts.month + 1)),
                                   std::chrono::day(static_cast<unsigned>(parts.day))};
  // 60 is a leap second.
  if (!date.ok() || parts.hour > 23 || parts.minute > 59 || parts.second > 60) return std::nullopt;
  // Nanoseconds in 64 bits reach from 1677 to 2262.
  if (parts.year < 1678 || parts.year > 2261) return std::nullopt;
  auto seconds = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(parts.hour) +
                 std::chrono::minutes(parts.minute) + std::chrono::seconds(parts.second);
  return WallTime(std::chrono::duration_cast<Duration>(seconds));
}

void read_clock(Cursor& cursor, Parts& parts) {
  parts.hour = cursor.number(2);
  cursor.literal(":");
  parts.minute = cursor.number(2);
  cursor.literal(":");
  parts.second = cursor.number(2);
}

std::optional<WallTime> parse_fixdate(std::string_view text) {
  Cursor cursor(text);
  Parts parts;
  cursor.name(kDays);
  cursor.literal(", ");
  parts.day = cursor.number(2);
  cursor.literal(" ");
  parts.month = cursor.name(kMonths);
  cursor.literal(" ");
  parts.year = cursor.number(4);
  cursor.literal(" ");
  read_clock(cursor, parts);
  cursor.literal(" GMT");
  return cursor.finished() ? assemble(parts) : std::nullopt;
}

// "Sunday, 06-Nov-94 08:49:37 GMT"
std::optional<WallTime> parse_rfc850(std::string_view text) {
  for (std::string_view day_name : kLongDays) {
    if (!text.starts_with(day_name)) continue;
    Cursor cursor(text.substr(day_name.size()));
    Parts parts;
    cursor.literal(", ");
    parts.day = cursor.number(2);
    cursor.literal("-");
    parts.month = cursor.name(kMonths);
    cursor.literal("-");
    int year = cursor.number(2);
    // Two digits mean the nearest century; 70 and later are the last one, as RFC 6265 §5.1.1 reads them.
    parts.year = year + (year >= 70 ? 1900 : 2000);
    cursor.literal(" ");
    read_clock(cursor, parts);
    cursor.literal(" GMT");
    return cursor.finished() ? assemble(parts) : std::nullopt;
  }
  return std::nullopt;
}

// "Sun Nov  6 08:49:37 1994"
std::optional<WallTime> parse_asctime(std::string_view text) {
  Cursor cursor(text);
  Parts parts;
  cursor.name(kDays);
  cursor.literal(" ");
  parts.month = cursor.name(kMonths);
  cursor.literal(" ");
  if (cursor.at(' ')) {
    cursor.literal(" ");
    parts.day = cursor.number(1);
  } else {
    parts.day = cursor.number(2);
  }
  cursor.literal(" ");
  read_clock(cursor, parts);
  cursor.literal(" ");
  parts.year = cursor.number(4);
  return cursor.finished() ? assemble(parts) : std::nullopt;
}

}  // namespace

std::string format_date(WallTime time) {
  std::string out(kDateSize, '\0');
  write_date(seconds_of(time), out.data());
  return out;
}

std::string_view cached_date(WallTime time) {
  thread_local int64_t cached_seconds = INT64_MIN;
  thread_local char text[kDateSize];
  if (int64_t seconds = seconds_of(time); seconds != cached_seconds) {
    write_date(seconds, text);
    cached_seconds = seconds;
  }
  return {text, kDateSize};
}

std::optional<WallTime> parse_date(std::string_view text) {
  if (auto time = parse_fixdate(text)) return time;
  if (auto time = parse_rfc850(text)) return time;
  return parse_asctime(text);
}

}  // namespace polis::http
