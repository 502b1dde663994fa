// Slows down guessing: a token bucket per key, in a table of fixed size. A key is hashed with a random seed into one
// slot; keys that share a slot share its bucket, so the limit may strike too early, never too late, and nobody can aim
// at another's slot. One shard.
#pragma once

#include <string_view>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"

namespace polis::auth {

class AttemptLimit {
 public:
  // `burst` failures at once, then one every `refill`.
  AttemptLimit(unsigned burst, Duration refill, Random& random);

  // Whether another attempt may be made now.
  bool allows(std::string_view key, SteadyTime now) const;
  // Counts an attempt that failed, or one that is about to be made.
  void count(std::string_view key, SteadyTime now);
  // Takes back one count: that attempt succeeded.
  void refund(std::string_view key, SteadyTime now);
  // Forgets all that was counted.
  void forgive(std::string_view key);

 private:
  // The moment at which the bucket is full again; it says how much is missing (a virtual scheduling clock, as in ATM's
  // GCRA).
  struct Slot {
    SteadyTime full_at{};
  };
  // 64 KiB a table.
  static constexpr size_t kSlots = 8192;
  size_t slot(std::string_view key) const;

  const unsigned burst_;
  const Duration refill_;
  const uint64_t seed_;
  std::vector<Slot> slots_;
};

}  // namespace polis::auth
