#include "kernel/io/file.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/io/posix_file.h"
#include "kernel/io/shard.h"

namespace polis::io {
namespace {

class SystemFile final : public File {
 public:
  SystemFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~SystemFile() override { ::close(fd_); }

  Task<Result<size_t>> read_at(uint64_t offset, MutableBytes into) override {
    const CachedRead cached = CO_TRY(read_cached(fd_, offset, into, path_));
    if (cached.complete) co_return cached.size_bytes;
    const MutableBytes rest = into.subspan(cached.size_bytes);
    const size_t read =
        CO_TRY(co_await blocking([&] { return read_fully(fd_, offset + cached.size_bytes, rest, path_); }));
    co_return cached.size_bytes + read;
  }

  Task<Result<void>> write_at(uint64_t offset, std::span<const BytesView> parts) override {
    co_return co_await blocking([&] { return write_fully(fd_, offset, parts, path_); });
  }

  Task<Result<void>> sync() override {
    co_return co_await blocking([&] { return sync_data(fd_, path_); });
  }

  Task<Result<void>> resize(uint64_t size_bytes) override {
    co_return co_await blocking([&]() -> Result<void> {
      if (ftruncate(fd_, static_cast<off_t>(size_bytes)) != 0) return fail(system_error(errno, "truncate " + path_));
      return {};
    });
  }

  Task<Result<void>> reserve(uint64_t size_bytes) override {
    co_return co_await blocking([&]() -> Result<void> {
      if (fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size_bytes)) == 0) return {};
      if (errno == EOPNOTSUPP)
        return fail(Code::kUnsupported, "reserve " + path_ + ": not offered by this file system");
      return fail(system_error(errno, "reserve " + path_));
    });
  }

  Result<uint64_t> size() const override {
    struct stat status;
    if (fstat(fd_, &status) != 0) return fail(system_error(errno, "stat " + path_));
    return static_cast<uint64_t>(status.st_size);
  }

  Result<std::unique_ptr<Mapping>> map(uint64_t size_bytes) override { return map_descriptor(fd_, size_bytes, path_); }
  int native_handle() const override { return fd_; }
  const std::string& path() const override { return path_; }

 private:
  const int fd_;
  const std::string path_;
};

class SystemDisk final : public NamesOnMachine {
 public:
  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
    const int fd = CO_TRY(co_await blocking([&] { return open_descriptor(path, mode); }));
    co_return std::make_unique<SystemFile>(fd, std::move(path));
  }
};

}  // namespace

std::unique_ptr<Disk> make_system_disk() {
  return std::make_unique<SystemDisk>();
}

Result<std::unique_ptr<Mapping>> File::map(uint64_t) {
  return fail(Code::kUnsupported, "map " + path() + ": this disk's files are not memory of this machine");
}

Task<Result<void>> File::write_at(uint64_t offset, BytesView part) {
  co_return co_await write_at(offset, std::span(&part, 1));
}

Task<Result<Bytes>> Disk::read_file(std::string path, uint64_t limit_bytes) {
  auto file = CO_TRY(co_await open(path, OpenMode::kRead));
  const uint64_t size = CO_TRY(file->size());
  if (size > limit_bytes)
    co_return fail(Code::kTooLarge, path + " has " + std::to_string(size) + " bytes, more than the " +
                                        std::to_string(limit_bytes) + " allowed");
  Bytes content(size);
  content.resize(CO_TRY(co_await file->read_at(0, content)));
  co_return std::move(content);
}

Task<Result<void>> Disk::replace_file(std::string path, BytesView content) {
  static std::atomic<uint64_t> next_temporary{0};  // two writers of one file must not share a temporary
  const std::string temporary =
      path + ".new." + std::to_string(getpid()) + "." + std::to_string(next_temporary.fetch_add(1));
  {
    auto file = CO_TRY(co_await open(temporary, OpenMode::kCreateNew));
    CO_TRY(co_await file->write_at(0, content));
    CO_TRY(co_await file->sync());
  }
  CO_TRY(co_await rename(temporary, path));
  const size_t slash = path.rfind('/');
  CO_TRY(co_await sync_directory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash)));
  co_return {};
}

}  // namespace polis::io
