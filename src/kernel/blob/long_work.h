// What the long operations of an ExtentBlob share: how they keep others out, and how they tell how far they are. Only
// for its own files.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "kernel/blob/extent_blob.h"
#include "kernel/io/shard.h"

namespace polis::blob {

// Holds the only permit of a semaphore.
struct Permit {
  explicit Permit(io::Semaphore& s) : semaphore(s) {}
  Permit(const Permit&) = delete;
  ~Permit() { semaphore.release(); }
  io::Semaphore& semaphore;
};

// Runs at the end of a scope.
template <class F>
struct Finally {
  explicit Finally(F given) : at_end(std::move(given)) {}
  Finally(const Finally&) = delete;
  ~Finally() { at_end(); }
  F at_end;
};

// Calls the caller's Progress at most ten times a second.
class Reporter {
 public:
  Reporter(Progress* progress, uint64_t total) : progress_(progress), total_(std::max<uint64_t>(total, 1)) {}
  // False: the caller wants to stop.
  bool at(uint64_t done) {
    constexpr Duration kInterval = std::chrono::milliseconds(100);
    const SteadyTime now = io::Shard::current().clock().steady();
    if (!*progress_ || (called_ && now - last_ < kInterval)) return true;
    called_ = true;
    last_ = now;
    return (*progress_)(std::min(done, total_), total_);
  }
  void finished() {
    if (*progress_) (void)(*progress_)(total_, total_);
  }

 private:
  Progress* progress_;
  uint64_t total_;
  SteadyTime last_{};
  bool called_ = false;
};

// Where the rows of an extent end.
inline uint64_t end_of(const ExtentState& state) {
  return state.open ? std::max(state.open->end, state.file_bytes) : state.file_bytes;
}

}  // namespace polis::blob
