// Handlers of topics and partitions: what there is, not what is in it. Codes and their order are Kafka's.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "systems/stream/server/admin_answers.h"
#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

constexpr std::string_view kMetadataTopic = "__cluster_metadata";

template <class Names>
std::set<std::string_view> named_twice(const Names& names) {
  std::set<std::string_view> seen, twice;
  for (const std::string_view name : names)
    if (!seen.insert(name).second) twice.insert(name);
  return twice;
}

// How long a request may take, by its own word; Kafka begins what does not wait, too.
class Deadline {
 public:
  explicit Deadline(int32_t timeout_ms)
      : at_(io::Shard::current().clock().steady() + std::chrono::milliseconds(std::max(timeout_ms, 0))),
        waits_(timeout_ms > 0) {}
  bool passed() const { return waits_ && io::Shard::current().clock().steady() >= at_; }

 private:
  SteadyTime at_;
  bool waits_;
};

// KIP-599: changes of partitions are counted. Clients that know of it are refused while over the quota; older ones are
// served and slowed down.
class Mutations {
 public:
  Mutations(Call& call, bool strict) : call_(call), strict_(strict) {}

  bool refused(int32_t partitions) {
    Quotas& quotas = call_.parts.quotas;
    const Duration wait = quotas.charge(*call_.identity, call_.client_id, QuotaKind::kControllerMutations, 0);
    if (strict_ && wait > Duration::zero()) {
      note(wait);
      return true;
    }
    note(quotas.charge(*call_.identity, call_.client_id, QuotaKind::kControllerMutations, std::max(partitions, 1)));
    return false;
  }
  int32_t throttle_ms() const {
    return static_cast<int32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(wait_).count());
  }

 private:
  void note(Duration wait) {
    wait_ = std::max(wait_, wait);
    call_.throttle = std::max(call_.throttle, wait);
  }
  Call& call_;
  const bool strict_;
  Duration wait_{};
};

// One partition's replicas as somebody wants them: this node and nothing else, unless fewer may be made.
Refusal check_replicas(const Call& call, const std::vector<int32_t>& brokers) {
  const auto refuse = [](std::string message) {
    return Refusal{ErrorCode::kInvalidReplicaAssignment, std::move(message)};
  };
  if (brokers.empty()) return refuse("The manual partition assignment includes an empty replica list.");
  const int32_t here = call.broker().options.node_id;
  const std::set<int32_t> different(brokers.begin(), brokers.end());
  if (call.broker().options.fewer_replicas && different.size() == brokers.size()) return {};
  for (const int32_t broker : brokers)
    if (broker != here)
      return refuse(
          fmt::format("The manual partition assignment includes broker {}, but no such broker is registered.", broker));
  if (brokers.size() > 1)
    return refuse(fmt::format("The manual partition assignment includes the broker {} more than once.", here));
  return {};
}

// --- CreateTopics

using CreatableTopic = CreateTopicsRequest::CreatableTopic;

