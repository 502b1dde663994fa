// Orders that come, change and go, and what they match on their way. Auctions and phases: matching_auction.cc.
#include "systems/exchange/matching/matching.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace polis::exchange {
namespace {

constexpr VenueTime kSliceNs = 30'000'000'000;

bool is_stop(OrderType type) {
  return type == OrderType::kStop || type == OrderType::kStopLimit;
}
bool has_limit(OrderType type) {
  return type == OrderType::kLimit || type == OrderType::kStopLimit;
}
bool is_immediate(TimeInForce time_in_force) {
  return time_in_force == TimeInForce::kImmediateOrCancel || time_in_force == TimeInForce::kFillOrKill;
}
bool is_price(Price price) {
  return static_cast<uint64_t>(price) - 1 < static_cast<uint64_t>(kPriceMax);
}
bool is_quantity(Quantity quantity) {
  return static_cast<uint64_t>(quantity) - 1 < static_cast<uint64_t>(kQuantityMax);
}

// The last eight bytes of an order say how it waits and what it is. Most are in the book as limit orders that stay,
// with no wishes.
constexpr size_t kMannerAt = offsetof(Order, place);
static_assert(kMannerAt == 56 && offsetof(Order, has_terms) == 63);
uint64_t manner(const Order& order) {
  uint64_t word;
  std::memcpy(&word, &order.place, sizeof word);
  return word;
}
void set_manner(Order& order, uint64_t word) {
  std::memcpy(&order.place, &word, sizeof word);
}
constexpr uint64_t manner_byte(size_t at, auto value) {
  return static_cast<uint64_t>(value) << 8 * (at - kMannerAt);
}
constexpr uint64_t kPlainManner =
    manner_byte(offsetof(Order, place), Place::kShown) | manner_byte(offsetof(Order, type), OrderType::kLimit);
// But for the side, what to do about one's own orders, and whether it is for a day or for longer.
constexpr uint64_t kPlainMask =
    ~(manner_byte(offsetof(Order, side), 0xff) | manner_byte(offsetof(Order, self_match), 0xff) |
      manner_byte(offsetof(Order, time_in_force), 1));
static_assert(static_cast<int>(TimeInForce::kDay) == 0 && static_cast<int>(TimeInForce::kGoodTillCancel) == 1);

// An event is written where it stays and sixteen bytes at a time: making it elsewhere and copying it costs more than
// all else of a quiet order, and whoever takes it further loads as much at once, which waits when it finds several
// stores.
[[gnu::always_inline]] inline void say(const Event& event, Events& events) {
  using Pair = uint64_t __attribute__((vector_size(16)));
  const auto word = [](auto value) { return static_cast<uint64_t>(value); };
  const uint64_t first = word(event.kind) | word(event.flags) << 8 | word(event.side) << 16 | word(event.reject) << 24 |
                         word(event.cancel) << 32 | word(event.phase) << 40;
  const Pair pairs[] = {
      {first, event.instrument},
      {event.order, event.counter_order},
      {event.reference, event.counter_reference},
      {word(event.price), word(event.quantity)},
      {word(event.left), word(event.counter_left)},
      {word(event.shown), event.match},
  };
  static_assert(sizeof pairs == sizeof event && offsetof(Event, flags) == 1 && offsetof(Event, side) == 2 &&
                offsetof(Event, reject) == 3 && offsetof(Event, cancel) == 4 && offsetof(Event, phase) == 5 &&
                offsetof(Event, instrument) == 8 && offsetof(Event, order) == 16 && offsetof(Event, reference) == 32 &&
                offsetof(Event, price) == 48 && offsetof(Event, left) == 64 && offsetof(Event, shown) == 80);
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(static_cast<void*>(events.extend()), pairs, sizeof pairs);
}

}  // namespace

Matching::Matching(const InstrumentRules& rules)
    : rules_(rules),
      ladders_{{Side::kBuy, rules.window_ticks}, {Side::kSell, rules.window_ticks}},
      orders_(rules.orders_max) {}

void Matching::change_rules(const InstrumentRules& rules) {
  rules_.collar_bp = rules.collar_bp;
  rules_.band_bp = rules.band_bp;
  rules_.pause_ns = rules.pause_ns;
  set_reference(reference_);
}

// For events that are rare: the caller writes what is left to say.
Event& Matching::tell(Event::Kind kind, Slot slot, Events& events) const {
  const Order& order = orders_[slot];
  Event& event = events.emplace_back();
  event.kind = kind;
  event.side = order.side;
  event.instrument = rules_.id;
  event.order = uint64_t{order.generation} << 32 | slot;
  event.reference = order.reference;
  return event;
}

