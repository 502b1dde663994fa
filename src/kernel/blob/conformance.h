// What every Blob must do, whatever it stands on. One test file of an adapter includes this and instantiates the suite
// with a factory:
//
//     INSTANTIATE_TEST_SUITE_P(extents, BlobConformance, testing::Values(make_extents_on_a_simulated_disk));
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "kernel/blob/blob_under_test.h"

namespace polis::blob {

using MakeBlobUnderTest = std::function<std::unique_ptr<BlobUnderTest>()>;

class BlobConformance : public testing::TestWithParam<MakeBlobUnderTest> {
 protected:
  std::unique_ptr<BlobUnderTest> under = GetParam()();
  base::SeededRandom random{7};
};

inline constexpr size_t kBorderSizes[] = {
    0,     1,      63,     64,     65,     4095,   4096,   4097,    65535,          65536,
    65537, 262143, 262144, 262145, 524287, 524288, 524289, 1048577, 5 * 262144 + 7, 4'000'000};

TEST_P(BlobConformance, bytes_of_every_size_come_back) {
  for (size_t size : kBorderSizes) {
    const Bytes bytes = random_bytes(random, size);
    for (uint64_t hint : {uint64_t{size}, UINT64_MAX}) {
      auto receipt = under->put(bytes, hint);
      ASSERT_OK(receipt);
      EXPECT_EQ(receipt->size_bytes, size);
      auto got = under->get(*receipt);
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes) << size;
    }
  }
}

TEST_P(BlobConformance, a_wrong_size_hint_costs_nothing_but_neatness) {
  for (size_t size : {size_t{10}, size_t{70'000}, size_t{300'000}, size_t{1'500'000}}) {
    const Bytes bytes = random_bytes(random, size);
    for (uint64_t hint :
         {uint64_t{0}, uint64_t{1}, uint64_t{size - 1}, uint64_t{size + 1}, uint64_t{size * 3}, uint64_t{2'000'000}}) {
      auto receipt = under->put(bytes, hint);
      ASSERT_OK(receipt);
      auto got = under->get(*receipt);
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes) << size << " hint " << hint;
    }
  }
}

TEST_P(BlobConformance, ranges_are_exact) {
  for (size_t size : {size_t{1}, size_t{5000}, size_t{65536}, size_t{200'000}, size_t{1'300'000}}) {
    const Bytes bytes = random_bytes(random, size);
    auto receipt = under->put(bytes);
    ASSERT_OK(receipt);
    for (int i = 0; i < 40; ++i) {
      const uint64_t offset = random.below(size + 1), length = random.below(size - offset + 1);
      auto got = under->get(*receipt, {offset, length});
      ASSERT_OK(got);
      ASSERT_TRUE(std::ranges::equal(*got, BytesView(bytes).subspan(offset, length)))
          << size << " " << offset << "+" << length;
    }
    for (Range outside :
         {Range{size + 1, 0}, Range{0, size + 1}, Range{size, 1}, Range{1, UINT64_MAX}, Range{UINT64_MAX, 1}}) {
      auto got = under->get(*receipt, outside);
      ASSERT_FALSE(got.has_value());
      EXPECT_EQ(got.error().code(), Code::kOutOfRange);
    }
  }
}

TEST_P(BlobConformance, a_receipt_outlives_the_process) {
  std::vector<std::pair<Receipt, Bytes>> kept;
  for (size_t size : kBorderSizes) {
    Bytes bytes = random_bytes(random, size);
    auto receipt = under->put(bytes);
    ASSERT_OK(receipt);
    kept.emplace_back(*receipt, std::move(bytes));
  }
  for (int round = 0; round < 3; ++round) {
    under->reopen();
    for (auto& [receipt, bytes] : kept) {
      auto got = under->get(receipt);
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes) << bytes.size();
    }
    Bytes more = random_bytes(random, 100'000);
    auto receipt = under->put(more);
    ASSERT_OK(receipt);
    kept.emplace_back(*receipt, std::move(more));
  }
}

TEST_P(BlobConformance, a_failing_source_leaves_nothing_behind) {
  const Bytes bytes = random_bytes(random, 3'000'000);
  for (size_t fail_at : {size_t{0}, size_t{1000}, size_t{100'000}, size_t{700'000}, size_t{2'900'000}}) {
    BytesSource source(bytes, fail_at);
    auto receipt = under->run(under->blob().put(source, bytes.size()));
    ASSERT_FALSE(receipt.has_value());
    EXPECT_EQ(receipt.error().code(), Code::kClosed);
  }
  auto receipt = under->put(bytes);
  ASSERT_OK(receipt);
  auto got = under->get(*receipt);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == bytes);
}

TEST_P(BlobConformance, a_failing_sink_ends_the_get) {
  const Bytes bytes = random_bytes(random, 3'000'000);
  auto receipt = under->put(bytes);
  ASSERT_OK(receipt);
  BytesSink sink;
  sink.failing = true;
  auto got = under->run(under->blob().get(*receipt, {0, bytes.size()}, sink));
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().code(), Code::kClosed);
}

