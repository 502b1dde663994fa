// The Blob port: immutable bytes of any size, streamed in, read by range, kept on several drives. Embedded adapter:
// erasure-coded extents (extent_blob.h). Every adapter passes the suite in conformance.h.
//
// A put hands back a Receipt once the bytes are durable; the caller writes it in its own transaction (bytes first, name
// last). The store of bytes knows no names: whether a blob is still wanted it asks its owner (Owner), and what nobody
// refers to is swept one hour after it was written.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::blob {

// Where bytes come from. One call at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `into` from the front; fewer bytes than asked only at the end, 0 when nothing is left.
  virtual Task<Result<size_t>> read(MutableBytes into) = 0;
};

// Where bytes go. The view lives until the call returns.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Task<Result<void>> write(BytesView bytes) = 0;
};

// Names one stored blob forever; opaque, 1..64 bytes, bytewise comparable. Never reused.
using BlobId = std::string;

// Everything needed to read the blob again. A compaction may move a blob: then its id changes and the owner is told.
struct Receipt {
  // Opaque, <= 49 bytes a segment. One segment a GiB; up to six more if the size was not announced. Empty for an empty
  // blob.
  std::string location;
  uint64_t size_bytes = 0;
};
// How a blob's bytes are kept: cut into `data_units`, with `parity_units` more, so that any `data_units` of them give
// all back. Zeros: as the pool does by default.
struct Scheme {
  uint8_t data_units = 0, parity_units = 0;
  unsigned units() const { return unsigned{data_units} + parity_units; }
  bool operator==(const Scheme&) const = default;
};

// The ids of the receipt's segments, for the owner's back-references.
std::vector<BlobId> segments(const Receipt& receipt);

