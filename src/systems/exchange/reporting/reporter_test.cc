#include "systems/exchange/reporting/reporter.h"

#include <map>
#include <tuple>

#include "systems/exchange/reporting/desk_test.h"
#include "systems/exchange/runtime/market_test.h"

namespace polis::exchange {
namespace {

// Everything that the venue told, as whoever listens hears it.
class Witness final : public EgressListener {
 public:
  void on_report(Sequence sequence, VenueTime time, const Report& report) override {
    if (has_message(report)) of_session[report.session].push_back({sequence, time, report});
    if (report.account == 0 || (report.flags & Report::kCopy) != 0) return;
    if (report.kind == ReportKind::kTrade) ++fills[report.account];
    if (report.order == 0) return;
    switch (report.kind) {
      case ReportKind::kNew:
      case ReportKind::kRejected:
        entered[report.order] = {sequence, time};
        [[fallthrough]];
      case ReportKind::kTrade:
      case ReportKind::kCancelled:
      case ReportKind::kReplaced:
      case ReportKind::kExpired:
      case ReportKind::kTriggered:
      case ReportKind::kRestated:
        newest[report.order] = {sequence, time, report};
        break;
      default:
        break;
    }
  }
  void on_event(Sequence, VenueTime, const Event& event) override {
    if (event.kind == Event::Kind::kTrade) ++trades[event.instrument];
  }
  void on_batch_end() override {}
  std::map<SessionId, std::vector<StoredReport>> of_session;
  std::map<OrderId, StoredReport> newest;
  std::map<OrderId, std::pair<Sequence, VenueTime>> entered;
  std::map<AccountId, size_t> fills;
  std::map<InstrumentId, size_t> trades;
};

class ReporterTest : public testing::TestWithParam<ThreadMode> {
 protected:
  ReporterTest() { desk.threads = GetParam(); }
  Task<void> compare() {
    co_await desk.caught_up();
    for (const auto& [session, told] : witness.of_session) {
      std::vector<StoredReport> stored;
      while (stored.size() < told.size()) {
        const auto page = co_await desk.reports->of_session(session, stored.size() + 1, 777);
        CO_EXPECT(page);
        ASSERT_FALSE_CO(page->empty());
        stored.insert(stored.end(), page->begin(), page->end());
      }
      EXPECT_EQ(stored.size(), told.size());
      for (size_t i = 0; i < told.size(); ++i) {
        EXPECT_EQ(stored[i].sequence, told[i].sequence);
        EXPECT_EQ(stored[i].time, told[i].time);
        EXPECT_EQ(std::memcmp(&stored[i].report, &told[i].report, sizeof(Report)), 0) << "report " << i;
      }
    }
    for (const auto& [id, told] : witness.newest) {
      const auto order = co_await desk.reports->order(id);
      CO_EXPECT(order);
      EXPECT_TRUE(*order);
      if (!*order) continue;
      OrderRecord expected = order_of(told.sequence, told.time, told.report);
      std::tie(expected.entered_sequence, expected.entered) = witness.entered.at(id);
      EXPECT_EQ(**order, expected);
    }
    std::map<AccountId, size_t> made;
    for (const auto& [id, told] : witness.newest) ++made[told.report.account];
    for (const auto& [account, count] : made) co_await compare_list(account, count);
    for (const auto& [account, count] : witness.fills) {
      size_t found = 0;
      Sequence before = 0;
      do {
        const auto page = co_await desk.reports->fills({.account = account, .before = before, .limit = 100});
        CO_EXPECT(page);
        found += page->fills.size();
        before = page->more_before;
      } while (before != 0);
      EXPECT_EQ(found, count);
    }
    for (const auto& [instrument, count] : witness.trades) {
      size_t found = 0;
      MatchId before = 0;
      for (;;) {
        const auto page = co_await desk.reports->trades(instrument, before, 100);
        CO_EXPECT(page);
        if (page->empty()) break;
        EXPECT_TRUE(before == 0 || page->front().record.match == before - 1);
        found += page->size();
        before = page->back().record.match;
      }
      EXPECT_EQ(found, count);
    }
    co_await compare_money();
  }

  // An order that is found in its account's list is what is found by its id.
  Task<void> compare_list(AccountId account, size_t count) {
    size_t found = 0;
    for (Sequence before = 0;;) {
      const auto page = co_await desk.reports->orders(account, before, 100);
      CO_EXPECT(page);
      if (page->empty()) break;
      for (const OrderRecord& order : *page) EXPECT_EQ(*co_await desk.reports->order(order.order), order);
      found += page->size();
      before = page->back().entered_sequence;
    }
    EXPECT_EQ(found, count);
  }

  // What the movements say is what the balances are.
  Task<void> compare_money() {
    std::map<std::pair<AccountId, AssetId>, Amount> balances, moved;
    CO_EXPECT(co_await desk.venue->inspect([&](const Venue& venue) {
      for (AccountId account = 1; account <= venue.orders().accounts(); ++account)
        for (const auto& [asset, balance] : venue.orders().balances(account))
          if (balance.total != 0) balances[{account, asset}] = balance.total;
    }));
    for (AccountId account = 1; account < 2 + TestMarket::kAccounts; ++account)
      CO_EXPECT(co_await desk.reports->movements(account, 0, UINT64_MAX, [&](const Movement& movement) {
        moved[{account, movement.asset}] += movement.amount;
        return true;
      }));
    std::erase_if(moved, [](const auto& one) { return one.second == 0; });
    EXPECT_EQ(moved, balances);
  }

