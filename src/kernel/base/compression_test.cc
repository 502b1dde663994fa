#include "kernel/base/compression.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::base {
namespace {

constexpr CompressionFormat kFormats[] = {CompressionFormat::kGzip, CompressionFormat::kSnappy, CompressionFormat::kLz4,
                                          CompressionFormat::kZstd};

Bytes sample(size_t size_bytes, uint64_t seed) {
  SeededRandom random(seed);
  Bytes bytes(size_bytes);
  // Half of it repeats, half does not.
  for (size_t i = 0; i < size_bytes; ++i) bytes[i] = static_cast<std::byte>(i % 200 < 100 ? i % 7 : random.below(256));
  return bytes;
}

TEST(Compression, what_was_compressed_comes_back) {
  for (const auto format : kFormats) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{65'536}, size_t{300'000}}) {
      const Bytes plain = sample(size, size);
      Bytes packed, back = {std::byte{9}};
      compress(format, plain, packed);
      const auto done = decompress(format, packed, size, back);
      ASSERT_TRUE(done) << static_cast<int>(format) << " " << size << ": " << done.error().text();
      EXPECT_EQ(back[0], std::byte{9});  // appended
      EXPECT_TRUE(std::ranges::equal(BytesView(back).subspan(1), plain));
    }
  }
}

TEST(Compression, more_than_the_limit_is_refused) {
  const Bytes plain(100'000);  // zeros: a bomb in small
  for (const auto format : kFormats) {
    Bytes packed;
    compress(format, plain, packed);
    for (const size_t limit : {size_t{0}, size_t{1}, size_t{65'536}, plain.size() - 1}) {
      Bytes out;
      const auto done = decompress(format, packed, limit, out);
      ASSERT_FALSE(done) << static_cast<int>(format);
      EXPECT_EQ(done.error().code(), Code::kTooLarge) << static_cast<int>(format) << " " << limit;
      EXPECT_LE(out.size(), limit);
    }
  }
}

TEST(Compression, what_is_cut_off_is_damaged) {
  const Bytes plain = sample(5'000, 3);
  for (const auto format : kFormats) {
    Bytes packed;
    compress(format, plain, packed);
    for (size_t size = 0; size < packed.size(); size += 1 + size / 8) {
      Bytes out;
      EXPECT_FALSE(decompress(format, BytesView(packed).first(size), plain.size(), out))
          << static_cast<int>(format) << " cut at " << size;
    }
    packed.push_back(std::byte{1});
    Bytes out;
    EXPECT_FALSE(decompress(format, packed, plain.size(), out)) << static_cast<int>(format) << " with more behind it";
  }
}

TEST(Compression, hostile_bytes_end_in_an_error_or_within_the_limit) {
  SeededRandom random(5);
  for (const auto format : kFormats) {
    Bytes packed;
    compress(format, sample(2'000, 4), packed);
    for (int round = 0; round < 2'000; ++round) {
      Bytes hostile = packed;
      for (uint64_t i = 1 + random.below(4); i > 0; --i)
        hostile[random.below(hostile.size())] = static_cast<std::byte>(random.next());
      Bytes out;
      (void)decompress(format, hostile, 10'000, out);
      EXPECT_LE(out.size(), 10'000u);
    }
  }
}

}  // namespace
}  // namespace polis::base
