// Hierarchical timer wheel of one shard: 4 levels of 64 slots over 1 ms ticks (16.7 s, then coarser, up to 4.6 h; later
// deadlines wait in the last slot and are placed again). Arming and disarming are O(1); a timer moves down at most
// three times. Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987.
#pragma once

#include <optional>

#include "kernel/io/shard.h"

namespace polis::io {

class TimerWheel {
 public:
  explicit TimerWheel(SteadyTime start) : start_(start) {}

  void arm(Timer& timer, SteadyTime at);
  void disarm(Timer& timer);
  // Fires everything due at `now`, in order of ticks. A firing timer may arm and disarm any timer.
  void advance(SteadyTime now);
  // When advance has work next: the next occupied slot, exact within the first level (64 ms).
  std::optional<SteadyTime> next() const;
  size_t size() const { return size_; }

 private:
  static constexpr unsigned kLevels = 4;
  static constexpr unsigned kSlotBits = 6;
  static constexpr unsigned kSlots = 1 << kSlotBits;

  void place(Timer& timer);
  void cascade(unsigned level);
  std::optional<uint64_t> next_tick() const;

  const SteadyTime start_;
  uint64_t now_tick_ = 0;  // every timer with tick <= now_tick_ has fired
  size_t size_ = 0;
  Timer* slots_[kLevels][kSlots] = {};
  uint64_t occupied_[kLevels] = {};  // a bit a slot
};

}  // namespace polis::io
