// Fetch: where the records lie, not the records: the connection sends them from the file. Waits until there are enough.
//
//     session or request ─► partitions by shard ─► slices ─► enough, or late? ─► answer
//                                ▲                             │
//                                └───── until one has more ◄───┘
#include <algorithm>

#include "systems/stream/server/call.h"
#include "systems/stream/server/fetch_session.h"
#include "systems/stream/server/shard_work.h"

namespace polis::stream {
namespace {

// As Kafka's fetch.max.bytes: what one response holds at most, but for a single larger batch.
constexpr uint64_t kResponseBytesMax = 55 << 20;
// What is copied lies in memory until the client has taken it.
constexpr uint64_t kCopiedBytesMax = 4 << 20;
// Of a session, which each request may add to: as many as one request may name.
constexpr size_t kSessionTargetsMax = 250'000;
// Between looks when a partition says that it has something to tell and nothing comes.
constexpr Duration kFetchPauseMin = std::chrono::milliseconds(5);
constexpr Duration kFetchPauseMax = std::chrono::milliseconds(500);

// One partition of the request.
struct FetchPart {
  std::list<FetchTarget>::iterator target;
  const Topic* topic = nullptr;
  ErrorCode error = ErrorCode::kNone;
  ErrorCode found = ErrorCode::kNone;  // by the present round
  Fetched fetched;
  std::optional<std::pair<int32_t, Offset>> diverging;
  uint64_t wake_bytes = 1;  // when the poll is to look again

