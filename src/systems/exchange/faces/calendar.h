// Calendars: which phase an instrument should be in, by the clock of its market. Pure functions of a point in time; who
// calls them sequences what they say, so a replay never asks a clock.
//
//     us-equity   America/New_York, Monday to Friday: 09:00 pre-open, 09:30 continuous, 15:50 closing call, 16:00
//     closed 24x7        continuous, always
//
// Holidays are no part of it: an operator closes the instrument on that day.
#pragma once

#include "kernel/base/clock.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

struct CalendarPhase {
  Phase phase = Phase::kClosed;
  VenueTime until = 0;  // when the next one begins; INT64_MAX: never
};
CalendarPhase phase_at(Calendar calendar, VenueTime now);

// Nanoseconds that New York is behind UTC: 4 hours from the second Sunday of March, 2:00, to the first Sunday of
// November, 2:00 local time (US Energy Policy Act of 2005); else 5.
VenueTime new_york_behind_utc(VenueTime now);

}  // namespace polis::exchange
