// Ids, histogram, Bloom filter, budget and encodings: time an operation.
#include <benchmark/benchmark.h>

#include "kernel/base/bloom.h"
#include "kernel/base/encoding.h"
#include "kernel/base/histogram.h"
#include "kernel/base/ids.h"
#include "kernel/base/memory_budget.h"
#include "kernel/base/random.h"

namespace polis::base {
namespace {

void id_next(benchmark::State& state) {
  SystemClock clock;
  IdGenerator generator(clock, {.worker = 1, .ahead_ms_max = 1'000'000'000});
  for (auto _ : state) benchmark::DoNotOptimize(generator.try_next());
}
BENCHMARK(id_next);

void id_batch_of_100(benchmark::State& state) {
  SystemClock clock;
  IdGenerator generator(clock, {.worker = 1, .ahead_ms_max = 1'000'000'000});
  uint64_t ids[100];
  for (auto _ : state) benchmark::DoNotOptimize(generator.try_next_n(ids));
  state.SetItemsProcessed(state.iterations() * 100);
}
BENCHMARK(id_batch_of_100);

void histogram_record(benchmark::State& state) {
  Histogram histogram;
  SeededRandom random(1);
  for (auto _ : state) histogram.record(random.next() >> 40);
}
BENCHMARK(histogram_record);

void histogram_percentile(benchmark::State& state) {
  Histogram histogram;
  SeededRandom random(1);
  for (int i = 0; i < 100'000; ++i) histogram.record(random.next() >> 40);
  for (auto _ : state) benchmark::DoNotOptimize(histogram.percentile(99.9));
}
BENCHMARK(histogram_percentile);

// 10,000 keys fit into a second-level cache; 10 million into none.
void bloom_look_up(benchmark::State& state) {
  SplitBlockBloom filter(static_cast<uint64_t>(state.range(0)), 0.01);
  SeededRandom random(1);
  for (int64_t i = 0; i < state.range(0); ++i) filter.insert(random.next());
  for (auto _ : state) benchmark::DoNotOptimize(filter.may_contain(random.next()));
}
BENCHMARK(bloom_look_up)->Arg(10'000)->Arg(10'000'000);

void budget_take_and_give(benchmark::State& state) {
  MemoryBudget process("process", 1 << 30), system("system", 1 << 29, &process),
      connection("connection", 1 << 20, &system);
  for (auto _ : state) {
    benchmark::DoNotOptimize(connection.try_take(4096));
    connection.give(4096);
  }
}
BENCHMARK(budget_take_and_give);

void record_write_and_read(benchmark::State& state) {
  Bytes record;
  for (auto _ : state) {
    record.clear();
    Writer writer(record);
    writer.u64(1);
    writer.varint(300);
    writer.sized("a name of some length");
    writer.zigzag(-5);
    Reader reader(record);
    benchmark::DoNotOptimize(reader.u64());
    benchmark::DoNotOptimize(reader.varint());
    benchmark::DoNotOptimize(reader.sized_text());
    benchmark::DoNotOptimize(reader.zigzag());
    benchmark::DoNotOptimize(reader.finish().has_value());
  }
}
BENCHMARK(record_write_and_read);

template <auto kFunction>
void over_4_kib(benchmark::State& state) {
  std::string text(4096, 'a');
  for (auto _ : state) benchmark::DoNotOptimize(kFunction(text));
  state.SetBytesProcessed(state.iterations() * 4096);
}
BENCHMARK(over_4_kib<[](const std::string& t) { return base64_encode(as_bytes(t)); }>)->Name("base64_encode");
BENCHMARK(over_4_kib<[](const std::string& t) { return base64_decode(t)->size(); }>)->Name("base64_decode");
BENCHMARK(over_4_kib<[](const std::string& t) { return hex_encode(as_bytes(t)); }>)->Name("hex_encode");
BENCHMARK(over_4_kib<[](const std::string& t) { return url_encode(t); }>)->Name("url_encode");
BENCHMARK(over_4_kib<[](const std::string& t) { return utf8_valid(t); }>)->Name("utf8_valid");

}  // namespace
}  // namespace polis::base
