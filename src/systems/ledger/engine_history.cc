// Accounts and changes of the past, summed up from the logs. Sums do not depend on the order of their terms, so events
// count by their timestamps alone, also where an import has put a transfer before an expiry that was there already.
#include <algorithm>
#include <unordered_map>

#include "systems/ledger/engine_state.h"

namespace polis::ledger {
namespace {

enum class Direction : bool { kForward, kBackward };

// An account on its way through its history.
class Past {
 public:
  // As it was created.
  explicit Past(const Account& created)
      : account_(created), created_closed_(has(created.flags, account_flags::kClosed)) {}
  // As it was after a transfer.
  void start_from(const BalanceRow& row) {
    account_.debits_pending = row.debits_pending;
    account_.debits_posted = row.debits_posted;
    account_.credits_pending = row.credits_pending;
    account_.credits_posted = row.credits_posted;
    closings_ = has(static_cast<uint16_t>(row.flags), account_flags::kClosed) && !created_closed_ ? 1 : 0;
  }

  void add(const Transfer& transfer, const Transfer* pending) {
    const bool debits = transfer.debit_account_id == account_.id;
    u128& reserved = debits ? account_.debits_pending : account_.credits_pending;
    u128& posted = debits ? account_.debits_posted : account_.credits_posted;
    if (pending) {
      reserved -= pending->amount;
      if (has(transfer.flags, transfer_flags::kPostPending)) posted += transfer.amount;
      if (closes(pending->flags, debits)) --closings_;
    } else if (has(transfer.flags, transfer_flags::kPending)) {
      reserved += transfer.amount;
      if (closes(transfer.flags, debits)) ++closings_;
    } else {
      posted += transfer.amount;
    }
  }

  void add(const ExpiryRow& expiry, Direction direction) {
    const bool debits = expiry.debit_account_id == account_.id;
    const bool forward = direction == Direction::kForward;
    u128& reserved = debits ? account_.debits_pending : account_.credits_pending;
    reserved += forward ? -expiry.amount : expiry.amount;
    if (closes(static_cast<uint16_t>(expiry.flags), debits)) closings_ += forward ? -1 : 1;
  }

  Account account() const {
    Account account = account_;
    account.flags &= static_cast<uint16_t>(~account_flags::kClosed);
    if (created_closed_ || closings_ > 0) account.flags |= account_flags::kClosed;
    return account;
  }

 private:
  static bool closes(uint16_t flags, bool debits) {
    return has(flags, debits ? transfer_flags::kClosingDebit : transfer_flags::kClosingCredit);
  }

  Account account_;  // but for kClosed
  bool created_closed_;
  int64_t closings_ = 0;  // pending transfers that close it
};

PendingState kind_of(const Transfer& transfer) {
  if (has(transfer.flags, transfer_flags::kPending)) return PendingState::kPending;
  if (has(transfer.flags, transfer_flags::kPostPending)) return PendingState::kPosted;
  if (has(transfer.flags, transfer_flags::kVoidPending)) return PendingState::kVoided;
  return PendingState::kNone;
}

// Walks through history for one question.
class Historian {
 public:
  explicit Historian(const Engine::State& state) : s_(state) {}

  // Everything of the account in these slots.
  void add(Past& past, Id account, uint64_t transfers_begin, uint64_t transfers_end, uint64_t expiries_begin,
           uint64_t expiries_end) const {
    const uint64_t value = field_value(account);
    const FieldValue sides[] = {{.field = transfer_field::kDebitAccount, .value = value},
                                {.field = transfer_field::kCreditAccount, .value = value}};
    s_.transfers.search(sides, {}, transfers_begin, transfers_end, false, [&](uint64_t, const std::byte* row) {
      const auto transfer = read_row<Transfer>(row);
      if (transfer.debit_account_id == account || transfer.credit_account_id == account) add(past, transfer);
      return true;
    });
    // A start that includes later expiries than are wanted gives them back.
    const bool forward = expiries_begin <= expiries_end;
    const FieldValue expiry_sides[] = {{.field = expiry_field::kDebitAccount, .value = value},
                                       {.field = expiry_field::kCreditAccount, .value = value}};
    s_.expiries.search(expiry_sides, {}, std::min(expiries_begin, expiries_end), std::max(expiries_begin, expiries_end),
                       false, [&](uint64_t, const std::byte* row) {
                         const auto expiry = read_row<ExpiryRow>(row);
                         if (expiry.debit_account_id == account || expiry.credit_account_id == account)
                           past.add(expiry, forward ? Direction::kForward : Direction::kBackward);
                         return true;
                       });
  }

