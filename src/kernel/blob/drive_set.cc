#include "kernel/blob/drive_set.h"

#include <algorithm>
#include <bit>
#include <sys/stat.h>
#include <tuple>

#include "kernel/base/endian.h"

namespace polis::blob {
namespace {

uint64_t device_of(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_dev) : 0;
}

// Of a directory whose drive file is damaged; one tells enough, more are for files that are damaged, too.
constexpr size_t kExtentsLookedAt = 64;

std::string text_of(Scheme scheme) {
  return std::to_string(scheme.data_units) + "+" + std::to_string(scheme.parity_units);
}

}  // namespace

Task<Result<DriveFile>> DriveSet::read_drive_file(unsigned index) {
  Bytes bytes = CO_TRY(co_await disk_.read_file(path(index) + "/" + kDriveFileName, kDriveFileBytes));
  DriveFile file = CO_TRY(decode_drive_file(bytes));
  if (const Scheme found{file.data_units, file.parity_units}; found != scheme_) {
    co_return fail(Code::kInvalid,
                   path(index) + " belongs to a pool of " + text_of(found) + ", configured is " + text_of(scheme_));
  }
  if (file.index != index) {
    co_return fail(Code::kInvalid, path(index) + " is drive " + std::to_string(file.index) +
                                       " of its pool, but is configured as drive " + std::to_string(index) +
                                       ": directories were swapped");
  }
  co_return file;
}

// True if the directory is absent or holds nothing of ours.
Task<Result<bool>> DriveSet::unused(const std::string& directory) {
  auto entries = co_await disk_.list(directory);
  if (!entries) {
    if (entries.error().code() == Code::kNotFound) co_return true;
    co_return fail(std::move(entries).error());
  }
  co_return std::ranges::none_of(*entries, [](const io::DirectoryEntry& entry) {
    return entry.name == kDriveFileName || parse_extent_file_name(entry.name);
  });
}

Task<bool> DriveSet::recognized(unsigned index, bool others_present) {
  auto entries = co_await disk_.list(path(index));
  if (!entries) co_return false;
  bool proven = false;
  size_t looked_at = 0;
  for (const io::DirectoryEntry& entry : *entries) {
    const auto file = parse(index, entry.name);
    if (!file) continue;
    if (++looked_at > kExtentsLookedAt) break;
    auto opened = co_await disk_.open(path(index) + "/" + entry.name, io::OpenMode::kRead);
    if (!opened) continue;
    Bytes bytes(kSuperblockBytes);
    auto got = co_await (*opened)->read_at(0, bytes);
    auto superblock = got && *got == bytes.size() ? decode_superblock(bytes) : fail(Code::kCorrupt, "cut off");
    if (!superblock) continue;
    if (superblock->pool != pool_ || superblock->unit != file->unit) co_return false;
    // Only a short name depends on the drive.
    proven |= parse_extent_file_name(entry.name)->scheme == Scheme{};
  }
  // Where every other drive is in its place, this one is the one that is left.
  co_return proven || others_present;
}

void DriveSet::append(std::string path) {
  const unsigned index = size_.load(std::memory_order_relaxed);
  POLIS_ASSERT(index < kDrivesMax);
  drives_[index] = std::make_unique<Drive>();
  drives_[index]->path = std::move(path);
  size_.store(index + 1, std::memory_order_release);
}

