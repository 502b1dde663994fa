#include "kernel/sim/network.h"

#include <algorithm>
#include <deque>

#include "kernel/io/file.h"
#include "kernel/io/pollable_stream.h"
#include "kernel/sim/world.h"

namespace polis::sim {
namespace {

std::pair<std::string, std::string> pair_of(const std::string& one, const std::string& other) {
  return one < other ? std::pair(one, other) : std::pair(other, one);
}
std::string key_of(const io::Endpoint& endpoint) {
  return endpoint.unix_socket ? "unix:" + endpoint.address : endpoint.address + ":" + std::to_string(endpoint.port);
}

// At most a few coroutines wait for one change; each looks again when it is woken.
class Wakeup {
 public:
  Task<Result<void>> wait() {
    event_.reset();
    return event_.wait();
  }
  void wake() { event_.set(); }

 private:
  io::Event event_;
};

// One direction of a connection.
struct Pipe {
  struct Segment {
    SteadyTime at;
    Bytes bytes;
    bool end = false;
  };
  std::deque<Segment> on_the_way;
  Bytes arrived;
  size_t consumed = 0;      // of `arrived`
  size_t unread_bytes = 0;  // written and not read yet, arrived or not
  bool ended = false;       // the end has arrived
  bool finished = false;    // the writer is done
  bool writing = false;
  SteadyTime last_at{};
  Wakeup readable, writable;
};

// A stream takes one write at a time (io/stream.h): two would mix.
struct OneWrite {
  explicit OneWrite(Pipe& pipe) : pipe(pipe) {
    POLIS_ASSERT(!pipe.writing);
    pipe.writing = true;
  }
  ~OneWrite() { pipe.writing = false; }
  OneWrite(const OneWrite&) = delete;
  OneWrite& operator=(const OneWrite&) = delete;
  Pipe& pipe;
};

}  // namespace

struct Network::Connection {
  std::string address[2];
  io::Endpoint endpoint[2];
  Pipe pipe[2];  // pipe[side] carries what `side` writes
  bool closed[2] = {false, false};
  bool reset = false;
  Wakeup gone[2];

  void wake_all() {
    for (int side = 0; side < 2; ++side) {
      pipe[side].readable.wake();
      pipe[side].writable.wake();
      gone[side].wake();
    }
  }
};

struct Network::Ear {
  std::deque<std::unique_ptr<io::Stream>> waiting;
  bool closed = false;
  Wakeup arrived;
};

class SimStream final : public io::Stream, public io::PollableStream {
 public:
  SimStream(Network& network, std::shared_ptr<Network::Connection> connection, int side)
      : network_(network), connection_(std::move(connection)), side_(side) {}
  ~SimStream() override { close(); }

  using io::Stream::write;

  Task<Result<size_t>> read_some(MutableBytes into) override {
    // The connection lives on while this waits, even if the stream is closed meanwhile.
    auto connection = connection_;
    if (into.empty()) co_return size_t{0};
    while (true) {
      if (const size_t count = CO_TRY(take(*connection, into)); count > 0) co_return count;
      CO_TRY(co_await connection->pipe[1 - side_].readable.wait());
    }
  }

  Task<Result<void>> readable() override {
    auto connection = connection_;
    const Pipe& pipe = connection->pipe[1 - side_];
    const bool something =
        connection->reset || connection->closed[side_] || pipe.ended || pipe.arrived.size() > pipe.consumed;
    if (!something) CO_TRY(co_await connection->pipe[1 - side_].readable.wait());
    co_return {};
  }
  Result<size_t> try_read(MutableBytes into) override { return take(*connection_, into); }
  void cork(bool) override {}

  Task<Result<void>> write(std::span<const BytesView> parts) override {
    auto connection = connection_;
    Pipe& pipe = connection->pipe[side_];
    const OneWrite one(pipe);
    for (BytesView part : parts) {
      while (!part.empty()) {
        CO_TRY(writable(*connection));
        const size_t limit = network_.options_.buffer_bytes;
        if (pipe.unread_bytes >= limit) {
          CO_TRY(co_await pipe.writable.wait());
          continue;
        }
        const size_t count = std::min(part.size(), limit - pipe.unread_bytes);
        send(connection, {part.begin(), part.begin() + static_cast<ptrdiff_t>(count)}, false);
        part = part.subspan(count);
      }
    }
    co_return writable(*connection);
  }

