#include "systems/stream/faces/system.h"

#include <fmt/format.h>

#include "kernel/base/config.h"
#include "kernel/base/text_encoding.h"
#include "kernel/store/store.h"
#include "systems/offers.h"
#include "systems/stream/broker/groups.h"
#include "systems/stream/broker/topics_registry.h"
#include "systems/stream/broker/transactions.h"
#include "systems/stream/events/event_log.h"
#include "systems/stream/faces/commands.h"
#include "systems/stream/faces/doors.h"
#include "systems/stream/faces/face.h"
#include "systems/stream/faces/tour.h"
#include "systems/stream/server/server.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

// Requests under way may end so long; a stop has 4 s in all.
constexpr Duration kDrain = 2s;
constexpr std::string_view kClusterIdRow = "bcluster";
// Problems that a health message names; the rest is counted.
constexpr size_t kNamedProblems = 3;

class StreamSystem final : public systems::System {
 public:
  std::string_view name() const override { return "stream"; }
  std::string_view summary() const override { return "partitioned event log for Kafka clients"; }
  std::vector<systems::Port> ports() const override { return stream::ports(); }
  systems::Placement placement() const override { return systems::Placement::kKeyed; }
  systems::ConsolePage console_page() const override { return {.id = "stream", .title = "Event log", .group = "data"}; }

  void declare_options(base::ConfigSchema& schema) const override {
    declare_door_options(schema);
    const TopicsOptions topics;
    const GroupsOptions groups;
    const ServerOptions server;
    schema.add_text("stream.advertised_host", "",
                    "The host that clients are told to connect to; empty: the address by which they came.");
    schema.add_bool("stream.auto_create_topics", true,
                    "An unknown topic that a client of port 9092 names is made. Never for clients who must prove who "
                    "they are.");
    schema.add_integer("stream.default_partitions", topics.default_partitions, {1, kPartitionsMax},
                       "Partitions of a topic whose creator did not say how many.");
    schema.add_bool("stream.fewer_replicas", false,
                    "A topic that is to have more replicas than there are nodes gets as many as there are, instead of "
                    "being refused.");
    schema.add_integer("stream.partitions_max", topics.partitions_max, {1, 1'000'000},
                       "Of all topics together. An idle one takes about 15 KiB of memory.");
    schema.add_duration("stream.tend_every", topics.tend_every, {1s, 24h},
                        "Each partition is looked after once in so long: retention, compaction, rolling by age.");
    schema.add_integer("stream.disk_full_percent", topics.disk_full_percent, {1, 100},
                       "Clients may append no more when so much of the disk is used; reading goes on.");
    schema.add_integer("stream.offsets_partitions", groups.offsets_partitions, {1, 1000},
                       "Partitions of __consumer_offsets, when it is made.");
    schema.add_duration("stream.offsets_retention", groups.offsets_retention, {1min, 24h * 3650},
                        "How long the offsets of a group without members are kept.");
    schema.add_duration("stream.initial_rebalance_delay", groups.limits.initial_rebalance_delay, {0s, 60s},
                        "How long the first generation of a group waits for more members.");
    schema.add_integer("stream.connections_max", static_cast<int64_t>(server.connections_max), {1, 1'000'000},
                       "Clients at a time; more wait to be accepted.");
    schema.add_duration("stream.connection_idle_max", server.idle_max, {1s, 24h * 365},
                        "A connection without a request for so long is closed.");
    schema.add_size("stream.request_memory", server.memory_bytes_max, {int64_t{1} << 20, int64_t{1} << 40},
                    "Memory for requests under way of all connections; beyond it they are not read.");
  }

  std::vector<systems::Command> commands() const override { return stream::commands(); }

  Task<Result<systems::OpenPorts>> start(systems::Context& context) override {
    auto ports = co_await open(context);
    if (!ports) co_await stop();
    co_return ports;
  }

