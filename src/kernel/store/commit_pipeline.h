// The way of every commit: validated and written in groups by one thread, made durable by a second one, answered in
// order.
//
//   shards ──queue──► committer                                 syncer
//                     validate against newest commits           take every written group
//                     assign commit times, one WriteBatch ────► one sync of the log if any of them wants it
//                     write it unsynced, next group             publish the newest time, complete the waiters
//
// While the disk syncs one set of groups the next are validated and written; they conflict with unpublished commits
// too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/io/shard.h"
#include "kernel/store/garbage.h"
#include "kernel/store/live_views.h"
#include "kernel/store/recent_writes.h"
#include "kernel/store/rocks_reader.h"
#include "kernel/store/row_format.h"

namespace polis::store {

// What a transaction locked by get_for_update: nobody may have committed the key after this view.
using KeyGuards = std::map<std::string, CommitTime, std::less<>>;

// One transaction handed over. Lives in the frame of the waiting commit(); the pipeline reads the writes and guards,
// and completes `done` exactly once. Without writes and guards it only waits until everything up to `view` is durable.
struct CommitRequest {
  uint64_t transaction_id = 0;
  CommitTime view = 0;
  bool first_committer_wins = true;  // false under read committed: a write does not care what happened since
  const std::map<uint32_t, KeyWrites>* writes = nullptr;
  const std::map<uint32_t, KeyGuards>* guards = nullptr;
  size_t size_bytes = 0;
  Sync sync = Sync::kDisk;
  io::Completion<Result<CommitTime>> done;
  std::optional<Result<CommitTime>> outcome;  // of the pipeline: waits for publication
};

struct PipelineOptions {
  size_t queue_bytes_max = size_t{64} << 20;
  size_t recent_bytes_max = size_t{8} << 20;
};

class CommitPipeline {
 public:
  // `state` is what recovery found; `meta` the default column family.
  CommitPipeline(const RocksReader& reader, rocksdb::ColumnFamilyHandle* meta, LiveViews& views, Garbage& garbage,
                 const Clock& clock, const StoreState& state, PipelineOptions options);
  ~CommitPipeline();  // stops

  // Any thread. kBusy when too much waits already.
  Result<void> submit(CommitRequest& request);
  // Finishes what was submitted, then ends both threads. Blocks; idempotent.
  void stop();

  // Everything up to here survives power loss.
  CommitTime durable() const { return durable_.load(std::memory_order_acquire); }
  uint64_t next_transaction_id() { return transaction_id_.fetch_add(1, std::memory_order_relaxed) + 1; }

  // Stops writing for good; the first reason stays. Any thread.
  void fail_with(Error why);
  std::optional<Error> failure() const;

  struct Counters {
    std::atomic<uint64_t> commits{0}, conflicts{0}, rows_written{0}, groups{0}, syncs{0};
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Group {
    std::vector<CommitRequest*> requests;
    CommitTime newest = 0;   // 0: the group wrote nothing
    bool wants_sync = false;
  };
  class Batch;

  void run_committer();
  void run_syncer();
  void commit_group(std::vector<CommitRequest*> requests, Batch& batch);
  Result<void> validate(const CommitRequest& request, CommitTime& blocker);
  CommitTime apply(CommitRequest& request, Batch& batch, Group& group);
  Result<Newest> newest_of(Keyspace keyspace, std::string_view key, CommitTime view, const std::optional<Newest>& base);
  Result<void> check(Keyspace keyspace, std::string_view key, const Write& write, const CommitRequest& request,
                     CommitTime& blocker);
  CommitTime next_time();
  void purge_dead(Batch& batch);
  void hand_to_syncer(Group group);
  void sync_log(const std::deque<Group>& groups);
  void publish(Group& group);
  void finish(CommitRequest& request, Result<CommitTime> outcome);
  Error refusal() const;

  const RocksReader& reader_;
  rocksdb::ColumnFamilyHandle* const meta_;
  LiveViews& views_;
  Garbage& garbage_;
  const Clock& clock_;
  const PipelineOptions options_;
  Counters counters_;

  mutable std::mutex mutex_;  // queue_ and failure_
  std::condition_variable wake_;
  std::vector<CommitRequest*> queue_;
  std::atomic<size_t> queued_bytes_{0};
  bool stopping_ = false;
  std::optional<Error> failure_;
  std::atomic<bool> failed_{false};

  std::mutex sync_mutex_;  // written_
  std::condition_variable sync_wake_;
  std::deque<Group> written_;
  bool committer_done_ = false;

  // Of the committer thread.
  RecentWrites recent_;
  StoreState state_;            // newest: the last time assigned
  std::vector<Newest> before_;  // what each write of the transaction in hand replaces, in the order of its writes

  std::atomic<CommitTime> durable_;
  std::atomic<uint64_t> transaction_id_;
  std::thread committer_, syncer_;
};

}  // namespace polis::store
