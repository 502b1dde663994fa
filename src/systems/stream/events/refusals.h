// What the broker refuses, as an Error for code that knows no protocol.
#pragma once

#include <string_view>

#include "systems/stream/types.h"

namespace polis::stream {

// "orders-3: MESSAGE_TOO_LARGE: a batch of ..."
Error error_of(ErrorCode code, std::string_view what, std::string_view message = {});
inline Error error_of(const Refusal& refusal, std::string_view what) {
  return error_of(refusal.code, what, refusal.message);
}
// Success for kNone.
Result<void> outcome_of(int16_t code, std::string_view what);

}  // namespace polis::stream