void Matching::prefetch_neighbours(OrderId id, Price to) const {
  for (const Ladder& book : ladders_) orders_.prefetch_slot(book.tail(to));
  const Slot slot = orders_.find(id);
  if (slot == 0) return;
  const Order& order = orders_[slot];
  orders_.prefetch(order.next);
  orders_.prefetch(order.previous);
  if (order.place == Place::kShown || order.place == Place::kHidden) side(order.side).prefetch(order.price);
}

inline bool Matching::crosses(Side side, Price price) const {
  const Ladder& others = this->side(opposite(side));
  return !others.better(price, others.best());
}

// --- what comes

RejectReason Matching::check(const NewOrder& order) const {
  using enum RejectReason;
  if (phase_ == Phase::kClosed) return kClosed;
  if (order.quantity <= 0 || order.quantity > kQuantityMax || order.minimum < 0 || order.minimum > order.quantity ||
      order.shown < kShowAll || order.shown > order.quantity ||
      (order.shown > 0 && order.quantity > order.shown * kPeaksMax))
    return kBadQuantity;
  if (!is_price(order.price) && (has_limit(order.type) || order.price != 0)) return kBadPrice;
  if (is_stop(order.type) ? !is_price(order.stop_price) : order.stop_price != 0) return kBadPrice;

  const bool immediate = is_immediate(order.time_in_force);
  const bool for_auction =
      order.time_in_force == TimeInForce::kAtOpening || order.time_in_force == TimeInForce::kAtClose;
  if (is_stop(order.type) && (for_auction || order.minimum > 0)) return kUnsupported;
  if (order.post_only && (order.type != OrderType::kLimit || immediate || for_auction || order.minimum > 0))
    return kUnsupported;
  if (order.shown != kShowAll && (order.type == OrderType::kMarket || order.type == OrderType::kStop))
    return kUnsupported;
  if (order.minimum > 0 && (for_auction || phase_ != Phase::kContinuous)) return kUnsupported;
  if (order.time_in_force == TimeInForce::kAtOpening && phase_ != Phase::kPreOpen) return kClosed;
  if (order.time_in_force == TimeInForce::kGoodTillDate ? order.expires_at <= now_ : order.expires_at != 0)
    return kExpired;
  if (is_stop(order.type)) return kNone;
  if (is_call(phase_)) return immediate ? kClosed : kNone;
  if (for_auction) return kNone;
  if (!has_limit(order.type) && side(opposite(order.side)).empty()) return kNoLiquidity;
  if (order.post_only && crosses(order.side, order.price)) return kWouldMatch;
  return kNone;
}

// Limit orders without wishes, while orders match as they come.
inline bool Matching::is_plain(const NewOrder& order) const {
  return phase_ == Phase::kContinuous && order.type == OrderType::kLimit && !order.post_only &&
         (order.time_in_force <= TimeInForce::kGoodTillCancel ||
          order.time_in_force == TimeInForce::kImmediateOrCancel) &&
         (order.minimum | order.stop_price | order.expires_at) == 0 && order.shown == kShowAll &&
         is_quantity(order.quantity) && is_price(order.price);
}

void Matching::submit(VenueTime now, const NewOrder& wanted, Events& events) {
  now_ = now;
  if (is_plain(wanted)) [[likely]]
    if (const Slot slot = orders_.take()) [[likely]]
      return submit_plain(wanted, slot, events);
  submit_other(wanted, events);
}

inline void Matching::submit_plain(const NewOrder& wanted, Slot slot, Events& events) {
  Order& order = orders_[slot];
  const uint32_t generation = order.generation;
  order.open = static_cast<uint32_t>(wanted.quantity);
  order.reserve = order.filled = order.peak = 0;
  order.price = static_cast<int32_t>(wanted.price);
  order.reference = wanted.reference;
  order.entered = ++entered_;
  order.account = wanted.account;
  order.self_match_id = wanted.self_match_id;
  set_manner(order, manner_byte(offsetof(Order, place), Place::kMoving) |
                        manner_byte(offsetof(Order, side), wanted.side) |
                        manner_byte(offsetof(Order, type), OrderType::kLimit) |
                        manner_byte(offsetof(Order, time_in_force), wanted.time_in_force) |
                        manner_byte(offsetof(Order, self_match), wanted.self_match));
  say({.kind = Event::Kind::kAccepted,
       .side = wanted.side,
       .instrument = rules_.id,
       .order = uint64_t{generation} << 32 | slot,
       .reference = wanted.reference,
       .price = wanted.price,
       .quantity = wanted.quantity,
       .left = wanted.quantity},
      events);
  enter_plain(order, slot, events);
}

