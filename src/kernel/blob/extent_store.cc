#include "kernel/blob/extent_store.h"

#include <algorithm>
#include <bit>

namespace polis::blob {
namespace {

// How much may be written between two looks at the free space of the drives.
constexpr uint64_t kSpaceCheckBytes = 64 << 20;
// A directory that was moved or deleted still takes writes through open files: puts look for it so often. Six small
// reads.
constexpr Duration kCheckInterval = std::chrono::seconds(1);

}  // namespace

Task<Result<void>> ExtentStore::load() {
  for (unsigned drive = 0; drive < drives_.size(); ++drive) {
    if (drives_.state(drive) != DriveState::kOnline) continue;
    auto entries = co_await disk_.list(drives_.path(drive));
    if (!entries) {
      drives_.take_out(drive, DriveState::kMissing, false);
      continue;
    }
    uint64_t used = 0;
    for (const io::DirectoryEntry& entry : *entries) {
      if (auto id = parse_extent_file_name(entry.name)) {
        ExtentState& state = extents_[*id];
        state.file_bytes = std::max(state.file_bytes, entry.size_bytes);
        used += entry.size_bytes;
      }
    }
    drives_.set_used(drive, used);
  }
  co_return {};
}

Result<void> ExtentStore::enough(UnitMask alive) const {
  const int out = std::popcount(erasure_.all() & ~alive);
  if (out <= static_cast<int>(tolerated())) return {};
  return fail(Code::kUnavailable,
              std::to_string(out) + " of " + std::to_string(erasure_.units()) +
                  " drives are down: new bytes would not be safe; bring drives back or replace them");
}

Task<Result<Reservation>> ExtentStore::reserve(uint64_t bytes) {
  CO_TRY(enough(drives_.writable()));
  const SteadyTime now = io::Shard::current().clock().steady();
  if (since_space_check_bytes_ + bytes > kSpaceCheckBytes || now - last_check_ >= kCheckInterval) {
    since_space_check_bytes_ = 0;
    last_check_ = now;
    co_await drives_.check_presence();
    co_await drives_.refresh_space();
    CO_TRY(enough(drives_.writable()));
  }
  if (drives_.available_bytes_min() < options_.space_reserve_bytes + since_space_check_bytes_ + bytes) {
    since_space_check_bytes_ = UINT64_MAX / 2;  // look again next time: space may have been freed
    co_return fail(Code::kNoSpace,
                   "the fullest drive of the pool has no room for " + std::to_string(bytes) + " more bytes");
  }
  while (true) {
    // A change of the drives starts a new extent, so that every row of one extent lies on the same drives.
    if (current_ && (current_->sealed || current_drives_ != drives_.writable() || current_->alive != current_drives_ ||
                     current_->end >= options_.extent_file_bytes)) {
      seal(extents_.at(current_->id));
    }
    if (current_) break;
    CO_TRY(co_await opening_.acquire());
    if (current_) {  // somebody else was first
      opening_.release();
      continue;
    }
    auto opened = co_await open_new();
    opening_.release();
    if (!opened) co_return fail(std::move(opened).error());
  }
  Reservation reservation{current_, current_->end, bytes};
  current_->end += bytes;
  ++current_->writers;
  since_space_check_bytes_ += bytes;
  co_return reservation;
}

bool ExtentStore::extend(Reservation& reservation, uint64_t bytes) {
  OpenExtent& extent = *reservation.extent;
  if (extent.sealed || extent.end != reservation.offset + reservation.bytes) return false;
  if (extent.end + bytes > options_.extent_file_bytes) return false;
  extent.end += bytes;
  reservation.bytes += bytes;
  since_space_check_bytes_ += bytes;
  return true;
}

Task<void> ExtentStore::create_file(OpenExtent* extent, unsigned unit, Result<void>* outcome) {
  auto file = co_await disk_.open(drives_.extent_path(unit, extent->id), io::OpenMode::kCreateNew);
  if (!file) {
    *outcome = fail(std::move(file).error());
    co_return;
  }
  const Bytes superblock = encode_superblock({.pool = drives_.pool(),
                                              .extent = extent->id,
                                              .unit = static_cast<uint8_t>(unit),
                                              .data_units = static_cast<uint8_t>(erasure_.data_units()),
                                              .parity_units = static_cast<uint8_t>(erasure_.parity_units())});
  *outcome = co_await (*file)->write_at(0, superblock);
  if (*outcome) *outcome = co_await disk_.sync_directory(drives_.path(unit));
  extent->files[unit] = std::move(*file);
}

Task<Result<OpenExtent*>> ExtentStore::open_new() {
  const UnitMask drives = drives_.writable();
  const uint64_t id = CO_TRY(co_await drives_.new_extent_id(extents_.empty() ? 0 : extents_.rbegin()->first));
  auto extent = std::make_unique<OpenExtent>();
  extent->id = id;
  extent->nonce = extent_nonce(drives_.pool(), id);
  extent->files.resize(erasure_.units());
  extent->alive = drives;
  extent->dirty = drives;

  std::vector<Result<void>> outcomes(erasure_.units());
  io::TaskGroup group;
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (drives >> unit & 1) group.spawn(create_file(extent.get(), unit, &outcomes[unit]));
  }
  co_await group.join();
  Result<void> verdict;
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (auto judged = judge(*extent, unit, std::move(outcomes[unit])); !judged) verdict = std::move(judged);
  }
  if (verdict) verdict = enough(extent->alive);
  if (!verdict) {
    for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
      // Best effort: a file left behind holds no row and goes with the next compaction.
      if (extent->files[unit]) (void)co_await disk_.remove(drives_.extent_path(unit, id));
    }
    co_return fail(std::move(verdict).error());
  }
  ExtentState& state = extents_[id];
  state.marked = true;  // everything in it is put by this process
  state.mark_again_at = io::Shard::current().clock().steady() + options_.mark_interval;
  state.open = std::move(extent);
  current_ = state.open.get();
  current_drives_ = current_->alive;
  co_return current_;
}

