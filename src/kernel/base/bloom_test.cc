#include "kernel/base/bloom.h"

#include <gtest/gtest.h>

#include "kernel/base/hash.h"
#include "kernel/base/random.h"

namespace polis::base {
namespace {

TEST(Bloom, what_was_inserted_is_always_found_and_the_rate_of_errors_is_as_asked) {
  for (double rate : {0.1, 0.01, 0.001}) {
    SeededRandom random(9);
    SplitBlockBloom filter(20'000, rate);
    std::vector<uint64_t> keys(20'000);
    for (uint64_t& key : keys) filter.insert(key = random.next());
    for (uint64_t key : keys) ASSERT_TRUE(filter.may_contain(key));
    int wrong = 0;
    constexpr int kProbes = 200'000;
    for (int i = 0; i < kProbes; ++i) wrong += filter.may_contain(random.next());
    // Four standard deviations of the count at the lowest rate are 28 %.
    EXPECT_LT(wrong, rate * kProbes * 1.28);
    EXPECT_GT(wrong, rate * kProbes * 0.72);
  }
}

TEST(Bloom, the_bits_are_those_of_the_parquet_specification) {
  // One block: a hash of 0 selects bit 0 of each word; a low half of 1 selects salt >> 27.
  SplitBlockBloom filter(1, 0.5);
  ASSERT_EQ(filter.size_bytes(), 32u);
  filter.insert(0);
  Bytes bytes = filter.bytes();
  for (size_t word = 0; word < 8; ++word) EXPECT_EQ(bytes[4 * word], std::byte{1});
  filter.clear();
  filter.insert(1);
  EXPECT_EQ(filter.bytes()[1], std::byte{1});  // 0x47b6137b >> 27 == 8
  EXPECT_FALSE(filter.may_contain(0));
}

TEST(Bloom, bytes_restore_the_filter_and_a_union_holds_both) {
  SplitBlockBloom one(1000, 0.01), other(1000, 0.01);
  one.insert(xxh3_64("a"));
  other.insert(xxh3_64("b"));
  SplitBlockBloom back = SplitBlockBloom::from_bytes(one.bytes()).value();
  EXPECT_TRUE(back.may_contain(xxh3_64("a")));
  EXPECT_FALSE(back.may_contain(xxh3_64("b")));
  ASSERT_TRUE(back.merge(other));
  EXPECT_TRUE(back.may_contain(xxh3_64("b")));
  EXPECT_EQ(back.merge(SplitBlockBloom(1'000'000, 0.01)).error().code(), Code::kInvalid);
}

TEST(Bloom, hostile_sizes_are_refused_or_clamped) {
  EXPECT_FALSE(SplitBlockBloom::from_bytes({}));
  EXPECT_FALSE(SplitBlockBloom::from_bytes(Bytes(33)));
  EXPECT_EQ(SplitBlockBloom::size_bytes_for(0, 0.01), 32u);
  EXPECT_EQ(SplitBlockBloom::size_bytes_for(UINT64_MAX, 1e-9), SplitBlockBloom::kSizeBytesMax);
}

}  // namespace
}  // namespace polis::base
