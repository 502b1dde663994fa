#include "kernel/blob/erasure.h"

#include <algorithm>
#include <array>
#include <bit>
#include <isa-l/erasure_code.h>
#include <limits>

namespace polis::blob {
namespace {

// ISA-L's signatures lack const.
unsigned char* mutable_bytes(const std::byte* bytes) {
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes));
}

}  // namespace

Result<Erasure> Erasure::make(unsigned data_units, unsigned parity_units) {
  if (data_units < 1 || parity_units < 1 || data_units + parity_units > kUnitsMax) {
    return fail(Code::kInvalid, "erasure code " + std::to_string(data_units) + "+" + std::to_string(parity_units) +
                                    ": needs at least 1+1 and at most " + std::to_string(kUnitsMax) +
                                    " units together");
  }
  return Erasure(data_units, parity_units);
}

Erasure::Erasure(unsigned k, unsigned m) : k_(k), m_(m), matrix_((k + m) * k), tables_(size_t{32} * k * m) {
  gf_gen_cauchy1_matrix(matrix_.data(), static_cast<int>(k + m), static_cast<int>(k));
  ec_init_tables(static_cast<int>(k), static_cast<int>(m), matrix_.data() + size_t{k} * k, tables_.data());
}

void Erasure::encode(size_t size_bytes, std::span<const std::byte* const> data,
                     std::span<std::byte* const> parity) const {
  POLIS_ASSERT(data.size() == k_ && parity.size() == m_);
  POLIS_ASSERT(size_bytes <= static_cast<size_t>(std::numeric_limits<int>::max()));
  std::array<unsigned char*, kUnitsMax> in, out;
  for (unsigned i = 0; i < k_; ++i) in[i] = mutable_bytes(data[i]);
  for (unsigned i = 0; i < m_; ++i) out[i] = mutable_bytes(parity[i]);
  ec_encode_data(static_cast<int>(size_bytes), static_cast<int>(k_), static_cast<int>(m_),
                 const_cast<unsigned char*>(tables_.data()), in.data(), out.data());
}

void ErasureDecoder::decode(size_t size_bytes, UnitMask sound, UnitMask wanted, std::span<std::byte* const> units) {
  const unsigned k = erasure_.k_;
  POLIS_ASSERT((sound & wanted) == 0 && static_cast<unsigned>(std::popcount(sound)) >= k);
  POLIS_ASSERT(units.size() == erasure_.units());
  if (wanted == 0) return;

  std::array<unsigned char*, Erasure::kUnitsMax> in, out;
  UnitMask used = 0;
  unsigned in_count = 0, out_count = 0;
  for (unsigned i = 0; i < erasure_.units(); ++i) {
    if ((sound >> i & 1) && in_count < k) {
      used |= UnitMask{1} << i;
      in[in_count++] = mutable_bytes(units[i]);
    }
    if (wanted >> i & 1) out[out_count++] = mutable_bytes(units[i]);
  }
  const auto& table = tables(used, wanted);
  ec_encode_data(static_cast<int>(size_bytes), static_cast<int>(k), static_cast<int>(out_count),
                 const_cast<unsigned char*>(table.data()), in.data(), out.data());
}

const std::vector<unsigned char>& ErasureDecoder::tables(UnitMask used, UnitMask wanted) {
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
  std::vector<unsigned char> table(size_t{32} * coefficients.size());
  ec_init_tables(static_cast<int>(k), std::popcount(wanted), coefficients.data(), table.data());
  return patterns_.emplace(pattern, std::move(table)).first->second;
}

}  // namespace polis::blob
