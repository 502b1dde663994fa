// UUIDs of RFC 9562, for protocols that demand them; polis' own ids are 64 bits (ids.h).
#pragma once

#include <array>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"

namespace polis::base {

struct Uuid {
  std::array<std::byte, 16> bytes{};

  // 122 random bits (§5.4). Unguessable only from a SystemRandom.
  static Uuid v4(Random& random);
  // 48 bits of milliseconds since 1970, then 74 random bits (§5.7): sorts by time of creation, to the millisecond.
  static Uuid v7(Random& random, WallTime now);
  // The 8-4-4-4-12 form in either case, without braces; every version is accepted.
  static Result<Uuid> parse(std::string_view text);

  // Lower case, 36 characters.
  std::string text() const;
  int version() const { return std::to_integer<int>(bytes[6]) >> 4; }
  // Since 1970; meaningful for version 7.
  int64_t time_ms() const;

  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace polis::base
