// Logs that are one of thousands: stored indexes, files only while they are used, slices that check what they give.
#include <gtest/gtest.h>
#include <map>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/log/index_file.h"
#include "kernel/log/segment_log.h"
#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"

namespace polis::log {
namespace {

using namespace std::chrono_literals;

//   frame := size:u32 crc32c:u32 (of the rest, not of `first`) first:u64 count:u32 mark:u32 body
// As in Kafka's batches the checksum leaves out what the log assigns.
struct SampleFrame {
  static constexpr uint32_t kMagic = 0x454c5053;
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kHeaderBytes = 24;
  static constexpr size_t kAlignment = 1;
  static constexpr size_t kFrameBytesMax = 1 << 20;
  static constexpr bool kContiguous = false;
  static constexpr bool kGapsByRewrite = true;
  static constexpr bool kKnowsDurable = false;

  static std::optional<FrameHead> head(BytesView header, uint32_t) {
    const auto size = base::load_little<uint32_t>(header.data());
    if (size < kHeaderBytes) return std::nullopt;
    const auto first = base::load_little<uint64_t>(header.data() + 8);
    return FrameHead{size, first, first + base::load_little<uint32_t>(header.data() + 16)};
  }
  static std::optional<FrameSpan> check(BytesView frame, uint32_t) {
    if (base::load_little<uint32_t>(frame.data() + 4) != base::crc32c(frame.subspan(16))) return std::nullopt;
    const auto first = base::load_little<uint64_t>(frame.data() + 8);
    return FrameSpan{first, first + base::load_little<uint32_t>(frame.data() + 16), 0,
                     base::load_little<uint32_t>(frame.data() + 20)};
  }
  static Bytes make(Position first, uint32_t count, uint32_t mark, size_t body_bytes) {
    Bytes frame(kHeaderBytes + body_bytes, static_cast<std::byte>('a' + first % 26));
    base::store_little<uint32_t>(frame.data(), static_cast<uint32_t>(frame.size()));
    base::store_little<uint64_t>(frame.data() + 8, first);
    base::store_little<uint32_t>(frame.data() + 16, count);
    base::store_little<uint32_t>(frame.data() + 20, mark);
    base::store_little<uint32_t>(frame.data() + 4, base::crc32c(BytesView(frame).subspan(16)));
    return frame;
  }
};
static_assert(Frame<SampleFrame> && format_of<SampleFrame>().gaps_by_rewrite);

// A log and what it must hold.
struct FrugalRig {
  explicit FrugalRig(uint64_t seed) : world(seed), random(seed) {}

  Result<void> open() {
    auto opened = world.run(SegmentLog<SampleFrame>::open(world.disk(), scheduler, random,
                                                          {.directory = "log",
                                                           .segment_size_bytes = segment_bytes,
                                                           .chunk_bytes = 1024,
                                                           .index_interval_bytes = 256,
                                                           .first_position = 0,
                                                           .frugal = true,
                                                           .files = &files}));
    if (!opened) return fail(opened.error());
    log = std::move(*opened);
    return {};
  }
  Result<void> close() {
    auto closed = world.run(log->close());
    log.reset();
    return closed;
  }
  Result<void> append(size_t body_bytes = 100) {
    const Position first = log->end();
    const auto count = static_cast<uint32_t>(1 + random.below(3));
    const auto mark = static_cast<uint32_t>(first + random.below(20));
    const Bytes frame = SampleFrame::make(first, count, mark, body_bytes);
    const auto slot = TRY(log->append(frame.size(), first, first + count, mark));
    std::copy(frame.begin(), frame.end(), slot.bytes.begin());
    frames[first] = frame;
    return {};
  }
  void fill(size_t count) {
    for (size_t i = 0; i < count; ++i) ASSERT_TRUE(append());
    ASSERT_TRUE(world.run(log->wait(log->end(), Durability::kDisk)));
  }
  // The bytes of a slice; it is checked that they are what was appended.
  Result<Bytes> slice(Position from, uint64_t bytes_max) {
    const auto got = TRY(world.run(log->slice(from, bytes_max, Durability::kOs)));
    Bytes bytes(got.range.size);
    EXPECT_EQ(TRY(world.run(got.file->read_at(got.range.offset, bytes))), bytes.size());
    auto frame = frames.find(got.first);
    EXPECT_TRUE(frame != frames.end() && frame->first <= from);
    BytesView rest = bytes;
    for (; !rest.empty() && frame != frames.end(); ++frame) {
      EXPECT_TRUE(rest.size() >= frame->second.size() &&
                  std::equal(frame->second.begin(), frame->second.end(), rest.begin()))
          << "position " << frame->first;
      rest = rest.subspan(std::min(rest.size(), frame->second.size()));
    }
    EXPECT_TRUE(rest.empty());
    return bytes;
  }
  // All frames, by a reader, are those of the model.
  void expect_all() {
    auto reader = log->read(log->start());
    ASSERT_TRUE(reader);
    for (auto expected = frames.lower_bound(log->start()); expected != frames.end(); ++expected) {
      const auto frame = world.run(reader->next());
      if (!frame && !world.disk().powered()) return;
      ASSERT_TRUE(frame) << frame.error().text();
      ASSERT_TRUE(*frame);
      EXPECT_TRUE(std::ranges::equal((*frame)->bytes, expected->second)) << expected->first;
    }
    const auto end = world.run(reader->next());
    EXPECT_TRUE(!end || !*end);
  }

