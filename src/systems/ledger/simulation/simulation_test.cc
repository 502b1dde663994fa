#include "systems/ledger/simulation/simulation.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <iostream>

#include "kernel/sim/seeds.h"

namespace polis::ledger {
namespace {

// A seed takes 30 ms; under the sanitizers, unoptimized, seventy times as long: there a tenth of them runs.
sim::Seeds seeds_of_this_build() {
  sim::Seeds seeds = sim::seeds(100, "POLIS_SIMULATION_SEEDS");
#ifdef POLIS_DEBUG
  seeds.count = std::max<uint64_t>(1, seeds.count / 10);
#endif
  return seeds;
}
const sim::Seeds kSeeds = seeds_of_this_build();

TEST(Simulation, nothing_acknowledged_is_lost_or_doubled_and_the_books_balance_in_every_life) {
  SimulationReport all;
  const uint64_t broken = sim::for_each_seed(
      kSeeds,
      [&](uint64_t seed) {
        SimulationOptions options;
        // One seed is looked at step by step.
        if (kSeeds.count == 1)
          options.step = [](uint64_t time_us, std::string_view step) {
            std::cout << time_us << " us  " << step << "\n";
          };
        const SimulationReport report = simulate(seed, options);
        EXPECT_EQ(report.failure, "");
        all.power_cuts += report.power_cuts;
        all.failed_syncs += report.failed_syncs;
        all.acknowledged += report.acknowledged;
        all.unknown += report.unknown;
        all.created += report.created;
        all.refused += report.refused;
        all.expired += report.expired;
      },
      [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "look at it with: polis ledger simulate " << broken;
  if (kSeeds.count < 50) return;
  // A simulation in which nothing happens proves nothing.
  EXPECT_GT(all.power_cuts, kSeeds.count);
  EXPECT_GT(all.unknown, kSeeds.count);
  EXPECT_GT(all.created, kSeeds.count * 100);
  EXPECT_GT(all.refused, kSeeds.count);
  EXPECT_GT(all.expired, 0u);
  EXPECT_GT(all.failed_syncs, 0u);
}

TEST(Simulation, the_same_seed_gives_the_same_life) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    std::string first, second;
    const auto write = [](std::string& into) {
      return [&into](uint64_t time_us, std::string_view step) {
        into += std::to_string(time_us) + " " + std::string(step) + "\n";
      };
    };
    const uint64_t hash = simulate(seed, {.step = write(first)}).trace_hash;
    EXPECT_EQ(simulate(seed, {.step = write(second)}).trace_hash, hash) << "seed " << seed;
    EXPECT_EQ(first, second);
    EXPECT_FALSE(first.empty());
  }
}

}  // namespace
}  // namespace polis::ledger
