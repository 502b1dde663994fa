// The Store port: one ordered, transactional, multi-version key-value store a process. Systems keep rows here;
// acknowledged rows have no second home. Embedded adapter: RocksDB (rocks_store.h). Every adapter passes the suite in
// conformance.h.
//
// A Store is used from any shard; a Txn belongs to the shard that began it. Keys are bytes in bytewise order inside a
// keyspace.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::store {

enum class Isolation : unsigned char {
  kReadUncommitted,
  kReadCommitted,
  kRepeatableRead,  // snapshot isolation: reads see the moment of begin; the first committer of a row wins
  kSerializable,
};

enum class Sync : unsigned char {
  kDisk,  // acknowledged after fdatasync of the write-ahead log
  kOs,    // survives kill -9, not power loss; for what can be derived again
};

// A named, separately ordered set of rows (a column family). Opened once at start, valid as long as the Store.
struct Keyspace {
  uint32_t id = 0;
};

// When a row was committed: strictly rising over the whole store.
using CommitTime = uint64_t;

struct Row {
  std::string key;
  std::string value;
  uint64_t version = 0;  // 1 at insert, +1 per commit that writes the key
  CommitTime committed_at = 0;
};

// [begin, end); an empty end is unbounded.
struct KeyRange {
  std::string begin;
  std::string end;
};

// All keys that start with `prefix`.
KeyRange prefix_range(std::string_view prefix);

struct ScanOptions {
  size_t limit = 1000;           // rows, 1..100000
  size_t bytes_limit = 1 << 20;  // stops after the row that reaches it
  bool reverse = false;          // from the end of the range downwards
  bool keys_only = false;        // values are left empty
};

struct Scan {
  std::vector<Row> rows;
  bool more = false;  // a limit ended the scan before the range did; go on behind rows.back().key
};

// Reads see a snapshot plus the transaction's own writes. Writes are buffered and become visible, all or none, at
// commit. Limits: key 1..8 KiB, value <= 16 MiB, all writes of one transaction <= 64 MiB (kTooLarge).
class Txn {
 public:
  virtual ~Txn() = default;  // rolls back what was not committed

  virtual Task<Result<std::optional<Row>>> get(Keyspace keyspace, std::string_view key) = 0;
  // As get, and commit answers kConflict if anyone else changes (or makes) the row before.
  virtual Task<Result<std::optional<Row>>> get_for_update(Keyspace keyspace, std::string_view key) = 0;
  virtual Task<Result<Scan>> scan(Keyspace keyspace, KeyRange range, ScanOptions options = {}) = 0;

  virtual Result<void> put(Keyspace keyspace, std::string_view key, std::string_view value) = 0;
  // As put, but nobody looks what it replaces, which is most of what a put costs: the row's version is 1 whatever was
  // there, and the commit neither meets nor makes a conflict. For rows that one writer alone makes, a great many of
  // them.
  virtual Result<void> put_blind(Keyspace keyspace, std::string_view key, std::string_view value) {
    return put(keyspace, key, value);
  }
  // The row must not exist when the transaction commits: kExists.
  virtual Result<void> insert(Keyspace keyspace, std::string_view key, std::string_view value) = 0;
  // The row must have exactly this version when the transaction commits: kVersionMismatch (0: must not exist).
  virtual Result<void> update_if_version(Keyspace keyspace, std::string_view key, uint64_t version,
                                         std::string_view value) = 0;
  virtual Result<void> erase(Keyspace keyspace, std::string_view key) = 0;

  // kConflict: somebody committed a row that this transaction wrote or locked after it began; retry from begin. After a
  // success the writes are as durable as `sync` says. The transaction is over either way.
  virtual Task<Result<CommitTime>> commit(Sync sync = Sync::kDisk) = 0;
  virtual void rollback() = 0;

  // The moment whose rows this transaction sees.
  virtual CommitTime view() const = 0;
};

struct StoreStatistics {
  uint64_t commits = 0, conflicts = 0, rows_written = 0, groups = 0, syncs = 0;
  uint64_t size_bytes = 0, memory_bytes = 0;
  CommitTime newest = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  // Names a keyspace, making it if absent; at start, before other use. [a-z0-9_.]{1,64}
  virtual Result<Keyspace> keyspace(std::string_view name) = 0;
  virtual Task<Result<std::unique_ptr<Txn>>> begin(Isolation isolation = Isolation::kRepeatableRead) = 0;
  // A consistent copy into an empty or absent directory, while commits go on.
  virtual Task<Result<CommitTime>> checkpoint(std::string directory) = 0;
  virtual StoreStatistics statistics() const = 0;
  // Why writes are refused since when; empty while healthy.
  virtual std::optional<Error> failure() const = 0;
  // Waits for what was handed over, then closes. No Txn may be alive.
  virtual Task<Result<void>> close() = 0;
};

// Runs `body(Txn&) -> Task<Result<T>>` and commits; on kConflict again from begin, at most `tries` times with jittered
// back-off. A body's own error rolls back and is returned as it is.
template <class F>
auto transact(Store& store, F body, Sync sync = Sync::kDisk, int tries = 16) -> std::invoke_result_t<F&, Txn&>;

}  // namespace polis::store

#include "kernel/store/transact.h"
