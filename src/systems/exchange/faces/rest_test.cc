#include "systems/exchange/faces/rest.h"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "kernel/http/client.h"
#include "kernel/http/server.h"
#include "systems/exchange/reporting/desk_test.h"
#include "systems/exchange/runtime/market_test.h"

namespace polis::exchange {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace json = boost::json;

class RestTest : public testing::Test {
 protected:
  struct Reply {
    int status = 0;
    std::string text;
    std::string retry_after;
    json::value body() const { return json::parse(text); }
    std::string code() const { return json::value_to<std::string>(body().at("error").at("code")); }
    std::string at(std::string_view field) const { return json::value_to<std::string>(body().at(field)); }
  };

  // Sessions 1 and 2 have keys; accounts 2 and 3 have money.
  Task<Result<void>> begin() {
    CO_TRY(co_await desk.open());
    for (const Request& request : TestMarket::beginning())
      if (request.kind != RequestKind::kDeposit) CO_TRY(desk.venue->submit(request));
    CO_TRY(co_await desk.open_money());
    for (const AccountId account : {2, 3})
      for (const AssetId asset : {1, 2}) CO_TRY(co_await desk.funding->fund(account, asset, 10'000'000));
    keys = CO_TRY(co_await ApiKeys::open(*desk.store, desk.rows, node_key(), desk.random, desk.clock));
    for (const SessionId session : {1, 2}) issued.push_back(CO_TRY(co_await keys->issue(session)));
    rest = std::make_unique<Rest>(RestParts{.venue = *desk.venue,
                                            .reports = *desk.reports,
                                            .keys = *keys,
                                            .clock = desk.clock,
                                            .settlement = desk.settlement.get()});
    auto router = std::make_shared<http::Router>();
    rest->mount(*router);
    servers = std::make_unique<http::ServerSet>(desk.runtime_, http::Router::handler(router), http::ServerOptions{});
    port = CO_TRY(co_await servers->listen({.address = "127.0.0.1", .port = 0})).port;
    client = std::make_unique<http::Client>();
    co_return Result<void>();
  }
  Task<void> end() {
    client.reset();
    co_await servers->drain();
    servers.reset();
    rest.reset();
    keys.reset();
    co_await desk.close();
  }
  static auth::NodeKey node_key() { return auth::NodeKey(std::array<std::byte, 32>{std::byte{9}}); }

  // Signed by the n-th key, as of `skew` from now.
  Task<Reply> call(size_t key, std::string method, std::string path, std::string body = {}, Duration skew = {}) {
    const std::string target = "/api/exchange/v1/" + path;
    const std::string timestamp = std::to_string(base::milliseconds_since_epoch(desk.clock.wall() + skew));
    const ApiKeys::Issued& one = issued.at(key);
    ApiClaim claim{.key = one.key.id, .timestamp = timestamp, .method = method, .target = target, .body = body};
    co_return co_await send(method, target, body,
                            {{"X-Exchange-Key", one.key.id},
                             {"X-Exchange-Timestamp", timestamp},
                             {"X-Exchange-Signature", ApiKeys::sign(one.secret, claim)}});
  }
  Task<Reply> send(std::string method, std::string target, std::string body,
                   std::vector<std::pair<std::string, std::string>> fields) {
    http::ClientRequest request{.method = method, .fields = std::move(fields), .body = as_bytes(body)};
    request.url = http::Url::parse(fmt::format("http://127.0.0.1:{}{}", port, target)).value();
    auto response = co_await client->send(request);
    POLIS_ASSERT(response);
    const auto text = co_await response->read_all(1 << 20);
    POLIS_ASSERT(text);
    co_return Reply{.status = response->status(),
                    .text = std::string(as_text(*text)),
                    .retry_after = std::string(response->field("retry-after").value_or(""))};
  }
  static std::string order(std::string_view id, std::string_view side, std::string_view quantity,
                           std::string_view price) {
    return fmt::format(R"({{"client_id":"{}","symbol":"S1","side":"{}","quantity":"{}","price":"{}"}})", id, side,
                       quantity, price);
  }

