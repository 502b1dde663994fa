#include "systems/body.h"

#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>
#include <set>

#include "systems/api.h"

namespace polis::systems {

namespace json = boost::json;

namespace {

std::optional<int64_t> parse_number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> not_a_number(std::string_view name, int64_t least, int64_t most) {
  return fail(Code::kInvalid, fmt::format("\"{}\" must be a whole number from {} to {}", name, least, most));
}

}  // namespace

Result<int64_t> number_parameter(const http::Request& request, std::string_view name, int64_t otherwise, int64_t least,
                                 int64_t most) {
  const std::optional<std::string> text = TRY(request.query_value(name));
  if (!text || text->empty()) return otherwise;
  const std::optional<int64_t> value = parse_number(*text);
  if (!value || *value < least || *value > most) return not_a_number(name, least, most);
  return *value;
}

Result<std::string> text_parameter(const http::Request& request, std::string_view name, size_t bytes_max) {
  std::string text = TRY(request.query_value(name)).value_or("");
  if (text.size() > bytes_max)
    return fail(Code::kTooLarge, fmt::format("\"{}\" is longer than {} bytes", name, bytes_max));
  return text;
}

struct Body::State {
  json::object fields;
  std::set<std::string, std::less<>> asked;

  const json::value* find(std::string_view name) {
    asked.emplace(name);
    const json::value* value = fields.if_contains(name);
    return value && !value->is_null() ? value : nullptr;
  }
};

Body::Body(std::unique_ptr<State> state) : state_(std::move(state)) {}
Body::Body(Body&&) noexcept = default;
Body::~Body() = default;

Task<Result<Body>> Body::read(http::Request& request) {
  const Bytes text = CO_TRY(co_await request.read_all(kApiBodySizeBytesMax));
  co_return parse(as_text(text));
}

Result<Body> Body::parse(std::string_view text) {
  auto state = std::make_unique<State>();
  if (text.empty()) return Body(std::move(state));
  json::parse_options options;
  options.max_depth = 4;
  boost::system::error_code error;
  json::value body = json::parse(text, error, {}, options);
  if (error || !body.is_object()) return fail(Code::kInvalid, "the body must be a JSON object");
  state->fields = std::move(body.get_object());
  return Body(std::move(state));
}

bool Body::has(std::string_view name) const {
  const json::value* value = state_->fields.if_contains(name);
  return value && !value->is_null();
}

Result<std::string> Body::text(std::string_view name, std::optional<std::string> otherwise) {
  const json::value* value = state_->find(name);
  if (!value && otherwise) return *otherwise;
  if (!value) return fail(Code::kInvalid, fmt::format("\"{}\" is missing", name));
  if (!value->is_string()) return fail(Code::kInvalid, fmt::format("\"{}\" must be a text", name));
  return std::string(value->get_string());
}

Result<int64_t> Body::number(std::string_view name, int64_t least, int64_t most, std::optional<int64_t> otherwise) {
  const json::value* value = state_->find(name);
  if (!value && otherwise) return *otherwise;
  if (!value) return fail(Code::kInvalid, fmt::format("\"{}\" is missing", name));
  std::optional<int64_t> number;
  if (value->is_int64()) number = value->get_int64();
  if (value->is_string()) number = parse_number(value->get_string());
  if (!number || *number < least || *number > most) return not_a_number(name, least, most);
  return *number;
}

Result<std::optional<std::string>> Body::digits(std::string_view name) {
  const json::value* value = state_->find(name);
  if (!value) return std::nullopt;
  if (value->is_uint64()) return std::to_string(value->get_uint64());
  if (value->is_int64() && value->get_int64() >= 0) return std::to_string(value->get_int64());
  if (value->is_string()) return std::string(value->get_string());
  // A double has lost digits above 2^53 before it came here.
  return fail(Code::kInvalid, fmt::format("\"{}\" must be a whole number from 0 on", name));
}

Result<std::vector<int64_t>> Body::numbers(std::string_view name, size_t count_max, int64_t most) {
  std::vector<int64_t> found;
  const json::value* value = state_->find(name);
  if (!value) return found;
  const auto wrong = [&] {
    return fail(Code::kInvalid,
                fmt::format("\"{}\" must be a list of at most {} whole numbers up to {}", name, count_max, most));
  };
  if (!value->is_array() || value->get_array().size() > count_max) return wrong();
  for (const json::value& one : value->get_array()) {
    if (!one.is_int64() || one.get_int64() < 0 || one.get_int64() > most) return wrong();
    found.push_back(one.get_int64());
  }
  return found;
}

Result<bool> Body::boolean(std::string_view name, bool otherwise) {
  const json::value* value = state_->find(name);
  if (!value) return otherwise;
  if (!value->is_bool()) return fail(Code::kInvalid, fmt::format("\"{}\" must be true or false", name));
  return value->get_bool();
}

Result<std::map<std::string, std::optional<std::string>>> Body::texts(std::string_view name) {
  std::map<std::string, std::optional<std::string>> found;
  const json::value* value = state_->find(name);
  if (!value) return found;
  if (!value->is_object()) return fail(Code::kInvalid, fmt::format("\"{}\" must be an object of texts", name));
  for (const auto& [key, one] : value->get_object()) {
    if (one.is_object() || one.is_array())
      return fail(Code::kInvalid, fmt::format("\"{}\" of \"{}\" must be a text", std::string_view(key), name));
    if (one.is_null())
      found.emplace(key, std::nullopt);
    else
      found.emplace(key, one.is_string() ? std::string(one.get_string()) : json::serialize(one));
  }
  return found;
}

Result<std::vector<std::string>> Body::list(std::string_view name, size_t most) {
  std::vector<std::string> found;
  const json::value* value = state_->find(name);
  if (!value) return found;
  const auto wrong = [&] {
    return fail(Code::kInvalid, fmt::format("\"{}\" must be a list of at most {} texts", name, most));
  };
  if (!value->is_array() || value->get_array().size() > most) return wrong();
  for (const json::value& one : value->get_array()) {
    if (!one.is_string()) return wrong();
    found.emplace_back(one.get_string());
  }
  return found;
}

Result<void> Body::finish() const {
  for (const auto& [name, value] : state_->fields)
    if (!state_->asked.contains(std::string_view(name)))
      return fail(Code::kInvalid, fmt::format("there is no field \"{}\" here", std::string_view(name)));
  return {};
}

}  // namespace polis::systems
