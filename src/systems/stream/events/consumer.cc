#include "systems/stream/events/consumer.h"

#include <algorithm>
#include <fmt/format.h>
#include <unordered_set>

#include "systems/stream/broker/topic_row.h"
#include "systems/stream/client/group_member.h"
#include "systems/stream/events/refusals.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kGroupProtocolType = "consumer", kGroupProtocol = "range";
constexpr int kGroupTries = 200;  // a group that does not settle is told, not waited for
constexpr Duration kGroupPause = 20ms;

}  // namespace

Task<Result<std::unique_ptr<Consumer>>> Consumer::open(Broker& broker, ConsumerOptions options) {
  if (options.group.empty() != options.topics.empty())
    co_return fail(Code::kInvalid, "a consumer has a group and topics, or neither: then assign() names partitions");
  std::unique_ptr<Consumer> consumer(new Consumer(broker, std::move(options)));
  if (consumer->options_.group.empty()) co_return consumer;
  if (auto joined = co_await consumer->join(); !joined) {
    co_await consumer->close();
    co_return fail(joined.error());
  }
  consumer->tasks_.spawn(consumer->heartbeats());
  co_return consumer;
}

Consumer::~Consumer() {
  POLIS_ASSERT(tasks_.running() == 0);
}

// --- positions

Task<Result<Offset>> Consumer::resolve(const Topic& topic, int32_t partition, Offset wanted) {
  if (wanted >= 0) co_return wanted;
  const auto use = [&](Partition& open) { return open.offset_for(wanted, options_.isolation); };
  const auto found = CO_TRY(co_await broker_.topics.with(topic, partition, use));
  co_return found.offset;
}

Task<Result<void>> Consumer::assign(const std::map<TopicPartition, Offset>& partitions) {
  if (!options_.group.empty()) co_return fail(Code::kInvalid, "the group of this consumer assigns the partitions");
  const auto table = broker_.topics.table();
  std::vector<Reading> readings;
  for (const auto& [where, offset] : partitions) {
    const Topic* topic = table->find(where.topic);
    if (!topic || where.partition < 0 || where.partition >= topic->partitions)
      co_return fail(Code::kNotFound, fmt::format("there is no {}", partition_name(where.topic, where.partition)));
    const Offset from = CO_TRY(co_await resolve(*topic, where.partition, offset));
    readings.push_back({.where = where, .table = table, .topic = topic, .next = from});
  }
  readings_ = std::move(readings);
  co_return Result<void>();
}

std::map<TopicPartition, Offset> Consumer::positions() const {
  std::map<TopicPartition, Offset> all;
  for (const Reading& reading : readings_) all[reading.where] = reading.next;
  return all;
}

Result<void> Consumer::seek(const TopicPartition& partition, Offset offset) {
  for (Reading& reading : readings_) {
    if (reading.where != partition) continue;
    reading.next = offset;
    return {};
  }
  return fail(Code::kNotFound,
              fmt::format("{} is not assigned here", partition_name(partition.topic, partition.partition)));
}

Task<int64_t> Consumer::lag(const TopicPartition& partition) {
  for (const Reading& reading : readings_) {
    if (reading.where != partition) continue;
    const auto use = [&](Partition& open) -> Task<Result<Offset>> {
      co_return options_.isolation == Isolation::kReadCommitted ? open.last_stable_offset() : open.high_watermark();
    };
    const Offset next = reading.next;
    const std::shared_ptr<const TopicTable> table = reading.table;
    const auto end = co_await broker_.topics.with(*reading.topic, partition.partition, use);
    co_return end ? std::max<int64_t>(0, *end - next) : -1;
  }
  co_return -1;
}

// --- reading

Task<Result<Polled>> Consumer::poll(Duration wait) {
  const SteadyTime until = io::Shard::current().clock().steady() + wait;
  while (true) {
    if (lost_) co_return fail(*lost_);
    if (!options_.group.empty() && !joined_) CO_TRY(co_await join());
    Polled polled;
    for (size_t i = 0; i < readings_.size(); ++i) {
      Reading& reading = readings_[next_turn_++ % readings_.size()];
      if (CO_TRY(co_await fetch(reading, polled))) co_return polled;
    }
    const Duration left = until - io::Shard::current().clock().steady();
    if (left <= Duration::zero()) co_return Polled{};
    co_await wait_for_any(left);
    if (const io::Scope* scope = co_await io::this_scope(); scope && scope->stopped())
      co_return fail(scope->reason(), "the poll was stopped");
  }
}

