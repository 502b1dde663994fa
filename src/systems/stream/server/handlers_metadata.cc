// What a client asks before all else: which apis and versions, which broker, which topics.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

// One node leads every partition from the beginning.
constexpr int32_t kLeaderEpoch = 0;
constexpr int32_t kDescribedPartitionsMax = 2000;

// [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?, KIP-511.
bool is_software_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 256 && plain(name.front()) && plain(name.back()) &&
         std::ranges::all_of(name, [&](char c) { return plain(c) || c == '-' || c == '.'; });
}

// Where clients reach this broker: by the address they came to, unless it is to be named otherwise.
template <class BrokerAnswer>
void describe_broker(const Call& call, BrokerAnswer& answer) {
  const BrokerOptions& options = call.broker().options;
  answer.host = options.advertised_host.empty() ? call.session.local.address : options.advertised_host;
  answer.port = call.session.local.port;
}

template <class PartitionAnswer>
PartitionAnswer describe_partition(const Call& call, int32_t partition) {
  const int32_t node = call.broker().options.node_id;
  PartitionAnswer answer;
  answer.partition_index = partition;
  answer.leader_id = node;
  answer.leader_epoch = kLeaderEpoch;
  answer.replica_nodes = {node};
  answer.isr_nodes = {node};
  return answer;
}

using DescribedTopic = MetadataResponse::MetadataResponseTopic;

DescribedTopic describe_topic(const Call& call, const MetadataRequest& request, const Topic& topic) {
  DescribedTopic answer;
  answer.name = topic.name;
  answer.topic_id = topic.id;
  answer.is_internal = topic.internal;
  answer.partitions.reserve(static_cast<size_t>(topic.partitions));
  for (int32_t i = 0; i < topic.partitions; ++i)
    answer.partitions.push_back(describe_partition<DescribedTopic::MetadataResponsePartition>(call, i));
  if (request.include_topic_authorized_operations)
    answer.topic_authorized_operations =
        call.parts.access.allowed_operations(*call.identity, ResourceType::kTopic, topic.name);
  return answer;
}

bool may_describe_topic(const Call& call, std::string_view topic) {
  return call.allowed(ResourceType::kTopic, topic, Operation::kDescribe);
}

// A topic that is not there: made, if that is wanted and allowed.
Task<ErrorCode> create_asked_topic(const Call& call, const MetadataRequest& request, std::string name) {
  if (!is_topic_name(name)) co_return ErrorCode::kInvalidTopic;
  const bool wanted = request.allow_auto_topic_creation && call.broker().options.auto_create_topics &&
                      call.identity->plain_door && name != kOffsetsTopic;
  if (!wanted) co_return ErrorCode::kUnknownTopicOrPartition;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kCreate) &&
      !call.allowed(ResourceType::kTopic, name, Operation::kCreate))
    co_return ErrorCode::kTopicAuthorizationFailed;
  NewTopic topic;
  topic.name = std::move(name);
  const Refusal refusal = co_await call.broker().topics.create(std::move(topic), false);
  // Another client was faster.
  if (refusal.code == ErrorCode::kTopicAlreadyExists) co_return ErrorCode::kNone;
  co_return refusal.code;
}

Task<DescribedTopic> describe_asked_topic(Call& call, const MetadataRequest& request,
                                          const MetadataRequest::MetadataRequestTopic& asked) {
  DescribedTopic answer;
  if (!asked.name) {
    const auto table = call.broker().topics.table();
    const Topic* topic = table->find(asked.topic_id);
    // Who may not see a topic does not learn its name.
    if (topic && may_describe_topic(call, topic->name)) co_return describe_topic(call, request, *topic);
    answer.topic_id = asked.topic_id;
    answer.error_code = number(ErrorCode::kUnknownTopicId);
    co_return answer;
  }
  answer.name = std::string(*asked.name);
  if (!may_describe_topic(call, *asked.name)) {
    answer.error_code = number(ErrorCode::kTopicAuthorizationFailed);
    co_return answer;
  }
  auto table = call.broker().topics.table();
  const Topic* topic = table->find(*asked.name);
  if (!topic) {
    const ErrorCode code = co_await create_asked_topic(call, request, std::string(*asked.name));
    table = call.broker().topics.table();
    topic = code == ErrorCode::kNone ? table->find(*asked.name) : nullptr;
    if (!topic) {
      answer.error_code = number(code == ErrorCode::kNone ? ErrorCode::kLeaderNotAvailable : code);
      co_return answer;
    }
  }
  co_return describe_topic(call, request, *topic);
}

}  // namespace

