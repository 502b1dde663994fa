// Randomness, injected. Simulations pass a seeded generator; secrets come from the operating system's only.
#pragma once

#include <cstdint>

#include "kernel/base/bytes.h"

namespace polis::base {

// Not thread-safe: one per shard or per owner.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;
  virtual uint64_t next() = 0;
  // Uniform in [0, bound). bound > 0. Lemire, "Fast Random Integer Generation in an Interval", 2019.
  uint64_t below(uint64_t bound);
  // True with probability numerator / denominator.
  bool chance(uint64_t numerator, uint64_t denominator) { return below(denominator) < numerator; }
};

// getrandom(2), buffered 256 bytes at a time. The only source for keys, tokens and passwords. Thread-safe (the buffer is per thread).
class SystemRandom final : public Random {
 public:
  void fill(MutableBytes out) override;
  uint64_t next() override;
};

// xoshiro256** seeded through SplitMix64 (Blackman and Vigna, 2018): reproducible, never for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed);
  void fill(MutableBytes out) override;
  uint64_t next() override;

 private:
  uint64_t state_[4];
};

}  // namespace polis::base

namespace polis {
using base::Random;
}  // namespace polis
