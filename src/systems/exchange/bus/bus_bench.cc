// Bus between two threads, beside the cheapest things that two threads can do: hand one cache line to each other
// (line_hop), and stream lines through a buffer of the same size (lines). The difference is what the bus costs.
// one_to_one and batched: payload bytes / slots of the ring. lines: lines of 64 bytes that are written in each 128-byte
// slot / slots.
#include <array>
#include <atomic>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "systems/exchange/bus/bus.h"
#include "systems/exchange/bus/spsc_queue.h"

namespace polis::exchange {
namespace {

std::unique_ptr<Bus> bench_bus(const std::string& name, size_t slots) {
  BusTail tail;
  const std::string path =
      fmt::format("{}/polis_bus_bench_{}_{}", std::filesystem::temp_directory_path().string(), ::getpid(), name);
  auto bus = Bus::open({.path = path, .slots = slots}, tail);
  POLIS_ASSERT(bus.has_value());
  std::filesystem::remove(path);  // lives as long as it is mapped
  return std::move(*bus);
}

// On a line of its own, so that whoever looks at it is not disturbed by what its neighbours are.
struct alignas(128) Flag {
  std::atomic<bool> up{false};
  bool is_up() const { return up.load(std::memory_order_relaxed); }
};

// The two threads of a run on the first two CPUs that the process may use: on a machine with other work the kernel
// likes to put both on one. On one CPU they take turns there.
void pin(size_t index) {
  cpu_set_t allowed, one;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed) && index-- == 0) CPU_SET(cpu, &one);
  if (CPU_COUNT(&one) == 1) (void)::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
}

