#include "systems/stream/broker/group_coordinator.h"

#include <algorithm>
#include <utility>

#include "systems/stream/partition/producer_table.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

// A client that finds its coordinator loading comes again after 100 ms or so; a small partition is read by then.
constexpr Duration kLoadWaitMax = 1s;
constexpr Duration kLoadAgainAfter = 1s;
constexpr uint64_t kLoadBytes = 1 << 20;
// One commit, or one round of tombstones, as one batch.
constexpr size_t kBatchBytesMax = 16 << 20;
constexpr size_t kTombstonesMax = 10'000;
constexpr size_t kRecordBytesAround = 96;  // of a record besides its group, topic and metadata
constexpr int kAppendAttempts = 16;
constexpr std::string_view kClassic = "classic";

// What a group's client is told when its record cannot be stored: look for the coordinator again.
ErrorCode of_storage(ErrorCode code) {
  switch (code) {
    case ErrorCode::kKafkaStorageError:
    case ErrorCode::kNotLeaderOrFollower:
    case ErrorCode::kUnknownTopicOrPartition:
      return ErrorCode::kNotCoordinator;
    case ErrorCode::kRequestTimedOut:
    case ErrorCode::kThrottlingQuotaExceeded:
      return ErrorCode::kCoordinatorNotAvailable;
    default:
      return code;
  }
}

// An answer that a Group gives later. Shared by the coroutine that waits for it and the Group, since either may go
// first.
template <class Response>
struct Awaited {
  std::optional<Response> value;
  io::Event given;
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

struct GroupCoordinator::Entry final : io::Timer {
  Entry(GroupCoordinator& owner_in, std::string id_in)
      : owner(owner_in), id(std::move(id_in)), group(id, owner.options_.limits, owner.random_) {}
  void fired() override { owner.tick(*this); }