Task<Result<std::unique_ptr<DriveSet>>> DriveSet::open(io::Disk& disk, std::vector<std::string> paths, Scheme scheme,
                                                       Random& random) {
  if (paths.size() < scheme.units() || paths.size() > kDrivesMax) {
    co_return fail(Code::kInvalid, "a " + text_of(scheme) + " pool needs " + std::to_string(scheme.units()) + " to " +
                                       std::to_string(kDrivesMax) + " drive directories, " +
                                       std::to_string(paths.size()) + " are configured");
  }
  std::unique_ptr<DriveSet> set(new DriveSet(disk, scheme));
  for (std::string& path : paths) set->append(std::move(path));

  std::vector<std::optional<DriveFile>> files(set->size());
  DriveMask damaged = 0;
  bool any = false, all_unused = true;
  for (unsigned i = 0; i < set->size(); ++i) {
    auto file = co_await set->read_drive_file(i);
    if (file) {
      files[i] = *file;
      any = true;
      all_unused = false;
      continue;
    }
    if (file.error().code() == Code::kInvalid || file.error().code() == Code::kUnsupported)
      co_return fail(file.error());
    damaged |= DriveMask{file.error().code() == Code::kCorrupt} << i;
    auto unused = co_await set->unused(set->path(i));
    if (!unused || !*unused) all_unused = false;
  }
  if (!any && !all_unused) {
    co_return fail(Code::kUnavailable,
                   "no drive of the pool can be read, but their directories are in use: check that they are mounted");
  }

  if (!any) {
    std::byte seed[16];
    random.fill(seed);
    set->pool_ = {base::load_little<uint64_t>(seed), base::load_little<uint64_t>(seed + 8)};
    set->in_order_ = set->in_order(scheme);
    for (unsigned i = 0; i < set->size(); ++i) CO_TRY(co_await disk.make_directories(set->path(i)));
    CO_TRY(co_await set->persist());
    if (set->writable() != set->all())
      co_return fail(Code::kIo, "a new pool could not be written to all of its drives");
  } else {
    const DriveFile* newest = nullptr;
    for (const auto& file : files) {
      if (file && (!newest || file->epoch > newest->epoch)) newest = &*file;
    }
    set->pool_ = newest->pool;
    set->epoch_ = newest->epoch;
    set->extent_floor_ = newest->extent_floor;
    set->stale_ = set->durable_stale_ = newest->stale;
    unsigned known = scheme.units();
    for (unsigned i = 0; i < set->size(); ++i) {
      if (!files[i]) continue;
      if (files[i]->pool != set->pool_) co_return fail(Code::kInvalid, set->path(i) + " belongs to another pool");
      known = std::max<unsigned>(known, files[i]->drives);
      set->in_order_ &= files[i]->drives == 0;
    }
    if (set->size() < known) {
      co_return fail(Code::kInvalid, "the pool has " + std::to_string(known) + " drives, but only " +
                                         std::to_string(set->size()) +
                                         " directories are configured: name those that were added, too");
    }
    bool changed = false;
    for (unsigned i = 0; i < set->size(); ++i) {
      if (files[i]) continue;
      const auto present = std::ranges::count_if(files, [](const auto& file) { return file.has_value(); });
      if ((damaged >> i & 1) && i < known &&
          co_await set->recognized(i, present + 1 == static_cast<ptrdiff_t>(set->size()))) {
        set->stale_ |= DriveMask{1} << i;  // what it said of itself is lost
        changed = true;
        continue;
      }
      auto unused = co_await set->unused(set->path(i));
      const bool empty = unused && *unused;
      if (i >= known && !empty) {
        co_return fail(Code::kInvalid,
                       set->path(i) + " is not empty: only an empty directory can join the pool as a new drive");
      }
      // A pool without extents is one whose formatting was cut short: go on with it.
      const bool format =
          (i >= known || newest->extent_floor == 1) && empty && co_await disk.make_directories(set->path(i));
      set->drives_[i]->state = format ? DriveState::kOnline : DriveState::kMissing;
      changed |= format;
    }
    changed |= set->in_order_ && set->size() > scheme.units();
    if (set->size() > scheme.units()) set->in_order_ = false;
    set->next_extent_ = set->extent_floor_;
    if (changed) CO_TRY(co_await set->persist());
  }
  for (unsigned i = 0; i < set->size(); ++i) set->drives_[i]->device = device_of(set->path(i));
  co_await set->refresh_space();
  co_return std::move(set);
}

std::string DriveSet::unit_path(uint64_t extent, const Placement& placement, unsigned unit) const {
  const unsigned drive = placement.drives[unit];
  POLIS_ASSERT(drive < size());
  const uint16_t generation = placement.generations[unit];
  const bool plain = placement.scheme == scheme_ && drive == unit && generation == 0;
  return path(drive) + "/" +
         (plain ? extent_file_name(extent)
                : extent_file_name({extent, placement.scheme, static_cast<uint8_t>(unit), generation}));
}

std::optional<ExtentFile> DriveSet::parse(unsigned index, std::string_view name) const {
  auto file = parse_extent_file_name(name);
  if (!file || file->scheme != Scheme{}) return file;
  if (index >= scheme_.units()) return std::nullopt;  // a drive that came later has no unit of its own
  file->scheme = scheme_;
  file->unit = static_cast<uint8_t>(index);
  return file;
}

DriveMask DriveSet::readable() const {
  DriveMask mask = 0;
  for (unsigned i = 0; i < size(); ++i) mask |= DriveMask{state(i) == DriveState::kOnline} << i;
  return mask;
}

DriveMask DriveSet::writable() const {
  DriveMask mask = 0;
  for (unsigned i = 0; i < size(); ++i) {
    mask |= DriveMask{state(i) == DriveState::kOnline || state(i) == DriveState::kReplacing} << i;
  }
  return mask;
}

DriveStatus DriveSet::status(unsigned index) const {
  const Drive& drive = *drives_[index];
  return {.index = index,
          .path = drive.path,
          .state = drive.state,
          .used_bytes = drive.used,
          .available_bytes = drive.available,
          .read_errors = drive.read_errors,
          .write_errors = drive.write_errors,
          .corrupt_blocks = drive.corrupt_blocks,
          .device = drive.device};
}

