// Pictures: the venue's state as JSON: books, orders, balances, risk. Pure functions of a venue between two steps, so
// the same picture is drawn of the live venue, of its shadow, and of one that a replay has brought to any sequence
// number.
#pragma once

#include <string>

#include "systems/exchange/venue/venue.h"
#include "systems/json_writer.h"

namespace polis::exchange {

namespace gateway {
struct SessionView;
}

// Levels a side and orders of a level that a picture has at most: both bound what drawing it costs the path.
inline constexpr size_t kPictureLevelsMax = 1'000, kPictureQueueMax = 100;
inline constexpr size_t kPictureOrdersMax = 10'000;

struct BookPicture {
  size_t depth = 10;    // levels a side
  bool queues = false;  // each level's orders, first in turn first: size shown and order
};
// {"symbol","phase","last","reference","bids":[{"price","size","orders","queue":[...]}],"asks":[...]}; in a call also
// what its auction would do now. Sizes are what others see. The instrument must be defined.
void write_book(systems::JsonWriter& out, const Venue& venue, InstrumentId instrument, const BookPicture& wish);

void write_order(systems::JsonWriter& out, const Venue& venue, const OrderState& order);
// Open orders of an account, at most so many.
void write_orders(systems::JsonWriter& out, const Venue& venue, AccountId account, size_t most);

// {"account","balances":[{"asset","total","reserved","free"}],"positions":[{"symbol","quantity"}]}
void write_account(systems::JsonWriter& out, const Venue& venue, AccountId account);
void write_limits(systems::JsonWriter& out, const RiskLimits& limits);

void write_definition(systems::JsonWriter& out, const OrderManager& orders, const InstrumentDefinition& instrument);
// `connected`: what its door knows of it; null: nothing.
void write_definition(systems::JsonWriter& out, const OrderManager& orders, const SessionDefinition& session,
                      const gateway::SessionView* connected);

// Nanoseconds since 1970 as RFC 3339 with nine digits.
std::string venue_time_text(VenueTime time);

}  // namespace polis::exchange