  GroupCoordinator& owner;
  const std::string id;
  Group group;
  Offsets offsets;
  std::map<int64_t, Offsets> pending;  // by producer
  SteadyTime due{};                    // of the timer, while it is armed
  uint64_t settled = 0;                // the group's changes() that are appended
  bool stored = false;                 // a generation was written
  Offset generation_next = 0;          // behind its record
  int64_t since_ms = -1;               // when that was
};

GroupCoordinator::GroupCoordinator(FindPartition partition, KnowsTopic knows_topic, const Clock& clock, Random& random,
                                   const GroupsOptions& options)
    : partition_(std::move(partition)),
      knows_topic_(std::move(knows_topic)),
      clock_(clock),
      random_(random),
      options_(options) {}

GroupCoordinator::~GroupCoordinator() = default;

Task<void> GroupCoordinator::close() {
  tasks_.stop();
  co_await tasks_.join();
  for (const auto& [id, entry] : groups_) {
    entry->disarm();  // a request that waits may keep it a little longer
    entry->group.close();
  }
  groups_.clear();
  transactions_.clear();
  queue_.clear();
}

int64_t GroupCoordinator::now_ms() const {
  return base::milliseconds_since_epoch(clock_.wall());
}

GroupCoordinator::EntryPtr GroupCoordinator::find(std::string_view group) const {
  const auto found = groups_.find(group);
  return found == groups_.end() ? nullptr : found->second;
}

GroupCoordinator::EntryPtr GroupCoordinator::find_or_make(std::string_view group) {
  if (EntryPtr known = find(group)) return known;
  if (groups_.size() >= options_.groups_max) return nullptr;
  auto entry = std::make_shared<Entry>(*this, std::string(group));
  entry->since_ms = now_ms();
  groups_.emplace(entry->id, entry);
  return entry;
}

// --- reading back

void GroupCoordinator::load() {
  const bool again = loading_ == Loading::kFailed && now() - load_ended_ >= kLoadAgainAfter;
  if (loading_ != Loading::kNot && !again) return;
  loading_ = Loading::kBegun;
  loaded_.reset();
  tasks_.spawn(run_load());
}

Task<ErrorCode> GroupCoordinator::ready() {
  if (loading_ == Loading::kDone) co_return ErrorCode::kNone;
  load();
  if (loading_ == Loading::kBegun) (void)co_await io::with_timeout(kLoadWaitMax, loaded_.wait());
  if (loading_ == Loading::kDone) co_return ErrorCode::kNone;
  co_return loading_ == Loading::kBegun ? ErrorCode::kCoordinatorLoadInProgress : ErrorCode::kCoordinatorNotAvailable;
}

Task<void> GroupCoordinator::run_load() {
  const std::shared_ptr<Partition> partition = partition_();
  const Result<void> done =
      partition ? co_await read(*partition) : Result<void>(fail(Code::kNotFound, "the offsets topic is not open"));
  if (!done) {
    groups_.clear();
    transactions_.clear();
  } else {
    co_await forget_lost_topics();
  }
  loading_ = done ? Loading::kDone : Loading::kFailed;
  load_ended_ = now();
  loaded_.set();
}

Task<Result<void>> GroupCoordinator::read(Partition& partition) {
  std::map<std::string, std::pair<Bytes, int64_t>> generations;  // the newest of each group, and when it was written
  Offset next = partition.log_start_offset();
  while (next < partition.high_watermark()) {
    Fetched fetched = co_await partition.fetch(next, kLoadBytes, Isolation::kReadUncommitted);
    if (!fetched.refusal.ok())
      co_return fail(Code::kIo, "the offsets topic cannot be read: " + fetched.refusal.message);
    if (fetched.size_bytes() == 0) break;
    if (fetched.file) {
      fetched.bytes.resize(fetched.range.size);
      const size_t bytes = CO_TRY(co_await fetched.file->read_at(fetched.range.offset, fetched.bytes));
      if (bytes != fetched.bytes.size())
        co_return fail(Code::kIo, "the offsets topic became shorter while it was read");
    }
    const Offset before = next;
    CO_TRY(replay(fetched.bytes, next, generations));
    if (next == before) break;
    co_await io::yield();
  }
  // What was deleted again.
  std::erase_if(groups_, [&](const auto& one) {
    return one.second->offsets.empty() && one.second->pending.empty() && !generations.contains(one.first);
  });
  for (auto& [id, generation] : generations) {
    const EntryPtr entry = find_or_make(id);
    if (!entry) co_return fail(Code::kTooLarge, "more groups than this broker is allowed to have");
    CO_TRY(entry->group.restore(generation.first, now()));
    entry->stored = true;
    entry->since_ms = generation.second;
    rearm(*entry);
  }
  co_return {};
}

// polis ended between the end of a topic and that of its offsets (or they were not read yet). Before anybody commits: a
// new topic of the same name begins with none. One sync for all of them.
Task<void> GroupCoordinator::forget_lost_topics() {
  std::vector<EntryPtr> all;
  for (const auto& [id, entry] : groups_) all.push_back(entry);
  bool some = false;
  for (const EntryPtr& entry : all) {
    std::vector<Change> lost;
    for (const TopicPartition& one : partitions_of(*entry))
      if (!knows_topic_(one.topic)) lost.push_back({one.topic, one.partition, std::nullopt});
    if (lost.empty()) continue;
    some = true;
    (void)co_await forget(entry, std::move(lost), false, false);  // if it cannot be written they expire
  }
  if (some && !queue_.empty()) (void)co_await durable(queue_.back().next);
}

Result<void> GroupCoordinator::replay(BytesView batches, Offset& next,
                                      std::map<std::string, std::pair<Bytes, int64_t>>& generations) {
  while (!batches.empty()) {
    const auto size = TRY(RecordBatch::size_of(batches));
    if (!size || *size > batches.size()) break;
    const RecordBatch batch(batches.first(*size));
    batches = batches.subspan(*size);
    TRY(batch.sound() ? Result<void>() : Result<void>(fail(Code::kCorrupt, "a damaged batch of the offsets topic")));
    const bool known = batch.last_offset() < next;
    next = std::max(next, batch.last_offset() + 1);
    if (known) continue;
    if (batch.control()) {
      if (const auto marker = decode_marker(batch)) end_transaction(batch.producer_id(), marker->commit);
      continue;
    }
    Bytes storage;
    RecordReader reader(batch, TRY(open_records(batch, storage)));
    while (const auto record = TRY(reader.next())) {
      if (!record->key) continue;
      const OffsetsTopicKey key = TRY(decode_offsets_key(*record->key));
      if (const auto* generation = std::get_if<GenerationKey>(&key)) {
        if (record->value)
          generations[std::string(generation->group)] = {Bytes(record->value->begin(), record->value->end()),
                                                         record->timestamp};
        else
          generations.erase(std::string(generation->group));
        continue;
      }
      const auto* offset = std::get_if<OffsetKey>(&key);
      if (!offset) continue;
      Change change{std::string(offset->topic), offset->partition, std::nullopt};
      if (record->value) {
        change.value = TRY(decode_committed_offset(*record->value));
        change.value->record_offset = record->offset;
      }
      const EntryPtr entry = change.value ? find_or_make(offset->group) : find(offset->group);
      if (!entry && change.value) return fail(Code::kTooLarge, "more groups than this broker is allowed to have");
      if (!entry) continue;
      if (batch.transactional() && change.value) {
        entry->pending[batch.producer_id()][change.topic][change.partition] = std::move(*change.value);
        transactions_[batch.producer_id()].insert(entry->id);
        continue;
      }
      apply(*entry, change);
      if (!change.value) drop_pending(*entry, change);
    }
  }
  return {};
}

// --- writing

GroupCoordinator::Appended GroupCoordinator::append(BatchBuilder& builder) {
  const std::shared_ptr<Partition> partition = partition_();
  if (!partition) return {.code = ErrorCode::kNotCoordinator};
  const AppendResult appended = partition->append(builder.finish(), AppendOrigin::kCoordinator);
  return {appended.refusal.code, appended.base_offset, appended.next_offset};
}

Task<ErrorCode> GroupCoordinator::durable(Offset next) {
  const std::shared_ptr<Partition> partition = partition_();
  if (!partition) co_return ErrorCode::kNotCoordinator;
  const auto waited = co_await partition->wait(next);
  if (!waited) co_return of_storage(error_code(waited.error()));
  apply_up_to(next);
  co_return ErrorCode::kNone;
}

Task<void> GroupCoordinator::let_disk_catch_up() {
  if (const std::shared_ptr<Partition> partition = partition_())
    (void)co_await partition->wait(partition->end_offset());
}

// What is durable becomes known in the order of the log, whichever request hears of it first.
void GroupCoordinator::apply_up_to(Offset next) {
  while (!queue_.empty() && queue_.front().next <= next) {
    for (const Change& change : queue_.front().changes) apply(*queue_.front().entry, change);
    queue_.pop_front();
  }
}

void GroupCoordinator::apply(Entry& entry, const Change& change) {
  if (change.value) {
    CommittedOffset& offset = entry.offsets[change.topic][change.partition];
    if (change.value->record_offset >= offset.record_offset) offset = *change.value;
    return;
  }
  const auto topic = entry.offsets.find(change.topic);
  if (topic == entry.offsets.end()) return;
  topic->second.erase(change.partition);
  if (topic->second.empty()) entry.offsets.erase(topic);
}

// The record that deletes an offset stands behind those of open transactions for the same partition.
void GroupCoordinator::drop_pending(Entry& entry, const Change& change) {
  for (auto producer = entry.pending.begin(); producer != entry.pending.end();) {
    Offsets& offsets = producer->second;
    if (const auto topic = offsets.find(change.topic); topic != offsets.end()) {
      topic->second.erase(change.partition);
      if (topic->second.empty()) offsets.erase(topic);
    }
    producer = offsets.empty() ? entry.pending.erase(producer) : std::next(producer);
  }
}

// A generation that is new is written down. Answers that tell of it wait for that (durable_generation).
void GroupCoordinator::settle(Entry& entry) {
  if (entry.settled == entry.group.changes()) return;
  BatchBuilder builder;
  const int64_t now = now_ms();
  builder.add(now, BytesView(stream::encode(GenerationKey{entry.id})), BytesView(entry.group.encode(now)));
  const Appended appended = append(builder);
  if (appended.code != ErrorCode::kNone) return;  // the next call or tick tries again
  entry.settled = entry.group.changes();
  entry.stored = true;
  entry.since_ms = now;
  entry.generation_next = appended.next;
}

Task<ErrorCode> GroupCoordinator::durable_generation(EntryPtr entry) {
  for (int attempt = 0; attempt < kAppendAttempts; ++attempt) {
    settle(*entry);
    if (entry->settled == entry->group.changes())
      co_return entry->generation_next == 0 ? ErrorCode::kNone : co_await durable(entry->generation_next);
    co_await let_disk_catch_up();
  }
  co_return ErrorCode::kCoordinatorNotAvailable;
}

void GroupCoordinator::tick(Entry& entry) {
  entry.group.tick(now());
  settle(entry);
  rearm(entry);
}

// Heartbeats move deadlines only away: the timer may fire early, and is then set anew.
void GroupCoordinator::rearm(Entry& entry) {
  auto next = entry.group.next_tick();
  // A generation that could not be written.
  if (entry.settled != entry.group.changes() && (!next || *next > now() + 1s)) next = now() + 1s;
  if (!next) return entry.disarm();
  if (entry.armed() && entry.due <= *next) return;
  entry.disarm();
  entry.due = *next;
  entry.arm(*next);
}

// --- members

Task<JoinGroupResponse> GroupCoordinator::join(const JoinGroupRequest& request, const GroupClient& client) {
  JoinGroupResponse refused;
  refused.member_id = std::string(request.member_id);
  const EntryPtr entry = request.member_id.empty() ? find_or_make(request.group_id) : find(request.group_id);
  if (!entry) {
    refused.error_code =
        number(request.member_id.empty() ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kUnknownMemberId);
    co_return refused;
  }
  const auto awaited = std::make_shared<Awaited<JoinGroupResponse>>();
  entry->group.join(now(), request, client, [awaited](JoinGroupResponse response) {
    awaited->value = std::move(response);
    awaited->given.set();
  });
  settle(*entry);
  rearm(*entry);
  if (!awaited->value) (void)co_await awaited->given.wait();
  refused.error_code = number(ErrorCode::kCoordinatorNotAvailable);
  if (!awaited->value) co_return refused;  // nobody waits for it any more
  if (awaited->value->error_code != 0) co_return std::move(*awaited->value);
  // A static member's new id is known once it is durable.
  if (const ErrorCode code = co_await durable_generation(entry); code != ErrorCode::kNone) {
    refused.error_code = number(code);
    co_return refused;
  }
  co_return std::move(*awaited->value);
}

Task<SyncGroupResponse> GroupCoordinator::sync(const SyncGroupRequest& request) {
  SyncGroupResponse refused;
  const EntryPtr entry = find(request.group_id);
  if (!entry) {
    refused.error_code = number(ErrorCode::kUnknownMemberId);
    co_return refused;
  }
  const auto awaited = std::make_shared<Awaited<SyncGroupResponse>>();
  entry->group.sync(now(), request, [awaited](SyncGroupResponse response) {
    awaited->value = std::move(response);
    awaited->given.set();
  });
  settle(*entry);
  rearm(*entry);
  if (!awaited->value) (void)co_await awaited->given.wait();
  refused.error_code = number(ErrorCode::kCoordinatorNotAvailable);
  if (!awaited->value) co_return refused;
  if (awaited->value->error_code != 0) co_return std::move(*awaited->value);
  if (const ErrorCode code = co_await durable_generation(entry); code != ErrorCode::kNone) {
    refused.error_code = number(code);
    co_return refused;
  }
  co_return std::move(*awaited->value);
}

HeartbeatResponse GroupCoordinator::heartbeat(const HeartbeatRequest& request) {
  const EntryPtr entry = find(request.group_id);
  if (entry) return entry->group.heartbeat(now(), request);
  HeartbeatResponse response;
  response.error_code = number(ErrorCode::kUnknownMemberId);
  return response;
}

Task<LeaveGroupResponse> GroupCoordinator::leave(const LeaveGroupRequest& request, int16_t version) {
  const EntryPtr entry = find(request.group_id);
  if (entry) {
    LeaveGroupResponse response = entry->group.leave(now(), request, version);
    settle(*entry);
    rearm(*entry);
    co_return response;
  }
  LeaveGroupResponse response;
  if (request.members.empty()) response.error_code = number(ErrorCode::kUnknownMemberId);
  for (const auto& one : request.members) {
    std::optional<std::string> instance;
    if (one.group_instance_id) instance = std::string(*one.group_instance_id);
    response.members.push_back({std::string(one.member_id), std::move(instance), number(ErrorCode::kUnknownMemberId)});
  }
  co_return response;
}

// --- offsets

namespace {

int64_t committed_ms_of(const OffsetCommitRequest::OffsetCommitRequestTopic::OffsetCommitRequestPartition& partition,
                        int64_t now_ms) {
  return partition.commit_timestamp < 0 ? now_ms : partition.commit_timestamp;
}
int64_t committed_ms_of(
    const TxnOffsetCommitRequest::TxnOffsetCommitRequestTopic::TxnOffsetCommitRequestPartition& /*partition*/,
    int64_t now_ms) {
  return now_ms;
}
int64_t expires_ms_of(const OffsetCommitRequest& request, int64_t now_ms) {
  return request.retention_time_ms < 0 ? -1 : now_ms + std::min(request.retention_time_ms, int64_t{1} << 50);
}
int64_t expires_ms_of(const TxnOffsetCommitRequest& /*request*/, int64_t /*now_ms*/) {
  return -1;
}

// Passes on in the order in which it was waited for.
class CommitTurn {
 public:
  explicit CommitTurn(io::Semaphore& turns) : turns_(turns), held_(turns.try_acquire()) {}
  CommitTurn(const CommitTurn&) = delete;
  CommitTurn& operator=(const CommitTurn&) = delete;
  ~CommitTurn() { end(); }
  bool held() const { return held_; }
  Task<bool> wait() {
    held_ = (co_await turns_.acquire()).has_value();
    co_return held_;
  }
  void end() {
    if (std::exchange(held_, false)) turns_.release();
  }

