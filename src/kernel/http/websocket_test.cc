// WebSockets over a real server: the handshake, messages both ways, back-pressure and the end.
#include "kernel/http/websocket.h"

#include <gtest/gtest.h>

#include "kernel/http/server.h"

namespace polis::http::websocket_tests {
namespace {

using std::chrono::seconds;

constexpr std::array<uint8_t, 4> kMask = {9, 8, 7, 6};
const std::string kHandshake =
    "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

Task<void> echo(WebSocket& socket) {
  for (;;) {
    auto message = co_await socket.receive();
    if (!message) co_return;
    auto posted = message->text ? socket.post_text(as_text(message->payload)) : socket.post_binary(message->payload);
    EXPECT_TRUE(posted);
  }
}

// Posts until its queue is full.
Task<void> flood(WebSocket& socket) {
  std::string large(100'000, 'x');
  Result<void> posted;
  for (int i = 0; i < 20 && posted; ++i) posted = socket.post_text(large);
  EXPECT_FALSE(posted);
  if (!posted) EXPECT_EQ(posted.error().code(), Code::kBusy);
  EXPECT_LE(socket.queued_size_bytes(), (1u << 20) + 1000);
  EXPECT_TRUE(co_await socket.drained());
  EXPECT_EQ(socket.queued_size_bytes(), 0u);
}

Task<void> serve_echo(Request& request, Response& response) {
  return serve_websocket(request, response, echo);
}
Task<void> serve_flood(Request& request, Response& response) {
  return serve_websocket(request, response, flood);
}

Handler make_handler() {
  auto router = std::make_shared<Router>();
  router->get("/echo", serve_echo);
  router->get("/flood", serve_flood);
  return Router::handler(router);
}

// Sends all, then reads until the server closes; the answer's head and what follows it.
Task<std::pair<std::string, std::string>> talk(io::Endpoint endpoint, std::string bytes) {
  auto stream = co_await io::connect(endpoint);
  auto written = co_await (*stream)->write(as_bytes(bytes));
  std::string out;
  std::byte piece[4096];
  while (auto got = co_await (*stream)->read_some(piece)) out.append(as_text(BytesView(piece).first(*got)));
  size_t end = out.find("\r\n\r\n");
  if (end == std::string::npos) co_return std::pair<std::string, std::string>(out, "");
  co_return std::pair<std::string, std::string>(out.substr(0, end + 4), out.substr(end + 4));
}

std::pair<std::string, std::string> converse(std::string bytes) {
  return io::run([&]() -> Task<std::pair<std::string, std::string>> {
    Server server(make_handler(), {});
    auto endpoint = server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    auto answer = co_await talk(*endpoint, std::move(bytes));
    co_await server.drain(seconds(1));
    co_return answer;
  });
}

std::string messages_of(std::string_view frames) {
  ws::Decoder decoder(ws::Role::kClient);
  std::string out;
  for (size_t at = 0; at < frames.size();) {
    auto step = decoder.feed(as_bytes(frames.substr(at)));
    if (!step) return out + "!";
    at += step->consumed;
    if (!step->message) continue;
    out.append(std::to_string(static_cast<int>(step->message->opcode))).append(":");
    if (step->message->opcode == ws::Opcode::kClose) out.append(std::to_string(step->message->close_code)).append(":");
    out.append(as_text(step->message->payload).substr(0, 20)).append(" ");
  }
  return out;
}

TEST(WebSocket, echoes_and_closes_in_order) {
  std::string bytes = kHandshake;
  ws::append_frame(bytes, ws::Opcode::kText, as_bytes("hello"), &kMask);
  ws::append_frame(bytes, ws::Opcode::kPing, as_bytes("p"), &kMask);
  ws::append_frame(bytes, ws::Opcode::kBinary, as_bytes("b"), &kMask);
  ws::append_close(bytes, 1000, "bye", &kMask);
  auto [head, frames] = converse(bytes);
  EXPECT_TRUE(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << head;
  EXPECT_NE(head.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), std::string::npos) << head;
  EXPECT_EQ(messages_of(frames), "1:hello 10:p 2:b 8:1000: ");
}

TEST(WebSocket, a_breach_of_the_protocol_is_answered_with_its_code) {
  std::string bytes = kHandshake;
  ws::append_frame(bytes, ws::Opcode::kText, as_bytes("unmasked"));
  auto [head, frames] = converse(bytes);
  EXPECT_EQ(messages_of(frames), "8:1002:a client's frame is  ");
}

TEST(WebSocket, what_is_no_handshake_gets_426_or_400) {
  EXPECT_TRUE(
      converse("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").first.starts_with("HTTP/1.1 426 "));
  const std::string kLast = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  std::string old = kHandshake;
  old.replace(old.find(": 13"), 4, ": 8 ");
  EXPECT_TRUE(converse(old + kLast).first.starts_with("HTTP/1.1 426 "));
  std::string bad_key = kHandshake;
  bad_key.replace(bad_key.find("dGhl"), 4, "????");
  EXPECT_TRUE(converse(bad_key + kLast).first.starts_with("HTTP/1.1 400 "));
}

TEST(WebSocket, a_full_queue_answers_busy_and_empties_when_the_client_reads) {
  std::string bytes = kHandshake;
  bytes.replace(bytes.find("/echo"), 5, "/flood");
  ws::append_close(bytes, 1000, "", &kMask);
  auto [head, frames] = converse(bytes);
  EXPECT_GT(frames.size(), 1'000'000u);
  EXPECT_TRUE(messages_of(frames).ends_with("8:1000: "));
}

TEST(WebSocket, a_draining_server_says_going_away) {
  std::string seen = io::run([]() -> Task<std::string> {
    Server server(make_handler(), {});
    auto endpoint = server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    auto stream = co_await io::connect(*endpoint);
    auto written = co_await (*stream)->write(as_bytes(kHandshake));
    std::byte piece[4096];
    auto got = co_await (*stream)->read_some(piece);
    EXPECT_TRUE(got);
    auto client = [](io::Stream& from, std::string& out) -> Task<void> {
      std::byte bytes[4096];
      auto more = co_await from.read_some(bytes);
      if (more) out = messages_of(as_text(BytesView(bytes).first(*more)));
      std::string close;
      ws::append_close(close, 1001, "", &kMask);
      auto sent = co_await from.write(as_bytes(close));
      EXPECT_TRUE(sent);
    };
    std::string out;
    io::TaskGroup group;
    group.spawn(client(**stream, out));
    auto began = io::Shard::current().clock().steady();
    co_await server.drain(seconds(20));
    EXPECT_LT(io::Shard::current().clock().steady() - began, seconds(5));
    co_await group.join();
    co_return out;
  });
  EXPECT_EQ(seen, "8:1001:the server is shutti ");
}

}  // namespace
}  // namespace polis::http::websocket_tests
