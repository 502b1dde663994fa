#include "kernel/log/segment_journal.h"

#include <filesystem>
#include <stdlib.h>

#include "kernel/log/conformance.h"
#include "kernel/log/record.h"
#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"

namespace polis::log {
namespace {

using namespace std::chrono_literals;

SegmentLogOptions small(std::string directory) {
  return {.directory = std::move(directory),
          .segment_size_bytes = 64 << 10,
          .buffer_bytes_max = 1 << 20,
          .chunk_bytes = 16 << 10,
          .flush_bytes = 32 << 10,
          .index_interval_bytes = 4 << 10,
          .open_files_max = 3};
}

class FolderHarness final : public JournalHarness {
 public:
  explicit FolderHarness(std::unique_ptr<io::Disk> disk) : disk_(std::move(disk)) {
    char name[] = "/tmp/polis-journal-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FolderHarness() override { std::filesystem::remove_all(folder_); }
  void run(std::function<Task<void>()> test) override { io::run(std::move(test)); }
  Task<Result<std::unique_ptr<Journal>>> open() override {
    return open_segment_journal(*disk_, scheduler_, random_, small(folder_ + "/journal"));
  }

 private:
  std::unique_ptr<io::Disk> disk_;
  std::string folder_;
  SyncScheduler scheduler_;
  base::SeededRandom random_{1};
};

class SimHarness final : public JournalHarness {
 public:
  explicit SimHarness(uint64_t seed) : world_(seed), random_(seed) {}
  void run(std::function<Task<void>()> test) override { world_.run(test()); }
  Task<Result<std::unique_ptr<Journal>>> open() override {
    return open_segment_journal(world_.disk(), scheduler_, random_, small("journal"));
  }
  bool breaks() const override { return true; }
  void cut_after(uint64_t operations, bool kill) override {
    kill_ = kill;
    world_.disk().crash_after(operations, survival());
  }
  void cut_and_restart() override {
    if (world_.disk().powered()) world_.disk().crash(survival());
    world_.disk().restart();
    kill_ = false;
  }
  void fail_syncs(bool fail) override {
    world_.disk().clear_faults();
    if (fail) world_.disk().set_faults("journal", {.sync_error_ppm = 1'000'000});
  }
  bool damage(std::string_view payload) override {
    for (const std::string& path : world_.disk().files("journal")) {
      const Bytes content = world_.disk().content(path);
      const size_t at = as_text(content).find(payload);
      if (at == std::string_view::npos) continue;
      // Anywhere in the record: header or payload.
      const uint64_t begin = at - RecordFrame::kHeaderBytes;
      return world_.disk().flip_random_bit(path, begin, at + payload.size()) != UINT64_MAX;
    }
    return false;
  }