Refusal check_assignments(const Call& call, const CreatableTopic& topic) {
  if (topic.replication_factor != -1)
    return {ErrorCode::kInvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1."};
  if (topic.num_partitions != -1)
    return {ErrorCode::kInvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1."};
  std::set<int32_t> partitions;
  for (const auto& assignment : topic.assignments) {
    if (!partitions.insert(assignment.partition_index).second)
      return {ErrorCode::kInvalidReplicaAssignment,
              fmt::format("Found multiple manual partition assignments for partition {}", assignment.partition_index)};
    if (Refusal refusal = check_replicas(call, assignment.broker_ids); !refusal.ok()) return refusal;
  }
  if (*partitions.begin() != 0 || *partitions.rbegin() != static_cast<int32_t>(partitions.size()) - 1)
    return {ErrorCode::kInvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"};
  return {};
}

Refusal read_topic(const Call& call, const CreatableTopic& wish, NewTopic& topic) {
  if (wish.name == kMetadataTopic)
    return {ErrorCode::kInvalidRequest, fmt::format("Creation of internal topic {} is prohibited.", kMetadataTopic)};
  topic.name = wish.name;
  topic.partitions = wish.num_partitions;
  topic.replication_factor = wish.replication_factor;
  if (!wish.assignments.empty()) {
    if (Refusal refusal = check_assignments(call, wish); !refusal.ok()) return refusal;
    topic.partitions = static_cast<int32_t>(wish.assignments.size());
    topic.replication_factor = 1;
  } else if (wish.replication_factor < -1 || wish.replication_factor == 0) {
    return {ErrorCode::kInvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value."};
  } else if (wish.num_partitions < -1 || wish.num_partitions == 0) {
    return {ErrorCode::kInvalidPartitions, "Number of partitions was set to an invalid non-positive value."};
  }
  std::string nulls;
  for (const auto& config : wish.configs) {
    if (config.value)
      topic.config.insert_or_assign(std::string(config.name), std::string(*config.value));
    else
      nulls += (nulls.empty() ? "" : ",") + shown(config.name);
  }
  if (!nulls.empty()) return {ErrorCode::kInvalidConfig, "Null value not supported for topic configs: " + nulls};
  return {};
}

using CreatedTopic = CreateTopicsResponse::CreatableTopicResult;

// Of so many topics an answer tells the options: 3 KB each.
constexpr size_t kDescribedTopicsMax = 5000;

// What the answer tells of a topic that was made, or would be.
void describe_created(const Call& call, const NewTopic& wish, bool with_options, CreatedTopic& result) {
  if (const Topic* made = call.broker().topics.table()->find(wish.name)) result.topic_id = made->id;
  if (!call.allowed(ResourceType::kTopic, wish.name, Operation::kDescribeConfigs)) {
    result.topic_config_error_code = static_cast<int16_t>(ErrorCode::kTopicAuthorizationFailed);
    return;
  }
  result.num_partitions = wish.partitions == -1 ? call.broker().options.default_partitions : wish.partitions;
  result.replication_factor = 1;
  TopicConfig config;
  auto& options = result.configs.emplace();
  if (!with_options) return;
  for (const auto& [name, value] : wish.config)
    // Accepted before; what cannot be set any more is shown as its default.
    static_cast<void>(config.set(name, value).has_value());
  for (const ConfigOption& option : topic_options()) {
    const bool set = wish.config.contains(std::string(option.name));
    options.push_back({.name = std::string(option.name),
                       .value = config.get(option.name),
                       .read_only = false,
                       .config_source = static_cast<int8_t>(set ? ConfigSource::kTopic : ConfigSource::kDefault),
                       .is_sensitive = false});
  }
}

Task<Refusal> create_one(Call& call, const CreatableTopic& wish, bool validate_only, bool with_options,
                         Mutations& mutations, CreatedTopic& result) {
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kCreate) &&
      !call.allowed(ResourceType::kTopic, wish.name, Operation::kCreate))
    co_return Refusal{ErrorCode::kTopicAuthorizationFailed, "Authorization failed."};
  NewTopic topic;
  if (Refusal refusal = read_topic(call, wish, topic); !refusal.ok()) co_return refusal;
  // A topic that cannot be made costs no quota.
  if (Refusal refusal = co_await call.broker().topics.create(topic, true); !refusal.ok()) co_return refusal;
  const int32_t partitions = topic.partitions == -1 ? call.broker().options.default_partitions : topic.partitions;
  if (mutations.refused(partitions)) co_return Refusal{ErrorCode::kThrottlingQuotaExceeded, {}};
  if (!validate_only) {
    if (Refusal refusal = co_await call.broker().topics.create(topic, false); !refusal.ok()) co_return refusal;
  }
  describe_created(call, topic, with_options, result);
  co_return Refusal{};
}

// --- DeleteTopics

// One topic as the request names it, and the name that the caller may know.
struct Doomed {
  std::optional<std::string> name;
  Uuid id;
  Refusal refusal;
};

Doomed find_doomed(const Call& call, const TopicTable& table, std::optional<std::string_view> name, const Uuid& id) {
  Doomed doomed{.name = std::nullopt, .id = id, .refusal = {}};
  if (name) doomed.name = std::string(*name);
  const bool by_id = id != Uuid{};
  if (!name && !by_id) {
    doomed.refusal = {ErrorCode::kInvalidRequest, "Neither topic name nor id were specified."};
    return doomed;
  }
  if (name && by_id) {
    doomed.refusal = {ErrorCode::kInvalidRequest, "You may not specify both topic name and topic id."};
    return doomed;
  }
  const Topic* topic = by_id ? table.find(id) : table.find(*name);
  if (by_id && topic == nullptr) {
    doomed.refusal.code = ErrorCode::kUnknownTopicId;
    return doomed;
  }
  const std::string_view known = by_id ? std::string_view(topic->name) : *name;
  const bool all = call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDelete);
  const bool visible = all || call.allowed(ResourceType::kTopic, known, Operation::kDescribe);
  if (!all && !call.allowed(ResourceType::kTopic, known, Operation::kDelete)) {
    // Whether a topic is there is not told to who may not see it.
    doomed.refusal.code = !by_id && visible && topic == nullptr ? ErrorCode::kUnknownTopicOrPartition
                                                                : ErrorCode::kTopicAuthorizationFailed;
    if (by_id && visible) doomed.name = topic->name;
    return doomed;
  }
  if (topic == nullptr) {
    doomed.refusal.code = ErrorCode::kUnknownTopicOrPartition;
    return doomed;
  }
  doomed.name = topic->name;
  doomed.id = topic->id;
  return doomed;
}

Task<Refusal> erase_one(Call& call, const TopicTable& table, const std::string& name, Mutations& mutations) {
  const Topic* topic = table.find(name);
  if (mutations.refused(topic == nullptr ? 1 : topic->partitions))
    co_return Refusal{ErrorCode::kThrottlingQuotaExceeded, {}};
  Refusal refusal = co_await call.broker().topics.erase(name);
  if (refusal.ok()) co_await record_change(call, "stream:DeleteTopic", name);
  co_return refusal;
}

std::vector<Doomed> find_all_doomed(const Call& call, const DeleteTopicsRequest& request, const TopicTable& table) {
  std::vector<Doomed> all;
  for (const std::string_view name : request.topic_names) all.push_back(find_doomed(call, table, name, {}));
  for (const auto& one : request.topics) all.push_back(find_doomed(call, table, one.name, one.topic_id));
  // The same topic twice, by whatever name, is nobody's wish.
  std::map<Uuid, size_t> times;
  for (const Doomed& one : all)
    if (one.refusal.ok()) ++times[one.id];
  for (Doomed& one : all)
    if (one.refusal.ok() && times[one.id] > 1) one.refusal = {ErrorCode::kInvalidRequest, "Duplicate topic name."};
  return all;
}

// --- CreatePartitions

using MorePartitions = CreatePartitionsRequest::CreatePartitionsTopic;

Task<Refusal> add_partitions(Call& call, const MorePartitions& wish, bool validate_only, Mutations& mutations) {
  if (!call.allowed(ResourceType::kTopic, wish.name, Operation::kAlter))
    co_return Refusal{ErrorCode::kTopicAuthorizationFailed, {}};
  const std::shared_ptr<const TopicTable> table = call.broker().topics.table();
  const Topic* topic = table->find(wish.name);
  if (topic == nullptr) co_return Refusal{ErrorCode::kUnknownTopicOrPartition, {}};
  if (Refusal refusal = co_await call.broker().topics.add_partitions(std::string(wish.name), wish.count, true);
      !refusal.ok())
    co_return refusal;
  const int32_t additional = wish.count - topic->partitions;
  if (wish.assignments) {
    if (static_cast<int64_t>(wish.assignments->size()) != additional)
      co_return Refusal{ErrorCode::kInvalidReplicaAssignment,
                        fmt::format("Attempted to add {} additional partition(s), but only {} assignment(s) were "
                                    "specified.",
                                    additional, wish.assignments->size())};
    for (const auto& assignment : *wish.assignments)
      if (Refusal refusal = check_replicas(call, assignment.broker_ids); !refusal.ok()) co_return refusal;
  }
  if (mutations.refused(additional)) co_return Refusal{ErrorCode::kThrottlingQuotaExceeded, {}};
  if (validate_only) co_return Refusal{};
  co_return co_await call.broker().topics.add_partitions(std::string(wish.name), wish.count, false);
}

// --- DescribeLogDirs

struct Measured {
  std::shared_ptr<const Topic> topic;
  int32_t partition = 0;
  int64_t size_bytes = -1;  // -1: it is not open
};

// One visit to each shard, whatever the number of partitions.
Task<void> measure(Topics& topics, std::vector<Measured>& wanted) {
  std::map<io::Shard*, std::vector<Measured*>> by_shard;
  for (Measured& one : wanted) by_shard[&topics.shard_of(*one.topic, one.partition)].push_back(&one);
  for (auto& [shard, ones] : by_shard) {
    const auto look = [&topics, &ones]() -> Task<Result<void>> {
      for (Measured* one : ones)
        if (const auto open = topics.open_partition(*one->topic, one->partition))
          one->size_bytes = static_cast<int64_t>(open->statistics().size_bytes);
      co_return Result<void>{};
    };
    // It waits for nothing, so it cannot be stopped.
    POLIS_ASSERT((co_await io::on(*shard, look)).has_value());
  }
}

std::vector<Measured> find_measured(const DescribeLogDirsRequest& request, const TopicTable& table) {
  std::vector<Measured> wanted;
  std::map<std::string_view, std::set<int32_t>> asked;
  if (request.topics)
    for (const auto& topic : *request.topics)
      asked[topic.topic].insert(topic.partitions.begin(), topic.partitions.end());
  for (const std::shared_ptr<const Topic>& topic : table.all()) {
    const auto found = asked.find(topic->name);
    if (request.topics && found == asked.end()) continue;
    for (int32_t partition = 0; partition < topic->partitions; ++partition)
      if (!request.topics || found->second.contains(partition)) wanted.push_back({topic, partition});
  }
  return wanted;
}

bool has_partition(const TopicTable& table, std::string_view name, int32_t partition) {
  const Topic* topic = table.find(name);
  return topic != nullptr && partition >= 0 && partition < topic->partitions;
}

}  // namespace

