#include "kernel/io/socket_address.h"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

namespace polis::io {

OwnedSocket::~OwnedSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<SocketAddress> socket_address(const Endpoint& endpoint) {
  SocketAddress address;
  if (endpoint.unix_socket) {
    auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
    if (endpoint.address.size() >= sizeof un.sun_path)
      return fail(Code::kInvalid,
                  "the socket path " + endpoint.address + " is longer than the system allows (107 bytes)");
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, endpoint.address.data(), endpoint.address.size());
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + endpoint.address.size() + 1);
    return address;
  }
  auto& in4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& in6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (inet_pton(AF_INET, endpoint.address.c_str(), &in4.sin_addr) == 1) {
    in4.sin_family = AF_INET;
    in4.sin_port = htons(endpoint.port);
    address.size = sizeof in4;
  } else if (inet_pton(AF_INET6, endpoint.address.c_str(), &in6.sin6_addr) == 1) {
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(endpoint.port);
    address.size = sizeof in6;
  } else {
    return fail(Code::kInvalid, "'" + endpoint.address + "' is not a numeric IP address");
  }
  return address;
}

Endpoint endpoint_of(const SocketAddress& address) {
  Endpoint endpoint;
  char text[INET6_ADDRSTRLEN] = {};
  switch (address.storage.ss_family) {
    case AF_INET: {
      auto& in4 = reinterpret_cast<const sockaddr_in&>(address.storage);
      inet_ntop(AF_INET, &in4.sin_addr, text, sizeof text);
      endpoint.port = ntohs(in4.sin_port);
      break;
    }
    case AF_INET6: {
      auto& in6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
      inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
      endpoint.port = ntohs(in6.sin6_port);
      break;
    }
    default: {
      endpoint.unix_socket = true;
      auto& un = reinterpret_cast<const sockaddr_un&>(address.storage);
      if (address.size > offsetof(sockaddr_un, sun_path)) endpoint.address = un.sun_path;
      return endpoint;
    }
  }
  endpoint.address = text;
  return endpoint;
}

Endpoint local_endpoint(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  getsockname(fd, address.get(), &address.size);
  return endpoint_of(address);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix:")) {
    endpoint.unix_socket = true;
    endpoint.address = text.substr(5);
    if (endpoint.address.empty()) return fail(Code::kInvalid, "'unix:' needs a path behind it");
    return endpoint;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail(Code::kInvalid, "'" + std::string(text) + "' is not ADDRESS:PORT");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return fail(Code::kInvalid, "an IPv6 address needs brackets: [" + std::string(host) + "]:" + std::string(port));
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number > 65535)
    return fail(Code::kInvalid, "'" + std::string(port) + "' is not a port (0 to 65535)");
  endpoint.address = host == "localhost" ? "127.0.0.1" : std::string(host);
  endpoint.port = static_cast<uint16_t>(number);
  TRY(socket_address(endpoint));
  return endpoint;
}

std::string Endpoint::text() const {
  if (unix_socket) return "unix:" + address;
  if (address.find(':') != std::string::npos) return "[" + address + "]:" + std::to_string(port);
  return address + ":" + std::to_string(port);
}

bool Endpoint::loopback() const {
  return unix_socket || address.starts_with("127.") || address == "::1" || address.starts_with("::ffff:127.");
}

}  // namespace polis::io
