// What encryption costs beside moving the bytes: compare with plain/.
#include <benchmark/benchmark.h>

#include "kernel/io/shard.h"
#include "systems/object/sealing.h"

namespace polis::object {
namespace {

constexpr size_t kRunBytes = 8u << 20;

class Zeros final : public blob::ByteSource {
 public:
  explicit Zeros(size_t size_bytes) : left_(size_bytes) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    size_t count = std::min(left_, into.size());
    std::fill_n(into.begin(), count, std::byte{0});
    left_ -= count;
    co_return count;
  }

 private:
  size_t left_;
};

class Nowhere final : public blob::ByteSink {
 public:
  Task<Result<void>> write(BytesView bytes) override {
    benchmark::DoNotOptimize(bytes.data());
    co_return Result<void>();
  }
};

void drain(blob::ByteSource& source, Bytes* kept) {
  io::run([&]() -> Task<bool> {
    Bytes piece(512 * 1024);
    for (size_t count = piece.size(); count == piece.size();) {
      count = (co_await source.read(piece)).value();
      if (kept) kept->insert(kept->end(), piece.begin(), piece.begin() + static_cast<ptrdiff_t>(count));
    }
    co_return true;
  });
}

RunKey bench_key() {
  base::SeededRandom random(1);
  return make_run_key(SecretKey::make(random), "", random);
}

void plain(benchmark::State& state) {
  for (auto _ : state) {
    Zeros source(kRunBytes);
    drain(source, nullptr);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRunBytes));
}
BENCHMARK(plain);

void seal(benchmark::State& state) {
  RunKey run = bench_key();
  for (auto _ : state) {
    Zeros source(kRunBytes);
    SealingSource sealing(run, source);
    drain(sealing, nullptr);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRunBytes));
}
BENCHMARK(seal);

void open(benchmark::State& state) {
  RunKey run = bench_key();
  Zeros source(kRunBytes);
  SealingSource sealing(run, source);
  Bytes stored;
  drain(sealing, &stored);
  for (auto _ : state) {
    io::run([&]() -> Task<bool> {
      Nowhere nowhere;
      OpeningSink opening(run.key, run.seal, {0, kRunBytes}, kRunBytes, nowhere);
      for (BytesView left = stored; !left.empty();) {
        size_t count = std::min<size_t>(left.size(), 1u << 20);
        (co_await opening.write(left.first(count))).value();
        left = left.subspan(count);
      }
      co_return opening.finish().has_value();
    });
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRunBytes));
}
BENCHMARK(open);

// What a small object pays: a key of its own, made and opened again.
void run_key(benchmark::State& state) {
  base::SystemRandom random;
  SecretKey outer = SecretKey::make(random);
  for (auto _ : state) {
    RunKey run = make_run_key(outer, "bound", random);
    std::string text = seal_text(run, "some text");
    benchmark::DoNotOptimize(open_run_key(outer, run.seal, "bound"));
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(run_key);

}  // namespace
}  // namespace polis::object
