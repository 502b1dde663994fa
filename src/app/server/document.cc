#include "app/server/document.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/api.h"

namespace polis::app {

namespace json = boost::json;

struct Document::State {
  json::object object;
};

namespace {

std::unexpected<Error> wrong_type(std::string_view member, std::string_view type) {
  return fail(Code::kInvalid, fmt::format("\"{}\" must be {}", member, type));
}

}  // namespace

Document::Document(std::unique_ptr<State> state) : state_(std::move(state)) {}
Document::Document(Document&&) noexcept = default;
Document::~Document() = default;

Result<Document> Document::parse(std::string_view text) {
  auto state = std::make_unique<State>();
  if (!text.empty()) {
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    if (error) return fail(Code::kInvalid, "the body is not JSON: " + error.message());
    if (!value.is_object()) return fail(Code::kInvalid, "the body must be a JSON object");
    state->object = std::move(value.get_object());
  }
  return Document(std::move(state));
}

Task<Result<Document>> Document::read(http::Request& request) {
  Bytes body = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
  co_return parse(as_text(body));
}

Result<std::string> Document::text(std::string_view member) const {
  const json::value* value = state_->object.if_contains(member);
  if (!value) return fail(Code::kInvalid, fmt::format("\"{}\" is missing", member));
  if (!value->is_string()) return wrong_type(member, "a string");
  return std::string(value->get_string());
}

Result<std::string> Document::text(std::string_view member, std::string_view value_default) const {
  if (!state_->object.contains(member)) return std::string(value_default);
  return text(member);
}

Result<bool> Document::boolean(std::string_view member, bool value_default) const {
  const json::value* value = state_->object.if_contains(member);
  if (!value) return value_default;
  if (!value->is_bool()) return wrong_type(member, "true or false");
  return value->get_bool();
}

Result<std::optional<int64_t>> Document::integer(std::string_view member) const {
  const json::value* value = state_->object.if_contains(member);
  if (!value || value->is_null()) return std::nullopt;
  boost::system::error_code error;
  auto number = value->to_number<int64_t>(error);
  if (error) return wrong_type(member, "a whole number");
  return number;
}

Result<std::vector<std::string>> Document::texts(std::string_view member) const {
  const json::value* value = state_->object.if_contains(member);
  std::vector<std::string> list;
  if (!value) return list;
  if (!value->is_array()) return wrong_type(member, "a list of strings");
  for (const json::value& entry : value->get_array()) {
    if (!entry.is_string()) return wrong_type(member, "a list of strings");
    list.emplace_back(entry.get_string());
  }
  return list;
}

}  // namespace polis::app
