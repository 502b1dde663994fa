#include "systems/exchange/fix/message.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "systems/exchange/fix/dictionary.h"

namespace polis::exchange::fix {

namespace {

constexpr size_t kBeginStringMax = 16;
constexpr size_t kChecksumFieldMax = 16;
constexpr size_t kReadBytes = 4096;
constexpr size_t kDigitsMax = 20;

// The shortest that can be whole: "8=|9=4|35=|10=000|".
constexpr size_t kFrameBytesMin = 18;
constexpr size_t kFieldsAtFirst = 32;
constexpr size_t kWriterBytesMin = 512;  // an execution report has some 200
constexpr size_t kBlock = 16;

// What a message is taken apart by, 16 bytes at a time: where separators stand (bit 0: the first byte), and the sum.
#if defined(__SSE2__)
class Blocks {
 public:
  uint32_t take(const char* at) { return take(load(at)); }
  // The last `bytes` (1 .. 16) before `end`, with at least 16 bytes before it.
  uint32_t take_last(const char* end, size_t bytes) {
    alignas(16) static constexpr uint8_t kKept[2 * kBlock] = {0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
                                                              0,   0,   0,   0,   0,   255, 255, 255, 255, 255, 255,
                                                              255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    const __m128i kept = load(reinterpret_cast<const char*>(kKept) + bytes);
    return take(_mm_and_si128(load(end - kBlock), kept)) >> (kBlock - bytes);
  }
  uint32_t sum() const {
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_add_epi64(sums_, _mm_unpackhi_epi64(sums_, sums_))));
  }

 private:
  static __m128i load(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }
  uint32_t take(__m128i bytes) {
    sums_ = _mm_add_epi64(sums_, _mm_sad_epu8(bytes, _mm_setzero_si128()));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(kSeparator))));
  }
  __m128i sums_ = _mm_setzero_si128();
};
#else
class Blocks {
 public:
  uint32_t take(const char* at) { return take_last(at + kBlock, kBlock); }
  uint32_t take_last(const char* end, size_t bytes) {
    uint32_t separators = 0;
    for (size_t i = 0; i < bytes; ++i) {
      const char c = *(end - bytes + i);
      separators |= uint32_t{c == kSeparator} << i;
      sum_ += static_cast<uint8_t>(c);
    }
    return separators;
  }
  uint32_t sum() const { return sum_; }

 private:
  uint32_t sum_ = 0;
};
#endif

std::optional<uint32_t> read_digits(std::string_view text) {
  if (text.empty() || text.size() > 10) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > INT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(value);
}

}  // namespace

uint8_t byte_sum(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  uint32_t sum = 0;
  if (text.size() >= kBlock) {
    Blocks blocks;
    for (; end - at >= static_cast<std::ptrdiff_t>(kBlock); at += kBlock) blocks.take(at);
    if (at < end) blocks.take_last(end, static_cast<size_t>(end - at));
    return static_cast<uint8_t>(blocks.sum());
  }
  for (; at < end; ++at) sum += static_cast<uint8_t>(*at);
  return static_cast<uint8_t>(sum);
}

const char* Message::take(const char* from, const char* separator) {
  // At most nine digits before the sign; a separator ends them in any case.
  const bool negative = *from == '-';
  const char* at = from + negative;
  const char* const digits = at;
  uint32_t tag = 0;
  for (unsigned digit; (digit = static_cast<uint8_t>(*at) - unsigned{'0'}) <= 9 && at - digits < 9; ++at)
    tag = tag * 10 + digit;
  if (at == digits || *at != '=') return nullptr;
  ++at;
  if (count_ == fields_.size()) [[unlikely]]
    fields_.resize(std::max(kFieldsAtFirst, count_ * 2));
  Field* const field = fields_.data() + count_;
  field->tag = negative ? -static_cast<Tag>(tag) : static_cast<Tag>(tag);
  if (const Tag length = length_tag(field->tag); length != 0 && count_ != 0 && field[-1].tag == length) [[unlikely]] {
    // Raw data may hold separators; its length stands before it.
    const auto bytes = read_digits(field[-1].value);
    const char* const end = frame_.data() + frame_.size();
    if (!bytes || *bytes >= static_cast<size_t>(end - at) || at[*bytes] != kSeparator) return nullptr;
    separator = at + *bytes;
  }
  field->value = {at, static_cast<size_t>(separator - at)};
  ++count_;
  return separator;
}

