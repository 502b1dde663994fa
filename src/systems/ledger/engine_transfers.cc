// Creating transfers that stand alone, and those that reserve for a second phase.
#include "systems/ledger/engine_state.h"

namespace polis::ledger {
// Asks memory for all that events will touch some time before they need it. First the ids' places in the indexes; a
// step later, when those are there, the accounts. An account that is found here by its hash may be another's; who uses
// it compares.
void Engine::State::look_far_ahead(size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    const Transfer& transfer = event<Transfer>(i);
    Lookahead& ahead = lookahead[i];
    ahead.id_hash = transfer_ids.hash(transfer.id);
    ahead.debit_hash = account_ids.hash(transfer.debit_account_id);
    ahead.credit_hash = account_ids.hash(transfer.credit_account_id);
    transfer_ids.prefetch_table(ahead.id_hash);
    account_ids.prefetch_table(ahead.debit_hash);
    account_ids.prefetch_table(ahead.credit_hash);
    if (is_second_phase(transfer)) {
      ahead.pending_hash = transfer_ids.hash(transfer.pending_id);
      transfer_ids.prefetch_table(ahead.pending_hash);
    }
  }
  for (size_t i = begin; i < end; ++i) {
    const Lookahead& ahead = lookahead[i];
    account_ids.prefetch(ahead.debit_hash);
    account_ids.prefetch(ahead.credit_hash);
    transfer_ids.prefetch(ahead.id_hash);
    if (is_second_phase(event<Transfer>(i))) transfer_ids.prefetch(ahead.pending_hash);
  }
}

void Engine::State::look_near_ahead(size_t begin, size_t end) {
  const auto any = [](uint64_t) { return true; };
  const auto prefetch = [&](uint64_t slot) {
    if (slot == kNone) return;
    const char* row = reinterpret_cast<const char*>(&accounts[slot]);
    __builtin_prefetch(row, 1);
    __builtin_prefetch(row + 64, 1);
  };
  for (size_t i = begin; i < end; ++i) {
    Lookahead& ahead = lookahead[i];
    ahead.debit_slot = account_ids.find(ahead.debit_hash, any);
    ahead.credit_slot = account_ids.find(ahead.credit_hash, any);
    prefetch(ahead.debit_slot);
    prefetch(ahead.credit_slot);
    if (!is_second_phase(event<Transfer>(i))) continue;
    ahead.pending_reference = transfer_ids.find(ahead.pending_hash, any);
    if (ahead.pending_reference == kNone || is_burned(ahead.pending_reference)) continue;
    transfers.prefetch(ahead.pending_reference / 2);
    resolutions.prefetch(ahead.pending_reference / 2);
  }
}

uint64_t Engine::State::probable_account(Id id, uint64_t probable_slot, uint64_t hash) const {
  if (probable_slot == kNone || accounts[probable_slot].id == id) [[likely]]
    return probable_slot;
  return find_account(id, hash);
}

bool Engine::State::create_plain(size_t i, uint64_t timestamp_event) {
  Transfer& event = this->event<Transfer>(i);
  const Lookahead& ahead = lookahead[i];
  const bool plain = event.flags == 0 && event.timestamp == 0 && event.pending_id == 0 && event.timeout == 0 &&
                     event.code != 0 && event.id != 0 && event.id != kU128Max && ahead.debit_slot != kNone &&
                     ahead.credit_slot != kNone && ahead.debit_slot != ahead.credit_slot;
  if (!plain) [[unlikely]]
    return false;
  const Account& debit = accounts[ahead.debit_slot];
  const Account& credit = accounts[ahead.credit_slot];
  if (debit.id != event.debit_account_id || credit.id != event.credit_account_id) [[unlikely]]
    return false;
  // An account has a ledger other than 0, so the event's is none either.
  if (debit.ledger != event.ledger || credit.ledger != event.ledger) [[unlikely]]
    return false;
  if (has(debit.flags | credit.flags, account_flags::kClosed)) [[unlikely]]
    return false;
  const u128 amount = event.amount;
  if (sum_overflows(amount, debit.debits_pending + debit.debits_posted) ||
      sum_overflows(amount, credit.credits_pending + credit.credits_posted)) [[unlikely]]
    return false;
  if (debits_exceed_credits(debit, amount) || credits_exceed_debits(credit, amount)) [[unlikely]]
    return false;
  if (find_transfer_id(event.id, ahead.id_hash) != kNone) [[unlikely]]
    return false;

  event.timestamp = timestamp_event;
  const uint64_t slot = store_transfer(i);
  post(accounts.change(ahead.debit_slot), accounts.change(ahead.credit_slot), amount);
  note_balances(slot, ahead.debit_slot, ahead.credit_slot);
  results[i] = {.timestamp = timestamp_event, .status = static_cast<uint32_t>(TransferStatus::kCreated)};
  return true;
}

