#include "systems/ledger/simulation/book_check.h"

#include <fmt/format.h>

namespace polis::ledger {
namespace {

// More than a simulation makes.
constexpr uint32_t kAll = 1'000'000;

struct Sums {
  u128 debits_pending = 0, debits_posted = 0, credits_pending = 0, credits_posted = 0;
};

bool same(const Sums& sums, const Account& account) {
  return sums.debits_pending == account.debits_pending && sums.debits_posted == account.debits_posted &&
         sums.credits_pending == account.credits_pending && sums.credits_posted == account.credits_posted;
}

std::string text(const Sums& sums) {
  return fmt::format("debits {} pending {} posted, credits {} pending {} posted", to_decimal(sums.debits_pending),
                     to_decimal(sums.debits_posted), to_decimal(sums.credits_pending), to_decimal(sums.credits_posted));
}

std::string text(const Account& account) {
  return text(Sums{account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted});
}

// A linked event fails with its chain, so a repetition of one that was created may be answered with its neighbour's
// fate.
bool says_nothing(const Transfer& event, const CreateResult& result) {
  const auto status = static_cast<TransferStatus>(result.status);
  return (event.flags & transfer_flags::kLinked) != 0 || status == TransferStatus::kLinkedEventFailed;
}

}  // namespace

void Witnesses::sent(const Transfer& event) {
  transfers_.try_emplace(event.id, Known{.event = event});
}

void Witnesses::lost(Id id) {
  transfers_.at(id).lost = true;
}

std::string Witnesses::answered(Id id, const CreateResult& result) {
  Known& known = transfers_.at(id);
  const auto status = static_cast<TransferStatus>(result.status);
  if (result.created()) {
    if (known.created != 0)
      return fmt::format("transfer {} was created at {} and again at {}", to_decimal(id), known.created,
                         result.timestamp);
    known.created = result.timestamp;
    ++created_;
  } else if (status == TransferStatus::kExists) {
    if (known.created == 0 && !known.lost)
      return fmt::format("transfer {} exists, but nobody was told that it was created", to_decimal(id));
    if (known.created != 0 && known.created != result.timestamp)
      return fmt::format("transfer {} was created at {}, now it exists from {}", to_decimal(id), known.created,
                         result.timestamp);
    if (known.created == 0) ++created_;
    known.created = result.timestamp;
  } else {
    if (known.created != 0 && !says_nothing(known.event, result))
      return fmt::format("transfer {} was created at {}, now it is refused: {}", to_decimal(id), known.created,
                         status_name(status));
    ++refused_;
  }
  known.result = result;
  return {};
}

std::string Witnesses::compare(const Engine& engine) const {
  for (const auto& [id, known] : transfers_) {
    const auto found = engine.transfer(id);
    if (known.created != 0) {
      if (!found) return fmt::format("transfer {}, acknowledged at {}, is gone", to_decimal(id), known.created);
      if (found->timestamp != known.created)
        return fmt::format("transfer {} has timestamp {}, acknowledged was {}", to_decimal(id), found->timestamp,
                           known.created);
    } else if (found && known.result && !known.lost) {
      return fmt::format("transfer {} is there, but was refused: {}", to_decimal(id),
                         status_name(static_cast<TransferStatus>(known.result->status)));
    }
    if (!found) continue;
    const Transfer& sent = known.event;
    if (found->user_data_64 != sent.user_data_64 || found->pending_id != sent.pending_id ||
        found->flags != sent.flags ||
        (sent.pending_id == 0 && (found->debit_account_id != sent.debit_account_id ||
                                  found->credit_account_id != sent.credit_account_id || found->amount > sent.amount)))
      return fmt::format("transfer {} is not the one that was sent", to_decimal(id));
  }
  return {};
}

std::string check_sums(const Engine& engine) {
  std::map<Id, Sums> sums;
  std::map<Id, Transfer> pending;  // not resolved yet
  uint64_t last = 0;
  const auto transfers = engine.transfers({.limit = kAll});
  if (transfers.size() != engine.counts().transfers)
    return fmt::format("{} transfers are counted, {} are found", engine.counts().transfers, transfers.size());
  std::map<Id, uint64_t> seen;
  for (const Transfer& transfer : transfers) {
    if (transfer.timestamp <= last)
      return fmt::format("transfer {} has timestamp {}, the one before has {}", to_decimal(transfer.id),
                         transfer.timestamp, last);
    last = transfer.timestamp;
    if (!seen.emplace(transfer.id, transfer.timestamp).second)
      return fmt::format("transfer {} is there twice", to_decimal(transfer.id));
    Sums& debit = sums[transfer.debit_account_id];
    Sums& credit = sums[transfer.credit_account_id];
    if (transfer.flags & transfer_flags::kPending) {
      debit.debits_pending += transfer.amount;
      credit.credits_pending += transfer.amount;
      pending.emplace(transfer.id, transfer);
      continue;
    }
    if (transfer.pending_id != 0) {
      const auto reserved = pending.find(transfer.pending_id);
      if (reserved == pending.end())
        return fmt::format("transfer {} resolves {}, which is not open", to_decimal(transfer.id),
                           to_decimal(transfer.pending_id));
      debit.debits_pending -= reserved->second.amount;
      credit.credits_pending -= reserved->second.amount;
      pending.erase(reserved);
    }
    if (transfer.flags & transfer_flags::kVoidPending) continue;
    debit.debits_posted += transfer.amount;
    credit.credits_posted += transfer.amount;
  }
  for (const auto& [id, transfer] : pending) {
    const PendingState state = engine.pending_state(id);
    if (state == PendingState::kPending) continue;
    if (state != PendingState::kExpired)
      return fmt::format("pending transfer {} is resolved, and nothing resolved it", to_decimal(id));
    sums[transfer.debit_account_id].debits_pending -= transfer.amount;
    sums[transfer.credit_account_id].credits_pending -= transfer.amount;
  }
  for (const Account& account : engine.accounts({.limit = kAll})) {
    const Sums& expected = sums[account.id];
    if (!same(expected, account))
      return fmt::format("account {} has {}; its transfers give {}", to_decimal(account.id), text(account),
                         text(expected));
    const auto then = engine.account_at(account.id, kTimestampMax);
    if (!then || !same(expected, *then))
      return fmt::format("account {} has {}; its history says {}", to_decimal(account.id), text(account),
                         then ? text(*then) : "that there is none");
    sums.erase(account.id);
  }
  for (const auto& [id, unknown] : sums)
    return fmt::format("transfers name account {}, which does not exist: {}", to_decimal(id), text(unknown));
  for (const Engine::Totals& totals : engine.trial_balance())
    if (totals.debits_pending != totals.credits_pending || totals.debits_posted != totals.credits_posted)
      return fmt::format("ledger {} is out of balance", totals.ledger);
  return {};
}

}  // namespace polis::ledger
