#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/exchange/faces/commands.h"

namespace polis::exchange {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Defined = Task<Result<void>>;

// Flags that were given, as members of the body under their names with '_'.
void take_texts(const Invocation& call, json::object& body, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (!call.has(name)) continue;
    std::string member(name);
    std::ranges::replace(member, '-', '_');
    body[member] = systems::flag(call, name);
  }
}

Task<Result<void>> put(Invocation& call, std::string path, json::object body) {
  const auto answer = CO_TRY(co_await call.api.request("PUT", path, json::serialize(body)));
  call.output.document(answer.body);
  co_return Result<void>();
}

Defined define_instrument(Invocation& call) {
  json::object body;
  take_texts(call, body,
             {"tick", "lot", "base", "base-decimals", "quote", "quote-decimals", "phases", "band", "collar",
              "pause-seconds", "fee-maker", "fee-taker", "window-ticks", "orders-max"});
  co_return co_await put(call, admin_path({"instruments", call.arguments[0]}), std::move(body));
}

Defined list_instruments(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", admin_path({"instruments"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(systems::object_of(answer.body));
  for (const auto& [symbol, one] : list.at("instruments").as_object()) {
    const json::object& terms = one.as_object();
    std::vector<std::string> row{std::string(symbol)};
    for (const char* name : {"base", "quote", "tick", "lot", "phases", "band", "collar", "fee_maker", "fee_taker"})
      row.push_back(systems::text_of(terms, name));
    rows.push_back(std::move(row));
  }
  call.output.table({"symbol", "base", "quote", "tick", "lot", "phases", "band", "collar", "maker", "taker"}, rows);
  co_return Result<void>();
}

Defined define_account(Invocation& call) {
  co_return co_await put(call, admin_path({"accounts", call.arguments[0]}), {});
}

Defined list_accounts(Invocation& call) {
  std::vector<std::vector<std::string>> rows;
  json::array all;
  for (std::string next;;) {
    std::string path = admin_path({"accounts"});
    if (!next.empty()) systems::add_query(path, "after", next);
    const auto answer = CO_TRY(co_await call.api.request("GET", path));
    const json::object page = CO_TRY(systems::object_of(answer.body));
    for (const json::value& one : page.at("accounts").as_array()) {
      rows.push_back({std::string(one.as_string())});
      all.push_back(one);
    }
    next = systems::text_of(page, "next");
    if (next.empty()) break;
  }
  if (call.output.json())
    call.output.document(json::serialize(json::object{{"accounts", std::move(all)}}));
  else
    call.output.table({"account"}, rows);
  co_return Result<void>();
}

Defined show_account(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", admin_path({"accounts", call.arguments[0]})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  const json::object account = CO_TRY(systems::object_of(answer.body));
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : account.at("balances").as_array())
    rows.push_back({systems::text_of(one.as_object(), "asset"), systems::text_of(one.as_object(), "total"),
                    systems::text_of(one.as_object(), "reserved"), systems::text_of(one.as_object(), "free")});
  call.output.table({"asset", "total", "reserved", "free"}, rows);
  rows.clear();
  for (const json::value& one : account.at("positions").as_array())
    rows.push_back({systems::text_of(one.as_object(), "symbol"), systems::text_of(one.as_object(), "quantity")});
  if (!rows.empty()) call.output.table({"instrument", "position"}, rows);
  co_return Result<void>();
}

Defined define_session(Invocation& call) {
  json::object body;
  take_texts(call, body, {"account", "app", "cancel-on-disconnect", "rate", "burst", "resend-chunk", "password"});
  for (const auto& [name, member, value] :
       {std::tuple{"reset-on-logon", "reset_on_logon", true}, std::tuple{"keep-numbers", "reset_on_logon", false},
        std::tuple{"enable", "enabled", true}, std::tuple{"disable", "enabled", false}})
    if (call.has(name)) body[member] = value;
  co_return co_await put(call, admin_path({"sessions", call.arguments[0]}), std::move(body));
}

Defined list_sessions(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", admin_path({"sessions"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(systems::object_of(answer.body));
  for (const json::value& one : list.at("sessions").as_array()) {
    std::vector<std::string> row;
    for (const char* name : {"name", "account", "app", "enabled", "logged_on", "next_in", "next_out", "reset_on_logon",
                             "cancel_on_disconnect", "rate"})
      row.push_back(systems::text_of(one.as_object(), name));
    rows.push_back(std::move(row));
  }
  call.output.table(
      {"session", "account", "app", "enabled", "logged on", "next in", "next out", "resets", "cancels after", "rate"},
      rows);
  co_return Result<void>();
}

