#include "kernel/blob/galois.h"

#include <isa-l/erasure_code.h>
#include <limits>

#include "kernel/base/result.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace polis::blob {
namespace {

// ISA-L's signatures lack const.
unsigned char* mutable_bytes(const std::byte* bytes) {
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes));
}

#if defined(__x86_64__)

#define POLIS_AFFINE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,gfni")))
#define POLIS_UNROLL _Pragma("clang loop unroll(full)")

// The instruction's matrix of x -> factor * x: bit i of the result is the parity of byte 7 - i and x, so that byte
// holds in bit j whether factor * 2^j has bit i.
uint64_t affine_matrix(unsigned char factor) {
  uint64_t matrix = 0;
  for (unsigned j = 0; j < 8; ++j) {
    const uint64_t column = gf_mul(factor, static_cast<unsigned char>(1u << j));
    for (unsigned i = 0; i < 8; ++i) matrix |= (column >> i & 1) << (8 * (7 - i) + j);
  }
  return matrix;
}

template <bool kMasked>
POLIS_AFFINE_TARGET inline __m512i load_64(const std::byte* from, [[maybe_unused]] __mmask64 mask) {
  if constexpr (kMasked) return _mm512_maskz_loadu_epi8(mask, from);
  return _mm512_loadu_si512(from);
}

// The matrix in every lane. In a register, and not left to the compiler: Clang 19 encodes the affine instruction with a
// broadcast operand in memory wrongly (its 8-bit displacement is not scaled), and so multiplies by another matrix.
POLIS_AFFINE_TARGET inline __m512i in_every_lane(uint64_t matrix) {
  __m512i lanes = _mm512_set1_epi64(static_cast<long long>(matrix));
  asm("" : "+v"(lanes));
  return lanes;
}

// 64 x kWide bytes of kOutputs outputs. Two inputs a round: their products and the sum so far meet in one three-way
// xor. `mask` says which bytes of each 64 exist.
template <unsigned kOutputs, unsigned kWide, bool kMasked>
POLIS_AFFINE_TARGET inline void affine_columns(unsigned inputs, const uint64_t* matrices, const std::byte* const* in,
                                               std::byte* const* out, size_t at, [[maybe_unused]] __mmask64 mask) {
  __m512i sum[kOutputs][kWide];
  POLIS_UNROLL
  for (unsigned r = 0; r < kOutputs; ++r) {
    POLIS_UNROLL
    for (unsigned w = 0; w < kWide; ++w) sum[r][w] = _mm512_setzero_si512();
  }
  unsigned c = 0;
  for (; c + 2 <= inputs; c += 2) {
    __m512i first[kWide], second[kWide];
    POLIS_UNROLL
    for (unsigned w = 0; w < kWide; ++w) {
      first[w] = load_64<kMasked>(in[c] + at + 64 * w, mask);
      second[w] = load_64<kMasked>(in[c + 1] + at + 64 * w, mask);
    }
    POLIS_UNROLL
    for (unsigned r = 0; r < kOutputs; ++r) {
      const __m512i by_first = in_every_lane(matrices[r * inputs + c]);
      const __m512i by_second = in_every_lane(matrices[r * inputs + c + 1]);
      POLIS_UNROLL
      for (unsigned w = 0; w < kWide; ++w) {
        sum[r][w] = _mm512_ternarylogic_epi64(_mm512_gf2p8affine_epi64_epi8(first[w], by_first, 0),
                                              _mm512_gf2p8affine_epi64_epi8(second[w], by_second, 0), sum[r][w], 0x96);
      }
    }
  }
  if (c < inputs) {
    POLIS_UNROLL
    for (unsigned r = 0; r < kOutputs; ++r) {
      const __m512i by = in_every_lane(matrices[r * inputs + c]);
      POLIS_UNROLL
      for (unsigned w = 0; w < kWide; ++w) {
        sum[r][w] = _mm512_xor_si512(sum[r][w],
                                     _mm512_gf2p8affine_epi64_epi8(load_64<kMasked>(in[c] + at + 64 * w, mask), by, 0));
      }
    }
  }
  POLIS_UNROLL
  for (unsigned r = 0; r < kOutputs; ++r) {
    POLIS_UNROLL
    for (unsigned w = 0; w < kWide; ++w) {
      if constexpr (kMasked)
        _mm512_mask_storeu_epi8(out[r] + at + 64 * w, mask, sum[r][w]);
      else
        _mm512_storeu_si512(out[r] + at + 64 * w, sum[r][w]);
    }
  }
}

