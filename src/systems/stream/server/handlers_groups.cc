// Groups and their offsets: rights, topics that are not there, and where the coordinator is; what happens is the
// coordinator's (broker/groups.h).
#include <set>

#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

bool may(const Call& call, std::string_view group, Operation operation) {
  return call.allowed(ResourceType::kGroup, group, operation);
}

// Each name once: what one answer tells must not grow with how often a small request asks for it.
std::vector<std::string_view> once(const std::vector<std::string_view>& names) {
  std::set<std::string_view> seen;
  std::vector<std::string_view> kept;
  for (const std::string_view name : names)
    if (seen.insert(name).second) kept.push_back(name);
  return kept;
}

// What keeps a group's offset of this topic from being written.
ErrorCode check_topic(const Call& call, const TopicTable& table, std::string_view topic) {
  if (!call.allowed(ResourceType::kTopic, topic, Operation::kRead)) return ErrorCode::kTopicAuthorizationFailed;
  return table.find(topic) ? ErrorCode::kNone : ErrorCode::kUnknownTopicOrPartition;
}

// Answers the topics that are refused, and leaves the others in the request; then puts both back in the order asked.
template <class Response, class Request, class Ask>
Task<Response> for_good_topics(const Call& call, Request request, Ask ask) {
  using Topics = decltype(request.topics);
  const auto table = call.broker().topics.table();
  Topics asked = std::move(request.topics);
  request.topics.clear();
  std::vector<ErrorCode> codes;
  for (const auto& topic : asked) {
    codes.push_back(check_topic(call, *table, topic.name));
    if (codes.back() == ErrorCode::kNone) request.topics.push_back(topic);
  }
  Response response;
  if (!request.topics.empty()) response = co_await ask(request);
  auto good = std::move(response.topics);
  response.topics.clear();
  size_t next_good = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (codes[i] == ErrorCode::kNone) {
      // None at all when the whole request was refused.
      if (next_good < good.size()) response.topics.push_back(std::move(good[next_good++]));
      continue;
    }
    auto& refused = response.topics.emplace_back();
    refused.name = std::string(asked[i].name);
    for (const auto& partition : asked[i].partitions)
      refused.partitions.push_back({partition.partition_index, number(codes[i])});
  }
  co_return response;
}

template <class Response, class Request>
Response refuse_all(const Request& request, ErrorCode code) {
  Response response;
  for (const auto& topic : request.topics) {
    auto& refused = response.topics.emplace_back();
    refused.name = std::string(topic.name);
    for (const auto& partition : topic.partitions)
      refused.partitions.push_back({partition.partition_index, number(code)});
  }
  return response;
}

// --- FindCoordinator

enum class CoordinatorOf : int8_t { kGroup = 0, kTransaction = 1 };

struct Found {
  Refusal refusal;
  int32_t node_id = -1;
  std::string host;
  int32_t port = -1;
};

Task<Found> find_coordinator(const Call& call, std::string_view key, int8_t key_type) {
  Found found;
  switch (static_cast<CoordinatorOf>(key_type)) {
    case CoordinatorOf::kGroup: {
      if (!may(call, key, Operation::kDescribe)) {
        found.refusal = {ErrorCode::kGroupAuthorizationFailed, {}};
        co_return found;
      }
      const auto prepared = co_await call.broker().groups.prepare(std::string(key));
      if (!prepared) {
        found.refusal = {ErrorCode::kCoordinatorNotAvailable, prepared.error().text()};
        co_return found;
      }
      break;
    }
    case CoordinatorOf::kTransaction:
      if (!call.allowed(ResourceType::kTransactionalId, key, Operation::kDescribe)) {
        found.refusal = {ErrorCode::kTransactionalIdAuthorizationFailed, {}};
        co_return found;
      }
      break;
    default:
      found.refusal = {ErrorCode::kInvalidRequest, "there is no coordinator of that type"};
      co_return found;
  }
  const BrokerOptions& options = call.broker().options;
  found.node_id = options.node_id;
  found.host = options.advertised_host.empty() ? call.session.local.address : options.advertised_host;
  found.port = call.session.local.port;
  co_return found;
}

}  // namespace

