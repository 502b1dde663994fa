#include "kernel/obs/json_text.h"

#include <charconv>
#include <cmath>

#include "kernel/base/text_encoding.h"

namespace polis::obs {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// Bytes of the well-formed character at the front of `text`, 0 if there is none.
size_t character_size(std::string_view text) {
  for (size_t size = 1; size <= 4 && size <= text.size(); ++size)
    if (base::utf8_valid(text.substr(0, size))) return size;
  return 0;
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  bool valid = base::utf8_valid(text);
  out.push_back('"');
  for (size_t i = 0; i < text.size();) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c < 0x20 || c == 0x7f) {
      const char escaped[] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
      out.append(escaped, sizeof escaped);
    } else if (c < 0x80 || valid) {
      out.push_back(static_cast<char>(c));
    } else if (size_t size = character_size(text.substr(i)); size > 0) {
      out.append(text.substr(i, size));
      i += size;
      continue;
    } else {
      out.append("\xef\xbf\xbd");
    }
    ++i;
  }
  out.push_back('"');
}

void append_json_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out.append("null");
    return;
  }
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end);
}

}  // namespace polis::obs
