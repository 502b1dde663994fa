#include "kernel/blob/galois.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::blob {
namespace {

// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1: shift, reduce, add.
uint8_t slow_product(uint8_t a, uint8_t b) {
  uint8_t sum = 0;
  for (; b; b >>= 1, a = static_cast<uint8_t>(a << 1 ^ (a & 0x80 ? 0x1d : 0)))
    if (b & 1) sum ^= a;
  return sum;
}

std::vector<GaloisWay> ways() {
  std::vector<GaloisWay> all{GaloisWay::kTables};
  if (best_galois_way() == GaloisWay::kAffine) all.push_back(GaloisWay::kAffine);
  return all;
}

TEST(Galois, every_factor_times_every_byte_is_the_product_in_the_field) {
  Bytes every(256), product(256);
  for (unsigned i = 0; i < 256; ++i) every[i] = static_cast<std::byte>(i);
  for (GaloisWay way : ways()) {
    for (unsigned factor = 0; factor < 256; ++factor) {
      const unsigned char coefficient = static_cast<unsigned char>(factor);
      const std::byte* in = every.data();
      std::byte* out = product.data();
      GaloisMap(1, 1, {&coefficient, 1}, way).apply(256, &in, &out);
      for (unsigned i = 0; i < 256; ++i)
        ASSERT_EQ(static_cast<uint8_t>(product[i]), slow_product(static_cast<uint8_t>(factor), static_cast<uint8_t>(i)))
            << factor << " * " << i << " way " << static_cast<int>(way);
    }
  }
}

// Random shapes, sizes and alignments; a byte before and behind each output must stay as it was.
TEST(Galois, all_ways_give_the_same_bytes_and_touch_no_others) {
  base::SeededRandom random(3);
  for (int round = 0; round < 400; ++round) {
    const unsigned inputs = 1 + static_cast<unsigned>(random.below(GaloisMap::kSideMax));
    const unsigned outputs = 1 + static_cast<unsigned>(random.below(GaloisMap::kSideMax));
    const size_t size = random.chance(1, 4) ? random.below(70) : random.below(3000);
    std::vector<unsigned char> coefficients(size_t{inputs} * outputs);
    for (auto& one : coefficients) one = random.chance(1, 8) ? 0 : static_cast<unsigned char>(random.below(256));
    std::vector<Bytes> data;
    std::vector<const std::byte*> in;
    for (unsigned i = 0; i < inputs; ++i) {
      const size_t shift = random.below(64);
      data.emplace_back(shift + size);
      random.fill(data.back());
      in.push_back(data.back().data() + shift);
    }
    std::vector<std::vector<Bytes>> results;
    for (GaloisWay way : ways()) {
      std::vector<Bytes> outs(outputs, Bytes(size + 2, std::byte{0xa5}));
      std::vector<std::byte*> out;
      for (Bytes& one : outs) out.push_back(one.data() + 1);
      GaloisMap(inputs, outputs, coefficients, way).apply(size, in.data(), out.data());
      for (unsigned r = 0; r < outputs; ++r) {
        ASSERT_EQ(outs[r].front(), std::byte{0xa5});
        ASSERT_EQ(outs[r].back(), std::byte{0xa5});
        for (size_t at = 0; at < size; at += 1 + random.below(97)) {
          uint8_t expected = 0;
          for (unsigned c = 0; c < inputs; ++c)
            expected ^= slow_product(coefficients[r * inputs + c], static_cast<uint8_t>(in[c][at]));
          ASSERT_EQ(static_cast<uint8_t>(outs[r][at + 1]), expected);
        }
      }
      results.push_back(std::move(outs));
    }
    for (const auto& other : results) ASSERT_TRUE(other == results.front()) << inputs << "x" << outputs << " " << size;
  }
}

}  // namespace
}  // namespace polis::blob
