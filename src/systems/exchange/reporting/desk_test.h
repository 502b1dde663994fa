// A venue with its ledger, rows and everything that reports on it, on one shard of a real machine: what the tests of
// this folder stand on. Closing and opening it again is a restart.
#pragma once

#include <filesystem>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "kernel/io/file.h"
#include "kernel/store/rocks_store.h"
#include "systems/exchange/reporting/settlement.h"
#include "systems/ledger/service.h"

namespace polis::exchange {

// ASSERT_TRUE for coroutines; evaluates once.
#define CO_EXPECT(...)                                \
  do {                                                \
    const auto& expected = (__VA_ARGS__);             \
    EXPECT_TRUE(expected) << expected.error().text(); \
    if (!expected) co_return;                         \
  } while (false)

// The machine's, with a wall clock that can be put forward.
class ShiftedClock final : public Clock {
 public:
  WallTime wall() const override { return system_.wall() + shift_.load(); }
  SteadyTime steady() const override { return system_.steady(); }
  void shift(Duration by) { shift_ = shift_.load() + by; }

 private:
  base::SystemClock system_;
  std::atomic<Duration> shift_{};
};

class TestDesk {
 public:
  TestDesk() {
    std::string name = (std::filesystem::temp_directory_path() / "polis-desk-XXXXXX").string();
    directory_ = mkdtemp(name.data());
    runtime_.start();
  }
  ~TestDesk() {
    runtime_.stop();
    std::filesystem::remove_all(directory_);
  }

  // Runs a coroutine on the desk's shard.
  template <class F>
  void run(F work) {
    runtime_
        .call(0,
              [&work]() -> Task<Result<void>> {
                co_await work();
                co_return Result<void>();
              })
        .value();
  }

  Task<Result<void>> open() {
    disk = io::make_system_disk();
    store = CO_TRY(store::RocksStore::open({.directory = directory_ + "/store"}));
    rows = CO_TRY(store->keyspace("exchange"));
    ledger::ServiceOptions books{.data_directory = directory_};
    books.engine = {.rows_per_chunk = 1024, .rows_per_run = 64};
    ledger = CO_TRY(co_await ledger::LedgerService::open(*disk, clock, random, books));
    reporter = CO_TRY(co_await Reporter::open(*store, rows));
    reporter->on_work([this] {
      if (Funding* one = funding_to_wake_.load()) one->look_at_rows();
      if (Settlement* one = settlement_to_wake_.load()) one->look_at_rows();
    });
    RuntimeOptions options{.journal_directory = directory_ + "/journal/exchange",
                           .snapshot_directory = directory_ + "/snapshot/exchange",
                           .bus_path = directory_ + "/run/exchange.bus",
                           .limits = {.assets_max = 16,
                                      .instruments_max = 16,
                                      .accounts_max = 64,
                                      .sessions_max = 64,
                                      .orders_max = 1'000'000},
                           .threads = threads,
                           .cpus = {},
                           .bus_slots = 1 << 12};
    options.lock_memory = false;
    venue = CO_TRY(
        co_await VenueRuntime::open(*disk, clock, random, options, {reporter.get()}, [](auto, auto, const auto&) {}));
    reports = std::make_unique<Reports>(*store, rows, *reporter);
    co_return Result<void>();
  }
  Task<Result<void>> open_money(bool automatic = false) {
    funding = CO_TRY(co_await Funding::open(
        {.ledger = *ledger, .runtime = *venue, .store = *store, .rows = rows, .reports = *reports, .random = random}));
    settlement = CO_TRY(co_await Settlement::open({.ledger = *ledger,
                                                   .runtime = *venue,
                                                   .store = *store,
                                                   .rows = rows,
                                                   .reporter = *reporter,
                                                   .reports = *reports,
                                                   .funding = *funding,
                                                   .clock = clock},
                                                  {.automatic = automatic}));
    funding_to_wake_ = funding.get();
    settlement_to_wake_ = settlement.get();
    co_return Result<void>();
  }
  Task<void> close_money() {
    settlement_to_wake_ = nullptr;
    funding_to_wake_ = nullptr;
    if (settlement) co_await settlement->stop();
    if (funding) co_await funding->stop();
    settlement.reset();
    funding.reset();
  }
  Task<void> close() {
    co_await close_money();
    if (venue) EXPECT_TRUE(co_await venue->close());
    venue.reset();
    reports.reset();
    reporter.reset();
    if (ledger) EXPECT_TRUE(co_await ledger->close());
    ledger.reset();
    if (store) EXPECT_TRUE(co_await store->close());
    store.reset();
  }

  // Until the rows hold everything that was answered.
  Task<void> caught_up() {
    const Sequence all = venue->statistics().sequence;
    while (reporter->committed() < all) (void)co_await io::sleep_for(std::chrono::milliseconds(2));
  }

  ThreadMode threads = ThreadMode::kFused;
  io::Runtime runtime_{{.shards = 1}};
  ShiftedClock clock;
  base::SystemRandom random;
  std::unique_ptr<io::Disk> disk;
  std::unique_ptr<store::RocksStore> store;
  store::Keyspace rows;
  std::unique_ptr<ledger::LedgerService> ledger;
  std::unique_ptr<Reporter> reporter;
  std::unique_ptr<VenueRuntime> venue;
  std::unique_ptr<Reports> reports;
  std::unique_ptr<Funding> funding;
  std::unique_ptr<Settlement> settlement;

 private:
  std::string directory_;
  std::atomic<Funding*> funding_to_wake_{nullptr};
  std::atomic<Settlement*> settlement_to_wake_{nullptr};
};

}  // namespace polis::exchange
