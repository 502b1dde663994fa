// OpenFiles: bounds how many files the logs of one shard keep open together, so that thousands of logs live within a
// limit of descriptors: the one that was used longest ago is closed, and opened again when it is needed.
//
// One a shard; outlives its slots. Not thread-safe.
#pragma once

#include <memory>

#include "kernel/io/file.h"

namespace polis::log {

class OpenFiles {
 public:
  // The place of one file; empty while it is closed. Who works with the file holds the pointer meanwhile, and such a
  // file is not closed.
  class Slot {
   public:
    Slot() = default;
    ~Slot() { reset(); }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    const std::shared_ptr<io::File>& file() const { return file_; }
    explicit operator bool() const { return file_ != nullptr; }
    // Puts a file in, or marks the one that is there as used now. `files` null: not counted.
    void set(std::shared_ptr<io::File> file, OpenFiles* files);
    void touch();
    void reset();
    // A file with bytes that are not on disk yet stays open.
    void pin(bool pinned) { pinned_ = pinned; }

   private:
    friend class OpenFiles;
    std::shared_ptr<io::File> file_;
    OpenFiles* files_ = nullptr;
    Slot* newer_ = nullptr;
    Slot* older_ = nullptr;
    bool pinned_ = false;
  };

  explicit OpenFiles(size_t files_max) : files_max_(files_max) {}
  size_t open() const { return open_; }

 private:
  void add(Slot& slot);
  void remove(Slot& slot);
  void shrink(const Slot& newcomer);

  const size_t files_max_;
  size_t open_ = 0;
  Slot* newest_ = nullptr;
  Slot* oldest_ = nullptr;
};

}  // namespace polis::log
