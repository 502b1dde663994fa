// Pieces of JSON (RFC 8259) for documents that are written as a stream.
#pragma once

#include <string>
#include <string_view>

#include "systems/ledger/types.h"

namespace polis::ledger::formats {

// Between quotes; what is not UTF-8 becomes U+FFFD.
void append_json_string(std::string_view text, std::string& out);
// A number as a string, for numbers that may exceed 2^53.
void append_json_number(u128 value, std::string& out);

}  // namespace polis::ledger::formats
