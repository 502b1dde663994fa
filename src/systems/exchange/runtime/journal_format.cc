#include "systems/exchange/runtime/journal_format.h"

#include <bit>
#include <fmt/format.h>
#ifdef __SSSE3__
#include <tmmintrin.h>
#endif

namespace polis::exchange {
namespace {

constexpr uint8_t kJournalVersion = 2;
enum RecordFlag : uint8_t { kFromBus = 1, kClosedInOrder = 2, kRecordFlags = 3 };
enum StepFlag : uint8_t { kStepRequest = 1, kStepTurn = 2, kStepAtOnce = 4, kStepOutputs = 8, kStepRolling = 16 };

constexpr size_t kRequestWords = sizeof(Request) / 8;
// More than any ring, many times over: a step that cancels everything.
constexpr uint64_t kStepSlotsMax = uint64_t{1} << 40;
// Times of the venue stay below (year 2262).
constexpr uint64_t kTimeMax = INT64_MAX;

// A bit for each byte of the word, the lowest first.
unsigned bytes_not_zero(uint64_t word) {
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  const uint64_t high = (((word & kLow) + kLow) | word) & ~kLow;
  // Bit 8k of the shifted word goes to bit 56 + k of the product.
  return static_cast<unsigned>(((high >> 7) * 0x0102040810204080) >> 56);
}

// Packed bytes, from the lowest on, put where `bits` has ones; the others are zero. Of `packed` 8 bytes are read.
struct Spread {
  uint64_t word;
  unsigned not_zero;  // a bit for each byte of the word
};
#ifdef __SSSE3__
constexpr auto kSpread = [] {
  std::array<std::array<uint8_t, 8>, 256> table{};
  for (unsigned bits = 0; bits < 256; ++bits)
    for (unsigned i = 0, from = 0; i < 8; ++i)
      table[bits][i] = (bits >> i & 1) != 0 ? static_cast<uint8_t>(from++) : 0x80;
  return table;
}();
Spread spread(const std::byte* packed, unsigned bits) {
  const __m128i from = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed));
  const __m128i where = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kSpread[bits].data()));
  const __m128i word = _mm_shuffle_epi8(from, where);
  const int zero = _mm_movemask_epi8(_mm_cmpeq_epi8(word, _mm_setzero_si128()));
  return {static_cast<uint64_t>(_mm_cvtsi128_si64(word)), ~static_cast<unsigned>(zero) & 0xff};
}
#else
Spread spread(const std::byte* packed, unsigned bits) {
  uint64_t word = 0;
  for (; bits != 0; bits &= bits - 1) word |= uint64_t{static_cast<uint8_t>(*packed++)} << (8 * std::countr_zero(bits));
  return {word, bytes_not_zero(word)};
}
#endif

void encode_head(const JournalRecordHead& head, base::Writer& out) {
  out.u8(kJournalVersion);
  out.u8(static_cast<uint8_t>((head.acknowledged_from_bus ? kFromBus : 0) | (head.closed ? kClosedInOrder : 0)));
  out.varint(head.behaviour);
  out.varint(head.first);
  out.zigzag(head.time);
  out.varint(head.steps);
}

}  // namespace

base::Hash128 roll(const base::Hash128& before, Sequence sequence, uint64_t digest) {
  std::byte in[32];
  base::store_little<uint64_t>(in, before.low);
  base::store_little<uint64_t>(in + 8, before.high);
  base::store_little<uint64_t>(in + 16, sequence);
  base::store_little<uint64_t>(in + 24, digest);
  return base::xxh3_128(in);
}

void pack_request(const Request& request, base::Writer& out) {
  uint64_t words[kRequestWords];
  std::memcpy(words, &request, sizeof request);
  std::byte packed[sizeof request + 2 * kRequestWords];
  std::byte* at = packed;
  for (size_t i = 0; i < kRequestWords; ++i) {
    if (words[i] == 0) {
      size_t more = 0;
      while (i + more + 1 < kRequestWords && words[i + more + 1] == 0) ++more;
      *at++ = std::byte{0};
      *at++ = static_cast<std::byte>(more);
      i += more;
      continue;
    }
    const uint64_t word = base::to_little(words[i]);
    unsigned bits = bytes_not_zero(word);
    *at++ = static_cast<std::byte>(bits);
    for (; bits != 0; bits &= bits - 1) *at++ = static_cast<std::byte>(word >> (8 * std::countr_zero(bits)));
  }
  out.bytes({packed, static_cast<size_t>(at - packed)});
}

size_t unpack_request(BytesView packed, Request& request, const char*& why) {
  // Word by word into its place: a wider copy right behind these stores would wait for them.
  const auto words = reinterpret_cast<std::byte*>(&request);
  std::memset(words, 0, sizeof request);
  const std::byte* at = packed.data();
  const std::byte* const end = at + packed.size();
  const auto broken = [&why](const char* how) {
    why = how;
    return size_t{0};
  };
  for (size_t i = 0; i < kRequestWords; ++i) {
    if (end - at < 2) return broken("a request that is cut off");
    const auto bits = static_cast<uint8_t>(*at++);
    if (bits == 0) {
      const auto more = static_cast<uint8_t>(*at++);
      if (more >= kRequestWords - i) return broken("zeros beyond the request");
      i += more;
      continue;
    }
    const ptrdiff_t stored = std::popcount(bits);
    Spread found{};
    if (end - at >= 8) [[likely]] {
      found = spread(at, bits);
    } else {
      std::byte last[8] = {};
      if (end - at < stored) return broken("a request that is cut off");
      std::memcpy(last, at, static_cast<size_t>(stored));
      found = spread(last, bits);
    }
    at += stored;
    if (found.not_zero != bits) return broken("a zero byte that should not be stored");
    const uint64_t word = base::to_little(found.word);
    std::memcpy(words + i * 8, &word, 8);
  }
  return static_cast<size_t>(at - packed.data());
}