 private:
  sim::Survival survival() const { return kill_ ? sim::Survival::kAll : sim::Survival::kBySeed; }
  sim::World world_;
  SyncScheduler scheduler_;
  base::SeededRandom random_;
  bool kill_ = false;
};

INSTANTIATE_TEST_SUITE_P(Segments, JournalConformance,
                         testing::Values(JournalAdapter{"system_disk",
                                                        [](uint64_t) -> std::unique_ptr<JournalHarness> {
                                                          return std::make_unique<FolderHarness>(
                                                              io::make_system_disk());
                                                        }},
                                         JournalAdapter{"volatile_disk",
                                                        [](uint64_t) -> std::unique_ptr<JournalHarness> {
                                                          return std::make_unique<FolderHarness>(
                                                              io::make_volatile_disk());
                                                        }},
                                         JournalAdapter{"simulated_disk",
                                                        [](uint64_t seed) -> std::unique_ptr<JournalHarness> {
                                                          return std::make_unique<SimHarness>(seed);
                                                        }}),
                         [](const auto& parameter) { return parameter.param.name; });

Task<void> thousand_appenders(Journal& journal, int& acknowledged) {
  io::TaskGroup group;
  for (int i = 0; i < 1000; ++i) group.spawn(conformance::append_and_wait(journal, 10, acknowledged));
  co_await group.join();
}

TEST(SegmentJournal, with_syncs_of_5_ms_a_thousand_appenders_share_them) {
  sim::WorldOptions options;
  options.disk.sync = {5ms, 5ms};
  sim::World world(1, options);
  SyncScheduler scheduler;
  base::SeededRandom random(1);
  auto journal = std::move(*world.run(open_segment_journal(world.disk(), scheduler, random, {.directory = "journal"})));
  const Duration before = world.elapsed();
  int acknowledged = 0;
  world.run(thousand_appenders(*journal, acknowledged));
  EXPECT_EQ(acknowledged, 10'000);
  // Ten rounds; an append just after a sync began waits for the next one, so at most two syncs a round.
  EXPECT_LE(journal->statistics().syncs, 20u);
  EXPECT_LT(world.elapsed() - before, 150ms);
  EXPECT_TRUE(world.run(journal->close()));
}

Task<void> wait_and_note(Journal& journal, Position position, Position& acknowledged) {
  if (co_await journal.wait(position, Durability::kDisk)) acknowledged = std::max(acknowledged, position);
}

// Appends until something fails or the round is over, while earlier ones still wait; answers the last position that was
// acknowledged as durable.
Task<Position> append_for_a_while(Journal& journal, base::SeededRandom& random, Position acknowledged) {
  io::TaskGroup waiting;
  for (uint64_t i = 5 + random.below(40); i > 0; --i) {
    const std::string payload = "record " + std::to_string(journal.last() + 1) + std::string(random.below(200), '.');
    const auto position = journal.append(as_bytes(payload));
    if (!position) break;
    if (random.chance(1, 2)) waiting.spawn(wait_and_note(journal, *position, acknowledged));
    if (random.chance(1, 2)) (void)co_await io::sleep_for(std::chrono::microseconds(random.below(3000)));
  }
  co_await waiting.join();
  (void)co_await journal.close();
  co_return acknowledged;
}

// Lives that end by failed syncs, of files and of the folder, by a restart of the process, and by power cuts, in any
// order: the page cache shows a later life what never reached the disk.
TEST(SegmentJournal, what_was_acknowledged_survives_failed_syncs_restarts_and_power_cuts_in_any_order) {
  const auto round_of = [](uint64_t seed) {
    sim::World world(seed);
    base::SeededRandom random(seed);
    Position acknowledged = 0;
    SegmentLogOptions options = small("journal");
    options.segment_size_bytes = 1 << 10;
    for (int life = 0; life < 8; ++life) {
      SyncScheduler scheduler;
      world.disk().set_faults("", {.sync_error_ppm = static_cast<uint32_t>(random.below(4)) * 80'000});
      auto journal = world.run(open_segment_journal(world.disk(), scheduler, random, options));
      if (journal) {
        ASSERT_GE((*journal)->last(), acknowledged) << "seed " << seed << ", life " << life;
        acknowledged = world.run(append_for_a_while(**journal, random, acknowledged));
      } else {
        ASSERT_NE(journal.error().code(), Code::kCorrupt) << "seed " << seed << ": " << journal.error().text();
      }
      if (random.chance(1, 2)) continue;  // only the process ends
      world.disk().crash();
      world.disk().restart();
    }
    world.disk().clear_faults();
    SyncScheduler scheduler;
    auto journal = std::move(*world.run(open_segment_journal(world.disk(), scheduler, random, options)));
    ASSERT_GE(journal->last(), acknowledged) << "seed " << seed;
    auto reader = *journal->read(1);
    for (Position position = 1; position <= acknowledged; ++position) {
      const auto record = world.run(reader->next());
      ASSERT_TRUE(record && *record) << "seed " << seed << ", position " << position;
      ASSERT_TRUE(as_text((*record)->payload).starts_with("record " + std::to_string(position)));
    }
    reader.reset();
    EXPECT_TRUE(world.run(journal->close()));
  };
  (void)sim::for_each_seed(sim::seeds(200), round_of, testing::Test::HasFailure);
}

}  // namespace
}  // namespace polis::log
