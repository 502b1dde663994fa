#include "systems/stream/events/queue.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "kernel/base/binary.h"
#include "systems/stream/broker/topic_row.h"
#include "systems/stream/client/records.h"
#include "systems/stream/events/refusals.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

// key "u" name 0 topic_id:16 partition:4 bytes big endian
// row := version:u8 given:varint count:varint { distance:varint (from the one before) tries:varint }
constexpr uint8_t kQueueRowVersion = 1;
constexpr size_t kQueueNameMax = 64;
// Read ahead of the workers.
constexpr size_t kFreshMax = 1000;
constexpr size_t kForgottenMax = 10'000;  // at an open
constexpr uint64_t kFreshBytesMax = 1 << 20;
constexpr Duration kWatchTurn = 250ms;
constexpr Duration kReadTurn = 1s;
constexpr int32_t kDeadLetterBytesMax = 100 << 20, kDeadLetterMoreBytes = 4096;
constexpr Duration kQueuePause = 500ms;  // after a failure

bool is_queue_name(std::string_view name) {
  return !name.empty() && name.size() <= kQueueNameMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
}

std::optional<Bytes> owned(const std::optional<BytesView>& view) {
  if (!view) return std::nullopt;
  return Bytes(view->begin(), view->end());
}

Message message_of(const Record& record, int32_t partition) {
  Message message{.id = {partition, record.offset},
                  .timestamp_ms = record.timestamp,
                  .key = owned(record.key),
                  .value = owned(record.value),
                  .headers = {}};
  for (const Header& header : record.headers) message.headers.emplace_back(header.key, owned(header.value));
  return message;
}

}  // namespace

Queue::Queue(QueueParts parts, QueueOptions options) : parts_(parts), options_(std::move(options)) {}

Queue::~Queue() {
  POLIS_ASSERT(tasks_.running() == 0);
}

std::string Queue::row_key(int32_t partition) const {
  const auto big = base::to_big(static_cast<uint32_t>(partition));
  return "u" + options_.name + '\0' + std::string(as_text(topic_id_.bytes)) +
         std::string(reinterpret_cast<const char*>(&big), sizeof big);
}

Task<Result<std::unique_ptr<Queue>>> Queue::open(QueueParts parts, QueueOptions options) {
  if (!is_queue_name(options.name))
    co_return fail(Code::kInvalid, fmt::format("\"{}\" is no name of a queue: a-z, 0-9, '_', '.', '-'", options.name));
  if (options.tries_max < 1 || options.outstanding_max < 1 || options.redeliver_after <= Duration::zero())
    co_return fail(Code::kInvalid, "a queue tries at least once, gives out at least one message, and waits a while");
  if (options.dead_letter_topic.empty()) options.dead_letter_topic = options.topic + ".dead-letter";
  std::unique_ptr<Queue> queue(new Queue(parts, std::move(options)));
  CO_TRY(co_await queue->begin());
  queue->tasks_.spawn(queue->read());
  queue->tasks_.spawn(queue->watch());
  co_return queue;
}

Task<Result<void>> Queue::begin() {
  consumer_ = CO_TRY(co_await Consumer::open(parts_.broker, {.fetch_bytes_max = kFreshBytesMax}));
  auto taken = co_await forget_erased();
  if (taken) taken = co_await take_partitions();
  if (!taken) co_await consumer_->close();
  co_return taken;
}

// Rows of topics that are gone.
Task<Result<void>> Queue::forget_erased() {
  const auto table = parts_.broker.topics.table();
  const std::string prefix = "u" + options_.name + '\0';
  auto txn = CO_TRY(co_await parts_.store.begin());
  const auto scan =
      CO_TRY(co_await txn->scan(parts_.rows, store::prefix_range(prefix), {.limit = kForgottenMax, .keys_only = true}));
  bool some = false;
  for (const store::Row& row : scan.rows) {
    Uuid id;
    if (row.key.size() != prefix.size() + id.bytes.size() + 4) continue;
    std::memcpy(id.bytes.data(), row.key.data() + prefix.size(), id.bytes.size());
    if (table->find(id)) continue;
    CO_TRY(txn->erase(parts_.rows, row.key));
    some = true;
  }
  if (some) CO_TRY(co_await txn->commit());
  co_return Result<void>();
}

