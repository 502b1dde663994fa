#include "systems/command_call.h"

#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"

namespace polis::systems {

namespace json = boost::json;

std::string api_path(std::string_view base, std::initializer_list<std::string_view> parts) {
  std::string path(base);
  for (std::string_view part : parts) (path += '/') += base::url_encode(part);
  return path;
}

void add_query(std::string& path, std::string_view name, std::string_view value) {
  path += path.find('?') == std::string::npos ? '?' : '&';
  ((path += name) += '=') += base::url_encode(value);
}

std::string flag(const Invocation& call, const std::string& name) {
  auto at = call.flags.find(name);
  return at == call.flags.end() ? std::string() : at->second;
}

Result<int64_t> number_flag(const Invocation& call, const std::string& name, int64_t least, int64_t most,
                            int64_t otherwise) {
  const std::string text = flag(call, name);
  if (text.empty()) return otherwise;
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return fail(Code::kInvalid, fmt::format("--{} is a whole number from {} to {}, not '{}'", name, least, most, text));
  return value;
}

Result<std::map<std::string, std::string>> pairs(std::string_view lines, std::string_view what) {
  std::map<std::string, std::string> found;
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return fail(Code::kInvalid, fmt::format("{} is NAME=VALUE, not '{}'", what, line));
    found[std::string(line.substr(0, equals))] = std::string(line.substr(equals + 1));
  }
  return found;
}

Result<json::object> object_of(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return fail(Code::kCorrupt, "polis answered something that is no JSON object");
  return std::move(value.get_object());
}

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (!value || value->is_null()) return {};
  if (value->is_string()) return std::string(value->get_string());
  return json::serialize(*value);
}

}  // namespace polis::systems