// Mostly nobody waits for them.
inline void Matching::after_trades(Events& events) {
  if (phase_ != Phase::kContinuous || !buy_stops_.empty() || !sell_stops_.empty()) return run_stops(events);
  low_ = high_ = 0;
}

// Where it belongs: against others, then into the book.
[[gnu::always_inline]] inline void Matching::enter_plain(Order& order, Slot slot, Events& events) {
  const bool meets = crosses(order.side, order.price);
  if (meets) order.place = Place::kMoving;
  if (!meets || match(slot, order.price, events)) {
    if (order.time_in_force == TimeInForce::kImmediateOrCancel) [[unlikely]] {
      end(slot, CancelReason::kImmediate, events);
    } else {
      rest_shown(order, slot, events);
    }
  }
  if (high_ != 0) after_trades(events);
}

void Matching::submit_other(const NewOrder& wanted, Events& events) {
  RejectReason reason = check(wanted);
  const Slot slot = reason == RejectReason::kNone ? orders_.take() : 0;
  if (slot == 0) {
    if (reason == RejectReason::kNone) reason = RejectReason::kFull;
    events.push_back({.kind = Event::Kind::kRejected,
                      .side = wanted.side,
                      .reject = reason,
                      .instrument = rules_.id,
                      .reference = wanted.reference,
                      .price = wanted.price,
                      .quantity = wanted.quantity});
    return;
  }
  Order& order = orders_[slot];
  order = {.open = static_cast<uint32_t>(wanted.quantity),
           .peak = wanted.shown > 0 && wanted.shown < wanted.quantity ? static_cast<uint32_t>(wanted.shown) : 0,
           .price = static_cast<int32_t>(wanted.price),
           .generation = order.generation,
           .reference = wanted.reference,
           .entered = ++entered_,
           .account = wanted.account,
           .self_match_id = wanted.self_match_id,
           .place = Place::kMoving,
           .side = wanted.side,
           .type = wanted.type,
           .time_in_force = wanted.time_in_force,
           .self_match = wanted.self_match,
           .post_only = wanted.post_only,
           .hidden = wanted.shown == 0};
  orders_.set_terms(slot, {.minimum = static_cast<uint32_t>(wanted.minimum),
                           .stop_price = static_cast<int32_t>(wanted.stop_price),
                           .expires_at = wanted.expires_at});
  if (wanted.time_in_force == TimeInForce::kGoodTillDate) {
    expiries_.insert({wanted.expires_at, orders_.id(slot)});
    note_due();
  }
  Event& accepted = tell(Event::Kind::kAccepted, slot, events);
  accepted.price = wanted.price;
  accepted.quantity = wanted.quantity;
  accepted.left = wanted.quantity;
  if (is_stop(wanted.type)) {
    if (phase_ == Phase::kContinuous && reached(wanted.side, wanted.stop_price)) {
      trigger(slot, events);
    } else {
      wait_for_stop(slot);
    }
  } else if (wanted.time_in_force == TimeInForce::kAtClose && phase_ != Phase::kClosingCall) {
    park(slot);
  } else {
    enter(slot, events);
  }
  if (high_ != 0) after_trades(events);
}

void Matching::cancel(VenueTime now, OrderId id, uint64_t reference, Events& events) {
  now_ = now;
  if (const Slot slot = orders_.find(id)) return end(slot, CancelReason::kAsked, events);
  events.push_back({.kind = Event::Kind::kRejected,
                    .reject = RejectReason::kUnknownOrder,
                    .instrument = rules_.id,
                    .order = id,
                    .reference = reference});
}

RejectReason Matching::check(const ReplaceOrder& replace, const Order& order) const {
  using enum RejectReason;
  if (phase_ == Phase::kClosed) return kClosed;
  if (replace.quantity <= 0 || replace.quantity > kQuantityMax ||
      (order.peak != 0 && replace.quantity > order.peak * kPeaksMax))
    return kBadQuantity;
  if (!is_price(replace.price) && (has_limit(order.type) || replace.price != 0)) return kBadPrice;
  if (is_stop(order.type) ? !is_price(replace.stop_price) : replace.stop_price != 0) return kBadPrice;
  if (order.post_only && phase_ == Phase::kContinuous && replace.price != order.price &&
      crosses(order.side, replace.price))
    return kWouldMatch;
  return kNone;
}

