// What keeps bytes whole and space in use: healing of single rows, scrub, repair of drives, compaction. All on the home
// shard; one long operation at a time, each yielding at every row.
#include <algorithm>
#include <bit>
#include <set>

#include "kernel/blob/extent_blob.h"
#include "kernel/io/shard.h"

namespace polis::blob {
namespace {

constexpr size_t kIdsPerQuestion = 1024;
constexpr size_t kMovesAtOnce = 32;
// Extents of a process that wrote little are merged when there are more of them than this.
constexpr size_t kTinyExtentsMax = 8;
constexpr Duration kProgressInterval = std::chrono::milliseconds(100);

// Holds the only permit of a semaphore.
struct Permit {
  explicit Permit(io::Semaphore& s) : semaphore(s) {}
  Permit(const Permit&) = delete;
  ~Permit() { semaphore.release(); }
  io::Semaphore& semaphore;
};

// Runs at the end of a scope.
template <class F>
struct Finally {
  explicit Finally(F given) : at_end(std::move(given)) {}
  Finally(const Finally&) = delete;
  ~Finally() { at_end(); }
  F at_end;
};

// Calls the caller's Progress at most ten times a second.
class Reporter {
 public:
  Reporter(Progress* progress, uint64_t total) : progress_(progress), total_(std::max<uint64_t>(total, 1)) {}
  // False: the caller wants to stop.
  bool at(uint64_t done) {
    const SteadyTime now = io::Shard::current().clock().steady();
    if (!*progress_ || (called_ && now - last_ < kProgressInterval)) return true;
    called_ = true;
    last_ = now;
    return (*progress_)(std::min(done, total_), total_);
  }
  void finished() {
    if (*progress_) (void)(*progress_)(total_, total_);
  }

 private:
  Progress* progress_;
  uint64_t total_;
  SteadyTime last_{};
  bool called_ = false;
};

uint64_t end_of(const ExtentState& state) {
  return state.open ? std::max(state.open->end, state.file_bytes) : state.file_bytes;
}

}  // namespace

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

// --- compaction

// A blob (segment) found in an extent.
struct ExtentBlob::Survivor {
  Location location;
  uint64_t announced = 0;  // kSpread: what its rows say it should hold, 0: unknown
  uint64_t written_ms = 0;
  bool whole = true;  // false: rows at its beginning are missing
};

// Finds what the owner still wants of the extent and counts it. `young`: something unreferenced is too new to be swept.
Task<Result<void>> ExtentBlob::mark(uint64_t extent, std::vector<Survivor>& survivors, bool& young) {
  const auto placement = placements_.find(extent);
  if (!placement) co_return fail(Code::kUnavailable, "extent " + extent_file_name(extent) + " is not known any more");
  const unsigned k = placement->scheme.data_units;
  std::vector<Survivor> all;
  const uint64_t failures = reader().failures();
  uint64_t end = end_of(extents_->extents().at(extent));
  uint64_t offset = kSuperblockBytes;
  while (auto header = CO_TRY(co_await next_row(extent, offset, end))) {
    if (header->kind == RowKind::kPacked) {
      for (const PackedEntry& entry : header->entries) {
        all.push_back({.location = {.kind = RowKind::kPacked,
                                    .extent = extent,
                                    .offset = header->shape.offset,
                                    .length = entry.length,
                                    .unit = entry.unit,
                                    .header_bytes = header->shape.header_bytes,
                                    .unit_bytes = header->shape.unit_bytes,
                                    .inner = entry.inner},
                       .written_ms = header->written_ms});
      }
      co_await io::yield();
      continue;
    }
    const uint64_t before = uint64_t{header->ordinal} * kFullRowStride;
    const bool continues = header->ordinal > 0 && !all.empty() && all.back().location.kind == RowKind::kSpread &&
                           all.back().location.offset + before == header->shape.offset &&
                           all.back().location.length == header->ordinal * row_bytes(k);
    if (continues) {
      all.back().location.length += header->payload_bytes;
      all.back().written_ms = std::max(all.back().written_ms, header->written_ms);
    } else {
      all.push_back(
          {.location = {.kind = RowKind::kSpread,
                        .extent = extent,
                        .offset = header->shape.offset - std::min(before, header->shape.offset - kSuperblockBytes),
                        .length =
                            before ? header->ordinal * row_bytes(k) + header->payload_bytes : header->payload_bytes},
           .announced = header->segment_bytes,
           .written_ms = header->written_ms,
           .whole = header->ordinal == 0});
    }
    co_await io::yield();
  }

  if (reader().failures() != failures || !complete(extent)) {  // a drive may have gone meanwhile
    co_return fail(Code::kUnavailable,
                   "extent " + extent_file_name(extent) +
                       " cannot be read completely: what is not seen must not be taken for deleted");
  }

  // A blob whose rows are not all there is asked for under its announced length, too.
  std::vector<BlobId> ids;
  std::vector<std::pair<size_t, bool>> asked;  // index in all, under the announced length?
  for (size_t i = 0; i < all.size(); ++i) {
    const Survivor& blob = all[i];
    ids.push_back(encode_location(blob.location));
    asked.emplace_back(i, false);
    if (blob.announced && blob.announced != blob.location.length) {
      Location announced = blob.location;
      announced.length = blob.announced;
      ids.push_back(encode_location(announced));
      asked.emplace_back(i, true);
    }
  }
  std::vector<bool> referenced(all.size());
  bool damaged = false;
  for (size_t at = 0; at < ids.size(); at += kIdsPerQuestion) {
    const size_t count = std::min(kIdsPerQuestion, ids.size() - at);
    auto answer = CO_TRY(co_await owner_->referenced(
        {ids.begin() + static_cast<ptrdiff_t>(at), ids.begin() + static_cast<ptrdiff_t>(at + count)}));
    if (answer.size() != count)
      co_return fail(Code::kInvalid, "the owner of the blobs answered for another number of ids");
    for (size_t i = 0; i < count; ++i) {
      const auto [index, under_announced] = asked[at + i];
      if (!answer[i]) continue;
      if (under_announced || !all[index].whole)
        damaged = true;
      else
        referenced[index] = true;
    }
  }
  const uint64_t now_ms = wall_ms();
  const uint64_t sweep_ms =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(options_.sweep_after).count());
  // A put may take longer than the sweep waits; its owner's time to commit begins when it ends.
  auto marked = extents_->extents().find(extent);
  const uint64_t released_ms = marked == extents_->extents().end() ? 0 : marked->second.released_ms;
  uint64_t live = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (referenced[i]) {
      live += all[i].location.length;
      survivors.push_back(all[i]);
    } else if (all[i].written_ms + sweep_ms > now_ms || released_ms + sweep_ms > now_ms) {
      young = true;
      live += all[i].location.length;
    } else if (!all[i].whole && !all[i].announced) {
      damaged = true;  // the middle of a blob of unknown size: it cannot be told whether somebody refers to it
    }
  }
  auto found = extents_->extents().find(extent);
  if (found == extents_->extents().end()) co_return {};
  ExtentState& state = found->second;
  live_bytes_ += live - state.live_bytes;
  state.live_bytes = live;
  state.marked = true;
  // Counted as live for now, what is young may be swept soon.
  state.mark_again_at = home_.clock().steady() +
                        (young ? std::min(options_.sweep_after, options_.mark_interval) : options_.mark_interval);
  state.damaged = damaged;
  co_return {};
}