// Those that the topic has and the queue does not know yet.
Task<Result<void>> Queue::take_partitions() {
  const auto table = parts_.broker.topics.table();
  const Topic* topic = table->find(options_.topic);
  if (!topic) co_return fail(Code::kNotFound, fmt::format("there is no topic \"{}\"", options_.topic));
  if (topic->id == topic_id_ && static_cast<size_t>(topic->partitions) == lanes_.size()) co_return Result<void>();
  auto positions = consumer_->positions();
  if (topic->id != topic_id_) {
    lanes_.clear();
    again_.clear();
    dying_.clear();
    fresh_.clear();
    positions.clear();
    topic_id_ = topic->id;
  }
  auto txn = CO_TRY(co_await parts_.store.begin());
  for (int32_t partition = static_cast<int32_t>(lanes_.size()); partition < topic->partitions; ++partition) {
    Lane lane;
    positions[{options_.topic, partition}] = kEarliestOffset;
    if (const auto row = CO_TRY(co_await txn->get(parts_.rows, row_key(partition)))) {
      base::Reader in(as_bytes(row->value));
      if (in.u8() != kQueueRowVersion) in.reject("an unknown version");
      lane.given = static_cast<Offset>(in.varint());
      const size_t count = in.count(2);
      Offset offset = 0;
      for (size_t i = 0; i < count && in.ok(); ++i) {
        offset += static_cast<Offset>(in.varint());
        const auto tries = static_cast<int32_t>(in.varint());
        lane.outstanding[offset] = {.tries = tries};
        (tries >= options_.tries_max ? dying_ : again_).push_back({partition, offset});
      }
      CO_TRY(in.finish());
      positions[{options_.topic, partition}] = lane.given;
    }
    lanes_[partition] = std::move(lane);
  }
  co_return co_await consumer_->assign(positions);
}

// --- workers

Queue::Outstanding* Queue::lent(MessageId id) {
  const auto lane = lanes_.find(id.partition);
  if (lane == lanes_.end()) return nullptr;
  const auto found = lane->second.outstanding.find(id.offset);
  return found == lane->second.outstanding.end() || !found->second.lent ? nullptr : &found->second;
}

Message Queue::lend(Lane& lane, Message message, int32_t tries) {
  lane.outstanding[message.id.offset] = {
      .tries = tries, .lent = true, .until = io::Shard::current().clock().steady() + options_.redeliver_after};
  message.tries = tries;
  ++counts_.received;
  return message;
}

Task<Result<std::vector<Message>>> Queue::receive(size_t most, Duration wait) {
  const SteadyTime until = io::Shard::current().clock().steady() + wait;
  while (true) {
    std::vector<Message> messages;
    while (messages.size() < most && !again_.empty()) {
      const MessageId id = again_.front();
      again_.pop_front();
      auto read = co_await read_again(id);
      Lane& lane = lanes_[id.partition];
      const auto found = lane.outstanding.find(id.offset);
      if (found == lane.outstanding.end() || found->second.lent) continue;
      if (!read) {
        again_.push_back(id);
        if (!messages.empty()) break;
        co_return fail(read.error());
      }
      if (!*read) {  // retention or compaction has taken it
        lane.outstanding.erase(found);
        lane.changed = true;
        continue;
      }
      ++counts_.redelivered;
      messages.push_back(lend(lane, std::move(**read), found->second.tries + 1));
    }
    while (messages.size() < most && !fresh_.empty()) {
      Lane& lane = lanes_[fresh_.front().id.partition];
      if (lane.outstanding.size() >= options_.outstanding_max) break;
      lane.given = fresh_.front().id.offset + 1;
      messages.push_back(lend(lane, std::move(fresh_.front()), 1));
      fresh_.pop_front();
      room_.set();
    }
    if (!messages.empty()) co_return messages;
    const Duration left = until - io::Shard::current().clock().steady();
    if (left <= Duration::zero()) co_return messages;
    come_.reset();
    const auto came = co_await io::with_timeout(left, come_.wait());
    if (!came && came.error().code() == Code::kCancelled) co_return fail(came.error());
  }
}

