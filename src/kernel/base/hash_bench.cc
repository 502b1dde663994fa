// Checksums and hashes by size: bytes a second.
#include <benchmark/benchmark.h>
#include <isa-l/crc64.h>

#include "kernel/base/hash.h"
#include "kernel/base/random.h"
#include "kernel/base/sha256_many.h"

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

// 1,024 messages of the given length: leaves (133 bytes) and nodes (65) of a tree.
template <Sha256Form kForm>
void many(benchmark::State& state) {
  if (!sha256_form_available(kForm)) return state.SkipWithError("this processor cannot");
  constexpr size_t kCount = 1024;
  const size_t size_bytes = static_cast<size_t>(state.range(0)), stride_bytes = sha256_padded_bytes(size_bytes);
  Bytes messages = random_bytes(static_cast<int64_t>(kCount * stride_bytes));
  for (size_t i = 0; i < kCount; ++i) sha256_pad(messages.data() + i * stride_bytes, size_bytes);
  std::vector<Sha256Digest> digests(kCount);
  for (auto _ : state) {
    sha256_many_by(kForm, messages.data(), size_bytes, kCount, digests.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCount);
}
BENCHMARK(many<Sha256Form::kOneByOne>)->Name("sha256_many_one_by_one")->Arg(65)->Arg(133);
BENCHMARK(many<Sha256Form::kShaInstructions>)->Name("sha256_many_sha_instructions")->Arg(65)->Arg(133);
BENCHMARK(many<Sha256Form::kAvx512>)->Name("sha256_many_avx512")->Arg(65)->Arg(133);

void combine(benchmark::State& state) {
  uint64_t crc = 1;
  for (auto _ : state) benchmark::DoNotOptimize(crc = crc64_nvme_combine(crc, 77, 8 << 20));
}
BENCHMARK(combine)->Name("crc64_nvme_combine");

}  // namespace
}  // namespace polis::base