// A limit order in the book without wishes that goes to another place, while orders match as they come.
inline bool Matching::is_plain(const ReplaceOrder& replace, const Order& order) const {
  return (manner(order) & kPlainMask) == kPlainManner && phase_ == Phase::kContinuous && order.peak == 0 &&
         replace.stop_price == 0 && is_price(replace.price) && is_quantity(replace.quantity) &&
         replace.quantity > order.filled && (replace.price != order.price || replace.quantity > order.quantity());
}

void Matching::replace(VenueTime now, const ReplaceOrder& wanted, Events& events) {
  now_ = now;
  // Whom it will stand behind, on whichever side: that comes while the order itself does.
  for (const Ladder& book : ladders_) orders_.prefetch_slot(book.tail(wanted.price));
  const Slot slot = orders_.find(wanted.order);
  if (slot != 0 && is_plain(wanted, orders_[slot])) [[likely]]
    return move_plain(wanted, slot, events);
  replace_other(wanted, slot, events);
}

inline void Matching::move_plain(const ReplaceOrder& wanted, Slot slot, Events& events) {
  Order& order = orders_[slot];
  leave_shown(order);
  order.reference = wanted.reference;
  order.open = static_cast<uint32_t>(wanted.quantity) - order.filled;
  order.price = static_cast<int32_t>(wanted.price);
  order.entered = ++entered_;
  say({.kind = Event::Kind::kReplaced,
       .side = order.side,
       .instrument = rules_.id,
       .order = wanted.order,
       .reference = wanted.reference,
       .price = wanted.price,
       .quantity = wanted.quantity,
       .left = order.open},
      events);
  enter_plain(order, slot, events);
}

void Matching::replace_other(const ReplaceOrder& wanted, Slot slot, Events& events) {
  const RejectReason reason = slot == 0 ? RejectReason::kUnknownOrder : check(wanted, orders_[slot]);
  if (reason != RejectReason::kNone) {
    events.push_back({.kind = Event::Kind::kRejected,
                      .side = slot == 0 ? Side::kBuy : orders_[slot].side,
                      .reject = reason,
                      .instrument = rules_.id,
                      .order = wanted.order,
                      .reference = wanted.reference,
                      .price = wanted.price,
                      .quantity = wanted.quantity});
    return;
  }
  Order& order = orders_[slot];
  OrderTerms terms = orders_.terms(slot);
  order.reference = wanted.reference;
  if (wanted.quantity <= order.filled) return end(slot, CancelReason::kReplaced, events);
  const bool keeps =
      wanted.price == order.price && wanted.stop_price == terms.stop_price && wanted.quantity <= order.quantity();
  if (keeps) {
    reduce(slot, order.quantity() - wanted.quantity);
  } else {
    leave(slot);
    order.open = static_cast<uint32_t>(wanted.quantity) - order.filled;
    order.reserve = 0;
    order.price = static_cast<int32_t>(wanted.price);
    order.entered = ++entered_;
  }
  if (order.has_terms) {
    terms.stop_price = static_cast<int32_t>(wanted.stop_price);
    terms.minimum = 0;
    orders_.set_terms(slot, terms);
  }
  Event& replaced = tell(Event::Kind::kReplaced, slot, events);
  replaced.flags = keeps ? Event::kKeptPriority : 0;
  replaced.price = wanted.price;
  replaced.quantity = wanted.quantity;
  replaced.left = order.left();
  replaced.shown = order.place == Place::kShown ? order.open : 0;
  if (keeps) return;
  if (is_stop(order.type)) {
    if (phase_ == Phase::kContinuous && reached(order.side, wanted.stop_price)) {
      trigger(slot, events);
    } else {
      wait_for_stop(slot);
    }
  } else if (order.time_in_force == TimeInForce::kAtClose && phase_ != Phase::kClosingCall) {
    park(slot);
  } else {
    enter(slot, events);
  }
  if (high_ != 0) after_trades(events);
}

// --- queues

inline void Matching::push(Slot& first, Slot& last, Slot slot) {
  Order& order = orders_[slot];
  order.previous = last;
  order.next = 0;
  (last != 0 ? orders_[last].next : first) = slot;
  last = slot;
}

inline void Matching::unlink(Slot& first, Slot& last, Slot slot) {
  const Order& order = orders_[slot];
  (order.previous != 0 ? orders_[order.previous].next : first) = order.next;
  (order.next != 0 ? orders_[order.next].previous : last) = order.previous;
}

