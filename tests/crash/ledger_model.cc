#include "ledger_model.h"

#include <fmt/format.h>

namespace polis::ledger {
namespace {

constexpr size_t kRememberedMax = 2'000;
constexpr uint32_t kTimeoutSeconds = 1;

std::string text(Id id) {
  return to_decimal(id);
}

}  // namespace

std::vector<Account> Model::accounts() const {
  std::vector<Account> accounts;
  for (uint64_t i = 0; i < kPlain + kTiming; ++i) {
    Account account;
    account.id = account_id(i);
    account.ledger = kLedger;
    account.code = static_cast<uint16_t>(1 + i % 3);
    if (i % 5 == 0) account.flags |= account_flags::kHistory;
    if (i % 7 == 1) account.flags |= account_flags::kDebitsMustNotExceedCredits;
    if (i % 11 == 2) account.flags |= account_flags::kCreditsMustNotExceedDebits;
    if (i >= kPlain) account.flags = account_flags::kHistory;
    accounts.push_back(account);
  }
  return accounts;
}

std::string Model::apply(const Batch& batch) {
  for (const Sent& sent : batch) {
    const Transfer& transfer = sent.transfer;
    if (!sent.result->created()) continue;
    if (sent.repeat) return fmt::format("transfer {} was booked a second time", text(transfer.id));
    ++booked_;
    Sums& debit = sums_[transfer.debit_account_id];
    Sums& credit = sums_[transfer.credit_account_id];
    if (transfer.flags & transfer_flags::kPending) {
      if (transfer.timeout) {
        expiring_[sent.result->timestamp + transfer.timeout * kNanosecondsPerSecond] += transfer.amount;
        continue;
      }
      debit.debits_pending += transfer.amount;
      credit.credits_pending += transfer.amount;
      pending_[transfer.id] = transfer;
      continue;
    }
    if (transfer.pending_id != 0) {
      auto reserved = pending_.find(transfer.pending_id);
      if (reserved == pending_.end())
        return fmt::format("transfer {} ended the reservation {}, which was not open", text(transfer.id),
                           text(transfer.pending_id));
      debit.debits_pending -= reserved->second.amount;
      credit.credits_pending -= reserved->second.amount;
      pending_.erase(reserved);
    }
    if (transfer.flags & transfer_flags::kVoidPending) continue;
    debit.debits_posted += transfer.amount;
    credit.credits_posted += transfer.amount;
  }
  return {};
}

std::string Model::compare(std::span<const Account> found, uint64_t now, uint64_t slack_ns) const {
  if (found.size() != kPlain + kTiming) return fmt::format("{} accounts are there", found.size());
  u128 debits = 0, credits = 0;
  for (uint64_t i = 0; i < found.size(); ++i) {
    const Account& account = found[i];
    debits += account.debits_posted;
    credits += account.credits_posted;
    if (i >= kPlain) {
      // What is not due must be reserved; what was due a while ago must not be.
      u128 least = 0, most = 0;
      for (const auto& [due, amount] : expiring_) {
        if (due > now) least += amount;
        if (due + slack_ns > now) most += amount;
      }
      const u128 reserved = i == kPlain ? account.debits_pending : account.credits_pending;
      if (reserved < least || reserved > most)
        return fmt::format("account {} has {} reserved; {} to {} can be", text(account.id), to_decimal(reserved),
                           to_decimal(least), to_decimal(most));
      continue;
    }
    auto at = sums_.find(account.id);
    const Sums expected = at == sums_.end() ? Sums{} : at->second;
    auto differs = [&](const char* what, u128 is, u128 should) {
      return fmt::format("account {}: {} is {}, the transfers say {}", text(account.id), what, to_decimal(is),
                         to_decimal(should));
    };
    if (account.debits_pending != expected.debits_pending)
      return differs("debits_pending", account.debits_pending, expected.debits_pending);
    if (account.debits_posted != expected.debits_posted)
      return differs("debits_posted", account.debits_posted, expected.debits_posted);
    if (account.credits_pending != expected.credits_pending)
      return differs("credits_pending", account.credits_pending, expected.credits_pending);
    if (account.credits_posted != expected.credits_posted)
      return differs("credits_posted", account.credits_posted, expected.credits_posted);
  }
  if (debits != credits) return fmt::format("debits {} but credits {}", to_decimal(debits), to_decimal(credits));
  return {};
}

const Transfer* Model::open_pending(std::mt19937_64& random) const {
  if (pending_.empty()) return nullptr;
  auto at = pending_.lower_bound(Id{random() % 64} << 64 | random());
  return at == pending_.end() ? &pending_.begin()->second : &at->second;
}

// --- writers

Transfer Writer::plain() {
  Transfer transfer;
  // The writer in the upper half, numbers of its own in the lower, scattered.
  transfer.id = Id{number_ + 1} << 64 | ((++transfer_) * 0x9E37'79B9'7F4A'7C15);
  uint64_t debit = below(Model::kPlain), credit = below(Model::kPlain - 1);
  if (credit >= debit) ++credit;
  transfer.debit_account_id = Model::account_id(debit);
  transfer.credit_account_id = Model::account_id(credit);
  transfer.amount = below(1'000);
  transfer.user_data_128 = number_ + 1;
  transfer.user_data_64 = (number_ + 1) << 40 | batch_;
  transfer.user_data_32 = static_cast<uint32_t>(1 + below(9));
  transfer.ledger = Model::kLedger;
  transfer.code = static_cast<uint16_t>(1 + below(3));
  return transfer;
}

void Writer::add_chain(Batch& batch) {
  const size_t length = 2 + below(3);
  const size_t broken = below(3) == 0 ? below(length) : length;
  for (size_t i = 0; i < length; ++i) {
    Transfer transfer = plain();
    if (i + 1 < length) transfer.flags |= transfer_flags::kLinked;
    if (i == broken) transfer.credit_account_id = Model::account_id(1'000'000);  // not there
    batch.push_back({.transfer = transfer, .result = {}, .repeat = false, .in_chain = true});
  }
}

Sent Writer::one(const Model& model) {
  Transfer transfer = plain();
  const uint64_t kind = below(100);
  if (kind < 74) return {.transfer = transfer, .result = {}};
  if (kind < 84) {
    transfer.flags = transfer_flags::kPending;
  } else if (kind < 92) {
    // Several writers may reach for the same reservation: one of them gets it.
    const Transfer* reserved = model.open_pending(random_);
    if (!reserved) return {.transfer = transfer, .result = {}};
    const bool post = kind < 89;
    transfer.flags = post ? transfer_flags::kPostPending : transfer_flags::kVoidPending;
    transfer.pending_id = reserved->id;
    transfer.debit_account_id = reserved->debit_account_id;
    transfer.credit_account_id = reserved->credit_account_id;
    transfer.amount =
        post && reserved->amount > 0 ? 1 + below(static_cast<uint64_t>(reserved->amount)) : reserved->amount;
    transfer.code = reserved->code;
  } else if (kind < 94) {
    transfer.flags = transfer_flags::kPending;
    transfer.timeout = kTimeoutSeconds;
    transfer.debit_account_id = Model::account_id(Model::kPlain);
    transfer.credit_account_id = Model::account_id(Model::kPlain + 1);
  } else if (kind < 96) {
    transfer.debit_account_id = Model::account_id(1'000'000);
  } else if (kind < 97) {
    transfer.code = 0;
  } else if (!remembered_.empty()) {
    return {.transfer = remembered_[below(remembered_.size())].transfer, .result = {}, .repeat = true};
  }
  return {.transfer = transfer, .result = {}};
}

Batch Writer::next_batch(const Model& model) {
  static constexpr size_t kSizes[] = {1, 1, 10, 100, 100, 1'000, 1'000, 4'000, 8'189};
  const size_t size = kSizes[below(std::size(kSizes))];
  ++batch_;
  Batch batch;
  while (batch.size() < size) {
    if (batch.size() + 5 < size && below(50) == 0) {
      add_chain(batch);
    } else {
      batch.push_back(one(model));
    }
  }
  return batch;
}

void Writer::remember(const Batch& batch) {
  for (const Sent& sent : batch) {
    if (!sent.result->created() || sent.in_chain || sent.repeat || below(50) != 0) continue;
    if (remembered_.size() < kRememberedMax) {
      remembered_.push_back(sent);
    } else {
      remembered_[below(kRememberedMax)] = sent;
    }
  }
}

}  // namespace polis::ledger
