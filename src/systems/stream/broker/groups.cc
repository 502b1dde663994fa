#include "systems/stream/broker/groups.h"

#include <algorithm>
#include <functional>
#include <type_traits>
#include <utility>

#include "systems/stream/broker/group_coordinator.h"

namespace polis::stream {
namespace {

// Of a group's name; it is part of every record's key. Kafka's own strings end at 32,767 bytes.
constexpr size_t kGroupIdBytesMax = 4096;
constexpr Duration kLoadAskAgainAfter = std::chrono::milliseconds(10);

class OpenGroups final : public Groups {
 public:
  explicit OpenGroups(GroupsParts parts)
      : topics_(parts.topics), clock_(parts.clock), random_(parts.random), options_(parts.options) {}

  Task<Result<void>> open();

  Task<JoinGroupResponse> join(JoinGroupRequest request, GroupClient client) override;
  Task<SyncGroupResponse> sync(SyncGroupRequest request) override;
  Task<HeartbeatResponse> heartbeat(HeartbeatRequest request) override;
  Task<LeaveGroupResponse> leave(LeaveGroupRequest request, int16_t version) override;
  Task<OffsetCommitResponse> commit(OffsetCommitRequest request) override;
  Task<TxnOffsetCommitResponse> commit_in_transaction(TxnOffsetCommitRequest request) override;
  Task<OffsetFetchResponse> fetch(OffsetFetchRequest request, int16_t version) override;
  Task<OffsetDeleteResponse> erase_offsets(OffsetDeleteRequest request) override;
  Task<DescribeGroupsResponse> describe(DescribeGroupsRequest request) override;
  Task<ListGroupsResponse> list(ListGroupsRequest request) override;
  Task<DeleteGroupsResponse> erase(DeleteGroupsRequest request) override;
  Task<void> end_transaction(int32_t offsets_partition, int64_t producer_id, bool commit) override;
  int32_t partition_of(std::string_view group) const override;
  Task<Result<int32_t>> prepare(std::string group) override;
  Task<void> topic_erased(std::string topic) override;
  Task<void> close() override;

 private:
  // The topic as a picture that is held; null if it is not there.
  struct Home {
    std::shared_ptr<const TopicTable> table;
    const Topic* topic = nullptr;
    explicit operator bool() const { return topic != nullptr; }
  };
  Home home() const {
    Home found{topics_.table(), nullptr};
    found.topic = found.table->find(kOffsetsTopic);
    return found;
  }
  Task<Result<Home>> make_home();
  // A topic that somebody made with more partitions than there are coordinators has groups in the first ones only.
  int32_t partitions_of(const Home& there) const {
    return std::min(there.topic->partitions, static_cast<int32_t>(coordinators_.size()));
  }
  std::shared_ptr<Partition> open_partition(int32_t partition) const {
    const Home found = home();
    return found ? topics_.open_partition(*found.topic, partition) : nullptr;
  }
  bool was_and_is_there(std::string_view topic) const {
    return at_start_->find(topic) != nullptr && topics_.table()->find(topic) != nullptr;
  }
  // On its shard.
  GroupCoordinator& coordinator(int32_t partition) {
    auto& slot = coordinators_[static_cast<size_t>(partition)];
    if (!slot)
      slot = std::make_unique<GroupCoordinator>([this, partition] { return open_partition(partition); },
                                                [this](std::string_view topic) { return was_and_is_there(topic); },
                                                clock_, random_, options_);
    return *slot;
  }
  // Calls use(GroupCoordinator&), a coroutine, on the shard of that partition of the offsets topic, once its groups are
  // read; else the code tells why not.
  template <class F>
  auto at(const Home& there, int32_t partition, F use)
      -> Task<std::pair<ErrorCode, typename std::invoke_result_t<F&, GroupCoordinator&>::value_type>>;
  // The same for a group that may have to be the first.
  template <class F>
  auto at_group(std::string_view group, F use)
      -> Task<std::pair<ErrorCode, typename std::invoke_result_t<F&, GroupCoordinator&>::value_type>>;
  Task<void> tend_often();

