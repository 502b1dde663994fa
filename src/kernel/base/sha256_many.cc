#include "kernel/base/sha256_many.h"

#include <algorithm>

#include "kernel/base/endian.h"
#include "kernel/base/result.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace polis::base {
namespace {

constexpr size_t kBlockBytes = 64;

void hash_one_by_one(const std::byte* messages, size_t size_bytes, size_t count, Sha256Digest* digests) {
  const size_t stride_bytes = sha256_padded_bytes(size_bytes);
  for (size_t i = 0; i < count; ++i) digests[i] = sha256(BytesView(messages + i * stride_bytes, size_bytes));
}

// Prefix, body and suffix one behind the other; returns how many bytes they are.
size_t write_framed(std::byte* message, std::byte prefix, const std::byte* body, size_t body_bytes,
                    const uint32_t* suffix) {
  message[0] = prefix;
  std::memcpy(message + 1, body, body_bytes);
  if (suffix == nullptr) return 1 + body_bytes;
  store_little(message + 1 + body_bytes, *suffix);
  return 1 + body_bytes + sizeof(uint32_t);
}

void hash_framed_one_by_one(std::byte prefix, const std::byte* bodies, size_t body_bytes, const uint32_t* suffixes,
                            size_t count, Sha256Digest* digests) {
  Bytes message(1 + body_bytes + sizeof(uint32_t));
  for (size_t i = 0; i < count; ++i) {
    const size_t size_bytes = write_framed(message.data(), prefix, bodies + i * body_bytes, body_bytes,
                                           suffixes == nullptr ? nullptr : suffixes + i);
    digests[i] = sha256(BytesView(message).first(size_bytes));
  }
}

#if defined(__x86_64__)

// FIPS 180-4 §4.2.2 and §5.3.3.
alignas(64) constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
constexpr uint32_t kInitialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// --- the SHA instructions: the rounds of one message wait for each other, so two go side by side. It is 5 % on
// Sapphire Rapids, and more where the instruction's latency is a larger multiple of its throughput.

#define POLIS_SHA_TARGET __attribute__((target("sha,sse4.1")))

POLIS_SHA_TARGET inline __m128i swap_words(__m128i words) {
  return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

template <size_t kStreams>
POLIS_SHA_TARGET void hash_streams(const std::byte* messages, size_t blocks, Sha256Digest* digests) {
  const size_t stride_bytes = blocks * kBlockBytes;
  __m128i abef[kStreams], cdgh[kStreams];
  for (size_t s = 0; s < kStreams; ++s) {
    abef[s] = _mm_set_epi32(0x6a09e667, static_cast<int>(0xbb67ae85), 0x510e527f, static_cast<int>(0x9b05688c));
    cdgh[s] = _mm_set_epi32(0x3c6ef372, static_cast<int>(0xa54ff53a), 0x1f83d9ab, 0x5be0cd19);
  }
  for (size_t block = 0; block < blocks; ++block) {
    __m128i w[kStreams][4], abef_before[kStreams], cdgh_before[kStreams];
    for (size_t s = 0; s < kStreams; ++s) {
      const std::byte* at = messages + s * stride_bytes + block * kBlockBytes;
      for (size_t i = 0; i < 4; ++i)
        w[s][i] = swap_words(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * i)));
      abef_before[s] = abef[s];
      cdgh_before[s] = cdgh[s];
    }
#pragma clang loop unroll(full)
    for (size_t g = 0; g < 16; ++g) {  // four rounds each
      const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kRoundConstants + 4 * g));
#pragma clang loop unroll(full)
      for (size_t s = 0; s < kStreams; ++s) {
        __m128i* words = w[s];
        if (g >= 4) {
          const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(words[g % 4], words[(g + 1) % 4]),
                                            _mm_alignr_epi8(words[(g + 3) % 4], words[(g + 2) % 4], 4));
          words[g % 4] = _mm_sha256msg2_epu32(sum, words[(g + 3) % 4]);
        }
        const __m128i sum = _mm_add_epi32(words[g % 4], constants);
        cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], sum);
        abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], _mm_shuffle_epi32(sum, 0x0e));
      }
    }
    for (size_t s = 0; s < kStreams; ++s) {
      abef[s] = _mm_add_epi32(abef[s], abef_before[s]);
      cdgh[s] = _mm_add_epi32(cdgh[s], cdgh_before[s]);
    }
  }
  for (size_t s = 0; s < kStreams; ++s) {
    const __m128i feba = _mm_shuffle_epi32(abef[s], 0x1b), dchg = _mm_shuffle_epi32(cdgh[s], 0xb1);
    auto* out = reinterpret_cast<__m128i*>(digests[s].data());
    _mm_storeu_si128(out, swap_words(_mm_blend_epi16(feba, dchg, 0xf0)));
    _mm_storeu_si128(out + 1, swap_words(_mm_alignr_epi8(dchg, feba, 8)));
  }
}

