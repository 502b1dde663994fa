// What keeps bytes whole: healing of single rows, scrub, repair of drives, drives that join. All on the home shard; one
// long operation at a time, each yielding at every row. Compaction: extent_blob_compaction.cc.
#include <algorithm>
#include <bit>
#include <set>

#include "kernel/blob/long_work.h"

namespace polis::blob {

// --- healing

void ExtentBlob::note_damage(const Damage& damage) {
  if (!extents_->extents().contains(damage.extent)) return;
  if (repair_queue_.size() < kRepairQueueMax) {
    auto& [row, units] = repair_queue_[{damage.extent, damage.row.offset}];
    row = damage.row;
    units |= damage.units;
    repair_queue_size_ = repair_queue_.size();
  }
  if (options_.heal && !healing_ && !closing_) {
    healing_ = true;
    background_.spawn(heal());
  }
}

Task<void> ExtentBlob::heal() {
  // Damage may be a drive that vanished; that is no work for single rows.
  co_await drives_->check_presence();
  while (!repair_queue_.empty() && !closing_) {
    if (!co_await care_.acquire()) break;
    Permit permit(care_);
    if (repair_queue_.empty()) break;
    const auto [key, damage] = *repair_queue_.begin();
    repair_queue_.erase(repair_queue_.begin());
    repair_queue_size_ = repair_queue_.size();
    // What cannot be healed now is found again by the next read or scrub.
    (void)co_await heal_row(key.first, damage.first, damage.second);
    co_await io::yield();
  }
  healing_ = false;
}

// Answers the units rebuilt.
Task<Result<uint64_t>> ExtentBlob::heal_row(uint64_t extent, RowShape row, UnitMask units) {
  if (!extents_->extents().contains(extent)) co_return uint64_t{0};
  RowWindow window = whole_rows(extent, {row});
  co_await reader().probe(window);
  units &= window.state[0].damaged & window.placement.units_on(drives_->writable());
  if (!units || !window.state[0].header) co_return uint64_t{0};
  CO_TRY(reader().rebuild(window, 0, units));
  std::vector<std::unique_ptr<io::File>> files(window.placement.units());
  const uint64_t written = CO_TRY(co_await write_units(window, 0, units, window.placement, files));
  for (auto& file : files) {
    if (file) CO_TRY(co_await file->sync());
  }
  co_return written;
}

// Opens the file of a unit, makes it if it is not there. A file under its own name is known to the directory when this
// returns.
Task<Result<std::unique_ptr<io::File>>> ExtentBlob::open_for_repair(uint64_t extent, const Placement& placement,
                                                                    unsigned unit, std::string_view suffix) {
  auto file =
      CO_TRY(co_await disk_.open(drives_->unit_path(extent, placement, unit).append(suffix), io::OpenMode::kCreate));
  const Bytes superblock = encode_superblock({.pool = drives_->pool(),
                                              .extent = extent,
                                              .unit = static_cast<uint8_t>(unit),
                                              .data_units = placement.scheme.data_units,
                                              .parity_units = placement.scheme.parity_units});
  Bytes present(kSuperblockBytes);
  auto got = co_await file->read_at(0, present);
  if (!got || *got != kSuperblockBytes || present != superblock) {
    CO_TRY(co_await file->write_at(0, superblock));
    if (suffix.empty()) CO_TRY(co_await disk_.sync_directory(drives_->path(placement.drives[unit])));
  }
  co_return std::move(file);
}

// Writes sound units of a window's row to the files that they have by `where`, header and all. `files` (by unit) are
// opened as needed and not synced here.
Task<Result<uint64_t>> ExtentBlob::write_units(RowWindow& window, size_t row, UnitMask units, const Placement& where,
                                               std::vector<std::unique_ptr<io::File>>& files) {
  RowHeader header = *window.state[row].header;
  uint64_t written = 0;
  for (unsigned unit = 0; unit < where.units(); ++unit) {
    if (!(units >> unit & 1)) continue;
    POLIS_ASSERT(window.state[row].sound >> unit & 1);
    if (!files[unit]) files[unit] = CO_TRY(co_await open_for_repair(window.extent, where, unit, {}));
    const BytesView bytes = window.data(row, unit);
    header.unit = static_cast<uint8_t>(unit);
    header.block_crcs = block_crcs(bytes);
    Bytes head(header.shape.header_bytes);
    encode_row_header(header, head);
    const BytesView parts[] = {head, bytes};
    if (auto wrote = co_await files[unit]->write_at(header.shape.offset, parts); !wrote)
      co_return fail(out_of_repair(where.drives[unit], std::move(wrote)).error());
    drives_->add_used(where.drives[unit], head.size() + bytes.size());
    ++written;
    ++repaired_units_;
  }
  co_return written;
}

// The row at `offset` or, where none is, the next one; `offset` moves behind it. Empty at the end.
Task<Result<std::optional<RowHeader>>> ExtentBlob::next_row(uint64_t extent, uint64_t& offset, uint64_t end) {
  if (offset >= end) co_return std::nullopt;
  auto header = CO_TRY(co_await reader().header_at(extent, offset));
  if (!header) {
    // A gap: room that a put gave up, what a crash left, or damage in every file.
    auto found = CO_TRY(co_await reader().find_row(extent, offset + 1, end));
    if (!found) co_return std::nullopt;
    header = CO_TRY(co_await reader().header_at(extent, *found));
    if (!header) co_return std::nullopt;
  }
  offset = header->shape.end();
  co_return header;
}

// --- scrub

// What stands in front of the rows is the same for good: where it is damaged it is written anew.
Task<void> ExtentBlob::check_superblocks(uint64_t extent) {
  const auto placement = placements_.find(extent);
  if (!placement) co_return;
  const UnitMask units = placement->units_on(drives_->readable());
  for (unsigned unit = 0; unit < placement->units(); ++unit) {
    if (!(units >> unit & 1)) continue;
    auto file = co_await disk_.open(drives_->unit_path(extent, *placement, unit), io::OpenMode::kReadWrite);
    if (!file) continue;  // its rows are found missing
    Bytes present(kSuperblockBytes);
    auto got = co_await (*file)->read_at(0, present);
    if (!got) {
      drives_->count_read_error(placement->drives[unit]);
      continue;
    }
    const Bytes superblock = encode_superblock({.pool = drives_->pool(),
                                                .extent = extent,
                                                .unit = static_cast<uint8_t>(unit),
                                                .data_units = placement->scheme.data_units,
                                                .parity_units = placement->scheme.parity_units});
    if (*got == kSuperblockBytes && present == superblock) continue;
    ++scrub_errors_;
    drives_->count_corrupt_blocks(placement->drives[unit], 1);
    auto written = co_await (*file)->write_at(0, superblock);
    if (written) written = co_await (*file)->sync();
    if (written) ++repaired_units_;
  }
}

Task<void> ExtentBlob::scrub_row(uint64_t extent, RowHeader header, RepairReport* report) {
  RowWindow window = whole_rows(extent, {header.shape});
  co_await reader().probe(window);
  const auto& row = window.state[0];
  const uint64_t bytes =
      uint64_t{header.shape.header_bytes + header.shape.unit_bytes} *
      static_cast<unsigned>(std::popcount(header.written & window.placement.units_on(drives_->readable())));
  ++report->rows_checked;
  report->bytes_read += bytes;
  scrubbed_bytes_ += bytes;
  if (row.damaged) {
    scrub_errors_ += static_cast<unsigned>(std::popcount(row.damaged));
    const UnitMask left = row.sound | (window.placement.all() & ~header.written);
    if (std::popcount(left) < static_cast<int>(window.placement.scheme.data_units)) ++report->rows_lost;
    note_damage({extent, header.shape, row.damaged});
  }
}

// Holds the permit for one slice only: drives come back and rows are healed while a scrub of days is under way.
Task<Result<ScrubSlice>> ExtentBlob::scrub_slice_here(ScrubPosition from, uint64_t bytes_max) {
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  if (from.extent == 0 && from.offset == 0) {
    co_await drives_->check_presence();
    extents_->seal_all();  // what grows for months would never be read
  }
  ScrubSlice slice{.next = from};
  auto found = extents_->extents().lower_bound(from.extent);
  while (found != extents_->extents().end() && (found->second.open || found->second.retired)) ++found;
  if (found == extents_->extents().end()) {
    slice.finished = true;
    co_return slice;
  }
  const uint64_t id = found->first, end = end_of(found->second);
  uint64_t offset = id == from.extent ? std::max<uint64_t>(from.offset, kSuperblockBytes) : kSuperblockBytes;
  if (offset == kSuperblockBytes) co_await check_superblocks(id);
  while (slice.report.bytes_read < bytes_max) {
    auto header = CO_TRY(co_await next_row(id, offset, end));
    if (!header) {
      slice.next = {id + 1, 0};
      co_return slice;
    }
    co_await scrub_row(id, *header, &slice.report);
    co_await io::yield();
  }
  slice.next = {id, offset};
  co_return slice;
}

Task<Result<RepairReport>> ExtentBlob::scrub_here(Progress* progress) {
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  extents_->seal_all();
  std::vector<uint64_t> ids;
  uint64_t total = 0, done = 0;
  for (auto& [id, state] : extents_->extents()) {
    if (state.open) continue;  // a put still writes to it; the next scrub reads it
    ids.push_back(id);
    total += state.file_bytes;
  }
  Reporter reporter(progress, total);
  RepairReport report;
  const SteadyTime began = home_.clock().steady();
  for (uint64_t id : ids) {
    auto found = extents_->extents().find(id);
    if (found == extents_->extents().end()) continue;
    const uint64_t end = end_of(found->second);
    uint64_t offset = kSuperblockBytes;
    co_await check_superblocks(id);
    while (auto header = CO_TRY(co_await next_row(id, offset, end))) {
      co_await scrub_row(id, *header, &report);
      if (!reporter.at(done + offset)) co_return report;
      if (options_.scrub_bytes_per_second) {
        const Duration due(static_cast<int64_t>(static_cast<double>(report.bytes_read) /
                                                static_cast<double>(options_.scrub_bytes_per_second) * 1e9));
        const Duration ahead = due - (home_.clock().steady() - began);
        if (ahead > std::chrono::milliseconds(1)) CO_TRY(co_await io::sleep_for(ahead));
      }
      co_await io::yield();
    }
    done += end;
  }
  reporter.finished();
  co_return report;
}

// --- repair

Task<Result<RepairReport>> ExtentBlob::repair_here(Progress* progress) {
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  extents_->seal_all();
  RepairReport report;

  // Single rows first: their redundancy is known to be reduced.
  while (!repair_queue_.empty()) {
    const auto [key, damage] = *repair_queue_.begin();
    repair_queue_.erase(repair_queue_.begin());
    repair_queue_size_ = repair_queue_.size();
    ++report.rows_checked;
    auto healed = co_await heal_row(key.first, damage.first, damage.second);
    if (healed) {
      report.units_rebuilt += *healed;
      report.bytes_written += *healed * (damage.first.header_bytes + damage.first.unit_bytes);
    } else if (healed.error().code() == Code::kCorrupt) {
      ++report.rows_lost;
    } else {
      co_return fail(std::move(healed).error());
    }
    co_await io::yield();
  }

  co_await drives_->refresh_space();
  DriveMask targets = drives_->stale() & drives_->writable();
  for (unsigned i = 0; i < drives_->size(); ++i) targets |= DriveMask{drives_->state(i) == DriveState::kReplacing} << i;
  std::vector<uint64_t> ids;
  uint64_t total = 0, done = 0;
  bool skipped = false;
  for (auto& [id, state] : extents_->extents()) {
    if (!needs_repair(id, targets)) continue;
    // Extents with writers: those made with the target have it; others are left for the next repair.
    if (state.open) {
      skipped |= (state.open->placement.units_on(targets) & ~state.open->alive) != 0;
      continue;
    }
    ids.push_back(id);
    total += state.file_bytes;
  }
  Reporter reporter(progress, total);
  RepairPosition position{.drives = targets};
  if (targets || !ids.empty()) repair_position_ = &position;
  Finally forget_position([this] { repair_position_ = nullptr; });
  for (uint64_t id : ids) {
    CO_TRY(co_await repair_extent(id, targets, report));
    if (auto found = extents_->extents().find(id); found != extents_->extents().end()) done += found->second.file_bytes;
    if (!reporter.at(done)) co_return report;
  }
  if (targets && !skipped && (targets & ~drives_->writable()) == 0) {
    for (unsigned i = 0; i < drives_->size(); ++i) {
      if (targets >> i & 1) drives_->finish_replacing(i);
    }
    CO_TRY(co_await drives_->clear_stale(targets));
  }
  co_await drives_->refresh_space();
  reporter.finished();
  co_return report;
}

// A unit on its way to another drive: what is written has a name of its own until it is complete.
struct ExtentBlob::Moving {
  unsigned unit = 0, drive = 0;
  uint16_t generation = 0;
};

// Units that lie on no drive that takes writes.
UnitMask ExtentBlob::homeless(const Placement& placement) const {
  return placement.all() & ~placement.units_on(drives_->writable());
}

bool ExtentBlob::needs_repair(uint64_t extent, DriveMask targets) const {
  const auto placement = placements_.find(extent);
  if (!placement) return false;
  const auto& spares = extents_->extents().at(extent).spares;
  return placement->units_on(targets) || !plan_moves(extent, *placement).empty() ||
         std::ranges::any_of(spares, [&](const auto& spare) { return drives_->writable() >> spare.drive & 1; });
}

// Where the units of drives that are out could be rebuilt: on drives that are online, have room and hold no other unit.
std::vector<ExtentBlob::Moving> ExtentBlob::plan_moves(uint64_t extent, const Placement& placement) const {
  std::vector<Moving> moves;
  const UnitMask units = homeless(placement);
  // What too few drives hold is no extent in use, or waits for them to come back.
  if (!units || std::popcount(placement.units_on(drives_->readable())) < int{placement.scheme.data_units}) return moves;
  const ExtentState& state = extents_->extents().at(extent);
  const DriveMask taken = placement.drives_of(placement.all());
  const auto room = [&](unsigned drive) {
    return drives_->room_bytes(drive) >= options_.space_reserve_bytes + state.file_bytes;
  };
  DriveMask candidates = 0;
  for (unsigned i = 0; i < drives_->size(); ++i)
    candidates |= DriveMask{(drives_->readable() & ~taken) >> i & 1 && room(i)} << i;
  const auto chosen =
      drives_->choose(candidates, static_cast<unsigned>(std::popcount(units)), taken & drives_->writable());
  for (unsigned unit = 0; unit < placement.units() && moves.size() < chosen.size(); ++unit) {
    if (!(units >> unit & 1)) continue;
    uint16_t newest = placement.generations[unit];
    for (const auto& spare : state.spares)
      if (spare.unit == unit) newest = std::max(newest, spare.generation);
    if (newest == UINT16_MAX) continue;
    moves.push_back({.unit = unit, .drive = chosen[moves.size()], .generation = static_cast<uint16_t>(newest + 1)});
  }
  return moves;
}

Task<Result<void>> ExtentBlob::repair_extent(uint64_t extent, DriveMask targets, RepairReport& report) {
  auto found = extents_->extents().find(extent);
  const auto placement = placements_.find(extent);
  if (found == extents_->extents().end() || !placement) co_return {};
  const uint64_t end = end_of(found->second);
  const auto spares = found->second.spares;
  std::vector<Moving> moving = plan_moves(extent, *placement);
  Placement where = *placement;
  UnitMask moved = 0;
  for (const Moving& move : moving) {
    where.drives[move.unit] = static_cast<uint8_t>(move.drive);
    where.generations[move.unit] = move.generation;
    moved |= UnitMask{1} << move.unit;
  }
  if (repair_position_) repair_position_->drives = targets | where.drives_of(moved);
  std::vector<std::unique_ptr<io::File>> files(where.units());
  bool any_row = false, overlooked = false;
  uint64_t offset = kSuperblockBytes;
  while (true) {
    const uint64_t expected = offset, failures = reader().read_failures();
    auto header = CO_TRY(co_await next_row(extent, offset, end));
    // A row whose header could not be read just now may stand where none was found.
    overlooked |= reader().read_failures() != failures && (!header || header->shape.offset != expected);
    if (!header) break;
    if (!any_row) {
      any_row = true;
      for (const Moving& move : moving)
        files[move.unit] = CO_TRY(co_await open_for_repair(extent, where, move.unit, kPartSuffix));
    }
    if (repair_position_) {
      repair_position_->extent = extent;
      repair_position_->offset = header->shape.offset;
    }
    CO_TRY(co_await repair_row(extent, *header, *placement, where, moved, targets, spares, files, report));
    co_await io::yield();
  }
  for (unsigned unit = 0; unit < where.units(); ++unit) {
    if (!files[unit]) continue;
    if (auto synced = co_await files[unit]->sync(); !synced) co_return out_of_repair(where.drives[unit], synced);
  }
  files.clear();
  if (overlooked && !(moving.empty() && spares.empty())) {
    co_return fail(Code::kUnavailable, "extent " + extent_file_name(extent) +
                                           " cannot be read completely: nothing is moved before that is known");
  }
  if (any_row) CO_TRY(co_await finish_moves(extent, moving));
  // A backup may be copying what it saw before the units moved.
  if (!spares.empty() && holds_all_ == 0) {
    co_await extents_->remove_spares(extent, false);
    co_await forget(extent);
  }
  co_return {};
}

// A drive on which a repair could not write is out of service, unless it is merely full.
Result<void> ExtentBlob::out_of_repair(unsigned drive, Result<void> outcome) {
  if (!outcome && outcome.error().code() != Code::kNoSpace && (drives_->writable() >> drive & 1))
    drives_->take_out(drive, DriveState::kFailed, true);
  return outcome;
}

// Makes one row whole: on the drives that are repaired, where it is damaged, and in the new files of units that move.
Task<Result<void>> ExtentBlob::repair_row(uint64_t extent, const RowHeader& header, const Placement& placement,
                                          const Placement& where, UnitMask moved, DriveMask targets,
                                          const std::vector<ExtentState::Spare>& spares,
                                          std::vector<std::unique_ptr<io::File>>& files, RepairReport& report) {
  RowWindow window = whole_rows(extent, {header.shape});
  co_await reader().probe(window);
  auto& row = window.state[0];
  const uint64_t unit_bytes = header.shape.header_bytes + header.shape.unit_bytes;
  ++report.rows_checked;
  report.bytes_read += unit_bytes * static_cast<unsigned>(std::popcount(row.verified));
  const UnitMask in_place = placement.units_on(targets);
  UnitMask lacking = header.written & ((in_place & ~row.verified) | row.damaged | moved);
  for (const auto& spare : spares) {
    // Too few units: perhaps a drive that came back still has one. It must be copied before the spare goes.
    const UnitMask left = row.sound | (placement.all() & ~header.written), bit = UnitMask{1} << spare.unit;
    if (std::popcount(left) >= static_cast<int>(placement.scheme.data_units)) break;
    if (!(drives_->readable() >> spare.drive & 1) || (left & bit)) continue;
    Placement old = placement;
    old.drives[spare.unit] = spare.drive;
    old.generations[spare.unit] = spare.generation;
    co_await reader().probe_file(window, spare.unit, drives_->unit_path(extent, old, spare.unit));
    lacking |= row.sound & bit & where.units_on(drives_->writable());
  }
  if (!lacking) co_return {};
  if (!row.header) {
    if (lacking & (in_place | moved)) ++report.rows_lost;
    co_return {};
  }
  if (auto rebuilt = reader().rebuild(window, 0, lacking); !rebuilt) {
    if (lacking & (in_place | moved)) ++report.rows_lost;  // what else is damaged a scrub counts
    lacking &= row.sound;                                  // what is left of it is kept
  }
  const uint64_t written = CO_TRY(co_await write_units(window, 0, lacking, where, files));
  report.units_rebuilt += written;
  report.bytes_written += written * unit_bytes;
  co_return {};
}

// Gives the files their names, one by one, and then counts on them. In this order a crash leaves the unit where it was,
// or twice.
Task<Result<void>> ExtentBlob::finish_moves(uint64_t extent, std::vector<Moving>& moving) {
  for (Moving& move : moving) {
    Placement where = *placements_.find(extent);
    where.drives[move.unit] = static_cast<uint8_t>(move.drive);
    where.generations[move.unit] = move.generation;
    const std::string path = drives_->unit_path(extent, where, move.unit);
    CO_TRY(co_await disk_.rename(path + std::string(kPartSuffix), path));
    CO_TRY(co_await disk_.sync_directory(drives_->path(move.drive)));
    if (!(drives_->readable() >> move.drive & 1)) continue;  // lost meanwhile; it is found when it comes back
    extents_->moved(extent, move.unit, move.drive, move.generation);
  }
  co_return {};
}

// --- drives

Task<Result<void>> ExtentBlob::set_drive_here(unsigned index, DriveState state) {
  if (index >= drives_->size()) {
    co_return fail(Code::kNotFound,
                   "no drive " + std::to_string(index) + ": the pool has " + std::to_string(drives_->size()));
  }
  if (state == DriveState::kMissing || state == DriveState::kFailed) {
    drives_->take_out(index, state, false);
    extents_->without_drive(index);
    co_return {};
  }
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  if (state == DriveState::kOnline) {
    CO_TRY(co_await drives_->bring_back(index));
    CO_TRY(co_await extents_->adopt(index));
  } else {
    if (drives_->state(index) == DriveState::kOnline) {
      co_return fail(Code::kConflict, drives_->path(index) + " is online: take it out before it is replaced");
    }
    CO_TRY(co_await drives_->replace(index));
  }
  extents_count_ = extents_->extents().size();
  co_return {};
}

Task<Result<unsigned>> ExtentBlob::add_drive_here(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!path.starts_with('/') || path.size() < 2 || path.find('\n') != std::string::npos)
    co_return fail(Code::kInvalid, "a drive is named by the absolute path of its directory");
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_return co_await drives_->add(path, [this, path] { return write_added_drives(path); });
}

// Open files would keep the space of those that were removed.
Task<void> ExtentBlob::forget(uint64_t extent) {
  for (size_t i = 0; i < kShardsMax; ++i) {
    if (!readers_[i].load()) continue;
    co_await io::on(*reader_shards_[i], [this, i, extent]() -> Task<void> {
      if (RowReader* there = readers_[i].load()) there->forget(extent);
      co_return;
    });
  }
}

}  // namespace polis::blob