  ErrorCode code() const { return error != ErrorCode::kNone ? error : found; }
};

struct FetchRound {
  const Topics& topics;
  Isolation isolation;
  uint64_t bytes_left = 0;
  uint64_t copied_left = kCopiedBytesMax;
  uint64_t bytes = 0;    // found
  bool to_tell = false;  // an error or a divergence: nothing to wait for
};

// --- on the partitions' shard

Task<void> fetch_one(FetchRound& round, Partition& partition, FetchPart& part) {
  const FetchTarget& target = *part.target;
  if (target.current_leader_epoch >= 0 && target.current_leader_epoch != partition.leader_epoch()) {
    part.found = target.current_leader_epoch < partition.leader_epoch() ? ErrorCode::kFencedLeaderEpoch
                                                                        : ErrorCode::kUnknownLeaderEpoch;
    co_return;
  }
  if (target.last_fetched_epoch >= 0) {
    const auto [epoch, end] = partition.end_of_epoch(target.last_fetched_epoch);
    if (epoch < target.last_fetched_epoch || end < target.fetch_offset) {
      part.diverging = {epoch, end};
      co_return;
    }
  }
  uint64_t most = std::min<uint64_t>(round.bytes_left, static_cast<uint64_t>(std::max(target.bytes_max, 0)));
  const bool copies = part.topic->config.read_path == ReadPath::kCopy;
  if (copies) most = std::min(most, round.copied_left);
  if (round.bytes > 0 && most == 0) {
    // No room: only what is known without looking into the log.
    part.fetched.high_watermark = partition.high_watermark();
    part.fetched.last_stable_offset = partition.last_stable_offset();
    part.fetched.log_start_offset = partition.log_start_offset();
    if (target.fetch_offset < partition.log_start_offset() || target.fetch_offset > partition.end_offset())
      part.found = ErrorCode::kOffsetOutOfRange;
    co_return;
  }
  part.fetched = co_await partition.fetch(target.fetch_offset, most, round.isolation);
  part.found = part.fetched.refusal.code;
  const uint64_t size = part.fetched.size_bytes();
  // Only the first one may bring more than it should: a batch that is larger than that.
  if (size > most && round.bytes > 0) {
    part.fetched.file.reset();
    part.fetched.bytes = {};
    part.fetched.aborted.clear();
    co_return;
  }
  round.bytes += size;
  round.bytes_left -= std::min(round.bytes_left, size);
  if (copies) round.copied_left -= std::min(round.copied_left, size);
}

Task<void> fetch_here(FetchRound& round, std::span<FetchPart* const> parts) {
  for (FetchPart* part : parts) {
    part->fetched = {};
    part->diverging.reset();
    part->found = ErrorCode::kNone;
    // Partitions die on their shard only.
    if (const auto partition = round.topics.open_partition(*part->topic, part->target->partition)) {
      co_await fetch_one(round, *partition, *part);
    } else {
      part->found = error_code(round.topics.why_closed(*part->topic, part->target->partition));
    }
    if (part->found != ErrorCode::kNone || part->diverging) round.to_tell = true;
  }
}

Task<void> wait_one(Partition& partition, const FetchPart& part, Isolation isolation, io::TaskGroup& others) {
  (void)co_await partition.wait_for_data(part.target->fetch_offset, part.wake_bytes, isolation);
  others.stop();
}

Task<void> wait_here(const Topics& topics, std::span<FetchPart* const> parts, Isolation isolation) {
  std::vector<std::shared_ptr<Partition>> open;
  open.reserve(parts.size());
  for (const FetchPart* part : parts) {
    open.push_back(topics.open_partition(*part->topic, part->target->partition));
    if (!open.back()) co_return;
  }
  if (parts.size() == 1) {
    (void)co_await open.front()->wait_for_data(parts.front()->target->fetch_offset, parts.front()->wake_bytes,
                                               isolation);
    co_return;
  }
  io::TaskGroup tasks(co_await io::this_scope());
  for (size_t i = 0; i < parts.size(); ++i) tasks.spawn(wait_one(*open[i], *parts[i], isolation, tasks));
  co_await tasks.join();
}

// --- on the connection's shard

Task<void> wait_there(const Topics& topics, ShardWork<FetchPart>& work, Isolation isolation, io::TaskGroup* others) {
  const auto call = [&]() -> Task<void> { return wait_here(topics, work.items, isolation); };
  co_await io::on(*work.shard, call);
  if (others) others->stop();
}

// Until one of the partitions has more, or the scope ends.
Task<Result<void>> wait_anywhere(const Topics& topics, std::vector<ShardWork<FetchPart>>& work, Isolation isolation) {
  if (work.size() == 1) {
    co_await wait_there(topics, work.front(), isolation, nullptr);
    co_return {};
  }
  io::TaskGroup tasks(co_await io::this_scope());
  for (auto& one : work) tasks.spawn(wait_there(topics, one, isolation, &tasks));
  co_await tasks.join();
  co_return {};
}

// Shard by shard, so that what one finds is no more than the others have left.
Task<void> fetch_round(FetchRound& round, std::vector<ShardWork<FetchPart>>& work) {
  for (auto& one : work) {
    const auto call = [&]() -> Task<void> { return fetch_here(round, one.items); };
    co_await io::on(*one.shard, call);
  }
}

// What the poll waits for: by the pigeonhole principle one partition has its share of what is missing when all together
// have all of it.
void set_wake_bytes(std::vector<FetchPart>& parts, uint64_t missing_bytes) {
  const uint64_t share = (missing_bytes + parts.size() - 1) / parts.size();
  for (FetchPart& part : parts) part.wake_bytes = part.fetched.size_bytes() + std::max<uint64_t>(share, 1);
}

class FetchPoll {
 public:
  FetchPoll(Call& call, int32_t max_wait_ms) : call_(call) {
    if (max_wait_ms > 0) deadline_ = io::Shard::current().clock().steady() + std::chrono::milliseconds(max_wait_ms);
  }
  // Whether it is worth to look again.
  Task<bool> wait(const Topics& topics, std::vector<ShardWork<FetchPart>>& work, Isolation isolation, bool progress) {
    if (!deadline_ || call_.session.polls_end) co_return false;
    const SteadyTime now = io::Shard::current().clock().steady();
    Duration left = *deadline_ - now;
    if (left <= Duration::zero()) co_return false;
    io::Scope scope(co_await io::this_scope());
    call_.session.poll = &scope;
    // Partitions that have failed always have something to tell; they are not asked without a pause.
    if (waited_ && !progress) {
      (void)co_await io::sleep_for(std::min(left, pause_)).within(scope);
      pause_ = std::min(2 * pause_, kFetchPauseMax);
      left = *deadline_ - io::Shard::current().clock().steady();
    }
    waited_ = true;
    Result<void> waited;
    if (left > Duration::zero())
      waited = co_await io::with_timeout<Result<void>>(left, wait_anywhere(topics, work, isolation)).within(scope);
    call_.session.poll = nullptr;
    co_return !scope.stopped();
  }

