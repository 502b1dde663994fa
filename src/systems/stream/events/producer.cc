#include "systems/stream/events/producer.h"

#include <algorithm>
#include <fmt/format.h>

#include "systems/stream/broker/topic_row.h"
#include "systems/stream/client/partitioner.h"
#include "systems/stream/events/refusals.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

// What is retried: the disk is behind, or the coordinator is busy with what was before.
constexpr int kAppendTries = 200;
constexpr Duration kAppendPause = 10ms;
constexpr int kCoordinatorTries = 300;
constexpr Duration kCoordinatorPause = 20ms;
// A record and its batch take so much more than key, value and headers.
constexpr size_t kRecordOverheadBytes = 64;

bool coordinator_busy(int16_t code) {
  switch (static_cast<ErrorCode>(code)) {
    case ErrorCode::kConcurrentTransactions:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kThrottlingQuotaExceeded:
      return true;
    default:
      return false;
  }
}

size_t bytes_of(const NewRecord& record) {
  size_t bytes = kRecordOverheadBytes;
  if (record.key) bytes += record.key->size();
  if (record.value) bytes += record.value->size();
  for (const Header& header : record.headers)
    bytes += header.key.size() + (header.value ? header.value->size() : 0) + 2 * 5;
  return bytes;
}

}  // namespace

// Collects records; shared by the lane and by those who wait for its outcome.
struct Producer::Batch {
  BatchBuilder builder;
  size_t charged_bytes = 0;
  size_t count = 0;
  int32_t partition = 0;
  io::Event done;
  std::optional<Result<Offset>> base;  // or why not
};

// One partition of a topic, as this producer sees it.
struct Producer::Lane {
  std::shared_ptr<const TopicTable> table;  // shared with the registry: the topic lies in it
  const Topic* topic = nullptr;
  int32_t partition = 0;
  std::shared_ptr<Batch> collecting;
  std::vector<std::shared_ptr<Batch>> full;  // before `collecting`
  bool running = false;
  size_t unanswered = 0;
  int32_t sequence = 0;
  bool in_transaction = false;  // added to the one that runs

  std::string name() const { return partition_name(topic->name, partition); }
};

Task<Result<std::unique_ptr<Producer>>> Producer::open(Broker& broker, ProducerOptions options) {
  std::unique_ptr<Producer> producer(new Producer(broker, std::move(options)));
  CO_TRY(co_await producer->init());
  co_return producer;
}

Producer::Producer(Broker& broker, ProducerOptions options) : broker_(broker), options_(std::move(options)) {}

Producer::~Producer() {
  POLIS_ASSERT(tasks_.running() == 0);
}

Task<Result<void>> Producer::init() {
  for (int tries = 1;; ++tries) {
    InitProducerIdRequest request;
    if (!options_.transactional_id.empty()) {
      request.transactional_id = options_.transactional_id;
      request.transaction_timeout_ms = options_.transaction_timeout_ms;
    }
    const auto made = co_await broker_.transactions.init_producer_id(request);
    if (made.error_code == 0) {
      id_ = made.producer_id;
      epoch_ = made.producer_epoch;
      co_return Result<void>();
    }
    if (!coordinator_busy(made.error_code) || tries == kCoordinatorTries)
      co_return fail(error_of(static_cast<ErrorCode>(made.error_code), "a producer cannot be made"));
    CO_TRY(co_await io::sleep_for(kCoordinatorPause));
  }
}

// --- sending

Producer::Lane& Producer::lane_of(const std::shared_ptr<const TopicTable>& table, const Topic& topic,
                                  int32_t partition) {
  std::unique_ptr<Lane>& lane = lanes_[{topic.id, partition}];
  if (!lane) lane = std::make_unique<Lane>();
  if (!lane->table) {
    lane->table = table;
    lane->topic = &topic;
    lane->partition = partition;
  }
  return *lane;
}

