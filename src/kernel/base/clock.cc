#include "kernel/base/clock.h"

#include <ctime>

namespace polis::base {
namespace {

Duration read_clock(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

WallTime SystemClock::wall() const { return WallTime(read_clock(CLOCK_REALTIME)); }
SteadyTime SystemClock::steady() const { return SteadyTime(read_clock(CLOCK_MONOTONIC)); }

}  // namespace polis::base