  TestDesk desk;
  std::unique_ptr<ApiKeys> keys;
  std::vector<ApiKeys::Issued> issued;
  std::unique_ptr<Rest> rest;
  std::unique_ptr<http::ServerSet> servers;
  std::unique_ptr<http::Client> client;
  uint16_t port = 0;
};

TEST_F(RestTest, orders_trade_and_everything_tells_of_it) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    const Reply sell = co_await call(0, "POST", "orders", order("s-1", "sell", "300", "100.10"));
    EXPECT_EQ(sell.status, 201) << sell.text;
    EXPECT_EQ(sell.at("status"), "new");
    EXPECT_EQ(sell.at("price"), "100.10");
    const Reply buy = co_await call(1, "POST", "orders", order("b-1", "buy", "200", "100.20"));
    EXPECT_EQ(buy.status, 201) << buy.text;
    EXPECT_EQ(buy.at("status"), "filled");
    EXPECT_EQ(buy.at("average_price"), "100.10");
    EXPECT_EQ(buy.at("remaining_quantity"), "0");

    const Reply book = co_await call(1, "GET", "book/S1");
    EXPECT_EQ(book.status, 200) << book.text;
    EXPECT_EQ(json::serialize(book.body().at("asks")), R"([["100.10","100",1]])");
    const Reply queue = co_await call(1, "GET", "book/S1?level=3");
    EXPECT_EQ(json::value_to<std::string>(queue.body().at("asks").at(0).at(0)), sell.at("id"));
    const Reply shown = co_await call(0, "GET", "orders/" + sell.at("id"));
    EXPECT_EQ(shown.at("filled_quantity"), "200");
    EXPECT_EQ((co_await call(1, "GET", "orders/" + sell.at("id"))).code(), "unknown_order");

    co_await desk.caught_up();
    const Reply fills = co_await call(1, "GET", "fills?symbol=S1");
    EXPECT_EQ(fills.body().at("fills").as_array().size(), 1u) << fills.text;
    EXPECT_EQ(json::value_to<std::string>(fills.body().at("fills").at(0).at("liquidity")), "taker");
    EXPECT_EQ(json::value_to<std::string>(fills.body().at("fills").at(0).at("client_id")), "b-1");
    const Reply trades = co_await call(1, "GET", "trades?symbol=S1");
    EXPECT_EQ(json::value_to<std::string>(trades.body().at("trades").at(0).at("quantity")), "200");
    const Reply balances = co_await call(1, "GET", "balances");
    EXPECT_THAT(balances.text, HasSubstr("\"10000200\""));
    EXPECT_EQ((co_await call(0, "GET", "orders")).body().at("orders").as_array().size(), 1u);
    EXPECT_EQ((co_await call(1, "GET", "orders")).body().at("orders").as_array().size(), 0u);
    EXPECT_EQ((co_await call(1, "GET", "orders?history=true")).body().at("orders").as_array().size(), 1u);
    EXPECT_EQ((co_await call(1, "GET", "instruments")).body().at("instruments").as_array().size(), 3u);

    const Reply smaller = co_await call(0, "PUT", "orders/" + sell.at("id"), R"({"quantity":"250","client_id":"s-2"})");
    EXPECT_EQ(smaller.status, 200) << smaller.text;
    EXPECT_EQ(smaller.at("remaining_quantity"), "50");
    EXPECT_EQ(smaller.at("client_id"), "s-2");
    const Reply gone = co_await call(0, "DELETE", "orders/" + sell.at("id"));
    EXPECT_EQ(gone.status, 200) << gone.text;
    EXPECT_EQ(gone.at("status"), "cancelled");
    const Reply late = co_await call(0, "DELETE", "orders/" + sell.at("id"));
    EXPECT_EQ(late.status, 422) << late.text;
    EXPECT_EQ(json::value_to<std::string>(late.body().at("error").at("reason")), "Too late");
    for (const char* id : {"m-1", "m-2"})
      EXPECT_EQ((co_await call(0, "POST", "orders", order(id, "sell", "1", "101.00"))).status, 201);
    const Reply all = co_await call(0, "DELETE", "orders?symbol=S1");
    EXPECT_EQ(all.status, 200) << all.text;
    EXPECT_EQ((co_await call(0, "GET", "orders")).body().at("orders").as_array().size(), 0u);
    co_await end();
  });
}

