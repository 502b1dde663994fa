#include "systems/exchange/bus/bus.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <signal.h>
#include <span>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "kernel/base/random.h"
#include "systems/exchange/bus/spsc_queue.h"

namespace polis::exchange {
namespace {

constexpr size_t kSmall = kBusSlotsMin;
constexpr size_t kSlotsOffset = 4096 + 64 * 128;

class BusTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "polis_bus_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path() const { return directory_ + "/bus"; }
  std::unique_ptr<Bus> open(BusTail& tail, size_t slots = kSmall, Sequence first = 1) {
    auto bus = Bus::open({.path = path(), .slots = slots, .venue_id = 9, .first = first}, tail);
    EXPECT_TRUE(bus.has_value()) << bus.error().text();
    return bus ? std::move(*bus) : nullptr;
  }
  std::unique_ptr<Bus> open(size_t slots = kSmall, Sequence first = 1) {
    BusTail tail;
    return open(tail, slots, first);
  }
  // What the file holds, changed from outside.
  void patch(size_t offset, std::string_view bytes) {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.good());
  }

  std::string directory_;
};

// A record's content follows from its sequence, so every reader can check every byte.
size_t length_at(Sequence sequence) {
  return (sequence * 2654435761u >> 7) % (kBusRecordBytesMax + 1);
}
std::byte byte_at(Sequence sequence, size_t i) {
  return static_cast<std::byte>(sequence * 31 + i * 7);
}
Sequence append(Bus& bus) {
  std::byte payload[kBusRecordBytesMax];
  const Sequence sequence = bus.next();
  const size_t length = length_at(sequence);
  for (size_t i = 0; i < length; ++i) payload[i] = byte_at(sequence, i);
  return bus.append(BusType::kReport, static_cast<uint16_t>(sequence), static_cast<SessionId>(sequence * 3),
                    sequence * 1000, static_cast<uint32_t>(sequence * 5), BytesView{payload, length});
}
Sequence put(Bus& bus) {
  const Sequence sequence = append(bus);
  bus.publish();
  return sequence;
}
bool append_if_room(Bus& bus) {
  if (!bus.room(bus_slots_of(length_at(bus.next())))) return false;
  append(bus);
  return true;
}
bool put_if_room(Bus& bus) {
  if (!bus.room(bus_slots_of(length_at(bus.next())))) return false;
  put(bus);
  return true;
}
bool is_right(const BusRecord& record, const std::byte* payload) {
  const Sequence s = record.sequence;
  bool right = record.length == length_at(s) && record.slots == bus_slots_of(record.length) && record.ns == s * 1000 &&
               record.type == BusType::kReport && record.flags == static_cast<uint16_t>(s) &&
               record.session == static_cast<SessionId>(s * 3) && record.input_delta == static_cast<uint32_t>(s * 5);
  for (size_t i = 0; right && i < record.length; ++i) right = payload[i] == byte_at(s, i);
  return right;
}
// Reads everything that is there; how many records, each checked.
size_t read_all(BusReader& reader) {
  std::byte payload[kBusRecordBytesMax];
  BusRecord record;
  size_t count = 0;
  for (Sequence expected = reader.next(); reader.poll(record, payload); expected += record.slots, ++count) {
    EXPECT_EQ(record.sequence, expected);
    EXPECT_TRUE(is_right(record, payload)) << record.sequence;
  }
  return count;
}

