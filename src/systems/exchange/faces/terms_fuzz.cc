// Whatever an operator's body says: refused, or an instrument whose ticks and lots count whole units.
#include "systems/exchange/faces/terms.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)exchange::parse_share("share", text);
  auto body = systems::Body::parse(text);
  if (!body) return 0;
  const exchange::Roster nothing;
  if (const auto wanted = exchange::read_instrument(*body, "ABC", nothing)) {
    const exchange::InstrumentDefinition& terms = wanted->definition;
    POLIS_ASSERT(terms.base_per_lot > 0 && terms.quote_per_tick_lot > 0);
    POLIS_ASSERT(terms.tick.mantissa > 0 && terms.lot.mantissa > 0);
    POLIS_ASSERT(terms.window_ticks >= 64 && terms.orders_max >= 1);
  }
  (void)exchange::read_session(*body, "BRK1", nothing);
  (void)exchange::read_limits(*body, {});
  return 0;
}
