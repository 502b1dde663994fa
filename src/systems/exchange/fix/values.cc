// Values of fields as text: times, decimals, whole numbers.
#include "systems/exchange/fix/message.h"

namespace polis::exchange::fix {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;

// The proleptic Gregorian calendar in days since 1970-01-01; the year begins in March, so that leap days come last.
struct Date {
  int64_t year;
  unsigned month, day;
};

Date date_of(int64_t days) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto of_era = static_cast<unsigned>(days - era * 146'097);
  const unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * of_year + 2) / 153;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {year_of_era + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1};
}

int64_t days_of(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719'468;
}

void put(char*& to, uint64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    to[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  to += digits;
}

// The digits that stand at places of a text; what is none is remembered and not stopped at.
class Digits {
 public:
  explicit Digits(const char* text) : text_(text) {}
  unsigned at(size_t place, size_t count) {
    unsigned value = 0;
    for (size_t i = place; i < place + count; ++i) {
      const unsigned digit = static_cast<uint8_t>(text_[i]) - unsigned{'0'};
      wrong_ |= digit > 9;
      value = value * 10 + digit;
    }
    return value;
  }
  bool wrong() const { return wrong_; }

 private:
  const char* text_;
  bool wrong_ = false;
};

}  // namespace

void write_timestamp(VenueTime time, char* to) {
  int64_t days = time / kDay, rest = time % kDay;
  if (rest < 0) rest += kDay, --days;
  const auto [year, month, day] = date_of(days);
  put(to, static_cast<uint64_t>(year), 4);
  put(to, month, 2);
  put(to, day, 2);
  *to++ = '-';
  const auto milliseconds = static_cast<uint64_t>(rest / 1'000'000);
  put(to, milliseconds / 3'600'000, 2);
  *to++ = ':';
  put(to, milliseconds / 60'000 % 60, 2);
  *to++ = ':';
  put(to, milliseconds / 1000 % 60, 2);
  *to++ = '.';
  put(to, milliseconds % 1000, 3);
}

std::optional<VenueTime> read_timestamp(std::string_view text) {
  if (text.size() < 17 || text[8] != '-' || text[11] != ':' || text[14] != ':') return std::nullopt;
  Digits digits(text.data());
  const unsigned year = digits.at(0, 4), month = digits.at(4, 2), day = digits.at(6, 2);
  const unsigned hour = digits.at(9, 2), minute = digits.at(12, 2), second = digits.at(15, 2);
  unsigned fraction = 0;  // ns
  switch (text.size()) {
    case 17:
      break;
    case 21:
      fraction = digits.at(18, 3) * 1'000'000;
      break;
    case 24:
      fraction = digits.at(18, 6) * 1000;
      break;
    case 27:
      fraction = digits.at(18, 9);
      break;
    default:
      return std::nullopt;
  }
  if (digits.wrong() || (text.size() > 17 && text[17] != '.')) return std::nullopt;
  constexpr uint8_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 ||
      day > kDays[month - 1] + unsigned{month == 2 && leap} || hour > 23 || minute > 59 || second > 60) {
    return std::nullopt;
  }
  return days_of(year, month, day) * kDay + (int64_t{hour} * 3600 + minute * 60 + second) * kSecond + fraction;
}

std::optional<Decimal> read_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  if (point != text.npos) {
    while (text.ends_with('0')) text.remove_suffix(1);
    if (text == ".") return std::nullopt;  // of ".", ".0": no digit before the point and none that counts behind it
  }
  if (text.empty()) return std::nullopt;
  int64_t mantissa = 0;
  int digits = 0, exponent = 0;
  bool fraction = false, any = false;
  for (const char c : text) {
    if (c == '.') {
      if (fraction) return std::nullopt;
      fraction = true;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    any = true;
    if (mantissa != 0 || c != '0') ++digits;
    if (digits > 18) return std::nullopt;
    mantissa = mantissa * 10 + (c - '0');
    if (fraction && --exponent < -18) return std::nullopt;
  }
  if (!any) return std::nullopt;
  if (mantissa == 0) exponent = 0;
  return Decimal{negative ? -mantissa : mantissa, static_cast<int8_t>(exponent)};
}

std::optional<int64_t> read_number(std::string_view text) {
  if (text.empty()) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, c - '0', &value))
      return std::nullopt;
  }
  return value;
}

}  // namespace polis::exchange::fix