TEST_F(BusTest, what_is_written_is_read_in_order_by_everybody) {
  auto bus = open(kSmall, 77);
  auto one = bus->reader("one", true).value(), two = bus->reader("two", false).value();
  EXPECT_EQ(one->next(), 77u);
  size_t written = 0;
  for (int lap = 0; lap < 50; ++lap) {
    for (int i = 0; i < 200; ++i) written += put_if_room(*bus);
    EXPECT_EQ(read_all(*one), 200u);
    EXPECT_EQ(read_all(*two), 200u);
    one->release();
  }
  EXPECT_EQ(written, 10'000u);
  EXPECT_EQ(one->next(), bus->next());
  EXPECT_EQ(bus->written(), bus->next());
}

TEST_F(BusTest, what_is_appended_is_read_when_it_is_published_and_all_of_it_at_once) {
  auto bus = open();
  auto reader = bus->reader("journal", true).value(), other = bus->reader("tape", false).value();
  for (int batch = 0; batch < 500; ++batch) {
    const Sequence before = bus->next();
    size_t count = 0;
    for (; count < static_cast<size_t>(batch % 9); ++count) ASSERT_TRUE(append_if_room(*bus));
    EXPECT_EQ(read_all(*reader) + read_all(*other), 0u);
    EXPECT_EQ(bus->written(), before);
    EXPECT_EQ(bus->reader("late", false).value()->next(), before);
    if (batch % 3 == 0) {
      ASSERT_TRUE(bus->room(bus_slots_of(length_at(bus->next()))));
      put(*bus);  // shows those before it, too
      ++count;
    } else {
      bus->publish();
      bus->publish();  // nothing is left to be done
    }
    EXPECT_EQ(bus->written(), bus->next());
    EXPECT_EQ(read_all(*reader), count);
    EXPECT_EQ(read_all(*other), count);
    reader->release();
  }
}

TEST_F(BusTest, values_of_a_fixed_size_are_what_the_same_bytes_are) {
  auto bus = open();
  auto reader = bus->reader("journal", true).value();
  const auto check = [&]<size_t kBytes>(std::array<std::byte, kBytes> value) {
    for (size_t i = 0; i < kBytes; ++i) value[i] = byte_at(kBytes, i);
    ASSERT_TRUE(bus->room(2 * kBusRecordSlotsMax));
    bus->append(BusType::kEvent, 1, 2, 3, 4, std::span<const std::byte, kBytes>(value));
    bus->append(BusType::kEvent, 1, 2, 3, 4, std::span<const std::byte, kBytes>(value));
    bus->publish();
    for (int i = 0; i < 2; ++i) {
      std::byte payload[kBusRecordBytesMax];
      BusRecord record;
      ASSERT_TRUE(reader->poll(record, payload)) << kBytes;
      EXPECT_EQ(record.length, kBytes);
      EXPECT_EQ(record.input_delta, 4u);
      EXPECT_TRUE(std::equal(value.begin(), value.end(), payload)) << kBytes;
    }
    reader->release();
  };
  check(std::array<std::byte, 0>{});
  check(std::array<std::byte, 1>{});
  check(std::array<std::byte, 8>{});
  check(std::array<std::byte, 31>{});
  check(std::array<std::byte, 32>{});
  check(std::array<std::byte, 33>{});
  check(std::array<std::byte, 95>{});
  check(std::array<std::byte, 96>{});
  check(std::array<std::byte, 97>{});
  check(std::array<std::byte, 131>{});
  check(std::array<std::byte, 192>{});
  check(std::array<std::byte, 384>{});
}

TEST_F(BusTest, whoever_finds_no_room_has_published) {
  auto bus = open();
  auto reader = bus->reader("journal", true).value();
  size_t appended = 0;
  while (append_if_room(*bus)) ++appended;
  EXPECT_EQ(bus->written(), bus->next());
  EXPECT_EQ(read_all(*reader), appended);
  reader->release();
  EXPECT_TRUE(append_if_room(*bus));
  EXPECT_EQ(read_all(*reader), 0u);
}

TEST_F(BusTest, a_gating_reader_holds_the_writer_back_until_it_releases) {
  auto bus = open();
  auto reader = bus->reader("journal", true).value();
  while (put_if_room(*bus)) {
  }
  EXPECT_LE(bus->next(), 1 + kSmall);
  EXPECT_GT(bus->next(), 1 + kSmall - kBusRecordSlotsMax);
  EXPECT_GT(read_all(*reader), 0u);
  EXPECT_FALSE(put_if_room(*bus));  // read is not released
  reader->release();
  EXPECT_TRUE(put_if_room(*bus));
  EXPECT_EQ(read_all(*reader), 1u);
}

TEST_F(BusTest, a_gating_reader_that_goes_does_not_hold_anybody_back) {
  auto bus = open();
  auto reader = bus->reader("journal", true).value();
  while (put_if_room(*bus)) {
  }
  reader.reset();
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(put_if_room(*bus));
}

TEST_F(BusTest, a_slow_reader_is_overtaken_notices_it_and_goes_on) {
  auto bus = open();
  auto slow = bus->reader("tape", false).value();
  for (int i = 0; i < 20; ++i) put_if_room(*bus);
  EXPECT_EQ(read_all(*slow), 20u);
  for (size_t i = 0; i < 2 * kSmall; ++i) ASSERT_TRUE(put_if_room(*bus));
  EXPECT_EQ(read_all(*slow), 0u);
  EXPECT_TRUE(slow->overtaken());
  slow->seek(bus->next());
  EXPECT_FALSE(slow->overtaken());
  EXPECT_EQ(read_all(*slow), 0u);
  put_if_room(*bus);
  EXPECT_EQ(read_all(*slow), 1u);
}

TEST_F(BusTest, a_reader_that_is_a_lap_behind_a_writer_at_rest_is_overtaken_or_reads_on) {
  for (size_t behind = kSmall - 3; behind < kSmall + 3; ++behind) {
    std::filesystem::remove(path());
    auto bus = open();
    auto slow = bus->reader("tape", false).value();
    for (size_t i = 0; i < behind; ++i) {
      ASSERT_TRUE(bus->room(2));  // knows of room behind this record, so the next slot is made ready
      bus->write(BusType::kTurn, 0, 0, i, 0, {});
    }
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    EXPECT_EQ(slow->poll(record, payload), behind < kSmall) << behind;
    EXPECT_EQ(slow->overtaken(), behind >= kSmall) << behind;
  }
}

TEST_F(BusTest, a_reader_begins_where_it_is_told_if_that_is_still_there) {
  auto bus = open();
  Sequence middle = 0;
  for (int i = 0; i < 100; ++i) {
    if (i == 40) middle = bus->next();
    ASSERT_TRUE(put_if_room(*bus));
  }
  EXPECT_EQ(read_all(*bus->reader("r", false, middle).value()), 60u);
  EXPECT_EQ(read_all(*bus->reader("r", false, bus->next()).value()), 0u);
  EXPECT_EQ(bus->reader("r", false, bus->next() + 1).error().code(), Code::kOutOfRange);
  for (size_t i = 0; i < kSmall; ++i) ASSERT_TRUE(put_if_room(*bus));
  EXPECT_EQ(bus->reader("r", false, middle).error().code(), Code::kOutOfRange);
}

TEST_F(BusTest, cursors_tell_who_reads_and_where_and_are_given_back) {
  auto bus = open();
  std::vector<std::unique_ptr<BusReader>> readers;
  for (size_t i = 0; i < kBusCursorsMax / 2; ++i)
    readers.push_back(bus->reader(fmt::format("reader {} of the venue, whose name is long", i), i == 3).value());
  EXPECT_EQ(bus->reader("one more", false).error().code(), Code::kBusy);
  put_if_room(*bus);
  read_all(*readers[3]);
  readers[3]->release();
  const auto views = bus->cursors();
  ASSERT_EQ(views.size(), kBusCursorsMax / 2);
  EXPECT_EQ(views[3].name, "reader 3 of the venue, whose na");
  EXPECT_TRUE(views[3].gating);
  EXPECT_EQ(views[3].sequence, bus->next());
  EXPECT_EQ(views[3].pid, static_cast<uint32_t>(::getpid()));
  EXPECT_FALSE(views[4].gating);
  EXPECT_EQ(views[4].sequence, 1u);
  readers.pop_back();
  EXPECT_TRUE(bus->reader("one more", false).has_value());
}

TEST_F(BusTest, options_that_make_no_sense_are_refused) {
  BusTail tail;
  for (const size_t slots : {size_t{0}, size_t{1}, kBusSlotsMin - 1, kBusSlotsMin / 2, kBusSlotsMax * 2, size_t{3000}})
    EXPECT_EQ(Bus::open({.path = path(), .slots = slots}, tail).error().code(), Code::kInvalid) << slots;
  EXPECT_EQ(Bus::open({.path = path(), .first = 0}, tail).error().code(), Code::kInvalid);
  EXPECT_EQ(Bus::open({.path = path(), .first = UINT64_MAX}, tail).error().code(), Code::kInvalid);
  EXPECT_FALSE(Bus::open({.path = directory_ + "/no/such/folder"}, tail).has_value());
  EXPECT_EQ(Bus::attach(path()).error().code(), Code::kNotFound);
  std::ofstream(path()) << "something else";
  EXPECT_EQ(Bus::attach(path()).error().code(), Code::kCorrupt);
}

TEST_F(BusTest, one_bus_has_one_writer) {
  auto bus = open();
  BusTail tail;
  EXPECT_EQ(Bus::open({.path = path(), .slots = kSmall, .venue_id = 9}, tail).error().code(), Code::kBusy);
  bus.reset();
  EXPECT_NE(open(), nullptr);
}

// --- what survives

TEST_F(BusTest, an_opened_ring_gives_back_its_tail_and_forgets_it_on_restart) {
  for (const int count : {0, 1, 5, 100, 5000}) {
    std::filesystem::remove(path());
    Sequence next = 0;
    {
      auto bus = open(kSmall, 1000);
      for (int i = 0; i < count; ++i) ASSERT_TRUE(put_if_room(*bus));
      next = bus->next();
    }
    BusTail tail;
    auto bus = open(tail);
    EXPECT_TRUE(tail.same_boot);
    if (count == 0) {
      EXPECT_EQ(tail.first, 1000u);  // where it began, though nothing is there
      EXPECT_EQ(tail.next, 1000u);
      continue;
    }
    ASSERT_EQ(tail.next, next);
    EXPECT_LE(tail.first + kSmall, tail.next + (count > 1000 ? kBusRecordSlotsMax : kSmall));
    if (count < 200) EXPECT_EQ(tail.first, 1000u);
    auto reader = bus->reader("recovery", true, tail.first).value();
    const size_t read = read_all(*reader);
    EXPECT_EQ(reader->next(), next);
    if (count < 200) EXPECT_EQ(read, static_cast<size_t>(count));
    reader.reset();
    ASSERT_TRUE(bus->restart(next + 10).has_value());
    ASSERT_TRUE(put_if_room(*bus));
    bus.reset();
    bus = open(tail);
    EXPECT_EQ(tail.first, next + 10);
  }
}

TEST_F(BusTest, a_record_that_was_not_released_is_not_in_the_tail) {
  Sequence last = 0;
  {
    auto bus = open();
    for (int i = 0; i < 100; ++i) last = put(*bus), (void)bus->room(8);
    while (length_at(bus->next()) <= kBusPayloadBytes) last = put(*bus);
    last = put(*bus);  // of several slots
  }
  patch(kSlotsOffset + (last % kSmall) * kBusSlotBytes, std::string(8, '\0'));
  BusTail tail;
  auto bus = open(tail);
  EXPECT_EQ(tail.next, last);
  auto reader = bus->reader("recovery", true, tail.first).value();
  read_all(*reader);
  EXPECT_EQ(reader->next(), last);
}

TEST_F(BusTest, the_tail_ends_with_what_was_published) {
  for (int published = 0; published < 40; ++published) {
    for (const int appended : {1, 2, 7, 300}) {
      std::filesystem::remove(path());
      Sequence next = 0;
      {
        auto bus = open(kSmall, 1000);
        // So that the ring is full of records of the lap before, in half of the cases.
        if (published % 2 != 0)
          for (size_t i = 0; i < kSmall; ++i) put_if_room(*bus);
        for (int i = 0; i < published; ++i) put_if_room(*bus);
        next = bus->next();
        for (int i = 0; i < appended; ++i) append_if_room(*bus);
      }
      BusTail tail;
      auto bus = open(tail);
      ASSERT_EQ(tail.next, next) << published << " " << appended;
      if (published == 0) continue;
      ASSERT_LT(tail.first, next);
      auto reader = bus->reader("recovery", true, tail.first).value();
      read_all(*reader);
      EXPECT_EQ(reader->next(), next);
    }
  }
}

TEST_F(BusTest, a_batch_whose_first_line_is_there_is_in_the_tail_though_its_end_was_not_noted) {
  for (const int before : {0, 3, 2000}) {
    std::filesystem::remove(path());
    Sequence noted = 0, next = 0;
    {
      auto bus = open();
      for (int i = 0; i < before; ++i) put_if_room(*bus);
      noted = bus->next();
      for (int i = 0; i < 6; ++i) append_if_room(*bus);
      bus->publish();
      next = bus->next();
    }
    patch(128, {reinterpret_cast<const char*>(&noted), sizeof noted});
    BusTail tail;
    auto bus = open(tail);
    EXPECT_EQ(tail.next, next) << before;
    auto reader = bus->reader("recovery", true, tail.first).value();
    read_all(*reader);
    EXPECT_EQ(reader->next(), next);
  }
}

TEST_F(BusTest, after_another_start_of_the_machine_a_ring_holds_nothing) {
  {
    auto bus = open();
    for (int i = 0; i < 100; ++i) put_if_room(*bus);
  }
  patch(24, "another boot  id");
  BusTail tail;
  auto bus = open(tail, kSmall, 500);
  EXPECT_FALSE(tail.same_boot);
  EXPECT_EQ(tail.first, tail.next);
  EXPECT_EQ(bus->next(), 500u);
  ASSERT_TRUE(put_if_room(*bus));
  bus.reset();
  open(tail);
  EXPECT_TRUE(tail.same_boot);
  EXPECT_EQ(tail.first, 500u);
}

TEST_F(BusTest, the_ring_of_another_venue_holds_nothing) {
  {
    auto bus = open();
    put_if_room(*bus);
  }
  BusTail tail;
  ASSERT_TRUE(Bus::open({.path = path(), .slots = kSmall, .venue_id = 10}, tail).has_value());
  EXPECT_EQ(tail.first, tail.next);
}

TEST_F(BusTest, a_ring_of_another_size_is_read_first_and_made_anew_then) {
  Sequence next = 0;
  {
    auto bus = open(2 * kSmall);
    for (int i = 0; i < 600; ++i) ASSERT_TRUE(put_if_room(*bus));
    next = bus->next();
  }
  BusTail tail;
  auto bus = open(tail, 4 * kSmall);
  EXPECT_EQ(bus->slots(), 2 * kSmall);
  EXPECT_EQ(tail.next, next);
  EXPECT_EQ(read_all(*bus->reader("recovery", true, tail.first).value()), 600u);
  ASSERT_TRUE(bus->restart(next).has_value());
  EXPECT_EQ(bus->slots(), 4 * kSmall);
  EXPECT_FALSE(std::filesystem::exists(path() + ".new"));
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(put_if_room(*bus));
  // The new file is locked like the old one.
  EXPECT_EQ(Bus::open({.path = path(), .slots = kSmall, .venue_id = 9}, tail).error().code(), Code::kBusy);
}

TEST_F(BusTest, what_was_told_before_a_kill_is_in_the_tail) {
#ifdef POLIS_TSAN
  GTEST_SKIP() << "a child of fork under ThreadSanitizer";
#endif
  for (int round = 0; round < 20; ++round) {
    std::filesystem::remove(path());
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      BusTail tail;
      auto bus = Bus::open({.path = path(), .slots = kSmall, .venue_id = 9}, tail);
      if (!bus) ::_exit(1);
      for (;;) {
        if (!put_if_room(**bus)) ::_exit(1);
        const Sequence safe = (*bus)->next();
        if (safe % 5 == 0 && ::write(pipe[1], &safe, sizeof safe) != sizeof safe) ::_exit(1);
      }
    }
    ::close(pipe[1]);
    Sequence told = 0, value = 0;
    const int most = 50 + round * 137;
    for (int i = 0; i < most && ::read(pipe[0], &value, sizeof value) == sizeof value; ++i) told = value;
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (::read(pipe[0], &value, sizeof value) == sizeof value) told = value;
    ::close(pipe[0]);
    BusTail tail;
    auto bus = open(tail);
    EXPECT_TRUE(tail.same_boot);
    EXPECT_GE(tail.next, told);
    if (told > 2 * kSmall) EXPECT_GE(tail.next - tail.first, kSmall - 2 * kBusRecordSlotsMax);
    auto reader = bus->reader("recovery", true, tail.first).value();
    read_all(*reader);
    EXPECT_EQ(reader->next(), tail.next);
  }
}

