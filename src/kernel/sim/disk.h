// Disk: io::Disk in memory, with latency and faults drawn from the world's seed. It keeps what programs see apart from
// what a power cut leaves:
//
//     write ──► seen by readers, pending ──sync──► durable
//     crash(): of what is pending, a part by seed survives: nothing, a prefix, any subset of 512-byte sectors, or all
//
// Names follow the contract of io::Disk: created, renamed and removed ones are durable only after sync_directory of
// their folder (a prefix of the unsynced changes survives a crash). Folders themselves are durable at once.
//
// A crash ends every operation in flight and every later one with kUnavailable, until restart(): first let the tasks of
// the dead process end and destroy its objects, then restart and open again. Files opened before a crash never work
// again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/file.h"

namespace polis::sim {

class World;

// Uniformly between both, to the nanosecond.
struct Latency {
  Duration min{0};
  Duration max{0};
};

struct DiskOptions {
  // Roughly an NVMe disk behind a page cache, with syncs as slow as a busy cloud disk's.
  Latency read{std::chrono::microseconds(5), std::chrono::microseconds(120)};
  Latency write{std::chrono::microseconds(2), std::chrono::microseconds(30)};
  Latency sync{std::chrono::microseconds(200), std::chrono::milliseconds(5)};
  Latency name{std::chrono::microseconds(5), std::chrono::microseconds(200)};  // open, list, rename, remove, ...
  // One sync of the whole disk at a time, as on one device.
  bool serial_syncs = true;
  uint64_t capacity_bytes = uint64_t{1} << 40;
  // False makes every name durable at once, as io's volatile disk does.
  bool strict_names = true;
};

// What goes wrong while the power is on. Chances are per million operations.
struct Faults {
  uint32_t read_error_ppm = 0;   // kIo
  uint32_t read_flip_ppm = 0;    // one bit of what is read is wrong; the disk's own copy is sound
  uint32_t write_error_ppm = 0;  // kIo, after a prefix was written
  uint32_t sync_error_ppm = 0;   // kIo; some of the pending writes are gone for good, though readers still see them
  uint32_t slow_ppm = 0;         // the operation takes `slow` more
  Duration slow = std::chrono::seconds(1);
};

// Which of the unsynced writes survive a power cut.
enum class Survival : unsigned char {
  kBySeed,  // one of the four below
  kNothing,
  kPrefix,   // in order, the last one torn
  kSectors,  // any subset of sectors: later writes may survive without earlier ones
  kAll,
};

struct DiskStatistics {
  uint64_t reads = 0, writes = 0, syncs = 0, name_operations = 0;
  uint64_t read_bytes = 0, written_bytes = 0;
  uint64_t errors = 0;  // injected
  uint64_t crashes = 0;
};

class Disk final : public io::Disk {
 public:
  Disk(World& world, uint64_t seed, DiskOptions options);
  ~Disk() override;

  // io::Disk. Every path is absolute or relative to one root; "/a/b", "a/b" and "a//b/" are the same.
  Task<Result<std::unique_ptr<io::File>>> open(std::string path, io::OpenMode mode) override;
  Task<Result<void>> remove(std::string path) override;
  Task<Result<void>> rename(std::string from, std::string to) override;
  Task<Result<std::vector<io::DirectoryEntry>>> list(std::string directory) override;
  Task<Result<void>> make_directories(std::string path) override;
  Task<Result<void>> sync_directory(std::string path) override;
  Task<Result<Space>> space(std::string path) override;

  // --- what breaks

  // Cuts the power now.
  void crash(Survival survival = Survival::kBySeed);
  // Cuts it in the middle of the `operations`-th operation from now (1: the next). 0 takes that back.
  void crash_after(uint64_t operations, Survival survival = Survival::kBySeed);
  bool powered() const { return powered_; }
  // Power is back; files can be opened.
  void restart();

  // Faults of everything under a path prefix ("" for all); the longest prefix counts. Replaces what was set for it.
  void set_faults(std::string path_prefix, Faults faults);
  void clear_faults() { faults_.clear(); }
  // Everything under the prefix answers kIo, open files too, until return_drive.
  void lose_drive(std::string path_prefix);
  void return_drive(const std::string& path_prefix);
  // A new, empty drive in the place of the old one, working: an empty folder at the prefix.
  void replace_drive(std::string path_prefix);
  void set_capacity(uint64_t capacity_bytes) { options_.capacity_bytes = capacity_bytes; }

  // --- what tests look at and touch at once, without latency

  std::vector<std::string> files(std::string path_prefix = "") const;
  // What a reader sees; empty if there is no such file.
  Bytes content(const std::string& path) const;
  // The bytes that a power cut would surely leave.
  Bytes durable_content(const std::string& path) const;
  // Makes or replaces a file, durable at once.
  void put(const std::string& path, BytesView content);
  // Flips one bit of the file, at rest, durable; false outside the file.
  bool flip_bit(const std::string& path, uint64_t offset, unsigned bit);
  // The same at a place by seed, in [begin, end) of the file; answers the offset, UINT64_MAX for an empty range.
  uint64_t flip_random_bit(const std::string& path, uint64_t begin = 0, uint64_t end = UINT64_MAX);
  DiskStatistics statistics() const { return statistics_; }
  size_t in_flight() const { return in_flight_; }

 private:
  friend class OpenFile;
  struct Inode;
  struct WriteInFlight;
  struct NameChange;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  // Counts the operation, waits for its latency and checks power, drive and faults before and after.
  Task<Result<void>> pass(const std::string& path, Latency latency, uint64_t epoch);
  Result<void> usable(const std::string& path, uint64_t epoch) const;
  const Faults& faults_for(const std::string& path) const;
  bool by_chance(uint32_t ppm) { return ppm != 0 && random_.chance(ppm, 1'000'000); }
  Duration draw(Latency latency);
  bool directory_exists(const std::string& path) const;
  void change_name(NameChange change);
  static void apply(const NameChange& change, Names& names);
  void lose_pending(Inode& inode, Survival survival);
  uint64_t used_bytes() const;

  World& world_;
  DiskOptions options_;
  base::SeededRandom random_;
  Names names_;                           // what programs see
  Names durable_names_;                   // what a crash leaves
  std::vector<NameChange> name_changes_;  // from durable to seen, oldest first
  std::set<std::string> directories_;
  std::map<std::string, Faults> faults_;
  std::set<std::string> lost_drives_;
  WriteInFlight* writes_in_flight_ = nullptr;
  SteadyTime device_free_{};  // when the running syncs end
  uint64_t epoch_ = 0;        // counts crashes
  uint64_t crash_countdown_ = 0;
  Survival crash_survival_ = Survival::kBySeed;
  uint64_t next_write_ = 1;
  int64_t allocated_bytes_ = 0;
  size_t in_flight_ = 0;
  bool powered_ = true;
  DiskStatistics statistics_;
};

}  // namespace polis::sim
