// What a partition costs: appends and fetches on the machine's disk, and thousands of them at rest.
//
//     polis_systems_stream_partition_bench                        the table
//     polis_systems_stream_partition_bench append BYTES SECONDS    one load, for a profiler: 1 KiB records in batches
//     polis_systems_stream_partition_bench fetch BYTES SECONDS
//     polis_systems_stream_partition_bench idle COUNT
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>
#include <unistd.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/stream/partition/partition.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}
double wall_seconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}
double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) / (1 << 20);
}
size_t descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

Bytes batch_of(size_t batch_bytes) {
  BatchBuilder builder;
  const std::string value(1000, 'x');
  do builder.add(1'700'000'000'000, std::nullopt, as_bytes(value));
  while (builder.size_bytes() + 1024 <= batch_bytes);
  return builder.finish();
}

struct Bench {
  std::string directory;
  std::unique_ptr<io::Disk> disk = io::make_system_disk();
  log::SyncScheduler scheduler;
  log::OpenFiles files{256};
  base::SystemClock clock;
  base::SystemRandom random;

  Task<std::unique_ptr<Partition>> open(std::string name, TopicConfig config) {
    auto opened =
        co_await Partition::open(*disk, scheduler, clock, random,
                                 {.directory = directory + "/" + name, .config = std::move(config), .files = &files});
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().text().c_str());
      std::exit(1);
    }
    co_return std::move(*opened);
  }

  Task<void> append(size_t batch_bytes, double seconds, AckDurability durability) {
    TopicConfig config;
    config.durability = durability;
    config.retention_bytes = 2LL << 30;
    config.max_message_bytes = 100 << 20;
    auto partition = co_await open("append", config);
    const Bytes batch = batch_of(batch_bytes);
    const double begin = wall_seconds(), cpu = cpu_seconds();
    uint64_t bytes = 0, count = 0;
    Offset waited = 0;
    while (wall_seconds() - begin < seconds) {
      const AppendResult result = partition->append(batch, AppendOrigin::kClient);
      if (!result.refusal.ok() || result.next_offset - waited > 8192) {
        (void)co_await partition->wait(partition->end_offset());
        waited = partition->end_offset();
      }
      if (!result.refusal.ok()) continue;
      bytes += batch.size();
      if (++count % 64 == 0) co_await io::yield();
      if (count % 4096 == 0) (void)co_await partition->tend();
    }
    (void)co_await partition->wait(partition->end_offset());
    const double wall = wall_seconds() - begin, used = cpu_seconds() - cpu;
    fmt::print("append {:>8} B batches, {}: {:7.1f} MiB/s, {:9.0f} batches/s, CPU {:.3f} s a GiB, {:.2f} us a batch\n",
               batch.size(), durability == AckDurability::kOs ? "os   " : "fsync",
               static_cast<double>(bytes) / wall / (1 << 20), static_cast<double>(count) / wall,
               used / (static_cast<double>(bytes) / (1 << 30)), used * 1e6 / static_cast<double>(count));
    (void)co_await partition->close();
    std::filesystem::remove_all(directory + "/append");
  }

  // The positions alone: what the server does besides sendfile.
  Task<void> fetch(size_t batch_bytes, uint64_t bytes_max, double seconds) {
    TopicConfig config;
    config.durability = AckDurability::kOs;
    auto partition = co_await open("fetch", config);
    const Bytes batch = batch_of(batch_bytes);
    while (partition->end_offset() < 200'000) {
      for (int i = 0; i < 64; ++i) (void)partition->append(batch, AppendOrigin::kClient);
      (void)co_await partition->wait(partition->end_offset());
    }
    const double begin = wall_seconds(), cpu = cpu_seconds();
    uint64_t count = 0;
    Offset from = 0;
    while (wall_seconds() - begin < seconds) {
      const Fetched fetched = co_await partition->fetch(from, bytes_max, Isolation::kReadCommitted);
      if (fetched.size_bytes() == 0) {
        from = 0;
        continue;
      }
      from += static_cast<Offset>(fetched.size_bytes() / batch.size()) * RecordBatch(batch).count();
      if (++count % 64 == 0) co_await io::yield();
    }
    const double wall = wall_seconds() - begin, used = cpu_seconds() - cpu;
    fmt::print("fetch  {:>8} B batches, {:>8} B a fetch: {:9.0f} fetches/s, CPU {:.2f} us a fetch\n", batch.size(),
               bytes_max, static_cast<double>(count) / wall, used * 1e6 / static_cast<double>(count));
    (void)co_await partition->close();
    std::filesystem::remove_all(directory + "/fetch");
  }

  // Thousands, each used once, then at rest; and opened again.
  Task<void> idle(size_t count) {
    std::vector<std::unique_ptr<Partition>> partitions;
    const Bytes batch = batch_of(1024);
    const double before = resident_mib();
    double begin = wall_seconds();
    for (size_t i = 0; i < count; ++i) partitions.push_back(co_await open("idle-" + std::to_string(i), {}));
    fmt::print("{} new partitions: {:.1f} s, {:.1f} KiB each, {} descriptors\n", count, wall_seconds() - begin,
               (resident_mib() - before) * 1024 / static_cast<double>(count), descriptors());
    begin = wall_seconds();
    for (size_t i = 0; i < count; i += 100) {
      const size_t end = std::min(count, i + 100);
      for (size_t j = i; j < end; ++j) (void)partitions[j]->append(batch, AppendOrigin::kClient);
      for (size_t j = i; j < end; ++j) (void)co_await partitions[j]->wait(1);
    }
    fmt::print("a record to each: {:.1f} s, {:.1f} KiB each, {} descriptors\n", wall_seconds() - begin,
               (resident_mib() - before) * 1024 / static_cast<double>(count), descriptors());
    for (int round = 0; round < 3; ++round) {
      const double cpu = cpu_seconds();
      for (auto& partition : partitions) (void)co_await partition->tend();
      fmt::print("tend: {:.3f} s of CPU for all; {:.1f} KiB each, {} descriptors\n", cpu_seconds() - cpu,
                 (resident_mib() - before) * 1024 / static_cast<double>(count), descriptors());
    }
    begin = wall_seconds();
    for (auto& partition : partitions) (void)co_await partition->close();
    fmt::print("closed: {:.1f} s\n", wall_seconds() - begin);
    partitions.clear();
    begin = wall_seconds();
    for (size_t i = 0; i < count; ++i) partitions.push_back(co_await open("idle-" + std::to_string(i), {}));
    fmt::print("opened again, one after the other: {:.1f} s; {:.1f} KiB each, {} descriptors\n", wall_seconds() - begin,
               (resident_mib() - before) * 1024 / static_cast<double>(count), descriptors());
    for (auto& partition : partitions) (void)co_await partition->close();
    partitions.clear();
    for (size_t i = 0; i < count; ++i) std::filesystem::remove_all(directory + "/idle-" + std::to_string(i));
  }
};

