#include "kernel/http/server.h"

#include "kernel/http/connection.h"

namespace polis::http {
namespace {

constexpr Duration kHandshakeTimeout = std::chrono::seconds(10);
// After a failed accept (descriptors exhausted): long enough for one to come free, short against a client's patience.
constexpr Duration kAcceptPause = std::chrono::milliseconds(20);
// Refusals under way at once; beyond, connections are closed without a word.
constexpr size_t kRefusalsMax = 64;

}  // namespace

Server::Server(Handler handler, ServerOptions options) : handler_(std::move(handler)), options_(std::move(options)) {
  POLIS_ASSERT(handler_);
  if (!options_.metrics) return;
  obs::Registry& registry = *options_.metrics;
  metrics_.emplace();
  const std::string& listener = options_.listener;
  for (size_t digit = 1; digit < metrics_->requests_by_class.size(); ++digit) {
    metrics_->requests_by_class[digit] =
        &registry.counter("polis_http_requests", "Requests answered, by the class of their status.",
                          {{"listener", listener}, {"class", std::to_string(digit) + "xx"}});
  }
  metrics_->connections =
      &registry.counter("polis_http_connections", "Connections accepted.", {{"listener", listener}});
  metrics_->received_bytes =
      &registry.counter("polis_http_received_bytes", "Bytes of request bodies.", {{"listener", listener}});
  metrics_->sent_bytes = &registry.counter("polis_http_sent_bytes", "Bytes of responses.", {{"listener", listener}});
  metrics_->seconds = &registry.histogram("polis_http_request_seconds",
                                          "From the end of the request's head to the end of the response.",
                                          obs::latency_bounds_seconds(), {{"listener", listener}});
}

Server::~Server() = default;

Result<io::Endpoint> Server::listen(const io::Endpoint& endpoint, std::shared_ptr<io::TlsContext> tls) {
  auto listener = TRY(io::Listener::bind(endpoint));
  io::Endpoint local = listener->local();
  listeners_.push_back(std::move(listener));
  accepting_.spawn(accept_from(*listeners_.back(), std::move(tls)));
  return local;
}

void Server::serve(std::unique_ptr<io::Stream> stream) {
  ++statistics_.connections_open;
  serving_.spawn(run(std::move(stream), nullptr));
}

Task<void> Server::accept_from(io::Listener& listener, std::shared_ptr<io::TlsContext> tls) {
  for (;;) {
    auto stream = co_await listener.accept();
    if (!stream) {
      Code code = stream.error().code();
      if (code == Code::kClosed || code == Code::kCancelled) co_return;
      if (!co_await io::sleep_for(kAcceptPause)) co_return;
      continue;
    }
    ++statistics_.connections_accepted;
    if (metrics_) metrics_->connections->add();
    if (statistics_.connections_open >= options_.connections_max) {
      ++statistics_.connections_refused;
      if (refusing_ < kRefusalsMax && !tls) serving_.spawn(refuse(std::move(*stream)));
      continue;
    }
    ++statistics_.connections_open;
    serving_.spawn(run(std::move(*stream), tls));
  }
}

Task<void> Server::refuse(std::unique_ptr<io::Stream> stream) {
  ++refusing_;
  Problem problem{503, "the server has as many connections as it can serve", {}, nullptr};
  ErrorDocument document = options_.error_renderer ? options_.error_renderer(problem) : problem_json(problem);
  std::string head;
  h1::append_status_line(head, 503);
  h1::append_field(head, "Content-Type", document.content_type);
  h1::append_field(head, "Content-Length", document.body.size());
  head.append("Retry-After: 1\r\nConnection: close\r\n\r\n");
  head.append(document.body);
  auto sent = co_await io::with_timeout<Result<void>>(std::chrono::seconds(1), stream->write(as_bytes(head)));
  if (sent) sent = co_await stream->finish();
  --refusing_;
}

Task<void> Server::run(std::unique_ptr<io::Stream> stream, std::shared_ptr<io::TlsContext> tls) {
  if (tls) {
    auto secured = co_await io::with_timeout<Result<std::unique_ptr<io::Stream>>>(
        kHandshakeTimeout, io::tls_accept(std::move(stream), std::move(tls)));
    stream = secured ? std::move(*secured) : nullptr;
  }
  if (stream) {
    auto connection = std::make_unique<Connection>(*this, std::move(stream));
    co_await connection->serve();
  }
  if (--statistics_.connections_open == 0) all_closed_.set();
}

Task<void> Server::drain(Duration grace) {
  draining_ = true;
  accepting_.stop();
  for (auto& listener : listeners_) listener->close();
  co_await accepting_.join();
  for (Connection* connection = first_; connection; connection = connection->next_) connection->drain();
  if (serving_.running() != 0) {
    all_closed_.reset();
    // Whoever is not done by then is cancelled below.
    auto closed = co_await io::with_timeout<Result<void>>(grace, all_closed_.wait());
    (void)closed;
  }
  serving_.stop();
  co_await serving_.join();
  listeners_.clear();
}

ServerStatistics Server::statistics() const {
  return statistics_;
}

ServerSet::ServerSet(io::Runtime& runtime, Handler handler, ServerOptions options)
    : runtime_(runtime), handler_(std::move(handler)), options_(std::move(options)) {
  servers_.resize(runtime.size());
}

ServerSet::~ServerSet() {
  for (const auto& server : servers_) POLIS_ASSERT(!server);  // drained before
}

Task<Result<io::Endpoint>> ServerSet::listen(io::Endpoint endpoint, std::shared_ptr<io::TlsContext> tls) {
  const unsigned shards = endpoint.unix_socket ? 1 : runtime_.size();
  for (unsigned i = 0; i < shards; ++i) {
    auto bind = [this, i, &endpoint, &tls]() -> Task<Result<io::Endpoint>> {
      if (!servers_[i]) servers_[i] = std::make_unique<Server>(handler_, options_);
      co_return servers_[i]->listen(endpoint, tls);
    };
    // The first shard chooses the port of 0; the others join it.
    endpoint = CO_TRY(co_await io::on(runtime_.shard(i), bind));
  }
  co_return endpoint;
}

Task<void> ServerSet::drain(Duration grace) {
  // All shards stop accepting first, side by side; each then waits for its own.
  io::TaskGroup group;
  for (unsigned i = 0; i < servers_.size(); ++i) {
    if (servers_[i]) group.spawn(drain_one(i, grace));
  }
  co_await group.join();
}

Task<void> ServerSet::drain_one(unsigned index, Duration grace) {
  auto work = [this, index, grace]() -> Task<void> {
    co_await servers_[index]->drain(grace);
    servers_[index].reset();
  };
  co_await io::on(runtime_.shard(index), work);
}

Task<ServerStatistics> ServerSet::statistics() {
  ServerStatistics sum;
  for (unsigned i = 0; i < servers_.size(); ++i) {
    auto read = [this, i]() -> Task<ServerStatistics> {
      co_return servers_[i] ? servers_[i]->statistics() : ServerStatistics{};
    };
    ServerStatistics one = co_await io::on(runtime_.shard(i), read);
    sum.connections_accepted += one.connections_accepted;
    sum.connections_refused += one.connections_refused;
    sum.requests += one.requests;
    sum.rejected += one.rejected;
    sum.connections_open += one.connections_open;
  }
  co_return sum;
}

}  // namespace polis::http
