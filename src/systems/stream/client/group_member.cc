#include "systems/stream/client/group_member.h"

#include <algorithm>

namespace polis::stream {
namespace {

constexpr std::string_view kProtocolType = "consumer", kProtocol = "range";
constexpr int kJoinTriesMax = 100;  // a rebalance that never settles is told, not waited for

bool is(const Result<void>& result, std::string_view name) {
  return !result && result.error().message().starts_with(name);
}

}  // namespace

Bytes encode_subscription(const std::vector<std::string>& topics) {
  Bytes bytes;
  Encoder encoder(bytes);
  encoder.field(int16_t{0});
  encoder.array(topics, [&](const std::string& topic) { encoder.field(topic); });
  encoder.field(int32_t{-1});  // no user data
  return bytes;
}

Result<std::vector<std::string>> decode_subscription(BytesView bytes) {
  Decoder decoder(bytes);
  int16_t version = 0;
  std::vector<std::string> topics;
  decoder.field(version);
  decoder.array(topics, [&](std::string& topic) { decoder.field(topic); });
  TRY(decoder.status());
  return topics;
}

Bytes encode_assignment(const std::vector<TopicPartition>& partitions) {
  std::map<std::string, std::vector<int32_t>> by_topic;
  for (const TopicPartition& one : partitions) by_topic[one.topic].push_back(one.partition);
  const std::vector<std::pair<std::string, std::vector<int32_t>>> topics(by_topic.begin(), by_topic.end());
  Bytes bytes;
  Encoder encoder(bytes);
  encoder.field(int16_t{0});
  encoder.array(topics, [&](const auto& topic) {
    encoder.field(topic.first);
    encoder.array(topic.second, [&](int32_t number) { encoder.field(number); });
  });
  encoder.field(int32_t{-1});  // no user data
  return bytes;
}

Result<std::vector<TopicPartition>> decode_assignment(BytesView bytes) {
  std::vector<TopicPartition> assignment;
  if (bytes.empty()) return assignment;
  Decoder decoder(bytes);
  int16_t version = 0;
  std::vector<std::pair<std::string, std::vector<int32_t>>> topics;
  decoder.field(version);
  decoder.array(topics, [&](auto& topic) {
    decoder.field(topic.first);
    decoder.array(topic.second, [&](int32_t& number) { decoder.field(number); });
  });
  TRY(decoder.status());
  for (const auto& [topic, numbers] : topics)
    for (int32_t number : numbers) assignment.push_back({.topic = topic, .partition = number});
  return assignment;
}

std::map<std::string, std::vector<TopicPartition>> assign_ranges(
    const std::map<std::string, std::vector<std::string>>& subscriptions,
    const std::map<std::string, int32_t>& partitions) {
  std::map<std::string, std::vector<TopicPartition>> assigned;
  for (const auto& [member, topics] : subscriptions) assigned[member];
  for (const auto& [topic, count] : partitions) {
    std::vector<std::string> members;
    for (const auto& [member, topics] : subscriptions)
      if (std::ranges::find(topics, topic) != topics.end()) members.push_back(member);
    if (members.empty()) continue;
    const auto size = static_cast<int32_t>(members.size());
    int32_t next = 0;
    for (int32_t at = 0; at < size; ++at)
      for (int32_t left = count / size + (at < count % size); left > 0; --left)
        assigned[members[static_cast<size_t>(at)]].push_back({.topic = topic, .partition = next++});
  }
  return assigned;
}

GroupMember::GroupMember(Client client, GroupMemberOptions options)
    : client_(std::move(client)), options_(std::move(options)) {}

Task<Result<void>> GroupMember::join() {
  const Bytes subscription = encode_subscription(options_.topics);
  for (int tries = 0; tries < kJoinTriesMax; ++tries) {
    JoinGroupRequest request{.group_id = options_.group,
                             .session_timeout_ms = options_.session_timeout_ms,
                             .rebalance_timeout_ms = options_.rebalance_timeout_ms,
                             .member_id = id_,
                             .protocol_type = kProtocolType};
    request.protocols.push_back({.name = kProtocol, .metadata = subscription});
    const auto joined = CO_TRY(co_await client_.connection().call(request));
    Result<void> held = stream::check(joined.error_code, options_.group);
    if (is(held, "MEMBER_ID_REQUIRED")) {
      id_ = joined.member_id;
      continue;
    }
    if (is(held, "UNKNOWN_MEMBER_ID")) {
      id_.clear();
      continue;
    }
    if (is(held, "REBALANCE_IN_PROGRESS")) continue;
    CO_TRY(std::move(held));
    id_ = joined.member_id;
    generation_ = joined.generation_id;
    held = co_await sync(joined);
    // Somebody came or went meanwhile.
    if (is(held, "REBALANCE_IN_PROGRESS") || is(held, "ILLEGAL_GENERATION")) continue;
    if (is(held, "UNKNOWN_MEMBER_ID")) {
      id_.clear();
      continue;
    }
    co_return held;
  }
  co_return fail(Code::kBusy, "group " + options_.group + " does not settle");
}

Task<Result<void>> GroupMember::sync(const JoinGroupResponse& joined) {
  SyncGroupRequest request{.group_id = options_.group,
                           .generation_id = generation_,
                           .member_id = id_,
                           .protocol_type = kProtocolType,
                           .protocol_name = kProtocol};
  std::map<std::string, Bytes> assignments;
  if (joined.leader == id_) {
    std::map<std::string, std::vector<std::string>> subscriptions;
    std::map<std::string, int32_t> partitions;
    for (const auto& member : joined.members) {
      subscriptions[member.member_id] = CO_TRY(decode_subscription(member.metadata));
      for (const std::string& topic : subscriptions[member.member_id]) partitions[topic] = 0;
    }
    for (auto& [topic, count] : partitions) {
      auto found = co_await client_.partitions_of(topic);
      if (!found && found.error().code() != Code::kNotFound) co_return fail(std::move(found).error());
      count = found.value_or(0);
    }
    for (const auto& [member, parts] : assign_ranges(subscriptions, partitions))
      assignments[member] = encode_assignment(parts);
  }
  for (const auto& [member, bytes] : assignments)
    request.assignments.push_back({.member_id = member, .assignment = bytes});
  const auto synced = CO_TRY(co_await client_.connection().call(request));
  CO_TRY(stream::check(synced.error_code, options_.group));
  assignment_ = CO_TRY(decode_assignment(synced.assignment));
  co_return Result<void>();
}

Task<Result<bool>> GroupMember::heartbeat() {
  const HeartbeatRequest request{.group_id = options_.group, .generation_id = generation_, .member_id = id_};
  const auto answer = CO_TRY(co_await client_.connection().call(request));
  Result<void> held = stream::check(answer.error_code, options_.group);
  if (held) co_return true;
  if (is(held, "REBALANCE_IN_PROGRESS") || is(held, "ILLEGAL_GENERATION") || is(held, "UNKNOWN_MEMBER_ID"))
    co_return false;
  co_return fail(std::move(held).error());
}

Task<Result<void>> GroupMember::commit(std::string topic, int32_t partition, Offset offset) {
  co_return co_await client_.commit(options_.group, std::move(topic), partition, offset, generation_, id_);
}

Task<Result<Offset>> GroupMember::position(std::string topic, int32_t partition, int64_t otherwise) {
  const std::optional<Offset> found = CO_TRY(co_await client_.committed(options_.group, topic, partition));
  if (found) co_return *found;
  co_return co_await client_.offset_for(topic, partition, otherwise);
}

Task<Result<void>> GroupMember::leave() {
  LeaveGroupRequest request{.group_id = options_.group};
  request.members.push_back({.member_id = id_});
  const auto answer = CO_TRY(co_await client_.connection().call(request));
  assignment_.clear();
  id_.clear();
  co_return stream::check(answer.error_code, options_.group);
}

}  // namespace polis::stream
