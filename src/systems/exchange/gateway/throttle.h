// Throttle: how many messages a session may send. A token bucket that holds no tokens but the moment at which it would
// be full again (ATM's virtual scheduling, GCRA), so asking is one comparison.
#pragma once

#include <algorithm>
#include <cstdint>

namespace polis::exchange::gateway {

class Throttle {
 public:
  // A bucket of `burst` tokens, refilled with `rate` a second; rate 0: no limit.
  void configure(uint32_t rate, uint32_t burst) {
    interval_ = rate == 0 ? 0 : std::max<int64_t>(1, 1'000'000'000 / rate);
    room_ = interval_ * std::max<int64_t>(burst, 1);
  }

  // Takes a token if one is there. `now`: steady, ns.
  bool take(int64_t now) {
    if (interval_ == 0) return true;
    const int64_t full_at = std::max(full_at_, now);
    if (full_at + interval_ - now > room_) {
      if (now - refused_last_ > kPause) refused_since_ = now;
      refused_last_ = now;
      return false;
    }
    full_at_ = full_at + interval_;
    return true;
  }

  // Whether the limit was run against for three seconds without a pause of one: who does that is sent away.
  bool abused() const { return refused_last_ - refused_since_ >= kAbuse; }
  void forgive() { refused_since_ = refused_last_ = -kPause * 2; }

 private:
  static constexpr int64_t kPause = 1'000'000'000;
  static constexpr int64_t kAbuse = 3'000'000'000;
  int64_t interval_ = 0, room_ = 0;
  int64_t full_at_ = 0;
  int64_t refused_since_ = -kPause * 2, refused_last_ = -kPause * 2;
};

}  // namespace polis::exchange::gateway
