// A life of the ledger in a simulated world, replayed from one seed: clients book, ask and quarrel, the power fails in
// the middle of writes, syncs fail, connections break, requests come twice; after each restart the books are checked.
// The same seed gives the same life, so `polis ledger simulate SEED` shows what a test found.
//
// What must hold, whatever happens:
//
//   - what was acknowledged is there, with the same timestamp, and what was refused is not
//   - no transfer is there twice, and none that nobody sent
//   - every balance is the sum of its transfers; debits equal credits, pending and posted, in each ledger
//   - the chain behind every head that was shown is still the same
//   - a replay of the whole journal gives the same books, byte for byte, with and without snapshots
//
// Runs on the calling thread, which may be no shard's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace polis::ledger {

struct SimulationOptions {
  // Told of each step as it happens; empty: silent.
  std::function<void(uint64_t time_us, std::string_view step)> step;
};

struct SimulationReport {
  uint64_t seed = 0;
  std::string failure;  // what did not hold; empty if everything did
  uint64_t starts = 0, power_cuts = 0, failed_syncs = 0;
  uint64_t commands = 0, acknowledged = 0, unknown = 0;
  uint64_t created = 0, refused = 0, expired = 0;
  uint64_t ops = 0;         // at the end
  uint64_t trace_hash = 0;  // equal for equal seeds
};

SimulationReport simulate(uint64_t seed, SimulationOptions options = {});

}  // namespace polis::ledger
