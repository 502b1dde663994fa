// Time, injected. Nothing in polis reads the machine's clock except SystemClock; engines receive time inside their commands.
#pragma once

#include <chrono>
#include <cstdint>

namespace polis::base {

using Duration = std::chrono::nanoseconds;

// Wall-clock time, nanoseconds since 1970-01-01T00:00:00Z. May step back; never used to measure a duration.
struct WallClockTag {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<WallClockTag>;
  static constexpr bool is_steady = false;
};
using WallTime = WallClockTag::time_point;

// Monotonic time since an arbitrary start; orders and measures, means nothing outside the process.
struct SteadyTag {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<SteadyTag>;
  static constexpr bool is_steady = true;
};
using SteadyTime = SteadyTag::time_point;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime wall() const = 0;
  virtual SteadyTime steady() const = 0;
};

// The machine's clocks. One instance serves the process.
class SystemClock final : public Clock {
 public:
  WallTime wall() const override;
  SteadyTime steady() const override;
};

// A clock that moves only when told to; for tests and simulation.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start = WallTime(std::chrono::seconds(1'700'000'000))) : wall_(start) {}
  WallTime wall() const override { return wall_; }
  SteadyTime steady() const override { return steady_; }
  void advance(Duration by) {
    wall_ += by;
    steady_ += by;
  }
  // Moves the wall clock alone, back or forth, as an operator or NTP does.
  void step_wall(Duration by) { wall_ += by; }

 private:
  WallTime wall_;
  SteadyTime steady_{};
};

inline int64_t milliseconds_since_epoch(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace polis::base

namespace polis {
using base::Clock;
using base::Duration;
using base::SteadyTime;
using base::WallTime;
}  // namespace polis