TransferStatus Engine::State::create_transfer(size_t i, uint64_t timestamp_event, uint64_t& timestamp) {
  using enum TransferStatus;
  Transfer& event = this->event<Transfer>(i);
  const Lookahead& ahead = lookahead[i];
  if ((event.flags & ~transfer_flags::kAll) != 0) return kReservedFlag;
  if (event.id == 0) return kIdMustNotBeZero;
  if (event.id == kU128Max) return kIdMustNotBeIntMax;
  if (const uint64_t reference = find_transfer_id(event.id, ahead.id_hash); reference != kNone)
    return existing_transfer(event, reference, timestamp);
  if (is_second_phase(event)) return finish_pending(i, timestamp_event, timestamp);
  if (const TransferStatus status = check_alone(event); status != kCreated) return status;

  const uint64_t debit_slot = probable_account(event.debit_account_id, ahead.debit_slot, ahead.debit_hash);
  if (debit_slot == kNone) return kDebitAccountNotFound;
  const uint64_t credit_slot = probable_account(event.credit_account_id, ahead.credit_slot, ahead.credit_hash);
  if (credit_slot == kNone) return kCreditAccountNotFound;
  const Account& debit = accounts[debit_slot];
  const Account& credit = accounts[credit_slot];
  if (debit.ledger != credit.ledger) return kAccountsMustHaveTheSameLedger;
  if (event.ledger != debit.ledger) return kTransferMustHaveTheSameLedgerAsAccounts;

  uint64_t stored_at = timestamp_event;
  if (has(event.flags, transfer_flags::kImported)) {
    if (const TransferStatus status = check_imported(event); status != kCreated) return status;
    if (event.timestamp <= debit.timestamp) return kImportedEventTimestampMustPostdateDebitAccount;
    if (event.timestamp <= credit.timestamp) return kImportedEventTimestampMustPostdateCreditAccount;
    if (event.timeout != 0) return kImportedEventTimeoutMustBeZero;
    stored_at = event.timestamp;
  }
  if (has(debit.flags, account_flags::kClosed)) return kDebitAccountAlreadyClosed;
  if (has(credit.flags, account_flags::kClosed)) return kCreditAccountAlreadyClosed;

  u128 amount = event.amount;
  const auto balance_by = [&amount](u128 limit, u128 used) {
    amount = std::min(amount, limit > used ? limit - used : 0);
  };
  if (has(event.flags, transfer_flags::kBalancingDebit))
    balance_by(debit.credits_posted, debit.debits_posted + debit.debits_pending);
  if (has(event.flags, transfer_flags::kBalancingCredit))
    balance_by(credit.debits_posted, credit.credits_posted + credit.credits_pending);

  const bool pending = has(event.flags, transfer_flags::kPending);
  if (pending && sum_overflows(amount, debit.debits_pending)) return kOverflowsDebitsPending;
  if (pending && sum_overflows(amount, credit.credits_pending)) return kOverflowsCreditsPending;
  if (sum_overflows(amount, debit.debits_posted)) return kOverflowsDebitsPosted;
  if (sum_overflows(amount, credit.credits_posted)) return kOverflowsCreditsPosted;
  if (sum_overflows(amount, debit.debits_pending + debit.debits_posted)) return kOverflowsDebits;
  if (sum_overflows(amount, credit.credits_pending + credit.credits_posted)) return kOverflowsCredits;
  if (timeout_ns(event) > kTimestampMax - stored_at) return kOverflowsTimeout;
  if (debits_exceed_credits(debit, amount)) return kExceedsCredits;
  if (credits_exceed_debits(credit, amount)) return kExceedsDebits;

  // From here on it succeeds.
  timestamp = stored_at;
  event.timestamp = stored_at;
  event.amount = amount;
  const uint64_t slot = store_transfer(i);
  Account& debited = change_account(debit_slot);
  Account& credited = change_account(credit_slot);
  if (pending) {
    reserve(debited, credited, amount);
    if (has(event.flags, transfer_flags::kClosingDebit)) debited.flags |= account_flags::kClosed;
    if (has(event.flags, transfer_flags::kClosingCredit)) credited.flags |= account_flags::kClosed;
    ++pending_open;
    if (event.timeout != 0) {
      const Due entry{.expires_at = stored_at + timeout_ns(event), .transfer = slot};
      if (undo.active) {
        undo.due.push_back(entry);
      } else {
        due.add(entry);
      }
    }
  } else {
    post(debited, credited, amount);
  }
  note_balances(slot, debit_slot, credit_slot);
  return kCreated;
}