DriveFile DriveSet::drive_file(unsigned index) const {
  return {.pool = pool_,
          .index = static_cast<uint8_t>(index),
          .data_units = scheme_.data_units,
          .parity_units = scheme_.parity_units,
          .epoch = epoch_,
          .extent_floor = extent_floor_,
          .stale = stale_,
          .drives = static_cast<uint8_t>(in_order_ ? 0 : size())};
}

Task<void> DriveSet::persist_one(unsigned index, Result<void>* outcome) {
  const Bytes bytes = encode_drive_file(drive_file(index));
  *outcome = co_await disk_.replace_file(path(index) + "/" + kDriveFileName, bytes);
}

Task<Result<void>> DriveSet::persist() {
  CO_TRY(co_await persisting_.acquire());
  ++epoch_;
  const unsigned count = size();
  const DriveMask stale = stale_, drives = writable();
  std::vector<Result<void>> outcomes(count);
  io::TaskGroup group;
  for (unsigned i = 0; i < count; ++i) {
    if (drives >> i & 1) group.spawn(persist_one(i, &outcomes[i]));
  }
  co_await group.join();
  persisting_.release();
  unsigned without = count - static_cast<unsigned>(std::popcount(drives));
  bool full = false;
  for (unsigned i = 0; i < count; ++i) {
    if (outcomes[i]) continue;
    ++without;
    if (outcomes[i].error().code() == Code::kNoSpace) {
      full = true;  // full is not broken
    } else if (writable() >> i & 1) {
      take_out(i, DriveState::kFailed, true);
    }
  }
  // Enough copies that any so many drives, which is what the next such change takes, include the newest.
  const unsigned minority = (count - 1) / 2;
  if (without > (count == scheme_.units() ? std::min<unsigned>(minority, scheme_.parity_units) : minority)) {
    co_return full ? fail(Code::kNoSpace, "the drives are too full to record the state of the pool")
                   : fail(Code::kUnavailable, "too few drives take writes to record the state of the pool");
  }
  durable_stale_ = stale;
  co_return {};
}

Task<Result<void>> DriveSet::mark_stale(DriveMask drives) {
  stale_ |= drives;
  if ((drives & ~durable_stale_) == 0) co_return {};
  co_return co_await persist();
}

Task<Result<void>> DriveSet::clear_stale(DriveMask drives) {
  if ((drives & stale_) == 0) co_return {};
  stale_ &= ~drives;
  durable_stale_ &= ~drives;  // who marks one of them meanwhile must write it down again
  co_return co_await persist();
}

void DriveSet::take_out(unsigned index, DriveState state, bool write_error) {
  Drive& drive = *drives_[index];
  if (write_error) ++drive.write_errors;
  drive.state = state;
  ++drive.generation;
}

Task<void> DriveSet::check_presence() {
  for (unsigned i = 0; i < size(); ++i) {
    if (!(writable() >> i & 1)) continue;
    auto file = co_await read_drive_file(i);
    if (file && file->pool == pool_) continue;
    if (!file && file.error().code() == Code::kCorrupt && co_await recognized(i, false)) {
      Result<void> written;
      co_await persist_one(i, &written);
      if (written) continue;
    }
    if (writable() >> i & 1) take_out(i, DriveState::kMissing, false);
  }
}

Task<Result<void>> DriveSet::bring_back(unsigned index) {
  if (state(index) == DriveState::kOnline) co_return {};
  if (state(index) == DriveState::kReplacing) {
    co_return fail(Code::kConflict, path(index) + " is being replaced; it comes online when its repair is finished");
  }
  auto file = co_await read_drive_file(index);
  if (!file) {
    co_return fail(Error(
        file.error().code() == Code::kInvalid ? Code::kInvalid : Code::kUnavailable,
        "drive " + std::to_string(index) + " cannot come back: its directory does not hold it; replace it instead",
        file.error()));
  }
  if (file->pool != pool_) co_return fail(Code::kInvalid, path(index) + " belongs to another pool");
  if (file->drives > size()) {
    co_return fail(Code::kInvalid, path(index) + " knows " + std::to_string(file->drives) + " drives of the pool, " +
                                       std::to_string(size()) + " are configured: name those that were added, too");
  }
  // Opened without this drive, we may know less than it does: which drives lack rows, which ids were given out.
  if (file->epoch > epoch_) {
    epoch_ = file->epoch;
    stale_ |= file->stale;
    extent_floor_ = std::max(extent_floor_, file->extent_floor);
    next_extent_ = std::max(next_extent_, file->extent_floor);
  }
  Drive& drive = *drives_[index];
  drive.device = device_of(drive.path);
  ++drive.generation;
  drive.state = DriveState::kOnline;
  co_return co_await persist();
}

