// How many seeds a simulation test runs: its short form by default (a quarter of it under a sanitizer, which is some ten
// times as slow), POLIS_SEEDS=1000 for the long one, POLIS_SEED=42 for exactly that one, to look at a failure. A test
// whose seeds are many and quick names a variable of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace polis::sim {

struct Seeds {
  uint64_t first = 1;
  uint64_t count = 100;
};

inline Seeds seeds(uint64_t short_form = 100, const char* variable = "POLIS_SEEDS") {
  if (const char* one = std::getenv("POLIS_SEED")) return {std::strtoull(one, nullptr, 10), 1};
  if (const char* many = std::getenv(variable)) return {1, std::strtoull(many, nullptr, 10)};
#if defined(POLIS_DEBUG) || defined(POLIS_TSAN)
  short_form = std::max<uint64_t>(5, short_form / 4);
#endif
  return {1, short_form};
}

// Calls `round(seed)` for each seed until `failed()` says that one broke (pass testing::Test::HasFailure), and answers
// that seed, or 0 if all went well.
template <class Round, class Failed>
uint64_t for_each_seed(Seeds range, Round round, Failed failed) {
  for (uint64_t seed = range.first; seed < range.first + range.count; ++seed) {
    round(seed);
    if (failed()) return seed;
  }
  return 0;
}

}  // namespace polis::sim
