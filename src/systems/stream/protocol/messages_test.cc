// Every message of every version there is: random content written, read and written again.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/stream/protocol/message_fields.h"
#include "systems/stream/protocol/wire.h"

namespace polis::stream {
namespace {

using base::SeededRandom;

// A codec that neither reads nor writes: it gives every field a random value. Text lives in `arena`.
class Filler {
 public:
  explicit Filler(Random& random) : random_(random) {}

  void field(bool& value) { value = random_.chance(1, 2); }
  template <class T>
    requires std::is_integral_v<T>
  void field(T& value) {
    value = static_cast<T>(random_.next());
  }
  void field(double& value) { value = static_cast<double>(random_.below(1000)); }
  void field(Uuid& value) { random_.fill(value.bytes); }
  void field(Records& value, bool nullable = true) {
    value.null = nullable && random_.chance(1, 4);
    if (!value.null) value.bytes = as_bytes(text());
  }
  void field(std::string_view& value) { value = text(); }
  void field(std::string& value) { value = text(); }
  void field(BytesView& value) { value = as_bytes(text()); }
  void field(Bytes& value) {
    const BytesView bytes = as_bytes(text());
    value.assign(bytes.begin(), bytes.end());
  }
  template <class T>
  void field(std::optional<T>& value, bool nullable) {
    if (nullable && random_.chance(1, 3)) return value.reset();
    T inner{};
    field(inner);
    value = std::move(inner);
  }
  template <class T, class F>
  void array(std::vector<T>& values, F element) {
    values.clear();
    for (uint64_t i = random_.below(4); i > 0; --i) {
      T value{};
      element(value);
      values.push_back(std::move(value));
    }
  }
  template <class T, class F>
  void array(std::optional<std::vector<T>>& values, F element, bool nullable) {
    if (nullable && random_.chance(1, 3)) return values.reset();
    array(values.emplace(), element);
  }
  template <class T, class F>
  void structure(std::optional<T>& value, F inner) {
    if (random_.chance(1, 3)) return value.reset();
    T made{};
    inner(made);
    value = std::move(made);
  }
  void no_tags() {}
  template <class F>
  void tags(F known) {
    known(*this);
  }
  template <class F>
  void tag(uint64_t /*which*/, bool /*is_default*/, F fill) {
    if (random_.chance(1, 2)) fill(*this);
  }

 private:
  std::string_view text() {
    static const std::string kText(300, 'x');
    return std::string_view(kText).substr(0, random_.chance(1, 20) ? 300 : random_.below(12));
  }
  Random& random_;
};

template <class Message>
void every_version_round_trips(Random& random) {
  constexpr ApiVersions kApi = MessageOf<Message>::kApi;
  for (int version = kApi.oldest; version <= kApi.newest; ++version) {
    SCOPED_TRACE(std::string(kApi.name) + " version " + std::to_string(version));
    for (int round = 0; round < 8; ++round) {
      Message message;
      Filler filler(random);
      fields(filler, message, version);
      Bytes first;
      Encoder encoder(first);
      encode(encoder, message, version);

      Message again;
      Decoder decoder(first);
      const auto read = decode(decoder, again, version);
      ASSERT_TRUE(read) << read.error().text();
      EXPECT_EQ(decoder.remaining_bytes(), 0u);
      Bytes second;
      Encoder encoder2(second);
      encode(encoder2, again, version);
      ASSERT_EQ(first, second);

      // Cut anywhere it is refused, but for nothing: only an empty message can be read from less.
      const size_t cut = random.below(first.size() + 1);
      Decoder shortened(BytesView(first).first(cut));
      EXPECT_EQ(decode(shortened, again, version).has_value(), cut == first.size());
      // And no byte makes it read outside or ask for memory that is not there.
      for (int i = 0; i < 8 && !first.empty(); ++i) {
        Bytes flipped = first;
        flipped[random.below(flipped.size())] = static_cast<std::byte>(random.next());
        Decoder hostile(flipped);
        (void)decode(hostile, again, version);
      }
    }
  }
}

template <class... Messages>
void all(Random& random) {
  (every_version_round_trips<Messages>(random), ...);
}

TEST(Messages, every_version_of_every_message_is_read_as_it_was_written) {
  SeededRandom random(20);
#define BOTH(name) name##Request, name##Response
  all<BOTH(Produce), BOTH(Fetch), BOTH(ListOffsets), BOTH(Metadata), BOTH(OffsetCommit), BOTH(OffsetFetch),
      BOTH(FindCoordinator), BOTH(JoinGroup), BOTH(Heartbeat), BOTH(LeaveGroup), BOTH(SyncGroup), BOTH(DescribeGroups),
      BOTH(ListGroups), BOTH(SaslHandshake), BOTH(ApiVersions), BOTH(CreateTopics), BOTH(DeleteTopics),
      BOTH(DeleteRecords), BOTH(InitProducerId), BOTH(OffsetForLeaderEpoch), BOTH(AddPartitionsToTxn),
      BOTH(AddOffsetsToTxn), BOTH(EndTxn), BOTH(TxnOffsetCommit), BOTH(DescribeAcls), BOTH(CreateAcls),
      BOTH(DeleteAcls), BOTH(DescribeConfigs), BOTH(AlterConfigs), BOTH(DescribeLogDirs), BOTH(SaslAuthenticate),
      BOTH(CreatePartitions), BOTH(DeleteGroups), BOTH(ElectLeaders), BOTH(IncrementalAlterConfigs),
      BOTH(AlterPartitionReassignments), BOTH(ListPartitionReassignments), BOTH(OffsetDelete),
      BOTH(DescribeClientQuotas), BOTH(AlterClientQuotas), BOTH(DescribeUserScramCredentials),
      BOTH(AlterUserScramCredentials), BOTH(DescribeCluster), BOTH(DescribeProducers), BOTH(DescribeTransactions),
      BOTH(ListTransactions), BOTH(DescribeTopicPartitions)>(random);
#undef BOTH
}

Bytes hex(std::string_view digits) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16)));
  return bytes;
}

