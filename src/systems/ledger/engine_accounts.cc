// Creating accounts.
#include "systems/ledger/engine_state.h"

namespace polis::ledger {

AccountStatus Engine::State::create_account(size_t i, uint64_t timestamp_event, uint64_t& timestamp) {
  using enum AccountStatus;
  Account& event = this->event<Account>(i);
  if (event.reserved != 0) return kReservedField;
  if ((event.flags & ~account_flags::kAll) != 0) return kReservedFlag;
  if (event.id == 0) return kIdMustNotBeZero;
  if (event.id == kU128Max) return kIdMustNotBeIntMax;

  const uint64_t hash = account_ids.hash(event.id);
  if (const uint64_t slot = find_account(event.id, hash); slot != kNone) {
    const Account& existing = accounts[slot];
    const AccountStatus status = compare_existing(event, existing);
    if (status == kExists) timestamp = existing.timestamp;
    return status;
  }

  constexpr uint16_t kBothLimits =
      account_flags::kDebitsMustNotExceedCredits | account_flags::kCreditsMustNotExceedDebits;
  if ((event.flags & kBothLimits) == kBothLimits) return kFlagsAreMutuallyExclusive;
  if (event.debits_pending != 0) return kDebitsPendingMustBeZero;
  if (event.debits_posted != 0) return kDebitsPostedMustBeZero;
  if (event.credits_pending != 0) return kCreditsPendingMustBeZero;
  if (event.credits_posted != 0) return kCreditsPostedMustBeZero;
  if (event.ledger == 0) return kLedgerMustNotBeZero;
  if (event.code == 0) return kCodeMustNotBeZero;

  if (has(event.flags, account_flags::kImported)) {
    // Accounts stand in the order of their timestamps, which no transfer shares.
    if (accounts.size() > 0 && event.timestamp <= accounts[accounts.size() - 1].timestamp)
      return kImportedEventTimestampMustNotRegress;
    const Slots same = slots_between(transfers, offsetof(Transfer, timestamp), event.timestamp, event.timestamp);
    if (same.begin != same.end) return kImportedEventTimestampMustNotRegress;
    timestamp = event.timestamp;
  }

  event.timestamp = timestamp;
  POLIS_ASSERT(timestamp <= timestamp_event);
  const uint64_t slot = accounts.append(event);
  append_row(account_log, event);
  account_ids.insert(hash, slot);
  if (ledger_slots.try_emplace(event.ledger, ledgers.size()).second) ledgers.append({.ledger = event.ledger});
  return kCreated;
}

}  // namespace polis::ledger
