// Clients and the server over a simulated network: pieces of any size, requests one behind the other, partitions on two
// shards, and everything that a client can do wrong.
#include "systems/stream/server/server.h"

#include "kernel/sim/seeds.h"
#include "systems/stream/client/client.h"
#include "systems/stream/server/handlers_test_support.h"

namespace polis::stream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const io::Endpoint kDoor{.address = "10.0.0.1", .port = 9092};

// Ends a test that is a coroutine when an expectation fails.
#define WIRE_EXPECT(...)                          \
  do {                                            \
    EXPECT_TRUE(__VA_ARGS__);                     \
    if (!(__VA_ARGS__)) co_return Result<void>{}; \
  } while (false)

class WireTest : public ServerTest {
 protected:
  using Body = std::function<Task<Result<void>>()>;

  void run(Body body, Door door = {.name = "plain", .plain = true}) { world.run(everything(std::move(body), door)); }

  Task<void> everything(Body body, Door door) {
    acceptor.emplace(*parts, server_options, 2, nullptr, open_connections);
    auto listener = world.network().listen(kDoor);
    EXPECT_TRUE(listener);
    acceptor->listen(std::move(*listener), std::move(door));
    auto done = co_await body();
    EXPECT_TRUE(done) << done.error().text();
    co_await acceptor->drain(seconds(5));
    EXPECT_EQ(open_connections.load(), 0u);
    acceptor.reset();
  }

  Task<Result<std::unique_ptr<io::Stream>>> connect() { return world.network().connect(kDoor, "10.0.0.2"); }
  Task<Result<Client>> client() { co_return Client(ClientConnection(CO_TRY(co_await connect()), "test")); }

  Task<Result<void>> make_topic(std::string name, int32_t partitions = 4,
                                std::map<std::string, std::string> config = {}) {
    auto one = CO_TRY(co_await client());
    co_return co_await one.create_topic(std::move(name), partitions, std::move(config));
  }

  Bytes batch_of(std::string value, size_t count = 1) {
    BatchBuilder builder;
    const int64_t now_ms = base::milliseconds_since_epoch(world.clock().wall());
    for (size_t i = 0; i < count; ++i) builder.add(now_ms, as_bytes("key"), as_bytes(value));
    return builder.finish();
  }
  static std::string text_of(BytesView batches) {
    std::string text;
    const auto next = scan_records(batches, {}, [&](const Record& record, const RecordPlace&) {
      text += as_text(*record.value);
      return true;
    });
    EXPECT_TRUE(next);
    return text;
  }

  // A request frame as it travels.
  template <class Request>
  static Bytes frame_of(const Request& request, int16_t version, int32_t correlation = 7) {
    Bytes bytes(4);
    Encoder encoder(bytes);
    encoder.field(MessageOf<Request>::kApi.key);
    encoder.field(version);
    encoder.field(correlation);
    encoder.field(std::optional<std::string_view>("raw"), true);
    encoder.flexible(version >= MessageOf<Request>::kApi.flexible);
    encoder.no_tags();
    encode(encoder, request, version);
    base::store_big(bytes.data(), static_cast<uint32_t>(bytes.size() - 4));
    return bytes;
  }
  static ProduceRequest produce_request(std::string_view topic, int32_t partition, BytesView batch, int16_t acks = -1) {
    ProduceRequest request;
    request.acks = acks;
    auto& data = request.topic_data.emplace_back();
    data.name = topic;
    auto& one = data.partition_data.emplace_back();
    one.index = partition;
    one.records.bytes = batch;
    return request;
  }
  static FetchRequest fetch_request(const Topic& topic, std::vector<int32_t> partitions, Offset from, int32_t wait_ms) {
    FetchRequest request;
    request.max_wait_ms = wait_ms;
    request.min_bytes = 1;
    auto& asked = request.topics.emplace_back();
    asked.topic = topic.name;
    asked.topic_id = topic.id;
    for (const int32_t partition : partitions) {
      auto& one = asked.partitions.emplace_back();
      one.partition = partition;
      one.fetch_offset = from;
      one.partition_max_bytes = 1 << 20;
    }
    return request;
  }

  // The next response without its size; kClosed when the server has ended the connection.
  Task<Result<Bytes>> next_frame(io::Stream& stream) {
    Bytes size(4);
    CO_TRY(co_await read_full(stream, size));
    Bytes frame(base::load_big<uint32_t>(size.data()));
    CO_TRY(co_await read_full(stream, frame));
    co_return frame;
  }
  static Task<Result<void>> read_full(io::Stream& stream, MutableBytes into) {
    while (!into.empty()) {
      auto read = stream.read_some(into);
      into = into.subspan(CO_TRY(co_await io::with_timeout<Result<size_t>>(seconds(1000), std::move(read))));
    }
    co_return {};
  }
  // Sends bytes on a connection of their own and answers with the first response, or how the connection ended.
  Task<Result<Bytes>> send_raw(BytesView bytes) {
    auto stream = CO_TRY(co_await connect());
    CO_TRY(co_await stream->write(bytes));
    co_return co_await next_frame(*stream);
  }
  Task<bool> closes(Bytes bytes) {
    auto answer = co_await send_raw(bytes);
    co_return !answer && answer.error().code() == Code::kClosed;
  }
  static int16_t error_of(const Bytes& frame) {
    return static_cast<int16_t>(base::load_big<uint16_t>(frame.data() + 4));
  }

  static Task<void> send_all(Client& client, int32_t partition, BytesView batch, BytesView huge, int count,
                             size_t& done) {
    for (int i = 0; i < count; ++i) {
      auto sent = client.send_batch("big", partition, i == 3 ? huge : batch, -1);
      EXPECT_TRUE(co_await sent);
    }
    for (int i = 0; i < count; ++i) done += (co_await client.batch_answer()).has_value();
  }

