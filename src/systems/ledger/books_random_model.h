// Random commands for books that are small enough to be full of collisions: few ids, few accounts, small amounts with a
// few enormous ones, every flag, linked chains, several batches a command, retries of old events with and without a
// change, imports, time that sometimes leaps. Test support; pure but for its generator.
#pragma once

#include <vector>

#include "kernel/base/random.h"
#include "systems/ledger/engine.h"

namespace polis::ledger {

// A command that owns its bytes.
struct BooksRequest {
  Operation operation = Operation::kCreateTransfers;
  uint64_t timestamp = 0;
  SessionRequest from;
  std::vector<uint16_t> batches;
  Bytes events;

  Command command() const {
    return {.operation = operation, .timestamp = timestamp, .from = from, .batches = batches, .events = events};
  }
};

struct BooksRandomOptions {
  bool imports = true;
  bool timeouts = true;
  size_t events_max = 12;
  uint64_t account_ids = 10;
  uint64_t transfer_ids = 120;
};

class BooksRandom {
 public:
  BooksRandom(uint64_t seed, BooksRandomOptions options) : random_(seed), options_(options) {}

  // `timestamp_last` of the books that it is for, and when something there is due.
  BooksRequest next(uint64_t timestamp_last, std::optional<uint64_t> next_expiry) {
    BooksRequest request;
    // Half of the books begin so late that the longest timeout would end behind the end of time.
    if (timestamp_last == 0 && one_in(2)) timestamp_last = kTimestampMax / 8 * 6;
    const uint64_t least = timestamp_last + 4 * options_.events_max;
    request.timestamp = least + 1 + random_.below(one_in(8) ? 2 * kNanosecondsPerSecond : 5'000);
    past_ = timestamp_last;
    now_ = request.timestamp;
    if (one_in(3) && random_.chance(1, 2)) request.from = session();
    if (options_.timeouts && next_expiry && one_in(4)) {
      request.operation = Operation::kExpire;
      // Now and then exactly when it is due, also if others are due a little later.
      request.timestamp = std::max(*next_expiry + (one_in(2) ? 0 : random_.below(4)), timestamp_last + 1);
      return request;
    }
    if (one_in(20)) {
      request.operation = Operation::kRegister;
      request.from = {.client = 1 + random_.below(5)};
      return request;
    }
    const bool accounts = one_in(5);
    request.operation = accounts ? Operation::kCreateAccounts : Operation::kCreateTransfers;
    if (one_in(6)) {
      for (uint64_t i = 0; i < 1 + random_.below(3); ++i) {
        const size_t size = random_.below(options_.events_max / 2);
        accounts ? add_batch<Account>(request.events, size) : add_batch<Transfer>(request.events, size);
        request.batches.push_back(static_cast<uint16_t>(size));
      }
    } else {
      const size_t size = random_.below(options_.events_max);
      accounts ? add_batch<Account>(request.events, size) : add_batch<Transfer>(request.events, size);
    }
    return request;
  }

  uint64_t below(uint64_t bound) { return random_.below(bound); }
  bool one_in(uint64_t n) { return random_.chance(1, n); }

  // Any account or transfer id that the books may know, now and then one that they cannot.
  Id account_id() {
    if (one_in(60)) return one_in(2) ? 0 : kU128Max;
    return spread(1 + random_.below(options_.account_ids));
  }
  Id transfer_id() {
    if (one_in(60)) return one_in(2) ? 0 : kU128Max;
    return spread(1000 + random_.below(options_.transfer_ids));
  }

 private:
  // Some ids use all 128 bits.
  static Id spread(uint64_t number) { return number % 3 == 0 ? static_cast<Id>(number) << 100 | number : number; }

  SessionRequest session() {
    return {.client = 1 + random_.below(5),
            .session = 1 + random_.below(30),
            .request = static_cast<uint32_t>(random_.below(99))};
  }

  template <class Event>
  void add_batch(Bytes& out, size_t size) {
    imports_ = options_.imports && one_in(5);
    for (size_t i = 0; i < size; ++i) {
      auto event = make(Event{});
      const bool last = i + 1 == size;
      if (one_in(last ? 40 : 4)) event.flags |= 1;
      const auto* bytes = reinterpret_cast<const std::byte*>(&event);
      out.insert(out.end(), bytes, bytes + sizeof event);
    }
  }

  uint64_t imported_timestamp() {
    if (one_in(30)) return one_in(2) ? 0 : UINT64_MAX - random_.below(2) * kTimestampMax;
    if (one_in(15)) return now_ + random_.below(3);
    if (one_in(15)) return now_ - random_.below(std::min<uint64_t>(now_, 12));  // inside the batch
    if (one_in(15)) return 1 + random_.below(past_ + 1);
    if (one_in(8)) return 1 + past_ - random_.below(std::min<uint64_t>(past_, 5'000) + 1);
    // Between the last command and this one, mostly rising.
    import_step_ = std::max(import_step_, past_) + 1 + random_.below(3);
    return std::min(import_step_, now_ - 1);
  }

  u128 amount() {
    if (one_in(25)) return kU128Max - random_.below(3);
    if (one_in(40)) return kU128Max / 2 + random_.below(3);
    return random_.below(30);
  }

  uint16_t flag(uint64_t chance, uint16_t value) { return one_in(chance) ? value : uint16_t{0}; }

  Account make(const Account&) {
    if (!old_accounts_.empty() && one_in(4)) {
      Account again = old_accounts_[random_.below(old_accounts_.size())];
      if (one_in(3)) spoil(again);
      return again;
    }
    Account a;
    a.id = account_id();
    a.ledger = one_in(60) ? 0 : 1 + static_cast<uint32_t>(one_in(5));
    a.code = one_in(60) ? 0 : static_cast<uint16_t>(1 + random_.below(3));
    a.user_data_128 = random_.below(3);
    a.user_data_64 = random_.below(3);
    a.user_data_32 = static_cast<uint32_t>(random_.below(3));
    a.flags = flag(6, account_flags::kDebitsMustNotExceedCredits) |
              flag(6, account_flags::kCreditsMustNotExceedDebits) | flag(2, account_flags::kHistory) |
              flag(40, account_flags::kClosed) | flag(60, 1 << 9);
    if (imports_ != one_in(30)) {
      a.flags |= account_flags::kImported;
      a.timestamp = imported_timestamp();
    }
    if (one_in(50)) spoil(a);
    old_accounts_.push_back(a);
    return a;
  }

  void spoil(Account& a) {
    switch (random_.below(11)) {
      case 0:
        a.debits_pending = 1;
        break;
      case 1:
        a.debits_posted = 1;
        break;
      case 2:
        a.credits_pending = 1;
        break;
      case 3:
        a.credits_posted = 1;
        break;
      case 4:
        a.user_data_128 += 1;
        break;
      case 5:
        a.user_data_64 += 1;
        break;
      case 6:
        a.user_data_32 += 1;
        break;
      case 7:
        a.reserved = 1;
        break;
      case 8:
        a.ledger += 1;
        break;
      case 9:
        a.code = static_cast<uint16_t>(a.code + 1);
        break;
      default:
        a.timestamp += 1;
        break;
    }
  }

  Transfer make(const Transfer&) {
    if (!old_transfers_.empty() && one_in(6)) {
      Transfer again = old_transfers_[random_.below(old_transfers_.size())];
      if (one_in(2)) spoil(again);
      return again;
    }
    Transfer t;
    t.id = transfer_id();
    t.user_data_128 = random_.below(3);
    t.user_data_64 = random_.below(3);
    t.user_data_32 = static_cast<uint32_t>(random_.below(3));
    if (!old_transfers_.empty() && one_in(3)) {
      second_phase(t);
    } else {
      t.debit_account_id = account_id();
      t.credit_account_id = account_id();
      t.amount = amount();
      t.ledger = one_in(60) ? 0 : 1 + static_cast<uint32_t>(one_in(5));
      t.code = one_in(60) ? 0 : static_cast<uint16_t>(1 + random_.below(3));
      t.flags = flag(3, transfer_flags::kPending) | flag(10, transfer_flags::kBalancingDebit) |
                flag(10, transfer_flags::kBalancingCredit);
      if ((t.flags & transfer_flags::kPending) != 0) {
        t.flags |= flag(12, transfer_flags::kClosingDebit) | flag(12, transfer_flags::kClosingCredit);
        if (options_.timeouts && one_in(2)) t.timeout = static_cast<uint32_t>(1 + random_.below(3));
      }
    }
    if (one_in(60)) t.flags |= static_cast<uint16_t>(1 << random_.below(16));
    if (imports_ != one_in(30)) {
      t.flags |= transfer_flags::kImported;
      t.timestamp = imported_timestamp();
      if (!one_in(8)) t.timeout = 0;
    }
    if (!options_.imports) t.flags &= static_cast<uint16_t>(~transfer_flags::kImported);
    if (one_in(40)) spoil(t);
    old_transfers_.push_back(t);
    return t;
  }

  void second_phase(Transfer& t) {
    const Transfer& p =
        old_transfers_[old_transfers_.size() - 1 - random_.below(std::min<size_t>(old_transfers_.size(), 20))];
    t.pending_id = one_in(15) ? transfer_id() : p.id;
    const bool voids = one_in(2);
    t.flags = voids ? transfer_flags::kVoidPending : transfer_flags::kPostPending;
    t.amount = voids ? 0 : kU128Max;
    if (one_in(3)) t.amount = p.amount;
    if (one_in(6)) t.amount = amount();
    if (one_in(3)) t.debit_account_id = p.debit_account_id;
    if (one_in(3)) t.credit_account_id = p.credit_account_id;
    if (one_in(3)) t.ledger = p.ledger;
    if (one_in(3)) t.code = p.code;
  }

  void spoil(Transfer& t) {
    switch (random_.below(12)) {
      case 0:
        t.debit_account_id = account_id();
        break;
      case 1:
        t.credit_account_id = account_id();
        break;
      case 2:
        t.amount += 1;
        break;
      case 3:
        t.amount -= 1;
        break;
      case 4:
        t.pending_id = transfer_id();
        break;
      case 5:
        t.user_data_128 += 1;
        break;
      case 6:
        t.user_data_64 += 1;
        break;
      case 7:
        t.user_data_32 += 1;
        break;
      case 8:
        t.timeout = one_in(2) ? UINT32_MAX : t.timeout + 1;
        break;
      case 9:
        t.ledger += 1;
        break;
      case 10:
        t.code = static_cast<uint16_t>(t.code + 1);
        break;
      default:
        t.timestamp += 1;
        break;
    }
  }

  base::SeededRandom random_;
  const BooksRandomOptions options_;
  uint64_t past_ = 0, now_ = 0, import_step_ = 0;
  bool imports_ = false;
  std::vector<Account> old_accounts_;
  std::vector<Transfer> old_transfers_;
};

}  // namespace polis::ledger
