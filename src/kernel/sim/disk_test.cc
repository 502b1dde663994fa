#include "kernel/sim/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"

namespace polis::sim {
namespace {

using namespace std::chrono_literals;

Task<Result<void>> write(io::File& file, uint64_t offset, std::string text) {
  const BytesView part = as_bytes(text);
  co_return co_await file.write_at(offset, std::span<const BytesView>(&part, 1));
}

Task<Result<std::string>> read_all(Disk& disk, std::string path) {
  auto file = CO_TRY(co_await disk.open(path, io::OpenMode::kRead));
  std::string text(CO_TRY(file->size()), '\0');
  const size_t count = CO_TRY(co_await file->read_at(0, as_writable_bytes(text)));
  text.resize(count);
  co_return text;
}

class DiskTest : public testing::Test {
 protected:
  std::unique_ptr<io::File> open(std::string path, io::OpenMode mode = io::OpenMode::kCreate) {
    auto file = world.run(disk.open(std::move(path), mode));
    if (!file) ADD_FAILURE() << file.error().text();
    return file ? std::move(*file) : nullptr;
  }
  void ok(Task<Result<void>> task) {
    auto result = world.run(std::move(task));
    if (!result) ADD_FAILURE() << result.error().text();
  }
  Code code(Task<Result<void>> task) {
    auto result = world.run(std::move(task));
    if (result) ADD_FAILURE() << "it succeeded";
    return result ? Code::kInvalid : result.error().code();
  }
  std::string text(std::string path) {
    auto result = world.run(read_all(disk, std::move(path)));
    return result ? *result : "(" + result.error().text() + ")";
  }

  World world{1};
  Disk& disk = world.disk();
};

TEST_F(DiskTest, what_was_synced_survives_a_crash_and_the_rest_need_not) {
  auto file = open("a");
  ok(write(*file, 0, "kept"));
  ok(file->sync());
  ok(disk.sync_directory("/"));
  ok(write(*file, 4, " lost"));
  EXPECT_EQ(text("a"), "kept lost");
  disk.crash(Survival::kNothing);
  disk.restart();
  EXPECT_EQ(text("a"), "kept");
}

TEST_F(DiskTest, a_file_opened_before_a_crash_never_works_again) {
  auto file = open("a");
  disk.crash(Survival::kAll);
  EXPECT_EQ(code(write(*file, 0, "x")), Code::kUnavailable);
  EXPECT_EQ(code(disk.remove("a")), Code::kUnavailable);
  disk.restart();
  EXPECT_EQ(code(write(*file, 0, "x")), Code::kUnavailable);
  EXPECT_EQ(code(file->sync()), Code::kUnavailable);
  EXPECT_EQ(text("a"), "");
}

TEST_F(DiskTest, names_are_durable_only_after_their_folder_was_synced) {
  ok(disk.make_directories("d/e"));
  auto file = open("d/e/a");
  ok(write(*file, 0, "x"));
  ok(file->sync());
  ok(disk.sync_directory("d"));  // the wrong one
  disk.crash(Survival::kNothing);
  disk.restart();
  EXPECT_THAT(text("d/e/a"), testing::HasSubstr("no such file")) << "strict names";

  file = open("d/e/a");
  ok(write(*file, 0, "x"));
  ok(file->sync());
  ok(disk.sync_directory("d/e"));
  ok(disk.rename("d/e/a", "d/e/b"));
  disk.crash(Survival::kNothing);
  disk.restart();
  EXPECT_EQ(text("d/e/a"), "x");
  ok(disk.rename("d/e/a", "d/e/b"));
  ok(disk.sync_directory("d/e"));
  disk.crash(Survival::kNothing);
  disk.restart();
  EXPECT_EQ(text("d/e/b"), "x");
}

TEST_F(DiskTest, a_torn_write_leaves_whole_sectors_of_old_or_new) {
  bool torn = false;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    World other(seed);
    auto file = *other.run(other.disk().open("a", io::OpenMode::kCreate));
    ASSERT_TRUE(other.run(write(*file, 0, std::string(4096, 'o'))));
    ASSERT_TRUE(other.run(file->sync()));
    ASSERT_TRUE(other.run(other.disk().sync_directory("")));
    ASSERT_TRUE(other.run(write(*file, 0, std::string(4096, 'n'))));
    other.disk().crash(Survival::kSectors);
    const Bytes left = other.disk().content("a");
    ASSERT_EQ(left.size(), 4096u);
    size_t fresh = 0;
    for (size_t sector = 0; sector < 8; ++sector) {
      const auto part = as_text(BytesView(left).subspan(sector * 512, 512));
      ASSERT_TRUE(part == std::string(512, 'o') || part == std::string(512, 'n'));
      fresh += part[0] == 'n';
    }
    torn |= fresh > 0 && fresh < 8;
  }
  EXPECT_TRUE(torn);
}

TEST_F(DiskTest, a_failed_sync_loses_writes_that_a_second_sync_does_not_bring_back) {
  bool lost = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    World other(seed);
    auto file = *other.run(other.disk().open("a", io::OpenMode::kCreate));
    ASSERT_TRUE(other.run(other.disk().sync_directory("")));
    ASSERT_TRUE(other.run(write(*file, 0, "important")));
    other.disk().set_faults("", {.sync_error_ppm = 1'000'000});
    EXPECT_EQ(other.run(file->sync()).error().code(), Code::kIo);
    other.disk().clear_faults();
    EXPECT_TRUE(other.run(file->sync()));
    EXPECT_EQ(as_text(other.disk().content("a")), "important");
    lost |= as_text(other.disk().durable_content("a")) != "important";
  }
  EXPECT_TRUE(lost);
}

