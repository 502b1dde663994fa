#include "kernel/base/ids.h"

#include <algorithm>

namespace polis::base {
namespace {

constexpr int kTimeShift = 22;
constexpr uint64_t kBelowTime = (uint64_t{1} << kTimeShift) - 1;
constexpr uint64_t kTimeMask = (uint64_t{1} << 41) - 1;

// A look at the wall clock costs as much as one at the steady clock; ten a second are plenty to follow it.
constexpr Duration kSlewInterval = std::chrono::milliseconds(100);
constexpr int64_t kSlewDivisor = 2000;  // 500 ppm

// A millisecond of spinning reads a real clock at most some 50,000 times; a clock that stands still for this many reads
// is a simulated one, and then the next millisecond is opened early instead of waiting for ever.
constexpr int kSpinReadsMax = 1'000'000;

int64_t to_ms(Duration since_epoch) {
  return std::chrono::floor<std::chrono::milliseconds>(since_epoch).count();
}

uint64_t time_bits(WallTime time) {
  int64_t ms = std::clamp(to_ms(time.time_since_epoch()), kIdEpochMs, kIdTimeMsMax);
  return static_cast<uint64_t>(ms - kIdEpochMs) << kTimeShift;
}

}  // namespace

IdParts decode_id(uint64_t id) {
  return {static_cast<int64_t>(id >> kTimeShift & kTimeMask) + kIdEpochMs,
          static_cast<uint32_t>(id >> 12 & kIdWorkerMax), static_cast<uint32_t>(id & kIdSequenceMax)};
}

uint64_t min_id_at(WallTime time) {
  return time_bits(time);
}
uint64_t max_id_at(WallTime time) {
  return time_bits(time) | kBelowTime;
}

IdGenerator::IdGenerator(const Clock& clock, Options options)
    : clock_(clock),
      worker_(options.worker),
      ahead_ms_max_(options.ahead_ms_max),
      last_ms_(std::max(options.not_before_ms, kIdEpochMs) - 1),
      anchor_steady_(clock.steady()),
      anchor_time_(clock.wall().time_since_epoch()) {
  POLIS_ASSERT(worker_ <= kIdWorkerMax);
  POLIS_ASSERT(ahead_ms_max_ >= 0);
  // A mark from the last run lies ahead of the wall clock by seconds, or by more if the clock went back: start there.
  anchor_time_ = std::max(anchor_time_, Duration(std::chrono::milliseconds(last_ms_ + 1)));
}

int64_t IdGenerator::now_ms() {
  SteadyTime steady = clock_.steady();
  Duration elapsed = steady - anchor_steady_;
  if (elapsed < kSlewInterval) return to_ms(anchor_time_ + elapsed);
  anchor_time_ += elapsed;
  anchor_steady_ = steady;
  wall_offset_ = clock_.wall().time_since_epoch() - anchor_time_;
  Duration slew_max = elapsed / kSlewDivisor;
  anchor_time_ += std::clamp(wall_offset_, -slew_max, slew_max);
  return to_ms(anchor_time_);
}

bool IdGenerator::make_room(int64_t now) {
  int64_t time = last_ms_;
  if (now > last_ms_) {
    time = now;
  } else if (next_sequence_ > kIdSequenceMax) {
    if (last_ms_ - now >= ahead_ms_max_) return false;
    time = last_ms_ + 1;
  }
  if (time > std::min(allowed_until_ms_, kIdTimeMsMax)) return false;
  if (time != last_ms_) next_sequence_ = 0;
  last_ms_ = time;
  return true;
}

std::optional<uint64_t> IdGenerator::try_next() {
  if (!make_room(now_ms())) return std::nullopt;
  return compose(last_ms_, next_sequence_++);
}

size_t IdGenerator::try_next_n(std::span<uint64_t> out) {
  int64_t now = now_ms();
  size_t made = 0;
  while (made < out.size() && make_room(now)) out[made++] = compose(last_ms_, next_sequence_++);
  return made;
}

Result<uint64_t> IdGenerator::next() {
  for (int read = 0; read < kSpinReadsMax; ++read) {
    int64_t now = now_ms();
    if (make_room(now)) return compose(last_ms_, next_sequence_++);
    int64_t wanted = std::max(now, last_ms_ + 1);
    if (wanted > kIdTimeMsMax) return fail(Code::kOutOfRange, "the id layout ends in September 2089");
    if (wanted > allowed_until_ms_)
      return fail(Code::kBusy,
                  "ids wait for the high-water mark of worker " + std::to_string(worker_) + " to be renewed");
  }
  POLIS_ASSERT(make_room(last_ms_ + 1));
  return compose(last_ms_, next_sequence_++);
}

}  // namespace polis::base