Result<void> ExtentStore::judge(OpenExtent& extent, unsigned unit, Result<void> outcome) {
  if (outcome) return {};
  if (outcome.error().code() == Code::kNoSpace) return outcome;
  extent.alive &= ~(UnitMask{1} << unit);
  if (drives_.writable() >> unit & 1) drives_.take_out(unit, DriveState::kFailed, true);
  return {};
}

Task<void> ExtentStore::write_unit(OpenExtent* extent, unsigned unit, const std::vector<UnitRun>* runs,
                                   Result<void>* outcome) {
  for (const UnitRun& run : *runs) {
    *outcome = co_await extent->files[unit]->write_at(run.offset, run.parts);
    if (!*outcome) co_return;
    drives_.add_used(unit, run.end - run.offset);
  }
}

Task<Result<void>> ExtentStore::write(OpenExtent& extent, const RowWrites& writes) {
  std::vector<Result<void>> outcomes(erasure_.units());
  io::TaskGroup group;  // no parent: the buffers belong to the caller, so what began must end
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (!(extent.alive >> unit & 1) || writes.units[unit].empty()) continue;
    group.spawn(write_unit(&extent, unit, &writes.units[unit], &outcomes[unit]));
  }
  co_await group.join();
  Result<void> verdict;
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (!writes.units[unit].empty()) extent.dirty |= UnitMask{1} << unit;
    if (auto judged = judge(extent, unit, std::move(outcomes[unit])); !judged) verdict = std::move(judged);
  }
  if (!verdict) {
    since_space_check_bytes_ = UINT64_MAX / 2;  // full sooner than reckoned: look again before the next
    co_return verdict;
  }
  co_return enough(extent.alive);
}

Task<void> ExtentStore::sync_unit(OpenExtent* extent, unsigned unit, Result<void>* outcome) {
  *outcome = co_await extent->files[unit]->sync();
}

