// Handlers of client quotas (KIP-546).
#include <algorithm>
#include <map>
#include <set>

#include "systems/stream/server/admin_answers.h"
#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

constexpr int8_t kExactName = 0, kDefaultName = 1, kAnyName = 2;

// What a DescribeClientQuotas asks for.
struct QuotaFilter {
  QuotaEntity exact;                  // with the defaults
  std::set<std::string> any_of_type;  // whatever the name
  bool strict = false;                // and no other types

  bool means(const QuotaEntity& entity) const {
    const bool all_there =
        std::ranges::all_of(exact,
                            [&](const auto& one) {
                              const auto found = entity.find(one.first);
                              return found != entity.end() && found->second == one.second;
                            }) &&
        std::ranges::all_of(any_of_type, [&](const std::string& type) { return entity.contains(type); });
    return all_there && (!strict || entity.size() == exact.size() + any_of_type.size());
  }
};

Refusal read_quota_filter(const DescribeClientQuotasRequest& request, QuotaFilter& filter) {
  const auto refuse = [](std::string message) { return Refusal{ErrorCode::kInvalidRequest, std::move(message)}; };
  for (const auto& component : request.components) {
    const std::string type(component.entity_type);
    if (type.empty()) return refuse("Invalid empty entity type.");
    if (type != "user" && type != "client-id" && type != "ip")
      return {ErrorCode::kUnsupportedVersion, "Unsupported entity type " + shown(type)};
    if (filter.exact.contains(type) || filter.any_of_type.contains(type))
      return refuse("Entity type " + type + " cannot appear more than once in the filter.");
    switch (component.match_type) {
      case kExactName:
        if (!component.match) return refuse("Request specified MATCH_TYPE_EXACT, but set match string to null.");
        filter.exact.emplace(type, std::string(*component.match));
        break;
      case kDefaultName:
      case kAnyName:
        if (component.match)
          return refuse(std::string("Request specified ") +
                        (component.match_type == kDefaultName ? "MATCH_TYPE_DEFAULT" : "MATCH_TYPE_SPECIFIED") +
                        ", but also specified a match string.");
        if (component.match_type == kDefaultName)
          filter.exact.emplace(type, std::nullopt);
        else
          filter.any_of_type.insert(type);
        break;
      default:
        return refuse("Unknown match type " + std::to_string(component.match_type));
    }
  }
  const auto has = [&](const std::string& type) {
    return filter.exact.contains(type) || filter.any_of_type.contains(type);
  };
  if (has("ip") && (has("user") || has("client-id")))
    return refuse(
        "Invalid entity filter component combination. IP filter component should not be used with user or clientId "
        "filter component.");
  filter.strict = request.strict;
  return {};
}

using AlterEntry = AlterClientQuotasRequest::EntryData;

Task<Refusal> alter_quota(Call& call, const AlterEntry& wish, bool validate_only) {
  QuotaEntity entity;
  for (const auto& part : wish.entity) {
    std::optional<std::string> name;
    if (part.entity_name) name = std::string(*part.entity_name);
    if (!entity.emplace(std::string(part.entity_type), std::move(name)).second)
      co_return Refusal{ErrorCode::kInvalidRequest,
                        "Invalid client quota entity, duplicate entity entry " + shown(part.entity_type)};
  }
  std::map<std::string, std::optional<double>> changes;
  for (const auto& operation : wish.ops)
    if (!changes.emplace(std::string(operation.key), operation.remove ? std::nullopt : std::optional(operation.value))
             .second)
      co_return Refusal{ErrorCode::kInvalidRequest, "Duplicate quota key " + shown(operation.key)};
  std::string named;
  for (const auto& [type, name] : entity) named += (named.empty() ? "" : " ") + type + "=" + name.value_or("<default>");
  Refusal refusal = co_await call.parts.quotas.alter(std::move(entity), std::move(changes), validate_only);
  if (refusal.ok() && !validate_only) co_await record_change(call, "stream:AlterQuota", shown(named));
  co_return refusal;
}

}  // namespace

Task<DescribeClientQuotasResponse> handle(Call& call, const DescribeClientQuotasRequest& request) {
  DescribeClientQuotasResponse response;
  QuotaFilter filter;
  Refusal refusal;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDescribeConfigs))
    refusal.code = ErrorCode::kClusterAuthorizationFailed;
  else
    refusal = read_quota_filter(request, filter);
  if (!refusal.ok()) {
    put_refusal(response, refusal);
    co_return response;
  }
  auto& entries = response.entries.emplace();
  for (const Quota& quota : call.parts.quotas.all()) {
    if (!filter.means(quota.entity)) continue;
    auto& entry = entries.emplace_back();
    for (const auto& [type, name] : quota.entity) entry.entity.push_back({.entity_type = type, .entity_name = name});
    for (const auto& [key, value] : quota.limits) entry.values.push_back({.key = key, .value = value});
  }
  co_return response;
}

Task<AlterClientQuotasResponse> handle(Call& call, const AlterClientQuotasRequest& request) {
  AlterClientQuotasResponse response;
  const bool allowed = call.allowed(ResourceType::kCluster, kClusterResource, Operation::kAlterConfigs);
  for (const AlterEntry& wish : request.entries) {
    auto& entry = response.entries.emplace_back();
    for (const auto& part : wish.entity) {
      auto& named = entry.entity.emplace_back();
      named.entity_type = part.entity_type;
      if (part.entity_name) named.entity_name = std::string(*part.entity_name);
    }
    put_refusal(entry, allowed ? co_await alter_quota(call, wish, request.validate_only)
                               : Refusal{ErrorCode::kClusterAuthorizationFailed, {}});
  }
  co_return response;
}

}  // namespace polis::stream