 private:
  io::Semaphore& turns_;
  bool held_;
};

template <class Request, class Response>
Response answer_all(const Request& request, ErrorCode code) {
  Response response;
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (const auto& partition : topic.partitions)
      answered.partitions.push_back({.partition_index = partition.partition_index, .error_code = number(code)});
  }
  return response;
}

void add_record(BatchBuilder& builder, int64_t now_ms, std::string_view group, std::string_view topic,
                int32_t partition, const std::optional<CommittedOffset>& value) {
  const Bytes key = encode(OffsetKey{group, topic, partition});
  if (!value) return builder.add(now_ms, BytesView(key), std::nullopt);
  builder.add(now_ms, BytesView(key), BytesView(encode(*value)));
}

}  // namespace

template <class Request, class Response>
void GroupCoordinator::collect(const Request& request, Response& response, std::vector<Change>& changes) const {
  const int64_t now = now_ms();
  const int64_t expires = expires_ms_of(request, now);
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (const auto& partition : topic.partitions) {
      const std::string_view metadata = partition.committed_metadata.value_or("");
      const bool fitting = metadata.size() <= options_.offset_metadata_bytes_max;
      answered.partitions.push_back(
          {.partition_index = partition.partition_index,
           .error_code = number(fitting ? ErrorCode::kNone : ErrorCode::kOffsetMetadataTooLarge)});
      if (!fitting) continue;
      changes.push_back({std::string(topic.name), partition.partition_index,
                         CommittedOffset{.offset = partition.committed_offset,
                                         .leader_epoch = partition.committed_leader_epoch,
                                         .metadata = std::string(metadata),
                                         .committed_ms = committed_ms_of(partition, now),
                                         .expires_ms = expires}});
    }
  }
}

