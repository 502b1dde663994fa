// Travel: the venue as it was at any sequence number. Reads the journal beside the running venue, recomputes every
// output and compares its digest with the one that was written then, and draws what was asked for. In a thread of its
// own, one journey at a time, so that the path does not notice.
#pragma once

#include <atomic>
#include <string>

#include "kernel/io/shard.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

struct Journey {
  Sequence to = 0;             // before the first step at or behind it; 0: the end
  bool from_beginning = true;  // every step since the first; else from the newest snapshot that is early enough
  std::string book;            // a symbol
  size_t depth = 10;
  std::string account;  // of orders and balances; empty: all accounts
  bool orders = false, balances = false;
};

// Accounts whose orders and balances one answer holds.
inline constexpr size_t kJourneyAccountsMax = 1'000;

struct TravelParts {
  io::Disk& disk;
  const Clock& clock;
  std::string journal_directory, snapshot_directory;
  VenueLimits limits;
};

class Travel {
 public:
  explicit Travel(TravelParts parts) : parts_(std::move(parts)) {}

  // {"sequence","steps","reports","events","hash","seconds","book":{...},"accounts":{...}}. kCorrupt names the first
  // step whose outputs differ; kNotFound a symbol or account that was not defined then; kBusy while another journey is
  // under way. Any shard. Ends soon, with kCancelled, when the scope of who asks stops.
  Task<Result<std::string>> go(Journey journey);

 private:
  Task<Result<std::string>> travel(const Journey& journey);

  const TravelParts parts_;
  std::atomic<bool> under_way_{false};
};

}  // namespace polis::exchange
