// The runtime in a simulated machine: orders in, reports out, power cuts and kills at random moments, and what is there
// afterwards.
#include "systems/exchange/runtime/runtime.h"

#include "kernel/log/segment_journal.h"
#include "kernel/sim/seeds.h"
#include "systems/exchange/runtime/journal_files.h"
#include "systems/exchange/runtime/journal_format.h"
#include "systems/exchange/runtime/simulated_venue_test.h"

namespace polis::exchange {
namespace {

using namespace std::chrono_literals;

Task<void> trade_and_reopen(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  const size_t before = m.ear.told.size();
  EXPECT_TRUE(m.runtime->submit(m.market.order(1, Side::kSell, 10'000, 10)));
  EXPECT_TRUE(m.runtime->submit(m.market.order(2, Side::kBuy, 10'000, 4)));
  // The step is done, and nobody is told before the disk has it.
  EXPECT_EQ(m.ear.told.size(), before);
  auto looked = co_await m.runtime->inspect([](const Venue& venue) { EXPECT_EQ(venue.orders().position(3, 1), 4); });
  EXPECT_TRUE(looked);
  (void)co_await io::sleep_for(50ms);
  EXPECT_EQ(m.ear.told.size(), before + 4);  // new, new, two sides of the trade
  EXPECT_EQ(m.ear.told.back().report.kind, ReportKind::kTrade);
  const RuntimeStatistics statistics = m.runtime->statistics();
  EXPECT_EQ(statistics.trades, 1u);
  EXPECT_EQ(statistics.durable, statistics.sequence);
  EXPECT_FALSE(statistics.halted);
  auto closed = co_await m.close();
  EXPECT_TRUE(closed) << closed.error().text();

  const auto told = m.ear.told;
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_GE(m.recovered.size(), told.size());
  EXPECT_EQ(m.runtime->statistics().sequence, statistics.sequence);
  EXPECT_TRUE(same(m.recovered.back().report, told.back().report));
  EXPECT_EQ(m.recovered.back().sequence, told.back().sequence);
  auto shadow = co_await m.runtime->snapshot();
  EXPECT_TRUE(shadow && *shadow == statistics.sequence);
  EXPECT_TRUE(co_await m.close());
  // From the snapshot nothing is left to be told.
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_TRUE(m.recovered.empty());
  looked = co_await m.runtime->inspect([](const Venue& venue) { EXPECT_EQ(venue.orders().position(3, 1), 4); });
  EXPECT_TRUE(looked);
  EXPECT_TRUE(co_await m.close());
}

TEST(venue_runtime, what_was_told_is_there_after_a_restart) {
  Machine machine(1);
  machine.world.run(trade_and_reopen(machine));
}

Task<void> random_life(Machine& m, Random& random, uint64_t steps) {
  for (uint64_t i = 0; i < steps; ++i) {
    auto submitted = co_await m.submit(m.market.random(random));
    if (!submitted) co_return;
    if (random.chance(1, 8)) (void)co_await io::sleep_for(std::chrono::microseconds(random.below(3'000)));
    if (random.chance(1, 200)) (void)co_await m.runtime->snapshot();
  }
}

// Lives and deaths of one venue. `cuts`: deaths lose the machine, else the process alone.
Task<void> many_lives(Machine& m, bool cuts, Rows& rows) {
  Random& random = m.world.random();
  std::vector<Told> told;  // over all lives
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  for (int life = 0; life < 6; ++life) {
    m.market.prefix = "c" + std::to_string(life) + "-";
    const bool in_order = random.chance(1, 5);
    if (!in_order && random.chance(1, 2))
      m.world.disk().crash_after(1 + random.below(300), cuts ? sim::Survival::kBySeed : sim::Survival::kAll);
    co_await random_life(m, random, 50 + random.below(400));
    m.world.disk().crash_after(0);
    if (in_order && m.world.disk().powered()) {
      auto closed = co_await m.close();
      EXPECT_TRUE(closed) << closed.error().text();
    } else {
      co_await m.end(cuts);
    }
    rows.lose_uncommitted();
    // Coming back may be cut off, too, again and again.
    for (int attempt = 0; attempt < 3 && random.chance(1, 2); ++attempt) {
      m.world.disk().crash_after(1 + random.below(40), cuts ? sim::Survival::kBySeed : sim::Survival::kAll);
      opened = co_await m.open();
      m.world.disk().crash_after(0);
      if (opened) {
        co_await m.end(cuts);
      } else {
        if (m.world.disk().powered()) m.world.disk().crash(cuts ? sim::Survival::kBySeed : sim::Survival::kAll);
        m.world.disk().restart();
        if (cuts) std::filesystem::remove(m.options.bus_path);
      }
      rows.lose_uncommitted();
    }
    told.insert(told.end(), m.ear.told.begin(), m.ear.told.end());
    m.ear.told.clear();
    opened = co_await m.open();
    CO_EXPECT(opened);
    const auto statistics = m.runtime->statistics();

    // Everything that anybody was told is there, to the bit, and the venue alive is the one of a fresh replay.
    std::map<Sequence, Report> reports;
    Result<Replayed> replayed;
    co_await collect(m, reports, replayed);
    CO_EXPECT(replayed);
    EXPECT_EQ(replayed->next, statistics.sequence);
    for (const Told& one : told) {
      const auto found = reports.find(one.sequence);
      if (found == reports.end() || !same(found->second, one.report)) {
        ADD_FAILURE() << "life " << life << ": the report at " << one.sequence << " is lost or another one";
        co_return;
      }
    }
    for (const Told& one : m.recovered) EXPECT_TRUE(same(reports.at(one.sequence), one.report));
    auto from_snapshot = co_await m.replay_all({}, false);
    EXPECT_TRUE(from_snapshot && from_snapshot->hash == replayed->hash);
    EXPECT_FALSE(statistics.halted);
    Result<void> sums;
    EXPECT_TRUE(co_await m.runtime->inspect([&](const Venue& venue) { sums = venue.orders().check_sums(true); }));
    EXPECT_TRUE(sums) << sums.error().text();
  }
  // The follower got every step once.
  EXPECT_TRUE(co_await m.runtime->snapshot());
  EXPECT_TRUE(co_await m.close());
  std::vector<std::pair<Sequence, uint64_t>> steps;
  auto replayed = co_await m.replay_all([&](const Stamp& stamp, const Request*, const Outputs& outputs) {
    steps.push_back({stamp.sequence, outputs.digest()});
  });
  EXPECT_TRUE(replayed);
  EXPECT_EQ(rows.rows, steps);
}

void many_lives_of_seeds(AckMode ack, bool cuts) {
  const uint64_t failed = sim::for_each_seed(
      sim::seeds(20),
      [&](uint64_t seed) {
        Machine machine(seed, ack);
        Rows rows;
        machine.followers = {&rows};
        machine.world.run(many_lives(machine, cuts, rows));
      },
      testing::Test::HasFailure);
  EXPECT_EQ(failed, 0u) << "POLIS_SEED=" << failed;
}

TEST(venue_runtime, acknowledged_from_disk_nothing_is_lost_by_power_cuts) {
  many_lives_of_seeds(AckMode::kDisk, true);
}

TEST(venue_runtime, acknowledged_from_disk_nothing_is_lost_by_kills) {
  many_lives_of_seeds(AckMode::kDisk, false);
}

TEST(venue_runtime, acknowledged_from_the_bus_nothing_is_lost_by_kills) {
  many_lives_of_seeds(AckMode::kBus, false);
}

Task<void> lose_the_host(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  (void)co_await io::sleep_for(1s);
  EXPECT_TRUE(m.runtime->submit(m.market.order(1, Side::kSell, 10'000, 10)));
  co_await m.end(true);
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_TRUE(m.runtime->statistics().halted);
  EXPECT_NE(m.runtime->statistics().halted_why, "");
  auto report = co_await m.runtime->ask(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_TRUE(report && report->kind == ReportKind::kRejected && report->refusal == Refusal::kHalted);
  // It stays so until an operator says otherwise.
  EXPECT_TRUE(co_await m.close());
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_TRUE(m.runtime->statistics().halted);
  report = co_await m.runtime->ask(TestMarket::of(RequestKind::kAccept));
  EXPECT_TRUE(report && report->kind == ReportKind::kDone);
  EXPECT_FALSE(m.runtime->statistics().halted);
  report = co_await m.runtime->ask(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_TRUE(report && report->kind == ReportKind::kNew);
  EXPECT_TRUE(co_await m.close());
  // Closed in order nothing is lost with the machine.
  std::filesystem::remove(m.options.bus_path);
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_FALSE(m.runtime->statistics().halted);
  EXPECT_TRUE(co_await m.close());
}

TEST(venue_runtime, acknowledged_from_the_bus_a_lost_host_opens_halted) {
  Machine machine(3, AckMode::kBus);
  machine.world.run(lose_the_host(machine));
}

// Writes the journal once more, with one bit of one digest changed.
Task<void> falsify(Machine& m, std::string directory) {
  log::SyncScheduler scheduler;
  base::SeededRandom random(5);
  auto files = co_await JournalFiles::open(m.world.disk(), m.options.journal_directory);
  auto journal = co_await log::open_segment_journal(m.world.disk(), scheduler, random, {.directory = directory});
  EXPECT_TRUE(files && journal);
  while (true) {
    auto record = co_await files->next();
    if (!record || !*record) break;
    Bytes bytes((*record)->payload.begin(), (*record)->payload.end());
    auto reader = JournalBatchReader::open(bytes);
    CO_EXPECT(reader);
    JournalBatch batch;
    JournalStep step;
    bool changed = false;
    while (true) {
      auto more = reader->next(step);
      CO_EXPECT(more);
      if (!*more) break;
      if (!step.turn && step.request.kind == RequestKind::kNewOrder) {
        step.digest ^= 1 << 7;
        changed = true;
      }
      batch.add(step);
    }
    if (changed) {
      EXPECT_TRUE((*journal)->append(batch.parts(false)));
    } else {
      EXPECT_TRUE((*journal)->append(bytes));
    }
  }
  EXPECT_TRUE(co_await (*journal)->close());
}

Task<void> flip_a_digest(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  const Sequence sequence = m.runtime->statistics().sequence;
  auto report = co_await m.runtime->ask(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_TRUE(report);
  EXPECT_TRUE(co_await m.close());
  co_await falsify(m, "falsified");
  m.options.journal_directory = "falsified";
  std::filesystem::remove(m.options.bus_path);
  auto replayed = co_await m.replay_all();
  EXPECT_FALSE(replayed);
  if (replayed) co_return;
  EXPECT_EQ(replayed.error().code(), Code::kCorrupt);
  EXPECT_NE(replayed.error().text().find(std::to_string(sequence)), std::string::npos) << replayed.error().text();
  opened = co_await m.open();
  EXPECT_FALSE(opened);
  if (opened) co_return;
  EXPECT_EQ(opened.error().code(), Code::kCorrupt);
}

TEST(venue_runtime, an_output_that_does_not_come_out_again_is_named) {
  Machine machine(4);
  machine.world.run(flip_a_digest(machine));
}

Task<void> fail_the_disk(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  m.ear.told.clear();
  m.world.disk().set_faults("journal", {.sync_error_ppm = 1'000'000});
  auto report = co_await m.runtime->ask(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_FALSE(report);
  if (report) co_return;
  EXPECT_EQ(report.error().code(), Code::kUnavailable);
  EXPECT_TRUE(m.ear.told.empty());  // nothing is told that the disk may not have
  EXPECT_FALSE(m.runtime->status());
  auto submitted = m.runtime->submit(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_TRUE(!submitted && submitted.error().code() == Code::kUnavailable);
  auto durable = co_await m.runtime->wait_durable(1'000'000);
  EXPECT_TRUE(!durable && durable.error().code() == Code::kUnavailable);
  EXPECT_TRUE(m.runtime->statistics().halted);
  EXPECT_FALSE(co_await m.close());
  m.world.disk().clear_faults();
  opened = co_await m.open();
  CO_EXPECT(opened);
  report = co_await m.runtime->ask(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_TRUE(report);
  EXPECT_TRUE(co_await m.close());
}

TEST(venue_runtime, a_disk_that_fails_stops_the_venue_and_tells_nobody) {
  Machine machine(5);
  machine.world.run(fail_the_disk(machine));
}

// A step that puts out more than the ring holds.
Task<void> overflow(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  for (int i = 0; i < 3'000; ++i) EXPECT_TRUE(co_await m.submit(m.market.order(1, Side::kSell, 10'000 + i % 50, 1)));
  Request cancel = TestMarket::of(RequestKind::kMassCancel);
  cancel.session = 1;
  cancel.body.order = OrderFields{};
  cancel.body.order.account = 2;
  cancel.body.order.client_id = ClientOrderId("all");
  m.ear.told.clear();
  EXPECT_TRUE(co_await m.submit(cancel));
  EXPECT_TRUE(co_await m.submit(m.market.order(1, Side::kSell, 10'000, 1)));
  (void)co_await io::sleep_for(1s);
  const auto cancelled = std::count_if(m.ear.told.begin(), m.ear.told.end(),
                                       [](const Told& t) { return t.report.kind == ReportKind::kCancelled; });
  EXPECT_EQ(cancelled, 3'000);
  EXPECT_EQ(m.ear.told.back().report.kind, ReportKind::kNew);
  const Sequence next = m.runtime->statistics().sequence;
  EXPECT_TRUE(co_await m.close());
  auto replayed = co_await m.replay_all();
  CO_EXPECT(replayed);
  EXPECT_EQ(replayed->next, next);
}

TEST(venue_runtime, a_step_larger_than_the_ring_goes_through_in_parts) {
  for (const AckMode ack : {AckMode::kDisk, AckMode::kBus}) {
    Machine machine(6, ack);
    machine.options.bus_slots = 1 << 10;
    machine.world.run(overflow(machine));
  }
}

Task<void> ask_for_nothing(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  Request numbers = TestMarket::of(RequestKind::kSessionNumbers);
  numbers.body.numbers = NumbersFields{};
  auto report = co_await m.runtime->ask(numbers);
  EXPECT_TRUE(report || report.error().code() == Code::kInvalid);
  EXPECT_TRUE(co_await m.close());
}

TEST(venue_runtime, a_question_without_an_answer_ends) {
  Machine machine(7);
  machine.world.run(ask_for_nothing(machine));
}

Task<void> stubborn_follower(Machine& m, Rows& rows) {
  rows.failures = 3;
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  (void)co_await io::sleep_for(500ms);
  EXPECT_NE(m.runtime->statistics().follower_failure, "");
  EXPECT_TRUE(rows.rows.empty());
  (void)co_await io::sleep_for(5s);
  EXPECT_EQ(m.runtime->statistics().follower_failure, "");
  EXPECT_EQ(rows.rows.size(), m.runtime->statistics().requests);
  EXPECT_TRUE(co_await m.close());
}

TEST(venue_runtime, a_follower_that_fails_is_asked_again_and_the_venue_goes_on) {
  Machine machine(8);
  Rows rows;
  machine.followers = {&rows};
  machine.world.run(stubborn_follower(machine, rows));
}

Task<void> wait_for_a_date(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  Request order = m.market.order(1, Side::kSell, 10'000, 10);
  order.body.order.time_in_force = TimeInForce::kGoodTillDate;
  order.body.order.expires_at = (m.world.clock().wall() + 2s).time_since_epoch().count();
  EXPECT_TRUE(m.runtime->submit(order));
  (void)co_await io::sleep_for(1s);
  EXPECT_EQ(m.ear.told.back().report.kind, ReportKind::kNew);
  (void)co_await io::sleep_for(2s);
  EXPECT_EQ(m.ear.told.back().report.kind, ReportKind::kExpired);
  EXPECT_TRUE(co_await m.close());
}

TEST(venue_runtime, orders_expire_by_timers_that_are_requests) {
  Machine machine(9);
  machine.world.run(wait_for_a_date(machine));
}

}  // namespace
}  // namespace polis::exchange
