#include "systems/ledger/storage/chunk_files.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"
#include "systems/ledger/storage/log_test_rows.h"

namespace polis::ledger {
namespace {

using namespace test;

const std::string kDirectory = "chunks";

// A log on chunk files with what its rows must be.
struct Books {
  std::unique_ptr<ChunkFiles> files;
  std::unique_ptr<ChunkedLog> log;
  std::vector<Row> rows;

  void append(base::Random& random, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      rows.push_back(random_row(random, rows.size()));
      log->append(bytes_of(rows.back()));
    }
    log->seal();
  }
};

Task<Result<Books>> open_books(io::Disk& disk, std::string directory, std::vector<Bytes> parts, std::vector<Row> rows) {
  Books books{.rows = std::move(rows)};
  books.files = CO_TRY(co_await ChunkFiles::open(disk, std::move(directory), {.slice_bytes = 4096}));
  books.log = std::make_unique<ChunkedLog>(small_log(8, 64), books.files.get());
  auto loaded = load_parts(*books.log, parts);
  if (loaded) loaded = books.log->finish_load({});
  if (!loaded) {
    co_await books.files->close();
    co_return fail(loaded.error());
  }
  co_return std::move(books);
}

std::vector<Bytes> save(const Books& books) {
  ChunkedLog::Saver saver(*books.log);
  return saved_parts(saver, 4096);
}

class chunk_files : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/polis-chunks-XXXXXX";
    directory = mkdtemp(pattern);
    disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  std::string directory;
  std::unique_ptr<io::Disk> disk;
};

INSTANTIATE_TEST_SUITE_P(disks, chunk_files, testing::Bool(),
                         [](const auto& disk) { return disk.param ? "forgetful" : "machine"; });

// Fills, saves, fills on, closes, opens from what was saved, and compares; several lives.
Task<Result<uint64_t>> several_lives(io::Disk& disk, std::string directory) {
  base::SeededRandom random(4);
  std::vector<Bytes> parts;
  std::vector<Row> rows;
  uint64_t wrong = 0;
  for (int life = 0; life < 4; ++life) {
    Books books = CO_TRY(co_await open_books(disk, directory, parts, rows));
    wrong += !agrees(*books.log, books.rows, random, 100);
    for (int i = 0; i < 10; ++i) {
      books.append(random, random.below(70));
      wrong += !agrees(*books.log, books.rows, random, 5);
      if (random.chance(1, 2)) co_await io::yield();
    }
    parts = save(books);
    rows = books.rows;
    books.append(random, random.below(200));
    CO_TRY(co_await books.files->sync());
    wrong += books.files->backlog_bytes() != 0;
    books.log->seal();
    wrong += !agrees(*books.log, books.rows, random, 100);
    CO_TRY(co_await books.files->verify());
    co_await books.files->close();
  }
  co_return wrong;
}

TEST_P(chunk_files, logs_live_on_over_restarts_and_answer_as_a_full_scan_does) {
  const auto wrong = io::run([&] { return several_lives(*disk, directory); });
  ASSERT_TRUE(wrong) << wrong.error().text();
  EXPECT_EQ(*wrong, 0u);
}

// Three chunks in files; returns the parts that refer to them.
Task<Result<std::vector<Bytes>>> write_three(io::Disk& disk, std::string directory) {
  base::SeededRandom random(6);
  Books books = CO_TRY(co_await open_books(disk, directory, {}, {}));
  books.append(random, 200);
  auto parts = save(books);
  CO_TRY(co_await books.files->sync());
  co_await books.files->close();
  co_return parts;
}

std::string chunk_path(const std::string& directory, int number) {
  return directory + "/rows-00000000000" + std::to_string(number) + ".chunk";
}

void flip(const std::string& path, uint64_t at, char mask = 1) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ mask);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
}

// What opening and reading everything says: "sound", or which of both found what.
Task<Result<std::string>> inspect(io::Disk& disk, std::string directory) {
  auto files = CO_TRY(co_await ChunkFiles::open(disk, directory));
  std::string found = "sound";
  if (!files->set_aside().empty()) {
    found = "open: " + files->set_aside()[0];
  } else if (auto verified = co_await files->verify(); !verified) {
    found = "verify: " + verified.error().text();
  }
  co_await files->close();
  co_return found;
}