// All of it for others to see: into the queue of its level, and out of it again. Whether it is the first or the last
// there is not asked by branches.
[[gnu::always_inline]] inline void Matching::rest_shown(Order& order, Slot slot, Events& events) {
  order.place = Place::kShown;
  Level& level = ladder(order.side).join(order.price, order.open);
  const Slot last = level.tail;
  order.next = 0;
  order.previous = last;
  *(last != 0 ? &orders_[last].next : &level.head) = slot;
  level.tail = slot;
  ++level.orders;
  level.shown += order.open;
  say({.kind = Event::Kind::kRested,
       .side = order.side,
       .instrument = rules_.id,
       .order = uint64_t{order.generation} << 32 | slot,
       .reference = order.reference,
       .price = order.price,
       .left = order.open,
       .shown = order.open},
      events);
}

[[gnu::always_inline]] inline void Matching::leave_shown(Order& order) {
  const Slot next = order.next, previous = order.previous;
  orders_.prefetch_slot(next);
  orders_.prefetch_slot(previous);
  Ladder& book = ladder(order.side);
  Level& level = book.leave(order.price, order.left());
  *(previous != 0 ? &orders_[previous].next : &level.head) = next;
  *(next != 0 ? &orders_[next].previous : &level.tail) = previous;
  --level.orders;
  level.shown -= order.open;
  book.left(level, order.price);
}

void Matching::rest(Slot slot, Events& events) {
  Order& order = orders_[slot];
  const Quantity left = order.left();
  order.open = order.peak != 0 && left > order.peak ? order.peak : static_cast<uint32_t>(left);
  order.reserve = static_cast<uint32_t>(left) - order.open;
  Level& level = ladder(order.side).join(order.price, left);
  if (order.hidden) {
    order.place = Place::kHidden;
    push(level.hidden_head, level.hidden_tail, slot);
    ++level.hidden_orders;
  } else {
    order.place = Place::kShown;
    push(level.head, level.tail, slot);
    ++level.orders;
    level.shown += order.open;
  }
  Event& rested = tell(Event::Kind::kRested, slot, events);
  rested.price = order.price;
  rested.left = left;
  rested.shown = order.hidden ? 0 : order.open;
}

void Matching::wait_for_stop(Slot slot) {
  Order& order = orders_[slot];
  order.place = Place::kStop;
  Queue& queue = stops(order.side)[orders_.terms(slot).stop_price];
  push(queue.first, queue.last, slot);
}

void Matching::wait_for_auction(Slot slot) {
  Order& order = orders_[slot];
  order.place = Place::kAuction;
  Queue& queue = auction_queue(order.side);
  push(queue.first, queue.last, slot);
  auction_volume(order.side) += order.open;
}

void Matching::park(Slot slot) {
  orders_[slot].place = Place::kParked;
  push(parked_.first, parked_.last, slot);
}

inline void Matching::leave_book(Slot slot) {
  Order& order = orders_[slot];
  if (order.place == Place::kShown) [[likely]] {
    leave_shown(order);
  } else {
    Ladder& book = ladder(order.side);
    Level& level = book.leave(order.price, order.left());
    unlink(level.hidden_head, level.hidden_tail, slot);
    --level.hidden_orders;
    book.left(level, order.price);
  }
  order.place = Place::kMoving;
}

// Out of the queue that it waits in.
void Matching::leave(Slot slot) {
  const Place place = orders_[slot].place;
  if (place == Place::kShown || place == Place::kHidden) return leave_book(slot);
  if (place != Place::kMoving) leave_queue(slot);
}

void Matching::leave_queue(Slot slot) {
  Order& order = orders_[slot];
  switch (order.place) {
    case Place::kStop: {
      StopLevels& levels = stops(order.side);
      const auto level = levels.find(orders_.terms(slot).stop_price);
      unlink(level->second.first, level->second.last, slot);
      if (level->second.first == 0) levels.erase(level);
      break;
    }
    case Place::kParked:
      unlink(parked_.first, parked_.last, slot);
      break;
    case Place::kAuction: {
      Queue& queue = auction_queue(order.side);
      unlink(queue.first, queue.last, slot);
      auction_volume(order.side) -= order.open;
      break;
    }
    case Place::kTriggered:
      *std::find(triggered_.begin(), triggered_.end(), slot) = 0;
      break;
    case Place::kShown:
    case Place::kHidden:
    case Place::kFree:
    case Place::kMoving:
      break;
  }
  order.place = Place::kMoving;
}