template <class Request>
bool GroupCoordinator::fits(const Request& request) const {
  size_t bytes = 0;
  for (const auto& topic : request.topics)
    for (const auto& partition : topic.partitions)
      bytes += kRecordBytesAround + request.group_id.size() + topic.name.size() +
               std::min(partition.committed_metadata.value_or("").size(), options_.offset_metadata_bytes_max);
  return bytes <= kBatchBytesMax;
}

Task<OffsetCommitResponse> GroupCoordinator::commit(const OffsetCommitRequest& request) {
  const auto refuse = [&](ErrorCode code) {
    return answer_all<OffsetCommitRequest, OffsetCommitResponse>(request, code);
  };
  if (!fits(request)) co_return refuse(ErrorCode::kInvalidRequest);
  CommitTurn turn(commit_turn_);
  if (!turn.held() && !co_await turn.wait()) co_return refuse(ErrorCode::kCoordinatorNotAvailable);
  for (int attempt = 0; attempt < kAppendAttempts; ++attempt) {
    const bool simple = request.generation_id_or_member_epoch < 0;
    const EntryPtr entry = simple ? find_or_make(request.group_id) : find(request.group_id);
    if (!entry) co_return refuse(simple ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kIllegalGeneration);
    const ErrorCode allowed = entry->group.may_commit(now(), request.member_id, request.group_instance_id,
                                                      request.generation_id_or_member_epoch, false);
    if (allowed != ErrorCode::kNone) co_return refuse(allowed);
    OffsetCommitResponse response;
    std::vector<Change> changes;
    collect(request, response, changes);
    if (changes.empty()) co_return response;
    BatchBuilder builder;
    const int64_t now = now_ms();
    for (const Change& one : changes) add_record(builder, now, entry->id, one.topic, one.partition, one.value);
    const Appended appended = append(builder);
    if (appended.code == ErrorCode::kThrottlingQuotaExceeded) {
      co_await let_disk_catch_up();
      continue;
    }
    if (appended.code != ErrorCode::kNone) co_return refuse(of_storage(appended.code));
    for (size_t i = 0; i < changes.size(); ++i)
      changes[i].value->record_offset = appended.base + static_cast<Offset>(i);
    queue_.push_back({appended.next, entry, std::move(changes)});
    turn.end();
    const ErrorCode stored = co_await durable(appended.next);
    if (stored != ErrorCode::kNone) co_return refuse(stored);
    co_return response;
  }
  co_return refuse(ErrorCode::kCoordinatorNotAvailable);
}