namespace {

class MemorySink final : public ByteSink {
 public:
  explicit MemorySink(MutableBytes into) : into_(into) {}
  Task<Result<void>> write(BytesView bytes) override {
    if (bytes.size() > into_.size() - at_) co_return fail(Code::kTooLarge, "more bytes than asked for");
    std::ranges::copy(bytes, into_.begin() + static_cast<ptrdiff_t>(at_));
    at_ += bytes.size();
    co_return {};
  }

 private:
  MutableBytes into_;
  size_t at_ = 0;
};

// Reads a stored blob as a source, for the copy of a compaction.
class StoredSource final : public ByteSource {
 public:
  StoredSource(Blob& blob, Receipt receipt) : blob_(blob), receipt_(std::move(receipt)) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    const uint64_t size = std::min<uint64_t>(into.size(), receipt_.size_bytes - at_);
    if (size == 0) co_return size_t{0};
    MemorySink sink(into);
    CO_TRY(co_await blob_.get(receipt_, {at_, size}, sink));
    at_ += size;
    co_return static_cast<size_t>(size);
  }

 private:
  Blob& blob_;
  Receipt receipt_;
  uint64_t at_ = 0;
};

}  // namespace

Task<void> ExtentBlob::move_one(Survivor survivor, Result<void>* outcome) {
  const Receipt from{join_segments({&survivor.location, 1}), survivor.location.length};
  StoredSource source(*this, from);
  const auto placement = placements_.find(survivor.location.extent);
  auto copy = co_await put(source, from.size_bytes, placement ? placement->scheme : scheme_);
  if (!copy) {
    *outcome = fail(std::move(copy).error());
    co_return;
  }
  // A segment fits into one segment again, whatever its size.
  const auto to = segments(*copy);
  POLIS_ASSERT(to.size() == 1);
  auto moved = co_await owner_->moved(encode_location(survivor.location), to[0]);
  if (moved) co_return;
  erase(*copy);
  const Code code = moved.error().code();
  if (code == Code::kConflict || code == Code::kNotFound) {
    // Whether the row let go of the segment or merely could not be changed decides if the extent may go: ask.
    auto still = co_await owner_->referenced({encode_location(survivor.location)});
    if (still && still->size() == 1 && !still->front()) co_return;
  }
  *outcome = std::move(moved);
}

Task<Result<void>> ExtentBlob::move_survivors(std::vector<Survivor> survivors) {
  for (size_t at = 0; at < survivors.size(); at += kMovesAtOnce) {
    const size_t count = std::min(kMovesAtOnce, survivors.size() - at);
    std::vector<Result<void>> outcomes(count);
    io::TaskGroup group;
    for (size_t i = 0; i < count; ++i) group.spawn(move_one(survivors[at + i], &outcomes[i]));
    co_await group.join();
    for (auto& outcome : outcomes) CO_TRY(std::move(outcome));
  }
  co_return {};
}

