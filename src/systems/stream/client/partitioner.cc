#include "systems/stream/client/partitioner.h"

#include "kernel/base/endian.h"

namespace polis::stream {

// MurmurHash2 by Austin Appleby, public domain, with the seed that Kafka's clients use.
uint32_t murmur2(BytesView bytes) {
  constexpr uint32_t kSeed = 0x9747b28c, kFactor = 0x5bd1e995;
  uint32_t hash = kSeed ^ static_cast<uint32_t>(bytes.size());
  while (bytes.size() >= 4) {
    uint32_t word = base::load_little<uint32_t>(bytes.data()) * kFactor;
    word = (word ^ word >> 24) * kFactor;
    hash = hash * kFactor ^ word;
    bytes = bytes.subspan(4);
  }
  if (bytes.size() >= 3) hash ^= std::to_integer<uint32_t>(bytes[2]) << 16;
  if (bytes.size() >= 2) hash ^= std::to_integer<uint32_t>(bytes[1]) << 8;
  if (!bytes.empty()) hash = (hash ^ std::to_integer<uint32_t>(bytes[0])) * kFactor;
  hash = (hash ^ hash >> 13) * kFactor;
  return hash ^ hash >> 15;
}

int32_t partition_of_key(BytesView key, int32_t partitions) {
  return static_cast<int32_t>((murmur2(key) & 0x7fffffff) % static_cast<uint32_t>(partitions));
}

}  // namespace polis::stream