template <unsigned kOutputs>
POLIS_AFFINE_TARGET void affine_rows(size_t size_bytes, unsigned inputs, const uint64_t* matrices,
                                     const std::byte* const* in, std::byte* const* out) {
  constexpr unsigned kWide = 4;
  size_t at = 0;
  for (; at + 64 * kWide <= size_bytes; at += 64 * kWide)
    affine_columns<kOutputs, kWide, false>(inputs, matrices, in, out, at, 0);
  for (; at + 64 <= size_bytes; at += 64) affine_columns<kOutputs, 1, false>(inputs, matrices, in, out, at, 0);
  if (at < size_bytes)
    affine_columns<kOutputs, 1, true>(inputs, matrices, in, out, at, (__mmask64{1} << (size_bytes - at)) - 1);
}

// Four outputs at once keep 16 sums in registers; more are done in turns.
void apply_affine(size_t size_bytes, unsigned inputs, unsigned outputs, const uint64_t* matrices,
                  const std::byte* const* in, std::byte* const* out) {
  for (; outputs >= 4; outputs -= 4, out += 4, matrices += size_t{4} * inputs)
    affine_rows<4>(size_bytes, inputs, matrices, in, out);
  if (outputs == 3) affine_rows<3>(size_bytes, inputs, matrices, in, out);
  if (outputs == 2) affine_rows<2>(size_bytes, inputs, matrices, in, out);
  if (outputs == 1) affine_rows<1>(size_bytes, inputs, matrices, in, out);
}

#undef POLIS_AFFINE_TARGET
#undef POLIS_UNROLL

#endif

}  // namespace

GaloisWay best_galois_way() {
#if defined(__x86_64__)
  static const bool affine = __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512f") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (affine) return GaloisWay::kAffine;
#endif
  return GaloisWay::kTables;
}

GaloisMap::GaloisMap(unsigned inputs, unsigned outputs, std::span<const unsigned char> coefficients, GaloisWay way)
    : inputs_(inputs), outputs_(outputs), way_(way) {
  POLIS_ASSERT(inputs >= 1 && inputs <= kSideMax && outputs >= 1 && outputs <= kSideMax);
  POLIS_ASSERT(coefficients.size() == size_t{inputs} * outputs);
  POLIS_ASSERT(way == GaloisWay::kTables || best_galois_way() == GaloisWay::kAffine);
#if defined(__x86_64__)
  if (way == GaloisWay::kAffine) {
    matrices_.reserve(coefficients.size());
    for (unsigned char factor : coefficients) matrices_.push_back(affine_matrix(factor));
    return;
  }
#endif
  tables_.resize(size_t{32} * coefficients.size());
  ec_init_tables(static_cast<int>(inputs), static_cast<int>(outputs), const_cast<unsigned char*>(coefficients.data()),
                 tables_.data());
}

void GaloisMap::apply(size_t size_bytes, const std::byte* const* in, std::byte* const* out) const {
#if defined(__x86_64__)
  if (way_ == GaloisWay::kAffine) {
    apply_affine(size_bytes, inputs_, outputs_, matrices_.data(), in, out);
    return;
  }
#endif
  POLIS_ASSERT(size_bytes <= static_cast<size_t>(std::numeric_limits<int>::max()));
  std::array<unsigned char*, kSideMax> from, to;
  for (unsigned i = 0; i < inputs_; ++i) from[i] = mutable_bytes(in[i]);
  for (unsigned i = 0; i < outputs_; ++i) to[i] = mutable_bytes(out[i]);
  ec_encode_data(static_cast<int>(size_bytes), static_cast<int>(inputs_), static_cast<int>(outputs_),
                 const_cast<unsigned char*>(tables_.data()), from.data(), to.data());
}

}  // namespace polis::blob
