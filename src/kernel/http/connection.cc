#include "kernel/http/connection.h"

#include "kernel/http/date.h"

namespace polis::http {
namespace {

// Most requests fit, and an idle connection holds no more.
constexpr size_t kConnectionBufferBytes = 4 * 1024;
// Room behind a head for chunked bodies, so that reading them is not one system call a few bytes.
constexpr size_t kBodyRoom = 8 * 1024;
// Body reads of at least this size go straight into the reader's memory.
constexpr size_t kDirectRead = 4 * 1024;
// Files up to this size are read and sent together with the head: one system call instead of two.
constexpr uint64_t kSmallFile = 64 * 1024;
// A write deadline covers at most this many bytes.
constexpr uint64_t kFileSlice = 1 << 20;
// How long a closing connection listens for a client that still sends, so that the reset does not overtake the answer.
constexpr Duration kLingerTime = std::chrono::seconds(2);
constexpr uint64_t kLingerBytes = 16 << 20;

}  // namespace

Connection::Connection(Server& server, std::unique_ptr<io::Stream> stream)
    : server_(server), stream_(std::move(stream)), parser_(server.options_.limits) {
  next_ = server_.first_;
  if (next_) next_->previous_ = this;
  server_.first_ = this;
}

Connection::~Connection() {
  (previous_ ? previous_->next_ : server_.first_) = next_;
  if (next_) next_->previous_ = previous_;
}

void Connection::drain() {
  if (idle_scope_) idle_scope_->stop(Code::kCancelled);
}

// --- receiving

void Connection::resize_buffer(size_t capacity) {
  auto fresh = std::make_unique_for_overwrite<std::byte[]>(capacity);
  if (end_ != begin_) std::memcpy(fresh.get(), buffer_.get() + begin_, end_ - begin_);
  buffer_ = std::move(fresh);
  capacity_ = capacity;
  unread_ -= begin_;
  end_ -= begin_;
  begin_ = 0;
}

// While a head arrives: nothing is pinned.
void Connection::make_room() {
  if (!buffer_) resize_buffer(kConnectionBufferBytes);
  if (begin_ == end_) {
    begin_ = unread_ = end_ = 0;
  } else if (end_ == capacity_ && begin_ != 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = unread_ = 0;
  }
  // The parser refuses a head before it outgrows this.
  if (end_ == capacity_) resize_buffer(capacity_ * 4);
}

Task<bool> Connection::receive(SteadyTime deadline) {
  io::Scope scope(co_await io::this_scope());
  Deadline::Watch watch(read_deadline_, deadline, scope);
  MutableBytes room(buffer_.get() + end_, capacity_ - end_);
  auto got = co_await stream_->read_some(room).within(scope);
  if (!got) {
    read_end_ = got.error().code();
    co_return false;
  }
  end_ += *got;
  co_return true;
}

Task<Connection::HeadOutcome> Connection::read_head() {
  parser_.reset();
  SteadyTime head_deadline{};
  for (;;) {
    if (begin_ != end_) {
      auto progress = parser_.feed(buffered());
      if (!progress) {
        rejection_ = progress.error();
        co_return HeadOutcome::kRejected;
      }
      if (*progress == h1::Progress::kComplete) co_return HeadOutcome::kComplete;
    }
    const bool idle = begin_ == end_;
    if (idle && server_.draining_) co_return HeadOutcome::kEnd;
    if (idle && capacity_ > kConnectionBufferBytes) {
      buffer_.reset();
      capacity_ = begin_ = unread_ = end_ = 0;
    }
    make_room();
    // A connection that never sent a byte gets the time of a head, a kept one the idle time.
    SteadyTime deadline =
        io::Shard::current().now() + (requests_ ? server_.options_.idle_timeout : server_.options_.head_timeout);
    if (!idle) {
      if (head_deadline == SteadyTime{}) head_deadline = io::Shard::current().now() + server_.options_.head_timeout;
      deadline = head_deadline;
    }
    io::Scope scope(co_await io::this_scope());
    Deadline::Watch watch(read_deadline_, deadline, scope);
    if (idle) idle_scope_ = &scope;
    auto got = co_await stream_->read_some({buffer_.get() + end_, capacity_ - end_}).within(scope);
    idle_scope_ = nullptr;
    if (!got) {
      if (got.error().code() != Code::kTimeout || idle) co_return HeadOutcome::kEnd;
      rejection_ = {408, "the head of the request did not arrive in time", "RFC 9110 15.5.9", end_ - begin_};
      co_return HeadOutcome::kRejected;
    }
    end_ += *got;
  }
}

void Connection::begin_exchange() {
  const RequestHead& head = parser_.head();
  const size_t head_size = parser_.head_size_bytes();
  unread_ = begin_ + head_size;
  if (head.framing == Framing::kChunked && capacity_ - unread_ < kBodyRoom) {
    resize_buffer(head_size + (end_ - unread_) + kBodyRoom);
    parser_.rebase(buffered());
  }
  ++requests_;
  ++server_.statistics_.requests;
  have_head_ = true;
  head_only_ = head.method == Method::kHead;
  keep_alive_ = head.keep_alive;
  body_remaining_ = head.framing == Framing::kLength ? head.content_length : 0;
  body_received_ = 0;
  body_waited_ = {};
  body_done_ = head.framing == Framing::kNone;
  body_error_.reset();
  continue_pending_ = head.expect_continue && !body_done_;
  if (head.framing == Framing::kChunked) {
    if (chunks_) {
      chunks_->reset();
    } else {
      chunks_ = std::make_unique<h1::ChunkDecoder>();
    }
  }
  sent_bytes_ = 0;
  if (server_.options_.tracer) {
    span_ = server_.options_.tracer->start_request(head.fields.get(Field::kTraceparent).value_or(""), head.method_text);
    // Not the query: a pre-signed URL's is a credential.
    span_.attribute("target", head.path);
  }
  request_.begin(*this, head, server_.options_.body_size_bytes_max, span_.context());
  response_.begin(*this);
  exchange_began_ = io::Shard::current().clock().steady();
}

// Content-Length: 0 with Expect: 100-continue leaves nothing to wait for, and the 100 may be left out (RFC 9110
// §10.1.1). But then botocore up to 1.29 takes the final answer's status line for that of every later request of the
// connection, and hangs.
Task<void> Connection::continue_without_body() {
  if (!parser_.head().expect_continue || parser_.head().framing == Framing::kChunked || body_remaining_ > 0) co_return;
  continue_pending_ = false;
  const BytesView interim[] = {as_bytes("HTTP/1.1 100 Continue\r\n\r\n")};
  (void)co_await send_parts(interim);  // a failure shows again when the response is sent
}

std::unexpected<Error> Connection::body_failed(Code code, std::string message) {
  body_error_.emplace(code, std::move(message));
  keep_alive_ = false;
  return fail(*body_error_);
}

Task<Result<size_t>> Connection::receive_body(MutableBytes into) {
  const ServerOptions& options = server_.options_;
  const SteadyTime before = io::Shard::current().now();
  Duration allowed = options.body_grace - body_waited_;
  if (options.body_rate_min_bytes_s) {
    allowed += std::chrono::nanoseconds(body_received_ * 1'000'000'000 / options.body_rate_min_bytes_s);
  }
  io::Scope scope(co_await io::this_scope());
  Deadline::Watch watch(read_deadline_, before + allowed, scope);
  auto got = co_await stream_->read_some(into).within(scope);
  body_waited_ += io::Shard::current().now() - before;
  if (got) co_return *got;
  Code code = got.error().code();
  switch (code) {
    case Code::kClosed:
      co_return body_failed(code, "the client closed the connection inside the request's body");
    case Code::kTimeout:
      co_return body_failed(code, "the request's body arrives too slowly");
    default:
      co_return body_failed(code, got.error().message());
  }
}

Task<Result<size_t>> Connection::read_body(MutableBytes into) {
  if (body_error_) co_return fail(*body_error_);
  if (body_done_ || into.empty()) co_return 0;
  const bool sized = parser_.head().framing == Framing::kLength;
  if (sized && body_received_ + body_remaining_ > request_.body_size_bytes_max()) {
    co_return body_failed(Code::kTooLarge,
                          "the body may have at most " + std::to_string(request_.body_size_bytes_max()) + " bytes");
  }
  if (continue_pending_) {
    continue_pending_ = false;
    // Not asked for any more once the client sends, or has its final answer.
    if (unread().empty() && !response_.started()) {
      const BytesView interim[] = {as_bytes("HTTP/1.1 100 Continue\r\n\r\n")};
      CO_TRY(co_await send_parts(interim));
    }
  }
  co_return co_await (sized ? read_sized_body(into) : read_chunked_body(into));
}

Task<Result<size_t>> Connection::read_sized_body(MutableBytes into) {
  if (into.size() > body_remaining_) into = into.first(static_cast<size_t>(body_remaining_));
  size_t got = 0;
  if (unread().empty()) {
    // Never beyond the body, so nothing of a next request goes astray.
    got = CO_TRY(co_await receive_body(into));
  } else {
    got = std::min(into.size(), unread().size());
    std::memcpy(into.data(), unread().data(), got);
    unread_ += got;
  }
  body_remaining_ -= got;
  body_received_ += got;
  body_done_ = body_remaining_ == 0;
  co_return got;
}

Task<Result<size_t>> Connection::read_chunked_body(MutableBytes into) {
  for (;;) {
    if (unread().empty()) {
      unread_ = end_ = begin_ + parser_.head_size_bytes();
      const uint64_t in_chunk = chunks_->chunk_remaining_bytes();
      if (in_chunk != 0 && into.size() >= kDirectRead) {
        MutableBytes direct = into.first(static_cast<size_t>(std::min<uint64_t>(into.size(), in_chunk)));
        size_t got = CO_TRY(co_await receive_body(direct));
        chunks_->skip(got);
        body_received_ += got;
        if (body_received_ > request_.body_size_bytes_max()) {
          co_return body_failed(Code::kTooLarge, "the body may have at most " +
                                                     std::to_string(request_.body_size_bytes_max()) + " bytes");
        }
        co_return got;
      }
      end_ += CO_TRY(co_await receive_body({buffer_.get() + end_, capacity_ - end_}));
    }
    BytesView input = unread();
    auto step = chunks_->feed(input.first(std::min(input.size(), into.size())));
    if (!step)
      co_return body_failed(Code::kInvalid, "the chunked body is malformed: " + std::string(step.error().rule));
    unread_ += step->consumed;
    if (step->done) {
      body_done_ = true;
      co_return 0;
    }
    if (step->data.empty()) continue;
    body_received_ += step->data.size();
    if (body_received_ > request_.body_size_bytes_max()) {
      co_return body_failed(Code::kTooLarge,
                            "the body may have at most " + std::to_string(request_.body_size_bytes_max()) + " bytes");
    }
    std::memcpy(into.data(), step->data.data(), step->data.size());
    co_return step->data.size();
  }
}

const Fields& Connection::request_trailers() const {
  static const Fields none;
  return chunks_ && body_done_ && parser_.head().framing == Framing::kChunked ? chunks_->trailers() : none;
}

// --- sending

bool Connection::worth_draining() const {
  if (body_done_) return true;
  if (body_error_ || continue_pending_) return false;
  if (parser_.head().framing == Framing::kChunked) return true;  // tried, up to the limit
  return body_remaining_ <= server_.options_.drain_size_bytes_max + unread().size();
}

void Connection::compose_head(uint64_t body_size_bytes, bool last) {
  const int status = response_.status();
  const bool one_zero = have_head_ && parser_.head().version_minor == 0;
  const bool bodiless = status == 204 || status == 304;
  std::optional<uint64_t> length;
  if (bodiless) {
    out_framing_ = Framing::kNone;
    if (status == 304) length = response_.content_length();
  } else if (last) {
    out_framing_ = Framing::kLength;
    length = head_only_ && body_size_bytes == 0 ? response_.content_length().value_or(0) : body_size_bytes;
  } else if (response_.content_length()) {
    out_framing_ = Framing::kLength;
    length = response_.content_length();
  } else if (one_zero) {
    out_framing_ = Framing::kUntilClose;
    keep_alive_ = false;
  } else {
    out_framing_ = Framing::kChunked;
  }
  out_remaining_ = length.value_or(0);
  const uint64_t most = server_.options_.requests_per_connection_max;
  // A handler that streams may still read the rest of the request; what it left is judged at the end.
  const bool leaves_too_much = last && !worth_draining();
  if (server_.draining_ || response_.close_asked() || leaves_too_much || (most && requests_ >= most))
    keep_alive_ = false;

  out_.clear();
  h1::append_status_line(out_, status);
  if (!response_.has(Field::kDate)) {
    h1::append_field(out_, "Date", cached_date(io::Shard::current().clock().wall()));
  }
  if (!response_.has(Field::kServer) && !server_.options_.name.empty()) {
    h1::append_field(out_, "Server", server_.options_.name);
  }
  out_.append(response_.lines());
  if (length) h1::append_field(out_, "Content-Length", *length);
  if (out_framing_ == Framing::kChunked) out_.append("Transfer-Encoding: chunked\r\n");
  if (!keep_alive_) {
    out_.append("Connection: close\r\n");
  } else if (one_zero) {
    out_.append("Connection: keep-alive\r\n");
  }
  out_.append("\r\n");
}

Task<Result<void>> Connection::send_parts(std::span<const BytesView> parts) {
  if (failed_) co_return fail(Code::kClosed, "the connection is closed");
  io::Scope scope(co_await io::this_scope());
  Deadline::Watch watch(write_deadline_, io::Shard::current().now() + server_.options_.write_timeout, scope);
  auto written = co_await stream_->write(parts).within(scope);
  if (!written) {
    failed_ = true;
    co_return fail(std::move(written).error());
  }
  for (BytesView part : parts) sent_bytes_ += part.size();
  co_return {};
}

Task<Result<void>> Connection::write_response(BytesView body, bool last) {
  if (response_.finished()) co_return fail(Code::kInvalid, "the response is finished already");
  if (failed_) co_return fail(Code::kClosed, "the connection is closed");
  if (!response_.started() && response_.broken()) {
    response_.clear_broken();
    auto sent = co_await write_error(500, "the response had a field that cannot be sent");
    if (!sent) co_return sent;
    co_return fail(Code::kInvalid, "a field of the response held a control character or its name was no token");
  }

  out_.clear();
  if (!response_.started()) {
    compose_head(body.size(), last);
    response_.mark_started();
  }
  std::string_view tail;
  std::string trailers;
  if (head_only_ || out_framing_ == Framing::kNone) {
    body = {};
  } else if (out_framing_ == Framing::kLength) {
    if (body.size() > out_remaining_) {
      failed_ = true;  // the length is already announced: only cutting the connection tells the client
      co_return fail(Code::kOutOfRange, "the body is longer than its Content-Length");
    }
    out_remaining_ -= body.size();
    if (last && out_remaining_ != 0) {
      failed_ = true;
      co_return fail(Code::kInvalid, "the body is shorter than its Content-Length");
    }
  } else if (out_framing_ == Framing::kChunked) {
    if (!body.empty()) h1::append_chunk_head(out_, body.size());
    if (!body.empty()) tail = "\r\n";
    if (last) {
      trailers.append(tail).append("0\r\n").append(response_.trailer_lines()).append("\r\n");
      tail = trailers;
    }
  }
  if (last) response_.mark_finished();
  const BytesView all[] = {as_bytes(out_), body, as_bytes(tail)};
  BytesView parts[3];
  size_t count = 0;
  for (BytesView part : all) {
    if (!part.empty()) parts[count++] = part;
  }
  if (count == 0) co_return Result<void>{};
  co_return co_await send_parts({parts, count});
}

Task<Result<void>> Connection::write_file(io::File& file, io::ByteRange range) {
  if (response_.started()) co_return fail(Code::kInvalid, "a file must be the whole body");
  response_.content_length(range.size);
  if (head_only_ || response_.status() == 204 || response_.status() == 304) co_return co_await write_response({}, true);
  if (range.size <= kSmallFile) {
    Bytes content(static_cast<size_t>(range.size));
    size_t got = CO_TRY(co_await file.read_at(range.offset, content));
    if (got != content.size()) co_return fail(Code::kCorrupt, "file '" + file.path() + "' is shorter than it was");
    co_return co_await write_response(content, true);
  }
  CO_TRY(co_await write_response({}, false));
  while (range.size != 0) {
    io::ByteRange slice{range.offset, std::min(range.size, kFileSlice)};
    io::Scope scope(co_await io::this_scope());
    Deadline::Watch watch(write_deadline_, io::Shard::current().now() + server_.options_.write_timeout, scope);
    auto sent = co_await stream_->send_file(file, slice).within(scope);
    if (!sent) {
      failed_ = true;
      co_return fail(std::move(sent).error());
    }
    range.offset += slice.size;
    range.size -= slice.size;
    out_remaining_ -= slice.size;
    sent_bytes_ += slice.size;
  }
  response_.mark_finished();
  co_return Result<void>{};
}

Task<Result<void>> Connection::write_error(int status, std::string detail) {
  if (response_.started()) {
    failed_ = true;
    co_return fail(Code::kClosed, "the response had begun before its error");
  }
  // A slow client is the client's timeout, not one of a server behind this one.
  if (status == 504 && body_error_ && body_error_->code() == Code::kTimeout) status = 408;
  response_.clear_body_fields(status);
  response_.status(status);
  Problem problem{status, detail, {}, have_head_ ? &parser_.head() : nullptr};
  ErrorDocument document =
      server_.options_.error_renderer ? server_.options_.error_renderer(problem) : problem_json(problem);
  response_.set(Field::kContentType, document.content_type);
  co_return co_await write_response(as_bytes(document.body), true);
}

Task<Result<Upgraded>> Connection::switch_protocols() {
  if (response_.started()) co_return fail(Code::kInvalid, "the response had begun before the upgrade");
  if (!have_head_ || parser_.head().version_minor == 0) co_return fail(Code::kInvalid, "HTTP/1.0 has no upgrade");
  if (response_.broken()) co_return fail(Code::kInvalid, "a field of the response cannot be sent");
  // A body would stand between the request and the new protocol.
  if (!body_done_) co_return fail(Code::kInvalid, "a request with a body cannot upgrade");
  response_.mark_started();
  response_.mark_finished();
  upgraded_ = true;
  out_.clear();
  h1::append_status_line(out_, 101);
  out_.append(response_.lines()).append("Connection: Upgrade\r\n\r\n");
  const BytesView parts[] = {as_bytes(out_)};
  CO_TRY(co_await send_parts(parts));
  co_return Upgraded{stream_.get(), unread(), &idle_scope_, &server_.draining_};
}

Task<void> Connection::reject(h1::Rejection rejection) {
  ++server_.statistics_.rejected;
  have_head_ = head_only_ = keep_alive_ = false;
  body_done_ = false;
  body_error_.emplace(Code::kInvalid, "no request");  // nothing behind this can be understood
  unread_ = begin_;
  sent_bytes_ = 0;
  exchange_began_ = io::Shard::current().clock().steady();
  response_.begin(*this);
  response_.status(rejection.status);
  std::string detail(rejection.rule);
  Problem problem{rejection.status, detail, rejection.clause, nullptr};
  ErrorDocument document =
      server_.options_.error_renderer ? server_.options_.error_renderer(problem) : problem_json(problem);
  response_.set(Field::kContentType, document.content_type);
  auto sent = co_await write_response(as_bytes(document.body), true);
  if (!sent) failed_ = true;
}

Task<void> Connection::conclude_response() {
  if (response_.finished()) co_return;
  if (response_.started()) {
    failed_ = true;  // cut short: the client must not take it for whole
    co_return;
  }
  // The failure is the connection's; serve() closes it.
  if (response_.status_set()) {
    auto sent = co_await write_response({}, true);
    (void)sent;
  } else if (body_error_) {
    auto sent = co_await write_error(status_of(body_error_->code()), body_error_->message());
    (void)sent;
  } else {
    auto sent = co_await write_error(500, "the server gave no answer");
    (void)sent;
  }
}

Task<bool> Connection::drain_body() {
  if (body_done_) co_return true;
  if (!worth_draining()) co_return false;
  request_.limit_body(body_received_ + body_remaining_ + server_.options_.drain_size_bytes_max + unread().size());
  auto scratch = std::make_unique_for_overwrite<std::byte[]>(16 * 1024);
  while (!body_done_) {
    auto got = co_await read_body({scratch.get(), 16 * 1024});
    if (!got) co_return false;
  }
  co_return true;
}

Task<void> Connection::linger() {
  // TLS tells its end to the client; then whatever still comes is read and dropped, for a bounded time and amount.
  if (!co_await stream_->finish()) co_return;
  if (body_done_ && unread().empty()) co_return;
  const SteadyTime deadline = io::Shard::current().now() + kLingerTime;
  auto scratch = std::make_unique_for_overwrite<std::byte[]>(16 * 1024);
  io::Scope scope(co_await io::this_scope());
  Deadline::Watch watch(read_deadline_, deadline, scope);
  for (uint64_t dropped = 0; dropped < kLingerBytes;) {
    auto got = co_await stream_->read_some({scratch.get(), 16 * 1024}).within(scope);
    if (!got) co_return;
    dropped += *got;
  }
}

void Connection::record_access() {
  const int status = upgraded_ ? 101 : response_.status();
  const uint64_t received_bytes = have_head_ ? body_received_ : 0;
  if (span_.recording()) span_.attribute("status", status);
  const obs::TraceId trace = span_.context().trace;
  span_ = {};
  if (!server_.metrics_ && !server_.options_.on_access) return;
  const Duration duration = io::Shard::current().clock().steady() - exchange_began_;
  if (server_.metrics_) {
    const ServerMetrics& metrics = *server_.metrics_;
    metrics.requests_by_class[static_cast<size_t>(status / 100 <= 5 ? status / 100 : 5)]->add();
    metrics.received_bytes->add(received_bytes);
    metrics.sent_bytes->add(sent_bytes_);
    // An upgraded connection lives as long as its user: no latency.
    if (!upgraded_) metrics.seconds->observe(duration);
  }
  if (!server_.options_.on_access) return;
  AccessRecord record;
  record.request = have_head_ ? &parser_.head() : nullptr;
  record.peer = &stream_->peer();
  record.status = status;
  record.received_bytes = received_bytes;
  record.sent_bytes = sent_bytes_;
  record.duration = duration;
  record.trace = trace;
  record.encrypted = stream_->encrypted();
  server_.options_.on_access(record);
}

Task<void> Connection::serve() {
  for (;;) {
    HeadOutcome outcome = co_await read_head();
    if (outcome == HeadOutcome::kEnd) break;
    if (outcome == HeadOutcome::kRejected) {
      co_await reject(rejection_);
      record_access();
      if (!failed_) co_await linger();
      break;
    }
    begin_exchange();
    co_await continue_without_body();
    co_await server_.handler_(request_, response_);
    co_await conclude_response();
    record_access();
    if (failed_ || upgraded_) break;
    if (!keep_alive_ || !co_await drain_body()) {
      co_await linger();
      break;
    }
    begin_ = unread_;
    have_head_ = false;
  }
  stream_->close();
}

}  // namespace polis::http
