#include "systems/exchange/decimal.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::exchange {
namespace {

TEST(Decimal, what_people_write_is_read) {
  EXPECT_EQ(parse_decimal("100.10"), (Decimal{1001, -1}));
  EXPECT_EQ(parse_decimal("100"), (Decimal{100, 0}));
  EXPECT_EQ(parse_decimal("-0.5"), (Decimal{-5, -1}));
  EXPECT_EQ(parse_decimal(".25"), (Decimal{25, -2}));
  EXPECT_EQ(parse_decimal("7."), (Decimal{7, 0}));
  EXPECT_EQ(parse_decimal("1.000000000000"), (Decimal{1, 0}));
  EXPECT_EQ(parse_decimal("9223372036854775807"), (Decimal{INT64_MAX, 0}));
}

TEST(Decimal, what_is_no_decimal_is_refused) {
  for (const char* text : {"", ".", "-", "-.", "1e5", "+1", " 1", "1 ", "1.2.3", "0x10", "1,5", "--1", "nan",
                           "9223372036854775808", "0.0000000001", "99999999999999999999"})
    EXPECT_FALSE(parse_decimal(text)) << text;
}

TEST(Decimal, a_price_is_a_whole_number_of_ticks_or_nothing) {
  EXPECT_EQ(units_of("100.10", {1, -2}), 10010);
  EXPECT_EQ(units_of("100.105", {1, -2}), std::nullopt);
  EXPECT_EQ(units_of("100.25", {25, -2}), 401);
  EXPECT_EQ(units_of("100.30", {25, -2}), std::nullopt);
  EXPECT_EQ(units_of("5000", {1, 3}), 5);
  EXPECT_EQ(units_of("-1", {1, -2}), -100);
  EXPECT_EQ(units_of("9223372036854775807", {1, -9}), std::nullopt);
  EXPECT_EQ(units_of("1", {0, 0}), std::nullopt);
}

TEST(Decimal, units_are_written_with_the_decimals_of_their_unit) {
  EXPECT_EQ(units_text(10010, {1, -2}), "100.10");
  EXPECT_EQ(units_text(5, {1, -2}), "0.05");
  EXPECT_EQ(units_text(-5, {1, -2}), "-0.05");
  EXPECT_EQ(units_text(0, {1, -2}), "0.00");
  EXPECT_EQ(units_text(401, {25, -2}), "100.25");
  EXPECT_EQ(units_text(5, {1, 3}), "5000");
  EXPECT_EQ(amount_text(INT64_MAX, 9), "9223372036.854775807");
  EXPECT_EQ(amount_text(INT64_MIN, 0), "-9223372036854775808");
}

TEST(Decimal, what_is_written_is_read_as_the_same_number) {
  base::SeededRandom random(7);
  for (int i = 0; i < 100'000; ++i) {
    const auto units = static_cast<int64_t>(random.next() >> (random.next() % 63));
    const Decimal unit{1, static_cast<int8_t>(-static_cast<int>(random.next() % 10))};
    ASSERT_EQ(units_of(units_text(units, unit), unit), units);
    ASSERT_EQ(units_of(units_text(-units, unit), unit), -units);
  }
}

TEST(Decimal, an_average_has_up_to_eight_decimals_half_to_even) {
  // The archive's example: 1,800 at 100.10 and 900 at 100.11.
  EXPECT_EQ(average_text(int64_t{1800} * 10010 + int64_t{900} * 10011, 2700, {1, -2}), "100.10333333");
  EXPECT_EQ(average_text(10010, 1, {1, -2}), "100.10");
  EXPECT_EQ(average_text(0, 1, {1, -2}), "0.00");
  EXPECT_EQ(average_text(20021, 2, {1, -2}), "100.105");
  EXPECT_EQ(average_text(5, 1, {1, -9}), "0.00000000");   // half: to the even 0
  EXPECT_EQ(average_text(15, 1, {1, -9}), "0.00000002");  // half: from 1.5 to the even 2
  EXPECT_EQ(average_text(16, 1, {1, -9}), "0.00000002");
  EXPECT_EQ(average_text(2, 3, {1, 0}), "0.66666667");
}

TEST(Decimal, averages_of_any_size_are_those_of_a_wide_division) {
  base::SeededRandom random(11);
  for (int i = 0; i < 100'000; ++i) {
    const auto numerator = static_cast<int64_t>(random.next() >> (1 + random.next() % 62));
    const auto denominator = static_cast<int64_t>(1 + (random.next() >> (33 + random.next() % 30)));
    // In 10^-8, from ticks of 0.01, by the book.
    const __int128 scaled = __int128{numerator} * 1'000'000;
    __int128 value = scaled / denominator;
    const __int128 left = scaled % denominator;
    if (left * 2 > denominator || (left * 2 == denominator && value % 2 != 0)) ++value;
    std::string text = average_text(numerator, denominator, {1, -2});
    const size_t decimals = text.size() - text.find('.') - 1;
    ASSERT_TRUE(decimals >= 2 && decimals <= 8 && (decimals == 2 || !text.ends_with('0'))) << text;
    text.erase(text.find('.'), 1);
    text.append(8 - decimals, '0');
    std::string expected;
    for (; value > 0 || expected.size() < 9; value /= 10)
      expected.insert(expected.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
    ASSERT_EQ(text, expected) << numerator << " / " << denominator;
  }
}

}  // namespace
}  // namespace polis::exchange
