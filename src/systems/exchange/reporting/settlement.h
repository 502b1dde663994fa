// Settlement: the end of a trading day. The venue closes it (kSettleDay: day orders end), the reporter notes the
// closing balances, and then, done again from any point after a crash:
//
//     closed ─► what the day's trades and fees changed, net per account and asset, is booked in the ledger: posted
//            ─► the settlement file is written and kept, with its SHA-256: written
//
// The wallet comes first: balances changed with each trade, the ledger learns the sum. Of each asset the net amounts
// are one linked chain against the clearing account, which is 0 afterwards; afterwards the ledger's balances are the
// venue's.
//
// The file is CSV, by account: opening balances, every movement in the order of the bus, closing balances.
//
//     account,name,asset,type,time,sequence,symbol,match,order,amount,balance
//
// Every sum is made twice, from movements and from balances; where they differ nothing is booked for that asset, and
// the day says so (`problem`).
//
// Lives on the shard that opens it, and works on `worker`; settle() and read() are for any shard.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "systems/exchange/reporting/funding.h"

namespace polis::exchange {

// All of it outlives the Settlement.
struct SettlementParts {
  ledger::Ledger& ledger;
  VenueRuntime& runtime;
  store::Store& store;
  store::Keyspace rows;  // the exchange's
  Reporter& reporter;
  Reports& reports;
  Funding& funding;
  const Clock& clock;
  // Where files are written: a core's work for a while. Best not the venue's home; null: there.
  io::Shard* worker = nullptr;
};

struct SettlementOptions {
  // Each day is closed when it is over in UTC, which is after all markets of its calendars.
  bool automatic = true;
};

class Settlement {
 public:
  static Task<Result<std::unique_ptr<Settlement>>> open(SettlementParts parts, SettlementOptions options = {});
  ~Settlement();
  // Before the funding stops.
  Task<void> stop();

  // A day has come to the rows. Any thread.
  void look_at_rows() { wake(); }

  // Closes the day (yyyymmdd) and answers when its file is written. kInvalid with the venue's words if it refuses,
  // kExists for a day that is closed.
  Task<Result<DayRecord>> settle(uint32_t day);
  // The file, piece by piece of whole lines, at most 256 KiB each; of one account with the heading alone, or of all
  // (0). kNotFound: no such day, or not written yet.
  Task<Result<void>> read(uint32_t day, AccountId account, std::function<Task<Result<void>>(std::string_view)> piece);

  // What an operator must look at; empty: nothing.
  std::string problem() const;

 private:
  class Names;
  class Pass;
  Settlement(SettlementParts parts, SettlementOptions options);

  void wake();
  Task<void> run();
  Task<Result<void>> close_when_over();
  Task<Result<void>> finish_days();
  Task<Result<void>> finish(DayRecord day);
  Task<Result<void>> book(uint32_t day, AssetId asset, const std::vector<std::pair<AccountId, Amount>>& nets);
  Task<Result<void>> keep(const DayRecord& day);
  Task<Result<DayRecord>> wait_written(uint32_t day);

  const SettlementParts parts_;
  const SettlementOptions options_;
  io::Shard& home_;
  io::TaskGroup group_;
  io::Event woken_, finished_;
  std::atomic<bool> posted_{false};
  std::atomic<bool> stopping_{false};
  uint32_t written_ = 0;  // every day up to here is

  mutable std::mutex mutex_;
  std::string problem_;
};

// 20261122, and back: the last nanosecond of that day. Of dates from 1970 to 2261.
uint32_t day_of(VenueTime time);
// Whether it is a date at all.
bool is_day(uint32_t day);

}  // namespace polis::exchange
