#include "systems/stream/partition/partition.h"

#include <gtest/gtest.h>
#include <map>

#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"
#include "systems/stream/partition/producer_table.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

class PartitionTest : public testing::Test {
 public:
  sim::World world;

 protected:
  explicit PartitionTest(uint64_t seed = 1) : world(seed), random(seed) {}

  Result<std::unique_ptr<Partition>> try_open() {
    return world.run(
        Partition::open(world.disk(), scheduler, world.clock(), random, {.directory = "t-0", .config = config}));
  }
  Result<std::unique_ptr<Partition>> open() {
    auto opened = try_open();
    if (!opened) ADD_FAILURE() << opened.error().text();
    return opened;
  }
  void close(std::unique_ptr<Partition>& partition) {
    EXPECT_TRUE(world.run(partition->close()));
    partition.reset();
  }
  static Bytes batch(int32_t count, std::string_view value = "v", BatchBuilder::Producer producer = {}) {
    BatchBuilder builder(producer);
    for (int32_t i = 0; i < count; ++i) builder.add(1000 + i, as_bytes("k"), as_bytes(value));
    return builder.finish();
  }
  AppendResult append(Partition& partition, const Bytes& bytes) {
    AppendResult result = partition.append(bytes, AppendOrigin::kClient);
    if (result.refusal.ok()) EXPECT_TRUE(world.run(partition.wait(result.next_offset)));
    return result;
  }
  // The offsets of the batches that a fetch shows.
  std::vector<Offset> fetch(Partition& partition, Offset from, uint64_t bytes_max = 1 << 20,
                            Isolation isolation = Isolation::kReadUncommitted) {
    const Fetched fetched = world.run(partition.fetch(from, bytes_max, isolation));
    EXPECT_TRUE(fetched.refusal.ok()) << fetched.refusal.message;
    Bytes bytes = fetched.bytes;
    if (fetched.file) {
      bytes.resize(fetched.range.size);
      EXPECT_EQ(world.run(fetched.file->read_at(fetched.range.offset, bytes)).value_or(0), bytes.size());
    }
    std::vector<Offset> offsets;
    BytesView rest = bytes;
    while (!rest.empty()) {
      const auto size = RecordBatch::size_of(rest);
      EXPECT_TRUE(size && *size && **size <= rest.size()) << "a batch is cut";
      if (!size || !*size || **size > rest.size()) break;
      const RecordBatch one(rest.first(**size));
      EXPECT_TRUE(one.check());
      offsets.push_back(one.base_offset());
      rest = rest.subspan(**size);
    }
    return offsets;
  }

  base::SeededRandom random;
  log::SyncScheduler scheduler;
  TopicConfig config;
};

TEST_F(PartitionTest, what_was_appended_is_fetched_whole_and_in_order) {
  auto partition = std::move(*open());
  EXPECT_EQ(append(*partition, batch(3)).base_offset, 0);
  EXPECT_EQ(append(*partition, batch(1)).base_offset, 3);
  EXPECT_EQ(append(*partition, batch(5)).base_offset, 4);
  EXPECT_EQ(partition->high_watermark(), 9);
  EXPECT_EQ(fetch(*partition, 0), (std::vector<Offset>{0, 3, 4}));
  EXPECT_EQ(fetch(*partition, 2), (std::vector<Offset>{0, 3, 4}));  // the batch that holds it comes whole
  EXPECT_EQ(fetch(*partition, 3, 1), (std::vector<Offset>{3}));     // at least one, whatever the limit
  EXPECT_EQ(fetch(*partition, 9), std::vector<Offset>{});
  EXPECT_EQ(world.run(partition->fetch(10, 1, Isolation::kReadUncommitted)).refusal.code, ErrorCode::kOffsetOutOfRange);
  close(partition);
  partition = std::move(*open());
  EXPECT_EQ(fetch(*partition, 0), (std::vector<Offset>{0, 3, 4}));
  EXPECT_EQ(partition->end_offset(), 9);
  close(partition);
}

TEST_F(PartitionTest, both_read_paths_give_the_same) {
  auto partition = std::move(*open());
  for (int i = 0; i < 20; ++i) (void)append(*partition, batch(1 + i % 3));
  const auto by_file = fetch(*partition, 5, 500);
  config.read_path = ReadPath::kCopy;
  partition->configure(config);
  EXPECT_EQ(fetch(*partition, 5, 500), by_file);
  close(partition);
}

