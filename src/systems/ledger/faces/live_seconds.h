// What was committed in each of the last seconds: batches, transfers, and how long batches took to be durable. Lives on
// the ledger's shard, written once a batch.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "kernel/base/histogram.h"

namespace polis::ledger {

// A quarter of an hour; as JSON less than 64 KiB, a live topic holds 256.
inline constexpr int64_t kLiveSecondsMax = 900;

class LiveSeconds {
 public:
  // From `second` (since 1970) on.
  explicit LiveSeconds(int64_t second) : begin_(second), current_(second) {}

  // Seconds never run backwards here: a clock that steps back counts in the newest second.
  void record(int64_t second, uint64_t transfers, uint64_t latency_us);

  struct Second {
    int64_t second = 0;
    uint64_t batches = 0, transfers = 0;
    uint64_t latency_us_p50 = 0, latency_us_p99 = 0, latency_us_max = 0;
  };
  // Seconds before `second` in which something was committed, oldest first.
  const std::deque<Second>& ended(int64_t second);
  // {"begin":S,"end":S,"seconds":{"S":[transfers, batches, p50 us, p99 us, max us]}}: every second in [begin, end) that
  // is not named saw nothing.
  std::string to_json(int64_t second);

 private:
  void end(int64_t second);

  int64_t begin_;
  int64_t current_;
  uint64_t transfers_ = 0;
  base::Histogram latency_us_{60'000'000, 2};  // a minute; 30 KiB
  std::deque<Second> ended_;
};

}  // namespace polis::ledger
