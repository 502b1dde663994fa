#include "systems/ledger/faces/console_api.h"

#include <boost/json.hpp>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "systems/api.h"
#include "systems/ledger/faces/console_json.h"
#include "systems/ledger/faces/console_request.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;

constexpr std::string_view kBase = "/api/ledger/v1/console/";
constexpr std::string_view kRead = "ledger:Read";
constexpr std::string_view kManage = "ledger:Manage";
constexpr size_t kRecentBatches = 24;
constexpr Duration kTrialAgeMin = std::chrono::milliseconds(500);

int64_t second_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

json::object committed_json(const Ledger::Committed& committed) {
  return {{"op", committed.op},
          {"timestamp", std::to_string(committed.timestamp)},
          {"operation", operation_name(static_cast<uint8_t>(committed.operation))},
          {"events", committed.events},
          {"created", committed.created},
          {"latency_us", committed.latency_us}};
}

json::object point_json(const LabPoint& point) {
  return {{"mode", name(point.mode)},
          {"workers", point.workers},
          {"commits", point.commits},
          {"retries", point.retries},
          {"per_second", point.seconds > 0 ? static_cast<double>(point.commits) / point.seconds : 0.0},
          {"p50_us", point.latency_us_p50},
          {"p99_us", point.latency_us_p99}};
}

std::string time_text(const std::optional<WallTime>& time) {
  return time ? base::format_rfc3339(*time) : "";
}

}  // namespace

ConsoleApi::ConsoleApi(ConsoleParts parts)
    : parts_(parts),
      ledger_(parts.ledger),
      home_(io::Shard::current()),
      lab_(parts.ledger, parts.store, parts.lab, parts.clock, parts.random),
      recent_(std::make_unique<Recent>(second_of(parts.clock.wall()))) {}

ConsoleApi::~ConsoleApi() = default;

Task<Result<void>> ConsoleApi::start() {
  watch_ = co_await ledger_.watch([recent = recent_.get(), &clock = parts_.clock](const Ledger::Committed& committed) {
    const bool transfers = committed.operation == Operation::kCreateTransfers;
    recent->seconds.record(second_of(clock.wall()), transfers ? committed.created : 0, committed.latency_us);
    recent->batches.push_back(committed);
    if (recent->batches.size() > kRecentBatches) recent->batches.pop_front();
  });
  co_return Result<void>{};
}

Task<void> ConsoleApi::stop() {
  tasks_.stop();
  co_await tasks_.join();
  if (watch_) co_await ledger_.unwatch(*watch_);
  watch_.reset();
}

void ConsoleApi::mount(http::Router& router) {
  const auto add = [&](http::Method method, std::string_view path, std::string_view action,
                       systems::ApiHandler handler) {
    systems::mount(router, method, std::string(kBase).append(path), std::string(action), std::move(handler));
  };
  using enum http::Method;
  // Rights of these depend on the ledger that is asked for, or posted to.
  add(kGet, "accounts/{id}", "", [this](http::Request& request) { return account(request); });
  add(kGet, "flows", "", [this](http::Request& request) { return flows(request); });
  add(kGet, "proof/{id}", "", [this](http::Request& request) { return proof(request); });
  add(kPost, "accounts", "", [this](http::Request& request) { return make_account(request); });
  add(kPost, "transfers", "", [this](http::Request& request) { return make_transfer(request); });
  add(kPost, "transfers/{id}/post", "",
      [this](http::Request& request) { return finish_transfer(request, transfer_flags::kPostPending); });
  add(kPost, "transfers/{id}/void", "",
      [this](http::Request& request) { return finish_transfer(request, transfer_flags::kVoidPending); });

  add(kGet, "accounts", kRead, [this](http::Request& request) { return accounts(request); });
  add(kGet, "chain", kRead, [this](http::Request& request) { return chain(request); });
  add(kGet, "chain/op-at", kRead, [this](http::Request& request) { return op_at(request); });
  add(kGet, "head", kRead, [this](http::Request&) { return head(); });
  add(kGet, "trial-balance", kRead,
      [this](http::Request&) { return io::on(home_, [this] { return trial_balance(); }); });

  add(kGet, "verify", kRead,
      [this](http::Request&) { return io::on(home_, [this]() -> Json { co_return verify_json(); }); });
  add(kPost, "verify", kManage,
      [this](http::Request&) { return io::on(home_, [this]() -> Json { return start_verify(); }); });
  add(kGet, "lab", kRead, [this](http::Request&) { return io::on(home_, [this]() -> Json { co_return lab_json(); }); });
  add(kPost, "lab", kManage, [this](http::Request& request) -> Json {
    Body body = CO_TRY(co_await Body::read(request));
    LabOptions options;
    if (body.has("workers")) {
      const auto workers = CO_TRY(body.numbers("workers", kLabWorkersMax, kLabWorkersMax));
      options.workers.assign(workers.begin(), workers.end());
    }
    options.point = std::chrono::milliseconds(CO_TRY(body.number("point_ms", 0, 2000, 500)));
    CO_TRY(body.finish());
    CO_TRY(ContentionLab::check(options));
    co_return co_await io::on(home_, [this, options] { return start_lab(options); });
  });
}

