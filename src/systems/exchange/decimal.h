// Decimals as people and FIX write them, and the whole numbers that the venue counts in: ticks, lots, smallest units of
// an asset. Exact in both directions or refused: nothing is rounded here. No allocation in the functions that fill a
// buffer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

// What a 64-bit number with a sign, a point and up to nine decimals takes at most.
inline constexpr size_t kDecimalTextMax = 40;

// "-?[0-9]+(.[0-9]*)?" or "-?.[0-9]+", FIX's float without exponent: at most nine digits behind the point once zeros at
// the end are gone, and a mantissa within 64 bits. Nothing for anything else.
std::optional<Decimal> parse_decimal(std::string_view text);

// How many `unit`s the text is: "100.10" in ticks of 0.01 is 10010. Nothing if it is no decimal, no whole multiple, or
// out of range; `unit` is above 0.
std::optional<int64_t> units_of(std::string_view text, const Decimal& unit);
std::optional<int64_t> units_of(const Decimal& value, const Decimal& unit);

// `units` × `unit` as text with as many decimals as the unit has: 10010 × 0.01 is "100.10". `into` holds
// kDecimalTextMax characters; returns how many were written.
size_t write_units(char* into, int64_t units, const Decimal& unit);
std::string units_text(int64_t units, const Decimal& unit);

// Amounts of an asset with so many decimals.
std::optional<Amount> amount_of(std::string_view text, uint8_t decimals);
std::string amount_text(Amount amount, uint8_t decimals);

// numerator / denominator × unit to at most eight decimals, half to even, without zeros at the end beyond those that
// the unit has: FIX's AvgPx from a notional in tick × lots. `denominator` > 0, `numerator` ≥ 0. As write_units.
size_t write_average(char* into, int64_t numerator, int64_t denominator, const Decimal& unit);
std::string average_text(int64_t numerator, int64_t denominator, const Decimal& unit);

// "0.01" of {1, -2}.
std::string decimal_text(const Decimal& value);

}  // namespace polis::exchange
