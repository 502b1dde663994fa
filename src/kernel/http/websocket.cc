#include "kernel/http/websocket.h"

#include "kernel/base/text_encoding.h"

namespace polis::http {
namespace {

constexpr size_t kReceiveSize = 4 * 1024;
// For the peer's half of the closing handshake.
constexpr Duration kCloseTimeout = std::chrono::seconds(2);

// Why a request is no handshake (RFC 6455 §4.2.1); empty if it is one.
std::string_view handshake_fault(const Request& request) {
  const Fields& fields = request.fields();
  if (request.method() != Method::kGet || request.head().version_minor == 0)
    return "a WebSocket begins with GET in HTTP/1.1";
  if (!request.head().upgrade || !fields.lists(Field::kUpgrade, "websocket"))
    return "the request does not ask to upgrade to websocket";
  auto version = fields.get(Field::kSecWebSocketVersion);
  if (!version || *version != "13") return "Sec-WebSocket-Version must be 13";
  auto key = fields.get(Field::kSecWebSocketKey);
  if (!key || fields.count(Field::kSecWebSocketKey) != 1) return "Sec-WebSocket-Key must stand once";
  auto nonce = base::base64_decode(*key);
  if (!nonce || nonce->size() != 16) return "Sec-WebSocket-Key must be 16 bytes in base64";
  return {};
}

}  // namespace

WebSocket::WebSocket(io::Stream& stream, Upgraded upgraded, const WebSocketOptions& options)
    : stream_(stream),
      drain_scope_(upgraded.drain_scope),
      draining_(upgraded.draining),
      options_(options),
      decoder_(ws::Role::kServer, options.message_size_bytes_max),
      buffer_(std::max(kReceiveSize, upgraded.received.size())) {
  std::copy(upgraded.received.begin(), upgraded.received.end(), buffer_.begin());
  end_ = upgraded.received.size();
  empty_.set();
}

Result<void> WebSocket::post(ws::Opcode opcode, BytesView payload) {
  if (close_posted_ || broken_) return fail(Code::kClosed, "the WebSocket is closed");
  if (queued_size_bytes() + payload.size() > options_.queue_size_bytes_max) {
    return fail(Code::kBusy, "the WebSocket's queue is full: its client reads too slowly");
  }
  ws::append_frame(queue_, opcode, payload);
  empty_.reset();
  wake_.set();
  return {};
}

Result<void> WebSocket::post_text(std::string_view text) {
  return post(ws::Opcode::kText, as_bytes(text));
}
Result<void> WebSocket::post_binary(BytesView payload) {
  return post(ws::Opcode::kBinary, payload);
}

void WebSocket::close(uint16_t code, std::string_view reason) {
  if (close_posted_ || broken_) return;
  ws::append_close(queue_, code, reason);
  close_posted_ = true;
  empty_.reset();
  wake_.set();
}

Task<Result<void>> WebSocket::drained() {
  CO_TRY(co_await empty_.wait());
  if (broken_) co_return fail(Code::kClosed, "the WebSocket is closed");
  co_return Result<void>{};
}

// Runs beside the handler; takes everything that is queued with one write.
Task<void> WebSocket::write_queue() {
  for (;;) {
    if (queue_.empty()) {
      empty_.set();
      if (close_posted_) co_return;
      wake_.reset();
      if (!co_await wake_.wait()) break;
      continue;
    }
    sending_.swap(queue_);
    auto written = co_await io::with_timeout<Result<void>>(options_.write_timeout, stream_.write(as_bytes(sending_)));
    sending_.clear();
    // A burst should not hold its memory for as long as the socket lives.
    if (sending_.capacity() > 64 * 1024) sending_.shrink_to_fit();
    if (!written) break;
  }
  // The peer takes nothing any more: a reader must hear of it.
  broken_ = true;
  queue_.clear();
  empty_.set();
  stream_.close();
}

Task<Result<WebSocket::Message>> WebSocket::receive() {
  Duration silence{};
  for (;;) {
    while (begin_ != end_) {
      auto step = decoder_.feed(BytesView(buffer_).subspan(begin_, end_ - begin_));
      if (!step) {
        close(step.error().close_code, step.error().rule);
        begin_ = end_ = 0;
        peer_closed_ = true;  // nothing it sends can be understood any more, its close frame included
        co_return fail(Code::kClosed, "the peer broke the WebSocket protocol: " + std::string(step.error().rule));
      }
      begin_ += step->consumed;
      if (!step->message) continue;
      const ws::Message& message = *step->message;
      switch (message.opcode) {
        case ws::Opcode::kPing: {
          // A full queue means the peer reads nothing; then it misses no pong.
          auto posted = post(ws::Opcode::kPong, message.payload);
          (void)posted;
          break;
        }
        case ws::Opcode::kClose:
          peer_closed_ = true;
          peer_close_code_ = message.close_code;
          close(message.close_code == ws::kNoStatus ? ws::kNormal : message.close_code);
          break;
        case ws::Opcode::kText:
        case ws::Opcode::kBinary:
          co_return Message{message.opcode == ws::Opcode::kText, message.payload};
        default:
          break;  // a pong: hearing it was its purpose
      }
    }
    if (peer_closed_ || broken_ || close_posted_) co_return fail(Code::kClosed, "the WebSocket is closed");
    begin_ = end_ = 0;
    Result<size_t> got = fail(Code::kClosed, "");
    bool drained_by_server = *draining_;
    if (!drained_by_server) {
      io::Scope* parent = co_await io::this_scope();
      io::Scope scope(parent);
      *drain_scope_ = &scope;
      got = co_await io::with_timeout<Result<size_t>>(options_.ping_interval, stream_.read_some(buffer_)).within(scope);
      *drain_scope_ = nullptr;
      drained_by_server = scope.stopped() && !(parent && parent->stopped());
    }
    if (got) {
      end_ = *got;
      silence = {};
      continue;
    }
    if (drained_by_server) {
      close(ws::kGoingAway, "the server is shutting down");
      co_return fail(Code::kClosed, "the server is shutting down");
    }
    if (got.error().code() != Code::kTimeout) {
      broken_ = got.error().code() != Code::kCancelled;
      co_return fail(got.error());
    }
    silence += options_.ping_interval;
    if (silence >= options_.silence_max) {
      broken_ = true;
      co_return fail(Code::kClosed, "the WebSocket's peer is silent");
    }
    auto posted = post(ws::Opcode::kPing, {});
    (void)posted;
  }
}

// The rest of the closing handshake: our close frame goes out, then the peer's is awaited for a moment.
Task<void> WebSocket::finish() {
  close();
  if (!co_await io::with_timeout<Result<void>>(kCloseTimeout, empty_.wait()) || broken_ || peer_closed_) co_return;
  const SteadyTime deadline = io::Shard::current().now() + kCloseTimeout;
  for (;;) {
    // What the handler left unread first: the close frame may be among it.
    while (begin_ != end_) {
      auto step = decoder_.feed(BytesView(buffer_).subspan(begin_, end_ - begin_));
      if (!step) co_return;
      begin_ += step->consumed;
      if (step->message && step->message->opcode == ws::Opcode::kClose) co_return;
    }
    if (io::Shard::current().now() >= deadline) co_return;
    auto got = co_await io::with_timeout<Result<size_t>>(kCloseTimeout, stream_.read_some(buffer_));
    if (!got) co_return;
    begin_ = 0;
    end_ = *got;
  }
}

Task<void> serve_websocket(Request& request, Response& response, WebSocketHandler handler, WebSocketOptions options) {
  if (std::string_view fault = handshake_fault(request); !fault.empty()) {
    bool wants = request.head().upgrade && request.fields().lists(Field::kUpgrade, "websocket");
    response.set(Field::kUpgrade, "websocket").set(Field::kSecWebSocketVersion, "13");
    // 426 says what this path is for; 400 that the handshake itself is broken (RFC 6455 §4.4).
    auto sent = co_await response.error(wants && request.field(Field::kSecWebSocketVersion) == "13" ? 400 : 426,
                                        std::string(fault));
    (void)sent;
    co_return;
  }
  response.set(Field::kUpgrade, "websocket");
  response.set(Field::kSecWebSocketAccept, ws::accept_of(*request.field(Field::kSecWebSocketKey)));
  if (!options.protocol.empty() && request.fields().lists(Field::kSecWebSocketProtocol, options.protocol)) {
    response.set(Field::kSecWebSocketProtocol, options.protocol);
  }
  auto upgraded = co_await response.switch_protocols();
  if (!upgraded) {
    if (response.started()) co_return;
    auto sent = co_await response.error(upgraded.error());
    (void)sent;
    co_return;
  }
  WebSocket socket(*upgraded->stream, *upgraded, options);
  io::TaskGroup group(co_await io::this_scope());
  group.spawn(socket.write_queue());
  co_await handler(socket);
  co_await socket.finish();
  group.stop();
  co_await group.join();
}

}  // namespace polis::http
