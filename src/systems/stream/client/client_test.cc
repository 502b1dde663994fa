// What needs no broker: frames against a broker that is played, records taken apart, and who gets which partition.
#include "systems/stream/client/client.h"

#include <gtest/gtest.h>

#include "kernel/sim/world.h"
#include "systems/stream/client/group_member.h"
#include "systems/stream/client/partitioner.h"

namespace polis::stream {
namespace {

const io::Endpoint kBrokerEndpoint{.address = "10.0.0.1", .port = 9092};

// --- keys

TEST(Partitioner, hashes_as_kafka_s_own_clients_do) {
  // The vectors of the Java client's own test.
  const std::pair<std::string, int32_t> vectors[] = {{"21", -973932308},
                                                     {"foobar", -790332482},
                                                     {"a-little-bit-long-string", -985981536},
                                                     {"a-little-bit-longer-string", -1486304829},
                                                     {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                                                     {"abc", 479470107}};
  for (const auto& [key, hash] : vectors) EXPECT_EQ(static_cast<int32_t>(murmur2(as_bytes(key))), hash) << key;
}

// --- groups

TEST(Ranges, give_every_partition_to_exactly_one_subscriber) {
  for (int32_t partitions = 0; partitions < 20; ++partitions)
    for (int members = 1; members < 6; ++members) {
      std::map<std::string, std::vector<std::string>> subscriptions;
      for (int i = 0; i < members; ++i) subscriptions["m" + std::to_string(i)] = {"orders"};
      subscriptions["other"] = {"payments"};
      const auto assigned = assign_ranges(subscriptions, {{"orders", partitions}, {"payments", 1}});
      std::vector<int> owners(static_cast<size_t>(partitions));
      size_t most = 0, least = SIZE_MAX;
      for (const auto& [member, parts] : assigned) {
        if (member == "other") continue;
        most = std::max(most, parts.size());
        least = std::min(least, parts.size());
        for (const TopicPartition& one : parts) ++owners[static_cast<size_t>(one.partition)];
      }
      for (int count : owners) EXPECT_EQ(count, 1);
      EXPECT_LE(most - least, 1u);
      EXPECT_EQ(assigned.at("other"), (std::vector<TopicPartition>{{"payments", 0}}));
    }
}

TEST(GroupMessages, come_back_as_they_were) {
  const std::vector<TopicPartition> parts{{"a", 0}, {"a", 3}, {"b", 1}};
  EXPECT_EQ(decode_assignment(encode_assignment(parts)).value(), parts);
  EXPECT_EQ(decode_assignment({}).value(), std::vector<TopicPartition>{});
  const std::vector<std::string> topics{"a", "b"};
  EXPECT_EQ(decode_subscription(encode_subscription(topics)).value(), topics);
  const Bytes whole = encode_assignment(parts);
  for (size_t size = 1; size + 4 < whole.size(); ++size)
    EXPECT_FALSE(decode_assignment(BytesView(whole).first(size))) << size;
}

// --- records

std::vector<std::string> values_of(BytesView batches, ScanOptions options, Offset* next = nullptr) {
  std::vector<std::string> values;
  const auto end = scan_records(batches, std::move(options), [&](const Record& record, const RecordPlace& place) {
    values.emplace_back(place.batch.control() ? "marker" : as_text(*record.value));
    return true;
  });
  EXPECT_TRUE(end) << end.error().text();
  if (next && end) *next = *end;
  return values;
}

Bytes batch_at(Offset base, std::vector<std::string> values, Compression compression = Compression::kNone,
               int64_t transaction_of = -1) {
  Bytes batch = make_batch({}, values, 1000, compression,
                           {.id = transaction_of,
                            .epoch = static_cast<int16_t>(transaction_of < 0 ? -1 : 0),
                            .base_sequence = transaction_of < 0 ? -1 : 0,
                            .transactional = transaction_of >= 0});
  set_base_offset(batch, base);
  return batch;
}

Bytes marker_at(Offset base, int64_t producer, bool commit) {
  BatchBuilder builder({.id = producer, .epoch = 0, .base_sequence = -1, .transactional = true}, true);
  const std::byte key[] = {std::byte{0}, std::byte{0}, std::byte{0}, std::byte{commit ? uint8_t{1} : uint8_t{0}}};
  const std::byte value[6] = {};
  builder.add(1000, BytesView(key), BytesView(value));
  return builder.finish(base);
}

Bytes joined(std::initializer_list<Bytes> batches) {
  Bytes all;
  for (const Bytes& one : batches) all.insert(all.end(), one.begin(), one.end());
  return all;
}

TEST(ScanRecords, opens_every_codec) {
  for (Compression codec :
       {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    Offset next = 0;
    EXPECT_EQ(values_of(batch_at(5, {"a", "b", "c"}, codec), {.from = 6}, &next), (std::vector<std::string>{"b", "c"}));
    EXPECT_EQ(next, 8);
  }
}

TEST(ScanRecords, leaves_out_what_was_aborted_and_only_that) {
  const Bytes log = joined({batch_at(0, {"plain"}), batch_at(1, {"x1", "x2"}, Compression::kNone, 7),
                            batch_at(3, {"y1"}, Compression::kNone, 8), marker_at(4, 7, false),
                            batch_at(5, {"x3"}, Compression::kNone, 7), marker_at(6, 8, true), marker_at(7, 7, true)});
  const std::vector<AbortedRange> aborted{{.producer_id = 7, .first_offset = 1}};
  Offset next = 0;
  EXPECT_EQ(values_of(log, {.aborted = aborted}, &next), (std::vector<std::string>{"plain", "y1", "x3"}));
  EXPECT_EQ(next, 8);
  EXPECT_EQ(values_of(log, {}).size(), 5u);
  EXPECT_EQ(values_of(log, {.aborted = aborted, .markers = true, .aborted_records = true}).size(), 8u);
}

TEST(ScanRecords, ends_before_a_batch_that_is_cut_off) {
  Bytes log = joined({batch_at(0, {"a"}), batch_at(1, {"b"})});
  log.resize(log.size() - 1);
  Offset next = 0;
  EXPECT_EQ(values_of(log, {}, &next), (std::vector<std::string>{"a"}));
  EXPECT_EQ(next, 1);
}

TEST(ScanRecords, refuses_a_flipped_bit) {
  Bytes log = batch_at(0, {"abcdef"});
  log[log.size() - 3] ^= std::byte{1};
  const auto scanned = scan_records(log, {}, [](const Record&, const RecordPlace&) { return true; });
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().code(), Code::kCorrupt);
}

TEST(ScanRecords, goes_on_where_the_reader_stopped) {
  const Bytes log = batch_at(0, {"a", "b", "c"});
  size_t seen = 0;
  const auto next = scan_records(log, {}, [&](const Record&, const RecordPlace&) { return ++seen < 2; });
  EXPECT_EQ(next.value(), 1);  // "b" was refused
}

// --- frames

class PlayedBroker : public testing::Test {
 protected:
  using Play = std::function<Task<void>(io::Stream&)>;

  // Accepts one connection and plays; meanwhile the client does its part.
  void run(Play play, std::function<Task<void>(Client&)> body) { world_.run(both(std::move(play), std::move(body))); }

  Task<void> both(Play play, std::function<Task<void>(Client&)> body) {
    auto listener = world_.network().listen(kBrokerEndpoint);
    EXPECT_TRUE(listener);
    io::TaskGroup group;
    group.spawn(serve(**listener, play));
    auto stream = co_await world_.network().connect(kBrokerEndpoint, "10.0.0.2");
    EXPECT_TRUE(stream);
    Client client(ClientConnection(std::move(*stream), "test"));
    co_await body(client);
    client.connection().stream().close();
    group.stop();
    co_await group.join();
  }

  static Task<void> serve(io::Listener& listener, const Play& play) {
    auto stream = co_await listener.accept();
    if (stream) co_await play(**stream);
  }

  // The next request's frame, without its size.
  static Task<Result<Bytes>> frame(io::Stream& stream) {
    Bytes size(4);
    for (size_t at = 0; at < 4;) at += CO_TRY(co_await stream.read_some(MutableBytes(size).subspan(at)));
    Bytes body(base::load_big<uint32_t>(size.data()));
    for (size_t at = 0; at < body.size();) at += CO_TRY(co_await stream.read_some(MutableBytes(body).subspan(at)));
    co_return body;
  }
  static Bytes answer_bytes(int32_t correlation, BytesView body, bool flexible) {
    Bytes bytes(4);
    Encoder encoder(bytes);
    encoder.field(correlation);
    if (flexible) encoder.varint(0);
    encoder.raw(body);
    base::store_big<uint32_t>(bytes.data(), static_cast<uint32_t>(bytes.size() - 4));
    return bytes;
  }

  sim::World world_{1};
};

TEST_F(PlayedBroker, gets_a_header_that_it_can_read_and_its_answer_is_understood) {
  run(
      [](io::Stream& stream) -> Task<void> {
        const auto request = co_await frame(stream);
        if (!request) co_return;
        Decoder decoder(*request);
        int16_t key = 0, version = 0;
        int32_t correlation = 0;
        std::string client;
        decoder.field(key);
        decoder.field(version);
        decoder.field(correlation);
        decoder.field(client);
        EXPECT_EQ(key, 22);
        EXPECT_EQ(version, 5);
        EXPECT_EQ(client, "test");
        Bytes body;
        Encoder encoder(body);
        encode(encoder, InitProducerIdResponse{.producer_id = 4711, .producer_epoch = 3}, version);
        (void)co_await stream.write(BytesView(answer_bytes(correlation, body, true)));
      },
      [](Client& client) -> Task<void> {
        const auto producer = co_await client.init_producer();
        EXPECT_TRUE(producer);
        if (producer) EXPECT_EQ(producer->id, 4711);
      });
}

TEST_F(PlayedBroker, who_answers_something_else_is_told_apart) {
  run(
      [](io::Stream& stream) -> Task<void> {
        if (!co_await frame(stream)) co_return;
        (void)co_await stream.write(BytesView(answer_bytes(99, {}, true)));
      },
      [](Client& client) -> Task<void> {
        const auto producer = co_await client.init_producer();
        EXPECT_FALSE(producer);
        if (!producer) EXPECT_EQ(producer.error().code(), Code::kCorrupt);
      });
}

TEST_F(PlayedBroker, who_announces_gigabytes_is_not_believed) {
  run(
      [](io::Stream& stream) -> Task<void> {
        if (!co_await frame(stream)) co_return;
        const Bytes size(4, std::byte{0x7f});
        (void)co_await stream.write(BytesView(size));
      },
      [](Client& client) -> Task<void> {
        const auto producer = co_await client.init_producer();
        EXPECT_FALSE(producer);
        if (!producer) EXPECT_EQ(producer.error().code(), Code::kCorrupt);
      });
}

TEST_F(PlayedBroker, who_cuts_the_answer_off_gives_an_error) {
  run(
      [](io::Stream& stream) -> Task<void> {
        if (!co_await frame(stream)) co_return;
        const Bytes whole = answer_bytes(1, Bytes(20), true);
        (void)co_await stream.write(BytesView(whole).first(whole.size() - 5));
        stream.close();
      },
      [](Client& client) -> Task<void> {
        const auto producer = co_await client.init_producer();
        EXPECT_FALSE(producer);
        if (!producer) EXPECT_EQ(producer.error().code(), Code::kClosed);
      });
}

TEST_F(PlayedBroker, is_not_waited_for_without_acknowledgement) {
  run([](io::Stream& stream) -> Task<void> { (void)co_await frame(stream); },
      [](Client& client) -> Task<void> {
        const Bytes batch = make_batch({}, {"a"}, 1);
        EXPECT_TRUE(co_await client.produce("t", 0, batch, 0));
        EXPECT_EQ(client.connection().under_way(), 0u);
      });
}

TEST(Check, names_the_error_first) {
  const auto held = check(number(ErrorCode::kProducerFenced), "teller", "a newer one");
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().message(), "PRODUCER_FENCED (90): teller: a newer one");
  EXPECT_TRUE(check(0, "x"));
}

}  // namespace
}  // namespace polis::stream
