// The listeners of the TigerBeetle protocol, and what accepts on one shard. A connection stays on the shard that
// accepted it; only commands and questions go to the ledger's.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "kernel/io/acceptor.h"
#include "systems/ledger/tigerbeetle/connection.h"

namespace polis::ledger::tigerbeetle {

// How clients of one port are let in. Empty: plain, and everything is allowed; for loopback only.
struct Door {
  std::shared_ptr<io::TlsContext> tls;  // of a server, with client authorities; shared by its connections
  Identify identify;
};

struct ServerStatistics {
  uint64_t accepted = 0;
  size_t open = 0;
};

// What accepts and serves on one shard. Made, used, drained and destroyed there.
class Acceptor {
 public:
  // `open` counts the connections of all shards.
  Acceptor(Ledger& ledger, const ServerOptions& options, unsigned shards, Metrics* metrics, std::atomic<size_t>& open);
  ~Acceptor();

  void listen(std::unique_ptr<io::Listener> listener, Door door);
  // A connection that somebody else has accepted.
  void serve(std::unique_ptr<io::Stream> stream, Door door);
  // Accepts no more, closes who is idle, lets requests under way end within `grace`, then cuts them off.
  Task<void> drain(Duration grace);
  ServerStatistics statistics() const { return {acceptor_.accepted(), connections_.size()}; }

 private:
  Task<void> run(std::unique_ptr<io::Stream> stream, size_t door);

  Buffers buffers_;
  io::Semaphore answers_;
  Shared shared_;
  std::deque<Door> doors_;
  std::set<Connection*> connections_;
  io::Acceptor acceptor_;
};

// The acceptors of all shards. Started, drained and destroyed on one shard.
class Server {
 public:
  // All references outlive the server, which is drained before it is destroyed.
  Server(io::Runtime& runtime, Ledger& ledger, ServerOptions options);
  ~Server();

  // Binds on every shard and answers with the port. Several doors may be opened.
  Task<Result<uint16_t>> listen(io::Endpoint endpoint, Door door = {});
  Task<void> drain(Duration grace);
  Task<ServerStatistics> statistics();

 private:
  Task<void> drain_one(unsigned index, Duration grace);

  io::Runtime& runtime_;
  Ledger& ledger_;
  const ServerOptions options_;
  std::optional<Metrics> metrics_;
  std::atomic<size_t> open_{0};
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // by shard, each used there
};

}  // namespace polis::ledger::tigerbeetle
