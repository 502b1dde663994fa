// Globally unique, time-ordered 64-bit ids:
//
//   bit 63 = 0 | 41 bits milliseconds since 2020-01-01T00:00:00Z | 10 bits worker | 12 bits sequence
//
// One IdGenerator per shard, each with a worker number of its own; it lives on that shard and shares nothing. Within a
// worker ids rise strictly, whatever the wall clock does; across workers ids made further apart than the clocks' skew
// sort by time.
#pragma once

#include <optional>
#include <span>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"

namespace polis::base {

inline constexpr int64_t kIdEpochMs = 1'577'836'800'000;                      // 2020-01-01T00:00:00Z
inline constexpr int64_t kIdTimeMsMax = kIdEpochMs + (int64_t{1} << 41) - 1;  // 2089-09-06
inline constexpr uint32_t kIdWorkerMax = 1023;
inline constexpr uint32_t kIdSequenceMax = 4095;

struct IdParts {
  int64_t time_ms;  // since 1970
  uint32_t worker;
  uint32_t sequence;
  friend bool operator==(const IdParts&, const IdParts&) = default;
};

// Any 63-bit number decodes; bit 63 is ignored.
IdParts decode_id(uint64_t id);
// The least and greatest id of the millisecond of `time`, over all workers; times outside the layout's years clamp to
// its ends.
uint64_t min_id_at(WallTime time);
uint64_t max_id_at(WallTime time);

// Its time starts at the wall clock, advances by the monotonic clock and is slewed towards the wall clock by at most
// 500 ppm (the rate at which NTP itself slews), so a step of the wall clock never reaches an id.
//
// Across restarts the owner keeps a high-water mark: it persists a time some seconds ahead, calls allow_until(mark)
// after that is durable, renews it before it is reached, and passes mark + 1 as `not_before_ms` at the next start. Then
// a crash skips ids, but never repeats one, even if the wall clock went back meanwhile.
class IdGenerator {
 public:
  struct Options {
    uint32_t worker = 0;        // 0..kIdWorkerMax, unique among all generators alive
    int64_t not_before_ms = 0;  // since 1970
    int64_t ahead_ms_max = 0;   // how far ids may run ahead of time when a millisecond is used up
  };

  IdGenerator(const Clock& clock, Options options);
  IdGenerator(const IdGenerator&) = delete;
  IdGenerator& operator=(const IdGenerator&) = delete;

  // The next id, or nothing: the millisecond is used up (4,096 ids), the mark is reached, or 2089 has come. One clock
  // read; no wait.
  std::optional<uint64_t> try_next();
  // As try_next, but waits, spinning for at most a millisecond, for a used-up one to pass. kBusy: the mark must be
  // renewed first. kOutOfRange: the layout's years are over.
  Result<uint64_t> next();
  // Fills the front of `out` with as many ids as are free without waiting, one clock read for all; returns how many.
  size_t try_next_n(std::span<uint64_t> out);

  void allow_until(int64_t mark_ms) { allowed_until_ms_ = mark_ms; }
  // The time in the latest id, or not_before_ms - 1 before the first; the owner persists marks ahead of it.
  int64_t last_ms() const { return last_ms_; }
  // How far the wall clock was ahead of the generator's time at the last look (each 100 ms of use): large after a step.
  Duration wall_offset() const { return wall_offset_; }
  uint32_t worker() const { return worker_; }

 private:
  int64_t now_ms();
  // Moves (last_ms_, next_sequence_) to a free place; false if there is none at `now`.
  bool make_room(int64_t now);
  uint64_t compose(int64_t time_ms, uint32_t sequence) const {
    return static_cast<uint64_t>(time_ms - kIdEpochMs) << 22 | static_cast<uint64_t>(worker_) << 12 | sequence;
  }

  const Clock& clock_;
  uint32_t worker_;
  int64_t ahead_ms_max_;
  int64_t allowed_until_ms_ = kIdTimeMsMax;
  int64_t last_ms_;
  uint32_t next_sequence_ = kIdSequenceMax + 1;  // used up: the first id opens a new millisecond

  SteadyTime anchor_steady_;
  Duration anchor_time_;  // since 1970, at anchor_steady_
  Duration wall_offset_{};
};

}  // namespace polis::base
