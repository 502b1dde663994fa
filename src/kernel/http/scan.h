// Finding the first byte that does not belong: the inner loops of the head parser, once for plain C++, once for SSE4.2
// (the baseline of x86-64 builds) and once for AVX2 (chosen at run time). All agree on every input; scan_test.cc holds
// them to it.
//
//   token   tchar of RFC 9110 §5.6.2: letters, digits, !#$%&'*+-.^_`|~
//   value   field-vchar, SP and HTAB: 0x21-0x7E, 0x80-0xFF, 0x20, 0x09
//   target  0x21-0x7E but '#': a fragment is never sent, and bytes above ASCII must come percent-encoded
//
// Each returns a pointer to the first byte outside the class, or `end`. Nothing reads at or past `end`.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace polis::http::scan {

inline constexpr bool is_token_char(unsigned char c) {
  if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return true;
  switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
      return true;
    default:
      return false;
  }
}
inline constexpr bool is_value_char(unsigned char c) {
  return (c >= 0x20 && c != 0x7F) || c == '\t';
}
inline constexpr bool is_target_char(unsigned char c) {
  return c > 0x20 && c < 0x7F && c != '#';
}

// Bit 0 token, bit 1 value, bit 2 target.
inline constexpr std::array<uint8_t, 256> kClasses = [] {
  std::array<uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    auto byte = static_cast<unsigned char>(c);
    classes[c] = static_cast<uint8_t>(is_token_char(byte) | is_value_char(byte) << 1 | is_target_char(byte) << 2);
  }
  return classes;
}();

struct Scalar {
  template <uint8_t kMask>
  static const char* skip(const char* at, const char* end) {
    while (at != end && (kClasses[static_cast<unsigned char>(*at)] & kMask)) ++at;
    return at;
  }
  static const char* token(const char* at, const char* end) { return skip<1>(at, end); }
  static const char* value(const char* at, const char* end) { return skip<2>(at, end); }
  static const char* target(const char* at, const char* end) { return skip<4>(at, end); }
};

#if defined(__x86_64__)

// For a low nibble, the set of high nibbles 0..7 (bit n for 0xn_) with which it forms a tchar. Bytes from 0x80 select 0
// by the rule of pshufb, which is what they must answer.
inline constexpr std::array<uint8_t, 16> kTokenByLowNibble = [] {
  std::array<uint8_t, 16> rows{};
  for (unsigned c = 0; c < 128; ++c) {
    if (is_token_char(static_cast<unsigned char>(c)))
      rows[c & 15] = static_cast<uint8_t>(rows[c & 15] | 1u << (c >> 4));
  }
  return rows;
}();

struct Sse42 {
  static const char* token(const char* at, const char* end) {
    const __m128i rows = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kTokenByLowNibble.data()));
    const __m128i bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
    while (end - at >= 16) {
      __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      __m128i high = _mm_and_si128(_mm_srli_epi16(text, 4), _mm_set1_epi8(15));
      __m128i hit = _mm_and_si128(_mm_shuffle_epi8(rows, text), _mm_shuffle_epi8(bits, high));
      auto outside = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(hit, _mm_setzero_si128())));
      if (outside) return at + std::countr_zero(outside);
      at += 16;
    }
    return Scalar::token(at, end);
  }
  static const char* value(const char* at, const char* end) {
    while (end - at >= 16) {
      __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      __m128i printable = _mm_cmpeq_epi8(_mm_max_epu8(text, _mm_set1_epi8(0x20)), text);
      __m128i good = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8(0x7F)), printable),
                                  _mm_cmpeq_epi8(text, _mm_set1_epi8('\t')));
      auto outside = static_cast<unsigned>(_mm_movemask_epi8(good)) ^ 0xFFFFu;
      if (outside) return at + std::countr_zero(outside);
      at += 16;
    }
    return Scalar::value(at, end);
  }
  static const char* target(const char* at, const char* end) {
    while (end - at >= 16) {
      __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      // Signed comparison: bytes from 0x80 are negative, so they fail it too.
      __m128i visible = _mm_cmpgt_epi8(text, _mm_set1_epi8(0x20));
      __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8(0x7F)), _mm_cmpeq_epi8(text, _mm_set1_epi8('#')));
      auto outside = static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(bad, visible))) ^ 0xFFFFu;
      if (outside) return at + std::countr_zero(outside);
      at += 16;
    }
    return Scalar::target(at, end);
  }
};

// Long values and targets by 32 bytes; names are short, so they stay with 16.
struct Avx2 {
  static const char* token(const char* at, const char* end) { return Sse42::token(at, end); }
  __attribute__((target("avx2"))) static const char* value(const char* at, const char* end) {
    while (end - at >= 32) {
      __m256i text = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      __m256i printable = _mm256_cmpeq_epi8(_mm256_max_epu8(text, _mm256_set1_epi8(0x20)), text);
      __m256i good = _mm256_or_si256(_mm256_andnot_si256(_mm256_cmpeq_epi8(text, _mm256_set1_epi8(0x7F)), printable),
                                     _mm256_cmpeq_epi8(text, _mm256_set1_epi8('\t')));
      unsigned outside = ~static_cast<unsigned>(_mm256_movemask_epi8(good));
      if (outside) return at + std::countr_zero(outside);
      at += 32;
    }
    return Sse42::value(at, end);
  }
  __attribute__((target("avx2"))) static const char* target(const char* at, const char* end) {
    while (end - at >= 32) {
      __m256i text = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      __m256i visible = _mm256_cmpgt_epi8(text, _mm256_set1_epi8(0x20));
      __m256i bad = _mm256_or_si256(_mm256_cmpeq_epi8(text, _mm256_set1_epi8(0x7F)),
                                    _mm256_cmpeq_epi8(text, _mm256_set1_epi8('#')));
      unsigned outside = ~static_cast<unsigned>(_mm256_movemask_epi8(_mm256_andnot_si256(bad, visible)));
      if (outside) return at + std::countr_zero(outside);
      at += 32;
    }
    return Sse42::target(at, end);
  }
};

#endif

}  // namespace polis::http::scan
