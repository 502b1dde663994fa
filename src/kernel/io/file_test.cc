#include "kernel/io/file.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/io/shard.h"

namespace polis::io {
namespace {

class file : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/polis-file-XXXXXX";
    directory = mkdtemp(pattern);
    disk = GetParam() ? make_volatile_disk() : make_system_disk();
  }
  void TearDown() override { std::filesystem::remove_all(directory); }
  std::string path(const char* name) const { return directory + "/" + name; }

  std::string directory;
  std::unique_ptr<Disk> disk;
};

INSTANTIATE_TEST_SUITE_P(disks, file, testing::Bool(),
                         [](const auto& disk) { return disk.param ? "forgetful" : "machine"; });

// Random writes, cuts, growth and syncs against a plain array.
Task<Result<void>> against_model(Disk& disk, std::string path, unsigned seed) {
  std::mt19937 random(seed);
  auto file = CO_TRY(co_await disk.open(path, OpenMode::kCreate));
  auto twin = CO_TRY(co_await disk.open(path, OpenMode::kReadWrite));  // sees the same bytes
  Bytes model;
  for (int step = 0; step < 200; ++step) {
    switch (random() % 5) {
      case 0:
      case 1: {
        const size_t offset = random() % 30'000;
        Bytes first(random() % 9'000), second(random() % 100);
        for (auto* part : {&first, &second})
          for (auto& byte : *part) byte = static_cast<std::byte>(random());
        if (first.size() + second.size() == 0) break;
        const BytesView parts[] = {first, {}, second};
        CO_TRY(co_await file->write_at(offset, parts));
        model.resize(std::max(model.size(), offset + first.size() + second.size()));
        std::ranges::copy(first, model.begin() + static_cast<ptrdiff_t>(offset));
        std::ranges::copy(second, model.begin() + static_cast<ptrdiff_t>(offset + first.size()));
        break;
      }
      case 2: {
        const size_t size = random() % 40'000;
        CO_TRY(co_await file->resize(size));
        model.resize(size);
        break;
      }
      case 3:
        CO_TRY(co_await file->sync());
        break;
      case 4: {
        const size_t offset = random() % 45'000;
        Bytes read(random() % 20'000);
        const size_t n = CO_TRY(co_await twin->read_at(offset, read));
        const size_t expected = offset >= model.size() ? 0 : std::min(read.size(), model.size() - offset);
        if (n != expected || !std::equal(read.begin(), read.begin() + static_cast<ptrdiff_t>(n),
                                         model.begin() + static_cast<ptrdiff_t>(std::min(offset, model.size()))))
          co_return fail(Code::kCorrupt, "step " + std::to_string(step) + " read other bytes");
        break;
      }
    }
    if (CO_TRY(file->size()) != model.size())
      co_return fail(Code::kCorrupt, "step " + std::to_string(step) + ": another size");
  }
  co_return {};
}

TEST_P(file, reads_what_a_plain_array_would) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    auto outcome = run([&] { return against_model(*disk, path(std::to_string(seed).c_str()), seed); });
    EXPECT_TRUE(outcome) << "seed " << seed << ": " << outcome.error().text();
  }
}

Task<Result<std::vector<Code>>> open_errors(Disk& disk, std::string directory) {
  std::vector<Code> codes;
  codes.push_back((co_await disk.open(directory + "/absent", OpenMode::kRead)).error().code());
  CO_TRY(co_await disk.open(directory + "/new", OpenMode::kCreateNew));
  codes.push_back((co_await disk.open(directory + "/new", OpenMode::kCreateNew)).error().code());
  codes.push_back((co_await disk.remove(directory + "/absent")).error().code());
  codes.push_back((co_await disk.list(directory + "/absent")).error().code());
  co_return codes;
}

TEST_P(file, names_that_are_absent_or_taken_say_so) {
  EXPECT_EQ(run([&] { return open_errors(*disk, directory); }).value(),
            (std::vector{Code::kNotFound, Code::kExists, Code::kNotFound, Code::kNotFound}));
}

