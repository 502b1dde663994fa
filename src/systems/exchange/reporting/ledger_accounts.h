// The venue's places in the ledger's books, and the names of what it books there. Ids are made of what they are for, so
// whatever is booked twice after a crash is booked once. Pure.
//
// Per asset (a ledger of its own there): one account for each account of the venue, a clearing account against which
// the trades of a day are booked as one net amount each, and an issuer account, from which operators fund without a
// wallet. None has a limit: between two settlements the venue's balances are the truth, and the ledger's follow.
#pragma once

#include <optional>

#include "systems/exchange/messages.h"
#include "systems/ledger/types.h"

namespace polis::exchange {

// Kinds of ledger accounts and transfers, in Account::code and Transfer::code.
inline constexpr uint16_t kLedgerCodeMember = 7900;    // account of (account, asset); transfers of deposits by fund()
inline constexpr uint16_t kLedgerCodeClearing = 7901;  // clearing account; transfers of settlements
inline constexpr uint16_t kLedgerCodeIssuer = 7902;
inline constexpr uint16_t kLedgerCodeWithdrawal = 7903;  // transfers to wallets

ledger::Id member_account_id(AccountId account, AssetId asset);
ledger::Id clearing_account_id(AssetId asset);
ledger::Id issuer_account_id(AssetId asset);
// Whose place it is; nothing for any other account.
struct Member {
  AccountId account = 0;
  AssetId asset = 0;
  friend bool operator==(const Member&, const Member&) = default;
};
std::optional<Member> member_of(ledger::Id ledger_account);

// The ledger burns the name of what it refused for a reason that may pass; the next attempt has the next name.
inline constexpr uint32_t kSettlementAttemptsMax = 100;
ledger::Id withdrawal_transfer_id(Sequence sequence, uint32_t attempt);
ledger::Id settlement_transfer_id(uint32_t day, uint32_t attempt, AccountId account, AssetId asset);

constexpr uint64_t low_half(ledger::Id id) {
  return static_cast<uint64_t>(id);
}
constexpr uint64_t high_half(ledger::Id id) {
  return static_cast<uint64_t>(id >> 64);
}
constexpr ledger::Id id_of(uint64_t high, uint64_t low) {
  return static_cast<ledger::Id>(high) << 64 | low;
}

// An account or a transfer of the ledger, as it is handed about; zeros: none.
struct LedgerName {
  uint64_t high = 0, low = 0;
  LedgerName() = default;
  explicit LedgerName(ledger::Id id) : high(high_half(id)), low(low_half(id)) {}
  ledger::Id id() const { return id_of(high, low); }
  bool empty() const { return high == 0 && low == 0; }
};

}  // namespace polis::exchange
