// Reference: what a client may ask about the venue itself: the list of instruments (x, answered by y) and the trading
// session (g, answered by h). These answers are the session's own messages: a resend fills their gap, for they would be
// stale.
#pragma once

#include <optional>

#include "systems/exchange/fix/message.h"
#include "systems/exchange/gateway/definitions.h"

namespace polis::exchange::gateway {

// One SecurityList (35=y) of those that answer `request`, with at most kSecuritiesAtOnce instruments from `from` on;
// the id with which the next one begins, 0 after the last.
inline constexpr size_t kSecuritiesAtOnce = 500;
InstrumentId write_security_list(const fix::Message& request, const Definitions& definitions, InstrumentId from,
                                 fix::FieldWriter& body);

// TradingSessionStatus (35=h). TradingSessionID (336) of the request names an instrument; without one the venue as a
// whole is meant: open, or halted.
struct SessionStatus {
  bool known = true;  // false: no such instrument
  bool halted = false;
  std::optional<Phase> phase;  // of the instrument
};
void write_session_status(std::string_view request_id, std::string_view trading_session, const SessionStatus& status,
                          fix::FieldWriter& body);

}  // namespace polis::exchange::gateway
