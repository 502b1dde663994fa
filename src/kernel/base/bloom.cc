#include "kernel/base/bloom.h"

#include <algorithm>
#include <cmath>

#include "kernel/base/endian.h"

namespace polis::base {
namespace {

// Odd constants, one a word (Apache Parquet, BloomFilter.md).
constexpr uint32_t kSalts[8] = {0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
                                0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31};

// Beyond this load nearly every bit of a block is set.
constexpr double kKeysPerBlockMax = 400;

// The rate of false positives when blocks hold `keys_per_block` keys on average. Keys fall on blocks by chance, so the
// load of a block is Poisson distributed, and full blocks err far more than the average one: the plain formula (1 -
// e^(-8 keys / bits))^8 asks for too little (twice the wanted rate at 0.1 %, bloom_test).
double expected_rate(double keys_per_block) {
  double probability = std::exp(-keys_per_block);  // of exactly `keys` keys in a block
  double bit_free = 1;                             // of a given bit of a word still being unset
  double rate = 0;
  for (double keys = 1; keys <= keys_per_block + 12 * std::sqrt(keys_per_block) + 30; ++keys) {
    probability *= keys_per_block / keys;
    bit_free *= 31.0 / 32;
    rate += probability * std::pow(1 - bit_free, 8);
  }
  return rate;
}

}  // namespace

size_t SplitBlockBloom::size_bytes_for(uint64_t keys_max, double false_positive_rate) {
  POLIS_ASSERT(false_positive_rate > 0 && false_positive_rate < 1);
  // The most keys a block that still keep the rate, by bisection: the rate rises with the load.
  double fits = 1e-6, exceeds = kKeysPerBlockMax;
  for (int step = 0; step < 50; ++step) {
    double middle = (fits + exceeds) / 2;
    (expected_rate(middle) <= false_positive_rate ? fits : exceeds) = middle;
  }
  double blocks = std::ceil(static_cast<double>(keys_max) / fits);
  constexpr double kBlocksMax = static_cast<double>(kSizeBytesMax / kBlockSizeBytes);
  return static_cast<size_t>(std::clamp(blocks, 1.0, kBlocksMax)) * kBlockSizeBytes;
}

SplitBlockBloom::SplitBlockBloom(uint64_t keys_max, double false_positive_rate)
    : SplitBlockBloom(size_bytes_for(keys_max, false_positive_rate) / kBlockSizeBytes) {}

Result<SplitBlockBloom> SplitBlockBloom::from_bytes(BytesView bytes) {
  if (bytes.empty() || bytes.size() % kBlockSizeBytes != 0 || bytes.size() > kSizeBytesMax)
    return fail(Code::kCorrupt, "a Bloom filter of " + std::to_string(bytes.size()) +
                                    " bytes is no whole number of 32-byte blocks up to 128 MiB");
  SplitBlockBloom filter(bytes.size() / kBlockSizeBytes);
  const std::byte* at = bytes.data();
  for (Block& block : filter.blocks_)
    for (uint32_t& word : block.words) {
      word = load_little<uint32_t>(at);
      at += sizeof word;
    }
  return filter;
}

inline SplitBlockBloom::Block SplitBlockBloom::mask(uint32_t key) {
  Block result;
  for (size_t i = 0; i < 8; ++i) result.words[i] = uint32_t{1} << ((key * kSalts[i]) >> 27);
  return result;
}

void SplitBlockBloom::insert(uint64_t hash) {
  Block bits = mask(static_cast<uint32_t>(hash));
  Block& block = blocks_[block_of(hash)];
  for (size_t i = 0; i < 8; ++i) block.words[i] |= bits.words[i];
}

bool SplitBlockBloom::may_contain(uint64_t hash) const {
  Block bits = mask(static_cast<uint32_t>(hash));
  const Block& block = blocks_[block_of(hash)];
  uint32_t missing = 0;
  for (size_t i = 0; i < 8; ++i) missing |= bits.words[i] & ~block.words[i];
  return missing == 0;
}

Result<void> SplitBlockBloom::merge(const SplitBlockBloom& other) {
  if (other.blocks_.size() != blocks_.size())
    return fail(Code::kInvalid, "Bloom filters of different sizes cannot be merged");
  for (size_t b = 0; b < blocks_.size(); ++b)
    for (size_t i = 0; i < 8; ++i) blocks_[b].words[i] |= other.blocks_[b].words[i];
  return {};
}

void SplitBlockBloom::clear() {
  std::fill(blocks_.begin(), blocks_.end(), Block{});
}

Bytes SplitBlockBloom::bytes() const {
  Bytes out(size_bytes());
  std::byte* at = out.data();
  for (const Block& block : blocks_)
    for (uint32_t word : block.words) {
      store_little(at, word);
      at += sizeof word;
    }
  return out;
}

}  // namespace polis::base
