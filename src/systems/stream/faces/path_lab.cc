#include "systems/stream/faces/path_lab.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <netinet/in.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace polis::stream {
namespace {

constexpr size_t kPathBufferBytes = size_t{1} << 20;  // as one fetch of a usual client

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

uint64_t nanoseconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Counts what one call took.
template <class Call>
ssize_t timed(PathArrow& arrow, Call call) {
  const uint64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  const ssize_t done = call();
  arrow.cpu_ns += nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
  arrow.wall_ns += nanoseconds(CLOCK_MONOTONIC) - wall;
  ++arrow.calls;
  if (done > 0) arrow.bytes += static_cast<uint64_t>(done);
  return done;
}

// The consumer: takes what comes and drops it in the kernel, so that its own copying is no part of the comparison.
void drain(int socket) {
  std::vector<char> untouched(kPathBufferBytes);
  while (::recv(socket, untouched.data(), untouched.size(), MSG_TRUNC) > 0) {
  }
}

struct LoopbackPair {
  Descriptor sender, consumer;
};

Result<std::unique_ptr<LoopbackPair>> connect_loopback() {
  const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (listener.number() < 0 || ::bind(listener.number(), any, size) != 0 || ::listen(listener.number(), 1) != 0 ||
      ::getsockname(listener.number(), any, &size) != 0)
    return fail(system_error(errno, "a loopback listener for the measurement"));
  const int sender = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Descriptor connecting(sender);
  if (sender < 0 || ::connect(sender, any, size) != 0)
    return fail(system_error(errno, "a loopback connection for the measurement"));
  const int accepted = ::accept4(listener.number(), nullptr, nullptr, SOCK_CLOEXEC);
  if (accepted < 0) return fail(system_error(errno, "a loopback connection for the measurement"));
  return std::unique_ptr<LoopbackPair>(
      new LoopbackPair{.sender = Descriptor(::dup(sender)), .consumer = Descriptor(accepted)});
}

// Sends pieces of the ranges, round and round, until enough has gone or the time is over.
template <class Send>
Result<void> send_rounds(std::span<const PathRange> ranges, uint64_t bytes_wanted, uint64_t limit_ns, Send send) {
  const uint64_t end_ns = nanoseconds(CLOCK_MONOTONIC) + limit_ns;
  for (uint64_t sent = 0; sent < bytes_wanted;)
    for (const PathRange& range : ranges) {
      for (uint64_t at = 0; at < range.range.size && sent < bytes_wanted;) {
        const auto piece = static_cast<size_t>(std::min<uint64_t>(range.range.size - at, kPathBufferBytes));
        const ssize_t done = send(range.descriptor, range.range.offset + at, piece);
        if (done < 0) return fail(system_error(errno, "sending a segment to the measuring consumer"));
        if (done == 0) return fail(Code::kConflict, "a segment was shortened while it was measured");
        at += static_cast<uint64_t>(done);
        sent += static_cast<uint64_t>(done);
      }
      if (nanoseconds(CLOCK_MONOTONIC) >= end_ns) return {};
    }
  return {};
}

}  // namespace

Result<PathMeasurement> measure_paths(std::span<const PathRange> ranges, uint64_t bytes_wanted, Duration limit) {
  uint64_t size = 0;
  for (const PathRange& range : ranges) size += range.range.size;
  if (size == 0) return fail(Code::kInvalid, "there is nothing to send: produce some records first");
  const std::unique_ptr<LoopbackPair> connection = TRY(connect_loopback());
  const int out = connection->sender.number();
  std::thread consumer([socket = connection->consumer.number()] { drain(socket); });
  std::vector<char> buffer(kPathBufferBytes);
  PathMeasurement measured;
  const auto limit_ns = static_cast<uint64_t>(limit.count());

  PathArrow unused;
  Result<void> done = send_rounds(ranges, size, limit_ns, [&](int file, uint64_t at, size_t piece) {
    return timed(unused, [&] { return ::pread(file, buffer.data(), piece, static_cast<off_t>(at)); });
  });
  if (done)
    done = send_rounds(ranges, bytes_wanted, limit_ns, [&](int file, uint64_t at, size_t piece) -> ssize_t {
      const ssize_t got =
          timed(measured.read, [&] { return ::pread(file, buffer.data(), piece, static_cast<off_t>(at)); });
      for (ssize_t written = 0; written < got;) {
        const ssize_t now = timed(measured.write, [&] {
          return ::send(out, buffer.data() + written, static_cast<size_t>(got - written), MSG_NOSIGNAL);
        });
        if (now < 0) return now;
        written += now;
      }
      return got;
    });
  if (done)
    done = send_rounds(ranges, measured.read.bytes, 2 * limit_ns, [&](int file, uint64_t at, size_t piece) {
      auto offset = static_cast<off_t>(at);
      return timed(measured.sendfile, [&] { return ::sendfile(out, file, &offset, piece); });
    });
  ::shutdown(out, SHUT_WR);
  consumer.join();
  if (!done) return fail(std::move(done).error());
  return measured;
}

}  // namespace polis::stream
