#include "systems/exchange/decimal.h"

#include <algorithm>
#include <cstdlib>

namespace polis::exchange {
namespace {

using i128 = __int128;

constexpr int kExponentMax = 9;
constexpr int kAverageDecimals = 8;

i128 power_of_ten(int exponent) {
  i128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

// `value` × 10^-decimals; value's digits fit 39 places. Whole: uint64_t, or unsigned __int128, whose divisions cost ten
// times as much.
template <class Whole>
size_t write_digits(char* into, Whole value, int decimals) {
  int count = 1;
  for (Whole rest = value; rest >= 10; rest /= 10) ++count;
  count = std::max(count, decimals + 1);
  char* to = into + count + (decimals > 0 ? 1 : 0);
  const auto size = static_cast<size_t>(to - into);
  for (int i = 0; i < count; ++i) {
    if (i == decimals && decimals > 0) *--to = '.';
    *--to = static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  }
  return size;
}

size_t write_fixed(char* into, i128 value, int decimals) {
  size_t sign = 0;
  if (value < 0) {
    into[sign++] = '-';
    value = -value;
  }
  if (value <= INT64_MAX) return sign + write_digits(into + sign, static_cast<uint64_t>(value), decimals);
  return sign + write_digits(into + sign, static_cast<unsigned __int128>(value), decimals);
}

}  // namespace

std::optional<Decimal> parse_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  std::string_view behind = point < text.size() ? text.substr(point + 1) : std::string_view();
  if (whole.empty() && behind.empty()) return {};
  while (behind.ends_with('0')) behind.remove_suffix(1);
  if (behind.size() > kExponentMax) return {};
  int64_t mantissa = 0;
  for (std::string_view part : {whole, behind})
    for (char digit : part) {
      if (digit < '0' || digit > '9') return {};
      if (__builtin_mul_overflow(mantissa, 10, &mantissa) || __builtin_add_overflow(mantissa, digit - '0', &mantissa))
        return {};
    }
  return Decimal{negative ? -mantissa : mantissa, static_cast<int8_t>(-static_cast<int>(behind.size()))};
}

std::optional<int64_t> units_of(const Decimal& value, const Decimal& unit) {
  const auto in_range = [](const Decimal& number) {
    return number.exponent >= -kExponentMax && number.exponent <= kExponentMax;
  };
  if (unit.mantissa <= 0 || !in_range(value) || !in_range(unit)) return {};
  // Both over the smaller power of ten: at most 2^63 × 10^18, within 127 bits.
  const int least = std::min(value.exponent, unit.exponent);
  const i128 numerator = i128{value.mantissa} * power_of_ten(value.exponent - least);
  const i128 denominator = i128{unit.mantissa} * power_of_ten(unit.exponent - least);
  if (numerator == static_cast<int64_t>(numerator) && denominator <= INT64_MAX) {
    const auto narrow = static_cast<int64_t>(numerator), by = static_cast<int64_t>(denominator);
    return narrow % by == 0 ? std::optional(narrow / by) : std::nullopt;
  }
  if (numerator % denominator != 0) return {};
  const i128 units = numerator / denominator;
  if (units > INT64_MAX || units < INT64_MIN) return {};
  return static_cast<int64_t>(units);
}

std::optional<int64_t> units_of(std::string_view text, const Decimal& unit) {
  const std::optional<Decimal> value = parse_decimal(text);
  return value ? units_of(*value, unit) : std::nullopt;
}

size_t write_units(char* into, int64_t units, const Decimal& unit) {
  const int exponent = std::clamp<int>(unit.exponent, -kExponentMax, kExponentMax);
  if (int64_t narrow;
      exponent <= 0 && units >= 0 && !__builtin_mul_overflow(units, unit.mantissa, &narrow) && narrow >= 0)
    return write_digits(into, static_cast<uint64_t>(narrow), -exponent);
  // A product beyond what any text here holds does not occur: prices and quantities are below 2^32, amounts have a unit
  // of mantissa 1.
  const i128 value = i128{units} * unit.mantissa * (exponent > 0 ? power_of_ten(exponent) : 1);
  const i128 most = power_of_ten(kDecimalTextMax - 4);
  return write_fixed(into, std::clamp(value, -most, most), std::max(0, -exponent));
}

std::string units_text(int64_t units, const Decimal& unit) {
  char text[kDecimalTextMax];
  return {text, write_units(text, units, unit)};
}

std::optional<Amount> amount_of(std::string_view text, uint8_t decimals) {
  if (decimals > kExponentMax) return {};
  return units_of(text, Decimal{1, static_cast<int8_t>(-decimals)});
}

std::string amount_text(Amount amount, uint8_t decimals) {
  return units_text(amount, {1, static_cast<int8_t>(-std::min<int>(decimals, kExponentMax))});
}

size_t write_average(char* into, int64_t numerator, int64_t denominator, const Decimal& unit) {
  const int exponent = std::clamp<int>(unit.exponent, -kExponentMax, kExponentMax);
  // numerator / denominator × mantissa × 10^exponent, in units of 10^-8. The notional's whole part is split off first,
  // so that nothing leaves 127 bits.
  const i128 divisor = i128{denominator} * (exponent < -kAverageDecimals ? 10 : 1);
  const i128 factor = i128{unit.mantissa} * power_of_ten(std::max(0, kAverageDecimals + exponent));
  const int least = std::clamp(-exponent, 0, kAverageDecimals);
  // As nearly always: all within 64 bits.
  if (int64_t scaled; exponent >= -kAverageDecimals && factor <= INT64_MAX &&
                      !__builtin_mul_overflow(numerator, static_cast<int64_t>(factor), &scaled) && scaled >= 0) {
    uint64_t value = static_cast<uint64_t>(scaled / denominator);
    const uint64_t left = static_cast<uint64_t>(scaled % denominator), half = static_cast<uint64_t>(denominator) - left;
    if (left > half || (left == half && value % 2 != 0)) ++value;
    int decimals = kAverageDecimals;
    for (; decimals > least && value % 10 == 0; --decimals) value /= 10;
    return write_digits(into, value, decimals);
  }
  const i128 whole = numerator / divisor, rest = numerator % divisor;
  const i128 scaled = rest * factor;
  i128 value = whole * factor + scaled / divisor;
  const i128 left = scaled % divisor;
  if (left * 2 > divisor || (left * 2 == divisor && value % 2 != 0)) ++value;
  int decimals = kAverageDecimals;
  for (; decimals > least && value % 10 == 0; --decimals) value /= 10;
  return write_fixed(into, value, decimals);
}

std::string average_text(int64_t numerator, int64_t denominator, const Decimal& unit) {
  char text[kDecimalTextMax];
  return {text, write_average(text, numerator, denominator, unit)};
}

std::string decimal_text(const Decimal& value) {
  return units_text(value.mantissa, {1, value.exponent});
}

}  // namespace polis::exchange
