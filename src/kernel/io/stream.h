// Streams of bytes between programs: TCP, Unix sockets, TLS over any stream, and what the simulation makes. One stream
// belongs to one shard. At most one read and one write may be pending at a time; both may be pending together.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::io {

class File;

// "127.0.0.1:80", "[::1]:80" or "unix:/path". Host names are not resolved here.
struct Endpoint {
  std::string address;  // numeric IPv4 or IPv6, or the path of a Unix socket
  uint16_t port = 0;    // 0: any free one
  bool unix_socket = false;

  static Result<Endpoint> parse(std::string_view text);
  std::string text() const;
  bool loopback() const;
};

struct ByteRange {
  uint64_t offset = 0;
  uint64_t size = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;

  // At least one byte, or kClosed at the regular end. Waits; cancellable.
  virtual Task<Result<size_t>> read_some(MutableBytes into) = 0;
  // All of them, gathered in order. The views must live until it returns. After an error the stream is only good for
  // close.
  virtual Task<Result<void>> write(std::span<const BytesView> parts) = 0;
  Task<Result<void>> write(BytesView part);
  // A range of a file, without passing through user space where the stream and the file allow it.
  virtual Task<Result<void>> send_file(File& file, ByteRange range) = 0;
  // Ends the writing half: the peer reads the end; reading goes on.
  virtual Task<Result<void>> finish() = 0;
  // Ends both halves at once; pending operations end with kClosed. Idempotent.
  virtual void close() = 0;
  // Waits until the peer has closed or reset, without consuming bytes. For noticing that nobody waits for an answer any
  // more.
  virtual Task<Result<void>> peer_gone() = 0;

  virtual const Endpoint& peer() const = 0;
  virtual const Endpoint& local() const = 0;
  virtual bool encrypted() const { return false; }
  // The ALPN protocol of TLS; empty without.
  virtual std::string_view application_protocol() const { return {}; }
};

struct ListenOptions {
  int backlog = 1024;
  bool reuse_port = true;  // one listener a shard on the same port; the kernel spreads connections
};

// Belongs to the shard that made it.
class Listener {
 public:
  virtual ~Listener() = default;
  static Result<std::unique_ptr<Listener>> bind(const Endpoint& endpoint, ListenOptions options = {});
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
  // With the port that was chosen.
  virtual const Endpoint& local() const = 0;
  virtual void close() = 0;
};

Task<Result<std::unique_ptr<Stream>>> connect(const Endpoint& endpoint);

// Certificates, keys and ALPN of one side. Immutable once made; shared by all connections of all shards.
class TlsContext {
 public:
  struct ServerOptions {
    std::string certificate_chain_pem;
    std::string private_key_pem;
    std::vector<std::string> protocols = {"http/1.1"};  // ALPN, by preference
    std::string client_authorities_pem;                 // not empty: a client certificate from these is required
  };
  struct ClientOptions {
    std::string authorities_pem;  // empty: the system's
    bool verify = true;
    std::vector<std::string> protocols;
    std::string certificate_chain_pem, private_key_pem;  // for mutual TLS
  };
  static Result<std::shared_ptr<TlsContext>> server(const ServerOptions& options);
  static Result<std::shared_ptr<TlsContext>> client(const ClientOptions& options);
  virtual ~TlsContext() = default;
};

// A fresh self-signed certificate (ECDSA P-256) for the names and addresses given; PEM. For first starts and tests.
struct Certificate {
  std::string chain_pem, key_pem;
};
Result<Certificate> make_self_signed(std::span<const std::string> names, Duration lifetime);

// Handshakes over a stream and takes it over. TLS 1.2 and 1.3. `host` is sent as SNI and checked against the
// certificate.
Task<Result<std::unique_ptr<Stream>>> tls_accept(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context);
Task<Result<std::unique_ptr<Stream>>> tls_connect(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context,
                                                  std::string host);

}  // namespace polis::io