  sim::World world;
  SyncScheduler scheduler;
  base::SeededRandom random;
  OpenFiles files{3};
  uint64_t segment_bytes = 4096;
  std::unique_ptr<FrameLog> log;
  std::map<Position, Bytes> frames;
};

TEST(FrugalLog, has_no_file_before_the_first_append) {
  FrugalRig rig(1);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.world.disk().files("log").empty());
  ASSERT_TRUE(rig.close());
  EXPECT_TRUE(rig.world.disk().files("log").empty());
  ASSERT_TRUE(rig.open());
  rig.fill(3);
  ASSERT_TRUE(rig.close());
  ASSERT_TRUE(rig.open());
  rig.expect_all();
  ASSERT_TRUE(rig.close());
}

TEST(FrugalLog, at_rest_no_file_is_open_and_everything_still_works) {
  FrugalRig rig(1);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.files.open(), 0u);
  rig.fill(100);
  EXPECT_GT(rig.files.open(), 0u);
  EXPECT_LE(rig.files.open(), 3u);
  for (int round = 0; round < 3; ++round) {
    rig.world.run(rig.log->rest());
    rig.world.run(rig.log->rest());
    EXPECT_EQ(rig.files.open(), 0u);
    for (const Position from : {Position{0}, rig.log->end() / 2, rig.log->end() - 1})
      ASSERT_TRUE(rig.slice(from, 1000));
    rig.fill(10);
  }
  rig.expect_all();
  ASSERT_TRUE(rig.close());
}

TEST(FrugalLog, an_open_reads_only_what_lies_behind_the_stored_index) {
  FrugalRig rig(1);
  rig.segment_bytes = 1 << 20;
  ASSERT_TRUE(rig.open());
  rig.fill(2000);
  ASSERT_TRUE(rig.close());
  const uint64_t before = rig.world.disk().statistics().read_bytes;
  ASSERT_TRUE(rig.open());
  EXPECT_LT(rig.world.disk().statistics().read_bytes - before, 64u << 10);
  ASSERT_TRUE(rig.slice(1000, 1000));
  EXPECT_LT(rig.world.disk().statistics().read_bytes - before, 128u << 10);
  rig.expect_all();
  ASSERT_TRUE(rig.close());
  // Without it everything is read, and is the same.
  for (const std::string& file : rig.world.disk().files("log"))
    if (file.ends_with(".index")) ASSERT_TRUE(rig.world.run(rig.world.disk().remove(file)));
  ASSERT_TRUE(rig.open());
  EXPECT_GT(rig.world.disk().statistics().read_bytes - before, 200u << 10);
  rig.expect_all();
  ASSERT_TRUE(rig.close());
}

TEST(FrugalLog, a_mark_leads_to_a_place_in_front_of_it_and_near) {
  FrugalRig rig(1);
  rig.segment_bytes = 1 << 20;
  ASSERT_TRUE(rig.open());
  rig.fill(1000);
  for (int round = 0; round < 3; ++round) {
    for (uint64_t mark = 0; mark < rig.log->end() + 30; mark += 7) {
      const auto place = rig.world.run(rig.log->seek_mark(0, mark));
      ASSERT_TRUE(place);
      auto frame = rig.frames.begin();
      while (frame != rig.frames.end() && base::load_little<uint32_t>(frame->second.data() + 20) < mark) ++frame;
      if (frame == rig.frames.end()) continue;
      EXPECT_LE(*place, frame->first);
      EXPECT_LE(frame->first - *place, 40u) << mark;
    }
    EXPECT_EQ(rig.world.run(rig.log->seek_mark(1, 0)).error().code(), Code::kOutOfRange);
    if (round == 0) {
      rig.world.run(rig.log->rest());
      rig.world.run(rig.log->rest());
    } else {
      ASSERT_TRUE(rig.close());
      ASSERT_TRUE(rig.open());
    }
  }
  ASSERT_TRUE(rig.close());
}