  Task<void> produce_one(Session& session, int32_t partition, BytesView batch, std::pair<int16_t, Offset>& answer) {
    Call call{.parts = *parts, .session = session, .identity = session.identity, .version = 9, .client_id = "test"};
    const ProduceRequest request = produce_request("full", partition, batch);
    const ProduceResponse response = co_await handle(call, request);
    const auto& part = response.responses.at(0).partition_responses.at(0);
    answer = {part.error_code, part.base_offset};
  }

  ServerOptions server_options;
  std::atomic<size_t> open_connections{0};
  std::optional<Acceptor> acceptor;
};

TEST_F(WireTest, an_unknown_version_of_api_versions_is_answered_so_that_the_client_can_ask_again) {
  run([&]() -> Task<Result<void>> {
    Bytes frame = frame_of(ApiVersionsRequest{.client_software_name = "x", .client_software_version = "1"}, 3);
    base::store_big(frame.data() + 6, uint16_t{99});
    const Bytes answer = CO_TRY(co_await send_raw(frame));
    Decoder decoder(BytesView(answer).subspan(4));
    ApiVersionsResponse response;
    CO_TRY(decode(decoder, response, 0));
    EXPECT_EQ(response.error_code, 35);
    EXPECT_EQ(response.api_keys.size(), std::size(kApis));
    EXPECT_EQ(decoder.remaining_bytes(), 0u);
    co_return {};
  });
}

TEST_F(WireTest, what_is_no_api_of_ours_is_refused_and_the_connection_closed) {
  run([&]() -> Task<Result<void>> {
    for (const auto& [key, version] : {std::pair<uint16_t, uint16_t>{4, 0}, {999, 0}, {0, 99}, {1, 3}, {3, 0xffff}}) {
      auto stream = CO_TRY(co_await connect());
      Bytes frame = frame_of(MetadataRequest(), 1);
      base::store_big(frame.data() + 4, key);
      base::store_big(frame.data() + 6, version);
      CO_TRY(co_await stream->write(BytesView(frame)));
      const Bytes answer = CO_TRY(co_await next_frame(*stream));
      EXPECT_EQ(base::load_big<uint32_t>(answer.data()), 7u);
      EXPECT_EQ(error_of(answer), 35);
      EXPECT_FALSE(co_await next_frame(*stream));
    }
    co_return {};
  });
}

TEST_F(WireTest, what_is_no_frame_closes_the_connection) {
  run([&]() -> Task<Result<void>> {
    const auto with_size = [](uint32_t size, size_t bytes) {
      Bytes frame(4 + bytes);
      base::store_big(frame.data(), size);
      return frame;
    };
    EXPECT_TRUE(co_await closes(with_size(0xffffffff, 0)));
    EXPECT_TRUE(co_await closes(with_size(0x80000000, 10)));
    EXPECT_TRUE(co_await closes(with_size((100 << 20) + 1, 0)));
    EXPECT_TRUE(co_await closes(with_size(0, 0)));
    EXPECT_TRUE(co_await closes(with_size(7, 7)));
    const BytesView http = as_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(co_await closes({http.begin(), http.end()}));
    // A body that is cut off, and one with a count that lies.
    Bytes cut = frame_of(MetadataRequest{.topics = std::vector<MetadataRequest::MetadataRequestTopic>(1)}, 9);
    cut.resize(cut.size() - 2);
    base::store_big(cut.data(), static_cast<uint32_t>(cut.size() - 4));
    EXPECT_TRUE(co_await closes(cut));
    // A frame that stops in the middle.
    auto stream = CO_TRY(co_await connect());
    CO_TRY(co_await stream->write(BytesView(cut).first(9)));
    EXPECT_FALSE(co_await next_frame(*stream));
    co_return {};
  });
}

TEST_F(WireTest, produce_requests_are_answered_in_their_order_and_keep_it_in_every_partition) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("orders"));
    auto one = CO_TRY(co_await client());
    constexpr int kRequests = 120;
    for (int i = 0; i < kRequests; ++i) {
      const Bytes batch = batch_of(std::to_string(i) + ";");
      CO_TRY(co_await one.send_batch("orders", i % 4, batch, i % 3 == 0 ? 1 : -1));
    }
    for (int i = 0; i < kRequests; ++i) {
      const Produced produced = CO_TRY(co_await one.batch_answer());
      EXPECT_EQ(produced.base_offset, i / 4);
    }
    for (int partition = 0; partition < 4; ++partition) {
      const auto fetched = CO_TRY(co_await one.fetch({.topic = "orders", .partition = partition}));
      std::string expected;
      for (int i = partition; i < kRequests; i += 4) expected += std::to_string(i) + ";";
      EXPECT_EQ(text_of(fetched.batches), expected);
    }
    co_return {};
  });
}

TEST_F(WireTest, one_request_for_many_partitions_of_both_shards_is_answered_in_its_order) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("wide", 16));
    auto one = CO_TRY(co_await client());
    const Bytes batch = batch_of("x", 3);
    for (int round = 0; round < 3; ++round) {
      ProduceRequest request;
      request.acks = -1;
      auto& data = request.topic_data.emplace_back();
      data.name = "wide";
      for (int32_t i = 15; i >= 0; --i) {
        auto& part = data.partition_data.emplace_back();
        part.index = i;
        part.records.bytes = batch;
      }
      data.partition_data.emplace_back().index = 99;
      const ProduceResponse response = CO_TRY(co_await one.connection().call(request));
      WIRE_EXPECT(response.responses.size() == 1 && response.responses[0].partition_responses.size() == 17);
      for (int32_t i = 0; i < 16; ++i) {
        const auto& answer = response.responses[0].partition_responses[static_cast<size_t>(i)];
        EXPECT_EQ(answer.index, 15 - i);
        EXPECT_EQ(answer.error_code, 0);
        EXPECT_EQ(answer.base_offset, 3 * round);
      }
      EXPECT_EQ(response.responses[0].partition_responses[16].error_code, 3);
    }
    const auto table = topics->table();
    std::vector<int32_t> all(16);
    for (int32_t i = 0; i < 16; ++i) all[static_cast<size_t>(i)] = i;
    const FetchResponse fetched =
        CO_TRY(co_await one.connection().call(fetch_request(*table->find("wide"), all, 3, 100)));
    WIRE_EXPECT(fetched.responses.size() == 1 && fetched.responses[0].partitions.size() == 16);
    for (const auto& partition : fetched.responses[0].partitions) {
      EXPECT_EQ(partition.high_watermark, 9);
      EXPECT_EQ(text_of(partition.records.bytes), "xxxxxx");
    }
    co_return {};
  });
}

