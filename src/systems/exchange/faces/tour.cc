#include "systems/exchange/faces/tour.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/io/shard.h"
#include "systems/exchange/decimal.h"
#include "systems/exchange/faces/commands.h"
#include "systems/exchange/faces/practice.h"

namespace polis::exchange {
namespace {

namespace json = boost::json;

constexpr uint64_t kMillion = 1'000'000;

// "How does a modern stock exchange achieve microsecond latency?": the book of its example.
struct ExampleLevel {
  bool buy;
  int price;  // ticks of 0.01
  std::vector<int> sizes;
};
const std::vector<ExampleLevel>& example_book() {
  static const std::vector<ExampleLevel> kBook{{false, 10010, {200, 400, 1100, 100}},
                                               {false, 10011, {900, 700, 400}},
                                               {false, 10012, {600, 900}},
                                               {false, 10013, {100, 200}},
                                               {true, 10008, {500, 600, 900}},
                                               {true, 10007, {100, 700}},
                                               {true, 10006, {1100, 400, 300, 200}},
                                               {true, 10005, {500, 100}}};
  return kBook;
}
constexpr size_t kExampleOrders = 22;
// Those that the market order fills.
constexpr size_t kExampleTaken = 5;

class ExchangeTour {
 public:
  explicit ExchangeTour(systems::Tour& tour) : tour_(tour), prefix_(tour.unique_name()) {
    // Client order ids have 36 characters; what tells tours apart stands at the name's end.
    if (prefix_.size() > 16) prefix_ = prefix_.substr(prefix_.size() - 16);
  }

  Task<Result<void>> run() {
    CO_TRY(co_await step("define what is traded", &ExchangeTour::define));
    CO_TRY(co_await step("build the example's book over FIX", &ExchangeTour::build));
    CO_TRY(co_await step("buy 2,700 at the market", &ExchangeTour::buy));
    CO_TRY(co_await step("what comes too late, twice or too big", &ExchangeTour::refuse));
    CO_TRY(co_await step("all or nothing leaves no trace", &ExchangeTour::fill_or_kill));
    CO_TRY(co_await step("the kill switch", &ExchangeTour::kill));
    CO_TRY(co_await step("a million orders", &ExchangeTour::million));
    CO_TRY(co_await step("recomputed from the journal, every output", &ExchangeTour::verify));
    CO_TRY(co_await step("the book as it was before", &ExchangeTour::look_back));
    co_return co_await step("end what the tour began", &ExchangeTour::clean);
  }

 private:
  using Outcome = Task<Result<std::string>>;

  Task<Result<void>> step(std::string name, Outcome (ExchangeTour::*what)()) {
    co_return co_await tour_.step(std::move(name), [this, what] { return (this->*what)(); });
  }
  static std::vector<PracticeTrader> traders() {
    return {{.account = "tour-maker", .session = "TOURMAKER"}, {.account = "tour-taker", .session = "TOURTAKER"}};
  }
  Task<Result<json::object>> get(std::string path) {
    const auto answer = CO_TRY(co_await tour_.api().request("GET", path));
    co_return systems::object_of(answer.body);
  }
  Task<Result<json::object>> post(std::string_view verb, json::object body) {
    const auto answer = CO_TRY(co_await tour_.api().request("POST", admin_path({verb}), json::serialize(body)));
    co_return systems::object_of(answer.body);
  }
  Task<Result<json::object>> book() {
    std::string path = admin_path({"book", kSymbol});
    systems::add_query(path, "queues", "true");
    co_return co_await get(path);
  }
  Task<Result<FixClient>> log_on(const char* session) {
    co_return co_await FixClient::open(
        {.endpoint = {.address = "127.0.0.1", .port = tour_.port("exchange.fix")}, .sender = session});
  }

