#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/exchange/faces/commands.h"

namespace polis::exchange {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Shown = Task<Result<void>>;

Task<Result<void>> post(Invocation& call, std::string_view verb, json::object body) {
  const auto answer = CO_TRY(co_await call.api.request("POST", admin_path({verb}), json::serialize(body)));
  if (call.output.json()) call.output.document(answer.body);
  co_return Result<void>();
}

Shown show_status(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", admin_path({"status"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  json::object status = CO_TRY(systems::object_of(answer.body));
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, one] : status.at("readers").as_object())
    rows.push_back({std::string(name), one.at("gating").as_bool() ? "holds the writer back" : "",
                    systems::text_of(one.as_object(), "sequence"), systems::text_of(one.as_object(), "lag")});
  status.erase("readers");
  call.output.document(json::serialize(status));
  call.output.table({"reader of the bus", "", "sequence", "lag"}, rows);
  co_return Result<void>();
}

// Asks and bids below each other as a ladder: best prices in the middle.
void show_ladder(systems::Output& output, const json::object& book) {
  std::vector<std::vector<std::string>> rows;
  const auto row = [](const json::value& level, bool bid) {
    const json::object& one = level.as_object();
    std::string queue;
    if (const json::value* orders = one.if_contains("queue"))
      for (const json::value& order : orders->as_array())
        queue += (queue.empty() ? "" : " ") + std::string(order.as_string());
    const std::string size = systems::text_of(one, "size");
    return std::vector<std::string>{bid ? size : "", systems::text_of(one, "price"), bid ? "" : size,
                                    systems::text_of(one, "orders"), queue};
  };
  const json::array& asks = book.at("asks").as_array();
  for (size_t i = asks.size(); i > 0; --i) rows.push_back(row(asks[i - 1], false));
  for (const json::value& bid : book.at("bids").as_array()) rows.push_back(row(bid, true));
  output.line(fmt::format("{}: {}{}", systems::text_of(book, "symbol"), systems::text_of(book, "phase"),
                          book.contains("last") ? ", last " + systems::text_of(book, "last") : std::string()));
  output.table({"bid", "price", "ask", "orders", "first in turn first"}, rows);
}

Shown show_book(Invocation& call) {
  std::string path = admin_path({"book", call.arguments[0]});
  if (call.has("depth")) systems::add_query(path, "depth", systems::flag(call, "depth"));
  systems::add_query(path, "queues", "true");
  const auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json())
    call.output.document(answer.body);
  else
    show_ladder(call.output, CO_TRY(systems::object_of(answer.body)));
  co_return Result<void>();
}

void show_orders(systems::Output& output, const json::array& orders) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& order : orders) {
    std::vector<std::string> row;
    for (const char* name : {"order", "client_id", "session", "symbol", "side", "type", "price", "quantity", "filled",
                             "remaining", "status", "entered"})
      row.push_back(systems::text_of(order.as_object(), name));
    rows.push_back(std::move(row));
  }
  output.table({"order", "client id", "session", "symbol", "side", "type", "price", "quantity", "filled", "remaining",
                "status", "entered"},
               rows);
}

Shown list_orders(Invocation& call) {
  std::string path = admin_path({"orders"});
  systems::add_query(path, "account", call.arguments[0]);
  if (call.has("limit")) systems::add_query(path, "limit", systems::flag(call, "limit"));
  const auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json())
    call.output.document(answer.body);
  else
    show_orders(call.output, CO_TRY(systems::object_of(answer.body)).at("orders").as_array());
  co_return Result<void>();
}

json::object phase_of(const Invocation& call, std::string_view phase) {
  json::object body{{"phase", phase}};
  if (call.arguments[0] != "all") body["symbol"] = call.arguments[0];
  return body;
}
Shown set_phase(Invocation& call) {
  std::string phase = call.arguments[1];
  std::ranges::replace(phase, '-', '_');
  co_return co_await post(call, "phase", phase_of(call, phase));
}
Shown halt(Invocation& call) {
  co_return co_await post(call, "phase", phase_of(call, call.has("lift") ? "continuous" : "halted"));
}

