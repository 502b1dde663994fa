#include "kernel/store/rocks_store.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <map>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_buffer_manager.h>

#include "kernel/obs/log.h"
#include "kernel/store/commit_pipeline.h"
#include "kernel/store/garbage.h"
#include "kernel/store/rocks_txn.h"
#include "kernel/store/row_format.h"
#include "kernel/store/volatile_env.h"

namespace polis::store {
namespace {

constexpr std::string_view kFormatMagic = "polis.store ";
constexpr int kFormatVersion = 1;
constexpr std::string_view kFamilyPrefix = "rows/";
constexpr size_t kKeyspaceNameBytesMax = 64;

// The part of an entry key that all versions of a row share; Bloom filters are made of it.
class RowPrefix final : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "polis.store.row"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), escaped_key_length({key.data(), key.size()})};
  }
  bool InDomain(const rocksdb::Slice& key) const override { return escaped_key_length({key.data(), key.size()}) != 0; }
};

// What RocksDB tells of its flushes and compactions. One that fails leaves it refusing writes; we refuse from the same
// moment and say why. One that succeeds replaced files, and idle iterators must not hold the old ones.
class BackgroundListener final : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    std::lock_guard lock(mutex_);
    if (pipeline_) pipeline_->fail_with(store_error(*status, "flush or compact in the background"));
  }
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& flush) override { replaced(flush.cf_id); }
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& compaction) override {
    replaced(compaction.cf_id);
  }
  // From then on until detach(); both outlive that.
  void attach(CommitPipeline& pipeline, Seekers& seekers) {
    std::lock_guard lock(mutex_);
    pipeline_ = &pipeline;
    seekers_ = &seekers;
  }
  void detach() {
    std::lock_guard lock(mutex_);
    pipeline_ = nullptr;
    seekers_ = nullptr;
  }

 private:
  void replaced(uint32_t family_id) {
    std::lock_guard lock(mutex_);
    if (seekers_) seekers_->drop(family_id);
  }

  std::mutex mutex_;
  CommitPipeline* pipeline_ = nullptr;
  Seekers* seekers_ = nullptr;
};

bool supported(rocksdb::CompressionType type) {
  const auto all = rocksdb::GetSupportedCompressions();
  return std::find(all.begin(), all.end(), type) != all.end();
}

rocksdb::ColumnFamilyOptions family_options(const StoreOptions& options, const std::shared_ptr<rocksdb::Cache>& cache,
                                            std::shared_ptr<rocksdb::CompactionFilterFactory> filter) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;  // everything a read touches is inside the one memory limit
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // 1 % false positives
  table.whole_key_filtering = false;                             // filters hold rows, not versions
  table.format_version = 5;
  table.block_size = 8 << 10;

  rocksdb::ColumnFamilyOptions family;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  family.prefix_extractor = std::make_shared<RowPrefix>();
  family.memtable_prefix_bloom_size_ratio = 0.02;
  family.write_buffer_size = options.write_buffer_bytes;
  family.arena_block_size = 64 << 10;  // a keyspace with ten rows should not cost a megabyte
  family.compaction_filter_factory = std::move(filter);
  family.compression = supported(rocksdb::kLZ4Compression) ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  family.bottommost_compression = supported(rocksdb::kZSTD) ? rocksdb::kZSTD : family.compression;
  family.level_compaction_dynamic_level_bytes = true;
  return family;
}

// What RocksDB has to say becomes lines of our own log. Without this it writes a file beside the rows, and one that
// meets a full disk ends the process: RocksDB 7.8 with assertions on, as Debian builds it, takes no second line after
// one that could not be written.
class EngineLines final : public rocksdb::Logger {
 public:
  EngineLines() : Logger(rocksdb::WARN_LEVEL) {}
  using Logger::Logv;
  void LogHeader(const char*, va_list) override {}  // its options, at every start
  void Logv(const char* format, va_list arguments) override {
    char line[1024];
    const int length = std::vsnprintf(line, sizeof line, format, arguments);
    if (length < 0) return;
    obs::log_warning("the row store's engine says",
                     {{"line", std::string_view(line, std::min(static_cast<size_t>(length), sizeof line - 1))}});
  }
};

rocksdb::DBOptions database_options(const StoreOptions& options, rocksdb::Env* env,
                                    std::shared_ptr<rocksdb::EventListener> listener) {
  rocksdb::DBOptions database;
  database.env = env;
  database.create_if_missing = true;
  database.paranoid_checks = true;
  database.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  database.max_total_wal_size = options.log_bytes_max;
  database.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(options.write_buffer_bytes);
  database.max_background_jobs = std::max(2, options.background_jobs);
  database.max_open_files = 512;
  database.max_bgerror_resume_count = 0;  // a failed write is never retried
  database.stats_dump_period_sec = 0;     // an idle process stays idle
  database.stats_persist_period_sec = 0;
  database.info_log = std::make_shared<EngineLines>();
  database.listeners = {std::move(listener)};
  return database;
}