  struct Order {
    std::string id;
    int size = 0;
    char type = '2';
    char side = '1';
    int price = 0;
    char time_in_force = '0';
  };
  void append(FixClient& client, const Order& order) {
    fix::FieldWriter body;
    body.text(11, prefix_ + order.id);
    body.number(38, order.size);
    body.character(40, order.type);
    if (order.type == '2') body.decimal(44, order.price, 2);
    body.character(54, order.side);
    body.text(55, kSymbol);
    body.character(59, order.time_in_force);
    body.time(60, io::Shard::current().clock().wall().time_since_epoch().count());
    client.append("D", body.view());
  }
  // What comes for one order until it has ended or rests: fields that the tour looks at, message by message.
  using Fields = std::vector<std::pair<int, std::string>>;
  static std::string field(const Fields& fields, int tag) {
    for (const auto& [one, value] : fields)
      if (one == tag) return value;
    return {};
  }
  Task<Result<std::vector<Fields>>> send(FixClient& client, const Order& order, size_t messages) {
    append(client, order);
    CO_TRY(co_await client.flush());
    co_return co_await hear(client, messages);
  }
  static Task<Result<std::vector<Fields>>> hear(FixClient& client, size_t messages) {
    std::vector<Fields> heard;
    CO_TRY(co_await client.receive_until([&](const fix::Message& message) {
      Fields fields;
      for (const fix::Field& one : message.fields()) fields.emplace_back(one.tag, std::string(one.value));
      heard.push_back(std::move(fields));
      return heard.size() >= messages;
    }));
    co_return heard;
  }

  static std::string level_text(const json::array& side) {
    std::string text;
    for (const json::value& level : side) {
      const json::object& one = level.as_object();
      text += (text.empty() ? "" : " ") + systems::text_of(one, "price") + ":[";
      bool first = true;
      for (const json::value& order : one.at("queue").as_array()) {
        text += (first ? "" : ",") + std::string(order.as_string());
        first = false;
      }
      text += "]";
    }
    return text;
  }
  static std::string expected_side(bool buy) {
    std::string text;
    for (const ExampleLevel& level : example_book()) {
      if (level.buy != buy) continue;
      text += (text.empty() ? "" : " ") + units_text(level.price, {1, -2}) + ":[";
      for (size_t i = 0; i < level.sizes.size(); ++i) text += (i ? "," : "") + std::to_string(level.sizes[i]);
      text += "]";
    }
    return text;
  }
  static Result<void> must_be(std::string_view what, const std::string& is, const std::string& should) {
    if (is == should) return {};
    return fail(Code::kCorrupt, fmt::format("{}: {} and not {}", what, is, should));
  }

  // --- the steps

  Outcome define() {
    CO_TRY(co_await set_up_practice(tour_.api(), kSymbol, kQuote, traders()));
    const json::object empty = CO_TRY(co_await book());
    if (!empty.at("bids").as_array().empty() || !empty.at("asks").as_array().empty())
      co_return fail(Code::kCorrupt, "the tour's book is not empty");
    co_return fmt::format("{} in {}, tick 0.01; 2 accounts funded out of the ledger, 2 FIX sessions", kSymbol, kQuote);
  }

  Outcome build() {
    maker_.emplace(CO_TRY(co_await log_on("TOURMAKER")));
    int number = 0;
    for (const ExampleLevel& level : example_book())
      for (int size : level.sizes)
        append(
            *maker_,
            {.id = fmt::format("-m{}", number++), .size = size, .side = level.buy ? '1' : '2', .price = level.price});
    CO_TRY(co_await maker_->flush());
    for (const Fields& report : CO_TRY(co_await hear(*maker_, kExampleOrders)))
      CO_TRY(must_be("an order of the book", field(report, 150) + "/" + field(report, 39), "0/0"));
    const json::object there = CO_TRY(co_await book());
    CO_TRY(must_be("asks", level_text(there.at("asks").as_array()), expected_side(false)));
    CO_TRY(must_be("bids", level_text(there.at("bids").as_array()), expected_side(true)));
    example_sequence_ = systems::text_of(CO_TRY(co_await get(admin_path({"status"}))), "sequence");
    co_return fmt::format("{} orders in 8 levels, every queue as in the example", number);
  }