TEST_F(WireTest, acks_0_is_not_answered_and_its_failure_closes_the_connection) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("clicks", 1));
    auto one = CO_TRY(co_await client());
    const Bytes batch = batch_of("a");
    for (int i = 0; i < 5; ++i) CO_TRY(co_await one.send_batch("clicks", 0, batch, 0));
    EXPECT_EQ(CO_TRY(co_await one.partitions_of("clicks")), 1);
    EXPECT_EQ(CO_TRY(co_await one.produce("clicks", 0, batch)).base_offset, 5);
    CO_TRY(co_await one.send_batch("clicks", 7, batch, 0));
    EXPECT_FALSE(co_await one.partitions_of("clicks"));
    co_return {};
  });
}

TEST_F(WireTest, what_was_sent_before_a_client_left_is_appended) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("clicks", 1));
    {
      auto stream = CO_TRY(co_await connect());
      for (int i = 0; i < 20; ++i) {
        const Bytes frame = frame_of(produce_request("clicks", 0, batch_of("a"), 0), 9);
        CO_TRY(co_await stream->write(BytesView(frame)));
      }
      CO_TRY(co_await stream->finish());
      (void)co_await next_frame(*stream);
    }
    auto one = CO_TRY(co_await client());
    const Bytes last = batch_of("b");
    EXPECT_EQ(CO_TRY(co_await one.produce("clicks", 0, last)).base_offset, 20);
    co_return {};
  });
}

TEST_F(WireTest, batches_that_may_not_be_appended_are_refused_by_the_protocols_codes) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("orders", 1, {{"max.message.bytes", "2000"}}));
    auto stream = CO_TRY(co_await connect());
    const auto ask = [&](ProduceRequest request, int16_t version) -> Task<Result<int16_t>> {
      const Bytes frame = frame_of(request, version);
      CO_TRY(co_await stream->write(BytesView(frame)));
      const Bytes answer = CO_TRY(co_await next_frame(*stream));
      const bool flexible = version >= MessageOf<ProduceRequest>::kApi.flexible;
      Decoder decoder(BytesView(answer).subspan(flexible ? 5 : 4));
      ProduceResponse response;
      CO_TRY(decode(decoder, response, version));
      co_return response.responses.at(0).partition_responses.at(0).error_code;
    };
    const Bytes good = batch_of("v");
    Bytes flipped = good;
    flipped.back() ^= std::byte{1};
    Bytes old = good;
    old[16] = std::byte{1};
    Bytes twice = good;
    twice.insert(twice.end(), good.begin(), good.end());
    const Bytes large = batch_of(std::string(3000, 'x'));
    const Bytes cut(good.begin(), good.end() - 3);
    struct Case {
      std::string_view topic;
      BytesView batch;
      int16_t acks, version, code;
    };
    for (const Case& one :
         {Case{"orders", good, -1, 11, 0}, Case{"orders", flipped, -1, 9, 2}, Case{"orders", old, 1, 2, 35},
          Case{"orders", old, 1, 7, 43}, Case{"orders", large, 1, 3, 10}, Case{"orders", cut, 1, 9, 2},
          Case{"orders", twice, 1, 9, 87}, Case{"orders", twice, 1, 2, 0}, Case{"orders", {}, 1, 9, 87},
          Case{"nobody", good, 1, 9, 3}, Case{"a/b", good, 1, 9, 17}, Case{"orders", good, 2, 9, 21}}) {
      const int16_t code = CO_TRY(co_await ask(produce_request(one.topic, 0, one.batch, one.acks), one.version));
      EXPECT_EQ(code, one.code) << one.topic << " version " << one.version;
    }
    co_return {};
  });
}

