// TCP and Unix sockets.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/io/file.h"
#include "kernel/io/pollable_stream.h"
#include "kernel/io/poller.h"
#include "kernel/io/shard.h"
#include "kernel/io/socket_address.h"
#include "kernel/io/stream.h"

namespace polis::io {
namespace {

class SocketStream final : public Stream, public PollableStream {
 public:
  SocketStream(int fd, Endpoint peer, bool tcp)
      : descriptor_(fd), tcp_(tcp), peer_(std::move(peer)), local_(local_endpoint(fd)) {
    if (tcp) {
      // Replies are gathered into one write, so waiting for more to send only adds delay.
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
  }

  Task<Result<size_t>> read_some(MutableBytes into) override {
    while (true) {
      if (!descriptor_.ready(Descriptor::Direction::kRead))
        CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kRead));
      if (descriptor_.closed()) co_return closed();
      const ssize_t n = recv(descriptor_.fd(), into.data(), into.size(), 0);
      if (n > 0) {
        if (static_cast<size_t>(n) < into.size()) descriptor_.drained(Descriptor::Direction::kRead);
        co_return static_cast<size_t>(n);
      }
      if (n == 0) co_return fail(Code::kClosed, "the peer has ended the connection");
      if (errno == EAGAIN) {
        descriptor_.drained(Descriptor::Direction::kRead);
        // With the peer's end known, EAGAIN cannot repeat for ever: the end itself is readable.
        if (descriptor_.ended()) co_return fail(Code::kClosed, "the peer has ended the connection");
      } else if (errno != EINTR) {
        co_return fail(system_error(errno, "recv from " + peer_.text()));
      }
    }
  }

  Task<Result<void>> readable() override { co_return co_await descriptor_.wait(Descriptor::Direction::kRead); }

  Result<size_t> try_read(MutableBytes into) override {
    while (true) {
      if (descriptor_.closed()) return closed();
      if (!descriptor_.ready(Descriptor::Direction::kRead)) return size_t{0};
      const ssize_t n = recv(descriptor_.fd(), into.data(), into.size(), 0);
      if (n > 0) {
        if (static_cast<size_t>(n) < into.size()) descriptor_.drained(Descriptor::Direction::kRead);
        return static_cast<size_t>(n);
      }
      if (n == 0) return fail(Code::kClosed, "the peer has ended the connection");
      if (errno == EAGAIN) {
        descriptor_.drained(Descriptor::Direction::kRead);
        if (descriptor_.ended()) return fail(Code::kClosed, "the peer has ended the connection");
        return size_t{0};
      }
      if (errno != EINTR) return fail(system_error(errno, "recv from " + peer_.text()));
    }
  }

  void cork(bool on) override {
    const int value = on ? 1 : 0;
    if (tcp_ && !descriptor_.closed()) setsockopt(descriptor_.fd(), IPPROTO_TCP, TCP_CORK, &value, sizeof value);
  }

