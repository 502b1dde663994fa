// Execution reports: what the venue reports as FIX messages: 8, 9, r and j. A pure function of the report, its place on
// the bus and the definitions, so that a message which is asked for again is made again, byte by byte.
#pragma once

#include <string_view>

#include "systems/exchange/fix/message.h"
#include "systems/exchange/gateway/definitions.h"
#include "systems/exchange/messages.h"

namespace polis::exchange::gateway {

// The message's type; `body` is filled with its fields, tags ascending. has_message(report) holds.
std::string_view write_report(Sequence sequence, VenueTime time, const Report& report, const Definitions& definitions,
                              fix::FieldWriter& body);

}  // namespace polis::exchange::gateway
