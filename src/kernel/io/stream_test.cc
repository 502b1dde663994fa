#include "kernel/io/stream.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernel/io/file.h"
#include "kernel/io/pollable_stream.h"
#include "kernel/io/shard.h"

namespace polis::io {
namespace {

using namespace std::chrono_literals;
using OwnedStream = std::unique_ptr<Stream>;

struct Pair {
  OwnedStream server, client;
};

Task<void> accept_into(Listener& listener, OwnedStream& stream) {
  if (auto accepted = co_await listener.accept()) stream = std::move(*accepted);
}

Task<Result<Pair>> connected(Endpoint endpoint) {
  auto listener = CO_TRY(Listener::bind(endpoint));
  Pair pair;
  TaskGroup group(co_await this_scope());
  group.spawn(accept_into(*listener, pair.server));
  auto client = co_await connect(listener->local());
  if (!client) group.stop();
  co_await group.join();
  pair.client = CO_TRY(std::move(client));
  co_return std::move(pair);
}

Endpoint any_port() {
  return {.address = "127.0.0.1", .port = 0};
}

Task<Result<void>> read_exactly(Stream& stream, MutableBytes into) {
  while (!into.empty()) into = into.subspan(CO_TRY(co_await stream.read_some(into)));
  co_return {};
}

Bytes pattern(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 257);
  return bytes;
}

Task<void> write_all(Stream& stream, BytesView bytes, Result<void>& outcome) {
  outcome = co_await stream.write(bytes);
  if (outcome) outcome = co_await stream.finish();
}

// The same without holding a buffer while nothing is there; corked, so that the end must push what is left.
Task<Result<void>> transfer_polled(Stream& from, Stream& to, size_t size) {
  PollableStream* reader = pollable(to);
  PollableStream* writer = pollable(from);
  if (!reader || !writer) co_return fail(Code::kUnsupported, "the streams cannot be polled");
  std::byte early;
  if (CO_TRY(reader->try_read(MutableBytes(&early, 1))) != 0) co_return fail(Code::kCorrupt, "bytes before any");
  const Bytes sent = pattern(size);
  Bytes received(size);
  Result<void> outcome;
  TaskGroup group(co_await this_scope());
  writer->cork(true);
  group.spawn(write_all(from, sent, outcome));
  size_t filled = 0, waits = 0;
  std::byte beyond;
  while (true) {
    const bool full = filled == size;
    auto got = reader->try_read(full ? MutableBytes(&beyond, 1) : MutableBytes(received).subspan(filled));
    if (!got) {
      co_await group.join();
      if (got.error().code() != Code::kClosed || !full) co_return fail(std::move(got).error());
      break;
    }
    filled += *got;
    if (*got == 0) {
      ++waits;
      if (auto ready = co_await reader->readable(); !ready) {
        co_await group.join();
        co_return fail(std::move(ready).error());
      }
    }
  }
  CO_TRY(std::move(outcome));
  if (received != sent || waits == 0) co_return fail(Code::kCorrupt, "other bytes arrived");
  co_return {};
}

// Sends `size` bytes one way and checks them, the end of the stream included.
Task<Result<void>> transfer(Stream& from, Stream& to, size_t size) {
  const Bytes sent = pattern(size);
  Bytes received(size);
  Result<void> outcome;
  TaskGroup group(co_await this_scope());
  group.spawn(write_all(from, sent, outcome));
  auto read = co_await read_exactly(to, received);
  std::byte beyond;
  auto end = co_await to.read_some(MutableBytes(&beyond, 1));
  co_await group.join();
  CO_TRY(std::move(outcome));
  CO_TRY(std::move(read));
  if (received != sent) co_return fail(Code::kCorrupt, "other bytes arrived");
  if (end || end.error().code() != Code::kClosed) co_return fail(Code::kCorrupt, "the end of the stream was not seen");
  co_return {};
}

Task<Result<void>> transfer_over(Endpoint endpoint, size_t size) {
  Pair pair = CO_TRY(co_await connected(endpoint));
  co_return co_await transfer(*pair.client, *pair.server, size);
}

TEST(stream, bytes_arrive_whole_over_tcp_and_unix_sockets) {
  const Endpoint unix_socket{
      .address = "/tmp/polis-io-test-" + std::to_string(getpid()), .port = 0, .unix_socket = true};
  for (size_t size : {1u, 1000u, 65536u, 5'000'000u}) {
    auto tcp = run([&] { return transfer_over(any_port(), size); });
    EXPECT_TRUE(tcp) << tcp.error().text();
    auto local = run([&] { return transfer_over(unix_socket, size); });
    EXPECT_TRUE(local) << local.error().text();
  }
}

Task<Result<void>> transfer_polled_over(Endpoint endpoint, size_t size) {
  Pair pair = CO_TRY(co_await connected(endpoint));
  co_return co_await transfer_polled(*pair.client, *pair.server, size);
}

TEST(stream, bytes_arrive_whole_without_a_buffer_that_waits) {
  const Endpoint unix_socket{
      .address = "/tmp/polis-io-test-" + std::to_string(getpid()), .port = 0, .unix_socket = true};
  for (size_t size : {1u, 1000u, 65536u, 5'000'000u}) {
    auto tcp = run([&] { return transfer_polled_over(any_port(), size); });
    EXPECT_TRUE(tcp) << tcp.error().text();
    auto local = run([&] { return transfer_polled_over(unix_socket, size); });
    EXPECT_TRUE(local) << local.error().text();
  }
}

Task<Result<void>> nobody_listens() {
  auto listener = CO_TRY(Listener::bind(any_port()));
  const Endpoint gone = listener->local();
  listener.reset();
  CO_TRY(co_await connect(gone));
  co_return {};
}

TEST(stream, connecting_to_a_closed_port_is_unavailable) {
  EXPECT_EQ(run([] { return nobody_listens(); }).error().code(), Code::kUnavailable);
}

Task<Result<size_t>> read_one(Stream& stream) {
  std::byte byte;
  co_return co_await stream.read_some(MutableBytes(&byte, 1));
}

Task<void> read_into(Stream& stream, Result<size_t>& outcome) {
  outcome = co_await read_one(stream);
}

Task<Result<Code>> close_while_reading() {
  Pair pair = CO_TRY(co_await connected(any_port()));
  Result<size_t> outcome = size_t{0};
  TaskGroup group;
  group.spawn(read_into(*pair.server, outcome));
  co_await yield();
  co_await yield();
  pair.server->close();
  co_await group.join();
  co_return outcome.error().code();
}

TEST(stream, close_ends_a_pending_read) {
  EXPECT_EQ(run([] { return close_while_reading(); }).value(), Code::kClosed);
}

Task<Result<Code>> read_with_deadline() {
  Pair pair = CO_TRY(co_await connected(any_port()));
  auto late = co_await with_timeout(2ms, read_one(*pair.server));
  if (late) co_return Code::kInvalid;
  // The stream is sound after a cancelled read.
  CO_TRY(co_await pair.client->write(as_bytes("x")));
  CO_TRY(co_await read_one(*pair.server));
  co_return late.error().code();
}

TEST(stream, a_deadline_ends_a_read_and_leaves_the_stream_sound) {
  EXPECT_EQ(run([] { return read_with_deadline(); }).value(), Code::kTimeout);
}

Task<Result<void>> notice_leaving() {
  Pair pair = CO_TRY(co_await connected(any_port()));
  pair.client.reset();
  co_return co_await with_timeout(10s, pair.server->peer_gone());
}

TEST(stream, peer_gone_notices_without_reading) {
  auto gone = run([] { return notice_leaving(); });
  EXPECT_TRUE(gone) << gone.error().text();
}

// --- files to sockets

Task<void> send_range(Stream& stream, File& file, ByteRange range, Result<void>& outcome) {
  outcome = co_await stream.send_file(file, range);
}

Task<Result<void>> encrypt(Pair& pair) {
  const std::string names[] = {"localhost", "127.0.0.1"};
  const Certificate certificate = CO_TRY(make_self_signed(names, 1h));
  auto server = CO_TRY(
      TlsContext::server({.certificate_chain_pem = certificate.chain_pem, .private_key_pem = certificate.key_pem}));
  auto client = CO_TRY(TlsContext::client({.authorities_pem = certificate.chain_pem, .protocols = {"http/1.1"}}));
  Result<OwnedStream> accepted;
  auto accept = [](OwnedStream raw, std::shared_ptr<TlsContext> context, Result<OwnedStream>& out) -> Task<void> {
    out = co_await tls_accept(std::move(raw), std::move(context));
  };
  TaskGroup group(co_await this_scope());
  group.spawn(accept(std::move(pair.server), server, accepted));
  auto connected = co_await tls_connect(std::move(pair.client), client, "localhost");
  co_await group.join();
  pair.server = CO_TRY(std::move(accepted));
  pair.client = CO_TRY(std::move(connected));
  co_return {};
}

Task<Result<bool>> send_range_of(Disk& disk, std::string path, size_t size, ByteRange range, bool tls) {
  const Bytes content = pattern(size);
  auto file = CO_TRY(co_await disk.open(path, OpenMode::kCreate));
  CO_TRY(co_await file->write_at(0, BytesView(content)));
  Pair pair = CO_TRY(co_await connected(any_port()));
  if (tls) CO_TRY(co_await encrypt(pair));
  Bytes received(range.size);
  Result<void> outcome;
  TaskGroup group(co_await this_scope());
  group.spawn(send_range(*pair.server, *file, range, outcome));
  CO_TRY(co_await read_exactly(*pair.client, received));
  co_await group.join();
  CO_TRY(std::move(outcome));
  CO_TRY(co_await disk.remove(path));
  co_return std::ranges::equal(received, BytesView(content).subspan(range.offset, range.size));
}

TEST(stream, send_file_sends_exactly_the_range) {
  const std::string path = "/tmp/polis-io-send-" + std::to_string(getpid());
  auto system = make_system_disk();
  auto forgetful = make_volatile_disk();
  for (bool tls : {false, true})
    for (Disk* disk : {system.get(), forgetful.get()})
      for (ByteRange range : {ByteRange{0, 1}, ByteRange{0, 1'000'000}, ByteRange{4097, 600'001}}) {
        auto same = run([&] { return send_range_of(*disk, path, 1'000'000, range, tls); });
        ASSERT_TRUE(same) << same.error().text();
        EXPECT_TRUE(*same);
      }
}

// --- TLS

Task<Result<void>> transfer_polled_encrypted(size_t size) {
  Pair pair = CO_TRY(co_await connected(any_port()));
  CO_TRY(co_await encrypt(pair));
  co_return co_await transfer_polled(*pair.client, *pair.server, size);
}

TEST(tls, bytes_arrive_whole_without_a_buffer_that_waits) {
  for (size_t size : {1u, 5000u, 2'000'000u}) {
    auto done = run([&] { return transfer_polled_encrypted(size); });
    EXPECT_TRUE(done) << done.error().text();
  }
}

Task<Result<std::string>> transfer_encrypted(size_t size) {
  Pair pair = CO_TRY(co_await connected(any_port()));
  CO_TRY(co_await encrypt(pair));
  CO_TRY(co_await transfer(*pair.client, *pair.server, size));
  co_return std::string(pair.server->application_protocol());
}

TEST(tls, bytes_and_the_end_arrive_and_alpn_is_agreed) {
  for (size_t size : {1u, 16384u, 3'000'000u}) {
    auto protocol = run([&] { return transfer_encrypted(size); });
    ASSERT_TRUE(protocol) << protocol.error().text();
    EXPECT_EQ(*protocol, "http/1.1");
  }
}

Task<void> accept_tls(OwnedStream raw, std::shared_ptr<TlsContext> context) {
  (void)co_await tls_accept(std::move(raw), std::move(context));
}

Task<Result<void>> connect_untrusted(std::string host) {
  const std::string names[] = {"localhost"};
  const Certificate certificate = CO_TRY(make_self_signed(names, 1h));
  const Certificate other = CO_TRY(make_self_signed(names, 1h));
  auto server = CO_TRY(
      TlsContext::server({.certificate_chain_pem = certificate.chain_pem, .private_key_pem = certificate.key_pem}));
  const bool wrong_name = host != "localhost";
  auto client = CO_TRY(TlsContext::client({.authorities_pem = wrong_name ? certificate.chain_pem : other.chain_pem}));
  Pair pair = CO_TRY(co_await connected(any_port()));
  TaskGroup group(co_await this_scope());
  group.spawn(accept_tls(std::move(pair.server), server));
  auto outcome = co_await tls_connect(std::move(pair.client), client, host);
  co_await group.join();
  CO_TRY(std::move(outcome));
  co_return {};
}

TEST(tls, an_unknown_authority_and_a_wrong_name_are_refused) {
  EXPECT_FALSE(run([] { return connect_untrusted("localhost"); }));
  EXPECT_FALSE(run([] { return connect_untrusted("elsewhere.example"); }));
}

Task<Result<Code>> cut_off() {
  const std::string names[] = {"localhost"};
  const Certificate certificate = CO_TRY(make_self_signed(names, 1h));
  Pair pair = CO_TRY(co_await connected(any_port()));
  CO_TRY(co_await encrypt(pair));
  pair.client->close();  // without the closing record
  auto read = co_await read_one(*pair.server);
  co_return read ? Code::kInvalid : read.error().code();
}

TEST(tls, a_connection_cut_without_a_tls_close_is_no_regular_end) {
  EXPECT_EQ(run([] { return cut_off(); }).value(), Code::kIo);
}

Task<Result<Code>> garbage() {
  const std::string names[] = {"localhost"};
  const Certificate certificate = CO_TRY(make_self_signed(names, 1h));
  auto server = CO_TRY(
      TlsContext::server({.certificate_chain_pem = certificate.chain_pem, .private_key_pem = certificate.key_pem}));
  Pair pair = CO_TRY(co_await connected(any_port()));
  CO_TRY(co_await pair.client->write(as_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n")));
  auto outcome = co_await tls_accept(std::move(pair.server), server);
  co_return outcome ? Code::kBusy : outcome.error().code();
}

TEST(tls, plain_http_on_a_tls_port_is_invalid) {
  EXPECT_EQ(run([] { return garbage(); }).value(), Code::kInvalid);
}

// --- Endpoint

TEST(endpoint, parses_what_it_prints_and_refuses_the_rest) {
  for (const char* text : {"127.0.0.1:0", "[::1]:65535", "0.0.0.0:80", "unix:/tmp/x"}) {
    auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->text(), text);
  }
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80",
                           "example.org:80", "256.0.0.1:80", "127.0.0.1:80x", "unix:"})
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  EXPECT_TRUE(Endpoint::parse("127.9.9.9:1")->loopback());
  EXPECT_FALSE(Endpoint::parse("0.0.0.0:1")->loopback());
}

}  // namespace
}  // namespace polis::io
