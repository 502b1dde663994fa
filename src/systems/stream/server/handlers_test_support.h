// For tests of handlers: a broker of two simulated shards with its rights, and the way to ask it as one client or
// another.
#pragma once

#include <gtest/gtest.h>

#include "kernel/sim/world.h"
#include "systems/stream/broker/groups.h"
#include "systems/stream/broker/memory_store_test_support.h"
#include "systems/stream/broker/topics_registry.h"
#include "systems/stream/broker/transactions.h"
#include "systems/stream/server/call.h"

namespace polis::stream {

class ServerTest : public testing::Test {
 protected:
  static constexpr std::string_view kPassword = "correct horse battery";

  ServerTest() : world(1, two_shards()), random(1), runtime({.shards = 1, .blocking_threads = 1}) {
    rows = *store.keyspace("stream");
    open();
  }
  ~ServerTest() override { close(); }

  static sim::WorldOptions two_shards() {
    sim::WorldOptions options;
    options.shards = 2;
    return options;
  }
  template <class T>
  T must(Result<T> result) {
    if (!result) ADD_FAILURE() << result.error().text();
    POLIS_ASSERT(result.has_value());
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }

  void open() {
    const std::vector<io::Shard*> shards{&world.shard(0), &world.shard(1)};
    directory = must(world.run(auth::Directory::open(
        store, world.disk(), world.clock(), random,
        {.keys_directory = "polis/keys", .password_cost = {.memory_kib = 64, .passes = 1}, .shards = 2})));
    const auto made = must(world.run(directory->bootstrap({.password = std::string(kPassword)})));
    if (made) root = *made;
    topics = must(world.run(TopicRegistry::open({.disk = world.disk(),
                                                 .store = store,
                                                 .rows = rows,
                                                 .clock = world.clock(),
                                                 .random = random,
                                                 .shards = shards},
                                                {.directory = "polis/stream"})));
    groups = must(world.run(open_groups({.topics = *topics, .clock = world.clock(), .random = random})));
    transactions = must(world.run(open_transactions(
        {.store = store, .rows = rows, .topics = *topics, .groups = *groups, .shards = shards, .clock = world.clock()},
        {})));
    broker.reset(new Broker{.topics = *topics,
                            .groups = *groups,
                            .transactions = *transactions,
                            .runtime = runtime,
                            .clock = world.clock(),
                            .random = random,
                            .options = options});
    access = must(world.run(open_access({.store = store, .rows = rows, .shards = shards})));
    quotas = must(world.run(open_quotas({.store = store, .rows = rows, .clock = world.clock(), .shards = shards})));
    scram = must(world.run(open_scram_credentials(
        {.store = store, .rows = rows, .clock = world.clock(), .random = random, .home = world.shard(0)})));
    configs = must(
        world.run(open_broker_configs({.store = store, .rows = rows, .options = options, .home = world.shard(0)})));
    parts.reset(new ServerParts{.broker = *broker,
                                .access = *access,
                                .quotas = *quotas,
                                .scram = *scram,
                                .auth = *directory,
                                .configs = *configs});
  }
  void close() {
    parts.reset();
    configs.reset();
    scram.reset();
    quotas.reset();
    access.reset();
    world.run(transactions->close());
    transactions.reset();
    world.run(groups->close());
    groups.reset();
    world.run(topics->close());
    topics.reset();
    directory.reset();
  }
  void restart() {
    close();
    open();
  }

  // --- clients

  static Session session_of(Identity identity, bool sasl = false) {
    Session session;
    identity.host = "192.0.2.7";
    session.identity = std::make_shared<const Identity>(std::move(identity));
    session.must_authenticate = sasl;
    session.peer = {.address = "192.0.2.7", .port = 4711};
    return session;
  }
  static Session plain_client() { return session_of({.plain_door = true}); }
  static Session sasl_client() { return session_of({}, true); }
  Session administrator() {
    return session_of({.name = "User:root", .principal = must(world.run(directory->authenticate_certificate("root")))});
  }
  // Known by a name alone, as users of SCRAM are.
  static Session named(std::string name) { return session_of({.name = "User:" + std::move(name)}); }

  auth::Actor actor() { return {.principal = auth::internal_principal("test"), .peer = "test"}; }
  auth::User add_user(std::string name) {
    return must(
        world.run(directory->create_user(actor(), {.name = std::move(name), .password = std::string(kPassword)})));
  }

  template <class Request>
  auto ask(Session& session, const Request& request, int16_t version = MessageOf<Request>::kApi.newest) {
    Call call{.parts = *parts,
              .session = session,
              .identity = session.identity,
              .version = version,
              .client_id = "test",
              .externals = {}};
    auto response = world.run(handle(call, request));
    closed = call.close_after;
    throttle = call.throttle;
    return response;
  }

  sim::World world;
  base::SeededRandom random;
  MemoryStore store;
  store::Keyspace rows;
  io::Runtime runtime;  // never started: the World's shards do the work
  BrokerOptions options;
  auth::RootCredentials root;
  std::unique_ptr<auth::Directory> directory;
  std::unique_ptr<TopicRegistry> topics;
  std::unique_ptr<Groups> groups;
  std::unique_ptr<Transactions> transactions;
  std::unique_ptr<Broker> broker;
  std::unique_ptr<Access> access;
  std::unique_ptr<Quotas> quotas;
  std::unique_ptr<ScramCredentials> scram;
  std::unique_ptr<BrokerConfigs> configs;
  std::unique_ptr<ServerParts> parts;
  // Of the last call.
  bool closed = false;
  Duration throttle{};
};

}  // namespace polis::stream
