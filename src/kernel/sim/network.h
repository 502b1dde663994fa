// Network: listeners and streams in memory, with the faults of real ones from the world's seed: latency, bytes that
// arrive in other pieces than they were written, back-pressure, partitions, resets. A stream behaves as TCP does: bytes
// arrive in order or the connection breaks.
//
// Hosts are the addresses of endpoints ("10.0.0.1"); none needs to be declared. One shard: a stream is used on the
// shard that made it, and both ends of a connection must live on the same one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/stream.h"
#include "kernel/sim/disk.h"

namespace polis::sim {

struct NetworkOptions {
  Latency latency{std::chrono::microseconds(50), std::chrono::microseconds(500)};  // one way
  size_t buffer_bytes = 64 << 10;  // unread bytes of one direction; a writer waits beyond
  bool split_reads = true;         // read_some answers pieces of random size
  Duration connect_timeout = std::chrono::seconds(5);
};

class Network {
 public:
  Network(World& world, uint64_t seed, NetworkOptions options);
  ~Network();

  // Port 0 takes a free one. kExists if the endpoint is taken.
  Result<std::unique_ptr<io::Listener>> listen(const io::Endpoint& endpoint);
  // kClosed if nobody listens; kTimeout if the hosts are partitioned.
  Task<Result<std::unique_ptr<io::Stream>>> connect(io::Endpoint to, std::string from_address = "127.0.0.1");

  // Between two addresses nothing arrives, in both directions, until heal(); what was written is delivered then.
  void partition(const std::string& one, const std::string& other);
  void heal(const std::string& one, const std::string& other);
  void heal_all();
  // Breaks every connection of the address (all of them for ""): both ends see kClosed, unread bytes are lost.
  size_t reset(const std::string& address = "");
  size_t connections() const;

 private:
  friend class SimStream;
  friend class SimListener;
  struct Connection;
  struct Ear;

  bool parted(const std::string& one, const std::string& other) const;
  Duration draw();
  void deliver(const std::shared_ptr<Connection>& connection);

  World& world_;
  const NetworkOptions options_;
  base::SeededRandom random_;
  std::map<std::string, std::weak_ptr<Ear>> ears_;  // by endpoint
  std::vector<std::weak_ptr<Connection>> connections_;
  std::set<std::pair<std::string, std::string>> partitions_;
  uint16_t next_port_ = 40000;
};

}  // namespace polis::sim