Error open_error(const rocksdb::Status& status, const std::string& directory) {
  const std::string what = "open the store in " + directory;
  if (status.IsIOError() && status.ToString().find("lock") != std::string::npos)
    return Error(Code::kBusy, what + ": another process has it open (" + status.ToString() + ")");
  return store_error(status, what);
}

Result<void> check_format(rocksdb::DB& database, bool fresh) {
  const std::string expected = std::string(kFormatMagic) + std::to_string(kFormatVersion);
  std::string found;
  auto status = database.Get({}, "format", &found);
  if (status.ok()) {
    if (found == expected) return {};
    if (found.starts_with(kFormatMagic))
      return fail(Code::kUnsupported, "the store has format " + found.substr(kFormatMagic.size()) +
                                          ", this polis reads " + std::to_string(kFormatVersion) +
                                          ": use the polis that wrote it, or a newer one");
    return fail(Code::kCorrupt, "the store's format record is unreadable");
  }
  if (!status.IsNotFound()) return fail(store_error(status, "read the store's format record"));
  if (!fresh) return fail(Code::kCorrupt, "the directory holds a RocksDB that polis did not make");
  rocksdb::WriteOptions synced;
  synced.sync = true;
  status = database.Put(synced, "format", expected);
  if (!status.ok()) return fail(store_error(status, "write the store's format record"));
  return {};
}

Result<StoreState> recover_state(rocksdb::DB& database) {
  std::string bytes;
  const auto status = database.Get({}, "state", &bytes);
  if (status.IsNotFound()) return StoreState{};
  if (!status.ok()) return fail(store_error(status, "read the store's state record"));
  const auto state = decode_state(bytes);
  if (!state) return fail(Code::kCorrupt, "the store's state record is unreadable");
  return *state;
}

// Counts a job of the pool for as long as it runs.
class Job {
 public:
  explicit Job(std::atomic<size_t>& jobs) : jobs_(jobs) { ++jobs_; }
  ~Job() { --jobs_; }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

 private:
  std::atomic<size_t>& jobs_;
};

}  // namespace

struct RocksStore::State {
  StoreOptions options;
  const Clock* clock = nullptr;
  std::unique_ptr<rocksdb::Env> env;  // null: the machine's
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<BackgroundListener> listener = std::make_shared<BackgroundListener>();
  std::unique_ptr<LiveViews> views;
  std::unique_ptr<Garbage> garbage;
  std::unique_ptr<rocksdb::DB> database;
  std::unique_ptr<RocksReader> reader;
  std::unique_ptr<CommitPipeline> pipeline;

  mutable std::mutex mutex;  // families
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  std::map<std::string, Keyspace, std::less<>> keyspaces;
  std::atomic<bool> closed{false};
  std::atomic<size_t> jobs{0};  // on the pool: checkpoints, compactions, looks at version chains

  Result<void> open();
  Result<void> shut();
  ~State() { (void)shut(); }  // a failure here was told by failure() while there was somebody to ask
};

Result<void> RocksStore::State::open() {
  static const base::SystemClock system_clock;
  clock = options.clock ? options.clock : &system_clock;
  if (options.directory.empty()) return fail(Code::kInvalid, "the store needs a directory");
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) return fail(system_error(error.value(), "make the store's directory " + options.directory));
  if (options.volatile_disk) env = make_volatile_env(options.faults);
  cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  // Until recovery has told the newest commit, no version may be taken for garbage: compactions can start inside Open.
  views = std::make_unique<LiveViews>(0);
  garbage = std::make_unique<Garbage>(*views, *clock, options.retain);
  const auto family = family_options(options, cache, garbage->filter_factory());
  const auto database_opts = database_options(options, env ? env.get() : rocksdb::Env::Default(), listener);

  const bool fresh = !std::filesystem::exists(options.directory + "/CURRENT");
  std::vector<std::string> names{rocksdb::kDefaultColumnFamilyName};
  if (!fresh) {
    names.clear();
    const auto listed = rocksdb::DB::ListColumnFamilies(database_opts, options.directory, &names);
    if (!listed.ok()) return fail(open_error(listed, options.directory));
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names) {
    // The store's own two records need none of what rows need.
    rocksdb::ColumnFamilyOptions own;
    own.write_buffer_size = 1 << 20;
    own.arena_block_size = 16 << 10;
    descriptors.emplace_back(name, name == rocksdb::kDefaultColumnFamilyName ? own : family);
  }
  rocksdb::DB* raw = nullptr;
  const auto opened = rocksdb::DB::Open(database_opts, options.directory, descriptors, &handles, &raw);
  if (!opened.ok()) return fail(open_error(opened, options.directory));
  database.reset(raw);
  TRY(check_format(*database, fresh));
  const StoreState recovered = TRY(recover_state(*database));
  reader = std::make_unique<RocksReader>(database.get());
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    if (!handle->GetName().starts_with(kFamilyPrefix)) continue;
    if (handle->GetID() >= kKeyspacesMax)
      return fail(Code::kTooLarge, "the store has more than " + std::to_string(kKeyspacesMax) + " keyspaces");
    keyspaces[handle->GetName().substr(kFamilyPrefix.size())] = {handle->GetID()};
    reader->add({handle->GetID()}, handle);
  }
  views->publish(recovered.newest);
  pipeline =
      std::make_unique<CommitPipeline>(*reader, database->DefaultColumnFamily(), *views, *garbage, *clock, recovered,
                                       PipelineOptions{options.commit_queue_bytes, options.recent_writes_bytes});
  listener->attach(*pipeline, reader->seekers());
  return {};
}