// Whether it gave records.
Task<Result<bool>> Consumer::fetch(Reading& reading, Polled& polled) {
  while (true) {
    const Offset from = reading.next;
    const auto use = [&](Partition& open) -> Task<Result<Fetched>> {
      Fetched fetched = co_await open.fetch(from, options_.fetch_bytes_max, options_.isolation);
      if (fetched.file && fetched.refusal.ok()) {
        fetched_.resize(fetched.range.size);
        const size_t read = CO_TRY(co_await fetched.file->read_at(fetched.range.offset, fetched_));
        if (read != fetched_.size()) co_return fail(Code::kUnavailable, "the segment became shorter");
      } else {
        fetched_ = std::move(fetched.bytes);
      }
      co_return fetched;
    };
    const auto fetched = co_await broker_.topics.with(*reading.topic, reading.where.partition, use);
    if (!fetched) {
      // Its topic was erased: there is nothing to be read any more.
      if (fetched.error().code() == Code::kNotFound) co_return false;
      co_return fail(fetched.error());
    }
    if (fetched->refusal.code == ErrorCode::kOffsetOutOfRange) {
      // Retention has passed by, or the offset is of a topic that was there before.
      const Offset start = fetched->log_start_offset;
      reading.next = from < start && options_.otherwise == kEarliestOffset
                         ? start
                         : CO_TRY(co_await resolve(*reading.topic, reading.where.partition, options_.otherwise));
      if (reading.next == from) co_return false;
      continue;
    }
    if (!fetched->refusal.ok())
      co_return fail(error_of(fetched->refusal, partition_name(reading.where.topic, reading.where.partition)));
    if (fetched_.empty()) co_return false;
    CO_TRY(decode(reading, *fetched, polled));
    if (!polled.empty()) co_return true;
    if (reading.next == from) co_return false;
  }
}

Result<void> Consumer::decode(Reading& reading, const Fetched& fetched, Polled& polled) {
  unpacked_.clear();
  polled.topic = reading.where.topic;
  polled.partition = reading.where.partition;
  std::vector<AbortedTransaction> begun = fetched.aborted;
  std::ranges::sort(begun, std::greater(), &AbortedTransaction::first_offset);  // the next one is the last
  std::unordered_set<int64_t> aborted;
  const Offset from = reading.next;
  BytesView rest = fetched_;
  while (!rest.empty()) {
    const auto size = TRY(RecordBatch::size_of(rest));
    if (!size || *size > rest.size()) break;  // the last one is cut off: the next poll reads it
    const RecordBatch batch(rest.first(*size));
    rest = rest.subspan(*size);
    reading.next = std::max(reading.next, batch.last_offset() + 1);
    for (; !begun.empty() && begun.back().first_offset <= batch.last_offset(); begun.pop_back())
      aborted.insert(begun.back().producer_id);
    if (batch.control()) {
      aborted.erase(batch.producer_id());
      continue;
    }
    if (batch.transactional() && aborted.contains(batch.producer_id())) continue;
    Bytes storage;
    const BytesView records = TRY(open_records(batch, storage));
    if (!storage.empty()) unpacked_.push_back(std::move(storage));  // its bytes stay where they are
    RecordReader reader(batch, records);
    while (auto record = TRY(reader.next()))
      if (record->offset >= from) polled.records.push_back(std::move(*record));
  }
  return {};
}

// Until one of the partitions has something, the group rebalances, or the time is over.
Task<void> Consumer::wait_for_any(Duration wait) {
  rebalance_.reset();
  if (!options_.group.empty() && (!joined_ || lost_)) co_return;
  io::TaskGroup waits(co_await io::this_scope());
  const auto wait_there = [](Consumer& consumer, Reading& reading, io::Event& any) -> Task<void> {
    const std::shared_ptr<const TopicTable> table = reading.table;
    const Offset from = reading.next;
    const auto use = [&consumer, from](Partition& open) {
      return open.wait_for_data(from, 1, consumer.options_.isolation);
    };
    const auto came = co_await consumer.broker_.topics.with(*reading.topic, reading.where.partition, use);
    if (came) any.set();
  };
  for (Reading& reading : readings_) waits.spawn(wait_there(*this, reading, rebalance_));
  (void)co_await io::with_timeout(wait, rebalance_.wait());
  waits.stop();
  co_await waits.join();
}

// --- the group

