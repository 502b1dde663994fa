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

}  // namespace
}  // namespace polis::blob