// Ends the pipeline, then RocksDB; what was handed over is written first.
Result<void> RocksStore::State::shut() {
  if (closed.exchange(true)) return {};
  Result<void> result;
  if (pipeline) {
    pipeline->stop();
    if (const auto why = pipeline->failure()) result = fail(*why);
  }
  if (views) POLIS_ASSERT(views->count() == 0 && "every transaction ends before its store");
  listener->detach();
  if (database) {
    rocksdb::CancelAllBackgroundWork(database.get(), true);
    if (reader) reader->seekers().drop_all();
    for (rocksdb::ColumnFamilyHandle* handle : handles) database->DestroyColumnFamilyHandle(handle);
    handles.clear();
    const auto status = database->Close();
    if (!status.ok() && result) result = fail(store_error(status, "close the store"));
    database.reset();
  }
  return result;
}

RocksStore::RocksStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
RocksStore::~RocksStore() = default;

Result<std::unique_ptr<RocksStore>> RocksStore::open(StoreOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  TRY(state->open());
  return std::unique_ptr<RocksStore>(new RocksStore(std::move(state)));
}

Result<Keyspace> RocksStore::keyspace(std::string_view name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'; };
  if (name.empty() || name.size() > kKeyspaceNameBytesMax || !std::all_of(name.begin(), name.end(), allowed))
    return fail(Code::kInvalid, "keyspace name '" + printable(name) + "': 1 to 64 of a-z 0-9 _ .");
  State& state = *state_;
  std::lock_guard lock(state.mutex);
  if (state.closed) return fail(Code::kClosed, "the store is closed");
  if (const auto found = state.keyspaces.find(name); found != state.keyspaces.end()) return found->second;
  if (state.keyspaces.size() + 1 >= kKeyspacesMax)
    return fail(Code::kTooLarge, "a store has at most " + std::to_string(kKeyspacesMax - 1) + " keyspaces");
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  const auto status =
      state.database->CreateColumnFamily(family_options(state.options, state.cache, state.garbage->filter_factory()),
                                         std::string(kFamilyPrefix) + std::string(name), &handle);
  if (!status.ok()) return fail(store_error(status, "make keyspace " + std::string(name)));
  state.handles.push_back(handle);
  const Keyspace keyspace{handle->GetID()};
  POLIS_ASSERT(keyspace.id < kKeyspacesMax);  // families are never dropped, so their ids are dense
  state.reader->add(keyspace, handle);
  state.keyspaces.emplace(name, keyspace);
  return keyspace;
}

Task<Result<std::unique_ptr<Txn>>> RocksStore::begin(Isolation isolation) {
  if (state_->closed) co_return fail(Code::kClosed, "the store is closed");
  if (isolation == Isolation::kReadUncommitted || isolation == Isolation::kSerializable)
    co_return fail(Code::kUnsupported, "this store offers the isolation levels read committed and repeatable read");
  co_return std::make_unique<RocksTxn>(*state_->reader, *state_->views, *state_->pipeline, isolation);
}