void hash_by_sha_instructions(const std::byte* messages, size_t size_bytes, size_t count, Sha256Digest* digests) {
  const size_t stride_bytes = sha256_padded_bytes(size_bytes), blocks = stride_bytes / kBlockBytes;
  for (; count >= 2; count -= 2, messages += 2 * stride_bytes, digests += 2) hash_streams<2>(messages, blocks, digests);
  if (count == 1) hash_streams<1>(messages, blocks, digests);
}

// Messages of a tree: the largest are laid out on the stack, two at a time.
constexpr size_t kFramedBytesMax = 256;

void hash_framed_by_sha_instructions(std::byte prefix, const std::byte* bodies, size_t body_bytes,
                                     const uint32_t* suffixes, size_t count, Sha256Digest* digests) {
  const size_t size_bytes = 1 + body_bytes + (suffixes == nullptr ? 0 : sizeof(uint32_t));
  const size_t stride_bytes = sha256_padded_bytes(size_bytes), blocks = stride_bytes / kBlockBytes;
  if (stride_bytes > kFramedBytesMax)
    return hash_framed_one_by_one(prefix, bodies, body_bytes, suffixes, count, digests);
  alignas(16) std::byte messages[2 * kFramedBytesMax];
  for (size_t slot = 0; slot < std::min<size_t>(count, 2); ++slot)
    sha256_pad(messages + slot * stride_bytes, size_bytes);
  for (size_t i = 0; i < count; i += 2) {
    const size_t streams = std::min<size_t>(count - i, 2);
    for (size_t slot = 0; slot < streams; ++slot)
      write_framed(messages + slot * stride_bytes, prefix, bodies + (i + slot) * body_bytes, body_bytes,
                   suffixes == nullptr ? nullptr : suffixes + i + slot);
    if (streams == 2)
      hash_streams<2>(messages, blocks, digests + i);
    else
      hash_streams<1>(messages, blocks, digests + i);
  }
}

// --- AVX-512: word i of sixteen messages in one register, so a round is a round of all sixteen.

#define POLIS_WIDE_TARGET __attribute__((target("avx512f,avx512bw")))
#define POLIS_WIDE_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) inline

constexpr size_t kLanes = 16;

// 4x4 words in each 128-bit part: row r, column c becomes row c, column r.
POLIS_WIDE_INLINE void transpose_parts(__m512i rows[4]) {
  const __m512i low01 = _mm512_unpacklo_epi32(rows[0], rows[1]), high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(rows[2], rows[3]), high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
  rows[0] = _mm512_unpacklo_epi64(low01, low23);
  rows[1] = _mm512_unpackhi_epi64(low01, low23);
  rows[2] = _mm512_unpacklo_epi64(high01, high23);
  rows[3] = _mm512_unpackhi_epi64(high01, high23);
}

POLIS_WIDE_INLINE __m512i swap_wide_words(__m512i words) {
  return _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203)));
}

