#include "kernel/auth/policy.h"

#include <algorithm>
#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>

#include "kernel/auth/statement.h"

namespace polis::auth {
namespace {

namespace json = boost::json;
using detail::Condition;
using detail::Operator;
using detail::Pattern;
using detail::PrincipalPattern;
using detail::Statement;

// Deeper than any policy: document, statements, statement, condition, operator, values.
constexpr size_t kJsonDepthMax = 8;

// Counts the keys of a document as they stand in the text; a repeated one vanishes from the parsed objects.
struct KeyCounter {
  static constexpr size_t max_object_size = SIZE_MAX, max_array_size = SIZE_MAX, max_key_size = SIZE_MAX,
                          max_string_size = SIZE_MAX;
  size_t keys = 0;

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) { return true; }
  bool on_object_end(size_t count, json::error_code&) {
    keys += count;
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(size_t, json::error_code&) { return true; }
  bool on_key_part(json::string_view, size_t, json::error_code&) { return true; }
  bool on_key(json::string_view, size_t, json::error_code&) { return true; }
  bool on_string_part(json::string_view, size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

size_t count_keys(const json::value& value) {
  size_t keys = 0;
  if (const json::object* object = value.if_object()) {
    keys = object->size();
    for (const auto& member : *object) keys += count_keys(member.value());
  } else if (const json::array* array = value.if_array()) {
    for (const json::value& element : *array) keys += count_keys(element);
  }
  return keys;
}

Result<json::value> parse_document(std::string_view text) {
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::error_code error;
  json::value document = json::parse({text.data(), text.size()}, error, {}, options);
  if (error) return fail(Code::kInvalid, "policies must be valid JSON: " + error.message());
  json::basic_parser<KeyCounter> counter(options);
  counter.write_some(false, text.data(), text.size(), error);
  if (error || counter.handler().keys != count_keys(document))
    return fail(Code::kInvalid, "the policy names an element twice in one object");
  return document;
}

std::string_view view(const json::string& text) {
  return {text.data(), text.size()};
}

// A string, or an array of strings; booleans and numbers stand for their text where conditions allow them.
Result<std::vector<std::string>> texts(const json::value& value, const std::string& where, bool scalars) {
  std::vector<std::string> out;
  auto add = [&](const json::value& element) -> bool {
    if (const json::string* text = element.if_string())
      out.emplace_back(view(*text));
    else if (scalars && (element.is_bool() || element.is_number()))
      out.push_back(json::serialize(element));
    else
      return false;
    return true;
  };
  bool fits = true;
  if (const json::array* array = value.if_array()) {
    for (const json::value& element : *array) fits = fits && add(element);
  } else {
    fits = add(value);
  }
  if (!fits) return fail(Code::kInvalid, where + " must be a string or an array of strings");
  return out;
}

bool is_action(std::string_view action) {
  if (action == "*") return true;
  size_t colon = action.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == action.size()) return false;
  return std::ranges::all_of(action,
                             [](char c) {
                               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                      c == '*' || c == '?' || c == '-' || c == ':' || c == '_';
                             }) &&
         std::ranges::count(action, ':') == 1;
}

bool is_resource(std::string_view resource) {
  return resource == "*" || (resource.starts_with("arn:") && std::ranges::count(resource, ':') >= 5);
}

// The account of arn:PARTITION:iam::ACCOUNT:root; empty if it is another ARN.
std::string_view account_of_root(std::string_view arn) {
  if (!arn.starts_with("arn:") || !arn.ends_with(":root")) return {};
  size_t service = arn.find(":iam::");
  if (service == std::string_view::npos) return {};
  std::string_view account = arn.substr(service + 6);
  account.remove_suffix(5);
  return account.find(':') == std::string_view::npos ? account : std::string_view{};
}

Result<PrincipalPattern> parse_principal(std::string_view kind, std::string_view text, const std::string& where) {
  using Kind = PrincipalPattern::Kind;
  if (text.empty()) return fail(Code::kInvalid, where + " names an empty principal");
  if (kind == "CanonicalUser") return PrincipalPattern{Kind::kCanonicalUser, std::string(text)};
  if (kind != "AWS" && kind != "Service" && kind != "Federated")
    return fail(Code::kInvalid, where + " has the unknown kind of principal '" + std::string(kind) + "'");
  if (kind == "AWS" && text == "*") return PrincipalPattern{Kind::kEveryone, {}};
  if (text.find_first_of("*?") != std::string_view::npos)
    return fail(Code::kInvalid, where + ": a principal is '*' or a whole name, '" + std::string(text) + "' is neither");
  if (kind != "AWS") return PrincipalPattern{Kind::kArn, std::string(text)};
  if (std::string_view account = account_of_root(text); !account.empty())
    return PrincipalPattern{Kind::kAccount, std::string(account)};
  if (text.starts_with("arn:")) {
    if (std::ranges::count(text, ':') < 5)
      return fail(Code::kInvalid, where + ": '" + std::string(text) + "' is not an ARN");
    return PrincipalPattern{Kind::kArn, std::string(text)};
  }
  return PrincipalPattern{Kind::kAccount, std::string(text)};
}

Result<std::vector<PrincipalPattern>> parse_principals(const json::value& value, const std::string& where) {
  std::vector<PrincipalPattern> out;
  if (const json::string* text = value.if_string()) {
    if (view(*text) != "*") return fail(Code::kInvalid, where + " must be \"*\" or an object such as {\"AWS\": [...]}");
    out.push_back({PrincipalPattern::Kind::kEveryone, {}});
    return out;
  }
  const json::object* object = value.if_object();
  if (object == nullptr || object->empty())
    return fail(Code::kInvalid, where + " must be \"*\" or an object such as {\"AWS\": [...]}");
  for (const auto& member : *object) {
    std::string_view kind(member.key().data(), member.key().size());
    for (const std::string& text : TRY(texts(member.value(), where, false)))
      out.push_back(TRY(parse_principal(kind, text, where)));
  }
  if (out.empty()) return fail(Code::kInvalid, where + " names nobody");
  return out;
}

Result<std::vector<Condition>> parse_conditions(const json::value& value, const std::string& where, bool variables) {
  const json::object* operators = value.if_object();
  if (operators == nullptr) return fail(Code::kInvalid, where + " must be an object of operators");
  std::vector<Condition> out;
  for (const auto& entry : *operators) {
    auto op = Operator::parse({entry.key().data(), entry.key().size()});
    if (!op) return fail(Code::kInvalid, where + ": " + op.error().message());
    const json::object* keys = entry.value().if_object();
    if (keys == nullptr) return fail(Code::kInvalid, where + ": an operator must be an object of condition keys");
    for (const auto& key : *keys) {
      auto values = TRY(texts(key.value(), where, true));
      auto condition = Condition::parse(*op, {key.key().data(), key.key().size()}, values, variables);
      if (!condition) return fail(Code::kInvalid, where + ": " + condition.error().message());
      out.push_back(std::move(*condition));
    }
  }
  return out;
}

// The one of `name` and Not`name` that is there; fails if both or none are.
Result<const json::value*> one_of(const json::object& statement, std::string_view name, bool& negated,
                                  const std::string& where) {
  const json::value* plain = statement.if_contains({name.data(), name.size()});
  const json::value* inverse = statement.if_contains("Not" + std::string(name));
  negated = inverse != nullptr;
  if (plain != nullptr && inverse != nullptr)
    return fail(Code::kInvalid, where + " has both " + std::string(name) + " and Not" + std::string(name));
  if (plain == nullptr && inverse == nullptr)
    return fail(Code::kInvalid, where + " lacks the required field " + std::string(name));
  return plain != nullptr ? plain : inverse;
}

Result<Statement> parse_statement(const json::value& value, size_t number, PolicyKind kind, bool variables) {
  Statement statement;
  statement.name = "#" + std::to_string(number);
  std::string where = "statement " + statement.name;
  const json::object* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, where + " must be an object");

  constexpr std::string_view kFields[] = {"Sid",       "Effect",   "Principal",   "NotPrincipal", "Action",
                                          "NotAction", "Resource", "NotResource", "Condition"};
  for (const auto& member : *object) {
    std::string_view key(member.key().data(), member.key().size());
    if (std::ranges::find(kFields, key) == std::end(kFields))
      return fail(Code::kInvalid, where + " has the unknown field " + std::string(key));
  }
  if (const json::value* sid = object->if_contains("Sid")) {
    const json::string* text = sid->if_string();
    if (text == nullptr || text->size() > 256)
      return fail(Code::kInvalid, where + ": Sid must be a string of at most 256 bytes");
    if (!text->empty()) statement.name = view(*text);
  }
  const json::value* effect = object->if_contains("Effect");
  if (effect == nullptr) return fail(Code::kInvalid, where + " lacks the required field Effect");
  const json::string* effect_text = effect->if_string();
  if (effect_text == nullptr || (view(*effect_text) != "Allow" && view(*effect_text) != "Deny"))
    return fail(Code::kInvalid, where + ": Effect must be Allow or Deny");
  statement.effect = view(*effect_text) == "Allow" ? Effect::kAllow : Effect::kDeny;

  if (kind == PolicyKind::kResource) {
    const json::value* principal = TRY(one_of(*object, "Principal", statement.excludes_principals, where));
    statement.principals = TRY(parse_principals(*principal, where + ": Principal"));
    if (statement.excludes_principals && statement.effect == Effect::kAllow)
      return fail(Code::kInvalid, where + ": NotPrincipal with Allow would admit everyone else; use Principal");
  } else if (object->contains("Principal") || object->contains("NotPrincipal")) {
    return fail(Code::kInvalid, where + ": a policy of a user cannot have a Principal");
  }

  const json::value* actions = TRY(one_of(*object, "Action", statement.excludes_actions, where));
  for (const std::string& action : TRY(texts(*actions, where + ": Action", false))) {
    if (!is_action(action)) return fail(Code::kInvalid, where + " has the invalid action '" + action + "'");
    statement.actions.push_back(TRY(Pattern::parse(action, {.variables = false, .ignore_case = true})));
  }
  if (statement.actions.empty()) return fail(Code::kInvalid, where + " names no action");

  const json::value* resources = TRY(one_of(*object, "Resource", statement.excludes_resources, where));
  for (const std::string& resource : TRY(texts(*resources, where + ": Resource", false))) {
    if (!is_resource(resource)) return fail(Code::kInvalid, where + " has the invalid resource '" + resource + "'");
    statement.resources.push_back(TRY(Pattern::parse(resource, {.variables = variables})));
  }
  if (statement.resources.empty()) return fail(Code::kInvalid, where + " names no resource");

  if (const json::value* condition = object->if_contains("Condition"))
    statement.conditions = TRY(parse_conditions(*condition, where + ": Condition", variables));
  return statement;
}

}  // namespace

Policy::Policy() = default;
Policy::~Policy() = default;

Result<std::shared_ptr<const Policy>> Policy::parse(std::string_view text, PolicyKind kind) {
  if (text.size() > kPolicySizeBytesMax)
    return fail(Code::kTooLarge, "the policy has " + std::to_string(text.size()) + " bytes; the limit is " +
                                     std::to_string(kPolicySizeBytesMax));
  json::value document = TRY(parse_document(text));
  const json::object* root = document.if_object();
  if (root == nullptr) return fail(Code::kInvalid, "policies must be valid JSON and the first byte must be '{'");

  std::shared_ptr<Policy> policy(new Policy);
  policy->text_ = text;
  policy->kind_ = kind;
  bool variables = false;
  for (const auto& member : *root) {
    std::string_view key(member.key().data(), member.key().size());
    const json::string* value = member.value().if_string();
    if (key == "Version") {
      if (value == nullptr || (view(*value) != "2012-10-17" && view(*value) != "2008-10-17"))
        return fail(Code::kInvalid, "the policy's Version must be 2012-10-17 or 2008-10-17");
      variables = view(*value) == "2012-10-17";
    } else if (key == "Id") {
      if (value == nullptr || value->size() > 256)
        return fail(Code::kInvalid, "the policy's Id must be a string of at most 256 bytes");
      policy->id_ = view(*value);
    } else if (key != "Statement") {
      return fail(Code::kInvalid, "the policy has the unknown field " + std::string(key));
    }
  }
  const json::value* statements = root->if_contains("Statement");
  if (statements == nullptr) return fail(Code::kInvalid, "the policy lacks the required field Statement");
  if (const json::array* array = statements->if_array()) {
    if (array->empty()) return fail(Code::kInvalid, "the policy has no statement");
    if (array->size() > kPolicyStatementsMax)
      return fail(Code::kInvalid, "the policy has more than " + std::to_string(kPolicyStatementsMax) + " statements");
    for (const json::value& statement : *array)
      policy->statements_.push_back(TRY(parse_statement(statement, policy->statements_.size() + 1, kind, variables)));
  } else {
    policy->statements_.push_back(TRY(parse_statement(*statements, 1, kind, variables)));
  }
  return std::shared_ptr<const Policy>(std::move(policy));
}

bool Policy::has_conditions() const {
  return std::ranges::any_of(statements_, [](const Statement& statement) {
    return !statement.conditions.empty() || std::ranges::any_of(statement.resources, &Pattern::has_variables);
  });
}

bool Policy::resources_within(std::string_view arn) const {
  return std::ranges::all_of(statements_, [&](const Statement& statement) {
    return std::ranges::all_of(statement.resources, [&](const Pattern& resource) {
      std::string_view text = resource.text();
      if (!text.starts_with(arn)) return false;
      return text.size() == arn.size() || text[arn.size()] == '/' || text.substr(arn.size()) == "*";
    });
  });
}

bool Policy::actions_within(std::string_view service) const {
  return std::ranges::all_of(statements_, [&](const Statement& statement) {
    return std::ranges::all_of(statement.actions, [&](const Pattern& action) {
      std::string text = detail::lower_case(action.text());
      return text == "*" || (text.starts_with(service) && text.size() > service.size() && text[service.size()] == ':');
    });
  });
}

}  // namespace polis::auth
