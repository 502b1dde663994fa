// The server over real loopback sockets, driven by bytes as a client would send them.
#include "kernel/http/server.h"

#include <gtest/gtest.h>

namespace polis::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Task<void> hello(Request&, Response& response) {
  auto sent = co_await response.send("text/plain", "hello");
  EXPECT_TRUE(sent);
}

Task<void> echo(Request& request, Response& response) {
  auto body = co_await request.read_all(1 << 20);
  if (!body) {
    auto sent = co_await response.error(body.error());
    (void)sent;
    co_return;
  }
  auto sent = co_await response.send(*body);
  (void)sent;
}

// Answers a piece at a time.
Task<void> stream(Request& request, Response& response) {
  std::byte piece[1000];
  for (;;) {
    auto got = co_await request.read(piece);
    if (!got) co_return;
    if (*got == 0) break;
    if (!co_await response.write(BytesView(piece).first(*got))) co_return;
  }
  response.trailer("X-Sum", "42");
  auto sent = co_await response.finish();
  (void)sent;
}

Task<void> nothing(Request&, Response&) {
  co_return;
}
Task<void> no_content(Request&, Response& response) {
  response.status(204);
  co_return;
}
Task<void> refuse(Request&, Response& response) {
  auto sent = co_await response.error(403, "not you");
  EXPECT_TRUE(sent);
}
Task<void> forge(Request&, Response& response) {
  response.set("X-A", "b\r\nSet-Cookie: c");
  auto sent = co_await response.send("x");
  EXPECT_FALSE(sent);
}
Task<void> cut(Request&, Response& response) {
  auto sent = co_await response.write("part");
  EXPECT_TRUE(sent);
}
Task<void> parameters(Request& request, Response& response) {
  std::string out = std::string(request.param("a")) + "|" + std::string(request.param("rest"));
  auto sent = co_await response.send(out);
  EXPECT_TRUE(sent);
}

std::shared_ptr<const Router> make_router() {
  auto router = std::make_shared<Router>();
  router->get("/", hello);
  router->post("/echo", echo);
  router->post("/small", echo, {.body_size_bytes_max = 4});
  router->post("/stream", stream);
  router->get("/nothing", nothing);
  router->get("/204", no_content);
  router->put("/refuse", refuse);
  router->get("/forge", forge);
  router->get("/cut", cut);
  router->any("/p/{a}/x", parameters);
  router->any("/p/q/{rest...}", parameters);
  return router;
}

struct Fixture {
  explicit Fixture(ServerOptions options = {})
      : server(Router::handler(make_router()), without_name(std::move(options))) {}
  static ServerOptions without_name(ServerOptions options) {
    options.name.clear();
    return options;
  }
  Server server;
};

// Removes the Date line, which changes.
std::string without_date(std::string text) {
  for (size_t at; (at = text.find("Date: ")) != std::string::npos;) text.erase(at, text.find('\n', at) + 1 - at);
  return text;
}

Task<std::string> read_to_end(io::Stream& stream) {
  std::string out;
  std::byte piece[4096];
  for (;;) {
    auto got = co_await stream.read_some(piece);
    if (!got) co_return without_date(out);
    out.append(as_text(BytesView(piece).first(*got)));
  }
}