Task<FindCoordinatorResponse> handle(Call& call, const FindCoordinatorRequest& request) {
  constexpr int16_t kManyKeysFrom = 4;
  FindCoordinatorResponse response;
  if (call.version < kManyKeysFrom) {
    Found found = co_await find_coordinator(call, request.key, request.key_type);
    response.error_code = number(found.refusal.code);
    if (!found.refusal.message.empty()) response.error_message = std::move(found.refusal.message);
    response.node_id = found.node_id;
    response.host = std::move(found.host);
    response.port = found.port;
    co_return response;
  }
  for (const std::string_view key : request.coordinator_keys) {
    Found found = co_await find_coordinator(call, key, request.key_type);
    auto& one = response.coordinators.emplace_back();
    one.key = std::string(key);
    one.node_id = found.node_id;
    one.host = std::move(found.host);
    one.port = found.port;
    one.error_code = number(found.refusal.code);
    if (!found.refusal.message.empty()) one.error_message = std::move(found.refusal.message);
  }
  co_return response;
}

// --- members

Task<JoinGroupResponse> handle(Call& call, const JoinGroupRequest& request) {
  if (!may(call, request.group_id, Operation::kRead)) {
    JoinGroupResponse response;
    response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
    response.member_id = std::string(request.member_id);
    co_return response;
  }
  const GroupClient client{
      .client_id = call.client_id, .client_host = "/" + call.identity->host, .version = call.version};
  co_return co_await call.broker().groups.join(request, client);
}

Task<SyncGroupResponse> handle(Call& call, const SyncGroupRequest& request) {
  // From version 5 on the client says again what it believes to be agreed (KIP-559).
  constexpr int16_t kNamesProtocolFrom = 5;
  SyncGroupResponse response;
  if (call.version >= kNamesProtocolFrom && (!request.protocol_type || !request.protocol_name)) {
    response.error_code = number(ErrorCode::kInconsistentGroupProtocol);
    co_return response;
  }
  if (!may(call, request.group_id, Operation::kRead)) {
    response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
    co_return response;
  }
  co_return co_await call.broker().groups.sync(request);
}

Task<HeartbeatResponse> handle(Call& call, const HeartbeatRequest& request) {
  if (may(call, request.group_id, Operation::kRead)) co_return co_await call.broker().groups.heartbeat(request);
  HeartbeatResponse response;
  response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
  co_return response;
}

Task<LeaveGroupResponse> handle(Call& call, const LeaveGroupRequest& request) {
  if (may(call, request.group_id, Operation::kRead))
    co_return co_await call.broker().groups.leave(request, call.version);
  LeaveGroupResponse response;
  response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
  co_return response;
}

// --- offsets

Task<OffsetCommitResponse> handle(Call& call, const OffsetCommitRequest& request) {
  if (!may(call, request.group_id, Operation::kRead))
    co_return refuse_all<OffsetCommitResponse>(request, ErrorCode::kGroupAuthorizationFailed);
  // From here to the coordinator nothing waits, so commits of a connection take effect in their order; but if the
  // offsets topic must be made first.
  if (call.ordered && call.broker().topics.table()->find(kOffsetsTopic)) call.ordered->set();
  const auto ask = [&](const OffsetCommitRequest& good) { return call.broker().groups.commit(good); };
  co_return co_await for_good_topics<OffsetCommitResponse>(call, request, std::cref(ask));
}

Task<TxnOffsetCommitResponse> handle(Call& call, const TxnOffsetCommitRequest& request) {
  if (!call.allowed(ResourceType::kTransactionalId, request.transactional_id, Operation::kWrite))
    co_return refuse_all<TxnOffsetCommitResponse>(request, ErrorCode::kTransactionalIdAuthorizationFailed);
  if (!may(call, request.group_id, Operation::kRead))
    co_return refuse_all<TxnOffsetCommitResponse>(request, ErrorCode::kGroupAuthorizationFailed);
  const auto ask = [&](const TxnOffsetCommitRequest& good) { return call.broker().groups.commit_in_transaction(good); };
  co_return co_await for_good_topics<TxnOffsetCommitResponse>(call, request, std::cref(ask));
}

namespace {

// Offsets of topics that the client may not see: not listed, or refused where it named them.
template <class Topics>
void hide_topics(const Call& call, Topics& topics, bool named) {
  const auto hidden = [&](const auto& topic) {
    return !call.allowed(ResourceType::kTopic, topic.name, Operation::kDescribe);
  };
  if (!named) {
    std::erase_if(topics, hidden);
    return;
  }
  for (auto& topic : topics) {
    if (!hidden(topic)) continue;
    for (auto& partition : topic.partitions) {
      partition.committed_offset = -1;
      partition.committed_leader_epoch = -1;
      partition.metadata = "";
      partition.error_code = number(ErrorCode::kTopicAuthorizationFailed);
    }
  }
}

}  // namespace