TEST_P(BlobConformance, receipts_that_nobody_gave_are_refused) {
  const Bytes bytes = random_bytes(random, 100'000);
  auto receipt = under->put(bytes);
  ASSERT_OK(receipt);
  for (size_t i = 0; i < receipt->location.size(); ++i) {
    Receipt cut{receipt->location.substr(0, i), receipt->size_bytes};
    EXPECT_FALSE(under->get(cut).has_value()) << i;
    for (int bit = 0; bit < 8; ++bit) {
      Receipt changed = *receipt;
      changed.location[i] = static_cast<char>(changed.location[i] ^ (1 << bit));
      if (auto got = under->get(changed)) {
        // Whatever it names, it is not a way to wrong bytes of this length.
        EXPECT_TRUE(*got == bytes || got->size() != bytes.size()) << i;
      }
      under->blob().erase(changed);
    }
  }
  Receipt longer = *receipt;
  longer.size_bytes += 1;
  EXPECT_FALSE(under->get(longer, {0, 1}).has_value());
}

inline Task<void> put_and_remember(Blob* blob, const Bytes* bytes, std::vector<std::pair<Receipt, const Bytes*>>* kept,
                                   int* failures) {
  BytesSource source(*bytes);
  auto receipt = co_await blob->put(source, bytes->size());
  if (receipt)
    kept->emplace_back(*receipt, bytes);
  else
    ++*failures;
}
inline Task<void> put_all_at_once(Blob* blob, const std::vector<Bytes>* all,
                                  std::vector<std::pair<Receipt, const Bytes*>>* kept, int* failures) {
  io::TaskGroup group;
  for (const Bytes& bytes : *all) group.spawn(put_and_remember(blob, &bytes, kept, failures));
  co_await group.join();
}

TEST_P(BlobConformance, puts_at_the_same_time_do_not_mix) {
  std::vector<Bytes> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(random_bytes(random, random.chance(1, 10) ? random.below(1'500'000) : random.below(20'000)));
  }
  std::vector<std::pair<Receipt, const Bytes*>> kept;
  int failures = 0;
  under->run_task(put_all_at_once(&under->blob(), &all, &kept, &failures));
  EXPECT_EQ(failures, 0);
  ASSERT_EQ(kept.size(), all.size());
  std::set<BlobId> ids;
  for (auto& [receipt, bytes] : kept) {
    auto got = under->get(receipt);
    ASSERT_OK(got);
    EXPECT_TRUE(*got == *bytes);
    for (const BlobId& id : segments(receipt)) {
      EXPECT_GE(id.size(), 1u);
      EXPECT_LE(id.size(), 64u);
      EXPECT_TRUE(ids.insert(id).second) << "an id was given twice";
    }
  }
}

TEST_P(BlobConformance, compaction_keeps_what_is_referenced_and_gives_back_the_rest) {
  MapOwner owner;
  under->blob().set_owner(&owner);
  for (int round = 0; round < 3; ++round) {
    std::vector<Bytes> all;
    for (int i = 0; i < 150; ++i) all.push_back(random_bytes(random, i % 15 == 0 ? 400'000 : 1 + random.below(30'000)));
    std::vector<std::pair<Receipt, const Bytes*>> kept;
    int failures = 0;
    under->run_task(put_all_at_once(&under->blob(), &all, &kept, &failures));
    for (size_t i = 0; i < kept.size(); ++i) {
      if (i % 5 == 0)
        owner.rows.emplace(segments(kept[i].first)[0], *kept[i].second);
      else
        under->blob().erase(kept[i].first);
    }
  }
  const uint64_t before = under->blob().statistics().stored_bytes;
  // Younger than an hour: nobody may have referred to it yet.
  auto early = under->run(under->blob().compact({}));
  ASSERT_OK(early);
  EXPECT_EQ(*early, 0u);
  under->pass_time(std::chrono::hours(2));
  ASSERT_OK(under->run(under->blob().compact({})));
  under->pass_time(std::chrono::hours(2));
  auto freed = under->run(under->blob().compact({}));
  ASSERT_OK(freed);
  EXPECT_GT(*freed, 0u);
  EXPECT_LT(under->blob().statistics().stored_bytes, before / 2);
  for (int round = 0; round < 2; ++round) {
    for (auto& [id, bytes] : owner.rows) {
      auto got = under->get(receipt_of(id, bytes.size()));
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes);
    }
    under->reopen();
    under->blob().set_owner(&owner);
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BlobConformance);

}  // namespace polis::blob
