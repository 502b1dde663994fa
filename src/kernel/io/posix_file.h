// The blocking calls under the machine's disks: whole transfers, short counts and EINTR handled. For pool threads only,
// but for read_cached.
#pragma once

#include <string>

#include "kernel/io/file.h"

namespace polis::io {

struct CachedRead {
  size_t size_bytes = 0;
  bool complete =
      false;  // false: the rest is not in the page cache (or the kernel cannot tell) and must be read on the pool
};
// Reads what the page cache holds, without waiting for the disk.
Result<CachedRead> read_cached(int fd, uint64_t offset, MutableBytes into, const std::string& path);
Result<size_t> read_fully(int fd, uint64_t offset, MutableBytes into, const std::string& path);
Result<void> write_fully(int fd, uint64_t offset, std::span<const BytesView> parts, const std::string& path);
Result<void> sync_data(int fd, const std::string& path);
Result<std::unique_ptr<Mapping>> map_descriptor(int fd, uint64_t size_bytes, const std::string& path);
Result<int> open_descriptor(const std::string& path, OpenMode mode);

// Everything of a Disk that concerns names; the same for every disk whose names live in the machine's file system.
class NamesOnMachine : public Disk {
 public:
  Task<Result<void>> remove(std::string path) override;
  Task<Result<void>> rename(std::string from, std::string to) override;
  Task<Result<std::vector<DirectoryEntry>>> list(std::string directory) override;
  Task<Result<void>> make_directories(std::string path) override;
  Task<Result<void>> sync_directory(std::string path) override;
  Task<Result<Space>> space(std::string path) override;
};

}  // namespace polis::io
