// What drives do to bytes, and what becomes of it: lost, swapped, full, failing and lying drives, flipped bits, power
// cuts.
#include <gtest/gtest.h>

#include "kernel/blob/simulated_pool_test.h"

namespace polis::blob {
namespace {

struct Kept {
  Receipt receipt;
  Bytes bytes;
};

std::vector<Kept> fill(SimulatedPool& pool, Random& random, int count) {
  std::vector<Kept> kept;
  for (int i = 0; i < count; ++i) {
    Bytes bytes = random_bytes(random, 1 + random.below(i % 4 == 0 ? 900'000 : i % 4 == 1 ? 200'000 : 20'000));
    auto receipt = pool.put(bytes);
    if (!receipt) {
      ADD_FAILURE() << receipt.error().text();
      break;
    }
    kept.push_back({*receipt, std::move(bytes)});
  }
  return kept;
}

void expect_all(SimulatedPool& pool, const std::vector<Kept>& kept, const char* when) {
  for (const Kept& blob : kept) {
    auto got = pool.get(blob.receipt);
    ASSERT_TRUE(got.has_value()) << when << ": " << got.error().text();
    ASSERT_TRUE(*got == blob.bytes) << when;
  }
}

TEST(Drives, any_two_of_six_can_be_lost_and_every_blob_reads) {
  base::SeededRandom random(1);
  SimulatedPool pool(small_extents());
  const auto kept = fill(pool, random, 16);
  for (unsigned a = 0; a < 6; ++a) {
    for (unsigned b = a + 1; b < 6; ++b) {
      ASSERT_OK(pool.run(pool.blob().set_drive(a, DriveState::kMissing)));
      ASSERT_OK(pool.run(pool.blob().set_drive(b, DriveState::kMissing)));
      expect_all(pool, kept, "two drives are out");
      ASSERT_OK(pool.run(pool.blob().set_drive(a, DriveState::kOnline)));
      ASSERT_OK(pool.run(pool.blob().set_drive(b, DriveState::kOnline)));
    }
  }
  EXPECT_GT(pool.blob().statistics().degraded_reads, 0u);
  EXPECT_EQ(pool.blob().statistics().repair_queue, 0u);
}

TEST(Drives, with_three_lost_nothing_wrong_is_served) {
  base::SeededRandom random(2);
  SimulatedPool pool(small_extents());
  const auto kept = fill(pool, random, 12);
  for (unsigned drive : {0u, 2u, 5u}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
  int unavailable = 0;
  for (const Kept& blob : kept) {
    auto got = pool.get(blob.receipt);
    if (got) {
      EXPECT_TRUE(*got == blob.bytes);  // a small one whose unit is on a drive that is left
    } else {
      EXPECT_EQ(got.error().code(), Code::kUnavailable) << got.error().text();
      ++unavailable;
    }
  }
  EXPECT_GT(unavailable, 0);
}

TEST(Drives, puts_go_on_with_one_drive_out_and_stop_with_two) {
  base::SeededRandom random(3);
  SimulatedPool pool(small_extents());
  auto kept = fill(pool, random, 4);
  ASSERT_OK(pool.run(pool.blob().set_drive(1, DriveState::kFailed)));
  for (Kept& blob : fill(pool, random, 8)) kept.push_back(std::move(blob));
  ASSERT_OK(pool.run(pool.blob().set_drive(4, DriveState::kMissing)));
  for (size_t size : {10u, 100'000u, 1'000'000u}) {
    auto refused = pool.put(random_bytes(random, size));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  }
  expect_all(pool, kept, "two drives are out");
  pool.reopen();  // both directories are there: the drives are back, one without what was written meanwhile
  expect_all(pool, kept, "after a restart");
  auto report = pool.run(pool.blob().repair({}));
  ASSERT_OK(report);
  EXPECT_EQ(report->rows_lost, 0u);
  ASSERT_OK(pool.run(pool.blob().set_drive(0, DriveState::kMissing)));
  ASSERT_OK(pool.run(pool.blob().set_drive(2, DriveState::kMissing)));
  expect_all(pool, kept, "repaired, two others out");
}

TEST(Drives, a_replaced_drive_is_rebuilt_and_two_others_may_then_go) {
  base::SeededRandom random(4);
  SimulatedPool pool(small_extents());
  auto kept = fill(pool, random, 16);
  for (unsigned drive : {3u, 0u, 5u}) {
    ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
    for (Kept& blob : fill(pool, random, 3)) kept.push_back(std::move(blob));
    pool.world.disk().replace_drive(pool.options().drives[drive]);
    EXPECT_FALSE(
        pool.run(pool.blob().set_drive(drive, DriveState::kOnline)).has_value());  // an empty directory is no drive
    ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kReplacing)));
    EXPECT_EQ(pool.blob().drives()[drive].state, DriveState::kReplacing);
    for (Kept& blob : fill(pool, random, 3)) kept.push_back(std::move(blob));
    auto report = pool.run(pool.blob().repair({}));
    ASSERT_OK(report);
    EXPECT_GT(report->units_rebuilt, 0u);
    EXPECT_EQ(report->rows_lost, 0u);
    EXPECT_EQ(pool.blob().drives()[drive].state, DriveState::kOnline);
  }
  auto clean = pool.run(pool.blob().scrub({}));
  ASSERT_OK(clean);
  EXPECT_EQ(pool.blob().statistics().scrub_errors, 0u);
  for (unsigned drive : {1u, 2u}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
  expect_all(pool, kept, "the rebuilt drives carry it");
}

TEST(Drives, a_drive_that_dies_under_load_costs_no_put_and_no_get) {
  base::SeededRandom random(5);
  SimulatedPool pool(small_extents());
  auto kept = fill(pool, random, 8);
  pool.world.disk().lose_drive("/pool/2");
  for (Kept& blob : fill(pool, random, 8)) kept.push_back(std::move(blob));
  expect_all(pool, kept, "drive 2 died");
  EXPECT_NE(pool.blob().drives()[2].state, DriveState::kOnline);
  pool.reopen();
  EXPECT_EQ(pool.blob().drives()[2].state, DriveState::kMissing);
  expect_all(pool, kept, "opened without drive 2");
  pool.world.disk().return_drive("/pool/2");
  ASSERT_OK(pool.run(pool.blob().set_drive(2, DriveState::kOnline)));
  ASSERT_OK(pool.run(pool.blob().repair({})));
  pool.world.disk().lose_drive("/pool/1");
  pool.world.disk().lose_drive("/pool/5");
  expect_all(pool, kept, "drive 2 repaired, 1 and 5 dead");
}

TEST(Drives, a_failed_sync_takes_the_drive_out_and_its_bytes_count_no_more) {
  base::SeededRandom random(6);
  SimulatedPool pool(small_extents());
  auto kept = fill(pool, random, 4);
  pool.world.disk().set_faults("/pool/4", {.sync_error_ppm = 1'000'000});
  for (Kept& blob : fill(pool, random, 4)) kept.push_back(std::move(blob));
  EXPECT_EQ(pool.blob().drives()[4].state, DriveState::kFailed);
  EXPECT_GT(pool.blob().drives()[4].write_errors, 0u);
  pool.world.disk().clear_faults();
  pool.crash();
  ASSERT_OK(pool.open());
  ASSERT_OK(pool.run(pool.blob().repair({})));
  for (unsigned drive : {0u, 1u}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
  expect_all(pool, kept, "after repair");
}

TEST(Drives, reads_that_fail_or_lie_are_decoded_around) {
  base::SeededRandom random(7);
  SimulatedPool pool(small_extents());
  const auto kept = fill(pool, random, 12);
  pool.world.disk().set_faults("/pool/1", {.read_error_ppm = 300'000});
  pool.world.disk().set_faults("/pool/3", {.read_flip_ppm = 300'000});
  for (int round = 0; round < 5; ++round) expect_all(pool, kept, "drives 1 and 3 are unreliable");
}

TEST(Drives, swapped_foreign_and_too_few_directories_are_noticed) {
  base::SeededRandom random(8);
  SimulatedPool pool(small_extents());
  fill(pool, random, 2);
  pool.close();
  auto swapped = small_extents();
  std::swap(swapped.drives[1], swapped.drives[4]);
  auto opened = pool.world.run(ExtentBlob::open(pool.world.disk(), swapped, pool.world.random()));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Code::kInvalid);
  EXPECT_NE(opened.error().text().find("swapped"), std::string::npos);

  auto other = small_extents();
  for (std::string& path : other.drives) path = "/other" + path;
  auto made = pool.world.run(ExtentBlob::open(pool.world.disk(), other, pool.world.random()));
  ASSERT_OK(made);
  (void)pool.world.run((*made)->close());
  auto mixed = small_extents();
  mixed.drives[2] = other.drives[2];
  opened = pool.world.run(ExtentBlob::open(pool.world.disk(), mixed, pool.world.random()));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Code::kInvalid);

  auto few = small_extents();
  few.drives.pop_back();
  EXPECT_FALSE(pool.world.run(ExtentBlob::open(pool.world.disk(), few, pool.world.random())).has_value());
  auto wider = small_extents(3, 3);
  EXPECT_FALSE(pool.world.run(ExtentBlob::open(pool.world.disk(), wider, pool.world.random())).has_value());

  auto absent = small_extents();
  absent.drives[0] = "/nowhere";
  opened = pool.world.run(ExtentBlob::open(pool.world.disk(), absent, pool.world.random()));
  ASSERT_OK(opened);
  EXPECT_EQ((*opened)->drives()[0].state, DriveState::kMissing);
  EXPECT_TRUE(
      pool.world.disk().files("/nowhere").empty());  // perhaps a mount that is not there yet: nothing is written to it
  (void)pool.world.run((*opened)->close());
}

TEST(Drives, a_full_drive_refuses_puts_and_is_no_failed_drive) {
  base::SeededRandom random(9);
  auto options = small_extents();
  options.space_reserve_bytes = 1 << 20;
  SimulatedPool pool(options);
  auto kept = fill(pool, random, 4);
  pool.world.disk().set_capacity(12 << 20);
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    Bytes bytes = random_bytes(random, 500'000);
    auto receipt = pool.put(bytes);
    if (receipt) {
      kept.push_back({*receipt, std::move(bytes)});
    } else {
      EXPECT_EQ(receipt.error().code(), Code::kNoSpace) << receipt.error().text();
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  for (const DriveStatus& drive : pool.blob().drives()) EXPECT_EQ(drive.state, DriveState::kOnline);
  expect_all(pool, kept, "full");
  pool.world.disk().set_capacity(uint64_t{1} << 40);
  EXPECT_OK(pool.put(random_bytes(random, 500'000)));
}

TEST(Bits, flipped_bits_are_found_by_scrub_and_healed) {
  base::SeededRandom random(10);
  SimulatedPool pool(small_extents());
  const auto kept = fill(pool, random, 12);
  for (int round = 0; round < 10; ++round) {
    // Two drives at most: more is more than parity can carry.
    for (unsigned drive : {static_cast<unsigned>(random.below(3)), static_cast<unsigned>(3 + random.below(3))}) {
      for (const std::string& file : pool.extent_files(drive)) pool.world.disk().flip_random_bit(file);
    }
    auto report = pool.run(pool.blob().scrub({}));
    ASSERT_OK(report);
    EXPECT_EQ(report->rows_lost, 0u);
    auto repaired = pool.run(pool.blob().repair({}));
    ASSERT_OK(repaired);
    EXPECT_EQ(repaired->rows_lost, 0u);
  }
  EXPECT_GT(pool.blob().statistics().scrub_errors, 0u);
  const uint64_t errors = pool.blob().statistics().scrub_errors;
  ASSERT_OK(pool.run(pool.blob().scrub({})));
  EXPECT_EQ(pool.blob().statistics().scrub_errors, errors) << "something was not healed";
  expect_all(pool, kept, "healed");
  for (unsigned drive : {0u, 3u}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
  expect_all(pool, kept, "healed, two drives out");
}

TEST(Bits, a_scrub_in_slices_reads_every_row_once_and_finds_the_same) {
  base::SeededRandom random(11);
  SimulatedPool pool(small_extents());
  const auto kept = fill(pool, random, 12);
  auto whole = pool.run(pool.blob().scrub({}));
  ASSERT_OK(whole);
  for (const std::string& file : pool.extent_files(2)) pool.world.disk().flip_random_bit(file);
  RepairReport sum;
  ScrubPosition at;
  for (int slices = 0;; ++slices) {
    ASSERT_LT(slices, 10'000);
    auto slice = pool.run(pool.blob().scrub_slice(at, 100'000));
    ASSERT_OK(slice);
    EXPECT_LE(slice->report.bytes_read, 100'000u + 6 * (kUnitBytesMax + 8192));  // the last row goes over
    sum.rows_checked += slice->report.rows_checked;
    if (slice->finished) break;
    EXPECT_GT(std::pair(slice->next.extent, slice->next.offset), std::pair(at.extent, at.offset));
    at = slice->next;
  }
  EXPECT_EQ(sum.rows_checked, whole->rows_checked);
  ASSERT_OK(pool.run(pool.blob().repair({})));
  const uint64_t errors = pool.blob().statistics().scrub_errors;
  ASSERT_OK(pool.run(pool.blob().scrub({})));
  EXPECT_EQ(pool.blob().statistics().scrub_errors, errors);
  expect_all(pool, kept, "healed");
}

TEST(Bits, damaged_superblocks_and_drive_files_are_written_anew) {
  for (unsigned drives : {6u, 8u}) {
    base::SeededRandom random(12);
    auto options = small_extents();
    for (unsigned i = 6; i < drives; ++i) options.drives.push_back("/pool/" + std::to_string(i));
    SimulatedPool pool(options);
    const auto kept = fill(pool, random, 24);
    std::vector<Bytes> before;
    for (unsigned i = 0; i < drives; ++i) {
      for (const std::string& file : pool.extent_files(i)) {
        before.push_back(pool.world.disk().content(file));
        pool.world.disk().flip_random_bit(file, 0, kSuperblockBytes);
      }
    }
    ASSERT_OK(pool.run(pool.blob().scrub({})));
    size_t at = 0;
    for (unsigned i = 0; i < drives; ++i) {
      for (const std::string& file : pool.extent_files(i))
        EXPECT_TRUE(pool.world.disk().content(file) == before[at++]) << file;
    }
    for (int round = 0; round < 8; ++round) {
      const unsigned drive = static_cast<unsigned>(random.below(drives));
      pool.close();
      pool.world.disk().flip_random_bit(options.drives[drive] + "/drive.polis");
      ASSERT_OK(pool.open());
      EXPECT_EQ(pool.blob().drives()[drive].state, DriveState::kOnline);
      EXPECT_NE(pool.picture().stale & 1u << drive, 0u);
      ASSERT_OK(pool.run(pool.blob().repair({})));
      EXPECT_EQ(pool.picture().stale, 0u);
    }
    // While it runs: the drive stays.
    pool.world.disk().flip_random_bit(options.drives[1] + "/drive.polis");
    pool.pass_time(std::chrono::seconds(2));
    ASSERT_OK(pool.put(random_bytes(random, 1000)));
    if (drives == 6) EXPECT_EQ(pool.blob().drives()[1].state, DriveState::kOnline);
    expect_all(pool, kept, "healed");
    pool.reopen();
    for (unsigned drive : {0u, 4u}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
    expect_all(pool, kept, "healed, two drives out");
  }
}

TEST(Bits, a_read_heals_what_it_finds_damaged) {
  base::SeededRandom random(11);
  SimulatedPool pool(small_extents());
  const auto kept = fill(pool, random, 6);
  for (const std::string& file : pool.extent_files(0)) {
    for (uint64_t at = 100; at < pool.world.disk().content(file).size(); at += 30'000)
      pool.world.disk().flip_bit(file, at, 3);
  }
  expect_all(pool, kept, "drive 0 is damaged");
  pool.world.run_for(std::chrono::seconds(10));
  EXPECT_GT(pool.blob().statistics().repaired_units, 0u);
  EXPECT_EQ(pool.blob().statistics().repair_queue, 0u);
  const uint64_t degraded = pool.blob().statistics().degraded_reads;
  expect_all(pool, kept, "healed");
  EXPECT_EQ(pool.blob().statistics().degraded_reads, degraded);
}

TEST(Bits, damage_beyond_parity_is_an_error_and_never_wrong_bytes) {
  base::SeededRandom random(12);
  auto options = small_extents();
  options.heal = false;
  SimulatedPool pool(options);
  const auto kept = fill(pool, random, 12);
  int corrupt = 0;
  for (int round = 0; round < 200; ++round) {
    const unsigned drive = static_cast<unsigned>(random.below(6));
    for (const std::string& file : pool.extent_files(drive)) pool.world.disk().flip_random_bit(file);
    for (const Kept& blob : kept) {
      auto got = pool.get(blob.receipt);
      if (got) {
        ASSERT_TRUE(*got == blob.bytes);
      } else {
        ASSERT_EQ(got.error().code(), Code::kCorrupt);
        ++corrupt;
      }
    }
    if (corrupt > 50) break;
  }
  EXPECT_GT(corrupt, 0);
  auto report = pool.run(pool.blob().scrub({}));
  ASSERT_OK(report);
  EXPECT_GT(report->rows_lost, 0u);
}

TEST(Bits, a_stored_extent_inside_a_blob_is_not_taken_for_rows) {
  base::SeededRandom random(13);
  SimulatedPool pool(small_extents());
  fill(pool, random, 4);
  const Bytes extent = pool.world.disk().content(pool.extent_files(0)[0]);
  auto receipt = pool.put(extent);
  ASSERT_OK(receipt);
  MapOwner owner;
  owner.rows.emplace(segments(*receipt)[0], extent);
  pool.blob().set_owner(&owner);
  pool.pass_time(std::chrono::hours(48));
  ASSERT_OK(pool.run(pool.blob().compact({})));
  pool.pass_time(std::chrono::hours(1));
  ASSERT_OK(pool.run(pool.blob().compact({})));
  ASSERT_EQ(owner.rows.size(), 1u);
  auto got = pool.get(receipt_of(owner.rows.begin()->first, extent.size()));
  ASSERT_OK(got);
  EXPECT_TRUE(*got == extent);
}

// --- power cuts

// Ten times slower under sanitizers, which look for other things than rare orders of events.
#ifdef POLIS_DEBUG
constexpr uint64_t kSeeds = 10;
#else
constexpr uint64_t kSeeds = 100;
#endif

struct Load {
  std::vector<Kept> acknowledged;
  MapOwner owner;
};

Task<void> put_one(Blob* blob, Load* load, Bytes bytes) {
  BytesSource source(bytes);
  auto receipt = co_await blob->put(source, bytes.size() % 3 == 0 ? UINT64_MAX : bytes.size());
  if (!receipt) co_return;
  for (const BlobId& id : segments(*receipt))
    load->owner.rows.emplace(id, segments(*receipt).size() == 1 ? bytes : Bytes{});
  load->acknowledged.push_back({*receipt, std::move(bytes)});
}

Task<void> put_many(Blob* blob, Load* load, Random* random) {
  io::TaskGroup group;
  const uint64_t count = 5 + random->below(40);
  for (uint64_t i = 0; i < count; ++i) {
    group.spawn(put_one(blob, load, random_bytes(*random, random->below(random->chance(1, 5) ? 1'200'000 : 30'000))));
    if (random->chance(1, 4)) co_await group.join();
  }
  co_await group.join();
}

TEST(PowerCuts, every_acknowledged_receipt_reads_back_exactly) {
  auto round = [](uint64_t seed) {
    base::SeededRandom random(seed);
    SimulatedPool pool(small_extents(), seed);
    Load load;
    for (int life = 0; life < 4; ++life) {
      pool.world.disk().crash_after(1 + random.below(400));
      pool.run_task(put_many(&pool.blob(), &load, &random));
      pool.world.disk().crash_after(0);
      pool.crash();
      auto opened = pool.open();
      ASSERT_TRUE(opened.has_value()) << "seed " << seed << ": " << opened.error().text();
      for (const DriveStatus& drive : pool.blob().drives())
        ASSERT_EQ(drive.state, DriveState::kOnline) << "seed " << seed;
      for (const Kept& blob : load.acknowledged) {
        auto got = pool.get(blob.receipt);
        ASSERT_TRUE(got.has_value()) << "seed " << seed << ": " << got.error().text();
        ASSERT_TRUE(*got == blob.bytes) << "seed " << seed;
      }
      EXPECT_EQ(pool.blob().statistics().degraded_reads, 0u)
          << "seed " << seed << ": an acknowledged unit was not durable";
    }
    // Every unit of it, not only those that reads touch.
    const unsigned a = static_cast<unsigned>(random.below(6)), b = static_cast<unsigned>((a + 1 + random.below(5)) % 6);
    for (unsigned drive : {a, b}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
    expect_all(pool, load.acknowledged, "after power cuts, two drives out");
  };
  const uint64_t broken = sim::for_each_seed(sim::seeds(kSeeds), round, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

// Says that it synced and did not.
class LyingDisk final : public io::Disk {
 public:
  explicit LyingDisk(io::Disk& under) : under_(under) {}
  Task<Result<std::unique_ptr<io::File>>> open(std::string path, io::OpenMode mode) override {
    auto file = CO_TRY(co_await under_.open(std::move(path), mode));
    std::unique_ptr<io::File> lying = std::make_unique<LyingFile>(std::move(file));
    co_return std::move(lying);
  }
  Task<Result<void>> remove(std::string path) override { return under_.remove(std::move(path)); }
  Task<Result<void>> rename(std::string from, std::string to) override {
    return under_.rename(std::move(from), std::move(to));
  }
  Task<Result<std::vector<io::DirectoryEntry>>> list(std::string directory) override {
    return under_.list(std::move(directory));
  }
  Task<Result<void>> make_directories(std::string path) override { return under_.make_directories(std::move(path)); }
  Task<Result<void>> sync_directory(std::string path) override { return under_.sync_directory(std::move(path)); }
  Task<Result<Space>> space(std::string path) override { return under_.space(std::move(path)); }

 private:
  class LyingFile final : public io::File {
   public:
    explicit LyingFile(std::unique_ptr<io::File> under) : under_(std::move(under)) {}
    using io::File::write_at;
    Task<Result<size_t>> read_at(uint64_t offset, MutableBytes into) override { return under_->read_at(offset, into); }
    Task<Result<void>> write_at(uint64_t offset, std::span<const BytesView> parts) override {
      return under_->write_at(offset, parts);
    }
    Task<Result<void>> sync() override {
      if (path().ends_with(".ext")) co_return {};
      co_return co_await under_->sync();
    }
    Task<Result<void>> resize(uint64_t size_bytes) override { return under_->resize(size_bytes); }
    Task<Result<void>> reserve(uint64_t size_bytes) override { return under_->reserve(size_bytes); }
    Result<uint64_t> size() const override { return under_->size(); }
    const std::string& path() const override { return under_->path(); }

   private:
    std::unique_ptr<io::File> under_;
  };
  io::Disk& under_;
};

TEST(PowerCuts, a_disk_that_lies_about_syncs_is_caught_by_the_same_round) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    base::SeededRandom random(seed);
    SimulatedPool pool(small_extents(), seed, [](io::Disk& under) { return std::make_unique<LyingDisk>(under); });
    Load load;
    pool.world.disk().crash_after(100 + random.below(300));
    pool.run_task(put_many(&pool.blob(), &load, &random));
    pool.world.disk().crash_after(0);
    pool.crash();
    ASSERT_OK(pool.open());
    for (const Kept& blob : load.acknowledged) {
      auto got = pool.get(blob.receipt);
      if (got)
        EXPECT_TRUE(*got == blob.bytes);
      else
        ++lost;
    }
  }
  EXPECT_GT(lost, 0) << "the power cuts of these tests would not notice a missing sync";
}

TEST(PowerCuts, compaction_and_repair_survive_them) {
  auto round = [](uint64_t seed) {
    base::SeededRandom random(seed);
    auto options = small_extents();
    options.delete_grace = {};
    SimulatedPool pool(options, seed);
    Load load;
    pool.run_task(put_many(&pool.blob(), &load, &random));
    // Two thirds are deleted; what has several segments stays out of the map of single ones.
    std::erase_if(load.owner.rows, [&](const auto& row) { return random.chance(2, 3) || row.second.empty(); });
    for (int life = 0; life < 5; ++life) {
      pool.blob().set_owner(&load.owner);
      pool.pass_time(std::chrono::hours(30));
      pool.world.disk().crash_after(1 + random.below(600));
      if (random.chance(1, 3))
        (void)pool.run(pool.blob().set_drive(static_cast<unsigned>(random.below(6)), DriveState::kMissing));
      (void)pool.run(pool.blob().compact({}));
      (void)pool.run(pool.blob().repair({}));
      pool.world.disk().crash_after(0);
      pool.crash();
      auto opened = pool.open();
      ASSERT_TRUE(opened.has_value()) << "seed " << seed << ": " << opened.error().text();
      for (auto& [id, bytes] : load.owner.rows) {
        auto got = pool.get(receipt_of(id, bytes.size()));
        ASSERT_TRUE(got.has_value()) << "seed " << seed << ": " << got.error().text();
        ASSERT_TRUE(*got == bytes) << "seed " << seed;
      }
    }
    ASSERT_OK(pool.run(pool.blob().repair({})));
    for (unsigned drive : {0u, 4u}) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
    for (auto& [id, bytes] : load.owner.rows) {
      auto got = pool.get(receipt_of(id, bytes.size()));
      ASSERT_TRUE(got.has_value()) << "seed " << seed << ": " << got.error().text();
      ASSERT_TRUE(*got == bytes) << "seed " << seed;
    }
  };
  const uint64_t broken = sim::for_each_seed(sim::seeds(kSeeds), round, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

}  // namespace
}  // namespace polis::blob
