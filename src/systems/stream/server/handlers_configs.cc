// Handlers of options: of topics and of this broker (KIP-133, 226, 339, 569).
#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <map>
#include <set>

#include "systems/stream/server/admin_answers.h"
#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

// Of resources of options; numbers are the protocol's.
constexpr int8_t kTopicResource = 2, kBrokerResource = 4;
// Options of one answer: of 5,000 topics; measured at 600 bytes of memory each.
constexpr size_t kDescribedMax = 150'000;

using DescribedResource = DescribeConfigsResponse::DescribeConfigsResult;
using DescribedOption = DescribedResource::DescribeConfigsResourceResult;

int8_t type_number(std::string_view type) {
  constexpr std::pair<std::string_view, int8_t> kTypes[] = {{"boolean", 1}, {"string", 2}, {"int", 3}, {"short", 4},
                                                            {"long", 5},    {"double", 6}, {"list", 7}};
  for (const auto& [name, number] : kTypes)
    if (name == type) return number;
  return 0;
}

// What Kafka calls the broker's default for an option of topics; empty where it has none.
std::string_view broker_name(std::string_view topic_option) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"cleanup.policy", "log.cleanup.policy"},
      {"compression.type", "compression.type"},
      {"delete.retention.ms", "log.cleaner.delete.retention.ms"},
      {"max.message.bytes", "message.max.bytes"},
      {"message.timestamp.type", "log.message.timestamp.type"},
      {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"},
      {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"},
      {"min.insync.replicas", "min.insync.replicas"},
      {"retention.bytes", "log.retention.bytes"},
      {"retention.ms", "log.retention.ms"},
      {"segment.bytes", "log.segment.bytes"},
      {"segment.ms", "log.roll.ms"},
  };
  for (const auto& [option, name] : kNames)
    if (option == topic_option) return name;
  return {};
}

// Which of the options are asked for, and how much of each.
struct OptionDetail {
  const std::optional<std::vector<std::string_view>>& names;
  bool synonyms = false, documentation = false;

  bool wants(std::string_view name) const {
    return !names || names->empty() || std::ranges::find(*names, name) != names->end();
  }
};

void add_option(DescribedResource& result, const OptionDetail& detail, DescribedOption option, ConfigSource source,
                std::string_view type, std::string_view help) {
  option.config_source = static_cast<int8_t>(source);
  option.is_default = source == ConfigSource::kDefault;
  option.config_type = type_number(type);
  if (detail.documentation) option.documentation = std::string(help);
  if (!detail.synonyms) option.synonyms.clear();
  result.configs.push_back(std::move(option));
}

void describe_topic(const Topic& topic, const OptionDetail& detail, DescribedResource& result) {
  const TopicConfig defaults;
  for (const ConfigOption& option : topic_options()) {
    if (!detail.wants(option.name)) continue;
    const std::string name(option.name);
    const bool set = topic.overrides.contains(name);
    DescribedOption described;
    described.name = name;
    described.value = topic.config.get(name);
    if (set)
      described.synonyms.push_back(
          {.name = name, .value = described.value, .source = static_cast<int8_t>(ConfigSource::kTopic)});
    if (const std::string_view broker = broker_name(name); !broker.empty())
      described.synonyms.push_back({.name = std::string(broker),
                                    .value = defaults.get(name),
                                    .source = static_cast<int8_t>(ConfigSource::kDefault)});
    add_option(result, detail, std::move(described), set ? ConfigSource::kTopic : ConfigSource::kDefault, option.type,
               option.help);
  }
}

// Everything about this broker, or only what was set for every broker.
void describe_broker(const BrokerConfigs& configs, bool every_broker, const OptionDetail& detail,
                     DescribedResource& result) {
  const auto own = configs.overrides(false), common = configs.overrides(true);
  for (const BrokerOption& option : configs.options()) {
    const std::string name(option.name);
    const auto set_here = own.find(name), set_for_all = common.find(name);
    if (!detail.wants(name) || (every_broker && set_for_all == common.end())) continue;
    DescribedOption described;
    described.name = name;
    described.read_only = !option.settable;
    const auto add = [&](const std::string& value, ConfigSource source) {
      described.synonyms.push_back({.name = name, .value = value, .source = static_cast<int8_t>(source)});
    };
    if (set_here != own.end() && !every_broker) add(set_here->second, ConfigSource::kBroker);
    if (set_for_all != common.end()) add(set_for_all->second, ConfigSource::kEveryBroker);
    add(option.initial, option.started_with ? ConfigSource::kStarted : ConfigSource::kDefault);
    described.value = described.synonyms.front().value;
    const auto source = static_cast<ConfigSource>(described.synonyms.front().source);
    add_option(result, detail, std::move(described), source, option.type, option.help);
  }
}

