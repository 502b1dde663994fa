// Transfers a second through the rules, in batches of 8,189: the engine alone (the Merkle tree of the batch included;
// chain_bench.cc has its share), history in memory. Items are transfers.
#include <benchmark/benchmark.h>

#include "kernel/base/random.h"
#include "systems/ledger/engine.h"

namespace polis::ledger {
namespace {

constexpr size_t kBatch = 8'189;

class Bench {
 public:
  explicit Bench(uint64_t accounts, uint16_t flags = 0) : accounts_(accounts) {
    std::vector<Account> events;
    for (uint64_t first = 0; first < accounts; first += kBatch) {
      events.clear();
      for (uint64_t i = first; i < std::min(accounts, first + kBatch); ++i)
        events.push_back({.id = account_id(i), .ledger = 1, .code = 1, .flags = flags});
      apply(Operation::kCreateAccounts, events.data(), events.size());
    }
    transfers_.resize(kBatch);
  }

  static Id account_id(uint64_t i) { return static_cast<Id>(i + 1) << 40 | 7; }
  Id next_id() { return static_cast<Id>(time_ >> 20) << 80 | static_cast<Id>(random_.next() >> 48) << 64 | ++ids_; }
  uint64_t below(uint64_t bound) { return random_.below(bound); }

  // Debit and credit of the next transfer, as numbers of accounts.
  using Choose = std::pair<uint64_t, uint64_t> (*)(Bench&);
  static std::pair<uint64_t, uint64_t> uniform(Bench& bench) { return bench.pair_below(bench.accounts_); }
  static std::pair<uint64_t, uint64_t> hot(Bench&) { return {0, 1}; }
  // 80 % of the transfers between 20 % of the accounts.
  static std::pair<uint64_t, uint64_t> skewed(Bench& bench) {
    return bench.pair_below(bench.below(10) < 8 ? bench.accounts_ / 5 : bench.accounts_);
  }

  void make_batch(Choose choose) {
    for (Transfer& transfer : transfers_) {
      const auto [debit, credit] = choose(*this);
      transfer = {.id = next_id(),
                  .debit_account_id = account_id(debit),
                  .credit_account_id = account_id(credit),
                  .amount = 1 + below(1000),
                  .ledger = 1,
                  .code = 1};
    }
  }
  void make_pending() {
    for (Transfer& transfer : transfers_) {
      transfer.flags = transfer_flags::kPending;
      transfer.timeout = 3'600;
    }
  }
  // The second phase of what was just reserved.
  void make_posts() {
    for (Transfer& transfer : transfers_) {
      const Id pending = transfer.id;
      transfer = {.id = next_id(), .amount = kU128Max, .pending_id = pending, .flags = transfer_flags::kPostPending};
    }
  }

  void apply_transfers() { apply(Operation::kCreateTransfers, transfers_.data(), transfers_.size()); }

  Engine& engine() { return engine_; }

 private:
  std::pair<uint64_t, uint64_t> pair_below(uint64_t bound) {
    const uint64_t debit = below(bound);
    const uint64_t credit = below(bound - 1);
    return {debit, credit < debit ? credit : credit + 1};
  }
  template <class Event>
  void apply(Operation operation, const Event* events, size_t count) {
    time_ = engine_.next_timestamp(time_ + 1'000'000, count);
    const Reply reply = engine_.apply({.operation = operation,
                                       .timestamp = time_,
                                       .events = {reinterpret_cast<const std::byte*>(events), count * sizeof(Event)}});
    for (const CreateResult& result : reply.results) POLIS_ASSERT(result.created());
  }

  const uint64_t accounts_;
  base::SeededRandom random_{1};
  Engine engine_;
  uint64_t time_ = 1'700'000'000'000'000'000;
  uint64_t ids_ = 0;
  std::vector<Transfer> transfers_;
};

void run(benchmark::State& state, Bench& bench, Bench::Choose choose) {
  for (auto _ : state) {
    state.PauseTiming();
    bench.make_batch(choose);
    state.ResumeTiming();
    bench.apply_transfers();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}

void transfers_uniform(benchmark::State& state) {
  Bench bench(static_cast<uint64_t>(state.range(0)));
  run(state, bench, Bench::uniform);
}
BENCHMARK(transfers_uniform)->ArgName("accounts")->Arg(10'000)->Arg(1'000'000)->Iterations(300)->UseRealTime();

void transfers_hot(benchmark::State& state) {
  Bench bench(10'000);
  run(state, bench, Bench::hot);
}
BENCHMARK(transfers_hot)->Iterations(300)->UseRealTime();

void transfers_skewed(benchmark::State& state) {
  Bench bench(10'000);
  run(state, bench, Bench::skewed);
}
BENCHMARK(transfers_skewed)->Iterations(300)->UseRealTime();

// Every account keeps a balance a transfer.
void transfers_history(benchmark::State& state) {
  Bench bench(10'000, account_flags::kHistory);
  run(state, bench, Bench::uniform);
}
BENCHMARK(transfers_history)->Iterations(200)->UseRealTime();

// Reserving and posting: two events a payment.
void transfers_two_phase(benchmark::State& state) {
  Bench bench(10'000);
  for (auto _ : state) {
    state.PauseTiming();
    bench.make_batch(Bench::uniform);
    bench.make_pending();
    state.ResumeTiming();
    bench.apply_transfers();
    state.PauseTiming();
    bench.make_posts();
    state.ResumeTiming();
    bench.apply_transfers();
  }
  state.SetItemsProcessed(state.iterations() * 2 * static_cast<int64_t>(kBatch));
}
BENCHMARK(transfers_two_phase)->Iterations(150)->UseRealTime();

// Behind millions of transfers it must go as fast as at first. 20 million need 6 GB of memory.
void transfers_behind(benchmark::State& state) {
  Bench bench(10'000);
  while (bench.engine().counts().transfers < static_cast<uint64_t>(state.range(0))) {
    bench.make_batch(Bench::uniform);
    bench.apply_transfers();
  }
  run(state, bench, Bench::uniform);
}
BENCHMARK(transfers_behind)->ArgName("history")->Arg(10'000'000)->Iterations(200)->UseRealTime();

}  // namespace
}  // namespace polis::ledger