TEST_F(PartitionTest, nothing_is_shown_before_it_is_on_disk) {
  auto partition = std::move(*open());
  const AppendResult result = partition->append(batch(2), AppendOrigin::kClient);
  EXPECT_EQ(partition->end_offset(), 2);
  EXPECT_EQ(partition->high_watermark(), 0);
  EXPECT_EQ(fetch(*partition, 0), std::vector<Offset>{});
  EXPECT_TRUE(world.run(partition->wait(result.next_offset)));
  EXPECT_EQ(fetch(*partition, 0), std::vector<Offset>{0});
  close(partition);
}

TEST_F(PartitionTest, bad_batches_are_refused_each_with_its_code) {
  config.max_message_bytes = 1000;
  auto partition = std::move(*open());
  const auto code = [&](const Bytes& bytes) { return partition->append(bytes, AppendOrigin::kClient).refusal.code; };
  Bytes flipped = batch(2);
  flipped.back() ^= std::byte{1};
  EXPECT_EQ(code(flipped), ErrorCode::kCorruptMessage);
  EXPECT_EQ(code(Bytes(10)), ErrorCode::kCorruptMessage);
  Bytes old = batch(2);
  old[16] = std::byte{1};
  EXPECT_EQ(code(old), ErrorCode::kUnsupportedForMessageFormat);
  EXPECT_EQ(code(batch(1, std::string(2000, 'x'))), ErrorCode::kMessageTooLarge);
  EXPECT_EQ(code(encode_marker(1, 0, {.commit = true}, 1)), ErrorCode::kInvalidRecord);
  EXPECT_EQ(partition->end_offset(), 0);
  close(partition);
}

TEST_F(PartitionTest, a_compacted_topic_takes_no_record_without_key) {
  config.cleanup_policy = CleanupPolicy::kCompact;
  auto partition = std::move(*open());
  BatchBuilder builder;
  builder.add(1, as_bytes("k"), as_bytes("v"));
  builder.add(1, std::nullopt, as_bytes("v"));
  const auto packed = with_compression(RecordBatch(builder.finish()), Compression::kZstd);
  EXPECT_EQ(partition->append(*packed, AppendOrigin::kClient).refusal.code, ErrorCode::kInvalidRecord);
  EXPECT_TRUE(partition->append(batch(2), AppendOrigin::kClient).refusal.ok());
  close(partition);
}

TEST_F(PartitionTest, a_retried_batch_is_stored_once_also_after_a_restart) {
  auto partition = std::move(*open());
  const Bytes one = batch(3, "v", {.id = 7, .epoch = 0, .base_sequence = 0});
  EXPECT_EQ(append(*partition, one).base_offset, 0);
  const AppendResult again = append(*partition, one);
  EXPECT_TRUE(again.duplicate);
  EXPECT_EQ(again.base_offset, 0);
  close(partition);
  partition = std::move(*open());
  EXPECT_TRUE(append(*partition, one).duplicate);
  EXPECT_EQ(append(*partition, batch(1, "v", {.id = 7, .epoch = 0, .base_sequence = 3})).base_offset, 3);
  EXPECT_EQ(partition->end_offset(), 4);
  close(partition);
}

TEST_F(PartitionTest, read_committed_stops_at_the_open_transaction_and_names_what_was_aborted) {
  auto partition = std::move(*open());
  partition->begin_transaction(7, 0);
  (void)append(*partition, batch(1));
  (void)append(*partition, batch(2, "v", {.id = 7, .epoch = 0, .base_sequence = 0, .transactional = true}));
  (void)append(*partition, batch(1));
  EXPECT_EQ(partition->last_stable_offset(), 1);
  EXPECT_EQ(fetch(*partition, 0, 1 << 20, Isolation::kReadCommitted), std::vector<Offset>{0});
  EXPECT_EQ(fetch(*partition, 0), (std::vector<Offset>{0, 1, 3}));
  const AppendResult marker = partition->end_transaction(7, 0, false, 0);
  EXPECT_TRUE(world.run(partition->wait(marker.next_offset)));
  EXPECT_EQ(partition->last_stable_offset(), 5);
  for (int round = 0; round < 2; ++round) {
    const Fetched fetched = world.run(partition->fetch(0, 1 << 20, Isolation::kReadCommitted));
    ASSERT_EQ(fetched.aborted.size(), 1u);
    EXPECT_EQ(fetched.aborted[0].producer_id, 7);
    EXPECT_EQ(fetched.aborted[0].first_offset, 1);
    close(partition);
    partition = std::move(*open());
  }
  close(partition);
}

