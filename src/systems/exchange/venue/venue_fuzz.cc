// Hostile pieces of snapshots: whatever they say, loading ends with an answer, and what was believed can be looked at.
#include "systems/exchange/venue/venue.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  exchange::Venue venue({.assets_max = 8, .instruments_max = 8, .accounts_max = 8, .sessions_max = 8});
  // Pieces follow each other, each behind its length in two bytes.
  BytesView rest(reinterpret_cast<const std::byte*>(data), size);
  while (rest.size() >= 2) {
    const size_t length =
        std::min<size_t>(static_cast<size_t>(rest[0]) | static_cast<size_t>(rest[1]) << 8, rest.size() - 2);
    if (!venue.load(rest.subspan(2, length)).has_value()) return 0;
    rest = rest.subspan(2 + length);
  }
  (void)venue.next_time();
  (void)venue.orders().check_sums(true);
  return 0;
}
