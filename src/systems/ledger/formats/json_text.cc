#include "systems/ledger/formats/json_text.h"

#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {

void append_json_string(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const char32_t c = take_character(text);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      append_character(out, c);
    }
  }
  out += '"';
}

void append_json_number(u128 value, std::string& out) {
  out += '"';
  append_number(out, value);
  out += '"';
}

}  // namespace polis::ledger::formats