TEST_F(PartitionTest, a_reader_that_waits_is_woken_by_what_it_asked_for) {
  auto partition = std::move(*open());
  const auto script = [](PartitionTest& test, Partition& p) -> Task<void> {
    io::TaskGroup group;
    std::vector<int> woken;
    const auto reader = [](Partition& p2, uint64_t bytes_min, std::vector<int>& out, int id) -> Task<void> {
      (void)co_await p2.wait_for_data(0, bytes_min, Isolation::kReadUncommitted);
      out.push_back(id);
    };
    group.spawn(reader(p, 1, woken, 1));
    group.spawn(reader(p, 400, woken, 2));
    (void)co_await io::sleep_for(10ms);
    EXPECT_TRUE(woken.empty());
    const Bytes bytes = batch(1, std::string(100, 'x'));
    (void)co_await p.wait(p.append(bytes, AppendOrigin::kClient).next_offset);
    (void)co_await io::sleep_for(10ms);
    EXPECT_EQ(woken, std::vector<int>{1});
    (void)co_await p.wait(p.append(bytes, AppendOrigin::kClient).next_offset);
    (void)co_await p.wait(p.append(bytes, AppendOrigin::kClient).next_offset);
    (void)co_await io::sleep_for(10ms);
    EXPECT_EQ(woken, (std::vector<int>{1, 2}));
    co_await group.join();
    (void)test;
  };
  world.run(script(*this, *partition));
  close(partition);
}

TEST_F(PartitionTest, offsets_are_found_by_time_also_inside_compressed_batches) {
  auto partition = std::move(*open());
  for (int b = 0; b < 3; ++b) {
    BatchBuilder builder;
    for (int i = 0; i < 10; ++i) builder.add(b * 100 + i * 10, as_bytes("k"), as_bytes("v"));
    const auto packed = with_compression(RecordBatch(builder.finish()), Compression::kGzip);
    (void)append(*partition, *packed);
  }
  const auto at = [&](int64_t time) { return *world.run(partition->offset_for(time, Isolation::kReadUncommitted)); };
  EXPECT_EQ(at(0).offset, 0);
  EXPECT_EQ(at(115).offset, 12);
  EXPECT_EQ(at(115).timestamp, 120);
  EXPECT_EQ(at(291).offset, -1);
  EXPECT_EQ(at(kLatestOffset).offset, 30);
  EXPECT_EQ(at(kEarliestOffset).offset, 0);
  EXPECT_EQ(at(kMaxTimestampOffset).offset, 29);
  close(partition);
}

TEST_F(PartitionTest, delayed_records_are_shown_when_their_time_has_come_and_in_order) {
  ASSERT_TRUE(config.set("polis.delay.ms", "5000"));
  config.segment_bytes = 1000;
  auto partition = std::move(*open());
  const auto later = [&](int64_t ms) {
    BatchBuilder builder;
    builder.add(base::milliseconds_since_epoch(world.clock().wall()) + ms, as_bytes("k"),
                as_bytes(std::string(200, 'x')));
    return builder.finish();
  };
  for (int i = 0; i < 20; ++i) (void)append(*partition, later(0));
  (void)append(*partition, later(3000));   // later still
  (void)append(*partition, later(-9000));  // due, but behind the one that is not
  EXPECT_EQ(fetch(*partition, 0), std::vector<Offset>{});
  EXPECT_EQ(partition->high_watermark(), 22);
  world.run_for(4s);
  EXPECT_EQ(fetch(*partition, 0), std::vector<Offset>{});
  // Who waits is woken when the time has come.
  const SteadyTime begin = world.clock().steady();
  EXPECT_TRUE(world.run(partition->wait_for_data(0, 1, Isolation::kReadUncommitted)));
  EXPECT_LE(world.clock().steady() - begin, 2s);
  EXPECT_FALSE(fetch(*partition, 0).empty());
  world.run_for(1s);
  EXPECT_EQ(fetch(*partition, 19), std::vector<Offset>{19});
  EXPECT_EQ(fetch(*partition, 20), std::vector<Offset>{});
  close(partition);
  partition = std::move(*open());
  world.run_for(100ms);
  EXPECT_EQ(fetch(*partition, 19), std::vector<Offset>{19});
  EXPECT_EQ(fetch(*partition, 20), std::vector<Offset>{});
  world.run_for(3s);
  EXPECT_EQ(fetch(*partition, 20), std::vector<Offset>{20});  // of one segment
  EXPECT_EQ(fetch(*partition, 21), std::vector<Offset>{21});
  // Without the delay everything is shown at once.
  (void)append(*partition, later(0));
  EXPECT_EQ(fetch(*partition, 22), std::vector<Offset>{});
  ASSERT_TRUE(config.set("polis.delay.ms", "0"));
  partition->configure(config);
  EXPECT_EQ(fetch(*partition, 22), std::vector<Offset>{22});
  close(partition);
}

