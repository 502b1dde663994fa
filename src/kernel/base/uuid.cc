#include "kernel/base/uuid.h"

#include "kernel/base/text_encoding.h"

namespace polis::base {
namespace {

constexpr size_t kTextSize = 36;

bool hyphen_at(size_t position) {
  return position == 8 || position == 13 || position == 18 || position == 23;
}

void set_version(Uuid& uuid, unsigned version) {
  uuid.bytes[6] = (uuid.bytes[6] & std::byte{0x0f}) | static_cast<std::byte>(version << 4);
  uuid.bytes[8] = (uuid.bytes[8] & std::byte{0x3f}) | std::byte{0x80};  // The variant of RFC 9562 §4.1.
}

}  // namespace

Uuid Uuid::v4(Random& random) {
  Uuid uuid;
  random.fill(uuid.bytes);
  set_version(uuid, 4);
  return uuid;
}

Uuid Uuid::v7(Random& random, WallTime now) {
  Uuid uuid;
  random.fill(uuid.bytes);
  auto ms = static_cast<uint64_t>(milliseconds_since_epoch(now));
  for (size_t i = 0; i < 6; ++i) uuid.bytes[i] = static_cast<std::byte>(ms >> (40 - 8 * i) & 0xff);
  set_version(uuid, 7);
  return uuid;
}

int64_t Uuid::time_ms() const {
  uint64_t ms = 0;
  for (size_t i = 0; i < 6; ++i) ms = ms << 8 | std::to_integer<uint64_t>(bytes[i]);
  return static_cast<int64_t>(ms);
}

std::string Uuid::text() const {
  std::string digits = hex_encode(bytes);
  std::string out;
  out.reserve(kTextSize);
  for (char digit : digits) {
    if (hyphen_at(out.size())) out.push_back('-');
    out.push_back(digit);
  }
  return out;
}

Result<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != kTextSize) return fail(Code::kInvalid, "a UUID has 36 characters");
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!hyphen_at(i)) {
      digits.push_back(text[i]);
    } else if (text[i] != '-') {
      return fail(Code::kInvalid, "a UUID lacks its '-' at position " + std::to_string(i));
    }
  }
  Bytes decoded = TRY(hex_decode(digits));
  Uuid uuid;
  std::memcpy(uuid.bytes.data(), decoded.data(), uuid.bytes.size());
  return uuid;
}

}  // namespace polis::base