TEST_F(WireTest, a_fetch_at_the_end_waits_for_the_next_record_and_no_longer_than_asked) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("news", 4));
    auto reader = CO_TRY(co_await client()), writer = CO_TRY(co_await client());
    const auto table = topics->table();
    FetchRequest request = fetch_request(*table->find("news"), {0, 1, 2, 3}, 0, 3000);
    SteadyTime since = world.clock().steady();
    const auto empty = CO_TRY(co_await reader.connection().call(request));
    EXPECT_EQ(empty.responses.at(0).partitions.size(), 4u);
    EXPECT_GE(world.clock().steady() - since, seconds(3));
    EXPECT_LT(world.clock().steady() - since, milliseconds(3200));
    request.max_wait_ms = 600'000;
    for (size_t i = 0; i < 4; ++i) {
      since = world.clock().steady();
      CO_TRY(co_await reader.connection().send(request));
      CO_TRY(co_await io::sleep_for(seconds(1)));
      const Bytes batch = batch_of("hello");
      CO_TRY(co_await writer.produce("news", static_cast<int32_t>(i), batch));
      const auto fetched = CO_TRY(co_await reader.connection().receive<FetchResponse>());
      EXPECT_LT(world.clock().steady() - since, seconds(2));
      EXPECT_EQ(text_of(fetched.responses.at(0).partitions.at(i).records.bytes), "hello");
      request.topics[0].partitions[i].fetch_offset = 1;
    }
    // Two records are less than what is wanted now, three batches on two partitions are enough.
    request.min_bytes = 3 * static_cast<int32_t>(batch_of("hello").size());
    since = world.clock().steady();
    CO_TRY(co_await reader.connection().send(request));
    for (const int32_t partition : {0, 2, 0}) {
      CO_TRY(co_await io::sleep_for(seconds(1)));
      const Bytes batch = batch_of("hello");
      CO_TRY(co_await writer.produce("news", partition, batch));
    }
    const auto fetched = CO_TRY(co_await reader.connection().receive<FetchResponse>());
    EXPECT_EQ(fetched.responses.at(0).partitions.at(0).error_code, 0);
    EXPECT_EQ(fetched.responses.at(0).partitions.at(0).high_watermark, 3);
    EXPECT_EQ(text_of(fetched.responses.at(0).partitions.at(0).records.bytes), "hellohello");
    EXPECT_EQ(text_of(fetched.responses.at(0).partitions.at(2).records.bytes), "hello");
    EXPECT_LT(world.clock().steady() - since, seconds(4));
    co_return {};
  });
}

TEST_F(WireTest, a_long_poll_ends_with_its_topic_its_client_and_its_server) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("a", 1));
    CO_TRY(co_await make_topic("b", 1));
    auto admin = CO_TRY(co_await client()), reader = CO_TRY(co_await client());
    const auto table = topics->table();
    CO_TRY(co_await reader.connection().send(fetch_request(*table->find("a"), {0}, 0, INT32_MAX)));
    CO_TRY(co_await io::sleep_for(seconds(1)));
    CO_TRY(co_await admin.erase_topic("a"));
    const auto gone = CO_TRY(co_await reader.connection().receive<FetchResponse>());
    EXPECT_EQ(gone.responses.at(0).partitions.at(0).error_code, 3);
    {
      auto leaver = CO_TRY(co_await client());
      CO_TRY(co_await leaver.connection().send(fetch_request(*table->find("b"), {0}, 0, INT32_MAX)));
      CO_TRY(co_await io::sleep_for(seconds(1)));
    }
    CO_TRY(co_await io::sleep_for(seconds(1)));
    EXPECT_EQ(open_connections.load(), 2u);
    CO_TRY(co_await reader.connection().send(fetch_request(*table->find("b"), {0}, 0, INT32_MAX)));
    CO_TRY(co_await io::sleep_for(seconds(1)));
    const SteadyTime since = world.clock().steady();
    co_await acceptor->drain(seconds(5));
    EXPECT_LT(world.clock().steady() - since, seconds(1));
    const auto last = CO_TRY(co_await reader.connection().receive<FetchResponse>());
    EXPECT_EQ(last.responses.at(0).partitions.at(0).error_code, 0);
    co_return {};
  });
}

TEST_F(WireTest, a_fetch_session_answers_what_is_new_and_nothing_else) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("s", 3));
    auto reader = CO_TRY(co_await client()), writer = CO_TRY(co_await client());
    const auto table = topics->table();
    const Topic& topic = *table->find("s");
    const auto ask = [&](FetchRequest request, int32_t id, int32_t epoch) {
      request.session_id = id;
      request.session_epoch = epoch;
      request.max_bytes = 1 << 20;
      return reader.connection().call(request);
    };
    const auto fetch_nothing = [&] {
      FetchRequest request;
      request.max_wait_ms = 10;
      request.min_bytes = 1;
      return request;
    };
    auto full_request = fetch_request(topic, {0, 1, 2}, 0, 0);
    const auto full = CO_TRY(co_await ask(full_request, 0, 0));
    const int32_t id = full.session_id;
    EXPECT_NE(id, 0);
    EXPECT_EQ(full.responses.at(0).partitions.size(), 3u);
    auto nothing = fetch_nothing();
    const auto quiet = CO_TRY(co_await ask(nothing, id, 1));
    EXPECT_EQ(quiet.session_id, id);
    EXPECT_TRUE(quiet.responses.empty());
    const Bytes batch = batch_of("new");
    CO_TRY(co_await writer.produce("s", 1, batch));
    const auto news = CO_TRY(co_await ask(nothing, id, 2));
    WIRE_EXPECT(news.responses.size() == 1 && news.responses[0].partitions.size() == 1);
    EXPECT_EQ(news.responses[0].partitions[0].partition_index, 1);
    EXPECT_EQ(text_of(news.responses[0].partitions[0].records.bytes), "new");
    // The position moves, a partition is forgotten.
    auto moved = fetch_request(topic, {1}, 1, 10);
    auto& forgotten = moved.forgotten_topics_data.emplace_back();
    forgotten.topic = topic.name;
    forgotten.topic_id = topic.id;
    forgotten.partitions = {0, 2};
    EXPECT_TRUE(CO_TRY(co_await ask(moved, id, 3)).responses.empty());
    CO_TRY(co_await writer.produce("s", 0, batch));
    EXPECT_TRUE(CO_TRY(co_await ask(nothing, id, 4)).responses.empty());
    EXPECT_EQ(CO_TRY(co_await ask(nothing, id, 4)).error_code, 71);
    EXPECT_EQ(CO_TRY(co_await ask(nothing, id + 1, 5)).error_code, 70);
    EXPECT_EQ(CO_TRY(co_await ask(nothing, id, 5)).error_code, 0);
    EXPECT_EQ(CO_TRY(co_await ask(nothing, id, -1)).error_code, 0);
    EXPECT_EQ(CO_TRY(co_await ask(nothing, id, 6)).error_code, 70);
    co_return {};
  });
}