TEST_F(BusTest, a_kill_in_the_middle_of_a_batch_leaves_the_batches_before_it_and_nothing_of_it) {
#ifdef POLIS_TSAN
  GTEST_SKIP() << "a child of fork under ThreadSanitizer";
#endif
  constexpr int kBatchRecords = 7;
  for (int round = 0; round < 20; ++round) {
    std::filesystem::remove(path());
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      BusTail tail;
      auto bus = Bus::open({.path = path(), .slots = kSmall, .venue_id = 9}, tail);
      if (!bus) ::_exit(1);
      for (uint64_t batch = 0;; ++batch) {
        for (int i = 0; i < kBatchRecords; ++i)
          if (!append_if_room(**bus)) ::_exit(1);
        (*bus)->publish();
        const Sequence safe = (*bus)->next();
        if (batch % 16 == 0 && ::write(pipe[1], &safe, sizeof safe) != sizeof safe) ::_exit(1);
      }
    }
    ::close(pipe[1]);
    Sequence told = 0, value = 0;
    const int most = 3 + round * 11;
    for (int i = 0; i < most && ::read(pipe[0], &value, sizeof value) == sizeof value; ++i) told = value;
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (::read(pipe[0], &value, sizeof value) == sizeof value) told = value;
    ::close(pipe[0]);
    BusTail tail;
    auto bus = open(tail);
    EXPECT_GE(tail.next, told);
    Sequence end = 1;  // of a batch
    while (end < tail.next)
      for (int i = 0; i < kBatchRecords; ++i) end += bus_slots_of(length_at(end));
    EXPECT_EQ(tail.next, end);
    auto reader = bus->reader("recovery", true, tail.first).value();
    read_all(*reader);
    EXPECT_EQ(reader->next(), tail.next);
  }
}

