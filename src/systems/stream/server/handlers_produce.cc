// Produce: batches to their partitions, in order, and one answer when all are as durable as was asked.
#include <algorithm>
#include <fmt/format.h>

#include "systems/stream/server/call.h"
#include "systems/stream/server/shard_work.h"

namespace polis::stream {
namespace {

constexpr size_t kMagicAt = 16;

// One partition of the request.
struct ProducePart {
  const Topic* topic = nullptr;
  int32_t partition = 0;
  BytesView records;
  Refusal refusal;
  Offset base_offset = -1;  // of the first batch
  Offset next_offset = -1;  // behind the last
  int64_t log_append_time = -1;
  Offset log_start_offset = -1;
};

struct ProduceRound {
  const Topics& topics;
  AppendTurns& turns;
  Meter* meter;
  bool wait;  // for the disk
};

// What an append would find too late: before version 3 there may be several batches, later exactly one. The formats
// before 2 are refused as KIP-896 does.
Refusal check_produced_records(const Records& records, int16_t version) {
  const BytesView bytes = records.bytes;
  if (records.null || bytes.empty())
    return {ErrorCode::kInvalidRecord, "a produce request without records for a partition"};
  if (bytes.size() <= kMagicAt) return {ErrorCode::kCorruptMessage, "a record batch that is cut off"};
  if (static_cast<int8_t>(bytes[kMagicAt]) < 2)
    return {version < 3 ? ErrorCode::kUnsupportedVersion : ErrorCode::kUnsupportedForMessageFormat,
            "message formats 0 and 1 are not taken: the producer is too old"};
  BytesView rest = bytes;
  for (size_t batches = 0; !rest.empty(); ++batches) {
    if (batches == 1 && version >= 3) return {ErrorCode::kInvalidRecord, "more than one record batch for a partition"};
    const auto size = RecordBatch::size_of(rest);
    if (!size) return {ErrorCode::kCorruptMessage, size.error().text()};
    if (!*size || **size > rest.size()) return {ErrorCode::kCorruptMessage, "a record batch that is cut off"};
    if (RecordBatch(rest).compression() == Compression::kZstd && version < 7)
      return {ErrorCode::kUnsupportedCompressionType, "zstd needs a produce request of version 7"};
    rest = rest.subspan(**size);
  }
  return {};
}

bool has_transactional(const ProduceRequest& request) {
  for (const auto& topic : request.topic_data)
    for (const auto& data : topic.partition_data)
      if (const RecordBatch batch(data.records.bytes);
          batch.bytes().size() >= kBatchHeaderBytes && batch.magic() == 2 && batch.transactional())
        return true;
  return false;
}

// Of one topic: what holds for all its partitions.
Refusal check_produced_topic(const Call& call, const ProduceRequest& request, std::string_view name,
                             const Topic* topic) {
  if (request.acks < -1 || request.acks > 1)
    return {ErrorCode::kInvalidRequiredAcks, fmt::format("acks is {}; -1, 0 and 1 are known", request.acks)};
  if (!call.allowed(ResourceType::kTopic, name, Operation::kWrite)) return {ErrorCode::kTopicAuthorizationFailed, {}};
  if (!topic) return {is_topic_name(name) ? ErrorCode::kUnknownTopicOrPartition : ErrorCode::kInvalidTopic, {}};
  if (topic->internal) return {ErrorCode::kInvalidTopic, "only the broker writes to an internal topic"};
  if (request.acks == -1 && topic->config.min_insync_replicas > 1)
    return {ErrorCode::kNotEnoughReplicas,
            fmt::format("min.insync.replicas is {}, and there is one", topic->config.min_insync_replicas)};
  if (call.broker().topics.disk_full())
    return {ErrorCode::kKafkaStorageError, "the disk is nearly full: no more records are taken"};
  return {};
}

// --- on the partition's shard

void note_append(const ProduceRound& round, ProducePart& part, const AppendResult& result, const RecordBatch& batch) {
  if (!result.refusal.ok()) {
    part.refusal = result.refusal;
    if (round.meter) round.meter->refused();
    return;
  }
  if (part.base_offset < 0) part.base_offset = result.base_offset;
  part.next_offset = std::max(part.next_offset, result.next_offset);
  part.log_append_time = std::max(part.log_append_time, result.log_append_time);
  if (round.meter && !result.duplicate)
    round.meter->appended(batch.bytes().size(), static_cast<uint64_t>(batch.count()));
}

BytesView take_batch(BytesView& rest) {
  const size_t size = RecordBatch::size_of(rest).value().value();
  const BytesView batch = rest.first(size);
  rest = rest.subspan(size);
  return batch;
}

Task<void> wait_for_disk(Partition& partition, ProducePart& part) {
  const auto waited = co_await partition.wait(part.next_offset);
  if (!waited) part.refusal = {error_code(waited.error()), waited.error().text()};
  part.log_start_offset = partition.log_start_offset();
}

// The batch that comes next has its place already; `rest` follows it.
Task<void> append_later(const ProduceRound& round, Partition& partition, ProducePart& part, BytesView batch,
                        BytesView rest) {
  note_append(round, part, co_await round.turns.append_in_turn(partition, batch), RecordBatch(batch));
  while (part.refusal.ok() && !rest.empty()) {
    batch = take_batch(rest);
    auto result = round.turns.append(partition, batch);
    if (!result) result = co_await round.turns.append_in_turn(partition, batch);
    note_append(round, part, *result, RecordBatch(batch));
  }
  if (part.refusal.ok() && round.wait) co_await wait_for_disk(partition, part);
}

// Everything is appended, or has its place, before this suspends: the order of requests is the order of batches.
Task<void> append_here(const ProduceRound& round, std::span<ProducePart* const> parts) {
  // Partitions die on their shard only.
  std::vector<std::shared_ptr<Partition>> open;
  open.reserve(parts.size());
  io::Scope* const scope = co_await io::this_scope();  // does not suspend
  std::optional<io::TaskGroup> tasks;
  ProducePart* single = nullptr;  // the only one that waits
  for (ProducePart* part : parts) {
    open.push_back(round.topics.open_partition(*part->topic, part->partition));
    if (!open.back()) {
      const Error why = round.topics.why_closed(*part->topic, part->partition);
      part->refusal = {error_code(why), why.text()};
      continue;
    }
    Partition& partition = *open.back();
    BytesView rest = part->records;
    bool later = false;
    while (part->refusal.ok() && !rest.empty() && !later) {
      const BytesView batch = take_batch(rest);
      if (const auto result = round.turns.append(partition, batch)) {
        note_append(round, *part, *result, RecordBatch(batch));
      } else {
        later = true;
        if (!tasks) tasks.emplace(scope);
        tasks->spawn(append_later(round, partition, *part, batch, rest));
      }
    }
    part->log_start_offset = partition.log_start_offset();
    if (later || !part->refusal.ok() || !round.wait) continue;
    if (parts.size() == 1) {
      single = part;
    } else {
      if (!tasks) tasks.emplace(scope);
      tasks->spawn(wait_for_disk(partition, *part));
    }
  }
  if (single) co_await wait_for_disk(*open.front(), *single);
  if (tasks) co_await tasks->join();
}

}  // namespace

Task<ProduceResponse> handle(Call& call, const ProduceRequest& request) {
  const SteadyTime since = call.broker().clock.steady();
  const Topics& topics = call.broker().topics;
  const auto table = topics.table();
  const bool id_denied = has_transactional(request) &&
                         (!request.transactional_id ||
                          !call.allowed(ResourceType::kTransactionalId, *request.transactional_id, Operation::kWrite));
  std::vector<ProducePart> parts;
  size_t count = 0;
  for (const auto& topic : request.topic_data) count += topic.partition_data.size();
  parts.reserve(count);
  std::vector<ShardWork<ProducePart>> work;
  uint64_t bytes = 0;
  AckLevel level = request.acks == 0 ? AckLevel::kNone : AckLevel::kOs;
  for (const auto& data : request.topic_data) {
    const Topic* topic = table->find(data.name);
    const Refusal refusal = id_denied ? Refusal{ErrorCode::kTransactionalIdAuthorizationFailed, {}}
                                      : check_produced_topic(call, request, data.name, topic);
    if (topic && request.acks != 0 && topic->config.durability == AckDurability::kFsync) level = AckLevel::kFsync;
    for (const auto& one : data.partition_data) {
      ProducePart& part = parts.emplace_back(
          ProducePart{.topic = topic, .partition = one.index, .records = one.records.bytes, .refusal = refusal});
      bytes += one.records.bytes.size();
      if (part.refusal.ok() && (one.index < 0 || one.index >= topic->partitions))
        part.refusal = {ErrorCode::kUnknownTopicOrPartition, {}};
      if (part.refusal.ok()) part.refusal = check_produced_records(one.records, call.version);
      if (part.refusal.ok())
        add_work(work, topics.shard_of(*topic, part.partition), part);
      else if (call.parts.meter)
        call.parts.meter->refused();
    }
  }
  const ProduceRound round{
      .topics = topics, .turns = *call.parts.turns, .meter = call.parts.meter, .wait = request.acks != 0};
  const auto run = [&round](std::span<ProducePart* const> here) { return append_here(round, here); };
  co_await on_shards(work, run, call.ordered);
  if (bytes > 0)
    call.throttle =
        std::max(call.throttle, call.parts.quotas.charge(*call.identity, call.client_id, QuotaKind::kProducerBytes,
                                                         static_cast<double>(bytes)));
  if (call.parts.meter) call.parts.meter->produced(level, call.broker().clock.steady() - since);

  ProduceResponse response;
  if (request.acks == 0) {
    call.no_response = true;
    // The only way to tell such a client that something is wrong.
    call.close_after = std::ranges::any_of(parts, [](const ProducePart& part) { return !part.refusal.ok(); });
    co_return response;
  }
  response.responses.reserve(request.topic_data.size());
  auto part = parts.begin();
  for (const auto& data : request.topic_data) {
    auto& topic = response.responses.emplace_back();
    topic.name = data.name;
    topic.partition_responses.reserve(data.partition_data.size());
    for (size_t i = 0; i < data.partition_data.size(); ++i, ++part) {
      auto& answer = topic.partition_responses.emplace_back();
      answer.index = part->partition;
      answer.error_code = number(part->refusal.code);
      if (!part->refusal.message.empty()) answer.error_message = part->refusal.message;
      answer.base_offset = part->refusal.ok() ? part->base_offset : -1;
      answer.log_append_time_ms = part->refusal.ok() ? part->log_append_time : -1;
      answer.log_start_offset = part->log_start_offset;
    }
  }
  co_return response;
}

}  // namespace polis::stream
