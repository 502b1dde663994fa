// What the ledger's answers share beyond systems/json_writer.h: amounts and moments as texts. Pure.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/clock.h"
#include "systems/json_writer.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

using systems::JsonWriter;

// "12.34" for 1234 at scale 2; "0.05" for 5; "7" at scale 0.
std::string to_decimal_point(u128 amount, unsigned scale);
// The reverse: at most `scale` digits behind the point. kInvalid for signs, exponents, spaces, more digits, overflow.
Result<u128> parse_decimal_point(std::string_view text, unsigned scale);
// Nanoseconds since 1970 as RFC 3339 with all nine digits: it reads back as the same number.
std::string to_time_text(uint64_t timestamp_ns);

}  // namespace polis::ledger
