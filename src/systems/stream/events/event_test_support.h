// For tests: a broker with everything behind its sockets, in a simulated world that can lose its power.
#pragma once

#include <gtest/gtest.h>
#include <memory>

#include "kernel/sim/world.h"
#include "systems/stream/broker/groups.h"
#include "systems/stream/broker/memory_store_test_support.h"
#include "systems/stream/broker/topics_registry.h"
#include "systems/stream/broker/transactions.h"
#include "systems/stream/events/event_log.h"

namespace polis::stream {

class BrokerWorld {
 public:
  explicit BrokerWorld(uint64_t seed = 1) : world(seed, two_shards()), random(seed), runtime({.shards = 1}) {
    rows = *store.keyspace("stream");
    own = *store.keyspace("own");
    open();
  }
  ~BrokerWorld() {
    if (topics) close();
  }
  BrokerWorld(const BrokerWorld&) = delete;
  BrokerWorld& operator=(const BrokerWorld&) = delete;

  void open() { world.run(open_parts()); }
  void close() { world.run(close_parts()); }
  // The power goes, unless it has gone; what is open dies with it.
  void restart_after_crash() {
    if (world.disk().powered()) world.disk().crash();
    close();
    world.disk().restart();
    open();
  }
  void make(std::string topic, int32_t partitions = 1, std::map<std::string, std::string> config = {}) {
    const Refusal made = world.run(topics_interface().create(
        {.name = std::move(topic), .partitions = partitions, .config = std::move(config)}, false));
    EXPECT_TRUE(made.ok()) << made.message;
  }
  Topics& topics_interface() { return *topics; }
  EventLog& log() { return *event_log; }

  sim::World world;
  base::SeededRandom random;
  MemoryStore store;
  store::Keyspace rows, own;
  std::unique_ptr<TopicRegistry> topics;
  std::unique_ptr<Groups> groups;
  std::unique_ptr<Transactions> transactions;
  std::unique_ptr<Broker> broker;
  std::unique_ptr<EventLog> event_log;

 private:
  static sim::WorldOptions two_shards() {
    sim::WorldOptions options;
    options.shards = 2;
    return options;
  }
  Task<void> open_parts() {
    const std::vector<io::Shard*> shards{&world.shard(0), &world.shard(1)};
    TopicsOptions options;
    options.directory = "polis/stream";
    auto opened = co_await TopicRegistry::open({.disk = world.disk(),
                                                .store = store,
                                                .rows = rows,
                                                .clock = world.clock(),
                                                .random = random,
                                                .shards = shards},
                                               options);
    POLIS_ASSERT(opened.has_value());
    topics = std::move(*opened);
    GroupsOptions group_options;
    group_options.offsets_partitions = 2;
    auto opened_groups =
        co_await open_groups({.topics = *topics, .clock = world.clock(), .random = random, .options = group_options});
    POLIS_ASSERT(opened_groups.has_value());
    groups = std::move(*opened_groups);
    auto opened_transactions = co_await open_transactions(
        {.store = store, .rows = rows, .topics = *topics, .groups = *groups, .shards = shards, .clock = world.clock()});
    POLIS_ASSERT(opened_transactions.has_value());
    transactions = std::move(*opened_transactions);
    broker.reset(new Broker{.topics = *topics,
                            .groups = *groups,
                            .transactions = *transactions,
                            .runtime = runtime,
                            .clock = world.clock(),
                            .random = random,
                            .options = broker_options});
    event_log = std::make_unique<EventLog>(*broker);
  }
  Task<void> close_parts() {
    event_log.reset();
    co_await transactions->close();
    co_await groups->close();
    co_await topics->close();
    broker.reset();
    transactions.reset();
    groups.reset();
    topics.reset();
  }

  io::Runtime runtime;  // never started: the world's shards are driven by the world
  BrokerOptions broker_options;
};

}  // namespace polis::stream
