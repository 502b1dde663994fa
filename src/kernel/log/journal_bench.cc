// The journal's own cost: append alone, and appends acknowledged at each durability with many waiting at once, on a
// folder of the machine's disk (TMPDIR). Compare the last ones with `bench/journal`, which measures the disk's own
// fdatasync in the same run.
#include <benchmark/benchmark.h>
#include <filesystem>
#include <stdlib.h>

#include "kernel/log/record.h"
#include "kernel/log/segment_journal.h"

namespace polis::log {
namespace {

struct Folder {
  Folder() {
    const char* base = std::getenv("TMPDIR");
    std::string name = std::string(base ? base : "/tmp") + "/polis-bench-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

void encode_record(benchmark::State& state) {
  const std::string payload(static_cast<size_t>(state.range(0)), 'x');
  const BytesView part = as_bytes(payload);
  Bytes frame(RecordFrame::size_bytes(payload.size()));
  Position position = 1;
  for (auto _ : state) {
    RecordFrame::encode(frame, std::span<const BytesView>(&part, 1), position++, 0, 1);
    benchmark::DoNotOptimize(frame.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(encode_record)->Arg(16)->Arg(128)->Arg(1024)->Arg(65536);

Task<void> append_and_wait(Journal& journal, BytesView payload, Durability durability, int64_t& left) {
  while (left > 0) {
    --left;
    const auto position = journal.append(payload);
    POLIS_ASSERT(position);
    POLIS_ASSERT(co_await journal.wait(*position, durability));
  }
}

Task<void> append_all(std::string directory, Durability durability, int64_t waiting, int64_t count,
                      JournalStatistics& statistics) {
  auto disk = io::make_system_disk();
  SyncScheduler scheduler;
  base::SeededRandom random(1);
  auto opened = co_await open_segment_journal(*disk, scheduler, random, {.directory = std::move(directory)});
  POLIS_ASSERT(opened);
  auto journal = std::move(*opened);
  const std::string payload(128, 'x');
  io::TaskGroup group;
  for (int64_t i = 0; i < waiting; ++i) group.spawn(append_and_wait(*journal, as_bytes(payload), durability, count));
  co_await group.join();
  statistics = journal->statistics();
  POLIS_ASSERT(co_await journal->close());
}

void append_waiting(benchmark::State& state, Durability durability) {
  constexpr int64_t kBatch = 20'000;
  JournalStatistics statistics;
  for (auto _ : state) {
    Folder folder;
    io::run([&] { return append_all(folder.path + "/journal", durability, state.range(0), kBatch, statistics); });
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  state.counters["appends_per_sync"] =
      static_cast<double>(statistics.appends) / static_cast<double>(std::max<uint64_t>(statistics.syncs, 1));
  state.counters["appends_per_write"] =
      static_cast<double>(statistics.appends) / static_cast<double>(std::max<uint64_t>(statistics.writes, 1));
}
BENCHMARK_CAPTURE(append_waiting, memory, Durability::kMemory)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(append_waiting, os, Durability::kOs)->Arg(64)->Arg(1000)->UseRealTime();
BENCHMARK_CAPTURE(append_waiting, disk, Durability::kDisk)->Arg(64)->Arg(1000)->UseRealTime();

}  // namespace
}  // namespace polis::log
