#include "kernel/store/volatile_env.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <string>

namespace polis::store {
namespace {

using rocksdb::FileOptions;
using rocksdb::FileSystem;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSSequentialFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// The unsynced tail of one file. Shared by the writer and the table of open files: the writer may close without a sync,
// and the bytes stay as volatile as they were.
struct Tail {
  std::mutex mutex;
  std::unique_ptr<FSWritableFile> file;
  std::string unsynced;
};

class VolatileFile final : public FSWritableFile {
 public:
  VolatileFile(std::shared_ptr<Tail> tail, std::shared_ptr<DiskFaults> faults)
      : tail_(std::move(tail)), faults_(std::move(faults)) {}

  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    if (faults_->power_cut) return IOStatus::OK();  // into the memory of a machine that is going down
    if (faults_->fail_writes) return IOStatus::NoSpace("injected: no space");
    std::lock_guard lock(tail_->mutex);
    tail_->unsynced.append(data.data(), data.size());
    return IOStatus::OK();
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* context) override {
    return Append(data, options, context);
  }
  IOStatus Truncate(uint64_t size_bytes, const IOOptions& options, IODebugContext* context) override {
    std::lock_guard lock(tail_->mutex);
    const uint64_t synced = tail_->file->GetFileSize(options, context);
    if (size_bytes >= synced) {
      tail_->unsynced.resize(size_bytes - synced);
      return IOStatus::OK();
    }
    tail_->unsynced.clear();
    return tail_->file->Truncate(size_bytes, options, context);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  // Keeps the descriptor only while something is left to lose.
  IOStatus Close(const IOOptions& options, IODebugContext* context) override {
    std::lock_guard lock(tail_->mutex);
    if (!tail_->unsynced.empty() || !tail_->file) return IOStatus::OK();
    IOStatus status = tail_->file->Close(options, context);
    tail_->file.reset();
    return status;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* context) override {
    if (faults_->power_cut) return IOStatus::IOError("power is cut");
    if (faults_->fail_syncs) return IOStatus::IOError("injected: sync failed");
    ++faults_->syncs;
    if (faults_->ignore_syncs) return IOStatus::OK();
    std::lock_guard lock(tail_->mutex);
    if (tail_->unsynced.empty()) return IOStatus::OK();
    IOStatus status = tail_->file->Append(tail_->unsynced, options, context);
    if (status.ok()) status = tail_->file->Flush(options, context);
    if (status.ok()) tail_->unsynced.clear();
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override { return Sync(options, context); }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions& options, IODebugContext* context) override {
    std::lock_guard lock(tail_->mutex);
    return tail_->file->GetFileSize(options, context) + tail_->unsynced.size();
  }

 private:
  std::shared_ptr<Tail> tail_;
  std::shared_ptr<DiskFaults> faults_;
};

// A file with an unsynced tail, as its writer's process sees it: a copy of both parts.
class WholeFile {
 public:
  explicit WholeFile(std::string content) : content_(std::move(content)) {}
  Slice at(uint64_t offset, size_t size_bytes, char* scratch) const {
    if (offset >= content_.size()) return {scratch, 0};
    const size_t available = std::min<size_t>(size_bytes, content_.size() - offset);
    std::memcpy(scratch, content_.data() + offset, available);
    return {scratch, available};
  }

 private:
  std::string content_;
};

class WholeSequentialFile final : public FSSequentialFile {
 public:
  explicit WholeSequentialFile(std::string content) : content_(std::move(content)) {}
  IOStatus Read(size_t size_bytes, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
    *result = content_.at(position_, size_bytes, scratch);
    position_ += result->size();
    return IOStatus::OK();
  }
  IOStatus Skip(uint64_t size_bytes) override {
    position_ += size_bytes;
    return IOStatus::OK();
  }

 private:
  WholeFile content_;
  uint64_t position_ = 0;
};

class WholeRandomAccessFile final : public FSRandomAccessFile {
 public:
  explicit WholeRandomAccessFile(std::string content) : content_(std::move(content)) {}
  IOStatus Read(uint64_t offset, size_t size_bytes, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    *result = content_.at(offset, size_bytes, scratch);
    return IOStatus::OK();
  }

