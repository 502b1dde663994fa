#include "systems/exchange/faces/calendar.h"

#include <chrono>

namespace polis::exchange {
namespace {

constexpr VenueTime kSecond = 1'000'000'000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;

// What begins at which time of a trading day.
struct Turn {
  VenueTime at;
  Phase phase;
};
constexpr Turn kUsEquityDay[] = {{9 * kHour, Phase::kPreOpen},
                                 {9 * kHour + 30 * kMinute, Phase::kContinuous},
                                 {15 * kHour + 50 * kMinute, Phase::kClosingCall},
                                 {16 * kHour, Phase::kClosed}};

// Days since 1970 of a point in time, rounded down.
int64_t day_number(VenueTime time) {
  return time / kDay - (time % kDay < 0);
}

int64_t sunday_of(int64_t year, unsigned month, unsigned which) {
  using namespace std::chrono;
  const year_month_weekday date{std::chrono::year(static_cast<int>(year)), std::chrono::month(month), Sunday[which]};
  return sys_days(date).time_since_epoch().count();
}

// The wall clock of New York, as if it were UTC.
VenueTime local(VenueTime now) {
  return now - new_york_behind_utc(now);
}
// Back. Turns of a day lie hours away from the hour that is skipped or repeated, so noon's offset of that day holds.
VenueTime from_local(VenueTime wall) {
  const VenueTime noon = day_number(wall) * kDay + 12 * kHour;
  return wall + new_york_behind_utc(noon + 5 * kHour);
}

bool is_weekday(int64_t day) {
  const unsigned weekday = std::chrono::weekday(std::chrono::sys_days(std::chrono::days(day))).c_encoding();
  return weekday != 0 && weekday != 6;
}

}  // namespace

VenueTime new_york_behind_utc(VenueTime now) {
  using namespace std::chrono;
  const int64_t year = static_cast<int>(year_month_day(sys_days(days(day_number(now)))).year());
  // 2:00 in the time that holds until then.
  const VenueTime begin = sunday_of(year, 3, 2) * kDay + 7 * kHour, end = sunday_of(year, 11, 1) * kDay + 6 * kHour;
  return now >= begin && now < end ? 4 * kHour : 5 * kHour;
}

CalendarPhase phase_at(Calendar calendar, VenueTime now) {
  if (calendar == Calendar::kAlways) return {Phase::kContinuous, INT64_MAX};
  const VenueTime wall = local(now);
  int64_t day = day_number(wall);
  CalendarPhase found{Phase::kClosed, 0};
  if (is_weekday(day))
    for (const Turn& turn : kUsEquityDay) {
      if (wall < day * kDay + turn.at) {
        found.until = from_local(day * kDay + turn.at);
        return found;
      }
      found.phase = turn.phase;
    }
  do ++day;
  while (!is_weekday(day));
  return {Phase::kClosed, from_local(day * kDay + kUsEquityDay[0].at)};
}

}  // namespace polis::exchange
