// The second phase of transfers: posting, voiding, and the expiry of what nobody posted or voided in time.
#include "systems/ledger/engine_state.h"

namespace polis::ledger {

TransferStatus Engine::State::finish_pending(size_t i, uint64_t timestamp_event, uint64_t& timestamp) {
  using enum TransferStatus;
  Transfer& event = this->event<Transfer>(i);
  if (const TransferStatus status = check_second_phase_alone(event); status != kCreated) return status;
  const uint64_t pending_slot = find_pending(event.pending_id, lookahead[i]);
  if (pending_slot == kNone) return kPendingTransferNotFound;
  const Transfer pending = transfer_at(pending_slot);
  u128 amount = 0;
  if (const TransferStatus status = check_against_pending(event, pending, amount); status != kCreated) return status;
  switch (resolutions[pending_slot]) {
    case Resolution::kOpen:
      break;
    case Resolution::kPosted:
      return kPendingTransferAlreadyPosted;
    case Resolution::kVoided:
      return kPendingTransferAlreadyVoided;
    case Resolution::kExpired:
      return kPendingTransferExpired;
  }
  // Due, but the command that expires it has not come yet.
  if (pending.timeout != 0 && pending.timestamp + timeout_ns(pending) <= timestamp_event)
    return kPendingTransferExpired;

  uint64_t stored_at = timestamp_event;
  if (has(event.flags, transfer_flags::kImported)) {
    if (const TransferStatus status = check_imported(event); status != kCreated) return status;
    stored_at = event.timestamp;
  }
  const uint64_t debit_slot = find_account(pending.debit_account_id);
  const uint64_t credit_slot = find_account(pending.credit_account_id);
  const bool voids = has(event.flags, transfer_flags::kVoidPending);
  // A closed account lets go of what it reserved, and takes nothing.
  if (!voids && has(accounts[debit_slot].flags, account_flags::kClosed)) return kDebitAccountAlreadyClosed;
  if (!voids && has(accounts[credit_slot].flags, account_flags::kClosed)) return kCreditAccountAlreadyClosed;

  // From here on it succeeds.
  timestamp = stored_at;
  event.timestamp = stored_at;
  event.debit_account_id = pending.debit_account_id;
  event.credit_account_id = pending.credit_account_id;
  event.amount = amount;
  event.ledger = pending.ledger;
  event.code = pending.code;
  if (event.user_data_128 == 0) event.user_data_128 = pending.user_data_128;
  if (event.user_data_64 == 0) event.user_data_64 = pending.user_data_64;
  if (event.user_data_32 == 0) event.user_data_32 = pending.user_data_32;
  const uint64_t slot = store_transfer(i);
  resolve(pending_slot, pending, voids ? Resolution::kVoided : Resolution::kPosted);
  Account& debit = change_account(debit_slot);
  Account& credit = change_account(credit_slot);
  release(debit, credit, pending.amount);
  if (voids) {
    reopen(debit, credit, pending.flags);
  } else {
    post(debit, credit, amount);
  }
  note_balances(slot, debit_slot, credit_slot);
  return kCreated;
}

void Engine::State::resolve(uint64_t slot, const Transfer& pending, Resolution resolution) {
  resolutions.set(slot, resolution);
  --pending_open;
  if (undo.active) undo.resolved.push_back(slot);
  if (pending.timeout == 0) return;
  if (undo.active) {
    ++undo.due_stale;
  } else {
    due.add_stale();
  }
}

// Expires what is due at `timestamp`, oldest due first; returns how many. Each gets its own timestamp, the last one the
// command's, and none is expired before its time.
size_t Engine::State::expire(uint64_t timestamp) {
  const uint64_t room = std::min<uint64_t>(timestamp - timestamp_last, kBatchEventsMax);
  // Entry i of n expires at timestamp-(n-1-i): one more is possible as long as nobody before it would be early.
  std::vector<Due> now;
  uint64_t latest = 0;  // of expires_at - i
  while (!due.empty() && now.size() < room) {
    const Due next = due.first();
    if (!is_open(next)) {
      due.remove_first();
      due.remove_stale();
      continue;
    }
    const uint64_t i = now.size();
    latest = std::max(latest, next.expires_at - i);
    if (latest + i > timestamp) break;
    now.push_back(next);
    due.remove_first();
  }
  for (size_t i = 0; i < now.size(); ++i) {
    const uint64_t slot = now[i].transfer;
    Transfer pending = transfer_at(slot);
    const uint64_t expired_at = timestamp - (now.size() - 1 - i);
    POLIS_ASSERT(now[i].expires_at <= expired_at);
    resolutions.set(slot, Resolution::kExpired);
    --pending_open;
    Account& debit = accounts.change(find_account(pending.debit_account_id));
    Account& credit = accounts.change(find_account(pending.credit_account_id));
    release(debit, credit, pending.amount);
    reopen(debit, credit, pending.flags);
    append_row(expiries, ExpiryRow{.debit_account_id = pending.debit_account_id,
                                   .credit_account_id = pending.credit_account_id,
                                   .amount = pending.amount,
                                   .timestamp = expired_at,
                                   .transfer = slot,
                                   .flags = pending.flags});
    pending.timestamp = expired_at;
    event<Transfer>(i) = pending;
    statuses[i] = static_cast<uint32_t>(TransferStatus::kPendingTransferExpired);
  }
  leaf_hashes(records[0].bytes, statuses.data(), now.size(), leaves.data());
  return now.size();
}

}  // namespace polis::ledger