// One flipped bit anywhere: it is reported by the open or by the slice that would give it, or what is given is right.
TEST(FrugalLog, a_flipped_bit_is_reported_and_never_given) {
  const auto round_of = [](uint64_t seed) {
    FrugalRig rig(seed);
    rig.segment_bytes = 3000;
    ASSERT_TRUE(rig.open());
    rig.fill(40);
    ASSERT_TRUE(rig.close());
    const auto files = rig.world.disk().files("log");
    const std::string& file = files[rig.random.below(files.size())];
    rig.world.disk().flip_random_bit(file);
    if (const auto opened = rig.open(); !opened) {
      EXPECT_EQ(opened.error().code(), Code::kCorrupt) << opened.error().text();
      return;
    }
    EXPECT_EQ(rig.log->end(), std::prev(rig.frames.end())->first +
                                  base::load_little<uint32_t>(std::prev(rig.frames.end())->second.data() + 16))
        << "seed " << seed << ": nothing was cut, for all of it was on disk: " << file;
    for (Position from = 0; from < rig.log->end(); ++from)
      if (const auto got = rig.slice(from, 1 + rig.random.below(1000)); !got)
        EXPECT_EQ(got.error().code(), Code::kCorrupt) << got.error().text();
    (void)rig.close();
  };
  (void)sim::for_each_seed(sim::seeds(1000), round_of, testing::Test::HasFailure);
}

// Power cuts, rests, trims, rewrites, and derived files that are lost or damaged.
TEST(FrugalLog, nothing_acknowledged_is_lost_whatever_happens_to_what_is_derived) {
  const auto round_of = [](uint64_t seed) {
    FrugalRig rig(seed);
    rig.segment_bytes = 2000;
    Position acknowledged = 0, trimmed = 0;
    for (int round = 0; round < 5; ++round) {
      if (rig.random.chance(4, 5)) rig.world.disk().crash_after(1 + rig.random.below(80));
      if (const auto opened = rig.open(); opened) {
        ASSERT_GE(rig.log->end(), acknowledged) << "seed " << seed;
        EXPECT_LE(rig.log->start(), trimmed) << "seed " << seed;
        rig.frames.erase(rig.frames.lower_bound(rig.log->end()), rig.frames.end());
        rig.expect_all();
        for (int step = 0; step < 25; ++step) {
          switch (rig.random.below(6)) {
            case 0:
              if (rig.world.run(rig.log->wait(rig.log->end(), Durability::kDisk))) acknowledged = rig.log->end();
              break;
            case 1:
              rig.world.run(rig.log->rest());
              break;
            case 2:
              if (rig.log->end() > 0) (void)rig.slice(rig.random.below(rig.log->end()), 700);
              break;
            case 3:
              if (rig.random.chance(1, 4)) {
                trimmed = std::max(trimmed, acknowledged / 3);
                (void)rig.world.run(rig.log->trim(acknowledged / 3));
              }
              break;
            default:
              (void)rig.append(20 + rig.random.below(300));
          }
        }
        (void)rig.close();
      } else {
        EXPECT_EQ(opened.error().code(), Code::kUnavailable) << "seed " << seed << ": " << opened.error().text();
        rig.log.reset();
      }
      if (rig.world.disk().powered()) rig.world.disk().crash();
      rig.world.disk().restart();
      for (const std::string& file : rig.world.disk().files("log")) {
        if (!file.ends_with(".index") && !file.ends_with("checkpoint")) continue;
        if (rig.random.chance(1, 4)) rig.world.disk().flip_random_bit(file);
        if (rig.random.chance(1, 8)) (void)rig.world.run(rig.world.disk().remove(file));
      }
    }
  };
  (void)sim::for_each_seed(sim::seeds(), round_of, testing::Test::HasFailure);
}

TEST(FrugalLog, a_rewritten_segment_never_meets_the_index_of_the_old_one) {
  FrugalRig rig(1);
  ASSERT_TRUE(rig.open());
  rig.fill(60);
  rig.world.run(rig.log->rest());
  rig.world.run(rig.log->rest());
  const Position first = rig.log->segments()[0].first;
  const Position second = rig.log->segments()[1].first;
  ASSERT_TRUE(rig.world.run(rig.log->rewrite(first, [&](const FrameView& frame) -> Result<std::optional<Bytes>> {
    if (frame.first % 2 == 0) return std::nullopt;
    return Bytes(frame.bytes.begin(), frame.bytes.end());
  })));
  std::erase_if(rig.frames, [&](const auto& frame) { return frame.first < second && frame.first % 2 == 0; });
  for (int round = 0; round < 2; ++round) {
    rig.expect_all();
    rig.world.run(rig.log->rest());
    rig.world.run(rig.log->rest());
    rig.expect_all();
    ASSERT_TRUE(rig.close());
    ASSERT_TRUE(rig.open());
  }
  ASSERT_TRUE(rig.close());
}