TransferStatus Engine::State::existing_transfer(const Transfer& event, uint64_t reference, uint64_t& timestamp) const {
  if (is_burned(reference)) return TransferStatus::kIdAlreadyFailed;
  const Transfer existing = transfer_at(reference / 2);
  TransferStatus status;
  if (is_second_phase(existing)) {
    const Transfer pending = transfer_at(find_transfer(existing.pending_id));
    status = compare_existing(event, existing, &pending);
  } else {
    status = compare_existing(event, existing, nullptr);
  }
  if (status == TransferStatus::kExists) timestamp = existing.timestamp;
  return status;
}

// Transfers stand in the order of their timestamps, which no account shares.
TransferStatus Engine::State::check_imported(const Transfer& event) const {
  using enum TransferStatus;
  const uint64_t count = transfers.size();
  if (count > 0 && event.timestamp <= transfer_at(count - 1).timestamp) return kImportedEventTimestampMustNotRegress;
  const Slots same = slots_between(account_log, offsetof(Account, timestamp), event.timestamp, event.timestamp);
  return same.begin == same.end ? kCreated : kImportedEventTimestampMustNotRegress;
}

Account& Engine::State::change_account(uint64_t slot) {
  Account& account = accounts.change(slot);
  if (undo.active) undo.changed.emplace_back(slot, account);
  return account;
}

uint64_t Engine::State::store_transfer(size_t i) {
  const Transfer& transfer = event<Transfer>(i);
  const uint64_t slot = transfers.append(records[i].bytes);
  transfer_ids.insert(lookahead[i].id_hash, transfer_reference(slot));
  resolutions.add(slot);
  if (ledgers[ledger_slot_last].ledger != transfer.ledger) [[unlikely]]
    ledger_slot_last = ledger_slots.at(transfer.ledger);
  ++ledgers.change(ledger_slot_last).transfers;
  return slot;
}

void Engine::State::note_balances(uint64_t transfer_slot, uint64_t debit_slot, uint64_t credit_slot) {
  const bool now = transfer_slot % kBalanceEvery == 0;
  if (now || has(accounts[debit_slot].flags, account_flags::kHistory)) note_balance(transfer_slot, debit_slot);
  if (now || has(accounts[credit_slot].flags, account_flags::kHistory)) note_balance(transfer_slot, credit_slot);
}

void Engine::State::note_balance(uint64_t transfer_slot, uint64_t account_slot) {
  const Account& account = accounts[account_slot];
  append_row(balances, BalanceRow{.debits_pending = account.debits_pending,
                                  .debits_posted = account.debits_posted,
                                  .credits_pending = account.credits_pending,
                                  .credits_posted = account.credits_posted,
                                  .transfer = transfer_slot,
                                  .account = account_slot,
                                  .expiries = expiries.size(),
                                  .flags = account.flags});
}

}  // namespace polis::ledger
