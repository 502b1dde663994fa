// ExtentStore: the extents of a pool and the writing end of them: which exist and on which drives, which ones grow (one
// a scheme), who syncs. Rows are appended behind a bump pointer; one sync of a file serves every put that wrote before
// it began (group commit). Lives on the home shard; nothing in it is touched from elsewhere.
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
  Placement placement;                           // every unit has a drive, though it may be out
  std::vector<std::unique_ptr<io::File>> files;  // by unit; null where the drive was out
  UnitMask alive = 0;                            // files without any failure so far
  UnitMask made = 0;                             // files that were there when it began
  DriveMask drives_then = 0;                     // that took writes when it began
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
  // Units that also lie where they lay before they moved; whether the new file has every row only a repair tells.
  struct Spare {
    uint8_t unit = 0, drive = 0;
    uint16_t generation = 0;
    bool operator==(const Spare&) const = default;
  };
  std::vector<Spare> spares;
  SteadyTime retired_at{};
  std::unique_ptr<OpenExtent> open;  // null once sealed and quiet
};

struct Reservation {
  OpenExtent* extent = nullptr;  // valid until released
  uint64_t offset = 0;
  uint64_t bytes = 0;  // in each file
};

struct ExtentStoreOptions {
  uint64_t extent_payload_bytes = 0;  // so much, and an extent takes no new rows
  uint64_t space_reserve_bytes = 0;
  Duration mark_interval{};
};

class ExtentStore {
 public:
  ExtentStore(io::Disk& disk, DriveSet& drives, PlacementTable& placements, ExtentStoreOptions options)
      : disk_(disk), drives_(drives), placements_(placements), options_(options) {}

  // Finds the extents on the drives that can be read.
  Task<Result<void>> load();

  // --- writing

  // Room for `bytes` in each file of one extent of this scheme. kUnavailable with too many drives down, kNoSpace when
  // too few have room.
  Task<Result<Reservation>> reserve(Scheme scheme, uint64_t bytes);
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
  // The unit's file now lies on `drive`, complete and durable; the one before becomes a spare.
  void moved(uint64_t extent, unsigned unit, unsigned drive, uint16_t generation);
  // Removes the files that later ones have replaced, as far as their drives can be reached; unless `all`, not those
  // whose later ones are out of reach.
  Task<void> remove_spares(uint64_t extent, bool all);
  // Takes notice of what a drive that was away holds. Files of extents that were removed meanwhile are removed there,
  // too; others that are not known become known: the drives that hold the rest of them may still be away.
  Task<Result<void>> adopt(unsigned drive);

  uint64_t syncs() const { return syncs_; }

 private:
  // Whether `bytes` more fit on the drive.
  bool roomy(unsigned drive, uint64_t bytes) const;
  // Drives that may be out while puts are still acknowledged.
  static unsigned tolerated(Scheme scheme) { return scheme.parity_units - 1u; }
  Result<void> enough(Scheme scheme, UnitMask alive) const;
  uint64_t file_bytes_max(Scheme scheme) const;
  Result<Placement> place(Scheme scheme, uint64_t bytes) const;
  Task<Result<void>> look_at_drives();
  // Takes notice of a file on a drive.
  void learn(unsigned drive, const ExtentFile& file, uint64_t size_bytes);
  Task<Result<OpenExtent*>> open_new(Scheme scheme, uint64_t bytes);
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
  PlacementTable& placements_;
  const ExtentStoreOptions options_;
  std::map<uint64_t, ExtentState> extents_;
  std::set<uint64_t> removed_;  // by this process: ids, 8 bytes for each GiB given back
  std::map<std::pair<unsigned, unsigned>, OpenExtent*> current_;  // by k and m: the one that takes rows
  io::Semaphore opening_{1};
  uint64_t syncs_ = 0;
  SteadyTime last_check_{};
  uint64_t since_space_check_bytes_ = UINT64_MAX / 2;  // checked before the first write
};

}  // namespace polis::blob
