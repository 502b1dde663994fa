#include "systems/exchange/faces/practice.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/exchange/decimal.h"
#include "systems/exchange/faces/commands.h"

namespace polis::exchange {
namespace {

namespace json = boost::json;

constexpr Amount kFunds = 1'000'000'000;  // whole units of each asset
constexpr uint64_t kGroupMax = 8;
constexpr uint64_t kSizeMax = 100;
constexpr int64_t kLowestTick = 10'000, kTicks = 10;
constexpr size_t kBatchBytes = 64 * 1024;
// An open loop is sent by the clock, not by timers: their grain of a millisecond would be measured instead.
constexpr Duration kSpinBelow = std::chrono::milliseconds(2);

Task<Result<json::object>> ask(systems::ApiClient& api, std::string method, std::string path, json::object body) {
  const auto answer =
      CO_TRY(co_await api.request(method, path, method == "GET" ? std::string() : json::serialize(body)));
  co_return systems::object_of(answer.body);
}

Task<Result<void>> fund_up(systems::ApiClient& api, std::string account, std::string asset, uint8_t decimals) {
  Amount unit = 1;
  for (int i = 0; i < decimals; ++i) unit *= 10;
  Amount missing = kFunds * unit;
  const json::object state = CO_TRY(co_await ask(api, "GET", admin_path({"accounts", account}), {}));
  for (const json::value& one : state.at("balances").as_array())
    if (systems::text_of(one.as_object(), "asset") == asset)
      missing -= amount_of(systems::text_of(one.as_object(), "total"), decimals).value_or(0);
  if (missing <= 0) co_return Result<void>();
  CO_TRY(co_await ask(api, "POST", admin_path({"fund"}),
                      {{"account", account}, {"asset", asset}, {"amount", amount_text(missing, decimals)}}));
  co_return Result<void>();
}

// Orders as a client sends them.
class Flow {
 public:
  Flow(const LoadOptions& options) : symbol_(options.symbol), prefix_(options.id_prefix), random_(options.seed) {}

  // The body of the next order. `last`: the group must end now.
  std::string_view next(uint64_t number, bool last) {
    if (left_ == 0 && taking_ == 0) {
      left_ = last ? 0 : 1 + random_.below(kGroupMax);
      makers_ = left_;
      buy_ = random_.below(2) == 0;
    }
    body_.clear();
    body_.text(11, fmt::format("{}{}", prefix_, number));
    if (left_ > 0 && !last) {
      --left_;
      const auto size = static_cast<int64_t>(1 + random_.below(kSizeMax));
      taking_ += size;
      limit_order(size, buy_, kLowestTick + static_cast<int64_t>(random_.below(kTicks)), '0');
    } else {
      // What the makers of this group offer, whatever their prices; alone, one that nobody answers.
      expected_trades_ += 2 * (makers_ - left_);
      limit_order(std::max<int64_t>(taking_, 1), !buy_, buy_ ? kLowestTick : kLowestTick + kTicks - 1, '3');
      taking_ = 0;
      left_ = makers_ = 0;
    }
    return body_.view();
  }
  uint64_t expected_trades() const { return expected_trades_; }

 private:
  void limit_order(int64_t size, bool buy, int64_t price, char time_in_force) {
    body_.number(38, size);
    body_.character(40, '2');
    body_.decimal(44, price, 2);
    body_.character(54, buy ? '1' : '2');
    body_.text(55, symbol_);
    body_.character(59, time_in_force);
    body_.time(60, io::Shard::current().clock().wall().time_since_epoch().count());
  }

  const std::string symbol_, prefix_;
  base::SeededRandom random_;
  fix::FieldWriter body_;
  uint64_t left_ = 0, makers_ = 0, expected_trades_ = 0;
  int64_t taking_ = 0;
  bool buy_ = false;
};

// One load: what was sent and what came back. Sender and receiver are two tasks of one shard.
class Load {
 public:
  Load(FixClient& client, const LoadOptions& options) : client_(client), options_(options), flow_(options) {
    due_.resize(options.orders);
  }

  Task<Result<LoadOutcome>> run() {
    const SteadyTime begun = now();
    io::TaskGroup tasks(co_await io::this_scope());
    tasks.spawn(send(begun));
    Result<void> heard;
    while (heard && failure_ && !complete())
      heard = co_await client_.receive([this](const fix::Message& m) { take(m); });
    if (!heard) {
      stopping_ = true;
      progressed_.set();
    }
    co_await tasks.join();
    if (!failure_) co_return fail(std::move(failure_).error());
    if (!heard) co_return fail(std::move(heard).error());
    outcome_.orders = sent_;
    outcome_.seconds = std::chrono::duration<double>(now() - begun).count();
    co_return std::move(outcome_);
  }

 private:
  static SteadyTime now() { return io::Shard::current().clock().steady(); }
  uint64_t answered() const { return outcome_.accepted + outcome_.refused; }
  bool complete() const {
    return sent_ == options_.orders && answered() == sent_ &&
           (outcome_.refused > 0 || outcome_.trades == flow_.expected_trades());
  }

