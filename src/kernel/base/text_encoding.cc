#include "kernel/base/text_encoding.h"

#include <array>

namespace polis::base {
namespace {

constexpr char kHexLower[] = "0123456789abcdef";
constexpr char kHexUpper[] = "0123456789ABCDEF";

constexpr std::array<int8_t, 256> kHexValues = [] {
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (int8_t i = 0; i < 10; ++i) values[static_cast<size_t>('0' + i)] = i;
  for (int8_t i = 0; i < 6; ++i) {
    values[static_cast<size_t>('a' + i)] = static_cast<int8_t>(10 + i);
    values[static_cast<size_t>('A' + i)] = static_cast<int8_t>(10 + i);
  }
  return values;
}();

constexpr char kBase64Standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kBase64Url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<int8_t, 256> base64_values(const char* alphabet) {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (int8_t i = 0; i < 64; ++i) values[static_cast<unsigned char>(alphabet[i])] = i;
  return values;
}
constexpr std::array<int8_t, 256> kBase64StandardValues = base64_values(kBase64Standard);
constexpr std::array<int8_t, 256> kBase64UrlValues = base64_values(kBase64Url);

constexpr std::array<bool, 256> kUnreserved = [] {
  std::array<bool, 256> unreserved{};
  for (unsigned char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"))
    unreserved[c] = true;
  return unreserved;
}();

}  // namespace

int hex_digit_value(char digit) {
  return kHexValues[static_cast<unsigned char>(digit)];
}

std::string hex_encode(BytesView bytes) {
  std::string text(bytes.size() * 2, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto byte = std::to_integer<unsigned>(bytes[i]);
    text[2 * i] = kHexLower[byte >> 4];
    text[2 * i + 1] = kHexLower[byte & 15];
  }
  return text;
}

Result<Bytes> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return fail(Code::kInvalid, "hex text has an odd number of digits");
  Bytes bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    int high = hex_digit_value(text[2 * i]);
    int low = hex_digit_value(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return fail(Code::kInvalid, "no hex digit at position " + std::to_string(high < 0 ? 2 * i : 2 * i + 1));
    bytes[i] = static_cast<std::byte>(high << 4 | low);
  }
  return bytes;
}

std::string base64_encode(BytesView bytes, Base64 form) {
  const char* alphabet = form == Base64::kStandard ? kBase64Standard : kBase64Url;
  std::string text;
  text.resize((bytes.size() + 2) / 3 * 4, '=');
  char* out = text.data();
  const uint8_t* in = u8(bytes);
  size_t whole = bytes.size() / 3 * 3;
  for (size_t i = 0; i < whole; i += 3) {
    uint32_t group = static_cast<uint32_t>(in[i]) << 16 | static_cast<uint32_t>(in[i + 1]) << 8 | in[i + 2];
    *out++ = alphabet[group >> 18];
    *out++ = alphabet[group >> 12 & 63];
    *out++ = alphabet[group >> 6 & 63];
    *out++ = alphabet[group & 63];
  }
  size_t left = bytes.size() - whole;
  if (left > 0) {
    uint32_t group = static_cast<uint32_t>(in[whole]) << 16;
    if (left == 2) group |= static_cast<uint32_t>(in[whole + 1]) << 8;
    *out++ = alphabet[group >> 18];
    *out++ = alphabet[group >> 12 & 63];
    if (left == 2) *out++ = alphabet[group >> 6 & 63];
  }
  if (form == Base64::kUrl) text.resize(static_cast<size_t>(out - text.data()));
  return text;
}

Result<Bytes> base64_decode(std::string_view text, Base64 form) {
  const auto& values = form == Base64::kStandard ? kBase64StandardValues : kBase64UrlValues;
  if (form == Base64::kStandard) {
    if (text.size() % 4 != 0) return fail(Code::kInvalid, "base64 text is not padded to a multiple of 4 characters");
    for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return fail(Code::kInvalid, "base64 text is cut off");
  Bytes bytes(text.size() / 4 * 3 + (text.size() % 4 == 0 ? 0 : text.size() % 4 - 1));
  uint32_t group = 0;
  unsigned group_bits = 0;
  size_t out = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = values[static_cast<unsigned char>(text[i])];
    if (value < 0) return fail(Code::kInvalid, "no base64 character at position " + std::to_string(i));
    group = group << 6 | static_cast<uint32_t>(value);
    group_bits += 6;
    if (group_bits < 8) continue;
    group_bits -= 8;
    bytes[out++] = static_cast<std::byte>(group >> group_bits & 0xff);
  }
  if ((group & ((1u << group_bits) - 1)) != 0) return fail(Code::kInvalid, "base64 text has bits beyond its last byte");
  return bytes;
}

std::string url_encode(std::string_view text, Slash slash) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (unsigned char c : text) {
    if (kUnreserved[c] || (c == '/' && slash == Slash::kKeep)) {
      out.push_back(static_cast<char>(c));
    } else {
      const char escaped[] = {'%', kHexUpper[c >> 4], kHexUpper[c & 15]};
      out.append(escaped, sizeof escaped);
    }
  }
  return out;
}

Result<std::string> url_decode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == Plus::kSpace) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      int high = i + 2 < text.size() ? hex_digit_value(text[i + 1]) : -1;
      int low = i + 2 < text.size() ? hex_digit_value(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return fail(Code::kInvalid, "a '%' at position " + std::to_string(i) + " is not followed by two hex digits");
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    }
  }
  return out;
}

bool utf8_valid(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = at + text.size();
  while (at < end) {
    if (end - at >= 8) {
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080) == 0) {
        at += 8;
        continue;
      }
    }
    unsigned char lead = *at++;
    if (lead < 0x80) continue;
    // Continuation bytes to follow, and the range that the first of them must lie in (Unicode table 3-7).
    int following;
    unsigned char low = 0x80, high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      following = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      following = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      following = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (end - at < following) return false;
    if (*at < low || *at > high) return false;
    for (int i = 1; i < following; ++i)
      if ((at[i] & 0xc0) != 0x80) return false;
    at += following;
  }
  return true;
}

}  // namespace polis::base