  static void ASSERT_FALSE_CO(bool broken) { POLIS_ASSERT(!broken); }

  Task<void> trade(size_t requests) {
    for (size_t i = 0; i < requests; ++i) {
      const Request request = market.random(random);
      while (!desk.venue->submit(request)) (void)co_await io::sleep_for(std::chrono::milliseconds(1));
      if (i % 64 == 0) co_await io::yield();
    }
    co_await quiet();
  }

  // Until everything that was submitted has been answered, by the engine's thread, too, and told.
  Task<void> quiet() {
    for (uint64_t before = 0, now = 1; before != now;) {
      before = desk.venue->statistics().sequence;
      CO_EXPECT(co_await desk.venue->wait_durable(before - 1));
      (void)co_await io::sleep_for(std::chrono::milliseconds(100));
      now = desk.venue->statistics().sequence;
    }
  }

  TestDesk desk;
  TestMarket market;
  Witness witness;
  base::SeededRandom random{7};
};

TEST_P(ReporterTest, what_was_told_stands_in_the_rows_over_restarts) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await desk.open());
    desk.venue->subscribe(witness);
    for (const Request& request : TestMarket::beginning()) CO_EXPECT(desk.venue->submit(request));
    co_await trade(3000);
    co_await compare();
    for (int life = 0; life < 3; ++life) {
      co_await trade(500);
      // Nobody waits for the rows here: the next life makes up for what this one did not write.
      desk.venue->unsubscribe(witness);
      co_await desk.close();
      CO_EXPECT(co_await desk.open());
      desk.venue->subscribe(witness);
      market.prefix = "life" + std::to_string(life);
    }
    co_await trade(1000);
    co_await compare();
    desk.venue->unsubscribe(witness);
    co_await desk.close();
  });
}

TEST_P(ReporterTest, a_trade_that_is_broken_is_taken_back_in_the_rows) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await desk.open());
    for (const Request& request : TestMarket::beginning()) CO_EXPECT(desk.venue->submit(request));
    CO_EXPECT(co_await desk.venue->ask(market.order(1, Side::kSell, 10'000, 300)));
    CO_EXPECT(co_await desk.venue->ask(market.order(2, Side::kBuy, 10'000, 200)));
    co_await desk.caught_up();
    Request request = TestMarket::of(RequestKind::kBreakTrade);
    request.body.trade = {.instrument = 1, .match = 1};
    const auto answer = co_await desk.venue->ask(request);
    CO_EXPECT(answer);
    EXPECT_EQ(answer->kind, ReportKind::kDone);
    co_await desk.caught_up();
    const auto trades = co_await desk.reports->trades(1, 0, 10);
    CO_EXPECT(trades);
    EXPECT_EQ(trades->size(), 1u);
    EXPECT_TRUE(trades->at(0).broken);
    for (const AccountId account : {2, 3}) {
      co_await compare_list(account, 1);
      EXPECT_EQ((co_await desk.reports->orders(account, 0, 10))->at(0).filled, 0);
    }
    const auto fills = co_await desk.reports->fills({.account = 2});
    CO_EXPECT(fills);
    EXPECT_EQ(fills->fills.size(), 2u);
    EXPECT_TRUE(fills->fills.at(0).broken);
    EXPECT_FALSE(fills->fills.at(1).broken);
    co_await compare_money();
    co_await desk.close();
  });
}

TEST_P(ReporterTest, pages_of_orders_and_fills_end_where_they_should) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await desk.open());
    for (const Request& request : TestMarket::beginning()) CO_EXPECT(desk.venue->submit(request));
    std::vector<OrderId> made;
    for (int i = 0; i < 25; ++i) {
      const auto report = co_await desk.venue->ask(market.order(1, Side::kBuy, 9'000 + i, 10));
      CO_EXPECT(report);
      made.push_back(report->order);
      if (i == 10) co_await desk.caught_up();
    }
    co_await desk.caught_up();
    std::vector<OrderId> found;
    for (Sequence before = 0;;) {
      const auto page = co_await desk.reports->orders(2, before, 10);
      CO_EXPECT(page);
      for (const OrderRecord& order : *page) found.push_back(order.order);
      if (page->size() < 10) break;
      before = page->back().entered_sequence;
    }
    EXPECT_TRUE(std::equal(made.rbegin(), made.rend(), found.begin(), found.end()));
    EXPECT_TRUE((co_await desk.reports->fills({.account = 2}))->fills.empty());
    EXPECT_FALSE(co_await desk.reports->fills({.account = 2, .limit = 0}));
    EXPECT_FALSE(co_await desk.reports->orders(2, 0, kPageMax + 1));
    EXPECT_TRUE((co_await desk.reports->of_session(99, 1, 10))->empty());
    EXPECT_FALSE(*co_await desk.reports->order(12345));
    co_await desk.close();
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, ReporterTest, testing::Values(ThreadMode::kFused, ThreadMode::kSplit),
                         [](const auto& mode) { return mode.param == ThreadMode::kFused ? "Fused" : "Split"; });

}  // namespace
}  // namespace polis::exchange