TEST_F(BusTest, a_damaged_ring_is_opened_and_read_without_harm) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    base::SeededRandom random(seed);
    std::filesystem::remove(path());
    {
      auto bus = open();
      for (int i = 0; i < 700; ++i) ASSERT_TRUE(put_if_room(*bus));
    }
    const size_t size = std::filesystem::file_size(path());
    for (uint64_t flips = random.below(30) + 1; flips > 0; --flips) {
      const char byte = static_cast<char>(random.next());
      patch(random.below(4) == 0 ? random.below(300) : random.below(size), {&byte, 1});
    }
    if (random.below(8) == 0) std::filesystem::resize_file(path(), random.below(size));
    BusTail tail;
    auto bus = open(tail);
    ASSERT_NE(bus, nullptr);
    if (tail.first != tail.next) {
      ASSERT_LT(tail.first, tail.next);
      auto reader = bus->reader("recovery", true, tail.first).value();
      std::byte payload[kBusRecordBytesMax];
      BusRecord record;
      while (reader->poll(record, payload)) ASSERT_LE(record.length, kBusRecordBytesMax);
      EXPECT_GE(reader->next(), tail.next);
    }
    ASSERT_TRUE(bus->restart(50'000).has_value());
    ASSERT_TRUE(put_if_room(*bus));
    EXPECT_EQ(read_all(*bus->reader("r", false, 50'000).value()), 1u);
  }
}

// --- threads and processes

TEST_F(BusTest, threads_read_whole_records_and_gating_ones_all_of_them) {
  auto bus = open();
  constexpr int kRecords = 60'000;
  std::atomic<Sequence> end{0};
  const auto gate = [&](std::unique_ptr<BusReader> reader) {
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    for (int read = 0; read < kRecords;) {
      if (!reader->poll(record, payload)) {
        reader->release();
        reader->wait(50, 1'000'000'000);
        continue;
      }
      ASSERT_TRUE(is_right(record, payload));
      if (++read % 16 == 0) reader->release();
    }
  };
  const auto look = [&](std::unique_ptr<BusReader> reader) {
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    for (Sequence last = 0; end.load() == 0 || reader->next() < end.load();) {
      if (reader->overtaken()) reader->seek(bus->written());
      if (!reader->poll(record, payload)) {
        if (!reader->overtaken()) reader->wait(10, 1'000'000);
        continue;
      }
      ASSERT_GT(record.sequence, last);
      ASSERT_TRUE(is_right(record, payload));
      last = record.sequence;
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(gate, bus->reader("a", true).value());
  threads.emplace_back(gate, bus->reader("b", true).value());
  threads.emplace_back(look, bus->reader("c", false).value());
  for (int i = 0; i < kRecords;) {
    if (put_if_room(*bus)) {
      ++i;
      if (i % 7 == 0) bus->wake();
      // Readers come and go meanwhile.
      if (i % 5000 == 0) threads.emplace_back(look, bus->reader("late", false).value());
    } else {
      bus->wake();
      std::this_thread::yield();
    }
  }
  bus->wake();
  end = bus->next();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(BusTest, threads_never_see_a_part_of_a_batch) {
  auto bus = open();
  constexpr int kBatches = 8'000, kBatchRecords = 5;
  std::atomic<Sequence> end{0};
  const auto gate = [&](std::unique_ptr<BusReader> reader) {
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    for (int read = 0; read < kBatches * kBatchRecords;) {
      if (!reader->poll(record, payload)) {
        ASSERT_EQ(read % kBatchRecords, 0);
        reader->release();
        reader->wait(50, 1'000'000'000);
        continue;
      }
      ASSERT_TRUE(is_right(record, payload));
      if (++read % kBatchRecords == 0) reader->release();
    }
  };
  const auto look = [&](std::unique_ptr<BusReader> reader) {
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    while (end.load() == 0 || reader->next() < end.load()) {
      if (reader->overtaken()) reader->seek(bus->written());
      if (reader->poll(record, payload))
        ASSERT_TRUE(is_right(record, payload));
      else if (!reader->overtaken())
        reader->wait(10, 1'000'000);
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(gate, bus->reader("a", true).value());
  threads.emplace_back(look, bus->reader("b", false).value());
  threads.emplace_back(look, bus->reader("c", false).value());
  for (int i = 0; i < kBatches; ++i) {
    while (!bus->room(kBatchRecords * kBusRecordSlotsMax)) {
      bus->wake();
      std::this_thread::yield();
    }
    for (int j = 0; j < kBatchRecords; ++j) append(*bus);
    bus->publish();
    if (i % 7 == 0) bus->wake();
  }
  bus->wake();
  end = bus->next();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(BusTest, a_gating_reader_that_comes_while_the_writer_writes_misses_nothing) {
  auto bus = open();
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop.load(std::memory_order_relaxed))
      if (!put_if_room(*bus)) std::this_thread::yield();
  });
  for (int i = 0; i < 200; ++i) {
    auto reader = bus->reader("comes", true).value();
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    Sequence expected = reader->next();
    for (int read = 0; read < 300;) {
      if (!reader->poll(record, payload)) {
        reader->release();
        ASSERT_FALSE(reader->overtaken());
        std::this_thread::yield();
        continue;
      }
      ASSERT_EQ(record.sequence, expected);
      ASSERT_TRUE(is_right(record, payload));
      expected += record.slots;
      ++read;
    }
  }
  stop = true;
  writer.join();
}

TEST_F(BusTest, a_reader_that_sleeps_is_woken_by_the_next_record) {
  auto bus = open();
  auto there = bus->reader("there", true).value();
  std::atomic<int> rounds{0};
  std::thread sleeper([&] {
    std::byte payload[kBusRecordBytesMax];
    BusRecord record;
    while (rounds.load() < 500) {
      if (there->poll(record, payload)) {
        there->release();
        rounds.fetch_add(1);
        rounds.notify_one();
      } else {
        there->wait(0, 60'000'000'000);  // a lost wake would take a minute
      }
    }
  });
  for (int round = 0; round < 500; ++round) {
    ASSERT_TRUE(put_if_room(*bus));
    bus->wake();
    rounds.wait(round);
  }
  sleeper.join();
}

TEST_F(BusTest, whoever_attaches_reads_along_and_never_holds_the_writer_back) {
  auto bus = open();
  auto other = Bus::attach(path()).value();
  EXPECT_EQ(other->written(), 1u);
  auto reader = other->reader("watcher", false).value();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(put_if_room(*bus));
  EXPECT_EQ(read_all(*reader), 50u);
  EXPECT_EQ(bus->cursors().size(), 1u);
  for (size_t i = 0; i < 2 * kSmall; ++i) ASSERT_TRUE(put_if_room(*bus));
  EXPECT_EQ(read_all(*reader), 0u);
  EXPECT_TRUE(reader->overtaken());
  reader->seek(other->written());
  // A restart of the bus is noticed at once, also by whoever waits for a place that was never written.
  ASSERT_TRUE(bus->restart(bus->next() + 3).has_value());
  EXPECT_EQ(read_all(*reader), 0u);
  EXPECT_TRUE(reader->overtaken());
  reader->seek(other->written());
  ASSERT_TRUE(put_if_room(*bus));
  EXPECT_EQ(read_all(*reader), 1u);
}

// --- queue

TEST(SpscQueueTest, it_is_a_queue_of_its_capacity) {
  SpscQueue<int> queue(5);
  EXPECT_EQ(queue.capacity(), 8u);
  EXPECT_EQ(queue.front(), nullptr);
  int in = 0, out = 0;
  for (int lap = 0; lap < 100; ++lap) {
    while (queue.push(in)) ++in;
    EXPECT_EQ(queue.size(), 8u);
    ASSERT_NE(queue.front(), nullptr);
    for (uint64_t ahead = 0; ahead < 10; ++ahead)
      if (const int* coming = queue.peek(ahead)) EXPECT_EQ(*coming, out + static_cast<int>(ahead));
    EXPECT_EQ(queue.peek(8), nullptr);
    for (int i = 0; i < 1 + lap % 8; ++i) {
      ASSERT_NE(queue.front(), nullptr);
      EXPECT_EQ(*queue.front(), out++);
      queue.pop();
    }
  }
  EXPECT_EQ(queue.size(), static_cast<size_t>(in - out));
}

TEST(SpscQueueTest, two_threads_lose_and_double_nothing) {
  struct Value {
    uint64_t number, twice;
  };
  SpscQueue<Value> queue(256);
  constexpr uint64_t kValues = 300'000;
  std::thread reader([&] {
    for (uint64_t i = 0; i < kValues;) {
      const Value* value = queue.front();
      if (value == nullptr) {
        std::this_thread::yield();
        continue;
      }
      ASSERT_EQ(value->number, i);
      ASSERT_EQ(value->twice, 2 * i);
      queue.pop();
      ++i;
    }
  });
  for (uint64_t i = 0; i < kValues;)
    if (queue.push({i, 2 * i}))
      ++i;
    else
      std::this_thread::yield();
  reader.join();
  EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace polis::exchange