Task<Result<std::shared_ptr<Producer::Batch>>> Producer::enqueue(std::string_view topic_name, const NewRecord& record,
                                                                 std::optional<int32_t> partition, size_t& index) {
  if (fenced_) co_return fail(*fenced_);
  if (!options_.transactional_id.empty() && !in_transaction_)
    co_return fail(Code::kInvalid, "begin() comes before send() of a transactional producer");
  if (transaction_failed_) co_return fail(*transaction_failed_);
  const auto table = broker_.topics.table();
  const Topic* topic = table->find(topic_name);
  if (!topic) co_return fail(Code::kNotFound, fmt::format("there is no topic \"{}\"", topic_name));
  if (broker_.topics.disk_full())
    co_return fail(Code::kNoSpace, fmt::format("{} takes no records: the disk is full", topic_name));
  const int32_t number = partition    ? *partition
                         : record.key ? partition_of_key(*record.key, topic->partitions)
                                      : static_cast<int32_t>(next_turn_++ % static_cast<uint32_t>(topic->partitions));
  if (number < 0 || number >= topic->partitions)
    co_return fail(Code::kNotFound, fmt::format("{} has no partition {}", topic_name, number));
  const size_t bytes = bytes_of(record);
  if (bytes > static_cast<size_t>(topic->config.max_message_bytes))
    co_return fail(Code::kTooLarge, fmt::format("a record of {} bytes for {}; max.message.bytes is {}", bytes,
                                                topic_name, topic->config.max_message_bytes));
  Lane& lane = lane_of(table, *topic, number);
  const size_t batch_max = std::min(options_.batch_bytes_max, static_cast<size_t>(topic->config.max_message_bytes));
  if (lane.collecting && lane.collecting->charged_bytes + bytes > batch_max)
    lane.full.push_back(std::exchange(lane.collecting, nullptr));
  if (!lane.collecting) {
    lane.collecting = std::make_shared<Batch>();
    lane.collecting->charged_bytes = kBatchHeaderBytes;
    lane.collecting->partition = number;
    ++lane.unanswered;
  }
  const std::shared_ptr<Batch> batch = lane.collecting;
  batch->builder.add(
      record.timestamp_ms >= 0 ? record.timestamp_ms : base::milliseconds_since_epoch(broker_.clock.wall()), record.key,
      record.value, record.headers);
  index = batch->count++;
  batch->charged_bytes += bytes;
  buffered_bytes_ += bytes;
  if (!std::exchange(lane.running, true)) tasks_.spawn(run(lane));
  co_return batch;
}

Task<Result<RecordPosition>> Producer::outcome(std::shared_ptr<Batch> batch, size_t index) {
  CO_TRY(co_await batch->done.wait());
  if (!*batch->base) co_return fail(batch->base->error());
  co_return RecordPosition{.partition = batch->partition, .offset = **batch->base + static_cast<Offset>(index)};
}

Task<Result<RecordPosition>> Producer::send(std::string_view topic, const NewRecord& record,
                                            std::optional<int32_t> partition) {
  size_t index = 0;
  auto batch = CO_TRY(co_await enqueue(topic, record, partition, index));
  while (buffered_bytes_ > options_.buffered_bytes_max && !batch->done.is_set()) {
    room_.reset();
    CO_TRY(co_await room_.wait());
  }
  co_return co_await outcome(std::move(batch), index);
}

Task<Result<void>> Producer::send_all(std::string_view topic, std::span<const NewRecord> records) {
  std::vector<std::shared_ptr<Batch>> batches;
  std::optional<Error> refused;
  for (const NewRecord& record : records) {
    size_t index = 0;
    auto batch = co_await enqueue(topic, record, std::nullopt, index);
    if (!batch) {
      refused = batch.error();
      break;
    }
    if (std::ranges::find(batches, *batch) == batches.end()) batches.push_back(*batch);
    if (buffered_bytes_ <= options_.buffered_bytes_max) continue;
    (void)co_await (*batch)->done.wait();  // asked again below
    std::erase_if(batches, [](const auto& one) { return one->done.is_set() && one->base->has_value(); });
  }
  for (const auto& batch : batches) {
    CO_TRY(co_await batch->done.wait());
    if (!*batch->base && !refused) refused = batch->base->error();
  }
  if (refused) co_return fail(*refused);
  co_return Result<void>();
}

void Producer::answer(Batch& batch, Result<Offset> base) {
  buffered_bytes_ -= batch.charged_bytes - kBatchHeaderBytes;
  if (!base && in_transaction_ && !transaction_failed_) transaction_failed_ = base.error();
  batch.base.emplace(std::move(base));
  batch.done.set();
  room_.set();
}

