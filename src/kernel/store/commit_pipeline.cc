#include "kernel/store/commit_pipeline.h"

#include <algorithm>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

namespace polis::store {
namespace {

// A group ends at whichever comes first: bounds how long the first waits for the last, and the size of one log record.
constexpr size_t kGroupTransactionsMax = 4096;
constexpr size_t kGroupBytesMax = size_t{8} << 20;
// How far ahead of the clock the ceiling is set: one extra sync in ten seconds at most, and after a crash commit times
// run at most so far ahead of the wall clock.
constexpr CommitTime kCeilingAheadNs = 10'000'000'000;
// Dead keys erased between two groups, each a read that may wait for the disk.
constexpr size_t kPurgedKeysMax = 16;
constexpr size_t kPurgedVersionsMax = 4096;
// Under load, so that commits wait for such reads seldom.
constexpr size_t kTurnsBetweenPurges = 16;

}  // namespace

class CommitPipeline::Batch {
 public:
  void put(rocksdb::ColumnFamilyHandle* family, std::string_view key, CommitTime at, const RowHeader& header,
           std::string_view payload) {
    key_.clear();
    append_escaped_key(key_, key);
    append_version_suffix(key_, at);
    header_.clear();
    append_row_header(header_, header);
    const rocksdb::Slice key_part = rocksdb::Slice(key_);
    const rocksdb::Slice value_parts[2] = {rocksdb::Slice(header_), rocksdb::Slice(payload)};
    keep(batch_.Put(family, rocksdb::SliceParts(&key_part, 1), rocksdb::SliceParts(value_parts, 2)));
  }
  void put_state(rocksdb::ColumnFamilyHandle* meta, const StoreState& state) {
    keep(batch_.Put(meta, "state", encode_state(state)));
  }
  void erase(rocksdb::ColumnFamilyHandle* family, const rocksdb::Slice& entry) { keep(batch_.Delete(family, entry)); }

  size_t size_bytes() const { return batch_.GetDataSize(); }
  void clear() {
    batch_.Clear();
    status_ = rocksdb::Status::OK();
    if (batch_.Data().capacity() > 2 * kGroupBytesMax) batch_ = rocksdb::WriteBatch();
  }
  rocksdb::Status write(rocksdb::DB* database) {
    if (!status_.ok()) return status_;
    rocksdb::WriteOptions options;
    options.sync = false;
    return database->Write(options, &batch_);
  }

 private:
  void keep(const rocksdb::Status& status) {
    if (!status.ok() && status_.ok()) status_ = status;
  }
  rocksdb::WriteBatch batch_;
  rocksdb::Status status_;
  std::string key_, header_;
};

CommitPipeline::CommitPipeline(const RocksReader& reader, rocksdb::ColumnFamilyHandle* meta, LiveViews& views,
                               Garbage& garbage, const Clock& clock, const StoreState& state, PipelineOptions options)
    : reader_(reader),
      meta_(meta),
      views_(views),
      garbage_(garbage),
      clock_(clock),
      options_(options),
      recent_(state.newest, options.recent_bytes_max),
      state_(state),
      durable_(state.newest),
      transaction_id_(state.transaction_id) {
  // Times at or below the ceiling may have been handed out and lost.
  state_.newest = std::max(state.newest, state.ceiling);
  // RocksDB 7.8 asserts that a log file which saw a failed write was synced this way before: see README, limits.
  if (const auto status = reader_.database()->SyncWAL(); !status.ok())
    fail_with(store_error(status, "sync the store's log at start"));
  committer_ = std::thread([this] { run_committer(); });
  syncer_ = std::thread([this] { run_syncer(); });
  garbage_.on_dead([this] {
    std::lock_guard lock(mutex_);
    wake_.notify_one();
  });
}

CommitPipeline::~CommitPipeline() {
  stop();
}

void CommitPipeline::stop() {
  garbage_.on_dead(nullptr);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (!committer_.joinable()) return;
  committer_.join();
  syncer_.join();
  if (failed_.load(std::memory_order_acquire)) return;
  // Nothing was told beyond the last commit: the next start need not skip ahead to the ceiling.
  state_.ceiling = state_.newest;
  state_.transaction_id = transaction_id_.load(std::memory_order_relaxed);
  Batch last;
  last.put_state(meta_, state_);
  auto status = last.write(reader_.database());
  if (status.ok()) status = reader_.database()->SyncWAL();
  if (!status.ok()) fail_with(store_error(status, "close the store's log"));
}

Error CommitPipeline::refusal() const {
  const auto why = failure();
  POLIS_ASSERT(why);
  return Error(Code::kUnavailable, "the store takes no more writes since a failure; repair the disk and restart polis",
               *why);
}

Result<void> CommitPipeline::submit(CommitRequest& request) {
  if (failed_.load(std::memory_order_acquire)) return fail(refusal());
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return fail(Code::kClosed, "commit: the store is closed");
    const size_t queued = queued_bytes_.load(std::memory_order_relaxed);
    if (queued > 0 && queued + request.size_bytes > options_.queue_bytes_max)
      return fail(Code::kBusy, "commit: " + std::to_string(queued) +
                                   " bytes of commits wait already; the disk is behind, try later");
    queued_bytes_ += request.size_bytes;
    first = queue_.empty();
    queue_.push_back(&request);
  }
  if (first) wake_.notify_one();
  return {};
}

