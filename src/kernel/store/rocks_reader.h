// Reads versions of rows out of RocksDB: the newest one that a view may see, for one key or along a range. First from
// memory alone (RocksDB's block-cache tier), so that a shard never waits for the disk; what is not there is asked again
// on the blocking pool. Thread-safe but for ScanCursor, which belongs to one operation. RocksDB itself is only named
// here; its headers stay in .cc files.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kernel/store/recent_writes.h"
#include "kernel/store/seekers.h"
#include "kernel/store/store.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Iterator;
class Status;
}  // namespace rocksdb

namespace polis::store {

enum class Tier : unsigned char {
  kMemory,  // never waits for the disk; may answer "not here"
  kDisk,
};

// What RocksDB answered, in our words; `what` says what was tried.
Error store_error(const rocksdb::Status& status, std::string_view what);

// A row as one view sees it.
struct Seen {
  Newest version;  // version.live false: no row; committed_at is then the tombstone's, or 0
  std::string value;
};

class RocksReader {
 public:
  explicit RocksReader(rocksdb::DB* database) : database_(database) {}

  void add(Keyspace keyspace, rocksdb::ColumnFamilyHandle* family) {
    families_[keyspace.id].store(family, std::memory_order_release);
  }
  // Null if no such keyspace was opened.
  rocksdb::ColumnFamilyHandle* family(Keyspace keyspace) const {
    return keyspace.id < kKeyspacesMax ? families_[keyspace.id].load(std::memory_order_acquire) : nullptr;
  }
  rocksdb::DB* database() const { return database_; }

  // The newest version with committed_at <= view. An empty optional: the memory tier cannot say.
  Result<std::optional<Seen>> lookup(Keyspace keyspace, std::string_view key, CommitTime view, Tier tier,
                                     bool want_value) const;
  // Iterators that wait between lookups of the memory tier.
  Seekers& seekers() const { return seekers_; }

 private:
  rocksdb::DB* database_;
  mutable Seekers seekers_;
  std::array<std::atomic<rocksdb::ColumnFamilyHandle*>, kKeyspacesMax> families_{};
};

// One buffered write of a transaction, with what must hold at commit.
enum class Condition : unsigned char { kNone, kAbsent, kVersion };
struct Write {
  std::string value;
  bool tombstone = false;
  bool blind = false;  // what it replaces is nobody's business
  Condition condition = Condition::kNone;
  uint64_t expected_version = 0;  // with kVersion; 0: absent
  std::optional<Newest> base;     // the newest version at the transaction's view, once known
};
using KeyWrites = std::map<std::string, Write, std::less<>>;

// Merges committed rows with a transaction's own writes along a range. Runs in slices: on the shard while memory
// answers and the slice is short, then on the pool, where it left off.
class ScanCursor {
 public:
  // `own` may be null; it and the reader outlive the cursor, and `own` stays unchanged meanwhile.
  ScanCursor(const RocksReader& reader, Keyspace keyspace, const KeyRange& range, const ScanOptions& options,
             CommitTime view, const KeyWrites* own);
  ~ScanCursor();

  enum class Outcome : unsigned char { kDone, kGoOn };
  // Looks at no more than `entries_max` entries. kGoOn: call again, with the disk tier. Holds no RocksDB iterator
  // between calls.
  Result<Outcome> run(Tier tier, size_t entries_max);

  Scan take() { return std::move(scan_); }

 private:
  enum class Step : unsigned char { kRow, kEnd, kPause };
  Result<Step> next_committed();
  Result<Step> next_forward();
  Result<Step> next_backward();
  Result<Step> not_valid() const;
  Result<bool> consider(std::string_view escaped, CommitTime committed_at, std::string_view value);
  bool own_left() const;
  // False when a limit is reached.
  bool emit(Row row);
  void open(Tier tier);

  const RocksReader& reader_;
  const Keyspace keyspace_;
  const ScanOptions options_;
  const CommitTime view_;
  const KeyRange range_;
  std::string lower_, upper_;  // escaped bounds; an empty upper is unbounded
  std::string position_;       // escaped key of the last committed row that was considered; empty before the first
  std::unique_ptr<rocksdb::Iterator> iterator_;
  struct Bounds;
  std::unique_ptr<Bounds> bounds_;
  size_t entries_left_ = 0;

  const KeyWrites* own_;
  KeyWrites::const_iterator own_first_, own_last_;  // what is left of the own writes: [first, last)

  std::optional<Row> committed_;  // read ahead
  bool committed_end_ = false;
  Scan scan_;
  size_t bytes_ = 0;
};

}  // namespace polis::store
