// The rules that need nothing but the events themselves: pure functions of accounts and transfers, shared by the files
// of the engine.
#pragma once

#include "systems/ledger/engine_rows.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// Whether trying the same transfer again could end otherwise because the books have changed. Such a failure burns the
// id: who saw it may not find the transfer booked later after all.
constexpr bool is_transient(TransferStatus status) {
  switch (status) {
    case TransferStatus::kDebitAccountNotFound:
    case TransferStatus::kCreditAccountNotFound:
    case TransferStatus::kPendingTransferNotFound:
    case TransferStatus::kExceedsCredits:
    case TransferStatus::kExceedsDebits:
    case TransferStatus::kDebitAccountAlreadyClosed:
    case TransferStatus::kCreditAccountAlreadyClosed:
      return true;
    default:
      return false;
  }
}
inline bool burns_id(const RefusalRow& refusal) {
  return (refusal.index & RefusalRow::kOfAccount) == 0 && is_transient(static_cast<TransferStatus>(refusal.status));
}

constexpr bool is_valid_timestamp(uint64_t timestamp) {
  return timestamp >= 1 && timestamp <= kTimestampMax;
}
constexpr bool sum_overflows(u128 a, u128 b) {
  return b > kU128Max - a;
}

// By the account's flags. Pending and posted together never overflow: that was checked when they were booked.
inline bool debits_exceed_credits(const Account& account, u128 amount) {
  return (account.flags & account_flags::kDebitsMustNotExceedCredits) != 0 &&
         account.debits_pending + account.debits_posted + amount > account.credits_posted;
}
inline bool credits_exceed_debits(const Account& account, u128 amount) {
  return (account.flags & account_flags::kCreditsMustNotExceedDebits) != 0 &&
         account.credits_pending + account.credits_posted + amount > account.debits_posted;
}

inline uint64_t timeout_ns(const Transfer& pending) {
  return uint64_t{pending.timeout} * kNanosecondsPerSecond;
}
inline bool has(uint16_t flags, uint16_t flag) {
  return (flags & flag) != 0;
}
inline bool is_second_phase(const Transfer& transfer) {
  return has(transfer.flags, transfer_flags::kPostPending | transfer_flags::kVoidPending);
}

// An account that exists, against the event that would create it.
AccountStatus compare_existing(const Account& event, const Account& existing);
// A transfer that exists, against the event that would create it. `pending` is the transfer that both post or void, or
// null.
TransferStatus compare_existing(const Transfer& event, const Transfer& existing, const Transfer* pending);
// What can be said of a transfer that neither posts nor voids without looking at the books; kCreated if nothing is
// wrong.
TransferStatus check_alone(const Transfer& event);
// The same for one that posts or voids.
TransferStatus check_second_phase_alone(const Transfer& event);
// What a second phase may say about its pending transfer, and the amount that it moves, into `amount`.
TransferStatus check_against_pending(const Transfer& event, const Transfer& pending, u128& amount);

// The effect of a transfer, or of the end of a pending one, on the balances of its two accounts. Sums that would
// overflow were refused before.
void reserve(Account& debit, Account& credit, u128 amount);
void release(Account& debit, Account& credit, u128 amount);
void post(Account& debit, Account& credit, u128 amount);
// Opens again what the pending transfer closed.
void reopen(Account& debit, Account& credit, uint16_t pending_flags);

}  // namespace polis::ledger
