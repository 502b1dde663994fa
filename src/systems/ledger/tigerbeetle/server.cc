#include "systems/ledger/tigerbeetle/server.h"

#include <algorithm>

#include "kernel/io/peer_certificate.h"

namespace polis::ledger::tigerbeetle {
namespace {

size_t share(size_t total, unsigned shards) {
  return std::max<size_t>(total / std::max(shards, 1u), 4);
}

}  // namespace

Acceptor::Acceptor(Ledger& ledger, const ServerOptions& options, unsigned shards, Metrics* metrics,
                   std::atomic<size_t>& open)
    : buffers_(share(options.buffers_max, shards)),
      answers_(share(options.buffers_max, shards)),
      shared_{.ledger = ledger, .options = options, .buffers = buffers_, .answers = answers_, .metrics = metrics},
      acceptor_({.connections_max = options.connections_max}, open,
                [this](std::unique_ptr<io::Stream> stream, size_t door) { return run(std::move(stream), door); }) {}

Acceptor::~Acceptor() = default;

void Acceptor::listen(std::unique_ptr<io::Listener> listener, Door door) {
  doors_.push_back(door);
  acceptor_.listen(std::move(listener), std::move(door.tls), doors_.size() - 1);
}

void Acceptor::serve(std::unique_ptr<io::Stream> stream, Door door) {
  doors_.push_back(door);
  acceptor_.serve(std::move(stream), std::move(door.tls), doors_.size() - 1);
}

Task<void> Acceptor::run(std::unique_ptr<io::Stream> stream, size_t door) {
  if (shared_.metrics) shared_.metrics->connections->add();
  std::string common_name = doors_[door].tls ? io::peer_common_name(*stream) : std::string();
  Connection connection(shared_, std::move(stream), doors_[door].identify, std::move(common_name));
  connections_.insert(&connection);
  co_await connection.serve();
  connections_.erase(&connection);
  if (connections_.empty()) buffers_.trim();
}

Task<void> Acceptor::drain(Duration grace) {
  shared_.draining = true;
  co_await acceptor_.drain(grace, [this] {
    for (Connection* connection : connections_) connection->drain();
  });
}

Server::Server(io::Runtime& runtime, Ledger& ledger, ServerOptions options)
    : runtime_(runtime), ledger_(ledger), options_(std::move(options)), acceptors_(runtime.size()) {
  if (options_.metrics) metrics_.emplace(*options_.metrics);
}

Server::~Server() {
  for (const auto& acceptor : acceptors_) POLIS_ASSERT(!acceptor);  // drained before
}

Task<Result<uint16_t>> Server::listen(io::Endpoint endpoint, Door door) {
  for (unsigned i = 0; i < runtime_.size(); ++i) {
    auto bind = [this, i, &endpoint, &door]() -> Task<Result<io::Endpoint>> {
      auto listener = CO_TRY(io::Listener::bind(endpoint));
      io::Endpoint bound = listener->local();
      if (!acceptors_[i])
        acceptors_[i] =
            std::make_unique<Acceptor>(ledger_, options_, runtime_.size(), metrics_ ? &*metrics_ : nullptr, open_);
      acceptors_[i]->listen(std::move(listener), door);
      co_return bound;
    };
    // The first shard chooses the port of 0; the others join it.
    endpoint = CO_TRY(co_await io::on(runtime_.shard(i), bind));
  }
  co_return endpoint.port;
}

Task<void> Server::drain(Duration grace) {
  io::TaskGroup group;
  for (unsigned i = 0; i < acceptors_.size(); ++i)
    if (acceptors_[i]) group.spawn(drain_one(i, grace));
  co_await group.join();
}

Task<void> Server::drain_one(unsigned index, Duration grace) {
  auto work = [this, index, grace]() -> Task<void> {
    co_await acceptors_[index]->drain(grace);
    acceptors_[index].reset();
  };
  co_await io::on(runtime_.shard(index), work);
}

Task<ServerStatistics> Server::statistics() {
  ServerStatistics sum;
  for (unsigned i = 0; i < acceptors_.size(); ++i) {
    auto read = [this, i]() -> Task<ServerStatistics> {
      co_return acceptors_[i] ? acceptors_[i]->statistics() : ServerStatistics{};
    };
    const ServerStatistics one = co_await io::on(runtime_.shard(i), read);
    sum.accepted += one.accepted;
    sum.open += one.open;
  }
  co_return sum;
}

}  // namespace polis::ledger::tigerbeetle
