// Checksums and hashes by size: bytes a second.
#include <benchmark/benchmark.h>
#include <isa-l/crc64.h>

#include "kernel/base/hash.h"
#include "kernel/base/random.h"

namespace polis::base {
namespace {

Bytes random_bytes(int64_t size_bytes) {
  Bytes bytes(static_cast<size_t>(size_bytes));
  SeededRandom(1).fill(bytes);
  return bytes;
}

template <auto kFunction>
void over_bytes(benchmark::State& state) {
  Bytes bytes = random_bytes(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(kFunction(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (int64_t size_bytes : {16, 64, 128, 255, 256, 4096, 1 << 20}) benchmark->Arg(size_bytes);
}

BENCHMARK(over_bytes<[](BytesView b) { return crc32(b); }>)->Name("crc32")->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return crc32c(b); }>)->Name("crc32c")->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return crc64_nvme(b); }>)->Name("crc64_nvme")->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return crc64_nvme_portable(0, b); }>)->Name("crc64_nvme_portable")->Apply(sizes);
// ISA-L's folded form for another polynomial: the yardstick for ours.
BENCHMARK(over_bytes<[](BytesView b) { return crc64_ecma_refl(0, u8(b), b.size()); }>)
    ->Name("isal_crc64_ecma")
    ->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return xxh3_64(b); }>)->Name("xxh3_64")->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return md5(b); }>)->Name("md5")->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return sha256(b); }>)->Name("sha256")->Apply(sizes);
BENCHMARK(over_bytes<[](BytesView b) { return hmac_sha256(b.first(16), b); }>)->Name("hmac_sha256")->Apply(sizes);

void combine(benchmark::State& state) {
  uint64_t crc = 1;
  for (auto _ : state) benchmark::DoNotOptimize(crc = crc64_nvme_combine(crc, 77, 8 << 20));
}
BENCHMARK(combine)->Name("crc64_nvme_combine");

}  // namespace
}  // namespace polis::base
