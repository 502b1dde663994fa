// Endpoint to sockaddr and back; for the socket files of this folder.
#pragma once

#include <sys/socket.h>

#include "kernel/io/stream.h"

namespace polis::io {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// kInvalid for what is no numeric address or too long a path.
Result<SocketAddress> socket_address(const Endpoint& endpoint);
Endpoint endpoint_of(const SocketAddress& address);
Endpoint local_endpoint(int fd);

// Closes unless released.
class OwnedSocket {
 public:
  explicit OwnedSocket(int fd) : fd_(fd) {}
  ~OwnedSocket();
  OwnedSocket(const OwnedSocket&) = delete;
  OwnedSocket& operator=(const OwnedSocket&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace polis::io
