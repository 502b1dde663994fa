// What every Journal adapter must do, as a GoogleTest suite over a harness. An adapter's *_test.cc includes this once
// and says
//
//     INSTANTIATE_TEST_SUITE_P(Segments, JournalConformance, testing::Values(...), ...);
#pragma once

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/log/journal.h"
#include "kernel/sim/seeds.h"

namespace polis::log {

// One journal and the world around it. A journal is opened, used and closed inside one run.
class JournalHarness {
 public:
  virtual ~JournalHarness() = default;
  virtual void run(std::function<Task<void>()> test) = 0;
  // The same journal each time. Small limits, so that tests reach them: segments of at most 64 KiB, a buffer of at most
  // 1 MiB.
  virtual Task<Result<std::unique_ptr<Journal>>> open() = 0;

  // Faults; a harness that cannot make them answers false, and the tests that need them are skipped.
  virtual bool breaks() const { return false; }
  // The power fails in the middle of the n-th disk operation from now, or (kill) only the process dies: what the
  // operating system was given stays.
  virtual void cut_after(uint64_t /*operations*/, bool /*kill*/) {}
  // Makes sure that it has failed, and brings it back. No journal may be open.
  virtual void cut_and_restart() {}
  // From now on syncs fail, or work again.
  virtual void fail_syncs(bool /*fail*/) {}
  // Flips a bit in the stored record with this payload, in its header or its body; false if it cannot be found.
  virtual bool damage(std::string_view payload) {
    (void)payload;
    return false;
  }
};

struct JournalAdapter {
  std::string name;
  std::function<std::unique_ptr<JournalHarness>(uint64_t seed)> make;
};

class JournalConformance : public testing::TestWithParam<JournalAdapter> {
 protected:
  std::unique_ptr<JournalHarness> harness = GetParam().make(1);
};

namespace conformance {

inline std::string text_of(BytesView bytes) {
  return std::string(as_text(bytes));
}

inline std::string payload_of(Random& random, size_t size_bytes) {
  std::string text(size_bytes, '\0');
  random.fill(as_writable_bytes(text));
  return text;
}

// Reads [from, end) and compares; `records[0]` is position 1.
inline Task<void> expect_records(Journal& journal, Position from, const std::vector<std::string>& records) {
  auto reader = journal.read(from);
  EXPECT_TRUE(reader) << reader.error().text();
  if (!reader) co_return;
  for (Position position = from; position <= records.size(); ++position) {
    auto record = co_await (*reader)->next();
    EXPECT_TRUE(record) << record.error().text();
    if (!record) co_return;
    EXPECT_TRUE(*record) << "the journal ends before position " << position;
    if (!*record) co_return;
    EXPECT_EQ((*record)->position, position);
    EXPECT_TRUE(text_of((*record)->payload) == records[position - 1]) << "other bytes at position " << position;
  }
  auto end = co_await (*reader)->next();
  EXPECT_TRUE(end && !*end) << "more records than were appended";
}

inline Task<void> start_at_one(JournalHarness& harness) {
  auto journal = co_await harness.open();
  EXPECT_TRUE(journal) << journal.error().text();
  if (!journal) co_return;
  EXPECT_EQ((*journal)->first(), 1u);
  EXPECT_EQ((*journal)->last(), 0u);
  EXPECT_EQ((*journal)->reached(Durability::kDisk), 0u);
  EXPECT_TRUE(co_await (*journal)->wait(0, Durability::kDisk));
  co_await expect_records(**journal, 1, {});
  EXPECT_EQ(*(*journal)->append(as_bytes("one")), 1u);
  EXPECT_EQ(*(*journal)->append(as_bytes("two")), 2u);
  EXPECT_TRUE(co_await (*journal)->close());
}

inline Task<void> sizes_come_back(JournalHarness& harness) {
  base::SeededRandom random(7);
  std::vector<std::string> records;
  {
    auto journal = *co_await harness.open();
    for (size_t size_bytes : {0, 1, 7, 8, 9, 100, 4096, 65'000, 70'000, 500'000, 16 << 20}) {
      records.push_back(payload_of(random, size_bytes));
      const std::string& text = records.back();
      const size_t half = text.size() / 2;
      const BytesView parts[] = {as_bytes(text).first(half), {}, as_bytes(text).subspan(half)};
      auto position = journal->append(parts);
      EXPECT_TRUE(position) << position.error().text();
      EXPECT_EQ(*position, records.size());
      EXPECT_TRUE(co_await journal->wait(*position, Durability::kOs));
    }
    co_await expect_records(*journal, 1, records);
    co_await expect_records(*journal, 6, records);
    EXPECT_TRUE(co_await journal->close());
  }
  auto journal = *co_await harness.open();
  EXPECT_EQ(journal->last(), records.size());
  EXPECT_EQ(journal->reached(Durability::kDisk), records.size());
  co_await expect_records(*journal, 1, records);
  co_await expect_records(*journal, records.size() + 1, records);
  EXPECT_TRUE(co_await journal->close());
}

inline Task<void> levels(JournalHarness& harness) {
  auto journal = *co_await harness.open();
  const Position position = *journal->append(as_bytes("x"));
  EXPECT_TRUE(co_await journal->wait(position, Durability::kMemory));
  EXPECT_TRUE(co_await journal->wait(position, Durability::kOs));
  EXPECT_GE(journal->reached(Durability::kOs), position);
  EXPECT_TRUE(co_await journal->wait(position, Durability::kDisk));
  EXPECT_GE(journal->reached(Durability::kDisk), position);
  EXPECT_EQ((co_await journal->wait(position + 1, Durability::kDisk)).error().code(), Code::kOutOfRange);
  EXPECT_EQ((co_await journal->wait(UINT64_MAX, Durability::kMemory)).error().code(), Code::kOutOfRange);
  EXPECT_EQ(journal->read(0).error().code(), Code::kOutOfRange);
  EXPECT_EQ(journal->read(position + 2).error().code(), Code::kOutOfRange);
  const auto replicated = co_await journal->wait(position, Durability::kReplicated);
  EXPECT_TRUE(replicated || replicated.error().code() == Code::kUnavailable);
  EXPECT_TRUE(co_await journal->close());
}

inline Task<void> limits(JournalHarness& harness) {
  auto journal = *co_await harness.open();
  const std::string large((16 << 20) + 1, 'x');
  EXPECT_EQ(journal->append(as_bytes(large)).error().code(), Code::kTooLarge);
  EXPECT_EQ(journal->admit(large.size()).error().code(), Code::kTooLarge);
  const std::string text(10'000, 'x');
  Code code = Code::kInvalid;
  Position accepted = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool admitted = journal->admit(text.size()).has_value();
    auto position = journal->append(as_bytes(text));
    EXPECT_EQ(admitted, position.has_value());
    if (!position) {
      code = position.error().code();
      break;
    }
    accepted = *position;
  }
  EXPECT_EQ(code, Code::kBusy) << "the buffer has no limit";
  EXPECT_EQ(journal->last(), accepted);
  EXPECT_TRUE(co_await journal->wait(accepted, Durability::kDisk));
  EXPECT_EQ(*journal->append(as_bytes("again")), accepted + 1);
  EXPECT_TRUE(co_await journal->close());
  EXPECT_EQ(journal->append(as_bytes("late")).error().code(), Code::kClosed);
}

inline Task<void> trims(JournalHarness& harness) {
  std::vector<std::string> records;
  {
    auto journal = *co_await harness.open();
    for (int i = 0; i < 300; ++i) {
      records.push_back(std::to_string(i) + std::string(3000, 't'));
      const auto position = journal->append(as_bytes(records.back()));
      EXPECT_TRUE(position);
      if (i % 50 == 0) {
        EXPECT_TRUE(co_await journal->wait(*position, Durability::kDisk));
      }
    }
    EXPECT_TRUE(co_await journal->wait(300, Durability::kDisk));
    auto slow = *journal->read(1);
    EXPECT_TRUE(co_await slow->next());
    EXPECT_TRUE(co_await journal->trim(200));
    EXPECT_GT(journal->first(), 1u);
    EXPECT_LE(journal->first(), 200u);
    EXPECT_EQ(journal->read(1).error().code(), Code::kOutOfRange);
    co_await expect_records(*journal, 200, records);
    while (true) {  // what was open stays readable, then the gap is told
      const auto record = co_await slow->next();
      if (record) {
        EXPECT_TRUE(*record);
        if (!*record) break;
        continue;
      }
      EXPECT_EQ(record.error().code(), Code::kOutOfRange);
      break;
    }
    EXPECT_TRUE(co_await journal->trim(1'000'000));  // beyond the end: keeps the newest
    EXPECT_EQ(journal->last(), 300u);
    EXPECT_TRUE(co_await journal->close());
  }
  auto journal = *co_await harness.open();
  EXPECT_GT(journal->first(), 200u);
  EXPECT_EQ(journal->last(), 300u);
  if (journal->first() <= 300) co_await expect_records(*journal, journal->first(), records);
  EXPECT_EQ(*journal->append(as_bytes("next")), 301u);
  EXPECT_TRUE(co_await journal->close());
}

inline Task<void> follows(JournalHarness& harness) {
  auto journal = *co_await harness.open();
  auto reader = *journal->read(1);
  for (int i = 1; i <= 200; ++i) {
    auto none = co_await reader->next();
    EXPECT_TRUE(none && !*none);
    const std::string text = std::to_string(i) + std::string(2000, 'f');
    const Position position = *journal->append(as_bytes(text));
    EXPECT_TRUE(co_await journal->wait(position, Durability::kOs));
    auto record = co_await reader->next();
    EXPECT_TRUE(record && *record && text_of((*record)->payload) == text);
    if (!record || !*record) break;
  }
  EXPECT_TRUE(co_await journal->close());
}

inline Task<void> append_and_wait(Journal& journal, int count, int& acknowledged) {
  for (int i = 0; i < count; ++i) {
    const auto position = journal.append(as_bytes("record"));
    if (!position) co_return;
    if (co_await journal.wait(*position, Durability::kDisk)) ++acknowledged;
  }
}

inline Task<void> syncs_are_shared(JournalHarness& harness) {
  auto journal = *co_await harness.open();
  int acknowledged = 0;
  io::TaskGroup group;
  for (int i = 0; i < 100; ++i) group.spawn(append_and_wait(*journal, 10, acknowledged));
  co_await group.join();
  EXPECT_EQ(acknowledged, 1000);
  EXPECT_LE(journal->statistics().syncs, 100u)
      << "each of 100 appenders waits 10 times; one sync answers all that wait";
  EXPECT_TRUE(co_await journal->close());
}

inline Task<void> wait_for(Journal& journal, Position position, bool& cancelled) {
  const auto waited = co_await journal.wait(position, Durability::kDisk);
  cancelled = !waited && waited.error().code() == Code::kCancelled;
}

inline Task<void> cancelling_keeps_the_record(JournalHarness& harness) {
  {
    auto journal = *co_await harness.open();
    const Position position = *journal->append(as_bytes("kept"));
    bool cancelled = false;
    io::TaskGroup group;
    group.spawn(wait_for(*journal, position, cancelled));
    group.stop();
    co_await group.join();
    EXPECT_TRUE(cancelled);
    EXPECT_TRUE(co_await journal->close());
  }
  auto journal = *co_await harness.open();
  co_await expect_records(*journal, 1, {"kept"});
  EXPECT_TRUE(co_await journal->close());
}

// What the test knows about a journal that is killed again and again.
struct JournalModel {
  std::vector<std::string> records;
  Position on_disk = 0;  // acknowledged so
  Position in_system = 0;
  bool stopped = false;
};

inline Task<void> append_until_stopped(Journal& journal, base::SeededRandom random, JournalModel& model) {
  for (int i = 0; i < 30 && !model.stopped; ++i) {
    const std::string text = payload_of(random, random.chance(1, 20) ? random.below(40'000) : random.below(200));
    const auto position = journal.append(as_bytes(text));
    if (!position && position.error().code() == Code::kBusy) {
      if (!co_await io::sleep_for(std::chrono::milliseconds(1))) break;
      continue;
    }
    if (!position) break;
    EXPECT_EQ(*position, model.records.size() + 1);
    model.records.push_back(text);
    const auto durability = static_cast<Durability>(random.below(3));
    const auto waited = co_await journal.wait(*position, durability);
    if (!waited) break;
    if (durability == Durability::kDisk) model.on_disk = std::max(model.on_disk, *position);
    if (durability != Durability::kMemory) model.in_system = std::max(model.in_system, *position);
    if (random.chance(1, 40)) {
      const auto trimmed = co_await journal.trim(*position / 2);
      if (!trimmed) break;
    }
  }
}

inline Task<void> survive_crashes(JournalHarness& harness, uint64_t seed) {
  base::SeededRandom random(seed);
  JournalModel model;
  for (int round = 0; round < 4; ++round) {
    const bool kill = random.chance(1, 3);
    if (random.chance(4, 5)) harness.cut_after(1 + random.below(120), kill);
    auto journal = co_await harness.open();
    if (journal) {
      const Position last = (*journal)->last();
      EXPECT_GE(last, model.on_disk) << "acknowledged records are gone";
      EXPECT_LE(last, model.records.size());
      if (testing::Test::HasFailure()) break;
      model.records.resize(last);
      model.on_disk = model.in_system = last;  // what open() shows is durable
      if (round > 0 && random.chance(1, 2)) {
        auto reader = (*journal)->read((*journal)->first());
        EXPECT_TRUE(reader);
        for (Position p = (*journal)->first(); p <= last; ++p) {
          const auto record = co_await (*reader)->next();
          if (!record && record.error().code() == Code::kUnavailable) break;
          EXPECT_TRUE(record) << record.error().text();
          if (!record || !*record) break;
          EXPECT_EQ((*record)->position, p);
          EXPECT_TRUE(text_of((*record)->payload) == model.records[p - 1]) << "other bytes at position " << p;
        }
      }
      io::TaskGroup group;
      for (int i = 0; i < 3; ++i)
        group.spawn(append_until_stopped(**journal, base::SeededRandom(random.next()), model));
      co_await group.join();
      // A journal that meets the end of the world says so; the outcome is judged by what is there afterwards.
      const auto closed = co_await (*journal)->close();
      if (closed) model.on_disk = model.records.size();
      if (kill) model.on_disk = std::max(model.on_disk, model.in_system);
      journal->reset();
    } else {
      EXPECT_EQ(journal.error().code(), Code::kUnavailable) << journal.error().text();
    }
    harness.cut_and_restart();
    if (testing::Test::HasFailure()) co_return;
  }
  auto journal = co_await harness.open();
  EXPECT_TRUE(journal) << journal.error().text();
  if (!journal) co_return;
  EXPECT_GE((*journal)->last(), model.on_disk);
  model.records.resize((*journal)->last());
  co_await expect_records(**journal, (*journal)->first(), model.records);
  EXPECT_TRUE(co_await (*journal)->close());
}

inline Task<void> failed_sync_stops(JournalHarness& harness) {
  {
    auto journal = *co_await harness.open();
    const Position kept = *journal->append(as_bytes("kept"));
    EXPECT_TRUE(co_await journal->wait(kept, Durability::kDisk));
    const Position lost = *journal->append(as_bytes("perhaps"));
    harness.fail_syncs(true);
    EXPECT_FALSE(co_await journal->wait(lost, Durability::kDisk));
    harness.fail_syncs(false);
    EXPECT_TRUE(journal->failure());
    EXPECT_EQ(journal->append(as_bytes("no")).error().code(), Code::kUnavailable);
    EXPECT_FALSE(co_await journal->wait(lost, Durability::kDisk)) << "a failed sync must not be retried";
    EXPECT_TRUE(co_await journal->wait(kept, Durability::kDisk));
    EXPECT_FALSE(co_await journal->close());
  }
  // The process starts again on a machine that was up all the time: what it can read now must survive a later power
  // cut, though the failed sync left its pages looking clean.
  Position last = 0;
  {
    auto journal = *co_await harness.open();
    last = journal->last();
    EXPECT_GE(last, 1u);
    EXPECT_TRUE(co_await journal->close());
  }
  harness.cut_and_restart();
  auto journal = *co_await harness.open();
  EXPECT_EQ(journal->last(), last);
  EXPECT_TRUE(co_await journal->close());
}

inline Task<void> damage_is_found(JournalHarness& harness, uint64_t seed) {
  base::SeededRandom random(seed);
  std::vector<std::string> records;
  {
    auto journal = *co_await harness.open();
    for (int i = 0; i < 60; ++i) {
      records.push_back(payload_of(random, 16 + random.below(3000)));
      const Position position = *journal->append(as_bytes(records.back()));
      EXPECT_TRUE(co_await journal->wait(position, Durability::kDisk));
    }
    EXPECT_TRUE(co_await journal->close());
  }
  // Not among the last two: without later records that name it, the newest cannot be told from one that was never
  // finished.
  const size_t victim = random.below(records.size() - 2);
  EXPECT_TRUE(harness.damage(records[victim]));
  auto journal = co_await harness.open();
  if (!journal) {
    EXPECT_EQ(journal.error().code(), Code::kCorrupt) << journal.error().text();
    co_return;
  }
  EXPECT_EQ((*journal)->last(), records.size()) << "damage was taken for a torn tail";
  auto reader = *(*journal)->read(1);
  for (size_t i = 0; i <= victim; ++i) {
    const auto record = co_await reader->next();
    if (i < victim) {
      EXPECT_TRUE(record && *record && text_of((*record)->payload) == records[i]);
    } else {
      EXPECT_TRUE(!record && record.error().code() == Code::kCorrupt) << "record " << i << " of seed " << seed;
      const auto again = co_await reader->next();
      EXPECT_TRUE(!again && again.error().code() == Code::kCorrupt) << "the damaged record was skipped";
    }
  }
  EXPECT_TRUE(co_await (*journal)->close());
}

}  // namespace conformance

#define POLIS_JOURNAL_TEST(sentence, body)                    \
  TEST_P(JournalConformance, sentence) {                      \
    JournalHarness& world = *harness;                         \
    world.run([&world] { return conformance::body(world); }); \
  }

POLIS_JOURNAL_TEST(an_empty_journal_starts_at_one, start_at_one)
POLIS_JOURNAL_TEST(records_of_every_size_come_back_in_order_after_reopening, sizes_come_back)
POLIS_JOURNAL_TEST(each_durability_is_reached_and_what_does_not_exist_is_out_of_range, levels)
POLIS_JOURNAL_TEST(a_full_buffer_is_busy_and_a_huge_record_too_large, limits)
POLIS_JOURNAL_TEST(a_trim_forgets_the_old_and_keeps_the_rest, trims)
POLIS_JOURNAL_TEST(a_reader_follows_the_end, follows)
POLIS_JOURNAL_TEST(one_sync_answers_all_that_wait, syncs_are_shared)
POLIS_JOURNAL_TEST(a_cancelled_wait_keeps_the_record, cancelling_keeps_the_record)
#undef POLIS_JOURNAL_TEST

TEST_P(JournalConformance, nothing_acknowledged_is_lost_wherever_the_power_is_cut) {
  if (!harness->breaks()) GTEST_SKIP() << "this harness cannot cut the power";
  const uint64_t broken = sim::for_each_seed(
      sim::seeds(),
      [&](uint64_t seed) {
        auto world = GetParam().make(seed);
        world->run([&] { return conformance::survive_crashes(*world, seed); });
      },
      HasFailure);
  EXPECT_EQ(broken, 0u) << "run again with POLIS_SEED=" << broken;
}

TEST_P(JournalConformance, a_failed_sync_stops_the_journal_for_good) {
  if (!harness->breaks()) GTEST_SKIP() << "this harness cannot make syncs fail";
  const uint64_t broken = sim::for_each_seed(
      sim::seeds(20),
      [&](uint64_t seed) {
        auto world = GetParam().make(seed);
        world->run([&] { return conformance::failed_sync_stops(*world); });
      },
      HasFailure);
  EXPECT_EQ(broken, 0u) << "run again with POLIS_SEED=" << broken;
}

TEST_P(JournalConformance, a_damaged_record_is_reported_and_never_skipped) {
  if (!harness->breaks()) GTEST_SKIP() << "this harness cannot damage records";
  const uint64_t broken = sim::for_each_seed(
      sim::seeds(),
      [&](uint64_t seed) {
        auto world = GetParam().make(seed);
        world->run([&] { return conformance::damage_is_found(*world, seed); });
      },
      HasFailure);
  EXPECT_EQ(broken, 0u) << "run again with POLIS_SEED=" << broken;
}

}  // namespace polis::log
