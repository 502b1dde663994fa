// Files and the disk they lie on, as ports: the machine's, one that loses what was not synced, and the simulation's.
// Operations never block a shard: what the page cache cannot answer at once goes to the blocking pool. An operation
// handed over always finishes; it is not cancellable, so buffers need only live until the await returns.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::io {

// Bytes of a file as memory, read only. Touching them reads from the page cache, and may wait for the disk; a disk that
// cannot read them ends the process (SIGBUS), and so does a file that was cut meanwhile: for files that never change.
// Outlives the File. Any thread.
class Mapping {
 public:
  explicit Mapping(BytesView bytes) : bytes_(bytes) {}
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  BytesView bytes() const { return bytes_; }

 private:
  const BytesView bytes_;
};

class File {
 public:
  virtual ~File() = default;  // closes; does not sync

  // Reads until `into` is full or the file ends; returns the bytes read. Reading past the end is 0, not an error.
  virtual Task<Result<size_t>> read_at(uint64_t offset, MutableBytes into) = 0;
  // Writes all parts in order, growing the file. Visible to readers at once, durable only after sync.
  virtual Task<Result<void>> write_at(uint64_t offset, std::span<const BytesView> parts) = 0;
  Task<Result<void>> write_at(uint64_t offset, BytesView part);
  // fdatasync: every write that returned before the call survives power loss. After a failure the state of the file's
  // pages is unknown: stop using it, never retry.
  virtual Task<Result<void>> sync() = 0;
  // Cuts or grows (with zeros).
  virtual Task<Result<void>> resize(uint64_t size_bytes) = 0;
  // Reserves disk space so that later writes inside it need no allocation; size is unchanged. A hint: kUnsupported is
  // harmless.
  virtual Task<Result<void>> reserve(uint64_t size_bytes) = 0;
  virtual Result<uint64_t> size() const = 0;
  // The first `size_bytes` > 0 of the file, which must be synced: a disk that forgets shows only those. kOutOfRange if
  // the file is shorter, kUnsupported where a file is not memory of this machine.
  virtual Result<std::unique_ptr<Mapping>> map(uint64_t size_bytes);
  // The descriptor for send_file, or -1 where bytes must pass through memory.
  virtual int native_handle() const { return -1; }
  virtual const std::string& path() const = 0;
};

enum class OpenMode : unsigned char {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // made if absent
  kCreateNew,  // kExists if present
};

struct DirectoryEntry {
  std::string name;
  uint64_t size_bytes = 0;
  bool directory = false;
};

// Names are paths. Creating, renaming and removing are durable only after sync_directory of the folder. Thread-safe:
// one Disk serves all shards; a File belongs to the shard that uses it.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) = 0;
  virtual Task<Result<void>> remove(std::string path) = 0;
  virtual Task<Result<void>> rename(std::string from, std::string to) = 0;            // replaces
  virtual Task<Result<std::vector<DirectoryEntry>>> list(std::string directory) = 0;  // by name, ascending
  // With those above it; what it makes is durable.
  virtual Task<Result<void>> make_directories(std::string path) = 0;
  virtual Task<Result<void>> sync_directory(std::string path) = 0;
  struct Space {
    uint64_t total_bytes = 0, available_bytes = 0;
  };
  virtual Task<Result<Space>> space(std::string path) = 0;

  // Whole small files: read at most `limit_bytes` (kTooLarge beyond); replace atomically and durably (temporary file,
  // sync, rename, directory sync).
  Task<Result<Bytes>> read_file(std::string path, uint64_t limit_bytes);
  Task<Result<void>> replace_file(std::string path, BytesView content);
};

// The machine's file system.
std::unique_ptr<Disk> make_system_disk();

// Keeps every written byte in the memory of this process until sync, so that kill -9 is a power cut: for crash tests
// (POLIS_TEST_DISK=volatile). Names of files are not volatile.
std::unique_ptr<Disk> make_volatile_disk();

}  // namespace polis::io
