// Commands in, replies out.
#include "systems/ledger/engine.h"

#include <algorithm>

#include "systems/ledger/engine_state.h"

namespace polis::ledger {
namespace {

LogSizes log_sizes(const EngineOptions& options) {
  return {
      .rows_per_chunk = options.rows_per_chunk, .rows_per_run = options.rows_per_run, .key_seed = options.id_hash_key};
}

}  // namespace

Engine::State::State(const EngineOptions& engine_options)
    : options(engine_options),
      account_log(account_log_options(log_sizes(options)), options.chunks),
      account_ids(options.id_hash_key),
      transfers(transfer_log_options(log_sizes(options)), options.chunks),
      transfer_ids(options.id_hash_key),
      refusals(refusal_log_options(log_sizes(options)), options.chunks),
      expiries(expiry_log_options(log_sizes(options)), options.chunks),
      balances(balance_log_options(log_sizes(options)), options.chunks),
      batches(batch_log_options(log_sizes(options)), options.chunks),
      records(kBatchEventsMax),
      statuses(kBatchEventsMax),
      leaves(kBatchEventsMax),
      lookahead(kBatchEventsMax) {}

Engine::Engine(EngineOptions options) : state_(std::make_unique<State>(options)) {}
Engine::~Engine() = default;

void Engine::behave_as(uint32_t behaviour) {
  POLIS_ASSERT(behaviour == kBehaviour);
}

Reply Engine::apply(const Command& command) {
  return state_->apply(command);
}

Reply Engine::State::apply(const Command& command) {
  const size_t count = command.events.size() / sizeof(Record);
  POLIS_ASSERT(command.events.size() % sizeof(Record) == 0 && count <= kBatchEventsMax);
  POLIS_ASSERT(is_valid_timestamp(command.timestamp) && command.timestamp > timestamp_last);
  POLIS_ASSERT(command.timestamp - timestamp_last >= count);

  const uint64_t op = ops + 1;
  results.assign(count, CreateResult{});
  size_t leaf_count = count;
  switch (command.operation) {
    case Operation::kRegister:
      sessions.open(command.from.client, op, command.from.request);
      break;
    case Operation::kExpire:
      leaf_count = expire(command.timestamp);
      break;
    case Operation::kCreateAccounts:
    case Operation::kCreateTransfers:
      create(command);
      break;
  }
  if (command.operation != Operation::kRegister && command.from.client != 0)
    sessions.note(command.from.client, command.from.session, op, command.from.request);
  finish(command, leaf_count);
  return {.op = op,
          .timestamp = command.timestamp,
          .session = command.operation == Operation::kRegister ? op : 0,
          .results = std::move(results),
          .head = head};
}

// Chains the command, and leaves the books ready for the next one.
void Engine::State::finish(const Command& command, size_t leaf_count) {
  ++ops;
  timestamp_last = command.timestamp;
  head = {.previous = head_hash, .root = merkle_root(std::span(leaves.data(), leaf_count))};
  const BatchRow row{.timestamp = command.timestamp,
                     .count = static_cast<uint32_t>(leaf_count),
                     .operation = static_cast<uint32_t>(command.operation),
                     .previous = head.previous,
                     .root = head.root,
                     .accounts = accounts.size(),
                     .transfers = transfers.size(),
                     .refusals = refusals.size(),
                     .expiries = expiries.size()};
  append_row(batches, row);
  head_hash = link_of(ops, row).head_after();
  due.tidy([this](const Due& entry) { return is_open(entry); });
  for (ChunkedLog* log : logs()) log->seal();
}

BatchLink Engine::State::link_of(uint64_t op, const BatchRow& row) {
  return {.op = op,
          .timestamp = row.timestamp,
          .operation = static_cast<uint8_t>(row.operation),
          .count = row.count,
          .head = {.previous = row.previous, .root = row.root}};
}

uint64_t Engine::next_timestamp(uint64_t now_ns, size_t events) const {
  return std::max<uint64_t>(now_ns, state_->timestamp_last + std::max<size_t>(events, 1));
}

std::optional<uint64_t> Engine::next_expiry() const {
  if (state_->due.empty()) return std::nullopt;
  return state_->due.first().expires_at;
}

// --- sessions

std::optional<Reply> Engine::stored_reply(const SessionRequest& from) const {
  const Session* session = state_->sessions.find(from.client);
  if (!session) return std::nullopt;
  const bool registered_only = session->last_op == session->number;
  const bool same = from.session == 0
                        ? registered_only
                        : from.session == session->number && from.request == session->request && !registered_only;
  if (!same) return std::nullopt;
  const BatchRow row = state_->batch_row(session->last_op);
  return Reply{.op = session->last_op,
               .timestamp = row.timestamp,
               .session = registered_only ? session->number : 0,
               .replayed = true,
               .results = state_->results_of(session->last_op),
               .head = {.previous = row.previous, .root = row.root}};
}

Engine::SessionState Engine::session_state(const SessionRequest& from) const {
  const Session* session = state_->sessions.find(from.client);
  if (!session) return SessionState::kUnknown;
  if (from.session < session->number) return SessionState::kOlder;
  if (from.session > session->number) return SessionState::kNewer;
  return from.request < session->request ? SessionState::kPast : SessionState::kCurrent;
}

// --- what stands in the books

const BatchHead& Engine::head() const {
  return state_->head;
}

Engine::Counts Engine::counts() const {
  return {.ops = state_->ops,
          .accounts = state_->accounts.size(),
          .transfers = state_->transfers.size(),
          .refusals = state_->refusals.size(),
          .expired = state_->expiries.size(),
          .pending_open = state_->pending_open,
          .sessions = state_->sessions.size(),
          .timestamp_last = state_->timestamp_last,
          .memory_bytes = state_->memory_bytes()};
}

std::optional<Account> Engine::account(Id id) const {
  const uint64_t slot = state_->find_account(id);
  if (slot == State::kNone) return std::nullopt;
  return state_->accounts[slot];
}

std::optional<Transfer> Engine::transfer(Id id) const {
  const uint64_t slot = state_->find_transfer(id);
  if (slot == State::kNone) return std::nullopt;
  return state_->transfer_at(slot);
}

PendingState Engine::pending_state(Id transfer_id) const {
  const uint64_t slot = state_->find_transfer(transfer_id);
  if (slot == State::kNone) return PendingState::kNone;
  if (!has(state_->transfer_at(slot).flags, transfer_flags::kPending)) return PendingState::kNone;
  switch (state_->resolutions[slot]) {
    case Resolution::kOpen:
      return PendingState::kPending;
    case Resolution::kPosted:
      return PendingState::kPosted;
    case Resolution::kVoided:
      return PendingState::kVoided;
    case Resolution::kExpired:
      return PendingState::kExpired;
  }
  return PendingState::kNone;
}

std::vector<Engine::Totals> Engine::trial_balance() const {
  const State& s = *state_;
  std::vector<Totals> totals(s.ledgers.size());
  for (uint64_t i = 0; i < totals.size(); ++i)
    totals[i] = {.ledger = s.ledgers[i].ledger, .transfers = s.ledgers[i].transfers};
  for (uint64_t slot = 0; slot < s.accounts.size(); ++slot) {
    const Account& account = s.accounts[slot];
    Totals& total = totals[s.ledger_slots.at(account.ledger)];
    ++total.accounts;
    total.debits_pending += account.debits_pending;
    total.debits_posted += account.debits_posted;
    total.credits_pending += account.credits_pending;
    total.credits_posted += account.credits_posted;
  }
  std::sort(totals.begin(), totals.end(), [](const Totals& a, const Totals& b) { return a.ledger < b.ledger; });
  return totals;
}

}  // namespace polis::ledger