// Appends one batch after the other; those that come meanwhile collect.
Task<void> Producer::run(Lane& lane) {
  co_await io::yield();  // whoever else sends in this turn comes along
  while (!lane.full.empty() || lane.collecting) {
    std::shared_ptr<Batch> batch;
    if (!lane.full.empty()) {
      batch = lane.full.front();
      lane.full.erase(lane.full.begin());
    } else {
      batch = std::exchange(lane.collecting, nullptr);
    }
    co_await append(lane, std::move(batch));
  }
  lane.running = false;
  if (lane.unanswered == 0 && !lane.in_transaction) lane.table.reset();  // the next one looks the topic up again
}

// The first batch of a transaction in this partition: the coordinator learns of it.
Task<Result<void>> Producer::admit(Lane& lane) {
  if (options_.transactional_id.empty() || lane.in_transaction) co_return Result<void>();
  for (int tries = 1;; ++tries) {
    AddPartitionsToTxnRequest request{.v3_and_below_transactional_id = options_.transactional_id,
                                      .v3_and_below_producer_id = id_,
                                      .v3_and_below_producer_epoch = epoch_,
                                      .v3_and_below_topics = {}};
    request.v3_and_below_topics.push_back({.name = lane.topic->name, .partitions = {lane.partition}});
    const auto added = co_await broker_.transactions.add_partitions(request);
    int16_t code = static_cast<int16_t>(ErrorCode::kUnknownServerError);
    for (const auto& topic : added.results_by_topic_v3_and_below)
      for (const auto& partition : topic.results_by_partition) code = partition.partition_error_code;
    if (code == 0) {
      lane.in_transaction = transaction_used_ = true;
      co_return Result<void>();
    }
    if (!coordinator_busy(code) || tries == kCoordinatorTries)
      co_return fail(error_of(static_cast<ErrorCode>(code), lane.name()));
    CO_TRY(co_await io::sleep_for(kCoordinatorPause));
  }
}

Task<void> Producer::append(Lane& lane, std::shared_ptr<Batch> batch) {
  if (auto admitted = co_await admit(lane); !admitted) {
    if (admitted.error().code() == Code::kConflict) fenced_ = admitted.error();
    --lane.unanswered;
    answer(*batch, fail(admitted.error()));
    co_return;
  }
  const bool transactional = !options_.transactional_id.empty();
  Bytes bytes = batch->builder.finish();
  // Which sequence a batch has is known only when the one before it was taken.
  set_producer(bytes, {.id = id_, .epoch = epoch_, .base_sequence = lane.sequence, .transactional = transactional});
  if (options_.compression != Compression::kNone) {
    auto packed = with_compression(RecordBatch(bytes), options_.compression);
    if (packed && packed->size() < bytes.size()) bytes = std::move(*packed);
  }
  const auto use = [&](Partition& open) -> Task<Result<AppendResult>> {
    AppendResult result = open.append(bytes, AppendOrigin::kClient);
    // The disk is behind: it will have caught up in a moment.
    for (int tries = 1; result.refusal.code == ErrorCode::kThrottlingQuotaExceeded && tries < kAppendTries; ++tries) {
      CO_TRY(co_await io::sleep_for(kAppendPause));
      result = open.append(bytes, AppendOrigin::kClient);
    }
    co_return result;
  };
  auto appended = co_await broker_.topics.with(*lane.topic, lane.partition, use);
  if (appended && appended->refusal.code == ErrorCode::kUnknownProducerId && lane.sequence != 0) {
    // It rested so long that the partition has forgotten it: its numbers begin anew.
    lane.sequence = 0;
    set_producer(bytes, {.id = id_, .epoch = epoch_, .base_sequence = 0, .transactional = transactional});
    appended = co_await broker_.topics.with(*lane.topic, lane.partition, use);
  }
  if (!appended || !appended->refusal.ok()) {
    Error error = appended ? error_of(appended->refusal, lane.name()) : appended.error();
    if (appended && error.code() == Code::kConflict && transactional) fenced_ = error;
    --lane.unanswered;
    answer(*batch, fail(std::move(error)));
    co_return;
  }
  // After the largest comes 0 again.
  lane.sequence =
      static_cast<int32_t>((static_cast<int64_t>(lane.sequence) + static_cast<int64_t>(batch->count)) & 0x7fffffff);
  batch->base.emplace(appended->base_offset);
  tasks_.spawn(acknowledge(lane, std::move(batch), appended->next_offset));
}