Shown cancel_all(Invocation& call) {
  json::object body{{"account", call.arguments[0]}};
  if (call.has("symbol")) body["symbol"] = systems::flag(call, "symbol");
  const auto answer = CO_TRY(co_await call.api.request("POST", admin_path({"cancel"}), json::serialize(body)));
  call.output.document(answer.body);
  co_return Result<void>();
}

Shown go_on(Invocation& call) {
  co_return co_await post(call, "accept", {});
}

Shown break_trade(Invocation& call) {
  const json::object body{{"symbol", call.arguments[0]}, {"match", call.arguments[1]}};
  co_return co_await call.plan_and_apply("POST", admin_path({"break"}), json::serialize(body));
}

// --- risk

Shown set_risk(Invocation& call) {
  json::object body;
  for (const auto& [name, member] :
       {std::pair{"quantity", "order_quantity_max"}, std::pair{"notional", "order_notional_max"},
        std::pair{"open-orders", "open_orders_max"}, std::pair{"rate", "rate_per_second"},
        std::pair{"burst", "rate_burst"}, std::pair{"price-band", "price_band"}, std::pair{"position", "position_max"},
        std::pair{"short", "short_max"}})
    if (call.has(name)) body[member] = systems::flag(call, name);
  if (call.has("short")) body["short_sale_allowed"] = systems::flag(call, "short") != "0";
  const auto answer =
      CO_TRY(co_await call.api.request("PUT", admin_path({"risk", call.arguments[0]}), json::serialize(body)));
  call.output.document(answer.body);
  co_return Result<void>();
}

Shown show_risk(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", admin_path({"risk", call.arguments[0]})));
  call.output.document(answer.body);
  co_return Result<void>();
}

Shown kill(Invocation& call) {
  co_return co_await post(call, "kill", {{"account", call.arguments[0]}, {"killed", !call.has("lift")}});
}

Shown restrict(Invocation& call) {
  json::object body{{"symbol", call.arguments[0]}, {"restricted", !call.has("lift")}};
  if (call.has("account")) body["account"] = systems::flag(call, "account");
  co_return co_await post(call, "restrict", std::move(body));
}

// --- looking back

