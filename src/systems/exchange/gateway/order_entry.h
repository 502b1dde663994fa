// Order entry: application messages of a FIX client as requests to the venue. Pure; allocates nothing.
//
//     D NewOrderSingle            kNewOrder
//     F OrderCancelRequest        kCancel
//     G OrderCancelReplaceRequest kReplace
//     H OrderStatusRequest        kStatus
//     q OrderMassCancelRequest    kMassCancel
//
// What is wrong with an order that can be named (a price between two ticks, a symbol that nobody knows) does not stop
// it here: the request carries the refusal, so that the answer is sequenced and numbered like every other. Only what
// has no client order id that fits is refused as a message.
#pragma once

#include <string_view>

#include "systems/exchange/fix/message.h"
#include "systems/exchange/gateway/definitions.h"
#include "systems/exchange/messages.h"

namespace polis::exchange::gateway {

struct OrderEntry {
  bool served = false;           // false: a type that is no order entry, `request` means nothing
  bool possible_resend = false;  // 97=Y: the client does not know whether we have had it
};

// Fills `request` but for its tag. Messages are valid by the dictionary.
OrderEntry order_entry(const fix::Message& message, const SessionDefinition& session, uint32_t number,
                       const Definitions& definitions, Request& request);

// A message that is refused as such, to be answered by 35=j: the reference (379) is its ClOrdID if it has one that
// fits.
void refused_message(const fix::Message& message, SessionId session, uint32_t number, Refusal why, Request& request);

}  // namespace polis::exchange::gateway
