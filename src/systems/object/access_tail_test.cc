#include "systems/object/access_tail.h"

#include <gtest/gtest.h>

namespace polis::object {
namespace {

TEST(AccessTail, keeps_the_newest_lines_oldest_first) {
  AccessTail tail;
  EXPECT_TRUE(tail.lines().empty());
  tail.next().key = "0";
  ASSERT_EQ(tail.lines().size(), 1u);
  for (size_t i = 1; i < 2 * AccessTail::kLinesMax + 3; ++i) tail.next().key = std::to_string(i);
  auto lines = tail.lines();
  ASSERT_EQ(lines.size(), AccessTail::kLinesMax);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i].key, std::to_string(AccessTail::kLinesMax + 3 + i));
}

}  // namespace
}  // namespace polis::object
