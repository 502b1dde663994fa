// One pool, several shards, real files: each shard puts, and reads what the others put.
#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

#include "kernel/blob/blob_under_test.h"
#include "kernel/blob/extent_blob.h"

namespace polis::blob {
namespace {

class RealPool {
 public:
  explicit RealPool(std::unique_ptr<io::Disk> d) : runtime({.shards = 3, .blocking_threads = 4}), disk(std::move(d)) {
    directory = std::filesystem::path(testing::TempDir()) / ("polis-blob-" + std::to_string(getpid()));
    std::filesystem::remove_all(directory);
    for (int i = 0; i < 6; ++i) options.drives.push_back(directory + "/" + std::to_string(i));
    options.extent_payload_bytes = 8 << 20;
    options.space_reserve_bytes = 0;
    runtime.start();
    open();
  }
  ~RealPool() {
    close();
    runtime.stop();
    std::filesystem::remove_all(directory);
  }
  void open() {
    auto opened = runtime.call(0, [&] { return ExtentBlob::open(*disk, options, random); });
    if (!opened) {
      ADD_FAILURE() << opened.error().text();
      return;
    }
    blob = std::move(*opened);
  }
  void close() {
    if (blob) (void)runtime.call(0, [&] { return blob->close(); });
    blob.reset();
  }

  io::Runtime runtime;
  std::unique_ptr<io::Disk> disk;
  base::SystemRandom random;
  std::string directory;
  ExtentBlobOptions options;
  std::unique_ptr<ExtentBlob> blob;
};

struct Stored {
  Receipt receipt;
  Bytes bytes;
  Result<void> outcome;
};

Task<void> put_one(Blob* blob, Stored* stored) {
  BytesSource source(stored->bytes);
  auto receipt = co_await blob->put(source, stored->bytes.size());
  if (receipt)
    stored->receipt = *receipt;
  else
    stored->outcome = fail(receipt.error());
}
Task<int> put_all(Blob* blob, std::vector<Stored>* all) {
  io::TaskGroup group;
  for (Stored& stored : *all) group.spawn(put_one(blob, &stored));
  co_await group.join();
  co_return 0;
}
Task<void> get_one(Blob* blob, const Stored* stored, int* wrong) {
  BytesSink sink;
  auto got = co_await blob->get(stored->receipt, {0, stored->receipt.size_bytes}, sink);
  if (!got || sink.got != stored->bytes) ++*wrong;
}
Task<int> get_all(Blob* blob, const std::vector<Stored>* all) {
  int wrong = 0;
  io::TaskGroup group;
  for (const Stored& stored : *all) group.spawn(get_one(blob, &stored, &wrong));
  co_await group.join();
  co_return wrong;
}

// Runs `work(shard)` on all shards at the same time.
template <class F>
void everywhere(io::Runtime& runtime, F work) {
  std::vector<std::thread> threads;
  for (unsigned shard = 0; shard < runtime.size(); ++shard) threads.emplace_back([&, shard] { work(shard); });
  for (std::thread& thread : threads) thread.join();
}

void every_shard_reads_what_others_put(std::unique_ptr<io::Disk> disk) {
  RealPool pool(std::move(disk));
  std::vector<std::vector<Stored>> stored(pool.runtime.size());
  for (unsigned shard = 0; shard < stored.size(); ++shard) {
    base::SeededRandom random(shard);
    for (int i = 0; i < 60; ++i) {
      stored[shard].push_back({{}, random_bytes(random, random.below(i % 10 == 0 ? 1'500'000 : 30'000)), {}});
    }
  }
  everywhere(pool.runtime, [&](unsigned shard) {
    pool.runtime.call(shard, [&] { return put_all(pool.blob.get(), &stored[shard]); });
  });
  for (const auto& all : stored) {
    for (const Stored& one : all) ASSERT_OK(one.outcome);
  }
  EXPECT_LT(pool.blob->statistics().syncs, 6u * 180u) << "syncs are shared";
  for (unsigned turn = 0; turn < 3; ++turn) {
    if (turn == 1) {
      pool.close();
      pool.open();
    }
    if (turn == 2) {
      for (unsigned drive : {1u, 4u}) {
        ASSERT_OK(pool.runtime.call(drive % 3, [&] { return pool.blob->set_drive(drive, DriveState::kMissing); }));
      }
    }
    everywhere(pool.runtime, [&](unsigned shard) {
      EXPECT_EQ(pool.runtime.call(shard, [&] { return get_all(pool.blob.get(), &stored[(shard + turn) % 3]); }), 0);
    });
  }
}

TEST(Shards, every_shard_reads_what_others_put) {
  every_shard_reads_what_others_put(io::make_system_disk());
}

TEST(Shards, the_volatile_disk_serves_as_well) {
  every_shard_reads_what_others_put(io::make_volatile_disk());
}

TEST(Shards, directories_that_vanish_under_load_cost_no_get) {
  RealPool pool(io::make_system_disk());
  std::vector<Stored> stored;
  base::SeededRandom random(1);
  for (int i = 0; i < 40; ++i)
    stored.push_back({{}, random_bytes(random, random.below(i % 8 == 0 ? 900'000 : 30'000)), {}});
  pool.runtime.call(1, [&] { return put_all(pool.blob.get(), &stored); });
  for (int drive : {0, 3})
    std::filesystem::rename(pool.directory + "/" + std::to_string(drive),
                            pool.directory + "/gone" + std::to_string(drive));
  EXPECT_EQ(pool.runtime.call(2, [&] { return get_all(pool.blob.get(), &stored); }), 0);
  auto scrubbed = pool.runtime.call(0, [&] { return pool.blob->scrub({}); });
  ASSERT_OK(scrubbed);
  EXPECT_EQ(pool.blob->drives()[0].state, DriveState::kMissing);
  EXPECT_EQ(pool.blob->drives()[3].state, DriveState::kMissing);
  EXPECT_EQ(pool.runtime.call(1, [&] { return get_all(pool.blob.get(), &stored); }), 0);
  for (int drive : {0, 3}) {
    std::filesystem::create_directory(pool.directory + "/" + std::to_string(drive));
    ASSERT_OK(pool.runtime.call(
        1, [&] { return pool.blob->set_drive(static_cast<unsigned>(drive), DriveState::kReplacing); }));
  }
  auto repaired = pool.runtime.call(2, [&] { return pool.blob->repair({}); });
  ASSERT_OK(repaired);
  EXPECT_EQ(repaired->rows_lost, 0u);
  for (unsigned drive : {1u, 5u})
    ASSERT_OK(pool.runtime.call(0, [&] { return pool.blob->set_drive(drive, DriveState::kMissing); }));
  EXPECT_EQ(pool.runtime.call(1, [&] { return get_all(pool.blob.get(), &stored); }), 0);
}

}  // namespace
}  // namespace polis::blob
