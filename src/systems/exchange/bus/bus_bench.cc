// Bus between two threads, beside the cheapest thing that two threads can do: hand one cache line to each other. The
// difference is what the bus costs. Arguments of the batched runs: payload bytes.
#include <atomic>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <thread>
#include <unistd.h>

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

// Records a second, one writer and one gating reader that releases after every 64.
void one_to_one(benchmark::State& state) {
  auto bus = bench_bus("one", static_cast<size_t>(state.range(1)));
  auto reader = *bus->reader("bench", true);
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    alignas(64) std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    uint64_t sum = 0;
    for (uint32_t read = 0; !stop.load(std::memory_order_relaxed);) {
      if (!reader->poll(record, payload)) {
        reader->release();
        continue;
      }
      sum += record.sequence + static_cast<uint64_t>(payload[0]);
      if (++read % 64 == 0) reader->release();
    }
    benchmark::DoNotOptimize(sum);
  });
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
  stop = true;
  consumer.join();
}
BENCHMARK(one_to_one)
    ->Args({8, 1 << 12})
    ->Args({8, 1 << 16})
    ->Args({32, 1 << 12})
    ->Args({96, 1 << 12})
    ->Args({96, 1 << 16})
    ->Args({192, 1 << 16})
    ->UseRealTime();

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
  std::atomic<bool> stop{false};
  std::thread peer([&] {
    alignas(64) std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    while (!stop.load(std::memory_order_relaxed)) {
      if (!at_peer->poll(record, payload)) continue;
      at_peer->release();
      (void)back->room(1);
      back->write(BusType::kEvent, 0, 0, 1, 0, {payload, record.length});
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
  stop = true;
  peer.join();
  state.counters["hop_ns"] = benchmark::Counter(static_cast<double>(state.iterations()) * 2e-9,
                                                benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(hop)->Arg(8)->Arg(32)->Arg(96)->UseRealTime();

void line_hop(benchmark::State& state) {
  struct alignas(128) Line {
    std::atomic<uint64_t> value{0};
  } there, back;
  std::thread peer([&] {
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
  peer.join();
  state.counters["hop_ns"] = benchmark::Counter(static_cast<double>(state.iterations()) * 2e-9,
                                                benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(line_hop)->UseRealTime();

void queue_one_to_one(benchmark::State& state) {
  SpscQueue<uint64_t> queue(1 << 14);
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    uint64_t sum = 0;
    while (!stop.load(std::memory_order_relaxed))
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
  stop = true;
  consumer.join();
}
BENCHMARK(queue_one_to_one)->UseRealTime();

}  // namespace
}  // namespace polis::exchange
