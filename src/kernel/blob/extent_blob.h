// ExtentBlob: the embedded Blob. Bytes lie erasure-coded in extents, each on k + m of the pool's drives (4+2 unless
// asked otherwise); a receipt says where, so nothing about a single blob is kept in memory. README.md draws the data's
// way.
//
// One ExtentBlob serves all shards. It is opened on its home shard, where space is handed out, syncs are shared and
// drives are judged; encoding, checksums and all reading happen on the shard that calls.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/memory_budget.h"
#include "kernel/base/random.h"
#include "kernel/blob/blob.h"
#include "kernel/blob/drive_set.h"
#include "kernel/blob/extent_store.h"
#include "kernel/blob/row_reader.h"

namespace polis::blob {

struct ExtentBlobOptions {
  // At least k + m directories, in their order for good; more may be added behind them.
  std::vector<std::string> drives;
  // A text file, one directory a line, where add_drive writes down what belongs behind `drives`. Empty: drives can only
  // be added there, before open.
  std::string added_drives_file;
  unsigned data_units = 4, parity_units = 2;
  // Payload after which an extent takes no new rows. A blob larger than that still lies together, up to 1 GiB a
  // segment.
  uint64_t extent_payload_bytes = uint64_t{1} << 30;
  // Puts are refused with kNoSpace below so much free space on any drive.
  uint64_t space_reserve_bytes = uint64_t{64} << 20;
  // Buffers of all running puts; beyond, kBusy. 128 large ones at once.
  uint64_t put_memory_bytes_max = uint64_t{256} << 20;
  // Files kept open for reading, a shard.
  size_t open_files_max = 256;
  // Scrub reads no faster than this; 0: as fast as the drives.
  uint64_t scrub_bytes_per_second = 0;
  // Heal single damaged rows in the background as reads find them.
  bool heal = true;
  // Bytes that nobody refers to are swept when they are older than this: the owner may not have committed yet.
  Duration sweep_after = std::chrono::hours(1);
  // A compacted extent is deleted so long after its blobs moved: a reader may have looked up the old place just before.
  Duration delete_grace = std::chrono::minutes(1);
  // Live bytes are counted anew from the owner after so long; puts whose owner never committed show only then.
  Duration mark_interval = std::chrono::hours(24);
  const Clock* clock = nullptr;  // null: the shard's
};

// Rows known to be damaged, waiting to be healed. Bounded: what is found beyond is found again by the next scrub.
inline constexpr size_t kRepairQueueMax = 65536;

class ExtentBlob final : public Blob {
 public:
  // On the shard that becomes its home. `random` names a new pool.
  static Task<Result<std::unique_ptr<ExtentBlob>>> open(io::Disk& disk, ExtentBlobOptions options, Random& random);
  // After close().
  ~ExtentBlob() override;

  using Blob::put;
  Task<Result<Receipt>> put(ByteSource& source, uint64_t size_hint, Scheme scheme) override;
  bool offers(Scheme scheme) const override {
    return scheme == Scheme{} || (sound_scheme(scheme) && scheme.units() <= drives_->size());
  }
  Scheme default_scheme() const override { return scheme_; }
  Task<Result<void>> get(const Receipt& receipt, Range range, ByteSink& sink) override;
  std::shared_ptr<const void> hold(const Receipt& receipt) override;
  std::shared_ptr<const void> hold_all() override;
  void erase(const Receipt& receipt) override;
  std::vector<DriveStatus> drives() const override;
  BlobStatistics statistics() const override;
  PoolPicture picture() const override;
  Task<Result<void>> set_drive(unsigned index, DriveState state) override;
  Task<Result<unsigned>> add_drive(std::string path) override;
  Task<Result<RepairReport>> scrub(Progress progress) override;
  Task<Result<ScrubSlice>> scrub_slice(ScrubPosition from, uint64_t bytes_max) override;
  Task<Result<RepairReport>> repair(Progress progress) override;
  Task<Result<uint64_t>> compact(Progress progress) override;
  void set_owner(Owner* owner) override { owner_ = owner; }
  Task<Result<void>> close() override;

 private:
  struct SmallPut;
  struct Chunk;
  struct Survivor;

  ExtentBlob(io::Disk& disk, ExtentBlobOptions options);

  WallTime wall() const;
  uint64_t wall_ms() const;

  // --- put (extent_blob_put.cc)
  Task<Result<Receipt>> put_small(Scheme scheme, Bytes payload);
  Task<Result<Receipt>> put_large(Scheme scheme, ByteSource& source, uint64_t size_hint, Bytes head);
  Task<Result<void>> stream(Scheme scheme, ByteSource& source, uint64_t size_hint, Bytes head,
                            std::vector<Location>& segments);
  void encode_chunk(Scheme scheme, Chunk& chunk, const Reservation& reservation, uint64_t row_offset, uint32_t ordinal,
                    uint64_t segment_bytes);
  Task<void> write_chunk(Chunk* chunk, OpenExtent* extent, Result<void>* outcome);
  Task<Result<Reservation>> reserve(Scheme scheme, uint64_t bytes);
  Task<Result<void>> commit(OpenExtent* extent);
  void release(Reservation reservation, uint64_t used_bytes, uint64_t payload_bytes);
  void enqueue(SmallPut& put);
  Task<void> commit_small_puts(Scheme scheme);
  Task<Result<void>> write_small_puts(Scheme scheme, std::span<SmallPut* const> batch);

