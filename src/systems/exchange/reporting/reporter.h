// Reporter: writes down what happened in the venue, for people and for later: orders, what sessions were told, fills,
// trades, movements of money, closed days, withdrawals that are to be paid. A follower of the shadow, so nothing here
// costs the path anything, and nothing is told that is not on disk.
//
//     shadow's shard ── on_step ──► batches of whole steps, up to 16 MiB ── commit ──► one transaction a batch
//
// Rows follow from the journal alone. How far they go stands among them (ProgressRecord), written by the same
// transaction, so after a crash the journal is read again from exactly there.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "kernel/store/store.h"
#include "systems/exchange/reporting/records.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

struct ReporterStatistics {
  Sequence committed = 0;
  uint64_t steps = 0, rows = 0, transactions = 0;
  VenueTime last_time = 0;  // of the newest step in the rows
};

class Reporter final : public Follower {
 public:
  // `rows`: the exchange's keyspace. Before the runtime opens; outlives it.
  static Task<Result<std::unique_ptr<Reporter>>> open(store::Store& store, store::Keyspace rows);
  ~Reporter() override;

  // Called on the shadow's shard after rows were written that somebody has to act upon: a withdrawal, a closed day.
  // Set it before the runtime opens.
  void on_work(std::function<void()> work) { work_ = std::move(work); }

  // --- Follower: the shadow's shard; committed() on any thread
  Sequence committed() const override;
  void on_step(const Stamp& stamp, const Request* request, const Outputs& outputs, const Venue& after) override;
  Task<Result<void>> commit(Sequence upto) override;

  // Any thread.
  ReporterStatistics statistics() const;
  ProgressRecord progress() const;  // what the rows say

 private:
  struct Batch;
  struct Gathered;
  Reporter(store::Store& store, store::Keyspace rows, const ProgressRecord& progress);

  void note_report(Sequence sequence, VenueTime time, const Report& report, uint64_t ordinal, const Venue& after);
  void note_order(Sequence sequence, VenueTime time, const Report& report);
  void note_fill(Sequence sequence, VenueTime time, const Report& report);
  void note_money(Sequence sequence, VenueTime time, const Report& report, const Venue& after);
  void note_trade(Sequence sequence, VenueTime time, const Event& event);
  void note_withdrawal(Sequence sequence, VenueTime time, const Request& request);
  void note_day(const Stamp& stamp, uint32_t day, const Venue& after);
  void move_money(AccountId account, const Movement& movement);
  void seal();
  Task<Result<void>> write(Batch& batch);

  store::Store& store_;
  const store::Keyspace rows_;
  std::function<void()> work_;
  std::unique_ptr<Batch> batch_;                          // of the newest steps
  std::unique_ptr<Gathered> gathered_;                    // what of them is no row yet
  std::deque<std::unique_ptr<Batch>> sealed_;             // before it, full
  ProgressRecord progress_;                               // with all of them
  std::vector<std::pair<SessionId, uint64_t>> ordinals_;  // of the step in hand

  mutable std::mutex mutex_;  // what other threads look at
  ProgressRecord written_;
  ReporterStatistics statistics_;
};

}  // namespace polis::exchange