Task<Result<void>> Queue::acknowledge(std::vector<MessageId> ids) {
  std::optional<MessageId> strange;
  for (const MessageId id : ids) {
    if (!lent(id)) {
      strange = id;
      continue;
    }
    Lane& lane = lanes_[id.partition];
    lane.outstanding.erase(id.offset);
    lane.changed = true;
    ++counts_.acknowledged;
  }
  if (!fresh_.empty()) come_.set();  // there may be room for more now
  CO_TRY(co_await save());
  if (strange)
    co_return fail(Code::kNotFound, fmt::format("{}@{} is with no worker any more",
                                                partition_name(options_.topic, strange->partition), strange->offset));
  co_return Result<void>();
}

Result<void> Queue::give_back(MessageId id) {
  Outstanding* outstanding = lent(id);
  if (!outstanding)
    return fail(Code::kNotFound,
                fmt::format("{}@{} is with no worker", partition_name(options_.topic, id.partition), id.offset));
  return_message(id, *outstanding);
  return {};
}

Result<void> Queue::extend(MessageId id, Duration by) {
  Outstanding* outstanding = lent(id);
  if (!outstanding)
    return fail(Code::kNotFound,
                fmt::format("{}@{} is with no worker", partition_name(options_.topic, id.partition), id.offset));
  outstanding->until = io::Shard::current().clock().steady() + by;
  return {};
}

void Queue::return_message(MessageId id, Outstanding& outstanding) {
  outstanding.lent = false;
  lanes_[id.partition].changed = true;
  (outstanding.tries >= options_.tries_max ? dying_ : again_).push_back(id);
  come_.set();
}

// One message that was read before; nothing if it is gone.
Task<Result<std::optional<Message>>> Queue::read_again(MessageId id) {
  const auto table = parts_.broker.topics.table();
  const Topic* topic = table->find(options_.topic);
  if (!topic) co_return std::optional<Message>();
  const auto use = [&](Partition& open) -> Task<Result<Bytes>> {
    Fetched fetched = co_await open.fetch(id.offset, 1, Isolation::kReadCommitted);
    if (fetched.refusal.code == ErrorCode::kOffsetOutOfRange) co_return Bytes();
    if (!fetched.refusal.ok()) co_return fail(error_of(fetched.refusal, partition_name(options_.topic, id.partition)));
    if (!fetched.file) co_return std::move(fetched.bytes);
    Bytes bytes(fetched.range.size);
    const size_t size = CO_TRY(co_await fetched.file->read_at(fetched.range.offset, bytes));
    bytes.resize(size);
    co_return bytes;
  };
  const Bytes bytes = CO_TRY(co_await parts_.broker.topics.with(*topic, id.partition, use));
  std::optional<Message> found;
  CO_TRY(scan_records(bytes, {.from = id.offset}, [&](const Record& record, const RecordPlace&) {
    if (record.offset == id.offset) found = message_of(record, id.partition);
    return false;
  }));
  co_return found;
}

QueueStatistics Queue::statistics() const {
  QueueStatistics all = counts_;
  for (const auto& [partition, lane] : lanes_)
    for (const auto& [offset, one] : lane.outstanding) ++(one.lent ? all.with_workers : all.waiting_again);
  return all;
}

// --- behind the workers

Task<void> Queue::read() {
  while (true) {
    if (fresh_.size() >= kFreshMax) {
      room_.reset();
      if (!co_await room_.wait()) co_return;
      continue;
    }
    Result<Polled> polled = Polled{};
    if (auto taken = co_await take_partitions(); taken || taken.error().code() == Code::kNotFound)
      polled = co_await consumer_->poll(kReadTurn);
    else
      polled = fail(taken.error());
    if (!polled) {
      if (polled.error().code() == Code::kCancelled) co_return;
      if (!co_await io::sleep_for(kQueuePause)) co_return;  // the partition tells of its failure elsewhere
      continue;
    }
    for (const Record& record : polled->records) fresh_.push_back(message_of(record, polled->partition));
    if (!polled->empty()) come_.set();
  }
}