Task<OffsetFetchResponse> handle(Call& call, const OffsetFetchRequest& request) {
  constexpr int16_t kManyGroupsFrom = 8;
  if (call.version < kManyGroupsFrom) {
    OffsetFetchResponse response;
    if (may(call, request.group_id, Operation::kDescribe)) {
      response = co_await call.broker().groups.fetch(request, call.version);
      hide_topics(call, response.topics, request.topics.has_value());
      co_return response;
    }
    response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
    // Version 1 has no place for it but the partitions.
    if (request.topics) {
      for (const auto& topic : *request.topics) {
        auto& refused = response.topics.emplace_back();
        refused.name = std::string(topic.name);
        for (const int32_t partition : topic.partition_indexes)
          refused.partitions.push_back({.partition_index = partition,
                                        .committed_offset = -1,
                                        .committed_leader_epoch = -1,
                                        .metadata = "",
                                        .error_code = response.error_code});
      }
    }
    co_return response;
  }
  OffsetFetchRequest good{.group_id = {}, .topics = {}, .groups = {}, .require_stable = request.require_stable};
  std::set<std::string_view> seen;
  std::vector<const OffsetFetchRequest::OffsetFetchRequestGroup*> asked;
  for (const auto& group : request.groups) {
    if (!seen.insert(group.group_id).second) continue;  // as in once()
    asked.push_back(&group);
    if (may(call, group.group_id, Operation::kDescribe)) good.groups.push_back(group);
  }
  OffsetFetchResponse answered;
  if (!good.groups.empty()) answered = co_await call.broker().groups.fetch(good, call.version);
  OffsetFetchResponse response;
  size_t next_good = 0;
  for (const auto* group : asked) {
    // Not asked again: rules may have changed meanwhile.
    if (next_good < good.groups.size() && good.groups[next_good].group_id == group->group_id) {
      response.groups.push_back(std::move(answered.groups[next_good++]));
      hide_topics(call, response.groups.back().topics, group->topics.has_value());
      continue;
    }
    auto& refused = response.groups.emplace_back();
    refused.group_id = std::string(group->group_id);
    refused.error_code = number(ErrorCode::kGroupAuthorizationFailed);
  }
  co_return response;
}

Task<OffsetDeleteResponse> handle(Call& call, const OffsetDeleteRequest& request) {
  if (!may(call, request.group_id, Operation::kDelete)) {
    OffsetDeleteResponse response;
    response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
    co_return response;
  }
  const auto ask = [&](const OffsetDeleteRequest& good) { return call.broker().groups.erase_offsets(good); };
  co_return co_await for_good_topics<OffsetDeleteResponse>(call, request, std::cref(ask));
}

// --- looking, ending

Task<DescribeGroupsResponse> handle(Call& call, const DescribeGroupsRequest& request) {
  DescribeGroupsRequest good;
  const auto asked = once(request.groups);
  for (const std::string_view group : asked)
    if (may(call, group, Operation::kDescribe)) good.groups.push_back(group);
  DescribeGroupsResponse answered;
  if (!good.groups.empty()) answered = co_await call.broker().groups.describe(good);
  DescribeGroupsResponse response;
  size_t next_good = 0;
  for (const std::string_view group : asked) {
    if (next_good < good.groups.size() && good.groups[next_good] == group) {
      response.groups.push_back(std::move(answered.groups[next_good++]));
      if (request.include_authorized_operations)
        response.groups.back().authorized_operations =
            call.parts.access.allowed_operations(*call.identity, ResourceType::kGroup, group);
      continue;
    }
    auto& refused = response.groups.emplace_back();
    refused.group_id = std::string(group);
    refused.error_code = number(ErrorCode::kGroupAuthorizationFailed);
  }
  co_return response;
}

Task<ListGroupsResponse> handle(Call& call, const ListGroupsRequest& request) {
  ListGroupsResponse response = co_await call.broker().groups.list(request);
  if (call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDescribe)) co_return response;
  std::erase_if(response.groups, [&](const auto& group) { return !may(call, group.group_id, Operation::kDescribe); });
  co_return response;
}

Task<DeleteGroupsResponse> handle(Call& call, const DeleteGroupsRequest& request) {
  DeleteGroupsRequest good;
  for (const std::string_view group : request.groups_names)
    if (may(call, group, Operation::kDelete)) good.groups_names.push_back(group);
  DeleteGroupsResponse answered;
  if (!good.groups_names.empty()) answered = co_await call.broker().groups.erase(good);
  DeleteGroupsResponse response;
  size_t next_good = 0;
  for (const std::string_view group : request.groups_names) {
    if (next_good < good.groups_names.size() && good.groups_names[next_good] == group)
      response.results.push_back(std::move(answered.results[next_good++]));
    else
      response.results.push_back({std::string(group), number(ErrorCode::kGroupAuthorizationFailed)});
  }
  co_return response;
}

}  // namespace polis::stream
