// Every hash of base in one include: XXH3 here, checksums in crc.h, cryptographic digests in digest.h.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/crc.h"
#include "kernel/base/digest.h"

namespace polis::base {

// XXH3, for tables, filters and placement: fast, well spread, stable between versions and machines, so it may be
// stored. Not against an adversary who picks the input, unless the seed is a secret.
uint64_t xxh3_64(BytesView bytes, uint64_t seed = 0);
inline uint64_t xxh3_64(std::string_view text, uint64_t seed = 0) {
  return xxh3_64(as_bytes(text), seed);
}

struct Hash128 {
  uint64_t low;
  uint64_t high;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};
Hash128 xxh3_128(BytesView bytes, uint64_t seed = 0);

}  // namespace polis::base
