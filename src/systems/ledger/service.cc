#include "systems/ledger/service.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "kernel/log/segment_journal.h"
#include "kernel/obs/log.h"
#include "kernel/obs/metrics.h"
#include "systems/ledger/storage/chunk_files.h"
#include "systems/ledger/verification_chunks.h"

namespace polis::ledger {
namespace {

// A record of the largest message (1 MiB) with its headers, so that the journal's chunks are reused and not allocated
// for each.
constexpr size_t kJournalChunkBytes = (size_t{1} << 20) + (64 << 10);
// While nothing is due, the wall clock is looked at this often, for it may be set.
constexpr Duration kClockLook = std::chrono::seconds(1);
// Between two tries when the disk is behind. An expiry must begin within 100 ms of due.
constexpr Duration kRoomLook = std::chrono::milliseconds(20);
constexpr Duration kSignInterval = std::chrono::seconds(1);

std::unexpected<Error> closed() {
  return fail(Code::kUnavailable, "the ledger is closing; if the outcome of a command is not known, send it again");
}

// Timestamps never go back, so a clock that once stood there ends the books.
std::unexpected<Error> no_time_left() {
  return fail(Code::kUnavailable,
              "ledger: there are no timestamps left, as the clock of this machine has stood in the "
              "year 2262: restore a backup from before, and set the clock");
}

size_t event_count(const Command& command) {
  return command.events.size() / sizeof(Transfer);
}

}  // namespace

// What a scrape shows; rises with every durable command.
struct LedgerService::Metrics {
  explicit Metrics(obs::Registry& registry)
      : commands(registry.counter("polis_ledger_commands", "Durable commands.")),
        events(registry.counter("polis_ledger_events", "Events of durable commands.")),
        created(registry.counter("polis_ledger_created", "Accounts and transfers that were created.")),
        busy(registry.counter("polis_ledger_waits", "Commands that had to wait for the disk before they were taken.")),
        commit_seconds(registry.histogram("polis_ledger_commit_seconds",
                                          "From a command's arrival until it is on disk.",
                                          obs::latency_bounds_seconds())) {}
  obs::Counter& commands;
  obs::Counter& events;
  obs::Counter& created;
  obs::Counter& busy;
  obs::BucketHistogram& commit_seconds;
};

// A call from outside; close() waits for all of them.
class LedgerService::Call {
 public:
  explicit Call(LedgerService& service) : service_(service) {
    if (service_.calls_++ == 0) service_.idle_.reset();
  }
  ~Call() {
    if (--service_.calls_ == 0) service_.idle_.set();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  LedgerService& service_;
};

// Counts a command that waits for the disk to catch up.
class LedgerService::Room {
 public:
  explicit Room(LedgerService& service) : service_(service) { ++service_.waiting_for_room_; }
  ~Room() { --service_.waiting_for_room_; }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