POLIS_WIDE_INLINE __m128i load_part(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// Words 4g..4g+3 of all lanes. Part p of row r is lane 4p+r, so that after the transposition lanes are in order.
POLIS_WIDE_INLINE void load_words(const std::byte* at, size_t stride_bytes, __m512i words[4]) {
  for (size_t r = 0; r < 4; ++r) {
    const std::byte* lane = at + r * stride_bytes;
    __m512i row = _mm512_castsi128_si512(load_part(lane));
    row = _mm512_inserti32x4(row, load_part(lane + 4 * stride_bytes), 1);
    row = _mm512_inserti32x4(row, load_part(lane + 8 * stride_bytes), 2);
    row = _mm512_inserti32x4(row, load_part(lane + 12 * stride_bytes), 3);
    words[r] = swap_wide_words(row);
  }
  transpose_parts(words);
}

template <int kA, int kB, int kC>
POLIS_WIDE_INLINE __m512i xor_of_rotations(__m512i x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, kA), _mm512_ror_epi32(x, kB), _mm512_ror_epi32(x, kC), 0x96);
}
template <int kA, int kB, int kShift>
POLIS_WIDE_INLINE __m512i xor_of_rotations_and_shift(__m512i x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, kA), _mm512_ror_epi32(x, kB), _mm512_srli_epi32(x, kShift),
                                   0x96);
}
POLIS_WIDE_INLINE __m512i add(__m512i a, __m512i b) {
  return _mm512_add_epi32(a, b);
}

POLIS_WIDE_INLINE __m512i same_in_all(uint32_t word) {
  return _mm512_set1_epi32(static_cast<int>(word));
}

// Sixty-four rounds; added(t) is word t of the schedule plus its constant.
template <class Added>
POLIS_WIDE_INLINE void compress_wide(__m512i state[8], const Added& added) {
  __m512i a = state[0], b = state[1], c = state[2], d = state[3];
  __m512i e = state[4], f = state[5], g = state[6], h = state[7];
#pragma clang loop unroll(full)
  for (size_t t = 0; t < 64; ++t) {
    const __m512i choice = _mm512_ternarylogic_epi32(e, f, g, 0xca);
    const __m512i majority = _mm512_ternarylogic_epi32(a, b, c, 0xe8);
    const __m512i first = add(add(add(h, added(t)), choice), xor_of_rotations<6, 11, 25>(e));
    h = g;
    g = f;
    f = e;
    e = add(d, first);
    d = c;
    c = b;
    b = a;
    a = add(first, add(majority, xor_of_rotations<2, 13, 22>(b)));
  }
  state[0] = add(state[0], a);
  state[1] = add(state[1], b);
  state[2] = add(state[2], c);
  state[3] = add(state[3], d);
  state[4] = add(state[4], e);
  state[5] = add(state[5], f);
  state[6] = add(state[6], g);
  state[7] = add(state[7], h);
}

// The schedule of sixteen blocks; its words become the later ones as rounds go on.
struct WideSchedule {
  __m512i* w;
  POLIS_WIDE_INLINE __m512i operator()(size_t t) const {
    if (t >= 16)
      w[t % 16] = add(add(w[t % 16], xor_of_rotations_and_shift<7, 18, 3>(w[(t + 1) % 16])),
                      add(w[(t + 9) % 16], xor_of_rotations_and_shift<17, 19, 10>(w[(t + 14) % 16])));
    return add(w[t % 16], same_in_all(kRoundConstants[t]));
  }
};

POLIS_WIDE_INLINE void begin_wide(__m512i state[8]) {
  for (size_t i = 0; i < 8; ++i) state[i] = same_in_all(kInitialState[i]);
}

POLIS_WIDE_INLINE void finish_wide(__m512i state[8], Sha256Digest* digests) {
  for (size_t half = 0; half < 2; ++half) {
    __m512i* rows = state + 4 * half;
    transpose_parts(rows);
    for (size_t r = 0; r < 4; ++r) {
      alignas(64) std::byte parts[64];
      _mm512_store_si512(parts, swap_wide_words(rows[r]));
      for (size_t p = 0; p < 4; ++p) std::memcpy(digests[4 * p + r].data() + 16 * half, parts + 16 * p, 16);
    }
  }
}