Result<void> ConsoleApi::declare_topics(systems::LiveTopics& topics) {
  TRY(topics.declare({.name = "ledger.live",
                      .action = std::string(kRead),
                      .interval = std::chrono::milliseconds(250),
                      .sample = [this] { return live(); }}));
  TRY(topics.declare(
      {.name = "ledger.seconds", .action = std::string(kRead), .interval = std::chrono::seconds(1), .sample = [this] {
         return seconds();
       }}));
  TRY(topics.declare({.name = "ledger.trial",
                      .action = std::string(kRead),
                      .interval = std::chrono::milliseconds(500),
                      .sample = [this] { return trial_balance(); }}));
  TRY(topics.declare({.name = "ledger.lab",
                      .action = std::string(kRead),
                      .interval = std::chrono::milliseconds(200),
                      .sample = [this]() -> Json { co_return lab_json(); }}));
  return {};
}

// --- topics

Task<Result<std::string>> ConsoleApi::live() {
  const Ledger::Statistics statistics = co_await ledger_.statistics();
  auto batches = CO_TRY(co_await ledger_.query([this](const Engine&) { return recent_->batches; }));
  json::object recent, quantiles;
  for (const Ledger::Committed& one : batches) recent[std::to_string(one.op)] = committed_json(one);
  for (const auto& [quantile, value] : statistics.latency_us) {
    std::string key = std::to_string(quantile);
    key.erase(key.find_last_not_of('0') + 1);
    quantiles[key.back() == '.' ? key + "0" : key] = value;
  }
  const Engine::Counts& counts = statistics.counts;
  co_return json::serialize(json::object{{"op", counts.ops},
                                         {"timestamp", std::to_string(counts.timestamp_last)},
                                         {"accounts", counts.accounts},
                                         {"transfers", counts.transfers},
                                         {"refusals", counts.refusals},
                                         {"expired", counts.expired},
                                         {"pending_open", counts.pending_open},
                                         {"sessions", counts.sessions},
                                         {"memory_bytes", counts.memory_bytes},
                                         {"waiting", statistics.waiting},
                                         {"journal_bytes", statistics.journal_bytes},
                                         {"journal_syncs", statistics.journal_syncs},
                                         {"snapshots", statistics.snapshots},
                                         {"snapshot_op", statistics.snapshot_op},
                                         {"latency_us", std::move(quantiles)},
                                         {"batches", std::move(recent)},
                                         {"verify", json::parse(verify_json())}});
}

Task<Result<std::string>> ConsoleApi::seconds() {
  co_return co_await ledger_.query(
      [this](const Engine&) { return recent_->seconds.to_json(second_of(parts_.clock.wall())); });
}

