// The control of fix_load: sends back what it reads, one read one write, on one blocking thread. Prints its port.
#include <arpa/inet.h>
#include <cstdio>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int main() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (bind(listener, reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(listener, 8) != 0) return 1;
  getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  std::printf("%u\n", ntohs(at.sin_port));
  std::fflush(stdout);
  static char buffer[64 * 1024];
  while (true) {
    const int peer = accept(listener, nullptr, nullptr);
    if (peer < 0) return 1;
    const int on = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ssize_t got;
    while ((got = recv(peer, buffer, sizeof buffer, 0)) > 0)
      if (send(peer, buffer, static_cast<size_t>(got), MSG_NOSIGNAL) != got) break;
    close(peer);
  }
}
