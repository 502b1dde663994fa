// Which moments are being read: the views of live transactions, so that garbage collection keeps what they can see and
// the committer remembers what they may conflict with. Thread-safe. Views begin in rising order, so a deque of counts
// is enough: begin O(1), end O(log n) in distinct live moments.
#pragma once

#include <deque>
#include <mutex>

#include "kernel/store/store.h"

namespace polis::store {

class LiveViews {
 public:
  explicit LiveViews(CommitTime visible) : visible_(visible) {}

  // Begins a view of the newest visible moment.
  CommitTime begin() {
    std::lock_guard lock(mutex_);
    if (live_.empty() || live_.back().view != visible_) live_.push_back({visible_, 0});
    ++live_.back().count;
    ++total_;
    return visible_;
  }
  void end(CommitTime view);

  // Makes commits up to `newest` visible to views that begin from now on.
  void publish(CommitTime newest) {
    std::lock_guard lock(mutex_);
    visible_ = newest;
  }
  CommitTime visible() const {
    std::lock_guard lock(mutex_);
    return visible_;
  }
  // No view, living or to come, is older.
  CommitTime oldest() const {
    std::lock_guard lock(mutex_);
    return live_.empty() ? visible_ : live_.front().view;
  }
  size_t count() const {
    std::lock_guard lock(mutex_);
    return total_;
  }

 private:
  struct Moment {
    CommitTime view;
    size_t count;
  };
  mutable std::mutex mutex_;  // held for a few instructions; transactions of all shards meet here twice in their life
  std::deque<Moment> live_;   // rising; the front one is in use
  CommitTime visible_;
  size_t total_ = 0;
};

}  // namespace polis::store
