// The checksum of messages: bodies of the largest batch, replies, headers.
#include <benchmark/benchmark.h>

#include "systems/ledger/tigerbeetle/message.h"

namespace polis::ledger::tigerbeetle {
namespace {

void BM_Checksum(benchmark::State& state) {
  const Bytes bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  for (auto _ : state) benchmark::DoNotOptimize(checksum(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Checksum)->Arg(240)->Arg(4096)->Arg(131'072)->Arg(kMessageBytesMax);

void BM_ChecksumByTables(benchmark::State& state) {
  const Bytes bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  Aegis128lMac::State words{};
  for (auto _ : state) {
    aegis128l_absorb_portable(words, bytes.data(), bytes.size() / Aegis128lMac::kRateBytes);
    benchmark::DoNotOptimize(words);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ChecksumByTables)->Arg(kMessageBytesMax);

}  // namespace
}  // namespace polis::ledger::tigerbeetle
