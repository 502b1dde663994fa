#include "systems/exchange/faces/system.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "kernel/base/config.h"
#include "kernel/base/random.h"
#include "kernel/store/store.h"
#include "systems/exchange/faces/admin.h"
#include "systems/exchange/faces/commands.h"
#include "systems/exchange/faces/doors.h"
#include "systems/exchange/faces/phase_clerk.h"
#include "systems/exchange/faces/rest.h"
#include "systems/exchange/faces/tour.h"
#include "systems/exchange/gateway/gateway.h"
#include "systems/exchange/reporting/reports.h"
#include "systems/exchange/reporting/settlement.h"
#include "systems/offers.h"

namespace polis::exchange {
namespace {

using namespace std::chrono_literals;

// Requests under way may end so long; a stop has 4 s in all.
constexpr Duration kDrain = 1500ms;
constexpr int64_t kCpusMax = 1024;

Result<std::vector<unsigned>> parse_cpus(const std::vector<std::string>& texts) {
  std::vector<unsigned> cpus;
  for (const std::string& text : texts) {
    unsigned cpu = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cpu);
    if (error != std::errc() || end != text.data() + text.size() || cpu >= kCpusMax)
      return fail(Code::kInvalid, fmt::format("exchange.cpus: \"{}\" is no CPU's number", text));
    cpus.push_back(cpu);
  }
  if (!cpus.empty() && cpus.size() != 2)
    return fail(Code::kInvalid, "exchange.cpus names two CPUs: the order manager's and the engine's");
  return cpus;
}

class ExchangeSystem final : public systems::System {
 public:
  std::string_view name() const override { return "exchange"; }
  std::string_view summary() const override { return "deterministic trading venue for FIX clients"; }
  std::vector<systems::Port> ports() const override { return exchange::ports(); }
  systems::Placement placement() const override { return systems::Placement::kOneShard; }
  systems::ConsolePage console_page() const override {
    return {.id = "exchange", .title = "Exchange", .group = "money"};
  }

