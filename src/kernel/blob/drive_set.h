// DriveSet: the failure domains of a pool, who they are and how they are. Each drive is a directory with a small file
// that names the pool and the drive's place in it, so that swapped, foreign and unmounted directories are noticed.
// States and counters may be read on every shard; changes happen on the home shard.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/blob/blob.h"
#include "kernel/blob/layout.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"

namespace polis::blob {

class DriveSet {
 public:
  // Formats the drives if none of them has ever been used; otherwise each directory must be the drive it was (kInvalid)
  // or be absent or empty (then it is kMissing until set online or replaced). kUnavailable if not a single drive can be
  // read.
  static Task<Result<std::unique_ptr<DriveSet>>> open(io::Disk& disk, std::vector<std::string> paths,
                                                      const Erasure& erasure, Random& random);

  unsigned size() const { return static_cast<unsigned>(drives_.size()); }
  const PoolId& pool() const { return pool_; }
  const std::string& path(unsigned index) const { return drives_[index]->path; }
  std::string extent_path(unsigned index, uint64_t extent) const {
    return path(index) + "/" + extent_file_name(extent);
  }

  DriveState state(unsigned index) const { return drives_[index]->state.load(std::memory_order_acquire); }
  // Reads go to drives that are online; writes also to those being replaced.
  UnitMask readable() const;
  UnitMask writable() const;
  // Changes whenever files opened before must not be used any more.
  uint32_t generation(unsigned index) const { return drives_[index]->generation.load(std::memory_order_acquire); }
  void count_read_error(unsigned index) { ++drives_[index]->read_errors; }
  void count_corrupt_blocks(unsigned index, uint64_t blocks) { drives_[index]->corrupt_blocks += blocks; }
  DriveStatus status(unsigned index) const;

  // --- home shard

  // Drives that may lack rows the others hold; durable. A repair that finds them complete clears them.
  UnitMask stale() const { return stale_; }
  Task<Result<void>> mark_stale(UnitMask drives);
  Task<Result<void>> clear_stale(UnitMask drives);

  // Takes the drive out after an error. Not durable by itself: what was written without it marks it stale.
  void take_out(unsigned index, DriveState state, bool write_error);
  // Takes out every drive whose own file cannot be read back as it should be.
  Task<void> check_presence();
  // Puts a drive back that lies there unharmed; it stays stale if anything was written without it.
  Task<Result<void>> bring_back(unsigned index);
  // Formats an absent or empty directory in the drive's place; kReplacing until finish_replacing.
  Task<Result<void>> replace(unsigned index);
  void finish_replacing(unsigned index);

  // An id that no extent of this pool ever had or will have.
  Task<Result<uint64_t>> new_extent_id(uint64_t larger_than);
  Task<void> refresh_space();
  // The least space that is left for one drive that takes writes, as of the last refresh.
  uint64_t available_bytes_min() const;
  void set_used(unsigned index, uint64_t bytes) { drives_[index]->used = bytes; }
  void add_used(unsigned index, uint64_t bytes) { drives_[index]->used += bytes; }

 private:
  // Extent ids are taken from the drive files in batches, one rewrite for so many extents.
  static constexpr uint64_t kExtentIdsPerBatch = 16;

  struct Drive {
    std::string path;
    std::atomic<DriveState> state{DriveState::kOnline};
    std::atomic<uint32_t> generation{0};
    std::atomic<uint64_t> used{0}, available{0}, read_errors{0}, write_errors{0}, corrupt_blocks{0};
    std::atomic<uint64_t> device{0};
  };

  DriveSet(io::Disk& disk, const Erasure& erasure) : disk_(disk), erasure_(erasure) {}
  Task<Result<DriveFile>> read_drive_file(unsigned index);
  Task<Result<bool>> unused(unsigned index);
  DriveFile drive_file(unsigned index) const;
  // Writes the drive files of all writable drives with a new epoch.
  Task<Result<void>> persist();
  Task<void> persist_one(unsigned index, Result<void>* outcome);

  io::Disk& disk_;
  const Erasure& erasure_;
  std::vector<std::unique_ptr<Drive>> drives_;  // pointers: atomics do not move
  PoolId pool_;
  uint64_t epoch_ = 0;
  uint64_t extent_floor_ = 1;  // durable
  uint64_t next_extent_ = 1;
  UnitMask stale_ = 0;
  UnitMask durable_stale_ = 0;
  io::Semaphore persisting_{1};
};

}  // namespace polis::blob
