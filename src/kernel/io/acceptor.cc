#include "kernel/io/acceptor.h"

namespace polis::io {
namespace {

// After a failed accept (descriptors exhausted), and between looks whether there is room for one more connection.
constexpr Duration kAcceptPause = std::chrono::milliseconds(20);

}  // namespace

Acceptor::Acceptor(AcceptorOptions options, std::atomic<size_t>& open, Serve serve)
    : options_(options), open_(open), serve_(std::move(serve)) {}

Acceptor::~Acceptor() = default;

void Acceptor::listen(std::unique_ptr<Listener> listener, std::shared_ptr<TlsContext> tls, size_t door) {
  listeners_.push_back(std::move(listener));
  accepting_.spawn(accept_from(*listeners_.back(), std::move(tls), door));
}

Task<void> Acceptor::accept_from(Listener& listener, std::shared_ptr<TlsContext> tls, size_t door) {
  while (true) {
    while (open_.load(std::memory_order_relaxed) >= options_.connections_max)
      if (!co_await sleep_for(kAcceptPause)) co_return;
    auto stream = co_await listener.accept();
    if (stream) {
      serve(std::move(*stream), tls, door);
      continue;
    }
    if (stream.error().code() == Code::kClosed || stream.error().code() == Code::kCancelled) co_return;
    if (!co_await sleep_for(kAcceptPause)) co_return;
  }
}

void Acceptor::serve(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> tls, size_t door) {
  ++accepted_;
  ++running_;
  open_.fetch_add(1, std::memory_order_relaxed);
  serving_.spawn(run(std::move(stream), std::move(tls), door));
}

Task<void> Acceptor::run(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> tls, size_t door) {
  if (tls) {
    auto secured = co_await with_timeout<Result<std::unique_ptr<Stream>>>(
        options_.handshake_max, tls_accept(std::move(stream), std::move(tls)));
    stream = secured ? std::move(*secured) : nullptr;
  }
  if (stream && !draining_) co_await serve_(std::move(stream), door);
  open_.fetch_sub(1, std::memory_order_relaxed);
  if (--running_ == 0) all_closed_.set();
}

Task<void> Acceptor::drain(Duration grace, std::function<void()> ask) {
  draining_ = true;
  accepting_.stop();
  for (const auto& listener : listeners_) listener->close();
  co_await accepting_.join();
  if (ask) ask();
  if (running_ != 0) {
    all_closed_.reset();
    // Whoever is not done by then is cut off below.
    (void)co_await with_timeout<Result<void>>(grace, all_closed_.wait());
  }
  serving_.stop();
  co_await serving_.join();
  listeners_.clear();
}

}  // namespace polis::io