Task<Result<std::string>> replace_twice(Disk& disk, std::string path) {
  CO_TRY(co_await disk.replace_file(path, as_bytes("first and longer")));
  CO_TRY(co_await disk.replace_file(path, as_bytes("second")));
  const Bytes read = CO_TRY(co_await disk.read_file(path, 100));
  co_return std::string(as_text(read));
}

TEST_P(file, replace_leaves_the_new_content_and_no_temporary) {
  EXPECT_EQ(run([&] { return replace_twice(*disk, path("x")); }).value(), "second");
  EXPECT_EQ(run([&] { return disk->list(directory); }).value().size(), 1u);
}

Task<Result<void>> read_with_limit(Disk& disk, std::string path) {
  CO_TRY(co_await disk.replace_file(path, as_bytes("0123456789")));
  CO_TRY(co_await disk.read_file(path, 9));
  co_return {};
}

TEST_P(file, a_file_over_the_limit_is_too_large) {
  EXPECT_EQ(run([&] { return read_with_limit(*disk, path("x")); }).error().code(), Code::kTooLarge);
}

// Writes "synced", syncs, writes "lost" behind it and dies by SIGKILL.
Task<Result<void>> write_and_die(Disk& disk, std::string path) {
  auto file = CO_TRY(co_await disk.open(path, OpenMode::kCreate));
  CO_TRY(co_await file->write_at(0, as_bytes("synced")));
  CO_TRY(co_await file->sync());
  CO_TRY(co_await file->write_at(6, as_bytes(" lost")));
  kill(getpid(), SIGKILL);
  co_return {};
}

TEST_P(file, kill_dash_nine_is_a_power_cut_on_the_forgetful_disk_only) {
  const pid_t child = fork();
  if (child == 0) {
    (void)run([&] { return write_and_die(*disk, path("x")); });
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  auto machine = make_system_disk();
  const Bytes left = run([&] { return machine->read_file(path("x"), 100); }).value();
  EXPECT_EQ(as_text(left), GetParam() ? "synced" : "synced lost");
}

// The mapping of a synced file, then what it shows after the file has grown by bytes that were not synced.
Task<Result<std::vector<std::string>>> map_and_grow(Disk& disk, std::string path) {
  auto file = CO_TRY(co_await disk.open(path, OpenMode::kCreate));
  std::vector<std::string> seen;
  CO_TRY(co_await file->write_at(0, as_bytes("synced")));
  CO_TRY(co_await file->sync());
  auto mapping = CO_TRY(file->map(6));
  CO_TRY(co_await file->write_at(6, as_bytes(" not yet")));
  seen.push_back(file->map(14) ? "shown" : std::string(name(file->map(14).error().code())));
  file.reset();
  seen.emplace_back(as_text(mapping->bytes()));
  co_return seen;
}

TEST_P(file, a_mapping_outlives_its_file_and_shows_what_is_synced) {
  const auto seen = run([&] { return map_and_grow(*disk, path("x")); }).value();
  EXPECT_EQ(seen[0], GetParam() ? std::string(name(Code::kOutOfRange)) : "shown");
  EXPECT_EQ(seen[1], "synced");
}

Task<Result<std::vector<Code>>> map_too_much(Disk& disk, std::string path) {
  CO_TRY(co_await disk.replace_file(path, as_bytes("0123456789")));
  auto file = CO_TRY(co_await disk.open(path, OpenMode::kRead));
  co_return std::vector{file->map(0).error().code(), file->map(11).error().code()};
}

TEST_P(file, nothing_and_more_than_there_is_cannot_be_mapped) {
  EXPECT_EQ(run([&] { return map_too_much(*disk, path("x")); }).value(),
            (std::vector{Code::kOutOfRange, Code::kOutOfRange}));
}

}  // namespace
}  // namespace polis::io