// A broker is named by its number, or by nothing: every broker.
Refusal check_broker(const Call& call, std::string_view name) {
  if (name.empty()) return {};
  int32_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || end != name.data() + name.size())
    return {ErrorCode::kInvalidRequest, "Node id must be an integer, but it is: " + shown(name)};
  const int32_t here = call.broker().options.node_id;
  if (id != here)
    return {ErrorCode::kInvalidRequest, fmt::format("Unexpected broker id, expected {}, but received {}", here, id)};
  return {};
}

// Whether the caller may do it to the options of that resource.
Refusal check_rights(const Call& call, int8_t type, std::string_view name, Operation operation) {
  if (type == kTopicResource)
    return {
        call.allowed(ResourceType::kTopic, name, operation) ? ErrorCode::kNone : ErrorCode::kTopicAuthorizationFailed,
        {}};
  if (type == kBrokerResource)
    return {call.allowed(ResourceType::kCluster, kClusterResource, operation) ? ErrorCode::kNone
                                                                              : ErrorCode::kClusterAuthorizationFailed,
            {}};
  return {ErrorCode::kInvalidRequest, fmt::format("Unsupported resource type {}", type)};
}

Refusal describe_resource(const Call& call, const DescribeConfigsRequest::DescribeConfigsResource& wish,
                          const DescribeConfigsRequest& request, DescribedResource& result) {
  Refusal refusal = check_rights(call, wish.resource_type, wish.resource_name, Operation::kDescribeConfigs);
  if (!refusal.ok()) return refusal;
  const OptionDetail detail{wish.configuration_keys, request.include_synonyms, request.include_documentation};
  if (wish.resource_type == kBrokerResource) {
    refusal = check_broker(call, wish.resource_name);
    if (refusal.ok()) describe_broker(call.parts.configs, wish.resource_name.empty(), detail, result);
    return refusal;
  }
  if (!is_topic_name(wish.resource_name)) return {ErrorCode::kInvalidTopic, {}};
  const std::shared_ptr<const TopicTable> table = call.broker().topics.table();
  const Topic* topic = table->find(wish.resource_name);
  if (topic == nullptr) return {ErrorCode::kUnknownTopicOrPartition, {}};
  describe_topic(*topic, detail, result);
  return {};
}

// --- changes

using Changes = std::map<std::string, std::optional<std::string>>;
enum class ConfigStep : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

std::vector<std::string> parts_of(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view part = list.substr(0, comma);
    if (!part.empty()) parts.emplace_back(part);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return parts;
}

std::string changed_list(std::string_view now, std::string_view wanted, ConfigStep step) {
  std::vector<std::string> parts = parts_of(now);
  for (const std::string& part : parts_of(wanted)) {
    const auto found = std::ranges::find(parts, part);
    if (step == ConfigStep::kAppend && found == parts.end()) parts.push_back(part);
    if (step == ConfigStep::kSubtract && found != parts.end()) parts.erase(found);
  }
  std::string list;
  for (const std::string& part : parts) list += (list.empty() ? "" : ",") + part;
  return list;
}

// Of requests of both kinds: values where there must be some.
template <class Configs, class NeedsValue>
Refusal check_values(const Configs& configs, NeedsValue needs_value) {
  std::string nulls;
  for (const auto& config : configs) {
    if (!config.value && needs_value(config)) nulls += (nulls.empty() ? "" : ", ") + shown(config.name);
  }
  if (!nulls.empty()) return {ErrorCode::kInvalidRequest, "Null value not supported for : " + nulls};
  return {};
}

Task<Refusal> apply_changes(Call& call, int8_t type, std::string_view name, Changes changes, bool replace_all,
                            bool validate_only) {
  Refusal refusal;
  if (type == kBrokerResource)
    refusal = co_await call.parts.configs.alter(name.empty(), std::move(changes), replace_all, validate_only);
  else
    refusal =
        co_await call.broker().topics.configure(std::string(name), std::move(changes), replace_all, validate_only);
  if (refusal.ok() && !validate_only) co_await record_change(call, "stream:AlterConfigs", shown(name));
  co_return refusal;
}

Refusal check_target(const Call& call, int8_t type, std::string_view name) {
  Refusal refusal = check_rights(call, type, name, Operation::kAlterConfigs);
  if (refusal.ok() && type == kBrokerResource) refusal = check_broker(call, name);
  return refusal;
}

