// What creating accounts and creating transfers have in common: the checks that come before an event's own, linked
// chains with their undo, and what is remembered of events that were refused.
#include "systems/ledger/engine_state.h"

namespace polis::ledger {
namespace {

struct AccountRules {
  using Event = Account;
  using Status = AccountStatus;
  static constexpr uint16_t kLinked = account_flags::kLinked;
  static constexpr uint16_t kImported = account_flags::kImported;
};

struct TransferRules {
  using Event = Transfer;
  using Status = TransferStatus;
  static constexpr uint16_t kLinked = transfer_flags::kLinked;
  static constexpr uint16_t kImported = transfer_flags::kImported;
};

// The checks that look at the batch and the event's timestamp only; kCreated if they hold.
// `timestamp_event`: what the event gets if it brings none.
template <class Rules>
typename Rules::Status check_timestamp(const typename Rules::Event& event, bool batch_imports, uint64_t timestamp_event,
                                       uint64_t batch_timestamp) {
  using Status = typename Rules::Status;
  const bool imports = has(event.flags, Rules::kImported);
  if (imports != batch_imports) return imports ? Status::kImportedEventNotExpected : Status::kImportedEventExpected;
  if (!imports) return event.timestamp == 0 ? Status::kCreated : Status::kTimestampMustBeZero;
  if (!is_valid_timestamp(event.timestamp)) return Status::kImportedEventTimestampOutOfRange;
  // Nor may it reach into the batch: it is of the past of the time that the event itself has.
  if (event.timestamp > timestamp_event || event.timestamp == batch_timestamp)
    return Status::kImportedEventTimestampMustNotAdvance;
  return Status::kCreated;
}

}  // namespace

void Engine::State::create(const Command& command) {
  const size_t count = command.events.size() / sizeof(Record);
  events = command.events;
  if (count > 0) std::memcpy(records.data(), events.data(), count * sizeof(Record));
  refusals_before = refusals.size();
  // A batch has the timestamps that end with its own.
  uint64_t timestamp = command.timestamp - count;
  size_t begin = 0;
  const auto run = [&](size_t size) {
    timestamp += size;
    if (command.operation == Operation::kCreateAccounts) {
      create_batch<AccountRules>(begin, size, timestamp);
    } else {
      create_batch<TransferRules>(begin, size, timestamp);
    }
    begin += size;
  };
  if (command.batches.empty()) {
    run(count);
  } else {
    // They may lie at an odd address when they come from the journal.
    const BytesView sizes = std::as_bytes(command.batches);
    for (size_t i = 0; i < command.batches.size(); ++i) run(record_at<uint16_t>(sizes, i));
  }
  POLIS_ASSERT(begin == count && timestamp == command.timestamp);
  hash_leaves(count, command.timestamp);
}

template <class Rules>
void Engine::State::create_batch(size_t begin, size_t count, uint64_t timestamp) {
  using Event = typename Rules::Event;
  using Status = typename Rules::Status;
  constexpr bool kTransfers = std::is_same_v<Event, Transfer>;
  // Enough events for their misses to overlap, few enough for the lines to stay.
  constexpr size_t kStep = 16;

  const size_t end = begin + count;
  // The first event says for all whether they are imported.
  const bool imports = count > 0 && has(event<Event>(begin).flags, Rules::kImported);
  bool in_chain = false, broken = false;
  size_t chain_begin = 0;

  if constexpr (kTransfers) {
    look_far_ahead(begin, std::min(begin + 2 * kStep, end));
    look_near_ahead(begin, std::min(begin + kStep, end));
  }
  for (size_t i = begin; i < end; ++i) {
    const uint64_t timestamp_event = timestamp - (end - 1 - i);
    if constexpr (kTransfers) {
      if ((i - begin) % kStep == 0) {
        look_far_ahead(std::min(i + 2 * kStep, end), std::min(i + 3 * kStep, end));
        look_near_ahead(std::min(i + kStep, end), std::min(i + 2 * kStep, end));
      }
      if (!in_chain && !imports && create_plain(i, timestamp_event)) [[likely]]
        continue;
    }

    const bool linked = has(event<Event>(i).flags, Rules::kLinked);
    if (linked && !in_chain) {
      in_chain = true;
      chain_begin = i;
      begin_chain();
    }
    const bool open = linked && i == end - 1;

    uint64_t stored_at = timestamp_event;
    Status status = Status::kCreated;
    if (open) {
      status = Status::kLinkedEventChainOpen;
    } else if (broken) {
      status = Status::kLinkedEventFailed;
    } else {
      status = check_timestamp<Rules>(event<Event>(i), imports, timestamp_event, timestamp);
      if (status == Status::kCreated) {
        if constexpr (kTransfers) {
          status = create_transfer(i, timestamp_event, stored_at);
        } else {
          status = create_account(i, timestamp_event, stored_at);
        }
      }
    }

    if (status == Status::kCreated) {
      results[i] = {.timestamp = stored_at, .status = static_cast<uint32_t>(status)};
    } else {
      if (in_chain && !broken) {
        broken = true;
        undo_chain();
        for (size_t member = chain_begin; member < i; ++member)
          refuse<Rules>(member, static_cast<uint32_t>(Status::kLinkedEventFailed), results[member].timestamp);
      }
      refuse<Rules>(i, static_cast<uint32_t>(status), stored_at);
    }

    if (in_chain && (!linked || open)) {
      if (!broken) keep_chain();
      in_chain = broken = false;
    }
  }
  POLIS_ASSERT(!in_chain);
}

// The leaf of the row is not known yet: leaves are hashed together at the end.
template <class Rules>
void Engine::State::refuse(size_t i, uint32_t status, uint64_t timestamp) {
  using Event = typename Rules::Event;
  results[i] = {.timestamp = timestamp, .status = status};
  // What a chain has made of the event is taken back, too.
  Event& sent = event<Event>(i);
  sent = record_at<Event>(events, i);
  RefusalRow row{.id = sent.id, .timestamp = timestamp, .status = status, .index = static_cast<uint32_t>(i)};
  if constexpr (std::is_same_v<Event, Account>) row.index |= RefusalRow::kOfAccount;
  const uint64_t slot = append_row(refusals, row);
  if (burns_id(row)) transfer_ids.insert(transfer_ids.hash(sent.id), burned_reference(slot));
}

void Engine::State::hash_leaves(size_t count, uint64_t timestamp) {
  static_assert(offsetof(Account, timestamp) == offsetof(Transfer, timestamp));
  for (size_t i = 0; i < count; ++i) statuses[i] = results[i].status;
  // Refused events that brought no timestamp are hashed with their own place in time.
  const uint64_t refused_count = refusals.size() - refusals_before;
  refused.clear();
  for (uint64_t slot = refusals_before; slot < refusals.size(); ++slot) {
    refused.push_back(row_at<RefusalRow>(refusals, slot));
    const size_t i = refused.back().index & ~RefusalRow::kOfAccount;
    if (event<Transfer>(i).timestamp == 0) event<Transfer>(i).timestamp = timestamp - (count - 1 - i);
  }
  leaf_hashes(records[0].bytes, statuses.data(), count, leaves.data());
  if (refused_count == 0) return;
  // Again, with their leaves, in the same slots.
  refusals.truncate(refusals_before);
  for (RefusalRow& row : refused) {
    row.leaf = leaves[row.index & ~RefusalRow::kOfAccount];
    append_row(refusals, row);
  }
}

// --- linked chains

void Engine::State::begin_chain() {
  POLIS_ASSERT(!undo.active);
  undo.active = true;
  undo.accounts = accounts.size();
  undo.transfers = transfers.size();
  undo.balances = balances.size();
  undo.ledgers = ledgers.size();
  undo.pending_open = pending_open;
  undo.due_stale = 0;
  undo.changed.clear();
  undo.resolved.clear();
  undo.due.clear();
}

void Engine::State::keep_chain() {
  undo.active = false;
  for (const Due& entry : undo.due) due.add(entry);
  for (uint64_t i = 0; i < undo.due_stale; ++i) due.add_stale();
}

void Engine::State::undo_chain() {
  undo.active = false;
  for (auto change = undo.changed.rbegin(); change != undo.changed.rend(); ++change)
    accounts.change(change->first) = change->second;
  for (const uint64_t slot : undo.resolved) resolutions.set(slot, Resolution::kOpen);
  for (uint64_t slot = transfers.size(); slot > undo.transfers; --slot) {
    const Transfer transfer = transfer_at(slot - 1);
    transfer_ids.erase(transfer_ids.hash(transfer.id), transfer_reference(slot - 1));
    --ledgers.change(ledger_slots.at(transfer.ledger)).transfers;
  }
  transfers.truncate(undo.transfers);
  resolutions.truncate(undo.transfers);
  balances.truncate(undo.balances);
  for (uint64_t slot = accounts.size(); slot > undo.accounts; --slot)
    account_ids.erase(account_ids.hash(accounts[slot - 1].id), slot - 1);
  accounts.truncate(undo.accounts);
  account_log.truncate(undo.accounts);
  for (uint64_t slot = ledgers.size(); slot > undo.ledgers; --slot) ledger_slots.erase(ledgers[slot - 1].ledger);
  ledgers.truncate(undo.ledgers);
  pending_open = undo.pending_open;
}

}  // namespace polis::ledger
