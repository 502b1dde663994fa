#include "systems/ledger/tigerbeetle/server.h"

#include <algorithm>

#include "kernel/io/peer_certificate.h"

namespace polis::ledger::tigerbeetle {
namespace {

constexpr Duration kHandshakeMax = std::chrono::seconds(10);
// After a failed accept (descriptors exhausted), and between looks whether there is room for one more connection.
constexpr Duration kAcceptPause = std::chrono::milliseconds(20);

size_t share(size_t total, unsigned shards) {
  return std::max<size_t>(total / std::max(shards, 1u), 4);
}

}  // namespace

Acceptor::Acceptor(Ledger& ledger, const ServerOptions& options, unsigned shards, Metrics* metrics,
                   std::atomic<size_t>& open)
    : options_(options),
      open_(open),
      buffers_(share(options.buffers_max, shards)),
      answers_(share(options.buffers_max, shards)),
      shared_{.ledger = ledger, .options = options, .buffers = buffers_, .answers = answers_, .metrics = metrics} {}

Acceptor::~Acceptor() = default;

void Acceptor::listen(std::unique_ptr<io::Listener> listener, Door door) {
  listeners_.push_back(std::move(listener));
  accepting_.spawn(accept_from(*listeners_.back(), std::move(door)));
}

Task<void> Acceptor::accept_from(io::Listener& listener, Door door) {
  while (true) {
    // Whoever comes now waits in the kernel's queue.
    while (open_.load(std::memory_order_relaxed) >= options_.connections_max)
      if (!co_await io::sleep_for(kAcceptPause)) co_return;
    auto stream = co_await listener.accept();
    if (stream) {
      serve(std::move(*stream), door);
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
  serving_.spawn(run(std::move(stream), std::move(door)));
}

Task<void> Acceptor::run(std::unique_ptr<io::Stream> stream, Door door) {
  std::string common_name;
  if (door.tls) {
    auto secured = co_await io::with_timeout<Result<std::unique_ptr<io::Stream>>>(
        kHandshakeMax, io::tls_accept(std::move(stream), std::move(door.tls)));
    stream = secured ? std::move(*secured) : nullptr;
    if (stream) common_name = io::peer_common_name(*stream);
  }
  if (stream && !shared_.draining) {
    Connection connection(shared_, std::move(stream), std::move(door.identify), std::move(common_name));
    connections_.insert(&connection);
    co_await connection.serve();
    connections_.erase(&connection);
  }
  open_.fetch_sub(1, std::memory_order_relaxed);
  if (!connections_.empty()) co_return;
  buffers_.trim();
  all_closed_.set();
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
