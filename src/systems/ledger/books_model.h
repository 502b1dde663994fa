// Double-entry books, obviously: maps, whole copies for undo, and the rules as one list of questions after the other.
// Shares no code with the engine but the nouns; tests compare the two under random commands.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "systems/ledger/engine.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

class BooksModel {
 public:
  // A change of two accounts, with what they were right after it.
  struct Change {
    Transfer transfer;
    PendingState kind = PendingState::kNone;
    uint64_t timestamp = 0;
    Account debit, credit;
  };

  std::map<Id, Account> accounts;
  std::map<Id, Transfer> transfers;
  std::map<Id, PendingState> pending;
  std::set<Id> burned;
  std::vector<Account> accounts_created;  // in order
  std::vector<Change> changes;            // in order of execution
  uint64_t timestamp_last = 0;
  uint64_t ops = 0;
  uint64_t refused = 0;

  std::vector<CreateResult> apply(const Command& command) {
    std::vector<CreateResult> results;
    ++ops;
    if (command.operation == Operation::kExpire) expire(command.timestamp);
    const size_t count = command.events.size() / 128;
    std::vector<size_t> batches;
    for (size_t i = 0; i < command.batches.size(); ++i)
      batches.push_back(record_at<uint16_t>(std::as_bytes(command.batches), i));
    if (batches.empty()) batches.push_back(count);
    size_t first = 0;
    for (const size_t size : batches) {
      const uint64_t timestamp = command.timestamp - count + first + size;
      const BytesView events = command.events.subspan(first * 128, size * 128);
      if (command.operation == Operation::kCreateAccounts) create<Account>(events, timestamp, results);
      if (command.operation == Operation::kCreateTransfers) create<Transfer>(events, timestamp, results);
      first += size;
    }
    for (const CreateResult& result : results) refused += !result.created();
    timestamp_last = command.timestamp;
    return results;
  }

  std::optional<uint64_t> next_expiry() const {
    std::optional<uint64_t> next;
    for (const auto& [id, state] : pending)
      if (const Transfer& t = transfers.at(id); state == PendingState::kPending && t.timeout != 0)
        next = std::min(next.value_or(UINT64_MAX), expires_at(t));
    return next;
  }

  // Everything up to a moment, from the changes.
  std::optional<Account> account_at(Id id, uint64_t timestamp) const {
    std::optional<Account> account;
    bool created_closed = false;
    int closings = 0;
    for (const Account& created : accounts_created)
      if (created.id == id && created.timestamp <= timestamp) {
        account = created;
        created_closed = created.flags & account_flags::kClosed;
      }
    if (!account) return account;
    for (const Change& change : changes) {
      const Transfer& t = change.transfer;
      const bool debits = t.debit_account_id == id;
      if (change.timestamp > timestamp || (!debits && t.credit_account_id != id)) continue;
      u128& reserved = debits ? account->debits_pending : account->credits_pending;
      u128& posted = debits ? account->debits_posted : account->credits_posted;
      const uint16_t closing = debits ? transfer_flags::kClosingDebit : transfer_flags::kClosingCredit;
      switch (change.kind) {
        case PendingState::kNone:
          posted += t.amount;
          break;
        case PendingState::kPending:
          reserved += t.amount;
          closings += (t.flags & closing) != 0;
          break;
        case PendingState::kPosted:
          reserved -= transfers.at(t.pending_id).amount;
          posted += t.amount;
          break;
        case PendingState::kVoided:
          reserved -= transfers.at(t.pending_id).amount;
          closings -= (transfers.at(t.pending_id).flags & closing) != 0;
          break;
        case PendingState::kExpired:
          reserved -= t.amount;
          closings -= (t.flags & closing) != 0;
          break;
      }
    }
    account->flags &= static_cast<uint16_t>(~account_flags::kClosed);
    if (created_closed || closings > 0) account->flags |= account_flags::kClosed;
    return account;
  }

 private:
  static uint64_t expires_at(const Transfer& t) { return t.timestamp + uint64_t{t.timeout} * kNanosecondsPerSecond; }