Task<CreateTopicsResponse> handle(Call& call, const CreateTopicsRequest& request) {
  CreateTopicsResponse response;
  std::vector<std::string_view> names;
  for (const CreatableTopic& topic : request.topics) names.push_back(topic.name);
  const std::set<std::string_view> twice = named_twice(names);
  std::set<std::string_view> answered;
  Mutations mutations(call, call.version >= 6);
  const Deadline deadline(request.timeout_ms);
  for (const CreatableTopic& wish : request.topics) {
    if (!answered.insert(wish.name).second) continue;
    CreatedTopic result;
    result.name = wish.name;
    if (twice.contains(wish.name))
      put_refusal(result, {ErrorCode::kInvalidRequest, "Duplicate topic name."});
    else if (deadline.passed())
      put_refusal(result, {ErrorCode::kRequestTimedOut, {}});
    else
      put_refusal(result, co_await create_one(call, wish, request.validate_only,
                                              response.topics.size() < kDescribedTopicsMax, mutations, result));
    response.topics.push_back(std::move(result));
  }
  response.throttle_time_ms = mutations.throttle_ms();
  co_return response;
}

Task<DeleteTopicsResponse> handle(Call& call, const DeleteTopicsRequest& request) {
  DeleteTopicsResponse response;
  const std::shared_ptr<const TopicTable> table = call.broker().topics.table();
  Mutations mutations(call, call.version >= 5);
  const Deadline deadline(request.timeout_ms);
  for (Doomed& doomed : find_all_doomed(call, request, *table)) {
    auto& result = response.responses.emplace_back();
    if (doomed.refusal.ok()) {
      if (deadline.passed())
        doomed.refusal.code = ErrorCode::kRequestTimedOut;
      else
        doomed.refusal = co_await erase_one(call, *table, *doomed.name, mutations);
    }
    put_refusal(result, doomed.refusal);
    result.name = std::move(doomed.name);
    result.topic_id = doomed.id;
  }
  response.throttle_time_ms = mutations.throttle_ms();
  co_return response;
}

