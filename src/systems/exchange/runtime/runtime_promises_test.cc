// What the venue promises for the day when something is wrong with itself: sums that do not add up halt it, a shadow
// that comes to another result stops it, a full disk costs nothing that anybody was told, and a shadow that is far
// behind does not hold up a stop.
#include <array>
#include <fcntl.h>
#include <unistd.h>

#include "kernel/base/clock.h"
#include "kernel/machine/snapshot.h"
#include "kernel/obs/log.h"
#include "systems/exchange/runtime/simulated_venue_test.h"

namespace polis::exchange {
namespace {

using namespace std::chrono_literals;

// Of each asset, in each of the market's accounts.
constexpr Amount kPaidIn = 1'000'000'000;
constexpr Amount kPaidInByAll = kPaidIn * TestMarket::kAccounts;
constexpr AssetId kShares = 2;  // "S1", of instrument 1

// The lines of this process, while it lives.
class Lines {
 public:
  Lines() : sink_(::open("/dev/null", O_WRONLY | O_CLOEXEC)), log_(obs::Log::to_descriptor(clock_, {}, sink_)) {
    log_->install();
  }
  ~Lines() {
    log_.reset();
    ::close(sink_);
  }
  // Errors of that event, whole.
  std::vector<std::string> errors(std::string_view event) const {
    std::vector<std::string> found;
    for (const obs::LogLine& line : log_->recent(1000, obs::Level::kError))
      if (line.event == event) found.push_back(line.json);
    return found;
  }

 private:
  base::SystemClock clock_;
  int sink_;
  std::unique_ptr<obs::Log> log_;
};

template <class... T>
Bytes laid_out(T... values) {
  Bytes bytes;
  const auto add = [&bytes](auto value) {
    const auto* begin = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), begin, begin + sizeof value);
  };
  (add(values), ...);
  return bytes;
}

// A venue whose memory is wrong: its newest snapshot is written once more, `was` replaced where it first stands.
Task<void> falsify_snapshot(Machine& m, Bytes was, Bytes becomes) {
  io::Disk& disk = m.world.disk();
  const std::string& directory = m.options.snapshot_directory;
  const auto all = co_await machine::list_snapshots(disk, directory);
  EXPECT_TRUE(all && !all->empty());
  auto reader = co_await machine::SnapshotReader::open(disk, machine::snapshot_path(directory, all->front()),
                                                       machine::machine_number("polis exchange"));
  CO_EXPECT(reader);
  auto writer = co_await machine::SnapshotWriter::begin(disk, directory, reader->header());
  CO_EXPECT(writer);
  bool found = false;
  while (true) {
    auto piece = co_await reader->next();
    CO_EXPECT(piece);
    if (!*piece) break;
    Bytes bytes((*piece)->begin(), (*piece)->end());
    if (const auto at = std::search(bytes.begin(), bytes.end(), was.begin(), was.end()); !found && at != bytes.end()) {
      std::copy(becomes.begin(), becomes.end(), at);
      found = true;
    }
    EXPECT_TRUE(co_await writer->piece(bytes));
  }
  EXPECT_TRUE(found) << "the snapshot does not hold what was to be changed";
  EXPECT_TRUE(co_await writer->finish());
}