  // Everything that a linked chain may have to give back.
  struct Saved {
    std::map<Id, Account> accounts;
    std::map<Id, Transfer> transfers;
    std::map<Id, PendingState> pending;
    std::vector<Account> accounts_created;
    std::vector<Change> changes;
  };
  Saved save() const { return {accounts, transfers, pending, accounts_created, changes}; }
  void restore(const Saved& saved) {
    accounts = saved.accounts;
    transfers = saved.transfers;
    pending = saved.pending;
    accounts_created = saved.accounts_created;
    changes = saved.changes;
  }

  static bool transient(const Transfer&, uint32_t status) {
    return std::set<uint32_t>{21, 22, 25, 54, 55, 65, 66}.contains(status);
  }
  static bool transient(const Account&, uint32_t) { return false; }

  template <class Event>
  void create(BytesView events, uint64_t timestamp, std::vector<CreateResult>& results) {
    constexpr bool kAccounts = std::is_same_v<Event, Account>;
    const size_t count = events.size() / 128;
    const size_t base = results.size();
    size_t i = 0;
    while (i < count) {
      // The events [i, end) stand or fall together.
      size_t end = i;
      while (end < count && (record_at<Event>(events, end).flags & 1) != 0) ++end;
      const bool open = end == count;
      if (!open) ++end;
      const Saved saved = save();
      std::optional<size_t> breaker;
      for (size_t e = i; e < end; ++e) {
        const auto event = record_at<Event>(events, e);
        const uint64_t own = timestamp - count + e + 1;
        CreateResult result{.timestamp = own};
        const auto batch_imports = (record_at<Event>(events, 0).flags &
                                    (kAccounts ? account_flags::kImported : transfer_flags::kImported)) != 0;
        if (open && e == end - 1) {
          result.status = 2;
        } else if (breaker) {
          result.status = 1;
        } else {
          result.status = time_status(event, batch_imports, own, timestamp);
          if (result.status == 0) result = attempt(event, own);
        }
        if (!result.created() && !breaker) {
          breaker = e;
          restore(saved);
          for (size_t member = i; member < e; ++member) results[base + member].status = 1;
        }
        if (transient(event, result.status)) burned.insert(event.id);
        results.push_back(result);
      }
      i = end;
    }
  }

  // 0: nothing to say.
  template <class Event>
  static uint32_t time_status(const Event& event, bool batch_imports, uint64_t own, uint64_t batch_timestamp) {
    constexpr bool kAccounts = std::is_same_v<Event, Account>;
    const bool imports = (event.flags & (kAccounts ? account_flags::kImported : transfer_flags::kImported)) != 0;
    if (batch_imports && !imports) return kAccounts ? 22 : 56;
    if (!batch_imports && imports) return kAccounts ? 23 : 57;
    if (!imports) return event.timestamp != 0 ? 3 : 0;
    if (event.timestamp == 0 || event.timestamp >> 63 != 0) return kAccounts ? 24 : 58;
    if (event.timestamp > own || event.timestamp >= batch_timestamp) return kAccounts ? 25 : 59;
    return 0;
  }

  uint64_t last_account_timestamp() const { return accounts_created.empty() ? 0 : accounts_created.back().timestamp; }
  uint64_t last_transfer_timestamp() const {
    uint64_t last = 0;
    for (const auto& [id, t] : transfers) last = std::max(last, t.timestamp);
    return last;
  }

