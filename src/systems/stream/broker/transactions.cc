#include "systems/stream/broker/transactions.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "kernel/base/hash.h"
#include "kernel/obs/log.h"
#include "systems/stream/broker/producer_ids.h"
#include "systems/stream/broker/transaction.h"

namespace polis::stream {
namespace {

constexpr std::string_view kTransactionRowPrefix = "x";
constexpr size_t kTransactionalIdBytesMax = 4096;  // a key of the Store takes 8 KiB
// One coordinator, for ever: its markers are never those of an older one.
constexpr int32_t kCoordinatorEpoch = 0;
// Markers of one transaction that are on their way at once: each is a hop and a wait for the disk.
constexpr size_t kMarkersAtOnce = 64;
constexpr Duration kMarkerBackOffMin = std::chrono::milliseconds(10), kMarkerBackOffMax = std::chrono::seconds(5);
constexpr Duration kForgetEvery = std::chrono::hours(1);
constexpr size_t kTransactionRowsAtOnce = 1000;  // of a scan or a commit

std::string row_key(std::string_view transactional_id) {
  return std::string(kTransactionRowPrefix).append(transactional_id);
}

// A transactional id in memory, on its home shard.
struct TransactionEntry {
  TransactionEntry(std::string id_in, Transaction now_in) : id(std::move(id_in)), now(std::move(now_in)) {
    settled.set();
  }

  const std::string id;
  Transaction now;
  SteadyTime deadline{};    // of an open transaction
  bool row_behind = false;  // the row still says PrepareX
  bool gone = false;        // expired while somebody waited for it
  io::Semaphore turn{1};
  io::Event settled;  // no markers are on their way
};
// Shared: whoever waits for its turn keeps an entry that expires meanwhile.
using TransactionEntryPtr = std::shared_ptr<TransactionEntry>;

// The right to change an entry.
class Turn {
 public:
  explicit Turn(TransactionEntryPtr entry) : entry_(std::move(entry)) {}
  Turn(Turn&& other) noexcept : entry_(std::move(other.entry_)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() { end(); }
  void end() {
    if (const TransactionEntryPtr entry = std::exchange(entry_, nullptr)) entry->turn.release();
  }
  TransactionEntry* operator->() const { return entry_.get(); }
  const TransactionEntryPtr& entry() const { return entry_; }

 private:
  TransactionEntryPtr entry_;
};

struct TransactionHome {
  explicit TransactionHome(io::Shard& shard_in) : shard(shard_in) {}

  TransactionEntryPtr find(std::string_view id) const {
    const auto found = entries.find(std::string(id));
    return found == entries.end() ? nullptr : found->second;
  }

  io::Shard& shard;
  std::unordered_map<std::string, TransactionEntryPtr> entries;
  std::unordered_set<TransactionEntryPtr> watched;  // open, or with a row that is behind
  io::Event work;                                   // something is watched
  io::TaskGroup tasks;
};

// What was asked of several partitions at once.
using PartitionCodes = std::map<TopicPartition, ErrorCode>;

struct Added {
  ErrorCode code = ErrorCode::kNone;
  PartitionCodes refused;
};

class TransactionCoordinator final : public Transactions {
 public:
  TransactionCoordinator(TransactionsParts parts, TransactionsOptions options)
      : parts_(std::move(parts)), options_(options), ids_(parts_.store, parts_.rows, *parts_.shards.front()) {}

  Task<Result<void>> load();

  Task<InitProducerIdResponse> init_producer_id(InitProducerIdRequest request) override;
  Task<AddPartitionsToTxnResponse> add_partitions(AddPartitionsToTxnRequest request) override;
  Task<AddOffsetsToTxnResponse> add_offsets(AddOffsetsToTxnRequest request) override;
  Task<EndTxnResponse> end(EndTxnRequest request) override;
  Task<DescribeTransactionsResponse> describe(DescribeTransactionsRequest request) override;
  Task<ListTransactionsResponse> list(ListTransactionsRequest request) override;
  Task<Refusal> abort(std::string transactional_id) override;
  Task<void> close() override;

 private:
  struct Loaded {
    std::string id;
    Transaction row;
  };

  TransactionHome& home_of(std::string_view id) const { return *homes_[base::xxh3_64(as_bytes(id)) % homes_.size()]; }
  int64_t now_ms() const { return base::milliseconds_since_epoch(parts_.clock.wall()); }
  // Calls `work` on the home shard of a transactional id.
  template <class F>
  auto at_home(std::string_view id, F work) -> std::invoke_result_t<F&, TransactionHome&> {
    TransactionHome& home = home_of(id);
    const auto call = [&work, &home] { return work(home); };
    co_return co_await io::on(home.shard, call);
  }

