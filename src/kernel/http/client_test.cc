// The client against our server, over TCP, TLS and a Unix socket, and against scripted servers that misbehave.
#include "kernel/http/client.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernel/http/server.h"

namespace polis::http::client_tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Task<void> echo(Request& request, Response& response) {
  std::byte piece[3000];
  if (auto length = request.content_length()) response.content_length(*length);
  response.set("X-Method", request.method_text());
  for (;;) {
    auto got = co_await request.read(piece);
    if (!got) co_return;
    if (*got == 0) break;
    if (!co_await response.write(BytesView(piece).first(*got))) co_return;
  }
  auto sent = co_await response.finish();
  (void)sent;
}

Task<void> refuse(Request&, Response& response) {
  auto sent = co_await response.error(403, "no");
  (void)sent;
}

Handler make_handler() {
  auto router = std::make_shared<Router>();
  router->any("/echo", echo);
  router->any("/refuse", refuse);
  return Router::handler(router);
}

// Counts up, a few bytes a read.
class Counting final : public BodySource {
 public:
  Counting(uint64_t total, bool known) : total_(total), known_(known) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    size_t size = static_cast<size_t>(std::min<uint64_t>({into.size(), total_ - at_, 1 + at_ % 5000}));
    for (size_t i = 0; i < size; ++i) into[i] = static_cast<std::byte>((at_ + i) % 251);
    at_ += size;
    co_return size;
  }
  std::optional<uint64_t> size_bytes() const override { return known_ ? std::optional(total_) : std::nullopt; }
  uint64_t read_bytes() const { return at_; }

 private:
  uint64_t total_, at_ = 0;
  bool known_;
};

bool counts_up(BytesView body, uint64_t total) {
  if (body.size() != total) return false;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != static_cast<std::byte>(i % 251)) return false;
  }
  return true;
}

std::string url_of(const io::Endpoint& endpoint, std::string_view path) {
  return (endpoint.unix_socket ? endpoint.text() + ":" : "http://" + endpoint.text()) + std::string(path);
}

Task<void> exercise(io::Endpoint endpoint, std::string scheme, ClientOptions options, ServerStatistics& statistics,
                    Server& server) {
  {
    Client client(std::move(options));
    std::string base = scheme + endpoint.text() + (endpoint.unix_socket ? ":" : "");
    for (int round = 0; round < 3; ++round) {
      auto response = co_await client.get(base + "/echo");
      EXPECT_TRUE(response) << (response ? "" : response.error().text());
      if (!response) break;
      EXPECT_EQ(response->status(), 200);
      EXPECT_EQ(response->field("x-method"), "GET");
      auto body = co_await response->read_all(100);
      EXPECT_TRUE(body && body->empty());
    }
    for (bool known : {true, false}) {
      for (uint64_t total : {uint64_t{0}, uint64_t{1}, uint64_t{100'000}}) {
        Counting source(total, known);
        ClientRequest request{.method = "PUT", .url = *Url::parse(base + "/echo"), .source = &source};
        auto response = co_await client.send(std::move(request));
        EXPECT_TRUE(response) << (response ? "" : response.error().text());
        if (!response) break;
        auto body = co_await response->read_all(1 << 20);
        EXPECT_TRUE(body && counts_up(*body, total)) << total << (body ? "" : body.error().text());
      }
    }
    Counting unread(1 << 20, true);
    ClientRequest request{
        .method = "PUT", .url = *Url::parse(base + "/refuse"), .source = &unread, .expect_continue = true};
    auto refused = co_await client.send(std::move(request));
    EXPECT_TRUE(refused && refused->status() == 403);
    EXPECT_EQ(unread.read_bytes(), 0u);  // nothing was sent before the refusal
  }
  co_await server.drain(seconds(2));
  statistics = server.statistics();
}

TEST(Client, keeps_connections_and_streams_both_ways_over_tcp) {
  ServerStatistics statistics;
  io::run([&]() -> Task<void> {
    Server server(make_handler(), {});
    auto endpoint = server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    EXPECT_TRUE(endpoint);
    co_await exercise(*endpoint, "http://", {}, statistics, server);
  });
  EXPECT_EQ(statistics.requests, 10u);
  EXPECT_EQ(statistics.connections_accepted, 1u);
}

TEST(Client, speaks_over_a_unix_socket) {
  ServerStatistics statistics;
  std::string path = "/tmp/polis-http-client-" + std::to_string(::getpid()) + ".sock";
  io::run([&]() -> Task<void> {
    Server server(make_handler(), {});
    auto endpoint = server.listen({path, 0, true});
    EXPECT_TRUE(endpoint) << (endpoint ? "" : endpoint.error().text());
    if (endpoint) co_await exercise(*endpoint, "", {}, statistics, server);
  });
  ::unlink(path.c_str());
  EXPECT_EQ(statistics.requests, 10u);
}

TEST(Client, speaks_tls_and_checks_the_certificate) {
  ServerStatistics statistics;
  io::run([&]() -> Task<void> {
    const std::string names[] = {"localhost", "127.0.0.1"};
    auto certificate = io::make_self_signed(names, std::chrono::hours(1));
    EXPECT_TRUE(certificate);
    auto server_tls = io::TlsContext::server(
        {.certificate_chain_pem = certificate->chain_pem, .private_key_pem = certificate->key_pem});
    EXPECT_TRUE(server_tls);
    Server server(make_handler(), {});
    auto endpoint = server.listen(*io::Endpoint::parse("127.0.0.1:0"), *server_tls);
    EXPECT_TRUE(endpoint);
    {
      ClientOptions untrusting;
      untrusting.tls = *io::TlsContext::client({});
      Client stranger(std::move(untrusting));
      auto response = co_await stranger.get("https://" + endpoint->text() + "/echo");
      EXPECT_FALSE(response);
    }
    ClientOptions options;
    options.tls = *io::TlsContext::client({.authorities_pem = certificate->chain_pem});
    co_await exercise(*endpoint, "https://", std::move(options), statistics, server);
  });
  EXPECT_EQ(statistics.requests, 10u);
}

// A server that says what it is told to, once a connection, whatever is asked.
Task<void> say(std::unique_ptr<io::Stream> stream, std::string text) {
  std::byte piece[4096];
  auto got = co_await stream->read_some(piece);
  auto written = co_await stream->write(as_bytes(text));
  written = co_await stream->finish();
  while (got) got = co_await stream->read_some(piece);
}

Task<void> say_to_each(io::Listener& listener, std::string text, size_t connections) {
  for (; connections > 0; --connections) {
    auto stream = co_await listener.accept();
    if (!stream) co_return;
    co_await say(std::move(*stream), text);
  }
}

// The body the client reads from such an answer, or "error: CODE".
std::string read_from(std::string text, std::string method = "GET") {
  return io::run([&]() -> Task<std::string> {
    auto listener = io::Listener::bind(*io::Endpoint::parse("127.0.0.1:0"));
    std::string out;
    io::TaskGroup group;
    group.spawn(say_to_each(**listener, text, 1));
    {
      Client client;
      ClientRequest request{
          .method = method, .url = *Url::parse(url_of((*listener)->local(), "/")), .timeout = seconds(5)};
      auto response = co_await client.send(std::move(request));
      if (!response) {
        out = "error: " + std::string(name(response.error().code()));
      } else {
        auto body = co_await response->read_all(1000);
        out = body ? std::string(as_text(*body)) : "error: " + std::string(name(body.error().code()));
      }
    }
    group.stop();
    co_await group.join();
    co_return out;
  });
}

TEST(Client, tells_a_whole_body_from_a_cut_one) {
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "hello");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"), "error: corrupt");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\n\r\nhello"), "hello");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "hello");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), "error: corrupt");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), "error: corrupt");
  EXPECT_EQ(read_from("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
                      "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
            "a");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"), "");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'a')), "error: too large");
}

