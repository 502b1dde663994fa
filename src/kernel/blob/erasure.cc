#include "kernel/blob/erasure.h"

#include <algorithm>
#include <array>
#include <bit>
#include <isa-l/erasure_code.h>

namespace polis::blob {

Result<Erasure> Erasure::make(unsigned data_units, unsigned parity_units) {
  if (data_units < 1 || parity_units < 1 || data_units + parity_units > kUnitsMax) {
    return fail(Code::kInvalid, "erasure code " + std::to_string(data_units) + "+" + std::to_string(parity_units) +
                                    ": needs at least 1+1 and at most " + std::to_string(kUnitsMax) +
                                    " units together");
  }
  std::vector<unsigned char> matrix(size_t{data_units + parity_units} * data_units);
  gf_gen_cauchy1_matrix(matrix.data(), static_cast<int>(data_units + parity_units), static_cast<int>(data_units));
  return Erasure(data_units, parity_units, std::move(matrix));
}

Erasure::Erasure(unsigned k, unsigned m, std::vector<unsigned char> matrix)
    : k_(k), m_(m), matrix_(std::move(matrix)), parity_(k, m, std::span(matrix_).subspan(size_t{k} * k)) {}

void Erasure::encode(size_t size_bytes, std::span<const std::byte* const> data,
                     std::span<std::byte* const> parity) const {
  POLIS_ASSERT(data.size() == k_ && parity.size() == m_);
  parity_.apply(size_bytes, data.data(), parity.data());
}

void ErasureDecoder::decode(size_t size_bytes, UnitMask sound, UnitMask wanted, std::span<std::byte* const> units) {
  const unsigned k = erasure_.k_;
  POLIS_ASSERT((sound & wanted) == 0 && static_cast<unsigned>(std::popcount(sound)) >= k);
  POLIS_ASSERT(units.size() == erasure_.units());
  if (wanted == 0) return;

  std::array<const std::byte*, Erasure::kUnitsMax> in;
  std::array<std::byte*, Erasure::kUnitsMax> out;
  UnitMask used = 0;
  unsigned in_count = 0, out_count = 0;
  for (unsigned i = 0; i < erasure_.units(); ++i) {
    if ((sound >> i & 1) && in_count < k) {
      used |= UnitMask{1} << i;
      in[in_count++] = units[i];
    }
    if (wanted >> i & 1) out[out_count++] = units[i];
  }
  map(used, wanted).apply(size_bytes, in.data(), out.data());
}

const GaloisMap& ErasureDecoder::map(UnitMask used, UnitMask wanted) {
  const uint64_t pattern = uint64_t{used} << 32 | wanted;
  if (auto found = patterns_.find(pattern); found != patterns_.end()) return found->second;
  if (patterns_.size() >= kPatternsMax) patterns_.clear();

  const unsigned k = erasure_.k_;
  const auto& matrix = erasure_.matrix_;
  std::vector<unsigned char> surviving(k * k), inverse(k * k);
  unsigned row = 0;
  for (unsigned i = 0; i < erasure_.units(); ++i) {
    if (used >> i & 1) std::copy_n(matrix.begin() + i * k, k, surviving.begin() + row++ * k);
  }
  // Every k rows of a Cauchy code are independent.
  POLIS_ASSERT(gf_invert_matrix(surviving.data(), inverse.data(), static_cast<int>(k)) == 0);

  std::vector<unsigned char> coefficients;
  for (unsigned i = 0; i < erasure_.units(); ++i) {
    if (!(wanted >> i & 1)) continue;
    for (unsigned column = 0; column < k; ++column) {
      unsigned char sum = 0;
      for (unsigned j = 0; j < k; ++j) sum ^= gf_mul(matrix[i * k + j], inverse[j * k + column]);
      coefficients.push_back(sum);
    }
  }
  return patterns_.try_emplace(pattern, k, static_cast<unsigned>(std::popcount(wanted)), coefficients).first->second;
}

}  // namespace polis::blob