// It is over: the slot is another's from now on.
void Matching::finish(Slot slot) {
  leave(slot);
  if (orders_[slot].has_terms)
    if (const VenueTime expires_at = orders_.terms(slot).expires_at; expires_at != 0) {
      expiries_.erase({expires_at, orders_.id(slot)});
      note_due();
    }
  orders_.give_back(slot);
}

void Matching::end(Slot slot, CancelReason reason, Events& events) {
  const Order& order = orders_[slot];
  say({.kind = Event::Kind::kCancelled,
       .side = order.side,
       .cancel = reason,
       .instrument = rules_.id,
       .order = uint64_t{order.generation} << 32 | slot,
       .reference = order.reference,
       .price = order.price,
       .quantity = order.left()},
      events);
  finish(slot);
}

// So much less of it, wherever it waits, which keeps its turn; never all. What nobody sees goes first.
void Matching::reduce(Slot slot, Quantity quantity) {
  Order& order = orders_[slot];
  const Quantity of_reserve = std::min<Quantity>(order.reserve, quantity), of_open = quantity - of_reserve;
  order.reserve -= static_cast<uint32_t>(of_reserve);
  order.open -= static_cast<uint32_t>(of_open);
  if (order.place == Place::kAuction) auction_volume(order.side) -= of_open;
  if (order.place != Place::kShown && order.place != Place::kHidden) return;
  Ladder& book = ladder(order.side);
  if (order.place == Place::kShown) book.at(order.price).shown -= of_open;
  book.add_volume(order.price, -quantity);
}

// --- trading

void Matching::enter(Slot slot, Events& events) {
  Order& order = orders_[slot];
  if (is_call(phase_)) {
    if (is_immediate(order.time_in_force)) return end(slot, CancelReason::kImmediate, events);
    if (order.price == 0) return wait_for_auction(slot);
    // A bound makes it a limit order until the auction.
    if (!has_limit(order.type)) bounded_in_call_ = true;
    return rest(slot, events);
  }
  Price limit = order.price;
  if (!has_limit(order.type)) {
    const Ladder& others = side(opposite(order.side));
    if (others.empty()) return end(slot, CancelReason::kCollar, events);
    const Price bound = order.price;
    limit = order.type == OrderType::kMarketToLimit ? others.best() : limit_of_market(order.side);
    if (bound != 0 && others.better(bound, limit)) limit = bound;
    if (others.better(limit, others.best())) return end(slot, CancelReason::kCollar, events);
  }
  const Quantity needed = order.time_in_force == TimeInForce::kFillOrKill ? order.open : orders_.terms(slot).minimum;
  if (needed > 0 && matchable(order, limit, needed) < needed) return end(slot, CancelReason::kMinimum, events);
  if (!match(slot, limit, events)) return;

  if (is_immediate(order.time_in_force)) return end(slot, CancelReason::kImmediate, events);
  if (order.type == OrderType::kMarket) return end(slot, CancelReason::kCollar, events);
  if (order.type == OrderType::kMarketToLimit) {
    order.type = OrderType::kLimit;
    order.price = static_cast<int32_t>(limit);
  }
  rest(slot, events);
}

// As far as the limit; false when the order is over.
bool Matching::match(Slot slot, Price limit, Events& events) {
  Order& taker = orders_[slot];
  Ladder& book = ladder(opposite(taker.side));
  while (true) {
    const Price best = book.best();
    if (book.better(limit, best)) break;
    if (outside_band(best)) [[unlikely]] {
      phase_ = Phase::kHalted;
      resumes_at_ = now_ + rules_.pause_ns;
      note_due();
      events.push_back({.kind = Event::Kind::kPaused, .phase = Phase::kHalted, .instrument = rules_.id, .price = best});
      break;
    }
    Level& level = book.at(best);
    const Slot maker_slot = level.head != 0 ? level.head : level.hidden_head;
    Order& maker = orders_[maker_slot];
    if (taker.self_match_id != 0 && maker.self_match_id == taker.self_match_id) [[unlikely]] {
      if (!avoid_self(slot, maker_slot, events)) return false;
      continue;
    }
    const uint32_t quantity = std::min(taker.open, maker.open);
    const uint8_t flags = level.head != 0 ? 0 : Event::kHiddenMaker;
    trade(maker_slot, slot, taker.side, best, quantity, flags, events);
    if (maker.place == Place::kShown && maker.left() == quantity) {
      // Most makers: the first of the level, and over.
      const Slot next = maker.next;
      level.head = next;
      if (next != 0) {
        Order& first = orders_[next];
        first.previous = 0;
        orders_.prefetch_slot(first.next);  // the next one but one: by its turn it is here
      } else {
        level.tail = 0;
      }
      --level.orders;
      level.shown -= quantity;
      book.add_volume(best, -Quantity{quantity});
      book.left(level, best);
      maker.place = Place::kMoving;
      finish(maker_slot);
    } else {
      fill(maker_slot, quantity, events);
    }
    taker.filled += quantity;
    taker.open -= quantity;
    if (taker.left() == 0) {
      finish(slot);
      return false;
    }
  }
  return true;
}