  Topics& topics_;
  const Clock& clock_;
  Random& random_;
  const GroupsOptions options_;
  std::shared_ptr<const TopicTable> at_start_;
  // One for each partition; used on its partition's shard only. As many as the topic has, or will have when it is made.
  std::vector<std::unique_ptr<GroupCoordinator>> coordinators_;
  io::TaskGroup tasks_;
};

ErrorCode check_group_id(std::string_view group, bool may_be_empty) {
  // Offsets of a group without a name are as old as the protocol.
  return group.size() > kGroupIdBytesMax || (group.empty() && !may_be_empty) ? ErrorCode::kInvalidGroupId
                                                                             : ErrorCode::kNone;
}

// --- opening

Task<Result<void>> OpenGroups::open() {
  at_start_ = topics_.table();
  const Home there = home();
  const int32_t partitions = there ? there.topic->partitions : options_.offsets_partitions;
  if (partitions < 1) co_return fail(Code::kInvalid, "the offsets topic needs at least one partition");
  coordinators_.resize(static_cast<size_t>(partitions));
  for (int32_t i = 0; there && i < partitions; ++i) {
    const auto begin = [this, i]() -> Task<bool> {
      coordinator(i).load();
      co_return true;
    };
    (void)co_await io::on(topics_.shard_of(*there.topic, i), std::cref(begin));
  }
  tasks_.spawn(tend_often());
  co_return {};
}

Task<void> OpenGroups::close() {
  tasks_.stop();
  co_await tasks_.join();
  const Home there = home();
  if (!there) co_return;
  for (int32_t i = 0; i < static_cast<int32_t>(coordinators_.size()); ++i) {
    const auto end = [this, i]() -> Task<bool> {
      auto& slot = coordinators_[static_cast<size_t>(i)];
      if (slot) co_await slot->close();
      slot.reset();
      co_return true;
    };
    (void)co_await io::on(topics_.shard_of(*there.topic, i), std::cref(end));
  }
}

Task<void> OpenGroups::tend_often() {
  while (co_await io::sleep_for(options_.expiry_every)) {
    const Home there = home();
    if (!there) continue;
    for (int32_t i = 0; i < partitions_of(there); ++i) {
      const auto tend = [this, i]() -> Task<bool> {
        co_await coordinator(i).tend();
        co_return true;
      };
      (void)co_await io::on(topics_.shard_of(*there.topic, i), std::cref(tend));
    }
  }
}

Task<Result<OpenGroups::Home>> OpenGroups::make_home() {
  if (Home there = home()) co_return there;
  const Refusal refused = co_await topics_.create(
      {.name = std::string(kOffsetsTopic),
       .partitions = static_cast<int32_t>(coordinators_.size()),
       .config = {{"cleanup.policy", "compact"}, {"segment.bytes", std::to_string(options_.offsets_segment_bytes)}}},
      false, true);
  if (!refused.ok() && refused.code != ErrorCode::kTopicAlreadyExists)
    co_return fail(Code::kUnavailable, "the offsets topic cannot be made: " + refused.message);
  if (Home there = home()) co_return there;
  co_return fail(Code::kUnavailable, "the offsets topic is not there yet");
}

template <class F>
auto OpenGroups::at(const Home& there, int32_t partition, F use)
    -> Task<std::pair<ErrorCode, typename std::invoke_result_t<F&, GroupCoordinator&>::value_type>> {
  using Answer = std::pair<ErrorCode, typename std::invoke_result_t<F&, GroupCoordinator&>::value_type>;
  if (partition < 0 || partition >= partitions_of(there)) co_return Answer(ErrorCode::kNotCoordinator, {});
  const auto work = [this, partition, &use]() -> Task<Answer> {
    GroupCoordinator& groups = coordinator(partition);
    if (const ErrorCode code = co_await groups.ready(); code != ErrorCode::kNone) co_return Answer(code, {});
    co_return Answer(ErrorCode::kNone, co_await use(groups));
  };
  co_return co_await io::on(topics_.shard_of(*there.topic, partition), std::cref(work));
}

template <class F>
auto OpenGroups::at_group(std::string_view group, F use)
    -> Task<std::pair<ErrorCode, typename std::invoke_result_t<F&, GroupCoordinator&>::value_type>> {
  using Answer = std::pair<ErrorCode, typename std::invoke_result_t<F&, GroupCoordinator&>::value_type>;
  const auto there = co_await make_home();
  if (!there) co_return Answer(ErrorCode::kCoordinatorNotAvailable, {});
  co_return co_await at(*there, partition_of(group), std::ref(use));
}

int32_t OpenGroups::partition_of(std::string_view group) const {
  return offsets_partition_of(group, static_cast<int32_t>(coordinators_.size()));
}

Task<Result<int32_t>> OpenGroups::prepare(std::string group) {
  CO_TRY(co_await make_home());
  co_return partition_of(group);
}

// --- members

Task<JoinGroupResponse> OpenGroups::join(JoinGroupRequest request, GroupClient client) {
  JoinGroupResponse refused;
  refused.member_id = std::string(request.member_id);
  if (const ErrorCode code = check_group_id(request.group_id, false); code != ErrorCode::kNone) {
    refused.error_code = number(code);
    co_return refused;
  }
  const auto use = [&](GroupCoordinator& groups) { return groups.join(request, client); };
  auto [code, response] = co_await at_group(request.group_id, std::cref(use));
  if (code == ErrorCode::kNone) co_return std::move(response);
  refused.error_code = number(code);
  co_return refused;
}

Task<SyncGroupResponse> OpenGroups::sync(SyncGroupRequest request) {
  SyncGroupResponse refused;
  ErrorCode code = check_group_id(request.group_id, false);
  if (code == ErrorCode::kNone) {
    const auto use = [&](GroupCoordinator& groups) { return groups.sync(request); };
    auto answered = co_await at_group(request.group_id, std::cref(use));
    if (answered.first == ErrorCode::kNone) co_return std::move(answered.second);
    code = answered.first;
  }
  refused.error_code = number(code);
  co_return refused;
}

Task<HeartbeatResponse> OpenGroups::heartbeat(HeartbeatRequest request) {
  HeartbeatResponse refused;
  ErrorCode code = check_group_id(request.group_id, false);
  if (code == ErrorCode::kNone) {
    const auto use = [&](GroupCoordinator& groups) -> Task<HeartbeatResponse> { co_return groups.heartbeat(request); };
    auto answered = co_await at_group(request.group_id, std::cref(use));
    if (answered.first == ErrorCode::kNone) co_return answered.second;
    code = answered.first;
  }
  refused.error_code = number(code);
  co_return refused;
}

Task<LeaveGroupResponse> OpenGroups::leave(LeaveGroupRequest request, int16_t version) {
  LeaveGroupResponse refused;
  ErrorCode code = check_group_id(request.group_id, false);
  if (code == ErrorCode::kNone) {
    const auto use = [&](GroupCoordinator& groups) { return groups.leave(request, version); };
    auto answered = co_await at_group(request.group_id, std::cref(use));
    if (answered.first == ErrorCode::kNone) co_return std::move(answered.second);
    code = answered.first;
  }
  refused.error_code = number(code);
  co_return refused;
}

// --- offsets

template <class Response, class Request>
Response all_partitions(const Request& request, ErrorCode code) {
  Response response;
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = std::string(topic.name);
    for (const auto& partition : topic.partitions)
      answered.partitions.push_back({partition.partition_index, number(code)});
  }
  return response;
}

Task<OffsetCommitResponse> OpenGroups::commit(OffsetCommitRequest request) {
  ErrorCode code = check_group_id(request.group_id, true);
  if (code == ErrorCode::kNone) {
    const auto use = [&](GroupCoordinator& groups) { return groups.commit(request); };
    auto answered = co_await at_group(request.group_id, std::cref(use));
    if (answered.first == ErrorCode::kNone) co_return std::move(answered.second);
    code = answered.first;
  }
  co_return all_partitions<OffsetCommitResponse>(request, code);
}

Task<TxnOffsetCommitResponse> OpenGroups::commit_in_transaction(TxnOffsetCommitRequest request) {
  ErrorCode code = check_group_id(request.group_id, true);
  if (code == ErrorCode::kNone) {
    const auto use = [&](GroupCoordinator& groups) { return groups.commit_in_transaction(request); };
    auto answered = co_await at_group(request.group_id, std::cref(use));
    if (answered.first == ErrorCode::kNone) co_return std::move(answered.second);
    code = answered.first;
  }
  co_return all_partitions<TxnOffsetCommitResponse>(request, code);
}

// Up to version 7 a request asks for one group, then for many. Inside there is only the newer form.
Task<OffsetFetchResponse> OpenGroups::fetch(OffsetFetchRequest request, int16_t version) {
  constexpr int16_t kManyGroupsFrom = 8;
  using Group = OffsetFetchRequest::OffsetFetchRequestGroup;
  if (version < kManyGroupsFrom) {
    Group one{.group_id = request.group_id, .member_id = {}, .member_epoch = -1, .topics = {}};
    if (request.topics) {
      one.topics.emplace();
      for (auto& topic : *request.topics) one.topics->push_back({topic.name, std::move(topic.partition_indexes)});
    }
    request.groups = {std::move(one)};
  }
  OffsetFetchResponse response;
  for (const Group& group : request.groups) {
    ErrorCode code = check_group_id(group.group_id, true);
    if (code == ErrorCode::kNone) {
      const auto use = [&](GroupCoordinator& groups) -> Task<OffsetFetchResponse::OffsetFetchResponseGroup> {
        co_return groups.fetch(group, request.require_stable);
      };
      auto answered = co_await at_group(group.group_id, std::cref(use));
      code = answered.first;
      if (code == ErrorCode::kNone) response.groups.push_back(std::move(answered.second));
    }
    if (code != ErrorCode::kNone)
      response.groups.push_back({.group_id = std::string(group.group_id), .topics = {}, .error_code = number(code)});
  }
  if (version >= kManyGroupsFrom) co_return response;
  auto& only = response.groups.front();
  response.error_code = only.error_code;
  for (auto& topic : only.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = std::move(topic.name);
    for (auto& partition : topic.partitions)
      answered.partitions.push_back({.partition_index = partition.partition_index,
                                     .committed_offset = partition.committed_offset,
                                     .committed_leader_epoch = partition.committed_leader_epoch,
                                     .metadata = std::move(partition.metadata),
                                     .error_code = partition.error_code});
  }
  // Version 1 has no place for an error but the partitions.
  if (only.error_code != 0 && request.groups.front().topics) {
    for (const auto& topic : *request.groups.front().topics) {
      auto& answered = response.topics.emplace_back();
      answered.name = std::string(topic.name);
      for (const int32_t partition : topic.partition_indexes)
        answered.partitions.push_back({.partition_index = partition,
                                       .committed_offset = -1,
                                       .committed_leader_epoch = -1,
                                       .metadata = "",
                                       .error_code = only.error_code});
    }
  }
  response.groups.clear();
  co_return response;
}

Task<OffsetDeleteResponse> OpenGroups::erase_offsets(OffsetDeleteRequest request) {
  OffsetDeleteResponse refused;
  ErrorCode code = check_group_id(request.group_id, true);
  if (code == ErrorCode::kNone) {
    const auto use = [&](GroupCoordinator& groups) { return groups.erase_offsets(request); };
    auto answered = co_await at_group(request.group_id, std::cref(use));
    if (answered.first == ErrorCode::kNone) co_return std::move(answered.second);
    code = answered.first;
  }
  refused.error_code = number(code);
  co_return refused;
}

// --- looking

Task<DescribeGroupsResponse> OpenGroups::describe(DescribeGroupsRequest request) {
  DescribeGroupsResponse response;
  for (const std::string_view group : request.groups) {
    ErrorCode code = check_group_id(group, true);
    if (code == ErrorCode::kNone) {
      const auto use = [&](GroupCoordinator& groups) -> Task<DescribeGroupsResponse::DescribedGroup> {
        co_return groups.describe(group);
      };
      auto answered = co_await at_group(group, std::cref(use));
      code = answered.first;
      if (code == ErrorCode::kNone) response.groups.push_back(std::move(answered.second));
    }
    if (code == ErrorCode::kNone) continue;
    auto& refused = response.groups.emplace_back();
    refused.error_code = number(code);
    refused.group_id = std::string(group);
  }
  co_return response;
}

Task<ListGroupsResponse> OpenGroups::list(ListGroupsRequest request) {
  using Listed = std::vector<ListGroupsResponse::ListedGroup>;
  ListGroupsResponse response;
  const Home there = home();
  if (!there) co_return response;
  for (int32_t i = 0; i < partitions_of(there); ++i) {
    const auto use = [&](GroupCoordinator& groups) -> Task<Listed> {
      Listed some;
      groups.list(request, some);
      co_return some;
    };
    auto answered = co_await at(there, i, std::cref(use));
    if (answered.first != ErrorCode::kNone) response.error_code = number(answered.first);
    std::ranges::move(answered.second, std::back_inserter(response.groups));
  }
  co_return response;
}

// --- ending

Task<DeleteGroupsResponse> OpenGroups::erase(DeleteGroupsRequest request) {
  DeleteGroupsResponse response;
  for (const std::string_view group : request.groups_names) {
    ErrorCode code = check_group_id(group, true);
    if (code == ErrorCode::kNone) {
      const auto use = [&](GroupCoordinator& groups) { return groups.erase(group); };
      const auto answered = co_await at_group(group, std::cref(use));
      code = answered.first == ErrorCode::kNone ? answered.second : answered.first;
    }
    response.results.push_back({std::string(group), number(code)});
  }
  co_return response;
}

Task<void> OpenGroups::end_transaction(int32_t offsets_partition, int64_t producer_id, bool commit) {
  const auto use = [&](GroupCoordinator& groups) -> Task<bool> {
    groups.end_transaction(producer_id, commit);
    co_return true;
  };
  while (true) {
    const Home there = home();
    if (!there || offsets_partition < 0 || offsets_partition >= partitions_of(there)) co_return;
    const auto answered = co_await at(there, offsets_partition, std::cref(use));
    // While it is still read, the marker may already have been passed over as not yet there, so it must be told after.
    if (answered.first != ErrorCode::kCoordinatorLoadInProgress) co_return;
    if (!co_await io::sleep_for(kLoadAskAgainAfter)) co_return;  // polis ends; the log knows
  }
}

Task<void> OpenGroups::topic_erased(std::string topic) {
  const Home there = home();
  if (!there || topic == kOffsetsTopic) co_return;
  for (int32_t i = 0; i < partitions_of(there); ++i) {
    const auto use = [&](GroupCoordinator& groups) -> Task<bool> {
      co_await groups.topic_erased(topic);
      co_return true;
    };
    (void)co_await at(there, i, std::cref(use));  // offsets that stay expire
  }
}

}  // namespace

Task<Result<std::unique_ptr<Groups>>> open_groups(GroupsParts parts) {
  auto groups = std::make_unique<OpenGroups>(parts);
  CO_TRY(co_await groups->open());
  co_return std::unique_ptr<Groups>(std::move(groups));
}

}  // namespace polis::stream