  // --- get (extent_blob.cc)
  RowReader& reader();
  Task<Result<void>> get_segment(const Location& segment, Range range, ByteSink& sink);
  Task<Result<void>> get_spread(const Location& segment, unsigned k, Range range, ByteSink& sink);

  // --- care (extent_blob_care.cc); home shard
  void note_damage(const Damage& damage);
  Task<void> heal();
  Task<Result<uint64_t>> heal_row(uint64_t extent, RowShape row, UnitMask units);
  Task<Result<RepairReport>> scrub_here(Progress* progress);
  Task<Result<ScrubSlice>> scrub_slice_here(ScrubPosition from, uint64_t bytes_max);
  Task<void> check_superblocks(uint64_t extent);
  Task<void> scrub_row(uint64_t extent, RowHeader header, RepairReport* report);
  Task<Result<RepairReport>> repair_here(Progress* progress);
  struct Moving;
  bool needs_repair(uint64_t extent, DriveMask targets) const;
  UnitMask homeless(const Placement& placement) const;
  std::vector<Moving> plan_moves(uint64_t extent, const Placement& placement) const;
  Task<Result<void>> repair_extent(uint64_t extent, DriveMask targets, RepairReport& report);
  Task<Result<void>> repair_row(uint64_t extent, const RowHeader& header, const Placement& placement,
                                const Placement& where, UnitMask moved, DriveMask targets,
                                const std::vector<ExtentState::Spare>& spares,
                                std::vector<std::unique_ptr<io::File>>& files, RepairReport& report);
  Result<void> out_of_repair(unsigned drive, Result<void> outcome);
  Task<Result<void>> finish_moves(uint64_t extent, std::vector<Moving>& moving);
  Task<Result<uint64_t>> write_units(RowWindow& window, size_t row, UnitMask units, const Placement& where,
                                     std::vector<std::unique_ptr<io::File>>& files);
  Task<Result<std::unique_ptr<io::File>>> open_for_repair(uint64_t extent, const Placement& placement, unsigned unit,
                                                          std::string_view suffix);
  Task<Result<std::optional<RowHeader>>> next_row(uint64_t extent, uint64_t& offset, uint64_t end);
  Task<Result<void>> set_drive_here(unsigned index, DriveState state);
  Task<Result<unsigned>> add_drive_here(std::string path);
  Task<Result<void>> write_added_drives(std::string path);
  bool complete(uint64_t extent) const;
  Task<void> forget(uint64_t extent);
  Task<Result<uint64_t>> compact_here(Progress* progress);
  Task<Result<void>> mark(uint64_t extent, std::vector<Survivor>& survivors, bool& young);
  Task<Result<void>> move_survivors(std::vector<Survivor> survivors);
  Task<void> move_one(Survivor survivor, Result<void>* outcome);
  Task<Result<uint64_t>> delete_retired();
  Task<Result<void>> close_here();

  io::Disk& disk_;
  const ExtentBlobOptions options_;
  const Scheme scheme_;
  io::Shard& home_;
  const Codes codes_;
  PlacementTable placements_;
  std::unique_ptr<DriveSet> drives_;
  std::unique_ptr<ExtentStore> extents_;
  Owner* owner_ = nullptr;
  base::MemoryBudget put_memory_;

  // Readers by shard index, each made and used on its shard.
  static constexpr size_t kShardsMax = 256;
  std::array<std::atomic<RowReader*>, kShardsMax> readers_{};
  std::array<io::Shard*, kShardsMax> reader_shards_{};

  // Gets that run now and holds, by extent id modulo the size: an extent is deleted only while its counter is zero.
  static constexpr size_t kUsedExtents = 1024;
  class Using;
  std::array<std::atomic<uint32_t>, kUsedExtents> gets_running_{};

  std::atomic<uint32_t> holds_all_{0};  // no extent is deleted before this is zero again

  // Home shard.
  struct SmallPuts {
    std::deque<SmallPut*> waiting;
    bool committing = false;
  };
  std::map<std::pair<unsigned, unsigned>, SmallPuts> small_puts_;                        // by k and m
  std::map<std::pair<uint64_t, uint64_t>, std::pair<RowShape, UnitMask>> repair_queue_;  // by extent and row offset
  bool healing_ = false;
  // How far a repair of drives has come; null while none runs.
  struct RepairPosition {
    DriveMask drives = 0;
    uint64_t extent = 0, offset = 0;
  };
  RepairPosition* repair_position_ = nullptr;
  bool closing_ = false;
  io::Semaphore care_{1};  // one of scrub, repair, compact, set_drive at a time
  io::TaskGroup background_;

  std::atomic<uint64_t> puts_{0}, gets_{0}, repaired_units_{0}, repair_queue_size_{0}, scrubbed_bytes_{0},
      scrub_errors_{0};
  std::atomic<uint64_t> extents_count_{0}, live_bytes_{0}, stored_bytes_{0}, syncs_{0}, degraded_reads_{0};
};

}  // namespace polis::blob