// Two orders of one owner meet; false when the one that came is over.
bool Matching::avoid_self(Slot taker, Slot maker, Events& events) {
  const SelfMatch instruction = orders_[taker].self_match;
  if (instruction == SelfMatch::kDecrement) {
    const Quantity smaller = std::min(orders_[taker].left(), orders_[maker].left());
    bool goes_on = true;
    for (const Slot slot : {maker, taker}) {
      if (orders_[slot].left() == smaller) {
        end(slot, CancelReason::kSelfMatch, events);
        if (slot == taker) goes_on = false;
        continue;
      }
      reduce(slot, smaller);
      Event& reduced = tell(Event::Kind::kReduced, slot, events);
      reduced.quantity = smaller;
      reduced.left = orders_[slot].left();
      reduced.shown = orders_[slot].place == Place::kShown ? orders_[slot].open : 0;
    }
    return goes_on;
  }
  if (instruction != SelfMatch::kCancelNewest) end(maker, CancelReason::kSelfMatch, events);
  if (instruction == SelfMatch::kCancelOldest) return true;
  end(taker, CancelReason::kSelfMatch, events);
  return false;
}

// Tells of a trade that is about to be taken from both.
void Matching::trade(Slot slot, Slot counter, Side side, Price price, Quantity quantity, uint8_t flags,
                     Events& events) {
  const Order &one = orders_[slot], &other = orders_[counter];
  say({.kind = Event::Kind::kTrade,
       .flags = flags,
       .side = side,
       .instrument = rules_.id,
       .order = uint64_t{one.generation} << 32 | slot,
       .counter_order = uint64_t{other.generation} << 32 | counter,
       .reference = one.reference,
       .counter_reference = other.reference,
       .price = price,
       .quantity = quantity,
       .left = one.left() - quantity,
       .counter_left = other.left() - quantity,
       .match = ++matches_},
      events);
  note_trade(price);
}

// Takes what was traded from what is open; false when the order is over. An iceberg shows its next peak, at the tail.
bool Matching::fill(Slot slot, Quantity quantity, Events& events) {
  Order& order = orders_[slot];
  order.filled += static_cast<uint32_t>(quantity);
  if (order.left() == quantity) {
    finish(slot);
    return false;
  }
  order.open -= static_cast<uint32_t>(quantity);
  if (order.place == Place::kAuction) auction_volume(order.side) -= quantity;
  if (order.place != Place::kShown && order.place != Place::kHidden) return true;
  Ladder& book = ladder(order.side);
  book.add_volume(order.price, -quantity);
  if (order.place == Place::kHidden) return true;
  Level& level = book.at(order.price);
  level.shown -= quantity;
  if (order.open > 0) return true;
  unlink(level.head, level.tail, slot);
  order.open = std::min(order.peak, order.reserve);
  order.reserve -= order.open;
  level.shown += order.open;
  push(level.head, level.tail, slot);
  Event& refilled = tell(Event::Kind::kRefilled, slot, events);
  refilled.price = order.price;
  refilled.left = order.left();
  refilled.shown = order.open;
  return true;
}

