// Side by side: ISA-L alone in memory, our encoding (parity, checksums and headers), and whole puts and gets through a
// pool in $POLIS_BENCH_DIR (default /tmp/polis-blob-bench). server_cpu is the process's CPU seconds per GiB or per
// operation.
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <filesystem>
#include <isa-l/erasure_code.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/base/crc.h"
#include "kernel/blob/extent_blob.h"
#include "kernel/blob/row_encoder.h"
#include "kernel/blob/test_streams.h"

namespace polis::blob {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// --- encoding

struct Buffers {
  Buffers() : bytes(6 * size_t{kUnitBytesMax}) {
    base::SeededRandom(1).fill(bytes);
    for (unsigned i = 0; i < 6; ++i) units.push_back(bytes.data() + i * size_t{kUnitBytesMax});
  }
  Bytes bytes;
  std::vector<std::byte*> units;
};

void isal_alone(benchmark::State& state) {
  Buffers buffers;
  unsigned char matrix[24], tables[32 * 8];
  gf_gen_cauchy1_matrix(matrix, 6, 4);
  ec_init_tables(4, 2, matrix + 16, tables);
  std::vector<unsigned char*> units;
  for (std::byte* unit : buffers.units) units.push_back(reinterpret_cast<unsigned char*>(unit));
  for (auto _ : state) {
    ec_encode_data(kUnitBytesMax, 4, 2, tables, units.data(), units.data() + 4);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * int64_t{kUnitBytesMax});
}
BENCHMARK(isal_alone);

void encode_4_2(benchmark::State& state) {
  Buffers buffers;
  const Erasure erasure = *Erasure::make(4, 2);
  const std::vector<const std::byte*> data(buffers.units.begin(), buffers.units.begin() + 4);
  for (auto _ : state) {
    erasure.encode(kUnitBytesMax, data, std::span(buffers.units).subspan(4));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * int64_t{kUnitBytesMax});
}
BENCHMARK(encode_4_2);

void decode_two_lost(benchmark::State& state) {
  Buffers buffers;
  const Erasure erasure = *Erasure::make(4, 2);
  ErasureDecoder decoder(erasure);
  for (auto _ : state) {
    decoder.decode(kUnitBytesMax, 0b111100, 0b000011, buffers.units);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * int64_t{kUnitBytesMax});
}
BENCHMARK(decode_two_lost);

void encode_row_with_checksums(benchmark::State& state) {
  Buffers buffers;
  const Erasure erasure = *Erasure::make(4, 2);
  const std::vector<const std::byte*> data(buffers.units.begin(), buffers.units.begin() + 4);
  RowHeader header;
  header.shape = {kSuperblockBytes, spread_header_bytes(kUnitBytesMax), kUnitBytesMax};
  header.data_units = 4;
  header.parity_units = 2;
  header.written = erasure.all();
  Bytes headers;
  headers.reserve(6 * size_t{header.shape.header_bytes});
  RowWrites writes;
  for (auto _ : state) {
    writes.clear();
    headers.clear();
    encode_row(erasure, header, data, MutableBytes(buffers.bytes).subspan(4 * size_t{kUnitBytesMax}), headers, writes);
  }
  state.SetBytesProcessed(state.iterations() * 4 * int64_t{kUnitBytesMax});
}
BENCHMARK(encode_row_with_checksums);

void checksum_of_a_unit(benchmark::State& state) {
  Buffers buffers;
  for (auto _ : state) benchmark::DoNotOptimize(block_crcs(BytesView(buffers.bytes).first(kUnitBytesMax)));
  state.SetBytesProcessed(state.iterations() * int64_t{kUnitBytesMax});
}
BENCHMARK(checksum_of_a_unit);

// --- whole puts and gets

class NullSink final : public ByteSink {
 public:
  Task<Result<void>> write(BytesView bytes) override {
    size_bytes += bytes.size();
    co_return {};
  }
  uint64_t size_bytes = 0;
};

class FixedSource final : public ByteSource {
 public:
  FixedSource(BytesView pattern, uint64_t size_bytes) : pattern_(pattern), left_(size_bytes) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    const size_t size = std::min<uint64_t>({into.size(), left_, pattern_.size()});
    std::memcpy(into.data(), pattern_.data(), size);
    left_ -= size;
    co_return size;
  }

 private:
  BytesView pattern_;
  uint64_t left_;
};