  // --- start
  Task<Result<std::vector<Loaded>>> read_rows();
  Task<void> resume(TransactionHome& home, std::vector<Loaded> loaded);
  Task<void> settle_unknown(const std::vector<Loaded>& loaded);

  // --- on the home shard
  Task<ErrorCode> take_turn(TransactionEntryPtr entry, std::optional<Turn>& turn);
  Task<Result<Turn>> wait_for_turn(TransactionEntryPtr entry);
  Task<ErrorCode> make_true(TransactionHome& home, TransactionEntryPtr entry, Transaction next);
  void made_true(TransactionHome& home, const TransactionEntryPtr& entry, Duration already_open);
  Task<Result<ProducerIdentity>> begin_here(TransactionHome& home, const InitProducerIdRequest& request,
                                            ErrorCode& code);
  Task<InitProducerIdResponse> init_here(TransactionHome& home, const InitProducerIdRequest& request);
  Task<Added> add_here(TransactionHome& home, std::string_view id, ProducerIdentity producer,
                       const std::set<TopicPartition>& partitions);
  Task<ErrorCode> end_here(TransactionHome& home, std::string_view id, ProducerIdentity producer, bool commit);
  Task<Refusal> abort_here(TransactionHome& home, std::string_view id);
  Task<void> wait_until_settled(const TransactionEntryPtr& entry);
  Task<void> send_markers(TransactionHome& home, TransactionEntryPtr entry);
  Task<void> watch(TransactionHome& home);
  Task<void> write_rows_behind(TransactionHome& home);
  Task<void> abort_overdue(TransactionHome& home);
  Task<void> expire(TransactionHome& home);

  // --- partitions
  Task<ErrorCode> let_in(const TopicPartition& to, ProducerIdentity producer);
  Task<std::optional<Error>> mark(const TopicPartition& to, ProducerIdentity producer, bool commit);
  Task<void> mark_one(const TopicPartition& to, ProducerIdentity producer, bool commit,
                      std::vector<TopicPartition>& left, std::string& why);

