#include "systems/exchange/faces/terms.h"

#include <gtest/gtest.h>

namespace polis::exchange {
namespace {

systems::Body said(std::string_view json) {
  auto body = systems::Body::parse(json);
  EXPECT_TRUE(body) << body.error().text();
  return std::move(*body);
}

Result<WantedInstrument> instrument(std::string_view json, const Roster& roster = {}) {
  systems::Body body = said(json);
  auto wanted = read_instrument(body, "ABC", roster);
  if (wanted) {
    if (auto finished = body.finish(); !finished) return fail(std::move(finished).error());
  }
  return wanted;
}

// ABC in USD and account A7 as they stand after their definition.
Roster known() {
  Roster roster;
  WantedInstrument wanted = instrument("{}").value();
  wanted.base.id = 1;
  wanted.quote.id = 2;
  roster.put(wanted.base);
  roster.put(wanted.quote);
  wanted.definition.id = 1;
  wanted.definition.base = 1;
  wanted.definition.quote = 2;
  roster.put(wanted.definition);
  AccountDefinition account;
  account.id = 1;
  account.name = Name("A7");
  roster.put(account);
  return roster;
}

TEST(Terms, shares_are_percents_or_basis_points) {
  EXPECT_EQ(parse_share("band", "10%"), 100'000u);
  EXPECT_EQ(parse_share("band", "0.5%"), 5'000u);
  EXPECT_EQ(parse_share("fee", "2bp"), 200u);
  EXPECT_EQ(parse_share("fee", "0.25bp"), 25u);
  EXPECT_EQ(parse_share("fee", "0"), 0u);
  for (const char* text : {"", "2", "2 bp", "-1%", "ten%", "0.001bp", "20000%", "%", "bp", "1e2%"})
    EXPECT_FALSE(parse_share("fee", text)) << text;
}

TEST(Terms, a_share_is_written_as_it_is_read) {
  for (const char* text : {"0", "0.25bp", "2bp", "99.99bp", "1%", "10%", "0.5bp", "12.34%"})
    EXPECT_EQ(share_text(parse_share("share", text).value()), text);
}

TEST(Terms, an_instrument_without_wishes_is_a_stock_in_dollars) {
  const WantedInstrument wanted = instrument("{}").value();
  EXPECT_EQ(wanted.definition.symbol.view(), "ABC");
  EXPECT_EQ(wanted.definition.tick, (Decimal{1, -2}));
  EXPECT_EQ(wanted.definition.base_per_lot, 1);
  EXPECT_EQ(wanted.definition.quote_per_tick_lot, 1);
  EXPECT_EQ(wanted.base.symbol.view(), "ABC");
  EXPECT_EQ(wanted.base.decimals, 0);
  EXPECT_EQ(wanted.quote.symbol.view(), "USD");
  EXPECT_EQ(wanted.quote.decimals, 2);
}

TEST(Terms, ticks_and_lots_count_whole_units_of_their_assets) {
  const WantedInstrument coin = instrument(R"({"tick":"0.5","lot":"0.0001","quote":"EUR","quote_decimals":5})").value();
  EXPECT_EQ(coin.base.decimals, 4);
  EXPECT_EQ(coin.definition.base_per_lot, 1);
  EXPECT_EQ(coin.definition.quote_per_tick_lot, 5);  // 0.00005 EUR
  const auto too_fine = instrument(R"({"tick":"0.5","lot":"0.0001","quote":"EUR"})");
  ASSERT_FALSE(too_fine);
  EXPECT_NE(too_fine.error().message().find("quote_decimals"), std::string::npos);
  EXPECT_FALSE(instrument(R"({"lot":"0.5","base_decimals":0})"));
  EXPECT_EQ(instrument(R"({"tick":"0.25","lot":"100"})").value().definition.quote_per_tick_lot, 2500);
}

TEST(Terms, an_instrument_that_makes_no_sense_is_refused) {
  for (const char* json :
       {R"({"tick":"0"})", R"({"tick":"-0.01"})", R"({"tick":"x"})", R"({"tick":1})", R"({"lot":"0"})",
        R"({"quote":"ABC"})", R"({"base":"A B"})", R"({"base":"TOOLONGASSET"})", R"({"base_decimals":10})",
        R"({"band":"10"})", R"({"band":"0.005%"})", R"({"fee_taker":"11%"})", R"({"phases":"mars"})",
        R"({"window_ticks":1000})", R"({"window_ticks":32})", R"({"orders_max":0})", R"({"pause_seconds":0})",
        R"({"tick":"9000000000000000000","lot":"9000000000000000000"})", R"({"feee_taker":"1bp"})"})
    EXPECT_FALSE(instrument(json)) << json;
}

TEST(Terms, what_orders_and_balances_stand_on_never_changes) {
  const Roster roster = known();
  for (const char* json : {R"({"tick":"0.05"})", R"({"lot":"10"})", R"({"quote":"EUR"})", R"({"base":"DEF"})"}) {
    const auto refused = instrument(json, roster);
    ASSERT_FALSE(refused) << json;
    EXPECT_EQ(refused.error().code(), Code::kConflict);
  }
  const WantedInstrument changed =
      instrument(R"({"tick":"0.010","fee_taker":"1bp","band":"0","phases":"us-equity"})", roster).value();
  EXPECT_EQ(changed.definition.id, 1u);
  EXPECT_EQ(changed.definition.taker_fee_hundredths_bp, 100u);
  EXPECT_EQ(changed.definition.band_bp, 0u);
  EXPECT_EQ(changed.definition.collar_bp, 500u);
  EXPECT_EQ(changed.definition.calendar, Calendar::kUsEquity);
}

TEST(Terms, an_asset_has_one_number_of_decimals) {
  Roster roster = known();
  systems::Body body = said(R"({"quote":"USD","quote_decimals":3})");
  EXPECT_EQ(read_instrument(body, "DEF", roster).error().code(), Code::kConflict);
  systems::Body other = said(R"({"quote":"USD"})");
  EXPECT_EQ(read_instrument(other, "DEF", roster).value().quote.id, 2u);
}

TEST(Terms, a_session_enters_orders_for_an_account) {
  const Roster roster = known();
  const auto session = [&](std::string_view json) {
    systems::Body body = said(json);
    return read_session(body, "BRK1", roster);
  };
  const SessionDefinition made =
      session(R"({"account":"A7","cancel_on_disconnect":"5s","reset_on_logon":true,"rate":0})").value();
  EXPECT_EQ(made.account, 1u);
  EXPECT_EQ(made.cancel_on_disconnect_seconds, 5);
  EXPECT_TRUE(made.reset_on_logon);
  EXPECT_EQ(made.rate_per_second, 0u);
  EXPECT_EQ(session(R"({"account":"A7","cancel_on_disconnect":"no"})").value().cancel_on_disconnect_seconds, -1);
  EXPECT_EQ(session(R"({"app":"dropcopy"})").value().account, 0u);
  for (const char* json :
       {"{}", R"({"account":"nobody"})", R"({"account":"A7","app":"both"})",
        R"({"account":"A7","cancel_on_disconnect":"61s"})", R"({"account":"A7","cancel_on_disconnect":"500ms"})",
        R"({"account":"A7","cancel_on_disconnect":"soon"})", R"({"account":"A7","rate":-1})"})
    EXPECT_FALSE(session(json)) << json;
}

TEST(Terms, limits_change_one_by_one) {
  RiskLimits limits;
  limits.order_quantity_max = 7;
  systems::Body body = said(R"({"open_orders_max":3,"price_band":"20%","short_sale_allowed":true,"short_max":50})");
  limits = read_limits(body, limits).value();
  EXPECT_EQ(limits.order_quantity_max, 7);
  EXPECT_EQ(limits.open_orders_max, 3u);
  EXPECT_EQ(limits.price_band_bp, 2000u);
  EXPECT_TRUE(limits.short_sale_allowed);
  EXPECT_EQ(limits.short_max, 50);
  for (const char* json :
       {R"({"open_orders_max":-1})", R"({"order_quantity_max":4294967296})", R"({"price_band":5})"}) {
    systems::Body bad = said(json);
    EXPECT_FALSE(read_limits(bad, limits)) << json;
  }
}

}  // namespace
}  // namespace polis::exchange
