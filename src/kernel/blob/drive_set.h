// DriveSet: the failure domains of a pool, who they are and how they are. Each drive is a directory with a small file
// that names the pool and the drive's place in it, so that swapped, foreign and unmounted directories are noticed. A
// pool has at least as many drives as its own scheme has units; drives are added, never taken from the list. States and
// counters may be read on every shard; changes happen on the home shard.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/blob/blob.h"
#include "kernel/blob/layout.h"
#include "kernel/blob/placement.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"

namespace polis::blob {

class DriveSet {
 public:
  // Formats the drives if none of them has ever been used; otherwise each directory must be the drive it was (kInvalid)
  // or be absent or empty (then it is kMissing until set online or replaced). Directories behind those that the pool
  // has join it, if they are absent or empty. kUnavailable if not a single drive can be read.
  static Task<Result<std::unique_ptr<DriveSet>>> open(io::Disk& disk, std::vector<std::string> paths, Scheme scheme,
                                                      Random& random);

  unsigned size() const { return size_.load(std::memory_order_acquire); }
  DriveMask all() const { return static_cast<DriveMask>((uint64_t{1} << size()) - 1); }
  // The pool's own scheme.
  Scheme scheme() const { return scheme_; }
  // Every extent of the pool's own scheme has unit i on drive i: there is no other way.
  bool in_order(Scheme scheme) const { return scheme == scheme_ && size() == scheme_.units(); }
  const PoolId& pool() const { return pool_; }
  const std::string& path(unsigned index) const { return drives_[index]->path; }
  // Where the file of a unit is, or would be: the unit has a drive.
  std::string unit_path(uint64_t extent, const Placement& placement, unsigned unit) const;
  // What a file on this drive is; empty if it is no extent's.
  std::optional<ExtentFile> parse(unsigned index, std::string_view name) const;

  DriveState state(unsigned index) const { return drives_[index]->state.load(std::memory_order_acquire); }
  // Reads go to drives that are online; writes also to those being replaced.
  DriveMask readable() const;
  DriveMask writable() const;
  // Changes whenever files opened before must not be used any more.
  uint32_t generation(unsigned index) const { return drives_[index]->generation.load(std::memory_order_acquire); }
  void count_read_error(unsigned index) { ++drives_[index]->read_errors; }
  void count_corrupt_blocks(unsigned index, uint64_t blocks) { drives_[index]->corrupt_blocks += blocks; }
  DriveStatus status(unsigned index) const;

  // --- home shard

  // Drives that may lack rows the others hold; durable. A repair that finds them complete clears them.
  DriveMask stale() const { return stale_; }
  Task<Result<void>> mark_stale(DriveMask drives);
  Task<Result<void>> clear_stale(DriveMask drives);

  // Takes the drive out after an error. Not durable by itself: what was written without it marks it stale.
  void take_out(unsigned index, DriveState state, bool write_error);
  // Takes out every drive whose own file cannot be read back as it should be; one that is merely damaged is written
  // anew.
  Task<void> check_presence();
  // Puts a drive back that lies there unharmed; it stays stale if anything was written without it.
  Task<Result<void>> bring_back(unsigned index);
  // Formats an absent or empty directory in the drive's place; kReplacing until finish_replacing.
  Task<Result<void>> replace(unsigned index);
  void finish_replacing(unsigned index);
  // Makes an absent or empty directory a drive of the pool, the last one. `listed` is awaited when the directory is
  // formatted and before the pool counts on it: whoever opens the pool next must name it.
  Task<Result<unsigned>> add(std::string path, std::function<Task<Result<void>>()> listed);
  // From now on files have names and places that polis did not know before pools had more drives than units.
  Task<Result<void>> leave_order();

  // An id that no extent of this pool ever had or will have.
  Task<Result<uint64_t>> new_extent_id(uint64_t larger_than);
  Task<void> refresh_space();
  // The space that is left for files on this drive as of the last refresh: directories of one file system share it.
  uint64_t room_bytes(unsigned index) const;
  // `count` of the candidates, fewer if there are not so many: on file systems that hold the least of them (and of
  // `beside`), then those with the most room, or that hold the least; drives being replaced come last.
  std::vector<unsigned> choose(DriveMask candidates, unsigned count, DriveMask beside) const;
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

  DriveSet(io::Disk& disk, Scheme scheme) : disk_(disk), scheme_(scheme) {}
  void append(std::string path);
  Task<Result<DriveFile>> read_drive_file(unsigned index);
  Task<Result<bool>> unused(const std::string& directory);
  // Whether the directory of a drive whose own file is damaged holds this drive all the same, by the extents in it.
  Task<bool> recognized(unsigned index, bool others_present);
  DriveFile drive_file(unsigned index) const;
  // Writes the drive files of all writable drives with a new epoch.
  Task<Result<void>> persist();
  Task<void> persist_one(unsigned index, Result<void>* outcome);

  io::Disk& disk_;
  const Scheme scheme_;
  std::array<std::unique_ptr<Drive>, kDrivesMax> drives_;  // the first size_; what stands there stays
  std::atomic<unsigned> size_{0};
  PoolId pool_;
  uint64_t epoch_ = 0;
  uint64_t extent_floor_ = 1;  // durable
  uint64_t next_extent_ = 1;
  DriveMask stale_ = 0;
  DriveMask durable_stale_ = 0;
  bool in_order_ = true;  // as drive files say: an older polis may open the pool
  io::Semaphore persisting_{1};
};

}  // namespace polis::blob
