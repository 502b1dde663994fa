// The store beside bare RocksDB on the same data, the same disk and in the same run:
//
//   point reads in cache, one thread              DB: Get    target >= 0.8; also with a transaction for every read
//   synced updates by 64 concurrent clients       TransactionDB: GetForUpdate, Put, synced Commit    target >= 1.0
//                                                 DB: Get, synced Put (no isolation; what a commit costs at least)
//
// The peers use 64 threads, we 64 coroutines. Ratios are taken inside one run, and nobody should compare numbers of two
// runs. POLIS_BENCH_ROWS changes the number of rows.
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/transaction.h>
#include <rocksdb/utilities/transaction_db.h>
#include <sys/resource.h>
#include <thread>

#include "kernel/base/endian.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/rocks_fixture.h"
#include "kernel/store/rocks_store.h"

namespace polis::store {
namespace {

constexpr size_t kValueBytes = 100;
constexpr size_t kCacheBytes = size_t{512} << 20;
constexpr int kClients = 64;
constexpr int kPasses = 5;

uint64_t rows_total() {
  const char* rows = std::getenv("POLIS_BENCH_ROWS");
  return rows ? std::strtoull(rows, nullptr, 10) : 200'000;
}

std::string key_of(uint64_t index) {
  std::string key(8, '\0');
  base::store_big(key.data(), (index + 1) * 0x9e3779b97f4a7c15);  // spread; a bijection
  return key;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Measured {
  uint64_t operations = 0;
  double seconds = 0, cpu_seconds = 0;

  double per_second() const { return static_cast<double>(operations) / seconds; }
  double cpu_us() const { return cpu_seconds * 1e6 / static_cast<double>(operations); }
};

// Adds one pass of `work` to what was measured before.
template <class F>
void measure(Measured& measured, uint64_t operations, F work) {
  const double cpu_before = cpu_seconds();
  const auto before = std::chrono::steady_clock::now();
  work();
  measured.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  measured.cpu_seconds += cpu_seconds() - cpu_before;
  measured.operations += operations;
}

double report(const char* what, const Measured& ours, const Measured& theirs) {
  const double ratio = ours.per_second() / theirs.per_second();
  std::printf("%-38s polis %8.0f/s %6.2f us CPU   rocksdb %8.0f/s %6.2f us CPU   ratio %.2f, by CPU %.2f\n", what,
              ours.per_second(), ours.cpu_us(), theirs.per_second(), theirs.cpu_us(), ratio,
              theirs.cpu_us() / ours.cpu_us());
  return ratio;
}

// --- the store

Task<int> fill(Store& store, Keyspace rows, uint64_t total) {
  for (uint64_t index = 0; index < total;) {
    auto txn = (co_await store.begin()).value();
    for (uint64_t end = std::min(total, index + 1000); index < end; ++index)
      if (!txn->put(rows, key_of(index), std::string(kValueBytes, 'v'))) std::abort();
    if (!(co_await txn->commit(Sync::kOs))) std::abort();
  }
  co_return 0;
}

Task<uint64_t> read_points(Store& store, Keyspace rows, uint64_t total, uint64_t times, uint64_t times_each_txn) {
  base::SeededRandom random(1);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < times; i += times_each_txn) {
    auto txn = (co_await store.begin()).value();
    for (uint64_t n = 0; n < times_each_txn; ++n) {
      auto row = co_await txn->get(rows, key_of(random.below(total)));
      if (!row || !*row) std::abort();
      bytes += (*row)->value.size();
    }
  }
  co_return bytes;
}

Task<void> update_rows(Store& store, Keyspace rows, uint64_t total, uint64_t times, uint64_t seed) {
  base::SeededRandom random(seed);
  for (uint64_t i = 0; i < times; ++i) {
    const std::string key = key_of(random.below(total));
    auto done = co_await transact(store, [&](Txn& txn) -> Task<Result<int>> {
      auto row = CO_TRY(co_await txn.get(rows, key));
      row->value[0] = static_cast<char>(row->value[0] + 1);
      CO_TRY(txn.put(rows, key, row->value));
      co_return 0;
    });
    if (!done) std::abort();
  }
}

Task<int> update_from_clients(Store& store, Keyspace rows, uint64_t total, uint64_t times_each) {
  io::TaskGroup group(co_await io::this_scope());
  for (int i = 0; i < kClients; ++i) group.spawn(update_rows(store, rows, total, times_each, static_cast<uint64_t>(i)));
  co_await group.join();
  co_return 0;
}

// --- bare RocksDB

rocksdb::Options bare_options() {
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
  table.cache_index_and_filter_blocks = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_size = 8 << 10;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kLZ4Compression;
  options.write_buffer_size = 16 << 20;
  return options;
}

std::unique_ptr<rocksdb::DB> open_bare(const std::string& directory) {
  rocksdb::DB* database = nullptr;
  if (!rocksdb::DB::Open(bare_options(), directory, &database).ok()) std::abort();
  return std::unique_ptr<rocksdb::DB>(database);
}

std::unique_ptr<rocksdb::TransactionDB> open_transactional(const std::string& directory) {
  rocksdb::TransactionDB* database = nullptr;
  if (!rocksdb::TransactionDB::Open(bare_options(), {}, directory, &database).ok()) std::abort();
  return std::unique_ptr<rocksdb::TransactionDB>(database);
}

void bare_fill(rocksdb::DB& database, uint64_t total) {
  for (uint64_t index = 0; index < total; ++index)
    if (!database.Put({}, key_of(index), std::string(kValueBytes, 'v')).ok()) std::abort();
}

uint64_t bare_read(rocksdb::DB& database, uint64_t total, uint64_t times) {
  base::SeededRandom random(1);
  uint64_t bytes = 0;
  std::string value;
  for (uint64_t i = 0; i < times; ++i) {
    if (!database.Get({}, key_of(random.below(total)), &value).ok()) std::abort();
    bytes += value.size();
  }
  return bytes;
}

// 64 threads, each `times` updates of random rows: `update` reads the row, changes its first byte and writes it synced.
template <class F>
void update_from_threads(uint64_t total, uint64_t times_each, F update) {
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([=] {
      base::SeededRandom random(static_cast<uint64_t>(i));
      for (uint64_t n = 0; n < times_each; ++n) update(key_of(random.below(total)));
    });
  }
  for (std::thread& client : clients) client.join();
}

rocksdb::WriteOptions synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

void bare_update(rocksdb::DB& database, const std::string& key) {
  std::string value;
  if (!database.Get({}, key, &value).ok()) std::abort();
  value[0] = static_cast<char>(value[0] + 1);
  if (!database.Put(synced(), key, value).ok()) std::abort();
}

// Pessimistic locks wait instead of conflicting: every try should succeed.
void transactional_update(rocksdb::TransactionDB& database, const std::string& key) {
  const std::unique_ptr<rocksdb::Transaction> txn(database.BeginTransaction(synced()));
  std::string value;
  if (!txn->GetForUpdate({}, key, &value).ok()) std::abort();
  value[0] = static_cast<char>(value[0] + 1);
  if (!txn->Put(key, value).ok() || !txn->Commit().ok()) std::abort();
}

// One pass over everything; Google Benchmark only runs it, since a ratio needs both sides in one process and one run.
void compare(benchmark::State& state) {
  const uint64_t total = rows_total(), reads = 200'000, updates_each = 60;
  for (auto _ : state) {
    TemporaryDirectory directory;
    io::Runtime runtime({.shards = 1, .blocking_threads = 4});
    runtime.start();
    auto store = RocksStore::open({.directory = directory.path() + "/polis", .block_cache_bytes = kCacheBytes}).value();
    const Keyspace rows = store->keyspace("rows").value();
    runtime.call(0, [&] { return fill(*store, rows, total); });
    (void)runtime.call(0, [&] { return store->compact(); });
    auto bare = open_bare(directory.path() + "/bare");
    bare_fill(*bare, total);
    (void)bare->CompactRange({}, nullptr, nullptr);

    auto transactional = open_transactional(directory.path() + "/transactional");
    bare_fill(*transactional, total);
    (void)transactional->CompactRange({}, nullptr, nullptr);

    // Each side in turn, several times: whatever else the machine does meets all of them.
    {
      Measured ours, ours_alone, theirs;
      const auto read = [&](uint64_t times_each_txn) {
        benchmark::DoNotOptimize(
            runtime.call(0, [&] { return read_points(*store, rows, total, reads, times_each_txn); }));
      };
      const auto read_bare = [&] { benchmark::DoNotOptimize(bare_read(*bare, total, reads)); };
      read(reads);  // warms the caches
      read_bare();
      for (int pass = 0; pass < kPasses; ++pass) {
        measure(ours, reads, [&] { read(reads); });
        measure(theirs, reads, read_bare);
        measure(ours_alone, reads, [&] { read(1); });
      }
      state.counters["read_ratio"] = report("point read in cache, 1 thread", ours, theirs);
      report("the same, a transaction for each", ours_alone, theirs);
    }
    {
      const uint64_t updates = updates_each * kClients;
      Measured ours, theirs, theirs_plain;
      for (int pass = 0; pass < kPasses; ++pass) {
        measure(ours, updates,
                [&] { runtime.call(0, [&] { return update_from_clients(*store, rows, total, updates_each); }); });
        measure(theirs, updates, [&] {
          update_from_threads(total, updates_each,
                              [&](const std::string& key) { transactional_update(*transactional, key); });
        });
        measure(theirs_plain, updates, [&] {
          update_from_threads(total, updates_each, [&](const std::string& key) { bare_update(*bare, key); });
        });
      }
      state.counters["update_ratio"] = report("synced updates, TransactionDB", ours, theirs);
      state.counters["update_ratio_put"] = report("synced updates, Get and Put", ours, theirs_plain);
    }
    const StoreStatistics statistics = store->statistics();
    std::printf("%-38s %llu commits, %llu groups, %llu syncs, %llu conflicts\n", "",
                static_cast<unsigned long long>(statistics.commits), static_cast<unsigned long long>(statistics.groups),
                static_cast<unsigned long long>(statistics.syncs),
                static_cast<unsigned long long>(statistics.conflicts));
  }
}
BENCHMARK(compare)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace polis::store