TEST_F(RestTest, an_order_that_is_sent_again_is_accepted_once) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    const std::string wish = order("s-1", "sell", "300", "100.10");
    const Reply first = co_await call(0, "POST", "orders", wish);
    const Reply again = co_await call(0, "POST", "orders", wish);
    EXPECT_EQ(again.status, 200) << again.text;
    EXPECT_EQ(again.at("id"), first.at("id"));
    EXPECT_EQ((co_await call(0, "GET", "orders")).body().at("orders").as_array().size(), 1u);
    const Reply other = co_await call(0, "POST", "orders", order("s-1", "sell", "301", "100.10"));
    EXPECT_EQ(other.status, 409);
    EXPECT_EQ(other.code(), "duplicate_client_id");
    // What was rejected is no order, and its name is used up.
    EXPECT_EQ((co_await call(0, "POST", "orders", order("s-2", "buy", "4000000000", "100.10"))).status, 422);
    EXPECT_EQ((co_await call(0, "POST", "orders", order("s-2", "buy", "1", "100.00"))).status, 409);
    co_await end();
  });
}

TEST_F(RestTest, what_is_wrong_is_said) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    const auto refused = [this](std::string body, int status, std::string code, std::string text) -> Task<void> {
      const Reply reply = co_await call(0, "POST", "orders", body);
      EXPECT_EQ(reply.status, status) << reply.text;
      EXPECT_EQ(reply.code(), code);
      EXPECT_THAT(reply.text, HasSubstr(text));
      EXPECT_THAT(reply.text, HasSubstr("\"seq\":"));
    };
    co_await refused("{", 400, "bad_request", "JSON");
    co_await refused(R"({"symbol":"S1","side":"buy","quantity":"1","price":"1.00"})", 400, "bad_request", "client_id");
    co_await refused(order("a", "up", "1", "1.00"), 400, "bad_request", "side");
    co_await refused(order("a", "buy", "one", "1.00"), 400, "bad_request", "quantity");
    co_await refused(R"({"client_id":"a","symbol":"S1","side":"buy","quantity":"1"})", 400, "bad_request", "price");
    co_await refused(R"({"client_id":"a","symbol":"S1","side":"buy","quantity":"1","price":"1","colour":"red"})", 400,
                     "bad_request", "colour");
    co_await refused(R"({"client_id":"a","symbol":"S1","side":"buy","quantity":"1","price":"1","time_in_force":"gtd"})",
                     400, "bad_request", "expires_at");
    co_await refused(R"({"client_id":"a","symbol":"XYZ","side":"buy","quantity":"1","price":"1.00"})", 404,
                     "unknown_symbol", "Unknown symbol");
    co_await refused(order("a", "buy", "1", "100.001"), 422, "rejected", "multiple of the tick");
    co_await refused(order("a", "buy", "0.5", "100.00"), 422, "rejected", "multiple of the lot");
    co_await refused(order("b", "buy", "4000000000", "100.00"), 422, "rejected", "Balance too small");
    EXPECT_EQ((co_await call(0, "GET", "book/XYZ")).code(), "unknown_symbol");
    EXPECT_EQ((co_await call(0, "GET", "book/S1?depth=0")).code(), "bad_request");
    EXPECT_EQ((co_await call(0, "GET", "orders/zero")).code(), "unknown_order");
    EXPECT_EQ((co_await call(0, "DELETE", "orders/123")).code(), "unknown_order");
    EXPECT_EQ((co_await call(0, "GET", "fills?from=yesterday")).code(), "bad_request");
    const std::string large = order("a", "buy", "1", std::string(kRestBodyBytesMax, '1'));
    EXPECT_EQ((co_await call(0, "POST", "orders", large)).status, 413);
    Request halt = TestMarket::of(RequestKind::kHalt);
    CO_EXPECT(co_await desk.venue->ask(halt));
    const Reply halted = co_await call(0, "POST", "orders", order("h", "buy", "1", "1.00"));
    EXPECT_EQ(halted.status, 503);
    EXPECT_EQ(halted.code(), "halted");
    EXPECT_EQ(halted.retry_after, "1");
    co_await end();
  });
}