  // What clients see ends first, what keeps their records last.
  Task<void> stop() override {
    if (server_) co_await server_->drain(kDrain);
    server_.reset();
    if (face_) co_await face_->stop();
    face_.reset();
    if (offers_) offers_->withdraw<EventLog>();
    offers_ = nullptr;
    event_log_.reset();
    if (transactions_) co_await transactions_->close();
    if (groups_) co_await groups_->close();
    running_ = nullptr;
    if (topics_) co_await topics_->close();
    parts_.reset();
    broker_.reset();
    configs_.reset();
    scram_.reset();
    quotas_.reset();
    access_.reset();
    transactions_.reset();
    groups_.reset();
    topics_.reset();
  }

  systems::Health health() const override {
    const TopicRegistry* topics = running_;
    if (!topics) return {};
    systems::Health health;
    const auto problems = topics->problems();
    if (!problems.empty()) {
      health.message = fmt::format("{} of the partitions cannot be used:", problems.size());
      for (size_t i = 0; i < std::min(problems.size(), kNamedProblems); ++i)
        health.message += fmt::format(" {}: {}.", problems[i].name, problems[i].error.text());
    }
    if (topics->disk_full()) {
      const Storage storage = topics->storage();
      health.message += fmt::format(
          "{}The disk under {} is full ({} of {} MB are left): producers are refused, consumers go on. Make room.",
          health.message.empty() ? "" : " ", storage.directory, storage.usable_bytes / 1'000'000,
          storage.total_bytes / 1'000'000);
    }
    if (!health.message.empty()) health.state = systems::HealthState::kDegraded;
    return health;
  }

  Task<Result<void>> tour(systems::Tour& tour) const override { co_return co_await take_tour(tour); }

 private:
  Task<Result<systems::OpenPorts>> open(systems::Context& context) {
    const auto doors = CO_TRY(co_await make_doors(context));
    const store::Keyspace rows = CO_TRY(context.store.keyspace("stream"));
    CO_TRY(co_await open_broker(context, rows));
    CO_TRY(co_await open_rights(context, rows));
    meter_.emplace(context.metrics);
    parts_.reset(new ServerParts{.broker = *broker_,
                                 .access = *access_,
                                 .quotas = *quotas_,
                                 .scram = *scram_,
                                 .auth = context.auth,
                                 .configs = *configs_,
                                 .meter = &*meter_});
    face_ = std::make_unique<Face>(
        FaceParts{.server = *parts_,
                  .plans = context.plans,
                  .metrics = context.metrics,
                  .clock = context.clock,
                  .store = context.store,
                  .rows = rows});
    face_->mount(context.api);
    CO_TRY(face_->declare_topics(context.live));

    const base::Config& config = context.config;
    ServerOptions options{.metrics = &context.metrics};
    options.connections_max = static_cast<size_t>(config.integer("stream.connections_max"));
    options.idle_max = config.duration("stream.connection_idle_max");
    options.memory_bytes_max = config.size_bytes("stream.request_memory");
    server_ = std::make_unique<Server>(context.runtime, *parts_, options);
    systems::OpenPorts ports;
    for (const auto& [name, door] : doors)
      ports[name] = CO_TRY(co_await server_->listen(context.listen.at(name), door));
    co_return ports;
  }

