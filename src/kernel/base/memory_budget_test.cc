#include "kernel/base/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace polis::base {
namespace {

TEST(MemoryBudget, what_one_level_takes_every_level_above_takes) {
  MemoryBudget process("process", 100), system("object", 50, &process), connection("connection", 10, &system);
  EXPECT_TRUE(connection.try_take(10));
  EXPECT_EQ(process.used_bytes(), 10u);
  EXPECT_EQ(system.used_bytes(), 10u);
  EXPECT_FALSE(connection.try_take(1));
  EXPECT_EQ(connection.refusals(), 1u);
  connection.give(10);
  EXPECT_EQ(process.used_bytes(), 0u);
  EXPECT_EQ(process.used_bytes_max(), 10u);
}

TEST(MemoryBudget, a_full_level_above_leaves_nothing_taken_below_and_is_named) {
  MemoryBudget process("process", 20), system("object", 50, &process), connection("connection", 40, &system);
  Result<MemoryBudget::Lease> refused = connection.lease(21);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kBusy);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("'process'"));
  EXPECT_EQ(connection.used_bytes(), 0u);
  EXPECT_EQ(system.used_bytes(), 0u);
  EXPECT_FALSE(connection.try_take(SIZE_MAX));
}

TEST(MemoryBudget, a_lease_gives_back_at_its_end_and_moves) {
  MemoryBudget budget("process", 100);
  {
    MemoryBudget::Lease lease = budget.lease(40).value();
    MemoryBudget::Lease moved = std::move(lease);
    EXPECT_EQ(lease.size_bytes(), 0u);
    EXPECT_TRUE(moved.resize(100));
    EXPECT_FALSE(moved.resize(101));
    EXPECT_EQ(budget.used_bytes(), 100u);
    EXPECT_TRUE(moved.resize(5));
    moved = budget.lease(7).value();
    EXPECT_EQ(budget.used_bytes(), 7u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(MemoryBudget, threads_never_exceed_the_limit_and_leave_nothing_behind) {
  MemoryBudget process("process", 64);
  auto work = [&] {
    MemoryBudget connection("connection", 40, &process);
    for (int i = 0; i < 20'000; ++i) {
      if (!connection.try_take(33)) continue;
      EXPECT_LE(process.used_bytes(), 64u);
      connection.give(33);
    }
  };
  std::thread one(work), two(work);
  one.join();
  two.join();
  EXPECT_EQ(process.used_bytes(), 0u);
  EXPECT_LE(process.used_bytes_max(), 64u);
}

TEST(MemoryBudgetDeathTest, giving_back_more_than_was_taken_ends_the_process) {
  MemoryBudget budget("process", 10);
  EXPECT_DEATH(budget.give(1), "broken invariant");
}

}  // namespace
}  // namespace polis::base