Task<CreatePartitionsResponse> handle(Call& call, const CreatePartitionsRequest& request) {
  CreatePartitionsResponse response;
  std::vector<std::string_view> names;
  for (const MorePartitions& topic : request.topics) names.push_back(topic.name);
  const std::set<std::string_view> twice = named_twice(names);
  std::set<std::string_view> answered;
  Mutations mutations(call, call.version >= 3);
  const Deadline deadline(request.timeout_ms);
  for (const MorePartitions& wish : request.topics) {
    if (!answered.insert(wish.name).second) continue;
    auto& result = response.results.emplace_back();
    result.name = wish.name;
    if (twice.contains(wish.name))
      put_refusal(result, {ErrorCode::kInvalidRequest, "Duplicate topic name."});
    else if (deadline.passed())
      put_refusal(result, {ErrorCode::kRequestTimedOut, {}});
    else
      put_refusal(result, co_await add_partitions(call, wish, request.validate_only, mutations));
  }
  response.throttle_time_ms = mutations.throttle_ms();
  co_return response;
}

Task<DescribeLogDirsResponse> handle(Call& call, const DescribeLogDirsRequest& request) {
  DescribeLogDirsResponse response;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDescribe)) {
    response.error_code = static_cast<int16_t>(ErrorCode::kClusterAuthorizationFailed);
    co_return response;
  }
  Topics& topics = call.broker().topics;
  const std::shared_ptr<const TopicTable> table = topics.table();
  std::vector<Measured> wanted = find_measured(request, *table);
  co_await measure(topics, wanted);
  const Storage storage = topics.storage();
  auto& directory = response.results.emplace_back();
  directory.log_dir = storage.directory;
  directory.total_bytes = static_cast<int64_t>(storage.total_bytes);
  directory.usable_bytes = static_cast<int64_t>(storage.usable_bytes);
  for (const Measured& one : wanted) {
    if (one.size_bytes < 0) continue;
    if (directory.topics.empty() || directory.topics.back().name != one.topic->name)
      directory.topics.emplace_back().name = one.topic->name;
    directory.topics.back().partitions.push_back(
        {.partition_index = one.partition, .partition_size = one.size_bytes, .offset_lag = 0, .is_future_key = false});
  }
  co_return response;
}

