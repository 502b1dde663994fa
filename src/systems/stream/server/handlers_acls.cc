// Handlers of the access list.
#include <fmt/format.h>
#include <map>
#include <tuple>

#include "systems/stream/server/admin_answers.h"
#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

std::optional<std::string> text_of(const std::optional<std::string_view>& value) {
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

// Of a DescribeAclsRequest or a DeleteAclsFilter; version 0 knows no patterns, which the decoder reads as literal ones.
template <class Filter>
Result<AccessFilter> read_acl_filter(const Filter& request, int8_t operation, int8_t permission) {
  const auto between = [](int8_t value, auto last) { return value >= 1 && value <= static_cast<int8_t>(last); };
  if (!between(request.pattern_type_filter, PatternType::kPrefixed) ||
      !between(request.resource_type_filter, ResourceType::kUser))
    return fail(Code::kInvalid, "Unknown patternFilter.");
  if (!between(operation, Operation::kDescribeTokens) || !between(permission, Permission::kAllow))
    return fail(Code::kInvalid, "Unknown entryFilter.");
  return AccessFilter{.resource = static_cast<ResourceType>(request.resource_type_filter),
                      .pattern = static_cast<PatternType>(request.pattern_type_filter),
                      .name = text_of(request.resource_name_filter),
                      .principal = text_of(request.principal_filter),
                      .host = text_of(request.host_filter),
                      .operation = static_cast<Operation>(operation),
                      .permission = static_cast<Permission>(permission)};
}

std::string describe_rule(const AccessRule& rule) {
  return fmt::format("{} {} {} on {} {} '{}' from {}", rule.permission == Permission::kDeny ? "deny" : "allow",
                     shown(rule.principal), static_cast<int>(rule.operation), static_cast<int>(rule.resource),
                     rule.pattern == PatternType::kPrefixed ? "prefix" : "literal", shown(rule.name), shown(rule.host));
}

Refusal acl_refusal(const Error& error) {
  if (error.code() == Code::kTooLarge) return {ErrorCode::kPolicyViolation, error.message()};
  return {error_code(error), error.message()};
}

AccessRule read_rule(const CreateAclsRequest::AclCreation& wish) {
  return {.resource = static_cast<ResourceType>(wish.resource_type),
          .pattern = static_cast<PatternType>(wish.resource_pattern_type),
          .name = std::string(wish.resource_name),
          .principal = std::string(wish.principal),
          .host = std::string(wish.host),
          .operation = static_cast<Operation>(wish.operation),
          .permission = static_cast<Permission>(wish.permission_type)};
}

constexpr size_t kWishesMax = 10'000;  // Kafka: records of one change

}  // namespace

Task<DescribeAclsResponse> handle(Call& call, const DescribeAclsRequest& request) {
  DescribeAclsResponse response;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDescribe)) {
    put_refusal(response, {ErrorCode::kClusterAuthorizationFailed, {}});
    co_return response;
  }
  const auto filter = read_acl_filter(request, request.operation, request.permission_type);
  if (!filter) {
    put_refusal(response, acl_refusal(filter.error()));
    co_return response;
  }
  using Resource = DescribeAclsResponse::DescribeAclsResource;
  std::map<std::tuple<ResourceType, std::string, PatternType>, Resource> resources;
  for (const AccessRule& rule : call.parts.access.rules(*filter)) {
    // Version 0 has no way to say "prefixed".
    if (call.version == 0 && rule.pattern != PatternType::kLiteral) continue;
    Resource& resource = resources[{rule.resource, rule.name, rule.pattern}];
    resource.resource_type = static_cast<int8_t>(rule.resource);
    resource.resource_name = rule.name;
    resource.pattern_type = static_cast<int8_t>(rule.pattern);
    resource.acls.push_back({.principal = rule.principal,
                             .host = rule.host,
                             .operation = static_cast<int8_t>(rule.operation),
                             .permission_type = static_cast<int8_t>(rule.permission)});
  }
  for (auto& [key, resource] : resources) response.resources.push_back(std::move(resource));
  co_return response;
}

Task<CreateAclsResponse> handle(Call& call, const CreateAclsRequest& request) {
  CreateAclsResponse response;
  response.results.resize(request.creations.size());
  const auto all_refused = [&](const Refusal& refusal) {
    for (auto& result : response.results) put_refusal(result, refusal);
  };
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kAlter)) {
    all_refused({ErrorCode::kClusterAuthorizationFailed, {}});
    co_return response;
  }
  if (request.creations.size() > kWishesMax) {
    all_refused({ErrorCode::kPolicyViolation, fmt::format("at most {} rules at once", kWishesMax)});
    co_return response;
  }
  std::vector<AccessRule> rules;
  std::vector<size_t> places;
  for (size_t i = 0; i < request.creations.size(); ++i) {
    AccessRule rule = read_rule(request.creations[i]);
    if (auto sound = check_rule(rule); !sound) {
      put_refusal(response.results[i], acl_refusal(sound.error()));
      continue;
    }
    rules.push_back(std::move(rule));
    places.push_back(i);
  }
  if (rules.empty()) co_return response;
  const auto added = co_await call.parts.access.add(rules);
  for (const size_t place : places)
    if (!added) put_refusal(response.results[place], acl_refusal(added.error()));
  if (added)
    for (const AccessRule& rule : rules) co_await record_change(call, "stream:CreateAcl", describe_rule(rule));
  co_return response;
}

Task<DeleteAclsResponse> handle(Call& call, const DeleteAclsRequest& request) {
  DeleteAclsResponse response;
  const bool allowed = call.allowed(ResourceType::kCluster, kClusterResource, Operation::kAlter);
  for (const auto& wish : request.filters) {
    auto& result = response.filter_results.emplace_back();
    if (!allowed) {
      put_refusal(result, {ErrorCode::kClusterAuthorizationFailed, {}});
      continue;
    }
    auto filter = read_acl_filter(wish, wish.operation, wish.permission_type);
    if (!filter) {
      put_refusal(result, acl_refusal(filter.error()));
      continue;
    }
    // Version 0 would not see what it erases.
    if (call.version == 0 && filter->pattern != PatternType::kLiteral) filter->pattern = PatternType::kLiteral;
    const auto gone = co_await call.parts.access.remove(*filter);
    if (!gone) {
      put_refusal(result, acl_refusal(gone.error()));
      continue;
    }
    for (const AccessRule& rule : *gone) {
      auto& matching = result.matching_acls.emplace_back();
      matching.resource_type = static_cast<int8_t>(rule.resource);
      matching.resource_name = rule.name;
      matching.pattern_type = static_cast<int8_t>(rule.pattern);
      matching.principal = rule.principal;
      matching.host = rule.host;
      matching.operation = static_cast<int8_t>(rule.operation);
      matching.permission_type = static_cast<int8_t>(rule.permission);
      co_await record_change(call, "stream:DeleteAcl", describe_rule(rule));
    }
  }
  co_return response;
}

}  // namespace polis::stream