  Task<Result<void>> write(std::span<const BytesView> parts) override {
    constexpr size_t kParts = 64;
    size_t part = 0;
    size_t inside = 0;  // bytes of `part` that are sent
    while (true) {
      iovec vector[kParts];
      size_t count = 0;
      size_t total = 0;
      for (size_t i = part; i < parts.size() && count < kParts; ++i) {
        const size_t skip = i == part ? inside : 0;
        if (parts[i].size() == skip) continue;
        vector[count++] = {const_cast<std::byte*>(parts[i].data()) + skip, parts[i].size() - skip};
        total += parts[i].size() - skip;
      }
      if (count == 0) co_return {};
      if (descriptor_.closed()) co_return closed();
      msghdr message{};
      message.msg_iov = vector;
      message.msg_iovlen = count;
      const ssize_t n = sendmsg(descriptor_.fd(), &message, MSG_NOSIGNAL);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) co_return fail(system_error(errno, "send to " + peer_.text()));
        descriptor_.drained(Descriptor::Direction::kWrite);
        CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kWrite));
        continue;
      }
      if (static_cast<size_t>(n) < total) descriptor_.drained(Descriptor::Direction::kWrite);
      size_t left = static_cast<size_t>(n);
      while (part < parts.size() && left >= parts[part].size() - inside) {
        left -= parts[part].size() - inside;
        ++part;
        inside = 0;
      }
      inside += left;
      if (part == parts.size()) co_return {};
      if (!descriptor_.ready(Descriptor::Direction::kWrite))
        CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kWrite));
    }
  }

  Task<Result<void>> send_file(File& file, ByteRange range) override;

  Task<Result<void>> finish() override {
    if (descriptor_.closed()) co_return closed();
    if (shutdown(descriptor_.fd(), SHUT_WR) != 0 && errno != ENOTCONN)
      co_return fail(system_error(errno, "shutdown of the connection to " + peer_.text()));
    co_return {};
  }

  void close() override { descriptor_.close(); }

  Task<Result<void>> peer_gone() override { co_return co_await descriptor_.wait(Descriptor::Direction::kEnd); }

  const Endpoint& peer() const override { return peer_; }
  const Endpoint& local() const override { return local_; }

 private:
  std::unexpected<Error> closed() const {
    return fail(Code::kClosed, "the connection to " + peer_.text() + " was closed");
  }

  Descriptor descriptor_;
  const bool tcp_;
  const Endpoint peer_;
  const Endpoint local_;
};

// Bytes a shard may hand to sendfile before it looks at other work.
constexpr uint64_t kSendFileSlice = 256 * 1024;

// Brings a slice of a file into the page cache on the pool unless it is there, so that sendfile does not wait for the
// disk.
Task<Result<void>> warm(File& file, uint64_t offset, uint64_t size) {
  const int fd = file.native_handle();
  std::byte probe;
  for (const uint64_t position : {offset, offset + size - 1}) {
    iovec part{&probe, 1};
    if (preadv2(fd, &part, 1, static_cast<off_t>(position), RWF_NOWAIT) >= 0 || errno != EAGAIN) continue;
    co_return co_await blocking([&]() -> Result<void> {
      readahead(fd, static_cast<off_t>(offset), size);
      std::byte touched;
      for (uint64_t at = offset; at < offset + size; at += 4096)
        if (pread(fd, &touched, 1, static_cast<off_t>(at)) < 0) return fail(system_error(errno, "read " + file.path()));
      return {};
    });
  }
  co_return {};
}

Task<Result<void>> copy_file_to(Stream& stream, File& file, ByteRange range) {
  Bytes buffer(std::min<uint64_t>(range.size, 64 * 1024));
  while (range.size > 0) {
    const MutableBytes slice = MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), range.size));
    const size_t n = CO_TRY(co_await file.read_at(range.offset, slice));
    if (n == 0) co_return fail(Code::kOutOfRange, file.path() + " ends before the range that was to be sent");
    CO_TRY(co_await stream.write(BytesView(slice).first(n)));
    range.offset += n;
    range.size -= n;
  }
  co_return {};
}

Task<Result<void>> SocketStream::send_file(File& file, ByteRange range) {
  if (file.native_handle() < 0) co_return co_await copy_file_to(*this, file, range);
  off_t offset = static_cast<off_t>(range.offset);
  uint64_t left = range.size;
  while (left > 0) {
    if (descriptor_.closed()) co_return closed();
    const uint64_t slice = std::min(left, kSendFileSlice);
    CO_TRY(co_await warm(file, static_cast<uint64_t>(offset), slice));
    if (descriptor_.closed()) co_return closed();
    const ssize_t n = sendfile(descriptor_.fd(), file.native_handle(), &offset, slice);
    if (n > 0) {
      left -= static_cast<uint64_t>(n);
      if (left > 0) co_await yield();
    } else if (n == 0) {
      co_return fail(Code::kOutOfRange, file.path() + " ends before the range that was to be sent");
    } else if (errno == EAGAIN) {
      descriptor_.drained(Descriptor::Direction::kWrite);
      CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kWrite));
    } else if (errno != EINTR) {
      co_return fail(system_error(errno, "sendfile to " + peer_.text()));
    }
  }
  co_return {};
}