Task<TxnOffsetCommitResponse> GroupCoordinator::commit_in_transaction(const TxnOffsetCommitRequest& request) {
  const auto refuse = [&](ErrorCode code) {
    return answer_all<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(request, code);
  };
  if (request.producer_id < 0 || request.producer_epoch < 0) co_return refuse(ErrorCode::kInvalidProducerIdMapping);
  if (!fits(request)) co_return refuse(ErrorCode::kInvalidRequest);
  for (int attempt = 0; attempt < kAppendAttempts; ++attempt) {
    const bool simple = request.generation_id < 0;
    const EntryPtr entry = simple ? find_or_make(request.group_id) : find(request.group_id);
    if (!entry) co_return refuse(simple ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kIllegalGeneration);
    const ErrorCode allowed =
        entry->group.may_commit(now(), request.member_id, request.group_instance_id, request.generation_id, true);
    if (allowed != ErrorCode::kNone) co_return refuse(allowed);
    TxnOffsetCommitResponse response;
    std::vector<Change> changes;
    collect(request, response, changes);
    if (changes.empty()) co_return response;
    BatchBuilder builder(
        {.id = request.producer_id, .epoch = request.producer_epoch, .base_sequence = -1, .transactional = true});
    const int64_t now = now_ms();
    for (const Change& one : changes) add_record(builder, now, entry->id, one.topic, one.partition, one.value);
    const Appended appended = append(builder);
    if (appended.code == ErrorCode::kThrottlingQuotaExceeded) {
      co_await let_disk_catch_up();
      continue;
    }
    if (appended.code != ErrorCode::kNone) co_return refuse(of_storage(appended.code));
    for (size_t i = 0; i < changes.size(); ++i) {
      changes[i].value->record_offset = appended.base + static_cast<Offset>(i);
      entry->pending[request.producer_id][changes[i].topic][changes[i].partition] = std::move(*changes[i].value);
    }
    transactions_[request.producer_id].insert(entry->id);
    const ErrorCode stored = co_await durable(appended.next);
    if (stored != ErrorCode::kNone) co_return refuse(stored);
    co_return response;
  }
  co_return refuse(ErrorCode::kCoordinatorNotAvailable);
}

