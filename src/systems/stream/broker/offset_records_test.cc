#include "systems/stream/broker/offset_records.h"

#include <gtest/gtest.h>

namespace polis::stream {
namespace {

TEST(OffsetRecords, a_group_is_where_kafka_puts_it) {
  // Java's "...".hashCode() & 0x7fffffff, modulo 50.
  EXPECT_EQ(offsets_partition_of("", 50), 0);
  EXPECT_EQ(offsets_partition_of("abc", 50), 4);
  EXPECT_EQ(offsets_partition_of("console-consumer-1", 50), 24);
  EXPECT_EQ(offsets_partition_of("grüppe", 50), 36);
  EXPECT_EQ(offsets_partition_of("群", 50), 26);
  EXPECT_EQ(offsets_partition_of("😀x", 50), 39);
  // What is no UTF-8 has a place all the same.
  EXPECT_GE(offsets_partition_of("\xff\xf0\x80", 50), 0);
}

TEST(OffsetRecords, keys_and_values_are_read_as_they_were_written) {
  const Bytes key = encode(OffsetKey{"g", "orders", 7});
  const auto offset = decode_offsets_key(key);
  ASSERT_TRUE(offset && std::holds_alternative<OffsetKey>(*offset));
  EXPECT_EQ(std::get<OffsetKey>(*offset).group, "g");
  EXPECT_EQ(std::get<OffsetKey>(*offset).topic, "orders");
  EXPECT_EQ(std::get<OffsetKey>(*offset).partition, 7);
  const Bytes generation_key = encode(GenerationKey{"g"});
  const auto generation = decode_offsets_key(generation_key);
  ASSERT_TRUE(generation && std::holds_alternative<GenerationKey>(*generation));
  for (const int64_t expires : {int64_t{-1}, int64_t{99}}) {
    const CommittedOffset value{
        .offset = 42, .leader_epoch = expires < 0 ? 3 : -1, .metadata = "m", .committed_ms = 5, .expires_ms = expires};
    const auto read = decode_committed_offset(encode(value));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->offset, 42);
    EXPECT_EQ(read->leader_epoch, value.leader_epoch);
    EXPECT_EQ(read->metadata, "m");
    EXPECT_EQ(read->committed_ms, 5);
    EXPECT_EQ(read->expires_ms, expires);
  }
}

TEST(OffsetRecords, bytes_are_kafkas) {
  const auto hex = [](const Bytes& bytes) {
    std::string text;
    for (const std::byte one : bytes) {
      text += "0123456789abcdef"[std::to_integer<int>(one) >> 4];
      text += "0123456789abcdef"[std::to_integer<int>(one) & 15];
    }
    return text;
  };
  EXPECT_EQ(hex(encode(OffsetKey{"g", "t", 1})),
            "0001"
            "000167"
            "000174"
            "00000001");
  EXPECT_EQ(hex(encode(GenerationKey{"g"})),
            "0002"
            "000167");
  EXPECT_EQ(hex(encode(CommittedOffset{.offset = 2, .leader_epoch = 0, .metadata = "m", .committed_ms = 3})),
            "0003"
            "0000000000000002"
            "00000000"
            "00016d"
            "0000000000000003");
}

TEST(OffsetRecords, what_is_cut_is_refused_and_what_is_newer_is_passed_over) {
  const Bytes key = encode(OffsetKey{"group", "orders", 7});
  for (size_t size = 0; size < key.size(); ++size) EXPECT_FALSE(decode_offsets_key(BytesView(key).first(size))) << size;
  const Bytes value = encode(CommittedOffset{.offset = 2, .leader_epoch = 0, .metadata = "m", .committed_ms = 3});
  for (size_t size = 0; size < value.size(); ++size)
    EXPECT_FALSE(decode_committed_offset(BytesView(value).first(size))) << size;
  Bytes newer = key;
  newer[1] = std::byte{3};
  const auto unknown = decode_offsets_key(newer);
  EXPECT_TRUE(unknown && std::holds_alternative<std::monostate>(*unknown));
  Bytes newer_value = value;
  newer_value[1] = std::byte{4};
  EXPECT_EQ(decode_committed_offset(newer_value).error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace polis::stream
