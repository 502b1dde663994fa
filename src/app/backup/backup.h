// Makes a backup from inside a running polis (README.md). One at a time; lives on shard 0.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/digest.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"
#include "kernel/blob/blob.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"

namespace polis::app {

inline constexpr std::string_view kBackupFormat = "polis-backup 1";

struct BackupRequest {
  std::string directory;  // absolute; absent or empty
  bool with_keys = false;
  std::string passphrase;  // with_keys only
};

struct BackupReport {
  uint64_t files = 0;
  uint64_t size_bytes = 0;
  store::CommitTime commit_time = 0;
  Duration duration{};
};

struct BackupProgress {
  bool running = false;
  uint64_t done_bytes = 0, total_bytes = 0;
  std::optional<BackupReport> report;  // of the last one that ended well
  std::optional<Error> error;          // or how it failed
};

class Backup {
 public:
  struct Sources {
    std::string data_directory;
    std::string version;      // of polis, for the manifest
    std::string config_path;  // empty: none
    io::Disk& disk;           // that the blob and journals use
    store::Store& store;
    blob::Blob& blob;
    const Clock& clock;
    Random& random;
  };
  explicit Backup(Sources sources) : sources_(std::move(sources)) {}

  // Starts one in the background of `group`. kBusy: one runs already.
  Result<void> start(io::TaskGroup& group, BackupRequest request);
  const BackupProgress& progress() const { return progress_; }

 private:
  struct Entry {
    std::string name;  // inside the backup
    std::string path;
    std::unique_ptr<io::File> file;  // null: opened when its turn comes
    uint64_t size_bytes = 0;
  };
  // Files that may be deleted before they are copied are opened at once, or left out if that is what their going means;
  // those of the Blob are held.
  enum class Opening : unsigned char { kNow, kLater, kHeld };
  Task<void> run(BackupRequest request);
  Task<Result<BackupReport>> make(BackupRequest& request);
  Task<Result<void>> list_tree(std::string source, std::string name, Opening opening, std::vector<Entry>& entries);
  Task<Result<std::vector<std::string>>> list_partitions(std::vector<Entry>& entries);
  Result<void> check_drives(const std::vector<unsigned>& drives) const;
  Task<Result<void>> copy(Entry& entry, const std::string& target, std::string& sums);
  Task<Result<void>> sum_store(const std::string& directory, std::string& sums);
  Task<Result<std::string>> sealed_keys(const std::string& passphrase);

  Sources sources_;
  std::unique_ptr<io::Disk> target_disk_ = io::make_system_disk();  // the copy is real, whatever the source is made of
  BackupProgress progress_;
  BackupReport report_;
};

}  // namespace polis::app