TEST_F(RestTest, only_who_can_sign_may_ask) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    EXPECT_EQ((co_await send("GET", "/api/exchange/v1/time", {}, {})).status, 200);
    for (const char* path : {"book/S1", "orders", "balances", "settlement/2026-11-22"}) {
      const Reply reply = co_await send("GET", std::string("/api/exchange/v1/") + path, {}, {});
      EXPECT_EQ(reply.status, 401);
      EXPECT_EQ(reply.code(), "bad_signature");
    }
    EXPECT_EQ((co_await call(0, "GET", "balances", {}, std::chrono::seconds(-4))).status, 200);
    const Reply old = co_await call(0, "GET", "balances", {}, std::chrono::seconds(-7));
    EXPECT_EQ(old.status, 401);
    EXPECT_THAT(old.text, HasSubstr("clock"));
    EXPECT_EQ((co_await call(0, "GET", "balances", {}, std::chrono::seconds(7))).status, 401);

    // A signature is for one body, one path and one key.
    const std::string timestamp = std::to_string(base::milliseconds_since_epoch(desk.clock.wall()));
    const std::string target = "/api/exchange/v1/orders";
    const std::string body = order("x", "buy", "1", "1.00");
    const std::string signature = ApiKeys::sign(
        issued[0].secret,
        {.key = {}, .timestamp = timestamp, .signature = {}, .method = "POST", .target = target, .body = body});
    const auto attempt = [&](std::string key, std::string path, std::string text) -> Task<int> {
      co_return (
          co_await send(
              "POST", path, text,
              {{"X-Exchange-Key", key}, {"X-Exchange-Timestamp", timestamp}, {"X-Exchange-Signature", signature}}))
          .status;
    };
    EXPECT_EQ(co_await attempt(issued[0].key.id, target, body + ' '), 401);
    EXPECT_EQ(co_await attempt(issued[0].key.id, target + "?x=1", body), 401);
    EXPECT_EQ(co_await attempt(issued[1].key.id, target, body), 401);
    EXPECT_EQ(co_await attempt("PXKnobody", target, body), 401);
    EXPECT_EQ(co_await attempt(issued[0].key.id, target, body), 201);

    // Keys come back with the rows, and a key that is removed opens nothing.
    auto reopened = co_await ApiKeys::open(*desk.store, desk.rows, node_key(), desk.random, desk.clock);
    CO_EXPECT(reopened);
    EXPECT_EQ((*reopened)->all().size(), 2u);
    const ApiClaim claim{.key = issued[0].key.id,
                         .timestamp = timestamp,
                         .signature = signature,
                         .method = "POST",
                         .target = target,
                         .body = body};
    EXPECT_TRUE((*reopened)->verify(claim));
    CO_EXPECT(co_await keys->remove(issued[0].key.id));
    EXPECT_EQ((co_await call(0, "GET", "balances")).status, 401);
    EXPECT_FALSE(co_await keys->remove(issued[0].key.id));
    co_await end();
  });
}

TEST_F(RestTest, a_session_that_asks_too_often_or_is_switched_off_is_told) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    Request request = TestMarket::of(RequestKind::kSession);
    CO_EXPECT(
        co_await desk.venue->inspect([&](const Venue& venue) { request.body.session = *venue.orders().session(1); }));
    request.body.session.rate_per_second = 1;
    request.body.session.rate_burst = 3;
    CO_EXPECT(co_await desk.venue->ask(request));
    int busy = 0;
    for (int i = 0; i < 8; ++i) {
      const Reply reply = co_await call(0, "GET", "balances");
      busy += reply.status == 429;
      if (reply.status == 429) EXPECT_EQ(reply.retry_after, "1");
    }
    EXPECT_GE(busy, 3);
    request.body.session.enabled = false;
    CO_EXPECT(co_await desk.venue->ask(request));
    EXPECT_EQ((co_await call(0, "GET", "balances")).code(), "not_allowed");
    co_await end();
  });
}

TEST_F(RestTest, the_settlement_of_a_day_is_each_accounts_own) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    EXPECT_EQ((co_await call(0, "GET", "settlement/2026-11-22")).status, 404);
    EXPECT_EQ((co_await call(0, "GET", "settlement/2026-13-01")).status, 400);
    CO_EXPECT(co_await desk.settlement->settle(20261122));
    const Reply file = co_await call(0, "GET", "settlement/2026-11-22");
    EXPECT_EQ(file.status, 200);
    EXPECT_THAT(file.text, HasSubstr("2,A2,USD,closing,,,,,,,100000.00\n"));
    EXPECT_THAT(file.text, testing::Not(HasSubstr("A3")));
    co_await end();
  });
}

}  // namespace
}  // namespace polis::exchange
