#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/stream/faces/face.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

// Names as Kafka's own tools write them; places are the protocol's numbers.
constexpr std::string_view kResources[] = {"", "any", "topic", "group", "cluster", "transactional-id", "token", "user"};
constexpr std::string_view kPatterns[] = {"", "any", "match", "literal", "prefixed"};
constexpr std::string_view kOperations[] = {"",
                                            "Any",
                                            "All",
                                            "Read",
                                            "Write",
                                            "Create",
                                            "Delete",
                                            "Alter",
                                            "Describe",
                                            "ClusterAction",
                                            "DescribeConfigs",
                                            "AlterConfigs",
                                            "IdempotentWrite",
                                            "CreateTokens",
                                            "DescribeTokens"};
constexpr std::string_view kPermissions[] = {"", "any", "deny", "allow"};
constexpr size_t kPasswordBytesMin = 1, kPasswordBytesMax = 1024;
constexpr size_t kSaltBytes = 20;
constexpr int32_t kIterations = 8192;

template <class Enum, size_t N>
Result<Enum> parse(std::string_view field, const std::string& text, const std::string_view (&names)[N]) {
  for (size_t at = 1; at < N; ++at)
    if (std::ranges::equal(text, names[at], [](char a, char b) { return std::tolower(a) == std::tolower(b); }))
      return static_cast<Enum>(at);
  std::string known;
  for (size_t at = 1; at < N; ++at) known += (known.empty() ? "" : ", ") + std::string(names[at]);
  return fail(Code::kInvalid, fmt::format("\"{}\" must be one of {}", field, known));
}

template <class Enum, size_t N>
std::string_view name_of(Enum value, const std::string_view (&names)[N]) {
  const auto at = static_cast<size_t>(value);
  return at < N ? names[at] : std::string_view("unknown");
}

json::object rule_json(const AccessRule& rule) {
  return {{"resource", name_of(rule.resource, kResources)},
          {"pattern", name_of(rule.pattern, kPatterns)},
          {"name", rule.name},
          {"principal", rule.principal},
          {"host", rule.host},
          {"operation", name_of(rule.operation, kOperations)},
          {"permission", name_of(rule.permission, kPermissions)}};
}

std::string rule_text(const AccessRule& rule) {
  return fmt::format("{} {} from {}: {} on {} {} {}", name_of(rule.permission, kPermissions), rule.principal, rule.host,
                     name_of(rule.operation, kOperations), name_of(rule.pattern, kPatterns),
                     name_of(rule.resource, kResources), rule.name);
}

std::string_view mechanism_name(ScramMechanism mechanism) {
  return mechanism == ScramMechanism::kSha256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";
}

}  // namespace

// --- access rules

Face::Json Face::list_rules(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kDescribe));
  json::array rules;
  for (const AccessRule& rule : parts_.server.access.rules({})) rules.push_back(rule_json(rule));
  co_return json::serialize(json::object{{"rules", std::move(rules)}});
}

Face::Json Face::add_rule(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kAlter));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  AccessRule rule;
  rule.resource = CO_TRY(parse<ResourceType>("resource", CO_TRY(body.text("resource")), kResources));
  rule.pattern = CO_TRY(parse<PatternType>("pattern", CO_TRY(body.text("pattern", "literal")), kPatterns));
  rule.name = CO_TRY(body.text(
      "name", rule.resource == ResourceType::kCluster ? std::optional<std::string>(kClusterResource) : std::nullopt));
  rule.principal = CO_TRY(body.text("principal"));
  rule.host = CO_TRY(body.text("host", "*"));
  rule.operation = CO_TRY(parse<Operation>("operation", CO_TRY(body.text("operation")), kOperations));
  rule.permission = CO_TRY(parse<Permission>("permission", CO_TRY(body.text("permission", "allow")), kPermissions));
  CO_TRY(body.finish());
  CO_TRY(co_await parts_.server.access.add({rule}));
  co_await record(request, "stream:CreateAcl", rule_text(rule));
  co_return json::serialize(rule_json(rule));
}

Face::Draft Face::plan_rule_removal(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kAlter));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  AccessFilter filter;
  filter.resource = CO_TRY(parse<ResourceType>("resource", CO_TRY(body.text("resource", "any")), kResources));
  filter.pattern = CO_TRY(parse<PatternType>("pattern", CO_TRY(body.text("pattern", "any")), kPatterns));
  if (body.has("name")) filter.name = CO_TRY(body.text("name"));
  if (body.has("principal")) filter.principal = CO_TRY(body.text("principal"));
  if (body.has("host")) filter.host = CO_TRY(body.text("host"));
  filter.operation = CO_TRY(parse<Operation>("operation", CO_TRY(body.text("operation", "Any")), kOperations));
  filter.permission = CO_TRY(parse<Permission>("permission", CO_TRY(body.text("permission", "any")), kPermissions));
  CO_TRY(body.finish());
  std::vector<AccessRule> found = parts_.server.access.rules(filter);
  if (found.empty()) co_return fail(Code::kNotFound, "there is no such rule");
  systems::PlanDraft draft;
  for (const AccessRule& rule : found)
    if (draft.touches.size() < 999) draft.touches.push_back(rule_text(rule));
  draft.touched_count = found.size();
  draft.title = fmt::format("Remove {} access rule{}", found.size(), found.size() == 1 ? "" : "s");
  draft.apply = [this, found = std::move(found)]() -> Json {
    size_t removed = 0;
    for (const AccessRule& rule : found) {
      AccessFilter exactly{.resource = rule.resource,
                           .pattern = rule.pattern,
                           .name = rule.name,
                           .principal = rule.principal,
                           .host = rule.host,
                           .operation = rule.operation,
                           .permission = rule.permission};
      removed += CO_TRY(co_await parts_.server.access.remove(std::move(exactly))).size();
    }
    co_return json::serialize(json::object{{"removed", removed}});
  };
  co_return draft;
}

