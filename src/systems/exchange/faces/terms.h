// What operators write, taken apart: definitions and limits out of JSON bodies, shares as "10%" and "2bp", spans as
// "5s". Pure; every error is kInvalid and names the field and what it must be.
#pragma once

#include "systems/body.h"
#include "systems/exchange/faces/roster.h"

namespace polis::exchange {

// "10%", "0.5%", "2bp", "0.25bp" or "0": hundredths of a basis point, to 10,000%.
Result<uint32_t> parse_share(std::string_view field, std::string_view text);
std::string share_text(uint32_t hundredths_bp);  // "10%", "2bp"

// The instrument that a body defines: a new one, or `old` with what the body changes. What its orders and balances
// stand on (tick, lot, assets) never changes. `assets` are those that must be defined before; their ids, and the
// instrument's, are set by the caller where they are 0.
struct WantedInstrument {
  InstrumentDefinition definition;
  AssetDefinition base, quote;
};
Result<WantedInstrument> read_instrument(systems::Body& body, std::string_view symbol, const Roster& roster);

Result<SessionDefinition> read_session(systems::Body& body, std::string_view name, const Roster& roster);

// `limits` with what the body changes; amounts are of the asset with so many decimals.
Result<RiskLimits> read_limits(systems::Body& body, RiskLimits limits);

}  // namespace polis::exchange