TEST_F(WireTest, a_fetch_is_bounded_in_bytes_but_never_stuck_behind_a_large_batch) {
  run([&]() -> Task<Result<void>> {
    for (const std::string_view path : {"sendfile", "copy"}) {
      const std::string name = "path-" + std::string(path);
      CO_TRY(co_await make_topic(name, 3, {{"read.path", std::string(path)}}));
      auto one = CO_TRY(co_await client());
      std::string expected;
      for (int i = 0; i < 9; ++i) {
        const std::string value(20'000, static_cast<char>('a' + i));
        const Bytes batch = batch_of(value);
        CO_TRY(co_await one.produce(name, i % 3, batch));
        if (i % 3 == 0) expected += value;
      }
      const auto table = topics->table();
      const Topic& topic = *table->find(name);
      // A batch is larger than the limit: one comes all the same, of one partition.
      auto request = fetch_request(topic, {0, 1, 2}, 0, 0);
      request.max_bytes = 100;
      const auto small = CO_TRY(co_await one.connection().call(request));
      size_t with_records = 0;
      for (const auto& partition : small.responses.at(0).partitions) {
        EXPECT_EQ(partition.high_watermark, 3);
        with_records += !partition.records.bytes.empty();
      }
      EXPECT_EQ(with_records, 1u);
      request.max_bytes = 1 << 20;
      const auto whole = CO_TRY(co_await one.connection().call(request));
      EXPECT_EQ(text_of(whole.responses.at(0).partitions.at(0).records.bytes), expected);
      EXPECT_EQ(whole.responses.at(0).partitions.at(2).records.bytes.size(),
                3 * batch_of(std::string(20'000, 'a')).size());
      // Offsets outside, epochs that are not, topics and partitions that are not.
      request.topics[0].partitions[0].fetch_offset = 4;
      request.topics[0].partitions[1].current_leader_epoch = 5;
      request.topics[0].partitions[2].partition = 17;
      auto& unknown = request.topics.emplace_back();
      unknown.topic_id.bytes[0] = std::byte{1};
      unknown.partitions.emplace_back();
      const auto errors = CO_TRY(co_await one.connection().call(request));
      EXPECT_EQ(errors.responses.at(0).partitions.at(0).error_code, 1);
      EXPECT_EQ(errors.responses.at(0).partitions.at(1).error_code, 75);
      EXPECT_EQ(errors.responses.at(0).partitions.at(2).error_code, 3);
      EXPECT_EQ(errors.responses.at(1).partitions.at(0).error_code, 100);
    }
    co_return {};
  });
}

TEST_F(WireTest, the_oldest_fetch_and_the_newest_give_the_same_records) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("v", 1));
    auto one = CO_TRY(co_await client());
    const Bytes batch = batch_of("same", 5);
    CO_TRY(co_await one.produce("v", 0, batch));
    const auto table = topics->table();
    const auto request = fetch_request(*table->find("v"), {0}, 0, 0);
    for (int16_t version = MessageOf<FetchRequest>::kApi.oldest; version <= MessageOf<FetchRequest>::kApi.newest;
         ++version) {
      const auto fetched = CO_TRY(co_await one.connection().call(request, version));
      EXPECT_EQ(text_of(fetched.responses.at(0).partitions.at(0).records.bytes), "samesamesamesamesame") << version;
    }
    co_return {};
  });
}

TEST_F(WireTest, a_client_that_does_not_read_is_not_read_from_and_then_gets_everything) {
  server_options.pipelined_max = 4;
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("slow", 1));
    auto one = CO_TRY(co_await client());
    const Bytes batch = batch_of(std::string(30'000, 'x'));
    for (int i = 0; i < 10; ++i) CO_TRY(co_await one.produce("slow", 0, batch));
    const auto table = topics->table();
    const auto request = fetch_request(*table->find("slow"), {0}, 0, 0);
    constexpr int kRequests = 20;  // 6 MB of answers, and a buffer of 64 KiB between us
    for (int i = 0; i < kRequests; ++i) CO_TRY(co_await one.connection().send(request));
    CO_TRY(co_await io::sleep_for(seconds(10)));
    for (int i = 0; i < kRequests; ++i) {
      const auto fetched = CO_TRY(co_await one.connection().receive<FetchResponse>());
      EXPECT_EQ(fetched.responses.at(0).partitions.at(0).error_code, 0);
      EXPECT_EQ(fetched.responses.at(0).partitions.at(0).high_watermark, 10);
      EXPECT_EQ(fetched.responses.at(0).partitions.at(0).records.bytes.size(), 10 * batch.size());
    }
    // One that never reads is cut off.
    auto mute = CO_TRY(co_await connect());
    const Bytes frame = frame_of(request, 12);
    CO_TRY(co_await mute->write(BytesView(frame)));
    CO_TRY(co_await io::sleep_for(seconds(60)));
    EXPECT_EQ(open_connections.load(), 1u);
    co_return {};
  });
}

TEST_F(WireTest, answers_to_a_client_that_does_not_read_leave_in_their_order_and_whole) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("clicks"));
    auto stream = CO_TRY(co_await connect());
    // Answers of 200 kB each: what is in front of them fills the connection, and the write waits.
    ProduceRequest wide;
    wide.acks = -1;
    auto& data = wide.topic_data.emplace_back();
    data.name = "clicks";
    for (int32_t partition = 100; partition < 8'000; ++partition) data.partition_data.emplace_back().index = partition;
    int32_t sent = 0;
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < 3; ++i) {
        const Bytes frame = frame_of(wide, 9, sent++);
        CO_TRY(co_await stream->write(BytesView(frame)));
      }
      CO_TRY(co_await io::sleep_for(milliseconds(100)));
      for (int i = 0; i < 2; ++i) {
        const Bytes frame = frame_of(MetadataRequest(), 9, sent++);
        CO_TRY(co_await stream->write(BytesView(frame)));
      }
      // Only now it reads.
      for (int32_t expected = sent - 5; expected < sent; ++expected) {
        const Bytes answer = CO_TRY(co_await next_frame(*stream));
        EXPECT_EQ(base::load_big<uint32_t>(answer.data()), static_cast<uint32_t>(expected));
        if (expected % 5 < 3) EXPECT_GT(answer.size(), 100'000u);
      }
    }
    co_return {};
  });
}