TEST_F(DiskTest, a_crash_in_the_middle_of_an_operation_fails_it) {
  auto file = open("a");
  disk.crash_after(2);
  ok(write(*file, 0, "one"));
  EXPECT_EQ(code(write(*file, 3, "two")), Code::kUnavailable);
  EXPECT_FALSE(disk.powered());
  disk.restart();
}

TEST_F(DiskTest, a_lost_drive_answers_errors_until_it_returns) {
  ok(disk.make_directories("drive1"));
  ok(disk.make_directories("drive10"));
  auto file = open("drive1/a");
  auto other = open("drive10/a");
  ok(write(*file, 0, "x"));
  disk.lose_drive("drive1");
  EXPECT_EQ(code(write(*file, 0, "y")), Code::kIo);
  EXPECT_EQ(code(disk.make_directories("drive1/b")), Code::kIo);
  ok(write(*other, 0, "y"));
  disk.return_drive("drive1");
  EXPECT_EQ(text("drive1/a"), "x");
  disk.replace_drive("drive1");
  EXPECT_THAT(text("drive1/a"), testing::HasSubstr("no such file"));
  EXPECT_EQ(world.run(disk.list("drive1"))->size(), 0u);
}

TEST_F(DiskTest, a_full_disk_says_so_and_has_room_again_after_a_remove) {
  disk.set_capacity(1000);
  auto file = open("a");
  ok(write(*file, 0, std::string(900, 'x')));
  EXPECT_EQ(code(write(*file, 900, std::string(200, 'x'))), Code::kNoSpace);
  auto second = open("b");
  EXPECT_EQ(code(second->reserve(500)), Code::kNoSpace);
  EXPECT_EQ(code(second->resize(500)), Code::kNoSpace);
  ok(disk.remove("a"));
  ok(second->resize(500));
  EXPECT_EQ(world.run(disk.space(""))->available_bytes, 500u);
}

TEST_F(DiskTest, faults_hit_only_their_prefix) {
  auto file = open("a");
  auto other = open("b");
  ok(write(*file, 0, "hello"));
  disk.set_faults("a", {.read_flip_ppm = 1'000'000, .write_error_ppm = 1'000'000});
  EXPECT_NE(text("a"), "hello");
  EXPECT_EQ(as_text(disk.content("a")), "hello");
  EXPECT_EQ(code(write(*file, 0, "x")), Code::kIo);
  ok(write(*other, 0, "x"));
  disk.clear_faults();
  disk.set_faults("", {.read_error_ppm = 1'000'000});
  EXPECT_THAT(text("b"), testing::HasSubstr("injected"));
}