 private:
  LedgerService& service_;
};

// Runs the task that `work` makes on the ledger's shard.
template <class F>
auto LedgerService::here(F work) -> std::invoke_result_t<F&> {
  if (io::Shard::current_or_null() == &shard_) {
    co_return co_await work();
  } else {
    co_return co_await io::on(shard_, [&] { return work(); });
  }
}

// --- opening and closing

LedgerService::LedgerService(io::Disk& disk, const Clock& clock, Random& random, ServiceOptions options)
    : shard_(io::Shard::current()),
      disk_(disk),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      metrics_(options_.metrics ? std::make_unique<Metrics>(*options_.metrics) : nullptr),
      condition_(std::make_shared<const Condition>()) {
  idle_.set();
}

LedgerService::~LedgerService() {
  POLIS_ASSERT(!books_);
}

Task<Result<std::unique_ptr<LedgerService>>> LedgerService::open(io::Disk& disk, const Clock& clock, Random& random,
                                                                 ServiceOptions options) {
  std::unique_ptr<LedgerService> service(new LedgerService(disk, clock, random, std::move(options)));
  auto recovered = co_await service->recover();
  if (!recovered) {
    if (service->chunks_) co_await service->chunks_->close();
    co_return fail(recovered.error());
  }
  co_return service;
}

Task<Result<void>> LedgerService::recover() {
  const std::string& directory = options_.data_directory;
  const SteadyTime begin = clock_.steady();
  key_ = CO_TRY(co_await HeadKey::open(disk_, directory + "/keys/ledger.key", random_));
  CO_TRY(co_await open_witness());
  chunks_ = CO_TRY(co_await ChunkFiles::open(disk_, directory + "/snapshot/ledger/chunks"));
  for (const std::string& why : chunks_->set_aside())
    obs::log_warning("ledger: a file of history was damaged; it is made again from the journal", {{"what", why}});
  for (const std::string& why : chunks_->set_aside()) derived_damage_ += (derived_damage_.empty() ? "" : "; ") + why;
  auto journal = CO_TRY(co_await log::open_segment_journal(disk_, scheduler_, random_,
                                                           {.directory = directory + "/journal/ledger",
                                                            .segment_size_bytes = options_.segment_size_bytes,
                                                            .buffer_bytes_max = options_.journal_buffer_bytes_max,
                                                            .chunk_bytes = kJournalChunkBytes}));
  machine::ReplicaOptions replica{.snapshot_directory = directory + "/snapshot/ledger",
                                  .snapshot_every_commands = 0,
                                  .snapshot_every_bytes = options_.snapshot_every_bytes,
                                  .keep_journal = true};
  replica.admit = [this]() -> Result<void> {
    if (chunks_->backlog_bytes() <= options_.chunk_backlog_bytes_max) return {};
    return fail(Code::kBusy, "ledger: files of history are behind on the disk; try later");
  };
  replica.before_publish = [this] { return chunks_->sync(); };
  books_ = CO_TRY(
      co_await Books::open(disk_, std::move(journal), std::move(replica), [this] { return make_engine(*chunks_); }));
  for (const Error& error : books_->passed_over()) {
    obs::log_warning("ledger: a snapshot was passed over", {{"error", error}});
    derived_damage_ += (derived_damage_.empty() ? "" : "; ") + error.text();
  }
  if (const auto torn = books_->journal().statistics().torn_bytes; torn > 0)
    obs::log_warning("ledger: the end of the journal was never finished and is cut off",
                     {{"directory", directory + "/journal/ledger"}, {"bytes", torn}});
  durable_op_ = books_->machine().counts().ops;
  books_->observe([this](machine::Position position, const Command& command, const Reply& reply) {
    applied(position, command, reply);
  });
  const auto statistics = books_->statistics();
  obs::log_info("ledger recovered", {{"ops", statistics.commands},
                                     {"replayed", statistics.replayed},
                                     {"unsound_snapshots", statistics.unsound_snapshots},
                                     {"duration", clock_.steady() - begin}});
  background_.spawn(expire_when_due());
  background_.spawn(sign_heads());
  look_at_condition();
  co_return {};
}

std::unique_ptr<Engine> LedgerService::make_engine(ChunkStore& chunks) const {
  EngineOptions engine = options_.engine;
  engine.chunks = &chunks;
  // A secret that is the same at every start: a signature of what is never signed otherwise (no head is from 1970).
  const SignedHead never = key_->sign(0, 0, {}, 0);
  std::memcpy(&engine.id_hash_key, never.signature.data(), sizeof engine.id_hash_key);
  return std::make_unique<Engine>(engine);
}

Task<Result<void>> LedgerService::open_witness() {
  if (options_.witness_file.empty()) co_return {};
  auto file = co_await disk_.open(options_.witness_file, io::OpenMode::kCreate);
  if (!file)
    co_return fail(
        Error(file.error().code(), "ledger.witness_file " + options_.witness_file + " cannot be opened", file.error()));
  witness_ = std::move(*file);
  witness_offset_ = CO_TRY(witness_->size());
  co_return {};
}

Task<Result<void>> LedgerService::close() {
  co_return co_await here([this] { return close_here(); });
}

Task<Result<void>> LedgerService::close_here() {
  closing_ = true;
  background_.stop();
  co_await background_.join();
  // Ends a snapshot or verification; everything accepted becomes durable, and every caller gets its answer.
  auto closed = books_ ? co_await books_->close() : Result<void>();
  room_.set();
  co_await telling_group_.join();
  io::Scope root(nullptr);
  auto idle = idle_.wait();
  (void)co_await std::move(idle).within(root);
  books_.reset();
  if (chunks_) co_await chunks_->close();
  chunks_.reset();
  witness_.reset();
  co_return closed;
}

// --- booking

uint64_t LedgerService::now_ns() const {
  return static_cast<uint64_t>(std::max<int64_t>(clock_.wall().time_since_epoch().count(), 1));
}

Result<void> LedgerService::check(const Command& command) const {
  if (command.events.size() % sizeof(Transfer) != 0)
    return fail(Code::kInvalid,
                fmt::format("ledger: {} bytes are no whole number of events of 128 bytes", command.events.size()));
  const size_t events = event_count(command);
  if (events > kBatchEventsMax)
    return fail(Code::kInvalid, fmt::format("ledger: {} events in one command; at most {} are allowed: send several",
                                            events, kBatchEventsMax));
  if (!command.batches.empty()) {
    size_t sum = 0;
    for (const uint16_t count : command.batches) sum += count;
    if (sum != events)
      return fail(Code::kInvalid, fmt::format("ledger: batches of {} events in all, but {} events", sum, events));
  }
  switch (command.operation) {
    case Operation::kCreateAccounts:
    case Operation::kCreateTransfers:
      return {};
    case Operation::kRegister:
      if (events == 0 && command.from.client != 0) return {};
      return fail(Code::kInvalid, "ledger: a session is opened by a client's id and without events");
    case Operation::kExpire:
      break;
  }
  return fail(Code::kInvalid,
              fmt::format("ledger: operation {} is not for clients", static_cast<unsigned>(command.operation)));
}

// The reply that a repeated request had, nothing for a new one, or why it cannot be taken.
Result<std::optional<Reply>> LedgerService::answered(const Command& command) const {
  if (command.from.client == 0) return std::nullopt;
  const Engine& engine = books_->machine();
  if (auto stored = engine.stored_reply(command.from)) {
    stored->replayed = true;
    return stored;
  }
  const Engine::SessionState state = engine.session_state(command.from);
  if (command.operation == Operation::kRegister) {
    if (state == Engine::SessionState::kUnknown) return std::nullopt;
    return fail(Code::kConflict, "ledger: the client has a session already");
  }
  switch (state) {
    case Engine::SessionState::kCurrent:
      return std::nullopt;
    case Engine::SessionState::kUnknown:
      return fail(Code::kNotFound, "ledger: no such session; register again");
    case Engine::SessionState::kOlder:
      return fail(Code::kVersionMismatch, "ledger: the client has opened a newer session");
    case Engine::SessionState::kNewer:
      return fail(Code::kOutOfRange, "ledger: a session that was not opened yet");
    case Engine::SessionState::kPast:
      break;
  }
  return fail(Code::kConflict, "ledger: a request older than the session's last one");
}

Task<Result<Reply>> LedgerService::book(Command& command) {
  Call call(*this);
  if (closing_) co_return closed();
  CO_TRY(check(command));
  const SteadyTime since = clock_.steady();
  while (true) {
    // From here to append nothing suspends, so a request that comes twice finds itself already sequenced.
    if (auto reply = CO_TRY(answered(command))) {
      auto durable = co_await books_->query([](const Engine&) {});
      if (!durable) co_return fail(durable.error());
      co_return std::move(*reply);
    }
    command.timestamp = books_->machine().next_timestamp(now_ns(), event_count(command));
    if (command.timestamp > kTimestampMax) co_return no_time_left();
    submitted_ = since;
    auto reply = co_await books_->submit(command);
    if (reply) co_return reply;
    if (reply.error().code() == Code::kClosed) co_return closed();
    if (reply.error().code() != Code::kBusy) {
      look_at_condition();
      co_return reply;
    }
    if (waiting_for_room_ >= options_.waiting_for_room_max || clock_.steady() - since >= options_.patience) {
      look_at_condition();
      co_return reply;
    }
    Room room(*this);
    if (metrics_) metrics_->busy.add();
    auto waited = co_await io::with_timeout(kRoomLook, room_.wait());
    if (closing_) co_return closed();
    if (!waited && waited.error().code() != Code::kTimeout) co_return fail(waited.error());
  }
}

Task<Result<Reply>> LedgerService::submit(Command command) {
  co_return co_await here([&] { return book(command); });
}

Task<Result<std::vector<CreateResult>>> LedgerService::create(Operation operation, BytesView events) {
  if (events.empty()) co_return std::vector<CreateResult>();
  Command command{.operation = operation, .events = events};
  auto reply = CO_TRY(co_await here([&] { return book(command); }));
  co_return std::move(reply.results);
}

Task<Result<std::vector<CreateResult>>> LedgerService::create_accounts(std::span<const Account> events) {
  return create(Operation::kCreateAccounts, std::as_bytes(events));
}

Task<Result<std::vector<CreateResult>>> LedgerService::create_transfers(std::span<const Transfer> events) {
  return create(Operation::kCreateTransfers, std::as_bytes(events));
}

// --- what follows a command

// Between apply and the disk: on the way of every command, so nothing here may wait.
void LedgerService::applied(machine::Position position, const Command& command, const Reply& reply) {
  const auto created = std::ranges::count_if(reply.results, [](const CreateResult& r) { return r.created(); });
  applied_.push_back({.position = position,
                      .since = submitted_,
                      .committed = {.op = reply.op,
                                    .timestamp = reply.timestamp,
                                    .operation = command.operation,
                                    .events = static_cast<uint32_t>(event_count(command)),
                                    .created = static_cast<uint32_t>(created)}});
  if (!std::exchange(telling_, true)) telling_group_.spawn(tell_committed());
  if (const auto due = books_->machine().next_expiry(); due && *due < expiry_armed_) expiry_changed_.set();
}

Task<void> LedgerService::tell_committed() {
  while (!applied_.empty()) {
    const auto durable = co_await books_->journal().wait(applied_.front().position, machine::Durability::kDisk);
    if (!durable) {
      // Nobody may be told of what is not on disk; the callers get the journal's failure.
      applied_.clear();
      look_at_condition();
      break;
    }
    const SteadyTime now = clock_.steady();
    const machine::Position reached = books_->journal().reached(machine::Durability::kDisk);
    while (!applied_.empty() && applied_.front().position <= reached) {
      Applied next = std::move(applied_.front());
      applied_.pop_front();
      const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(now - next.since).count();
      next.committed.latency_us = static_cast<uint64_t>(std::max<int64_t>(latency, 0));
      latency_us_.record(next.committed.latency_us);
      durable_op_ = next.committed.op;
      if (metrics_) {
        metrics_->commands.add();
        metrics_->events.add(next.committed.events);
        metrics_->created.add(next.committed.created);
        metrics_->commit_seconds.observe(now - next.since);
      }
      // A listener may end itself or others while it is told.
      for (auto it = watchers_.begin(); it != watchers_.end();) {
        auto current = it++;
        current->second(next.committed);
      }
    }
    head_changed_.set();
    room_.set();
    room_.reset();
  }
  telling_ = false;
}

Task<uint64_t> LedgerService::watch(std::function<void(const Committed&)> listener) {
  co_return co_await here([&]() -> Task<uint64_t> {
    const uint64_t number = next_watcher_++;
    watchers_.emplace(number, std::move(listener));
    co_return number;
  });
}

Task<void> LedgerService::unwatch(uint64_t number) {
  co_await here([&]() -> Task<void> {
    watchers_.erase(number);
    co_return;
  });
}

Task<void> LedgerService::expire_when_due() {
  while (!closing_) {
    const auto due = books_->machine().next_expiry();
    expiry_armed_ = due.value_or(UINT64_MAX);
    expiry_changed_.reset();
    // Room for many at once, also where the clock was set back behind the last command.
    const uint64_t timestamp = books_->machine().next_timestamp(now_ns(), kBatchEventsMax);
    if (!due) {
      if (!co_await expiry_changed_.wait()) co_return;
      continue;
    }
    if (*due > timestamp) {
      const Duration wait = std::min<Duration>(Duration(*due - timestamp), kClockLook);
      if (auto changed = co_await io::with_timeout(wait, expiry_changed_.wait());
          !changed && changed.error().code() != Code::kTimeout)
        co_return;
      continue;
    }
    if (timestamp > kTimestampMax) co_return;
    submitted_ = clock_.steady();
    const Command expire{.operation = Operation::kExpire, .timestamp = timestamp};
    const auto expired = co_await books_->submit(expire);
    if (expired) continue;
    look_at_condition();
    if (expired.error().code() != Code::kBusy) co_return;
    if (!co_await io::sleep_for(kRoomLook)) co_return;
  }
}

// --- asking

Task<Result<void>> LedgerService::run_query(std::function<void(const Engine&)> ask) {
  co_return co_await here([&] { return ask_here(ask); });
}

Task<Result<void>> LedgerService::ask_here(std::function<void(const Engine&)>& ask) {
  Call call(*this);
  if (closing_) co_return closed();
  auto answer = co_await books_->query([&](const Engine& engine) { ask(engine); });
  if (!answer && answer.error().code() == Code::kClosed) co_return closed();
  co_return answer;
}

Task<Ledger::Statistics> LedgerService::statistics() {
  co_return co_await here([this]() -> Task<Statistics> {
    Statistics now;
    if (!books_) co_return now;
    const auto journal = books_->journal().statistics();
    const auto replica = books_->statistics();
    now.counts = books_->machine().counts();
    now.journal_bytes = journal.size_bytes;
    now.journal_syncs = journal.syncs;
    now.waiting = replica.waiting + waiting_for_room_;
    now.snapshots = replica.snapshots;
    now.snapshot_op = replica.snapshot_commands;
    for (const double quantile : {0.5, 0.9, 0.99, 0.999, 1.0})
      now.latency_us.emplace_back(quantile, latency_us_.percentile(quantile * 100));
    co_return now;
  });
}

Task<Result<void>> LedgerService::snapshot() {
  co_return co_await here([this] { return snapshot_here(); });
}

Task<Result<void>> LedgerService::snapshot_here() {
  Call call(*this);
  if (closing_) co_return closed();
  CO_TRY(co_await books_->snapshot());
  co_return {};
}

// --- verification

Task<Result<Ledger::Verified>> LedgerService::verify(std::function<void(uint64_t, uint64_t)> progress) {
  return replay({}, std::move(progress));
}

Task<Result<Ledger::Verified>> LedgerService::replay(std::function<void(const Engine&)> look,
                                                     std::function<void(uint64_t, uint64_t)> progress) {
  co_return co_await here([&] { return replay_here(look, progress); });
}

Task<Result<Ledger::Verified>> LedgerService::replay_here(std::function<void(const Engine&)>& look,
                                                          std::function<void(uint64_t, uint64_t)>& progress) {
  Call call(*this);
  if (closing_) co_return closed();
  if (verifying_) co_return fail(Code::kBusy, "ledger: a verification runs already; ask how far it is");
  verifying_ = true;
  auto verified = co_await replay_journal(look, progress);
  verifying_ = false;
  co_return verified;
}

// Again while a snapshot is being made: it ends soon, and nothing has begun.
template <class F>
auto LedgerService::when_quiet(F work) -> std::invoke_result_t<F&> {
  while (true) {
    auto done = co_await work();
    if (done || done.error().code() != Code::kBusy || closing_) co_return done;
    CO_TRY(co_await io::sleep_for(kRoomLook));
  }
}

Task<Result<Ledger::Verified>> LedgerService::replay_journal(std::function<void(const Engine&)>& look,
                                                             std::function<void(uint64_t, uint64_t)>& progress) {
  const SteadyTime begin = clock_.steady();
  // Every page of every file first, so that damage is named by its file; then full chunks are compared with what the
  // journal gives.
  CO_TRY(co_await chunks_->verify());
  CO_TRY(co_await when_quiet([&] { return books_->check_snapshots(); }));
  VerificationChunks chunks(*chunks_);
  const auto make = [&] { return make_engine(chunks); };
  const auto admit = [&]() -> Result<void> {
    if (chunks.behind()) return fail(Code::kBusy, "chunks are still being compared");
    return {};
  };
  auto verified = co_await when_quiet([&] { return books_->verify(make, progress, admit); });
  auto same = co_await chunks.settle();
  if (!same) co_return fail(same.error());
  if (!verified) co_return fail(verified.error());
  const Engine& engine = *verified->machine;
  const Engine::Counts counts = engine.counts();
  Verified answer{.ops = counts.ops,
                  .events = counts.accounts + counts.transfers + counts.refusals + counts.expired,
                  .accounts = counts.accounts,
                  .transfers = counts.transfers};
  if (counts.ops > 0) answer.head = CO_TRY(engine.link(counts.ops)).head_after();
  answer.seconds = std::chrono::duration<double>(clock_.steady() - begin).count();
  if (look) look(engine);
  co_return answer;
}

// --- signed heads

// Of the last durable command.
SignedHead LedgerService::sign_durable() {
  if (signed_head_ && signed_head_->op == durable_op_) return *signed_head_;
  uint64_t timestamp = 0;
  Hash head{};
  if (durable_op_ > 0) {
    const auto link = books_->machine().link(durable_op_);
    POLIS_ASSERT(link);  // every command that was applied is in the chain
    timestamp = link->timestamp;
    head = link->head_after();
  }
  signed_head_ = key_->sign(durable_op_, timestamp, head, now_ns());
  return *signed_head_;
}

Task<Result<SignedHead>> LedgerService::signed_head() {
  co_return co_await here([this] { return head_here(); });
}

Task<Result<SignedHead>> LedgerService::head_here() {
  Call call(*this);
  if (closing_) co_return closed();
  if (auto failure = books_->failure()) co_return fail(*failure);
  co_return sign_durable();
}

Task<void> LedgerService::sign_heads() {
  uint64_t witnessed = UINT64_MAX;
  while (!closing_) {
    head_changed_.reset();
    if (witnessed != durable_op_) {
      const SignedHead head = sign_durable();
      witnessed = head.op;
      if (auto written = co_await witness(head); !written) {
        if (!witness_failure_) obs::log_error("ledger: the witness file fails", {{"error", written.error()}});
        witness_failure_ = written.error();
      }
    }
    look_at_condition();
    if (!co_await head_changed_.wait()) co_return;
    if (!co_await io::sleep_for(kSignInterval)) co_return;
  }
}

Task<Result<void>> LedgerService::witness(const SignedHead& head) {
  if (!witness_ || witness_failure_ || head.op == 0) co_return {};
  const std::string text = head.to_text() + "signature " + base::hex_encode(head.signature) + "\n\n";
  CO_TRY(co_await witness_->write_at(witness_offset_, as_bytes(text)));
  witness_offset_ += text.size();
  co_return co_await witness_->sync();
}

// --- condition

LedgerService::Condition LedgerService::condition() const {
  return *condition_.load();
}

void LedgerService::look_at_condition() {
  if (!books_) return;
  Condition now;
  if (const auto failure = books_->failure()) {
    now.failed = true;
    now.message = failure->text() +
                  ". Nothing that was acknowledged is lost. Look at the disk (space, kernel log), then restart polis";
  } else if (const auto& history = chunks_->failure()) {
    now.degraded = true;
    now.message = "files of history cannot be written, and are tried again every second; when " +
                  std::to_string(options_.chunk_backlog_bytes_max >> 20) +
                  " MiB of them wait, bookings wait too. Make room on the disk: " + history->text();
  } else if (const auto& snapshot = books_->snapshot_failure()) {
    now.degraded = true;
    now.message = "no snapshot could be made, so the next start takes longer: " + snapshot->text();
  } else if (witness_failure_) {
    now.degraded = true;
    now.message =
        "signed heads no longer reach ledger.witness_file; repair it and restart polis: " + witness_failure_->text();
  } else if (books_->statistics().snapshots == 0 && !derived_damage_.empty()) {
    now.degraded = true;
    now.message = "found damaged at the start and made again from the journal, which is whole; check the disk: " +
                  derived_damage_;
  }
  condition_.store(std::make_shared<const Condition>(std::move(now)));
}

}  // namespace polis::ledger
