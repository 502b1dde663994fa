#include "kernel/blob/drive_set.h"

#include <algorithm>
#include <bit>
#include <sys/stat.h>

#include "kernel/base/endian.h"

namespace polis::blob {
namespace {

uint64_t device_of(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_dev) : 0;
}

}  // namespace

Task<Result<DriveFile>> DriveSet::read_drive_file(unsigned index) {
  Bytes bytes = CO_TRY(co_await disk_.read_file(path(index) + "/" + kDriveFileName, kDriveFileBytes));
  DriveFile file = CO_TRY(decode_drive_file(bytes));
  if (file.data_units != erasure_.data_units() || file.parity_units != erasure_.parity_units()) {
    co_return fail(Code::kInvalid, path(index) + " belongs to a pool of " + std::to_string(file.data_units) + "+" +
                                       std::to_string(file.parity_units) + ", configured is " +
                                       std::to_string(erasure_.data_units()) + "+" +
                                       std::to_string(erasure_.parity_units()));
  }
  if (file.index != index) {
    co_return fail(Code::kInvalid, path(index) + " is drive " + std::to_string(file.index) +
                                       " of its pool, but is configured as drive " + std::to_string(index) +
                                       ": directories were swapped");
  }
  co_return file;
}

// True if the directory is absent or holds nothing of ours.
Task<Result<bool>> DriveSet::unused(unsigned index) {
  auto entries = co_await disk_.list(path(index));
  if (!entries) {
    if (entries.error().code() == Code::kNotFound) co_return true;
    co_return fail(std::move(entries).error());
  }
  co_return std::ranges::none_of(*entries, [](const io::DirectoryEntry& entry) {
    return entry.name == kDriveFileName || parse_extent_file_name(entry.name);
  });
}

Task<Result<std::unique_ptr<DriveSet>>> DriveSet::open(io::Disk& disk, std::vector<std::string> paths,
                                                       const Erasure& erasure, Random& random) {
  if (paths.size() != erasure.units()) {
    co_return fail(Code::kInvalid, "a " + std::to_string(erasure.data_units()) + "+" +
                                       std::to_string(erasure.parity_units()) + " pool needs " +
                                       std::to_string(erasure.units()) + " drive directories, " +
                                       std::to_string(paths.size()) + " are configured");
  }
  std::unique_ptr<DriveSet> set(new DriveSet(disk, erasure));
  for (std::string& path : paths) {
    set->drives_.push_back(std::make_unique<Drive>());
    set->drives_.back()->path = std::move(path);
  }

  std::vector<std::optional<DriveFile>> files(set->size());
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
    auto unused = co_await set->unused(i);
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
    for (unsigned i = 0; i < set->size(); ++i) CO_TRY(co_await disk.make_directories(set->path(i)));
    CO_TRY(co_await set->persist());
    if (set->writable() != erasure.all())
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
    bool reformat = false;
    for (unsigned i = 0; i < set->size(); ++i) {
      if (!files[i]) {
        // A pool without extents is one whose formatting was cut short: go on with it.
        auto unused = co_await set->unused(i);
        const bool format =
            newest->extent_floor == 1 && unused && *unused && co_await disk.make_directories(set->path(i));
        set->drives_[i]->state = format ? DriveState::kOnline : DriveState::kMissing;
        reformat |= format;
      } else if (files[i]->pool != set->pool_) {
        co_return fail(Code::kInvalid, set->path(i) + " belongs to another pool");
      }
    }
    set->next_extent_ = set->extent_floor_;
    if (reformat) CO_TRY(co_await set->persist());
  }
  for (auto& drive : set->drives_) drive->device = device_of(drive->path);
  co_await set->refresh_space();
  co_return std::move(set);
}

UnitMask DriveSet::readable() const {
  UnitMask mask = 0;
  for (unsigned i = 0; i < size(); ++i) mask |= UnitMask{state(i) == DriveState::kOnline} << i;
  return mask;
}

UnitMask DriveSet::writable() const {
  UnitMask mask = 0;
  for (unsigned i = 0; i < size(); ++i) {
    mask |= UnitMask{state(i) == DriveState::kOnline || state(i) == DriveState::kReplacing} << i;
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
          .data_units = static_cast<uint8_t>(erasure_.data_units()),
          .parity_units = static_cast<uint8_t>(erasure_.parity_units()),
          .epoch = epoch_,
          .extent_floor = extent_floor_,
          .stale = stale_};
}

Task<void> DriveSet::persist_one(unsigned index, Result<void>* outcome) {
  const Bytes bytes = encode_drive_file(drive_file(index));
  *outcome = co_await disk_.replace_file(path(index) + "/" + kDriveFileName, bytes);
}

Task<Result<void>> DriveSet::persist() {
  CO_TRY(co_await persisting_.acquire());
  ++epoch_;
  const UnitMask stale = stale_, drives = writable();
  std::vector<Result<void>> outcomes(size());
  io::TaskGroup group;
  for (unsigned i = 0; i < size(); ++i) {
    if (drives >> i & 1) group.spawn(persist_one(i, &outcomes[i]));
  }
  co_await group.join();
  persisting_.release();
  unsigned without = size() - static_cast<unsigned>(std::popcount(drives));
  bool full = false;
  for (unsigned i = 0; i < size(); ++i) {
    if (outcomes[i]) continue;
    ++without;
    if (outcomes[i].error().code() == Code::kNoSpace) {
      full = true;  // full is not broken
    } else if (writable() >> i & 1) {
      take_out(i, DriveState::kFailed, true);
    }
  }
  // Enough copies that any k drives include the newest.
  if (without > erasure_.parity_units()) {
    co_return full ? fail(Code::kNoSpace, "the drives are too full to record the state of the pool")
                   : fail(Code::kUnavailable, "too few drives take writes to record the state of the pool");
  }
  durable_stale_ = stale;
  co_return {};
}

Task<Result<void>> DriveSet::mark_stale(UnitMask drives) {
  stale_ |= drives;
  if ((drives & ~durable_stale_) == 0) co_return {};
  co_return co_await persist();
}

Task<Result<void>> DriveSet::clear_stale(UnitMask drives) {
  if ((drives & stale_) == 0) co_return {};
  stale_ &= ~drives;
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
    if (!(file && file->pool == pool_) && (writable() >> i & 1)) take_out(i, DriveState::kMissing, false);
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
  if (!CO_TRY(co_await unused(index))) {
    co_return fail(Code::kInvalid,
                   path(index) + " is not empty: only an empty directory can take the place of a drive");
  }
  CO_TRY(co_await disk_.make_directories(path(index)));
  Drive& drive = *drives_[index];
  drive.device = device_of(drive.path);
  ++drive.generation;
  drive.state = DriveState::kReplacing;
  drive.used = 0;
  stale_ |= UnitMask{1} << index;
  co_return co_await persist();
}

void DriveSet::finish_replacing(unsigned index) {
  if (state(index) == DriveState::kReplacing) drives_[index]->state = DriveState::kOnline;
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

uint64_t DriveSet::available_bytes_min() const {
  uint64_t least = UINT64_MAX;
  for (unsigned i = 0; i < size(); ++i) {
    if (!(writable() >> i & 1)) continue;
    // Directories of one file system share its space; unknown ones are taken for such.
    uint64_t sharing = 0;
    for (unsigned j = 0; j < size(); ++j) sharing += drives_[i]->device == drives_[j]->device;
    least = std::min(least, drives_[i]->available / sharing);
  }
  return least;
}

}  // namespace polis::blob
