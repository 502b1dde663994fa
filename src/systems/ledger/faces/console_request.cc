#include "systems/ledger/faces/console_request.h"

#include <boost/json.hpp>
#include <charconv>
#include <set>

#include "systems/api.h"

namespace polis::ledger {

namespace json = boost::json;

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

Result<std::string> text_parameter(const http::Request& request, std::string_view name, size_t bytes_max) {
  std::string text = TRY(request.query_value(name)).value_or("");
  if (text.size() > bytes_max)
    return fail(Code::kTooLarge,
                "\"" + std::string(name) + "\" is longer than " + std::to_string(bytes_max) + " bytes");
  return text;
}

// --- Form

struct Form::State {
  json::object fields;
  std::set<std::string, std::less<>> asked;

  const json::value* find(std::string_view name) {
    asked.emplace(name);
    const json::value* value = fields.if_contains(name);
    return value && !value->is_null() ? value : nullptr;
  }
};

Form::Form(std::unique_ptr<State> state) : state_(std::move(state)) {}
Form::Form(Form&&) noexcept = default;
Form::~Form() = default;

Task<Result<Form>> Form::read(http::Request& request) {
  Bytes text = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
  co_return parse(as_text(text));
}

Result<Form> Form::parse(std::string_view text) {
  auto state = std::make_unique<State>();
  if (text.empty()) return Form(std::move(state));
  json::parse_options options;
  options.max_depth = 4;
  boost::system::error_code error;
  json::value body = json::parse(text, error, {}, options);
  if (error || !body.is_object()) return fail(Code::kInvalid, "the body must be a JSON object");
  state->fields = std::move(body.get_object());
  return Form(std::move(state));
}

bool Form::has(std::string_view name) const {
  const json::value* value = state_->fields.if_contains(name);
  return value && !value->is_null();
}

Result<u128> Form::number(std::string_view name, u128 most, std::optional<u128> otherwise) {
  const json::value* value = state_->find(name);
  if (!value && otherwise) return *otherwise;
  if (!value) return fail(Code::kInvalid, "\"" + std::string(name) + "\" is missing");
  std::optional<u128> number;
  if (value->is_uint64()) number = value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) number = static_cast<uint64_t>(value->get_int64());
  // A double has lost digits above 2^53 before it came here, so whole ones below are all that is taken.
  if (value->is_string())
    if (auto parsed = parse_decimal(value->get_string())) number = *parsed;
  if (!number || *number > most)
    return fail(Code::kInvalid, "\"" + std::string(name) + "\" must be a whole number from 0 to " +
                                    (most == kU128Max ? "2^128-1" : to_decimal(most)));
  return *number;
}

Result<bool> Form::boolean(std::string_view name, bool otherwise) {
  const json::value* value = state_->find(name);
  if (!value) return otherwise;
  if (!value->is_bool()) return fail(Code::kInvalid, "\"" + std::string(name) + "\" must be true or false");
  return value->get_bool();
}

Result<std::vector<uint64_t>> Form::numbers(std::string_view name, uint64_t most) {
  std::vector<uint64_t> numbers;
  const json::value* value = state_->find(name);
  if (!value) return numbers;
  const auto wrong = [&] {
    return fail(Code::kInvalid, "\"" + std::string(name) + "\" must be a list of at most 64 whole numbers up to " +
                                    std::to_string(most));
  };
  if (!value->is_array() || value->get_array().size() > 64) return wrong();
  for (const json::value& one : value->get_array()) {
    if (!one.is_int64() || one.get_int64() < 0 || static_cast<uint64_t>(one.get_int64()) > most) return wrong();
    numbers.push_back(static_cast<uint64_t>(one.get_int64()));
  }
  return numbers;
}

Result<void> Form::finish() const {
  for (const auto& [name, value] : state_->fields)
    if (!state_->asked.contains(std::string_view(name)))
      return fail(Code::kInvalid, "there is no field \"" + std::string(name) + "\" here");
  return {};
}

}  // namespace polis::ledger
