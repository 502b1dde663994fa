#include "systems/stream/protocol/record_batch.h"

#include <gtest/gtest.h>

#include "kernel/base/compression.h"
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/base/random.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

Bytes three_records() {
  BatchBuilder builder;
  builder.add(1000, as_bytes("k1"), as_bytes("v1"));
  const Header header{.key = "h", .value = as_bytes("x")};
  const Header empty{.key = "", .value = std::nullopt};
  const Header headers[] = {header, empty};
  builder.add(990, std::nullopt, as_bytes("v2"), headers);
  builder.add(1010, as_bytes(""), std::nullopt);
  return builder.finish(42);
}

TEST(RecordBatch, a_batch_says_what_was_put_in) {
  const Bytes bytes = three_records();
  const RecordBatch batch(bytes);
  ASSERT_TRUE(batch.check()) << batch.check().error().text();
  EXPECT_EQ(batch.base_offset(), 42);
  EXPECT_EQ(batch.last_offset(), 44);
  EXPECT_EQ(batch.count(), 3);
  EXPECT_EQ(batch.base_timestamp(), 1000);
  EXPECT_EQ(batch.max_timestamp(), 1010);
  EXPECT_EQ(batch.producer_id(), -1);
  RecordReader reader(batch, batch.records());
  const auto first = reader.next();
  ASSERT_TRUE(first && *first);
  EXPECT_EQ(as_text(*(*first)->key), "k1");
  EXPECT_EQ((*first)->offset, 42);
  EXPECT_EQ((*first)->timestamp, 1000);
  const auto second = reader.next();
  ASSERT_TRUE(second && *second);
  EXPECT_FALSE((*second)->key);
  EXPECT_EQ((*second)->timestamp, 990);
  ASSERT_EQ((*second)->headers.size(), 2u);
  EXPECT_EQ((*second)->headers[0].key, "h");
  EXPECT_FALSE((*second)->headers[1].value);
  const auto third = reader.next();
  ASSERT_TRUE(third && *third);
  EXPECT_TRUE((*third)->key && (*third)->key->empty());
  EXPECT_FALSE((*third)->value);
  const auto end = reader.next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

TEST(RecordBatch, offset_and_epoch_stand_outside_the_checksum) {
  Bytes bytes = three_records();
  const uint32_t crc = RecordBatch(bytes).crc();
  set_base_offset(bytes, 1'000'000'000'000);
  set_leader_epoch(bytes, 9);
  EXPECT_TRUE(RecordBatch(bytes).check());
  EXPECT_EQ(RecordBatch(bytes).crc(), crc);
  EXPECT_EQ(RecordBatch(bytes).last_offset(), 1'000'000'000'002);
}

TEST(RecordBatch, the_brokers_time_replaces_the_producers) {
  Bytes bytes = three_records();
  set_log_append_time(bytes, 5000);
  const RecordBatch batch(bytes);
  ASSERT_TRUE(batch.check());
  RecordReader reader(batch, batch.records());
  EXPECT_EQ((*reader.next())->timestamp, 5000);
}

TEST(RecordBatch, a_batch_in_any_compression_holds_the_same_records) {
  BatchBuilder builder;
  const std::string value(100'000, 'v');
  builder.add(1, as_bytes("k"), as_bytes(value));
  builder.add(2, as_bytes("l"), as_bytes("w"));
  const Bytes plain = builder.finish(7);
  for (const auto compression :
       {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    const auto packed = with_compression(RecordBatch(plain), compression);
    ASSERT_TRUE(packed);
    const RecordBatch batch(*packed);
    ASSERT_TRUE(batch.check()) << batch.check().error().text();
    EXPECT_EQ(batch.compression(), compression);
    EXPECT_EQ(batch.base_offset(), 7);
    Bytes storage;
    const auto records = open_records(batch, storage);
    ASSERT_TRUE(records) << records.error().text();
    EXPECT_TRUE(std::ranges::equal(*records, RecordBatch(plain).records()));
  }
}

TEST(RecordBatch, snappy_without_framing_is_read_too) {
  const Bytes plain = three_records();
  const BytesView header = BytesView(plain).first(kBatchHeaderBytes);
  Bytes packed(header.begin(), header.end());
  base::compress(base::CompressionFormat::kSnappy, RecordBatch(plain).records(), packed);
  set_compression(packed, Compression::kSnappy);
  Bytes storage;
  const auto records = open_records(RecordBatch(packed), storage);
  ASSERT_TRUE(records);
  EXPECT_TRUE(std::ranges::equal(*records, RecordBatch(plain).records()));
}

TEST(RecordBatch, every_flipped_byte_behind_the_checksum_is_found) {
  const Bytes sound = three_records();
  for (size_t i = 8; i < sound.size(); ++i) {
    if (i >= 12 && i < 16) continue;  // the leader epoch
    Bytes bytes = sound;
    bytes[i] ^= std::byte{0x10};
    EXPECT_FALSE(RecordBatch(bytes).check()) << "byte " << i;
  }
}

TEST(RecordBatch, a_batch_that_is_cut_off_is_not_one) {
  const Bytes sound = three_records();
  for (size_t size = 0; size < sound.size(); ++size) EXPECT_FALSE(RecordBatch(BytesView(sound).first(size)).check());
  EXPECT_FALSE(*RecordBatch::size_of(BytesView(sound).first(11)));
  EXPECT_EQ(**RecordBatch::size_of(BytesView(sound).first(12)), sound.size());
}

TEST(RecordBatch, hostile_records_never_lead_outside_the_batch) {
  const Bytes sound = three_records();
  base::SeededRandom random(7);
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes = sound;
    for (uint64_t flips = 1 + random.below(3); flips > 0; --flips)
      bytes[kBatchHeaderBytes + random.below(bytes.size() - kBatchHeaderBytes)] = static_cast<std::byte>(random.next());
    const RecordBatch batch(bytes);
    RecordReader reader(batch, batch.records());
    for (int i = 0; i < 4; ++i) {
      const auto record = reader.next();
      if (!record || !*record) break;
    }
  }
}

TEST(RecordBatch, a_count_below_zero_is_refused) {
  for (const uint32_t count : {0x8000'0000u, 0xffff'ffffu}) {
    Bytes bytes = three_records();
    base::store_big<uint32_t>(bytes.data() + kBatchHeaderBytes - 4, count);
    const RecordBatch batch(bytes);
    EXPECT_FALSE(batch.check());
    EXPECT_FALSE(RecordReader(batch, batch.records()).next());
  }
}

// Written down from the format's description, not by our builder: offset 5, one record without key, value "a", time 0.
TEST(RecordBatch, a_batch_put_together_by_hand_is_read) {
  const std::string hex =
      "0000000000000005"
      "00000039"
      "00000000"
      "02"
      "00000000"
      "0000"
      "00000000"  // offset, length 57, epoch, magic, crc
      "0000000000000000"
      "0000000000000000"  // timestamps
      "ffffffffffffffff"
      "ffff"
      "ffffffff"
      "00000001"  // no producer, one record
      "0e"
      "00"
      "00"
      "00"
      "01"
      "02"
      "61"
      "00";  // 7 bytes: attributes, deltas, null key, 1 byte of value, no headers
  Bytes bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  base::store_big<uint32_t>(bytes.data() + 17, base::crc32c(BytesView(bytes).subspan(21)));
  const RecordBatch batch(bytes);
  ASSERT_TRUE(batch.check()) << batch.check().error().text();
  EXPECT_EQ(batch.base_offset(), 5);
  EXPECT_EQ(batch.producer_id(), -1);
  RecordReader reader(batch, batch.records());
  const auto record = reader.next();
  ASSERT_TRUE(record) << record.error().text();
  EXPECT_FALSE((*record)->key);
  EXPECT_EQ(as_text(*(*record)->value), "a");
}

}  // namespace
}  // namespace polis::stream
