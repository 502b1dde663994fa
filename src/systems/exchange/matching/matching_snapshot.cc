// Snapshots of one instrument. Integers as kernel/base/binary.h writes them:
//
//     first := version:u8=1 rules scalars slices window window slots:varint first_free:varint
//     piece := slot*                        4096 of them, from 1 on
//     slot  := generation:varint place:u8 next:varint, and if an order lies there: the rest of it, and its terms
//
// Queues, levels, sums and the times at which orders end are not written: the links of the orders say them all.
#include <algorithm>
#include <bit>

#include "systems/exchange/matching/matching.h"

namespace polis::exchange {
namespace {

constexpr uint8_t kSnapshotVersion = 1;
constexpr Slot kSlotsOfPiece = 4096;  // at most 115 bytes each

std::unexpected<Error> corrupt(const char* what) {
  return fail(Code::kCorrupt, std::string("matching snapshot: ") + what);
}

template <class Enum>
Enum read_enum(base::Reader& in, Enum last) {
  const uint8_t value = in.u8();
  if (value > static_cast<uint8_t>(last)) in.reject("unknown value of an enumeration");
  return static_cast<Enum>(value);
}

void write_window(base::Writer& out, const Ladder::Window& window) {
  out.zigzag(window.base);
  out.boolean(window.placed);
  out.varint(window.made_since_move);
}

Ladder::Window read_window(base::Reader& in) {
  Ladder::Window window;
  window.base = in.zigzag();
  window.placed = in.boolean();
  window.made_since_move = in.varint();
  if (window.base < 0 || window.base > kPriceMax) in.reject("a window outside all prices");
  return window;
}

void write_order(base::Writer& out, const Order& order, const OrderTerms& terms) {
  out.varint(order.generation);
  out.u8(static_cast<uint8_t>(order.place));
  out.varint(order.next);
  if (order.place == Place::kFree) return;
  out.varint(order.previous);
  out.varint(order.open);
  out.varint(order.reserve);
  out.varint(order.filled);
  out.varint(order.peak);
  out.varint(static_cast<uint32_t>(order.price));
  out.varint(order.reference);
  out.varint(order.entered);
  out.varint(order.account);
  out.varint(order.self_match_id);
  out.u8(static_cast<uint8_t>(order.side));
  out.u8(static_cast<uint8_t>(order.type));
  out.u8(static_cast<uint8_t>(order.time_in_force));
  out.u8(static_cast<uint8_t>(order.self_match));
  out.u8(static_cast<uint8_t>((order.post_only ? 1 : 0) | (order.hidden ? 2 : 0) | (order.has_terms ? 4 : 0)));
  if (!order.has_terms) return;
  out.varint(terms.minimum);
  out.varint(static_cast<uint32_t>(terms.stop_price));
  out.zigzag(terms.expires_at);
}

// Whether two orders may stand in one queue.
bool share_queue(const Order& a, const OrderTerms& a_terms, const Order& b, const OrderTerms& b_terms) {
  if (a.place != b.place) return false;
  switch (a.place) {
    case Place::kShown:
    case Place::kHidden:
      return a.side == b.side && a.price == b.price;
    case Place::kStop:
      return a.side == b.side && a_terms.stop_price == b_terms.stop_price;
    case Place::kAuction:
      return a.side == b.side;
    case Place::kParked:
      return true;
    case Place::kFree:
    case Place::kMoving:
    case Place::kTriggered:
      break;
  }
  return false;
}

}  // namespace

std::unique_ptr<Matching::Saver> Matching::save() const {
  return std::make_unique<Saver>(*this);
}

bool Matching::Saver::next(base::Writer& out) {
  const Matching& from = matching_;
  if (begun_) {
    if (slot_ >= from.orders_.slots()) return false;
    const Slot end = std::min(slot_ + kSlotsOfPiece, from.orders_.slots());
    for (; slot_ < end; ++slot_) write_order(out, from.orders_[slot_], from.orders_.terms(slot_));
    return true;
  }
  begun_ = true;
  out.u8(kSnapshotVersion);
  out.varint(from.rules_.id);
  out.varint(from.rules_.orders_max);
  out.varint(from.rules_.window_ticks);
  out.varint(from.rules_.collar_bp);
  out.varint(from.rules_.band_bp);
  out.zigzag(from.rules_.pause_ns);
  out.u8(static_cast<uint8_t>(from.phase_));
  out.zigzag(from.now_);
  out.varint(from.entered_);
  out.varint(from.matches_);
  for (const Price price : {from.last_, from.low_, from.high_, from.anchor_, from.reference_}) out.zigzag(price);
  out.boolean(from.bounded_in_call_);
  out.zigzag(from.resumes_at_);
  for (const Slice& slice : from.slices_) {
    out.zigzag(slice.number);
    out.zigzag(slice.price_sum);
    out.zigzag(slice.trades);
  }
  write_window(out, from.side(Side::kBuy).window());
  write_window(out, from.side(Side::kSell).window());
  out.varint(from.orders_.slots());
  out.varint(from.orders_.first_free());
  return true;
}

Result<std::unique_ptr<Matching>> Matching::load_first(BytesView piece) {
  base::Reader in(piece);
  if (in.u8() != kSnapshotVersion) in.reject("of another version");
  InstrumentRules rules;
  rules.id = static_cast<InstrumentId>(in.varint_up_to(UINT32_MAX));
  rules.orders_max = in.varint_up_to(kOrdersMax);
  rules.window_ticks = in.varint_up_to(1 << 18);
  rules.collar_bp = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
  rules.band_bp = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
  rules.pause_ns = in.zigzag();
  if (!std::has_single_bit(rules.window_ticks) || rules.window_ticks < 64) in.reject("a window of an impossible size");
  if (rules.orders_max == 0) in.reject("room for no order");
  TRY(in.status());

  auto matching = std::make_unique<Matching>(rules);
  Matching& to = *matching;
  to.phase_ = read_enum(in, Phase::kHalted);
  to.now_ = in.zigzag();
  to.entered_ = in.varint();
  to.matches_ = in.varint();
  for (Price* price : {&to.last_, &to.low_, &to.high_, &to.anchor_, &to.reference_}) {
    *price = in.zigzag();
    if (*price < 0 || *price > kPriceMax) in.reject("a price outside all prices");
  }
  if (in.ok()) to.set_reference(to.reference_);
  to.bounded_in_call_ = in.boolean();
  to.resumes_at_ = in.zigzag();
  for (Slice& slice : to.slices_) {
    slice.number = in.zigzag();
    slice.price_sum = in.zigzag();
    slice.trades = in.zigzag();
  }
  to.ladder(Side::kBuy).set_window(read_window(in));
  to.ladder(Side::kSell).set_window(read_window(in));
  const auto slots = static_cast<Slot>(in.varint_up_to(UINT32_MAX));
  to.first_free_to_load_ = static_cast<Slot>(in.varint_up_to(UINT32_MAX));
  TRY(in.finish());
  TRY(to.orders_.check_slots(slots));
  to.slots_to_load_ = slots;
  if (slots == 1 && to.first_free_to_load_ != 0) return corrupt("a free slot of none");
  to.note_due();
  return matching;
}

Result<void> Matching::load_order(base::Reader& in, Slot slot) {
  Order& order = orders_[slot];
  const auto number = [&] { return static_cast<uint32_t>(in.varint_up_to(UINT32_MAX)); };
  const auto price = [&] { return static_cast<int32_t>(in.varint_up_to(kPriceMax)); };
  order.generation = number();
  order.place = read_enum(in, Place::kAuction);
  order.next = number();
  if (order.place == Place::kFree) return in.status();
  order.previous = number();
  order.open = number();
  order.reserve = number();
  order.filled = number();
  order.peak = number();
  order.price = price();
  order.reference = in.varint();
  order.entered = in.varint();
  order.account = number();
  order.self_match_id = number();
  order.side = read_enum(in, Side::kSell);
  order.type = read_enum(in, OrderType::kMarketToLimit);
  order.time_in_force = read_enum(in, TimeInForce::kAtClose);
  order.self_match = read_enum(in, SelfMatch::kDecrement);
  const uint8_t flags = in.u8();
  order.post_only = (flags & 1) != 0;
  order.hidden = (flags & 2) != 0;
  const bool has_terms = (flags & 4) != 0;
  OrderTerms terms;
  if (has_terms) {
    terms.minimum = number();
    terms.stop_price = price();
    terms.expires_at = in.zigzag();
  }
  TRY(in.status());
  orders_.set_terms(slot, terms);
  const bool rests = order.place == Place::kShown || order.place == Place::kHidden;
  const bool stops = order.type == OrderType::kStop || order.type == OrderType::kStopLimit;
  if (order.place == Place::kMoving || order.place == Place::kTriggered || flags > 7 || order.generation == 0 ||
      order.open == 0 || order.quantity() > kQuantityMax || order.reserve > order.peak * kPeaksMax ||
      (order.reserve != 0 && order.place != Place::kShown) || (rests && order.price == 0) ||
      (rests && order.hidden != (order.place == Place::kHidden)) || (order.place == Place::kStop) != stops ||
      (stops && terms.stop_price == 0) || order.has_terms != has_terms)
    return corrupt("an order that cannot wait as it does");
  return {};
}

Result<void> Matching::load(BytesView piece) {
  if (loaded()) return corrupt("more than all of it");
  base::Reader in(piece);
  const Slot end = std::min(slots_loaded_ + kSlotsOfPiece, slots_to_load_);
  orders_.restore_slots(end);
  for (; slots_loaded_ < end; ++slots_loaded_) TRY(load_order(in, slots_loaded_));
  TRY(in.finish());
  return loaded() ? finish_load() : Result<void>();
}

// A queue, from the order that nobody stands before.
Result<size_t> Matching::load_queue(Slot head) {
  const Order& first = orders_[head];
  size_t count = 0;
  uint32_t level_orders = 0;
  Quantity open = 0, left = 0;
  Slot last = 0;
  for (Slot slot = head; slot != 0; last = slot, slot = orders_[slot].next) {
    if (slot >= orders_.slots()) return corrupt("a queue that leads nowhere");
    const Order& order = orders_[slot];
    if (order.previous != last || !share_queue(first, orders_.terms(head), order, orders_.terms(slot)))
      return corrupt("neighbours that do not belong together");
    ++count;
    ++level_orders;
    open += order.open;
    left += order.left();
  }
  Queue* queue = &parked_;
  if (first.place == Place::kShown || first.place == Place::kHidden) {
    Ladder& book = ladder(first.side);
    Level& level = book.restore(first.price, left);
    Slot& begin = first.hidden ? level.hidden_head : level.head;
    if (begin != 0) return corrupt("two queues in one place");
    begin = head;
    (first.hidden ? level.hidden_tail : level.tail) = last;
    (first.hidden ? level.hidden_orders : level.orders) = level_orders;
    if (!first.hidden) level.shown = open;
    return count;
  }
  if (first.place == Place::kStop) queue = &stops(first.side)[orders_.terms(head).stop_price];
  if (first.place == Place::kAuction) {
    queue = &auction_queue(first.side);
    auction_volume(first.side) = open;
  }
  if (queue->first != 0) return corrupt("two queues in one place");
  *queue = {head, last};
  return count;
}

Result<void> Matching::finish_load() {
  size_t used = 0, queued = 0;
  for (Slot slot = 1; slot < orders_.slots(); ++slot) {
    const Order& order = orders_[slot];
    if (order.place == Place::kFree) continue;
    ++used;
    if (order.previous == 0) queued += TRY(load_queue(slot));
    if (const VenueTime expires_at = orders_.terms(slot).expires_at; expires_at != 0)
      expiries_.insert({expires_at, orders_.id(slot)});
  }
  if (queued != used) return corrupt("orders in no queue");
  note_due();
  return orders_.restore_free(first_free_to_load_, used);
}

}  // namespace polis::exchange