  CreateResult attempt(const Account& a, uint64_t own) {
    const auto say = [&](uint32_t status) { return CreateResult{.timestamp = own, .status = status}; };
    if (a.reserved != 0) return say(4);
    if (a.flags > 63) return say(5);
    if (a.id == 0) return say(6);
    if (a.id == kU128Max) return say(7);
    if (const auto found = accounts.find(a.id); found != accounts.end()) {
      const Account& e = found->second;
      if (a.flags != e.flags) return say(15);
      if (a.user_data_128 != e.user_data_128) return say(16);
      if (a.user_data_64 != e.user_data_64) return say(17);
      if (a.user_data_32 != e.user_data_32) return say(18);
      if (a.ledger != e.ledger) return say(19);
      if (a.code != e.code) return say(20);
      return {.timestamp = e.timestamp, .status = 21};
    }
    if ((a.flags & 2) != 0 && (a.flags & 4) != 0) return say(8);
    if (a.debits_pending != 0) return say(9);
    if (a.debits_posted != 0) return say(10);
    if (a.credits_pending != 0) return say(11);
    if (a.credits_posted != 0) return say(12);
    if (a.ledger == 0) return say(13);
    if (a.code == 0) return say(14);
    Account created = a;
    created.timestamp = own;
    if ((a.flags & account_flags::kImported) != 0) {
      if (a.timestamp <= last_account_timestamp()) return say(26);
      for (const auto& [id, t] : transfers)
        if (t.timestamp == a.timestamp) return say(26);
      created.timestamp = a.timestamp;
    }
    accounts[a.id] = created;
    accounts_created.push_back(created);
    return {.timestamp = created.timestamp, .status = 0xFFFF'FFFF};
  }

  CreateResult attempt(const Transfer& t, uint64_t own) {
    const auto say = [&](uint32_t status) { return CreateResult{.timestamp = own, .status = status}; };
    if (t.flags > 511) return say(4);
    if (t.id == 0) return say(5);
    if (t.id == kU128Max) return say(6);
    if (transfers.contains(t.id)) {
      const Transfer& e = transfers.at(t.id);
      const uint32_t status = existing_status(t, e);
      return {.timestamp = status == 46 ? e.timestamp : own, .status = status};
    }
    if (burned.contains(t.id)) return say(68);
    if ((t.flags & (4 | 8)) != 0) return attempt_second_phase(t, own);
    const bool is_pending = (t.flags & 2) != 0;
    if (t.debit_account_id == 0) return say(8);
    if (t.debit_account_id == kU128Max) return say(9);
    if (t.credit_account_id == 0) return say(10);
    if (t.credit_account_id == kU128Max) return say(11);
    if (t.debit_account_id == t.credit_account_id) return say(12);
    if (t.pending_id != 0) return say(13);
    if (!is_pending && t.timeout != 0) return say(17);
    if (!is_pending && (t.flags & (64 | 128)) != 0) return say(64);
    if (t.ledger == 0) return say(19);
    if (t.code == 0) return say(20);
    if (!accounts.contains(t.debit_account_id)) return say(21);
    if (!accounts.contains(t.credit_account_id)) return say(22);
    Account debit = accounts.at(t.debit_account_id), credit = accounts.at(t.credit_account_id);
    if (debit.ledger != credit.ledger) return say(23);
    if (t.ledger != debit.ledger) return say(24);
    Transfer created = t;
    created.timestamp = own;
    if ((t.flags & 256) != 0) {
      if (const uint32_t status = imported_status(t); status != 0) return say(status);
      if (t.timestamp <= debit.timestamp) return say(61);
      if (t.timestamp <= credit.timestamp) return say(62);
      if (t.timeout != 0) return say(63);
      created.timestamp = t.timestamp;
    }
    if ((debit.flags & account_flags::kClosed) != 0) return say(65);
    if ((credit.flags & account_flags::kClosed) != 0) return say(66);
    const u128 debits = debit.debits_pending + debit.debits_posted;
    const u128 credits = credit.credits_pending + credit.credits_posted;
    if ((t.flags & 16) != 0)
      created.amount = std::min(created.amount, debit.credits_posted < debits ? 0 : debit.credits_posted - debits);
    if ((t.flags & 32) != 0)
      created.amount = std::min(created.amount, credit.debits_posted < credits ? 0 : credit.debits_posted - credits);
    const auto overflows = [&](u128 sum) { return static_cast<u128>(sum + created.amount) < sum; };
    if (is_pending && overflows(debit.debits_pending)) return say(47);
    if (is_pending && overflows(credit.credits_pending)) return say(48);
    if (overflows(debit.debits_posted)) return say(49);
    if (overflows(credit.credits_posted)) return say(50);
    if (overflows(debits)) return say(51);
    if (overflows(credits)) return say(52);
    if (expires_at(created) >> 63 != 0) return say(53);
    if ((debit.flags & 2) != 0 && debits + created.amount > debit.credits_posted) return say(54);
    if ((credit.flags & 4) != 0 && credits + created.amount > credit.debits_posted) return say(55);

    (is_pending ? debit.debits_pending : debit.debits_posted) += created.amount;
    (is_pending ? credit.credits_pending : credit.credits_posted) += created.amount;
    if ((t.flags & 64) != 0) debit.flags |= account_flags::kClosed;
    if ((t.flags & 128) != 0) credit.flags |= account_flags::kClosed;
    if (is_pending) pending[t.id] = PendingState::kPending;
    return book(created, debit, credit, is_pending ? PendingState::kPending : PendingState::kNone);
  }

  CreateResult attempt_second_phase(const Transfer& t, uint64_t own) {
    const auto say = [&](uint32_t status) { return CreateResult{.timestamp = own, .status = status}; };
    const bool voids = (t.flags & 8) != 0;
    if ((t.flags & 4) != 0 && voids) return say(7);
    if ((t.flags & (2 | 16 | 32 | 64 | 128)) != 0) return say(7);
    if (t.pending_id == 0) return say(14);
    if (t.pending_id == kU128Max) return say(15);
    if (t.pending_id == t.id) return say(16);
    if (t.timeout != 0) return say(17);
    if (!transfers.contains(t.pending_id)) return say(25);
    const Transfer p = transfers.at(t.pending_id);
    if (!pending.contains(p.id)) return say(26);
    if (t.debit_account_id != 0 && t.debit_account_id != p.debit_account_id) return say(27);
    if (t.credit_account_id != 0 && t.credit_account_id != p.credit_account_id) return say(28);
    if (t.ledger != 0 && t.ledger != p.ledger) return say(29);
    if (t.code != 0 && t.code != p.code) return say(30);
    Transfer created = t;
    created.timestamp = own;
    if (voids && t.amount == 0) created.amount = p.amount;
    if (!voids && t.amount == kU128Max) created.amount = p.amount;
    if (created.amount > p.amount) return say(31);
    if (voids && created.amount < p.amount) return say(32);
    if (pending.at(p.id) == PendingState::kPosted) return say(33);
    if (pending.at(p.id) == PendingState::kVoided) return say(34);
    if (pending.at(p.id) == PendingState::kExpired) return say(35);
    if (p.timeout != 0 && expires_at(p) <= own) return say(35);
    if ((t.flags & 256) != 0) {
      if (const uint32_t status = imported_status(t); status != 0) return say(status);
      created.timestamp = t.timestamp;
    }
    Account debit = accounts.at(p.debit_account_id), credit = accounts.at(p.credit_account_id);
    if (!voids && (debit.flags & account_flags::kClosed) != 0) return say(65);
    if (!voids && (credit.flags & account_flags::kClosed) != 0) return say(66);

    created.debit_account_id = p.debit_account_id;
    created.credit_account_id = p.credit_account_id;
    created.ledger = p.ledger;
    created.code = p.code;
    if (t.user_data_128 == 0) created.user_data_128 = p.user_data_128;
    if (t.user_data_64 == 0) created.user_data_64 = p.user_data_64;
    if (t.user_data_32 == 0) created.user_data_32 = p.user_data_32;
    debit.debits_pending -= p.amount;
    credit.credits_pending -= p.amount;
    if (voids) {
      unclose(p, debit, credit);
    } else {
      debit.debits_posted += created.amount;
      credit.credits_posted += created.amount;
    }
    pending[p.id] = voids ? PendingState::kVoided : PendingState::kPosted;
    return book(created, debit, credit, pending[p.id]);
  }

  static void unclose(const Transfer& p, Account& debit, Account& credit) {
    if ((p.flags & 64) != 0) debit.flags &= static_cast<uint16_t>(~account_flags::kClosed);
    if ((p.flags & 128) != 0) credit.flags &= static_cast<uint16_t>(~account_flags::kClosed);
  }

  CreateResult book(const Transfer& created, const Account& debit, const Account& credit, PendingState kind) {
    transfers[created.id] = created;
    accounts[debit.id] = debit;
    accounts[credit.id] = credit;
    changes.push_back({created, kind, created.timestamp, debit, credit});
    return {.timestamp = created.timestamp, .status = 0xFFFF'FFFF};
  }

  uint32_t imported_status(const Transfer& t) const {
    if (t.timestamp <= last_transfer_timestamp()) return 60;
    for (const Account& account : accounts_created)
      if (account.timestamp == t.timestamp) return 60;
    return 0;
  }

  uint32_t existing_status(const Transfer& t, const Transfer& e) const {
    if (t.flags != e.flags) return 36;
    if (t.pending_id != e.pending_id) return 40;
    if (t.timeout != e.timeout) return 44;
    const bool voids = (t.flags & 8) != 0;
    if (voids || (t.flags & 4) != 0) {
      const Transfer& p = transfers.at(t.pending_id);
      // What a retry leaves out is what the pending transfer had.
      Transfer full = t;
      if (full.debit_account_id == 0) full.debit_account_id = p.debit_account_id;
      if (full.credit_account_id == 0) full.credit_account_id = p.credit_account_id;
      if (full.amount == (voids ? 0 : kU128Max)) full.amount = p.amount;
      if (full.user_data_128 == 0) full.user_data_128 = p.user_data_128;
      if (full.user_data_64 == 0) full.user_data_64 = p.user_data_64;
      if (full.user_data_32 == 0) full.user_data_32 = p.user_data_32;
      if (full.ledger == 0) full.ledger = p.ledger;
      if (full.code == 0) full.code = p.code;
      return differing_status(full, e, full.amount == e.amount);
    }
    const bool balancing = (t.flags & (16 | 32)) != 0;
    return differing_status(t, e, balancing ? t.amount >= e.amount : t.amount == e.amount);
  }
  static uint32_t differing_status(const Transfer& t, const Transfer& e, bool same_amount) {
    if (t.debit_account_id != e.debit_account_id) return 37;
    if (t.credit_account_id != e.credit_account_id) return 38;
    if (!same_amount) return 39;
    if (t.user_data_128 != e.user_data_128) return 41;
    if (t.user_data_64 != e.user_data_64) return 42;
    if (t.user_data_32 != e.user_data_32) return 43;
    if (t.ledger != e.ledger) return 67;
    if (t.code != e.code) return 45;
    return 46;
  }

  void expire(uint64_t timestamp) {
    std::vector<std::pair<uint64_t, uint64_t>> due;  // (expires at, created at)
    std::map<uint64_t, Id> by_timestamp;
    for (const auto& [id, state] : pending)
      if (const Transfer& t = transfers.at(id);
          state == PendingState::kPending && t.timeout != 0 && expires_at(t) <= timestamp) {
        due.emplace_back(expires_at(t), t.timestamp);
        by_timestamp[t.timestamp] = id;
      }
    std::sort(due.begin(), due.end());
    // As many as fit without anybody being early or sharing a timestamp with the past.
    size_t count = std::min<size_t>({due.size(), kBatchEventsMax, timestamp - timestamp_last});
    const auto early = [&](size_t n) {
      for (size_t i = 0; i < n; ++i)
        if (due[i].first > timestamp - (n - 1 - i)) return true;
      return false;
    };
    while (early(count)) --count;
    for (size_t i = 0; i < count; ++i) {
      const Transfer p = transfers.at(by_timestamp.at(due[i].second));
      Account& debit = accounts.at(p.debit_account_id);
      Account& credit = accounts.at(p.credit_account_id);
      debit.debits_pending -= p.amount;
      credit.credits_pending -= p.amount;
      unclose(p, debit, credit);
      pending[p.id] = PendingState::kExpired;
      changes.push_back({p, PendingState::kExpired, timestamp - (count - 1 - i), debit, credit});
    }
  }
};

}  // namespace polis::ledger