TEST_F(WireTest, requests_beyond_the_memory_wait_their_turn) {
  server_options.held_bytes_max = 100 << 10;
  server_options.memory_bytes_max = 300 << 10;
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("big", 2, {{"max.message.bytes", "10000000"}}));
    std::vector<Client> clients;
    constexpr int kClients = 5, kEach = 6;
    const Bytes batch = batch_of(std::string(90'000, 'x')), huge = batch_of(std::string(3'000'000, 'y'));
    for (int i = 0; i < kClients; ++i) clients.push_back(CO_TRY(co_await client()));
    io::TaskGroup group(co_await io::this_scope());
    size_t done = 0;
    for (int i = 0; i < kClients; ++i)
      group.spawn(send_all(clients[static_cast<size_t>(i)], i % 2, batch, huge, kEach, done));
    co_await group.join();
    EXPECT_EQ(done, static_cast<size_t>(kClients * kEach));
    EXPECT_EQ(acceptor->statistics().held_bytes, 0u);
    co_return {};
  });
}

TEST_F(WireTest, slow_senders_hold_no_block_and_are_cut_off_in_the_end) {
  run([&]() -> Task<Result<void>> {
    const Bytes frame = frame_of(MetadataRequest(), 1);
    auto drip = CO_TRY(co_await connect());
    for (const std::byte one : frame) {
      CO_TRY(co_await drip->write(BytesView(&one, 1)));
      CO_TRY(co_await io::sleep_for(milliseconds(100)));
    }
    EXPECT_TRUE(co_await next_frame(*drip));
    // Announces much, sends little: others are served meanwhile.
    Bytes announced(200);
    base::store_big(announced.data(), uint32_t{90 << 20});
    auto liar = CO_TRY(co_await connect());
    CO_TRY(co_await liar->write(BytesView(announced)));
    CO_TRY(co_await io::sleep_for(seconds(1)));
    EXPECT_TRUE(co_await send_raw(frame));
    CO_TRY(co_await io::sleep_for(std::chrono::minutes(11)));
    EXPECT_EQ(open_connections.load(), 0u);
    co_return {};
  });
}

TEST_F(WireTest, a_door_with_sasl_answers_nothing_before_the_proof) {
  run(
      [&]() -> Task<Result<void>> {
        EXPECT_TRUE(co_await send_raw(frame_of(ApiVersionsRequest{}, 0)));
        EXPECT_TRUE(co_await closes(frame_of(MetadataRequest(), 1)));
        const Bytes batch = batch_of("x");
        EXPECT_TRUE(co_await closes(frame_of(produce_request("t", 0, batch), 9)));
        // Frames are small before.
        Bytes large(8);
        base::store_big(large.data(), uint32_t{1 << 20});
        EXPECT_TRUE(co_await closes(large));
        // Whoever says nothing is sent away.
        auto silent = CO_TRY(co_await connect());
        CO_TRY(co_await io::sleep_for(kAuthenticationTimeMax + seconds(1)));
        EXPECT_EQ(open_connections.load(), 0u);
        auto one = CO_TRY(co_await client());
        CO_TRY(co_await one.connection().authenticate("root", std::string(kPassword)));
        CO_TRY(co_await one.create_topic("t", 1));
        CO_TRY(co_await one.produce("t", 0, batch));
        auto wrong = CO_TRY(co_await client());
        EXPECT_FALSE(co_await wrong.connection().authenticate("root", "wrong"));
        // Version 0: the tokens travel bare, and after them requests.
        auto raw = CO_TRY(co_await connect());
        const Bytes handshake = frame_of(SaslHandshakeRequest{.mechanism = "PLAIN"}, 0);
        CO_TRY(co_await raw->write(BytesView(handshake)));
        CO_TRY(co_await next_frame(*raw));
        const std::string token = std::string(1, '\0') + "root" + std::string(1, '\0') + std::string(kPassword);
        Bytes bare(4);
        base::store_big(bare.data(), static_cast<uint32_t>(token.size()));
        bare.insert(bare.end(), as_bytes(token).begin(), as_bytes(token).end());
        CO_TRY(co_await raw->write(BytesView(bare)));
        EXPECT_TRUE(CO_TRY(co_await next_frame(*raw)).empty());
        const Bytes metadata = frame_of(MetadataRequest(), 1);
        CO_TRY(co_await raw->write(BytesView(metadata)));
        EXPECT_GT(CO_TRY(co_await next_frame(*raw)).size(), 8u);
        co_return {};
      },
      {.name = "sasl", .must_authenticate = true});
}