Shown travel_back(Invocation& call) {
  json::object body{{"verify", call.has("verify")}, {"orders", call.has("orders")}, {"balances", call.has("balances")}};
  for (const char* name : {"to", "book", "depth", "account"})
    if (call.has(name)) body[name] = systems::flag(call, name);
  const auto answer = CO_TRY(co_await call.api.request("POST", admin_path({"replay"}), json::serialize(body)));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  const json::object there = CO_TRY(systems::object_of(answer.body));
  call.output.line(fmt::format("{} steps, {} reports and {} events recomputed in {} s, each as it was",
                               systems::text_of(there, "steps"), systems::text_of(there, "reports"),
                               systems::text_of(there, "events"), systems::text_of(there, "seconds")));
  call.output.line(
      fmt::format("at sequence {}, hash {}", systems::text_of(there, "sequence"), systems::text_of(there, "hash")));
  if (const json::value* book = there.if_contains("book")) show_ladder(call.output, book->as_object());
  if (const json::value* accounts = there.if_contains("accounts")) {
    std::vector<std::vector<std::string>> rows;
    json::array orders;
    for (const auto& [name, one] : accounts->as_object()) {
      if (const json::value* state = one.as_object().if_contains("state"))
        for (const json::value& balance : state->at("balances").as_array())
          rows.push_back({std::string(name), systems::text_of(balance.as_object(), "asset"),
                          systems::text_of(balance.as_object(), "total"),
                          systems::text_of(balance.as_object(), "reserved")});
      if (const json::value* open = one.as_object().if_contains("orders"))
        for (const json::value& order : open->as_array()) orders.push_back(order);
    }
    if (call.has("balances")) call.output.table({"account", "asset", "total", "reserved"}, rows);
    if (call.has("orders")) show_orders(call.output, orders);
  }
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> market_commands() {
  const systems::Argument kSymbol{.name = "symbol", .help = "the instrument"};
  const systems::Argument kSymbols{.name = "symbol", .help = "the instrument, or all"};
  const systems::Argument kAccount{.name = "account", .help = "its name"};
  const systems::Flag kDepth{.name = "depth", .help = "levels a side (10)", .value = "N"};
  return {
      {.name = "status", .help = "Sequence, journal, who reads the bus and how far behind", .run = show_status},
      {.name = "book",
       .help = "The book of an instrument, level by level",
       .arguments = {kSymbol},
       .flags = {kDepth},
       .run = show_book},
      {.name = "orders",
       .help = "Open orders of an account",
       .arguments = {kAccount},
       .flags = {{.name = "limit", .help = "so many at most (100)", .value = "N"}},
       .run = list_orders},
      {.name = "phase",
       .help = "Puts an instrument into a phase; leaving a call ends it with an auction",
       .arguments = {kSymbols, {.name = "phase", .help = "closed, pre-open, continuous, closing-call or halted"}},
       .run = set_phase},
      {.name = "halt",
       .help = "Halts trading; orders gather until it is lifted, which begins with an auction",
       .arguments = {kSymbols},
       .flags = {{.name = "lift", .help = "trading goes on"}},
       .run = halt},
      {.name = "cancel",
       .help = "Cancels all open orders of an account",
       .arguments = {kAccount},
       .flags = {{.name = "symbol", .help = "of this instrument alone", .value = "SYMBOL"}},
       .run = cancel_all},
      {.name = "accept", .help = "Goes on with what survived, after the venue has halted itself", .run = go_on},
      {.name = "break",
       .help = "Breaks a trade: both sides get back what they gave",
       .arguments = {kSymbol, {.name = "match", .help = "the trade's number"}},
       .destructive = true,
       .run = break_trade},
      {.name = "risk set",
       .help = "Sets limits of an account; 0: no limit",
       .arguments = {kAccount},
       .flags = {{.name = "quantity", .help = "lots of one order", .value = "N"},
                 {.name = "notional", .help = "value of one order, smallest units of the quote", .value = "N"},
                 {.name = "open-orders", .help = "orders that may be open", .value = "N"},
                 {.name = "rate", .help = "requests a second", .value = "N"},
                 {.name = "burst", .help = "requests at once", .value = "N"},
                 {.name = "price-band", .help = "how far a limit price is from the last trade", .value = "SHARE"},
                 {.name = "position", .help = "lots of each instrument, open orders included", .value = "N"},
                 {.name = "short", .help = "smallest units of a base asset that may be owed; 0: none", .value = "N"}},
       .run = set_risk},
      {.name = "risk show", .help = "Limits of an account", .arguments = {kAccount}, .run = show_risk},
      {.name = "kill",
       .help = "The kill switch: cancels everything of an account and takes nothing new from it",
       .arguments = {kAccount},
       .flags = {{.name = "lift", .help = "it may trade again"}},
       .run = kill},
      {.name = "restrict",
       .help = "Forbids orders in an instrument",
       .arguments = {kSymbol},
       .flags = {{.name = "account", .help = "to this account; else to everybody", .value = "NAME"},
                 {.name = "lift", .help = "allows them again"}},
       .run = restrict},
      {.name = "replay",
       .help = "Recomputes the journal, compares every output, and shows the venue at any sequence number",
       .flags = {{.name = "to", .help = "up to this sequence; else to the end", .value = "SEQUENCE"},
                 {.name = "verify", .help = "from the first record; else from the newest snapshot before"},
                 {.name = "book", .help = "shows this instrument's book then", .value = "SYMBOL"},
                 kDepth,
                 {.name = "orders", .help = "shows open orders then"},
                 {.name = "balances", .help = "shows balances then"},
                 {.name = "account", .help = "of this account alone", .value = "NAME"}},
       .run = travel_back},
  };
}

}  // namespace polis::exchange
