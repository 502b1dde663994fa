#include "kernel/io/timer_wheel.h"

#include <gtest/gtest.h>
#include <random>

namespace polis::io {
namespace {

using namespace std::chrono_literals;

class RecordingTimer final : public Timer {
 public:
  std::vector<std::pair<int, SteadyTime>>* fired_at = nullptr;
  const SteadyTime* now = nullptr;
  int id = 0;

 private:
  void fired() override { fired_at->emplace_back(id, *now); }
};

// The obvious model: a list of deadlines. Random arming, disarming and steps of time from microseconds to hours.
TEST(timer_wheel, fires_what_a_sorted_list_would_never_early_and_never_over_a_millisecond_late) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    SteadyTime now{};
    TimerWheel wheel(now);
    std::vector<std::pair<int, SteadyTime>> fired;
    std::vector<std::unique_ptr<RecordingTimer>> timers;
    std::map<int, SteadyTime> model;
    for (int i = 0; i < 100; ++i) {
      timers.push_back(std::make_unique<RecordingTimer>());
      timers.back()->fired_at = &fired;
      timers.back()->now = &now;
      timers.back()->id = i;
    }
    for (int step = 0; step < 2000; ++step) {
      const int which = static_cast<int>(random() % timers.size());
      switch (random() % 4) {
        case 0:
        case 1: {
          const Duration ahead = std::chrono::nanoseconds(random() % (uint64_t{1} << (random() % 46)));  // up to 19 h
          wheel.arm(*timers[which], now + ahead);
          model[which] = now + ahead;
          break;
        }
        case 2:
          wheel.disarm(*timers[which]);
          model.erase(which);
          break;
        case 3: {
          now += std::chrono::nanoseconds(random() % (uint64_t{1} << (random() % 44)));
          fired.clear();
          wheel.advance(now);
          for (auto [id, at] : fired) {
            ASSERT_TRUE(model.contains(id));
            ASSERT_LE(model[id], now) << "fired early";
            model.erase(id);
          }
          for (auto [id, at] : model) ASSERT_GT(at, now - 2ms) << "seed " << seed << " timer " << id << " is late";
          break;
        }
      }
      ASSERT_EQ(wheel.size(), model.size());
      if (model.empty()) {
        ASSERT_FALSE(wheel.next());
      } else {
        SteadyTime earliest = SteadyTime::max();
        for (auto [id, at] : model) earliest = std::min(earliest, at);
        ASSERT_LE(*wheel.next(), std::max(earliest, now) + 2ms);
      }
    }
    for (auto& timer : timers) wheel.disarm(*timer);
  }
}

}  // namespace
}  // namespace polis::io
