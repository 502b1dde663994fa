// Bytes as text: hex, base64 (RFC 4648), percent encoding (RFC 3986), and the check for well-formed UTF-8. Decoders are
// strict: one value has one text. Each allocates in proportion to its input, whose length the caller has bounded.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace polis::base {

// Lower case.
std::string hex_encode(BytesView bytes);
// Either case; an odd length or another character is kInvalid.
Result<Bytes> hex_decode(std::string_view text);
// 0..15, or -1 for a character that is no hex digit.
int hex_digit_value(char digit);

enum class Base64 {
  kStandard,  // "+/", padded with '=' (RFC 4648 §4)
  kUrl,       // "-_", without padding (RFC 4648 §5, as JWT uses it)
};
std::string base64_encode(BytesView bytes, Base64 form = Base64::kStandard);
// Rejects (kInvalid) characters outside the alphabet, white space, wrong padding and bits set beyond the last byte.
Result<Bytes> base64_decode(std::string_view text, Base64 form = Base64::kStandard);

enum class Slash { kEncode, kKeep };
// Every byte but the unreserved of RFC 3986 §2.3 (A-Z a-z 0-9 - . _ ~) becomes %XX in upper case: AWS's UriEncode, too.
std::string url_encode(std::string_view text, Slash slash = Slash::kEncode);

enum class Plus { kLiteral, kSpace };
// kSpace is for application/x-www-form-urlencoded and query strings. A '%' without two hex digits is kInvalid. The
// result may hold any byte, NUL too: who needs UTF-8 checks it.
Result<std::string> url_decode(std::string_view text, Plus plus = Plus::kLiteral);

// Well-formed by Unicode 15 table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
bool utf8_valid(std::string_view text);

}  // namespace polis::base