 private:
  WholeFile content_;
};

class VolatileFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit VolatileFileSystem(std::shared_ptr<DiskFaults> faults)
      : FileSystemWrapper(FileSystem::Default()),
        faults_(faults ? std::move(faults) : std::make_shared<DiskFaults>()) {}
  const char* Name() const override { return "polis.store.volatile"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, std::unique_ptr<FSWritableFile>* result,
                           IODebugContext* context) override {
    return open(path, options, result, context, false);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* result, IODebugContext* context) override {
    return open(path, options, result, context, true);
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old, const FileOptions& options,
                             std::unique_ptr<FSWritableFile>* result, IODebugContext* context) override {
    IOStatus status = RenameFile(old, path, options.io_options, context);
    return status.ok() ? open(path, options, result, context, false) : status;
  }
  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<FSSequentialFile>* result, IODebugContext* context) override {
    std::string whole;
    bool overlaid = false;
    IOStatus status = overlay(path, options, whole, overlaid, context);
    if (!status.ok()) return status;
    if (!overlaid) return target()->NewSequentialFile(path, options, result, context);
    *result = std::make_unique<WholeSequentialFile>(std::move(whole));
    return IOStatus::OK();
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<FSRandomAccessFile>* result, IODebugContext* context) override {
    std::string whole;
    bool overlaid = false;
    IOStatus status = overlay(path, options, whole, overlaid, context);
    if (!status.ok()) return status;
    if (!overlaid) return target()->NewRandomAccessFile(path, options, result, context);
    *result = std::make_unique<WholeRandomAccessFile>(std::move(whole));
    return IOStatus::OK();
  }
  IOStatus NewRandomRWFile(const std::string&, const FileOptions&, std::unique_ptr<rocksdb::FSRandomRWFile>*,
                           IODebugContext*) override {
    return IOStatus::NotSupported("the volatile file system has no random writes");
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* size_bytes,
                       IODebugContext* context) override {
    IOStatus status = target()->GetFileSize(path, options, size_bytes, context);
    if (const auto tail = find(path); status.ok() && tail) {
      std::lock_guard lock(tail->mutex);
      *size_bytes += tail->unsynced.size();
    }
    return status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* context) override {
    if (faults_->power_cut) return IOStatus::IOError("power is cut");
    forget(path);
    return target()->DeleteFile(path, options, context);
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* context) override {
    if (faults_->power_cut) return IOStatus::IOError("power is cut");
    IOStatus status = target()->RenameFile(from, to, options, context);
    if (status.ok()) move(from, to, true);
    return status;
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    IODebugContext* context) override {
    if (faults_->power_cut) return IOStatus::IOError("power is cut");
    IOStatus status = target()->LinkFile(from, to, options, context);
    if (status.ok()) move(from, to, false);
    return status;
  }

 private:
  IOStatus open(const std::string& path, const FileOptions& options, std::unique_ptr<FSWritableFile>* result,
                IODebugContext* context, bool append) {
    if (faults_->power_cut) return IOStatus::IOError("power is cut");
    auto tail = append ? find(path) : nullptr;
    if (!tail || !tail->file) {
      tail = std::make_shared<Tail>();
      IOStatus status = append ? target()->ReopenWritableFile(path, options, &tail->file, context)
                               : target()->NewWritableFile(path, options, &tail->file, context);
      if (!status.ok()) return status;
      std::lock_guard lock(mutex_);
      tails_[path] = tail;
    }
    *result = std::make_unique<VolatileFile>(std::move(tail), faults_);
    return IOStatus::OK();
  }

  std::shared_ptr<Tail> find(const std::string& path) {
    std::lock_guard lock(mutex_);
    const auto found = tails_.find(path);
    return found == tails_.end() ? nullptr : found->second;
  }
  void forget(const std::string& path) {
    std::lock_guard lock(mutex_);
    tails_.erase(path);
  }
  void move(const std::string& from, const std::string& to, bool and_erase) {
    std::lock_guard lock(mutex_);
    const auto found = tails_.find(from);
    if (found == tails_.end()) {
      tails_.erase(to);
      return;
    }
    auto tail = found->second;
    if (and_erase) tails_.erase(found);
    tails_[to] = std::move(tail);
  }

  IOStatus overlay(const std::string& path, const FileOptions& options, std::string& whole, bool& overlaid,
                   IODebugContext* context) {
    const auto tail = find(path);
    if (!tail) return IOStatus::OK();
    std::lock_guard lock(tail->mutex);
    if (tail->unsynced.empty()) return IOStatus::OK();
    uint64_t synced = 0;
    IOStatus status = target()->GetFileSize(path, options.io_options, &synced, context);
    std::unique_ptr<FSSequentialFile> file;
    if (status.ok()) status = target()->NewSequentialFile(path, options, &file, context);
    whole.resize(synced);
    Slice read;
    for (size_t at = 0; status.ok() && at < synced; at += read.size()) {
      status = file->Read(synced - at, options.io_options, &read, whole.data() + at, context);
      if (read.empty()) break;
      if (read.data() != whole.data() + at) std::memmove(whole.data() + at, read.data(), read.size());
    }
    whole += tail->unsynced;
    overlaid = true;
    return status;
  }

  std::shared_ptr<DiskFaults> faults_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Tail>> tails_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_volatile_env(std::shared_ptr<DiskFaults> faults) {
  return rocksdb::NewCompositeEnv(std::make_shared<VolatileFileSystem>(std::move(faults)));
}

}  // namespace polis::store