Task<Result<void>> Consumer::join() {
  const Bytes subscription = encode_subscription(options_.topics);
  for (int tries = 0; tries < kGroupTries; ++tries) {
    if (CO_TRY(co_await join_once(subscription))) co_return Result<void>();
  }
  co_return fail(Code::kBusy, fmt::format("group {} does not settle", options_.group));
}

// False: again, perhaps after a pause.
Task<Result<bool>> Consumer::join_once(const Bytes& subscription) {
  JoinGroupRequest request{.group_id = options_.group,
                           .session_timeout_ms = options_.session_timeout_ms,
                           .rebalance_timeout_ms = options_.rebalance_timeout_ms,
                           .member_id = member_,
                           .protocol_type = kGroupProtocolType};
  request.protocols.push_back({.name = kGroupProtocol, .metadata = subscription});
  const auto joined = co_await broker_.groups.join(
      request, GroupClient{.client_id = "polis", .client_host = "in-process", .version = 5});
  switch (static_cast<ErrorCode>(joined.error_code)) {
    case ErrorCode::kNone:
      break;
    case ErrorCode::kMemberIdRequired:
      member_ = joined.member_id;
      co_return false;
    case ErrorCode::kUnknownMemberId:
      member_.clear();
      co_return false;
    case ErrorCode::kRebalanceInProgress:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
      CO_TRY(co_await io::sleep_for(kGroupPause));
      co_return false;
    default:
      co_return fail(error_of(static_cast<ErrorCode>(joined.error_code), options_.group));
  }
  member_ = joined.member_id;
  generation_ = joined.generation_id;
  auto assignment = co_await sync(joined);
  if (!assignment) {
    if (assignment.error().code() == Code::kConflict || assignment.error().code() == Code::kBusy) {
      CO_TRY(co_await io::sleep_for(kGroupPause));
      co_return false;  // somebody came or went meanwhile
    }
    co_return fail(assignment.error());
  }
  CO_TRY(co_await take(CO_TRY(decode_assignment(*assignment))));
  joined_ = true;
  co_return true;
}

// The leader assigns, the others learn what they have.
Task<Result<Bytes>> Consumer::sync(const JoinGroupResponse& joined) {
  SyncGroupRequest request{.group_id = options_.group,
                           .generation_id = generation_,
                           .member_id = member_,
                           .protocol_type = kGroupProtocolType,
                           .protocol_name = kGroupProtocol};
  std::map<std::string, Bytes> assignments;
  if (joined.leader == member_) {
    const auto table = broker_.topics.table();
    std::map<std::string, std::vector<std::string>> subscriptions;
    std::map<std::string, int32_t> partitions;
    for (const auto& member : joined.members) {
      subscriptions[member.member_id] = CO_TRY(decode_subscription(member.metadata));
      for (const std::string& topic : subscriptions[member.member_id]) {
        const Topic* known = table->find(topic);
        partitions[topic] = known ? known->partitions : 0;
      }
    }
    for (const auto& [member, parts] : assign_ranges(subscriptions, partitions))
      assignments[member] = encode_assignment(parts);
  }
  for (const auto& [member, bytes] : assignments)
    request.assignments.push_back({.member_id = member, .assignment = bytes});
  auto synced = co_await broker_.groups.sync(request);
  CO_TRY(outcome_of(synced.error_code, options_.group));
  co_return std::move(synced.assignment);
}

// What the group gave: each partition goes on where it was committed.
Task<Result<void>> Consumer::take(const std::vector<TopicPartition>& assigned) {
  const auto table = broker_.topics.table();
  std::vector<Reading> readings;
  OffsetFetchRequest request{.group_id = options_.group, .topics = {}, .groups = {}, .require_stable = true};
  request.groups.push_back({.group_id = options_.group, .member_id = {}, .topics = {}});
  auto& wanted = request.groups.back().topics.emplace();
  for (const TopicPartition& where : assigned) {
    const Topic* topic = table->find(where.topic);
    if (!topic || where.partition >= topic->partitions) continue;  // went meanwhile
    readings.push_back({.where = where, .table = table, .topic = topic});
    if (wanted.empty() || wanted.back().name != where.topic) wanted.push_back({.name = where.topic});
    wanted.back().partition_indexes.push_back(where.partition);
  }
  for (int tries = 0; !readings.empty(); ++tries) {
    const auto found = co_await broker_.groups.fetch(request, 8);
    bool unstable = false;
    for (const auto& group : found.groups) {
      if (group.error_code != 0) {
        const Error error = error_of(static_cast<ErrorCode>(group.error_code), options_.group);
        if (error.code() != Code::kBusy) co_return fail(error);
        unstable = true;
      }
      for (const auto& topic : group.topics)
        for (const auto& partition : topic.partitions) {
          unstable = unstable || static_cast<ErrorCode>(partition.error_code) == ErrorCode::kUnstableOffsetCommit;
          for (Reading& reading : readings)
            if (reading.where.topic == topic.name && reading.where.partition == partition.partition_index)
              reading.committed = partition.committed_offset;
        }
    }
    if (!unstable) break;
    if (tries == kGroupTries) co_return fail(Code::kBusy, "offsets of a transaction are pending");
    CO_TRY(co_await io::sleep_for(kGroupPause));
  }
  for (Reading& reading : readings) {
    reading.next = reading.committed >= 0
                       ? reading.committed
                       : CO_TRY(co_await resolve(*reading.topic, reading.where.partition, options_.otherwise));
  }
  readings_ = std::move(readings);
  co_return Result<void>();
}

