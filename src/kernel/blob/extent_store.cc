#include "kernel/blob/extent_store.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace polis::blob {
namespace {

// How much may be written between two looks at the free space of the drives.
constexpr uint64_t kSpaceCheckBytes = 64 << 20;
// A directory that was moved or deleted still takes writes through open files: puts look for it so often. Six small
// reads.
constexpr Duration kCheckInterval = std::chrono::seconds(1);

std::pair<unsigned, unsigned> key_of(Scheme scheme) {
  return {scheme.data_units, scheme.parity_units};
}

}  // namespace

Task<Result<void>> ExtentStore::load() {
  for (unsigned drive = 0; drive < drives_.size(); ++drive) {
    if (drives_.state(drive) != DriveState::kOnline) continue;
    if (auto adopted = co_await adopt(drive); !adopted) drives_.take_out(drive, DriveState::kMissing, false);
  }
  co_return {};
}

void ExtentStore::learn(unsigned drive, const ExtentFile& file, uint64_t size_bytes) {
  auto known = placements_.find(file.extent);
  Placement placement = known ? *known : Placement(file.scheme);
  if (placement.scheme != file.scheme) return;  // no extent has two: not a file that polis made
  if (!known && drives_.in_order(file.scheme)) {
    for (unsigned unit = 0; unit < placement.units(); ++unit) placement.drives[unit] = static_cast<uint8_t>(unit);
  }
  ExtentState& state = extents_[file.extent];
  state.file_bytes = std::max(state.file_bytes, size_bytes);
  uint8_t& at = placement.drives[file.unit];
  uint16_t& generation = placement.generations[file.unit];
  const ExtentState::Spare this_one{file.unit, static_cast<uint8_t>(drive), file.generation};
  std::erase(state.spares, this_one);
  if (at == Placement::kNowhere || (at == drive && generation <= file.generation)) {
    if (at == drive && generation < file.generation) state.spares.push_back({file.unit, at, generation});
    at = static_cast<uint8_t>(drive);
    generation = file.generation;
  } else {
    // Two files of one unit: it moved while this drive was away, or a move was cut short of its last step. The later
    // one counts, unless it is out of reach.
    const bool reachable = drives_.writable() >> at & 1;
    if (file.generation > generation || !reachable) {
      state.spares.push_back({file.unit, at, generation});
      at = static_cast<uint8_t>(drive);
      generation = file.generation;
    } else {
      state.spares.push_back(this_one);
    }
  }
  placements_.set(file.extent, placement);
}

void ExtentStore::moved(uint64_t extent, unsigned unit, unsigned drive, uint16_t generation) {
  Placement placement = *placements_.find(extent);
  if (placement.drives[unit] != Placement::kNowhere) {
    extents_.at(extent).spares.push_back(
        {static_cast<uint8_t>(unit), placement.drives[unit], placement.generations[unit]});
  }
  placement.drives[unit] = static_cast<uint8_t>(drive);
  placement.generations[unit] = generation;
  placements_.set(extent, placement);
}

Result<void> ExtentStore::enough(Scheme scheme, UnitMask alive) const {
  const int out = static_cast<int>(scheme.units()) - std::popcount(alive);
  if (out <= static_cast<int>(tolerated(scheme))) return {};
  return fail(Code::kUnavailable,
              std::to_string(drives_.size() - static_cast<unsigned>(std::popcount(drives_.writable()))) + " of " +
                  std::to_string(drives_.size()) +
                  " drives are down: new bytes would not be safe; bring drives back or replace them");
}

uint64_t ExtentStore::file_bytes_max(Scheme scheme) const {
  return std::max<uint64_t>(options_.extent_payload_bytes / scheme.data_units, kUnitBytesMax);
}

bool ExtentStore::roomy(unsigned drive, uint64_t bytes) const {
  return drives_.room_bytes(drive) >= options_.space_reserve_bytes + since_space_check_bytes_ + bytes;
}

