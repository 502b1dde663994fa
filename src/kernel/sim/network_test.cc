#include "kernel/sim/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/sim/world.h"

namespace polis::sim {
namespace {

using namespace std::chrono_literals;

Task<Result<std::string>> read_to_end(io::Stream& stream) {
  std::string all;
  std::byte buffer[777];
  while (true) {
    auto count = co_await stream.read_some(buffer);
    if (!count && count.error().code() == Code::kClosed && count.error().message().find("end") != std::string::npos)
      co_return all;
    if (!count) co_return fail(count.error());
    all.append(as_text(BytesView(buffer).first(*count)));
  }
}

Task<Result<void>> send(io::Stream& stream, std::string text) {
  const BytesView part = as_bytes(text);
  co_return co_await stream.write(std::span<const BytesView>(&part, 1));
}

struct Ends {
  std::unique_ptr<io::Listener> listener;
  std::unique_ptr<io::Stream> client, server;
};

Task<Result<Ends>> join(Network& network) {
  Ends ends;
  ends.listener = CO_TRY(network.listen({.address = "10.0.0.1", .port = 80}));
  ends.client = CO_TRY(co_await network.connect({.address = "10.0.0.1", .port = 80}, "10.0.0.2"));
  ends.server = CO_TRY(co_await ends.listener->accept());
  co_return ends;
}

Task<void> send_and_finish(io::Stream& stream, std::string text) {
  EXPECT_TRUE(co_await send(stream, std::move(text)));
  EXPECT_TRUE(co_await stream.finish());
}

Task<void> echo(io::Stream& stream) {
  auto text = co_await read_to_end(stream);
  EXPECT_TRUE(text);
  if (text) co_await send_and_finish(stream, std::move(*text));
}

Task<std::string> converse(Ends& ends, std::string text) {
  io::TaskGroup group;
  group.spawn(echo(*ends.server));
  group.spawn(send_and_finish(*ends.client, std::move(text)));
  auto answer = co_await read_to_end(*ends.client);
  co_await group.join();
  co_return answer ? *answer : answer.error().text();
}

TEST(Network, bytes_arrive_whole_and_in_order_beyond_the_buffer) {
  World world(1);
  auto ends = std::move(*world.run(join(world.network())));
  std::string text;
  for (int i = 0; text.size() < 300'000; ++i) text += std::to_string(i);
  EXPECT_EQ(world.run(converse(ends, text)), text);
  EXPECT_EQ(ends.server->peer().address, "10.0.0.2");
}

TEST(Network, nobody_listens_is_refused_and_a_taken_port_exists) {
  World world(1);
  EXPECT_EQ(world.run(world.network().connect({.address = "10.0.0.1", .port = 1})).error().code(), Code::kClosed);
  auto first = world.network().listen({.address = "10.0.0.1", .port = 80});
  EXPECT_EQ(world.network().listen({.address = "10.0.0.1", .port = 80}).error().code(), Code::kExists);
  (*first)->close();
  EXPECT_TRUE(world.network().listen({.address = "10.0.0.1", .port = 80}));
}

Task<Result<size_t>> read_once(io::Stream& stream, Duration limit) {
  std::byte buffer[16];
  co_return co_await io::with_timeout(limit, stream.read_some(buffer));
}

TEST(Network, a_partition_holds_bytes_back_until_it_heals) {
  World world(1);
  auto ends = std::move(*world.run(join(world.network())));
  world.network().partition("10.0.0.1", "10.0.0.2");
  ASSERT_TRUE(world.run(send(*ends.client, "hello")));
  EXPECT_EQ(world.run(read_once(*ends.server, 1s)).error().code(), Code::kTimeout);
  EXPECT_EQ(world.run(world.network().connect({.address = "10.0.0.1", .port = 80}, "10.0.0.2")).error().code(),
            Code::kTimeout);
  world.network().heal("10.0.0.1", "10.0.0.2");
  EXPECT_TRUE(world.run(read_once(*ends.server, 1s)));
}

TEST(Network, a_reset_breaks_both_ends) {
  World world(1);
  auto ends = std::move(*world.run(join(world.network())));
  EXPECT_EQ(world.network().connections(), 1u);
  EXPECT_EQ(world.network().reset("10.0.0.9"), 0u);
  EXPECT_EQ(world.network().reset("10.0.0.2"), 1u);
  EXPECT_THAT(world.run(read_once(*ends.server, 1s)).error().text(), testing::HasSubstr("reset"));
  EXPECT_EQ(world.run(send(*ends.client, "x")).error().code(), Code::kClosed);
  EXPECT_EQ(world.network().connections(), 0u);
}

TEST(Network, a_close_is_the_end_for_the_reader_and_an_error_for_the_writer) {
  World world(1);
  auto ends = std::move(*world.run(join(world.network())));
  ASSERT_TRUE(world.run(send(*ends.client, "bye")));
  ends.client->close();
  EXPECT_EQ(*world.run(read_to_end(*ends.server)), "bye");
  EXPECT_TRUE(world.run(ends.server->peer_gone()));
  EXPECT_EQ(world.run(send(*ends.server, "x")).error().code(), Code::kClosed);
}

Task<Result<void>> send_range(World& world, io::Stream& stream, io::ByteRange range) {
  world.disk().put("f", as_bytes("0123456789"));
  auto file = CO_TRY(co_await world.disk().open("f", io::OpenMode::kRead));
  CO_TRY(co_await stream.send_file(*file, range));
  co_return co_await stream.finish();
}

TEST(Network, a_range_of_a_file_is_sent_and_a_range_past_the_end_is_refused) {
  World world(1);
  auto ends = std::move(*world.run(join(world.network())));
  EXPECT_EQ(world.run(send_range(world, *ends.client, {8, 5})).error().code(), Code::kOutOfRange);
  ASSERT_TRUE(world.run(send_range(world, *ends.client, {2, 3})));
  EXPECT_EQ(*world.run(read_to_end(*ends.server)), "89234");
}

}  // namespace
}  // namespace polis::sim