struct Range {
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Asked by compaction, on the shard of the Blob. The implementation belongs to whoever writes the receipts (one per
// Blob).
class Owner {
 public:
  virtual ~Owner() = default;
  // Which of these ids does some row still refer to?
  virtual Task<Result<std::vector<bool>>> referenced(std::vector<BlobId> ids) = 0;
  // Segment `from` now lies at `to` with the same bytes: change the rows that refer to it in one durable transaction.
  // kConflict or kNotFound when the row changed meanwhile: then the copy is dropped, and `from` with its extent only if
  // referenced() denies it, too.
  virtual Task<Result<void>> moved(BlobId from, BlobId to) = 0;
};

enum class DriveState : unsigned char { kOnline, kMissing, kReplacing, kFailed };
struct DriveStatus {
  unsigned index = 0;
  std::string path;
  DriveState state = DriveState::kOnline;
  uint64_t used_bytes = 0, available_bytes = 0;
  uint64_t read_errors = 0, write_errors = 0, corrupt_blocks = 0;
  uint64_t device = 0;  // of the file system below; 0: unknown. Equal ones are lost together
};

struct BlobStatistics {
  uint64_t extents = 0, live_bytes = 0, stored_bytes = 0;  // stored: all shards with parity and padding
  uint64_t puts = 0, gets = 0, degraded_reads = 0, repaired_units = 0, syncs = 0;
  uint64_t repair_queue = 0;  // rows that wait for repair
  uint64_t scrubbed_bytes = 0, scrub_errors = 0;
  // Extents of which units lie on drives that are out, and those of them with too few left to be read.
  uint64_t reduced_extents = 0, unreadable_extents = 0;
};

struct RepairReport {
  uint64_t rows_checked = 0, units_rebuilt = 0, rows_lost = 0, bytes_read = 0, bytes_written = 0;
};

// Where a scrub in slices goes on: everything before was read.
struct ScrubPosition {
  uint64_t extent = 0, offset = 0;
};
struct ScrubSlice {
  RepairReport report{};
  ScrubPosition next{};
  bool finished = false;  // nothing is left behind the position
};

// How the pool lies on its drives at one moment, for people who want to see it heal. Drives are bits by their index.
struct ExtentStatus {
  uint64_t id = 0;
  Scheme scheme;
  uint32_t drives = 0;      // that hold a unit of it, or should
  unsigned homeless = 0;    // units that lie on no drive that is there
  uint64_t file_bytes = 0;  // in each drive's file; rows fill it from the front
  uint64_t live_bytes = 0;  // payload not erased
  bool growing = false;
  uint32_t absent = 0;  // while it grows: drives that lack rows of it
};
struct DamagedRow {
  uint64_t extent = 0, offset = 0;
  uint32_t drives = 0;
};
struct PoolPicture {
  unsigned data_units = 0, parity_units = 0;  // of the pool's own scheme
  uint32_t stale = 0;  // drives that may lack rows the others hold, until a repair has found them complete
  std::vector<ExtentStatus> extents;  // by id
  // Where a running repair of drives is: extents before `repair_extent`, and in it all before `repair_offset`, are
  // done.
  uint32_t repairing = 0;  // drives; 0: no such repair runs
  uint64_t repair_extent = 0, repair_offset = 0;
  std::vector<DamagedRow> damaged;  // rows that wait for repair, at most 4096 of them
};

// Progress of a long operation: called at most ten times a second. Return false to stop early.
using Progress = std::function<bool(uint64_t done, uint64_t total)>;

class Blob {
 public:
  virtual ~Blob() = default;

  // Reads the source to its end; durable when it returns. `size_hint` lets the bytes lie together (UINT64_MAX:
  // unknown). kUnavailable with more than one drive down; kNoSpace when full; kInvalid, before anything is read, for a
  // scheme that is not offered.
  virtual Task<Result<Receipt>> put(ByteSource& source, uint64_t size_hint, Scheme scheme) = 0;
  Task<Result<Receipt>> put(ByteSource& source, uint64_t size_hint) { return put(source, size_hint, Scheme{}); }
  // Whether puts with this scheme find a drive for each unit, were all drives there. Any shard.
  virtual bool offers(Scheme scheme) const = 0;
  // What puts without a scheme get.
  virtual Scheme default_scheme() const = 0;
  // Every byte was checked before it reaches the sink. kOutOfRange outside the blob; kCorrupt when too few sound units
  // are left.
  virtual Task<Result<void>> get(const Receipt& receipt, Range range, ByteSink& sink) = 0;
  // Keeps the bytes readable under this receipt, though they be erased or moved, until what it answers goes; taken soon
  // after the receipt was looked up. For readers that come back for more; a get does so by itself. Any shard.
  virtual std::shared_ptr<const void> hold(const Receipt& receipt) = 0;
  // The same for every blob that exists now, for as long as a backup copies them. Space comes back only afterwards.
  virtual std::shared_ptr<const void> hold_all() { return nullptr; }
  // A hint that nobody refers to it any more; space returns by compaction.
  virtual void erase(const Receipt& receipt) = 0;

  virtual std::vector<DriveStatus> drives() const = 0;
  virtual BlobStatistics statistics() const = 0;
  // On the shard that opened the Blob. An adapter that cannot look at its drives answers an empty picture.
  virtual PoolPicture picture() const { return {}; }
  // Takes a drive out of service (as if it were pulled), brings it back, or replaces it by an empty directory to be
  // repaired.
  virtual Task<Result<void>> set_drive(unsigned index, DriveState state) = 0;
  // Makes an absent or empty directory one more drive of the pool and answers its index. New bytes go where most room
  // is; what is stored stays where it is.
  virtual Task<Result<unsigned>> add_drive(std::string path) {
    (void)path;
    co_return fail(Code::kUnsupported, "this store of bytes has no drives of its own");
  }
  // Reads everything once and verifies it; damaged rows enter the repair queue.
  virtual Task<Result<RepairReport>> scrub(Progress progress) = 0;
  // The same in slices of about `bytes_max`, for a scrub that takes days and lets others in between; starts at {}. Who
  // calls decides how fast. An adapter whose store looks after itself has nothing to do.
  virtual Task<Result<ScrubSlice>> scrub_slice(ScrubPosition from, uint64_t bytes_max) {
    (void)from, (void)bytes_max;
    co_return ScrubSlice{.finished = true};
  }
  // Rebuilds everything missing or damaged on the drives that are online. What lay on drives that are out is rebuilt on
  // others that have room and hold no unit of the same extent, as long as there are such.
  virtual Task<Result<RepairReport>> repair(Progress progress) = 0;
  // Rewrites extents less than half live, those whose drives are all online and repaired. Returns the bytes given back;
  // kUnavailable if there are only others.
  virtual Task<Result<uint64_t>> compact(Progress progress) = 0;
  virtual void set_owner(Owner* owner) = 0;
  virtual Task<Result<void>> close() = 0;
};

}  // namespace polis::blob