  void add(Past& past, const Transfer& transfer) const {
    if (!is_second_phase(transfer)) return past.add(transfer, nullptr);
    const Transfer pending = s_.transfer_at(s_.find_transfer(transfer.pending_id));
    past.add(transfer, &pending);
  }

  // The account with the first transfers and expiries only, from the last noted balance before.
  Past before(uint64_t account_slot, uint64_t transfers, uint64_t expiries) const {
    Past past(row_at<Account>(s_.account_log, account_slot));
    const uint64_t end =
        s_.balances.lower_bound([&](const std::byte* row) { return read_row<BalanceRow>(row).transfer < transfers; });
    const FieldValue wanted[] = {{.field = balance_field::kAccount, .value = account_slot}};
    uint64_t transfers_begin = 0, expiries_begin = 0;
    s_.balances.search(wanted, 0, end, true, [&](uint64_t, const std::byte* bytes) {
      const auto row = read_row<BalanceRow>(bytes);
      if (row.account != account_slot) return true;
      past.start_from(row);
      transfers_begin = row.transfer + 1;
      expiries_begin = row.expiries;
      return false;
    });
    add(past, s_.accounts[account_slot].id, transfers_begin, transfers, expiries_begin, expiries);
    return past;
  }

 private:
  const Engine::State& s_;
};

}  // namespace

std::optional<Account> Engine::account_at(Id id, uint64_t timestamp) const {
  const State& s = *state_;
  const uint64_t slot = s.find_account(id);
  if (slot == State::kNone) return std::nullopt;
  const auto created = row_at<Account>(s.account_log, slot);
  if (created.timestamp > timestamp) return std::nullopt;
  Past past(created);
  Historian(s).add(past, id, 0, State::slots_between(s.transfers, offsetof(Transfer, timestamp), 0, timestamp).end, 0,
                   State::slots_between(s.expiries, offsetof(ExpiryRow, timestamp), 0, timestamp).end);
  return past.account();
}

std::vector<ChangeEvent> Engine::changes(uint64_t timestamp_min, uint64_t timestamp_max, uint32_t limit) const {
  const State& s = *state_;
  const Historian historian(s);
  const auto transfers = State::slots_between(s.transfers, offsetof(Transfer, timestamp), timestamp_min, timestamp_max);
  const auto expiries = State::slots_between(s.expiries, offsetof(ExpiryRow, timestamp), timestamp_min, timestamp_max);
  std::unordered_map<uint64_t, Past> accounts;  // as they were before the next change, by slot
  const auto past_of = [&](Id id) -> Past& {
    const uint64_t slot = s.find_account(id);
    auto found = accounts.find(slot);
    if (found == accounts.end())
      found = accounts.emplace(slot, historian.before(slot, transfers.begin, expiries.begin)).first;
    return found->second;
  };

  std::vector<ChangeEvent> changes;
  uint64_t transfer = transfers.begin, expiry = expiries.begin;
  while (changes.size() < limit && (transfer < transfers.end || expiry < expiries.end)) {
    ChangeEvent& change = changes.emplace_back();
    std::optional<ExpiryRow> expired;
    if (expiry < expiries.end) expired = row_at<ExpiryRow>(s.expiries, expiry);
    if (transfer < transfers.end) change.transfer = s.transfer_at(transfer);
    const bool is_transfer = transfer < transfers.end && (!expired || change.transfer.timestamp <= expired->timestamp);
    if (is_transfer) {
      change.kind = kind_of(change.transfer);
      change.timestamp = change.transfer.timestamp;
      ++transfer;
    } else {
      change.transfer = s.transfer_at(expired->transfer);
      change.kind = PendingState::kExpired;
      change.timestamp = expired->timestamp;
      ++expiry;
    }
    const auto account_after = [&](Id id) {
      Past& past = past_of(id);
      if (is_transfer) {
        historian.add(past, change.transfer);
      } else {
        past.add(*expired, Direction::kForward);
      }
      return past.account();
    };
    change.debit_account = account_after(change.transfer.debit_account_id);
    change.credit_account = account_after(change.transfer.credit_account_id);
  }
  return changes;
}

}  // namespace polis::ledger
