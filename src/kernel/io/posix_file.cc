#include "kernel/io/posix_file.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/io/shard.h"

namespace polis::io {

Result<CachedRead> read_cached(int fd, uint64_t offset, MutableBytes into, const std::string& path) {
  CachedRead read;
  while (read.size_bytes < into.size()) {
    iovec part{into.data() + read.size_bytes, into.size() - read.size_bytes};
    const ssize_t n = preadv2(fd, &part, 1, static_cast<off_t>(offset + read.size_bytes), RWF_NOWAIT);
    if (n > 0) {
      read.size_bytes += static_cast<size_t>(n);
    } else if (n == 0) {
      break;  // the end of the file
    } else if (errno == EAGAIN || errno == EOPNOTSUPP || errno == EINVAL) {
      return read;
    } else if (errno != EINTR) {
      return fail(system_error(errno, "read " + path));
    }
  }
  read.complete = true;
  return read;
}

Result<size_t> read_fully(int fd, uint64_t offset, MutableBytes into, const std::string& path) {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t n = pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n == 0) {
      break;
    } else if (errno != EINTR) {
      return fail(system_error(errno, "read " + path));
    }
  }
  return done;
}

Result<void> write_fully(int fd, uint64_t offset, std::span<const BytesView> parts, const std::string& path) {
  constexpr size_t kParts = 64;
  size_t part = 0;    // the first part not wholly written
  size_t inside = 0;  // bytes of it that are
  while (part < parts.size()) {
    iovec vector[kParts];
    int count = 0;
    for (size_t i = part; i < parts.size() && count < static_cast<int>(kParts); ++i) {
      const size_t skip = i == part ? inside : 0;
      if (parts[i].size() == skip) {
        if (i == part) {
          ++part;
          inside = 0;
        }
        continue;
      }
      vector[count++] = {const_cast<std::byte*>(parts[i].data()) + skip, parts[i].size() - skip};
    }
    if (count == 0) return {};
    const ssize_t n = pwritev(fd, vector, count, static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(system_error(errno, "write " + path));
    }
    offset += static_cast<uint64_t>(n);
    size_t left = static_cast<size_t>(n);
    while (left > 0) {
      const size_t rest = parts[part].size() - inside;
      if (left < rest) {
        inside += left;
        break;
      }
      left -= rest;
      inside = 0;
      ++part;
    }
  }
  return {};
}

Result<void> sync_data(int fd, const std::string& path) {
  if (fdatasync(fd) != 0) return fail(system_error(errno, "fdatasync " + path));
  return {};
}

Result<std::unique_ptr<Mapping>> map_descriptor(int fd, uint64_t size_bytes, const std::string& path) {
  struct stat status;
  if (fstat(fd, &status) != 0) return fail(system_error(errno, "stat " + path));
  if (size_bytes == 0 || size_bytes > static_cast<uint64_t>(status.st_size))
    return fail(Code::kOutOfRange, "map " + std::to_string(size_bytes) + " bytes of " + path + ", which has " +
                                       std::to_string(status.st_size));
  void* at = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return fail(system_error(errno, "map " + path));
  return std::make_unique<Mapping>(BytesView(static_cast<const std::byte*>(at), size_bytes));
}

Mapping::~Mapping() {
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Result<int> open_descriptor(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case OpenMode::kRead:
      flags |= O_RDONLY;
      break;
    case OpenMode::kReadWrite:
      flags |= O_RDWR;
      break;
    case OpenMode::kCreate:
      flags |= O_RDWR | O_CREAT;
      break;
    case OpenMode::kCreateNew:
      flags |= O_RDWR | O_CREAT | O_EXCL;
      break;
  }
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd < 0) return fail(system_error(errno, "open " + path));
  return fd;
}

// --- names

Task<Result<void>> NamesOnMachine::remove(std::string path) {
  co_return co_await blocking([&]() -> Result<void> {
    if (::remove(path.c_str()) != 0) return fail(system_error(errno, "remove " + path));
    return {};
  });
}

Task<Result<void>> NamesOnMachine::rename(std::string from, std::string to) {
  co_return co_await blocking([&]() -> Result<void> {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail(system_error(errno, "rename " + from + " to " + to));
    return {};
  });
}

Task<Result<std::vector<DirectoryEntry>>> NamesOnMachine::list(std::string directory) {
  co_return co_await blocking([&]() -> Result<std::vector<DirectoryEntry>> {
    std::vector<DirectoryEntry> entries;
    DIR* handle = opendir(directory.c_str());
    if (!handle) return fail(system_error(errno, "list " + directory));
    while (true) {
      errno = 0;
      const dirent* entry = readdir(handle);
      if (!entry) break;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat status;
      if (fstatat(dirfd(handle), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;  // removed since
      entries.push_back({std::string(name), static_cast<uint64_t>(status.st_size), S_ISDIR(status.st_mode)});
    }
    const int error = errno;
    closedir(handle);
    if (error) return fail(system_error(error, "list " + directory));
    std::ranges::sort(entries, {}, &DirectoryEntry::name);
    return entries;
  });
}

namespace {

Result<void> sync_names_in(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(system_error(errno, "open " + directory));
  const int status = fsync(fd);
  const int error = errno;
  ::close(fd);
  if (status != 0) return fail(system_error(error, "fsync " + directory));
  return {};
}

}  // namespace

// Each new directory is durable in its parent: callers sync what they put into it, and it must not vanish with that.
Task<Result<void>> NamesOnMachine::make_directories(std::string path) {
  co_return co_await blocking([&]() -> Result<void> {
    for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
      const std::string prefix = path.substr(0, slash);
      if (::mkdir(prefix.c_str(), 0700) == 0) {
        const size_t parent = prefix.find_last_of('/', prefix.size() - 2);
        TRY(sync_names_in(parent == std::string::npos ? "." : parent == 0 ? "/" : prefix.substr(0, parent)));
      } else if (errno != EEXIST) {
        return fail(system_error(errno, "mkdir " + prefix));
      }
      if (slash == std::string::npos) return {};
    }
  });
}

Task<Result<void>> NamesOnMachine::sync_directory(std::string path) {
  co_return co_await blocking([&] { return sync_names_in(path); });
}

Task<Result<Disk::Space>> NamesOnMachine::space(std::string path) {
  co_return co_await blocking([&]() -> Result<Space> {
    struct statvfs status;
    if (statvfs(path.c_str(), &status) != 0) return fail(system_error(errno, "statvfs " + path));
    return Space{.total_bytes = uint64_t{status.f_blocks} * status.f_frsize,
                 .available_bytes = uint64_t{status.f_bavail} * status.f_frsize};
  });
}

}  // namespace polis::io
