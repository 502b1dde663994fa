// What the formats share: amounts and times as text, and text of unknown origin made harmless. Amounts are 128-bit
// integers and never pass through floating point. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "systems/ledger/types.h"

namespace polis::ledger::formats {

// --- numbers

void append_number(std::string& out, u128 value);
// 12345 at scale 2 is "123.45", at scale 0 "12345", 5 at scale 3 is "0.005". scale <= kScaleMax (export.h).
void append_amount(std::string& out, u128 amount, uint8_t scale, char point = '.');
// The reverse, for what people write: digits, at most one point, no more than `scale` digits behind it ("7", "7.5" and
// "7.50" at scale 2). No sign, exponent or grouping. kInvalid says what is wrong.
Result<u128> parse_amount(std::string_view text, uint8_t scale);
// The id in at most 33 characters, for fields that do not take 39: decimal up to 33 digits, else "X" and 32 hex digits.
std::string short_id(Id id);

// --- time: ns since 1970, shown in UTC

// "2026-11-22T02:38:08.123456789Z"
void append_time(std::string& out, uint64_t timestamp);
// Dates of timestamps that come in order: the day is taken apart once a day.
class Calendar {
 public:
  struct Day {
    int year = 0;
    unsigned month = 0, day = 0;
  };
  const Day& day(uint64_t timestamp);
  // "2026-11-22"; valid until the next call.
  std::string_view date(uint64_t timestamp);
  // "261122"
  std::string_view short_date(uint64_t timestamp);

 private:
  void turn_to(uint64_t timestamp);
  uint64_t number_ = ~uint64_t{0};  // days since 1970
  Day day_;
  std::string date_, short_date_;
};

// --- text

inline constexpr char32_t kReplacement = 0xFFFD;
// Takes the first character of a non-empty text; kReplacement for one byte that begins no well-formed UTF-8.
char32_t take_character(std::string_view& text);
void append_character(std::string& out, char32_t character);
// Neither control, nor white space, nor a mark that changes the direction or the width of what stands around it.
bool is_visible(char32_t character);
// One line of visible characters and single spaces, without space at the ends, cut after a character at `bytes_max`.
std::string one_line(std::string_view text, size_t bytes_max);

}  // namespace polis::ledger::formats
