// Erasure: k data units become k + m units, any k of which give all back. Systematic Cauchy code over GF(2^8),
// polynomial 0x11d (ISA-L's convention; a Vandermonde matrix would not be MDS for every k and m). Immutable and usable
// from every thread; an ErasureDecoder caches maps and belongs to one shard.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/blob/galois.h"

namespace polis::blob {

// A set of units of one row: bit i is unit i. Data units come first.
using UnitMask = uint32_t;

class Erasure {
 public:
  // A row's units are counted in a 16-bit mask on disk.
  static constexpr unsigned kUnitsMax = 16;

  // 1 <= k, 1 <= m, k + m <= kUnitsMax.
  static Result<Erasure> make(unsigned data_units, unsigned parity_units);

  unsigned data_units() const { return k_; }
  unsigned parity_units() const { return m_; }
  unsigned units() const { return k_ + m_; }
  UnitMask all() const { return (UnitMask{1} << units()) - 1; }
  UnitMask all_data() const { return (UnitMask{1} << k_) - 1; }

  // data[k] and parity[m] point to `size_bytes` bytes each.
  void encode(size_t size_bytes, std::span<const std::byte* const> data, std::span<std::byte* const> parity) const;

 private:
  friend class ErasureDecoder;
  Erasure(unsigned k, unsigned m, std::vector<unsigned char> matrix);
  unsigned k_, m_;
  std::vector<unsigned char> matrix_;  // (k + m) x k, the identity on top
  GaloisMap parity_;
};

class ErasureDecoder {
 public:
  explicit ErasureDecoder(const Erasure& erasure) : erasure_(erasure) {}

  // Rebuilds the units of `wanted` from k of the units of `sound`; the two do not overlap and sound holds at least k.
  // units[i] points to `size_bytes` bytes for every unit in either mask.
  void decode(size_t size_bytes, UnitMask sound, UnitMask wanted, std::span<std::byte* const> units);

 private:
  // 4+2 has 6 + 15 patterns of loss; wider codes have thousands, so the cache is emptied when it reaches this.
  static constexpr size_t kPatternsMax = 256;
  const GaloisMap& map(UnitMask used, UnitMask wanted);

  const Erasure& erasure_;
  std::unordered_map<uint64_t, GaloisMap> patterns_;
};

}  // namespace polis::blob
