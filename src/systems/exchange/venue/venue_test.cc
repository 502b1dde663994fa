#include <gtest/gtest.h>

#include "systems/exchange/venue/venue_test_support.h"

namespace polis::exchange {
namespace {

using namespace testing_venue;

TEST(Venue, sells_2700_through_the_book_of_the_example) {
  TestVenue it;
  it.prepare();
  int number = 0;
  const auto add = [&](Side side, Price price, std::initializer_list<Quantity> sizes) {
    for (const Quantity size : sizes) {
      const auto reports = it.send(order(2, 1, "s" + std::to_string(++number), side, size, price));
      ASSERT_EQ(reports.size(), 1u);
      ASSERT_EQ(reports[0].kind, ReportKind::kNew);
    }
  };
  add(Side::kSell, 10010, {200, 400, 1100, 100});
  add(Side::kSell, 10011, {900, 700, 400});
  add(Side::kBuy, 10008, {500, 600, 900});
  auto market = order(1, 1, "a1", Side::kBuy, 2700, 0, OrderType::kMarket, TimeInForce::kImmediateOrCancel);
  market.message_number = 2;
  market.tag = 7;
  const auto reports = it.send(market);
  std::vector<Report> mine;
  for (const Report& report : reports)
    if (report.session == 1) mine.push_back(report);
  ASSERT_EQ(mine.size(), 6u);
  EXPECT_EQ(mine[0].kind, ReportKind::kNew);
  EXPECT_EQ(mine[0].tag, 7u);
  EXPECT_EQ(mine[5].status, OrderStatus::kFilled);
  EXPECT_EQ(mine[5].filled, 2700);
  EXPECT_EQ(mine[5].notional, 1800 * 10010 + 900 * 10011);
  EXPECT_EQ(mine[5].last_quantity, 900);
  EXPECT_EQ(it.venue.orders().balance(2, 1).total, 1'000'000 + 2700);
  const Amount notional = 1800 * 10010 + 900 * 10011;
  const Amount fee = (notional * 200 + 999'999) / 1'000'000;
  EXPECT_EQ(it.venue.orders().balance(2, 2).total, 1'000'000'000 - notional - fee);
  EXPECT_EQ(it.venue.orders().balance(2, 2).reserved, 0);
  EXPECT_EQ(it.venue.orders().balance(1, 2).total, fee);
  EXPECT_TRUE(it.venue.orders().check_sums(true).has_value());
}

}  // namespace
}  // namespace polis::exchange
