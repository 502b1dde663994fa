#include "kernel/io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace polis::io {
namespace {
constexpr Duration kTick = std::chrono::milliseconds(1);
}

void TimerWheel::arm(Timer& timer, SteadyTime at) {
  if (timer.wheel_) disarm(timer);
  const auto since_start = at - start_;
  // Rounded up: a timer never fires early. At least one tick ahead, so that arming inside a firing timer cannot spin.
  const uint64_t tick =
      since_start <= Duration::zero() ? 0 : static_cast<uint64_t>((since_start + kTick - Duration(1)) / kTick);
  timer.tick_ = std::max(tick, now_tick_ + 1);
  timer.wheel_ = this;
  ++size_;
  place(timer);
}

void TimerWheel::place(Timer& timer) {
  const uint64_t ahead = timer.tick_ - now_tick_;
  unsigned level = 0;
  while (level + 1 < kLevels && ahead >= (uint64_t{1} << (kSlotBits * (level + 1)))) ++level;
  uint64_t tick = timer.tick_;
  if (level + 1 == kLevels) {
    // Beyond the wheel's span: as far ahead as it reaches, then placed again from there.
    const uint64_t furthest =
        now_tick_ + (uint64_t{1} << (kSlotBits * kLevels)) - (uint64_t{1} << (kSlotBits * (kLevels - 1)));
    tick = std::min(tick, furthest);
  }
  const unsigned slot = (tick >> (kSlotBits * level)) & (kSlots - 1);
  timer.slot_ = level * kSlots + slot;
  timer.previous_ = nullptr;
  timer.next_ = slots_[level][slot];
  if (timer.next_) timer.next_->previous_ = &timer;
  slots_[level][slot] = &timer;
  occupied_[level] |= uint64_t{1} << slot;
}

void TimerWheel::disarm(Timer& timer) {
  if (!timer.wheel_) return;
  const unsigned level = timer.slot_ / kSlots;
  const unsigned slot = timer.slot_ % kSlots;
  (timer.previous_ ? timer.previous_->next_ : slots_[level][slot]) = timer.next_;
  if (timer.next_) timer.next_->previous_ = timer.previous_;
  if (!slots_[level][slot]) occupied_[level] &= ~(uint64_t{1} << slot);
  timer.wheel_ = nullptr;
  timer.previous_ = timer.next_ = nullptr;
  --size_;
}

// The timers of the slot that now begins on `level` move to the levels below.
void TimerWheel::cascade(unsigned level) {
  const unsigned slot = (now_tick_ >> (kSlotBits * level)) & (kSlots - 1);
  Timer* timer = slots_[level][slot];
  slots_[level][slot] = nullptr;
  occupied_[level] &= ~(uint64_t{1} << slot);
  while (timer) {
    Timer* next = timer->next_;
    place(*timer);
    timer = next;
  }
}

void TimerWheel::advance(SteadyTime now) {
  const uint64_t target = now <= start_ ? 0 : static_cast<uint64_t>((now - start_) / kTick);
  while (now_tick_ < target) {
    const auto next = next_tick();
    if (!next || *next > target) {
      now_tick_ = target;
      return;
    }
    now_tick_ = *next;
    for (unsigned level = kLevels - 1; level > 0; --level)
      if ((now_tick_ & ((uint64_t{1} << (kSlotBits * level)) - 1)) == 0) cascade(level);
    const unsigned slot = now_tick_ & (kSlots - 1);
    while (Timer* timer = slots_[0][slot]) {
      if (timer->tick_ > now_tick_) break;  // cannot happen: level 0 holds exact ticks
      disarm(*timer);
      timer->fired();
    }
  }
}

// The next tick at which a slot fires or cascades.
std::optional<uint64_t> TimerWheel::next_tick() const {
  std::optional<uint64_t> best;
  for (unsigned level = 0; level < kLevels; ++level) {
    if (!occupied_[level]) continue;
    const unsigned shift = kSlotBits * level;
    const uint64_t position = now_tick_ >> shift;
    // Slots strictly behind the present one, in the order in which they begin; the present one last (a full turn
    // ahead).
    const unsigned start = (position + 1) & (kSlots - 1);
    const uint64_t rotated = std::rotr(occupied_[level], static_cast<int>(start));
    const uint64_t tick = (position + 1 + static_cast<unsigned>(std::countr_zero(rotated))) << shift;
    best = best ? std::min(*best, tick) : tick;
  }
  return best;
}

std::optional<SteadyTime> TimerWheel::next() const {
  const auto tick = next_tick();
  if (!tick) return std::nullopt;
  return start_ + static_cast<int64_t>(*tick) * kTick;
}

}  // namespace polis::io
