#include "kernel/log/segment_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/log/record.h"
#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"

namespace polis::log {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// A batch of records as a stream keeps them: several positions a frame, gaps between frames, any length, no salt.
//   batch := size:u32 crc32c:u32 first:u64 count:u32 body
struct BatchFrame {
  static constexpr uint32_t kMagic = 0x48435442;
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kHeaderBytes = 20;
  static constexpr size_t kAlignment = 1;
  static constexpr size_t kFrameBytesMax = 1 << 20;
  static constexpr bool kContiguous = false;
  static constexpr bool kKnowsDurable = false;

  static std::optional<FrameHead> head(BytesView header, uint32_t) {
    const auto size = base::load_little<uint32_t>(header.data());
    if (size < kHeaderBytes) return std::nullopt;
    const auto first = base::load_little<uint64_t>(header.data() + 8);
    return FrameHead{size, first, first + base::load_little<uint32_t>(header.data() + 16)};
  }
  static std::optional<FrameSpan> check(BytesView frame, uint32_t) {
    if (base::load_little<uint32_t>(frame.data() + 4) != base::crc32c(frame.subspan(8))) return std::nullopt;
    const auto first = base::load_little<uint64_t>(frame.data() + 8);
    return FrameSpan{first, first + base::load_little<uint32_t>(frame.data() + 16)};
  }
  static Bytes make(Position first, uint32_t count, size_t body_bytes) {
    Bytes frame(kHeaderBytes + body_bytes, std::byte{'b'});
    base::store_little<uint32_t>(frame.data(), static_cast<uint32_t>(frame.size()));
    base::store_little<uint64_t>(frame.data() + 8, first);
    base::store_little<uint32_t>(frame.data() + 16, count);
    base::store_little<uint32_t>(frame.data() + 4, base::crc32c(BytesView(frame).subspan(8)));
    return frame;
  }
};
static_assert(Frame<BatchFrame> && Frame<RecordFrame>);

class SegmentLogTest : public testing::Test {
 protected:
  // A crash before the first sync leaves none.
  void forget_checkpoint() { ASSERT_TRUE(world.run(world.disk().remove("log/" + std::string(kCheckpointName)))); }
  template <Frame F = BatchFrame>
  Result<std::unique_ptr<FrameLog>> open() {
    return world.run(SegmentLog<F>::open(world.disk(), scheduler, random,
                                         {.directory = "log",
                                          .segment_size_bytes = 4096,
                                          .chunk_bytes = 2048,
                                          .index_interval_bytes = 256,
                                          .first_position = 0,
                                          .open_files_max = 2}));
  }
  void append(FrameLog& log, Position first, uint32_t count, size_t body_bytes = 100) {
    const Bytes frame = BatchFrame::make(first, count, body_bytes);
    const BytesView parts[] = {BytesView(frame).first(7), BytesView(frame).subspan(7)};
    const auto appended = log.append(parts, first, first + count);
    ASSERT_TRUE(appended) << appended.error().text();
  }
  // 100 batches of three positions, each followed by a gap of one; about nine segments.
  void fill(FrameLog& log) {
    for (Position i = 0; i < 100; ++i) append(log, i * 4, 3, 300);
    EXPECT_TRUE(world.run(log.wait(log.end(), Durability::kDisk)));
  }
  void close(std::unique_ptr<FrameLog>& log) {
    EXPECT_TRUE(world.run(log->close()));
    log.reset();
  }
  // The first positions of the frames from `from` on.
  std::vector<Position> firsts(FrameLog& log, Position from) { return world.run(read_firsts(log, from)); }
  static Task<std::vector<Position>> read_firsts(FrameLog& log, Position from) {
    std::vector<Position> found;
    auto reader = log.read(from);
    while (reader) {
      const auto frame = co_await reader->next();
      EXPECT_TRUE(frame) << frame.error().text();
      if (!frame || !*frame) break;
      found.push_back((*frame)->first);
    }
    co_return found;
  }

