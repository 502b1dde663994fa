#include "kernel/io/udp.h"

#include <gtest/gtest.h>

#include "kernel/io/shard.h"

namespace polis::io {
namespace {

Task<Result<std::vector<std::string>>> exchange(size_t count, size_t room) {
  const Endpoint any{.address = "127.0.0.1", .port = 0};
  auto receiver = CO_TRY(UdpSocket::bind(any));
  auto sender = CO_TRY(UdpSocket::bind(any));
  std::vector<std::string> payloads(count);
  std::vector<Datagram> out(count);
  for (size_t i = 0; i < count; ++i) {
    payloads[i] = "datagram " + std::to_string(i);
    out[i] = {.room = as_writable_bytes(payloads[i]), .size_bytes = payloads[i].size(), .peer = receiver->local()};
  }
  CO_TRY(co_await sender->send(out));
  std::vector<std::string> received;
  Bytes rooms(16 * room);
  std::vector<Datagram> in(16);
  for (size_t i = 0; i < in.size(); ++i) in[i].room = MutableBytes(rooms).subspan(i * room, room);
  while (received.size() < count) {
    const size_t n = CO_TRY(co_await receiver->receive(in));
    for (const Datagram& each : std::span(in).first(n)) {
      if (each.peer.port != sender->local().port) co_return fail(Code::kCorrupt, "another sender");
      received.emplace_back(as_text(BytesView(each.room).first(each.size_bytes)));
      if (each.truncated) received.back() += "...";
    }
  }
  co_return std::move(received);
}

TEST(udp, many_datagrams_keep_their_borders_and_order) {
  auto received = run([] { return exchange(100, 64); });
  ASSERT_TRUE(received) << received.error().text();
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ((*received)[i], "datagram " + std::to_string(i));
}

TEST(udp, a_datagram_that_does_not_fit_says_so) {
  EXPECT_EQ(run([] { return exchange(1, 4); }).value().front(), "data...");
}

}  // namespace
}  // namespace polis::io