TEST_F(DiskTest, a_flipped_bit_stays_flipped) {
  disk.put("d/a", as_bytes("hello"));
  EXPECT_EQ(disk.flip_random_bit("d/a", 4), 4u);
  EXPECT_EQ(text("d/a").substr(0, 4), "hell");
  EXPECT_NE(text("d/a"), "hello");
  EXPECT_FALSE(disk.flip_bit("d/a", 5, 0));
  EXPECT_EQ(disk.flip_random_bit("missing"), UINT64_MAX);
}

TEST_F(DiskTest, bad_names_get_the_errors_of_a_real_disk) {
  EXPECT_EQ(world.run(disk.open("none/a", io::OpenMode::kCreate)).error().code(), Code::kNotFound);
  EXPECT_EQ(world.run(disk.open("none", io::OpenMode::kReadWrite)).error().code(), Code::kNotFound);
  open("a");
  EXPECT_EQ(world.run(disk.open("a", io::OpenMode::kCreateNew)).error().code(), Code::kExists);
  EXPECT_EQ(code(disk.make_directories("a/b")), Code::kExists);
  EXPECT_EQ(world.run(disk.list("none")).error().code(), Code::kNotFound);
  EXPECT_EQ(code(disk.rename("none", "b")), Code::kNotFound);
  EXPECT_EQ(code(disk.remove("none")), Code::kNotFound);
  ok(disk.make_directories("d"));
  EXPECT_EQ(world.run(disk.open("d", io::OpenMode::kRead)).error().code(), Code::kInvalid);
  EXPECT_EQ(code(disk.rename("a", "d")), Code::kInvalid);
  auto reader = open("a", io::OpenMode::kRead);
  EXPECT_EQ(code(write(*reader, 0, "x")), Code::kInvalid);
}

TEST_F(DiskTest, a_listing_is_sorted_and_holds_one_level) {
  disk.put("d/b", as_bytes("12"));
  disk.put("d/a/x", {});
  disk.put("d/c", {});
  auto entries = *world.run(disk.list("d/"));
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_TRUE(entries[0].directory);
  EXPECT_EQ(entries[1].name, "b");
  EXPECT_EQ(entries[1].size_bytes, 2u);
  EXPECT_EQ(entries[2].name, "c");
}

Task<void> sync_file(io::File& file) {
  (void)co_await file.sync();
}
Task<void> sync_all(std::vector<std::unique_ptr<io::File>>& files) {
  io::TaskGroup group;
  for (auto& file : files) group.spawn(sync_file(*file));
  co_await group.join();
}

TEST_F(DiskTest, syncs_take_turns_on_one_device) {
  WorldOptions options;
  options.disk.sync = {5ms, 5ms};
  World other(3, options);
  std::vector<std::unique_ptr<io::File>> files;
  for (int i = 0; i < 4; ++i) files.push_back(*other.run(other.disk().open(std::to_string(i), io::OpenMode::kCreate)));
  const Duration before = other.elapsed();
  other.run(sync_all(files));
  EXPECT_GE(other.elapsed() - before, 20ms);
}

TEST_F(DiskTest, replace_file_leaves_the_old_or_the_new_content_wherever_the_power_is_cut) {
  for_each_seed(
      seeds(),
      [&](uint64_t seed) {
        World other(seed);
        Disk& its = other.disk();
        its.put("d/config", as_bytes("old"));
        its.crash_after(1 + seed % 8);
        const bool replaced = other.run(its.replace_file("d/config", as_bytes("new"))).has_value();
        if (its.powered()) its.crash();
        its.restart();
        const std::string left(as_text(its.content("d/config")));
        EXPECT_TRUE(left == "new" || (left == "old" && !replaced)) << "seed " << seed << ": '" << left << "'";
      },
      HasFailure);
}

}  // namespace
}  // namespace polis::sim
