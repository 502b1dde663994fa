#include "kernel/base/reserved_array.h"

#include <fstream>
#include <gtest/gtest.h>
#include <string>

namespace polis::base {
namespace {

struct Row {
  uint64_t number, twice;
};

// Of this process, in bytes.
size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t whole = 0, resident = 0;
  statm >> whole >> resident;
  return resident * 4096;
}

TEST(ReservedArray, values_are_zeros_and_stay_where_they_are_while_it_grows) {
  ReservedArray<Row> rows(5'000'000);
  rows.open(1);
  const Row* first = &rows[0];
  for (size_t i = 0; i < 500'000; ++i) {
    if (i == rows.open()) rows.open(i + 1);
    ASSERT_LT(i, rows.open());
    ASSERT_EQ(rows[i].number | rows[i].twice, 0u);
    rows[i] = {i, 2 * i};
  }
  EXPECT_EQ(&rows[0], first);
  for (size_t i = 0; i < 500'000; ++i) ASSERT_TRUE(rows[i].number == i && rows[i].twice == 2 * i);
}

TEST(ReservedArray, addresses_for_much_and_use_of_little_take_little) {
  const size_t before = resident_bytes();
  std::vector<ReservedArray<Row>> tables;
  for (int i = 0; i < 100; ++i) {
    ReservedArray<Row>& rows = tables.emplace_back(size_t{1} << 24);
    rows.open(10);
    rows[9].number = 1;
  }
  EXPECT_LT(resident_bytes(), before + (size_t{4} << 20));
}

TEST(ReservedArray, what_is_populated_has_its_memory_and_what_is_only_open_does_not) {
  ReservedArray<Row> rows(size_t{1} << 24);
  const size_t before = resident_bytes();
  rows.open(size_t{1} << 20);
  EXPECT_LT(resident_bytes(), before + (size_t{1} << 20));
  rows.populate(0, size_t{1} << 20);
  EXPECT_EQ(rows[12345].number, 0u);
  rows.populate(0, size_t{1} << 24);  // as far as it is open
  rows.populate(7, 7);
  rows[(size_t{1} << 20) - 1].number = 1;
}

TEST(ReservedArray, the_last_value_can_be_had_and_none_behind_it) {
  ReservedArray<Row> rows(1000);
  rows.open(1000);
  rows[999] = {1, 2};
  EXPECT_EQ(rows[999].twice, 2u);
  EXPECT_DEATH(rows.open(1'000'000), "");
}

TEST(ReservedArray, it_can_be_moved_and_one_of_nothing_holds_nothing) {
  ReservedArray<Row> nothing;
  EXPECT_FALSE(nothing.made());
  EXPECT_EQ(nothing.open(), 0u);
  ReservedArray<Row> rows(100);
  rows.open(1);
  rows[0] = {7, 14};
  ReservedArray<Row> moved = std::move(rows);
  EXPECT_EQ(moved[0].twice, 14u);
  nothing = std::move(moved);
  EXPECT_EQ(nothing[0].number, 7u);
  EXPECT_FALSE(moved.made());  // NOLINT(bugprone-use-after-move): that is what is asked
}

}  // namespace
}  // namespace polis::base