  Task<void> send(SteadyTime begun) {
    const double interval_ns = options_.rate > 0 ? 1e9 / options_.rate : 0;
    while (sent_ < options_.orders && !stopping_) {
      const SteadyTime turn = now();
      while (sent_ < options_.orders && client_.waiting_bytes() < kBatchBytes) {
        if (options_.rate > 0) {
          const auto due = begun + Duration(static_cast<int64_t>(interval_ns * static_cast<double>(sent_)));
          if (due > turn) break;
          due_[sent_] = due;
        } else {
          if (sent_ - answered() >= options_.window) break;
          due_[sent_] = now();
        }
        client_.append("D", flow_.next(sent_, sent_ + 1 == options_.orders));
        ++sent_;
      }
      if (client_.waiting_bytes() > 0) {
        failure_ = co_await client_.flush();
        if (!failure_) co_return;
        // A sender that is late and finds room in the socket would never let the receiver read.
        co_await io::yield();
        continue;
      }
      if (options_.rate > 0) {
        const auto due = begun + Duration(static_cast<int64_t>(interval_ns * static_cast<double>(sent_)));
        if (due - now() > kSpinBelow)
          (void)co_await io::sleep_until(due - kSpinBelow);
        else
          co_await io::yield();
      } else {
        progressed_.reset();
        (void)co_await progressed_.wait();
      }
    }
  }

  void take(const fix::Message& message) {
    ++outcome_.messages;
    if (message.type() != "8") return;
    std::string_view id, text;
    char kind = 0;
    for (const fix::Field& field : message.fields()) {
      if (field.tag == 11) id = field.value;
      if (field.tag == 58) text = field.value;
      if (field.tag == 150 && !field.value.empty()) kind = field.value[0];
    }
    if (kind == 'F') ++outcome_.trades;
    if ((kind != '0' && kind != '8') || !id.starts_with(options_.id_prefix)) return;
    id.remove_prefix(options_.id_prefix.size());
    uint64_t number = 0;
    if (std::from_chars(id.data(), id.data() + id.size(), number).ec != std::errc() || number >= sent_) return;
    outcome_.latency_ns.record(static_cast<uint64_t>(std::max<int64_t>(0, (now() - due_[number]).count())));
    if (kind == '0') {
      ++outcome_.accepted;
    } else {
      ++outcome_.refused;
      if (outcome_.first_refusal.empty()) outcome_.first_refusal = text;
    }
    if (options_.progress && answered() % 10'000 == 0) options_.progress(answered(), options_.orders);
    progressed_.set();
  }

  FixClient& client_;
  const LoadOptions& options_;
  Flow flow_;
  std::vector<SteadyTime> due_;
  uint64_t sent_ = 0;
  LoadOutcome outcome_;
  Result<void> failure_;
  io::Event progressed_;
  bool stopping_ = false;
};

}  // namespace

Task<Result<void>> set_up_practice(systems::ApiClient& api, std::string symbol, std::string quote,
                                   std::vector<PracticeTrader> traders) {
  CO_TRY(co_await ask(api, "PUT", admin_path({"instruments", symbol}),
                      {{"tick", "0.01"},
                       {"lot", "1"},
                       {"quote", quote},
                       {"quote_decimals", 2},
                       {"base_decimals", 0},
                       {"fee_maker", "0"},
                       {"fee_taker", "0"}}));
  for (const PracticeTrader& trader : traders) {
    CO_TRY(co_await ask(api, "PUT", admin_path({"accounts", trader.account}), {}));
    CO_TRY(co_await ask(api, "PUT", admin_path({"risk", trader.account}),
                        {{"open_orders_max", 1'000'000}, {"rate_per_second", 0}, {"rate_burst", 0}}));
    CO_TRY(co_await ask(api, "POST", admin_path({"kill"}), {{"account", trader.account}, {"killed", false}}));
    CO_TRY(co_await ask(api, "PUT", admin_path({"sessions", trader.session}),
                        {{"account", trader.account}, {"rate", 0}, {"burst", 0}, {"enabled", true}}));
    CO_TRY(co_await ask(api, "POST", admin_path({"cancel"}), {{"account", trader.account}}));
    CO_TRY(co_await fund_up(api, trader.account, symbol, 0));
    CO_TRY(co_await fund_up(api, trader.account, quote, 2));
  }
  CO_TRY(co_await ask(api, "POST", admin_path({"phase"}), {{"symbol", symbol}, {"phase", "continuous"}}));
  co_return Result<void>();
}

Task<Result<void>> end_practice(systems::ApiClient& api, std::string symbol, std::vector<PracticeTrader> traders) {
  for (const PracticeTrader& trader : traders) {
    CO_TRY(co_await ask(api, "POST", admin_path({"cancel"}), {{"account", trader.account}}));
    CO_TRY(co_await ask(api, "PUT", admin_path({"sessions", trader.session}), {{"enabled", false}}));
  }
  CO_TRY(co_await ask(api, "POST", admin_path({"phase"}), {{"symbol", symbol}, {"phase", "closed"}}));
  co_return Result<void>();
}

Task<Result<LoadOutcome>> run_load(FixClient& client, LoadOptions options) {
  if (options.orders == 0) co_return LoadOutcome();
  auto load = std::make_unique<Load>(client, options);
  co_return co_await load->run();
}

}  // namespace polis::exchange
