// A split-block Bloom filter: set membership with false positives, never false negatives, one cache line touched a
// look-up (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; the salts and the
// layout are those of Apache Parquet's specification, so a filter's bytes are readable by others). Keys come as 64-bit
// hashes (xxh3_64).
//
// Plain value; one writer at a time; readers may share it while nobody writes.
#pragma once

#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace polis::base {

class SplitBlockBloom {
 public:
  static constexpr size_t kBlockSizeBytes = 32;
  // Parquet's own bound; a filter for 100 million keys at 1 % takes 120 MB.
  static constexpr size_t kSizeBytesMax = size_t{128} << 20;

  // For `keys_max` distinct keys at `false_positive_rate` in (0, 1); clamped to one block and kSizeBytesMax.
  SplitBlockBloom(uint64_t keys_max, double false_positive_rate);
  // From bytes() of another filter. kCorrupt unless they are a whole number of blocks within the limits.
  static Result<SplitBlockBloom> from_bytes(BytesView bytes);
  // The bytes that a filter for so many keys takes.
  static size_t size_bytes_for(uint64_t keys_max, double false_positive_rate);

  void insert(uint64_t hash);
  bool may_contain(uint64_t hash) const;
  // Union, as if every key of `other` were inserted. kInvalid if the sizes differ.
  Result<void> merge(const SplitBlockBloom& other);
  void clear();

  size_t size_bytes() const { return blocks_.size() * kBlockSizeBytes; }
  // Little-endian words, block after block.
  Bytes bytes() const;

 private:
  struct alignas(kBlockSizeBytes) Block {
    uint32_t words[8];
  };
  static Block mask(uint32_t key);
  size_t block_of(uint64_t hash) const { return static_cast<size_t>(((hash >> 32) * blocks_.size()) >> 32); }

  explicit SplitBlockBloom(size_t blocks) : blocks_(blocks) {}
  std::vector<Block> blocks_;
};

}  // namespace polis::base