void CommitPipeline::finish(CommitRequest& request, Result<CommitTime> outcome) {
  queued_bytes_ -= request.size_bytes;
  request.done.set(std::move(outcome));  // the request may be gone now
}

void CommitPipeline::fail_with(Error why) {
  {
    std::lock_guard lock(mutex_);
    if (failure_) return;
    failure_ = std::move(why);
  }
  failed_.store(true, std::memory_order_release);
}

std::optional<Error> CommitPipeline::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

// --- the committer

void CommitPipeline::run_committer() {
  Batch batch;
  std::vector<CommitRequest*> taken;
  size_t turns = 0;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !queue_.empty() || garbage_.any_dead(); });
      if (queue_.empty() && stopping_) break;
      taken.swap(queue_);
    }
    if (garbage_.any_dead() && (taken.empty() || ++turns % kTurnsBetweenPurges == 0)) purge_dead(batch);
    for (size_t begin = 0; begin < taken.size();) {
      std::vector<CommitRequest*> group;
      size_t bytes = 0;
      while (begin < taken.size() && group.size() < kGroupTransactionsMax && bytes < kGroupBytesMax) {
        bytes += taken[begin]->size_bytes;
        group.push_back(taken[begin++]);
      }
      commit_group(std::move(group), batch);
    }
    taken.clear();
  }
  {
    std::lock_guard lock(sync_mutex_);
    committer_done_ = true;
  }
  sync_wake_.notify_one();
}

CommitTime CommitPipeline::next_time() {
  const int64_t wall_ns = clock_.wall().time_since_epoch().count();
  return std::max(state_.newest + 1, wall_ns > 0 ? static_cast<CommitTime>(wall_ns) : 0);
}

void CommitPipeline::commit_group(std::vector<CommitRequest*> requests, Batch& batch) {
  Group group;
  batch.clear();
  for (CommitRequest* request : requests) {
    if (failed_.load(std::memory_order_acquire)) {
      finish(*request, fail(refusal()));
      continue;
    }
    CommitTime blocker = 0;
    Result<void> valid = validate(*request, blocker);
    if (!valid) {
      counters_.conflicts.fetch_add(1, std::memory_order_relaxed);
      if (blocker <= views_.visible()) {
        finish(*request, std::unexpected(std::move(valid).error()));
      } else {
        // Told only when a new try would see what it lost against; before, every try would lose again.
        request->outcome = std::unexpected(std::move(valid).error());
        group.requests.push_back(request);
      }
      continue;
    }
    request->outcome = apply(*request, batch, group);
    group.requests.push_back(request);
  }
  if (group.requests.empty()) return;

  if (group.newest != 0) {
    if (group.newest > state_.ceiling) {
      state_.ceiling = group.newest + kCeilingAheadNs;
      group.wants_sync = true;  // the new ceiling must be durable before a time above the old one is told to anyone
    }
    state_.transaction_id = transaction_id_.load(std::memory_order_relaxed);
    batch.put_state(meta_, state_);
    if (const auto status = batch.write(reader_.database()); !status.ok()) {
      fail_with(store_error(status, "write a group of commits to the store's log"));
      for (CommitRequest* request : group.requests) finish(*request, fail(refusal()));
      return;
    }
    counters_.groups.fetch_add(1, std::memory_order_relaxed);
  }
  recent_.evict(views_.oldest());
  hand_to_syncer(std::move(group));
}