TEST(Client, refuses_answers_that_are_no_http) {
  EXPECT_EQ(read_from("SSH-2.0-OpenSSH_9.2\r\n"), "error: corrupt");
  EXPECT_EQ(read_from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "error: corrupt");
  EXPECT_EQ(read_from(""), "error: unavailable");
  EXPECT_EQ(read_from("HTTP/1.1 200"), "error: unavailable");
}

TEST(Client, repeats_a_request_only_on_a_kept_connection_that_was_closed) {
  io::run([]() -> Task<void> {
    auto listener = io::Listener::bind(*io::Endpoint::parse("127.0.0.1:0"));
    io::TaskGroup group;
    // Each connection answers once, promising to stay, and closes.
    group.spawn(say_to_each(**listener, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 3));
    {
      Client client;
      for (int i = 0; i < 3; ++i) {
        ClientRequest request{
            .method = "GET", .url = *Url::parse(url_of((*listener)->local(), "/")), .timeout = seconds(5)};
        auto response = co_await client.send(std::move(request));
        EXPECT_TRUE(response) << (response ? "" : response.error().text());
        if (!response) break;
        auto body = co_await response->read_all(10);
        EXPECT_TRUE(body && body->size() == 1);
      }
    }
    group.stop();
    co_await group.join();
  });
}

TEST(Client, refuses_requests_that_would_forge_lines) {
  io::run([]() -> Task<void> {
    Client client;
    ClientRequest request{.method = "GET", .url = *Url::parse("http://127.0.0.1:1/"), .fields = {{"X", "a\r\nY: b"}}};
    auto response = co_await client.send(std::move(request));
    EXPECT_FALSE(response);
    if (!response) EXPECT_EQ(response.error().code(), Code::kInvalid);
    ClientRequest bad_method{.method = "GE T", .url = *Url::parse("http://127.0.0.1:1/")};
    response = co_await client.send(std::move(bad_method));
    EXPECT_FALSE(response);
  });
}

TEST(Url, takes_urls_apart) {
  auto url = Url::parse("https://[::1]:8443/a?b#c");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/a?b");
  EXPECT_EQ(url->authority(), "[::1]:8443");
  EXPECT_EQ(Url::parse("http://a?x")->target, "/?x");
  EXPECT_EQ(Url::parse("http://a")->authority(), "a");
  url = Url::parse("unix:/run/p.sock:/api?x=1");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "/run/p.sock");
  EXPECT_EQ(url->target, "/api?x=1");
  for (std::string_view bad : {"", "a", "ftp://a/", "http://", "http:///x", "http://u@a/", "http://a:0/",
                               "http://a:99999/", "http://a/b c", "unix:relative:/x", "unix:/a:x"}) {
    EXPECT_FALSE(Url::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace polis::http::client_tests
