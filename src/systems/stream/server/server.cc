#include "systems/stream/server/server.h"

#include <algorithm>

#include "kernel/obs/log.h"

namespace polis::stream {

Acceptor::Acceptor(ServerParts& parts, const ServerOptions& options, unsigned shards, Metrics* metrics,
                   std::atomic<size_t>& open)
    : shared_{.parts = parts,
              .options = options,
              .buffers = Buffers(options.memory_bytes_max / std::max(shards, 1u)),
              .metrics = metrics},
      acceptor_({.connections_max = options.connections_max}, open,
                [this](std::unique_ptr<io::Stream> stream, size_t door) { return run(std::move(stream), door); }) {}

Acceptor::~Acceptor() = default;

ServerStatistics Acceptor::statistics() const {
  return {.accepted = acceptor_.accepted(), .open = connections_.size(), .held_bytes = shared_.buffers.large_bytes()};
}

void Acceptor::listen(std::unique_ptr<io::Listener> listener, Door door) {
  doors_.push_back(door);
  acceptor_.listen(std::move(listener), std::move(door.tls), doors_.size() - 1);
}

void Acceptor::serve(std::unique_ptr<io::Stream> stream, Door door) {
  doors_.push_back(door);
  acceptor_.serve(std::move(stream), std::move(door.tls), doors_.size() - 1);
}

Task<Result<std::shared_ptr<const Identity>>> Acceptor::identity_of(const io::Stream& stream, const Door& door) {
  if (door.certificates) co_return co_await certificate_identity(shared_.parts, stream);
  Identity identity;
  identity.host = stream.peer().address;
  identity.plain_door = door.plain;
  identity.encrypted = stream.encrypted();
  co_return std::make_shared<const Identity>(std::move(identity));
}

Task<void> Acceptor::run(std::unique_ptr<io::Stream> stream, size_t number) {
  const Door& door = doors_[number];
  if (shared_.metrics) shared_.metrics->connections->add();
  auto identity = co_await identity_of(*stream, door);
  if (!identity) {
    obs::log_info("a stream client was refused",
                  {{"peer", stream->peer().text()}, {"door", door.name}, {"error", identity.error()}});
    co_return;
  }
  if (shared_.draining) co_return;
  // Addresses that connect too often wait for their first answer.
  const Duration wait = shared_.parts.quotas.charge(**identity, std::string_view(), QuotaKind::kConnections, 1);
  if (wait > Duration::zero()) (void)co_await io::sleep_for(wait);
  Connection connection(shared_, std::move(stream), std::move(*identity), door.must_authenticate);
  connections_.insert(&connection);
  co_await connection.serve();
  connections_.erase(&connection);
}

Task<void> Acceptor::drain(Duration grace) {
  shared_.draining = true;
  co_await acceptor_.drain(grace, [this] {
    for (Connection* connection : connections_) connection->drain();
  });
}

Server::Server(io::Runtime& runtime, ServerParts& parts, ServerOptions options)
    : runtime_(runtime), parts_(parts), options_(std::move(options)), acceptors_(runtime.size()) {
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
            std::make_unique<Acceptor>(parts_, options_, runtime_.size(), metrics_ ? &*metrics_ : nullptr, open_);
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
    sum.held_bytes += one.held_bytes;
  }
  co_return sum;
}

}  // namespace polis::stream
