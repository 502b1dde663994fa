#include "systems/stream/protocol/wire.h"

namespace polis::stream {

Result<void> Decoder::status() const {
  if (why_ != nullptr) return polis::fail(Code::kInvalid, std::string("the message cannot be read: ") + why_);
  return {};
}

template <class T>
void Decoder::number(T& value) {
  if (rest_.size() < sizeof(T)) return fail("a number is cut off");
  value = static_cast<T>(base::load_big<std::make_unsigned_t<T>>(rest_.data()));
  rest_ = rest_.subspan(sizeof(T));
}
void Decoder::field(bool& value) {
  int8_t byte = 0;
  number(byte);
  value = byte != 0;
}
void Decoder::field(int8_t& value) {
  number(value);
}
void Decoder::field(int16_t& value) {
  number(value);
}
void Decoder::field(uint16_t& value) {
  number(value);
}
void Decoder::field(int32_t& value) {
  number(value);
}
void Decoder::field(int64_t& value) {
  number(value);
}
void Decoder::field(double& value) {
  int64_t bits = 0;
  number(bits);
  value = std::bit_cast<double>(bits);
}

template <class T>
void Decoder::nullable_text(std::optional<T>& value, bool nullable) {
  constexpr bool kText = std::is_same_v<T, std::string_view> || std::is_same_v<T, std::string>;
  const auto length = length_of(kText ? 2 : 4, nullable);
  if (!length) {
    value.reset();
    return;
  }
  T inner{};
  take(*length, inner);
  value = std::move(inner);
}
void Decoder::field(std::optional<std::string_view>& value, bool nullable) {
  nullable_text(value, nullable);
}
void Decoder::field(std::optional<std::string>& value, bool nullable) {
  nullable_text(value, nullable);
}
void Decoder::field(std::optional<BytesView>& value, bool nullable) {
  nullable_text(value, nullable);
}
void Decoder::field(std::optional<Bytes>& value, bool nullable) {
  nullable_text(value, nullable);
}

uint64_t Decoder::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    int8_t byte = 0;
    number(byte);
    if (!ok()) return 0;
    value |= uint64_t{static_cast<uint8_t>(byte) & 0x7Fu} << shift;
    if (byte >= 0) {
      if (value > UINT32_MAX) fail("a length exceeds 32 bits");
      return value;
    }
  }
  fail("a length is longer than 5 bytes");
  return 0;
}

std::optional<size_t> Decoder::length_of(size_t width_bytes, bool nullable) {
  int64_t length = 0;
  if (flexible_) {
    length = static_cast<int64_t>(varint()) - 1;
  } else if (width_bytes == 2) {
    int16_t narrow = 0;
    field(narrow);
    length = narrow;
  } else {
    int32_t wide = 0;
    field(wide);
    length = wide;
  }
  if (!ok()) return 0;
  if (length < 0) {
    if (length == -1 && nullable) return std::nullopt;
    fail("a length is negative where nothing may be null");
    return 0;
  }
  if (static_cast<uint64_t>(length) > rest_.size()) {
    fail("a length exceeds what follows");
    return 0;
  }
  return static_cast<size_t>(length);
}