  Task<Result<void>> send_file(io::File& file, io::ByteRange range) override {
    Bytes buffer(std::min<uint64_t>(range.size, 64 << 10));
    while (range.size > 0) {
      const MutableBytes into = MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), range.size));
      const size_t count = CO_TRY(co_await file.read_at(range.offset, into));
      if (count == 0) co_return fail(Code::kOutOfRange, "send " + file.path() + ": the file is shorter than the range");
      const BytesView part = BytesView(buffer).first(count);
      CO_TRY(co_await write(std::span<const BytesView>(&part, 1)));
      range.offset += count;
      range.size -= count;
    }
    co_return {};
  }

  Task<Result<void>> finish() override {
    CO_TRY(writable(*connection_));
    connection_->pipe[side_].finished = true;
    send(connection_, {}, true);
    co_return {};
  }

  void close() override {
    if (connection_->closed[side_]) return;
    connection_->closed[side_] = true;
    Pipe& outgoing = connection_->pipe[side_];
    // Bytes that nobody read make a close a reset, as in TCP.
    const Pipe& incoming = connection_->pipe[1 - side_];
    const bool unread = incoming.arrived.size() > incoming.consumed;
    if (unread && !connection_->reset) {
      connection_->reset = true;
      connection_->wake_all();
      return;
    }
    if (!outgoing.finished) {
      outgoing.finished = true;
      send(connection_, {}, true);
    }
    connection_->wake_all();
  }

  Task<Result<void>> peer_gone() override {
    auto connection = connection_;
    while (!connection->reset && !connection->closed[side_] && !connection->pipe[1 - side_].ended)
      CO_TRY(co_await connection->gone[side_].wait());
    co_return {};
  }

  const io::Endpoint& peer() const override { return connection_->endpoint[1 - side_]; }
  const io::Endpoint& local() const override { return connection_->endpoint[side_]; }

 private:
  // What has arrived, perhaps only a piece of it; 0 if nothing has.
  Result<size_t> take(Network::Connection& connection, MutableBytes into) {
    Pipe& pipe = connection.pipe[1 - side_];
    if (connection.reset) return fail(Code::kClosed, "read: connection reset by peer");
    if (connection.closed[side_]) return fail(Code::kClosed, "read: the stream is closed");
    const size_t there = pipe.arrived.size() - pipe.consumed;
    if (there == 0) {
      if (pipe.ended) return fail(Code::kClosed, "read: end of stream");
      return size_t{0};
    }
    size_t count = std::min(there, into.size());
    if (network_.options_.split_reads && count > 1 && network_.random_.chance(1, 2))
      count = 1 + network_.random_.below(count);
    std::memcpy(into.data(), pipe.arrived.data() + pipe.consumed, count);
    pipe.consumed += count;
    pipe.unread_bytes -= count;
    if (pipe.consumed == pipe.arrived.size()) {
      pipe.arrived.clear();
      pipe.consumed = 0;
    }
    pipe.writable.wake();
    return count;
  }
  Result<void> writable(const Network::Connection& connection) const {
    if (connection.reset) return fail(Code::kClosed, "write: connection reset by peer");
    if (connection.closed[side_]) return fail(Code::kClosed, "write: the stream is closed");
    if (connection.pipe[side_].finished) return fail(Code::kClosed, "write: the writing half is finished");
    if (connection.closed[1 - side_]) return fail(Code::kClosed, "write: the peer closed the connection");
    return {};
  }
  void send(const std::shared_ptr<Network::Connection>& connection, Bytes bytes, bool end) {
    Pipe& pipe = connection->pipe[side_];
    pipe.unread_bytes += bytes.size();
    const SteadyTime now = network_.world_.clock().steady();
    pipe.last_at = std::max(pipe.last_at, now + network_.draw());  // in order
    network_.world_.trace(bytes);
    pipe.on_the_way.push_back({pipe.last_at, std::move(bytes), end});
    network_.world_.after(pipe.last_at - now, [&network = network_, connection] { network.deliver(connection); });
  }

  Network& network_;
  const std::shared_ptr<Network::Connection> connection_;  // shared with the other end
  const int side_;
};

class SimListener final : public io::Listener {
 public:
  SimListener(io::Endpoint local, std::shared_ptr<Network::Ear> ear) : local_(std::move(local)), ear_(std::move(ear)) {}
  ~SimListener() override { close(); }

  Task<Result<std::unique_ptr<io::Stream>>> accept() override {
    auto ear = ear_;
    while (true) {
      if (ear->closed) co_return fail(Code::kClosed, "accept: the listener is closed");
      if (!ear->waiting.empty()) {
        auto stream = std::move(ear->waiting.front());
        ear->waiting.pop_front();
        co_return stream;
      }
      CO_TRY(co_await ear->arrived.wait());
    }
  }
  const io::Endpoint& local() const override { return local_; }
  void close() override {
    if (std::exchange(ear_->closed, true)) return;
    ear_->waiting.clear();
    ear_->arrived.wake();
  }