 private:
  Call& call_;
  std::optional<SteadyTime> deadline_;
  Duration pause_ = kFetchPauseMin;
  bool waited_ = false;
};

void resolve_target(const Call& call, const TopicTable& table, FetchPart& part) {
  const FetchTarget& target = *part.target;
  const bool by_id = call.version >= 13;
  part.topic = by_id ? table.find(target.topic_id) : table.find(target.topic);
  if (!part.topic) {
    part.error = by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
    // Who may not read a topic does not learn whether there is one.
    if (!by_id && !call.allowed(ResourceType::kTopic, target.topic, Operation::kRead))
      part.error = ErrorCode::kTopicAuthorizationFailed;
  } else if (!call.allowed(ResourceType::kTopic, part.topic->name, Operation::kRead)) {
    part.error = ErrorCode::kTopicAuthorizationFailed;
  } else if (target.partition < 0 || target.partition >= part.topic->partitions) {
    part.error = ErrorCode::kUnknownTopicOrPartition;
  }
}

using FetchedTopic = FetchResponse::FetchableTopicResponse;

FetchedTopic::PartitionData fetched_answer(Call& call, FetchPart& part, Isolation isolation) {
  FetchedTopic::PartitionData data;
  data.partition_index = part.target->partition;
  data.error_code = number(part.code());
  data.high_watermark = part.fetched.high_watermark;
  data.last_stable_offset = part.fetched.last_stable_offset;
  data.log_start_offset = part.fetched.log_start_offset;
  if (part.diverging) {
    data.diverging_epoch.epoch = part.diverging->first;
    data.diverging_epoch.end_offset = part.diverging->second;
  }
  if (isolation == Isolation::kReadCommitted && part.code() == ErrorCode::kNone) {
    auto& aborted = data.aborted_transactions.emplace();
    for (const auto& one : part.fetched.aborted) aborted.push_back({one.producer_id, one.first_offset});
  }
  const uint64_t size = part.code() == ErrorCode::kNone ? part.fetched.size_bytes() : 0;
  if (size > 0) {
    data.records.external = static_cast<uint32_t>(call.externals.size());
    data.records.external_bytes = size;
    call.externals.push_back({std::move(part.fetched.file), part.fetched.range, std::move(part.fetched.bytes)});
  }
  return data;
}

struct FetchContext {
  ErrorCode error = ErrorCode::kNone;
  std::shared_ptr<FetchSession> session;  // null: the request stands for itself
  bool incremental = false;               // only what is new is answered
};

// KIP-227. Epoch -1 ends a session, 0 begins one, others go on with it.
FetchContext context_of(Call& call, const FetchRequest& request) {
  FetchContext context;
  auto& session = call.session.fetch_session;
  if (request.session_epoch == -1 || call.version < 7) {
    if (session && session->id() == request.session_id) session.reset();
    return context;
  }
  if (request.session_epoch == 0) {
    if (request.topics.empty()) {
      session.reset();
      return context;
    }
    const auto id = static_cast<int32_t>(1 + call.broker().random.below(INT32_MAX));
    session = std::make_shared<FetchSession>(id);
    session->update(request);
    context.session = session;
    return context;
  }
  if (!session || session->id() != request.session_id) {
    context.error = ErrorCode::kFetchSessionIdNotFound;
  } else if (session->next_epoch() != request.session_epoch) {
    context.error = ErrorCode::kInvalidFetchSessionEpoch;
  } else {
    session->update(request);
    if (session->size() > kSessionTargetsMax) {
      session.reset();
      context.error = ErrorCode::kFetchSessionIdNotFound;
      return context;
    }
    session->advance();
    context.session = session;
    context.incremental = true;
  }
  return context;
}

}  // namespace

Task<FetchResponse> handle(Call& call, const FetchRequest& request) {
  FetchResponse response;
  const Topics& topics = call.broker().topics;
  const auto table = topics.table();
  const auto isolation = request.isolation_level == 1 ? Isolation::kReadCommitted : Isolation::kReadUncommitted;
  const FetchContext context = context_of(call, request);
  if (context.error != ErrorCode::kNone) {
    response.error_code = number(context.error);
    co_return response;
  }
  std::list<FetchTarget> named;
  if (!context.session) named = targets_of(request);
  std::list<FetchTarget>& targets = context.session ? context.session->targets() : named;

  std::vector<FetchPart> parts;
  parts.reserve(targets.size());
  std::vector<ShardWork<FetchPart>> work;
  bool error = false;
  for (auto target = targets.begin(); target != targets.end(); ++target) {
    FetchPart& part = parts.emplace_back(FetchPart{.target = target, .fetched = {}, .diverging = {}});
    resolve_target(call, *table, part);
    if (part.error == ErrorCode::kNone)
      add_work(work, topics.shard_of(*part.topic, target->partition), part);
    else
      error = true;
  }

  const uint64_t bytes_max =
      std::min<uint64_t>(kResponseBytesMax, static_cast<uint64_t>(std::max(request.max_bytes, 0)));
  const uint64_t bytes_min = std::min<uint64_t>(bytes_max, static_cast<uint64_t>(std::max(request.min_bytes, 0)));
  FetchPoll poll(call, request.max_wait_ms);
  uint64_t bytes = 0;
  for (bool first = true;; first = false) {
    FetchRound round{.topics = topics, .isolation = isolation, .bytes_left = bytes_max};
    co_await fetch_round(round, work);
    const bool progress = first || round.bytes > bytes;
    bytes = round.bytes;
    if (work.empty() || error || round.to_tell || bytes >= bytes_min) break;
    set_wake_bytes(parts, bytes_min - bytes);
    if (!co_await poll.wait(topics, work, isolation, progress)) break;
  }
  if (bytes > 0)
    call.throttle =
        std::max(call.throttle, call.parts.quotas.charge(*call.identity, call.client_id, QuotaKind::kConsumerBytes,
                                                         static_cast<double>(bytes)));

  response.session_id = context.session ? context.session->id() : 0;
  std::map<std::string_view, size_t> places;  // of topics in the answer, by name or id
  for (FetchPart& part : parts) {
    FetchTarget& target = *part.target;
    const bool has_records = part.code() == ErrorCode::kNone && part.fetched.size_bytes() > 0;
    if (context.incremental && !has_records && part.code() == ErrorCode::kNone && !part.diverging &&
        part.fetched.high_watermark == target.high_watermark &&
        part.fetched.log_start_offset == target.log_start_offset)
      continue;
    target.high_watermark = part.fetched.high_watermark;
    target.log_start_offset = part.fetched.log_start_offset;
    const std::string_view name = call.version >= 13 ? as_text(BytesView(target.topic_id.bytes)) : target.topic;
    const auto [place, fresh] = places.try_emplace(name, response.responses.size());
    if (fresh) {
      auto& topic = response.responses.emplace_back();
      topic.topic = target.topic;
      topic.topic_id = target.topic_id;
    }
    response.responses[place->second].partitions.push_back(fetched_answer(call, part, isolation));
    // An error is told again each time, so that it is not overlooked.
    if (part.code() != ErrorCode::kNone) target.high_watermark = -1;
    if (context.session && has_records) context.session->served(part.target);
  }
  co_return response;
}

}  // namespace polis::stream
