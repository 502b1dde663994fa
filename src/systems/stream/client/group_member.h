// A member of a consumer group, by the classic protocol and Kafka's own "range" assignment, so that it can share a
// group with any other client: join, take what the leader assigned, heartbeat, commit, leave. It has a connection of
// its own, because a join waits for the others. Belongs to one shard and one coroutine at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "systems/stream/client/client.h"

namespace polis::stream {

struct GroupMemberOptions {
  std::string group;
  std::vector<std::string> topics;
  int32_t session_timeout_ms = 10'000;
  int32_t rebalance_timeout_ms = 10'000;
};

class GroupMember {
 public:
  GroupMember(Client client, GroupMemberOptions options);

  // Joins, or joins again after a rebalance began; answers when the assignment is there.
  Task<Result<void>> join();
  // False: the group rebalances (or has forgotten this member), join() again.
  Task<Result<bool>> heartbeat();
  Task<Result<void>> commit(std::string topic, int32_t partition, Offset offset);
  // kEarliestOffset or kLatestOffset where nothing is committed.
  Task<Result<Offset>> position(std::string topic, int32_t partition, int64_t otherwise);
  Task<Result<void>> leave();

  const std::vector<TopicPartition>& assignment() const { return assignment_; }
  const std::string& id() const { return id_; }
  int32_t generation() const { return generation_; }
  Client& client() { return client_; }

 private:
  Task<Result<void>> sync(const JoinGroupResponse& joined);

  Client client_;
  GroupMemberOptions options_;
  std::string id_;
  int32_t generation_ = -1;
  std::vector<TopicPartition> assignment_;
};

// --- what travels inside the group's messages; pure

Bytes encode_subscription(const std::vector<std::string>& topics);
Result<std::vector<std::string>> decode_subscription(BytesView bytes);
Bytes encode_assignment(const std::vector<TopicPartition>& partitions);
Result<std::vector<TopicPartition>> decode_assignment(BytesView bytes);
// Each topic's partitions in ranges over the members that subscribe to it, by member id.
std::map<std::string, std::vector<TopicPartition>> assign_ranges(
    const std::map<std::string, std::vector<std::string>>& subscriptions,
    const std::map<std::string, int32_t>& partitions);

}  // namespace polis::stream
