// The chain's share of a command: leaves and their tree, per event. A batch of 8,189 is a full message.
#include <benchmark/benchmark.h>

#include "kernel/base/random.h"
#include "systems/ledger/chain.h"

namespace polis::ledger {
namespace {

void leaves_and_root(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  Bytes records(count * 128);
  base::SeededRandom(1).fill(records);
  const std::vector<uint32_t> statuses(count, 0xffff'ffff);
  std::vector<Hash> leaves(count);
  for (auto _ : state) {
    leaf_hashes(records.data(), statuses.data(), count, leaves.data());
    benchmark::DoNotOptimize(merkle_root(leaves));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(leaves_and_root)->Arg(1)->Arg(10)->Arg(100)->Arg(8189);

void path(benchmark::State& state) {
  std::vector<Hash> leaves(8189);
  for (auto _ : state) benchmark::DoNotOptimize(merkle_path(leaves, 4711));
}
BENCHMARK(path);

void link(benchmark::State& state) {
  BatchLink link{.op = 1, .count = 8189, .head = {}};
  for (auto _ : state) {
    ++link.op;
    benchmark::DoNotOptimize(link.head.previous = link.head_after());
  }
}
BENCHMARK(link);

}  // namespace
}  // namespace polis::ledger