// Built by hand from the protocol guide's grammar, not by our encoder.
TEST(Messages, a_metadata_request_of_an_old_client_lies_as_the_guide_says) {
  MetadataRequest request;
  const Bytes bytes =
      hex("00000001"
          "0003"
          "666f6f");
  Decoder decoder(bytes);
  ASSERT_TRUE(decode(decoder, request, 0));
  ASSERT_TRUE(request.topics);
  ASSERT_EQ(request.topics->size(), 1u);
  EXPECT_EQ((*request.topics)[0].name, "foo");
}

TEST(Messages, a_metadata_request_of_a_new_client_has_compact_fields_and_tags) {
  MetadataRequest request;
  const std::string uuid(32, '0');
  const Bytes bytes = hex("02" + uuid +
                          "04"
                          "666f6f"
                          "00"
                          "01"
                          "00"
                          "00");
  Decoder decoder(bytes);
  ASSERT_TRUE(decode(decoder, request, 12));
  EXPECT_EQ((*request.topics)[0].name, "foo");
  EXPECT_TRUE(request.allow_auto_topic_creation);
}

TEST(Messages, tags_that_nobody_knows_are_passed_over) {
  MetadataRequest request;
  // Version 9: topics null, three booleans, then one tag 99 of two bytes.
  const Bytes bytes =
      hex("00"
          "00"
          "00"
          "00"
          "01"
          "63"
          "02"
          "abcd");
  Decoder decoder(bytes);
  EXPECT_TRUE(decode(decoder, request, 9));
  EXPECT_EQ(decoder.remaining_bytes(), 0u);
  EXPECT_FALSE(request.topics);
}

TEST(Messages, a_count_larger_than_what_follows_is_refused_before_anything_is_allocated) {
  MetadataRequest request;
  const Bytes bytes =
      hex("7fffffff"
          "0003"
          "666f6f");
  Decoder decoder(bytes);
  EXPECT_FALSE(decode(decoder, request, 0));
}

TEST(Messages, a_message_with_more_elements_than_its_reader_wants_is_refused) {
  DescribeGroupsRequest request;
  const Bytes bytes =
      hex("04"  // three groups
          "0261"
          "0262"
          "0263"
          "00"
          "00");
  Decoder enough(bytes, 3);
  EXPECT_TRUE(decode(enough, request, 5));
  EXPECT_EQ(request.groups.size(), 3u);
  Decoder few(bytes, 2);
  EXPECT_FALSE(decode(few, request, 5));
}

TEST(Messages, a_text_too_long_for_an_old_version_is_cut) {
  CreateTopicsResponse response;
  response.topics.emplace_back().name = std::string(40'000, 'x');
  for (const int16_t version : {int16_t{4}, int16_t{5}}) {
    Bytes bytes;
    Encoder encoder(bytes);
    encode(encoder, response, version);
    CreateTopicsResponse read;
    Decoder decoder(bytes);
    ASSERT_TRUE(decode(decoder, read, version));
    EXPECT_EQ(read.topics.at(0).name.size(), version < 5 ? 32'767u : 40'000u);
  }
}

TEST(Messages, records_that_lie_in_a_file_leave_a_place_for_the_sender) {
  FetchResponse response;
  auto& topic = response.responses.emplace_back();
  topic.topic = "t";
  auto& partition = topic.partitions.emplace_back();
  partition.records.external_bytes = 1000;
  partition.records.external = 7;
  Bytes bytes;
  std::vector<Splice> splices;
  Encoder encoder(bytes, &splices);
  encode(encoder, response, 4);
  ASSERT_EQ(splices.size(), 1u);
  EXPECT_EQ(splices[0].size_bytes, 1000u);
  EXPECT_EQ(splices[0].external, 7u);
  EXPECT_EQ(splices[0].position, bytes.size());  // of version 4 nothing follows the records
}

}  // namespace
}  // namespace polis::stream
