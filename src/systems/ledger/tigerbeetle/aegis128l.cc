#include "systems/ledger/tigerbeetle/aegis128l.h"

#include <algorithm>
#include <bit>

#include "kernel/base/endian.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace polis::ledger::tigerbeetle {
namespace {

using Block = Aegis128lMac::Block;
using State = Aegis128lMac::State;

// --- the AES round by tables (FIPS 197 §5.1: SubBytes, ShiftRows, MixColumns, AddRoundKey)

constexpr uint8_t times_two(uint8_t value) {
  return static_cast<uint8_t>((value << 1) ^ ((value & 0x80) ? 0x1b : 0));
}

constexpr std::array<uint8_t, 256> make_s_box() {
  std::array<uint8_t, 256> box{};
  // 3 generates the field's multiplicative group: p runs through it, q through the inverses.
  uint8_t p = 1, q = 1;
  do {
    p = static_cast<uint8_t>(p ^ times_two(p));
    q = static_cast<uint8_t>(q ^ (q << 1));
    q = static_cast<uint8_t>(q ^ (q << 2));
    q = static_cast<uint8_t>(q ^ (q << 4));
    if (q & 0x80) q ^= 0x09;
    const uint8_t affine =
        static_cast<uint8_t>(q ^ std::rotl(q, 1) ^ std::rotl(q, 2) ^ std::rotl(q, 3) ^ std::rotl(q, 4) ^ 0x63);
    box[p] = affine;
  } while (p != 1);
  box[0] = 0x63;
  return box;
}

// The column that one byte of row 0 becomes; rows 1 to 3 are its rotations.
constexpr std::array<uint32_t, 256> make_columns() {
  constexpr auto box = make_s_box();
  std::array<uint32_t, 256> columns{};
  for (size_t i = 0; i < 256; ++i) {
    const uint8_t one = box[i], two = times_two(one), three = static_cast<uint8_t>(one ^ two);
    columns[i] = uint32_t{two} | uint32_t{one} << 8 | uint32_t{one} << 16 | uint32_t{three} << 24;
  }
  return columns;
}
constexpr auto kColumns = make_columns();

using Words = std::array<uint32_t, 4>;

Words load(const std::byte* at) {
  return {base::load_little<uint32_t>(at), base::load_little<uint32_t>(at + 4), base::load_little<uint32_t>(at + 8),
          base::load_little<uint32_t>(at + 12)};
}
void store(std::byte* at, const Words& words) {
  for (size_t i = 0; i < 4; ++i) base::store_little<uint32_t>(at + 4 * i, words[i]);
}

Words round(const Words& in, const Words& key) {
  Words out;
  for (size_t c = 0; c < 4; ++c) {
    out[c] = kColumns[in[c] & 0xff] ^ std::rotl(kColumns[in[(c + 1) % 4] >> 8 & 0xff], 8) ^
             std::rotl(kColumns[in[(c + 2) % 4] >> 16 & 0xff], 16) ^ std::rotl(kColumns[in[(c + 3) % 4] >> 24], 24) ^
             key[c];
  }
  return out;
}

Words operator^(Words a, const Words& b) {
  for (size_t i = 0; i < 4; ++i) a[i] ^= b[i];
  return a;
}

// --- with AES instructions

#if defined(__x86_64__)

__attribute__((target("aes,sse4.1"))) void absorb_aes(State& state, const std::byte* at, size_t steps) {
  __m128i s[8];
  for (size_t i = 0; i < 8; ++i) s[i] = _mm_load_si128(reinterpret_cast<const __m128i*>(state.words[i].data()));
  for (; steps > 0; --steps, at += Aegis128lMac::kRateBytes) {
    const __m128i m0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i m1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16));
    const __m128i last = s[7];
    s[7] = _mm_aesenc_si128(s[6], s[7]);
    s[6] = _mm_aesenc_si128(s[5], s[6]);
    s[5] = _mm_aesenc_si128(s[4], s[5]);
    s[4] = _mm_aesenc_si128(s[3], _mm_xor_si128(s[4], m1));
    s[3] = _mm_aesenc_si128(s[2], s[3]);
    s[2] = _mm_aesenc_si128(s[1], s[2]);
    s[1] = _mm_aesenc_si128(s[0], s[1]);
    s[0] = _mm_aesenc_si128(last, _mm_xor_si128(s[0], m0));
  }
  for (size_t i = 0; i < 8; ++i) _mm_store_si128(reinterpret_cast<__m128i*>(state.words[i].data()), s[i]);
}

const bool has_aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");

