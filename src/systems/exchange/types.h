// The nouns of the venue: instruments, orders as they are asked for, and what comes of them. Values with no behaviour.
// Prices are whole ticks and quantities whole lots of their instrument; what a client writes as a decimal is turned
// into them at the door and back.
#pragma once

#include <cstdint>

namespace polis::exchange {

using Price = int64_t;      // ticks; above 0 in orders
using Quantity = int64_t;   // lots; above 0 in orders, at most kQuantityMax
using VenueTime = int64_t;  // nanoseconds since 1970, from the sequencer alone
using InstrumentId = uint32_t;
using AccountId = uint32_t;
using MatchId = uint64_t;  // numbers the trades of an instrument, from 1

// ITCH has 32 bits for both.
inline constexpr Quantity kQuantityMax = UINT32_MAX;
inline constexpr Price kPriceMax = 2'000'000'000;

// Where an order lies and which life of that place it is: generation << 32 | slot. Never 0, and never used twice within
// 2^32 lives of one slot, so whoever holds an old one finds nothing instead of somebody else's order.
using OrderId = uint64_t;

enum class Side : uint8_t { kBuy, kSell };
constexpr Side opposite(Side side) {
  return side == Side::kBuy ? Side::kSell : Side::kBuy;
}

enum class OrderType : uint8_t {
  kMarket,
  kLimit,
  kStop,           // becomes a market order when the last trade reaches the stop price
  kStopLimit,      // becomes a limit order then
  kMarketToLimit,  // takes the best price alone, and what is left rests there
};

enum class TimeInForce : uint8_t {
  kDay,
  kGoodTillCancel,
  kAtOpening,  // for the opening auction alone
  kImmediateOrCancel,
  kFillOrKill,
  kGoodTillDate,
  kAtClose,  // waits for the closing auction
};

// What happens between two orders of one self-match id, by the instruction of the one that comes.
enum class SelfMatch : uint8_t {
  kCancelNewest,  // the one that comes
  kCancelOldest,  // the one that rests
  kCancelBoth,
  kDecrement,  // both lose the smaller size, without a trade
};

enum class Phase : uint8_t {
  kClosed,       // nothing is accepted but cancels
  kPreOpen,      // orders gather for the opening auction
  kContinuous,   // orders match as they come
  kClosingCall,  // orders gather for the closing auction
  kHalted,       // orders gather until the auction that ends the halt
};
// Orders gather without matching, and the next phase begins with an auction.
constexpr bool is_call(Phase phase) {
  return phase == Phase::kPreOpen || phase == Phase::kClosingCall || phase == Phase::kHalted;
}

// A quantity to show that means: all of it.
inline constexpr Quantity kShowAll = -1;

struct NewOrder {
  uint64_t reference = 0;  // whoever sent it knows it by this; given back in every event
  AccountId account = 0;
  uint32_t self_match_id = 0;  // 0: may trade with anybody
  SelfMatch self_match = SelfMatch::kCancelNewest;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  bool post_only = false;  // rejected rather than matched on arrival; limit orders that may rest
  Price price = 0;         // of limit and stop limit orders; of others how far they may go at most, 0: no such bound
  Price stop_price = 0;    // of stop and stop limit orders
  Quantity quantity = 0;
  Quantity minimum = 0;       // matched at once, or the order ends unmatched; 0: no such wish
  Quantity shown = kShowAll;  // 0: hidden; between 0 and quantity: an iceberg's peak
  VenueTime expires_at = 0;   // of good till date
};

struct ReplaceOrder {
  OrderId order = 0;
  uint64_t reference = 0;  // from now on
  Price price = 0;         // as in NewOrder
  Price stop_price = 0;
  Quantity quantity = 0;  // whole size, with what is filled already
};

enum class RejectReason : uint8_t {
  kNone,
  kClosed,  // the phase takes no such order
  kUnknownOrder,
  kBadQuantity,
  kBadPrice,
  kUnsupported,  // a combination that the venue does not offer
  kNoLiquidity,  // a market order against nothing
  kWouldMatch,   // post-only
  kExpired,      // good till a date that is over
  kFull,         // no room for more orders
};

enum class CancelReason : uint8_t {
  kAsked,
  kImmediate,  // what an immediate order could not match
  kCollar,     // what a market order could not match within the collar
  kMinimum,    // less than the minimum, or than all of a fill or kill order, could be matched
  kSelfMatch,
  kExpired,
  kReplaced,      // to a size that is filled already
  kNotAuctioned,  // of an order for an auction that is over
};

// What happened, in order. The same record is what consumers of the bus read; fields that a kind does not name are 0.
struct Event {
  enum class Kind : uint8_t {
    kAccepted,  // order, side, price, quantity: resting or about to match; shown: what others see when it rests
    kRejected,  // reject; order: of a replace or cancel
    kTrade,  // match, order (resting, or the buyer in an auction) and counter_order, price, quantity; what is left of
             // either; side: of the one that came
    kCancelled,  // order, quantity: what ended unmatched; cancel
    kReduced,    // order, quantity: how much less without a trade (self-match), left
    kReplaced,   // order, price, stop_price, quantity: whole size, left; flags: kKeptPriority
    kTriggered,  // order: a stop that now is an order
    kRested,     // order, side, price, left: what is in the book now, shown of it
    kRefilled,   // order, shown: an iceberg's next peak, at the tail
    kPhase,      // phase
    kAuction,    // price, quantity: what the auction that ends a call matched; quantity 0: nothing, and price 0
    kPaused,     // price: that would have left the band; the phase is kHalted now
  };
  enum Flag : uint8_t { kKeptPriority = 1, kInAuction = 2, kHiddenMaker = 4 };

  Kind kind = Kind::kAccepted;
  uint8_t flags = 0;
  Side side = Side::kBuy;
  RejectReason reject = RejectReason::kNone;
  CancelReason cancel = CancelReason::kAsked;
  Phase phase = Phase::kClosed;
  uint16_t unused = 0;
  InstrumentId instrument = 0;
  uint32_t unused_too = 0;
  OrderId order = 0, counter_order = 0;
  uint64_t reference = 0, counter_reference = 0;
  Price price = 0;
  Quantity quantity = 0, left = 0, counter_left = 0;
  Quantity shown = 0;
  MatchId match = 0;
  friend bool operator==(const Event&, const Event&) = default;
};
static_assert(sizeof(Event) == 96);  // one slot of the bus

}  // namespace polis::exchange