void GroupCoordinator::end_transaction(int64_t producer_id, bool commit) {
  if (const std::shared_ptr<Partition> partition = partition_()) apply_up_to(partition->high_watermark());
  const auto found = transactions_.find(producer_id);
  if (found == transactions_.end()) return;
  for (const std::string& id : found->second) {
    const EntryPtr entry = find(id);
    if (!entry) continue;
    const auto node = entry->pending.extract(producer_id);
    if (node.empty() || !commit) continue;
    for (const auto& [topic, partitions] : node.mapped())
      for (const auto& [partition, offset] : partitions) apply(*entry, {topic, partition, offset});
  }
  transactions_.erase(found);
}

bool GroupCoordinator::pending(const Entry& entry, std::string_view topic, int32_t partition) const {
  return std::ranges::any_of(entry.pending, [&](const auto& one) {
    const auto found = one.second.find(topic);
    return found != one.second.end() && found->second.contains(partition);
  });
}

OffsetFetchResponse::OffsetFetchResponseGroup GroupCoordinator::fetch(
    const OffsetFetchRequest::OffsetFetchRequestGroup& request, bool require_stable) const {
  OffsetFetchResponse::OffsetFetchResponseGroup response;
  response.group_id = std::string(request.group_id);
  const EntryPtr entry = find(request.group_id);
  const auto add = [&](auto& topic, int32_t partition, const CommittedOffset* offset) {
    auto& answered = topic.partitions.emplace_back();
    answered.partition_index = partition;
    answered.committed_offset = -1;
    answered.metadata = "";
    if (require_stable && entry && pending(*entry, topic.name, partition)) {
      answered.error_code = number(ErrorCode::kUnstableOffsetCommit);
    } else if (offset) {
      answered.committed_offset = offset->offset;
      answered.committed_leader_epoch = offset->leader_epoch;
      answered.metadata = offset->metadata;
    }
  };
  if (!request.topics) {
    if (!entry) return response;
    for (const auto& [name, partitions] : entry->offsets) {
      auto& topic = response.topics.emplace_back();
      topic.name = name;
      for (const auto& [partition, offset] : partitions) add(topic, partition, &offset);
    }
    return response;
  }
  for (const auto& asked : *request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = std::string(asked.name);
    const std::map<int32_t, CommittedOffset>* partitions = nullptr;
    if (entry)
      if (const auto found = entry->offsets.find(asked.name); found != entry->offsets.end())
        partitions = &found->second;
    for (const int32_t partition : asked.partition_indexes) {
      const auto found = partitions ? partitions->find(partition) : decltype(partitions->end()){};
      add(topic, partition, partitions && found != partitions->end() ? &found->second : nullptr);
    }
  }
  return response;
}