// Takes back what workers kept too long, and buries what was tried too often.
Task<void> Queue::watch() {
  while (co_await io::sleep_for(kWatchTurn)) {
    const SteadyTime now = io::Shard::current().clock().steady();
    for (auto& [partition, lane] : lanes_)
      for (auto& [offset, one] : lane.outstanding)
        if (one.lent && one.until <= now) return_message({partition, offset}, one);
    for (size_t left = dying_.size(); left > 0 && !dying_.empty(); --left) {
      const MessageId id = dying_.front();
      dying_.pop_front();
      if (auto buried = co_await bury(id, lanes_[id.partition].outstanding[id.offset].tries); !buried) {
        dying_.push_back(id);  // tried again in the next turn
        continue;
      }
      lanes_[id.partition].outstanding.erase(id.offset);
      lanes_[id.partition].changed = true;
      ++counts_.dead;
    }
    if (std::ranges::any_of(lanes_, [](const auto& lane) { return lane.second.changed; })) (void)co_await save();
  }
}

Task<Result<void>> Queue::bury(MessageId id, int32_t tries) {
  auto message = CO_TRY(co_await read_again(id));
  if (!message) co_return Result<void>();
  if (!producer_) {
    // A dead letter is a little larger than the message was.
    const auto table = parts_.broker.topics.table();
    const Topic* topic = table->find(options_.topic);
    const int32_t bytes_max =
        std::min(kDeadLetterBytesMax, (topic ? topic->config : TopicConfig{}).max_message_bytes + kDeadLetterMoreBytes);
    EventLog log(parts_.broker);
    CO_TRY(co_await log.ensure_topic({.name = options_.dead_letter_topic,
                                      .partitions = 1,
                                      .config = {{"max.message.bytes", std::to_string(bytes_max)}}}));
    producer_ = CO_TRY(co_await Producer::open(parts_.broker, {}));
  }
  const std::string origin = fmt::format("{}@{}", partition_name(options_.topic, id.partition), id.offset);
  const std::string count = std::to_string(tries);
  NewRecord record{.key = message->key, .value = message->value, .timestamp_ms = message->timestamp_ms};
  for (const auto& [key, value] : message->headers) {
    Header header{.key = key, .value = {}};
    if (value) header.value = BytesView(*value);
    record.headers.push_back(header);
  }
  record.headers.push_back({.key = kDeadLetterOriginHeader, .value = as_bytes(origin)});
  record.headers.push_back({.key = kDeadLetterTriesHeader, .value = as_bytes(count)});
  CO_TRY(co_await producer_->send(options_.dead_letter_topic, record));
  co_return Result<void>();
}

// One commit for all who come while the one before it runs.
Task<Result<void>> Queue::save() {
  if (!collecting_) collecting_ = std::make_shared<Saving>();
  const std::shared_ptr<Saving> mine = collecting_;
  if (!std::exchange(saving_, true)) tasks_.spawn(save_loop());
  CO_TRY(co_await mine->done.wait());
  co_return *mine->result;
}

Task<void> Queue::save_loop() {
  while (collecting_) {
    const std::shared_ptr<Saving> round = std::exchange(collecting_, nullptr);
    round->result.emplace(co_await write_rows());
    round->done.set();
  }
  saving_ = false;
}

Task<Result<void>> Queue::write_rows() {
  auto txn = CO_TRY(co_await parts_.store.begin());
  std::vector<int32_t> written;
  for (auto& [partition, lane] : lanes_) {
    if (!lane.changed) continue;
    Bytes row;
    base::Writer out(row);
    out.u8(kQueueRowVersion);
    out.varint(static_cast<uint64_t>(lane.given));
    out.varint(lane.outstanding.size());
    Offset before = 0;
    for (const auto& [offset, one] : lane.outstanding) {
      out.varint(static_cast<uint64_t>(offset - before));
      out.varint(static_cast<uint64_t>(one.tries));
      before = offset;
    }
    CO_TRY(txn->put(parts_.rows, row_key(partition), as_text(row)));
    lane.changed = false;
    written.push_back(partition);
  }
  auto committed = co_await txn->commit();
  if (committed) co_return Result<void>();
  for (const int32_t partition : written)
    if (const auto lane = lanes_.find(partition); lane != lanes_.end()) lane->second.changed = true;
  co_return fail(committed.error());
}

Task<void> Queue::close() {
  tasks_.stop();
  co_await tasks_.join();
  if (producer_) co_await producer_->close();
  if (consumer_) co_await consumer_->close();
}

}  // namespace polis::stream
