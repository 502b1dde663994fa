// Funding: money between wallets of the ledger and balances of the venue. Each side is exactly once over crashes,
// because each step can be done again: ids in the ledger are made of what they are for, and the venue knows the newest
// transfer that it took.
//
//     in    wallet ─ transfer in the ledger ─► member account      somebody posts it: fund(), or the wallet's owner
//                    └─ seen here, in the ledger's order ─► kDeposit ─► balance
//     out   kWithdraw: the balance falls ─► on disk ─► the reporter's row ─► transfer member account ─► wallet
//
// The ledger's accounts of the venue are made here too, soon after an account or an asset was defined.
//
// Lives on the shard that opens it, the runtime's home; fund(), withdraw() and the questions are for any shard.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/exchange/reporting/ledger_accounts.h"
#include "systems/exchange/reporting/reporter.h"
#include "systems/exchange/reporting/reports.h"
#include "systems/exchange/runtime/runtime.h"
#include "systems/ledger/ledger.h"

namespace polis::exchange {

// All of it outlives the Funding.
struct FundingParts {
  ledger::Ledger& ledger;
  VenueRuntime& runtime;
  store::Store& store;
  store::Keyspace rows;  // the exchange's
  Reports& reports;
  Random& random;  // thread-safe
};

struct FundingOptions {
  // The number, in the ledger, of an asset for which set_ledger() has said nothing, is this plus its id.
  uint32_t ledger_first = 9000;
};

struct FundingStatistics {
  uint64_t deposits = 0, payouts = 0, unpaid = 0;
  uint64_t ledger_time = 0;  // transfers up to here were looked at
  std::string problem;       // what an operator must look at; empty: nothing
};

class Funding {
 public:
  static Task<Result<std::unique_ptr<Funding>>> open(FundingParts parts, FundingOptions options = {});
  ~Funding();
  // Before the runtime and the ledger close.
  Task<void> stop();

  // A withdrawal has come to the rows. Any thread.
  void look_at_rows() { wake(); }

  // Posts a transfer from a wallet (an account of the asset's ledger; zeros: the asset's issuer account) and waits for
  // the venue to take it. `transfer` names it, zeros: a fresh name; the same name again changes nothing. Errors: the
  // ledger's (kInvalid: a wallet that does not exist, has too little, ...), kNotFound for accounts and assets.
  Task<Result<void>> fund(AccountId account, AssetId asset, Amount amount, LedgerName from = {},
                          LedgerName transfer = {});
  // Answers when the balance has fallen; the wallet has the money some 100 ms later. kInvalid with the venue's words if
  // it refuses; kNotFound for a wallet that the asset's ledger does not have.
  Task<Result<Report>> withdraw(AccountId account, AssetId asset, Amount amount, LedgerName to);

  // The asset's number in the ledger.
  Task<Result<uint32_t>> ledger_of(AssetId asset);
  // kExists once accounts were made under another number.
  Task<Result<void>> set_ledger(AssetId asset, uint32_t ledger);
  // What the ledger has for the member: its balance as of the last settlement, deposits and withdrawals since then
  // included. Before the accounts are made: 0.
  Task<Result<__int128>> ledger_balance(AccountId account, AssetId asset);

  // Makes sure of the ledger's accounts of the asset for members 1 .. `last`, and of the asset's own.
  Task<Result<void>> make_accounts(AssetId asset, AccountId last);

  FundingStatistics statistics() const;

 private:
  struct Venues;  // what the venue has defined
  Funding(FundingParts parts, FundingOptions options);

  void wake();
  Task<void> run();
  Task<Result<void>> make_accounts();
  Task<Result<void>> make_accounts_from(AssetId asset, AccountId first, AccountId last);
  Task<Result<void>> make_accounts_of(AssetId asset, AccountId first, AccountId last);
  Task<Result<void>> take_deposits();
  Task<Result<bool>> take_deposit(const ledger::Transfer& transfer);
  Task<Result<void>> pay_out();
  Task<Result<void>> pay(WithdrawalRecord record);
  Task<Result<void>> wait_taken(uint64_t timestamp);
  void tell_problem(std::string problem);

  const FundingParts parts_;
  const FundingOptions options_;
  io::Shard& home_;
  io::TaskGroup group_;
  io::Event woken_, looked_;
  std::atomic<bool> posted_{false};
  bool stopping_ = false;
  uint64_t watch_ = 0;

  // Home shard.
  uint64_t examined_ = 0;  // transfers up to this timestamp were looked at
  AccountId accounts_made_ = 0;
  AssetId assets_made_ = 0;
  std::deque<std::pair<ledger::Id, Refusal>> refused_;  // the newest deposits that the venue did not take

  mutable std::mutex mutex_;
  FundingStatistics statistics_;
};

// What the ledger says of a create event that did not work out, in its own words.
Error ledger_refusal(ledger::TransferStatus status, std::string what);

}  // namespace polis::exchange
