// The embedded adapter of the Store port: one RocksDB in one directory, snapshot isolation on top (README.md draws
// how).
//
// Used from any shard. Opening, keyspace() and the destructor block: call them at start and end, or on the blocking
// pool.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/store/store.h"

namespace polis::store {

struct DiskFaults;  // volatile_env.h

struct StoreOptions {
  std::string directory;         // made if absent; belongs to this process alone
  const Clock* clock = nullptr;  // null: the system's
  // How long old versions stay although no transaction sees them.
  Duration retain = std::chrono::minutes(10);

  size_t block_cache_bytes = size_t{32} << 20;   // shared by all keyspaces
  size_t write_buffer_bytes = size_t{16} << 20;  // all memtables together
  size_t log_bytes_max = size_t{64} << 20;       // of the write-ahead log; bounds the replay at start to about a second
  size_t commit_queue_bytes = size_t{64} << 20;  // commits that wait; beyond it they are kBusy
  size_t recent_writes_bytes =
      size_t{8} << 20;      // what the committer remembers of commits that living transactions may conflict with
  int background_jobs = 2;  // flushes and compactions at a time

  bool volatile_disk = false;          // POLIS_TEST_DISK=volatile: unsynced bytes die with the process
  std::shared_ptr<DiskFaults> faults;  // with volatile_disk; null: a disk that only forgets
};

// One link of a row's version chain, newest first; for people who look inside.
struct RowVersion {
  CommitTime committed_at = 0;
  uint64_t transaction_id = 0;
  uint64_t version = 0;
  CommitTime roll = 0;  // committed_at of the version before
  bool tombstone = false;
  std::string value;
};

class RocksStore final : public Store {
 public:
  // kBusy: another process has it open. kCorrupt: what is there cannot be read. kUnsupported: a later polis wrote it.
  static Result<std::unique_ptr<RocksStore>> open(StoreOptions options);
  ~RocksStore() override;

  Result<Keyspace> keyspace(std::string_view name) override;
  Task<Result<std::unique_ptr<Txn>>> begin(Isolation isolation = Isolation::kRepeatableRead) override;
  // Everything committed up to the time it returns is in the copy; later commits may be.
  Task<Result<CommitTime>> checkpoint(std::string directory) override;
  StoreStatistics statistics() const override;
  std::optional<Error> failure() const override;
  Task<Result<void>> close() override;

  // At most `limit` versions, newest first, published or not.
  Task<Result<std::vector<RowVersion>>> versions(Keyspace keyspace, std::string key, size_t limit = 100);
  // Rewrites every keyspace, dropping what is garbage. Heavy.
  Task<Result<void>> compact();

 private:
  struct State;
  explicit RocksStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::store
