#include "kernel/base/crc.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::base {
namespace {

Bytes random_bytes(SeededRandom& random, size_t size_bytes) {
  Bytes bytes(size_bytes);
  random.fill(bytes);
  return bytes;
}

// Bit by bit, straight from the definition.
template <class Word>
Word crc_by_definition(Word polynomial, BytesView bytes) {
  Word state = static_cast<Word>(~Word{0});
  for (std::byte byte : bytes) {
    state ^= std::to_integer<Word>(byte);
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) ? polynomial : 0);
  }
  return static_cast<Word>(~state);
}

TEST(Crc, the_check_values_of_the_catalogue_hold) {
  BytesView digits = as_bytes("123456789");
  EXPECT_EQ(crc32(digits), 0xcbf43926u);
  EXPECT_EQ(crc32c(digits), 0xe3069283u);
  EXPECT_EQ(crc64_nvme(digits), 0xae8b14860a799888u);
  EXPECT_EQ(crc32(BytesView{}), 0u);
  EXPECT_EQ(crc32c(BytesView{}), 0u);
  EXPECT_EQ(crc64_nvme(BytesView{}), 0u);
}

TEST(Crc, the_vectors_of_rfc_3720_and_of_the_nvme_specification_hold) {
  Bytes zeros(32), ones(32, std::byte{0xff});
  EXPECT_EQ(crc32c(zeros), 0x8a9136aau);
  EXPECT_EQ(crc32c(ones), 0x62a8ab43u);
  // NVM Express NVM Command Set 1.0, figure "64b CRC Test Cases", 4 KiB each.
  Bytes page(4096);
  EXPECT_EQ(crc64_nvme(page), 0x6482d367eb22b64eu);
  std::fill(page.begin(), page.end(), std::byte{0xff});
  EXPECT_EQ(crc64_nvme(page), 0xc0ddba7302eca3acu);
  for (size_t i = 0; i < page.size(); ++i) page[i] = static_cast<std::byte>(i & 0xff);
  EXPECT_EQ(crc64_nvme(page), 0x3e729f5f6750449cu);
}

TEST(Crc, fast_and_table_forms_agree_with_the_definition_at_every_length_and_alignment) {
  SeededRandom random(1);
  Bytes bytes = random_bytes(random, 1400);
  for (size_t size_bytes = 0; size_bytes + 16 < bytes.size(); ++size_bytes) {
    BytesView view = BytesView(bytes).subspan(size_bytes % 16, size_bytes);
    ASSERT_EQ(crc32(view), crc32_portable(0, view)) << size_bytes;
    ASSERT_EQ(crc32c(view), crc32c_portable(0, view)) << size_bytes;
    ASSERT_EQ(crc64_nvme(view), crc64_nvme_portable(0, view)) << size_bytes;
    ASSERT_EQ(crc32_portable(0, view), crc_by_definition<uint32_t>(0xedb88320, view)) << size_bytes;
    ASSERT_EQ(crc32c_portable(0, view), crc_by_definition<uint32_t>(0x82f63b78, view)) << size_bytes;
    ASSERT_EQ(crc64_nvme_portable(0, view), crc_by_definition<uint64_t>(0x9a6c9329ac4bc9b5, view)) << size_bytes;
  }
}

TEST(Crc, pieces_and_combination_give_the_checksum_of_the_whole) {
  SeededRandom random(2);
  for (int round = 0; round < 200; ++round) {
    Bytes bytes = random_bytes(random, random.below(5000));
    size_t cut = random.below(bytes.size() + 1);
    BytesView whole = bytes, first = whole.first(cut), second = whole.subspan(cut);
    EXPECT_EQ(crc32(crc32(first), second), crc32(whole));
    EXPECT_EQ(crc32c(crc32c(first), second), crc32c(whole));
    EXPECT_EQ(crc64_nvme(crc64_nvme(first), second), crc64_nvme(whole));
    EXPECT_EQ(crc32_combine(crc32(first), crc32(second), second.size()), crc32(whole));
    EXPECT_EQ(crc32c_combine(crc32c(first), crc32c(second), second.size()), crc32c(whole));
    EXPECT_EQ(crc64_nvme_combine(crc64_nvme(first), crc64_nvme(second), second.size()), crc64_nvme(whole));
  }
}

TEST(Crc, combination_is_associative_for_lengths_beyond_any_memory) {
  uint64_t huge = uint64_t{1} << 62;
  uint64_t left = crc64_nvme_combine(crc64_nvme_combine(1, 2, huge), 3, 77);
  uint64_t right = crc64_nvme_combine(1, crc64_nvme_combine(2, 3, 77), huge + 77);
  EXPECT_EQ(left, right);
}

TEST(Crc, one_flipped_bit_is_always_found) {
  SeededRandom random(3);
  Bytes bytes = random_bytes(random, 700);
  uint32_t ieee = crc32(bytes), castagnoli = crc32c(bytes);
  uint64_t nvme = crc64_nvme(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; bit += 7) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_NE(crc32(bytes), ieee);
    EXPECT_NE(crc32c(bytes), castagnoli);
    EXPECT_NE(crc64_nvme(bytes), nvme);
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

}  // namespace
}  // namespace polis::base