TEST_F(PartitionTest, deleted_records_stay_deleted) {
  config.segment_bytes = 1000;
  auto partition = std::move(*open());
  for (int i = 0; i < 30; ++i) (void)append(*partition, batch(2, std::string(100, 'x')));
  EXPECT_FALSE(world.run(partition->delete_before(61)));
  EXPECT_EQ(*world.run(partition->delete_before(31)), 31);
  EXPECT_LT(partition->statistics().segments, 10u);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(partition->log_start_offset(), 31);
    EXPECT_EQ(world.run(partition->fetch(30, 1, Isolation::kReadUncommitted)).refusal.code,
              ErrorCode::kOffsetOutOfRange);
    EXPECT_EQ(fetch(*partition, 31, 1), std::vector<Offset>{30});
    close(partition);
    partition = std::move(*open());
  }
  close(partition);
}

TEST_F(PartitionTest, old_segments_go_by_age_and_by_size) {
  config.segment_bytes = 1000;
  config.retention_ms = 60'000;
  auto partition = std::move(*open());
  const int64_t now = base::milliseconds_since_epoch(world.clock().wall());
  for (int i = 0; i < 30; ++i) {
    BatchBuilder builder;
    builder.add(i < 20 ? now - 100'000 : now, as_bytes("k"), as_bytes(std::string(200, 'x')));
    (void)append(*partition, builder.finish());
  }
  ASSERT_TRUE(world.run(partition->tend()));
  const Offset start = partition->log_start_offset();
  EXPECT_GT(start, 15);
  EXPECT_LE(start, 20);
  config.retention_bytes = 1500;
  partition->configure(config);
  ASSERT_TRUE(world.run(partition->tend()));
  EXPECT_GT(partition->log_start_offset(), start);
  EXPECT_LE(partition->statistics().size_bytes, 3000u);
  EXPECT_EQ(fetch(*partition, 29), std::vector<Offset>{29});
  close(partition);
}

TEST_F(PartitionTest, records_that_are_all_too_old_are_not_shown_although_their_segment_is_open) {
  config.retention_ms = 1000;
  auto partition = std::move(*open());
  (void)append(*partition, batch(3));  // of 1970
  ASSERT_TRUE(world.run(partition->tend()));
  EXPECT_EQ(partition->log_start_offset(), 3);
  EXPECT_EQ(append(*partition, batch(1)).base_offset, 3);
  close(partition);
}

// The newest value of each key, as a reader of everything sees it.
std::map<std::string, std::string> values(PartitionTest& test, Partition& partition, int& records) {
  std::map<std::string, std::string> found;
  records = 0;
  Offset from = partition.log_start_offset();
  while (from < partition.high_watermark()) {
    const Fetched fetched = test.world.run(partition.fetch(from, 1, Isolation::kReadUncommitted));
    Bytes bytes(fetched.range.size);
    if (!fetched.file || !test.world.run(fetched.file->read_at(fetched.range.offset, bytes))) break;
    const RecordBatch batch(bytes);
    Bytes storage;
    RecordReader reader(batch, *open_records(batch, storage));
    while (const auto record = *reader.next()) {
      ++records;
      if (record->value)
        found[std::string(as_text(*record->key))] = as_text(*record->value);
      else
        found.erase(std::string(as_text(*record->key)));
    }
    from = batch.last_offset() + 1;
  }
  return found;
}

TEST_F(PartitionTest, compaction_keeps_the_newest_of_each_key_at_its_offset) {
  config.segment_bytes = 2000;
  config.cleanup_policy = CleanupPolicy::kCompact;
  config.delete_retention_ms = 0;
  auto partition = std::move(*open());
  const int64_t now = base::milliseconds_since_epoch(world.clock().wall()) - 10;
  for (int i = 0; i < 100; ++i) {
    BatchBuilder builder;
    for (int j = 0; j < 3; ++j) {
      const std::string key = "key " + std::to_string(random.below(10)), value = "value " + std::to_string(i);
      builder.add(now, as_bytes(key), random.chance(1, 5) ? std::nullopt : std::optional<BytesView>(as_bytes(value)));
    }
    const auto packed =
        with_compression(RecordBatch(builder.finish()), i % 2 == 0 ? Compression::kNone : Compression::kLz4);
    ASSERT_TRUE(append(*partition, *packed).refusal.ok());
  }
  int before = 0, after = 0;
  const auto expected = values(*this, *partition, before);
  EXPECT_EQ(before, 300);
  ASSERT_TRUE(world.run(partition->tend()));
  EXPECT_EQ(values(*this, *partition, after), expected);
  EXPECT_LT(after, 120);
  EXPECT_EQ(partition->end_offset(), 300);
  close(partition);
  partition = std::move(*open());
  EXPECT_EQ(values(*this, *partition, after), expected);
  EXPECT_EQ(append(*partition, batch(1)).base_offset, 300);
  close(partition);
}

TEST_F(PartitionTest, an_open_reads_only_the_newest_segment_and_knows_the_producers_all_the_same) {
  config.segment_bytes = 1000;
  auto partition = std::move(*open());
  for (int32_t i = 0; i < 30; ++i)
    (void)append(*partition, batch(1, std::string(200, 'x'), {.id = 1 + i % 2, .epoch = 0, .base_sequence = i / 2}));
  close(partition);
  // Damage in an old segment is not met by the open, which proves that it is not read.
  std::string oldest;
  for (const std::string& file : world.disk().files("t-0/log"))
    if (file.ends_with(".segment")) {
      oldest = file;
      break;
    }
  world.disk().flip_bit(oldest, 200, 1);
  partition = std::move(*open());
  EXPECT_TRUE(append(*partition, batch(1, "v", {.id = 1, .epoch = 0, .base_sequence = 14})).duplicate);
  EXPECT_EQ(
      partition->append(batch(1, "v", {.id = 2, .epoch = 0, .base_sequence = 17}), AppendOrigin::kClient).refusal.code,
      ErrorCode::kOutOfOrderSequenceNumber);
  // A consumer that comes there is told, not served.
  EXPECT_EQ(world.run(partition->fetch(0, 1, Isolation::kReadUncommitted)).refusal.code, ErrorCode::kKafkaStorageError);
  close(partition);
}

TEST_F(PartitionTest, tombstones_stay_until_readers_had_their_time) {
  config.segment_bytes = 500;
  config.cleanup_policy = CleanupPolicy::kCompact;
  config.delete_retention_ms = 60'000;
  auto partition = std::move(*open());
  const auto put = [&](std::string_view key, std::optional<std::string_view> value) {
    BatchBuilder builder;
    builder.add(5, as_bytes(key), value ? std::optional<BytesView>(as_bytes(*value)) : std::nullopt);  // of 1970
    ASSERT_TRUE(append(*partition, builder.finish()).refusal.ok());
  };
  put("gone", "value");
  put("gone", std::nullopt);
  for (int i = 0; i < 30; ++i) put("other", "value");
  int records = 0;
  ASSERT_TRUE(world.run(partition->tend()));
  EXPECT_EQ(fetch(*partition, 0, 1), std::vector<Offset>{1});
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(world.run(partition->tend()));
    EXPECT_EQ(fetch(*partition, 0, 1), std::vector<Offset>{1}) << "the tombstone stays, also after a restart";
    close(partition);
    partition = std::move(*open());
  }
  world.run([](PartitionTest&) -> Task<void> { (void)co_await io::sleep_for(61s); }(*this));
  ASSERT_TRUE(world.run(partition->tend()));  // although nothing came since
  EXPECT_NE(fetch(*partition, 0, 1), std::vector<Offset>{1});
  EXPECT_EQ(values(*this, *partition, records).size(), 1u);
  EXPECT_EQ(partition->end_offset(), 32);
  close(partition);
}

