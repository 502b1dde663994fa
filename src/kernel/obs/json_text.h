// The two small pieces of JSON that obs writes: quoted texts and numbers. What systems exchange as JSON has a real
// library.
#pragma once

#include <string>
#include <string_view>

namespace polis::obs {

// Appends `text` in quotes, escaped by RFC 8259 §7. Bytes that are no UTF-8 become U+FFFD, so the result is always
// valid JSON.
void append_json_text(std::string& out, std::string_view text);
// Appends the shortest form that reads back as the same number; null for what JSON cannot hold (NaN, infinities).
void append_json_number(std::string& out, double number);

}  // namespace polis::obs