class SocketListener final : public Listener {
 public:
  SocketListener(int fd, Endpoint local) : descriptor_(fd), local_(std::move(local)) {}
  ~SocketListener() override { close(); }

  Task<Result<std::unique_ptr<Stream>>> accept() override {
    while (true) {
      if (!descriptor_.ready(Descriptor::Direction::kRead))
        CO_TRY(co_await descriptor_.wait(Descriptor::Direction::kRead));
      if (descriptor_.closed()) co_return fail(Code::kClosed, "the listener at " + local_.text() + " was closed");
      SocketAddress peer;
      peer.size = sizeof peer.storage;
      const int fd = accept4(descriptor_.fd(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) co_return std::make_unique<SocketStream>(fd, endpoint_of(peer), !local_.unix_socket);
      switch (errno) {
        case EAGAIN:
          descriptor_.drained(Descriptor::Direction::kRead);
          break;
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
          break;  // that connection is gone, the listener is fine
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
          co_return fail(Code::kBusy, "accept at " + local_.text() + ": out of descriptors or memory");
        default:
          co_return fail(system_error(errno, "accept at " + local_.text()));
      }
    }
  }

  const Endpoint& local() const override { return local_; }
  void close() override {
    if (descriptor_.closed()) return;
    descriptor_.close();
    if (local_.unix_socket) ::unlink(local_.address.c_str());
  }

 private:
  Descriptor descriptor_;
  const Endpoint local_;
};

}  // namespace

// --- Stream, Listener, connect

Task<Result<void>> Stream::write(BytesView part) {
  co_return co_await write(std::span(&part, 1));
}

Result<std::unique_ptr<Listener>> Listener::bind(const Endpoint& endpoint, ListenOptions options) {
  SocketAddress address = TRY(socket_address(endpoint));
  OwnedSocket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return fail(system_error(errno, "socket for " + endpoint.text()));
  const int on = 1;
  if (endpoint.unix_socket) {
    ::unlink(
        endpoint.address
            .c_str());  // left over by a process that was killed; the data directory's lock keeps a living one safe
  } else {
    setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (options.reuse_port) setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (address.storage.ss_family == AF_INET6) setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (::bind(socket.get(), address.get(), address.size) != 0)
    return fail(system_error(errno, "bind " + endpoint.text()));
  if (endpoint.unix_socket && ::chmod(endpoint.address.c_str(), 0600) != 0)
    return fail(system_error(errno, "chmod " + endpoint.address));
  if (::listen(socket.get(), options.backlog) != 0) return fail(system_error(errno, "listen " + endpoint.text()));
  Endpoint local = endpoint.unix_socket ? endpoint : local_endpoint(socket.get());
  return std::make_unique<SocketListener>(socket.release(), std::move(local));
}

Task<Result<std::unique_ptr<Stream>>> connect(const Endpoint& endpoint) {
  const Endpoint target = endpoint;  // the caller's may be gone after the first suspension
  SocketAddress address = CO_TRY(socket_address(target));
  OwnedSocket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) co_return fail(system_error(errno, "socket for " + target.text()));
  const int status = ::connect(socket.get(), address.get(), address.size);
  if (status != 0 && errno != EINPROGRESS) co_return fail(system_error(errno, "connect to " + target.text()));
  if (status != 0) {
    // Registered on a duplicate: the stream registers the socket itself afterwards.
    const int watched = fcntl(socket.get(), F_DUPFD_CLOEXEC, 0);
    if (watched < 0) co_return fail(system_error(errno, "connect to " + target.text()));
    Descriptor descriptor(watched);
    descriptor.drained(Descriptor::Direction::kWrite);
    CO_TRY(co_await descriptor.wait(Descriptor::Direction::kWrite));
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) co_return fail(system_error(error, "connect to " + target.text()));
  }
  co_return std::make_unique<SocketStream>(socket.release(), target, !target.unix_socket);
}

}  // namespace polis::io