bool Message::parse(std::string_view frame) {
  frame_ = frame;
  count_ = 0;
  // With a separator at the end every value has one behind it.
  if (frame.size() < kFrameBytesMin || frame.back() != kSeparator) return false;
  const char* const end = frame.data() + frame.size();
  const char *from = frame.data(), *body = from, *last = from;
  const char* data_end = nullptr;  // of raw data, whose separators are its own
  Blocks blocks;
  for (const char* at = from; at < end; at += kBlock) {
    const auto left = static_cast<size_t>(end - at);
    uint32_t separators = left >= kBlock ? blocks.take(at) : blocks.take_last(end, left);
    for (; separators != 0; separators &= separators - 1) {
      const char* const separator = at + std::countr_zero(separators);
      if (data_end == nullptr) {
        if (count_ == 2) body = from;
        last = from;
        data_end = take(from, separator);
        if (data_end == nullptr) return false;
      }
      if (separator != data_end) continue;
      data_end = nullptr;
      from = separator + 1;
    }
  }
  if (count_ < 4 || fields_[0].tag != tag::kBeginString || fields_[1].tag != tag::kBodyLength ||
      fields_[2].tag != tag::kMsgType || fields_[count_ - 1].tag != tag::kCheckSum) {
    return false;
  }
  const auto sum = fields_[count_ - 1].value;
  const auto stated = read_digits(sum);
  uint32_t before = blocks.sum();
  for (const char* at = last; at < end; ++at) before -= static_cast<uint8_t>(*at);
  return read_digits(fields_[1].value) == static_cast<uint32_t>(last - body) && sum.size() == 3 &&
         stated == (before & 255);
}

std::optional<std::string_view> Message::find(Tag tag) const {
  for (const auto& field : fields()) {
    if (field.tag == tag) return field.value;
  }
  return std::nullopt;
}

bool Message::flag(Tag tag) const {
  return find(tag) == "Y";
}

std::optional<uint32_t> Message::number(Tag tag) const {
  const auto text = find(tag);
  return text ? read_digits(*text) : std::nullopt;
}

std::span<char> Framer::room() {
  if (begin_ > 0) {
    if (begin_ < end_) std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    clear_from_ -= std::min(clear_from_, begin_);
    clear_until_ -= std::min(clear_until_, begin_);
    begin_ = 0;
  }
  frame_ = {};
  if (bytes_.size() - end_ < kReadBytes) bytes_.resize(std::max(bytes_.size() * 2, 4 * kReadBytes));
  return {bytes_.data() + end_, bytes_.size() - end_};
}

void Framer::filled(size_t bytes) {
  end_ += bytes;
}

void Framer::clear() {
  begin_ = end_ = clear_from_ = clear_until_ = 0;
  frame_ = {};
}

size_t Framer::find_sum(size_t from) {
  static constexpr std::string_view kSum =
      "\x01"
      "10=";
  const std::string_view all(bytes_.data(), end_);
  size_t found = all.npos;
  if (from < clear_from_) {
    found = all.substr(0, std::min(end_, clear_from_ + kSum.size() - 1)).find(kSum, from);
    if (found != all.npos) return found;
    clear_from_ = from;
  } else if (from >= clear_until_) {
    clear_from_ = clear_until_ = from;
  }
  // What is known to hold none is not looked at again.
  found = all.find(kSum, std::max(from, clear_until_ - std::min(clear_until_, kSum.size() - 1)));
  clear_until_ = std::min(found, end_);
  return found;
}