// Where a new extent lies. Where too few drives take writes, units are given to drives that are out: they lack what is
// written now and are completed by a repair.
Result<Placement> ExtentStore::place(Scheme scheme, uint64_t bytes) const {
  Placement placement(scheme);
  const DriveMask writable = drives_.writable();
  const auto no_space = [&] {
    return fail(Code::kNoSpace, "too few drives of the pool have room for " + std::to_string(bytes) + " more bytes");
  };
  if (drives_.in_order(scheme)) {
    for (unsigned unit = 0; unit < scheme.units(); ++unit) {
      placement.drives[unit] = static_cast<uint8_t>(unit);
      if ((writable >> unit & 1) && !roomy(unit, bytes)) return no_space();
    }
    return placement;
  }
  DriveMask candidates = 0;
  for (unsigned drive = 0; drive < drives_.size(); ++drive)
    candidates |= DriveMask{(writable >> drive & 1) && roomy(drive, bytes)} << drive;
  std::vector<unsigned> chosen = drives_.choose(candidates, scheme.units(), 0);
  const auto missing = static_cast<unsigned>(scheme.units() - chosen.size());
  if (missing > 0) {
    const DriveMask out = drives_.all() & ~writable;
    if (missing > tolerated(scheme) || missing > static_cast<unsigned>(std::popcount(out))) return no_space();
    for (unsigned drive : drives_.choose(out, missing, candidates)) chosen.push_back(drive);
  }
  std::ranges::sort(chosen);
  for (unsigned unit = 0; unit < scheme.units(); ++unit) placement.drives[unit] = static_cast<uint8_t>(chosen[unit]);
  return placement;
}

Task<Result<Reservation>> ExtentStore::reserve(Scheme scheme, uint64_t bytes) {
  // So many drives that take writes are enough for all but the last units.
  const auto check_drives = [&]() -> Result<void> {
    const auto up = std::min(static_cast<unsigned>(std::popcount(drives_.writable())), scheme.units());
    return enough(scheme, (UnitMask{1} << up) - 1);
  };
  CO_TRY(check_drives());
  const SteadyTime now = io::Shard::current().clock().steady();
  bool looked = since_space_check_bytes_ + bytes > kSpaceCheckBytes || now - last_check_ >= kCheckInterval;
  if (looked) CO_TRY(co_await look_at_drives());
  CO_TRY(check_drives());
  OpenExtent* current = nullptr;
  while (true) {
    auto found = current_.find(key_of(scheme));
    current = found == current_.end() ? nullptr : found->second;
    // A change of the drives starts a new extent, so that every row of one extent lies on the same drives.
    if (current && (current->sealed || current->drives_then != drives_.writable() || current->alive != current->made ||
                    current->end >= file_bytes_max(scheme))) {
      seal(extents_.at(current->id));
      current = nullptr;
    }
    if (current) {
      const DriveMask on = current->placement.drives_of(current->alive);
      bool fits = true;
      for (unsigned drive = 0; drive < drives_.size(); ++drive) fits &= !(on >> drive & 1) || roomy(drive, bytes);
      if (fits) break;
    }
    if (auto elsewhere = place(scheme, bytes); !elsewhere) {
      if (std::exchange(looked, true)) co_return fail(std::move(elsewhere).error());
      CO_TRY(co_await look_at_drives());  // space may have been freed
      CO_TRY(check_drives());
      continue;
    }
    if (current) seal(extents_.at(current->id));
    CO_TRY(co_await opening_.acquire());
    if (current_.contains(key_of(scheme))) {  // somebody else was first
      opening_.release();
      continue;
    }
    auto opened = co_await open_new(scheme, bytes);
    opening_.release();
    if (!opened) co_return fail(std::move(opened).error());
  }
  Reservation reservation{current, current->end, bytes};
  current->end += bytes;
  ++current->writers;
  since_space_check_bytes_ += bytes;
  co_return reservation;
}

// Which drives are there, and what room they have.
Task<Result<void>> ExtentStore::look_at_drives() {
  since_space_check_bytes_ = 0;
  last_check_ = io::Shard::current().clock().steady();
  co_await drives_.check_presence();
  co_await drives_.refresh_space();
  co_return {};
}

bool ExtentStore::extend(Reservation& reservation, uint64_t bytes) {
  OpenExtent& extent = *reservation.extent;
  if (extent.sealed || extent.end != reservation.offset + reservation.bytes) return false;
  if (extent.end + bytes > file_bytes_max(extent.placement.scheme)) return false;
  extent.end += bytes;
  reservation.bytes += bytes;
  since_space_check_bytes_ += bytes;
  return true;
}

Task<void> ExtentStore::create_file(OpenExtent* extent, unsigned unit, Result<void>* outcome) {
  auto file = co_await disk_.open(drives_.unit_path(extent->id, extent->placement, unit), io::OpenMode::kCreateNew);
  if (!file) {
    *outcome = fail(std::move(file).error());
    co_return;
  }
  const Scheme scheme = extent->placement.scheme;
  const Bytes superblock = encode_superblock({.pool = drives_.pool(),
                                              .extent = extent->id,
                                              .unit = static_cast<uint8_t>(unit),
                                              .data_units = scheme.data_units,
                                              .parity_units = scheme.parity_units});
  *outcome = co_await (*file)->write_at(0, superblock);
  if (*outcome) *outcome = co_await disk_.sync_directory(drives_.path(extent->placement.drives[unit]));
  extent->files[unit] = std::move(*file);
}