// --- JournalBatch

void JournalBatch::add(const JournalStep& step) {
  if (steps_ == 0) {
    first_ = next_ = step.stamp.sequence;
    time_ = last_time_ = step.stamp.now;
  }
  POLIS_ASSERT(step.stamp.sequence == next_ && step.stamp.now >= last_time_);
  base::Writer out(steps_bytes_);
  out.u8(static_cast<uint8_t>((step.turn ? kStepTurn : kStepRequest) | (step.answered_at_once ? kStepAtOnce : 0) |
                              (step.digest != 0 ? kStepOutputs : 0) | (step.rolling ? kStepRolling : 0)));
  out.varint(step.slots);
  out.varint(static_cast<uint64_t>(step.stamp.now - last_time_));
  if (!step.turn) pack_request(step.request, out);
  if (step.digest != 0) out.u64(step.digest);
  if (step.rolling) {
    out.u64(step.rolling->low);
    out.u64(step.rolling->high);
  }
  last_time_ = step.stamp.now;
  next_ += step.slots;
  ++steps_;
}

std::array<BytesView, 2> JournalBatch::parts(bool acknowledged_from_bus) {
  head_bytes_.clear();
  base::Writer out(head_bytes_);
  encode_head({.acknowledged_from_bus = acknowledged_from_bus, .first = first_, .time = time_, .steps = steps_}, out);
  return {BytesView(head_bytes_), BytesView(steps_bytes_)};
}

void JournalBatch::clear() {
  steps_bytes_.clear();
  steps_ = 0;
}

Bytes JournalBatch::closing(Sequence next, VenueTime time, bool acknowledged_from_bus) {
  Bytes bytes;
  base::Writer out(bytes);
  encode_head({.acknowledged_from_bus = acknowledged_from_bus, .closed = true, .first = next, .time = time}, out);
  return bytes;
}

// --- JournalBatchReader

Result<JournalBatchReader> JournalBatchReader::open(BytesView record) {
  JournalBatchReader reader(record);
  const uint8_t version = reader.in_.u8();
  if (reader.in_.ok() && (version == 0 || version > kJournalVersion))
    return fail(Code::kUnsupported,
                fmt::format("version {} of the venue's journal, this polis knows 1 to {}", version, kJournalVersion));
  const uint8_t flags = reader.in_.u8();
  if ((flags & ~kRecordFlags) != 0) reader.in_.reject("unknown flags");
  reader.head_.acknowledged_from_bus = (flags & kFromBus) != 0;
  reader.head_.closed = (flags & kClosedInOrder) != 0;
  reader.head_.behaviour = version == 1 ? 1 : static_cast<uint32_t>(reader.in_.varint_up_to(UINT32_MAX));
  reader.head_.first = reader.in_.varint();
  reader.head_.time = reader.in_.zigzag();
  reader.head_.steps = reader.in_.count(3);
  if (reader.head_.first == 0 || reader.head_.first > UINT64_MAX / 2) reader.in_.reject("no such sequence");
  if (reader.head_.time < 0) reader.in_.reject("a time before 1970");
  if (reader.head_.closed && reader.head_.steps != 0) reader.in_.reject("a closing record with steps");
  TRY(reader.in_.status());
  reader.left_ = reader.head_.steps;
  reader.next_ = {reader.head_.first, reader.head_.time};
  if (reader.left_ == 0) TRY(reader.in_.finish());
  return reader;
}

Result<bool> JournalBatchReader::next(JournalStep& step) {
  if (left_ == 0) return false;
  --left_;
  const uint8_t kind = in_.u8();
  step.turn = (kind & 3) == kStepTurn;
  if ((kind & 3) != kStepTurn && (kind & 3) != kStepRequest) in_.reject("no such kind of step");
  if ((kind & ~31) != 0) in_.reject("unknown flags of a step");
  step.answered_at_once = (kind & kStepAtOnce) != 0;
  if (step.turn && step.answered_at_once) in_.reject("a turn has no answers");
  step.slots = in_.varint_up_to(kStepSlotsMax);
  if (step.slots == 0) in_.reject("a step without a place on the bus");
  const uint64_t delta = in_.varint_up_to(kTimeMax - static_cast<uint64_t>(next_.now));
  if (!step.turn && in_.ok()) {
    const char* why = "";
    if (const size_t used = unpack_request(record_.subspan(in_.position()), step.request, why); used != 0) {
      (void)in_.bytes(used);
    } else {
      in_.reject(why);
    }
  }
  step.digest = (kind & kStepOutputs) != 0 ? in_.u64() : 0;
  if ((kind & kStepOutputs) != 0 && step.digest == 0) in_.reject("a digest of nothing");
  step.rolling.reset();
  if ((kind & kStepRolling) != 0) {
    const uint64_t low = in_.u64();
    step.rolling = base::Hash128{low, in_.u64()};
  }
  if (!in_.ok()) [[unlikely]]
    return fail(in_.status().error());
  step.stamp = {next_.sequence, next_.now + static_cast<VenueTime>(delta)};
  next_ = {next_.sequence + step.slots, step.stamp.now};
  if (left_ == 0) TRY(in_.finish());
  return true;
}

}  // namespace polis::exchange
