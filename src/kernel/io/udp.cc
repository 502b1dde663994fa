#include "kernel/io/udp.h"

#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>

#include "kernel/io/poller.h"
#include "kernel/io/shard.h"
#include "kernel/io/socket_address.h"

namespace polis::io {
namespace {

constexpr size_t kBatch = 64;  // datagrams a system call; beyond that the call's own cost is no longer seen

class Socket final : public UdpSocket {
 public:
  Socket(int fd, Endpoint local) : descriptor_(fd), local_(std::move(local)) {}

  Task<Result<size_t>> receive(std::span<Datagram> into) override {
    const size_t count = std::min(into.size(), kBatch);
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> rooms;
    std::array<SocketAddress, kBatch> peers;
    while (true) {
      if (!descriptor_.ready(Descriptor::Direction::kRead))
        CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kRead));
      if (descriptor_.closed()) co_return fail(Code::kClosed, "the socket at " + local_.text() + " was closed");
      for (size_t i = 0; i < count; ++i) {
        rooms[i] = {into[i].room.data(), into[i].room.size()};
        messages[i].msg_hdr = {};
        messages[i].msg_hdr.msg_name = &peers[i].storage;
        messages[i].msg_hdr.msg_namelen = sizeof peers[i].storage;
        messages[i].msg_hdr.msg_iov = &rooms[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      const int received = recvmmsg(descriptor_.fd(), messages.data(), static_cast<unsigned>(count), 0, nullptr);
      if (received < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) co_return fail(system_error(errno, "receive at " + local_.text()));
        descriptor_.drained(Descriptor::Direction::kRead);
        continue;
      }
      for (int i = 0; i < received; ++i) {
        peers[i].size = messages[i].msg_hdr.msg_namelen;
        into[i].size_bytes = messages[i].msg_len;
        into[i].truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        into[i].peer = endpoint_of(peers[i]);
      }
      co_return static_cast<size_t>(received);
    }
  }

  Task<Result<void>> send(std::span<const Datagram> datagrams) override {
    bool waited = false;
    while (!datagrams.empty()) {
      if (descriptor_.closed()) co_return fail(Code::kClosed, "the socket at " + local_.text() + " was closed");
      const size_t count = std::min(datagrams.size(), kBatch);
      std::array<mmsghdr, kBatch> messages{};
      std::array<iovec, kBatch> payloads;
      std::array<SocketAddress, kBatch> peers;
      for (size_t i = 0; i < count; ++i) {
        peers[i] = CO_TRY(socket_address(datagrams[i].peer));
        payloads[i] = {datagrams[i].room.data(), datagrams[i].size_bytes};
        messages[i].msg_hdr.msg_name = &peers[i].storage;
        messages[i].msg_hdr.msg_namelen = peers[i].size;
        messages[i].msg_hdr.msg_iov = &payloads[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      const int sent = sendmmsg(descriptor_.fd(), messages.data(), static_cast<unsigned>(count), MSG_NOSIGNAL);
      if (sent > 0) {
        datagrams = datagrams.subspan(static_cast<size_t>(sent));
        waited = false;
      } else if (errno == EAGAIN) {
        if (waited) co_return fail(Code::kBusy, "the send buffer of " + local_.text() + " is full");
        descriptor_.drained(Descriptor::Direction::kWrite);
        CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kWrite));
        waited = true;
      } else if (errno == ECONNREFUSED) {
        continue;  // an earlier datagram's answer from the network; it is cleared by being reported
      } else if (errno != EINTR) {
        co_return fail(system_error(errno, "send from " + local_.text()));
      }
    }
    co_return {};
  }

  const Endpoint& local() const override { return local_; }
  void close() override { descriptor_.close(); }

 private:
  Descriptor descriptor_;
  const Endpoint local_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>> UdpSocket::bind(const Endpoint& endpoint, bool reuse_port) {
  SocketAddress address = TRY(socket_address(endpoint));
  OwnedSocket socket(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return fail(system_error(errno, "socket for " + endpoint.text()));
  const int on = 1;
  if (reuse_port) setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6) setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(socket.get(), address.get(), address.size) != 0)
    return fail(system_error(errno, "bind " + endpoint.text()));
  Endpoint local = local_endpoint(socket.get());
  return std::make_unique<Socket>(socket.release(), std::move(local));
}

}  // namespace polis::io
