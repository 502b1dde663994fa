// Request: what a handler is asked. Lives from the end of its head until the handler returns, on the connection's
// shard; all views point into the connection's buffer and live as long.
#pragma once

#include <any>
#include <array>
#include <optional>
#include <string>

#include "kernel/http/exchange.h"
#include "kernel/obs/trace.h"

namespace polis::http {

class Request {
 public:
  const RequestHead& head() const { return *head_; }
  Method method() const { return head_->method; }
  std::string_view method_text() const { return head_->method_text; }
  // Exactly as sent, nothing decoded: what signatures are made over.
  std::string_view target() const { return head_->target; }
  std::string_view path() const { return head_->path; }            // raw
  std::string_view query() const { return head_->query; }          // raw, without '?'
  std::string_view authority() const { return head_->authority; }  // Host
  // All lines in order, repeated ones included.
  const Fields& fields() const { return head_->fields; }
  std::optional<std::string_view> field(Field id) const { return head_->fields.get(id); }
  std::optional<std::string_view> field(std::string_view name) const { return head_->fields.get(name); }

  // A `{name}` of the route's pattern, percent-decoded; "" if the pattern has none of that name.
  std::string_view param(std::string_view name) const;
  // The first query parameter of that name, decoded; empty if absent; kInvalid for broken percent-encoding.
  Result<std::optional<std::string>> query_value(std::string_view name) const;

  // --- body

  bool has_body() const { return head_->framing != Framing::kNone; }
  // Empty for a chunked body.
  std::optional<uint64_t> content_length() const;
  // The next body bytes; 0 at its end. Waits for the client, and asks it to send if it waits for 100-continue. Errors:
  // kTooLarge beyond the limit, kTimeout for a client slower than the server's least rate, kClosed if it goes away in
  // the middle, kInvalid for broken chunks. After an error only the response remains, and the connection closes behind
  // it.
  Task<Result<size_t>> read(MutableBytes into) { return exchange_->read_body(into); }
  // The whole body, in memory. kTooLarge beyond `size_bytes_max` or the request's limit.
  Task<Result<Bytes>> read_all(uint64_t size_bytes_max);
  // Raises or lowers the limit on this body, before reading. The server's default stands otherwise. Behind a Router an
  // announced length is judged before the handler runs: a larger limit belongs into RouteOptions there.
  void limit_body(uint64_t size_bytes_max) { body_size_bytes_max_ = size_bytes_max; }
  uint64_t body_size_bytes_max() const { return body_size_bytes_max_; }
  // After read() answered 0.
  const Fields& trailers() const { return exchange_->request_trailers(); }

  // --- where it came from

  const io::Endpoint& peer() const { return exchange_->stream().peer(); }
  const io::Endpoint& local() const { return exchange_->stream().local(); }
  bool encrypted() const { return exchange_->stream().encrypted(); }
  // Returns when the client has gone: for work that nobody would wait for. Cancellable.
  Task<Result<void>> peer_gone() { return exchange_->peer_gone(); }

  // For spans of work done for this request; without a trace if the server has no tracer.
  const obs::TraceContext& trace() const { return trace_; }

  // What layers above attach, such as who is asking.
  std::any context;

  // --- for the router and the carrier

  void begin(Exchange& exchange, const RequestHead& head, uint64_t body_size_bytes_max, const obs::TraceContext& trace);
  // kInvalid if the value's percent-encoding is broken. `name` must outlive the request.
  Result<void> add_param(std::string_view name, std::string_view raw_value);
  void add_raw_param(std::string_view name, std::string_view value);
  void drop_params(size_t keep) { param_count_ = keep; }
  size_t param_count() const { return param_count_; }

 private:
  static constexpr size_t kParamsMax = 8;
  struct Param {
    std::string_view name;
    std::string_view raw;
    std::string decoded;  // only if it differs from raw
  };

  Exchange* exchange_ = nullptr;
  const RequestHead* head_ = nullptr;
  uint64_t body_size_bytes_max_ = 0;
  obs::TraceContext trace_;
  size_t param_count_ = 0;
  std::array<Param, kParamsMax> params_;
};

}  // namespace polis::http
