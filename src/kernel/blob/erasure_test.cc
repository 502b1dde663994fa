#include "kernel/blob/erasure.h"

#include <bit>
#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::blob {
namespace {

// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1, bit by bit.
uint8_t product(uint8_t a, uint8_t b) {
  unsigned sum = 0;
  for (int bit = 0; bit < 8; ++bit) sum ^= (b >> bit & 1) ? unsigned{a} << bit : 0;
  for (int bit = 15; bit >= 8; --bit) sum ^= (sum >> bit & 1) ? 0x11du << (bit - 8) : 0;
  return static_cast<uint8_t>(sum);
}
uint8_t inverse(uint8_t a) {
  for (unsigned b = 1; b < 256; ++b) {
    if (product(a, static_cast<uint8_t>(b)) == 1) return static_cast<uint8_t>(b);
  }
  return 0;
}

struct Units {
  Units(const Erasure& erasure, size_t size_bytes, Random& random) : bytes(erasure.units(), Bytes(size_bytes)) {
    for (unsigned i = 0; i < erasure.data_units(); ++i) random.fill(bytes[i]);
    std::vector<const std::byte*> data;
    std::vector<std::byte*> parity;
    for (unsigned i = 0; i < erasure.units(); ++i) {
      if (i < erasure.data_units())
        data.push_back(bytes[i].data());
      else
        parity.push_back(bytes[i].data());
    }
    erasure.encode(size_bytes, data, parity);
  }
  std::vector<std::byte*> pointers() {
    std::vector<std::byte*> all;
    for (Bytes& unit : bytes) all.push_back(unit.data());
    return all;
  }
  std::vector<Bytes> bytes;
};

TEST(Erasure, parity_is_the_cauchy_sum_1_over_i_xor_j) {
  base::SeededRandom random(1);
  auto erasure = Erasure::make(4, 2);
  ASSERT_TRUE(erasure);
  Units units(*erasure, 64, random);
  for (unsigned parity = 4; parity < 6; ++parity) {
    for (size_t at = 0; at < 64; ++at) {
      uint8_t expected = 0;
      for (unsigned data = 0; data < 4; ++data) {
        expected ^= product(inverse(static_cast<uint8_t>(parity ^ data)), static_cast<uint8_t>(units.bytes[data][at]));
      }
      ASSERT_EQ(static_cast<uint8_t>(units.bytes[parity][at]), expected);
    }
  }
}

TEST(Erasure, any_k_units_give_back_all_others) {
  base::SeededRandom random(2);
  for (auto [k, m] : {std::pair{1, 1}, {2, 1}, {4, 2}, {8, 3}, {3, 4}, {10, 4}}) {
    auto erasure = Erasure::make(static_cast<unsigned>(k), static_cast<unsigned>(m));
    ASSERT_TRUE(erasure);
    ErasureDecoder decoder(*erasure);
    for (size_t size : {size_t{1}, size_t{31}, size_t{64}, size_t{4096}, size_t{4160}}) {
      const Units whole(*erasure, size, random);
      for (UnitMask lost = 1; lost <= erasure->all(); ++lost) {
        if (std::popcount(lost) > m || (k + m > 10 && !random.chance(1, 20))) continue;
        Units units = whole;
        for (unsigned i = 0; i < erasure->units(); ++i) {
          if (lost >> i & 1) random.fill(units.bytes[i]);
        }
        decoder.decode(size, erasure->all() & ~lost, lost, units.pointers());
        ASSERT_TRUE(units.bytes == whole.bytes) << k << "+" << m << " lost " << lost << " size " << size;
      }
    }
  }
}

TEST(Erasure, codes_without_parity_or_too_wide_are_refused) {
  EXPECT_FALSE(Erasure::make(0, 2));
  EXPECT_FALSE(Erasure::make(4, 0));
  EXPECT_FALSE(Erasure::make(15, 2));
  EXPECT_FALSE(Erasure::make(4'000'000'000, 4'000'000'000));
  EXPECT_TRUE(Erasure::make(14, 2));
}

}  // namespace
}  // namespace polis::blob
