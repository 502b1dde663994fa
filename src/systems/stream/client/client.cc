#include "systems/stream/client/client.h"

#include <fmt/format.h>

#include "kernel/io/shard.h"

namespace polis::stream {
namespace {

constexpr int32_t kTimeoutMs = 30'000;
// Topics are named by name up to this version, by id later.
constexpr int16_t kFetchByName = 12;
constexpr Duration kPatience = std::chrono::seconds(10), kPause = std::chrono::milliseconds(20);

std::string place(std::string_view topic, int32_t partition) {
  return fmt::format("{}-{}", topic, partition);
}

template <class List>
Result<const typename List::value_type*> only(const List& list, std::string_view what) {
  if (list.size() != 1)
    return fail(Code::kCorrupt, fmt::format("the answer about {} names {} in place of 1", what, list.size()));
  return &list.front();
}

SteadyTime now() {
  return io::Shard::current().clock().steady();
}

}  // namespace

Task<Result<Client>> Client::open(io::Endpoint endpoint, std::string client_id) {
  co_return Client(CO_TRY(co_await ClientConnection::open(std::move(endpoint), std::move(client_id))));
}

// --- topics

Task<Result<void>> Client::create_topic(std::string name, int32_t partitions,
                                        std::map<std::string, std::string> config) {
  CreateTopicsRequest request{.timeout_ms = kTimeoutMs};
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = partitions;
  topic.replication_factor = -1;
  for (const auto& [key, value] : config) topic.configs.push_back({.name = key, .value = value});
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* result = CO_TRY(only(answer.topics, name));
  co_return check(result->error_code, name, result->error_message.value_or(""));
}

Task<Result<void>> Client::erase_topic(std::string name) {
  DeleteTopicsRequest request{.timeout_ms = kTimeoutMs};
  request.topics.push_back({.name = name, .topic_id = {}});
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* result = CO_TRY(only(answer.responses, name));
  co_return check(result->error_code, name, result->error_message.value_or(""));
}

Task<Result<void>> Client::configure_topic(std::string name, std::map<std::string, std::string> config) {
  IncrementalAlterConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = 2;  // a topic
  resource.resource_name = name;
  for (const auto& [key, value] : config)
    resource.configs.push_back({.name = key, .config_operation = 0, .value = value});
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* result = CO_TRY(only(answer.responses, name));
  co_return check(result->error_code, name, result->error_message.value_or(""));
}

Task<Result<int32_t>> Client::partitions_of(std::string topic, bool make) {
  MetadataRequest request{.allow_auto_topic_creation = make};
  request.topics.emplace().push_back({.topic_id = {}, .name = topic});
  const SteadyTime end = now() + kPatience;
  while (true) {
    const auto answer = CO_TRY(co_await connection_.call(request));
    const auto* found = CO_TRY(only(answer.topics, topic));
    const auto error = static_cast<ErrorCode>(found->error_code);
    if (make && error == ErrorCode::kLeaderNotAvailable && now() < end) {
      CO_TRY(co_await io::sleep_for(kPause));
      continue;
    }
    CO_TRY(check(found->error_code, topic));
    co_return static_cast<int32_t>(found->partitions.size());
  }
}

// --- records

Task<Result<void>> Client::send_batch(std::string_view topic, int32_t partition, BytesView batch, int16_t acks,
                                      std::optional<std::string_view> transactional_id) {
  ProduceRequest request{.transactional_id = transactional_id, .acks = acks, .timeout_ms = kTimeoutMs};
  auto& part = request.topic_data.emplace_back();
  part.name = topic;
  auto& data = part.partition_data.emplace_back();
  data.index = partition;
  data.records.bytes = batch;
  co_return co_await connection_.send(request);
}

Task<Result<Produced>> Client::batch_answer() {
  const auto answer = CO_TRY(co_await connection_.receive<ProduceResponse>());
  const auto* topic = CO_TRY(only(answer.responses, "a batch"));
  const auto* result = CO_TRY(only(topic->partition_responses, topic->name));
  CO_TRY(check(result->error_code, place(topic->name, result->index), result->error_message.value_or("")));
  co_return Produced{.base_offset = result->base_offset, .log_append_time = result->log_append_time_ms};
}

Task<Result<Produced>> Client::produce(std::string_view topic, int32_t partition, BytesView batch, int16_t acks,
                                       std::optional<std::string_view> transactional_id) {
  CO_TRY(co_await send_batch(topic, partition, batch, acks, transactional_id));
  if (acks == 0) co_return Produced{};
  co_return co_await batch_answer();
}

Task<Result<void>> Client::send_fetch(const FetchWish& wish) {
  FetchRequest request{.max_wait_ms = wish.wait_ms,
                       .min_bytes = wish.bytes_min,
                       .max_bytes = wish.bytes_max,
                       .isolation_level = static_cast<int8_t>(wish.committed_only)};
  auto& topic = request.topics.emplace_back();
  topic.topic = wish.topic;
  auto& partition = topic.partitions.emplace_back();
  partition.partition = wish.partition;
  partition.fetch_offset = wish.from;
  partition.partition_max_bytes = wish.bytes_max;
  co_return co_await connection_.send(request, kFetchByName);
}

Task<Result<FetchedBytes>> Client::fetch_answer() {
  const auto answer = CO_TRY(co_await connection_.receive<FetchResponse>());
  CO_TRY(check(answer.error_code, "fetch"));
  const auto* topic = CO_TRY(only(answer.responses, "a fetch"));
  const auto* part = CO_TRY(only(topic->partitions, topic->topic));
  CO_TRY(check(part->error_code, place(topic->topic, part->partition_index)));
  FetchedBytes fetched{.batches = part->records.bytes,
                       .high_watermark = part->high_watermark,
                       .last_stable_offset = part->last_stable_offset,
                       .log_start_offset = part->log_start_offset,
                       .aborted = {}};
  if (part->aborted_transactions)
    for (const auto& one : *part->aborted_transactions)
      fetched.aborted.push_back({.producer_id = one.producer_id, .first_offset = one.first_offset});
  co_return fetched;
}

Task<Result<FetchedBytes>> Client::fetch(const FetchWish& wish) {
  CO_TRY(co_await send_fetch(wish));
  co_return co_await fetch_answer();
}

Task<Result<Offset>> Client::offset_for(std::string_view topic, int32_t partition, int64_t timestamp,
                                        bool committed_only) {
  ListOffsetsRequest request{.replica_id = -1, .isolation_level = static_cast<int8_t>(committed_only)};
  auto& wanted = request.topics.emplace_back();
  wanted.name = topic;
  auto& one = wanted.partitions.emplace_back();
  one.partition_index = partition;
  one.timestamp = timestamp;
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* found = CO_TRY(only(answer.topics, topic));
  const auto* result = CO_TRY(only(found->partitions, topic));
  CO_TRY(check(result->error_code, place(topic, partition)));
  co_return result->offset;
}

// --- producers and transactions

Task<Result<ProducerId>> Client::init_producer(std::optional<std::string_view> transactional_id, int32_t timeout_ms) {
  InitProducerIdRequest request{.transactional_id = transactional_id, .transaction_timeout_ms = timeout_ms};
  const SteadyTime end = now() + kPatience;
  while (true) {
    const auto answer = CO_TRY(co_await connection_.call(request));
    auto held = check(answer.error_code, std::string(transactional_id.value_or("a producer")));
    if (held) co_return ProducerId{.id = answer.producer_id, .epoch = answer.producer_epoch};
    if (held.error().code() != Code::kBusy || now() >= end) co_return fail(std::move(held).error());
    CO_TRY(co_await io::sleep_for(kPause));
  }
}

Task<Result<void>> Client::add_partition(std::string transactional_id, ProducerId producer, std::string topic,
                                         int32_t partition) {
  AddPartitionsToTxnRequest request;
  request.v3_and_below_transactional_id = transactional_id;
  request.v3_and_below_producer_id = producer.id;
  request.v3_and_below_producer_epoch = producer.epoch;
  request.v3_and_below_topics.push_back({.name = topic, .partitions = {partition}});
  const SteadyTime end = now() + kPatience;
  while (true) {
    const auto answer = CO_TRY(co_await connection_.call(request));
    const auto* found = CO_TRY(only(answer.results_by_topic_v3_and_below, topic));
    const auto* result = CO_TRY(only(found->results_by_partition, topic));
    auto held = check(result->partition_error_code, transactional_id);
    if (held || held.error().code() != Code::kBusy || now() >= end) co_return held;
    CO_TRY(co_await io::sleep_for(kPause));
  }
}

Task<Result<void>> Client::commit_offset_in_transaction(std::string transactional_id, ProducerId producer,
                                                        std::string group, std::string topic, int32_t partition,
                                                        Offset offset) {
  AddOffsetsToTxnRequest add{.transactional_id = transactional_id,
                             .producer_id = producer.id,
                             .producer_epoch = producer.epoch,
                             .group_id = group};
  const SteadyTime end = now() + kPatience;
  while (true) {
    const auto added = CO_TRY(co_await connection_.call(add));
    auto held = check(added.error_code, transactional_id);
    if (held) break;
    if (held.error().code() != Code::kBusy || now() >= end) co_return held;
    CO_TRY(co_await io::sleep_for(kPause));
  }
  TxnOffsetCommitRequest request{.transactional_id = transactional_id,
                                 .group_id = group,
                                 .producer_id = producer.id,
                                 .producer_epoch = producer.epoch};
  auto& wanted = request.topics.emplace_back();
  wanted.name = topic;
  auto& one = wanted.partitions.emplace_back();
  one.partition_index = partition;
  one.committed_offset = offset;
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* found = CO_TRY(only(answer.topics, topic));
  const auto* result = CO_TRY(only(found->partitions, topic));
  co_return check(result->error_code, group);
}

Task<Result<void>> Client::end_transaction(std::string transactional_id, ProducerId producer, bool commit) {
  EndTxnRequest request{.transactional_id = transactional_id,
                        .producer_id = producer.id,
                        .producer_epoch = producer.epoch,
                        .committed = commit};
  const SteadyTime end = now() + kPatience;
  while (true) {
    const auto answer = CO_TRY(co_await connection_.call(request));
    auto held = check(answer.error_code, transactional_id);
    if (held || held.error().code() != Code::kBusy || now() >= end) co_return held;
    CO_TRY(co_await io::sleep_for(kPause));
  }
}

// --- positions of groups

Task<Result<void>> Client::commit(std::string group, std::string topic, int32_t partition, Offset offset,
                                  int32_t generation, std::string member) {
  OffsetCommitRequest request{.group_id = group, .generation_id_or_member_epoch = generation, .member_id = member};
  auto& wanted = request.topics.emplace_back();
  wanted.name = topic;
  auto& one = wanted.partitions.emplace_back();
  one.partition_index = partition;
  one.committed_offset = offset;
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* found = CO_TRY(only(answer.topics, topic));
  const auto* result = CO_TRY(only(found->partitions, topic));
  co_return check(result->error_code, group);
}

Task<Result<std::optional<Offset>>> Client::committed(std::string group, std::string topic, int32_t partition) {
  OffsetFetchRequest request;
  auto& asked = request.groups.emplace_back();
  asked.group_id = group;
  asked.topics.emplace().push_back({.name = topic, .partition_indexes = {partition}});
  const auto answer = CO_TRY(co_await connection_.call(request));
  const auto* found = CO_TRY(only(answer.groups, group));
  CO_TRY(check(found->error_code, group));
  const auto* of_topic = CO_TRY(only(found->topics, topic));
  const auto* result = CO_TRY(only(of_topic->partitions, topic));
  CO_TRY(check(result->error_code, group));
  if (result->committed_offset < 0) co_return std::nullopt;
  co_return result->committed_offset;
}

Bytes make_batch(const std::vector<std::string>& keys, const std::vector<std::string>& values, int64_t timestamp_ms,
                 Compression compression, BatchBuilder::Producer producer) {
  BatchBuilder builder(producer);
  for (size_t i = 0; i < values.size(); ++i)
    builder.add(timestamp_ms, i < keys.size() ? std::optional(as_bytes(keys[i])) : std::nullopt, as_bytes(values[i]));
  Bytes batch = builder.finish();
  if (compression == Compression::kNone) return batch;
  auto compressed = with_compression(RecordBatch(batch), compression);
  POLIS_ASSERT(compressed.has_value());  // our own bytes can be opened
  return std::move(*compressed);
}

}  // namespace polis::stream
