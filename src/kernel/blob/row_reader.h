// RowReader: reads rows, verifies every block, and decodes what is missing or damaged from any k sound units. One per
// shard, with open files of its own, so that reads never leave the shard that asks.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "kernel/blob/drive_set.h"
#include "kernel/blob/layout.h"
#include "kernel/blob/placement.h"
#include "kernel/io/file.h"

namespace polis::blob {

// Neighbouring rows of one extent that are read together, or some blocks of a single row. Bounded: kRowsMax rows.
struct RowWindow {
  // 4 x 64 KiB from each drive in one call; 1 MiB of a 4+2 blob.
  static constexpr size_t kRowsMax = 4;

  uint64_t extent = 0;
  Placement placement;  // filled in by load and probe
  std::vector<RowShape> rows;
  // Of every unit; less than the whole only for a single row.
  uint32_t first_block = 0, end_block = 0;

  struct Row {
    UnitMask verified = 0;  // read, and every wanted block matches its checksum
    UnitMask sound = 0;     // verified, or rebuilt from verified ones
    UnitMask damaged = 0;   // tried on a drive that is online, should be there, but is not verified
    UnitMask written = 0;   // from any sound header; 0: none seen
    std::optional<RowHeader> header;
  };
  std::vector<Row> state;
  std::vector<Bytes> units;  // one buffer a unit: header and blocks of each row

  // The blocks [first_block, end_block) of a sound unit.
  BytesView data(size_t row, unsigned unit) const;
  uint64_t first_byte() const { return uint64_t{first_block} * kBlockBytes; }
};

RowWindow whole_rows(uint64_t extent, std::vector<RowShape> rows);
RowWindow part_of_row(uint64_t extent, RowShape row, uint64_t first_byte, uint64_t end_byte);

// A unit that was found damaged while its drive was online.
struct Damage {
  uint64_t extent = 0;
  RowShape row;
  UnitMask units = 0;
};

class RowReader {
 public:
  // `on_damage` is called on this reader's shard.
  RowReader(io::Disk& disk, DriveSet& drives, const PlacementTable& placements, const Codes& codes,
            size_t open_files_max, std::function<void(const Damage&)> on_damage);

  // Makes the wanted units of every row sound. kCorrupt when fewer than k units are left of a row although all drives
  // are there, kUnavailable when drives are missing.
  Task<Result<void>> load(RowWindow& window, UnitMask wanted);
  // As load, but reads every unit on a readable drive and decodes nothing: for scrub. The window tells what is sound.
  Task<void> probe(RowWindow& window);
  // Reads a unit of a probed window's rows from a file where it lay before.
  Task<void> probe_file(RowWindow& window, unsigned unit, std::string path);
  // Decodes `wanted` from the sound units of a probed window; kCorrupt if they are too few.
  Result<void> rebuild(RowWindow& window, size_t row, UnitMask wanted);

  // Reads the header that stands at `offset` in any file; empty if none does.
  Task<Result<std::optional<RowHeader>>> header_at(uint64_t extent, uint64_t offset);
  // The first offset >= `from` at which some file has a sound header; empty if there is none.
  Task<Result<std::optional<uint64_t>>> find_row(uint64_t extent, uint64_t from, uint64_t end);

  // Closes the files of an extent that was removed.
  void forget(uint64_t extent);
  void clear() { files_.clear(), recent_.clear(); }

  uint64_t degraded_reads() const { return degraded_reads_; }
  // Files of readable drives that could not be opened or read so far. A scan that must not overlook a row compares it.
  uint64_t failures() const { return failures_; }
  // Of these, all but files that are not there.
  uint64_t read_failures() const { return read_failures_; }

 private:
  struct OpenFile {
    std::shared_ptr<io::File> file;  // shared: a reading task keeps it while the cache may drop it
    unsigned drive = 0;
    uint32_t generation = 0;  // of the drive
    std::list<std::pair<uint64_t, unsigned>>::iterator recent;
  };

  Task<Result<std::shared_ptr<io::File>>> open(uint64_t extent, unsigned unit);
  void count_failure(const Error& error) {
    ++failures_;
    read_failures_ += error.code() != Code::kNotFound;
  }
  Task<void> read_unit(RowWindow* window, unsigned unit);
  Task<Result<void>> read_file(RowWindow* window, unsigned unit, std::shared_ptr<io::File> file);
  bool place(RowWindow& window) const;
  UnitMask readable(const Placement& placement) const { return placement.units_on(drives_.readable()); }
  void verify(RowWindow& window, unsigned unit, size_t row, BytesView header, BytesView blocks);
  Task<void> read_units(RowWindow& window, UnitMask units);
  void find_damage(RowWindow& window, UnitMask tried) const;
  static UnitMask zeros(const RowWindow& window, const RowWindow::Row& row);

  io::Disk& disk_;
  DriveSet& drives_;
  const PlacementTable& placements_;
  const Codes& codes_;
  std::map<std::pair<unsigned, unsigned>, ErasureDecoder> decoders_;  // by k and m
  const size_t open_files_max_;
  std::function<void(const Damage&)> on_damage_;
  std::map<std::pair<uint64_t, unsigned>, OpenFile> files_;
  std::list<std::pair<uint64_t, unsigned>> recent_;  // newest first
  std::atomic<uint64_t> degraded_reads_{0};
  uint64_t failures_ = 0, read_failures_ = 0;
};

}  // namespace polis::blob
