// Galois: linear maps over GF(2^8), polynomial 0x11d, applied to whole units: byte j of output r is the sum over c of
// coefficient(r, c) * byte j of input c. Encoding and decoding of an erasure code are both such maps. Immutable, any
// thread.
//
// Multiplying by a constant is linear over bits, so GFNI's affine instruction does 64 bytes at once; where the
// processor lacks it (or AVX-512), ISA-L multiplies by table look-ups. Both give the same bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernel/base/bytes.h"

namespace polis::blob {

enum class GaloisWay : uint8_t { kTables, kAffine };

// The faster way that this processor has.
GaloisWay best_galois_way();

class GaloisMap {
 public:
  // More would not fit the mask of units.
  static constexpr unsigned kSideMax = 16;

  // `coefficients` has outputs x inputs entries, row by row; 1 <= inputs, outputs <= kSideMax. kAffine only where
  // best_galois_way() says so.
  GaloisMap(unsigned inputs, unsigned outputs, std::span<const unsigned char> coefficients,
            GaloisWay way = best_galois_way());

  // in[inputs] and out[outputs] point to `size_bytes` bytes each, of any alignment; an output overlaps nothing.
  void apply(size_t size_bytes, const std::byte* const* in, std::byte* const* out) const;

 private:
  unsigned inputs_, outputs_;
  GaloisWay way_;
  std::vector<unsigned char> tables_;  // kTables: 32 bytes a coefficient, ISA-L's form
  std::vector<uint64_t> matrices_;     // kAffine: 8 x 8 bits a coefficient
};

}  // namespace polis::blob