Task<ElectLeadersResponse> handle(Call& call, const ElectLeadersRequest& request) {
  ElectLeadersResponse response;
  ErrorCode refused = ErrorCode::kNone;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kAlter))
    refused = ErrorCode::kClusterAuthorizationFailed;
  else if (request.election_type != 0 && request.election_type != 1)
    refused = ErrorCode::kInvalidRequest;
  response.error_code = static_cast<int16_t>(refused);
  // All partitions: none needs an election, and those are not listed.
  if (!request.topic_partitions) co_return response;
  const std::shared_ptr<const TopicTable> table = call.broker().topics.table();
  for (const auto& topic : *request.topic_partitions) {
    auto& result = response.replica_election_results.emplace_back();
    result.topic = topic.topic;
    for (const int32_t partition : topic.partitions) {
      auto& one = result.partition_result.emplace_back();
      one.partition_id = partition;
      if (refused != ErrorCode::kNone)
        put_refusal(one, {refused, {}});
      else if (!has_partition(*table, topic.topic, partition))
        put_refusal(one, {ErrorCode::kUnknownTopicOrPartition,
                          fmt::format("No such partition as {}-{}", shown(topic.topic), partition)});
      else
        put_refusal(one, {ErrorCode::kElectionNotNeeded, {}});
    }
  }
  co_return response;
}

Task<AlterPartitionReassignmentsResponse> handle(Call& call, const AlterPartitionReassignmentsRequest& request) {
  AlterPartitionReassignmentsResponse response;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kAlter)) {
    put_refusal(response, {ErrorCode::kClusterAuthorizationFailed, {}});
    co_return response;
  }
  const std::shared_ptr<const TopicTable> table = call.broker().topics.table();
  for (const auto& topic : request.topics) {
    auto& result = response.responses.emplace_back();
    result.name = topic.name;
    for (const auto& partition : topic.partitions) {
      auto& one = result.partitions.emplace_back();
      one.partition_index = partition.partition_index;
      if (!has_partition(*table, topic.name, partition.partition_index))
        put_refusal(one,
                    {ErrorCode::kUnknownTopicOrPartition,
                     fmt::format("Unable to find partition {}:{}.", shown(topic.name), partition.partition_index)});
      else if (!partition.replicas)
        put_refusal(one, {ErrorCode::kNoReassignmentInProgress, {}});
      else
        // To this node: it is there already.
        put_refusal(one, check_replicas(call, *partition.replicas));
    }
  }
  co_return response;
}

Task<ListPartitionReassignmentsResponse> handle(Call& call, const ListPartitionReassignmentsRequest&) {
  ListPartitionReassignmentsResponse response;
  // There is one node: nothing is ever on its way.
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDescribe))
    put_refusal(response, {ErrorCode::kClusterAuthorizationFailed, {}});
  co_return response;
}

}  // namespace polis::stream
