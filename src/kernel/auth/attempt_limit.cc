#include "kernel/auth/attempt_limit.h"

#include <algorithm>

#include "kernel/base/hash.h"

namespace polis::auth {

AttemptLimit::AttemptLimit(unsigned burst, Duration refill, Random& random)
    : burst_(burst), refill_(refill), seed_(random.next()), slots_(kSlots) {}

size_t AttemptLimit::slot(std::string_view key) const {
  return base::xxh3_64(key, seed_) % kSlots;
}

bool AttemptLimit::allows(std::string_view key, SteadyTime now) const {
  return slots_[slot(key)].full_at <= now + refill_ * (burst_ - 1);
}

void AttemptLimit::count(std::string_view key, SteadyTime now) {
  Slot& at = slots_[slot(key)];
  at.full_at = std::max(at.full_at, now) + refill_;
}

void AttemptLimit::refund(std::string_view key, SteadyTime now) {
  Slot& at = slots_[slot(key)];
  at.full_at = std::max(at.full_at - refill_, now);
}

void AttemptLimit::forgive(std::string_view key) {
  slots_[slot(key)].full_at = {};
}

}  // namespace polis::auth