  sim::World world{1};
  SyncScheduler scheduler;
  base::SeededRandom random{1};
};

TEST_F(SegmentLogTest, a_read_begins_with_the_frame_that_holds_the_position_or_the_next_one) {
  auto log = std::move(*open());
  fill(*log);
  for (int round = 0; round < 2; ++round) {
    for (const Position from : {0u, 1u, 3u, 4u, 100u, 201u, 202u, 203u, 398u}) {
      const auto found = firsts(*log, from);
      ASSERT_FALSE(found.empty()) << from;
      EXPECT_EQ(found.front(), (from + 1) / 4 * 4) << from;
      EXPECT_EQ(found.size(), 100 - found.front() / 4);
    }
    EXPECT_TRUE(firsts(*log, 399).empty());
    EXPECT_EQ(log->read(400).error().code(), Code::kOutOfRange);
    EXPECT_GT(log->statistics().segments, 5u);
    close(log);
    log = std::move(*open());  // the index of old segments is made when it is needed
  }
  close(log);
}

Task<Result<Bytes>> read_slice(FrameLog& log, Position from, uint64_t bytes_max, Durability durability) {
  const auto slice = CO_TRY(co_await log.slice(from, bytes_max, durability));
  Bytes bytes(slice.range.size);
  const size_t count = CO_TRY(co_await slice.file->read_at(slice.range.offset, bytes));
  EXPECT_EQ(count, slice.range.size);
  co_return bytes;
}

TEST_F(SegmentLogTest, a_slice_holds_whole_frames_from_the_asked_one_within_the_limit) {
  auto log = std::move(*open());
  fill(*log);
  for (int round = 0; round < 2; ++round) {
    for (Position from = 0; from < 399; ++from) {
      for (const uint64_t bytes_max : {0u, 321u, 1000u, 3000u, 100'000u}) {
        const auto bytes = world.run(read_slice(*log, from, bytes_max, Durability::kDisk));
        ASSERT_TRUE(bytes) << bytes.error().text();
        EXPECT_LE(bytes->size(), std::max<uint64_t>(bytes_max, 320));
        Position expected = (from + 1) / 4 * 4;
        size_t at = 0;
        while (at < bytes->size()) {
          const BytesView rest = BytesView(*bytes).subspan(at);
          ASSERT_GE(rest.size(), 320u) << "a frame is cut";
          ASSERT_EQ(BatchFrame::check(rest.first(320), 0)->first, expected);
          expected += 4;
          at += 320;
        }
        ASSERT_GE(at, 320u);
      }
    }
    close(log);
    log = std::move(*open());
  }
  EXPECT_EQ(world.run(log->slice(399, 1000, Durability::kDisk)).error().code(), Code::kOutOfRange);
  append(*log, 400, 1);
  EXPECT_EQ(world.run(log->slice(400, 1000, Durability::kDisk)).error().code(), Code::kOutOfRange) << "not durable yet";
  EXPECT_TRUE(world.run(log->wait(401, Durability::kOs)));
  EXPECT_TRUE(world.run(log->slice(400, 1000, Durability::kOs)));
  close(log);
}

TEST_F(SegmentLogTest, a_slice_survives_a_trim) {
  auto log = std::move(*open());
  fill(*log);
  const auto slice = world.run(log->slice(0, 1000, Durability::kDisk));
  ASSERT_TRUE(slice);
  ASSERT_TRUE(world.run(log->trim(300)));
  Bytes bytes(320);
  EXPECT_EQ(*world.run(slice->file->read_at(slice->range.offset, bytes)), 320u);
  EXPECT_TRUE(BatchFrame::check(bytes, 0));
  close(log);
}

TEST_F(SegmentLogTest, a_torn_tail_is_truncated_on_open) {
  {
    auto log = std::move(*open());
    append(*log, 0, 1);
    append(*log, 1, 1);
    close(log);
  }
  const std::string path = world.disk().files("log").at(0);
  const Bytes whole = world.disk().content(path);
  for (size_t cut = kSegmentHeaderBytes; cut < whole.size(); ++cut) {
    world.disk().put(path, BytesView(whole).first(cut));
    forget_checkpoint();
    auto log = std::move(*open());
    EXPECT_EQ(log->end(), (cut - kSegmentHeaderBytes) / 120);
    EXPECT_EQ(world.disk().content(path).size(), kSegmentHeaderBytes + log->end() * 120);
    append(*log, 5, 1);
    close(log);
  }
}

TEST_F(SegmentLogTest, zeros_behind_the_end_are_no_torn_tail) {
  {
    auto log = std::move(*open());
    append(*log, 0, 1);
    close(log);
  }
  const std::string path = world.disk().files("log").at(0);
  Bytes padded = world.disk().content(path);
  padded.resize(4096);
  world.disk().put(path, padded);
  auto log = std::move(*open());
  EXPECT_EQ(log->statistics().torn_bytes, 0u);
  EXPECT_EQ(log->end(), 1u);
  close(log);
}

TEST_F(SegmentLogTest, missing_shortened_foreign_and_future_files_are_refused) {
  {
    auto log = std::move(*open());
    fill(*log);
    close(log);
  }
  const auto files = world.disk().files("log");
  const auto refused = [&](Code code, const char* text) {
    const auto log = open();
    ASSERT_FALSE(log);
    EXPECT_EQ(log.error().code(), code);
    EXPECT_THAT(log.error().text(), HasSubstr(text));
  };
  const Bytes third = world.disk().content(files[2]);
  ASSERT_TRUE(world.run(world.disk().remove(files[2])));
  refused(Code::kCorrupt, "missing");
  world.disk().put(files[2], BytesView(third).first(third.size() - 1));
  refused(Code::kCorrupt, "when it was closed");
  for (size_t byte = 0; byte < kSegmentHeaderBytes; ++byte) {
    world.disk().put(files[2], third);
    world.disk().flip_bit(files[2], byte, 3);
    refused(Code::kCorrupt, "cannot be opened");
  }
  Bytes future = third;
  base::store_little<uint32_t>(future.data() + 8, kSegmentVersion + 1);
  base::store_little<uint32_t>(future.data() + 60, base::crc32c(BytesView(future).first(60)));
  world.disk().put(files[2], future);
  refused(Code::kUnsupported, "version 2");
  world.disk().put(files[2], third);
  world.disk().put("log/notes.txt", as_bytes("x"));
  refused(Code::kInvalid, "no segment");
  ASSERT_TRUE(world.run(world.disk().remove("log/notes.txt")));
  const auto other = open<RecordFrame>();
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().text(), HasSubstr("another kind"));
  auto log = std::move(*open());
  close(log);
}

TEST_F(SegmentLogTest, a_segment_that_was_rewritten_keeps_the_positions_of_what_stayed) {
  auto log = std::move(*open());
  fill(*log);
  const auto before = log->segments();
  ASSERT_GT(before.size(), 3u);
  auto inside = *log->read(before[1].first);
  const Position first_inside = (*world.run(inside.next()))->first;
  const auto saved =
      world.run(log->rewrite(before[1].first, [](const FrameView& frame) -> Result<std::optional<Bytes>> {
        if (frame.first % 8 == 0) return std::nullopt;
        return Bytes(frame.bytes.begin(), frame.bytes.end());
      }));
  ASSERT_TRUE(saved) << saved.error().text();
  EXPECT_GT(*saved, 1000u);
  // A reader that was inside sees the old segment to its end.
  EXPECT_EQ((*world.run(inside.next()))->first, first_inside + 4);
  for (int round = 0; round < 2; ++round) {
    auto reader = *log->read(0);
    std::vector<Position> firsts;
    while (const auto frame = *world.run(reader.next())) firsts.push_back(frame->first);
    for (Position first = 0; first < 399; first += 4) {
      const bool gone = first % 8 == 0 && first >= before[1].first && first < before[2].first;
      EXPECT_EQ(std::ranges::count(firsts, first), gone ? 0 : 1) << first;
    }
    const auto slice = world.run(log->slice(before[1].first, 1, Durability::kDisk));
    ASSERT_TRUE(slice);
    EXPECT_EQ(slice->first % 8, 4u);
    close(log);
    log = std::move(*open());
  }
  close(log);
}

TEST_F(SegmentLogTest, an_eager_log_is_on_disk_soon_though_nobody_waits) {
  auto log = world.run(SegmentLog<BatchFrame>::open(
      world.disk(), scheduler, random, {.directory = "log", .linger = 1h, .first_position = 0, .eager = true}));
  ASSERT_TRUE(log);
  for (Position i = 0; i < 10; ++i) append(**log, i, 1);
  EXPECT_EQ((*log)->reached(Durability::kDisk), 0u);
  ASSERT_TRUE(world.run(io::sleep_for(1s)));
  EXPECT_EQ((*log)->reached(Durability::kDisk), 10u);
  close(*log);
}

TEST_F(SegmentLogTest, a_closed_segment_takes_no_more) {
  auto log = std::move(*open());
  append(*log, 0, 1);
  log->close_segment();
  EXPECT_EQ(log->newest_segment(), 0u);
  append(*log, 1, 1);
  EXPECT_EQ(log->newest_segment(), 1u);
  append(*log, 2, 1);
  EXPECT_EQ(log->newest_segment(), 1u);
  EXPECT_EQ(log->segments().size(), 2u);
  close(log);
}

TEST_F(SegmentLogTest, damage_in_an_old_segment_is_reported_by_readers) {
  {
    auto log = std::move(*open());
    fill(*log);
    close(log);
  }
  const auto files = world.disk().files("log");
  world.disk().flip_bit(files[1], 1500, 1);
  auto log = std::move(*open());
  EXPECT_EQ(log->end(), 399u);
  auto reader = *log->read(0);
  Result<std::optional<FrameView>> frame;
  do {
    frame = world.run(reader.next());
  } while (frame && *frame);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code(), Code::kCorrupt);
  EXPECT_THAT(frame.error().text(), HasSubstr("is damaged"));
  EXPECT_EQ(world.run(log->slice(60, 100, Durability::kDisk)).error().code(), Code::kCorrupt);
  close(log);
}

