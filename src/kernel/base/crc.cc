#include "kernel/base/crc.h"

#include <algorithm>
#include <array>
#include <isa-l/crc.h>

#include "kernel/base/endian.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// All three are reflected: the lowest bit of a word is the highest power of x. A reflected polynomial of width W is
// kept without its leading term. All start from, and end with, inverted bits.
namespace polis::base {
namespace {

constexpr uint32_t kPolynomialIeee = 0xedb88320;
constexpr uint32_t kPolynomialCastagnoli = 0x82f63b78;
constexpr uint64_t kPolynomialNvme = 0x9a6c9329ac4bc9b5;

template <class Word>
constexpr Word times_x(Word value, Word polynomial) {
  return (value >> 1) ^ ((value & 1) ? polynomial : 0);
}

// Slicing by 8 (Kounavis and Berry, 2005): table[k][b] is byte b followed by k zero bytes.
template <class Word>
using Tables = std::array<std::array<Word, 256>, 8>;

template <class Word, Word kPolynomial>
constexpr Tables<Word> make_tables() {
  Tables<Word> tables{};
  for (size_t byte = 0; byte < 256; ++byte) {
    Word crc = static_cast<Word>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = times_x(crc, kPolynomial);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
  return tables;
}

constexpr Tables<uint32_t> kTablesIeee = make_tables<uint32_t, kPolynomialIeee>();
constexpr Tables<uint32_t> kTablesCastagnoli = make_tables<uint32_t, kPolynomialCastagnoli>();
constexpr Tables<uint64_t> kTablesNvme = make_tables<uint64_t, kPolynomialNvme>();

// `state` is the register itself, without the inversions.
template <class Word>
Word update_by_table(const Tables<Word>& tables, Word state, const uint8_t* at, size_t size_bytes) {
  while (size_bytes >= 8) {
    uint64_t word = load_little<uint64_t>(at) ^ state;
    state = 0;
    for (size_t i = 0; i < 8; ++i) state ^= tables[7 - i][word >> (8 * i) & 0xff];
    at += 8;
    size_bytes -= 8;
  }
  while (size_bytes-- > 0) state = (state >> 8) ^ tables[0][(state ^ *at++) & 0xff];
  return state;
}

template <class Word>
Word crc_by_table(const Tables<Word>& tables, Word before, BytesView bytes) {
  return static_cast<Word>(~update_by_table<Word>(tables, ~before, u8(bytes), bytes.size()));
}

// a * b mod P.
template <class Word>
constexpr Word multiply(Word a, Word b, Word polynomial) {
  Word product = 0;
  for (Word bit = Word{1} << (8 * sizeof(Word) - 1); bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = times_x(b, polynomial);
  }
  return product;
}

// x^n mod P.
template <class Word>
constexpr Word power_of_x(uint64_t n, Word polynomial) {
  Word result = Word{1} << (8 * sizeof(Word) - 1);  // x^0
  Word square = Word{1} << (8 * sizeof(Word) - 2);  // x^1
  for (; n != 0; n >>= 1) {
    if (n & 1) result = multiply(result, square, polynomial);
    square = multiply(square, square, polynomial);
  }
  return result;
}

// The inversions at both ends cancel: crc(AB) = crc(A) * x^(8 |B|) + crc(B). The power 8 |B| is split so that it cannot
// overflow.
template <class Word>
Word combine(Word first, Word second, uint64_t second_size_bytes, Word polynomial) {
  Word per_byte_power = power_of_x<Word>(second_size_bytes, polynomial);
  for (int doubling = 0; doubling < 3; ++doubling)
    per_byte_power = multiply(per_byte_power, per_byte_power, polynomial);
  return multiply(per_byte_power, first, polynomial) ^ second;
}

#if defined(__x86_64__)

// Folding (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", 2009). A 16-byte block is
// A*x^64 + B; moving it forward by `bits` multiplies it by x^bits, and a carry-less product of reflected words carries
// one extra x.
struct FoldConstants {
  uint64_t for_first;   // x^(bits + 63)
  uint64_t for_second;  // x^(bits - 1)
};
constexpr FoldConstants fold_by(uint64_t bits) {
  return {power_of_x<uint64_t>(bits + 63, kPolynomialNvme), power_of_x<uint64_t>(bits - 1, kPolynomialNvme)};
}
constexpr FoldConstants kFold16 = fold_by(128);
constexpr FoldConstants kFold32 = fold_by(256);
constexpr FoldConstants kFold48 = fold_by(384);
constexpr FoldConstants kFold64 = fold_by(512);
constexpr FoldConstants kFold128 = fold_by(1024);
constexpr FoldConstants kFold256 = fold_by(2048);

// From here on folding wins over the table on Zen 4 (hash_bench).
constexpr size_t kFoldSizeBytesMin = 64;
constexpr size_t kWideFoldSizeBytesMin = 256;

__attribute__((target("pclmul,sse4.1"))) inline __m128i fold(__m128i block, FoldConstants constants, __m128i onto) {
  __m128i factors =
      _mm_set_epi64x(static_cast<long long>(constants.for_second), static_cast<long long>(constants.for_first));
  __m128i first = _mm_clmulepi64_si128(block, factors, 0x00);
  __m128i second = _mm_clmulepi64_si128(block, factors, 0x11);
  return _mm_xor_si128(_mm_xor_si128(first, second), onto);
}

inline __m128i load(const uint8_t* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// Folds the last block down: what remains is 16 bytes whose checksum from a zero register is the state, then the tail.
__attribute__((target("pclmul,sse4.1"))) uint64_t finish_fold(__m128i block, const uint8_t* at, size_t size_bytes) {
  for (; size_bytes >= 16; at += 16, size_bytes -= 16) block = fold(block, kFold16, load(at));
  uint8_t last[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(last), block);
  uint64_t state = update_by_table<uint64_t>(kTablesNvme, 0, last, sizeof last);
  return update_by_table<uint64_t>(kTablesNvme, state, at, size_bytes);
}

// Needs kFoldSizeBytesMin bytes. Eight blocks in flight hide the multiplier's latency.
__attribute__((target("pclmul,sse4.1"))) uint64_t update_by_fold(uint64_t state, const uint8_t* at, size_t size_bytes) {
  __m128i lane[8];
  __m128i start = _mm_cvtsi64_si128(static_cast<long long>(state));
  if (size_bytes < 128) {
    __m128i block = _mm_xor_si128(load(at), start);
    return finish_fold(block, at + 16, size_bytes - 16);
  }
  for (size_t i = 0; i < 8; ++i) lane[i] = load(at + 16 * i);
  lane[0] = _mm_xor_si128(lane[0], start);
  at += 128;
  size_bytes -= 128;
  for (; size_bytes >= 128; at += 128, size_bytes -= 128)
    for (size_t i = 0; i < 8; ++i) lane[i] = fold(lane[i], kFold128, load(at + 16 * i));
  for (size_t i = 0; i < 4; ++i) lane[i] = fold(lane[i], kFold64, lane[i + 4]);
  for (size_t i = 0; i < 2; ++i) lane[i] = fold(lane[i], kFold32, lane[i + 2]);
  return finish_fold(fold(lane[0], kFold16, lane[1]), at, size_bytes);
}

// The same with four lanes of 64 bytes, for processors with AVX-512 and VPCLMULQDQ. Needs kWideFoldSizeBytesMin bytes.
#define POLIS_WIDE_TARGET __attribute__((target("avx512f,avx512vl,avx512dq,vpclmulqdq,pclmul,sse4.1")))

POLIS_WIDE_TARGET inline __m512i wide_factors(FoldConstants constants) {
  return _mm512_broadcast_i32x4(
      _mm_set_epi64x(static_cast<long long>(constants.for_second), static_cast<long long>(constants.for_first)));
}

POLIS_WIDE_TARGET inline __m512i wide_fold(__m512i block, __m512i factors, __m512i onto) {
  __m512i first = _mm512_clmulepi64_epi128(block, factors, 0x00);
  __m512i second = _mm512_clmulepi64_epi128(block, factors, 0x11);
  return _mm512_ternarylogic_epi64(first, second, onto, 0x96);  // Three-way xor.
}

POLIS_WIDE_TARGET uint64_t update_by_wide_fold(uint64_t state, const uint8_t* at, size_t size_bytes) {
  __m512i lane[4];
  for (size_t i = 0; i < 4; ++i) lane[i] = _mm512_loadu_si512(at + 64 * i);
  lane[0] = _mm512_xor_si512(lane[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128(static_cast<long long>(state))));
  at += 256;
  size_bytes -= 256;
  const __m512i by_256 = wide_factors(kFold256);
  for (; size_bytes >= 256; at += 256, size_bytes -= 256)
    for (size_t i = 0; i < 4; ++i) lane[i] = wide_fold(lane[i], by_256, _mm512_loadu_si512(at + 64 * i));
  const __m512i by_128 = wide_factors(kFold128);
  lane[0] = wide_fold(lane[0], by_128, lane[2]);
  lane[1] = wide_fold(lane[1], by_128, lane[3]);
  lane[0] = wide_fold(lane[0], wide_factors(kFold64), lane[1]);
  __m128i block = _mm512_extracti32x4_epi32(lane[0], 3);
  block = fold(_mm512_extracti32x4_epi32(lane[0], 2), kFold16, block);
  block = fold(_mm512_extracti32x4_epi32(lane[0], 1), kFold32, block);
  block = fold(_mm512_extracti32x4_epi32(lane[0], 0), kFold48, block);
  return finish_fold(block, at, size_bytes);
}
#undef POLIS_WIDE_TARGET

const bool has_fold = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
const bool has_wide_fold = has_fold && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");

#endif

// ISA-L takes int lengths for crc32_iscsi.
constexpr size_t kIsaLengthBytesMax = size_t{1} << 30;
// 128 bytes take 6 ns by one instruction a word, 256 take 11 ns by the folded call and 20 ns without (hash_bench).
constexpr size_t kIsaSizeBytesMin = 256;

}  // namespace

uint32_t crc32_portable(uint32_t before, BytesView bytes) {
  return crc_by_table(kTablesIeee, before, bytes);
}
uint32_t crc32c_portable(uint32_t before, BytesView bytes) {
  return crc_by_table(kTablesCastagnoli, before, bytes);
}
uint64_t crc64_nvme_portable(uint64_t before, BytesView bytes) {
  return crc_by_table(kTablesNvme, before, bytes);
}

uint32_t crc32(uint32_t before, BytesView bytes) {
  if (bytes.size() < 64) return crc32_portable(before, bytes);
  return crc32_gzip_refl(before, u8(bytes), bytes.size());  // ISA-L chooses its form at run time, on aarch64 too.
}

uint32_t crc32c(uint32_t before, BytesView bytes) {
  uint32_t state = ~before;
  const uint8_t* at = u8(bytes);
  size_t left = bytes.size();
  while (left >= kIsaSizeBytesMin) {
    size_t part = std::min(left, kIsaLengthBytesMax);
    // ISA-L reads through this pointer only; its C interface lacks the const.
    state = crc32_iscsi(const_cast<unsigned char*>(at), static_cast<int>(part), state);
    at += part;
    left -= part;
  }
#if defined(__SSE4_2__)
  uint64_t wide = state;
  for (; left >= 8; at += 8, left -= 8) wide = _mm_crc32_u64(wide, load_little<uint64_t>(at));
  state = static_cast<uint32_t>(wide);
  while (left-- > 0) state = _mm_crc32_u8(state, *at++);
#else
  state = update_by_table<uint32_t>(kTablesCastagnoli, state, at, left);
#endif
  return ~state;
}

uint64_t crc64_nvme(uint64_t before, BytesView bytes) {
#if defined(__x86_64__)
  if (bytes.size() >= kWideFoldSizeBytesMin && has_wide_fold)
    return ~update_by_wide_fold(~before, u8(bytes), bytes.size());
  if (bytes.size() >= kFoldSizeBytesMin && has_fold) return ~update_by_fold(~before, u8(bytes), bytes.size());
#endif
  return crc64_nvme_portable(before, bytes);
}

uint32_t crc32_combine(uint32_t first, uint32_t second, uint64_t second_size_bytes) {
  return combine(first, second, second_size_bytes, kPolynomialIeee);
}
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size_bytes) {
  return combine(first, second, second_size_bytes, kPolynomialCastagnoli);
}
uint64_t crc64_nvme_combine(uint64_t first, uint64_t second, uint64_t second_size_bytes) {
  return combine(first, second, second_size_bytes, kPolynomialNvme);
}

}  // namespace polis::base
