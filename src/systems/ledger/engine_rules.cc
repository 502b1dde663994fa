#include "systems/ledger/engine_rules.h"

namespace polis::ledger {
namespace {

constexpr uint16_t kSecondPhase = transfer_flags::kPostPending | transfer_flags::kVoidPending;

// What a second phase says stands for itself; what it leaves 0 came from the pending transfer.
template <class T>
bool differs_or_inherited(T event, T existing, T pending) {
  return event == 0 ? existing != pending : event != existing;
}

bool second_phase_amount_differs(const Transfer& event, const Transfer& existing, const Transfer& pending) {
  const u128 everything = has(event.flags, transfer_flags::kVoidPending) ? 0 : kU128Max;
  return event.amount == everything ? existing.amount != pending.amount : event.amount != existing.amount;
}

TransferStatus compare_second_phase(const Transfer& event, const Transfer& existing, const Transfer& pending) {
  using enum TransferStatus;
  if (event.debit_account_id != 0 && event.debit_account_id != existing.debit_account_id)
    return kExistsWithDifferentDebitAccountId;
  if (event.credit_account_id != 0 && event.credit_account_id != existing.credit_account_id)
    return kExistsWithDifferentCreditAccountId;
  if (second_phase_amount_differs(event, existing, pending)) return kExistsWithDifferentAmount;
  if (differs_or_inherited(event.user_data_128, existing.user_data_128, pending.user_data_128))
    return kExistsWithDifferentUserData128;
  if (differs_or_inherited(event.user_data_64, existing.user_data_64, pending.user_data_64))
    return kExistsWithDifferentUserData64;
  if (differs_or_inherited(event.user_data_32, existing.user_data_32, pending.user_data_32))
    return kExistsWithDifferentUserData32;
  if (event.ledger != 0 && event.ledger != existing.ledger) return kExistsWithDifferentLedger;
  if (event.code != 0 && event.code != existing.code) return kExistsWithDifferentCode;
  return kExists;
}

}  // namespace

AccountStatus compare_existing(const Account& event, const Account& existing) {
  using enum AccountStatus;
  if (event.flags != existing.flags) return kExistsWithDifferentFlags;
  if (event.user_data_128 != existing.user_data_128) return kExistsWithDifferentUserData128;
  if (event.user_data_64 != existing.user_data_64) return kExistsWithDifferentUserData64;
  if (event.user_data_32 != existing.user_data_32) return kExistsWithDifferentUserData32;
  if (event.ledger != existing.ledger) return kExistsWithDifferentLedger;
  if (event.code != existing.code) return kExistsWithDifferentCode;
  return kExists;
}

TransferStatus compare_existing(const Transfer& event, const Transfer& existing, const Transfer* pending) {
  using enum TransferStatus;
  // Flags first: they say how the rest is compared.
  if (event.flags != existing.flags) return kExistsWithDifferentFlags;
  if (event.pending_id != existing.pending_id) return kExistsWithDifferentPendingId;
  if (event.timeout != existing.timeout) return kExistsWithDifferentTimeout;
  if (pending) return compare_second_phase(event, existing, *pending);

  if (event.debit_account_id != existing.debit_account_id) return kExistsWithDifferentDebitAccountId;
  if (event.credit_account_id != existing.credit_account_id) return kExistsWithDifferentCreditAccountId;
  // A balancing event names a limit: the same one as before, and any higher, could have moved what was moved.
  const bool balancing = has(event.flags, transfer_flags::kBalancingDebit | transfer_flags::kBalancingCredit);
  if (balancing ? event.amount < existing.amount : event.amount != existing.amount) return kExistsWithDifferentAmount;
  if (event.user_data_128 != existing.user_data_128) return kExistsWithDifferentUserData128;
  if (event.user_data_64 != existing.user_data_64) return kExistsWithDifferentUserData64;
  if (event.user_data_32 != existing.user_data_32) return kExistsWithDifferentUserData32;
  if (event.ledger != existing.ledger) return kExistsWithDifferentLedger;
  if (event.code != existing.code) return kExistsWithDifferentCode;
  return kExists;
}

TransferStatus check_alone(const Transfer& event) {
  using enum TransferStatus;
  if (event.debit_account_id == 0) return kDebitAccountIdMustNotBeZero;
  if (event.debit_account_id == kU128Max) return kDebitAccountIdMustNotBeIntMax;
  if (event.credit_account_id == 0) return kCreditAccountIdMustNotBeZero;
  if (event.credit_account_id == kU128Max) return kCreditAccountIdMustNotBeIntMax;
  if (event.debit_account_id == event.credit_account_id) return kAccountsMustBeDifferent;
  if (event.pending_id != 0) return kPendingIdMustBeZero;
  if (!has(event.flags, transfer_flags::kPending)) {
    if (event.timeout != 0) return kTimeoutReservedForPendingTransfer;
    if (has(event.flags, transfer_flags::kClosingDebit | transfer_flags::kClosingCredit))
      return kClosingTransferMustBePending;
  }
  if (event.ledger == 0) return kLedgerMustNotBeZero;
  if (event.code == 0) return kCodeMustNotBeZero;
  return kCreated;
}

TransferStatus check_second_phase_alone(const Transfer& event) {
  using enum TransferStatus;
  constexpr uint16_t kFirstPhase = transfer_flags::kPending | transfer_flags::kBalancingDebit |
                                   transfer_flags::kBalancingCredit | transfer_flags::kClosingDebit |
                                   transfer_flags::kClosingCredit;
  if ((event.flags & kSecondPhase) == kSecondPhase || has(event.flags, kFirstPhase)) return kFlagsAreMutuallyExclusive;
  if (event.pending_id == 0) return kPendingIdMustNotBeZero;
  if (event.pending_id == kU128Max) return kPendingIdMustNotBeIntMax;
  if (event.pending_id == event.id) return kPendingIdMustBeDifferent;
  if (event.timeout != 0) return kTimeoutReservedForPendingTransfer;
  return kCreated;
}

TransferStatus check_against_pending(const Transfer& event, const Transfer& pending, u128& amount) {
  using enum TransferStatus;
  if (!has(pending.flags, transfer_flags::kPending)) return kPendingTransferNotPending;
  if (event.debit_account_id != 0 && event.debit_account_id != pending.debit_account_id)
    return kPendingTransferHasDifferentDebitAccountId;
  if (event.credit_account_id != 0 && event.credit_account_id != pending.credit_account_id)
    return kPendingTransferHasDifferentCreditAccountId;
  if (event.ledger != 0 && event.ledger != pending.ledger) return kPendingTransferHasDifferentLedger;
  if (event.code != 0 && event.code != pending.code) return kPendingTransferHasDifferentCode;
  const bool voids = has(event.flags, transfer_flags::kVoidPending);
  const u128 everything = voids ? 0 : kU128Max;
  amount = event.amount == everything ? pending.amount : event.amount;
  if (amount > pending.amount) return kExceedsPendingTransferAmount;
  if (voids && amount < pending.amount) return kPendingTransferHasDifferentAmount;
  return kCreated;
}

void reserve(Account& debit, Account& credit, u128 amount) {
  debit.debits_pending += amount;
  credit.credits_pending += amount;
}

void release(Account& debit, Account& credit, u128 amount) {
  POLIS_ASSERT(debit.debits_pending >= amount && credit.credits_pending >= amount);
  debit.debits_pending -= amount;
  credit.credits_pending -= amount;
}

void post(Account& debit, Account& credit, u128 amount) {
  debit.debits_posted += amount;
  credit.credits_posted += amount;
}

void reopen(Account& debit, Account& credit, uint16_t pending_flags) {
  if (has(pending_flags, transfer_flags::kClosingDebit)) debit.flags &= static_cast<uint16_t>(~account_flags::kClosed);
  if (has(pending_flags, transfer_flags::kClosingCredit))
    credit.flags &= static_cast<uint16_t>(~account_flags::kClosed);
}

}  // namespace polis::ledger