TEST_F(SegmentLogTest, damage_in_the_newest_frame_of_a_closed_log_is_no_torn_tail) {
  {
    auto log = std::move(*open());
    fill(*log);
    close(log);
  }
  std::string newest;
  for (const std::string& file : world.disk().files("log"))
    if (file.ends_with(".segment")) newest = file;
  const uint64_t size = world.run(world.disk().read_file(newest, 1 << 20))->size();
  world.disk().flip_bit(newest, size - 1, 1);
  const auto damaged = open();
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code(), Code::kCorrupt);
  EXPECT_THAT(damaged.error().text(), HasSubstr("is damaged; it was on disk"));
  world.disk().flip_bit(newest, size - 1, 1);
  auto log = std::move(*open());
  EXPECT_EQ(log->end(), 399u);
  close(log);
}

TEST_F(SegmentLogTest, a_newest_segment_that_is_gone_is_missed) {
  {
    auto log = std::move(*open());
    fill(*log);
    close(log);
  }
  std::string newest;
  for (const std::string& file : world.disk().files("log"))
    if (file.ends_with(".segment")) newest = file;
  ASSERT_TRUE(world.run(world.disk().remove(newest)));
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text(), HasSubstr("is missing"));
}

TEST(SegmentName, only_its_own_form_is_understood) {
  EXPECT_EQ(segment_name(42), "00000000000000000042.segment");
  EXPECT_EQ(segment_first(segment_name(UINT64_MAX)), UINT64_MAX);
  for (const char* bad : {"", "42.segment", "99999999999999999999.segment", "0000000000000000004x.segment",
                          "00000000000000000042.segment.new", "00000000000000000042-segment"})
    EXPECT_FALSE(segment_first(bad)) << bad;
}

