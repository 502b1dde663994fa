// What the console's API is asked, as systems/body.h reads it, with numbers as large as the ledger's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/http/request.h"
#include "systems/body.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// "arn:polis:ledger:::ledger/840": what policies name.
std::string ledger_resource(uint32_t ledger);

// Decimal digits.
Result<uint64_t> parse_number(std::string_view what, std::string_view text, uint64_t least, uint64_t most);
Result<u128> parse_id(std::string_view what, std::string_view text);  // 1 .. 2^128-2

// The query parameter, or `otherwise` if it is absent or empty; all 64 bits, unlike that of all systems.
Result<uint64_t> number_parameter(const http::Request& request, std::string_view name, uint64_t otherwise,
                                  uint64_t least, uint64_t most);
using systems::text_parameter;

using systems::Body;
// A field of the body up to 2^128; where it is absent `otherwise`, or without that kInvalid.
Result<u128> number(Body& body, std::string_view name, u128 most, std::optional<u128> otherwise = {});

}  // namespace polis::ledger