Task<ApiVersionsResponse> handle(Call& call, const ApiVersionsRequest& request) {
  ApiVersionsResponse response;
  if (call.version >= 3) {
    if (!is_software_name(request.client_software_name) || !is_software_name(request.client_software_version)) {
      response.error_code = number(ErrorCode::kInvalidRequest);
      co_return response;
    }
    call.session.client_software = request.client_software_name;
    call.session.client_software_version = request.client_software_version;
  }
  response.api_keys.reserve(std::size(kApis));
  for (const ApiVersions& api : kApis) response.api_keys.push_back({api.key, api.oldest, api.newest});
  co_return response;
}

Task<MetadataResponse> handle(Call& call, const MetadataRequest& request) {
  MetadataResponse response;
  const BrokerOptions& options = call.broker().options;
  auto& broker = response.brokers.emplace_back();
  broker.node_id = options.node_id;
  describe_broker(call, broker);
  response.cluster_id = options.cluster_id;
  response.controller_id = options.node_id;
  // Version 0 had no null: none named meant all.
  const bool all = !request.topics || (call.version == 0 && request.topics->empty());
  if (all) {
    const auto table = call.broker().topics.table();
    for (const auto& topic : table->all())
      if (may_describe_topic(call, topic->name)) response.topics.push_back(describe_topic(call, request, *topic));
  } else {
    // Each once, however often it is named: a short request has no endless answer.
    std::set<std::pair<Uuid, std::optional<std::string_view>>> answered;
    for (const auto& asked : *request.topics)
      if (answered.emplace(asked.topic_id, asked.name).second)
        response.topics.push_back(co_await describe_asked_topic(call, request, asked));
  }
  if (request.include_cluster_authorized_operations)
    response.cluster_authorized_operations =
        call.parts.access.allowed_operations(*call.identity, ResourceType::kCluster, kClusterResource);
  co_return response;
}

Task<DescribeClusterResponse> handle(Call& call, const DescribeClusterRequest& request) {
  DescribeClusterResponse response;
  constexpr int8_t kBrokers = 1;
  response.endpoint_type = request.endpoint_type;
  if (request.endpoint_type != kBrokers) {
    response.error_code = number(ErrorCode::kInvalidRequest);
    response.error_message = fmt::format("endpoint type {}; this is a broker, type 1", request.endpoint_type);
    co_return response;
  }
  const BrokerOptions& options = call.broker().options;
  response.cluster_id = options.cluster_id;
  response.controller_id = options.node_id;
  auto& broker = response.brokers.emplace_back();
  broker.broker_id = options.node_id;
  describe_broker(call, broker);
  if (request.include_cluster_authorized_operations)
    response.cluster_authorized_operations =
        call.parts.access.allowed_operations(*call.identity, ResourceType::kCluster, kClusterResource);
  co_return response;
}

// KIP-966: the topics by name, so many partitions at a time.
Task<DescribeTopicPartitionsResponse> handle(Call& call, const DescribeTopicPartitionsRequest& request) {
  using Answer = DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic;
  DescribeTopicPartitionsResponse response;
  const auto table = call.broker().topics.table();
  std::vector<std::string_view> names;
  if (request.topics.empty()) {
    for (const auto& topic : table->all())
      if (may_describe_topic(call, topic->name)) names.push_back(topic->name);
  } else {
    for (const auto& topic : request.topics) names.push_back(topic.name);
    std::ranges::sort(names);
    const auto repeated = std::ranges::unique(names);
    names.erase(repeated.begin(), repeated.end());
  }
  int32_t left = std::clamp(request.response_partition_limit, 1, kDescribedPartitionsMax);
  for (const std::string_view name : names) {
    int32_t first = 0;
    if (request.cursor) {
      if (name < request.cursor->topic_name) continue;
      if (name == request.cursor->topic_name) first = std::max(request.cursor->partition_index, 0);
    }
    if (left == 0) {
      response.next_cursor = {std::string(name), first};
      break;
    }
    Answer& answer = response.topics.emplace_back();
    answer.name = std::string(name);
    const Topic* topic = table->find(name);
    if (!may_describe_topic(call, name)) {
      answer.error_code = number(ErrorCode::kTopicAuthorizationFailed);
    } else if (!topic) {
      answer.error_code = number(is_topic_name(name) ? ErrorCode::kUnknownTopicOrPartition : ErrorCode::kInvalidTopic);
    } else {
      answer.topic_id = topic->id;
      answer.is_internal = topic->internal;
      answer.topic_authorized_operations =
          call.parts.access.allowed_operations(*call.identity, ResourceType::kTopic, name);
      int32_t partition = first;
      for (; partition < topic->partitions && left > 0; ++partition, --left)
        answer.partitions.push_back(
            describe_partition<Answer::DescribeTopicPartitionsResponsePartition>(call, partition));
      if (partition < topic->partitions) {
        response.next_cursor = {std::string(name), partition};
        break;
      }
    }
  }
  co_return response;
}

}  // namespace polis::stream
