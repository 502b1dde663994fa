#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/exchange/faces/commands.h"
#include "systems/exchange/faces/practice.h"
#include "systems/exchange/fix/certify.h"

namespace polis::exchange {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Ran = Task<Result<void>>;

constexpr std::string_view kBenchSymbol = "BENCH", kBenchQuote = "BUSD";
constexpr uint64_t kWarmUpOrders = 20'000;

Task<Result<io::Endpoint>> door_of(Invocation& call) {
  if (const std::string address = systems::flag(call, "address"); !address.empty())
    co_return io::Endpoint::parse(address);
  co_return io::Endpoint{.address = "127.0.0.1", .port = CO_TRY(co_await call.api.port("exchange.fix"))};
}

std::string fresh_prefix() {
  base::SystemRandom random;
  return fmt::format("{:010x}-", random.next() & 0xff'ffff'ffff);
}

std::string microseconds(const base::Histogram& latency_ns, double percent) {
  return fmt::format("{:.1f}", static_cast<double>(latency_ns.percentile(percent)) / 1000);
}

json::object load_json(const LoadOutcome& outcome, double rate) {
  json::object latency;
  for (const auto& [name, percent] : {std::pair{"p50", 50.0}, std::pair{"p99", 99.0}, std::pair{"p99_9", 99.9}})
    latency[name] = outcome.latency_ns.percentile(percent);
  latency["max"] = outcome.latency_ns.max();
  json::object answer{{"orders", outcome.orders},        {"accepted", outcome.accepted}, {"refused", outcome.refused},
                      {"trades", outcome.trades},        {"messages", outcome.messages}, {"seconds", outcome.seconds},
                      {"latency_ns", std::move(latency)}};
  if (rate > 0) answer["rate"] = rate;
  answer["orders_per_second"] = outcome.seconds > 0 ? static_cast<double>(outcome.orders) / outcome.seconds : 0;
  return answer;
}

std::vector<std::string> load_row(const LoadOutcome& outcome, double rate) {
  return {rate > 0 ? fmt::format("{:.0f}/s", rate) : std::string("as fast as it goes"),
          fmt::format("{:.0f}/s", outcome.seconds > 0 ? static_cast<double>(outcome.orders) / outcome.seconds : 0),
          fmt::format("{}", outcome.trades),
          fmt::format("{}", outcome.refused),
          microseconds(outcome.latency_ns, 50),
          microseconds(outcome.latency_ns, 99),
          microseconds(outcome.latency_ns, 99.9),
          fmt::format("{:.1f}", static_cast<double>(outcome.latency_ns.max()) / 1000)};
}
const std::vector<std::string> kLoadColumns{"asked for", "orders", "fills",    "refused",
                                            "p50 µs",    "p99 µs", "p99.9 µs", "max µs"};

void show(systems::Output& output, const std::vector<std::pair<double, LoadOutcome>>& runs) {
  json::array all;
  std::vector<std::vector<std::string>> rows;
  for (const auto& [rate, outcome] : runs) {
    all.push_back(load_json(outcome, rate));
    rows.push_back(load_row(outcome, rate));
    if (!outcome.first_refusal.empty()) output.remark("refused: " + outcome.first_refusal);
  }
  if (output.json())
    output.document(json::serialize(json::object{{"runs", std::move(all)}}));
  else
    output.table(kLoadColumns, rows);
}

// --- load: into a market that is there

Ran load(Invocation& call) {
  LoadOptions options{.symbol = call.arguments[0], .id_prefix = fresh_prefix()};
  options.orders = static_cast<uint64_t>(CO_TRY(systems::number_flag(call, "orders", 1, 100'000'000, 10'000)));
  options.rate = static_cast<double>(CO_TRY(systems::number_flag(call, "rate", 0, 10'000'000, 0)));
  options.seed = static_cast<uint64_t>(CO_TRY(systems::number_flag(call, "seed", 0, INT64_MAX, 1)));
  options.progress = [&call](uint64_t done, uint64_t total) { call.output.progress("orders", done, total); };
  if (systems::flag(call, "session").empty()) co_return fail(Code::kInvalid, "say who sends: --session COMPID");
  FixClient client = CO_TRY(co_await FixClient::open({.endpoint = CO_TRY(co_await door_of(call)),
                                                      .sender = systems::flag(call, "session"),
                                                      .password = systems::flag(call, "password")}));
  const double rate = options.rate;
  std::vector<std::pair<double, LoadOutcome>> runs;
  runs.emplace_back(rate, CO_TRY(co_await run_load(client, std::move(options))));
  CO_TRY(co_await client.logout());
  show(call.output, runs);
  co_return Result<void>();
}

// --- bench: a market of its own

Ran bench(Invocation& call) {
  const std::vector<PracticeTrader> traders{{.account = "bench", .session = "BENCH"}};
  const std::string symbol(kBenchSymbol);
  const auto orders = static_cast<uint64_t>(CO_TRY(systems::number_flag(call, "orders", 1'000, 10'000'000, 200'000)));
  const auto seconds = static_cast<double>(CO_TRY(systems::number_flag(call, "seconds", 1, 3'600, 5)));
  CO_TRY(co_await set_up_practice(call.api, symbol, std::string(kBenchQuote), traders));
  FixClient client =
      CO_TRY(co_await FixClient::open({.endpoint = CO_TRY(co_await door_of(call)), .sender = traders[0].session}));
  CO_TRY(co_await run_load(client, {.symbol = symbol, .orders = kWarmUpOrders, .id_prefix = fresh_prefix()}));
  call.output.remark(
      "FIX 35=D to its first 35=8 over one loopback connection; with a rate, times are fixed in advance and latency is "
      "counted from them");
  std::vector<std::pair<double, LoadOutcome>> runs;
  runs.emplace_back(
      0, CO_TRY(co_await run_load(client, {.symbol = symbol, .orders = orders, .id_prefix = fresh_prefix()})));
  const double saturated = static_cast<double>(orders) / std::max(runs[0].second.seconds, 1e-9);
  for (double share : {0.1, 0.25, 0.5, 0.75}) {
    const double rate = std::floor(saturated * share);
    runs.emplace_back(rate, CO_TRY(co_await run_load(client, {.symbol = symbol,
                                                              .orders = static_cast<uint64_t>(rate * seconds),
                                                              .rate = rate,
                                                              .id_prefix = fresh_prefix()})));
  }
  CO_TRY(co_await client.logout());
  CO_TRY(co_await end_practice(call.api, symbol, traders));
  show(call.output, runs);
  co_return Result<void>();
}

// --- certify

Ran certify(Invocation& call) {
  const std::vector<fix::Definition> definitions = CO_TRY(fix::read_definitions(call.arguments[0]));
  const std::string address = systems::flag(call, "address");
  const auto target =
      address.empty() ? fix::reflecting_acceptor() : fix::network_acceptor(CO_TRY(io::Endpoint::parse(address)));
  size_t passed = 0;
  json::array all;
  std::vector<std::vector<std::string>> rows;
  for (const fix::Definition& definition : definitions) {
    const fix::CertifyOutcome outcome = co_await fix::certify(definition, *target);
    passed += outcome.failure.empty() ? 1 : 0;
    all.push_back(
        json::object{{"name", outcome.name}, {"passed", outcome.failure.empty()}, {"failure", outcome.failure}});
    rows.push_back({outcome.name, outcome.failure.empty() ? "passed" : outcome.failure});
    call.output.progress("definitions", rows.size(), definitions.size());
  }
  if (call.output.json()) {
    call.output.document(
        json::serialize(json::object{{"passed", passed}, {"of", definitions.size()}, {"definitions", std::move(all)}}));
  } else {
    call.output.table({"definition", "outcome"}, rows);
    call.output.line(fmt::format("{} of {} passed", passed, definitions.size()));
  }
  if (passed != definitions.size())
    co_return fail(Code::kInvalid,
                   fmt::format("{} of {} definitions do not pass", definitions.size() - passed, definitions.size()));
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> load_commands() {
  const systems::Flag kAddress{
      .name = "address", .help = "another FIX port than that of the polis here", .value = "ADDRESS:PORT"};
  return {
      {.name = "load",
       .help = "Sends orders into an instrument over FIX: they rest at 100.00 to 100.09 and are taken again",
       .arguments = {{.name = "symbol", .help = "the instrument, with ticks of 0.01 or finer"}},
       .flags = {{.name = "session", .help = "which session sends", .value = "COMPID"},
                 {.name = "password", .help = "its password", .value = "TEXT"},
                 {.name = "orders", .help = "how many (10000)", .value = "N"},
                 {.name = "rate", .help = "orders a second; 0: as fast as it goes (0)", .value = "N"},
                 {.name = "seed", .help = "of the random sides, sizes and prices (1)", .value = "N"},
                 kAddress},
       .run = load},
      {.name = "bench",
       .help = "Measures orders a second and latency over FIX, in a market of its own",
       .flags = {{.name = "orders", .help = "of the saturated run (200000)", .value = "N"},
                 {.name = "seconds", .help = "of each run with a rate (5)", .value = "N"},
                 kAddress},
       .run = bench},
      {.name = "certify",
       .help = "Runs FIX acceptance definitions (*.def) against an acceptor in this process, or at an address",
       .arguments = {{.name = "directory", .help = "where they are"}},
       .flags = {kAddress},
       .run = certify},
  };
}

}  // namespace polis::exchange
