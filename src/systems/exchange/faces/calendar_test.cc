#include "systems/exchange/faces/calendar.h"

#include <gtest/gtest.h>

#include "kernel/base/time_format.h"

namespace polis::exchange {
namespace {

VenueTime at(std::string_view text) {
  return base::parse_rfc3339(text).value().time_since_epoch().count();
}
CalendarPhase equity(std::string_view text) {
  return phase_at(Calendar::kUsEquity, at(text));
}

TEST(Calendar, a_trading_day_in_winter_and_in_summer) {
  for (const char* zone : {"-05:00", "-04:00"}) {
    const std::string day = zone == std::string_view("-05:00") ? "2026-01-14T" : "2026-07-15T";  // Wednesdays
    const auto time = [&](const char* of_day) { return day + of_day + zone; };
    EXPECT_EQ(equity(time("08:59:59")).phase, Phase::kClosed);
    EXPECT_EQ(equity(time("08:59:59")).until, at(time("09:00:00")));
    EXPECT_EQ(equity(time("09:00:00")).phase, Phase::kPreOpen);
    EXPECT_EQ(equity(time("09:29:59")).until, at(time("09:30:00")));
    EXPECT_EQ(equity(time("09:30:00")).phase, Phase::kContinuous);
    EXPECT_EQ(equity(time("15:50:00")).phase, Phase::kClosingCall);
    EXPECT_EQ(equity(time("15:59:59")).phase, Phase::kClosingCall);
    EXPECT_EQ(equity(time("16:00:00")).phase, Phase::kClosed);
  }
}

TEST(Calendar, after_friday_comes_monday_also_when_the_clocks_change_between) {
  EXPECT_EQ(equity("2026-03-06T16:00:00-05:00").until, at("2026-03-09T09:00:00-04:00"));
  EXPECT_EQ(equity("2026-03-08T12:00:00-04:00").until, at("2026-03-09T09:00:00-04:00"));
  EXPECT_EQ(equity("2026-10-30T16:30:00-04:00").until, at("2026-11-02T09:00:00-05:00"));
  EXPECT_EQ(equity("2026-10-31T10:00:00-04:00").phase, Phase::kClosed);
}

TEST(Calendar, new_york_changes_its_clock_at_two_in_the_morning) {
  constexpr VenueTime kHour = 3'600'000'000'000;
  EXPECT_EQ(new_york_behind_utc(at("2026-03-08T06:59:59Z")), 5 * kHour);
  EXPECT_EQ(new_york_behind_utc(at("2026-03-08T07:00:00Z")), 4 * kHour);
  EXPECT_EQ(new_york_behind_utc(at("2026-11-01T05:59:59Z")), 4 * kHour);
  EXPECT_EQ(new_york_behind_utc(at("2026-11-01T06:00:00Z")), 5 * kHour);
}

TEST(Calendar, every_phase_lasts_until_another_one_begins) {
  VenueTime now = at("2025-12-29T00:00:00Z");
  const VenueTime end = at("2028-01-05T00:00:00Z");
  CalendarPhase phase = phase_at(Calendar::kUsEquity, now);
  int turns = 0;
  for (; now < end; ++turns) {
    ASSERT_GT(phase.until, now);
    ASSERT_EQ(phase_at(Calendar::kUsEquity, phase.until - 1).phase, phase.phase);
    now = phase.until;
    const CalendarPhase next = phase_at(Calendar::kUsEquity, now);
    ASSERT_NE(next.phase, phase.phase);
    phase = next;
  }
  EXPECT_NEAR(turns, 4 * 528, 8);  // 105.6 weeks of five days
}

TEST(Calendar, around_the_clock_is_always_open) {
  EXPECT_EQ(phase_at(Calendar::kAlways, 0).phase, Phase::kContinuous);
  EXPECT_EQ(phase_at(Calendar::kAlways, 0).until, INT64_MAX);
}

}  // namespace
}  // namespace polis::exchange
