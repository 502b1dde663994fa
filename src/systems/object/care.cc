#include "systems/object/care.h"

#include <algorithm>
#include <charconv>

#include "kernel/base/time_format.h"
#include "kernel/io/shard.h"
#include "kernel/obs/log.h"
#include "systems/object/rows.h"

namespace polis::object {
namespace {

// Small extents are mostly padding whatever they hold, and moving them gives nothing back.
constexpr uint64_t kDeadBytesMin = 1 << 20;
// Compaction that gave nothing back (what it found is too young, or cannot be read) is tried less and less often.
constexpr Duration kCompactionWaitMax = std::chrono::hours(1);
// A look without a reason: puts whose owner never committed show only when extents are marked, and many tiny extents
// are merged.
constexpr Duration kCompactionAnyway = std::chrono::hours(24);

constexpr uint64_t kSliceBytes = 4 << 20;                     // some 5 ms of CPU, twice a second
constexpr Duration kSaveInterval = std::chrono::minutes(5);   // one sync each
constexpr Duration kLookInterval = std::chrono::minutes(10);  // between looks whether a scrub is due
constexpr Duration kRetryInterval = std::chrono::hours(1);

}  // namespace

std::string encode(const ScrubState& state) {
  return "1 " + std::to_string(state.running ? 1 : 0) + " " +
         std::to_string(std::max<int64_t>(0, base::milliseconds_since_epoch(state.began_at))) + " " +
         std::to_string(state.position.extent) + " " + std::to_string(state.position.offset);
}

std::optional<ScrubState> decode_scrub_state(std::string_view text) {
  uint64_t numbers[5];  // format, running, began_ms, extent, offset
  const char* at = text.data();
  const char* const end = at + text.size();
  for (size_t i = 0; i < std::size(numbers); ++i) {
    if (i > 0 && (at == end || *at++ != ' ')) return std::nullopt;
    auto [next, error] = std::from_chars(at, end, numbers[i]);
    if (error != std::errc()) return std::nullopt;
    at = next;
  }
  constexpr uint64_t kBeganMsMax = 9'000'000'000'000;  // the year 2255: WallTime counts nanoseconds in 63 bits
  if (at != end || numbers[0] != 1 || numbers[1] > 1 || numbers[2] > kBeganMsMax) return std::nullopt;
  return ScrubState{.running = numbers[1] == 1,
                    .began_at = WallTime() + std::chrono::milliseconds(numbers[2]),
                    .position = {.extent = numbers[3], .offset = numbers[4]}};
}

bool worth_compacting(const blob::PoolPicture& picture) {
  return std::ranges::any_of(picture.extents, [&](const blob::ExtentStatus& extent) {
    const uint64_t payload =
        extent.file_bytes * (extent.scheme.data_units ? extent.scheme.data_units : picture.data_units);
    return !extent.growing && extent.live_bytes * 2 < payload && payload - extent.live_bytes >= kDeadBytesMin;
  });
}

uint64_t scrub_bytes_per_second(const CareOptions& options, uint64_t stored_bytes) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.scrub_interval).count() * 3 / 4;
  return std::max(options.scrub_bytes_per_second, stored_bytes / static_cast<uint64_t>(std::max<int64_t>(seconds, 1)));
}

// What lay on a drive that is gone may have been rebuilt on others: only drives that hold something count.
bool Care::repaired(const blob::PoolPicture& picture) const {
  uint32_t away = picture.stale;
  for (const blob::DriveStatus& drive : blob_.drives())
    away |= uint32_t{drive.state != blob::DriveState::kOnline} << drive.index;
  return std::ranges::none_of(picture.extents,
                              [&](const blob::ExtentStatus& extent) { return (extent.drives & away) != 0; });
}