Framer::Found Framer::next() {
  frame_ = {};
  const std::string_view all(bytes_.data(), end_);
  const size_t start = all.find("8=", begin_);
  if (start == all.npos) {
    // The last byte may be the 8.
    begin_ = end_ > begin_ && all[end_ - 1] == '8' ? end_ - 1 : end_;
    return Found::kNeedMore;
  }
  begin_ = start;
  const auto garbled = [&] {
    begin_ = start + 2;
    return Found::kGarbled;
  };
  const auto rest = all.substr(start);
  const size_t version_end = rest.substr(0, kBeginStringMax).find(kSeparator);
  if (version_end == rest.npos) return rest.size() >= kBeginStringMax ? garbled() : Found::kNeedMore;
  size_t at = version_end + 1;
  for (const char expected : {'9', '='}) {
    if (at == rest.size()) return Found::kNeedMore;
    if (rest[at++] != expected) return garbled();
  }
  size_t length = 0, digits = 0;
  while (at < rest.size() && rest[at] >= '0' && rest[at] <= '9' && digits < 9) {
    length = length * 10 + static_cast<size_t>(rest[at++] - '0');
    ++digits;
  }
  if (at == rest.size()) return digits < 9 ? Found::kNeedMore : garbled();
  if (digits == 0 || rest[at] != kSeparator || length > kMessageBytesMax) return garbled();
  const size_t body = at + 1;
  // As nearly always: the trailer stands where the length says.
  if (const size_t end = body + length + kTrailerBytes; end <= rest.size() && end <= kMessageBytesMax) {
    const char* const trailer = rest.data() + end - kTrailerBytes;
    if (trailer[-1] == kSeparator && std::memcmp(trailer, "10=", 3) == 0 &&
        std::memchr(trailer + 3, kSeparator, 4) == trailer + 6) {
      frame_ = rest.substr(0, end);
      begin_ = start + end;
      return Found::kFrame;
    }
  }
  const size_t from = length > 0 ? body + length - 1 : at;
  const size_t sum_at = find_sum(std::min(start + from, end_));
  const size_t sum = sum_at == all.npos ? all.npos : sum_at - start;
  if (sum == rest.npos) return rest.size() > kMessageBytesMax ? garbled() : Found::kNeedMore;
  const size_t sum_end = rest.substr(0, sum + kChecksumFieldMax).find(kSeparator, sum + 1);
  if (sum_end == rest.npos) return rest.size() >= sum + kChecksumFieldMax ? garbled() : Found::kNeedMore;
  if (sum_end + 1 > kMessageBytesMax) return garbled();
  frame_ = rest.substr(0, sum_end + 1);
  begin_ = start + frame_.size();
  return Found::kFrame;
}

void FieldWriter::grow(size_t needed) {
  text_.resize(std::max({needed, text_.size() * 2, kWriterBytesMin}));
}

char* FieldWriter::write_long_tag(char* to, Tag tag) {
  to = std::to_chars(to, to + kTagBytesMax, tag).ptr;
  *to++ = '=';
  return to;
}

void FieldWriter::number(Tag tag, int64_t value) {
  char* to = begin(tag, kDigitsMax);
  end(std::to_chars(to, to + kDigitsMax, value).ptr);
}

void FieldWriter::decimal(Tag tag, int64_t mantissa, unsigned decimals) {
  uint64_t value = mantissa < 0 ? 0 - static_cast<uint64_t>(mantissa) : static_cast<uint64_t>(mantissa);
  while (decimals > 0 && value % 10 == 0) {
    value /= 10;
    --decimals;
  }
  char digits[kDigitsMax];
  const auto digits_end = std::to_chars(digits, digits + kDigitsMax, value).ptr;
  const std::string_view all(digits, static_cast<size_t>(digits_end - digits));
  char* to = begin(tag, kDigitsMax + decimals + 3);
  if (mantissa < 0) *to++ = '-';
  const auto put = [&](std::string_view part) {
    part.copy(to, part.size());
    to += part.size();
  };
  if (decimals == 0) {
    put(all);
  } else if (all.size() > decimals) {
    put(all.substr(0, all.size() - decimals));
    *to++ = '.';
    put(all.substr(all.size() - decimals));
  } else {
    put("0.");
    for (size_t i = all.size(); i < decimals; ++i) *to++ = '0';
    put(all);
  }
  end(to);
}

void FieldWriter::date(Tag tag, VenueTime time) {
  char* to = begin(tag, kTimestampBytes);
  write_timestamp(time, to);
  end(to + 8);
}

}  // namespace polis::exchange::fix