Task<void> work(Bench& bench, std::vector<std::string> words) {
  const std::string what = words.empty() ? "all" : words[0];
  const auto number = [&](size_t i, double otherwise) { return words.size() > i ? std::stod(words[i]) : otherwise; };
  if (what == "append") {
    co_await bench.append(static_cast<size_t>(number(1, 1024)), number(2, 5), AckDurability::kOs);
  } else if (what == "fetch") {
    co_await bench.fetch(static_cast<size_t>(number(1, 1024)), 1 << 20, number(2, 5));
  } else if (what == "idle") {
    co_await bench.idle(static_cast<size_t>(number(1, 1000)));
  } else {
    for (const AckDurability durability : {AckDurability::kOs, AckDurability::kFsync})
      for (const size_t size : {1 << 10, 16 << 10, 1 << 20}) co_await bench.append(size, 2, durability);
    for (const size_t size : {1 << 10, 16 << 10, 1 << 20})
      for (const uint64_t bytes_max : {1 << 10, 1 << 20}) co_await bench.fetch(size, bytes_max, 1);
    co_await bench.idle(1000);
  }
}

}  // namespace
}  // namespace polis::stream

int main(int argc, char** argv) {
  using namespace polis;
  stream::Bench bench;
  bench.directory = std::filesystem::temp_directory_path() / ("polis-partition-bench-" + std::to_string(getpid()));
  std::filesystem::create_directories(bench.directory);
  const std::vector<std::string> words(argv + 1, argv + argc);
  io::run([&] { return stream::work(bench, words); });
  std::filesystem::remove_all(bench.directory);
  return 0;
}
