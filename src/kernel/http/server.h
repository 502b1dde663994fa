// Server: accepts connections on one shard and answers their requests through one Handler. A process that listens on a
// port has one Server a shard, on the same port (SO_REUSEPORT); ServerSet makes them. A Router is a Handler; a protocol
// with routing of its own (S3) passes its own Handler and gets every request of the listener, targets and fields
// untouched.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/http/h1.h"
#include "kernel/http/router.h"
#include "kernel/io/shard.h"
#include "kernel/io/stream.h"
#include "kernel/obs/metrics.h"
#include "kernel/obs/trace.h"

namespace polis::http {

// What went wrong with a request, for the error document.
struct Problem {
  int status = 500;
  std::string_view detail;               // for a person; may be empty
  std::string_view clause;               // of the standard, where the request broke one
  const RequestHead* request = nullptr;  // null if there is no complete head
};
struct ErrorDocument {
  std::string content_type;
  std::string body;
};
// Makes the error documents of a server. Default: application/problem+json (RFC 9457).
using ErrorRenderer = std::function<ErrorDocument(const Problem&)>;
ErrorDocument problem_json(const Problem& problem);

// One answered request, for access logs and metrics. Views live during the call.
struct AccessRecord {
  const RequestHead* request = nullptr;  // null if no head could be parsed
  const io::Endpoint* peer = nullptr;
  int status = 0;
  uint64_t received_bytes = 0;  // of the body
  uint64_t sent_bytes = 0;      // head and body
  Duration duration{};          // from the end of the request's head to the end of the response
  obs::TraceId trace;           // not valid without a tracer
  bool encrypted = false;
};

struct ServerOptions {
  h1::Limits limits;
  std::string name = "polis";                        // Server field; empty: none
  uint64_t body_size_bytes_max = 1 << 20;            // 413 beyond, unless the route or handler says otherwise
  Duration head_timeout = std::chrono::seconds(10);  // 408
  Duration idle_timeout = std::chrono::seconds(75);  // silent close
  Duration body_grace = std::chrono::seconds(5);     // then the body must come at body_rate_min, or 408
  uint64_t body_rate_min_bytes_s = 240;
  Duration write_timeout = std::chrono::seconds(120);  // for the client to take 1 MiB, or less
  uint64_t drain_size_bytes_max = 256 * 1024;  // of a body the handler did not read; beyond, the connection closes
  size_t connections_max = 20'000;             // a shard; 503 beyond
  uint64_t requests_per_connection_max = 0;    // 0: no limit
  ErrorRenderer error_renderer;                // empty: problem_json
  std::function<void(const AccessRecord&)> on_access;  // on the connection's shard; must not block
  // Counters and a latency histogram named polis_http_*, with the label listener="..."; null: none.
  obs::Registry* metrics = nullptr;
  std::string listener = "main";
  // A span a request, continuing the client's traceparent; handlers find its context in Request::trace(). Null: none.
  obs::Tracer* tracer = nullptr;
};

struct ServerStatistics {
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // over the limit
  uint64_t requests = 0;
  uint64_t rejected = 0;  // heads that could not be parsed
  size_t connections_open = 0;
};

// What a server counts into its registry.
struct ServerMetrics {
  std::array<obs::Counter*, 6> requests_by_class{};  // by the first digit of the status
  obs::Counter* connections = nullptr;
  obs::Counter* received_bytes = nullptr;
  obs::Counter* sent_bytes = nullptr;
  obs::BucketHistogram* seconds = nullptr;
};

class Connection;

// Belongs to the shard that made it.
class Server {
 public:
  Server(Handler handler, ServerOptions options);
  // Drained before.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and begins to accept; several endpoints are fine. With a context the listener speaks TLS.
  Result<io::Endpoint> listen(const io::Endpoint& endpoint, std::shared_ptr<io::TlsContext> tls = nullptr);
  // Serves one stream that was accepted elsewhere (simulation, a port that speaks several protocols).
  void serve(std::unique_ptr<io::Stream> stream);

  // Stops accepting, closes idle connections, lets running requests finish within `grace`, then cancels them. Returns
  // when all ended.
  Task<void> drain(Duration grace = std::chrono::seconds(5));

  ServerStatistics statistics() const;

 private:
  friend class Connection;
  Task<void> accept_from(io::Listener& listener, std::shared_ptr<io::TlsContext> tls);
  Task<void> run(std::unique_ptr<io::Stream> stream, std::shared_ptr<io::TlsContext> tls);
  Task<void> refuse(std::unique_ptr<io::Stream> stream);

  Handler handler_;
  ServerOptions options_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  io::TaskGroup accepting_;
  io::TaskGroup serving_;
  io::Event all_closed_;
  bool draining_ = false;
  Connection* first_ = nullptr;  // open connections
  size_t refusing_ = 0;
  ServerStatistics statistics_;
  std::optional<ServerMetrics> metrics_;
};

// The servers of all shards of a runtime, behaving as one. Made and drained from a coroutine on any shard.
class ServerSet {
 public:
  ServerSet(io::Runtime& runtime, Handler handler, ServerOptions options);
  ~ServerSet();

  // Binds the endpoint on every shard (a port of 0 is chosen once) and answers with the port. A Unix socket is bound on
  // shard 0 alone.
  Task<Result<io::Endpoint>> listen(io::Endpoint endpoint, std::shared_ptr<io::TlsContext> tls = nullptr);
  Task<void> drain(Duration grace = std::chrono::seconds(5));
  // Summed over the shards.
  Task<ServerStatistics> statistics();

 private:
  Task<void> drain_one(unsigned index, Duration grace);

  io::Runtime& runtime_;
  Handler handler_;
  ServerOptions options_;
  std::vector<std::unique_ptr<Server>> servers_;  // by shard, touched there only
};

}  // namespace polis::http