Task<void> Care::compact() {
  Duration wait = options_.compaction_interval;
  SteadyTime last = clock_.steady();
  bool again = false;  // what was moved in the round before can be deleted now
  while (co_await io::sleep_for(wait)) {
    const bool anyway = clock_.steady() - last >= kCompactionAnyway;
    const blob::PoolPicture picture = blob_.picture();
    if (!repaired(picture)) continue;
    const bool worth = worth_compacting(picture);
    if (!worth && !again && !(anyway && !picture.extents.empty())) {
      wait = options_.compaction_interval;
      continue;
    }
    again = worth || anyway;
    last = clock_.steady();
    auto freed = co_await blob_.compact({});
    if (!freed && freed.error().code() == Code::kCancelled) co_return;
    if (!freed) obs::log_warning("compaction stopped; it is tried again", {{"error", freed.error()}});
    if (freed && *freed > 0) obs::log_info("compaction gave space back", {{"size_bytes", *freed}});
    wait = freed && *freed > 0 ? options_.compaction_interval
                               : std::max(options_.compaction_interval, std::min(wait * 2, kCompactionWaitMax));
  }
}

Task<void> Care::scrub() {
  for (;;) {
    Duration wait = kRetryInterval;
    if (auto state = co_await load()) {
      const WallTime now = clock_.wall();
      // A clock that was set back must not put the next scrub off for years.
      const bool due = state->began_at + options_.scrub_interval <= now || state->began_at > now;
      if ((state->running || due) && !co_await scrub_once(*state)) co_return;
      wait = kLookInterval;
    } else if (state.error().code() == Code::kCancelled) {
      co_return;
    } else {
      obs::log_warning("when the last scrub was cannot be read", {{"error", state.error()}});
    }
    if (!co_await io::sleep_for(wait)) co_return;
  }
}

// Begins a scrub or goes on with it, to its end. False when the scope stops.
Task<bool> Care::scrub_once(ScrubState state) {
  if (!state.running) state = {.running = true, .began_at = clock_.wall(), .position = {}};
  blob::RepairReport sum;
  SteadyTime saved = clock_.steady();
  for (;;) {
    auto slice = co_await blob_.scrub_slice(state.position, kSliceBytes);
    if (!slice) {
      if (slice.error().code() == Code::kCancelled) co_return false;
      obs::log_warning("the scrub pauses for an hour", {{"error", slice.error()}});
      if (!co_await io::sleep_for(kRetryInterval)) co_return false;
      continue;
    }
    sum.rows_checked += slice->report.rows_checked;
    sum.rows_lost += slice->report.rows_lost;
    sum.bytes_read += slice->report.bytes_read;
    state.position = slice->next;
    if (slice->finished) break;
    if (clock_.steady() - saved >= kSaveInterval) {
      saved = clock_.steady();
      // Not saved: a restart would read some of it once more.
      (void)co_await save(state);
    }
    const double rate = static_cast<double>(scrub_bytes_per_second(options_, blob_.statistics().stored_bytes));
    const auto rest = Duration(static_cast<int64_t>(static_cast<double>(slice->report.bytes_read) / rate * 1e9));
    if (!co_await io::sleep_for(std::max<Duration>(rest, std::chrono::milliseconds(10)))) co_return false;
  }
  state.running = false;
  state.position = {};
  if (auto written = co_await save(state); !written) {
    if (written.error().code() == Code::kCancelled) co_return false;
    obs::log_warning("the end of the scrub could not be noted", {{"error", written.error()}});
  }
  if (sum.rows_lost > 0)
    obs::log_error("the scrub found rows that cannot be rebuilt",
                   {{"rows", sum.rows_lost}, {"rows_checked", sum.rows_checked}});
  else if (sum.rows_checked > 0)
    obs::log_info("scrub finished", {{"rows_checked", sum.rows_checked}, {"size_bytes", sum.bytes_read}});
  co_return true;
}

Task<Result<ScrubState>> Care::load() {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  auto row = CO_TRY(co_await txn->get(keyspace_, scrub_key()));
  if (!row) co_return ScrubState{};
  // What a later polis wrote and this one does not understand: scrubbing once too often does no harm.
  co_return decode_scrub_state(row->value).value_or(ScrubState{});
}

Task<Result<void>> Care::save(ScrubState state) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  CO_TRY(txn->put(keyspace_, scrub_key(), encode(state)));
  CO_TRY(co_await txn->commit());
  co_return Result<void>();
}

}  // namespace polis::object
