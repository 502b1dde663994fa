#include "kernel/blob/extent_blob.h"

#include <gtest/gtest.h>

#include "kernel/blob/conformance.h"
#include "kernel/blob/simulated_pool_test.h"

namespace polis::blob {
namespace {

INSTANTIATE_TEST_SUITE_P(four_and_two, BlobConformance,
                         testing::Values([] { return std::make_unique<SimulatedPool>(small_extents()); }));
INSTANTIATE_TEST_SUITE_P(two_and_one, BlobConformance,
                         testing::Values([] { return std::make_unique<SimulatedPool>(small_extents(2, 1)); }));
INSTANTIATE_TEST_SUITE_P(eight_and_three, BlobConformance,
                         testing::Values([] { return std::make_unique<SimulatedPool>(small_extents(8, 3)); }));

TEST(Extents, a_long_stream_of_unknown_size_has_few_segments_and_reads_across_them) {
  base::SeededRandom random(1);
  SimulatedPool pool(small_extents());
  const Bytes bytes = random_bytes(random, 50'000'001);
  auto receipt = pool.put(bytes, UINT64_MAX);
  ASSERT_OK(receipt);
  const auto ids = segments(*receipt);
  EXPECT_GE(ids.size(), 2u);
  EXPECT_LE(ids.size(), 7u);
  auto got = pool.get(*receipt);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == bytes);
  for (int i = 0; i < 20; ++i) {
    const uint64_t offset = random.below(bytes.size()),
                   length = random.below(std::min<uint64_t>(3'000'000, bytes.size() - offset));
    auto part = pool.get(*receipt, {offset, length});
    ASSERT_OK(part);
    EXPECT_TRUE(std::ranges::equal(*part, BytesView(bytes).subspan(offset, length)));
  }
}

TEST(Extents, a_lone_small_put_takes_three_syncs_and_a_crowd_shares_them) {
  base::SeededRandom random(2);
  SimulatedPool pool(small_extents());
  ASSERT_OK(pool.put(random_bytes(random, 3000)));  // also syncs the new files
  const uint64_t before = pool.blob().statistics().syncs;
  ASSERT_OK(pool.put(random_bytes(random, 3000)));
  EXPECT_EQ(pool.blob().statistics().syncs - before, 3u);

  std::vector<Bytes> all;
  for (int i = 0; i < 200; ++i) all.push_back(random_bytes(random, 3000));
  std::vector<std::pair<Receipt, const Bytes*>> kept;
  int failures = 0;
  pool.run_task(put_all_at_once(&pool.blob(), &all, &kept, &failures));
  EXPECT_EQ(failures, 0);
  EXPECT_LE(pool.blob().statistics().syncs - before, 3u + 4 * 6u);
}

TEST(Extents, uploads_beyond_the_memory_limit_are_told_to_come_later) {
  base::SeededRandom random(3);
  auto options = small_extents();
  options.put_memory_bytes_max = 4 << 20;
  SimulatedPool pool(options);
  std::vector<Bytes> all(20, random_bytes(random, 2'000'000));
  std::vector<std::pair<Receipt, const Bytes*>> kept;
  int refused = 0;
  pool.run_task(put_all_at_once(&pool.blob(), &all, &kept, &refused));
  EXPECT_GT(refused, 0);
  EXPECT_GT(kept.size(), 0u);
  EXPECT_OK(pool.put(all[0]));  // and later there is room
}

TEST(Extents, an_extent_of_another_life_is_never_appended_to) {
  base::SeededRandom random(4);
  SimulatedPool pool(small_extents());
  ASSERT_OK(pool.put(random_bytes(random, 3000)));
  const auto files = pool.extent_files(0);
  const Bytes before = pool.world.disk().content(files[0]);
  pool.reopen();
  ASSERT_OK(pool.put(random_bytes(random, 3000)));
  EXPECT_TRUE(pool.world.disk().content(files[0]) == before);
  EXPECT_EQ(pool.extent_files(0).size(), 2u);
}

TEST(Extents, a_stopped_scrub_and_repair_end_early) {
  base::SeededRandom random(5);
  SimulatedPool pool(small_extents());
  for (int i = 0; i < 10; ++i) ASSERT_OK(pool.put(random_bytes(random, 900'000)));
  auto whole = pool.run(pool.blob().scrub({}));
  ASSERT_OK(whole);
  EXPECT_EQ(whole->rows_checked, 40u);
  auto stopped = pool.run(pool.blob().scrub([](uint64_t, uint64_t) { return false; }));
  ASSERT_OK(stopped);
  EXPECT_LT(stopped->rows_checked, whole->rows_checked);
}

// An owner that cannot change its rows for a while.
class BusyOwner final : public Owner {
 public:
  Task<Result<std::vector<bool>>> referenced(std::vector<BlobId> ids) override {
    return rows.referenced(std::move(ids));
  }
  Task<Result<void>> moved(BlobId from, BlobId to) override {
    if (busy != Code{}) co_return fail(busy, "not now");
    co_return co_await rows.moved(std::move(from), std::move(to));
  }
  MapOwner rows;
  Code busy{};
};

// Half of ten blobs, the others are erased: worth a compaction.
std::map<BlobId, Bytes> half_of_ten(SimulatedPool& pool, base::SeededRandom& random) {
  std::map<BlobId, Bytes> kept;
  for (int i = 0; i < 10; ++i) {
    Bytes bytes = random_bytes(random, 300'000);
    auto receipt = pool.put(bytes);
    EXPECT_OK(receipt);
    if (i % 3 == 0)
      kept.emplace(segments(*receipt)[0], std::move(bytes));
    else
      pool.blob().erase(*receipt);
  }
  return kept;
}

TEST(Compaction, a_blob_whose_row_could_not_be_changed_stays_where_it_is) {
  for (Code code : {Code::kConflict, Code::kNotFound, Code::kBusy}) {
    base::SeededRandom random(6);
    SimulatedPool pool(small_extents());
    BusyOwner owner;
    pool.blob().set_owner(&owner);
    owner.rows.rows = half_of_ten(pool, random);
    owner.busy = code;
    pool.pass_time(std::chrono::hours(2));
    EXPECT_FALSE(pool.run(pool.blob().compact({})));
    pool.pass_time(std::chrono::hours(2));
    EXPECT_FALSE(pool.run(pool.blob().compact({})));
    for (const auto& [id, bytes] : owner.rows.rows) {
      auto got = pool.get(receipt_of(id, bytes.size()));
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes);
    }
    owner.busy = Code{};
    EXPECT_OK(pool.run(pool.blob().compact({})));
  }
}

TEST(Compaction, a_held_blob_is_read_to_its_end_though_it_was_erased) {
  base::SeededRandom random(7);
  SimulatedPool pool(small_extents());
  MapOwner owner;
  pool.blob().set_owner(&owner);
  const Bytes bytes = random_bytes(random, 400'000);
  auto receipt = pool.put(bytes);
  ASSERT_OK(receipt);
  auto held = pool.blob().hold(*receipt);
  pool.blob().erase(*receipt);
  for (int round = 0; round < 3; ++round) {
    pool.pass_time(std::chrono::hours(2));
    ASSERT_OK(pool.run(pool.blob().compact({})));
  }
  auto got = pool.get(*receipt);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == bytes);
  held.reset();
  ASSERT_OK(pool.run(pool.blob().compact({})));
  EXPECT_FALSE(pool.get(*receipt));
}

TEST(Compaction, deletes_nothing_while_everything_is_held) {
  base::SeededRandom random(8);
  SimulatedPool pool(small_extents());
  MapOwner owner;
  pool.blob().set_owner(&owner);
  auto receipt = pool.put(random_bytes(random, 400'000));
  ASSERT_OK(receipt);
  pool.blob().erase(*receipt);
  auto held = pool.blob().hold_all();
  const size_t files = pool.extent_files(0).size();
  for (int round = 0; round < 3; ++round) {
    pool.pass_time(std::chrono::hours(2));
    ASSERT_OK(pool.run(pool.blob().compact({})));
  }
  EXPECT_EQ(pool.extent_files(0).size(), files);
  EXPECT_OK(pool.get(*receipt));
  held.reset();
  ASSERT_OK(pool.run(pool.blob().compact({})));
  EXPECT_LT(pool.extent_files(0).size(), files);
}

// Pauses in the middle for longer than the sweep waits.
class SlowSource final : public ByteSource {
 public:
  explicit SlowSource(BytesView bytes) : bytes_(bytes), half_(bytes.size() / 2) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    if (bytes_.size() < half_ && !paused_) {
      paused_ = true;
      CO_TRY(co_await io::sleep_for(std::chrono::hours(3)));
    }
    const size_t count = std::min({into.size(), bytes_.size()});
    std::copy_n(bytes_.begin(), count, into.begin());
    bytes_ = bytes_.subspan(count);
    co_return count;
  }

 private:
  BytesView bytes_;
  size_t half_;
  bool paused_ = false;
};

TEST(Compaction, the_owner_of_a_slow_put_has_an_hour_from_its_end) {
  base::SeededRandom random(8);
  SimulatedPool pool(small_extents());
  MapOwner owner;
  pool.blob().set_owner(&owner);
  const Bytes bytes = random_bytes(random, 50'000'000);
  SlowSource source(bytes);
  auto receipt = pool.run(pool.blob().put(source, UINT64_MAX));
  ASSERT_OK(receipt);
  ASSERT_GE(segments(*receipt).size(), 2u);
  for (int round = 0; round < 2; ++round) {  // before the owner has written its row
    ASSERT_OK(pool.run(pool.blob().compact({})));
    pool.pass_time(std::chrono::minutes(20));
  }
  for (const BlobId& id : segments(*receipt)) owner.rows.emplace(id, Bytes());
  auto got = pool.get(*receipt);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == bytes);
}

}  // namespace
}  // namespace polis::blob