Task<Result<OpenExtent*>> ExtentStore::open_new(Scheme scheme, uint64_t bytes) {
  if (!drives_.in_order(scheme)) CO_TRY(co_await drives_.leave_order());
  const uint64_t id = CO_TRY(co_await drives_.new_extent_id(extents_.empty() ? 0 : extents_.rbegin()->first));
  const DriveMask drives = drives_.writable();
  const auto placed = CO_TRY(place(scheme, bytes));
  auto extent = std::make_unique<OpenExtent>();
  extent->id = id;
  extent->nonce = extent_nonce(drives_.pool(), id);
  extent->placement = placed;
  if (!drives_.in_order(scheme)) {  // parity on other drives in every extent: all take part in reading
    auto& order = extent->placement.drives;
    std::rotate(order.begin(), order.begin() + static_cast<ptrdiff_t>(id % scheme.units()),
                order.begin() + scheme.units());
  }
  extent->files.resize(scheme.units());
  const UnitMask wanted = extent->placement.units_on(drives);
  extent->alive = extent->dirty = wanted;

  std::vector<Result<void>> outcomes(scheme.units());
  io::TaskGroup group;
  for (unsigned unit = 0; unit < scheme.units(); ++unit) {
    if (extent->alive >> unit & 1) group.spawn(create_file(extent.get(), unit, &outcomes[unit]));
  }
  co_await group.join();
  Result<void> verdict;
  for (unsigned unit = 0; unit < scheme.units(); ++unit) {
    if (auto judged = judge(*extent, unit, std::move(outcomes[unit])); !judged) verdict = std::move(judged);
  }
  if (verdict) verdict = enough(scheme, extent->alive);
  if (!verdict) {
    for (unsigned unit = 0; unit < scheme.units(); ++unit) {
      // Best effort: a file left behind holds no row and goes with the next compaction.
      if (extent->files[unit]) (void)co_await disk_.remove(drives_.unit_path(id, extent->placement, unit));
    }
    co_return fail(std::move(verdict).error());
  }
  extent->made = extent->alive;
  extent->drives_then = drives & ~extent->placement.drives_of(wanted & ~extent->alive);
  placements_.set(id, extent->placement);
  ExtentState& state = extents_[id];
  state.marked = true;  // everything in it is put by this process
  state.mark_again_at = io::Shard::current().clock().steady() + options_.mark_interval;
  state.open = std::move(extent);
  current_[key_of(scheme)] = state.open.get();
  co_return state.open.get();
}

Result<void> ExtentStore::judge(OpenExtent& extent, unsigned unit, Result<void> outcome) {
  if (outcome) return {};
  if (outcome.error().code() == Code::kNoSpace) return outcome;
  extent.alive &= ~(UnitMask{1} << unit);
  const unsigned drive = extent.placement.drives[unit];
  if (drives_.writable() >> drive & 1) drives_.take_out(drive, DriveState::kFailed, true);
  return {};
}

Task<void> ExtentStore::write_unit(OpenExtent* extent, unsigned unit, const std::vector<UnitRun>* runs,
                                   Result<void>* outcome) {
  for (const UnitRun& run : *runs) {
    *outcome = co_await extent->files[unit]->write_at(run.offset, run.parts);
    if (!*outcome) co_return;
    drives_.add_used(extent->placement.drives[unit], run.end - run.offset);
  }
}

Task<Result<void>> ExtentStore::write(OpenExtent& extent, const RowWrites& writes) {
  const unsigned units = extent.placement.units();
  std::vector<Result<void>> outcomes(units);
  io::TaskGroup group;  // no parent: the buffers belong to the caller, so what began must end
  for (unsigned unit = 0; unit < units; ++unit) {
    if (!(extent.alive >> unit & 1) || writes.units[unit].empty()) continue;
    group.spawn(write_unit(&extent, unit, &writes.units[unit], &outcomes[unit]));
  }
  co_await group.join();
  Result<void> verdict;
  for (unsigned unit = 0; unit < units; ++unit) {
    if (!writes.units[unit].empty()) extent.dirty |= UnitMask{1} << unit;
    if (auto judged = judge(extent, unit, std::move(outcomes[unit])); !judged) verdict = std::move(judged);
  }
  if (!verdict) {
    since_space_check_bytes_ = UINT64_MAX / 2;  // full sooner than reckoned: look again before the next
    co_return verdict;
  }
  co_return enough(extent.placement.scheme, extent.alive);
}