Task<void> Consumer::heartbeats() {
  const Duration every = std::chrono::milliseconds(std::max(1, options_.session_timeout_ms / 3));
  while (co_await io::sleep_for(every)) {
    if (!joined_) continue;
    const auto answer = co_await broker_.groups.heartbeat(
        {.group_id = options_.group, .generation_id = generation_, .member_id = member_});
    switch (static_cast<ErrorCode>(answer.error_code)) {
      case ErrorCode::kNone:
      case ErrorCode::kCoordinatorLoadInProgress:
      case ErrorCode::kCoordinatorNotAvailable:
        break;
      case ErrorCode::kUnknownMemberId:
        member_.clear();
        [[fallthrough]];
      case ErrorCode::kRebalanceInProgress:
      case ErrorCode::kIllegalGeneration:
        joined_ = false;
        rebalance_.set();
        break;
      default:
        lost_ = error_of(static_cast<ErrorCode>(answer.error_code), options_.group);
        rebalance_.set();
    }
  }
}

Task<Result<void>> Consumer::commit() {
  if (options_.group.empty()) co_return fail(Code::kInvalid, "a consumer without a group keeps its positions itself");
  OffsetCommitRequest request{
      .group_id = options_.group, .generation_id_or_member_epoch = generation_, .member_id = member_};
  for (const Reading& reading : readings_) {
    if (reading.next == reading.committed) continue;
    if (request.topics.empty() || request.topics.back().name != reading.where.topic)
      request.topics.push_back({.name = reading.where.topic, .partitions = {}});
    request.topics.back().partitions.push_back({.partition_index = reading.where.partition,
                                                .committed_offset = reading.next,
                                                .committed_metadata = std::string_view()});
  }
  if (request.topics.empty()) co_return Result<void>();
  const auto positions_then = positions();
  for (int tries = 1;; ++tries) {
    const auto committed = co_await broker_.groups.commit(request);
    int16_t code = 0;
    for (const auto& topic : committed.topics)
      for (const auto& partition : topic.partitions)
        if (partition.error_code != 0) code = partition.error_code;
    if (code == 0) break;
    const Error error = error_of(static_cast<ErrorCode>(code), options_.group);
    if (static_cast<ErrorCode>(code) == ErrorCode::kRebalanceInProgress ||
        static_cast<ErrorCode>(code) == ErrorCode::kIllegalGeneration ||
        static_cast<ErrorCode>(code) == ErrorCode::kUnknownMemberId) {
      joined_ = false;
      rebalance_.set();
    }
    if (error.code() != Code::kBusy || tries == kGroupTries) co_return fail(error);
    CO_TRY(co_await io::sleep_for(kGroupPause));
  }
  for (Reading& reading : readings_)
    if (const auto then = positions_then.find(reading.where); then != positions_then.end())
      reading.committed = then->second;
  co_return Result<void>();
}

Task<void> Consumer::close() {
  tasks_.stop();
  co_await tasks_.join();
  if (!options_.group.empty() && !member_.empty()) {
    LeaveGroupRequest request{.group_id = options_.group};
    request.members.push_back({.member_id = member_, .group_instance_id = {}, .reason = {}});
    (void)co_await broker_.groups.leave(request, 4);  // if not, the session ends by itself
    member_.clear();
    joined_ = false;
  }
  readings_.clear();
}

}  // namespace polis::stream
