// The venue's rules one by one, in examples.
#include <gtest/gtest.h>

#include "systems/exchange/venue/order_manager_state.h"
#include "systems/exchange/venue/venue_test_support.h"

namespace polis::exchange::testing_venue {
namespace {

struct VenueTest : testing::Test {
  TestVenue it;
  VenueTest() { it.prepare(); }
  const OrderManager& orders() const { return it.venue.orders(); }
  Report only(const Request& request) {
    const auto reports = it.send(request);
    EXPECT_EQ(reports.size(), 1u);
    return reports.empty() ? Report{} : reports[0];
  }
  std::vector<Report> of(SessionId session, const Request& request) {
    std::vector<Report> mine;
    for (const Report& report : it.send(request))
      if (report.session == session) mine.push_back(report);
    return mine;
  }
  ~VenueTest() override {
    const auto sums = orders().check_sums(true);
    EXPECT_TRUE(sums.has_value()) << sums.error().text();
  }
};

TEST_F(VenueTest, buys_2700_through_the_book_of_the_example) {
  int number = 0;
  const auto add = [&](Side side, Price price, std::initializer_list<Quantity> sizes) {
    for (const Quantity size : sizes)
      EXPECT_EQ(only(order(2, 1, "s" + std::to_string(++number), side, size, price)).kind, ReportKind::kNew);
  };
  add(Side::kSell, 10010, {200, 400, 1100, 100});
  add(Side::kSell, 10011, {900, 700, 400});
  add(Side::kBuy, 10008, {500, 600, 900});
  Request market = order(1, 1, "a1", Side::kBuy, 2700, 0, OrderType::kMarket, TimeInForce::kImmediateOrCancel);
  market.message_number = 2;
  market.tag = 7;
  const auto mine = of(1, market);
  ASSERT_EQ(mine.size(), 6u);
  EXPECT_EQ(mine[0].kind, ReportKind::kNew);
  for (const Report& report : mine) {
    EXPECT_EQ(report.tag, 7u);
    EXPECT_EQ(report.message_number, 2u);
    EXPECT_EQ(report.filled + report.left, 2700);
  }
  EXPECT_EQ(mine[5].status, OrderStatus::kFilled);
  EXPECT_EQ(mine[5].last_quantity, 900);
  const Amount notional = 1800 * 10010 + 900 * 10011;
  EXPECT_EQ(mine[5].notional, notional);
  const Amount fee = (notional * 200 + 999'999) / 1'000'000;
  EXPECT_EQ(orders().balance(2, 1).total, 1'000'000 + 2700);
  EXPECT_EQ(orders().balance(2, 2).total, 1'000'000'000 - notional - fee);
  EXPECT_EQ(orders().balance(2, 2).reserved, 0);
  EXPECT_EQ(orders().balance(1, 2).total, fee);
  EXPECT_EQ(orders().position(2, 1), 2700);
  EXPECT_EQ(orders().position(3, 1), -2700);
}

TEST_F(VenueTest, fees_are_rounded_up_once_an_order_and_not_once_a_fill) {
  // 0.02% of 100 units is 0.02 units: a hundred fills of it are 2 units, not 100.
  it.send(order(1, 1, "buys", Side::kBuy, 100, 100));
  InstrumentDefinition costly = shares(1, "ABC", 1, 2);
  costly.maker_fee_hundredths_bp = 0;
  it.send(instrument(costly));
  for (int i = 0; i < 100; ++i) it.send(order(2, 1, "s" + std::to_string(i), Side::kSell, 1, 100));
  // Each of the seller's hundred orders pays one unit; the buyer came when makers paid nothing.
  EXPECT_EQ(orders().balance(1, 2).total, 100);
  it.send(order(2, 1, "sells", Side::kSell, 100, 100));
  Amount fees = 0;
  for (int i = 0; i < 100; ++i)
    for (const Report& report : of(1, order(1, 1, "b" + std::to_string(i), Side::kBuy, 1, 100))) fees += report.fee;
  EXPECT_EQ(fees, 100);
  Amount taken = 0;
  for (int i = 0; i < 10; ++i) it.send(order(2, 1, "t" + std::to_string(i), Side::kSell, 10, 100));
  for (const Report& report : of(1, order(1, 1, "takes", Side::kBuy, 100, 100))) taken += report.fee;
  EXPECT_EQ(taken, 2);
}

TEST_F(VenueTest, a_better_price_gives_back_what_was_reserved_too_much) {
  it.send(order(2, 1, "s", Side::kSell, 10, 90));
  it.send(order(1, 1, "b", Side::kBuy, 20, 100));
  // 10 at 90 with a fee of one; 10 rest at 100, and their fee is in what was rounded up for both together.
  EXPECT_EQ(orders().balance(2, 2).total, 1'000'000'000 - 900 - 1);
  EXPECT_EQ(orders().balance(2, 2).reserved, 1000);
  it.send(cancel(1, "c", "b"));
  EXPECT_EQ(orders().balance(2, 2).reserved, 0);
}

TEST_F(VenueTest, what_is_reserved_cannot_be_spent_twice_or_withdrawn) {
  it.send(order(1, 1, "a", Side::kSell, 1'000'000, 100));
  EXPECT_EQ(only(order(1, 1, "b", Side::kSell, 1, 100)).refusal, Refusal::kBalance);
  EXPECT_EQ(only(withdraw(2, 1, 1)).refusal, Refusal::kBalance);
  it.send(cancel(1, "c", "a"));
  const Report paid = only(withdraw(2, 1, 1'000'000));
  EXPECT_EQ(paid.kind, ReportKind::kWithdrawn);
  EXPECT_EQ(paid.left, 0);
}

TEST_F(VenueTest, a_chain_of_client_ids_is_followed_by_its_newest_name_alone) {
  it.send(order(1, 1, "a", Side::kBuy, 10, 100));
  Report report = only(replace(1, "b", "a", 20, 101));
  EXPECT_EQ(report.kind, ReportKind::kReplaced);
  EXPECT_EQ(report.client_id.view(), "b");
  EXPECT_EQ(report.original_id.view(), "a");
  EXPECT_EQ(only(cancel(1, "c", "a")).refusal, Refusal::kUnknownOrder);
  EXPECT_EQ(only(cancel(1, "c", "b")).refusal, Refusal::kDuplicateClientId);
  EXPECT_EQ(only(order(1, 1, "a", Side::kBuy, 1, 100)).refusal, Refusal::kDuplicateClientId);
  EXPECT_EQ(only(order(2, 1, "a", Side::kBuy, 1, 100)).kind, ReportKind::kNew);  // another session's
  EXPECT_EQ(only(cancel(2, "c", "b")).refusal, Refusal::kUnknownOrder);
  EXPECT_EQ(orders().order(1, "a")->order, orders().order(1, "b")->order);
  report = only(cancel(1, "d", "b"));
  EXPECT_EQ(report.kind, ReportKind::kCancelled);
  EXPECT_EQ(report.client_id.view(), "d");
  EXPECT_EQ(only(cancel(1, "e", "d")).refusal, Refusal::kTooLate);
  EXPECT_EQ(only(cancel(1, "f", "nobody")).refusal, Refusal::kUnknownOrder);
}

TEST_F(VenueTest, a_replace_to_what_is_filled_ends_the_order_as_filled) {
  it.send(order(1, 1, "a", Side::kBuy, 10, 100));
  it.send(order(2, 1, "s", Side::kSell, 4, 100));
  const Report report = only(replace(1, "b", "a", 3, 100));
  EXPECT_EQ(report.kind, ReportKind::kReplaced);
  EXPECT_EQ(report.status, OrderStatus::kFilled);
  EXPECT_EQ(report.quantity, 4);
  EXPECT_EQ(report.left, 0);
  EXPECT_EQ(orders().balance(2, 2).reserved, 0);
}

TEST_F(VenueTest, a_market_buy_goes_no_further_than_the_account_can_pay) {
  it.send(account(4, "poor"));
  it.send(session(3, "POOR", 4));
  it.send(deposit(4, 2, 1'050));
  it.send(order(2, 1, "s1", Side::kSell, 5, 100));
  it.send(order(2, 1, "s2", Side::kSell, 5, 110));
  // 10 lots: 105 a lot at most, less the fee. Five at 100, the rest would be too dear.
  const auto mine = of(3, order(3, 1, "m", Side::kBuy, 10, 0, OrderType::kMarket));
  ASSERT_EQ(mine.size(), 3u);
  EXPECT_EQ(mine[1].last_price, 100);
  EXPECT_EQ(mine[2].kind, ReportKind::kCancelled);
  EXPECT_EQ(mine[2].cancel, CancelReason::kCollar);
  EXPECT_EQ(orders().balance(4, 2).total, 1'050 - 500 - 1);
  EXPECT_EQ(orders().balance(4, 2).reserved, 0);
  // The last trade is known by now: who cannot pay that is refused.
  EXPECT_EQ(only(order(3, 1, "n", Side::kBuy, 10, 0, OrderType::kMarket)).refusal, Refusal::kBalance);
}

TEST_F(VenueTest, day_orders_end_in_the_order_of_their_ids_and_their_names_are_free_again) {
  for (const char* name : {"a", "b", "c", "d"}) it.send(order(1, 1, name, Side::kBuy, 1, 100));
  it.send(order(1, 1, "stays", Side::kBuy, 1, 100, OrderType::kLimit, TimeInForce::kGoodTillCancel));
  it.send(replace(1, "b2", "b", 2, 100));
  const auto mine = of(1, settle(20240102));
  ASSERT_EQ(mine.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(mine[i].kind, ReportKind::kExpired);
    if (i > 0) {
      EXPECT_LT(mine[i - 1].order, mine[i].order);
    }
  }
  EXPECT_EQ(mine[1].client_id.view(), "b2");
  EXPECT_EQ(orders().day(), 20240102u);
  EXPECT_EQ(only(settle(20240102)).kind, ReportKind::kDenied);
  EXPECT_EQ(only(order(1, 1, "a", Side::kBuy, 1, 100)).kind, ReportKind::kNew);
  EXPECT_EQ(only(order(1, 1, "stays", Side::kBuy, 1, 100)).refusal, Refusal::kDuplicateClientId);
  EXPECT_EQ(only(cancel(1, "x", "stays")).kind, ReportKind::kCancelled);
}

TEST_F(VenueTest, a_deposit_counts_once_however_often_it_is_told) {
  EXPECT_EQ(only(deposit(2, 1, 5, 1000)).kind, ReportKind::kDeposited);
  EXPECT_EQ(only(deposit(2, 1, 5, 1000)).kind, ReportKind::kDone);
  EXPECT_EQ(only(deposit(2, 1, 5, 999)).kind, ReportKind::kDone);
  EXPECT_EQ(orders().balance(2, 1).total, 1'000'005);
  EXPECT_EQ(orders().ledger_time(), 1000u);
  EXPECT_EQ(only(deposit(2, 1, INT64_MAX)).kind, ReportKind::kDenied);
  EXPECT_EQ(only(deposit(2, 1, -5)).kind, ReportKind::kDenied);
  EXPECT_EQ(only(deposit(77, 1, 5)).kind, ReportKind::kDenied);
  EXPECT_EQ(only(deposit(2, 77, 5)).kind, ReportKind::kDenied);
}

TEST_F(VenueTest, a_trade_that_is_taken_back_moves_all_of_its_money_back) {
  it.send(order(1, 1, "b", Side::kBuy, 10, 100));
  it.send(order(2, 1, "s", Side::kSell, 4, 100));
  Request taken_back = request(RequestKind::kBreakTrade);
  taken_back.tag = 3;
  taken_back.body.trade = {.instrument = 1, .match = 1};
  const auto reports = it.send(taken_back);
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].kind, ReportKind::kDone);
  EXPECT_EQ(reports[1].kind, ReportKind::kTradeBreak);
  EXPECT_EQ(reports[1].session, 1u);
  EXPECT_EQ(reports[1].filled, 0);
  EXPECT_EQ(reports[1].quantity, 6);
  EXPECT_EQ(reports[1].left, 6);
  EXPECT_EQ(reports[2].session, 2u);
  EXPECT_EQ(reports[2].fee, 1);
  EXPECT_EQ(orders().balance(2, 1).total, 1'000'000);
  EXPECT_EQ(orders().balance(3, 2).total, 1'000'000'000);
  EXPECT_EQ(orders().balance(1, 2).total, 0);
  EXPECT_EQ(orders().position(3, 1), 0);
  EXPECT_EQ(only(taken_back).refusal, Refusal::kUnknownTrade);
  // It goes on as an order of 6, whatever the engine has counted.
  const Report replaced = only(replace(1, "b2", "b", 3, 100));
  EXPECT_EQ(replaced.quantity, 3);
  EXPECT_EQ(replaced.left, 3);
}

TEST_F(VenueTest, every_limit_of_an_account_refuses_in_its_own_words) {
  it.send(order(1, 1, "1", Side::kBuy, 1, 100));
  it.send(order(2, 1, "2", Side::kSell, 1, 100));  // the last trade is at 100
  int number = 0;
  const auto refused = [&](const RiskLimits& limits, Quantity quantity, Price price, Side side = Side::kBuy) {
    it.send(risk(2, limits));
    Refusal refusal = Refusal::kNone;
    for (const Report& report : it.send(order(1, 1, "x" + std::to_string(++number), side, quantity, price)))
      if (report.kind == ReportKind::kRejected) refusal = report.refusal;
    return refusal;
  };
  EXPECT_EQ(refused({.order_quantity_max = 9}, 10, 99), Refusal::kQuantityLimit);
  EXPECT_EQ(refused({.order_notional_max = 989}, 10, 99), Refusal::kNotionalLimit);
  EXPECT_EQ(refused({.order_notional_max = 990}, 10, 99), Refusal::kNone);
  EXPECT_EQ(refused({.open_orders_max = 1}, 10, 99), Refusal::kOpenOrdersLimit);
  EXPECT_EQ(refused({.price_band_bp = 100}, 10, 98), Refusal::kBand);
  EXPECT_EQ(refused({.price_band_bp = 100}, 10, 99), Refusal::kNone);
  EXPECT_EQ(refused({.position_max = 30}, 10, 99), Refusal::kPositionLimit);  // 1 held, 20 open
  EXPECT_EQ(refused({.position_max = 31}, 10, 99), Refusal::kNone);
  EXPECT_EQ(refused({}, 2'000'000, 200, Side::kSell), Refusal::kBalance);
  EXPECT_EQ(refused({.short_sale_allowed = true, .short_max = 500}, 1'000'600, 200, Side::kSell), Refusal::kShortSale);
  EXPECT_EQ(refused({.short_sale_allowed = true, .short_max = 500}, 1'000'500, 200, Side::kSell), Refusal::kNone);
  EXPECT_EQ(refused({.killed = true}, 1, 99), Refusal::kKilled);
  EXPECT_TRUE(orders().open_orders(2, 10).empty());
  it.send(risk(2, {}));
  Request restricted = request(RequestKind::kRestrict);
  restricted.body.restriction = {.account = 2, .instrument = 1, .restricted = true};
  it.send(restricted);
  EXPECT_EQ(only(order(1, 1, "r", Side::kBuy, 1, 99)).refusal, Refusal::kRestricted);
  EXPECT_EQ(only(order(2, 1, "r", Side::kBuy, 1, 99)).kind, ReportKind::kNew);
}

TEST_F(VenueTest, a_rate_lets_a_burst_through_and_then_so_many_a_second_by_venue_time) {
  it.send(risk(2, {.rate_per_second = 10, .rate_burst = 5}));
  int taken = 0;
  for (int i = 0; i < 20; ++i)
    if (only(order(1, 1, "a" + std::to_string(i), Side::kBuy, 1, 100)).kind == ReportKind::kNew) ++taken;
  EXPECT_EQ(taken, 5);
  it.now += 200'000'000;
  for (int i = 20; i < 40; ++i)
    if (only(order(1, 1, "a" + std::to_string(i), Side::kBuy, 1, 100)).kind == ReportKind::kNew) ++taken;
  EXPECT_EQ(taken, 7);
  // A cancel always gets through, and an id that was refused for the rate may come again.
  EXPECT_EQ(only(cancel(1, "c", "a0")).kind, ReportKind::kCancelled);
  it.now += 1'000'000'000;
  EXPECT_EQ(only(order(1, 1, "a39", Side::kBuy, 1, 100)).kind, ReportKind::kNew);
}

TEST_F(VenueTest, a_halted_venue_takes_cancels_and_nothing_new_until_it_is_accepted) {
  it.send(order(1, 1, "a", Side::kBuy, 1, 100));
  EXPECT_EQ(only(request(RequestKind::kHalt)).kind, ReportKind::kDone);
  EXPECT_TRUE(orders().halted());
  EXPECT_EQ(only(order(1, 1, "b", Side::kBuy, 1, 100)).refusal, Refusal::kHalted);
  EXPECT_EQ(only(replace(1, "b", "a", 2, 100)).refusal, Refusal::kHalted);
  EXPECT_EQ(only(withdraw(2, 2, 1)).refusal, Refusal::kHalted);
  EXPECT_EQ(only(cancel(1, "c", "a")).kind, ReportKind::kCancelled);
  EXPECT_EQ(only(request(RequestKind::kAccept)).kind, ReportKind::kDone);
  EXPECT_EQ(only(order(1, 1, "b", Side::kBuy, 1, 100)).kind, ReportKind::kNew);
}

TEST_F(VenueTest, mass_cancels_name_an_instrument_a_side_or_everything) {
  it.send(asset(3, "XYZ", 0));
  it.send(instrument(shares(2, "XYZ", 3, 2)));
  it.send(deposit(2, 3, 1000));
  it.send(phase(2, Phase::kContinuous));
  int number = 0;
  const auto fill_up = [&] {
    for (InstrumentId id = 1; id <= 2; ++id)
      for (const Side side : {Side::kBuy, Side::kSell})
        it.send(order(1, id, "o" + std::to_string(++number), side, 1, side == Side::kBuy ? 90 : 110));
  };
  const auto mass = [&](InstrumentId instrument, bool one_side) {
    Request made = request(RequestKind::kMassCancel, 1);
    made.instrument = instrument;
    OrderFields fields;
    fields.client_id = ClientOrderId("mass");
    fields.one_side = one_side;
    fields.side = Side::kSell;
    made.body.order = fields;
    const auto reports = it.send(made);
    EXPECT_EQ(reports[0].kind, ReportKind::kMassCancelled);
    EXPECT_EQ(static_cast<size_t>(reports[0].quantity) + 1, reports.size());
    return reports[0].quantity;
  };
  fill_up();
  EXPECT_EQ(mass(1, true), 1);
  EXPECT_EQ(mass(1, false), 1);
  EXPECT_EQ(mass(0, false), 2);
  EXPECT_EQ(mass(0, false), 0);
  fill_up();
  it.send(order(2, 1, "other", Side::kBuy, 1, 90));
  EXPECT_EQ(of(1, request(RequestKind::kDisconnected, 1)).size(), 5u);  // and that it was done
  EXPECT_EQ(orders().open_orders(3, 10).size(), 1u);
}

TEST_F(VenueTest, drop_copies_follow_each_report_of_an_execution) {
  it.send(session(3, "ALL", 0, SessionRole::kDropCopy));
  it.send(session(4, "OF3", 3, SessionRole::kDropCopy));
  const auto reports = it.send(order(2, 1, "a", Side::kBuy, 1, 100));
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].session, 2u);
  EXPECT_EQ(reports[1].session, 3u);
  EXPECT_EQ(reports[2].session, 4u);
  EXPECT_EQ(reports[1].flags & Report::kCopy, Report::kCopy);
  EXPECT_EQ(it.send(order(1, 1, "a", Side::kBuy, 1, 90)).size(), 2u);
  EXPECT_EQ(it.venue.sessions().numbers(3).reports, 2u);
  EXPECT_EQ(it.venue.sessions().numbers(4).next_out, 2u);
}

TEST_F(VenueTest, self_match_ids_are_the_accounts_own) {
  Request one = order(1, 1, "a", Side::kBuy, 1, 100);
  one.body.order.self_match_id = 7;
  it.send(one);
  Request other = order(2, 1, "b", Side::kSell, 1, 100);
  other.body.order.self_match_id = 7;
  EXPECT_EQ(of(1, other).size(), 1u);  // traded
  it.send(one = order(1, 1, "c", Side::kBuy, 1, 100));
  one.body.order.self_match_id = 7;
  one.body.order.client_id = ClientOrderId("d");
  it.send(one);
  other = order(1, 1, "e", Side::kSell, 2, 100);
  other.body.order.self_match_id = 7;
  const auto reports = it.send(other);
  EXPECT_EQ(reports.back().kind, ReportKind::kCancelled);
  EXPECT_EQ(reports.back().cancel, CancelReason::kSelfMatch);
}

TEST_F(VenueTest, orders_that_ended_are_known_for_a_while_and_then_too_late) {
  it.send(risk(2, {.rate_per_second = 0}));
  const OrderId first = only(order(1, 1, "first", Side::kBuy, 1, 100)).order;
  it.send(cancel(1, "c", "first"));
  EXPECT_EQ(orders().order(first)->status, OrderStatus::kCancelled);
  for (size_t i = 0; i < kEndedKept; ++i) {
    it.send(order(1, 1, "", Side::kBuy, 1, 100, OrderType::kLimit, TimeInForce::kImmediateOrCancel));
    it.send(order(1, 1, "", Side::kBuy, 1, 100, OrderType::kLimit, TimeInForce::kImmediateOrCancel));
  }
  EXPECT_FALSE(orders().order(first).has_value());
  EXPECT_FALSE(orders().order(1, "first").has_value());
  EXPECT_EQ(only(cancel(1, "d", "c")).refusal, Refusal::kTooLate);
  Request by_id = cancel(1, "e", "");
  by_id.body.order.by_order_id = true;
  by_id.body.order.order_id = first;
  EXPECT_EQ(only(by_id).refusal, Refusal::kTooLate);
  by_id.body.order.client_id = ClientOrderId("f");
  by_id.body.order.order_id = uint64_t{1} << 60;
  EXPECT_EQ(only(by_id).refusal, Refusal::kUnknownOrder);
}

TEST_F(VenueTest, what_the_door_found_wrong_is_said_and_nothing_else_is_looked_at) {
  Request bad = order(1, 0, "a", Side::kBuy, 10, 100);
  bad.body.order.refused = static_cast<uint8_t>(Refusal::kUnknownInstrument);
  bad.body.order.original_id = ClientOrderId("NOSUCH");
  const Report report = only(bad);
  EXPECT_EQ(report.kind, ReportKind::kRejected);
  EXPECT_EQ(report.refusal, Refusal::kUnknownInstrument);
  EXPECT_EQ(report.original_id.view(), "NOSUCH");
  EXPECT_EQ(report.account, 2u);
  EXPECT_EQ(only(order(1, 1, "a", Side::kBuy, 10, 100)).kind, ReportKind::kNew);
}

TEST_F(VenueTest, sessions_that_are_not_or_may_not_are_refused) {
  EXPECT_EQ(only(order(9, 1, "a", Side::kBuy, 1, 100)).refusal, Refusal::kUnknownSession);
  Request off = session(1, "BRK1", 2);
  off.body.session.enabled = false;
  EXPECT_EQ(only(off).kind, ReportKind::kDone);
  EXPECT_EQ(only(order(1, 1, "a", Side::kBuy, 1, 100)).refusal, Refusal::kUnknownSession);
  Request of_another = order(2, 1, "a", Side::kBuy, 1, 100);
  of_another.body.order.account = 2;
  EXPECT_EQ(only(of_another).refusal, Refusal::kBadAccount);
}

TEST_F(VenueTest, definitions_that_make_no_sense_change_nothing) {
  const auto refused = [&](const Request& request) {
    const Report report = only(request);
    return report.kind == ReportKind::kDenied && report.refusal == Refusal::kBadDefinition;
  };
  EXPECT_TRUE(refused(asset(0, "NUL", 0)));
  EXPECT_TRUE(refused(asset(4, "GAP", 0)));
  EXPECT_TRUE(refused(asset(3, "ABC", 0)));  // taken
  EXPECT_TRUE(refused(asset(3, "", 0)));
  EXPECT_TRUE(refused(asset(3, "A B", 0)));
  EXPECT_TRUE(refused(asset(3, "XYZ", 10)));
  EXPECT_TRUE(refused(asset(2, "USD", 3)));  // amounts count its units
  const auto changed = [&](auto change) {
    InstrumentDefinition definition = shares(2, "XYZ", 1, 2);
    change(definition);
    return instrument(definition);
  };
  using D = InstrumentDefinition;
  EXPECT_TRUE(refused(changed([](D& d) { d.symbol = Symbol("ABC"); })));
  EXPECT_TRUE(refused(changed([](D& d) { d.quote = 1; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.quote = 9; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.tick = {0, 0}; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.tick = {1, -3}; })));  // a lot at one tick would be a tenth of a cent
  EXPECT_TRUE(refused(changed([](D& d) { d.lot = {1, -1}; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.lot = {1, 9}, d.tick = {INT64_MAX, 9}; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.quote_per_tick_lot = 2; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.base_per_lot = -1; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.window_ticks = 100; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.orders_max = 0; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.pause_seconds = 0; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.taker_fee_hundredths_bp = 1'000'001; })));
  EXPECT_TRUE(refused(changed([](D& d) { d.calendar = static_cast<Calendar>(7); })));
  EXPECT_FALSE(refused(changed([](D&) {})));
  EXPECT_TRUE(refused(changed([](D& d) { d.tick = {1, -1}, d.quote_per_tick_lot = 10; })));  // of one that stands
  EXPECT_FALSE(refused(changed([](D& d) { d.taker_fee_hundredths_bp = 5; })));
  EXPECT_TRUE(refused(account(4, "A1")));
  EXPECT_TRUE(refused(account(5, "gap")));
  EXPECT_FALSE(refused(account(2, "renamed")));
  EXPECT_FALSE(refused(account(4, "A1")));  // free by now
  EXPECT_TRUE(refused(session(3, "X", 0)));
  EXPECT_TRUE(refused(session(3, "X", 99)));
  EXPECT_TRUE(refused(session(2, "BRK2", 2)));  // of another account
  Request late = session(3, "X", 2);
  late.body.session.cancel_on_disconnect_seconds = 61;
  EXPECT_TRUE(refused(late));
  EXPECT_TRUE(refused(risk(2, {.order_quantity_max = -1})));
  EXPECT_TRUE(refused(risk(2, {.short_max = INT64_MAX})));
  EXPECT_EQ(only(risk(99, {})).refusal, Refusal::kBadAccount);
  EXPECT_EQ(orders().assets(), 2u);
  EXPECT_EQ(orders().sessions(), 2u);
}

TEST_F(VenueTest, requests_of_no_known_kind_are_denied) {
  EXPECT_EQ(only(request(static_cast<RequestKind>(999))).refusal, Refusal::kUnsupported);
  EXPECT_EQ(only(phase(7, Phase::kContinuous)).refusal, Refusal::kUnknownInstrument);
  EXPECT_EQ(only(phase(1, static_cast<Phase>(9))).refusal, Refusal::kUnsupported);
  Request mad = order(1, 1, "a", static_cast<Side>(7), 1, 100);
  EXPECT_EQ(only(mad).refusal, Refusal::kUnsupported);
}

TEST_F(VenueTest, orders_good_till_a_date_end_when_the_timer_says_so) {
  Request until = order(1, 1, "a", Side::kBuy, 1, 100, OrderType::kLimit, TimeInForce::kGoodTillDate);
  until.body.order.expires_at = it.now + 1'000'000'000;
  it.send(until);
  EXPECT_EQ(it.venue.next_time(), until.body.order.expires_at);
  EXPECT_TRUE(it.send(request(RequestKind::kTime)).empty());
  it.now += 1'000'000'000;
  EXPECT_EQ(only(request(RequestKind::kTime)).kind, ReportKind::kExpired);
  EXPECT_FALSE(it.venue.next_time().has_value());
}

}  // namespace
}  // namespace polis::exchange::testing_venue
