#include "systems/ledger/faces/past_account.h"

namespace polis::ledger {
namespace {

// What a slice of an account's transfers did to it. Sums wrap: a release may lie in an earlier slice than its
// reservation only in the order of imports, and the end is what counts.
struct Sums {
  u128 debits_pending = 0, debits_posted = 0, credits_pending = 0, credits_posted = 0;
  uint64_t transfers = 0;
  uint64_t last = 0;  // timestamp
  // An expiry leaves no transfer, and a closing changes the flags: both are the engine's to judge.
  bool needs_engine = false;
};

void add(Sums& sums, const Engine& engine, const Transfer& transfer, Id account) {
  using namespace transfer_flags;
  const bool debits = transfer.debit_account_id == account;
  u128& reserved = debits ? sums.debits_pending : sums.credits_pending;
  u128& posted = debits ? sums.debits_posted : sums.credits_posted;
  ++sums.transfers;
  sums.last = transfer.timestamp;
  if (transfer.flags & (kClosingDebit | kClosingCredit)) sums.needs_engine = true;
  if (transfer.flags & (kPostPending | kVoidPending)) {
    if (auto pending = engine.transfer(transfer.pending_id)) reserved -= pending->amount;
    if (transfer.flags & kPostPending) posted += transfer.amount;
  } else if (transfer.flags & kPending) {
    reserved += transfer.amount;
    if (engine.pending_state(transfer.id) == PendingState::kExpired) sums.needs_engine = true;
  } else {
    posted += transfer.amount;
  }
}

}  // namespace

Task<Result<PastAccount>> past_account(Ledger& ledger, Account account, uint64_t timestamp,
                                       PastAccountOptions options) {
  const Id id = account.id;
  TransferQuery query;
  query.account = id;
  query.timestamp_max = timestamp;
  query.limit = options.slice;
  Sums sums;
  for (bool more = true; more;) {
    const uint64_t before = sums.transfers;
    CO_TRY(co_await ledger.query([&](const Engine& engine) {
      for (const Transfer& transfer : engine.transfers(query)) add(sums, engine, transfer, id);
      return true;
    }));
    more = sums.transfers - before == options.slice && sums.last < timestamp;
    if (sums.transfers > options.transfers_max) co_return PastAccount{.account = account, .known = false};
    query.timestamp_min = sums.last + 1;
  }
  if (sums.transfers <= options.slice || sums.needs_engine) {
    auto then = CO_TRY(co_await ledger.query([&](const Engine& engine) { return engine.account_at(id, timestamp); }));
    if (!then) co_return fail(Code::kNotFound, "the account " + to_decimal(id) + " did not exist then");
    co_return PastAccount{.account = *then};
  }
  account.debits_pending = sums.debits_pending;
  account.debits_posted = sums.debits_posted;
  account.credits_pending = sums.credits_pending;
  account.credits_posted = sums.credits_posted;
  co_return PastAccount{.account = account};
}

}  // namespace polis::ledger
