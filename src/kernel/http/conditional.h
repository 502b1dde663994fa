// Conditional requests (RFC 9110 §13), as pure functions: what If-Match, If-None-Match, If-Modified-Since,
// If-Unmodified-Since and If-Range ask of the current state of a resource.
#pragma once

#include <optional>
#include <string_view>

#include "kernel/base/clock.h"
#include "kernel/http/message.h"

namespace polis::http {

// The state that conditions are compared with. A resource that does not exist has neither.
struct Validators {
  std::string_view etag;  // quoted, with W/ if weak; empty: none
  std::optional<WallTime> last_modified;
  bool exists = true;
};

enum class Precondition : uint8_t {
  kProceed,
  kNotModified,  // 304 (GET and HEAD only)
  kFailed,       // 412
};

// In the order of RFC 9110 §13.2.2. Malformed dates are ignored. An entity tag in If-Match may come without its quotes,
// as several S3 clients send it.
Precondition evaluate_preconditions(Method method, const Fields& fields, const Validators& current);
// May a Range be honoured? True without If-Range; else only if it names the current state exactly.
bool range_allowed(const Fields& fields, const Validators& current);

// Equal and neither weak (§8.8.3.2).
bool strongly_equal(std::string_view a, std::string_view b);
// Equal but for W/.
bool weakly_equal(std::string_view a, std::string_view b);

}  // namespace polis::http