Price Matching::limit_of_market(Side side) const {
  const Price best = this->side(opposite(side)).best();
  const Price collar = std::max<Price>(best * rules_.collar_bp / 10'000, 1);
  return side == Side::kBuy ? std::min(best + collar, kPriceMax) : std::max<Price>(best - collar, 1);
}

// How much this order would trade, or at least `enough`; before anything is touched.
Quantity Matching::matchable(const Order& order, Price limit, Quantity enough) const {
  const Ladder& book = side(opposite(order.side));
  if (book.empty() || outside_band(book.best())) return 0;
  limit = order.side == Side::kBuy ? std::min(limit, band_high_) : std::max(limit, band_low_);
  const Quantity volume = book.volume_until(limit);
  if (volume < enough || order.self_match_id == 0) return volume;
  // Some of it may be the owner's own.
  Quantity sum = 0;
  for (auto price = book.next(std::nullopt); price && !book.better(limit, *price); price = book.next(price)) {
    const Level& level = *book.find(*price);
    for (const Slot head : {level.head, level.hidden_head}) {
      for (Slot slot = head; slot != 0; slot = orders_[slot].next) {
        const Order& other = orders_[slot];
        const bool own = other.self_match_id == order.self_match_id;
        if (own && order.self_match != SelfMatch::kCancelOldest) return sum;
        if (!own) sum += other.left();
        if (sum >= enough) return sum;
      }
    }
  }
  return sum;
}

void Matching::set_reference(Price reference) {
  reference_ = reference;
  const bool banded = rules_.band_bp != 0 && reference != 0;
  const Price width = banded ? reference * rules_.band_bp / 10'000 : kPriceMax;
  band_low_ = reference - width;
  band_high_ = reference + width;
}

inline void Matching::note_trade(Price price) {
  if (high_ == 0) {
    anchor_ = last_ != 0 ? last_ : price;
    low_ = high_ = price;
  }
  low_ = std::min(low_, price);
  high_ = std::max(high_, price);
  last_ = price;
  if (now_ < slice_begin_ || now_ >= slice_begin_ + kSliceNs) begin_slice();
  Slice& slice = slices_[slice_];
  slice.price_sum += price;
  ++slice.trades;
  if (reference_ == 0) set_reference(price);
}

// A trade comes in another half minute than the one before it: from now on the reference is the mean of those before.
void Matching::begin_slice() {
  const int64_t number = now_ / kSliceNs;
  slice_begin_ = number * kSliceNs;
  slice_ = static_cast<size_t>(number) % kSlices;
  Slice& slice = slices_[slice_];
  if (slice.number == number) return;
  int64_t sum = 0, trades = 0;
  for (const Slice& other : slices_) {
    if (other.number < 0 || other.number + static_cast<int64_t>(kSlices) < number) continue;
    sum += other.price_sum;
    trades += other.trades;
  }
  if (trades > 0) set_reference(sum / trades);
  slice = {.number = number};
}

// --- stops

bool Matching::reached(Side side, Price stop_price) const {
  return last_ != 0 && (side == Side::kBuy ? last_ >= stop_price : last_ <= stop_price);
}

// A stop becomes the order that it stands for.
void Matching::trigger(Slot slot, Events& events) {
  Order& order = orders_[slot];
  order.place = Place::kMoving;
  order.type = order.type == OrderType::kStop ? OrderType::kMarket : OrderType::kLimit;
  OrderTerms terms = orders_.terms(slot);
  terms.stop_price = 0;
  orders_.set_terms(slot, terms);
  Event& triggered = tell(Event::Kind::kTriggered, slot, events);
  triggered.price = order.price;
  triggered.left = order.left();
  enter(slot, events);
}

// Those that the trades since the last look have reached, behind those that wait for their turn already.
void Matching::collect_stops() {
  if (phase_ != Phase::kContinuous || high_ == 0) return;
  if (buy_stops_.empty() && sell_stops_.empty()) {
    low_ = high_ = 0;
    return;
  }
  const size_t before = triggered_.size();
  const auto take = [&](StopLevels& levels, auto level) {
    for (Slot slot = level->second.first; slot != 0; slot = orders_[slot].next) {
      orders_[slot].place = Place::kTriggered;
      triggered_.push_back(slot);
    }
    levels.erase(level);
  };
  while (!buy_stops_.empty() && buy_stops_.begin()->first <= high_) take(buy_stops_, buy_stops_.begin());
  while (!sell_stops_.empty() && std::prev(sell_stops_.end())->first >= low_)
    take(sell_stops_, std::prev(sell_stops_.end()));
  low_ = high_ = 0;
  const auto turn = [&](Slot slot) {
    return std::pair(std::abs(orders_.terms(slot).stop_price - anchor_), orders_[slot].entered);
  };
  std::sort(triggered_.begin() + static_cast<ptrdiff_t>(before), triggered_.end(),
            [&](Slot a, Slot b) { return turn(a) < turn(b); });
}

void Matching::run_stops(Events& events) {
  collect_stops();
  for (size_t i = 0; i < triggered_.size(); ++i) {
    const Slot slot = triggered_[i];
    if (slot == 0) continue;
    triggered_[i] = 0;
    trigger(slot, events);
    collect_stops();
  }
  triggered_.clear();
}

}  // namespace polis::exchange