Task<Result<void>> DriveSet::replace(unsigned index) {
  if (!CO_TRY(co_await unused(path(index)))) {
    co_return fail(Code::kInvalid,
                   path(index) + " is not empty: only an empty directory can take the place of a drive");
  }
  CO_TRY(co_await disk_.make_directories(path(index)));
  Drive& drive = *drives_[index];
  drive.device = device_of(drive.path);
  ++drive.generation;
  drive.state = DriveState::kReplacing;
  drive.used = 0;
  stale_ |= DriveMask{1} << index;
  co_return co_await persist();
}

void DriveSet::finish_replacing(unsigned index) {
  if (state(index) == DriveState::kReplacing) drives_[index]->state = DriveState::kOnline;
}

Task<Result<unsigned>> DriveSet::add(std::string directory, std::function<Task<Result<void>>()> listed) {
  const unsigned index = size();
  if (index == kDrivesMax)
    co_return fail(Code::kTooLarge, "a pool has at most " + std::to_string(kDrivesMax) + " drives");
  for (unsigned i = 0; i < index; ++i) {
    if (path(i) == directory)
      co_return fail(Code::kExists, directory + " is drive " + std::to_string(i) + " of the pool already");
  }
  const std::string name = directory + "/" + kDriveFileName;
  if (!CO_TRY(co_await unused(directory))) {
    // An attempt that ended half-way has left its mark.
    auto bytes = co_await disk_.read_file(name, kDriveFileBytes);
    auto file = bytes ? decode_drive_file(*bytes) : Result<DriveFile>(fail(bytes.error()));
    if (!file || file->pool != pool_ || file->index != index)
      co_return fail(Code::kInvalid, directory + " is not empty: only an empty directory can become a drive");
  }
  CO_TRY(co_await disk_.make_directories(directory));
  DriveFile first = drive_file(index);
  first.drives = static_cast<uint8_t>(index + 1);
  CO_TRY(co_await disk_.replace_file(name, encode_drive_file(first)));
  CO_TRY(co_await listed());
  if (size() != index) co_return fail(Code::kConflict, "another drive was added at the same time");
  in_order_ = false;
  append(std::move(directory));
  drives_[index]->device = device_of(path(index));
  CO_TRY(co_await persist());
  co_await refresh_space();
  co_return index;
}

Task<Result<void>> DriveSet::leave_order() {
  if (!in_order_) co_return {};
  in_order_ = false;
  auto persisted = co_await persist();
  if (!persisted) in_order_ = true;  // ask again
  co_return persisted;
}

Task<Result<uint64_t>> DriveSet::new_extent_id(uint64_t larger_than) {
  next_extent_ = std::max(next_extent_, larger_than + 1);
  const uint64_t id = next_extent_++;
  if (id >= extent_floor_) {
    extent_floor_ = id + kExtentIdsPerBatch;
    if (auto persisted = co_await persist(); !persisted) {
      extent_floor_ = id;  // not durable: ask again
      co_return fail(std::move(persisted).error());
    }
  }
  co_return id;
}

Task<void> DriveSet::refresh_space() {
  for (unsigned i = 0; i < size(); ++i) {
    if (auto space = co_await disk_.space(path(i))) drives_[i]->available = space->available_bytes;
  }
}

uint64_t DriveSet::room_bytes(unsigned index) const {
  // Unknown file systems are taken for one.
  uint64_t sharing = 0;
  for (unsigned i = 0; i < size(); ++i) sharing += drives_[i]->device == drives_[index]->device;
  return drives_[index]->available / sharing;
}

std::vector<unsigned> DriveSet::choose(DriveMask candidates, unsigned count, DriveMask beside) const {
  std::vector<unsigned> chosen;
  auto rank = [&](unsigned index) {
    unsigned neighbours = 0;
    for (unsigned i = 0; i < size(); ++i)
      neighbours += (beside >> i & 1) && drives_[i]->device == drives_[index]->device;
    return std::tuple(state(index) != DriveState::kOnline, neighbours, UINT64_MAX - room_bytes(index),
                      drives_[index]->used.load(), index);
  };
  while (chosen.size() < count) {
    std::optional<unsigned> best;
    for (unsigned i = 0; i < size(); ++i) {
      if ((candidates >> i & 1) && (!best || rank(i) < rank(*best))) best = i;
    }
    if (!best) break;
    chosen.push_back(*best);
    candidates &= ~(DriveMask{1} << *best);
    beside |= DriveMask{1} << *best;
  }
  return chosen;
}

}  // namespace polis::blob