  void declare_options(base::ConfigSchema& schema) const override {
    declare_door_options(schema);
    const RuntimeOptions runtime;
    const gateway::GatewayOptions gateway;
    schema.add_text("exchange.comp_id", gateway.comp_id, "The venue's own CompID: 56 of what FIX clients send.");
    schema.add_choice("exchange.threads", "auto", {"auto", "fused", "split"},
                      "fused: one loop reads, matches and answers. split: order manager and engine have a thread and a "
                      "CPU each. auto: split from 4 CPUs on.");
    schema.add_list("exchange.cpus", {}, "split: the CPUs that order manager and engine are pinned to; empty: any.");
    schema.add_choice("exchange.ack", "disk", {"disk", "bus"},
                      "When a client is answered. disk: what is told survives a power cut. bus: it survives a killed "
                      "process; after a lost host the venue opens halted.");
    schema.add_choice("exchange.wait", "futex", {"spin", "yield", "futex"},
                      "split: how a thread waits for work. spin takes a CPU for itself.");
    schema.add_integer("exchange.bus_slots", static_cast<int64_t>(runtime.bus_slots), {1 << 10, 1 << 20},
                       "Places of 128 bytes on the bus, a power of two.");
    schema.add_integer("exchange.inbound_max", static_cast<int64_t>(runtime.inbound_max), {64, 1 << 20},
                       "Requests that wait for the venue; beyond, clients are told that it is busy.");
    schema.add_integer("exchange.snapshot_every", static_cast<int64_t>(runtime.snapshot_every), {10'000, INT64_MAX},
                       "A snapshot is made after so many sequence numbers; a start replays at most about so many.");
    schema.add_integer("exchange.accounts_max", runtime.limits.accounts_max, {16, 10'000'000}, "Accounts.");
    schema.add_integer("exchange.instruments_max", runtime.limits.instruments_max, {1, 100'000}, "Instruments.");
    schema.add_integer("exchange.sessions_max", runtime.limits.sessions_max, {1, 1'000'000},
                       "FIX sessions and API keys.");
    schema.add_integer("exchange.orders_max", runtime.limits.orders_max, {1'000, 200'000'000},
                       "Orders that are open at once, of all instruments.");
    schema.add_integer("exchange.connections_max", static_cast<int64_t>(gateway.connections_max), {1, 1'000'000},
                       "FIX clients at a time; more wait to be accepted.");
    schema.add_size("exchange.egress_buffer", gateway.egress_bytes_max, {64 << 10, int64_t{1} << 30},
                    "What may wait for one FIX client to read; beyond, it is cut off.");
    schema.add_bool("exchange.settle_daily", SettlementOptions().automatic,
                    "Each trading day is closed and settled at the next midnight UTC; else by hand.");
  }

  std::vector<systems::Command> commands() const override { return exchange::commands(); }

  Task<Result<systems::OpenPorts>> start(systems::Context& context) override {
    auto ports = co_await open(context);
    if (!ports) co_await stop();
    co_return ports;
  }

  // Its books are the venue's wallets.
  std::vector<std::string_view> uses() const override { return {"ledger"}; }

  // Who asks ends first, what keeps the history last.
  Task<void> stop() override {
    if (clerk_) co_await clerk_->stop();
    clerk_.reset();
    if (gateway_) co_await gateway_->drain(kDrain);
    admin_.reset();
    travel_.reset();
    rest_.reset();
    keys_.reset();
    working_settlement_ = nullptr;
    working_funding_ = nullptr;
    if (settlement_) co_await settlement_->stop();
    if (funding_) co_await funding_->stop();
    observed_.clear();
    running_ = nullptr;
    if (runtime_) (void)co_await runtime_->close();  // a failed journal has told health() already
    gateway_.reset();
    settlement_.reset();
    funding_.reset();
    reports_.reset();
    runtime_.reset();
    reporter_.reset();
  }

  systems::Health health() const override {
    const Parts* parts = running_.load(std::memory_order_acquire);
    if (!parts) return {};
    systems::Health health;
    const auto tell = [&health](systems::HealthState state, std::string message) {
      health.state = std::max(health.state, state);
      health.message += (health.message.empty() ? "" : " ") + std::move(message);
    };
    const RuntimeStatistics now = parts->runtime->statistics();
    if (const Result<void> status = parts->runtime->status(); !status)
      tell(systems::HealthState::kFailed, status.error().text() + ". The venue takes nothing any more.");
    else if (now.halted)
      tell(systems::HealthState::kDegraded,
           fmt::format("The venue has halted itself: {}. See what was lost, then `polis exchange accept`.",
                       now.halted_why.empty() ? "nobody said why" : now.halted_why));
    if (!now.follower_failure.empty())
      tell(systems::HealthState::kDegraded, "Reports are not written: " + now.follower_failure + ".");
    if (parts->funding)
      if (const std::string problem = parts->funding->statistics().problem; !problem.empty())
        tell(systems::HealthState::kDegraded, "Funding: " + problem + ".");
    if (parts->settlement)
      if (const std::string problem = parts->settlement->problem(); !problem.empty())
        tell(systems::HealthState::kDegraded, "Settlement: " + problem + ".");
    return health;
  }

  Task<Result<void>> tour(systems::Tour& tour) const override { co_return co_await take_tour(tour); }

 private:
  // As health() sees it, from any thread.
  struct Parts {
    VenueRuntime* runtime = nullptr;
    Funding* funding = nullptr;
    Settlement* settlement = nullptr;
  };

  static Result<RuntimeOptions> runtime_options(const systems::Context& context) {
    const base::Config& config = context.config;
    RuntimeOptions options;
    options.journal_directory = context.data_directory + "/journal/exchange";
    options.snapshot_directory = context.data_directory + "/snapshot/exchange";
    options.bus_path = context.data_directory + "/run/exchange.bus";
    const std::string& threads = config.text("exchange.threads");
    options.threads = threads == "fused"   ? ThreadMode::kFused
                      : threads == "split" ? ThreadMode::kSplit
                                           : ThreadMode::kAuto;
    options.ack = config.text("exchange.ack") == "bus" ? AckMode::kBus : AckMode::kDisk;
    const std::string& wait = config.text("exchange.wait");
    options.wait = wait == "spin" ? WaitMode::kSpin : wait == "yield" ? WaitMode::kYield : WaitMode::kFutex;
    options.cpus = TRY(parse_cpus(config.list("exchange.cpus")));
    options.bus_slots = static_cast<size_t>(config.integer("exchange.bus_slots"));
    if ((options.bus_slots & (options.bus_slots - 1)) != 0)
      return fail(Code::kInvalid, "exchange.bus_slots must be a power of two");
    options.inbound_max = static_cast<size_t>(config.integer("exchange.inbound_max"));
    options.snapshot_every = static_cast<uint64_t>(config.integer("exchange.snapshot_every"));
    options.limits.accounts_max = static_cast<uint32_t>(config.integer("exchange.accounts_max"));
    options.limits.instruments_max = static_cast<uint32_t>(config.integer("exchange.instruments_max"));
    options.limits.sessions_max = static_cast<uint32_t>(config.integer("exchange.sessions_max"));
    options.limits.orders_max = static_cast<uint32_t>(config.integer("exchange.orders_max"));
    return options;
  }

  Task<Result<systems::OpenPorts>> open(systems::Context& context) {
    const auto doors = CO_TRY(co_await make_doors(context));
    const RuntimeOptions options = CO_TRY(runtime_options(context));
    const store::Keyspace rows = CO_TRY(context.store.keyspace("exchange"));
    CO_TRY(co_await open_venue(context, options, rows));
    CO_TRY(co_await open_money(context, rows));
    CO_TRY(co_await open_faces(context, options, rows));

    parts_ = {.runtime = runtime_.get(), .funding = funding_.get(), .settlement = settlement_.get()};
    running_.store(&parts_, std::memory_order_release);
    observe(context.metrics);
    systems::OpenPorts ports;
    for (const auto& [name, door] : doors)
      ports[name] = CO_TRY(co_await gateway_->listen(context.listen.at(name), door));
    co_return ports;
  }

  // The venue, who writes down what it reports, and its FIX door.
  Task<Result<void>> open_venue(systems::Context& context, const RuntimeOptions& options, store::Keyspace rows) {
    reporter_ = CO_TRY(co_await Reporter::open(context.store, rows));
    reporter_->on_work([this] {
      if (Funding* funding = working_funding_.load(std::memory_order_acquire)) funding->look_at_rows();
      if (Settlement* settlement = working_settlement_.load(std::memory_order_acquire)) settlement->look_at_rows();
    });
    reports_.emplace(context.store, rows, *reporter_);
    auto recent = std::make_unique<gateway::RecentReports>(&*reports_);
    runtime_ = CO_TRY(co_await VenueRuntime::open(context.disk, context.clock, random_, options, {reporter_.get()},
                                                  [&](Sequence sequence, VenueTime time, const Report& report) {
                                                    if (has_message(report)) recent->add(sequence, time, report);
                                                  }));
    gateway::GatewayOptions door;
    door.comp_id = context.config.text("exchange.comp_id");
    if (door.comp_id.empty() || !std::ranges::all_of(door.comp_id, [](char c) { return c > ' ' && c < 0x7f; }))
      co_return fail(Code::kInvalid, "exchange.comp_id has printable characters without spaces");
    door.connections_max = static_cast<size_t>(context.config.integer("exchange.connections_max"));
    door.egress_bytes_max = context.config.size_bytes("exchange.egress_buffer");
    gateway_ = CO_TRY(co_await gateway::Gateway::open({.venue = *runtime_,
                                                       .store = context.store,
                                                       .clock = context.clock,
                                                       .random = random_,
                                                       .metrics = &context.metrics,
                                                       .archive = &*reports_},
                                                      std::move(door), std::move(recent)));
    co_return {};
  }

  // Without a ledger the venue trades what it has; nothing comes in or goes out.
  Task<Result<void>> open_money(systems::Context& context, store::Keyspace rows) {
    ledger::Ledger* ledger = context.offers.find<ledger::Ledger>();
    if (!ledger) co_return {};
    funding_ = CO_TRY(co_await Funding::open({.ledger = *ledger,
                                              .runtime = *runtime_,
                                              .store = context.store,
                                              .rows = rows,
                                              .reports = *reports_,
                                              .random = random_}));
    working_funding_.store(funding_.get(), std::memory_order_release);
    settlement_ = CO_TRY(co_await Settlement::open({.ledger = *ledger,
                                                    .runtime = *runtime_,
                                                    .store = context.store,
                                                    .rows = rows,
                                                    .reporter = *reporter_,
                                                    .reports = *reports_,
                                                    .funding = *funding_,
                                                    .clock = context.clock,
                                                    // The ledger's, and not the venue's.
                                                    .worker = &context.runtime.shard(context.runtime.size() - 1)},
                                                   {.automatic = context.config.boolean("exchange.settle_daily")}));
    working_settlement_.store(settlement_.get(), std::memory_order_release);
    co_return {};
  }

  Task<Result<void>> open_faces(systems::Context& context, const RuntimeOptions& options, store::Keyspace rows) {
    auth::NodeKey node_key =
        CO_TRY(co_await auth::NodeKey::read(context.disk, context.data_directory + "/keys/node.key"));
    keys_ = CO_TRY(co_await ApiKeys::open(context.store, rows, std::move(node_key), random_, context.clock));
    rest_ = std::make_unique<Rest>(RestParts{.venue = *runtime_,
                                             .reports = *reports_,
                                             .keys = *keys_,
                                             .clock = context.clock,
                                             .ack = options.ack,
                                             .settlement = settlement_.get()});
    rest_->mount(context.api);
    CO_TRY(co_await roster_.load(*runtime_));
    travel_.emplace(TravelParts{.disk = context.disk,
                                .clock = context.clock,
                                .journal_directory = options.journal_directory,
                                .snapshot_directory = options.snapshot_directory,
                                .limits = options.limits});
    admin_.emplace(AdminParts{.venue = *runtime_,
                              .roster = roster_,
                              .travel = *travel_,
                              .plans = context.plans,
                              .auth = context.auth,
                              .clock = context.clock,
                              .keys = *keys_,
                              .gateway = gateway_.get(),
                              .funding = funding_.get(),
                              .settlement = settlement_.get()});
    admin_->mount(context.api);
    CO_TRY(admin_->declare_topics(context.live));
    clerk_.emplace(*runtime_, roster_, context.clock);
    clerk_->start();
    co_return {};
  }

  void observe(obs::Registry& metrics) {
    const auto add = [&](bool counter, const char* name, const char* help, auto field) {
      const auto read = [runtime = runtime_.get(), field] { return static_cast<double>(field(runtime->statistics())); };
      observed_.push_back(counter ? metrics.observe_counter(name, help, {}, read)
                                  : metrics.observe_gauge(name, help, {}, read));
    };
    using S = RuntimeStatistics;
    add(true, "polis_exchange_requests", "Requests that were sequenced.", [](const S& s) { return s.requests; });
    add(true, "polis_exchange_reports", "Reports of the order manager.", [](const S& s) { return s.reports; });
    add(true, "polis_exchange_trades", "Trades.", [](const S& s) { return s.trades; });
    add(true, "polis_exchange_journal_bytes", "Bytes that were appended to the journal.",
        [](const S& s) { return s.journal_bytes; });
    add(true, "polis_exchange_journal_syncs", "Syncs of the journal.", [](const S& s) { return s.syncs; });
    add(false, "polis_exchange_sequence", "The next place on the bus.", [](const S& s) { return s.sequence; });
    add(false, "polis_exchange_not_durable", "Places on the bus that are not on disk yet.",
        [](const S& s) { return s.sequence - std::min(s.sequence, s.durable); });
    add(false, "polis_exchange_shadow_lag", "Places on the bus that the shadow has not recomputed yet.",
        [](const S& s) { return s.sequence - std::min(s.sequence, s.shadow); });
    add(false, "polis_exchange_halted", "1 while the venue has halted itself.", [](const S& s) { return s.halted; });
  }

  base::SystemRandom random_;
  Roster roster_;
  std::unique_ptr<Reporter> reporter_;
  std::optional<Reports> reports_;
  std::unique_ptr<VenueRuntime> runtime_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<Funding> funding_;
  std::unique_ptr<Settlement> settlement_;
  // As the shadow's thread sees them, which may have work for them before they stand.
  std::atomic<Funding*> working_funding_{nullptr};
  std::atomic<Settlement*> working_settlement_{nullptr};
  std::unique_ptr<ApiKeys> keys_;
  std::unique_ptr<Rest> rest_;
  std::optional<Travel> travel_;
  std::optional<Admin> admin_;
  std::optional<PhaseClerk> clerk_;
  Parts parts_;
  std::atomic<const Parts*> running_{nullptr};
  std::vector<obs::Registry::Observed> observed_;
};

}  // namespace

std::unique_ptr<systems::System> make_system() {
  return std::make_unique<ExchangeSystem>();
}

}  // namespace polis::exchange