struct Pool {
  Pool() : runtime({.shards = 1, .blocking_threads = 8}), disk(io::make_system_disk()) {
    const char* configured = std::getenv("POLIS_BENCH_DIR");
    directory = std::string(configured ? configured : "/tmp/polis-blob-bench") + "." + std::to_string(getpid());
    std::filesystem::remove_all(directory);
    ExtentBlobOptions options;
    for (int i = 0; i < 6; ++i) options.drives.push_back(directory + "/" + std::to_string(i));
    runtime.start();
    auto opened = runtime.call(0, [&] { return ExtentBlob::open(*disk, options, random); });
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().text().c_str());
      std::exit(1);
    }
    blob = std::move(*opened);
    pattern = random_bytes(random, 1 << 20);
  }
  ~Pool() {
    (void)runtime.call(0, [&] { return blob->close(); });
    blob.reset();
    runtime.stop();
    std::filesystem::remove_all(directory);
  }

  Task<void> put_one(uint64_t size_bytes, Receipt* receipt) {
    FixedSource source(pattern, size_bytes);
    auto put = co_await blob->put(source, size_bytes);
    if (!put) {
      std::fprintf(stderr, "put: %s\n", put.error().text().c_str());
      std::exit(1);
    }
    *receipt = std::move(*put);
  }
  Task<int> put_many(uint64_t size_bytes, std::vector<Receipt>* receipts) {
    io::TaskGroup group;
    for (Receipt& receipt : *receipts) group.spawn(put_one(size_bytes, &receipt));
    co_await group.join();
    co_return 0;
  }
  Task<void> get_one(const Receipt* receipt, uint64_t offset, uint64_t size) {
    NullSink sink;
    auto got = co_await blob->get(*receipt, {offset, size}, sink);
    if (!got || sink.size_bytes != size) {
      std::fprintf(stderr, "get: %s\n", got ? "wrong length" : got.error().text().c_str());
      std::exit(1);
    }
  }
  Task<int> get_many(const std::vector<Receipt>* receipts) {
    io::TaskGroup group;
    for (const Receipt& receipt : *receipts) group.spawn(get_one(&receipt, 0, receipt.size_bytes));
    co_await group.join();
    co_return 0;
  }

  io::Runtime runtime;
  std::unique_ptr<io::Disk> disk;
  base::SystemRandom random;
  std::string directory;
  std::unique_ptr<ExtentBlob> blob;
  Bytes pattern;
};

void report(benchmark::State& state, Pool& pool, uint64_t size_bytes, uint64_t operations, double cpu, uint64_t syncs) {
  state.SetBytesProcessed(static_cast<int64_t>(size_bytes * operations));
  state.SetItemsProcessed(static_cast<int64_t>(operations));
  state.counters["cpu_us_per_op"] = cpu * 1e6 / static_cast<double>(operations);
  state.counters["cpu_s_per_GiB"] = cpu / (static_cast<double>(size_bytes * operations) / static_cast<double>(1 << 30));
  if (syncs)
    state.counters["ops_per_sync"] =
        static_cast<double>(operations) / static_cast<double>(pool.blob->statistics().syncs - syncs);
}

// Arguments: bytes of a blob, puts at the same time.
void put(benchmark::State& state) {
  Pool pool;
  const uint64_t size = static_cast<uint64_t>(state.range(0));
  std::vector<Receipt> receipts(static_cast<size_t>(state.range(1)));
  (void)pool.runtime.call(0, [&] { return pool.put_many(size, &receipts); });
  const double cpu = cpu_seconds();
  const uint64_t syncs = pool.blob->statistics().syncs;
  for (auto _ : state) (void)pool.runtime.call(0, [&] { return pool.put_many(size, &receipts); });
  report(state, pool, size, receipts.size() * static_cast<uint64_t>(state.iterations()), cpu_seconds() - cpu, syncs);
}
BENCHMARK(put)
    ->Args({4096, 1})
    ->Args({4096, 64})
    ->Args({4096, 512})
    ->Args({65536, 16})
    ->Args({1 << 20, 8})
    ->Args({64 << 20, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// The third argument is how many drives are out.
void get(benchmark::State& state) {
  Pool pool;
  const uint64_t size = static_cast<uint64_t>(state.range(0));
  std::vector<Receipt> receipts(static_cast<size_t>(state.range(1)));
  (void)pool.runtime.call(0, [&] { return pool.put_many(size, &receipts); });
  for (int64_t drive = 0; drive < state.range(2); ++drive) {
    (void)pool.runtime.call(0,
                            [&] { return pool.blob->set_drive(static_cast<unsigned>(drive), DriveState::kMissing); });
  }
  (void)pool.runtime.call(0, [&] { return pool.get_many(&receipts); });
  const double cpu = cpu_seconds();
  for (auto _ : state) (void)pool.runtime.call(0, [&] { return pool.get_many(&receipts); });
  report(state, pool, size, receipts.size() * static_cast<uint64_t>(state.iterations()), cpu_seconds() - cpu, 0);
}
BENCHMARK(get)
    ->Args({4096, 1, 0})
    ->Args({4096, 64, 0})
    ->Args({4096, 64, 2})
    ->Args({64 << 20, 1, 0})
    ->Args({64 << 20, 1, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace polis::blob
