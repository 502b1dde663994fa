// WebSocket: the server's end of an upgraded connection (RFC 6455). Lives in the handler's frame, on the connection's
// shard.
//
//     Task<void> live(http::WebSocket& socket) {
//       for (;;) { auto message = co_await socket.receive(); if (!message) co_return; ... socket.post_text(answer); }
//     }
//     router.get("/live", [](auto& request, auto& response) { return http::serve_websocket(request, response, live);
//     });
//
// Reading is pulled, with back-pressure; writing is queued, so that a publisher on the same shard posts to many sockets
// without waiting for any. A queue over its limit makes post() answer kBusy: the owner drops the sample, or calls
// close(kPolicy). Pings, pongs and the closing handshake happen inside receive(), so a handler keeps one pending.
#pragma once

#include <functional>

#include "kernel/http/request.h"
#include "kernel/http/response.h"
#include "kernel/http/ws.h"
#include "kernel/io/shard.h"

namespace polis::http {

struct WebSocketOptions {
  size_t message_size_bytes_max = 1 << 20;            // 1009 beyond
  size_t queue_size_bytes_max = 1 << 20;              // posted and not yet sent
  Duration ping_interval = std::chrono::seconds(15);  // of silence
  Duration silence_max = std::chrono::seconds(30);    // then the peer counts as gone (1006)
  Duration write_timeout = std::chrono::seconds(30);  // for the peer to take what is queued
  std::string_view protocol;                          // chosen subprotocol; the client must have offered it
};

class WebSocket {
 public:
  struct Message {
    bool text = true;
    BytesView payload;  // valid until the next receive()
  };

  // The next message. kClosed when the peer closed or went away, when we did, or when the server drains. One at a time;
  // cancellable.
  Task<Result<Message>> receive();
  // Queues a message. kBusy if the queue is full, kClosed after the end.
  [[nodiscard]] Result<void> post_text(std::string_view text);
  [[nodiscard]] Result<void> post_binary(BytesView payload);
  size_t queued_size_bytes() const { return queue_.size() + sending_.size(); }
  // Waits until nothing is queued.
  Task<Result<void>> drained();
  // Begins the closing handshake; what is queued goes out first. Later posts are kClosed. Idempotent.
  void close(uint16_t code = ws::kNormal, std::string_view reason = {});
  // Code and reason the peer closed with; kNoStatus or kAbnormal if it gave none.
  uint16_t peer_close_code() const { return peer_close_code_; }

  WebSocket(io::Stream& stream, Upgraded upgraded, const WebSocketOptions& options);

 private:
  friend Task<void> serve_websocket(Request&, Response&, std::function<Task<void>(WebSocket&)>, WebSocketOptions);
  Result<void> post(ws::Opcode opcode, BytesView payload);
  Task<void> write_queue();
  Task<void> finish();

  io::Stream& stream_;
  io::Scope** drain_scope_;
  const bool* draining_;
  WebSocketOptions options_;
  ws::Decoder decoder_;
  Bytes buffer_;
  size_t begin_ = 0, end_ = 0;
  std::string queue_, sending_;
  io::Event wake_, empty_;
  bool close_posted_ = false;  // ours is queued: nothing follows it
  bool peer_closed_ = false;
  bool broken_ = false;  // the stream carries nothing any more
  uint16_t peer_close_code_ = ws::kAbnormal;
};

using WebSocketHandler = std::function<Task<void>(WebSocket&)>;

// Upgrades and runs the handler; closes when it returns. A request that is no WebSocket handshake gets 426 or 400.
// Whoever calls this has checked who is asking, and Origin where cookies prove it.
Task<void> serve_websocket(Request& request, Response& response, WebSocketHandler handler,
                           WebSocketOptions options = {});

}  // namespace polis::http
