// The listeners of the Kafka protocol, and what accepts on one shard. A connection stays on the shard that accepted it;
// only the work on a partition, a group or a transaction goes to where that lives (call.h).
//
//     Server ── one Acceptor a shard ── Connections (connection.h) ── dispatch.h ── handlers_*.cc ── broker/
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/io/acceptor.h"
#include "systems/stream/server/connection.h"

namespace polis::stream {

// How clients of one port are let in. Without anything: in the clear, as User:ANONYMOUS.
struct Door {
  std::string name;                     // of the port, for the log
  std::shared_ptr<io::TlsContext> tls;  // of a server; shared by its connections
  // SASL: nothing but the proof itself is answered before.
  bool must_authenticate = false;
  // TLS asks for certificates: the client is whom they name.
  bool certificates = false;
  // What Identity::plain_door says of its clients.
  bool plain = false;
};

struct ServerStatistics {
  uint64_t accepted = 0;
  size_t open = 0;
  uint64_t held_bytes = 0;  // of requests under way
};

// What accepts and serves on one shard. Made, used, drained and destroyed there.
class Acceptor {
 public:
  // `open` counts the connections of all shards.
  Acceptor(ServerParts& parts, const ServerOptions& options, unsigned shards, Metrics* metrics,
           std::atomic<size_t>& open);
  ~Acceptor();

  void listen(std::unique_ptr<io::Listener> listener, Door door);
  // A connection that somebody else has accepted.
  void serve(std::unique_ptr<io::Stream> stream, Door door);
  // Accepts no more, closes who is idle, lets requests under way end within `grace`, then cuts them off.
  Task<void> drain(Duration grace);
  ServerStatistics statistics() const;

 private:
  Task<void> run(std::unique_ptr<io::Stream> stream, size_t door);
  Task<Result<std::shared_ptr<const Identity>>> identity_of(const io::Stream& stream, const Door& door);

  Shared shared_;
  std::deque<Door> doors_;
  std::set<Connection*> connections_;
  io::Acceptor acceptor_;
};

// The acceptors of all shards. Started, drained and destroyed on one shard.
class Server {
 public:
  // All references outlive the server, which is drained before it is destroyed.
  Server(io::Runtime& runtime, ServerParts& parts, ServerOptions options = {});
  ~Server();

  // Binds on every shard and answers with the port. Several doors may be opened.
  Task<Result<uint16_t>> listen(io::Endpoint endpoint, Door door);
  Task<void> drain(Duration grace);
  Task<ServerStatistics> statistics();

 private:
  Task<void> drain_one(unsigned index, Duration grace);

  io::Runtime& runtime_;
  ServerParts& parts_;
  const ServerOptions options_;
  std::optional<Metrics> metrics_;
  std::atomic<size_t> open_{0};
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // by shard, each used there
};

}  // namespace polis::stream
