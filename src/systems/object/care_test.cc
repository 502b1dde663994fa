#include "systems/object/care.h"

#include <gtest/gtest.h>

namespace polis::object {
namespace {

TEST(Care, a_scrub_goes_on_where_it_was) {
  const ScrubState state{.running = true,
                         .began_at = WallTime() + std::chrono::milliseconds(1'700'000'000'123),
                         .position = {.extent = UINT64_MAX, .offset = 4096}};
  auto again = decode_scrub_state(encode(state));
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->running);
  EXPECT_EQ(again->began_at, state.began_at);
  EXPECT_EQ(again->position.extent, state.position.extent);
  EXPECT_EQ(again->position.offset, state.position.offset);
  for (std::string_view bad : {"", "1", "2 1 0 0 0", "1 2 0 0 0", "1 1 0 0", "1 1 0 0 0 ", "1 1 0 0 0 0", "1  1 0 0 0",
                               "1 1 -1 0 0", "1 1 99999999999999999999 0 0", "1 1 999999999999999999 0 0", "x"})
    EXPECT_FALSE(decode_scrub_state(bad)) << bad;
}

TEST(Care, only_extents_with_much_to_give_back_are_compacted) {
  auto worth = [](uint64_t file_bytes, uint64_t live_bytes, bool growing) {
    blob::PoolPicture picture;
    picture.data_units = 4;
    picture.extents.push_back({.id = 1, .file_bytes = 1 << 20, .live_bytes = 4 << 20});
    picture.extents.push_back({.id = 2, .file_bytes = file_bytes, .live_bytes = live_bytes, .growing = growing});
    return worth_compacting(picture);
  };
  EXPECT_TRUE(worth(1 << 20, (2 << 20) - 1, false));
  EXPECT_FALSE(worth(1 << 20, 2 << 20, false));
  EXPECT_FALSE(worth(1 << 20, 0, true));       // takes rows still
  EXPECT_FALSE(worth(16 << 10, 3000, false));  // one small object and its padding
  EXPECT_FALSE(worth_compacting({}));
}

TEST(Care, a_large_pool_is_read_fast_enough) {
  const CareOptions options;
  EXPECT_EQ(scrub_bytes_per_second(options, 0), options.scrub_bytes_per_second);
  EXPECT_EQ(scrub_bytes_per_second(options, uint64_t{1} << 40), options.scrub_bytes_per_second);
  const uint64_t stored = uint64_t{100} << 40;
  const uint64_t seconds = stored / scrub_bytes_per_second(options, stored);
  EXPECT_LT(seconds, 14u * 24 * 3600);
}

}  // namespace
}  // namespace polis::object