 private:
  const io::Endpoint local_;
  const std::shared_ptr<Network::Ear> ear_;  // shared with connects on their way
};

// --- Network

Network::Network(World& world, uint64_t seed, NetworkOptions options)
    : world_(world), options_(options), random_(seed) {}
Network::~Network() = default;

Duration Network::draw() {
  const auto spread =
      static_cast<uint64_t>(std::max((options_.latency.max - options_.latency.min).count(), int64_t{0}));
  return options_.latency.min + Duration(static_cast<int64_t>(random_.below(spread + 1)));
}

bool Network::parted(const std::string& one, const std::string& other) const {
  return partitions_.contains(pair_of(one, other));
}

Result<std::unique_ptr<io::Listener>> Network::listen(const io::Endpoint& endpoint) {
  io::Endpoint local = endpoint;
  if (!local.unix_socket && local.port == 0) local.port = next_port_++;
  auto& place = ears_[key_of(local)];
  if (auto taken = place.lock(); taken && !taken->closed)
    return fail(Code::kExists, "listen on " + key_of(local) + ": the address is in use");
  auto ear = std::make_shared<Ear>();
  place = ear;
  return std::make_unique<SimListener>(local, std::move(ear));
}

Task<Result<std::unique_ptr<io::Stream>>> Network::connect(io::Endpoint to, std::string from_address) {
  const std::string to_address = to.unix_socket ? from_address : to.address;
  CO_TRY(co_await io::sleep_for(draw()));
  if (parted(from_address, to_address)) {
    CO_TRY(co_await io::sleep_for(options_.connect_timeout));
    if (parted(from_address, to_address)) co_return fail(Code::kTimeout, "connect to " + key_of(to) + ": timed out");
  }
  auto found = ears_.find(key_of(to));
  auto ear = found == ears_.end() ? nullptr : found->second.lock();
  if (!ear || ear->closed) co_return fail(Code::kClosed, "connect to " + key_of(to) + ": connection refused");
  auto connection = std::make_shared<Connection>();
  connection->address[0] = from_address;
  connection->address[1] = to_address;
  connection->endpoint[0] = {.address = from_address, .port = next_port_++};
  connection->endpoint[1] = to;
  std::erase_if(connections_, [](const auto& old) { return old.expired(); });
  connections_.push_back(connection);
  ear->waiting.push_back(std::make_unique<SimStream>(*this, connection, 1));
  ear->arrived.wake();
  co_return std::make_unique<SimStream>(*this, connection, 0);
}

void Network::deliver(const std::shared_ptr<Connection>& connection) {
  if (connection->reset || parted(connection->address[0], connection->address[1])) return;  // heal() delivers
  const SteadyTime now = world_.clock().steady();
  for (int side = 0; side < 2; ++side) {
    Pipe& pipe = connection->pipe[side];
    bool arrived = false;
    while (!pipe.on_the_way.empty() && pipe.on_the_way.front().at <= now) {
      const Pipe::Segment& segment = pipe.on_the_way.front();
      pipe.arrived.insert(pipe.arrived.end(), segment.bytes.begin(), segment.bytes.end());
      pipe.ended |= segment.end;
      pipe.on_the_way.pop_front();
      arrived = true;
    }
    if (!arrived) continue;
    pipe.readable.wake();
    if (pipe.ended) connection->gone[1 - side].wake();
  }
}

void Network::partition(const std::string& one, const std::string& other) {
  partitions_.insert(pair_of(one, other));
}

void Network::heal(const std::string& one, const std::string& other) {
  partitions_.erase(pair_of(one, other));
  for (const auto& weak : connections_)
    if (auto connection = weak.lock()) deliver(connection);
}

void Network::heal_all() {
  partitions_.clear();
  for (const auto& weak : connections_)
    if (auto connection = weak.lock()) deliver(connection);
}

size_t Network::reset(const std::string& address) {
  size_t count = 0;
  for (const auto& weak : connections_) {
    auto connection = weak.lock();
    if (!connection || connection->reset) continue;
    if (connection->closed[0] && connection->closed[1]) continue;
    if (!address.empty() && connection->address[0] != address && connection->address[1] != address) continue;
    connection->reset = true;
    connection->wake_all();
    ++count;
  }
  return count;
}

size_t Network::connections() const {
  return static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& weak) {
    auto connection = weak.lock();
    return connection && !connection->reset && !(connection->closed[0] && connection->closed[1]);
  }));
}

}  // namespace polis::sim