TEST_F(PartitionTest, compaction_takes_what_was_aborted_and_then_its_marker_and_keeps_what_was_committed) {
  config.segment_bytes = 400;
  config.cleanup_policy = CleanupPolicy::kCompact;
  config.delete_retention_ms = 60'000;
  auto partition = std::move(*open());
  int32_t sequence = 0;
  const auto transaction = [&](std::string_view key, std::string_view value, bool commit) {
    partition->begin_transaction(7, 0);
    BatchBuilder builder({.id = 7, .epoch = 0, .base_sequence = sequence++, .transactional = true});
    builder.add(1, as_bytes(key), as_bytes(value));
    ASSERT_TRUE(append(*partition, builder.finish()).refusal.ok());
    ASSERT_TRUE(world.run(partition->wait(partition->end_transaction(7, 0, commit, 0).next_offset)));
  };
  transaction("a", "old", true);       // 0, marker 1: replaced
  transaction("a", "aborted", false);  // 2, marker 3
  transaction("a", "new", true);       // 4, marker 5
  for (int i = 0; i < 20; ++i) (void)append(*partition, batch(1));
  int records = 0;
  const auto check = [&] {
    const auto found = values(*this, *partition, records);
    EXPECT_EQ(found.at("a"), "new");
    EXPECT_EQ(partition->last_stable_offset(), 26);
    // Sequences go on, also where the notes are lost and everything is the fold of what compaction left.
    EXPECT_TRUE(
        partition->append(batch(1, "new", {.id = 7, .epoch = 0, .base_sequence = sequence + 5}), AppendOrigin::kClient)
            .refusal.code == ErrorCode::kOutOfOrderSequenceNumber);
  };
  ASSERT_TRUE(world.run(partition->tend()));
  check();
  EXPECT_EQ(fetch(*partition, 0, 1), std::vector<Offset>{1}) << "its marker is still there";
  EXPECT_EQ(world.run(partition->fetch(0, 1 << 20, Isolation::kReadCommitted)).aborted.size(), 1u);
  world.run([](PartitionTest&) -> Task<void> { (void)co_await io::sleep_for(61s); }(*this));
  ASSERT_TRUE(world.run(partition->tend()));
  check();
  EXPECT_EQ(fetch(*partition, 0, 1), std::vector<Offset>{4});
  EXPECT_EQ(fetch(*partition, 5, 1), std::vector<Offset>{5}) << "the marker of records that are there";
  EXPECT_TRUE(world.run(partition->fetch(0, 1 << 20, Isolation::kReadCommitted)).aborted.empty());
  for (int round = 0; round < 2; ++round) {
    close(partition);
    (void)world.run(world.disk().remove("t-0/segments"));
    partition = std::move(*open());
    check();
  }
  close(partition);
}

