#include "systems/ledger/faces/console_request.h"

#include <charconv>

namespace polis::ledger {

std::string ledger_resource(uint32_t ledger) {
  return "arn:polis:ledger:::ledger/" + std::to_string(ledger);
}

Result<uint64_t> parse_number(std::string_view what, std::string_view text, uint64_t least, uint64_t most) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return fail(Code::kInvalid, "\"" + std::string(what) + "\" must be a number from " + std::to_string(least) +
                                    " to " + std::to_string(most));
  return value;
}

Result<u128> parse_id(std::string_view what, std::string_view text) {
  auto id = parse_decimal(text);
  if (!id || *id == 0 || *id == kU128Max)
    return fail(Code::kInvalid, "\"" + std::string(what) + "\" must be a number from 1 to 2^128-2, in decimal digits");
  return *id;
}

Result<uint64_t> number_parameter(const http::Request& request, std::string_view name, uint64_t otherwise,
                                  uint64_t least, uint64_t most) {
  std::optional<std::string> text = TRY(request.query_value(name));
  if (!text || text->empty()) return otherwise;
  return parse_number(name, *text, least, most);
}

Result<u128> number(Body& body, std::string_view name, u128 most, std::optional<u128> otherwise) {
  const std::optional<std::string> digits = TRY(body.digits(name));
  if (!digits && otherwise) return *otherwise;
  if (!digits) return fail(Code::kInvalid, "\"" + std::string(name) + "\" is missing");
  const auto number = parse_decimal(*digits);
  if (!number || *number > most)
    return fail(Code::kInvalid, "\"" + std::string(name) + "\" must be a whole number from 0 to " +
                                    (most == kU128Max ? "2^128-1" : to_decimal(most)));
  return *number;
}

}  // namespace polis::ledger