  const TransactionsParts parts_;
  const TransactionsOptions options_;
  ProducerIds ids_;
  std::vector<std::unique_ptr<TransactionHome>> homes_;
};

// --- start

Task<Result<std::vector<TransactionCoordinator::Loaded>>> TransactionCoordinator::read_rows() {
  std::vector<Loaded> loaded;
  const auto txn = CO_TRY(co_await parts_.store.begin());
  store::KeyRange range = store::prefix_range(kTransactionRowPrefix);
  while (true) {
    const store::Scan scan = CO_TRY(co_await txn->scan(parts_.rows, range, {.limit = kTransactionRowsAtOnce}));
    for (const store::Row& row : scan.rows) {
      auto transaction = Transaction::decode(as_bytes(row.value));
      if (!transaction)
        co_return fail(Error(Code::kCorrupt,
                             "the row of transactional id " + row.key.substr(kTransactionRowPrefix.size()),
                             transaction.error()));
      loaded.push_back({row.key.substr(kTransactionRowPrefix.size()), std::move(*transaction)});
    }
    if (!scan.more || scan.rows.empty()) co_return loaded;
    range.begin = scan.rows.back().key + '\0';
  }
}

Task<Result<void>> TransactionCoordinator::load() {
  for (io::Shard* shard : parts_.shards) homes_.push_back(std::make_unique<TransactionHome>(*shard));
  const std::vector<Loaded> loaded = CO_TRY(co_await read_rows());
  for (const auto& home : homes_) {
    std::vector<Loaded> of_home;
    for (const Loaded& one : loaded)
      if (&home_of(one.id) == home.get()) of_home.push_back(one);
    const auto work = [this, &home, &of_home] { return resume(*home, std::move(of_home)); };
    co_await io::on(home->shard, work);
  }
  co_await settle_unknown(loaded);
  co_return {};
}

// What was open goes on, with the time it still has; what was decided is told again.
Task<void> TransactionCoordinator::resume(TransactionHome& home, std::vector<Loaded> loaded) {
  const int64_t now = now_ms();
  for (Loaded& one : loaded) {
    const auto entry = std::make_shared<TransactionEntry>(one.id, std::move(one.row));
    home.entries.emplace(entry->id, entry);
    const Transaction& transaction = entry->now;
    if (transaction.ongoing())
      for (const TopicPartition& to : transaction.partitions) (void)co_await let_in(to, transaction.producer);
    // A clock that was set back or forth gives no more time than a whole timeout, and no less than none.
    const int64_t open_ms = std::clamp<int64_t>(now - transaction.started_ms, 0, transaction.timeout_ms);
    made_true(home, entry, std::chrono::milliseconds(open_ms));
  }
  home.tasks.spawn(watch(home));
}

// A partition's open transaction that the rows do not know. Under polis.durability=os a power cut may take a marker and
// leave the records; without this nobody would ever read past them.
Task<void> TransactionCoordinator::settle_unknown(const std::vector<Loaded>& loaded) {
  std::unordered_map<int64_t, const Transaction*> by_producer;
  for (const Loaded& one : loaded) by_producer.emplace(one.row.producer.id, &one.row);
  const auto table = parts_.topics.table();
  for (const auto& topic : table->all()) {
    for (int32_t number = 0; number < topic->partitions; ++number) {
      const auto find_open = [](Partition& partition) -> Task<std::vector<ProducerState>> {
        std::vector<ProducerState> open;
        if (partition.statistics().open_transactions == 0) co_return open;
        open = partition.producers();
        std::erase_if(open, [](const ProducerState& one) { return one.transaction_first_offset < 0; });
        co_return open;
      };
      const auto open = co_await parts_.topics.with(*topic, number, find_open);
      if (!open) continue;  // it is not open: its problem is told where it was found
      const TopicPartition place{topic->name, number};
      for (const ProducerState& one : *open) {
        const auto known = by_producer.find(one.producer_id);
        const Transaction* row = known == by_producer.end() ? nullptr : known->second;
        const bool has_part = row && row->partitions.contains(place);
        if (has_part && (row->ongoing() || row->prepared())) continue;  // it goes on, or is told already
        const bool commit = has_part && row->state == TransactionState::kCompleteCommit &&
                            row->producer == ProducerIdentity{one.producer_id, one.epoch};
        const auto failed = co_await mark(place, {one.producer_id, one.epoch}, commit);
        obs::log_warning("transaction without coordinator ended",
                         {{"topic", place.topic},
                          {"partition", place.partition},
                          {"producer_id", one.producer_id},
                          {"commit", commit},
                          {"failed", failed ? failed->text() : std::string()}});
      }
    }
  }
}

Task<void> TransactionCoordinator::close() {
  for (const auto& home : homes_) {
    const auto work = [&home]() -> Task<void> {
      home->tasks.stop();
      co_await home->tasks.join();
    };
    co_await io::on(home->shard, work);
  }
}

// --- turns and changes

Task<Result<Turn>> TransactionCoordinator::wait_for_turn(TransactionEntryPtr entry) {
  while (true) {
    CO_TRY(co_await entry->settled.wait());
    CO_TRY(co_await entry->turn.acquire());
    Turn turn(entry);
    if (entry->settled.is_set()) co_return turn;
  }
}

Task<ErrorCode> TransactionCoordinator::take_turn(TransactionEntryPtr entry, std::optional<Turn>& turn) {
  auto taken = co_await io::with_timeout(options_.patience, wait_for_turn(std::move(entry)));
  if (!taken)
    co_return taken.error().code() == Code::kTimeout ? ErrorCode::kConcurrentTransactions
                                                     : ErrorCode::kCoordinatorNotAvailable;
  turn.emplace(std::move(*taken));
  // It expired while it was waited for: nobody has the id any more.
  co_return (*turn)->gone ? ErrorCode::kInvalidProducerIdMapping : ErrorCode::kNone;
}

// Durable, then true. To be run within the scope of the home: a client that goes away does not leave row and memory
// apart.
Task<ErrorCode> TransactionCoordinator::make_true(TransactionHome& home, TransactionEntryPtr entry, Transaction next) {
  const Bytes row = next.encode();
  const std::string key = row_key(entry->id);
  const auto written =
      co_await store::transact(parts_.store, [this, &row, &key](store::Txn& txn) -> Task<Result<void>> {
        CO_TRY(txn.put(parts_.rows, key, as_text(row)));
        co_return {};
      });
  if (!written) {
    obs::log_error("transaction state not written",
                   {{"transactional_id", entry->id}, {"error", written.error().text()}});
    co_return ErrorCode::kCoordinatorNotAvailable;
  }
  const bool was_ongoing = entry->now.ongoing();
  entry->now = std::move(next);
  entry->row_behind = false;
  if (was_ongoing && entry->now.ongoing()) co_return ErrorCode::kNone;  // its deadline stands
  made_true(home, entry, Duration{});
  co_return ErrorCode::kNone;
}

void TransactionCoordinator::made_true(TransactionHome& home, const TransactionEntryPtr& entry, Duration already_open) {
  const Transaction& now = entry->now;
  if (now.ongoing()) {
    entry->deadline = home.shard.clock().steady() + std::chrono::milliseconds(now.timeout_ms) - already_open;
    home.watched.insert(entry);
    home.work.set();
  } else {
    home.watched.erase(entry);
  }
  if (now.prepared()) {
    entry->settled.reset();
    home.tasks.spawn(send_markers(home, entry));
  }
}

Task<void> TransactionCoordinator::wait_until_settled(const TransactionEntryPtr& entry) {
  // Longer than that: the markers are sent all the same, and what the client does next is told to wait.
  (void)co_await io::with_timeout(options_.patience, entry->settled.wait());
}

// --- InitProducerId

Task<InitProducerIdResponse> TransactionCoordinator::init_producer_id(InitProducerIdRequest request) {
  InitProducerIdResponse response;
  const auto refuse = [&](ErrorCode code) {
    response.error_code = static_cast<int16_t>(code);
    return response;
  };
  if ((request.producer_id < 0) != (request.producer_epoch < 0)) co_return refuse(ErrorCode::kInvalidRequest);
  if (!request.transactional_id) {
    const auto id = co_await ids_.take();
    if (!id) co_return refuse(ErrorCode::kCoordinatorNotAvailable);
    response.producer_id = *id;
    co_return response;
  }
  if (request.transactional_id->empty() || request.transactional_id->size() > kTransactionalIdBytesMax)
    co_return refuse(ErrorCode::kInvalidRequest);
  if (request.transaction_timeout_ms <= 0 || request.transaction_timeout_ms > options_.timeout_ms_max)
    co_return refuse(ErrorCode::kInvalidTransactionTimeout);
  co_return co_await at_home(*request.transactional_id,
                             [&](TransactionHome& home) { return init_here(home, request); });
}

Task<InitProducerIdResponse> TransactionCoordinator::init_here(TransactionHome& home,
                                                               const InitProducerIdRequest& request) {
  InitProducerIdResponse response;
  ErrorCode code = ErrorCode::kNone;
  const auto producer = co_await begin_here(home, request, code);
  if (!producer) code = ErrorCode::kCoordinatorNotAvailable;
  response.error_code = static_cast<int16_t>(code);
  if (code == ErrorCode::kNone) {
    response.producer_id = producer->id;
    response.producer_epoch = producer->epoch;
  }
  co_return response;
}

Task<Result<ProducerIdentity>> TransactionCoordinator::begin_here(TransactionHome& home,
                                                                  const InitProducerIdRequest& request,
                                                                  ErrorCode& code) {
  std::optional<ProducerIdentity> expected;
  if (request.producer_id >= 0) expected = ProducerIdentity{request.producer_id, request.producer_epoch};
  std::optional<int64_t> fresh;
  // A round each for an id, an abort, an entry that has just expired; more only if others come in between.
  for (int round = 0; round < 8; ++round) {
    TransactionEntryPtr entry = home.find(*request.transactional_id);
    if (!entry) {
      if (home.entries.size() >= options_.ids_max / homes_.size()) {
        code = ErrorCode::kPolicyViolation;
        co_return ProducerIdentity{};
      }
      Transaction unclaimed;
      unclaimed.updated_ms = now_ms();
      entry = std::make_shared<TransactionEntry>(std::string(*request.transactional_id), std::move(unclaimed));
      home.entries.emplace(entry->id, entry);
    }
    std::optional<Turn> turn;
    code = co_await take_turn(entry, turn);
    if (entry->gone) continue;
    if (code != ErrorCode::kNone) co_return ProducerIdentity{};
    TransactionStep step = begin_producer(entry->now, expected, request.transaction_timeout_ms, now_ms(), fresh);
    if (step.needs_producer_id) {
      turn->end();
      fresh = CO_TRY(co_await ids_.take());
      continue;
    }
    code = step.code;
    if (code != ErrorCode::kNone) co_return ProducerIdentity{};
    if (!step.next) co_return entry->now.producer;
    const bool aborts = step.next->prepared();
    code = co_await make_true(home, entry, std::move(*step.next)).within(home.tasks.scope());
    if (code != ErrorCode::kNone) co_return ProducerIdentity{};
    if (!aborts) co_return entry->now.producer;
  }
  code = ErrorCode::kConcurrentTransactions;
  co_return ProducerIdentity{};
}

// --- AddPartitionsToTxn, AddOffsetsToTxn

Task<AddPartitionsToTxnResponse> TransactionCoordinator::add_partitions(AddPartitionsToTxnRequest request) {
  std::set<TopicPartition> partitions;
  Added added;
  const auto table = parts_.topics.table();
  for (const auto& topic : request.v3_and_below_topics) {
    const Topic* known = table->find(topic.name);
    for (const int32_t number : topic.partitions) {
      TopicPartition one{std::string(topic.name), number};
      if (!known || number < 0 || number >= known->partitions)
        added.refused.emplace(one, ErrorCode::kUnknownTopicOrPartition);
      partitions.insert(std::move(one));
    }
  }
  if (!added.refused.empty()) {
    added.code = ErrorCode::kOperationNotAttempted;  // the others
  } else {
    added = co_await at_home(request.v3_and_below_transactional_id, [&](TransactionHome& home) {
      return add_here(home, request.v3_and_below_transactional_id,
                      {request.v3_and_below_producer_id, request.v3_and_below_producer_epoch}, partitions);
    });
  }
  AddPartitionsToTxnResponse response;
  for (const auto& topic : request.v3_and_below_topics) {
    auto& result = response.results_by_topic_v3_and_below.emplace_back();
    result.name = topic.name;
    for (const int32_t number : topic.partitions) {
      const auto refused = added.refused.find({result.name, number});
      const ErrorCode code = refused == added.refused.end() ? added.code : refused->second;
      result.results_by_partition.push_back({number, static_cast<int16_t>(code)});
    }
  }
  co_return response;
}

Task<AddOffsetsToTxnResponse> TransactionCoordinator::add_offsets(AddOffsetsToTxnRequest request) {
  AddOffsetsToTxnResponse response;
  const auto refuse = [&](ErrorCode code) {
    response.error_code = static_cast<int16_t>(code);
    return response;
  };
  if (request.group_id.empty()) co_return refuse(ErrorCode::kInvalidGroupId);
  const auto number = co_await parts_.groups.prepare(std::string(request.group_id));
  if (!number) co_return refuse(ErrorCode::kCoordinatorNotAvailable);
  const std::set<TopicPartition> partitions{{std::string(kOffsetsTopic), *number}};
  const Added added = co_await at_home(request.transactional_id, [&](TransactionHome& home) {
    return add_here(home, request.transactional_id, {request.producer_id, request.producer_epoch}, partitions);
  });
  co_return refuse(added.refused.empty() ? added.code : added.refused.begin()->second);
}

Task<Added> TransactionCoordinator::add_here(TransactionHome& home, std::string_view id, ProducerIdentity producer,
                                             const std::set<TopicPartition>& partitions) {
  Added added;
  if (id.empty()) {
    added.code = ErrorCode::kInvalidRequest;
    co_return added;
  }
  const TransactionEntryPtr entry = home.find(id);
  if (!entry) {
    added.code = ErrorCode::kInvalidProducerIdMapping;
    co_return added;
  }
  std::optional<Turn> turn;
  added.code = co_await take_turn(entry, turn);
  if (added.code != ErrorCode::kNone) co_return added;
  TransactionStep step = stream::add_partitions(entry->now, producer, partitions, now_ms());
  added.code = step.code;
  if (!step.next) co_return added;
  if (step.next->partitions.size() > options_.partitions_max) {
    added.code = ErrorCode::kPolicyViolation;
    co_return added;
  }
  std::vector<TopicPartition> fresh;
  for (const TopicPartition& one : partitions)
    if (!entry->now.ongoing() || !entry->now.partitions.contains(one)) fresh.push_back(one);
  added.code = co_await make_true(home, entry, std::move(*step.next)).within(home.tasks.scope());
  if (added.code != ErrorCode::kNone) co_return added;
  for (const TopicPartition& one : fresh) {
    const ErrorCode code = co_await let_in(one, producer).within(home.tasks.scope());
    if (code == ErrorCode::kNone) continue;
    // Nothing of this transaction can come to it: it must not keep the transaction from ending.
    entry->now.partitions.erase(one);
    added.refused.emplace(one, code);
  }
  co_return added;
}

// --- EndTxn

Task<EndTxnResponse> TransactionCoordinator::end(EndTxnRequest request) {
  const ErrorCode code = co_await at_home(request.transactional_id, [&](TransactionHome& home) {
    return end_here(home, request.transactional_id, {request.producer_id, request.producer_epoch}, request.committed);
  });
  co_return EndTxnResponse{.error_code = static_cast<int16_t>(code)};
}

Task<ErrorCode> TransactionCoordinator::end_here(TransactionHome& home, std::string_view id, ProducerIdentity producer,
                                                 bool commit) {
  if (id.empty()) co_return ErrorCode::kInvalidRequest;
  const TransactionEntryPtr entry = home.find(id);
  if (!entry) co_return ErrorCode::kInvalidProducerIdMapping;
  std::optional<Turn> turn;
  if (const ErrorCode code = co_await take_turn(entry, turn); code != ErrorCode::kNone) co_return code;
  TransactionStep step = end_transaction(entry->now, producer, commit, now_ms());
  if (!step.next) co_return step.code;
  const ErrorCode code = co_await make_true(home, entry, std::move(*step.next)).within(home.tasks.scope());
  turn->end();
  if (code == ErrorCode::kNone) co_await wait_until_settled(entry);
  co_return code;
}

Task<Refusal> TransactionCoordinator::abort(std::string transactional_id) {
  co_return co_await at_home(transactional_id,
                             [&](TransactionHome& home) { return abort_here(home, transactional_id); });
}

Task<Refusal> TransactionCoordinator::abort_here(TransactionHome& home, std::string_view id) {
  const TransactionEntryPtr entry = home.find(id);
  if (!entry)
    co_return Refusal{ErrorCode::kTransactionalIdNotFound, fmt::format("there is no transactional id {}", id)};
  std::optional<Turn> turn;
  if (const ErrorCode code = co_await take_turn(entry, turn); code != ErrorCode::kNone)
    co_return Refusal{
        code, fmt::format("the transaction of {} is {} and waits for its partitions", id, name(entry->now.state))};
  if (!entry->now.ongoing())
    co_return Refusal{ErrorCode::kInvalidTxnState,
                      fmt::format("{} has no open transaction: it is {}", id, name(entry->now.state))};
  Transaction next = abort_transaction(entry->now, now_ms());
  const ErrorCode code = co_await make_true(home, entry, std::move(next)).within(home.tasks.scope());
  turn->end();
  if (code != ErrorCode::kNone) co_return Refusal{code, "the store takes no changes"};
  co_await wait_until_settled(entry);
  co_return Refusal{};
}

// --- markers

// Until every partition has one. What is stopped by the end of polis goes on at the next start.
Task<void> TransactionCoordinator::send_markers(TransactionHome& home, TransactionEntryPtr entry) {
  const ProducerIdentity producer = entry->now.producer;
  const bool commit = entry->now.state == TransactionState::kPrepareCommit;
  std::vector<TopicPartition> left(entry->now.partitions.begin(), entry->now.partitions.end());
  Duration pause = kMarkerBackOffMin;
  while (!left.empty()) {
    std::vector<TopicPartition> failed;
    std::string why;
    for (size_t begin = 0; begin < left.size(); begin += kMarkersAtOnce) {
      io::TaskGroup group(co_await io::this_scope());
      for (size_t i = begin; i < std::min(left.size(), begin + kMarkersAtOnce); ++i)
        group.spawn(mark_one(left[i], producer, commit, failed, why));
      co_await group.join();
    }
    left = std::move(failed);
    if (left.empty()) break;
    if (!co_await io::sleep_for(pause)) co_return;
    if (pause >= std::chrono::seconds(1))
      obs::log_warning("transaction waits for partitions", {{"transactional_id", entry->id},
                                                            {"partitions", left.size()},
                                                            {"first", left.front().topic},
                                                            {"error", why}});
    pause = std::min(pause * 2, kMarkerBackOffMax);
  }
  entry->now = complete_transaction(entry->now, now_ms());
  entry->row_behind = true;
  home.watched.insert(entry);
  home.work.set();
  entry->settled.set();
}

Task<void> TransactionCoordinator::mark_one(const TopicPartition& to, ProducerIdentity producer, bool commit,
                                            std::vector<TopicPartition>& left, std::string& why) {
  if (const auto failed = co_await mark(to, producer, commit)) {
    left.push_back(to);
    why = failed->text();
  }
}

// Nothing when the marker is durable, or the partition needs none.
Task<std::optional<Error>> TransactionCoordinator::mark(const TopicPartition& to, ProducerIdentity producer,
                                                        bool commit) {
  const auto table = parts_.topics.table();
  const Topic* topic = table->find(to.topic);
  if (!topic || to.partition >= topic->partitions) co_return std::nullopt;
  const auto append = [producer, commit](Partition& partition) -> Task<Refusal> {
    const AppendResult appended = partition.end_transaction(producer.id, producer.epoch, commit, kCoordinatorEpoch);
    if (!appended.refusal.ok()) co_return appended.refusal;
    if (const auto durable = co_await partition.wait(appended.next_offset); !durable)
      co_return Refusal{error_code(durable.error()), durable.error().text()};
    co_return Refusal{};
  };
  const auto marked = co_await parts_.topics.with(*topic, to.partition, append);
  if (!marked) {
    if (marked.error().code() == Code::kNotFound) co_return std::nullopt;  // erased meanwhile
    co_return marked.error();
  }
  // An epoch above ours has ended it there already.
  const bool superseded = marked->code == ErrorCode::kInvalidProducerEpoch;
  if (!marked->ok() && !superseded)
    co_return Error(Code::kUnavailable, fmt::format("{}-{}: {}", to.topic, to.partition, marked->message));
  if (to.topic == kOffsetsTopic) co_await parts_.groups.end_transaction(to.partition, producer.id, commit);
  co_return std::nullopt;
}

Task<ErrorCode> TransactionCoordinator::let_in(const TopicPartition& to, ProducerIdentity producer) {
  const auto table = parts_.topics.table();
  const Topic* topic = table->find(to.topic);
  if (!topic || to.partition >= topic->partitions) co_return ErrorCode::kUnknownTopicOrPartition;
  const auto begin = [producer](Partition& partition) -> Task<bool> {
    partition.begin_transaction(producer.id, producer.epoch);
    co_return true;
  };
  const auto done = co_await parts_.topics.with(*topic, to.partition, begin);
  if (done) co_return ErrorCode::kNone;
  co_return done.error().code() == Code::kNotFound ? ErrorCode::kUnknownTopicOrPartition
                                                   : ErrorCode::kKafkaStorageError;
}

// --- time

Task<void> TransactionCoordinator::watch(TransactionHome& home) {
  SteadyTime expired_at = home.shard.clock().steady();
  while (true) {
    const auto woken = home.watched.empty() ? co_await io::with_timeout(kForgetEvery, home.work.wait())
                                            : co_await io::sleep_for(options_.check_every);
    if (!woken && woken.error().code() != Code::kTimeout) co_return;
    home.work.reset();
    co_await write_rows_behind(home);
    co_await abort_overdue(home);
    if (const SteadyTime now = home.shard.clock().steady(); now - expired_at >= kForgetEvery) {
      expired_at = now;
      co_await expire(home);
    }
  }
}

// CompleteX need not be durable: whatever is written after it is so only together with it, and a start that still reads
// PrepareX sends the markers again.
Task<void> TransactionCoordinator::write_rows_behind(TransactionHome& home) {
  std::vector<Turn> turns;
  for (const TransactionEntryPtr& entry : home.watched)
    if (turns.size() < kTransactionRowsAtOnce && entry->row_behind && entry->turn.try_acquire())
      turns.emplace_back(entry);
  if (turns.empty()) co_return;
  const auto written = co_await store::transact(
      parts_.store,
      [this, &turns](store::Txn& txn) -> Task<Result<void>> {
        for (const Turn& turn : turns) CO_TRY(txn.put(parts_.rows, row_key(turn->id), as_text(turn->now.encode())));
        co_return {};
      },
      store::Sync::kOs);
  if (!written) {
    obs::log_warning("completed transactions not written", {{"error", written.error().text()}});
    co_return;
  }
  for (const Turn& turn : turns) {
    turn->row_behind = false;
    home.watched.erase(turn.entry());
  }
}

Task<void> TransactionCoordinator::abort_overdue(TransactionHome& home) {
  const SteadyTime now = home.shard.clock().steady();
  std::vector<Turn> turns;
  for (const TransactionEntryPtr& entry : home.watched)
    if (entry->now.ongoing() && entry->deadline <= now && entry->turn.try_acquire()) turns.emplace_back(entry);
  for (Turn& turn : turns) {
    obs::log_info(
        "transaction timed out",
        {{"transactional_id", turn->id}, {"producer_id", turn->now.producer.id}, {"timeout_ms", turn->now.timeout_ms}});
    (void)co_await make_true(home, turn.entry(), abort_transaction(turn->now, now_ms()));  // else: the next round
    turn.end();
  }
}

// Ids that nobody has used for a week.
Task<void> TransactionCoordinator::expire(TransactionHome& home) {
  const int64_t before_ms =
      now_ms() - std::chrono::duration_cast<std::chrono::milliseconds>(options_.id_expiry).count();
  while (true) {
    std::vector<Turn> turns;
    for (const auto& [id, entry] : home.entries) {
      if (turns.size() == kTransactionRowsAtOnce) break;
      if (!entry->now.ongoing() && !entry->now.prepared() && entry->now.updated_ms < before_ms &&
          entry->turn.try_acquire())
        turns.emplace_back(entry);
    }
    if (turns.empty()) co_return;
    const auto erased = co_await store::transact(parts_.store, [this, &turns](store::Txn& txn) -> Task<Result<void>> {
      for (const Turn& turn : turns) CO_TRY(txn.erase(parts_.rows, row_key(turn->id)));
      co_return {};
    });
    if (!erased) co_return;  // the next hour
    for (const Turn& turn : turns) {
      turn->gone = true;
      home.watched.erase(turn.entry());
      home.entries.erase(turn->id);
    }
    if (turns.size() < kTransactionRowsAtOnce) co_return;
  }
}

// --- for people

Task<DescribeTransactionsResponse> TransactionCoordinator::describe(DescribeTransactionsRequest request) {
  using State = DescribeTransactionsResponse::TransactionState;
  DescribeTransactionsResponse response;
  for (const std::string_view id : request.transactional_ids) {
    const auto look = [&](TransactionHome& home) -> Task<State> {
      State state;
      state.transactional_id = id;
      const TransactionEntryPtr entry = home.find(id);
      if (id.empty() || !entry || entry->now.producer.epoch < 0) {
        state.error_code =
            static_cast<int16_t>(id.empty() ? ErrorCode::kInvalidRequest : ErrorCode::kTransactionalIdNotFound);
        co_return state;
      }
      const Transaction& now = entry->now;
      state.transaction_state = name(now.state);
      state.transaction_timeout_ms = now.timeout_ms;
      state.transaction_start_time_ms = now.started_ms;
      state.producer_id = now.producer.id;
      state.producer_epoch = now.producer.epoch;
      if (!now.ongoing() && !now.prepared()) co_return state;
      for (const TopicPartition& one : now.partitions) {
        if (state.topics.empty() || state.topics.back().topic != one.topic) state.topics.push_back({one.topic, {}});
        state.topics.back().partitions.push_back(one.partition);
      }
      co_return state;
    };
    response.transaction_states.push_back(co_await at_home(id, look));
  }
  co_return response;
}

Task<ListTransactionsResponse> TransactionCoordinator::list(ListTransactionsRequest request) {
  using State = ListTransactionsResponse::TransactionState;
  ListTransactionsResponse response;
  std::set<TransactionState> states;
  for (const std::string_view filter : request.state_filters) {
    const auto state = transaction_state(filter);
    if (state)
      states.insert(*state);
    else
      response.unknown_state_filters.emplace_back(filter);
  }
  const std::set<int64_t> producers(request.producer_id_filters.begin(), request.producer_id_filters.end());
  const int64_t now = now_ms();
  const auto wanted = [&](const Transaction& one) {
    if (one.producer.epoch < 0) return false;
    if (!request.state_filters.empty() && !states.contains(one.state)) return false;
    if (!producers.empty() && !producers.contains(one.producer.id)) return false;
    return request.duration_filter < 0 || (one.started_ms >= 0 && now - one.started_ms > request.duration_filter);
  };
  for (const auto& home : homes_) {
    const auto look = [&]() -> Task<std::vector<State>> {
      std::vector<State> found;
      for (const auto& [id, entry] : home->entries)
        if (wanted(entry->now)) found.push_back({id, entry->now.producer.id, std::string(name(entry->now.state))});
      co_return found;
    };
    std::ranges::move(co_await io::on(home->shard, look), std::back_inserter(response.transaction_states));
  }
  std::ranges::sort(response.transaction_states, {}, &State::transactional_id);
  co_return response;
}

}  // namespace

Task<Result<std::unique_ptr<Transactions>>> open_transactions(TransactionsParts parts, TransactionsOptions options) {
  POLIS_ASSERT(!parts.shards.empty());
  auto coordinator = std::make_unique<TransactionCoordinator>(std::move(parts), options);
  if (auto loaded = co_await coordinator->load(); !loaded) {
    co_await coordinator->close();
    co_return fail(loaded.error());
  }
  co_return coordinator;
}

}  // namespace polis::stream