// A payload that holds the image of a later record, as an attacker would store it, must not turn a torn tail into
// "damage".
TEST_F(SegmentLogTest, a_payload_that_imitates_a_record_does_not_deceive_the_judge) {
  {
    auto log = std::move(*open<RecordFrame>());
    std::string body(512, '\0');
    const BytesView inner = as_bytes("inner");
    RecordFrame::encode(as_writable_bytes(body).first(RecordFrame::size_bytes(5)),
                        std::span<const BytesView>(&inner, 1), 90, 90, 12345);
    const BytesView payload = as_bytes(body);
    const auto slot = *log->append(RecordFrame::size_bytes(body.size()), 0, 1);
    RecordFrame::encode(slot.bytes, std::span<const BytesView>(&payload, 1), 0, slot.durable_before, slot.salt);
    close(log);
  }
  const std::string path = world.disk().files("log").at(0);
  world.disk().flip_bit(path, kSegmentHeaderBytes + 3, 0);
  forget_checkpoint();
  auto log = std::move(*open<RecordFrame>());
  EXPECT_EQ(log->end(), 0u);
  EXPECT_GT(log->statistics().torn_bytes, 0u);
  close(log);
}

TEST(Record, every_flipped_bit_is_noticed) {
  const BytesView payload = as_bytes("some payload");
  Bytes frame(RecordFrame::size_bytes(payload.size()));
  RecordFrame::encode(frame, std::span<const BytesView>(&payload, 1), 7, 5, 99);
  const auto span = RecordFrame::check(frame, 99);
  ASSERT_TRUE(span);
  EXPECT_EQ(span->first, 7u);
  EXPECT_EQ(span->durable_before, 5u);
  EXPECT_EQ(as_text(RecordFrame::payload(frame)), "some payload");
  EXPECT_FALSE(RecordFrame::check(frame, 98)) << "the salt of another segment";
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(RecordFrame::check(frame, 99)) << "bit " << bit;
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  for (size_t size_bytes = 0; size_bytes < frame.size(); ++size_bytes)
    EXPECT_FALSE(RecordFrame::check(BytesView(frame).first(size_bytes), 99));
}