Task<void> ExtentStore::sync_round(OpenExtent& extent) {
  extent.syncing = true;
  const UnitMask files = extent.dirty & extent.alive;
  extent.dirty = 0;
  std::vector<Result<void>> outcomes(erasure_.units());
  io::TaskGroup group;
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (files >> unit & 1) {
      group.spawn(sync_unit(&extent, unit, &outcomes[unit]));
      ++syncs_;
    }
  }
  co_await group.join();
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (outcomes[unit]) continue;
    // Whatever the reason, even a full disk: what was handed to this file since its last sync may be gone, so it counts
    // no more.
    extent.alive &= ~(UnitMask{1} << unit);
    if (outcomes[unit].error().code() == Code::kNoSpace) {
      extent.full = true;
    } else if (drives_.writable() >> unit & 1) {
      drives_.take_out(unit, DriveState::kFailed, true);
    }
  }
  ++extent.rounds_finished;
  extent.syncing = false;
  extent.synced.set();
  extent.synced.reset();
}

Task<Result<void>> ExtentStore::commit(OpenExtent& extent) {
  // A running round may have passed our files already: the one after it is ours.
  const uint64_t round = extent.rounds_finished + (extent.syncing ? 2 : 1);
  while (extent.rounds_finished < round) {
    if (extent.syncing) {
      CO_TRY(co_await extent.synced.wait());
    } else {
      co_await sync_round(extent);
    }
  }
  if (extent.full) co_return fail(Code::kNoSpace, "a drive of the pool is full");
  CO_TRY(enough(extent.alive));
  if (const UnitMask lacking = erasure_.all() & ~extent.alive) CO_TRY(co_await drives_.mark_stale(lacking));
  co_return {};
}

void ExtentStore::release(const Reservation& reservation, uint64_t used_bytes, uint64_t payload_bytes) {
  OpenExtent& extent = *reservation.extent;
  ExtentState& state = extents_.at(extent.id);
  POLIS_ASSERT(extent.writers > 0 && used_bytes <= reservation.bytes);
  if (extent.end == reservation.offset + reservation.bytes) extent.end = reservation.offset + used_bytes;
  state.live_bytes += payload_bytes;
  state.file_bytes = std::max(state.file_bytes, reservation.offset + used_bytes);
  --extent.writers;
  close_if_quiet(state);
}

void ExtentStore::seal(ExtentState& state) {
  if (!state.open) return;
  state.open->sealed = true;
  if (current_ == state.open.get()) current_ = nullptr;
  close_if_quiet(state);
}

void ExtentStore::close_if_quiet(ExtentState& state) {
  if (state.open && state.open->sealed && state.open->writers == 0) state.open.reset();
}

void ExtentStore::seal_all() {
  for (auto& [id, state] : extents_) seal(state);
}

void ExtentStore::seal_one(uint64_t extent) {
  if (auto found = extents_.find(extent); found != extents_.end()) seal(found->second);
}

void ExtentStore::without_drive(unsigned drive) {
  for (auto& [id, state] : extents_) {
    if (state.open) state.open->alive &= ~(UnitMask{1} << drive);
  }
}

void ExtentStore::erased(uint64_t extent, uint64_t payload_bytes) {
  auto found = extents_.find(extent);
  if (found == extents_.end()) return;
  found->second.live_bytes -= std::min(found->second.live_bytes, payload_bytes);
}

Task<Result<void>> ExtentStore::remove(uint64_t extent) {
  extents_.erase(extent);
  removed_.insert(extent);
  for (unsigned drive = 0; drive < drives_.size(); ++drive) {
    if (!(drives_.writable() >> drive & 1)) continue;
    auto removed = co_await disk_.remove(drives_.extent_path(drive, extent));
    // A drive that was away when the extent was made does not have it; one that fails keeps a stranger, removed when it
    // is back.
    if (!removed && removed.error().code() != Code::kNotFound) co_await drives_.check_presence();
  }
  co_return {};
}

Task<Result<void>> ExtentStore::adopt(unsigned drive) {
  auto entries = CO_TRY(co_await disk_.list(drives_.path(drive)));
  uint64_t used = 0;
  for (const io::DirectoryEntry& entry : entries) {
    auto id = parse_extent_file_name(entry.name);
    if (!id) continue;
    if (removed_.contains(*id)) {
      CO_TRY(co_await disk_.remove(drives_.path(drive) + "/" + entry.name));
      continue;
    }
    ExtentState& state = extents_[*id];
    state.file_bytes = std::max(state.file_bytes, entry.size_bytes);
    used += entry.size_bytes;
  }
  drives_.set_used(drive, used);
  co_return {};
}

}  // namespace polis::blob