// --- ending

// Every partition that a record tells an offset of: valid ones, pending ones, and those that are not durable yet.
std::set<TopicPartition> GroupCoordinator::partitions_of(const Entry& entry) const {
  std::set<TopicPartition> all;
  const auto take = [&](const Offsets& offsets) {
    for (const auto& [topic, partitions] : offsets)
      for (const auto& [partition, offset] : partitions) all.insert({topic, partition});
  };
  take(entry.offsets);
  for (const auto& [producer, offsets] : entry.pending) take(offsets);
  for (const Queued& queued : queue_)
    if (queued.entry.get() == &entry)
      for (const Change& change : queued.changes) all.insert({change.topic, change.partition});
  return all;
}

// Writes that these offsets, and perhaps the group, are gone, and takes pending ones of the same partitions away: their
// records are older. The group goes with the last record; kNonEmptyGroup if somebody joined before that.
Task<ErrorCode> GroupCoordinator::forget(EntryPtr entry, std::vector<Change> changes, bool with_group,
                                         bool until_durable) {
  int attempts_left = kAppendAttempts;
  for (size_t at = 0; at < changes.size() || with_group;) {
    BatchBuilder builder;
    const int64_t now = now_ms();
    const size_t end = std::min(changes.size(), at + kTombstonesMax);
    for (size_t i = at; i < end; ++i)
      add_record(builder, now, entry->id, changes[i].topic, changes[i].partition, std::nullopt);
    const bool last = end == changes.size();
    if (last && with_group) {
      if (entry->group.state() != GroupState::kEmpty) co_return ErrorCode::kNonEmptyGroup;
      builder.add(now, BytesView(stream::encode(GenerationKey{entry->id})), std::nullopt);
    }
    const Appended appended = append(builder);
    if (appended.code == ErrorCode::kThrottlingQuotaExceeded && --attempts_left > 0) {
      co_await let_disk_catch_up();
      continue;
    }
    if (appended.code != ErrorCode::kNone) co_return of_storage(appended.code);
    if (last && with_group) {
      groups_.erase(entry->id);
      entry->disarm();
      entry->group.close();
    }
    std::vector<Change> gone(changes.begin() + static_cast<ptrdiff_t>(at),
                             changes.begin() + static_cast<ptrdiff_t>(end));
    for (const Change& one : gone) drop_pending(*entry, one);
    queue_.push_back({appended.next, entry, std::move(gone)});
    if (until_durable)
      if (const ErrorCode stored = co_await durable(appended.next); stored != ErrorCode::kNone) co_return stored;
    at = end;
    if (last) break;
  }
  co_return ErrorCode::kNone;
}

Task<OffsetDeleteResponse> GroupCoordinator::erase_offsets(const OffsetDeleteRequest& request) {
  OffsetDeleteResponse response;
  const EntryPtr entry = find(request.group_id);
  if (!entry) {
    response.error_code = number(ErrorCode::kGroupIdNotFound);
    co_return response;
  }
  const bool empty = entry->group.state() == GroupState::kEmpty;
  if (!empty && entry->group.protocol_type() != "consumer") {
    response.error_code = number(ErrorCode::kNonEmptyGroup);
    co_return response;
  }
  std::vector<Change> changes;
  const std::set<TopicPartition> known = partitions_of(*entry);
  for (const auto& topic : request.topics) {
    const bool read = !empty && entry->group.subscribes_to(topic.name);
    auto& answered = response.topics.emplace_back();
    answered.name = std::string(topic.name);
    for (const auto& partition : topic.partitions) {
      answered.partitions.push_back(
          {partition.partition_index, number(read ? ErrorCode::kGroupSubscribedToTopic : ErrorCode::kNone)});
      if (read) continue;
      if (known.contains({std::string(topic.name), partition.partition_index}))
        changes.push_back({std::string(topic.name), partition.partition_index, std::nullopt});
    }
  }
  response.error_code = number(co_await forget(entry, std::move(changes), false));
  if (response.error_code != 0) response.topics.clear();
  co_return response;
}