Task<void> Producer::acknowledge(Lane& lane, std::shared_ptr<Batch> batch, Offset next) {
  const Offset base = **batch->base;
  const auto use = [next](Partition& open) { return open.wait(next); };
  const auto held = co_await broker_.topics.with(*lane.topic, lane.partition, use);
  --lane.unanswered;
  if (held)
    answer(*batch, base);
  else
    answer(*batch, fail(held.error()));
  if (lane.unanswered == 0 && !lane.running && !lane.in_transaction) lane.table.reset();
}

// --- transactions

Result<void> Producer::begin() {
  if (fenced_) return fail(*fenced_);
  if (options_.transactional_id.empty()) return fail(Code::kInvalid, "a producer without an id has no transactions");
  if (in_transaction_) return fail(Code::kInvalid, "the transaction before has not ended");
  in_transaction_ = true;
  transaction_used_ = false;
  transaction_failed_.reset();
  return {};
}

Task<Result<void>> Producer::send_offsets(std::string_view group, const std::map<TopicPartition, Offset>& offsets,
                                          int32_t generation, std::string_view member) {
  if (!in_transaction_) co_return fail(Code::kInvalid, "begin() comes before send_offsets()");
  if (fenced_) co_return fail(*fenced_);
  const std::string what = fmt::format("offsets of group {}", group);
  for (int tries = 1;; ++tries) {
    const auto added = co_await broker_.transactions.add_offsets({.transactional_id = options_.transactional_id,
                                                                  .producer_id = id_,
                                                                  .producer_epoch = epoch_,
                                                                  .group_id = group});
    if (added.error_code == 0) break;
    if (!coordinator_busy(added.error_code) || tries == kCoordinatorTries)
      co_return fail(error_of(static_cast<ErrorCode>(added.error_code), what));
    CO_TRY(co_await io::sleep_for(kCoordinatorPause));
  }
  transaction_used_ = true;
  for (int tries = 1;; ++tries) {
    TxnOffsetCommitRequest request{.transactional_id = options_.transactional_id,
                                   .group_id = group,
                                   .producer_id = id_,
                                   .producer_epoch = epoch_,
                                   .generation_id = generation,
                                   .member_id = member};
    for (const auto& [where, offset] : offsets) {
      if (request.topics.empty() || request.topics.back().name != where.topic)
        request.topics.push_back({.name = where.topic, .partitions = {}});
      request.topics.back().partitions.push_back(
          {.partition_index = where.partition, .committed_offset = offset, .committed_metadata = std::string_view()});
    }
    const auto committed = co_await broker_.groups.commit_in_transaction(request);
    int16_t code = 0;
    for (const auto& topic : committed.topics)
      for (const auto& partition : topic.partitions)
        if (partition.error_code != 0) code = partition.error_code;
    if (code == 0) co_return Result<void>();
    if (!coordinator_busy(code) || tries == kCoordinatorTries) {
      transaction_failed_ = error_of(static_cast<ErrorCode>(code), what);
      co_return fail(*transaction_failed_);
    }
    CO_TRY(co_await io::sleep_for(kCoordinatorPause));
  }
}

Task<Result<void>> Producer::end(bool commit) {
  if (!in_transaction_) co_return fail(Code::kInvalid, "there is no transaction to end");
  co_await tasks_.join();  // every send() has its answer
  if (fenced_) co_return fail(*fenced_);
  if (commit && transaction_failed_) co_return fail(*transaction_failed_);
  for (int tries = 1; transaction_used_; ++tries) {
    const auto ended = co_await broker_.transactions.end({.transactional_id = options_.transactional_id,
                                                          .producer_id = id_,
                                                          .producer_epoch = epoch_,
                                                          .committed = commit});
    if (ended.error_code == 0) break;
    if (!coordinator_busy(ended.error_code) || tries == kCoordinatorTries) {
      Error error = error_of(static_cast<ErrorCode>(ended.error_code), "the transaction cannot be ended");
      if (error.code() == Code::kConflict) fenced_ = error;
      co_return fail(std::move(error));
    }
    CO_TRY(co_await io::sleep_for(kCoordinatorPause));
  }
  for (auto& [where, lane] : lanes_) {
    lane->in_transaction = false;
    lane->table.reset();
  }
  in_transaction_ = transaction_used_ = false;
  transaction_failed_.reset();
  co_return Result<void>();
}

Task<Result<void>> Producer::commit() {
  return end(true);
}

Task<Result<void>> Producer::abort() {
  return end(false);
}

}  // namespace polis::stream