  // 200, 400, 1,100 and 100 at 100.10, then the first 900 at 100.11.
  Outcome buy() {
    taker_.emplace(CO_TRY(co_await log_on("TOURTAKER")));
    const SteadyTime begun = io::Shard::current().clock().steady();
    const auto heard =
        CO_TRY(co_await send(*taker_, {.id = "-buy", .size = 2700, .type = '1', .side = '1', .time_in_force = '3'}, 6));
    const auto took = io::Shard::current().clock().steady() - begun;
    constexpr std::pair<const char*, const char*> kFills[] = {
        {"100.10", "200"}, {"100.10", "400"}, {"100.10", "1100"}, {"100.10", "100"}, {"100.11", "900"}};
    CO_TRY(must_be("the first message", field(heard[0], 150), "0"));
    for (size_t i = 0; i < std::size(kFills); ++i) {
      const Fields& fill = heard[i + 1];
      const auto price = parse_decimal(field(fill, 31)), should = parse_decimal(kFills[i].first);
      if (field(fill, 150) != "F" || price != should || field(fill, 32) != kFills[i].second)
        co_return fail(Code::kCorrupt, fmt::format("fill {} is {} at {}", i + 1, field(fill, 32), field(fill, 31)));
      CO_TRY(must_be("its state", field(fill, 39), i + 1 == std::size(kFills) ? "2" : "1"));
    }
    CO_TRY(must_be("what is left", field(heard[5], 151), "0"));
    CO_TRY(must_be("what was filled", field(heard[5], 14), "2700"));
    CO_TRY(must_be("the average price", field(heard[5], 6), "100.10333333"));
    CO_TRY(co_await hear(*maker_, 5));
    const json::object there = CO_TRY(co_await book());
    const json::array best{there.at("asks").as_array().at(0)};
    CO_TRY(must_be("the best ask", level_text(best), "100.11:[700,400]"));
    co_return fmt::format("5 fills in {} µs, average 100.10333333; best ask now 100.11:[700,400]",
                          std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  }

  Outcome refuse() {
    // A cancel of what is filled.
    fix::FieldWriter cancel;
    cancel.text(11, prefix_ + "-late");
    cancel.text(41, prefix_ + "-buy");
    cancel.character(54, '1');
    cancel.text(55, kSymbol);
    cancel.time(60, io::Shard::current().clock().wall().time_since_epoch().count());
    taker_->append("F", cancel.view());
    CO_TRY(co_await taker_->flush());
    auto heard = CO_TRY(co_await hear(*taker_, 1));
    CO_TRY(must_be("a cancel of a filled order", field(heard[0], 35) + " " + field(heard[0], 102), "9 0"));
    // The same client order id.
    heard = CO_TRY(co_await send(*taker_, {.id = "-buy", .size = 1, .price = 9000}, 1));
    CO_TRY(must_be("the same id again", field(heard[0], 150) + " " + field(heard[0], 103), "8 6"));
    // More than the risk manager allows.
    CO_TRY(co_await tour_.api().request("PUT", admin_path({"risk", "tour-taker"}), R"({"order_quantity_max":1000})"));
    heard = CO_TRY(co_await send(*taker_, {.id = "-big", .size = 1001, .price = 9990}, 1));
    CO_TRY(must_be("an order above the limit", field(heard[0], 150) + " " + field(heard[0], 103), "8 3"));
    const std::string words = field(heard[0], 58);
    CO_TRY(co_await tour_.api().request("PUT", admin_path({"risk", "tour-taker"}), R"({"order_quantity_max":0})"));
    // Half a tick.
    fix::FieldWriter half;
    half.text(11, prefix_ + "-half");
    half.number(38, 1);
    half.character(40, '2');
    half.text(44, "99.995");
    half.character(54, '1');
    half.text(55, kSymbol);
    half.time(60, io::Shard::current().clock().wall().time_since_epoch().count());
    taker_->append("D", half.view());
    CO_TRY(co_await taker_->flush());
    heard = CO_TRY(co_await hear(*taker_, 1));
    CO_TRY(must_be("a price between two ticks", field(heard[0], 150) + " " + field(heard[0], 103), "8 99"));
    co_return fmt::format("a late cancel, an id again, \"{}\", half a tick: 4 refusals, 4 reasons", words);
  }

  Outcome fill_or_kill() {
    const json::object before = CO_TRY(co_await book());
    const auto heard =
        CO_TRY(co_await send(*taker_, {.id = "-fok", .size = 100'000, .price = 10013, .time_in_force = '4'}, 2));
    const std::string end = field(heard[1], 150);
    if (field(heard[0], 150) != "0" || (end != "4" && end != "C"))
      co_return fail(Code::kCorrupt, fmt::format("150 was {} and {}", field(heard[0], 150), end));
    CO_TRY(must_be("what it filled", field(heard[1], 14), "0"));
    const json::object after = CO_TRY(co_await book());
    CO_TRY(must_be("the book", json::serialize(after.at("asks")), json::serialize(before.at("asks"))));
    co_return "100,000 against 2,900 on offer: decided by sums, nothing was touched";
  }

  Outcome kill() {
    CO_TRY(co_await post("kill", {{"account", "tour-maker"}, {"killed", true}}));
    const json::object empty = CO_TRY(co_await book());
    if (!empty.at("bids").as_array().empty() || !empty.at("asks").as_array().empty())
      co_return fail(Code::kCorrupt, "orders of a stopped account are still in the book");
    CO_TRY(co_await hear(*maker_, kExampleOrders - kExampleTaken));
    const auto heard = CO_TRY(co_await send(*maker_, {.id = "-dead", .size = 1, .price = 9990}, 1));
    CO_TRY(must_be("an order of a stopped account", field(heard[0], 150), "8"));
    const std::string words = field(heard[0], 58);
    CO_TRY(co_await post("kill", {{"account", "tour-maker"}, {"killed", false}}));
    co_return fmt::format("{} orders cancelled by one request; then \"{}\"; lifted", kExampleOrders - kExampleTaken,
                          words);
  }

  Outcome million() {
    const LoadOutcome outcome = CO_TRY(co_await run_load(
        *maker_, {.symbol = kSymbol, .orders = kMillion, .id_prefix = prefix_ + "-x", .progress = {}}));
    if (outcome.refused != 0)
      co_return fail(Code::kCorrupt, fmt::format("{} orders refused: {}", outcome.refused, outcome.first_refusal));
    const json::object empty = CO_TRY(co_await book());
    if (!empty.at("bids").as_array().empty() || !empty.at("asks").as_array().empty())
      co_return fail(Code::kCorrupt, "every group was to take all of itself, but something rests");
    co_return fmt::format("{:.1f} s: {:.0f} orders/s over one FIX session, {} fills", outcome.seconds,
                          static_cast<double>(outcome.orders) / outcome.seconds, outcome.trades);
  }

  Outcome verify() {
    const json::object live = CO_TRY(co_await get(admin_path({"accounts", "tour-maker"})));
    const json::object there =
        CO_TRY(co_await post("replay", {{"verify", true}, {"balances", true}, {"account", "tour-maker"}}));
    const json::value& state = there.at("accounts").as_object().at("tour-maker").as_object().at("state");
    CO_TRY(must_be("the balances of the replay", json::serialize(state), json::serialize(live)));
    const double seconds = there.at("seconds").to_number<double>();
    const double steps = std::stod(systems::text_of(there, "steps"));
    co_return fmt::format("{} steps in {:.1f} s ({:.1f} M/s), hash {}…; balances equal",
                          systems::text_of(there, "steps"), seconds, seconds > 0 ? steps / seconds / 1e6 : 0,
                          systems::text_of(there, "hash").substr(0, 12));
  }

  Outcome look_back() {
    const json::object there = CO_TRY(co_await post("replay", {{"to", example_sequence_}, {"book", kSymbol}}));
    const json::object& then = there.at("book").as_object();
    CO_TRY(must_be("asks", level_text(then.at("asks").as_array()), expected_side(false)));
    CO_TRY(must_be("bids", level_text(then.at("bids").as_array()), expected_side(true)));
    co_return fmt::format("at sequence {}: the example's book, order by order", example_sequence_);
  }

  Outcome clean() {
    CO_TRY(co_await maker_->logout());
    CO_TRY(co_await taker_->logout());
    CO_TRY(co_await end_practice(tour_.api(), kSymbol, traders()));
    co_return fmt::format("{} closed, 2 sessions disabled", kSymbol);
  }

  static constexpr const char* kSymbol = "TOUR";
  static constexpr const char* kQuote = "TOURUSD";
  systems::Tour& tour_;
  std::string prefix_;
  std::string example_sequence_;
  std::optional<FixClient> maker_, taker_;
};

}  // namespace

Task<Result<void>> take_tour(systems::Tour& tour) {
  ExchangeTour exchange(tour);
  co_return co_await exchange.run();
}

}  // namespace polis::exchange
