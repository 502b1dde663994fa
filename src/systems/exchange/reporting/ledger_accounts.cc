#include "systems/exchange/reporting/ledger_accounts.h"

namespace polis::exchange {
namespace {

// id := "PXV" kind:8 day and attempt:32 account:32 asset:32, from the highest bits down.
constexpr uint64_t kPrefix = 0x505856;
enum class LedgerIdKind : uint8_t { kMember = 1, kClearing, kIssuer, kWithdrawal, kSettlement };

ledger::Id make(LedgerIdKind kind, uint32_t day_and_attempt, uint32_t account, uint32_t asset) {
  return id_of(kPrefix << 40 | static_cast<uint64_t>(kind) << 32 | day_and_attempt,
               static_cast<uint64_t>(account) << 32 | asset);
}

}  // namespace

ledger::Id member_account_id(AccountId account, AssetId asset) {
  return make(LedgerIdKind::kMember, 0, account, asset);
}
ledger::Id clearing_account_id(AssetId asset) {
  return make(LedgerIdKind::kClearing, 0, 0, asset);
}
ledger::Id issuer_account_id(AssetId asset) {
  return make(LedgerIdKind::kIssuer, 0, 0, asset);
}

std::optional<Member> member_of(ledger::Id ledger_account) {
  const Member member{.account = static_cast<AccountId>(low_half(ledger_account) >> 32),
                      .asset = static_cast<AssetId>(low_half(ledger_account))};
  if (member_account_id(member.account, member.asset) != ledger_account) return std::nullopt;
  return member;
}

ledger::Id withdrawal_transfer_id(Sequence sequence, uint32_t attempt) {
  return make(LedgerIdKind::kWithdrawal, attempt, static_cast<uint32_t>(sequence >> 32),
              static_cast<uint32_t>(sequence));
}
ledger::Id settlement_transfer_id(uint32_t day, uint32_t attempt, AccountId account, AssetId asset) {
  // A date takes 25 bits.
  return make(LedgerIdKind::kSettlement, attempt << 25 | day, account, asset);
}

}  // namespace polis::exchange
