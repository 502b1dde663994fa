// The disk that forgets: written bytes stay in the memory of this process, page by page, until sync writes them down.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/io/posix_file.h"
#include "kernel/io/shard.h"

namespace polis::io {
namespace {

constexpr uint64_t kPageBytes = 4096;

// One per inode, whoever opened it: files opened twice must see each other's unsynced bytes. Used from pool threads and
// shards.
class Inode {
 public:
  Inode(int fd, std::string path) : fd_(fd), path_(std::move(path)) {
    struct stat status;
    POLIS_ASSERT(fstat(fd_, &status) == 0);
    size_bytes_ = static_cast<uint64_t>(status.st_size);
  }
  ~Inode() { ::close(fd_); }

  Result<size_t> read(uint64_t offset, MutableBytes into) {
    std::lock_guard lock(mutex_);
    if (offset >= size_bytes_) return size_t{0};
    const size_t wanted = std::min<uint64_t>(into.size(), size_bytes_ - offset);
    const uint64_t valid = offset < cut_to_ ? std::min<uint64_t>(wanted, cut_to_ - offset) : 0;
    const size_t stored = TRY(read_fully(fd_, offset, into.first(valid), path_));
    std::fill(into.begin() + static_cast<ptrdiff_t>(stored), into.begin() + static_cast<ptrdiff_t>(wanted),
              std::byte{0});
    for (auto page = pages_.lower_bound(offset / kPageBytes); page != pages_.end(); ++page) {
      const uint64_t begin = std::max(offset, page->first * kPageBytes);
      const uint64_t end = std::min(offset + wanted, (page->first + 1) * kPageBytes);
      if (begin >= end) break;
      std::copy_n(page->second.data() + (begin - page->first * kPageBytes), end - begin,
                  into.data() + (begin - offset));
    }
    return wanted;
  }

  Result<void> write(uint64_t offset, std::span<const BytesView> parts) {
    std::lock_guard lock(mutex_);
    for (BytesView part : parts) {
      while (!part.empty()) {
        const uint64_t inside = offset % kPageBytes;
        const size_t count = std::min<uint64_t>(part.size(), kPageBytes - inside);
        Bytes* page = TRY(page_at(offset / kPageBytes));
        std::copy_n(part.data(), count, page->data() + inside);
        part = part.subspan(count);
        offset += count;
      }
    }
    size_bytes_ = std::max(size_bytes_, offset);
    return {};
  }

  Result<void> resize(uint64_t size_bytes) {
    std::lock_guard lock(mutex_);
    if (size_bytes < size_bytes_) {
      pages_.erase(pages_.lower_bound((size_bytes + kPageBytes - 1) / kPageBytes), pages_.end());
      if (size_bytes % kPageBytes != 0) {
        Bytes* page = TRY(page_at(size_bytes / kPageBytes));
        std::fill(page->begin() + static_cast<ptrdiff_t>(size_bytes % kPageBytes), page->end(), std::byte{0});
      }
      cut_to_ = std::min(cut_to_, size_bytes);
    }
    size_bytes_ = size_bytes;
    return {};
  }

  // Nothing may slip in between what is written down and what is forgotten, so writers wait.
  Result<void> sync() {
    std::lock_guard lock(mutex_);
    if (cut_to_ != UINT64_MAX && ftruncate(fd_, static_cast<off_t>(cut_to_)) != 0)
      return fail(system_error(errno, "truncate " + path_));
    cut_to_ = UINT64_MAX;
    for (const auto& [number, content] : pages_) {
      const uint64_t begin = number * kPageBytes;
      const BytesView part = BytesView(content).first(std::min(kPageBytes, size_bytes_ - begin));
      TRY(write_fully(fd_, begin, std::span(&part, 1), path_));
    }
    pages_.clear();
    if (ftruncate(fd_, static_cast<off_t>(size_bytes_)) != 0) return fail(system_error(errno, "truncate " + path_));
    return sync_data(fd_, path_);
  }

