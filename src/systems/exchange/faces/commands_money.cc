#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/exchange/faces/commands.h"

namespace polis::exchange {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Moved = Task<Result<void>>;

Moved fund(Invocation& call) {
  json::object body{{"account", call.arguments[0]}, {"asset", call.arguments[1]}, {"amount", call.arguments[2]}};
  if (call.has("from")) body["wallet"] = systems::flag(call, "from");
  if (call.has("transfer")) body["transfer"] = systems::flag(call, "transfer");
  const auto answer = CO_TRY(co_await call.api.request("POST", admin_path({"fund"}), json::serialize(body)));
  call.output.document(answer.body);
  co_return Result<void>();
}

Moved withdraw(Invocation& call) {
  json::object body{{"account", call.arguments[0]}, {"asset", call.arguments[1]}, {"amount", call.arguments[2]}};
  body["wallet"] = systems::flag(call, "to");
  const auto answer = CO_TRY(co_await call.api.request("POST", admin_path({"withdraw"}), json::serialize(body)));
  call.output.document(answer.body);
  co_return Result<void>();
}

Moved settle(Invocation& call) {
  json::object body;
  if (call.has("day")) body["day"] = systems::flag(call, "day");
  co_return co_await call.plan_and_apply("POST", admin_path({"settle"}), json::serialize(body));
}

// The file may be large: it goes past the memory of the command line.
Moved show_settlement(Invocation& call) {
  const std::string path = systems::api_path("/api/exchange/v1", {"settlement", call.arguments[0]});
  if (const std::string file = systems::flag(call, "file"); !file.empty()) {
    CO_TRY(co_await call.api.receive_file(path, file));
    co_return Result<void>();
  }
  const auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json()) {
    call.output.document(json::serialize(json::object{{"csv", answer.body}}));
  } else {
    std::string_view text = answer.body;
    if (text.ends_with('\n')) text.remove_suffix(1);
    call.output.line(text);
  }
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> money_commands() {
  const systems::Argument kAccount{.name = "account", .help = "of the venue"};
  const systems::Argument kAsset{.name = "asset", .help = "USD, …"};
  const systems::Argument kAmount{.name = "amount", .help = "a decimal"};
  return {
      {.name = "fund",
       .help = "Brings money or shares from a wallet of the ledger into the venue",
       .arguments = {kAccount, kAsset, kAmount},
       .flags = {{.name = "from",
                  .help = "the wallet: an account of the ledger; else the asset's issuer",
                  .value = "ID"},
                 {.name = "transfer", .help = "names the transfer: the same name again books nothing", .value = "ID"}},
       .run = fund},
      {.name = "withdraw",
       .help = "Takes money or shares out of the venue, to a wallet of the ledger",
       .arguments = {kAccount, kAsset, kAmount},
       .flags = {{.name = "to", .help = "the wallet: an account of the ledger", .value = "ID"}},
       .run = withdraw},
      {.name = "settle",
       .help = "Closes a trading day: day orders end, the ledger is booked, the settlement file is written",
       .flags = {{.name = "day", .help = "yyyymmdd; else today in UTC", .value = "DAY"}},
       .destructive = true,
       .run = settle},
      {.name = "settlement",
       .help = "The settlement file of a day that is closed: opening balances, every movement, closing balances",
       .arguments = {{.name = "day", .help = "yyyymmdd"}},
       .flags = {{.name = "file", .help = "writes it here", .value = "PATH"}},
       .run = show_settlement},
  };
}

}  // namespace polis::exchange