Task<Result<std::string>> ConsoleApi::trial_balance() {
  const SteadyTime begin = parts_.clock.steady();
  if (begin < trial_.good_until) co_return trial_.json;
  struct Sums {
    uint64_t op = 0, timestamp = 0;
    std::vector<Engine::Totals> ledgers;
    Duration took{};
  };
  Sums sums = CO_TRY(co_await ledger_.query([&clock = parts_.clock](const Engine& engine) {
    const SteadyTime start = clock.steady();
    Engine::Counts counts = engine.counts();
    Sums found{.op = counts.ops, .timestamp = counts.timestamp_last, .ledgers = engine.trial_balance()};
    found.took = clock.steady() - start;
    return found;
  }));
  std::vector<LedgerName> names;
  if (parts_.names) names = CO_TRY(co_await parts_.names->ledgers());
  json::object ledgers;
  for (const Engine::Totals& totals : sums.ledgers) {
    json::object one = totals_json(totals);
    one["asset"] = "";
    one["scale"] = 0;
    for (const LedgerName& name : names)
      if (name.ledger == totals.ledger) {
        one["asset"] = name.asset;
        one["scale"] = name.scale;
      }
    ledgers[std::to_string(totals.ledger)] = std::move(one);
  }
  trial_.json = json::serialize(
      json::object{{"op", sums.op}, {"timestamp", std::to_string(sums.timestamp)}, {"ledgers", std::move(ledgers)}});
  trial_.good_until = begin + std::max(kTrialAgeMin, sums.took * 20);
  co_return trial_.json;
}

// --- verify

std::string ConsoleApi::verify_json() const {
  const Ledger::Verified& result = verify_.result;
  return json::serialize(json::object{{"running", verify_.running},
                                      {"done", verify_.done.load()},
                                      {"total", verify_.total.load()},
                                      {"begun", time_text(verify_.begun)},
                                      {"error", verify_.error},
                                      {"ops", result.ops},
                                      {"events", result.events},
                                      {"accounts", result.accounts},
                                      {"transfers", result.transfers},
                                      {"head", result.ops > 0 ? base::hex_encode(result.head) : ""},
                                      {"seconds", result.seconds}});
}

Task<Result<std::string>> ConsoleApi::start_verify() {
  if (verify_.running) co_return fail(Code::kBusy, "the journal is being verified already");
  verify_.running = true;
  verify_.done = 0;
  verify_.total = 0;
  verify_.begun = parts_.clock.wall();
  verify_.result = {};
  verify_.error.clear();
  tasks_.spawn(run_verify());
  co_return verify_json();
}

Task<void> ConsoleApi::run_verify() {
  auto verified = co_await ledger_.verify([this](uint64_t done, uint64_t total) {
    verify_.done = done;
    verify_.total = total;
  });
  if (verified) {
    verify_.result = *verified;
    verify_.done = verified->ops;
    verify_.total = verified->ops;
  } else {
    verify_.error = verified.error().text();
  }
  verify_.running = false;
}

// --- the contention lab

std::string ConsoleApi::lab_json() const {
  const ContentionLab::Progress& progress = lab_.progress();
  json::object points;
  for (const LabPoint& point : progress.points)
    points[std::string(name(point.mode)) + "." + std::to_string(point.workers)] = point_json(point);
  return json::serialize(json::object{{"running", progress.running},
                                      {"begun", time_text(progress.begun)},
                                      {"total", progress.total},
                                      {"mode", progress.running ? name(progress.mode) : ""},
                                      {"workers", progress.running ? progress.workers : 0},
                                      {"error", progress.error},
                                      {"ledger", kLabLedger},
                                      {"points", std::move(points)}});
}

Task<Result<std::string>> ConsoleApi::start_lab(LabOptions options) {
  if (lab_.progress().running) co_return fail(Code::kBusy, "the contention lab is running; wait until it has finished");
  tasks_.spawn(run_lab(std::move(options)));
  co_await io::yield();
  co_return lab_json();
}

// What went wrong stands in the lab's progress.
Task<void> ConsoleApi::run_lab(LabOptions options) {
  (void)co_await lab_.run(std::move(options));
}

}  // namespace polis::ledger