TEST_F(PartitionTest, the_last_batch_of_a_producer_stays_as_an_empty_one) {
  config.segment_bytes = 300;
  config.cleanup_policy = CleanupPolicy::kCompact;
  auto partition = std::move(*open());
  const auto of_producer = [&](int32_t sequence, int32_t count) {
    BatchBuilder builder({.id = 9, .epoch = 0, .base_sequence = sequence});
    // Of today: what a producer sent long ago is forgotten.
    for (int32_t i = 0; i < count; ++i)
      builder.add(base::milliseconds_since_epoch(world.clock().wall()), as_bytes("k"), as_bytes("v"));
    return builder.finish();
  };
  const Bytes once = of_producer(0, 2);
  (void)append(*partition, once);
  for (int i = 0; i < 20; ++i) (void)append(*partition, batch(1));  // the same key
  ASSERT_TRUE(world.run(partition->tend()));
  int records = 0;
  EXPECT_EQ(values(*this, *partition, records).size(), 1u);
  EXPECT_LT(records, 10);
  close(partition);
  (void)world.run(world.disk().remove("t-0/segments"));
  partition = std::move(*open());
  EXPECT_TRUE(append(*partition, once).duplicate);
  EXPECT_EQ(append(*partition, of_producer(2, 1)).base_offset, 22);
  close(partition);
}

