// What definitions are run against: an acceptor of this process under a clock of its own, or one behind a socket.
#include <fmt/format.h>
#include <map>

#include "kernel/io/shard.h"
#include "systems/exchange/fix/certify.h"
#include "systems/exchange/fix/reflector.h"
#include "systems/exchange/fix/session.h"

namespace polis::exchange::fix {

namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr int64_t kPatience = 10 * kNanosecondsPerSecond;

class ReflectingAcceptor final : public CertifyTarget, private SessionHost {
 public:
  ReflectingAcceptor()
      : session_({.our_comp_id = "ISLD", .their_comp_id = "TW44", .reset_on_logon = true}, 1, 1, *this) {}

  Task<Result<void>> connect(int connection) override {
    connections_[connection] = {};
    co_return Result<void>();
  }
  Task<Result<void>> send(int connection, std::string_view bytes) override {
    const auto found = connections_.find(connection);
    if (found == connections_.end() || found->second.closed) {
      co_return fail(Code::kClosed, fmt::format("connection {} is closed", connection));
    }
    feed(connection, found->second, bytes);
    co_return Result<void>();
  }
  Task<Result<std::optional<std::string>>> receive(int connection) override {
    const auto found = connections_.find(connection);
    if (found == connections_.end()) co_return std::optional<std::string>();
    auto& peer = found->second;
    const int64_t until = now_.steady + kPatience;
    while (true) {
      if (auto message = peer.take()) co_return std::move(message);
      if (peer.closed) co_return std::optional<std::string>();
      if (now_.steady >= until) break;
      // Nothing happens until the next timer: go there.
      if (owner_ == connection) {
        advance_to(std::min(until, session_.next_tick()));
        session_.tick(now_);
        flush(connection, peer);
      } else {
        advance_to(std::min(until, peer.since + kPatience));
        if (now_.steady >= peer.since + kPatience) peer.closed = true;
      }
    }
    co_return fail(Code::kTimeout, "nothing came for 10 s");
  }
  void disconnect(int connection) override {
    if (owner_ == connection) {
      session_.disconnected();
      owner_ = 0;
    }
    connections_.erase(connection);
  }
  VenueTime now() const override { return now_.wall; }

 private:
  struct Peer {
    Framer framer;
    std::string out;
    int64_t since = 0;
    bool identified = false, closed = false;

    // The first message of what was sent to this peer.
    std::optional<std::string> take() {
      const size_t sum = out.find(
          "\x01"
          "10=");
      if (sum == out.npos) return std::nullopt;
      const size_t end = out.find(kSeparator, sum + 1);
      std::string first = out.substr(0, end + 1);
      out.erase(0, end + 1);
      return first;
    }
  };

  void feed(int connection, Peer& peer, std::string_view bytes) {
    if (!peer.identified) peer.since = now_.steady;
    while (!bytes.empty()) {
      const auto room = peer.framer.room();
      const size_t part = std::min(room.size(), bytes.size());
      std::copy_n(bytes.data(), part, room.data());
      peer.framer.filled(part);
      bytes.remove_prefix(part);
      while (!peer.closed) {
        const auto found = peer.framer.next();
        if (found == Framer::Found::kNeedMore) break;
        const bool parsed = found == Framer::Found::kFrame && message_.parse(peer.framer.frame());
        meet(connection, peer, parsed);
      }
    }
  }
  void meet(int connection, Peer& peer, bool parsed) {
    if (!peer.identified) {
      const auto& config = session_.config();
      if (owner_ != 0 || !parsed || message_.find(tag::kSenderCompId) != config.their_comp_id ||
          message_.find(tag::kTargetCompId) != config.our_comp_id) {
        peer.closed = true;
        return;
      }
      peer.identified = true;
      owner_ = connection;
      session_.connected(now_);
    }
    parsed ? session_.received(now_, message_) : session_.garbled(now_);
    flush(connection, peer);
  }
  void flush(int connection, Peer& peer) {
    if (owner_ != connection) return;
    peer.out += session_.output();
    session_.output().clear();
    if (!session_.closing()) return;
    session_.disconnected();
    owner_ = 0;
    peer.closed = true;
  }
  void advance_to(int64_t steady) {
    if (steady <= now_.steady) return;
    now_.wall += steady - now_.steady;
    now_.steady = steady;
  }

  void on_logon(const Message&) override { session_.accept_logon(now_); }
  void on_message(const Message& message, uint32_t number) override {
    reflector_.on_message(session_, message, number, now_);
  }
  void on_resend(uint32_t first, uint32_t last) override { reflector_.on_resend(session_, first, last, now_); }
  void on_reset() override { reflector_.on_reset(); }
  void on_administrative(uint32_t) override {}

  Moment now_{1'700'000'000 * kNanosecondsPerSecond, 1};
  Session session_;
  Reflector reflector_;
  Message message_;
  std::map<int, Peer> connections_;
  int owner_ = 0;  // the connection that is logged on, or about to be
};

class NetworkAcceptor final : public CertifyTarget {
 public:
  explicit NetworkAcceptor(const io::Endpoint& endpoint) : endpoint_(endpoint) {}

  Task<Result<void>> connect(int connection) override {
    auto stream = co_await io::with_timeout(std::chrono::nanoseconds(kPatience), io::connect(endpoint_));
    if (!stream) co_return fail(stream.error());
    auto& peer = connections_[connection];
    peer.stream = std::move(*stream);
    peer.framer.clear();
    co_return Result<void>();
  }
  Task<Result<void>> send(int connection, std::string_view bytes) override {
    const auto found = connections_.find(connection);
    if (found == connections_.end()) co_return fail(Code::kClosed, "not connected");
    co_return co_await found->second.stream->write(as_bytes(bytes));
  }
  Task<Result<std::optional<std::string>>> receive(int connection) override {
    const auto found = connections_.find(connection);
    if (found == connections_.end()) co_return std::optional<std::string>();
    co_return co_await io::with_timeout(std::chrono::nanoseconds(kPatience), next(found->second));
  }
  void disconnect(int connection) override {
    const auto found = connections_.find(connection);
    if (found == connections_.end()) return;
    found->second.stream->close();
    connections_.erase(found);
  }
  VenueTime now() const override { return clock_.wall().time_since_epoch().count(); }

 private:
  struct Peer {
    std::unique_ptr<io::Stream> stream;
    Framer framer;
  };
  static Task<Result<std::optional<std::string>>> next(Peer& peer) {
    while (true) {
      if (peer.framer.next() == Framer::Found::kFrame) co_return std::string(peer.framer.frame());
      const auto room = peer.framer.room();
      const auto got = co_await peer.stream->read_some(std::as_writable_bytes(room));
      if (!got && (got.error().code() == Code::kClosed || got.error().code() == Code::kIo)) {
        co_return std::optional<std::string>();
      }
      if (!got) co_return fail(got.error());
      peer.framer.filled(*got);
    }
  }

  const io::Endpoint endpoint_;
  const base::SystemClock clock_;
  std::map<int, Peer> connections_;
};

}  // namespace

std::unique_ptr<CertifyTarget> reflecting_acceptor() {
  return std::make_unique<ReflectingAcceptor>();
}

std::unique_ptr<CertifyTarget> network_acceptor(const io::Endpoint& endpoint) {
  return std::make_unique<NetworkAcceptor>(endpoint);
}

}  // namespace polis::exchange::fix