// --- users of SCRAM

Face::Json Face::list_users(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kDescribe));
  json::array users;
  for (const auto& [user, credential] : CO_TRY(co_await parts_.server.scram.all()))
    users.push_back(json::object{
        {"user", user}, {"mechanism", mechanism_name(credential.mechanism)}, {"iterations", credential.iterations}});
  co_return json::serialize(json::object{{"users", std::move(users)}});
}

Face::Json Face::put_user(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kAlter));
  const std::string user(request.param("user"));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const std::string password = CO_TRY(body.text("password"));
  const auto iterations = static_cast<int32_t>(CO_TRY(body.number("iterations", 4096, 16384, kIterations)));
  CO_TRY(body.finish());
  if (user.empty() || user.size() > kResourceNameBytesMax)
    co_return fail(Code::kInvalid, "a user's name has 1 to 1024 bytes");
  if (password.size() < kPasswordBytesMin || password.size() > kPasswordBytesMax)
    co_return fail(Code::kInvalid, "\"password\" has 1 to 1024 bytes");
  for (ScramMechanism mechanism : {ScramMechanism::kSha256, ScramMechanism::kSha512}) {
    Bytes salt(kSaltBytes);
    broker_.random.fill(salt);
    // Thousands of rounds of SHA: not on a shard.
    auto credential = CO_TRY(co_await io::blocking([mechanism, password, salt = std::move(salt), iterations] {
      return make_scram_credential(mechanism, password, salt, iterations);
    }));
    CO_TRY(
        outcome(co_await put_scram_credential(parts_.server, identity_of(request), user, std::move(credential)), user));
  }
  co_await record(request, "stream:PutScramCredential", user);
  co_return json::serialize(json::object{{"user", user}});
}

Face::Draft Face::plan_user_removal(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kAlter));
  const std::string user(request.param("user"));
  systems::PlanDraft draft;
  for (const auto& [name, credential] : CO_TRY(co_await parts_.server.scram.all()))
    if (name == user) draft.touches.push_back(fmt::format("{} of {}", mechanism_name(credential.mechanism), user));
  if (draft.touches.empty()) co_return fail(Code::kNotFound, "there is no SCRAM user " + user);
  draft.touched_count = draft.touches.size();
  draft.title = "Delete the SCRAM credentials of " + user;
  draft.apply = [this, user]() -> Json {
    size_t removed = 0;
    for (ScramMechanism mechanism : {ScramMechanism::kSha256, ScramMechanism::kSha512})
      removed += CO_TRY(co_await parts_.server.scram.erase(user, mechanism));
    co_return json::serialize(json::object{{"removed", removed}});
  };
  co_return draft;
}

// --- quotas

Face::Json Face::list_quotas(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kDescribeConfigs));
  json::array quotas;
  for (const Quota& quota : parts_.server.quotas.all()) {
    json::object entity, limits;
    for (const auto& [type, name] : quota.entity) entity[type] = name ? json::value(*name) : json::value(nullptr);
    for (const auto& [key, limit] : quota.limits) limits[key] = limit;
    quotas.push_back(json::object{{"entity", std::move(entity)}, {"limits", std::move(limits)}});
  }
  co_return json::serialize(json::object{{"quotas", std::move(quotas)}});
}

// {"entity":{"user":"alice"},"limits":{"producer_byte_rate":"1048576","consumer_byte_rate":null}}; a name that is null
// stands for everybody of that type who has none of his own.
Face::Json Face::set_quota(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kAlterConfigs));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const QuotaEntity entity = CO_TRY(body.texts("entity"));
  std::map<std::string, std::optional<double>> changes;
  for (const auto& [key, text] : CO_TRY(body.texts("limits"))) {
    char* end = nullptr;
    const double limit = text ? std::strtod(text->c_str(), &end) : 0;
    if (text && (text->empty() || *end != '\0'))
      co_return fail(Code::kInvalid, fmt::format("\"{}\" must be a number", key));
    changes[key] = text ? std::optional(limit) : std::nullopt;
  }
  CO_TRY(body.finish());
  CO_TRY(outcome(co_await parts_.server.quotas.alter(entity, std::move(changes), false), "the quota"));
  co_await record(request, "stream:AlterQuota", "quota");
  co_return json::serialize(json::object{{"set", true}});
}

}  // namespace polis::stream