TEST_F(PartitionTest, a_search_by_time_reads_a_small_part_of_a_large_segment) {
  auto partition = std::move(*open());
  for (int i = 0; i < 2000; ++i) {
    BatchBuilder builder;
    builder.add(i * 10, as_bytes("k"), as_bytes(std::string(1000, 'x')));
    (void)partition->append(builder.finish(), AppendOrigin::kClient);
    if (i % 100 == 99) ASSERT_TRUE(world.run(partition->wait(partition->end_offset())));
  }
  for (int round = 0; round < 2; ++round) {
    for (const int64_t time : {0, 5, 9'995, 10'000, 19'990}) {
      const uint64_t before = world.disk().statistics().read_bytes;
      const auto found = *world.run(partition->offset_for(time, Isolation::kReadUncommitted));
      EXPECT_EQ(found.offset, (time + 9) / 10);
      EXPECT_EQ(found.timestamp, (time + 9) / 10 * 10);
      EXPECT_LT(world.disk().statistics().read_bytes - before, 300'000u);
    }
    EXPECT_EQ(world.run(partition->offset_for(19'991, Isolation::kReadUncommitted))->offset, -1);
    close(partition);
    partition = std::move(*open());
  }
  close(partition);
}

TEST_F(PartitionTest, what_only_the_operating_system_has_is_on_disk_a_second_later) {
  config.durability = AckDurability::kOs;
  auto partition = std::move(*open());
  (void)append(*partition, batch(3));
  EXPECT_EQ(partition->high_watermark(), 3);
  world.run([](PartitionTest&) -> Task<void> { (void)co_await io::sleep_for(1500ms); }(*this));
  world.disk().crash(sim::Survival::kNothing);
  (void)world.run(partition->close());
  partition.reset();
  world.disk().restart();
  partition = std::move(*open());
  EXPECT_EQ(partition->end_offset(), 3);
  close(partition);
}

TEST_F(PartitionTest, an_open_after_damage_to_what_is_derived_knows_the_same) {
  config.segment_bytes = 20'000;
  auto partition = std::move(*open());
  for (int32_t i = 0; i < 60; ++i)
    (void)append(*partition, batch(1, std::string(1000, 'x'), {.id = 1 + i % 2, .epoch = 0, .base_sequence = i / 2}));
  close(partition);
  for (int round = 0; round < 6; ++round) {
    for (const std::string& file : world.disk().files("t-0"))
      if (!file.ends_with(".segment") && random.chance(1, 2)) {
        if (round % 2 == 0) {
          world.disk().flip_random_bit(file);
        } else {
          (void)world.run(world.disk().remove(file));
        }
      }
    partition = std::move(*open());
    EXPECT_EQ(partition->end_offset(), 60 + round);
    EXPECT_TRUE(
        append(*partition, batch(1, std::string(1000, 'x'), {.id = 2, .epoch = 0, .base_sequence = 29})).duplicate);
    EXPECT_EQ(append(*partition, batch(1)).base_offset, 60 + round);
    close(partition);
  }
}

// One flipped bit of a segment: reported when it is opened or read, or what is read is what was written.
TEST(PartitionDamage, a_flipped_bit_is_reported_and_never_served) {
  const auto round_of = [](uint64_t seed) {
    sim::World world(seed);
    base::SeededRandom random(seed);
    log::SyncScheduler scheduler;
    PartitionOptions options{.directory = "t-0", .config = {}};
    options.config.segment_bytes = 2000;
    options.config.read_path = ReadPath::kCopy;
    const auto open = [&] {
      return world.run(Partition::open(world.disk(), scheduler, world.clock(), random, options));
    };
    std::map<Offset, Bytes> sent;
    {
      auto partition = std::move(*open());
      for (int i = 0; i < 30; ++i) {
        BatchBuilder builder;
        for (uint64_t r = 0; r <= random.below(3); ++r) builder.add(i, as_bytes("k"), as_bytes(std::string(60, 'v')));
        const Offset base = partition->end_offset();
        (void)partition->append(builder.finish(), AppendOrigin::kClient);
        EXPECT_TRUE(world.run(partition->wait(partition->end_offset())));
        sent[base] = world.run(partition->fetch(base, 1, Isolation::kReadUncommitted)).bytes;
      }
      EXPECT_TRUE(world.run(partition->close()));
    }
    std::vector<std::string> segments;
    for (const std::string& file : world.disk().files("t-0"))
      if (file.ends_with(".segment")) segments.push_back(file);
    world.disk().flip_random_bit(segments[random.below(segments.size())]);
    auto opened = open();
    if (!opened) {
      EXPECT_EQ(opened.error().code(), Code::kCorrupt) << "seed " << seed;
      return;
    }
    bool reported = false;
    for (const auto& [base, bytes] : sent) {
      const Fetched fetched = world.run((*opened)->fetch(base, 1, Isolation::kReadUncommitted));
      if (!fetched.refusal.ok()) {
        EXPECT_EQ(fetched.refusal.code, ErrorCode::kKafkaStorageError) << "seed " << seed;
        reported = true;
      } else {
        EXPECT_EQ(fetched.bytes, bytes) << "seed " << seed << ", offset " << base;
      }
    }
    EXPECT_TRUE(reported) << "seed " << seed;
    (void)world.run((*opened)->close());
  };
  (void)sim::for_each_seed(sim::seeds(), round_of, testing::Test::HasFailure);
}

// Power cuts at any moment: what was acknowledged is there, once and in order, and nothing else but what was sent.
TEST(PartitionCrash, nothing_acknowledged_is_lost_or_doubled) {
  const auto round_of = [](uint64_t seed) {
    sim::World world(seed);
    base::SeededRandom random(seed);
    log::SyncScheduler scheduler;
    PartitionOptions options{.directory = "t-0", .config = {}};
    options.config.segment_bytes = 2000;
    int32_t sent = 0, acknowledged = 0;  // batches of one record each, by sequence
    for (int round = 0; round < 4; ++round) {
      if (random.chance(4, 5)) world.disk().crash_after(1 + random.below(60));
      auto opened = world.run(Partition::open(world.disk(), scheduler, world.clock(), random, options));
      if (opened) {
        auto partition = std::move(*opened);
        const auto stored = static_cast<int32_t>(partition->end_offset());
        EXPECT_GE(stored, acknowledged) << "seed " << seed;
        EXPECT_LE(stored, sent) << "seed " << seed;
        acknowledged = stored;
        // The client repeats what it does not know, as an idempotent producer does.
        for (int32_t sequence = std::max(0, stored - 3); sequence < stored + 12; ++sequence) {
          BatchBuilder builder({.id = 1, .epoch = 0, .base_sequence = sequence});
          const std::string value = "value " + std::to_string(sequence);
          builder.add(1, as_bytes("k"), as_bytes(value));
          const AppendResult result = partition->append(builder.finish(), AppendOrigin::kClient);
          if (!result.refusal.ok()) {
            EXPECT_EQ(result.refusal.code, ErrorCode::kKafkaStorageError) << "seed " << seed << result.refusal.message;
            break;
          }
          EXPECT_EQ(result.duplicate, sequence < stored) << "seed " << seed;
          EXPECT_EQ(result.base_offset, sequence) << "seed " << seed;
          sent = std::max(sent, sequence + 1);
          if (random.chance(1, 2)) continue;
          if (!world.run(partition->wait(result.next_offset))) break;
          acknowledged = std::max(acknowledged, sequence + 1);
        }
        (void)world.run(partition->close());
      } else {
        EXPECT_EQ(opened.error().code(), Code::kUnavailable) << "seed " << seed << ": " << opened.error().text();
      }
      if (world.disk().powered()) world.disk().crash();
      world.disk().restart();
      for (const std::string& file : world.disk().files("t-0"))
        if ((file.ends_with(".index") || file.ends_with("checkpoint") || file.ends_with("t-0/segments")) &&
            random.chance(1, 6))
          world.disk().flip_random_bit(file);
    }
  };
  (void)sim::for_each_seed(sim::seeds(), round_of, testing::Test::HasFailure);
}

}  // namespace
}  // namespace polis::stream