TEST_F(WireTest, everything_works_over_tls) {
  const std::string names[] = {"10.0.0.1"};
  const auto certificate = must(io::make_self_signed(names, std::chrono::hours(1)));
  auto context = must(io::TlsContext::server(
      {.certificate_chain_pem = certificate.chain_pem, .private_key_pem = certificate.key_pem, .protocols = {}}));
  run(
      [&]() -> Task<Result<void>> {
        auto trust = CO_TRY(io::TlsContext::client({.authorities_pem = certificate.chain_pem}));
        auto secured = CO_TRY(co_await io::tls_connect(CO_TRY(co_await connect()), trust, "10.0.0.1"));
        Client one(ClientConnection(std::move(secured), "tls"));
        CO_TRY(co_await one.create_topic("t", 1));
        const Bytes batch = batch_of(std::string(50'000, 'z'));
        for (int i = 0; i < 10; ++i) CO_TRY(co_await one.send_batch("t", 0, batch, -1));
        for (int i = 0; i < 10; ++i) EXPECT_EQ(CO_TRY(co_await one.batch_answer()).base_offset, i);
        const auto fetched = CO_TRY(co_await one.fetch({.topic = "t"}));
        EXPECT_EQ(fetched.batches.size(), 10 * batch.size());
        // Who speaks in the clear here is not understood.
        EXPECT_FALSE(co_await send_raw(frame_of(MetadataRequest(), 1)));
        co_return {};
      },
      {.name = "tls", .tls = context, .plain = true});
}

TEST_F(WireTest, metadata_makes_topics_that_are_wanted_and_no_others) {
  run([&]() -> Task<Result<void>> {
    auto one = CO_TRY(co_await client());
    MetadataRequest request;
    auto& asked = request.topics.emplace();
    for (const std::string_view name : {"fresh", "a/b", ".", "__consumer_offsets"}) asked.emplace_back().name = name;
    for (int16_t version = 0; version <= MessageOf<MetadataRequest>::kApi.newest; ++version) {
      const auto answer = CO_TRY(co_await one.connection().call(request, version));
      WIRE_EXPECT(answer.topics.size() == 4 && answer.brokers.size() == 1);
      EXPECT_EQ(answer.brokers[0].host, "10.0.0.1");
      EXPECT_EQ(answer.brokers[0].port, 9092);
      EXPECT_EQ(answer.topics[0].error_code, 0);
      EXPECT_EQ(answer.topics[0].partitions.size(), 1u);
      EXPECT_EQ(answer.topics[1].error_code, 17);
      EXPECT_EQ(answer.topics[2].error_code, 17);
      EXPECT_EQ(answer.topics[3].error_code, 3);
    }
    request.topics->clear();
    EXPECT_EQ(CO_TRY(co_await one.connection().call(request, 0)).topics.size(), 1u);
    EXPECT_TRUE(CO_TRY(co_await one.connection().call(request)).topics.empty());
    request.topics.reset();
    EXPECT_EQ(CO_TRY(co_await one.connection().call(request)).topics.size(), 1u);
    co_return {};
  });
}

TEST_F(WireTest, topics_are_described_page_by_page) {
  run([&]() -> Task<Result<void>> {
    for (const std::string name : {"c", "a", "b"}) CO_TRY(co_await make_topic(name, 5));
    auto one = CO_TRY(co_await client());
    std::vector<std::string> seen;
    DescribeTopicPartitionsRequest request;
    request.response_partition_limit = 4;
    std::string cursor_topic;
    for (int page = 0; page < 10; ++page) {
      const auto answer = CO_TRY(co_await one.connection().call(request));
      for (const auto& topic : answer.topics)
        for (const auto& partition : topic.partitions)
          seen.push_back(topic.name.value_or("") + std::to_string(partition.partition_index));
      if (!answer.next_cursor) break;
      cursor_topic = answer.next_cursor->topic_name;
      request.cursor = {.topic_name = cursor_topic, .partition_index = answer.next_cursor->partition_index};
    }
    const std::vector<std::string> expected{"a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2",
                                            "b3", "b4", "c0", "c1", "c2", "c3", "c4"};
    EXPECT_EQ(seen, expected);
    co_return {};
  });
}

TEST_F(WireTest, offsets_are_told_by_time_and_by_epoch_and_records_deleted) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("o", 1));
    const int64_t since_ms = base::milliseconds_since_epoch(world.clock().wall());
    auto one = CO_TRY(co_await client());
    for (int i = 0; i < 10; ++i) {
      const Bytes batch = make_batch({}, {"v"}, since_ms + 10 * i);
      CO_TRY(co_await one.produce("o", 0, batch));
    }
    EXPECT_EQ(CO_TRY(co_await one.offset_for("o", 0, kLatestOffset)), 10);
    EXPECT_EQ(CO_TRY(co_await one.offset_for("o", 0, kEarliestOffset)), 0);
    EXPECT_EQ(CO_TRY(co_await one.offset_for("o", 0, since_ms + 45)), 5);
    EXPECT_EQ(CO_TRY(co_await one.offset_for("o", 0, kMaxTimestampOffset)), 9);
    DeleteRecordsRequest erase;
    auto& topic = erase.topics.emplace_back();
    topic.name = "o";
    for (const int64_t offset : {4, 11, -2}) {
      auto& partition = topic.partitions.emplace_back();
      partition.offset = offset;
    }
    const auto erased = CO_TRY(co_await one.connection().call(erase));
    const auto& answers = erased.topics.at(0).partitions;
    EXPECT_EQ(answers.at(0).low_watermark, 4);
    EXPECT_EQ(answers.at(1).error_code, 1);
    EXPECT_EQ(answers.at(2).error_code, 1);
    EXPECT_EQ(CO_TRY(co_await one.offset_for("o", 0, kEarliestOffset)), 4);
    ListOffsetsRequest old;
    auto& listed = old.topics.emplace_back();
    listed.name = "o";
    listed.partitions.push_back({.timestamp = kLatestOffset, .max_num_offsets = 5});
    const auto oldest = CO_TRY(co_await one.connection().call(old, 0));
    EXPECT_EQ(oldest.topics.at(0).partitions.at(0).old_style_offsets, (std::vector<int64_t>{10, 4}));
    OffsetForLeaderEpochRequest epochs;
    auto& asked = epochs.topics.emplace_back();
    asked.topic = "o";
    asked.partitions.push_back({.partition = 0, .leader_epoch = 0});
    asked.partitions.push_back({.partition = 0, .current_leader_epoch = 3, .leader_epoch = 0});
    const auto ends = CO_TRY(co_await one.connection().call(epochs));
    EXPECT_EQ(ends.topics.at(0).partitions.at(0).end_offset, 10);
    EXPECT_EQ(ends.topics.at(0).partitions.at(1).error_code, 75);
    co_return {};
  });
}

