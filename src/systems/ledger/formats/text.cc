#include "systems/ledger/formats/text.h"

#include <fmt/format.h>

#include "kernel/base/time_format.h"

namespace polis::ledger::formats {
namespace {

// 39 digits of 2^128-1, the point, and zeros up to scale 38.
constexpr size_t kAmountCharactersMax = 48;
constexpr uint64_t kTenTo19 = 10'000'000'000'000'000'000u;
constexpr uint64_t kNanosecondsPerDay = 86'400 * kNanosecondsPerSecond;

// Writes the digits so that they end at `end`; at least one. Returns where they begin.
char* write_digits(char* end, u128 value) {
  while (value > UINT64_MAX) {  // Dividing 128 bits is slow: 19 digits at a time.
    auto low = static_cast<uint64_t>(value % kTenTo19);
    value /= kTenTo19;
    for (int i = 0; i < 19; ++i, low /= 10) *--end = static_cast<char>('0' + low % 10);
  }
  auto rest = static_cast<uint64_t>(value);
  do {
    *--end = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  return end;
}

WallTime wall_time_of(uint64_t timestamp) {
  return WallTime(Duration(static_cast<int64_t>(std::min(timestamp, kTimestampMax))));
}

void append_digits(std::string& out, unsigned value, size_t digits) {
  char buffer[10];
  for (size_t i = digits; i-- > 0; value /= 10) buffer[i] = static_cast<char>('0' + value % 10);
  out.append(buffer, digits);
}

}  // namespace

void append_number(std::string& out, u128 value) {
  char buffer[kAmountCharactersMax];
  char* const end = buffer + sizeof buffer;
  const char* begin = write_digits(end, value);
  out.append(begin, static_cast<size_t>(end - begin));
}

void append_amount(std::string& out, u128 amount, uint8_t scale, char point) {
  char buffer[kAmountCharactersMax];
  char* const end = buffer + sizeof buffer;
  char* begin = write_digits(end, amount);
  while (end - begin < scale + 1) *--begin = '0';
  out.append(begin, static_cast<size_t>(end - begin) - scale);
  if (scale == 0) return;
  out += point;
  out.append(end - scale, scale);
}

Result<u128> parse_amount(std::string_view text, uint8_t scale) {
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kInvalid, fmt::format("'{}' is not an amount: {}", one_line(text, 60), why));
  };
  u128 value = 0;
  size_t digits = 0, behind = 0;
  bool point = false;
  const auto push = [&](unsigned digit) {
    if (value > (kU128Max - digit) / 10) return false;
    value = value * 10 + digit;
    return true;
  };
  for (char c : text) {
    if (c == '.') {
      if (point) return refuse("it has two points");
      point = true;
    } else if (c >= '0' && c <= '9') {
      ++digits;
      if (point && ++behind > scale) return refuse(fmt::format("this asset has {} digits behind the point", scale));
      if (!push(static_cast<unsigned>(c - '0'))) return refuse("it is above 2^128-1 of the smallest unit");
    } else {
      return refuse("digits with at most one point are expected, without sign, exponent or grouping");
    }
  }
  if (digits == 0) return refuse("it has no digit");
  for (; behind < scale; ++behind)
    if (!push(0)) return refuse("it is above 2^128-1 of the smallest unit");
  return value;
}

std::string short_id(Id id) {
  std::string text;
  append_number(text, id);
  if (text.size() <= 33) return text;
  return fmt::format("X{:016x}{:016x}", static_cast<uint64_t>(id >> 64), static_cast<uint64_t>(id));
}

void append_time(std::string& out, uint64_t timestamp) {
  const base::CivilTime civil = base::civil_time(wall_time_of(timestamp));
  append_digits(out, static_cast<unsigned>(civil.year), 4);
  out += '-';
  append_digits(out, civil.month, 2);
  out += '-';
  append_digits(out, civil.day, 2);
  out += 'T';
  append_digits(out, civil.hour, 2);
  out += ':';
  append_digits(out, civil.minute, 2);
  out += ':';
  append_digits(out, civil.second, 2);
  out += '.';
  append_digits(out, civil.nanosecond, 9);
  out += 'Z';
}

void Calendar::turn_to(uint64_t timestamp) {
  const uint64_t number = std::min(timestamp, kTimestampMax) / kNanosecondsPerDay;
  if (number == number_) return;
  number_ = number;
  const base::CivilTime civil = base::civil_time(wall_time_of(timestamp));
  day_ = {.year = civil.year, .month = civil.month, .day = civil.day};
  date_ = fmt::format("{:04}-{:02}-{:02}", civil.year, civil.month, civil.day);
  short_date_ = fmt::format("{:02}{:02}{:02}", civil.year % 100, civil.month, civil.day);
}

const Calendar::Day& Calendar::day(uint64_t timestamp) {
  turn_to(timestamp);
  return day_;
}
std::string_view Calendar::date(uint64_t timestamp) {
  turn_to(timestamp);
  return date_;
}
std::string_view Calendar::short_date(uint64_t timestamp) {
  turn_to(timestamp);
  return short_date_;
}

char32_t take_character(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  const auto broken = [&] {
    text.remove_prefix(1);
    return kReplacement;
  };
  if (length == 0 || length > text.size()) return broken();
  char32_t value = length == 1 ? first : first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return broken();
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return broken();
  text.remove_prefix(length);
  return value;
}

void append_character(std::string& out, char32_t c) {
  const auto continuation = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    continuation(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    continuation(6);
    continuation(0);
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

bool is_visible(char32_t c) {
  if (c <= 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) return false;
  if (c < 0x1680) return c != 0x61C && c != 0x115F && c != 0x1160;
  if (c == 0x1680 || c == 0x180E || c == 0x3000 || c == 0x3164 || c == 0xFEFF) return false;
  if ((c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) || (c >= 0x205F && c <= 0x206F)) return false;
  if ((c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE || (c >= 0xFFF0 && c <= 0xFFFB)) return false;
  return !(c >= 0xE0000 && c <= 0xE0FFF);  // tags and variation selectors
}

std::string one_line(std::string_view text, size_t bytes_max) {
  std::string line;
  bool space = false;
  while (!text.empty()) {
    const char32_t c = take_character(text);
    if (!is_visible(c)) {
      space = !line.empty();
      continue;
    }
    const size_t before = line.size();
    if (space) line += ' ';
    append_character(line, c);
    if (line.size() > bytes_max) {
      line.resize(before);
      break;
    }
    space = false;
  }
  return line;
}

}  // namespace polis::ledger::formats