Task<Result<uint64_t>> ExtentBlob::delete_retired() {
  std::vector<uint64_t> ready;
  if (holds_all_ > 0) co_return uint64_t{0};
  const SteadyTime now = home_.clock().steady();
  for (auto& [id, state] : extents_->extents()) {
    // Of an extent that is not complete, files would be left on drives that are out.
    if (state.retired && now - state.retired_at >= options_.delete_grace && complete(id) &&
        gets_running_[id % gets_running_.size()] == 0)
      ready.push_back(id);
  }
  uint64_t freed = 0;
  for (uint64_t id : ready) {
    const uint64_t bytes = extents_->extents().at(id).file_bytes;
    const auto placement = placements_.find(id);
    CO_TRY(co_await extents_->remove(id));
    freed += bytes * (placement ? placement->units() : 0);
    co_await forget(id);
  }
  // What is used now is counted from the drives: removals may have failed on some.
  for (unsigned i = 0; !ready.empty() && i < drives_->size(); ++i) {
    if (drives_->writable() >> i & 1) CO_TRY(co_await extents_->adopt(i));
  }
  extents_count_ = extents_->extents().size();
  co_return freed;
}

// Whether every row of the extent can be seen: a small one may have its only headers on drives that are out, and what
// is not seen must not be taken for deleted.
bool ExtentBlob::complete(uint64_t extent) const {
  const auto placement = placements_.find(extent);
  if (!placement) return false;
  const DriveMask sound = drives_->readable() & ~drives_->stale();
  UnitMask nowhere = 0;
  for (unsigned unit = 0; unit < placement->units(); ++unit)
    nowhere |= UnitMask{placement->drives[unit] == Placement::kNowhere} << unit;
  if ((placement->units_on(sound) | nowhere) != placement->all()) return false;
  return nowhere == 0 || sound == drives_->all();  // with all drives there, what has no file has no rows
}

Task<Result<uint64_t>> ExtentBlob::compact_here(Progress* progress) {
  if (!owner_) co_return fail(Code::kInvalid, "compaction needs an owner that says what is still referred to");
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  uint64_t freed = CO_TRY(co_await delete_retired());
  const SteadyTime now = home_.clock().steady();
  auto payload = [&](uint64_t id, const ExtentState& state) {
    const auto placement = placements_.find(id);
    return end_of(state) * (placement ? placement->scheme.data_units : 0);
  };
  auto sparse = [&](uint64_t id, const ExtentState& state) { return state.live_bytes * 2 < payload(id, state); };
  auto tiny = [&](uint64_t id, const ExtentState& state) {
    return payload(id, state) < options_.extent_payload_bytes / 16;
  };

  std::vector<uint64_t> candidates;
  size_t tiny_count = 0, incomplete = 0;
  for (auto& [id, state] : extents_->extents()) tiny_count += tiny(id, state) && !state.open;
  for (auto& [id, state] : extents_->extents()) {
    if (state.retired || (state.open && state.open->writers > 0)) continue;
    if (!complete(id)) {
      ++incomplete;
      continue;
    }
    const bool old_mark = !state.open && now >= state.mark_again_at;
    if (!state.marked || old_mark || sparse(id, state) ||
        (tiny_count > kTinyExtentsMax && tiny(id, state) && !state.open))
      candidates.push_back(id);
  }
  if (candidates.empty() && incomplete > 0)
    co_return fail(Code::kUnavailable, "compaction needs every drive online and repaired");
  Reporter reporter(progress, candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint64_t id = candidates[i];
    auto found = extents_->extents().find(id);
    if (found == extents_->extents().end() || found->second.retired) continue;
    extents_->seal_one(id);
    if (found->second.open) continue;  // a put came in meanwhile
    std::vector<Survivor> survivors;
    bool young = false;
    CO_TRY(co_await mark(id, survivors, young));
    found = extents_->extents().find(id);
    if (found == extents_->extents().end()) continue;
    const bool worth = sparse(id, found->second) || (tiny_count > kTinyExtentsMax && tiny(id, found->second));
    if (worth && !young && !found->second.damaged) {
      auto moved = co_await move_survivors(std::move(survivors));
      found = extents_->extents().find(id);
      if (!moved && moved.error().code() == Code::kCorrupt) {
        found->second.damaged = true;  // keeps what can still be read in part
      } else if (!moved) {
        co_return fail(std::move(moved).error());
      } else {
        live_bytes_ -= std::min<uint64_t>(live_bytes_, found->second.live_bytes);
        found->second.live_bytes = 0;
        found->second.retired = true;
        found->second.retired_at = home_.clock().steady();
      }
    }
    if (!reporter.at(i + 1)) co_return freed;
  }
  freed += CO_TRY(co_await delete_retired());
  reporter.finished();
  co_return freed;
}

}  // namespace polis::blob