Task<ErrorCode> GroupCoordinator::erase(std::string_view group) {
  const EntryPtr entry = find(group);
  if (!entry) co_return ErrorCode::kGroupIdNotFound;
  if (entry->group.state() != GroupState::kEmpty) co_return ErrorCode::kNonEmptyGroup;
  std::vector<Change> changes;
  for (const TopicPartition& one : partitions_of(*entry)) changes.push_back({one.topic, one.partition, std::nullopt});
  co_return co_await forget(entry, std::move(changes), true);
}

Task<void> GroupCoordinator::topic_erased(std::string_view topic) {
  std::vector<EntryPtr> concerned;
  for (const auto& [id, entry] : groups_) concerned.push_back(entry);
  for (const EntryPtr& entry : concerned) {
    std::vector<Change> changes;
    for (const TopicPartition& one : partitions_of(*entry))
      if (one.topic == topic) changes.push_back({one.topic, one.partition, std::nullopt});
    if (!changes.empty()) (void)co_await forget(entry, std::move(changes), false);  // else they expire
  }
}

Task<void> GroupCoordinator::tend() {
  if (loading_ != Loading::kDone) co_return;
  const int64_t now = now_ms();
  const int64_t retention_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.offsets_retention).count();
  std::vector<EntryPtr> all;
  for (const auto& [id, entry] : groups_) all.push_back(entry);
  for (const EntryPtr& entry : all) {
    const Group& group = entry->group;
    const bool empty = group.state() == GroupState::kEmpty;
    const bool simple = group.protocol_type().empty();
    std::vector<Change> expired;
    bool some_left = false;
    for (const auto& [topic, partitions] : entry->offsets) {
      // Members keep what they read; a group of another kind keeps everything.
      const bool needed = !empty && (group.protocol_type() != "consumer" || group.state() != GroupState::kStable ||
                                     group.subscribes_to(topic));
      for (const auto& [partition, offset] : partitions) {
        const int64_t since = empty && !simple ? std::max(entry->since_ms, offset.committed_ms) : offset.committed_ms;
        const bool over = offset.expires_ms >= 0 ? now >= offset.expires_ms : now - since >= retention_ms;
        if (needed || !over || pending(*entry, topic, partition))
          some_left = true;
        else
          expired.push_back({topic, partition, std::nullopt});
      }
    }
    const bool unused =
        empty && !some_left && entry->pending.empty() && group.pending_members() == 0 && entry.use_count() <= 2;
    // A group that nobody ever wrote down goes without a word.
    if (unused && !entry->stored && entry->offsets.empty()) {
      groups_.erase(entry->id);
      continue;
    }
    if (unused || !expired.empty()) (void)co_await forget(entry, std::move(expired), unused);  // else next time
    co_await io::yield();
  }
}

// --- what there is

DescribeGroupsResponse::DescribedGroup GroupCoordinator::describe(std::string_view group) const {
  if (const EntryPtr entry = find(group)) return entry->group.describe();
  DescribeGroupsResponse::DescribedGroup described;
  described.group_id = std::string(group);
  described.group_state = name(GroupState::kDead);
  return described;
}

void GroupCoordinator::list(const ListGroupsRequest& request,
                            std::vector<ListGroupsResponse::ListedGroup>& groups) const {
  const auto named = [](const std::vector<std::string_view>& filter, std::string_view value) {
    return filter.empty() ||
           std::ranges::any_of(filter, [&](std::string_view one) { return equal_ignoring_case(one, value); });
  };
  if (!named(request.types_filter, kClassic)) return;
  for (const auto& [id, entry] : groups_) {
    const std::string_view state = name(entry->group.state());
    if (!named(request.states_filter, state)) continue;
    groups.push_back({.group_id = id,
                      .protocol_type = std::string(entry->group.protocol_type()),
                      .group_state = std::string(state),
                      .group_type = std::string(kClassic)});
  }
}

}  // namespace polis::stream