POLIS_WIDE_TARGET void hash_sixteen(const std::byte* messages, size_t blocks, Sha256Digest* digests) {
  const size_t stride_bytes = blocks * kBlockBytes;
  __m512i state[8];
  begin_wide(state);
  for (size_t block = 0; block < blocks; ++block) {
    __m512i w[16];
    for (size_t group = 0; group < 4; ++group)
      load_words(messages + block * kBlockBytes + 16 * group, stride_bytes, w + 4 * group);
    compress_wide(state, WideSchedule{w});
  }
  finish_wide(state, digests);
}

// The last block of a framed message: the body's last byte, the suffix, the padding. At most two of its words differ
// between lanes; the compiler computes with the others.
template <bool kSuffix>
POLIS_WIDE_INLINE void compress_end(__m512i state[8], const std::byte* bodies, size_t body_bytes,
                                    const uint32_t* suffixes) {
  alignas(64) uint32_t first[kLanes], second[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const auto last = static_cast<uint32_t>(bodies[lane * body_bytes + body_bytes - 1]);
    const uint32_t suffix = kSuffix ? __builtin_bswap32(suffixes[lane]) : 0x80000000;
    first[lane] = last << 24 | suffix >> 8;
    second[lane] = kSuffix ? suffix << 24 | 0x800000 : 0;
  }
  const auto size_bits = static_cast<uint32_t>((1 + body_bytes + (kSuffix ? sizeof(uint32_t) : 0)) * 8);
  __m512i w[16];
  w[0] = _mm512_load_si512(first);
  w[1] = kSuffix ? _mm512_load_si512(second) : _mm512_setzero_si512();
  for (size_t i = 2; i < 15; ++i) w[i] = _mm512_setzero_si512();
  w[15] = same_in_all(size_bits);
  compress_wide(state, WideSchedule{w});
}

template <size_t kBodyBytes, bool kSuffix>
POLIS_WIDE_TARGET void hash_sixteen_framed(std::byte prefix, const std::byte* bodies, const uint32_t* suffixes,
                                           Sha256Digest* digests) {
  __m512i state[8];
  begin_wide(state);
#pragma clang loop unroll(disable)
  for (size_t block = 0; block < kBodyBytes / kBlockBytes; ++block) {
    // Everything lies one byte behind where it is in the body.
    const std::byte* at = bodies + block * kBlockBytes;
    __m512i w[16];
    for (size_t group = 1; group < 4; ++group) load_words(at + 16 * group - 1, kBodyBytes, w + 4 * group);
    if (block == 0) {
      load_words(at, kBodyBytes, w);
      const __m512i w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
      w[0] = _mm512_or_si512(_mm512_srli_epi32(w0, 8), same_in_all(static_cast<uint32_t>(prefix) << 24));
      w[1] = _mm512_or_si512(_mm512_srli_epi32(w1, 8), _mm512_slli_epi32(w0, 24));
      w[2] = _mm512_or_si512(_mm512_srli_epi32(w2, 8), _mm512_slli_epi32(w1, 24));
      w[3] = _mm512_or_si512(_mm512_srli_epi32(w3, 8), _mm512_slli_epi32(w2, 24));
    } else {
      load_words(at - 1, kBodyBytes, w);
    }
    compress_wide(state, WideSchedule{w});
  }
  compress_end<kSuffix>(state, bodies, kBodyBytes, suffixes);
  finish_wide(state, digests);
}

const bool has_sha_instructions = __builtin_cpu_supports("sha") && __builtin_cpu_supports("sse4.1");
const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");

void hash_by_avx512(const std::byte* messages, size_t size_bytes, size_t count, Sha256Digest* digests) {
  const size_t stride_bytes = sha256_padded_bytes(size_bytes), blocks = stride_bytes / kBlockBytes;
  for (; count >= kLanes; count -= kLanes, messages += kLanes * stride_bytes, digests += kLanes)
    hash_sixteen(messages, blocks, digests);
  // Up to fifteen are left. Filling the lanes with anything would win from nine on, too little to matter for a tree.
  if (has_sha_instructions) return hash_by_sha_instructions(messages, size_bytes, count, digests);
  hash_one_by_one(messages, size_bytes, count, digests);
}