// Runs `peer` beside this thread, which is on another CPU until this is gone.
class Pair {
 public:
  template <class Peer>
  explicit Pair(Peer peer) {
    (void)::sched_getaffinity(0, sizeof before_, &before_);
    thread_ = std::thread([peer] {
      pin(1);
      peer();
    });
    pin(0);
  }
  ~Pair() {
    thread_.join();
    (void)::pthread_setaffinity_np(::pthread_self(), sizeof before_, &before_);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

 private:
  cpu_set_t before_;
  std::thread thread_;
};

constexpr uint32_t kBatch = 64;  // records, of those that are published and released together

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Reads on until `stop`, releasing after each batch.
void drain(BusReader& reader, const Flag& stop) {
  alignas(64) std::byte payload[kBusRecordBytesMax];
  BusRecord record;
  uint64_t sum = 0;
  for (uint32_t read = 0; !stop.is_up();) {
    if (!reader.poll(record, payload)) {
      reader.release();
      pause_cpu();
      continue;
    }
    sum += record.sequence + static_cast<uint64_t>(payload[0]);
    if (++read % kBatch == 0) reader.release();
  }
  benchmark::DoNotOptimize(sum);
}

// Records a second, one writer that publishes each by itself, and one gating reader.
void one_to_one(benchmark::State& state) {
  auto bus = bench_bus("one", static_cast<size_t>(state.range(1)));
  auto reader = *bus->reader("bench", true);
  Flag stop;
  Pair pair([&stop, &from = *reader] { drain(from, stop); });
  const Bytes payload(static_cast<size_t>(state.range(0)), std::byte{7});
  const uint32_t slots = bus_slots_of(payload.size());
  for (auto _ : state) {
    for (int i = 0; i < 1024; ++i) {
      while (!bus->room(slots)) {
      }
      bus->write(BusType::kEvent, 0, 0, 1, 0, payload);
    }
  }
  state.SetItemsProcessed(state.iterations() * 1024);
  stop.up = true;
}
BENCHMARK(one_to_one)
    ->Args({8, 1 << 12})
    ->Args({8, 1 << 16})
    ->Args({32, 1 << 12})
    ->Args({96, 1 << 12})
    ->Args({96, 1 << 16})
    ->Args({192, 1 << 16})
    ->UseRealTime();

// The same in batches. Rings: 512 KiB stay in a core's own cache, 8 MiB do not, 64 MiB fill most of the shared one.
template <size_t kBytes>
void batched(benchmark::State& state) {
  auto bus = bench_bus("batched", static_cast<size_t>(state.range(0)));
  auto reader = *bus->reader("bench", true);
  Flag stop;
  Pair pair([&stop, &from = *reader] { drain(from, stop); });
  std::array<std::byte, kBytes> payload{};
  constexpr uint32_t kSlots = bus_slots_of(kBytes);
  for (auto _ : state) {
    for (uint32_t i = 0; i < 1024 / kBatch; ++i) {
      while (!bus->room(kBatch * kSlots)) pause_cpu();
      for (uint32_t j = 0; j < kBatch; ++j)
        bus->append(BusType::kEvent, 0, 0, j, 0, std::span<const std::byte, kBytes>(payload));
      bus->publish();
    }
  }
  state.SetItemsProcessed(state.iterations() * 1024);
  stop.up = true;
}
BENCHMARK(batched<8>)->Name("batched/8")->Arg(1 << 12)->Arg(1 << 16)->Arg(1 << 19)->UseRealTime();
BENCHMARK(batched<32>)->Name("batched/32")->Arg(1 << 12)->Arg(1 << 16)->UseRealTime();
BENCHMARK(batched<96>)->Name("batched/96")->Arg(1 << 12)->Arg(1 << 16)->Arg(1 << 19)->UseRealTime();
BENCHMARK(batched<192>)->Name("batched/192")->Arg(1 << 12)->Arg(1 << 16)->UseRealTime();

std::atomic_ref<uint64_t> word(uint64_t& of) {
  return std::atomic_ref<uint64_t>(of);
}

// What the cores can hand over: slots of 128 bytes of which one line or both are written and read, and nothing else;
// one place of the writer and one of the reader, each stored once a batch.
template <size_t kLines>
void lines(benchmark::State& state) {
  constexpr size_t kWords = kLines * 8;
  struct alignas(128) Place {
    std::atomic<uint64_t> at{0};
  };
  struct alignas(128) Slot {
    uint64_t words[16];
  };
  const uint64_t slots = static_cast<uint64_t>(state.range(0)), mask = slots - 1;
  std::vector<Slot> ring(slots);
  Place written, read;
  Flag stop;
  Pair pair([&written, &read, &stop, mask, ring = ring.data()] {
    uint64_t sum = 0;
    for (uint64_t next = 0; !stop.is_up();) {
      const uint64_t end = written.at.load(std::memory_order_acquire);
      if (end == next) pause_cpu();
      while (next != end) {
        for (size_t i = 0; i < kWords; ++i) sum += word(ring[next & mask].words[i]).load(std::memory_order_relaxed);
        if (++next % kBatch == 0) read.at.store(next, std::memory_order_release);
      }
    }
    benchmark::DoNotOptimize(sum);
  });
  uint64_t next = 0, free_until = slots;
  for (auto _ : state) {
    for (uint32_t i = 0; i < 1024 / kBatch; ++i) {
      while (next + kBatch > free_until) {
        free_until = read.at.load(std::memory_order_acquire) + slots;
        if (next + kBatch > free_until) pause_cpu();
      }
      for (uint32_t j = 0; j < kBatch; ++j, ++next)
        for (size_t k = 0; k < kWords; ++k) word(ring[next & mask].words[k]).store(next, std::memory_order_relaxed);
      written.at.store(next, std::memory_order_release);
    }
  }
  state.SetItemsProcessed(state.iterations() * 1024);
  stop.up = true;
}
BENCHMARK(lines<1>)->Name("lines/1")->Arg(1 << 12)->Arg(1 << 16)->Arg(1 << 19)->UseRealTime();
BENCHMARK(lines<2>)->Name("lines/2")->Arg(1 << 12)->Arg(1 << 16)->Arg(1 << 19)->UseRealTime();

// What write and read cost by themselves, on one thread with everything in its own cache.
void write_and_read(benchmark::State& state) {
  auto bus = bench_bus("alone", 1 << 10);
  auto reader = *bus->reader("bench", true);
  const Bytes payload(static_cast<size_t>(state.range(0)), std::byte{7});
  alignas(64) std::byte read[kBusRecordBytesMax];
  BusRecord record;
  for (auto _ : state) {
    for (int i = 0; i < 64; ++i) {
      (void)bus->room(bus_slots_of(payload.size()));
      bus->write(BusType::kEvent, 0, 0, 1, 0, payload);
    }
    for (int i = 0; i < 64; ++i) reader->poll(record, read);
    reader->release();
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(write_and_read)->Arg(8)->Arg(96)->Arg(192);

// There and back over two buses; half of it is a hop.
void hop(benchmark::State& state) {
  auto there = bench_bus("there", 1 << 12), back = bench_bus("back", 1 << 12);
  auto at_peer = *there->reader("peer", true), here = *back->reader("here", true);
  Flag stop;
  // The peer looks at nothing on this thread's stack, which is written to all the time.
  Pair pair([&stop, &from = *at_peer, &to = *back] {
    alignas(64) std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    while (!stop.is_up()) {
      if (!from.poll(record, payload)) continue;
      from.release();
      (void)to.room(1);
      to.write(BusType::kEvent, 0, 0, 1, 0, {payload, record.length});
    }
  });
  const Bytes payload(static_cast<size_t>(state.range(0)), std::byte{7});
  alignas(64) std::byte answer[kBusRecordBytesMax];
  BusRecord record;
  for (auto _ : state) {
    (void)there->room(1);
    there->write(BusType::kEvent, 0, 0, 1, 0, payload);
    while (!here->poll(record, answer)) {
    }
    here->release();
  }
  stop.up = true;
  state.counters["hop_ns"] = benchmark::Counter(static_cast<double>(state.iterations()) * 2e-9,
                                                benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(hop)->Arg(8)->Arg(32)->Arg(96)->UseRealTime();

void line_hop(benchmark::State& state) {
  struct alignas(128) Line {
    std::atomic<uint64_t> value{0};
  } there, back;
  Pair pair([&there, &back] {
    for (uint64_t seen = 0;;) {
      const uint64_t value = there.value.load(std::memory_order_acquire);
      if (value == UINT64_MAX) return;
      if (value == seen) continue;
      seen = value;
      back.value.store(value, std::memory_order_release);
    }
  });
  uint64_t turn = 0;
  for (auto _ : state) {
    there.value.store(++turn, std::memory_order_release);
    while (back.value.load(std::memory_order_acquire) != turn) {
    }
  }
  there.value = UINT64_MAX;
  state.counters["hop_ns"] = benchmark::Counter(static_cast<double>(state.iterations()) * 2e-9,
                                                benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(line_hop)->UseRealTime();

void queue_one_to_one(benchmark::State& state) {
  SpscQueue<uint64_t> queue(1 << 14);
  Flag stop;
  Pair pair([&queue, &stop] {
    uint64_t sum = 0;
    while (!stop.is_up())
      if (const uint64_t* value = queue.front(); value != nullptr) {
        sum += *value;
        queue.pop();
      }
    benchmark::DoNotOptimize(sum);
  });
  for (auto _ : state)
    for (uint64_t i = 0; i < 1024; ++i)
      while (!queue.push(i)) {
      }
  state.SetItemsProcessed(state.iterations() * 1024);
  stop.up = true;
}
BENCHMARK(queue_one_to_one)->UseRealTime();

}  // namespace
}  // namespace polis::exchange
