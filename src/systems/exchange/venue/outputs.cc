#include "systems/exchange/venue/outputs.h"

namespace polis::exchange {

// Each item's hash seeds the next one's, so nothing has to be gathered in one place first.
uint64_t Outputs::digest() const {
  uint64_t digest = 0;
  for (const Item& item : items_) {
    const auto bytes = [](const auto& value) {
      return BytesView(reinterpret_cast<const std::byte*>(&value), sizeof value);
    };
    const uint64_t seed = digest * 2 + (item.is_report ? 1 : 0);
    digest = base::xxh3_64(item.is_report ? bytes(report_at(item)) : bytes(event_at(item)), seed);
  }
  return digest;
}

}  // namespace polis::exchange
