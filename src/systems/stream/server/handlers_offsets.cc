// Questions about offsets: by time, by leader epoch; and the offset below which records are deleted.
#include <algorithm>

#include "systems/stream/server/call.h"
#include "systems/stream/server/shard_work.h"

namespace polis::stream {
namespace {

// ListOffsets of tiered logs: the first offset that lies here, which is the first there is; and the last that lies
// elsewhere, which is none.
constexpr int64_t kEarliestLocalOffset = -4, kLatestTieredOffset = -5;

// One partition of a request and its place in the answer.
template <class Asked, class Answered>
struct AskedPartition {
  const Topic* topic = nullptr;
  int32_t partition = 0;
  const Asked* asked = nullptr;
  Answered answered;
  ErrorCode error = ErrorCode::kNone;
};

ErrorCode check_asked(const Call& call, std::string_view name, const Topic* topic, int32_t partition,
                      Operation operation) {
  if (!call.allowed(ResourceType::kTopic, name, operation)) return ErrorCode::kTopicAuthorizationFailed;
  if (!topic || partition < 0 || partition >= topic->partitions) return ErrorCode::kUnknownTopicOrPartition;
  return ErrorCode::kNone;
}

ErrorCode check_leader_epoch(const Partition& partition, int32_t epoch) {
  if (epoch < 0 || epoch == partition.leader_epoch()) return ErrorCode::kNone;
  return epoch < partition.leader_epoch() ? ErrorCode::kFencedLeaderEpoch : ErrorCode::kUnknownLeaderEpoch;
}

// Asks every partition, one hop a shard: `ask(Partition&, AskedPartition&)` is a Task<void>.
template <class Item, class F>
Task<void> ask_here(const Topics& topics, std::span<Item* const> parts, F& ask) {
  for (Item* part : parts) {
    // Partitions die on their shard only.
    if (const auto partition = topics.open_partition(*part->topic, part->partition)) {
      co_await ask(*partition, *part);
    } else {
      part->error = error_code(topics.why_closed(*part->topic, part->partition));
    }
  }
}

template <class Item, class F>
Task<void> ask_all(const Topics& topics, std::vector<Item>& parts, F& ask) {
  std::vector<ShardWork<Item>> work;
  for (Item& part : parts)
    if (part.error == ErrorCode::kNone) add_work(work, topics.shard_of(*part.topic, part.partition), part);
  const auto run = [&](std::span<Item* const> here) { return ask_here(topics, here, ask); };
  co_await on_shards(work, run);
}

using ListPart = AskedPartition<ListOffsetsRequest::ListOffsetsTopic::ListOffsetsPartition,
                                ListOffsetsResponse::ListOffsetsTopicResponse::ListOffsetsPartitionResponse>;

// Version 0 wanted the beginnings of segments, newest first; what its clients need of them are the two ends.
void answer_old_style(const Partition& partition, const OffsetAndTimestamp& found, ListPart& part) {
  const auto most = static_cast<size_t>(std::max(part.asked->max_num_offsets, 0));
  auto& offsets = part.answered.old_style_offsets;
  if (found.offset >= 0) offsets.push_back(found.offset);
  if (part.asked->timestamp == kLatestOffset && found.offset != partition.log_start_offset())
    offsets.push_back(partition.log_start_offset());
  if (offsets.size() > most) offsets.resize(most);
}

Task<void> list_offset(Partition& partition, ListPart& part, Isolation isolation, int16_t version) {
  part.error = check_leader_epoch(partition, part.asked->current_leader_epoch);
  if (part.error != ErrorCode::kNone) co_return;
  int64_t timestamp = part.asked->timestamp;
  if (timestamp == kLatestTieredOffset) co_return;
  if (timestamp == kEarliestLocalOffset) timestamp = kEarliestOffset;
  if (timestamp < kMaxTimestampOffset) {
    part.error = ErrorCode::kInvalidRequest;
    co_return;
  }
  const auto found = co_await partition.offset_for(timestamp, isolation);
  if (!found) {
    part.error = error_code(found.error());
    co_return;
  }
  if (version == 0) {
    answer_old_style(partition, *found, part);
    co_return;
  }
  part.answered.offset = found->offset;
  part.answered.timestamp = found->timestamp;
  if (found->offset >= 0) part.answered.leader_epoch = found->leader_epoch;
}

using EpochPart = AskedPartition<OffsetForLeaderEpochRequest::OffsetForLeaderTopic::OffsetForLeaderPartition,
                                 OffsetForLeaderEpochResponse::OffsetForLeaderTopicResult::EpochEndOffset>;

Task<void> end_of_epoch(Partition& partition, EpochPart& part) {
  part.error = check_leader_epoch(partition, part.asked->current_leader_epoch);
  if (part.error != ErrorCode::kNone) co_return;
  std::tie(part.answered.leader_epoch, part.answered.end_offset) = partition.end_of_epoch(part.asked->leader_epoch);
}

using DeletePart = AskedPartition<DeleteRecordsRequest::DeleteRecordsTopic::DeleteRecordsPartition,
                                  DeleteRecordsResponse::DeleteRecordsTopicResult::DeleteRecordsPartitionResult>;

Task<void> delete_records(Partition& partition, DeletePart& part) {
  const auto deleted = co_await partition.delete_before(part.asked->offset);
  part.answered.low_watermark = deleted.value_or(-1);
  if (!deleted) part.error = error_code(deleted.error());
}

}  // namespace

Task<ListOffsetsResponse> handle(Call& call, const ListOffsetsRequest& request) {
  const Topics& topics = call.broker().topics;
  const auto table = topics.table();
  std::vector<ListPart> parts;
  for (const auto& topic : request.topics) {
    const Topic* found = table->find(topic.name);
    for (const auto& one : topic.partitions) {
      ListPart& part = parts.emplace_back();
      part.topic = found;
      part.partition = one.partition_index;
      part.asked = &one;
      part.error = check_asked(call, topic.name, found, one.partition_index, Operation::kDescribe);
    }
  }
  const auto isolation = request.isolation_level == 1 ? Isolation::kReadCommitted : Isolation::kReadUncommitted;
  const int16_t version = call.version;
  const auto ask = [=](Partition& partition, ListPart& part) {
    return list_offset(partition, part, isolation, version);
  };
  co_await ask_all(topics, parts, ask);
  ListOffsetsResponse response;
  auto part = parts.begin();
  for (const auto& topic : request.topics) {
    auto& answer = response.topics.emplace_back();
    answer.name = topic.name;
    for (size_t i = 0; i < topic.partitions.size(); ++i, ++part) {
      part->answered.partition_index = part->partition;
      part->answered.error_code = number(part->error);
      answer.partitions.push_back(std::move(part->answered));
    }
  }
  co_return response;
}

Task<OffsetForLeaderEpochResponse> handle(Call& call, const OffsetForLeaderEpochRequest& request) {
  const Topics& topics = call.broker().topics;
  const auto table = topics.table();
  std::vector<EpochPart> parts;
  for (const auto& topic : request.topics) {
    const Topic* found = table->find(topic.topic);
    for (const auto& one : topic.partitions) {
      EpochPart& part = parts.emplace_back();
      part.topic = found;
      part.partition = one.partition;
      part.asked = &one;
      part.error = check_asked(call, topic.topic, found, one.partition, Operation::kDescribe);
    }
  }
  const auto ask = [](Partition& partition, EpochPart& part) { return end_of_epoch(partition, part); };
  co_await ask_all(topics, parts, ask);
  OffsetForLeaderEpochResponse response;
  auto part = parts.begin();
  for (const auto& topic : request.topics) {
    auto& answer = response.topics.emplace_back();
    answer.topic = topic.topic;
    for (size_t i = 0; i < topic.partitions.size(); ++i, ++part) {
      part->answered.partition = part->partition;
      part->answered.error_code = number(part->error);
      answer.partitions.push_back(part->answered);
    }
  }
  co_return response;
}

Task<DeleteRecordsResponse> handle(Call& call, const DeleteRecordsRequest& request) {
  const Topics& topics = call.broker().topics;
  const auto table = topics.table();
  std::vector<DeletePart> parts;
  for (const auto& topic : request.topics) {
    const Topic* found = table->find(topic.name);
    for (const auto& one : topic.partitions) {
      DeletePart& part = parts.emplace_back();
      part.topic = found;
      part.partition = one.partition_index;
      part.asked = &one;
      part.answered.low_watermark = -1;
      part.error = check_asked(call, topic.name, found, one.partition_index, Operation::kDelete);
      if (part.error != ErrorCode::kNone) continue;
      if (found->internal) part.error = ErrorCode::kInvalidTopic;
      // What is compacted is kept by key, not by age.
      else if (found->config.cleanup_policy == CleanupPolicy::kCompact)
        part.error = ErrorCode::kPolicyViolation;
      else if (one.offset < kLatestOffset)
        part.error = ErrorCode::kOffsetOutOfRange;
    }
  }
  const auto ask = [](Partition& partition, DeletePart& part) { return delete_records(partition, part); };
  co_await ask_all(topics, parts, ask);
  DeleteRecordsResponse response;
  auto part = parts.begin();
  for (const auto& topic : request.topics) {
    auto& answer = response.topics.emplace_back();
    answer.name = topic.name;
    for (size_t i = 0; i < topic.partitions.size(); ++i, ++part) {
      part->answered.partition_index = part->partition;
      part->answered.error_code = number(part->error);
      answer.partitions.push_back(part->answered);
    }
  }
  co_return response;
}

}  // namespace polis::stream
