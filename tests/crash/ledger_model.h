// What a crash test of the ledger remembers: every transfer that it sent, what became of it, and what the accounts must
// hold by that. A small second implementation of the books, without limits, time or storage.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "systems/ledger/types.h"

namespace polis::ledger {

// One sent transfer. The result is there once polis has said it.
struct Sent {
  Transfer transfer;
  std::optional<CreateResult> result;
  bool repeat = false;  // the same bytes as an earlier one: never books
  bool in_chain = false;
};
using Batch = std::vector<Sent>;

// The accounts that all writers share. Sums of what is known to be booked.
class Model {
 public:
  static constexpr uint64_t kPlain = 40;  // a few of them with history or with limits
  static constexpr uint64_t kTiming = 2;  // for pending transfers that expire
  static constexpr uint32_t kLedger = 700;
  static Id account_id(uint64_t index) { return (Id{0x6C65'6467'6572} << 64) | (index + 1); }

  std::vector<Account> accounts() const;  // as they are created

  // Takes a batch whose results are all there. The first thing that cannot be, empty if none.
  std::string apply(const Batch& batch);
  // Compares with the accounts as polis has them at `now`; expiry may lag `slack_ns` behind. Empty if all is well.
  std::string compare(std::span<const Account> found, uint64_t now, uint64_t slack_ns) const;

  const Transfer* open_pending(std::mt19937_64& random) const;
  uint64_t booked() const { return booked_; }

 private:
  struct Sums {
    u128 debits_pending = 0, debits_posted = 0, credits_pending = 0, credits_posted = 0;
  };
  std::map<Id, Sums> sums_;
  std::map<Id, Transfer> pending_;     // open ones, without a timeout
  std::map<uint64_t, u128> expiring_;  // by the time it is due
  uint64_t booked_ = 0;
};

// One client's stream of batches: plain transfers, chains that hold and chains that break, pending ones, posts, voids,
// repeats, and some that must be refused.
class Writer {
 public:
  Writer(uint64_t number, uint64_t seed) : number_(number), random_(seed * 1000 + number) {}
  Batch next_batch(const Model& model);
  // Remembers some of what is booked, to look for it in later rounds and to send it again.
  void remember(const Batch& batch);
  const std::vector<Sent>& remembered() const { return remembered_; }
  std::mt19937_64& random() { return random_; }

 private:
  Transfer plain();
  void add_chain(Batch& batch);
  Sent one(const Model& model);
  uint64_t below(uint64_t bound) { return random_() % bound; }

  uint64_t number_;
  uint64_t batch_ = 0;
  uint64_t transfer_ = 0;
  std::mt19937_64 random_;
  std::vector<Sent> remembered_;
};

}  // namespace polis::ledger
