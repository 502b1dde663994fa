#include "kernel/store/rocks_txn.h"

#include "kernel/io/shard.h"
#include "kernel/store/row_format.h"

namespace polis::store {
namespace {

constexpr size_t kKeyBytesMax = size_t{8} << 10;
constexpr size_t kValueBytesMax = size_t{16} << 20;
constexpr size_t kTransactionBytesMax = size_t{64} << 20;
constexpr size_t kWriteOverheadBytes = 128;  // map node, header, log record
constexpr size_t kScanRowsMax = 100'000;
constexpr size_t kScanBytesMax = size_t{16} << 20;
// Entries a scan looks at on the shard before it moves to the pool: about half a millisecond.
constexpr size_t kShardEntriesMax = 1000;
// Reads that commit need not repeat. Read-modify-write transactions touch a few rows; more are read again from warm
// blocks.
constexpr size_t kKnownMax = 16;

// Marks a transaction as busy for the time of one operation.
class Running {
 public:
  explicit Running(bool& flag) : flag_(flag) {
    POLIS_ASSERT(!flag_ && "one operation of a transaction at a time");
    flag_ = true;
  }
  ~Running() { flag_ = false; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  bool& flag_;
};

}  // namespace

RocksTxn::RocksTxn(const RocksReader& reader, LiveViews& views, CommitPipeline& pipeline, Isolation isolation)
    : reader_(reader),
      views_(views),
      pipeline_(pipeline),
      view_per_statement_(isolation == Isolation::kReadCommitted),
      view_(views.begin()),
      id_(pipeline.next_transaction_id()) {}

RocksTxn::~RocksTxn() {
  POLIS_ASSERT(!running_);
  if (!over_) end();
}

void RocksTxn::end() {
  over_ = true;
  views_.end(view_);
}

void RocksTxn::rollback() {
  POLIS_ASSERT(!running_);
  if (!over_) end();
  writes_.clear();
  guards_.clear();
}

void RocksTxn::begin_statement() {
  if (!view_per_statement_) return;
  const CommitTime before = view_;
  view_ = views_.begin();
  views_.end(before);
  known_.clear();
  known_next_ = 0;
}

// --- checks and the write buffer

Result<void> RocksTxn::usable(Keyspace keyspace) const {
  if (over_) return fail(Code::kInvalid, "the transaction is over: begin another one");
  if (!reader_.family(keyspace))
    return fail(Code::kInvalid, "no keyspace " + std::to_string(keyspace.id) + " was opened");
  return {};
}

Result<void> RocksTxn::usable(Keyspace keyspace, std::string_view key) const {
  TRY(usable(keyspace));
  if (key.empty()) return fail(Code::kInvalid, "a key has at least one byte");
  if (key.size() > kKeyBytesMax)
    return fail(Code::kTooLarge,
                "key " + printable(key) + " is longer than " + std::to_string(kKeyBytesMax) + " bytes");
  return {};
}

Result<void> RocksTxn::charge(size_t size_bytes) {
  if (size_bytes_ + size_bytes > kTransactionBytesMax)
    return fail(Code::kTooLarge,
                "the writes of one transaction exceed " + std::to_string(kTransactionBytesMax) + " bytes: split it");
  size_bytes_ += size_bytes;
  return {};
}

Write* RocksTxn::own(Keyspace keyspace, std::string_view key) {
  const auto writes = writes_.find(keyspace.id);
  if (writes == writes_.end()) return nullptr;
  const auto write = writes->second.find(key);
  return write == writes->second.end() ? nullptr : &write->second;
}

Result<Write*> RocksTxn::buffer(Keyspace keyspace, std::string_view key, std::string_view value) {
  TRY(usable(keyspace, key));
  POLIS_ASSERT(!running_ && "one operation of a transaction at a time");
  if (value.size() > kValueBytesMax)
    return fail(Code::kTooLarge,
                "the value of row " + printable(key) + " is larger than " + std::to_string(kValueBytesMax) + " bytes");
  KeyWrites& writes = writes_[keyspace.id];
  // Whoever writes many rows writes them in order.
  const bool last = writes.empty() || std::prev(writes.end())->first < key;
  const auto place = last ? writes.end() : writes.lower_bound(key);
  Write* write = place != writes.end() && place->first == key ? &place->second : nullptr;
  if (write) {
    if (value.size() > write->value.size()) TRY(charge(value.size() - write->value.size()));
    if (value.size() < write->value.size()) size_bytes_ -= write->value.size() - value.size();
  } else {
    TRY(charge(key.size() + value.size() + kWriteOverheadBytes));
    write = &writes.try_emplace(place, std::string(key))->second;
    // Under read committed the view moves on until commit, so what an earlier statement saw proves nothing.
    if (const Newest* seen = known(keyspace, key); seen && !view_per_statement_) write->base = *seen;
  }
  write->value.assign(value);
  write->tombstone = write->blind = false;
  return write;
}

Result<void> RocksTxn::put(Keyspace keyspace, std::string_view key, std::string_view value) {
  TRY(buffer(keyspace, key, value));
  return {};
}

Result<void> RocksTxn::put_blind(Keyspace keyspace, std::string_view key, std::string_view value) {
  Write* write = TRY(buffer(keyspace, key, value));
  write->blind = write->condition == Condition::kNone;  // an earlier insert() or update still asks
  return {};
}

Result<void> RocksTxn::insert(Keyspace keyspace, std::string_view key, std::string_view value) {
  TRY(usable(keyspace, key));
  const Write* before = own(keyspace, key);
  if (before && !before->tombstone)
    return fail(Code::kExists, "insert: this transaction wrote row " + printable(key) + " already");
  const bool fresh = !before;
  Write* write = TRY(buffer(keyspace, key, value));
  if (fresh) write->condition = Condition::kAbsent;  // erased by ourselves before: whatever was there is gone
  return {};
}

Result<void> RocksTxn::update_if_version(Keyspace keyspace, std::string_view key, uint64_t version,
                                         std::string_view value) {
  TRY(usable(keyspace, key));
  const Write* before = own(keyspace, key);
  const bool other_condition =
      before && ((before->condition == Condition::kAbsent && version != 0) ||
                 (before->condition == Condition::kVersion && before->expected_version != version));
  if (other_condition)
    return fail(Code::kVersionMismatch,
                "update: this transaction asked for another version of row " + printable(key) + " before");
  Write* write = TRY(buffer(keyspace, key, value));
  if (write->condition == Condition::kNone) {
    write->condition = Condition::kVersion;
    write->expected_version = version;
  }
  return {};
}

Result<void> RocksTxn::erase(Keyspace keyspace, std::string_view key) {
  Write* write = TRY(buffer(keyspace, key, {}));
  write->tombstone = true;
  return {};
}

// --- reads

void RocksTxn::remember(Keyspace keyspace, std::string_view key, const Newest& newest) {
  if (known_.size() < kKnownMax) {
    known_.push_back({keyspace.id, std::string(key), newest});
    return;
  }
  Known& oldest = known_[known_next_++ % kKnownMax];
  oldest.keyspace_id = keyspace.id;
  oldest.key = key;
  oldest.newest = newest;
}

const Newest* RocksTxn::known(Keyspace keyspace, std::string_view key) const {
  for (const Known& row : known_)
    if (row.keyspace_id == keyspace.id && row.key == key) return &row.newest;
  return nullptr;
}

// One coroutine, although its parts have names: most transactions are a few of these, each frame shows.
Task<Result<std::optional<Row>>> RocksTxn::get(Keyspace keyspace, std::string_view key) {
  CO_TRY(usable(keyspace, key));
  Running running(running_);
  begin_statement();
  Write* write = own(keyspace, key);
  if (write && write->tombstone) co_return std::optional<Row>{};
  const bool want_value = !write;
  auto seen = CO_TRY(reader_.lookup(keyspace, key, view_, Tier::kMemory, want_value));
  if (!seen) {
    seen = CO_TRY(co_await io::blocking([&] { return reader_.lookup(keyspace, key, view_, Tier::kDisk, want_value); }));
    POLIS_ASSERT(seen);
  }
  if (write) {
    if (!view_per_statement_) write->base = seen->version;
    co_return Row{std::string(key), write->value, seen->version.version + 1, 0};
  }
  remember(keyspace, key, seen->version);
  if (!seen->version.live) co_return std::optional<Row>{};
  co_return Row{std::string(key), std::move(seen->value), seen->version.version, seen->version.committed_at};
}

Task<Result<std::optional<Row>>> RocksTxn::get_for_update(Keyspace keyspace, std::string_view key) {
  CO_TRY(usable(keyspace, key));
  auto row = CO_TRY(co_await get(keyspace, key));
  KeyGuards& guards = guards_[keyspace.id];
  if (!guards.contains(key)) {
    CO_TRY(charge(key.size() + kWriteOverheadBytes));
    guards.emplace(std::string(key), view_);
  }
  co_return std::move(row);
}

Task<Result<Scan>> RocksTxn::scan(Keyspace keyspace, KeyRange range, ScanOptions options) {
  CO_TRY(usable(keyspace));
  if (options.limit == 0 || options.limit > kScanRowsMax)
    co_return fail(Code::kInvalid, "scan: the limit must be 1 to " + std::to_string(kScanRowsMax) + " rows, not " +
                                       std::to_string(options.limit));
  if (options.bytes_limit == 0 || options.bytes_limit > kScanBytesMax)
    co_return fail(Code::kInvalid, "scan: the limit must be 1 to " + std::to_string(kScanBytesMax) + " bytes, not " +
                                       std::to_string(options.bytes_limit));
  // One byte more than a key: the end of "everything up to this key".
  if (range.begin.size() > kKeyBytesMax + 1 || range.end.size() > kKeyBytesMax + 1)
    co_return fail(Code::kTooLarge, "scan: a bound is longer than a key can be");
  Running running(running_);
  begin_statement();
  const auto writes = writes_.find(keyspace.id);
  ScanCursor cursor(reader_, keyspace, range, options, view_, writes == writes_.end() ? nullptr : &writes->second);
  auto outcome = CO_TRY(cursor.run(Tier::kMemory, kShardEntriesMax));
  if (outcome == ScanCursor::Outcome::kGoOn) {
    outcome = CO_TRY(co_await io::blocking([&] { return cursor.run(Tier::kDisk, SIZE_MAX); }));
    POLIS_ASSERT(outcome == ScanCursor::Outcome::kDone);
  }
  co_return cursor.take();
}

// --- commit

// Reads what each write replaces, here and on the pool, so that the committer seldom has to.
Task<Result<void>> RocksTxn::find_bases() {
  struct Missing {
    Keyspace keyspace;
    const std::string* key;
    Write* write;
  };
  std::vector<Missing> missing;
  size_t looked_up = 0;
  for (auto& [keyspace_id, writes] : writes_) {
    for (auto& [key, write] : writes) {
      if (write.base || write.blind) continue;
      std::optional<Seen> seen;
      if (looked_up++ < kShardEntriesMax)
        seen = CO_TRY(reader_.lookup({keyspace_id}, key, view_, Tier::kMemory, false));
      if (seen) {
        write.base = seen->version;
      } else {
        missing.push_back({{keyspace_id}, &key, &write});
      }
    }
  }
  if (missing.empty()) co_return Result<void>{};
  co_return co_await io::blocking([&]() -> Result<void> {
    for (const Missing& row : missing) {
      const auto seen = TRY(reader_.lookup(row.keyspace, *row.key, view_, Tier::kDisk, false));
      POLIS_ASSERT(seen);
      row.write->base = seen->version;
    }
    return {};
  });
}

Task<Result<CommitTime>> RocksTxn::commit(Sync sync) {
  if (over_) co_return fail(Code::kInvalid, "the transaction is over: begin another one");
  struct End {
    RocksTxn& txn;
    ~End() { txn.end(); }
  } ends{*this};
  Running running(running_);
  const bool writes = !writes_.empty();
  if (!writes && guards_.empty() && (sync == Sync::kOs || view_ <= pipeline_.durable())) co_return view_;
  if (writes) {
    begin_statement();
    CO_TRY(co_await find_bases());
  }
  CommitRequest request;
  request.transaction_id = id_;
  request.view = view_;
  request.first_committer_wins = !view_per_statement_;
  request.writes = &writes_;
  request.guards = &guards_;
  request.size_bytes = size_bytes_;
  request.sync = sync;
  CO_TRY(pipeline_.submit(request));
  co_return co_await request.done;
}

}  // namespace polis::store
