// ExtentStore: the extents of a pool and the writing end of them: which exist, which one grows, who syncs. Rows are
// appended behind a bump pointer; one sync of a file serves every put that wrote before it began (group commit). Lives
// on the home shard; nothing in it is touched from elsewhere.
//
//     reserve ──► write (all units in parallel) ──► commit (waits for the round of syncs) ──► release
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "kernel/blob/drive_set.h"
#include "kernel/blob/row_encoder.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"

namespace polis::blob {

// An extent that still grows, or whose last writers are not done. Only the process that made an extent ever appends to
// it: what a crash left behind the last acknowledged row is never built upon.
struct OpenExtent {
  uint64_t id = 0;
  uint64_t nonce = 0;
  std::vector<std::unique_ptr<io::File>> files;  // null where the drive was out
  UnitMask alive = 0;                            // files without any failure so far
  uint64_t end = kSuperblockBytes;               // the bump pointer, the same in every file
  unsigned writers = 0;                          // reservations not yet released
  bool sealed = false;                           // takes no new rows
  bool full = false;                             // a sync failed for want of space
  // Group commit.
  UnitMask dirty = 0;
  uint64_t rounds_finished = 0;
  bool syncing = false;
  io::Event synced;
};

struct ExtentState {
  uint64_t file_bytes = 0;   // of the longest file
  uint64_t live_bytes = 0;   // payload not erased; an estimate between marks
  uint64_t released_ms = 0;  // wall clock: when this process last ended a large put into it
  bool marked = false;       // live_bytes comes from the owner (or from this process alone)
  SteadyTime mark_again_at{};
  bool damaged = false;  // holds a referenced blob that cannot be read: never deleted
  bool retired = false;  // everything was moved away; waits for its readers
  SteadyTime retired_at{};
  std::unique_ptr<OpenExtent> open;  // null once sealed and quiet
};

struct Reservation {
  OpenExtent* extent = nullptr;  // valid until released
  uint64_t offset = 0;
  uint64_t bytes = 0;  // in each file
};

struct ExtentStoreOptions {
  uint64_t extent_file_bytes = 0;  // a file of this size takes no new rows
  uint64_t space_reserve_bytes = 0;
  Duration mark_interval{};
};

class ExtentStore {
 public:
  ExtentStore(io::Disk& disk, DriveSet& drives, const Erasure& erasure, ExtentStoreOptions options)
      : disk_(disk), drives_(drives), erasure_(erasure), options_(options) {}

  // Finds the extents on the drives that can be read.
  Task<Result<void>> load();

  // --- writing

  // Room for `bytes` in each file of one extent. kUnavailable with too many drives down, kNoSpace when one is nearly
  // full.
  Task<Result<Reservation>> reserve(uint64_t bytes);
  // Makes a reservation at the end of its extent longer, or answers false: somebody wrote behind it.
  bool extend(Reservation& reservation, uint64_t bytes);
  // All units in parallel. A drive that fails is taken out and the write goes on; kUnavailable when too few are left.
  Task<Result<void>> write(OpenExtent& extent, const RowWrites& writes);
  // Everything written to the extent before the call is durable on all drives but at most parity - 1, and those are
  // marked stale.
  Task<Result<void>> commit(OpenExtent& extent);
  // Ends a reservation, whether or not something was written. The tail that was not used is taken back where possible.
  void release(const Reservation& reservation, uint64_t used_bytes, uint64_t payload_bytes);

  // No row is added to any extent that exists now. Extents with writers stay open until these are done.
  void seal_all();
  void seal_one(uint64_t extent);
  // The drive was taken out by hand: nothing more is written to it or counted as durable there.
  void without_drive(unsigned drive);

  // --- the table

  std::map<uint64_t, ExtentState>& extents() { return extents_; }
  const std::map<uint64_t, ExtentState>& extents() const { return extents_; }
  void erased(uint64_t extent, uint64_t payload_bytes);
  // Removes the extent's files from every drive that can be reached.
  Task<Result<void>> remove(uint64_t extent);
  // Takes notice of what a drive that was away holds. Files of extents that were removed meanwhile are removed there,
  // too; others that are not known become known: the drives that hold the rest of them may still be away.
  Task<Result<void>> adopt(unsigned drive);

  uint64_t syncs() const { return syncs_; }

 private:
  // Drives that may be out while puts are still acknowledged.
  unsigned tolerated() const { return erasure_.parity_units() - 1; }
  Result<void> enough(UnitMask alive) const;
  Task<Result<OpenExtent*>> open_new();
  Task<void> create_file(OpenExtent* extent, unsigned unit, Result<void>* outcome);
  Task<void> write_unit(OpenExtent* extent, unsigned unit, const std::vector<UnitRun>* runs, Result<void>* outcome);
  Task<void> sync_unit(OpenExtent* extent, unsigned unit, Result<void>* outcome);
  // Takes the drive out unless it is merely full; answers the error that the whole operation must fail with, if any.
  Result<void> judge(OpenExtent& extent, unsigned unit, Result<void> outcome);
  Task<void> sync_round(OpenExtent& extent);
  void seal(ExtentState& state);
  void close_if_quiet(ExtentState& state);

  io::Disk& disk_;
  DriveSet& drives_;
  const Erasure& erasure_;
  const ExtentStoreOptions options_;
  std::map<uint64_t, ExtentState> extents_;
  std::set<uint64_t> removed_;  // by this process: ids, 8 bytes for each GiB given back
  OpenExtent* current_ = nullptr;
  UnitMask current_drives_ = 0;  // that were writable when current_ was made
  io::Semaphore opening_{1};
  uint64_t syncs_ = 0;
  SteadyTime last_check_{};
  uint64_t since_space_check_bytes_ = UINT64_MAX / 2;  // checked before the first write
};

}  // namespace polis::blob