// A market that closed in order behind a snapshot of itself.
Task<void> market_with_snapshot(Machine& m) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  auto report = co_await m.runtime->ask(m.market.order(2, Side::kSell, 10'000, 10));
  EXPECT_TRUE(report && report->kind == ReportKind::kNew);
  EXPECT_TRUE(co_await m.runtime->snapshot());
  EXPECT_TRUE(co_await m.close());
}

// The venue stands with one share too many, or says so: it halts within two seconds, and again whenever it is accepted
// as it is.
Task<void> expect_halted(Machine& m, std::string why) {
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_FALSE(m.runtime->statistics().halted);
  auto report = co_await m.runtime->ask(m.market.order(1, Side::kBuy, 9'000, 1));
  EXPECT_TRUE(report && report->kind == ReportKind::kNew);
  for (int life = 0; life < 2; ++life) {
    (void)co_await io::sleep_for(2s);
    const RuntimeStatistics statistics = m.runtime->statistics();
    EXPECT_TRUE(statistics.halted);
    if (life == 0) {
      EXPECT_NE(statistics.halted_why.find(why), std::string::npos) << statistics.halted_why;
    }
    EXPECT_TRUE(m.runtime->status());  // it stands, and can be asked
    report = co_await m.runtime->ask(m.market.order(1, Side::kBuy, 9'000, 1));
    EXPECT_TRUE(report && report->kind == ReportKind::kRejected && report->refusal == Refusal::kHalted);
    if (life == 1) break;
    EXPECT_TRUE(co_await m.close());
    opened = co_await m.open();
    CO_EXPECT(opened);
  }
  report = co_await m.runtime->ask(TestMarket::of(RequestKind::kAccept));
  EXPECT_TRUE(report && report->kind == ReportKind::kDone);
  (void)co_await io::sleep_for(2500ms);
  EXPECT_TRUE(m.runtime->statistics().halted);
  EXPECT_NE(m.runtime->statistics().halted_why.find(why), std::string::npos);
  EXPECT_TRUE(co_await m.close());
}

Task<void> one_share_too_many(Machine& m) {
  co_await market_with_snapshot(m);
  co_await falsify_snapshot(m, laid_out(AccountId{9}, kShares, kPaidIn), laid_out(AccountId{9}, kShares, kPaidIn + 1));
  co_await expect_halted(m,
                         fmt::format("accounts hold {} of asset S1, paid in were {}", kPaidInByAll + 1, kPaidInByAll));
}

TEST(venue_promises, balances_that_do_not_make_the_sum_paid_in_halt_the_venue) {
  const Lines lines;
  Machine machine(21);
  machine.world.run(one_share_too_many(machine));
  // Once when it halted, and once when it was accepted as it is.
  EXPECT_EQ(lines.errors("the venue has halted itself").size(), 2u);
}

Task<void> a_running_sum_that_ran_away(Machine& m, Rows& before, Rows& after) {
  m.followers = {&before};
  co_await market_with_snapshot(m);
  co_await falsify_snapshot(m, laid_out(kPaidInByAll, kPaidInByAll), laid_out(kPaidInByAll - 1, kPaidInByAll));
  // Its shadow begins with the first record, and finds everything right.
  m.followers = {&after};
  co_await expect_halted(m,
                         fmt::format("accounts hold {} of asset USD, paid in were {}", kPaidInByAll - 1, kPaidInByAll));
}

TEST(venue_promises, a_running_sum_that_is_not_what_was_paid_in_halts_the_venue) {
  Machine machine(22);
  Rows before, after;
  machine.world.run(a_running_sum_that_ran_away(machine, before, after));
}

// The live venue believes that an account has no shares; its shadow knows better.
Task<void> disagree(Machine& m, Rows& before, Rows& after, const Lines& lines) {
  m.followers = {&before};
  co_await market_with_snapshot(m);
  co_await falsify_snapshot(m, laid_out(AccountId{2}, kShares, kPaidIn), laid_out(AccountId{2}, kShares, Amount{0}));
  m.followers = {&after};
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  const Sequence sequence = m.runtime->statistics().sequence;
  // Whether he learns of the refusal before the shadow does is a race; what it says is not.
  auto report = co_await m.runtime->ask(m.market.order(1, Side::kSell, 10'000, 10));
  EXPECT_TRUE(!report || report->refusal == Refusal::kBalance);
  (void)co_await io::sleep_for(500ms);

  const std::string why = fmt::format("the step at sequence {} does not come out as it did", sequence);
  const auto status = m.runtime->status();
  EXPECT_FALSE(status);
  if (status) co_return (void) co_await m.close();
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_NE(status.error().text().find(why), std::string::npos) << status.error().text();
  EXPECT_TRUE(m.runtime->statistics().halted);
  EXPECT_NE(m.runtime->statistics().halted_why.find(why), std::string::npos);
  const auto errors = lines.errors("the venue has stopped");
  EXPECT_TRUE(errors.size() == 1 && errors[0].find(why) != std::string::npos);

  // Nobody is told anything any more, and nobody waits.
  const size_t told = m.ear.told.size();
  auto submitted = m.runtime->submit(m.market.order(2, Side::kSell, 10'000, 10));
  EXPECT_TRUE(!submitted && submitted.error().code() == Code::kUnavailable);
  report = co_await m.runtime->ask(m.market.order(2, Side::kSell, 10'000, 10));
  EXPECT_TRUE(!report && report.error().code() == Code::kUnavailable);
  auto durable = co_await m.runtime->wait_durable(1'000'000);
  EXPECT_TRUE(!durable && durable.error().code() == Code::kUnavailable);
  EXPECT_FALSE(co_await m.runtime->snapshot());
  (void)co_await io::sleep_for(1s);
  EXPECT_EQ(m.ear.told.size(), told);
  EXPECT_LE(m.runtime->statistics().shadow, sequence);
  for (const auto& [step, digest] : after.rows) EXPECT_LT(step, sequence);
  EXPECT_FALSE(co_await m.close());

  // From the journal alone the venue does not even open.
  for (const std::string& path : m.world.disk().files(m.options.snapshot_directory))
    EXPECT_TRUE(co_await m.world.disk().remove(path));
  std::filesystem::remove(m.options.bus_path);
  opened = co_await m.open();
  EXPECT_FALSE(opened);
  if (opened) co_return;
  EXPECT_EQ(opened.error().code(), Code::kCorrupt);
  EXPECT_NE(opened.error().text().find(why), std::string::npos) << opened.error().text();
}

TEST(venue_promises, a_shadow_that_comes_to_another_result_stops_the_venue) {
  const Lines lines;
  Machine machine(23);
  Rows before, after;
  machine.world.run(disagree(machine, before, after, lines));
}

// Takes long to commit; at first for as long as it is not let.
class SlowRows final : public Rows {
 public:
  Task<Result<void>> commit(Sequence upto) override {
    CO_TRY(co_await let.wait());
    CO_TRY(co_await io::sleep_for(takes));
    co_return co_await Rows::commit(upto);
  }
  io::Event let;
  Duration takes{};
};

Task<void> stop_far_ahead(Machine& m) {
  SlowRows rows;
  m.followers = {&rows};
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  for (int i = 0; i < 95'000; ++i)
    EXPECT_TRUE(co_await m.submit(m.market.order(1, Side::kSell, 10'000 + i % 1'000, 1)));
  (void)co_await io::sleep_for(1s);
  const RuntimeStatistics statistics = m.runtime->statistics();
  EXPECT_EQ(statistics.durable, statistics.sequence);
  // More than two commits of its largest size (262,144 places) are missing, which take 2.4 s.
  EXPECT_LT(statistics.shadow + 530'000, statistics.sequence);
  rows.takes = 800ms;
  rows.let.set();
  const SteadyTime begin = m.world.clock().steady();
  auto closed = co_await m.close();
  EXPECT_TRUE(closed) << closed.error().text();
  const Duration took = m.world.clock().steady() - begin;
  // A second from the stop on, and the commit that was in hand when it was over.
  EXPECT_LE(took, 2s);
  EXPECT_LT(rows.committed(), statistics.sequence);

  rows.lose_uncommitted();
  rows.takes = {};
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_EQ(m.runtime->statistics().sequence, statistics.sequence);
  EXPECT_TRUE(co_await m.runtime->snapshot());
  EXPECT_GE(rows.committed(), statistics.sequence);
  EXPECT_TRUE(co_await m.close());
  std::vector<std::pair<Sequence, uint64_t>> steps;
  auto replayed = co_await m.replay_all([&](const Stamp& stamp, const Request*, const Outputs& outputs) {
    steps.push_back({stamp.sequence, outputs.digest()});
  });
  EXPECT_TRUE(replayed);
  EXPECT_EQ(rows.rows, steps);
}

TEST(venue_promises, a_stop_does_not_wait_for_a_shadow_that_is_far_behind_and_the_next_start_does_the_rest) {
  Machine machine(24);
  machine.world.run(stop_far_ahead(machine));
}

Task<void> fill_the_disk(Machine& m, AckMode ack) {
  // Nothing can be reserved, and the disk is full in the middle of a record.
  m.world.disk().set_capacity((256 << 10) + 12'345);
  auto opened = co_await m.open();
  CO_EXPECT(opened);
  auto begun = co_await m.begin_market();
  CO_EXPECT(begun);
  Result<void> submitted;
  uint64_t taken = 0;
  for (; submitted && taken < 100'000; ++taken) {
    submitted = co_await m.submit(m.market.random(m.world.random()));
    if (m.world.random().chance(1, 50)) (void)co_await io::sleep_for(5ms);
  }
  EXPECT_FALSE(submitted);
  if (submitted) co_return (void) co_await m.close();
  EXPECT_EQ(submitted.error().code(), Code::kUnavailable);
  EXPECT_NE(submitted.error().text().find("full"), std::string::npos) << submitted.error().text();
  EXPECT_FALSE(m.runtime->status());
  (void)co_await io::sleep_for(1s);
  const std::vector<Told> told = m.ear.told;
  EXPECT_GT(told.size(), 100u);
  (void)co_await io::sleep_for(5s);
  EXPECT_EQ(m.ear.told.size(), told.size());
  EXPECT_FALSE(co_await m.close());

  // As long as it is full the venue may open, but takes nothing that it could not keep.
  const auto before = m.ear.told.size();
  opened = co_await m.open();
  if (opened) {
    auto report = co_await m.runtime->ask(m.market.order(1, Side::kBuy, 10'000, 1));
    EXPECT_TRUE(ack == AckMode::kBus || !report);
    (void)co_await io::sleep_for(1s);
    EXPECT_FALSE(m.runtime->status());
    EXPECT_FALSE(co_await m.close());
  }
  std::vector<Told> all = told;
  all.insert(all.end(), m.ear.told.begin() + static_cast<ptrdiff_t>(before), m.ear.told.end());

  m.world.disk().set_capacity(uint64_t{1} << 40);
  if (ack == AckMode::kDisk) {  // what was told must not hang on the ring
    m.world.disk().crash();
    m.world.disk().restart();
    std::filesystem::remove(m.options.bus_path);
  }
  opened = co_await m.open();
  CO_EXPECT(opened);
  EXPECT_FALSE(m.runtime->statistics().halted) << m.runtime->statistics().halted_why;
  auto report = co_await m.runtime->ask(TestMarket::deposit(2, 1, 5, 1'000'000'000));
  EXPECT_TRUE(report && report->kind != ReportKind::kDenied);
  Result<void> sums;
  EXPECT_TRUE(co_await m.runtime->inspect([&](const Venue& venue) { sums = venue.orders().check_sums(true); }));
  EXPECT_TRUE(sums) << sums.error().text();
  EXPECT_TRUE(co_await m.close());
  std::map<Sequence, Report> reports;
  Result<Replayed> replayed;
  co_await collect(m, reports, replayed);
  CO_EXPECT(replayed);
  for (const Told& one : all) {
    const auto found = reports.find(one.sequence);
    EXPECT_TRUE(found != reports.end() && same(found->second, one.report)) << "the report at " << one.sequence;
  }
}

TEST(venue_promises, a_full_disk_stops_the_venue_and_loses_nothing_that_was_told) {
  for (const AckMode ack : {AckMode::kDisk, AckMode::kBus}) {
    SCOPED_TRACE(static_cast<int>(ack));
    Machine machine(25, ack);
    machine.world.run(fill_the_disk(machine, ack));
  }
}

}  // namespace
}  // namespace polis::exchange
