#include "systems/stream/server/server.h"

#include <algorithm>

#include "kernel/obs/log.h"

namespace polis::stream {
namespace {

constexpr Duration kHandshakeMax = std::chrono::seconds(10);
// After a failed accept (descriptors exhausted), and between looks whether there is room for one more connection.
constexpr Duration kAcceptPause = std::chrono::milliseconds(20);

}  // namespace

Acceptor::Acceptor(ServerParts& parts, const ServerOptions& options, unsigned shards, Metrics* metrics,
                   std::atomic<size_t>& open)
    : options_(options),
      open_(open),
      shared_{.parts = parts,
              .options = options,
              .buffers = Buffers(options.memory_bytes_max / std::max(shards, 1u)),
              .metrics = metrics} {}

Acceptor::~Acceptor() = default;

ServerStatistics Acceptor::statistics() const {
  return {.accepted = accepted_, .open = connections_.size(), .held_bytes = shared_.buffers.large_bytes()};
}

void Acceptor::listen(std::unique_ptr<io::Listener> listener, Door door) {
  listeners_.push_back(std::move(listener));
  // Shared by its connections, which live on after the listener.
  accepting_.spawn(accept_from(*listeners_.back(), std::make_shared<const Door>(std::move(door))));
}

Task<void> Acceptor::accept_from(io::Listener& listener, std::shared_ptr<const Door> door) {
  while (true) {
    // Whoever comes now waits in the kernel's queue.
    while (open_.load(std::memory_order_relaxed) >= options_.connections_max)
      if (!co_await io::sleep_for(kAcceptPause)) co_return;
    auto stream = co_await listener.accept();
    if (stream) {
      ++accepted_;
      open_.fetch_add(1, std::memory_order_relaxed);
      if (shared_.metrics) shared_.metrics->connections->add();
      serving_.spawn(run(std::move(*stream), door));
      continue;
    }
    if (stream.error().code() == Code::kClosed || stream.error().code() == Code::kCancelled) co_return;
    if (!co_await io::sleep_for(kAcceptPause)) co_return;
  }
}

void Acceptor::serve(std::unique_ptr<io::Stream> stream, Door door) {
  ++accepted_;
  open_.fetch_add(1, std::memory_order_relaxed);
  if (shared_.metrics) shared_.metrics->connections->add();
  serving_.spawn(run(std::move(stream), std::make_shared<const Door>(std::move(door))));
}

Task<Result<std::shared_ptr<const Identity>>> Acceptor::identity_of(const io::Stream& stream, const Door& door) {
  if (door.certificates) co_return co_await certificate_identity(shared_.parts, stream);
  Identity identity;
  identity.host = stream.peer().address;
  identity.plain_door = door.plain;
  identity.encrypted = stream.encrypted();
  co_return std::make_shared<const Identity>(std::move(identity));
}

Task<void> Acceptor::run(std::unique_ptr<io::Stream> stream, std::shared_ptr<const Door> door) {
  const std::string peer = stream->peer().text();
  if (door->tls) {
    auto secured = co_await io::with_timeout<Result<std::unique_ptr<io::Stream>>>(
        kHandshakeMax, io::tls_accept(std::move(stream), door->tls));
    stream = secured ? std::move(*secured) : nullptr;
  }
  if (stream && !shared_.draining) {
    auto identity = co_await identity_of(*stream, *door);
    if (!identity) {
      obs::log_info("a stream client was refused", {{"peer", peer}, {"door", door->name}, {"error", identity.error()}});
    } else if (!shared_.draining) {
      // Addresses that connect too often wait for their first answer.
      const Duration wait = shared_.parts.quotas.charge(**identity, std::string_view(), QuotaKind::kConnections, 1);
      if (wait > Duration::zero()) (void)co_await io::sleep_for(wait);
      Connection connection(shared_, std::move(stream), std::move(*identity), door->must_authenticate);
      connections_.insert(&connection);
      co_await connection.serve();
      connections_.erase(&connection);
    }
  }
  open_.fetch_sub(1, std::memory_order_relaxed);
  if (connections_.empty()) all_closed_.set();
}

Task<void> Acceptor::drain(Duration grace) {
  shared_.draining = true;
  accepting_.stop();
  for (const auto& listener : listeners_) listener->close();
  co_await accepting_.join();
  for (Connection* connection : connections_) connection->drain();
  if (!connections_.empty()) {
    all_closed_.reset();
    // Whoever is not done by then is cut off below.
    (void)co_await io::with_timeout<Result<void>>(grace, all_closed_.wait());
  }
  serving_.stop();
  co_await serving_.join();
  listeners_.clear();
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