Task<Result<CommitTime>> RocksStore::checkpoint(std::string directory) {
  State& state = *state_;
  if (state.closed) co_return fail(Code::kClosed, "the store is closed");
  const CommitTime newest = state.views->visible();
  Job job(state.jobs);
  co_return co_await io::blocking([&]() -> Result<CommitTime> {
    std::error_code error;
    if (std::filesystem::exists(directory, error)) {
      // RocksDB wants to make the directory itself; remove() refuses one that is not empty.
      if (!std::filesystem::is_directory(directory, error) || !std::filesystem::remove(directory, error))
        return fail(Code::kExists, "checkpoint: " + directory + " exists and is not an empty directory");
    } else {
      const auto parent = std::filesystem::absolute(directory).parent_path();
      std::filesystem::create_directories(parent, error);
      if (error) return fail(system_error(error.value(), "checkpoint: make " + parent.string()));
    }
    rocksdb::Checkpoint* raw = nullptr;
    auto status = rocksdb::Checkpoint::Create(state.database.get(), &raw);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
    if (status.ok()) status = checkpoint->CreateCheckpoint(directory, 0);
    if (!status.ok()) return fail(store_error(status, "checkpoint into " + directory));
    return newest;
  });
}

StoreStatistics RocksStore::statistics() const {
  const State& state = *state_;
  StoreStatistics out;
  const CommitPipeline::Counters& counters = state.pipeline->counters();
  out.commits = counters.commits.load(std::memory_order_relaxed);
  out.conflicts = counters.conflicts.load(std::memory_order_relaxed);
  out.rows_written = counters.rows_written.load(std::memory_order_relaxed);
  out.groups = counters.groups.load(std::memory_order_relaxed);
  out.syncs = counters.syncs.load(std::memory_order_relaxed);
  out.newest = state.views->visible();
  if (state.closed) return out;
  uint64_t value = 0;
  if (state.database->GetAggregatedIntProperty(rocksdb::DB::Properties::kLiveSstFilesSize, &value))
    out.size_bytes = value;
  for (const auto& property :
       {rocksdb::DB::Properties::kCurSizeAllMemTables, rocksdb::DB::Properties::kEstimateTableReadersMem})
    if (state.database->GetAggregatedIntProperty(property, &value)) out.memory_bytes += value;
  out.memory_bytes += state.cache->GetUsage();
  return out;
}

std::optional<Error> RocksStore::failure() const {
  return state_->pipeline->failure();
}

Task<Result<void>> RocksStore::close() {
  State& state = *state_;
  if (const size_t living = state.views->count(); living > 0)
    co_return fail(Code::kBusy, "close: " + std::to_string(living) + " transactions are not over");
  if (const size_t jobs = state.jobs; jobs > 0)
    co_return fail(Code::kBusy, "close: " + std::to_string(jobs) + " checkpoints or compactions are running");
  co_return co_await io::blocking([&] { return state.shut(); });
}

Task<Result<std::vector<RowVersion>>> RocksStore::versions(Keyspace keyspace, std::string key, size_t limit) {
  State& state = *state_;
  if (state.closed) co_return fail(Code::kClosed, "the store is closed");
  if (!state.reader->family(keyspace))
    co_return fail(Code::kInvalid, "no keyspace " + std::to_string(keyspace.id) + " was opened");
  Job job(state.jobs);
  co_return co_await io::blocking([&]() -> Result<std::vector<RowVersion>> {
    std::string escaped;
    append_escaped_key(escaped, key);
    rocksdb::ReadOptions options;
    options.prefix_same_as_start = true;
    options.ignore_range_deletions = true;  // as in rocks_reader.cc
    std::vector<RowVersion> chain;
    const std::unique_ptr<rocksdb::Iterator> at(state.database->NewIterator(options, state.reader->family(keyspace)));
    for (at->Seek(escaped); at->Valid() && chain.size() < limit; at->Next()) {
      const auto entry = parse_entry_key({at->key().data(), at->key().size()});
      const auto header = parse_row_header({at->value().data(), at->value().size()});
      if (!entry || !header) return fail(Code::kCorrupt, "row " + printable(key) + " has an unreadable version");
      if (entry->escaped != escaped) break;
      chain.push_back({entry->committed_at, header->transaction_id, header->version, header->roll, header->tombstone,
                       std::string(at->value().data() + kRowHeaderBytes, at->value().size() - kRowHeaderBytes)});
    }
    if (!at->status().ok()) return fail(store_error(at->status(), "read the versions of row " + printable(key)));
    return chain;
  });
}

Task<Result<void>> RocksStore::compact() {
  State& state = *state_;
  if (state.closed) co_return fail(Code::kClosed, "the store is closed");
  Job job(state.jobs);
  co_return co_await io::blocking([&]() -> Result<void> {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    {
      std::lock_guard lock(state.mutex);
      handles = state.handles;
    }
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      const auto status = state.database->CompactRange(options, handle, nullptr, nullptr);
      if (!status.ok()) return fail(store_error(status, "compact " + handle->GetName()));
    }
    return {};
  });
}

}  // namespace polis::store