Result<Newest> CommitPipeline::newest_of(Keyspace keyspace, std::string_view key, CommitTime view,
                                         const std::optional<Newest>& base) {
  if (const Newest* recent = recent_.find(keyspace, key)) return *recent;
  // Nothing was written after the floor, so what the transaction saw at its later view is still the newest.
  if (base && view >= recent_.floor()) return *base;
  auto seen = TRY(reader_.lookup(keyspace, key, UINT64_MAX, Tier::kDisk, false));
  POLIS_ASSERT(seen);
  return seen->version;
}

Result<void> CommitPipeline::check(Keyspace keyspace, std::string_view key, const Write& write,
                                   const CommitRequest& request, CommitTime& blocker) {
  if (write.blind) {
    before_.emplace_back();
    return {};
  }
  const Newest newest = TRY(newest_of(keyspace, key, request.view, write.base));
  before_.push_back(newest);
  blocker = newest.committed_at;
  if (write.condition == Condition::kAbsent && newest.live)
    return fail(Code::kExists, "insert: row " + printable(key) + " exists already");
  if (write.condition == Condition::kVersion && newest.version != write.expected_version)
    return fail(Code::kVersionMismatch,
                "update: row " + printable(key) + " has version " + std::to_string(newest.version) + ", not " +
                    std::to_string(write.expected_version) + (newest.live ? "" : " (it does not exist)"));
  if (request.first_committer_wins && newest.committed_at > request.view)
    return fail(Code::kConflict, "row " + printable(key) +
                                     " was committed by another transaction after this one began; retry from begin");
  return {};
}

Result<void> CommitPipeline::validate(const CommitRequest& request, CommitTime& blocker) {
  before_.clear();
  if (request.guards) {
    for (const auto& [keyspace_id, guards] : *request.guards) {
      for (const auto& [key, view] : guards) {
        const Keyspace keyspace{keyspace_id};
        const Newest* recent = recent_.find(keyspace, key);
        if (!recent && view >= recent_.floor()) continue;
        const Newest newest = recent ? *recent : TRY(newest_of(keyspace, key, view, std::nullopt));
        if (newest.committed_at <= view) continue;
        blocker = newest.committed_at;
        return fail(Code::kConflict, "row " + printable(key) +
                                         ", read for update, was committed by another transaction; retry from begin");
      }
    }
  }
  if (request.writes) {
    for (const auto& [keyspace_id, writes] : *request.writes)
      for (const auto& [key, write] : writes) TRY(check({keyspace_id}, key, write, request, blocker));
  }
  return {};
}

CommitTime CommitPipeline::apply(CommitRequest& request, Batch& batch, Group& group) {
  CommitTime outcome = request.view;
  if (!before_.empty()) {
    const CommitTime at = next_time();
    uint64_t rows = 0;
    const Newest* before = before_.data();
    for (const auto& [keyspace_id, writes] : *request.writes) {
      const Keyspace keyspace{keyspace_id};
      for (const auto& [key, write] : writes) {
        const Newest& last = *before++;
        if (write.tombstone && !last.live) continue;  // nothing to erase
        const uint64_t version = write.tombstone ? 0 : last.version + 1;
        batch.put(reader_.family(keyspace), key, at,
                  {write.tombstone, request.transaction_id, version, last.committed_at}, write.value);
        if (!write.blind) recent_.record(keyspace, key, {at, version, !write.tombstone});
        ++rows;
      }
    }
    if (rows > 0) {
      outcome = state_.newest = group.newest = at;
      counters_.commits.fetch_add(1, std::memory_order_relaxed);
      counters_.rows_written.fetch_add(rows, std::memory_order_relaxed);
    }
  }
  if (request.sync == Sync::kDisk && outcome > durable()) group.wants_sync = true;
  return outcome;
}

