// What grows with the number of rows, on a Store in $TMPDIR without HTTP around it: a page of a listing in buckets of
// ten thousand keys, a million and $POLIS_BENCH_KEYS (three million; filling takes some 15 s a million), and Complete
// of 10,000 parts (the client's document read, the parts checked, the commit synced). p50_ms beside the mean, because
// compactions of a store that was just filled fall on some pages.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdlib>

#include "kernel/base/text_encoding.h"
#include "kernel/io/shard.h"
#include "systems/object/test_store.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

// Filled once for all runs.
class FilledStore {
 public:
  ~FilledStore() {
    io::run([this]() -> Task<bool> {
      (void)co_await store.store().close();
      co_return true;
    });
  }

  // A bucket with so many keys "list/%08d".
  Task<Bucket> bucket_of(uint64_t keys) {
    const std::string name = "bucket-" + std::to_string(keys);
    Bucket bucket{.name = name};
    auto made = co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); });
    if (!made) {
      auto txn = (co_await store.store().begin()).value();
      co_return (co_await engine.bucket(*txn, name)).value();
    }
    ObjectVersion version{.owner = {"123456789012", std::string(64, 'c')},
                          .size_bytes = 4096,
                          .etag = std::string(32, 'e'),
                          .blob = {.location = std::string(24, 'b'), .size_bytes = 4096}};
    constexpr uint64_t kRowsATransaction = 10'000;
    for (uint64_t first = 0; first < keys; first += kRowsATransaction) {
      auto fill = [&](store::Txn& txn) -> Task<Answer<bool>> {
        for (uint64_t i = first; i < std::min(keys, first + kRowsATransaction); ++i) {
          version.sequence = i + 1;
          CO_ASK(txn.put(store.keyspace(), newest_key(made->id, key_of(i)), encode(version)));
        }
        co_return true;
      };
      POLIS_ASSERT((co_await store::transact(store.store(), std::ref(fill), store::Sync::kOs)).has_value());
    }
    co_return *made;
  }

  static std::string key_of(uint64_t number) {
    std::string digits = std::to_string(number);
    return "list/" + std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits;
  }

  TestStore store;
  Engine engine = store.engine();
};

FilledStore& filled() {
  static FilledStore store;
  return store;
}

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

void report_median(benchmark::State& state, std::vector<double>& times_ms, const char* name = "p50_ms") {
  std::sort(times_ms.begin(), times_ms.end());
  if (!times_ms.empty()) state.counters[name] = times_ms[times_ms.size() / 2];
}

void list_page(benchmark::State& state) {
  const auto keys = static_cast<uint64_t>(state.range(0));
  std::vector<double> times_ms;
  io::run([&]() -> Task<bool> {
    FilledStore& rows = filled();
    const Bucket bucket = co_await rows.bucket_of(keys);
    base::SeededRandom random(keys);
    for (auto _ : state) {
      const auto begin = std::chrono::steady_clock::now();
      auto txn = (co_await rows.store.store().begin()).value();
      ListQuery query{.prefix = "list/", .after = FilledStore::key_of(random.below(keys - 1001))};
      auto page = co_await rows.engine.list(*txn, bucket.id, query);
      POLIS_ASSERT(page && page->entries.size() == 1000);
      times_ms.push_back(milliseconds_since(begin));
    }
    co_return true;
  });
  report_median(state, times_ms);
}
BENCHMARK(list_page)
    ->Apply([](benchmark::internal::Benchmark* bench) {
      const char* most = std::getenv("POLIS_BENCH_KEYS");
      bench->Arg(10'000)->Arg(1'000'000)->Arg(std::max(2'000'000LL, most ? std::atoll(most) : 3'000'000LL));
    })
    ->Iterations(400)
    ->UseRealTime();

void complete_10000_parts(benchmark::State& state) {
  std::vector<double> times_ms, reading_ms;
  io::run([&]() -> Task<bool> {
    FilledStore& rows = filled();
    const Bucket bucket = co_await rows.bucket_of(10'000);
    base::SeededRandom random(9);
    for (auto _ : state) {
      state.PauseTiming();
      UploadId id(16, '\0');
      random.fill(as_writable_bytes(id));
      Upload upload{.id = id, .key = "parts"};
      (void)(co_await rows.store.change([&](Write& write) {
        return rows.engine.create_upload(write, bucket, upload);
      })).value();
      std::string document = "<CompleteMultipartUpload>";
      // Synced, as each part was: Complete shall wait for its own row alone.
      auto put_parts = [&](store::Txn& txn) -> Task<Answer<bool>> {
        for (uint32_t number = 1; number <= kPartNumberMax; ++number) {
          std::string md5(16, '\0');
          random.fill(as_writable_bytes(md5));
          Part part{
              .number = number,
              .size_bytes = kPartBytesMin,
              .md5 = md5,
              .blob = {.location = "\x08" + std::string(8, static_cast<char>(number)), .size_bytes = kPartBytesMin}};
          CO_ASK(txn.put(rows.store.keyspace(), part_key(id, number), encode(part)));
          document += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>\"" +
                      base::hex_encode(as_bytes(md5)) + "\"</ETag></Part>";
        }
        co_return true;
      };
      (void)(co_await store::transact(rows.store.store(), std::ref(put_parts), store::Sync::kDisk)).value();
      document += "</CompleteMultipartUpload>";
      state.ResumeTiming();

      const auto begin = std::chrono::steady_clock::now();
      const XmlElement parsed = parse_xml(document).value();
      CompleteUpload complete{.key = "parts", .upload = id};
      for (const XmlElement& element : parsed.children) {
        CompletedPart& part = complete.parts.emplace_back();
        part.number = static_cast<uint32_t>(std::stoul(std::string(element.text_of("PartNumber"))));
        part.etag = element.text_of("ETag");
      }
      reading_ms.push_back(milliseconds_since(begin));
      auto change = [&](store::Txn& txn) -> Task<Answer<PutOutcome>> {
        Write write{.txn = txn, .now = rows.store.now(), .slot = 3};
        co_return co_await rows.engine.complete(write, bucket, complete);
      };
      auto outcome = co_await store::transact(rows.store.store(), std::ref(change), store::Sync::kDisk);
      POLIS_ASSERT(outcome && outcome->version.part_count() == kPartNumberMax);
      times_ms.push_back(milliseconds_since(begin));
    }
    co_return true;
  });
  report_median(state, times_ms);
  report_median(state, reading_ms, "reading_p50_ms");
}
BENCHMARK(complete_10000_parts)->Iterations(12)->UseRealTime();

}  // namespace
}  // namespace polis::object