BytesView Decoder::bytes(uint64_t size) {
  if (size > rest_.size()) {
    fail("a length exceeds what follows");
    return {};
  }
  const BytesView taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

void Decoder::skip_tags() {
  for (uint64_t count = varint(); count > 0 && ok(); --count) {
    (void)varint();
    (void)bytes(varint());
  }
}

void Decoder::field(Uuid& value) {
  const BytesView taken = bytes(16);
  if (ok()) std::ranges::copy(taken, value.bytes.begin());
}

void Decoder::field(Records& value, bool nullable) {
  const auto length = length_of(4, nullable);
  value.null = !length;
  value.bytes = bytes(length.value_or(0));
}

void Decoder::field(std::string_view& value) {
  take(length_of(2, false).value_or(0), value);
}
void Decoder::field(std::string& value) {
  take(length_of(2, false).value_or(0), value);
}
void Decoder::field(BytesView& value) {
  take(length_of(4, false).value_or(0), value);
}
void Decoder::field(Bytes& value) {
  take(length_of(4, false).value_or(0), value);
}

void Decoder::take(size_t length, std::string_view& value) {
  value = as_text(bytes(length));
}
void Decoder::take(size_t length, std::string& value) {
  value = as_text(bytes(length));
}
void Decoder::take(size_t length, BytesView& value) {
  value = bytes(length);
}
void Decoder::take(size_t length, Bytes& value) {
  const BytesView taken = bytes(length);
  value.assign(taken.begin(), taken.end());
}

template <class T>
void Encoder::number(T value) {
  const size_t at = out_.size();
  out_.resize(at + sizeof(T));
  base::store_big<std::make_unsigned_t<T>>(out_.data() + at, static_cast<std::make_unsigned_t<T>>(value));
}
void Encoder::field(bool value) {
  number(static_cast<int8_t>(value));
}
void Encoder::field(int8_t value) {
  number(value);
}
void Encoder::field(int16_t value) {
  number(value);
}
void Encoder::field(uint16_t value) {
  number(value);
}
void Encoder::field(int32_t value) {
  number(value);
}
void Encoder::field(int64_t value) {
  number(value);
}
void Encoder::field(double value) {
  number(std::bit_cast<int64_t>(value));
}
void Encoder::field(const Uuid& value) {
  raw(value.bytes);
}
void Encoder::field(const std::string_view& value) {
  text(as_bytes(value), 2);
}
void Encoder::field(const std::string& value) {
  text(as_bytes(std::string_view(value)), 2);
}
void Encoder::field(const BytesView& value) {
  text(value, 4);
}
void Encoder::field(const Bytes& value) {
  text(BytesView(value), 4);
}
void Encoder::text(BytesView value, size_t width_bytes) {
  // Versions with lengths of 16 bits cannot say more; a longer text, which a newer version brought, is cut.
  constexpr size_t kShortTextBytesMax = INT16_MAX;
  if (!flexible_ && width_bytes == 2) value = value.first(std::min(value.size(), kShortTextBytesMax));
  length(value.size(), width_bytes);
  raw(value);
}

template <class T>
void Encoder::nullable_text(const std::optional<T>& value, bool nullable) {
  if (value) return field(*value);
  constexpr size_t kWidth = std::is_same_v<T, std::string_view> || std::is_same_v<T, std::string> ? 2 : 4;
  length(nullable ? std::nullopt : std::optional<size_t>(0), kWidth);
}
void Encoder::field(const std::optional<std::string_view>& value, bool nullable) {
  nullable_text(value, nullable);
}
void Encoder::field(const std::optional<std::string>& value, bool nullable) {
  nullable_text(value, nullable);
}
void Encoder::field(const std::optional<BytesView>& value, bool nullable) {
  nullable_text(value, nullable);
}
void Encoder::field(const std::optional<Bytes>& value, bool nullable) {
  nullable_text(value, nullable);
}

void Encoder::varint(uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<std::byte>(value));
}

void Encoder::length(std::optional<size_t> size, size_t width_bytes) {
  if (flexible_) return varint(size ? *size + 1 : 0);
  if (width_bytes == 2) return number(static_cast<int16_t>(size ? *size : -1));
  number(static_cast<int32_t>(size ? *size : -1));
}

void Encoder::field(const Records& value, bool nullable) {
  if (value.null) return length(nullable ? std::nullopt : std::optional<size_t>(0), 4);
  length(value.bytes.size() + value.external_bytes, 4);
  if (value.external_bytes > 0) {
    POLIS_ASSERT(splices_ != nullptr);
    splices_->push_back({.position = out_.size(), .size_bytes = value.external_bytes, .external = value.external});
  }
  raw(value.bytes);
}

}  // namespace polis::stream