void CommitPipeline::purge_dead(Batch& batch) {
  const CommitTime horizon = garbage_.horizon();
  batch.clear();
  const std::vector<DeadKey> dead_keys = garbage_.take_dead(kPurgedKeysMax);
  if (failed_.load(std::memory_order_acquire)) return;
  for (const DeadKey& dead : dead_keys) {
    rocksdb::ReadOptions options;
    options.prefix_same_as_start = true;
    options.ignore_range_deletions = true;  // as in rocks_reader.cc
    options.fill_cache = false;
    const auto family = reader_.family(dead.keyspace);
    if (!family) continue;
    const std::unique_ptr<rocksdb::Iterator> version(reader_.database()->NewIterator(options, family));
    std::vector<std::string> entries;
    for (version->Seek(rocksdb::Slice(dead.escaped)); version->Valid() && entries.size() <= kPurgedVersionsMax;
         version->Next()) {
      const auto entry = parse_entry_key({version->key().data(), version->key().size()});
      if (!entry || entry->escaped != dead.escaped) break;
      const auto header = parse_row_header({version->value().data(), version->value().size()});
      // Made again since, or the tombstone is not old enough after all.
      if (entries.empty() && (!header || !header->tombstone || entry->committed_at > horizon)) break;
      entries.push_back(version->key().ToString());
    }
    // Unreadable or too many: left to a later compaction, which first drops the versions behind the tombstone.
    if (!version->status().ok() || entries.size() > kPurgedVersionsMax) continue;
    for (const std::string& entry : entries) batch.erase(family, entry);
  }
  if (const auto status = batch.write(reader_.database()); !status.ok())
    fail_with(store_error(status, "erase dead rows"));
}

// --- the syncer

void CommitPipeline::hand_to_syncer(Group group) {
  {
    std::lock_guard lock(sync_mutex_);
    written_.push_back(std::move(group));
  }
  sync_wake_.notify_one();
}

void CommitPipeline::publish(Group& group) {
  if (group.newest != 0) views_.publish(group.newest);
  for (CommitRequest* request : group.requests) finish(*request, std::move(*request->outcome));
}

void CommitPipeline::run_syncer() {
  std::deque<Group> groups;
  while (true) {
    {
      std::unique_lock lock(sync_mutex_);
      sync_wake_.wait(lock, [&] { return committer_done_ || !written_.empty(); });
      if (written_.empty()) break;
      groups.swap(written_);
    }
    // What stands before the first group that wants the disk need not wait for it.
    while (!groups.empty() && !groups.front().wants_sync && !failed_.load(std::memory_order_acquire)) {
      publish(groups.front());
      groups.pop_front();
    }
    if (!groups.empty() && !failed_.load(std::memory_order_acquire)) sync_log(groups);
    if (failed_.load(std::memory_order_acquire)) {
      for (Group& group : groups)
        for (CommitRequest* request : group.requests)
          finish(
              *request,
              fail(Error(Code::kUnavailable,
                         "commit: the log could not be made durable; a restart shows whether this transaction survived",
                         *failure())));
    } else {
      for (Group& group : groups) publish(group);
    }
    groups.clear();
  }
}

void CommitPipeline::sync_log(const std::deque<Group>& groups) {
  // Relaxed commits that are visible already were written before this sync, too.
  CommitTime newest = views_.visible();
  for (const Group& group : groups) newest = std::max(newest, group.newest);
  if (const auto status = reader_.database()->SyncWAL(); !status.ok()) {
    fail_with(store_error(status, "sync the store's log"));
    return;
  }
  counters_.syncs.fetch_add(1, std::memory_order_relaxed);
  durable_.store(newest, std::memory_order_release);
}

}  // namespace polis::store
