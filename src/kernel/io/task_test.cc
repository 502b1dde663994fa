#include <gtest/gtest.h>

#include "kernel/io/shard.h"

namespace polis::io {
namespace {

using namespace std::chrono_literals;

Task<int> value(int number) {
  co_return number;
}

Task<Result<int>> half(int number) {
  if (number % 2) co_return fail(Code::kInvalid, "odd");
  co_return number / 2;
}

Task<Result<int>> quarter(int number) {
  const int once = CO_TRY(co_await half(number));
  co_return CO_TRY(co_await half(once));
}

TEST(task, hands_its_value_to_whoever_awaits_it) {
  EXPECT_EQ(run([]() -> Task<int> { co_return co_await value(20) + co_await value(22); }), 42);
}

TEST(task, an_error_leaves_through_every_co_try) {
  auto quarters = [](int number) { return run([number] { return quarter(number); }); };
  EXPECT_EQ(quarters(8).value(), 2);
  EXPECT_EQ(quarters(6).error().message(), "odd");
  EXPECT_EQ(quarters(7).error().code(), Code::kInvalid);
}

Task<int> descend(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await descend(depth - 1);
}

Task<long> count_awaits(int times) {
  long sum = 0;
  for (int i = 0; i < times; ++i) sum += co_await value(1);
  co_return sum;
}

#if defined(POLIS_DEBUG) || defined(POLIS_TSAN)
constexpr int kAwaits = 10'000;  // symmetric transfer is a tail call only in optimised builds
#else
constexpr int kAwaits = 1'000'000;
#endif

TEST(task, awaiting_a_million_times_does_not_grow_the_stack) {
  EXPECT_EQ(run([] { return count_awaits(kAwaits); }), kAwaits);
  EXPECT_EQ(run([] { return descend(1000); }), 1000);
}

Task<void> record(std::vector<int>& order, int number, Duration after) {
  auto slept = co_await sleep_for(after);
  order.push_back(slept ? number : -number);
}

Task<std::vector<int>> three_sleepers() {
  std::vector<int> order;
  TaskGroup group;
  group.spawn(record(order, 3, 9ms));
  group.spawn(record(order, 1, 1ms));
  group.spawn(record(order, 2, 5ms));
  co_await group.join();
  co_return order;
}

TEST(task_group, join_waits_for_all_tasks) {
  EXPECT_EQ(run([] { return three_sleepers(); }), (std::vector{1, 2, 3}));
}

Task<std::vector<int>> stopped_sleepers() {
  std::vector<int> order;
  TaskGroup group(co_await this_scope());
  for (int i = 1; i <= 3; ++i) group.spawn(record(order, i, 1h));
  (void)co_await sleep_for(1ms);
  group.stop();
  group.spawn(record(order, 4, 1h));  // what begins in a stopped group is cancelled at once
  co_await group.join();
  std::ranges::sort(order);
  co_return order;
}

TEST(task_group, stop_reaches_every_await) {
  EXPECT_EQ(run([] { return stopped_sleepers(); }), (std::vector{-4, -3, -2, -1}));
}

Task<void> nest(Code& seen) {
  TaskGroup inner(co_await this_scope());
  std::vector<int> order;
  inner.spawn(record(order, 1, 1h));
  co_await inner.join();
  seen = inner.scope().reason();
}

Task<Code> stop_outer() {
  Code seen = Code::kInvalid;
  TaskGroup outer;
  outer.spawn(nest(seen));
  (void)co_await sleep_for(1ms);
  outer.stop(Code::kTimeout);
  co_await outer.join();
  co_return seen;
}

TEST(task_group, a_nested_group_stops_with_its_parent) {
  EXPECT_EQ(run([] { return stop_outer(); }), Code::kTimeout);
}

Task<Result<int>> sleep_then(Duration duration, int number) {
  CO_TRY(co_await sleep_for(duration));
  co_return number;
}

TEST(with_timeout, a_quick_task_answers_and_a_slow_one_times_out) {
  EXPECT_EQ(run([] { return with_timeout(1h, sleep_then(1ms, 7)); }).value(), 7);
  EXPECT_EQ(run([] { return with_timeout(2ms, sleep_then(1h, 7)); }).error().code(), Code::kTimeout);
}

TEST(with_timeout, the_inner_deadline_wins_when_it_is_nearer) {
  auto nested = []() -> Task<Result<int>> { return with_timeout(1h, with_timeout(2ms, sleep_then(1h, 7))); };
  EXPECT_EQ(run(nested).error().code(), Code::kTimeout);
}

// --- other shards

Task<unsigned> where() {
  co_return Shard::current().index();
}

Task<std::vector<unsigned>> visit(Runtime& runtime) {
  std::vector<unsigned> seen;
  for (unsigned i = 0; i < runtime.size(); ++i) seen.push_back(co_await on(runtime.shard(i), [] { return where(); }));
  seen.push_back(Shard::current().index());
  co_return seen;
}

TEST(on, runs_there_and_resumes_here) {
  Runtime runtime({.shards = 3, .blocking_threads = 1});
  runtime.start();
  EXPECT_EQ(runtime.call(1, [&] { return visit(runtime); }), (std::vector<unsigned>{0, 1, 2, 1}));
}

Task<void> add_remotely(Shard& target, long& sum, int times) {
  // `sum` belongs to `target`: no lock protects it.
  for (int i = 0; i < times; ++i)
    co_await on(target, [&]() -> Task<void> {
      ++sum;
      co_return;
    });
}

Task<void> add_from(Runtime& runtime, unsigned from, long& sum) {
  co_await on(runtime.shard(from), [&]() -> Task<void> {
    TaskGroup group;
    for (int i = 0; i < 8; ++i) group.spawn(add_remotely(runtime.shard(0), sum, 500));
    co_await group.join();
  });
}

Task<void> add_from_all(Runtime& runtime, long& sum) {
  TaskGroup group;
  for (unsigned i = 0; i < runtime.size(); ++i) group.spawn(add_from(runtime, i, sum));
  co_await group.join();
}

TEST(on, state_of_one_shard_needs_no_lock) {
  Runtime runtime({.shards = 4, .blocking_threads = 1});
  runtime.start();
  long sum = 0;
  runtime.call(2, [&] { return add_from_all(runtime, sum); });
  EXPECT_EQ(sum, 4 * 8 * 500);
}

Task<Result<int>> slow_elsewhere(Shard& target) {
  co_return co_await on(target, [] { return sleep_then(1h, 1); });
}

TEST(on, a_deadline_reaches_the_other_shard) {
  Runtime runtime({.shards = 2, .blocking_threads = 1});
  runtime.start();
  for (int i = 0; i < 20; ++i) {
    auto result = runtime.call(0, [&] { return with_timeout(1ms, slow_elsewhere(runtime.shard(1))); });
    EXPECT_EQ(result.error().code(), Code::kTimeout);
  }
}

TEST(blocking, work_runs_on_the_pool_and_answers_here) {
  auto task = []() -> Task<bool> {
    const auto here = std::this_thread::get_id();
    const auto there = co_await blocking([] { return std::this_thread::get_id(); });
    co_return there != here&& std::this_thread::get_id() == here;
  };
  EXPECT_TRUE(run(task));
}

// --- Event, Semaphore

Task<void> await_event(Event& event, std::vector<int>& order, int number) {
  auto woken = co_await event.wait();
  order.push_back(woken ? number : -number);
}

Task<std::vector<int>> wake_three() {
  Event event;
  std::vector<int> order;
  TaskGroup group;
  for (int i = 1; i <= 3; ++i) group.spawn(await_event(event, order, i));
  co_await yield();
  co_await yield();
  event.set();
  group.spawn(await_event(event, order, 4));  // stays set
  co_await group.join();
  co_return order;
}

TEST(event, wakes_its_waiters_in_order_and_stays_set) {
  EXPECT_EQ(run([] { return wake_three(); }), (std::vector{1, 2, 3, 4}));
}

Task<void> hold(Semaphore& semaphore, int& inside, int& most) {
  if (!co_await semaphore.acquire()) co_return;
  most = std::max(most, ++inside);
  co_await yield();
  --inside;
  semaphore.release();
}

Task<int> crowd(Semaphore& semaphore) {
  int inside = 0, most = 0;
  TaskGroup group;
  for (int i = 0; i < 50; ++i) group.spawn(hold(semaphore, inside, most));
  co_await group.join();
  co_return most;
}

TEST(semaphore, lets_in_at_most_its_permits) {
  Semaphore semaphore(3);
  EXPECT_EQ(run([&] { return crowd(semaphore); }), 3);
  EXPECT_EQ(semaphore.available(), 3u);
}

Task<int> crowd_with_leavers(Semaphore& semaphore) {
  POLIS_ASSERT(semaphore.try_acquire());
  int inside = 0, most = 0;
  TaskGroup leaving, staying;
  for (int i = 0; i < 10; ++i) {
    leaving.spawn(hold(semaphore, inside, most));
    staying.spawn(hold(semaphore, inside, most));
  }
  co_await yield();
  co_await yield();
  leaving.stop();
  co_await leaving.join();
  semaphore.release();
  co_await staying.join();
  co_return most;
}

TEST(semaphore, a_cancelled_waiter_takes_no_permit_with_it) {
  Semaphore semaphore(1);
  EXPECT_EQ(run([&] { return crowd_with_leavers(semaphore); }), 1);
  EXPECT_EQ(semaphore.available(), 1u);
}

}  // namespace
}  // namespace polis::io
