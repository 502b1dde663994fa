#include "systems/exchange/fix/message.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "systems/exchange/fix/dictionary.h"

namespace polis::exchange::fix {

namespace {

constexpr size_t kBeginStringMax = 16;
constexpr size_t kChecksumFieldMax = 16;
constexpr size_t kReadBytes = 4096;
constexpr size_t kDigitsMax = 20;

// A tag up to its '='. False if there is none, or it is no number.
bool read_tag(std::string_view frame, size_t& at, Tag& tag) {
  const bool negative = at < frame.size() && frame[at] == '-';
  size_t i = at + negative;
  const size_t first = i;
  int64_t value = 0;
  while (i < frame.size() && frame[i] >= '0' && frame[i] <= '9' && i - first < 9)
    value = value * 10 + (frame[i++] - '0');
  if (i == first || i >= frame.size() || frame[i] != '=') return false;
  tag = static_cast<Tag>(negative ? -value : value);
  at = i + 1;
  return true;
}

uint32_t byte_sum(std::string_view text) {
  uint32_t sum = 0;
  for (const char c : text) sum += static_cast<uint8_t>(c);
  return sum & 255;
}

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

bool Message::parse(std::string_view frame) {
  frame_ = frame;
  fields_.clear();
  // With a separator at the end every value has one behind it.
  if (frame.empty() || frame.back() != kSeparator) return false;
  size_t at = 0, body = 0, last = 0;
  while (at < frame.size()) {
    last = at;
    Field field;
    if (!read_tag(frame, at, field.tag)) return false;
    size_t end = at;
    const Tag length = length_tag(field.tag);
    if (length != 0 && !fields_.empty() && fields_.back().tag == length) [[unlikely]] {
      // Raw data may hold separators; its length stands before it.
      const auto bytes = read_digits(fields_.back().value);
      if (!bytes || *bytes > frame.size() - at) return false;
      end = at + *bytes;
      if (end >= frame.size() || frame[end] != kSeparator) return false;
    } else {
      if (at == frame.size()) return false;
      while (frame[end] != kSeparator) ++end;
    }
    field.value = frame.substr(at, end - at);
    at = end + 1;
    if (fields_.size() == 1) body = at;
    fields_.push_back(field);
  }
  if (fields_.size() < 4 || fields_[0].tag != tag::kBeginString || fields_[1].tag != tag::kBodyLength ||
      fields_[2].tag != tag::kMsgType || fields_.back().tag != tag::kCheckSum) {
    return false;
  }
  const auto sum = fields_.back().value;
  const auto stated = read_digits(sum);
  return read_digits(fields_[1].value) == last - body && sum.size() == 3 && stated == byte_sum(frame.substr(0, last));
}

std::optional<std::string_view> Message::find(Tag tag) const {
  for (const auto& field : fields_) {
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

char* FieldWriter::begin(Tag tag, size_t value_bytes) {
  const size_t needed = used_ + value_bytes + 16;
  if (needed > text_.size()) [[unlikely]]
    text_.resize(std::max(needed, text_.size() * 2));
  char* to = std::to_chars(text_.data() + used_, text_.data() + text_.size(), tag).ptr;
  *to++ = '=';
  return to;
}

void FieldWriter::end(char* to) {
  *to++ = kSeparator;
  used_ = static_cast<size_t>(to - text_.data());
}

void FieldWriter::text(Tag tag, std::string_view value) {
  char* to = begin(tag, value.size());
  value.copy(to, value.size());
  end(to + value.size());
}

void FieldWriter::character(Tag tag, char value) {
  char* to = begin(tag, 1);
  *to++ = value;
  end(to);
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

void FieldWriter::time(Tag tag, VenueTime time) {
  char* to = begin(tag, kTimestampBytes);
  write_timestamp(time, to);
  end(to + kTimestampBytes);
}

void FieldWriter::date(Tag tag, VenueTime time) {
  char* to = begin(tag, kTimestampBytes);
  write_timestamp(time, to);
  end(to + 8);
}

}  // namespace polis::exchange::fix