TEST_P(chunk_files, a_flipped_bit_anywhere_is_found_and_named) {
  ASSERT_TRUE(io::run([&] { return write_three(*disk, directory); }));
  const std::string path = chunk_path(directory, 1);
  const uint64_t size_bytes = std::filesystem::file_size(path);
  ASSERT_EQ(io::run([&] { return inspect(*disk, directory); }).value(), "sound");
  base::SeededRandom random(1);
  std::vector<uint64_t> places = {0, 7, 8, 11, 12, 4095, 4096, size_bytes - 1, size_bytes - 4};
  for (uint64_t page = 0; page * 4096 < size_bytes; ++page)
    for (int i = 0; i < 6; ++i) places.push_back(std::min(size_bytes - 1, page * 4096 + random.below(4096)));
  for (uint64_t at : places) {
    // A disk that remembers files would show its own old content; each look is a new start.
    disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
    const char mask = static_cast<char>(1 << random.below(8));
    flip(path, at, mask);
    const std::string found = io::run([&] { return inspect(*disk, directory); }).value();
    EXPECT_NE(found, "sound") << at;
    EXPECT_NE(found.find("rows-000000000001.chunk"), std::string::npos) << found;
    if (found.starts_with("verify")) EXPECT_TRUE(found.find("rows ") != std::string::npos) << found;
    if (std::filesystem::exists(path + ".damaged")) std::filesystem::rename(path + ".damaged", path);
    flip(path, at, mask);
  }
}

TEST_P(chunk_files, a_cut_or_grown_file_is_found) {
  ASSERT_TRUE(io::run([&] { return write_three(*disk, directory); }));
  const std::string path = chunk_path(directory, 2);
  const uint64_t size_bytes = std::filesystem::file_size(path);
  for (uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{4095}, uint64_t{4096}, size_bytes - 1, size_bytes + 1}) {
    disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
    std::filesystem::copy_file(path, path + ".copy");
    std::filesystem::resize_file(path, size);
    EXPECT_TRUE(io::run([&] { return inspect(*disk, directory); }).value().starts_with("open: ")) << size;
    std::filesystem::remove(path + ".damaged");
    std::filesystem::rename(path + ".copy", path);
  }
}

TEST_P(chunk_files, a_chunk_under_another_name_is_not_taken_for_it) {
  ASSERT_TRUE(io::run([&] { return write_three(*disk, directory); }));
  std::filesystem::copy_file(chunk_path(directory, 0), chunk_path(directory, 1),
                             std::filesystem::copy_options::overwrite_existing);
  disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
  const std::string found = io::run([&] { return inspect(*disk, directory); }).value();
  EXPECT_NE(found.find("it holds chunk 0"), std::string::npos) << found;
}

TEST_P(chunk_files, a_missing_chunk_makes_the_snapshot_useless_and_says_so) {
  const auto parts = io::run([&] { return write_three(*disk, directory); }).value();
  std::filesystem::remove(chunk_path(directory, 1));
  disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
  const auto opened = io::run([&] { return open_books(*disk, directory, parts, {}); });
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kCorrupt);
  EXPECT_NE(opened.error().text().find("chunk 1 is missing"), std::string::npos) << opened.error().text();
}

TEST_P(chunk_files, a_version_of_the_future_is_not_renamed) {
  ASSERT_TRUE(io::run([&] { return write_three(*disk, directory); }));
  const std::string path = chunk_path(directory, 0);
  Bytes page(4096);
  {
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(page.data()), 4096);
  }
  page[8] = std::byte{2};
  // The checksum stands behind all fields.
  const size_t crc_at = 8 + 4 + 4 + 8 * 4 + 32 + 8 + 16 * 8 + 8 + 4;
  base::store_little<uint32_t>(page.data() + crc_at, base::crc32c(BytesView(page).first(crc_at)));
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.write(reinterpret_cast<const char*>(page.data()), 4096);
  }
  disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
  const auto inspected = io::run([&] { return inspect(*disk, directory); });
  ASSERT_FALSE(inspected);
  EXPECT_EQ(inspected.error().code(), Code::kUnsupported) << inspected.error().text();
  EXPECT_TRUE(std::filesystem::exists(path));
}

// Asks for what lies on the damaged page.
Task<Result<void>> touch(io::Disk& disk, std::string directory, std::vector<Bytes> parts) {
  base::SeededRandom random(6);
  Books books = CO_TRY(co_await open_books(disk, directory, parts, {}));
  for (uint64_t slot = 0; slot < 192; ++slot) (void)std::to_integer<int>(*books.log->row(slot));
  co_await books.files->close();
  co_return {};
}

TEST_P(chunk_files, touching_a_damaged_row_ends_the_process_and_renames_the_file) {
  const auto parts = io::run([&] { return write_three(*disk, directory); }).value();
  const std::string path = chunk_path(directory, 1);
  flip(path, 4096 + 100);
  disk = GetParam() ? io::make_volatile_disk() : io::make_system_disk();
  EXPECT_DEATH((void)io::run([&] { return touch(*disk, directory, parts); }),
               "rows-000000000001.chunk is damaged: bytes 4096 to 8191 \\(rows 64 to 127\\) do not match their "
               "checksum. It was renamed to \\*.damaged; start polis again");
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(std::filesystem::exists(path + ".damaged"));
  const auto opened = io::run([&] { return open_books(*disk, directory, parts, {}); });
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kCorrupt);
}