Task<void> sync_into(SyncScheduler& scheduler, std::shared_ptr<io::File> file, int& good) {
  if (co_await scheduler.sync(std::move(file))) ++good;
}

Task<void> sync_many(SyncScheduler& scheduler, std::vector<std::shared_ptr<io::File>> files, int each, int& good) {
  io::TaskGroup group;
  for (int i = 0; i < each; ++i)
    for (const auto& file : files) group.spawn(sync_into(scheduler, file, good));
  co_await group.join();
}

TEST(SyncSchedulerTest, one_sync_a_file_answers_all_that_ask_and_a_failure_reaches_each) {
  sim::World world(1);
  std::vector<std::shared_ptr<io::File>> files;
  for (const char* name : {"a", "b", "c"}) files.push_back(*world.run(world.disk().open(name, io::OpenMode::kCreate)));
  SyncScheduler scheduler(1);
  int good = 0;
  world.run(sync_many(scheduler, files, 100, good));
  EXPECT_EQ(good, 300);
  EXPECT_LE(scheduler.syncs(), 6u);
  world.disk().set_faults("b", {.sync_error_ppm = 1'000'000});
  good = 0;
  world.run(sync_many(scheduler, files, 100, good));
  EXPECT_EQ(good, 200);
}

}  // namespace
}  // namespace polis::log