  // What keeps records, and who coordinates.
  Task<Result<void>> open_broker(systems::Context& context, store::Keyspace rows) {
    const base::Config& config = context.config;
    std::vector<io::Shard*> shards;
    for (unsigned i = 0; i < context.runtime.size(); ++i) shards.push_back(&context.runtime.shard(i));
    options_.cluster_id = CO_TRY(co_await cluster_id(context, rows));
    options_.advertised_host = config.text("stream.advertised_host");
    options_.auto_create_topics = config.boolean("stream.auto_create_topics");
    options_.default_partitions = static_cast<int32_t>(config.integer("stream.default_partitions"));
    options_.fewer_replicas = config.boolean("stream.fewer_replicas");

    TopicsOptions topics{.directory = context.data_directory + "/stream"};
    topics.default_partitions = options_.default_partitions;
    topics.fewer_replicas = options_.fewer_replicas;
    topics.partitions_max = static_cast<int32_t>(config.integer("stream.partitions_max"));
    topics.tend_every = config.duration("stream.tend_every");
    topics.disk_full_percent = static_cast<uint32_t>(config.integer("stream.disk_full_percent"));
    topics_ = CO_TRY(co_await TopicRegistry::open({.disk = context.disk,
                                                   .store = context.store,
                                                   .rows = rows,
                                                   .clock = context.clock,
                                                   .random = random_,
                                                   .shards = shards},
                                                  topics));
    running_ = topics_.get();

    GroupsOptions groups;
    groups.offsets_partitions = static_cast<int32_t>(config.integer("stream.offsets_partitions"));
    groups.offsets_retention = config.duration("stream.offsets_retention");
    groups.limits.initial_rebalance_delay = config.duration("stream.initial_rebalance_delay");
    groups_ = CO_TRY(
        co_await open_groups({.topics = *topics_, .clock = context.clock, .random = random_, .options = groups}));
    topics_->when_erased([this](std::string topic) { return groups_->topic_erased(std::move(topic)); });
    transactions_ = CO_TRY(co_await open_transactions({.store = context.store,
                                                       .rows = rows,
                                                       .topics = *topics_,
                                                       .groups = *groups_,
                                                       .shards = shards,
                                                       .clock = context.clock}));
    broker_.reset(new Broker{.topics = *topics_,
                             .groups = *groups_,
                             .transactions = *transactions_,
                             .runtime = context.runtime,
                             .clock = context.clock,
                             .random = random_,
                             .options = options_});
    event_log_.emplace(*broker_);
    context.offers.offer(*event_log_);
    offers_ = &context.offers;
    co_return {};
  }

  // Who may do what, and how much.
  Task<Result<void>> open_rights(systems::Context& context, store::Keyspace rows) {
    std::vector<io::Shard*> shards;
    for (unsigned i = 0; i < context.runtime.size(); ++i) shards.push_back(&context.runtime.shard(i));
    io::Shard& home = *shards.front();
    access_ = CO_TRY(co_await open_access({.store = context.store, .rows = rows, .shards = shards}));
    quotas_ =
        CO_TRY(co_await open_quotas({.store = context.store, .rows = rows, .clock = context.clock, .shards = shards}));
    scram_ = CO_TRY(co_await open_scram_credentials(
        {.store = context.store, .rows = rows, .clock = context.clock, .random = random_, .home = home}));
    configs_ =
        CO_TRY(co_await open_broker_configs({.store = context.store, .rows = rows, .options = options_, .home = home}));
    co_return {};
  }

  // 16 random bytes of the first start; clients show it and tell clusters apart by it.
  Task<Result<std::string>> cluster_id(systems::Context& context, store::Keyspace rows) {
    auto txn = CO_TRY(co_await context.store.begin());
    if (const auto row = CO_TRY(co_await txn->get(rows, kClusterIdRow))) co_return row->value;
    std::array<std::byte, 16> bytes;
    random_.fill(bytes);
    const std::string made = base::base64_encode(bytes, base::Base64::kUrl);
    CO_TRY(txn->put(rows, kClusterIdRow, made));
    CO_TRY(co_await txn->commit());
    co_return made;
  }

  base::SystemRandom random_;
  BrokerOptions options_;
  std::unique_ptr<TopicRegistry> topics_;
  // As health() sees it, from any thread.
  std::atomic<const TopicRegistry*> running_{nullptr};
  std::unique_ptr<Groups> groups_;
  std::unique_ptr<Transactions> transactions_;
  std::unique_ptr<Broker> broker_;
  std::optional<EventLog> event_log_;
  systems::Offers* offers_ = nullptr;  // while event_log_ is offered
  std::unique_ptr<Access> access_;
  std::unique_ptr<Quotas> quotas_;
  std::unique_ptr<ScramCredentials> scram_;
  std::unique_ptr<BrokerConfigs> configs_;
  std::optional<Meter> meter_;
  std::unique_ptr<ServerParts> parts_;
  std::unique_ptr<Face> face_;
  std::unique_ptr<Server> server_;
};

}  // namespace

std::unique_ptr<systems::System> make_system() {
  return std::make_unique<StreamSystem>();
}

}  // namespace polis::stream
