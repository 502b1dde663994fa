#include "kernel/base/xml_text.h"

#include <array>

namespace polis::base {
namespace {

// Bytes that may need another form. Nearly none does, so one look each must be enough.
constexpr std::array<bool, 256> kMayNeedForm = [] {
  std::array<bool, 256> table{};
  for (size_t control = 0; control < 0x20; ++control) table[control] = true;
  for (unsigned char c : {'&', '<', '>', '"', '\xEF'}) table[c] = true;
  return table;
}();

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// U+FFFE or U+FFFF.
bool is_no_character(std::string_view text) {
  return text.size() >= 3 && text.starts_with("\xEF\xBF") && static_cast<unsigned char>(text[2]) >= 0xBE;
}

}  // namespace

void append_xml_text(std::string& out, std::string_view text) {
  size_t plain = 0;  // from here on nothing needed another form
  const auto replace = [&](size_t at, size_t size, std::string_view by) {
    out.append(text.substr(plain, at - plain)).append(by);
    plain = at + size;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!kMayNeedForm[static_cast<unsigned char>(c)]) continue;
    switch (c) {
      case '&':
        replace(i, 1, "&amp;");
        break;
      case '<':
        replace(i, 1, "&lt;");
        break;
      case '>':
        replace(i, 1, "&gt;");
        break;
      case '"':
        replace(i, 1, "&quot;");
        break;
      // Parsers turn these into blanks or line feeds unless they are references.
      case '\r':
        replace(i, 1, "&#13;");
        break;
      case '\n':
        replace(i, 1, "&#10;");
        break;
      case '\t':
        replace(i, 1, "&#9;");
        break;
      case '\xEF':
        if (!is_no_character(text.substr(i))) break;
        replace(i, 3, kReplacement);
        i += 2;
        break;
      default:
        replace(i, 1, kReplacement);
    }
  }
  out.append(text.substr(plain));
}

}  // namespace polis::base
