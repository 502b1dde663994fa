// Care: what nobody asks for and must happen all the same. Compaction gives space back soon after it is worth it, and a
// slow scrub reads every byte once in two weeks, so that rot is found while parity can still mend it. The Blob knows
// how; when and how fast is decided here. Runs on the shard that opened the Blob.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/clock.h"
#include "kernel/blob/blob.h"
#include "kernel/store/store.h"

namespace polis::object {

struct CareOptions {
  // Between looks at how much of the extents is live: a walk over a table in memory, microseconds.
  Duration compaction_interval = std::chrono::minutes(5);
  Duration scrub_interval = std::chrono::hours(14 * 24);  // from the beginning of one to the beginning of the next
  // 9 TiB in 14 days at about 0.5 % of a core; a pool too large for that is read as fast as the interval asks.
  uint64_t scrub_bytes_per_second = uint64_t{8} << 20;
};

// Outlives a restart as a row, written every few minutes: a crash repeats so much of the scrub.
struct ScrubState {
  bool running = false;
  WallTime began_at{};  // of the one that runs, or of the last one; the epoch: never
  blob::ScrubPosition position;
};
std::string encode(const ScrubState& state);
std::optional<ScrubState> decode_scrub_state(std::string_view text);

// Some extent that takes no more rows is less than half live, and by enough to be worth the writing.
bool worth_compacting(const blob::PoolPicture& picture);
// At least what is configured; more for a pool that would not be through after three quarters of the interval.
uint64_t scrub_bytes_per_second(const CareOptions& options, uint64_t stored_bytes);

class Care {
 public:
  // All references outlive it.
  Care(store::Store& store, store::Keyspace keyspace, blob::Blob& blob, const Clock& clock, CareOptions options)
      : store_(store), keyspace_(keyspace), blob_(blob), clock_(clock), options_(options) {}

  // Each runs until its scope stops.
  Task<void> compact();
  Task<void> scrub();

 private:
  bool repaired(const blob::PoolPicture& picture) const;
  Task<bool> scrub_once(ScrubState state);
  Task<Result<ScrubState>> load();
  Task<Result<void>> save(ScrubState state);

  store::Store& store_;
  const store::Keyspace keyspace_;
  blob::Blob& blob_;
  const Clock& clock_;
  const CareOptions options_;
};

}  // namespace polis::object
