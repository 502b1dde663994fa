// Acceptor: what every server of connections does the same way: accepts on listeners, counts, shakes hands over TLS,
// serves each connection in a task of its own, and drains. Made, used, drained and destroyed on one shard; a server has
// one on each shard that listens.
//
//     Listener ─► accept ─► room? ─► TLS handshake ─► Service::serve(stream, door) ─► closed
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/io/shard.h"
#include "kernel/io/stream.h"

namespace polis::io {

struct AcceptorOptions {
  // Connections at once, of all acceptors that share `open`; whoever comes then waits in the kernel's queue.
  size_t connections_max = 10'000;
  Duration handshake_max = std::chrono::seconds(10);
};

class Acceptor {
 public:
  // Serves one connection until its end. `door` is what listen() was given. Cancelled when draining is over.
  using Serve = std::function<Task<void>(std::unique_ptr<Stream> stream, size_t door)>;

  // `open` counts the connections of all shards and outlives the acceptor.
  Acceptor(AcceptorOptions options, std::atomic<size_t>& open, Serve serve);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Takes connections from now on. `tls`: null for bytes in the clear.
  void listen(std::unique_ptr<Listener> listener, std::shared_ptr<TlsContext> tls, size_t door);
  // A connection that somebody else has accepted.
  void serve(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> tls, size_t door);

  // Accepts no more, asks whoever is served to end (`ask`, once, may be empty), waits for them up to `grace`, then
  // cancels them.
  Task<void> drain(Duration grace, std::function<void()> ask);
  bool draining() const { return draining_; }

  uint64_t accepted() const { return accepted_; }
  size_t open() const { return serving_.running(); }

 private:
  Task<void> accept_from(Listener& listener, std::shared_ptr<TlsContext> tls, size_t door);
  Task<void> run(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> tls, size_t door);

  const AcceptorOptions options_;
  std::atomic<size_t>& open_;
  const Serve serve_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  uint64_t accepted_ = 0;
  size_t running_ = 0;
  bool draining_ = false;
  Event all_closed_;
  TaskGroup accepting_, serving_;
};

}  // namespace polis::io