// The file that the reader is in has no path any more, and the log opens and closes other files meanwhile.
TEST(FrugalLog, a_reader_goes_on_in_a_segment_that_was_rewritten_behind_it) {
  FrugalRig rig(1);
  rig.segment_bytes = 256 << 10;
  ASSERT_TRUE(rig.open());
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(rig.append(1000));
  ASSERT_TRUE(rig.world.run(rig.log->wait(rig.log->end(), Durability::kDisk)));
  ASSERT_GT(rig.log->segments().size(), 5u);
  auto reader = rig.log->read(0);
  ASSERT_TRUE(reader);
  auto expected = rig.frames.begin();
  const auto step = [&] {
    const auto frame = rig.world.run(reader->next());
    ASSERT_TRUE(frame) << frame.error().text();
    ASSERT_TRUE(*frame);
    ASSERT_TRUE(std::ranges::equal((*frame)->bytes, (expected++)->second));
  };
  step();
  ASSERT_TRUE(rig.world.run(rig.log->rewrite(0, [](const FrameView& frame) -> Result<std::optional<Bytes>> {
    if (frame.first % 2 == 0) return std::nullopt;
    return Bytes(frame.bytes.begin(), frame.bytes.end());
  })));
  for (const auto& segment : rig.log->segments())
    if (segment.first != 0) ASSERT_TRUE(rig.slice(segment.first, 1));
  for (int round = 0; round < 2; ++round) rig.world.run(rig.log->rest());
  while (expected != rig.frames.end() && !testing::Test::HasFailure()) step();
  ASSERT_TRUE(rig.close());
}

TEST(IndexFile, gives_back_what_was_written_up_to_the_first_damage) {
  sim::World world(1);
  base::SeededRandom random(1);
  const SegmentHeader segment{.salt = 7, .first = 100};
  const auto stored = [&] { return world.run(read_index(world.disk(), "i", segment)); };
  EXPECT_EQ(stored().upto.offset, kSegmentHeaderBytes);
  auto writer = std::move(*world.run(IndexWriter::create(world.disk(), "i", segment, random)));
  const std::vector<IndexEntry> one{{100, 64, 0}, {110, 300, 5}}, two{{120, 700, 6}};
  ASSERT_TRUE(world.run(writer.append(one, {600, 119, 6})));
  ASSERT_TRUE(world.run(writer.append(two, {900, 130, 9})));
  EXPECT_EQ(stored().entries.size(), 3u);
  EXPECT_EQ(stored().entries[2], two[0]);
  EXPECT_EQ(stored().upto.offset, 900u);
  EXPECT_EQ(stored().upto.next, 130u);
  EXPECT_EQ(stored().upto.mark, 9u);
  // Of another segment: it says nothing.
  EXPECT_TRUE(world.run(read_index(world.disk(), "i", {.salt = 8, .first = 100})).entries.empty());
  auto resumed = IndexWriter::resume(world.disk(), "i", stored());
  ASSERT_TRUE(world.run(resumed.append({}, {950, 135, 9})));
  EXPECT_EQ(stored().upto.offset, 950u);
  const size_t size_bytes = world.disk().content("i").size();
  for (size_t at = 0; at < size_bytes; ++at) {
    world.disk().flip_bit("i", at, 3);
    const StoredIndex damaged = stored();
    EXPECT_LT(damaged.upto.offset, 950u);
    EXPECT_LE(damaged.entries.size(), 3u);
    if (at >= 32 + 32 + 48) EXPECT_GE(damaged.upto.offset, 600u);
    world.disk().flip_bit("i", at, 3);
  }
}

TEST(OpenFiles, closes_what_was_used_longest_ago_and_nothing_that_is_at_work) {
  sim::World world(1);
  OpenFiles files(2);
  OpenFiles::Slot slots[4];
  const auto open = [&](int i) {
    auto file = world.run(world.disk().open("f" + std::to_string(i), io::OpenMode::kCreate));
    slots[i].set(std::move(*file), &files);
  };
  open(0);
  open(1);
  slots[0].touch();
  open(2);
  EXPECT_TRUE(slots[0] && !slots[1] && slots[2]);
  const auto held = slots[0].file();
  slots[2].pin(true);
  open(1);
  EXPECT_TRUE(slots[0] && slots[1] && slots[2]);
  slots[2].pin(false);
  open(3);
  EXPECT_TRUE(slots[0] && !slots[2] && slots[3]);
  slots[0].reset();
  EXPECT_LE(files.open(), 2u);
}

}  // namespace
}  // namespace polis::log
