#include "systems/object/console_api.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace polis::object {
namespace {

namespace json = boost::json;

constexpr uint64_t kMiB = 1 << 20;

std::vector<blob::DriveStatus> six_drives() {
  std::vector<blob::DriveStatus> drives(6);
  for (unsigned i = 0; i < 6; ++i) drives[i].index = i;
  return drives;
}

blob::PoolPicture pool(std::vector<blob::ExtentStatus> extents) {
  blob::PoolPicture picture;
  picture.data_units = 4;
  picture.parity_units = 2;
  picture.extents = std::move(extents);
  return picture;
}

json::object rows_of(const blob::PoolPicture& picture, const std::vector<blob::DriveStatus>& drives = six_drives()) {
  return json::parse(stripes_json(picture, drives)).as_object().at("rows").as_object();
}

std::string cells(const json::object& rows, std::string_view row) {
  return std::string(rows.at(row).as_object().at("cells").as_string());
}

TEST(StripesJson, a_whole_pool_is_sound_everywhere) {
  auto rows = rows_of(pool({{.id = 7, .file_bytes = 128 * 1024}}));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(cells(rows, "7.0"), "oooooo");
  EXPECT_EQ(cells(rows, "7.1"), "oooooo");
}

TEST(StripesJson, an_empty_pool_has_no_rows_and_an_empty_extent_one) {
  EXPECT_TRUE(rows_of(pool({})).empty());
  EXPECT_EQ(rows_of(pool({{.id = 1, .file_bytes = 0}})).size(), 1u);
}

TEST(StripesJson, a_drive_that_is_away_is_a_missing_column) {
  auto drives = six_drives();
  drives[1].state = blob::DriveState::kMissing;
  drives[4].state = blob::DriveState::kFailed;
  EXPECT_EQ(cells(rows_of(pool({{.id = 1, .file_bytes = 64}}), drives), "1.0"), "omoomo");
}

TEST(StripesJson, a_drive_that_came_back_is_unsure_until_the_repair_has_passed) {
  blob::PoolPicture picture =
      pool({{.id = 1, .file_bytes = 64 * 1024}, {.id = 2, .file_bytes = 192 * 1024}, {.id = 3, .file_bytes = 64}});
  picture.stale = 1u << 5;
  auto before = rows_of(picture);
  EXPECT_EQ(cells(before, "1.0"), "ooooos");
  EXPECT_EQ(cells(before, "3.0"), "ooooos");
  picture.repairing = 1u << 5;
  picture.repair_extent = 2;
  picture.repair_offset = 100 * 1024;
  auto during = rows_of(picture);
  EXPECT_EQ(cells(during, "1.0"), "oooooo");
  EXPECT_EQ(cells(during, "2.0"), "oooooo");
  EXPECT_EQ(cells(during, "2.1"), "ooooor");
  EXPECT_EQ(cells(during, "2.2"), "ooooos");
  EXPECT_EQ(cells(during, "3.0"), "ooooos");
}

TEST(StripesJson, an_extent_that_grows_knows_which_drives_lack_it) {
  blob::PoolPicture picture = pool({{.id = 1, .file_bytes = 64, .growing = true, .absent = 1u << 2}});
  picture.stale = 1u << 3;  // of older extents
  EXPECT_EQ(cells(rows_of(picture), "1.0"), "oosooo");
}

TEST(StripesJson, a_damaged_row_marks_its_slice_and_its_drives_alone) {
  blob::PoolPicture picture = pool({{.id = 1, .file_bytes = 128 * 1024}});
  picture.damaged = {{.extent = 1, .offset = 70'000, .drives = 0b001001}};
  auto rows = rows_of(picture);
  EXPECT_EQ(cells(rows, "1.0"), "oooooo");
  EXPECT_EQ(cells(rows, "1.1"), "doodoo");
}

TEST(StripesJson, slices_double_until_they_fit_and_stay_below_what_a_topic_may_hold) {
  for (uint64_t size : {kMiB, 1000 * kMiB, 1'000'000 * kMiB}) {
    auto rows = rows_of(pool({{.id = 1, .file_bytes = size}}));
    EXPECT_LE(rows.size(), kStripeRowsMax) << size;
    EXPECT_GT(rows.size(), kStripeRowsMax / 2 - 1) << size;
  }
  std::vector<blob::ExtentStatus> many;
  for (uint64_t id = 1; id <= 5000; ++id) many.push_back({.id = id, .file_bytes = 1024 * kMiB});
  blob::PoolPicture picture = pool(many);
  picture.damaged = {{.extent = 5, .offset = 100, .drives = 1}};
  std::string text = stripes_json(picture, six_drives());
  EXPECT_LT(text.size(), 256u * 1024);
  json::object value = json::parse(text).as_object();
  EXPECT_EQ(value.at("rows").as_object().size(), kStripeExtentsMax);
  EXPECT_TRUE(value.at("rows").as_object().contains("5000.0"));
  EXPECT_EQ(value.at("hidden_extents").to_number<size_t>(), 5000 - kStripeExtentsMax);
  EXPECT_EQ(value.at("hidden_reduced").to_number<size_t>(), 1u);
}

}  // namespace
}  // namespace polis::object