#endif

// --- AEGIS-128L

constexpr Block bytes_of(uint64_t high, uint64_t low) {
  Block block{};
  for (size_t i = 0; i < 8; ++i) {
    block[i] = static_cast<std::byte>(high >> (56 - 8 * i));
    block[8 + i] = static_cast<std::byte>(low >> (56 - 8 * i));
  }
  return block;
}
// The Fibonacci sequence modulo 256.
constexpr Block kC0 = bytes_of(0x000101020305080d, 0x1522375990e97962);
constexpr Block kC1 = bytes_of(0xdb3d18556dc22ff1, 0x2011314273b528dd);

constexpr size_t kInitialSteps = 10;
constexpr size_t kFinalSteps = 7;

Block operator^(Block a, const Block& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] ^= b[i];
  return a;
}

template <size_t kSteps>
void absorb_same(State& state, const Block& m0, const Block& m1) {
  std::array<Block, 2 * kSteps> steps;
  for (size_t i = 0; i < kSteps; ++i) {
    steps[2 * i] = m0;
    steps[2 * i + 1] = m1;
  }
  aegis128l_absorb(state, steps[0].data(), kSteps);
}

State initial_state(const Block& key, const Block& nonce) {
  State state{{key ^ nonce, kC1, kC0, kC1, key ^ nonce, key ^ kC0, key ^ kC1, key ^ kC0}};
  absorb_same<kInitialSteps>(state, nonce, key);
  return state;
}

}  // namespace

void aegis128l_absorb_portable(State& state, const std::byte* at, size_t steps) {
  std::array<Words, 8> s;
  for (size_t i = 0; i < 8; ++i) s[i] = load(state.words[i].data());
  for (; steps > 0; --steps, at += Aegis128lMac::kRateBytes) {
    const Words last = s[7];
    for (size_t i = 7; i > 0; --i) s[i] = round(s[i - 1], i == 4 ? s[4] ^ load(at + 16) : s[i]);
    s[0] = round(last, s[0] ^ load(at));
  }
  for (size_t i = 0; i < 8; ++i) store(state.words[i].data(), s[i]);
}

void aegis128l_absorb(State& state, const std::byte* at, size_t steps) {
#if defined(__x86_64__)
  if (has_aes) return absorb_aes(state, at, steps);
#endif
  aegis128l_absorb_portable(state, at, steps);
}

bool aegis128l_accelerated() {
#if defined(__x86_64__)
  return has_aes;
#else
  return false;
#endif
}

Aegis128lMac::Aegis128lMac() {
  static const State zero = initial_state({}, {});
  state_ = zero;
}

Aegis128lMac::Aegis128lMac(const Block& key, const Block& nonce) : state_(initial_state(key, nonce)) {}

void Aegis128lMac::update(BytesView bytes) {
  size_bytes_ += bytes.size();
  if (pending_size_ > 0) {
    const size_t taken = std::min(kRateBytes - pending_size_, bytes.size());
    std::copy_n(bytes.begin(), taken, pending_.begin() + static_cast<ptrdiff_t>(pending_size_));
    pending_size_ += taken;
    bytes = bytes.subspan(taken);
    if (pending_size_ < kRateBytes) return;
    aegis128l_absorb(state_, pending_.data(), 1);
    pending_size_ = 0;
  }
  const size_t steps = bytes.size() / kRateBytes;
  if (steps > 0) aegis128l_absorb(state_, bytes.data(), steps);
  bytes = bytes.subspan(steps * kRateBytes);
  std::copy(bytes.begin(), bytes.end(), pending_.begin());
  pending_size_ = bytes.size();
}

Aegis128lMac::Block Aegis128lMac::finish() {
  if (pending_size_ > 0) {
    std::fill(pending_.begin() + static_cast<ptrdiff_t>(pending_size_), pending_.end(), std::byte{0});
    aegis128l_absorb(state_, pending_.data(), 1);
  }
  Block sizes{};  // in bits: of the associated data, and of the message, which is empty
  base::store_little<uint64_t>(sizes.data(), size_bytes_ * 8);
  const Block last = state_.words[2] ^ sizes;
  absorb_same<kFinalSteps>(state_, last, last);
  Block tag = state_.words[0];
  for (size_t i = 1; i < 7; ++i) tag = tag ^ state_.words[i];
  return tag;
}

u128 checksum(BytesView bytes) {
  Aegis128lMac mac;
  mac.update(bytes);
  return std::bit_cast<u128>(mac.finish());
}

}  // namespace polis::ledger::tigerbeetle