// --- on the simulated disk

// A life: opens from the parts that were published last, appends, publishes now and then what sync() allows, until the
// power fails. `published` is what a snapshot would hold.
struct Published {
  std::vector<Bytes> parts;
  std::vector<Row> rows;
};

Task<Result<void>> live(sim::World& world, Books& books, Published& published) {
  for (int step = 0; step < 40; ++step) {
    books.append(world.random(), world.random().below(60));
    if (!agrees(*books.log, books.rows, world.random(), 3)) co_return fail(Code::kInvalid, "a search is wrong");
    co_await io::yield();
    if (!world.random().chance(1, 4)) continue;
    Published next{.parts = save(books), .rows = books.rows};
    books.append(world.random(), world.random().below(60));
    auto synced = co_await books.files->sync();
    if (synced) {
      published = std::move(next);
    } else if (!world.disk().powered()) {
      co_return {};
    }
  }
  co_return {};
}

Task<Result<void>> live_and_crash(sim::World& world, Published& published) {
  auto opened = co_await open_books(world.disk(), kDirectory, published.parts, published.rows);
  if (!opened) co_return world.disk().powered() ? Result<void>(fail(opened.error())) : Result<void>{};
  Books books = std::move(*opened);
  auto lived = co_await live(world, books, published);
  co_await books.files->close();
  books.log.reset();
  co_return lived;
}

TEST(chunk_files_simulation, what_sync_promised_survives_power_cuts_and_failing_writes) {
  uint64_t seeds_with_chunks = 0;
  sim::for_each_seed(
      sim::seeds(40),
      [&](uint64_t seed) {
        sim::World world(seed);
        Published published;
        if (seed % 3 == 1) world.disk().set_faults("", {.write_error_ppm = 20'000, .sync_error_ppm = 20'000});
        for (int life = 0; life < 4; ++life) {
          world.disk().crash_after(1 + world.random().below(120));
          const auto lived = world.run(live_and_crash(world, published));
          ASSERT_TRUE(lived) << lived.error().text();
          if (world.disk().powered()) world.disk().crash();
          world.disk().restart();
        }
        world.disk().set_faults("", {});
        auto opened = world.run(open_books(world.disk(), kDirectory, published.parts, published.rows));
        ASSERT_TRUE(opened) << opened.error().text();
        ASSERT_TRUE(agrees(*opened->log, opened->rows, world.random(), 50));
        ASSERT_TRUE(world.run(opened->files->verify()));
        seeds_with_chunks += published.rows.size() >= 64;
        world.run(opened->files->close());
      },
      [] { return testing::Test::HasFailure(); });
  // Or the power failed before anything was published, and the test has shown nothing.
  EXPECT_GE(seeds_with_chunks, sim::seeds(40).count / 2);
}

// The disk fails, then works again, twice: nothing is lost, sync() says when, and without it the store helps itself.
Task<Result<void>> fail_and_recover(sim::World& world, std::string& trouble) {
  Books books = CO_TRY(co_await open_books(world.disk(), kDirectory, {}, {}));
  for (bool by_sync : {true, false}) {
    world.disk().set_faults("", {.write_error_ppm = 1'000'000});
    books.append(world.random(), 300);
    const auto failed = co_await books.files->sync();
    if (failed || books.files->backlog_bytes() == 0) trouble += "sync succeeded on a failing disk; ";
    if (!books.files->failure()) trouble += "no reason is given; ";
    if (!agrees(*books.log, books.rows, world.random(), 50)) trouble += "wrong while failing; ";
    world.disk().set_faults("", {});
    if (by_sync) {
      CO_TRY(co_await books.files->sync());
    } else {
      CO_TRY(co_await io::sleep_for(std::chrono::seconds(3)));
    }
    if (books.files->backlog_bytes() != 0) trouble += "backlog is left; ";
    if (books.files->failure()) trouble += "the failure is still told; ";
    books.log->seal();
    if (!agrees(*books.log, books.rows, world.random(), 50)) trouble += "wrong afterwards; ";
  }
  if (books.files->statistics().chunks != 9) trouble += "chunks are missing; ";
  // A store that cannot write ends at once, too.
  world.disk().set_faults("", {.write_error_ppm = 1'000'000});
  books.append(world.random(), 100);
  (void)co_await books.files->sync();
  co_await books.files->close();
  co_return {};
}

TEST(chunk_files_simulation, a_disk_that_fails_for_a_while_delays_chunks_and_loses_none) {
  sim::World world(3);
  std::string trouble;
  const auto result = world.run(fail_and_recover(world, trouble));
  ASSERT_TRUE(result) << result.error().text();
  EXPECT_EQ(trouble, "");
}

}  // namespace
}  // namespace polis::ledger
