#include "systems/object/post_policy.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "kernel/base/ascii.h"
#include "kernel/base/time_format.h"

namespace polis::object {
namespace {

namespace json = boost::json;

std::unexpected<Failure> malformed_policy(std::string why) {
  return refuse(ErrorCode::kInvalidPolicyDocument, "Invalid Policy: " + std::move(why));
}

std::optional<uint64_t> number(const json::value& value) {
  if (value.is_int64() && value.get_int64() >= 0) return static_cast<uint64_t>(value.get_int64());
  if (value.is_uint64()) return value.get_uint64();
  if (!value.is_string()) return std::nullopt;
  std::string_view text = value.get_string();
  uint64_t out = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// Fields that need no condition: the policy itself, what signs it, and what browsers add.
bool free_field(std::string_view name) {
  static constexpr std::string_view kFree[] = {"policy",          "file",  "signature", "awsaccesskeyid",
                                               "x-amz-signature", "bucket"};
  return std::find(std::begin(kFree), std::end(kFree), name) != std::end(kFree) || name.starts_with("x-ignore-") ||
         name.starts_with("x-amz-checksum-");
}

}  // namespace

Answer<PostPolicy> PostPolicy::parse(std::string_view text) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 8;
  json::value root = json::parse(text, error, {}, options);
  if (error || !root.is_object()) return malformed_policy("not a JSON object");
  PostPolicy policy;
  const json::object& object = root.get_object();
  const json::value* expiration = object.if_contains("expiration");
  if (!expiration || !expiration->is_string()) return malformed_policy("expiration is missing");
  // Stricter than RFC 3339: S3 knows only the form with T and Z.
  std::string_view date = expiration->get_string();
  auto time = base::parse_rfc3339(date);
  if (!time || date[10] != 'T' || date.back() != 'Z') return malformed_policy("expiration is not an ISO 8601 date");
  policy.expires_at = *time;
  const json::value* conditions = object.if_contains("conditions");
  if (!conditions || !conditions->is_array()) return malformed_policy("conditions are missing");
  if (conditions->get_array().empty()) return malformed_policy("there are no conditions");
  for (const json::value& condition : conditions->get_array()) {
    if (const json::object* pairs = condition.if_object()) {
      if (pairs->empty()) return malformed_policy("a condition is empty");
      for (const auto& pair : *pairs) {
        if (!pair.value().is_string()) return malformed_policy("the value of a condition is no text");
        policy.conditions.push_back({false, base::lower(pair.key()), std::string(pair.value().get_string())});
      }
      continue;
    }
    const json::array* list = condition.if_array();
    if (!list || list->size() != 3 || !list->front().is_string())
      return malformed_policy("a condition needs an operator and two arguments");
    std::string operation = base::lower(std::string_view(list->front().get_string()));
    const json::value& first = (*list)[1];
    const json::value& second = (*list)[2];
    if (operation == "content-length-range") {
      auto low = number(first), high = number(second);
      if (!low || !high || *low > *high) return malformed_policy("content-length-range needs two sizes");
      policy.size_bytes_min = std::max(policy.size_bytes_min, *low);
      policy.size_bytes_max = std::min(policy.size_bytes_max, *high);
      continue;
    }
    if (operation != "eq" && operation != "starts-with") return malformed_policy("unknown operator " + operation);
    if (!first.is_string() || !second.is_string() || !std::string_view(first.get_string()).starts_with('$'))
      return malformed_policy("a condition compares a $field with a text");
    policy.conditions.push_back({operation == "starts-with",
                                 base::lower(std::string_view(first.get_string()).substr(1)),
                                 std::string(second.get_string())});
  }
  return policy;
}

Answer<void> PostPolicy::check(const FormFields& fields, WallTime now) const {
  auto denied = [](std::string why) {
    return refuse(ErrorCode::kAccessDenied, "Invalid according to Policy: " + std::move(why));
  };
  if (now >= expires_at) return denied("Policy expired.");
  for (const Condition& condition : conditions) {
    auto found = fields.find(condition.field);
    std::string_view value = found == fields.end() ? std::string_view() : std::string_view(found->second);
    bool holds =
        condition.starts_with ? value.starts_with(condition.value) : found != fields.end() && value == condition.value;
    if (!holds) return denied("Policy Condition failed: " + condition.field);
  }
  for (const auto& [name, value] : fields) {
    bool named = std::any_of(conditions.begin(), conditions.end(),
                             [&, &field = name](const Condition& one) { return one.field == field; });
    if (!named && !free_field(name)) return denied("Extra input fields: " + name);
  }
  return {};
}

}  // namespace polis::object
