#include "kernel/base/time_format.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr WallTime kExample{seconds(784'111'777)};  // RFC 9110's own: Sun, 06 Nov 1994 08:49:37 GMT
constexpr WallTime kNow{seconds(1'795'302'385)};    // in November 2026

TEST(TimeFormat, every_form_writes_the_same_instant) {
  EXPECT_EQ(format_http_date(kExample), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(format_rfc3339(kExample + milliseconds(5)), "1994-11-06T08:49:37.005Z");
  EXPECT_EQ(format_rfc3339_seconds(kExample), "1994-11-06T08:49:37Z");
  EXPECT_EQ(format_aws_time(kExample), "19941106T084937Z");
  EXPECT_EQ(format_aws_date(kExample), "19941106");
  EXPECT_EQ(format_rfc3339(WallTime(Duration(-1))), "1969-12-31T23:59:59.999Z");
}

TEST(TimeFormat, all_three_http_forms_are_read) {
  for (const char* text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"})
    EXPECT_EQ(parse_http_date(text, kNow).value(), kExample) << text;
}

TEST(TimeFormat, a_two_digit_year_is_at_most_50_years_ahead) {
  EXPECT_EQ(civil_time(parse_http_date("Sunday, 06-Nov-76 08:49:37 GMT", kNow).value()).year, 2076);
  EXPECT_EQ(civil_time(parse_http_date("Sunday, 06-Nov-77 08:49:37 GMT", kNow).value()).year, 1977);
}

TEST(TimeFormat, malformed_http_dates_are_refused) {
  for (const char* text :
       {"", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 0000 08:49:37 GMT",
        "784111777"})
    EXPECT_FALSE(parse_http_date(text, kNow)) << text;
}

TEST(TimeFormat, rfc_3339_reads_fractions_offsets_and_leap_seconds) {
  EXPECT_EQ(parse_rfc3339("1994-11-06T08:49:37Z").value(), kExample);
  EXPECT_EQ(parse_rfc3339("1994-11-06t09:49:37.25+01:00").value(), kExample + milliseconds(250));
  EXPECT_EQ(parse_rfc3339("1994-11-06 03:19:37.000000001-05:30").value(), kExample + Duration(1));
  EXPECT_EQ(parse_rfc3339("1990-12-31T23:59:60Z").value(), parse_rfc3339("1991-01-01T00:00:00Z").value());
}

TEST(TimeFormat, malformed_rfc_3339_is_refused) {
  for (const char* text :
       {"", "1994-11-06", "1994-11-06T08:49:37", "1994-11-06T08:49:37.Z", "1994-11-06T08:49:37.0123456789Z",
        "1994-11-06T08:49:37+1:00", "1994-11-06T08:49:37+24:00", "1994-13-06T08:49:37Z", "1994-02-29T08:49:37Z",
        "1994-11-06T08:49:61Z", "1994-11-06T08:60:37Z", "1994-11-06T08:49:37ZZ", "+994-11-06T08:49:37Z",
        "1994-11-06T08:49:37\xff"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  EXPECT_EQ(parse_rfc3339("9999-01-01T00:00:00Z").error().code(), Code::kOutOfRange);
  EXPECT_EQ(parse_rfc3339("0001-01-01T00:00:00Z").error().code(), Code::kOutOfRange);
}

TEST(TimeFormat, the_compact_form_is_strict) {
  EXPECT_EQ(parse_aws_time("19941106T084937Z").value(), kExample);
  for (const char* text :
       {"", "19941106T084937", "19941106t084937Z", "19941306T084937Z", "19941106T084937Z0", "1994-11-06T08:49:37Z"})
    EXPECT_FALSE(parse_aws_time(text)) << text;
}

TEST(TimeFormat, random_instants_come_back_from_every_form) {
  SeededRandom random(8);
  for (int round = 0; round < 2000; ++round) {
    WallTime time{milliseconds(static_cast<int64_t>(random.below(18'000'000'000'000)) - 9'000'000'000'000)};
    WallTime whole = std::chrono::floor<seconds>(time);
    ASSERT_EQ(parse_rfc3339(format_rfc3339(time)).value(), time);
    ASSERT_EQ(parse_http_date(format_http_date(time), kNow).value(), whole);
    ASSERT_EQ(parse_aws_time(format_aws_time(time)).value(), whole);
    ASSERT_EQ(wall_time(civil_time(time)).value(), time);
  }
}

}  // namespace
}  // namespace polis::base