TEST_F(WireTest, batches_are_stored_as_the_topic_wants_them) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("packed", 1, {{"compression.type", "zstd"}}));
    CO_TRY(co_await make_topic("plain", 1, {{"compression.type", "uncompressed"}}));
    CO_TRY(co_await make_topic("stamped", 1, {{"message.timestamp.type", "LogAppendTime"}}));
    auto one = CO_TRY(co_await client());
    const int64_t now_ms = base::milliseconds_since_epoch(world.clock().wall());
    const std::string value(5000, 'v');
    const Bytes sent = make_batch({"k"}, {value}, now_ms - 5000, Compression::kGzip);
    for (const auto& [topic, compression] : {std::pair{"packed", Compression::kZstd}, {"plain", Compression::kNone}}) {
      EXPECT_EQ(CO_TRY(co_await one.produce(topic, 0, sent)).log_append_time, -1);
      const auto fetched = CO_TRY(co_await one.fetch({.topic = topic}));
      const RecordBatch batch(fetched.batches);
      EXPECT_EQ(batch.compression(), compression);
      EXPECT_TRUE(batch.sound());
      EXPECT_EQ(batch.max_timestamp(), now_ms - 5000);
      EXPECT_EQ(text_of(fetched.batches), value);
    }
    EXPECT_GE(CO_TRY(co_await one.produce("stamped", 0, sent)).log_append_time, now_ms);
    const auto fetched = CO_TRY(co_await one.fetch({.topic = "stamped"}));
    const RecordBatch batch(fetched.batches);
    EXPECT_TRUE(batch.sound());
    EXPECT_GE(batch.max_timestamp(), now_ms);
    EXPECT_EQ(batch.compression(), Compression::kGzip);
    co_return {};
  });
}

TEST_F(WireTest, who_is_over_his_quota_is_told_and_then_not_read_from) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("q", 1));
    const Refusal set = co_await quotas->alter({{"client-id", "test"}}, {{"producer_byte_rate", 10'000.0}}, false);
    EXPECT_TRUE(set.ok());
    auto one = CO_TRY(co_await client());
    const Bytes batch = batch_of(std::string(40'000, 'x'));
    const auto request = produce_request("q", 0, batch);
    const ProduceResponse first = CO_TRY(co_await one.connection().call(request));
    EXPECT_GT(first.throttle_time_ms, 1000);
    const SteadyTime since = world.clock().steady();
    CO_TRY(co_await one.partitions_of("q"));
    EXPECT_GE(world.clock().steady() - since, milliseconds(first.throttle_time_ms - 100));
    co_return {};
  });
}

// More than a partition's buffer takes at once.
TEST_F(WireTest, batches_that_wait_for_the_disk_keep_their_order) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("full", 2, {{"max.message.bytes", "10000000"}}));
    std::vector<Bytes> batches;
    for (int i = 0; i < 80; ++i) batches.push_back(batch_of(std::to_string(i) + std::string(1 << 20, '.')));
    std::vector<std::pair<int16_t, Offset>> answers(batches.size());
    io::TaskGroup group(co_await io::this_scope());
    Session session = plain_client();
    for (size_t i = 0; i < batches.size(); ++i)
      group.spawn(produce_one(session, static_cast<int32_t>(i % 2), batches[i], answers[i]));
    co_await group.join();
    for (size_t i = 0; i < batches.size(); ++i) {
      EXPECT_EQ(answers[i].first, 0);
      EXPECT_EQ(answers[i].second, static_cast<Offset>(i / 2));
    }
    co_return {};
  });
}

// Whatever comes, the server answers or closes; and everybody else is served as before.
TEST_F(WireTest, random_and_mutated_bytes_harm_nobody) {
  run([&]() -> Task<Result<void>> {
    CO_TRY(co_await make_topic("t", 2));
    const auto table = topics->table();
    const Bytes batch = batch_of("x", 3);
    const std::vector<Bytes> seeds{frame_of(produce_request("t", 0, batch), 9),
                                   frame_of(produce_request("t", 1, batch, 1), 2),
                                   frame_of(fetch_request(*table->find("t"), {0, 1}, 0, 5), 13),
                                   frame_of(fetch_request(*table->find("t"), {0, 1}, 0, 5), 4),
                                   frame_of(MetadataRequest(), 12),
                                   frame_of(ListOffsetsRequest(), 6),
                                   frame_of(ApiVersionsRequest{}, 3)};
    for (int round = 0; round < 400; ++round) {
      Bytes bytes;
      for (uint64_t frames = 1 + world.random().below(3); frames > 0; --frames) {
        const Bytes& seed = seeds[world.random().below(seeds.size())];
        bytes.insert(bytes.end(), seed.begin(), seed.end());
      }
      if (world.random().chance(1, 4)) {
        bytes.resize(1 + world.random().below(200));
        world.random().fill(MutableBytes(bytes).subspan(std::min<size_t>(bytes.size(), 4)));
      }
      for (uint64_t flips = world.random().below(6); flips > 0; --flips)
        bytes[world.random().below(bytes.size())] = static_cast<std::byte>(world.random().below(256));
      auto stream = CO_TRY(co_await connect());
      (void)co_await stream->write(BytesView(bytes));
      (void)co_await stream->finish();
      while (co_await next_frame(*stream)) {
      }
    }
    auto one = CO_TRY(co_await client());
    CO_TRY(co_await one.produce("t", 0, batch));
    co_return {};
  });
}

}  // namespace
}  // namespace polis::stream