Task<void> ExtentStore::sync_unit(OpenExtent* extent, unsigned unit, Result<void>* outcome) {
  *outcome = co_await extent->files[unit]->sync();
}

Task<void> ExtentStore::sync_round(OpenExtent& extent) {
  extent.syncing = true;
  const UnitMask files = extent.dirty & extent.alive;
  extent.dirty = 0;
  const unsigned units = extent.placement.units();
  std::vector<Result<void>> outcomes(units);
  io::TaskGroup group;
  for (unsigned unit = 0; unit < units; ++unit) {
    if (files >> unit & 1) {
      group.spawn(sync_unit(&extent, unit, &outcomes[unit]));
      ++syncs_;
    }
  }
  co_await group.join();
  for (unsigned unit = 0; unit < units; ++unit) {
    if (outcomes[unit]) continue;
    // Whatever the reason, even a full disk: what was handed to this file since its last sync may be gone, so it counts
    // no more.
    extent.alive &= ~(UnitMask{1} << unit);
    const unsigned drive = extent.placement.drives[unit];
    if (outcomes[unit].error().code() == Code::kNoSpace) {
      extent.full = true;
    } else if (drives_.writable() >> drive & 1) {
      drives_.take_out(drive, DriveState::kFailed, true);
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
  CO_TRY(enough(extent.placement.scheme, extent.alive));
  if (const UnitMask lacking = extent.placement.all() & ~extent.alive)
    CO_TRY(co_await drives_.mark_stale(extent.placement.drives_of(lacking)));
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
  if (auto found = current_.find(key_of(state.open->placement.scheme));
      found != current_.end() && found->second == state.open.get()) {
    current_.erase(found);
  }
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
    if (state.open) state.open->alive &= ~state.open->placement.units_on(DriveMask{1} << drive);
  }
}

void ExtentStore::erased(uint64_t extent, uint64_t payload_bytes) {
  auto found = extents_.find(extent);
  if (found == extents_.end()) return;
  found->second.live_bytes -= std::min(found->second.live_bytes, payload_bytes);
}

Task<Result<void>> ExtentStore::remove(uint64_t extent) {
  co_await remove_spares(extent, true);
  const auto placement = placements_.find(extent);
  extents_.erase(extent);
  removed_.insert(extent);
  for (unsigned unit = 0; placement && unit < placement->units(); ++unit) {
    const unsigned drive = placement->drives[unit];
    if (drive == Placement::kNowhere || !(drives_.writable() >> drive & 1)) continue;
    auto removed = co_await disk_.remove(drives_.unit_path(extent, *placement, unit));
    // A drive that was away when the extent was made does not have it; one that fails keeps a stranger, removed when it
    // is back.
    if (!removed && removed.error().code() != Code::kNotFound) co_await drives_.check_presence();
  }
  placements_.erase(extent);
  co_return {};
}

Task<void> ExtentStore::remove_spares(uint64_t extent, bool all) {
  auto found = extents_.find(extent);
  const auto placement = placements_.find(extent);
  if (found == extents_.end() || !placement) co_return;
  const auto spares = found->second.spares;
  for (const ExtentState::Spare& spare : spares) {
    if (!(drives_.writable() >> spare.drive & 1)) continue;
    if (!all && !(placement->units_on(drives_.readable()) >> spare.unit & 1)) continue;
    Placement old = *placement;
    old.drives[spare.unit] = spare.drive;
    old.generations[spare.unit] = spare.generation;
    auto removed = co_await disk_.remove(drives_.unit_path(extent, old, spare.unit));
    if (!removed && removed.error().code() != Code::kNotFound) continue;
    if (found = extents_.find(extent); found != extents_.end()) std::erase(found->second.spares, spare);
  }
}

Task<Result<void>> ExtentStore::adopt(unsigned drive) {
  auto entries = CO_TRY(co_await disk_.list(drives_.path(drive)));
  uint64_t used = 0;
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.name.ends_with(kPartSuffix) &&
        parse_extent_file_name(entry.name.substr(0, entry.name.size() - kPartSuffix.size()))) {
      (void)co_await disk_.remove(drives_.path(drive) + "/" + entry.name);  // a move that was cut short
      continue;
    }
    const auto file = drives_.parse(drive, entry.name);
    if (!file) continue;
    if (removed_.contains(file->extent)) {
      CO_TRY(co_await disk_.remove(drives_.path(drive) + "/" + entry.name));
      continue;
    }
    learn(drive, *file, entry.size_bytes);
    used += entry.size_bytes;
  }
  drives_.set_used(drive, used);
  co_return {};
}

}  // namespace polis::blob
