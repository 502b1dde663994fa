// What storage costs: appending and sealing, building a chunk, the id index by size, searching 20 million rows. Sizes
// that need gigabytes run when POLIS_BENCH_LARGE is set.
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdlib>

#include "kernel/base/random.h"
#include "systems/ledger/storage/chunk_memory.h"
#include "systems/ledger/storage/chunked_log.h"
#include "systems/ledger/storage/id_index.h"

namespace polis::ledger {
namespace {

enum : uint8_t { kDebit, kCredit, kUser, kLedger, kCode, kFields };

// Of the transfer's layout: two accounts of 10,000, a value of its own, one ledger, three codes.
Transfer random_transfer(base::Random& random, uint64_t i) {
  return {.id = i + 1,
          .debit_account_id = 1 + random.below(10'000),
          .credit_account_id = 1 + random.below(10'000),
          .amount = random.below(1000),
          .user_data_64 = i + 1,
          .ledger = 1,
          .code = static_cast<uint16_t>(1 + random.below(3)),
          .timestamp = i};
}

size_t index_transfer(const std::byte* row, FieldValue* values) {
  Transfer t;
  std::memcpy(&t, row, sizeof t);
  size_t count = 0;
  values[count++] = {kDebit, static_cast<uint64_t>(t.debit_account_id)};
  values[count++] = {kCredit, static_cast<uint64_t>(t.credit_account_id)};
  if (t.user_data_64) values[count++] = {kUser, t.user_data_64};
  values[count++] = {kLedger, t.ledger};
  values[count++] = {kCode, t.code};
  return count;
}
uint64_t key_of(const std::byte* row, uint64_t seed) {
  Transfer t;
  std::memcpy(&t, row, sizeof t);
  return IdHash(seed)(t.id);
}

ChunkedLogOptions transfers_log() {
  return {
      .name = "transfers", .row_bytes = sizeof(Transfer), .fields = kFields, .index = index_transfer, .key = key_of};
}

std::vector<Transfer> some_transfers(size_t count) {
  base::SeededRandom random(1);
  std::vector<Transfer> transfers(count);
  for (size_t i = 0; i < count; ++i) transfers[i] = random_transfer(random, i);
  return transfers;
}

// A command of 8,190 rows and its seal; the build of chunks is not in it, as it runs on the pool.
void append_and_seal(benchmark::State& state) {
  const auto transfers = some_transfers(1 << 20);
  uint64_t rows = 0;
  int64_t slowest_us = 0;
  while (state.KeepRunning()) {
    ChunkedLog log(transfers_log(), nullptr);
    for (size_t i = 0; i < transfers.size();) {
      for (size_t end = std::min(i + 8'190, transfers.size()); i < end; ++i)
        log.append(reinterpret_cast<const std::byte*>(&transfers[i]));
      const auto begin = std::chrono::steady_clock::now();
      log.seal();
      slowest_us = std::max<int64_t>(
          slowest_us,
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count());
    }
    rows += transfers.size();
  }
  state.counters["ns_a_row"] =
      benchmark::Counter(static_cast<double>(rows) / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["slowest_seal_us"] = static_cast<double>(slowest_us);
}
BENCHMARK(append_and_seal)->Unit(benchmark::kMillisecond)->UseRealTime();

void seal_alone(benchmark::State& state) {
  const auto transfers = some_transfers(1 << 15);
  const auto options = transfers_log();
  RunIndex::Scratch scratch;
  RunIndex run;
  while (state.KeepRunning()) {
    run.build(reinterpret_cast<const std::byte*>(transfers.data()), 1 << 15, sizeof(Transfer), kFields, options.index,
              scratch);
    benchmark::DoNotOptimize(run.memory_bytes());
  }
  state.counters["ns_a_row"] = benchmark::Counter(static_cast<double>(state.iterations() * transfers.size()) / 1e9,
                                                  benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(seal_alone)->Unit(benchmark::kMicrosecond);

void append_alone(benchmark::State& state) {
  const auto transfers = some_transfers(1 << 16);
  ChunkedLog log(transfers_log(), nullptr);
  size_t i = 0;
  while (state.KeepRunning()) {
    log.append(reinterpret_cast<const std::byte*>(&transfers[i]));
    i = (i + 1) & 0xFFFF;
    if (i == 0) log.truncate(0);
  }
}
BENCHMARK(append_alone);

void build_chunk(benchmark::State& state) {
  const auto transfers = some_transfers(1 << 20);
  while (state.KeepRunning()) {
    state.PauseTiming();
    const auto options = transfers_log();
    ChunkBuilder builder({.name = options.name,
                          .row_bytes = options.row_bytes,
                          .rows = options.rows_per_chunk,
                          .rows_per_run = options.rows_per_run,
                          .fields = options.fields,
                          .index = options.index,
                          .key = options.key},
                         0, true);
    std::memcpy(builder.rows(), transfers.data(), transfers.size() * sizeof(Transfer));
    RunIndex::Scratch scratch;
    for (uint32_t run = 0; run < options.rows_per_chunk / options.rows_per_run; ++run) builder.add_run(scratch);
    state.ResumeTiming();
    const BytesView bytes = builder.build();
    state.counters["bytes_a_row"] = static_cast<double>(bytes.size()) / static_cast<double>(transfers.size());
  }
  state.counters["ns_a_row"] = benchmark::Counter(static_cast<double>(state.iterations() * transfers.size()) / 1e9,
                                                  benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(build_chunk)->Unit(benchmark::kMillisecond)->UseRealTime();

// --- the id index

bool too_large(benchmark::State& state, uint64_t count) {
  if (count <= 10'000'000 || std::getenv("POLIS_BENCH_LARGE")) return false;
  state.SkipWithError("needs gigabytes; set POLIS_BENCH_LARGE");
  return true;
}

void fill(IdIndex& index, uint64_t begin, uint64_t end) {
  constexpr uint64_t kAhead = 16;
  for (uint64_t i = begin; i < end; ++i) {
    index.prefetch(index.hash(i + kAhead));
    index.insert(index.hash(i), i);
  }
}

// As the engine does: a batch of 8,190, prefetched some entries ahead.
void id_find(benchmark::State& state) {
  const uint64_t count = static_cast<uint64_t>(state.range(0));
  if (too_large(state, count)) return;
  IdIndex index;
  fill(index, 0, count);
  base::SeededRandom random(2);
  std::vector<uint64_t> hashes(1 << 20);
  for (uint64_t& hash : hashes) hash = index.hash(random.below(2 * count));  // half are there
  uint64_t found = 0, i = 0;
  while (state.KeepRunning()) {
    index.prefetch(hashes[(i + 16) & 0xFFFFF]);
    found += index.find(hashes[i & 0xFFFFF], [](uint64_t) { return true; }) != IdIndex::kNone;
    ++i;
  }
  benchmark::DoNotOptimize(found);
  state.counters["bytes_an_id"] = static_cast<double>(index.memory_bytes()) / static_cast<double>(count);
}
BENCHMARK(id_find)->Arg(100'000)->Arg(10'000'000)->Arg(100'000'000);

void id_insert(benchmark::State& state) {
  const uint64_t count = static_cast<uint64_t>(state.range(0));
  if (too_large(state, count)) return;
  IdIndex index;
  fill(index, 0, count);
  uint64_t next = count;
  int64_t slowest_ns = 0;
  while (state.KeepRunningBatch(8'190)) {
    const auto begin = std::chrono::steady_clock::now();
    fill(index, next, next + 8'190);
    next += 8'190;
    slowest_ns = std::max<int64_t>(slowest_ns, (std::chrono::steady_clock::now() - begin).count());
  }
  state.counters["slowest_batch_us"] = static_cast<double>(slowest_ns) / 1000;
}
BENCHMARK(id_insert)->Arg(100'000)->Arg(10'000'000)->Arg(100'000'000);

// --- searching

// 20 million rows: 19 chunks with their index, and a tail. Built once.
const ChunkedLog& large_log() {
  static MemoryChunks chunks;
  static const std::unique_ptr<ChunkedLog> log = [] {
    auto made = std::make_unique<ChunkedLog>(transfers_log(), &chunks);
    base::SeededRandom random(1);
    for (uint64_t i = 0; i < 20'000'000; ++i) {
      const Transfer t = random_transfer(random, i);
      made->append(reinterpret_cast<const std::byte*>(&t));
      if (i % 8'190 == 0) made->seal();
    }
    made->seal();
    return made;
  }();
  return *log;
}

void search(benchmark::State& state, std::vector<FieldValue> either, std::vector<FieldValue> all, size_t limit) {
  if (too_large(state, 20'000'000)) return;
  const ChunkedLog& log = large_log();
  size_t found = 0;
  while (state.KeepRunning()) {
    found = 0;
    log.search(either, all, 0, UINT64_MAX, true, [&](uint64_t, const std::byte* row) {
      benchmark::DoNotOptimize(*row);
      return ++found < limit;
    });
  }
  state.counters["found"] = static_cast<double>(found);
}
BENCHMARK_CAPTURE(search, account_last_100, {{kDebit, 77}, {kCredit, 77}}, {}, 100)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(search, account_all_4000, {{kDebit, 77}, {kCredit, 77}}, {}, SIZE_MAX)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(search, account_and_code, {{kDebit, 77}, {kCredit, 77}}, {{kCode, 2}, {kLedger, 1}}, SIZE_MAX)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(search, one_pair_of_accounts, {}, {{kDebit, 77}, {kCredit, 78}}, SIZE_MAX)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(search, a_value_of_one_row, {}, {{kUser, 5'000'000}}, SIZE_MAX)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(search, a_value_of_none, {}, {{kUser, 50'000'000}}, SIZE_MAX)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace polis::ledger
