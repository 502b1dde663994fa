#include "kernel/sim/world.h"

#include <gtest/gtest.h>

#include "kernel/sim/seeds.h"

namespace polis::sim {
namespace {

using namespace std::chrono_literals;

Task<int> sleep_and_answer(int value) {
  auto slept = co_await io::sleep_for(3h);
  co_return slept ? value : -1;
}

TEST(World, a_run_skips_idle_time) {
  World world(1);
  EXPECT_EQ(world.run(sleep_and_answer(42)), 42);
  EXPECT_GE(world.elapsed(), 3h);
  EXPECT_LT(world.elapsed(), 3h + 1s);
}

Task<void> wait_for_ever(io::Event& event) {
  (void)co_await event.wait();
}

TEST(WorldDeathTest, a_deadlock_ends_the_process_and_names_the_seed) {
  EXPECT_DEATH(
      {
        World world(77);
        io::Event never;
        world.run(wait_for_ever(never));
      },
      "seed 77.*deadlock");
}

Task<void> sleep_again_and_again() {
  while (true) (void)co_await io::sleep_for(1h);
}

TEST(WorldDeathTest, a_task_without_end_stops_at_the_limit_of_simulated_time) {
  EXPECT_DEATH(World(5).run(sleep_again_and_again()), "seed 5.*time_max");
  WorldOptions options;
  options.time_max = 1'000'000h;
  options.steps_max = 1000;
  EXPECT_DEATH(World(6, options).run(sleep_again_and_again()), "seed 6.*steps_max");
}

Task<unsigned> index_of_shard() {
  co_return io::Shard::current().index();
}

Task<unsigned> ask(World& world, unsigned index) {
  co_return co_await io::on(world.shard(index), [] { return index_of_shard(); });
}

TEST(World, tasks_hop_between_shards) {
  WorldOptions options;
  options.shards = 3;
  World world(1, options);
  EXPECT_EQ(world.run(ask(world, 0)), 0u);
  EXPECT_EQ(world.run(ask(world, 2)), 2u);
}

TEST(World, run_for_leaves_the_clock_at_the_asked_moment) {
  World world(1);
  int fired = 0;
  world.after(10ms, [&] { ++fired; });
  world.after(30ms, [&] { ++fired; });
  world.run_for(20ms);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(world.elapsed(), 20ms);
  world.run_for(20ms);
  EXPECT_EQ(fired, 2);
}

Task<void> scribble(World& world, int worker, int& turns) {
  auto file = co_await world.disk().open("f" + std::to_string(worker), io::OpenMode::kCreate);
  for (int i = 0; i < 20; ++i) {
    std::string text(1 + world.random().below(2000), 'x');
    BytesView part = as_bytes(text);
    (void)co_await (*file)->write_at(world.random().below(4000), std::span<const BytesView>(&part, 1));
    if (world.random().chance(1, 3)) (void)co_await (*file)->sync();
    world.trace(static_cast<uint64_t>(worker));
    ++turns;
  }
}

Task<void> scribble_together(World& world, int& turns) {
  io::TaskGroup group;
  for (int i = 0; i < 4; ++i) group.spawn(scribble(world, i, turns));
  co_await group.join();
}

uint64_t trace_of(uint64_t seed) {
  World world(seed);
  int turns = 0;
  world.run(scribble_together(world, turns));
  EXPECT_EQ(turns, 80);
  world.disk().crash();
  return world.trace_hash();
}

TEST(World, the_same_seed_gives_the_same_run_and_another_seed_another) {
  std::set<uint64_t> different;
  Seeds range = seeds();
  for_each_seed(
      range,
      [&](uint64_t seed) {
        const uint64_t first = trace_of(seed);
        EXPECT_EQ(first, trace_of(seed)) << "seed " << seed;
        different.insert(first);
      },
      HasFailure);
  if (!HasFailure()) {
    EXPECT_EQ(different.size(), range.count);
  }
}

}  // namespace
}  // namespace polis::sim