// Sends the bytes, in pieces with a turn of the loop between them, ends the writing half and reads everything.
Task<std::string> talk(io::Endpoint endpoint, std::string bytes, size_t piece = SIZE_MAX) {
  auto stream = co_await io::connect(endpoint);
  if (!stream) co_return "connect: " + stream.error().text();
  for (size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at)) {
    auto written = co_await (*stream)->write(as_bytes(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    if (!written) break;
    if (piece != SIZE_MAX) co_await io::yield();
  }
  co_return co_await read_to_end(**stream);
}

// Runs one conversation with a fresh server.
std::string converse(std::string bytes, size_t piece = SIZE_MAX, ServerOptions options = {}) {
  return io::run([&]() -> Task<std::string> {
    Fixture fixture(std::move(options));
    auto endpoint = fixture.server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    if (!endpoint) co_return "listen: " + endpoint.error().text();
    std::string answer = co_await talk(*endpoint, std::move(bytes), piece);
    co_await fixture.server.drain(seconds(1));
    co_return answer;
  });
}

const std::string kClose = "Connection: close\r\n\r\n";

TEST(Server, answers_a_get) {
  EXPECT_EQ(converse("GET / HTTP/1.1\r\nHost: a\r\n" + kClose),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
}

TEST(Server, head_has_the_length_but_no_body) {
  EXPECT_EQ(converse("HEAD / HTTP/1.1\r\nHost: a\r\n" + kClose),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
}

TEST(Server, a_204_has_neither_length_nor_body) {
  EXPECT_EQ(converse("GET /204 HTTP/1.1\r\nHost: a\r\n" + kClose),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

TEST(Server, http_1_0_closes_unless_asked_to_stay) {
  EXPECT_TRUE(
      converse("GET /204 HTTP/1.0\r\n\r\nGET /204 HTTP/1.0\r\n\r\n").ends_with("Content\r\nConnection: close\r\n\r\n"));
  EXPECT_EQ(
      converse("GET /204 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /204 HTTP/1.0\r\n\r\n"),
      "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

TEST(Server, answers_pipelined_requests_in_order_whatever_the_split) {
  std::string requests =
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\n\r\n"
      "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
      "GET /204 HTTP/1.1\r\nHost: a\r\n" +
      kClose;
  std::string expected =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ndef"
      "HTTP/1.1 405 Method Not Allowed\r\nAllow: PUT, OPTIONS\r\nContent-Type: application/problem+json\r\n"
      "Content-Length: 89\r\n\r\n"
      "{\"title\":\"Method Not Allowed\",\"status\":405,\"detail\":\"this path does not answer POST\"}\n"
      "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
  std::string whole = converse(requests);
  EXPECT_EQ(whole.size(), expected.size());
  for (size_t piece : {1, 3, 50}) EXPECT_EQ(converse(requests, piece), whole) << "pieces of " << piece;
  for (std::string_view part : {"hello", "abc", "def", "Allow: PUT, OPTIONS", "204"}) {
    EXPECT_NE(whole.find(part), std::string::npos) << part;
  }
}

TEST(Server, streams_both_ways_with_trailers) {
  EXPECT_EQ(
      converse("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + kClose + "abc"),
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n");
  EXPECT_EQ(converse("POST /stream HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
}

TEST(Server, large_chunked_bodies_come_back_whole) {
  std::string body;
  for (int i = 0; i < 40'000; ++i) body.append(std::to_string(i));
  std::string request = "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + kClose;
  for (size_t at = 0, size = 1; at < body.size(); size = size * 3 % 20'011) {
    std::string chunk = body.substr(at, size);
    h1::append_chunk_head(request, chunk.size());
    request.append(chunk).append("\r\n");
    at += chunk.size();
  }
  request.append("0\r\n\r\n");
  ServerOptions options;
  std::string answer = converse(request, SIZE_MAX, options);
  size_t at = answer.find("\r\n\r\n") + 4;
  h1::ChunkDecoder decoder;
  std::string found;
  while (at < answer.size() && !decoder.done()) {
    auto step = decoder.feed(as_bytes(std::string_view(answer).substr(at)));
    ASSERT_TRUE(step);
    at += step->consumed;
    found.append(as_text(step->data));
  }
  EXPECT_TRUE(decoder.done());
  EXPECT_EQ(found, body);
}

TEST(Server, asks_for_the_body_only_when_the_handler_reads_it) {
  std::string echoed =
      converse("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n" + kClose);
  // Nothing to wait for, and yet it is said: see Connection::continue_without_body.
  EXPECT_TRUE(echoed.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")) << echoed;
  std::string refused =
      converse("PUT /refuse HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 403 Forbidden\r\n")) << refused;
  EXPECT_NE(refused.find("Connection: close"), std::string::npos);

  std::string answer = io::run([]() -> Task<std::string> {
    Fixture fixture;
    auto endpoint = fixture.server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    auto stream = co_await io::connect(*endpoint);
    std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" + kClose;
    auto written = co_await (*stream)->write(as_bytes(head));
    std::byte piece[100];
    auto got = co_await (*stream)->read_some(piece);
    std::string out(as_text(BytesView(piece).first(*got)));
    written = co_await (*stream)->write(as_bytes("abc"));
    out += co_await read_to_end(**stream);
    co_await fixture.server.drain();
    co_return out;
  });
  EXPECT_EQ(answer,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
}

TEST(Server, refuses_bodies_over_the_limit_of_the_route) {
  std::string announced = converse("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + kClose + "abcde");
  EXPECT_TRUE(announced.starts_with("HTTP/1.1 413 ")) << announced;
  std::string chunked = converse("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + kClose +
                                 "5\r\nabcde\r\n0\r\n\r\n");
  EXPECT_TRUE(chunked.starts_with("HTTP/1.1 413 ")) << chunked;
  std::string fits = converse("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n" + kClose + "abcd");
  EXPECT_TRUE(fits.ends_with("\r\n\r\nabcd")) << fits;
}

TEST(Server, a_large_body_that_nobody_reads_closes_the_connection) {
  std::string answer = converse("PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" +
                                std::string(900'000, 'x') + "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 403 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_EQ(answer.find("hello"), std::string::npos);
}

TEST(Server, malformed_requests_get_their_status_and_close) {
  struct Case {
    std::string request;
    std::string_view status;
  };
  const Case cases[] = {
      {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505"},
      {"GET /" + std::string(17'000, 'a') + " HTTP/1.1\r\n\r\n", "414"},
      {"GET / HTTP/1.1\r\nX: " + std::string(66'000, 'a') + "\r\n\r\n", "431"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
      {"GET /none HTTP/1.1\r\nHost: a\r\n" + kClose, "404"},
      {"BREW / HTTP/1.1\r\nHost: a\r\n" + kClose, "405"},
      {"GET /p/%zz/x HTTP/1.1\r\nHost: a\r\n" + kClose, "400"},
      {"GET /nothing HTTP/1.1\r\nHost: a\r\n" + kClose, "500"},
      {"GET /forge HTTP/1.1\r\nHost: a\r\n" + kClose, "500"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "400"},
  };
  for (const Case& one : cases) {
    std::string answer = converse(one.request);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::string(one.status)))
        << one.request.substr(0, 60) << " -> " << answer;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos);
    EXPECT_NE(answer.find("application/problem+json"), std::string::npos);
    EXPECT_EQ(answer.find("Set-Cookie"), std::string::npos);
  }
}

TEST(Server, a_response_that_is_never_finished_is_cut) {
  EXPECT_EQ(converse("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
}

TEST(Server, a_slow_head_gets_408_and_an_idle_connection_a_silent_close) {
  ServerOptions options;
  options.head_timeout = milliseconds(30);
  options.idle_timeout = milliseconds(30);
  EXPECT_TRUE(converse("GET / HT", SIZE_MAX, options).starts_with("HTTP/1.1 408 "));
  EXPECT_EQ(converse("", SIZE_MAX, options), "");
  std::string once = converse("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n", SIZE_MAX, options);
  EXPECT_EQ(once, "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST(Server, a_slow_body_gets_408) {
  ServerOptions options;
  options.body_grace = milliseconds(30);
  std::string answer = converse("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", SIZE_MAX, options);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << answer;
}

TEST(Server, connections_over_the_limit_get_503) {
  ServerOptions options;
  options.connections_max = 0;
  EXPECT_TRUE(converse("GET / HTTP/1.1\r\nHost: a\r\n\r\n", SIZE_MAX, options).starts_with("HTTP/1.1 503 "));
}

TEST(Server, drain_closes_idle_connections_at_once) {
  io::run([]() -> Task<void> {
    Fixture fixture;
    auto endpoint = fixture.server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    auto stream = co_await io::connect(*endpoint);
    auto written = co_await (*stream)->write(as_bytes("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n"));
    std::byte piece[200];
    auto got = co_await (*stream)->read_some(piece);
    EXPECT_TRUE(got);
    auto began = io::Shard::current().clock().steady();
    co_await fixture.server.drain(seconds(20));
    EXPECT_LT(io::Shard::current().clock().steady() - began, seconds(5));
    got = co_await (*stream)->read_some(piece);
    EXPECT_FALSE(got);
  });
}

TEST(Router, literals_win_over_parameters_and_parameters_over_rests) {
  auto body = [](std::string target) {
    std::string answer = converse("GET " + target + " HTTP/1.1\r\nHost: a\r\n" + kClose);
    return answer.substr(answer.find("\r\n\r\n") + 4);
  };
  EXPECT_EQ(body("/p/a%2Fb/x"), "a/b|");
  EXPECT_EQ(body("/p/q/x"), "|x");
  EXPECT_EQ(body("/p/q/a%2Fb//c"), "|a%2Fb//c");
  EXPECT_EQ(body("/p/q"), "|");
  EXPECT_EQ(body("/p/q/"), "|");
}

TEST(Server, the_access_hook_sees_every_answer) {
  std::vector<std::string> seen;
  ServerOptions options;
  options.on_access = [&](const AccessRecord& record) {
    std::string target(record.request ? record.request->target : "-");
    seen.push_back(target + " " + std::to_string(record.status) + " " + std::to_string(record.received_bytes));
  };
  converse("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /no HTTP/1.1\r\nHost: a\r\n\r\n@",
           SIZE_MAX, options);
  EXPECT_EQ(seen, (std::vector<std::string>{"/echo 200 3", "/no 404 0", "- 400 0"}));
}

TEST(Server, counts_into_its_registry_and_continues_the_trace_of_a_client) {
  obs::Registry registry;
  base::SystemClock clock;
  base::SystemRandom random;
  obs::Tracer tracer(clock, random, {});
  ServerOptions options;
  options.metrics = &registry;
  options.tracer = &tracer;
  converse(
      "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n" + kClose,
      SIZE_MAX, options);
  EXPECT_EQ(registry.counter("polis_http_requests", "", {{"listener", "main"}, {"class", "2xx"}}).value(), 1u);
  EXPECT_EQ(registry.counter("polis_http_connections", "", {{"listener", "main"}}).value(), 1u);
  auto spans = tracer.find(*obs::TraceId::parse("0af7651916cd43dd8448eb211c80319c"));
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].name, "GET");
}

}  // namespace
}  // namespace polis::http