// Leaves and nodes; other lengths go the shorter way.
void hash_framed_by_avx512(std::byte prefix, const std::byte* bodies, size_t body_bytes, const uint32_t* suffixes,
                           size_t count, Sha256Digest* digests) {
  const bool leaf = body_bytes == 128 && suffixes != nullptr, node = body_bytes == 64 && suffixes == nullptr;
  size_t done = 0;
  if (leaf)
    for (; count - done >= kLanes; done += kLanes)
      hash_sixteen_framed<128, true>(prefix, bodies + done * 128, suffixes + done, digests + done);
  if (node)
    for (; count - done >= kLanes; done += kLanes)
      hash_sixteen_framed<64, false>(prefix, bodies + done * 64, nullptr, digests + done);
  const uint32_t* rest = suffixes == nullptr ? nullptr : suffixes + done;
  if (has_sha_instructions)
    hash_framed_by_sha_instructions(prefix, bodies + done * body_bytes, body_bytes, rest, count - done, digests + done);
  else
    hash_framed_one_by_one(prefix, bodies + done * body_bytes, body_bytes, rest, count - done, digests + done);
}

#undef POLIS_SHA_TARGET
#undef POLIS_WIDE_TARGET
#undef POLIS_WIDE_INLINE
#endif

Sha256Form best_form() {
#if defined(__x86_64__)
  if (has_avx512) return Sha256Form::kAvx512;
  if (has_sha_instructions) return Sha256Form::kShaInstructions;
#endif
  return Sha256Form::kOneByOne;
}

}  // namespace

void sha256_pad(std::byte* message, size_t size_bytes) {
  const size_t padded_bytes = sha256_padded_bytes(size_bytes);
  message[size_bytes] = std::byte{0x80};
  std::memset(message + size_bytes + 1, 0, padded_bytes - size_bytes - 9);
  store_big<uint64_t>(message + padded_bytes - 8, uint64_t{size_bytes} * 8);
}

bool sha256_form_available(Sha256Form form) {
#if defined(__x86_64__)
  if (form == Sha256Form::kShaInstructions) return has_sha_instructions;
  if (form == Sha256Form::kAvx512) return has_avx512;
#endif
  return form == Sha256Form::kOneByOne;
}

void sha256_many_by(Sha256Form form, const std::byte* padded_messages, size_t size_bytes, size_t count,
                    Sha256Digest* digests) {
  POLIS_ASSERT(sha256_form_available(form));
#if defined(__x86_64__)
  if (form == Sha256Form::kAvx512) return hash_by_avx512(padded_messages, size_bytes, count, digests);
  if (form == Sha256Form::kShaInstructions)
    return hash_by_sha_instructions(padded_messages, size_bytes, count, digests);
#endif
  hash_one_by_one(padded_messages, size_bytes, count, digests);
}

void sha256_many(const std::byte* padded_messages, size_t size_bytes, size_t count, Sha256Digest* digests) {
  sha256_many_by(best_form(), padded_messages, size_bytes, count, digests);
}

void sha256_framed_by(Sha256Form form, std::byte prefix, const std::byte* bodies, size_t body_bytes,
                      const uint32_t* suffixes, size_t count, Sha256Digest* digests) {
  POLIS_ASSERT(sha256_form_available(form) && body_bytes % kBlockBytes == 0);
#if defined(__x86_64__)
  if (form == Sha256Form::kAvx512) return hash_framed_by_avx512(prefix, bodies, body_bytes, suffixes, count, digests);
  if (form == Sha256Form::kShaInstructions)
    return hash_framed_by_sha_instructions(prefix, bodies, body_bytes, suffixes, count, digests);
#endif
  hash_framed_one_by_one(prefix, bodies, body_bytes, suffixes, count, digests);
}

void sha256_framed(std::byte prefix, const std::byte* bodies, size_t body_bytes, const uint32_t* suffixes, size_t count,
                   Sha256Digest* digests) {
  sha256_framed_by(best_form(), prefix, bodies, body_bytes, suffixes, count, digests);
}

}  // namespace polis::base