  uint64_t size() {
    std::lock_guard lock(mutex_);
    return size_bytes_;
  }

  // What is stored is what was synced.
  Result<std::unique_ptr<Mapping>> map(uint64_t size_bytes) {
    std::lock_guard lock(mutex_);
    return map_descriptor(fd_, size_bytes, path_);
  }

 private:
  // The unsynced copy of a page, begun from what is stored.
  Result<Bytes*> page_at(uint64_t number) {
    auto [place, made] = pages_.try_emplace(number);
    if (made) {
      place->second.assign(kPageBytes, std::byte{0});
      const uint64_t begin = number * kPageBytes;
      const uint64_t valid = std::min(cut_to_, size_bytes_);
      if (begin < valid) {
        const MutableBytes stored = MutableBytes(place->second).first(std::min(kPageBytes, valid - begin));
        TRY(read_fully(fd_, begin, stored, path_));
      }
    }
    return &place->second;
  }

  std::mutex mutex_;
  const int fd_;
  const std::string path_;
  uint64_t size_bytes_ = 0;
  uint64_t cut_to_ = UINT64_MAX;  // the stored bytes from here on were cut and may not come back
  std::map<uint64_t, Bytes> pages_;
};

class VolatileFile final : public File {
 public:
  // Shared: several open files of one inode, see Inode.
  VolatileFile(std::shared_ptr<Inode> inode, std::string path) : inode_(std::move(inode)), path_(std::move(path)) {}

  Task<Result<size_t>> read_at(uint64_t offset, MutableBytes into) override {
    co_return co_await blocking([&] { return inode_->read(offset, into); });
  }
  Task<Result<void>> write_at(uint64_t offset, std::span<const BytesView> parts) override {
    co_return co_await blocking([&] { return inode_->write(offset, parts); });
  }
  Task<Result<void>> sync() override {
    co_return co_await blocking([&] { return inode_->sync(); });
  }
  Task<Result<void>> resize(uint64_t size_bytes) override {
    co_return co_await blocking([&] { return inode_->resize(size_bytes); });
  }
  Task<Result<void>> reserve(uint64_t) override {
    co_return fail(Code::kUnsupported, "reserve " + path_ + ": the volatile disk keeps writes in memory");
  }
  Result<uint64_t> size() const override { return inode_->size(); }
  Result<std::unique_ptr<Mapping>> map(uint64_t size_bytes) override { return inode_->map(size_bytes); }
  const std::string& path() const override { return path_; }

 private:
  std::shared_ptr<Inode> inode_;
  const std::string path_;
};

class VolatileDisk final : public NamesOnMachine {
 public:
  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
    auto inode = CO_TRY(co_await blocking([&]() -> Result<std::shared_ptr<Inode>> {
      const int fd = TRY(open_descriptor(path, mode));
      struct stat status;
      if (fstat(fd, &status) != 0) return fail(system_error(errno, "stat " + path));
      std::lock_guard lock(mutex_);
      auto& known = inodes_[{status.st_dev, status.st_ino}];
      if (known) {
        ::close(fd);
      } else {
        known = std::make_shared<Inode>(fd, path);
      }
      return known;
    }));
    co_return std::make_unique<VolatileFile>(std::move(inode), std::move(path));
  }

  Task<Result<void>> remove(std::string path) override {
    struct stat status;
    if (::lstat(path.c_str(), &status) == 0) {
      std::lock_guard lock(mutex_);
      inodes_.erase({status.st_dev, status.st_ino});  // else the registry would keep the space of every removed file
    }
    co_return co_await NamesOnMachine::remove(std::move(path));
  }

 private:
  std::mutex mutex_;
  // Kept for the life of the disk: unsynced bytes of a closed file are still in the "page cache".
  std::map<std::pair<dev_t, ino_t>, std::shared_ptr<Inode>> inodes_;
};

}  // namespace

std::unique_ptr<Disk> make_volatile_disk() {
  return std::make_unique<VolatileDisk>();
}

}  // namespace polis::io
