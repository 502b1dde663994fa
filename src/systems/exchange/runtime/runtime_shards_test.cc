// The runtime on real shards and threads: orders from several shards, listeners on each, fused and split, and each
// form going on from the other's journal.
#include <atomic>
#include <filesystem>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "systems/exchange/runtime/market_test.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kOrdersOfShard = 3'000;

// Counts the reports of its sessions' own requests.
class Counter final : public EgressListener {
 public:
  void on_report(Sequence sequence, VenueTime, const Report& report) override {
    in_order = in_order && sequence > last;
    last = sequence;
    if (report.tag >> 32 == mark) answered = std::max(answered, report.tag & UINT32_MAX);
  }
  void on_batch_end() override {}
  uint64_t mark = 0;
  uint64_t answered = 0;
  Sequence last = 0;
  bool in_order = true;
};

Task<Result<void>> trade(VenueRuntime& runtime, unsigned shard, int life) {
  Counter counter;
  counter.mark = shard;
  runtime.subscribe(counter);
  TestMarket market;
  market.prefix = fmt::format("{}-{}-", life, shard);
  base::SeededRandom random(shard + static_cast<unsigned>(life) * 100);
  Result<void> result;
  for (uint64_t i = 1; i <= kOrdersOfShard && result; ++i) {
    Request request = market.order(static_cast<SessionId>(1 + shard * 2 + random.below(2)),
                                   random.chance(1, 2) ? Side::kBuy : Side::kSell,
                                   static_cast<Price>(9'990 + random.below(20)), 1 + static_cast<Quantity>(i % 50));
    request.tag = uint64_t{shard} << 32 | i;
    while (true) {
      result = runtime.submit(request);
      if (result || result.error().code() != Code::kBusy) break;
      (void)co_await io::sleep_for(1ms);
    }
    if (i % 64 == 0) co_await io::yield();
  }
  for (int wait = 0; result && counter.answered < kOrdersOfShard; ++wait) {
    if (wait == 20'000) result = fail(Code::kTimeout, fmt::format("{} answered", counter.answered));
    (void)co_await io::sleep_for(1ms);
  }
  if (result && !counter.in_order) result = fail(Code::kCorrupt, "reports in another order");
  runtime.unsubscribe(counter);
  co_return result;
}

struct Place {
  Place() {
    std::string name = (std::filesystem::temp_directory_path() / "polis-exchange-XXXXXX").string();
    directory = mkdtemp(name.data());
    options.journal_directory = directory + "/journal/exchange";
    options.snapshot_directory = directory + "/snapshot/exchange";
    options.bus_path = directory + "/run/exchange.bus";
    options.limits = {
        .assets_max = 16, .instruments_max = 16, .accounts_max = 64, .sessions_max = 64, .orders_max = 100'000};
    options.lock_memory = false;
  }
  ~Place() { std::filesystem::remove_all(directory); }
  std::string directory;
  RuntimeOptions options;
};

Task<Result<void>> live(io::Runtime& shards, io::Disk& disk, RuntimeOptions options, int life) {
  base::SystemClock clock;
  base::SystemRandom random;
  std::unique_ptr<VenueRuntime> runtime = CO_TRY(co_await VenueRuntime::open(disk, clock, random, options, {}, {}));
  Result<void> result;
  if (life == 0) {
    for (const Request& request : TestMarket::beginning()) {
      auto report = co_await runtime->ask(request);
      if (result && !report) result = fail(report.error());
      if (result && report->kind == ReportKind::kDenied) result = fail(Code::kInvalid, "a definition was refused");
    }
  }
  io::TaskGroup traders;
  struct Trader {
    static Task<void> run(io::Runtime& all, unsigned shard, VenueRuntime& venue, int of_life, Result<void>& into) {
      auto done = co_await io::on(all.shard(shard), [&venue, shard, of_life] { return trade(venue, shard, of_life); });
      if (into && !done) into = std::move(done);
    }
  };
  if (result)
    for (unsigned shard = 0; shard < shards.size(); ++shard)
      traders.spawn(Trader::run(shards, shard, *runtime, life, result));
  co_await traders.join();
  if (result) {
    auto snapshot = co_await runtime->snapshot();
    if (!snapshot) result = fail(snapshot.error());
  }
  Result<void> sums;
  if (auto looked = co_await runtime->inspect([&](const Venue& v) { sums = v.orders().check_sums(true); }); !looked)
    result = std::move(looked);
  if (result && !sums) result = std::move(sums);
  const RuntimeStatistics statistics = runtime->statistics();
  if (result && statistics.fused != (options.threads == ThreadMode::kFused))
    result = fail(Code::kInvalid, "not in the threads that were wanted");
  auto closed = co_await runtime->close();
  if (result && !closed) result = std::move(closed);
  CO_TRY(std::move(result));
  Venue fresh(options.limits);
  const Replayed replayed = CO_TRY(co_await replay(disk,
                                                   {.journal_directory = options.journal_directory,
                                                    .snapshot_directory = options.snapshot_directory,
                                                    .limits = options.limits},
                                                   fresh, {}));
  if (replayed.next < statistics.sequence) co_return fail(Code::kCorrupt, "the journal ends too early");
  co_return {};
}

void live_in(AckMode ack, std::vector<ThreadMode> modes) {
  Place place;
  place.options.ack = ack;
  io::Runtime shards({.shards = 3, .blocking_threads = 3});
  shards.start();
  const auto disk = io::make_system_disk();
  int life = 0;
  for (const ThreadMode mode : modes) {
    place.options.threads = mode;
    auto lived = shards.call(0, [&] { return live(shards, *disk, place.options, life); });
    ASSERT_TRUE(lived) << life << ": " << lived.error().text();
    ++life;
  }
  shards.stop();
}

TEST(venue_on_shards, fused_takes_orders_of_all_shards) {
  live_in(AckMode::kDisk, {ThreadMode::kFused, ThreadMode::kFused});
}

TEST(venue_on_shards, split_and_fused_go_on_from_each_others_journal) {
  for (const AckMode ack : {AckMode::kDisk, AckMode::kBus})
    live_in(ack, {ThreadMode::kSplit, ThreadMode::kFused, ThreadMode::kSplit});
}

}  // namespace
}  // namespace polis::exchange