Defined make_key(Invocation& call) {
  const json::object body{{"session", call.arguments[0]}};
  const auto answer = CO_TRY(co_await call.api.request("POST", admin_path({"keys"}), json::serialize(body)));
  call.output.document(answer.body);
  call.output.remark("the secret is shown this once");
  co_return Result<void>();
}

Defined list_keys(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", admin_path({"keys"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(systems::object_of(answer.body));
  for (const json::value& one : list.at("keys").as_array())
    rows.push_back({systems::text_of(one.as_object(), "key"), systems::text_of(one.as_object(), "session"),
                    systems::text_of(one.as_object(), "created")});
  call.output.table({"key", "session", "made"}, rows);
  co_return Result<void>();
}

Defined remove_key(Invocation& call) {
  CO_TRY(co_await call.api.request("DELETE", admin_path({"keys", call.arguments[0]})));
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> definition_commands() {
  const systems::Argument kSymbol{.name = "symbol", .help = "1 to 8 characters"};
  const systems::Argument kAccount{.name = "account", .help = "its name"};
  return {
      {.name = "instrument set",
       .help = "Defines an instrument, or changes its band, collar, fees and phases",
       .arguments = {kSymbol},
       .flags = {{.name = "tick", .help = "least step of a price (0.01)", .value = "DECIMAL"},
                 {.name = "lot", .help = "least step of a quantity (1)", .value = "DECIMAL"},
                 {.name = "base", .help = "what is traded (an asset named as the instrument)", .value = "ASSET"},
                 {.name = "base-decimals", .help = "of a new base asset (those of the lot)", .value = "N"},
                 {.name = "quote", .help = "what it is paid in (USD)", .value = "ASSET"},
                 {.name = "quote-decimals", .help = "of a new quote asset (2)", .value = "N"},
                 {.name = "phases", .help = "its calendar (24x7)", .value = "NAME", .choices = {"us-equity", "24x7"}},
                 {.name = "band", .help = "a trade so far from the reference pauses it (10%)", .value = "SHARE"},
                 {.name = "collar", .help = "how far a market order goes at most (5%)", .value = "SHARE"},
                 {.name = "pause-seconds", .help = "how long a pause lasts (300)", .value = "N"},
                 {.name = "fee-maker", .help = "of the value, for who was there (0)", .value = "SHARE"},
                 {.name = "fee-taker", .help = "of the value, for who came (2bp)", .value = "SHARE"},
                 {.name = "window-ticks", .help = "ticks of the book's fast window (65536)", .value = "N"},
                 {.name = "orders-max", .help = "orders that may rest (10000000)", .value = "N"}},
       .run = define_instrument},
      {.name = "instrument list", .help = "Lists instruments", .run = list_instruments},
      {.name = "account add", .help = "Makes an account", .arguments = {kAccount}, .run = define_account},
      {.name = "account list", .help = "Lists accounts", .run = list_accounts},
      {.name = "account show",
       .help = "Balances and positions of an account",
       .arguments = {kAccount},
       .run = show_account},
      {.name = "session set",
       .help = "Defines a FIX session, or changes it",
       .arguments = {{.name = "session", .help = "the client's CompID"}},
       .flags = {{.name = "account", .help = "whose orders it enters", .value = "NAME"},
                 {.name = "app",
                  .help = "what it is for (order)",
                  .value = "NAME",
                  .choices = {"order", "dropcopy", "reflect"}},
                 {.name = "password", .help = "Logon must carry it in 554", .value = "TEXT"},
                 {.name = "reset-on-logon", .help = "each Logon begins with 1 again"},
                 {.name = "keep-numbers", .help = "numbers go on over Logons"},
                 {.name = "cancel-on-disconnect", .help = "grace before its orders end, or no (no)", .value = "5s"},
                 {.name = "rate", .help = "messages a second; 0: any (1000)", .value = "N"},
                 {.name = "burst", .help = "messages at once (2000)", .value = "N"},
                 {.name = "resend-chunk", .help = "messages asked for again at a time; 0: all", .value = "N"},
                 {.name = "enable", .help = "may log on"},
                 {.name = "disable", .help = "may not log on"}},
       .run = define_session},
      {.name = "session list", .help = "Lists FIX sessions", .run = list_sessions},
      {.name = "key add",
       .help = "Makes an API key for REST; its secret is shown once",
       .arguments = {{.name = "session", .help = "whose orders it enters"}},
       .run = make_key},
      {.name = "key list", .help = "Lists API keys", .run = list_keys},
      {.name = "key remove",
       .help = "Takes an API key away",
       .arguments = {{.name = "key", .help = "as key list shows it"}},
       .run = remove_key},
  };
}

}  // namespace polis::exchange
