// Which versions may go. A version is garbage once every view, living or to come, sees a newer one of the same key, and
// it is older than the retention. Compactions of RocksDB drop it in passing.
//
// A tombstone goes last: it may only be dropped together with every older version, and a compaction does not see them
// all. So the filter reports tombstones past the horizon, and the committer erases such a key as a whole, in order with
// commits.
//
// Thread-safe: filters run on RocksDB's compaction threads.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/store/live_views.h"

namespace rocksdb {
class CompactionFilterFactory;
}

namespace polis::store {

struct DeadKey {
  Keyspace keyspace;
  std::string escaped;
};

class Garbage {
 public:
  Garbage(const LiveViews& views, const Clock& clock, Duration retain)
      : views_(views), clock_(clock), retain_(retain) {}

  // At every moment of now or later, no view is older than this.
  CommitTime horizon() const;
  std::shared_ptr<rocksdb::CompactionFilterFactory> filter_factory();

  // `wake` is called from compaction threads when dead keys appear where none were.
  void on_dead(std::function<void()> wake);
  void report_dead(uint32_t keyspace_id, std::string_view escaped);
  bool any_dead() const { return any_dead_.load(std::memory_order_acquire); }
  std::vector<DeadKey> take_dead(size_t most);

 private:
  const LiveViews& views_;
  const Clock& clock_;
  const Duration retain_;
  mutable std::mutex mutex_;
  std::function<void()> wake_;
  std::vector<DeadKey> dead_;
  size_t dead_bytes_ = 0;
  std::atomic<bool> any_dead_{false};
};

}  // namespace polis::store
