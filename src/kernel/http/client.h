// Client: requests to HTTP/1.1 servers over TCP, TLS and Unix sockets, with connections kept and reused per authority.
// Belongs to the shard that made it. Redirects are answers like any other. Nothing is retried but an idempotent request
// without a BodySource whose kept connection turned out to be closed. A body goes out before the response is read; a
// server that refuses it early and closes is heard all the same.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/http/h1.h"
#include "kernel/http/uri.h"
#include "kernel/io/shard.h"
#include "kernel/io/stream.h"

namespace polis::http {

// A body that is pulled while it is sent.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // The next bytes; 0 at the end.
  virtual Task<Result<size_t>> read(MutableBytes into) = 0;
  // Empty: sent chunked.
  virtual std::optional<uint64_t> size_bytes() const { return std::nullopt; }
};

struct ClientRequest {
  std::string method = "GET";
  Url url;
  // Host, Content-Length, Transfer-Encoding and Connection are the client's own; a Host given here replaces its.
  std::vector<std::pair<std::string, std::string>> fields;
  BytesView body;                // lives until send() returns
  BodySource* source = nullptr;  // instead of `body`
  bool expect_continue = false;  // ask before sending `source`
  // From the call until the head of the response, connecting included. The body of the response has `idle_timeout` per
  // read.
  Duration timeout = std::chrono::seconds(30);
};

struct ClientOptions {
  h1::Limits limits;
  std::shared_ptr<io::TlsContext> tls;                  // for https; without it https is refused
  Duration connect_timeout = std::chrono::seconds(10);  // an address, handshake included
  Duration idle_timeout = std::chrono::seconds(60);     // for the next bytes of a response's body
  size_t kept_per_authority_max = 32;
  Duration kept_for = std::chrono::seconds(30);  // less than what servers usually keep, or reuse would often fail
  size_t kept_max = 256;                         // in all
  std::string user_agent = "polis";
};

class Client;
namespace detail {
struct ClientConnection;
}

// A response whose body is still to be read. Destroyed before the body's end it closes its connection. Must not outlive
// the Client.
class ClientResponse {
 public:
  ClientResponse(ClientResponse&&) noexcept;
  ClientResponse& operator=(ClientResponse&&) noexcept;
  ~ClientResponse();

  int status() const { return head().status; }
  const ResponseHead& head() const;
  const Fields& fields() const { return head().fields; }
  std::optional<std::string_view> field(Field id) const { return head().fields.get(id); }
  std::optional<std::string_view> field(std::string_view name) const { return head().fields.get(name); }
  // Empty when only the body's end tells.
  std::optional<uint64_t> content_length() const;

  // The next bytes of the body; 0 at its end. kCorrupt if the server ends it early, kTimeout if it stalls.
  Task<Result<size_t>> read(MutableBytes into);
  // kTooLarge beyond the limit.
  Task<Result<Bytes>> read_all(uint64_t size_bytes_max);
  // After read() answered 0.
  const Fields& trailers() const;

 private:
  friend class Client;
  ClientResponse(Client& client, std::unique_ptr<detail::ClientConnection> connection);
  void release();
  Client* client_;
  std::unique_ptr<detail::ClientConnection> connection_;
};

class Client {
 public:
  explicit Client(ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // kInvalid for a request that cannot be written, kUnavailable if nobody answers at the address, kTimeout, kCorrupt
  // for a response that breaks HTTP. Any status is a success.
  Task<Result<ClientResponse>> send(ClientRequest request);
  // Without a body.
  Task<Result<ClientResponse>> get(std::string_view url);

  size_t kept() const { return kept_count_; }

 private:
  friend class ClientResponse;
  using Connection = detail::ClientConnection;
  Task<Result<ClientResponse>> send_within(ClientRequest& request);
  Task<Result<std::unique_ptr<Connection>>> connect(const Url& url);
  Task<Result<void>> exchange(Connection& connection, const ClientRequest& request);
  Task<Result<void>> send_body(Connection& connection, const ClientRequest& request);
  Task<Result<void>> read_head(Connection& connection, bool interim_allowed);
  std::unique_ptr<Connection> take_kept(const std::string& key);
  void keep(std::unique_ptr<Connection> connection);

  ClientOptions options_;
  std::map<std::string, std::vector<std::unique_ptr<Connection>>> kept_;
  size_t kept_count_ = 0;
};

// Numeric addresses of a host name, through the machine's resolver, on the blocking pool. "localhost" needs no
// resolver.
Task<Result<std::vector<io::Endpoint>>> resolve(std::string host, uint16_t port);

}  // namespace polis::http