Task<Refusal> alter_options(Call& call, const AlterConfigsRequest::AlterConfigsResource& wish, bool validate_only) {
  Refusal refusal = check_values(wish.configs, [](const auto&) { return true; });
  if (refusal.ok()) refusal = check_target(call, wish.resource_type, wish.resource_name);
  if (!refusal.ok()) co_return refusal;
  Changes changes;
  // Clients of this older request send all that they read back with what they change behind it: the last value holds.
  for (const auto& config : wish.configs) changes[std::string(config.name)] = std::string(*config.value);
  co_return co_await apply_changes(call, wish.resource_type, wish.resource_name, std::move(changes), true,
                                   validate_only);
}

using Incremental = IncrementalAlterConfigsRequest::AlterConfigsResource;

// The value before the change, of an option that is a list; nothing for other options.
std::optional<std::string> list_now(const Call& call, const Incremental& wish, std::string_view name) {
  if (wish.resource_type == kBrokerResource) {
    // No option of the broker that can be set is a list.
    return std::nullopt;
  }
  const auto option = std::ranges::find(topic_options(), name, &ConfigOption::name);
  if (option == topic_options().end() || option->type != "list") return std::nullopt;
  const std::shared_ptr<const TopicTable> table = call.broker().topics.table();
  const Topic* topic = table->find(wish.resource_name);
  return topic == nullptr ? std::string() : topic->config.get(name);
}

Task<Refusal> alter_options(Call& call, const Incremental& wish, bool validate_only) {
  Refusal refusal = check_values(wish.configs, [](const auto& config) {
    return static_cast<ConfigStep>(config.config_operation) != ConfigStep::kDelete;
  });
  std::set<std::string_view> seen;
  for (const auto& config : wish.configs)
    if (refusal.ok() && !seen.insert(config.name).second)
      refusal = {ErrorCode::kInvalidRequest, "Error due to duplicate config keys"};
  if (refusal.ok()) refusal = check_target(call, wish.resource_type, wish.resource_name);
  if (!refusal.ok()) co_return refusal;
  Changes changes;
  for (const auto& config : wish.configs) {
    const auto step = static_cast<ConfigStep>(config.config_operation);
    std::optional<std::string>& change = changes[std::string(config.name)];
    switch (step) {
      case ConfigStep::kSet:
        change = std::string(*config.value);
        break;
      case ConfigStep::kDelete:
        break;
      case ConfigStep::kAppend:
      case ConfigStep::kSubtract: {
        const std::optional<std::string> now = list_now(call, wish, config.name);
        if (!now)
          co_return Refusal{ErrorCode::kInvalidConfig,
                            fmt::format("Can't {} to key {} because its type is not LIST.",
                                        step == ConfigStep::kAppend ? "APPEND" : "SUBTRACT", shown(config.name))};
        change = changed_list(*now, *config.value, step);
        break;
      }
      default:
        co_return Refusal{ErrorCode::kInvalidRequest,
                          fmt::format("Unknown operations type {}", config.config_operation)};
    }
  }
  co_return co_await apply_changes(call, wish.resource_type, wish.resource_name, std::move(changes), false,
                                   validate_only);
}

template <class Request, class Response>
Task<void> alter_all(Call& call, const Request& request, Response& response) {
  std::map<std::pair<int8_t, std::string_view>, size_t> times;
  for (const auto& resource : request.resources) ++times[{resource.resource_type, resource.resource_name}];
  for (const auto& resource : request.resources) {
    auto& result = response.responses.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    if (times[{resource.resource_type, resource.resource_name}] > 1)
      put_refusal(result, {ErrorCode::kInvalidRequest, "Each resource must appear at most once."});
    else
      put_refusal(result, co_await alter_options(call, resource, request.validate_only));
  }
}

}  // namespace

Task<DescribeConfigsResponse> handle(Call& call, const DescribeConfigsRequest& request) {
  DescribeConfigsResponse response;
  size_t described = 0;
  for (const auto& wish : request.resources) {
    auto& result = response.results.emplace_back();
    result.resource_type = wish.resource_type;
    result.resource_name = wish.resource_name;
    put_refusal(result, described < kDescribedMax
                            ? describe_resource(call, wish, request, result)
                            : Refusal{ErrorCode::kInvalidRequest, "too many options at once: ask in parts"});
    described += result.configs.size();
  }
  co_return response;
}

Task<AlterConfigsResponse> handle(Call& call, const AlterConfigsRequest& request) {
  AlterConfigsResponse response;
  co_await alter_all(call, request, response);
  co_return response;
}

Task<IncrementalAlterConfigsResponse> handle(Call& call, const IncrementalAlterConfigsRequest& request) {
  IncrementalAlterConfigsResponse response;
  co_await alter_all(call, request, response);
  co_return response;
}

}  // namespace polis::stream
