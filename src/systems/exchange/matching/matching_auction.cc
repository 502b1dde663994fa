// Phases, and the auctions that end calls. The price is the one that matches most; then the one with the least
// imbalance; then the highest while more is wanted, the lowest while more is offered; then the one nearest to the
// reference.
#include <algorithm>

#include "systems/exchange/matching/matching.h"

namespace polis::exchange {
namespace {

bool rests_without_limit(const Order& order) {
  return (order.place == Place::kShown || order.place == Place::kHidden || order.place == Place::kAuction) &&
         (order.type == OrderType::kMarket || order.type == OrderType::kMarketToLimit);
}

}  // namespace

Quantity Matching::wanted(Price price) const {
  return auction_buy_volume_ + side(Side::kBuy).volume_until(price);
}

Quantity Matching::offered(Price price) const {
  return auction_sell_volume_ + side(Side::kSell).volume_until(price);
}

// What is wanted falls with the price and what is offered rises, so all that the rules ask lies where the two meet: the
// last price at which more is wanted, the first at which more is offered, and those between, where both are equal. Two
// searches over prices, each step two sums of the ladders.
AuctionOutlook Matching::outlook() const {
  // Only prices that somebody named come into question, and for market orders those that others named and they need.
  const auto worst_needed = [](const Ladder& book, Quantity needed) -> std::optional<Price> {
    std::optional<Price> worst;
    Quantity sum = 0;
    for (auto price = book.next(std::nullopt); price; price = book.next(price)) {
      worst = price;
      sum += book.volume(*price);
      if (sum >= needed) break;
    }
    return worst;
  };
  std::optional<Price> low, high;
  const auto include = [&](std::optional<Price> price) {
    if (!price) return;
    low = low ? std::min(*low, *price) : *price;
    high = high ? std::max(*high, *price) : *price;
  };
  if (!side(Side::kBuy).empty()) include(side(Side::kBuy).best());
  if (!side(Side::kSell).empty()) include(side(Side::kSell).best());
  if (auction_buy_volume_ > 0) include(worst_needed(side(Side::kSell), auction_buy_volume_));
  if (auction_sell_volume_ > 0) include(worst_needed(side(Side::kBuy), auction_sell_volume_));
  const Price reference = reference_ != 0 ? reference_ : last_;
  if (!low && reference != 0) low = high = reference;
  if (!low) return {};

  const auto imbalance = [&](Price price) { return wanted(price) - offered(price); };
  // The first price of [*low, *high] for which this holds, or the one behind; it holds for all that follow.
  const auto first_where = [&](auto holds) {
    Price begin = *low, end = *high + 1;
    while (begin < end) {
      const Price middle = begin + (end - begin) / 2;
      if (holds(middle)) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  };
  const Price balanced = first_where([&](Price price) { return imbalance(price) <= 0; });
  const Price offered_more = first_where([&](Price price) { return imbalance(price) < 0; });
  const auto at = [&](Price price) {
    return AuctionOutlook{price, std::min(wanted(price), offered(price)), imbalance(price)};
  };
  AuctionOutlook best;
  if (balanced < offered_more) {
    best = at(reference == 0 ? balanced : std::clamp(reference, balanced, offered_more - 1));
  } else {
    const bool above = offered_more <= *high, below = balanced > *low;
    if (below) best = at(balanced - 1);
    if (above) {
      const AuctionOutlook other = at(offered_more);
      const auto rank = [&](const AuctionOutlook& one) {
        return std::tuple(-one.quantity, std::abs(one.imbalance), std::abs(one.price - reference), one.price);
      };
      if (!below || rank(other) < rank(best)) best = other;
    }
  }
  return best.quantity > 0 ? best : AuctionOutlook{};
}

// In their order.
template <class Which>
std::vector<OrderId> Matching::ids_of(Which which) const {
  std::vector<OrderId> ids;
  for (Slot slot = 1; slot < orders_.slots(); ++slot)
    if (orders_[slot].place != Place::kFree && which(orders_[slot])) ids.push_back(orders_.id(slot));
  std::sort(ids.begin(), ids.end());
  return ids;
}

template <class Which>
void Matching::end_all(CancelReason reason, Which which, Events& events) {
  for (const OrderId id : ids_of(which)) end(orders_.find(id), reason, events);
}

// Whose turn it is on this side: market orders, then by price.
Slot Matching::first_of(Side side) {
  if (const Slot slot = auction_queue(side).first) return slot;
  Ladder& book = ladder(side);
  const Level& level = book.at(book.best());
  return level.head != 0 ? level.head : level.hidden_head;
}

void Matching::uncross(Events& events) {
  const AuctionOutlook found = outlook();
  events.push_back({.kind = Event::Kind::kAuction,
                    .phase = phase_,
                    .instrument = rules_.id,
                    .price = found.price,
                    .quantity = found.quantity});
  for (Quantity left = found.quantity; left > 0;) {
    const Slot buyer = first_of(Side::kBuy), seller = first_of(Side::kSell);
    const Quantity quantity = std::min<Quantity>({left, orders_[buyer].open, orders_[seller].open});
    trade(buyer, seller, Side::kBuy, found.price, quantity, Event::kInAuction, events);
    fill(buyer, quantity, events);
    fill(seller, quantity, events);
    left -= quantity;
  }
  // Whoever wanted any price has had it; what is left of a market-to-limit order now has one.
  const auto settle = [&](Slot slot) {
    Order& order = orders_[slot];
    if (order.type == OrderType::kMarket || found.price == 0 || order.time_in_force == TimeInForce::kAtOpening ||
        order.time_in_force == TimeInForce::kAtClose)
      return end(slot, CancelReason::kNotAuctioned, events);
    leave(slot);
    order.type = OrderType::kLimit;
    order.price = static_cast<int32_t>(found.price);
    rest(slot, events);
  };
  for (const Side side : {Side::kBuy, Side::kSell})
    while (const Slot slot = auction_queue(side).first) settle(slot);
  if (std::exchange(bounded_in_call_, false))
    for (const OrderId id : ids_of(rests_without_limit)) settle(orders_.find(id));
  if (found.price == 0) return;
  set_reference(found.price);
  for (Slice& slice : slices_) slice = {};
  slice_begin_ = INT64_MAX / 2;
}

void Matching::set_phase(VenueTime now, Phase phase, Events& events) {
  now_ = now;
  if (phase == phase_) return;
  resumes_at_ = 0;
  note_due();
  const Phase before = phase_;
  if (phase == Phase::kContinuous || (before == Phase::kClosingCall && phase == Phase::kClosed)) uncross(events);
  if (before == Phase::kPreOpen && phase != Phase::kHalted)
    end_all(
        CancelReason::kNotAuctioned, [](const Order& order) { return order.time_in_force == TimeInForce::kAtOpening; },
        events);
  phase_ = phase;
  events.push_back({.kind = Event::Kind::kPhase, .phase = phase, .instrument = rules_.id});
  if (phase == Phase::kClosingCall) {
    while (const Slot slot = parked_.first) {
      leave(slot);
      enter(slot, events);
    }
  } else if (phase == Phase::kClosed) {
    end_all(
        CancelReason::kNotAuctioned,
        [](const Order& order) {
          return order.time_in_force == TimeInForce::kAtClose || order.time_in_force == TimeInForce::kAtOpening ||
                 rests_without_limit(order);
        },
        events);
    end_all(
        CancelReason::kExpired,
        [](const Order& order) {
          return order.time_in_force != TimeInForce::kGoodTillCancel &&
                 order.time_in_force != TimeInForce::kGoodTillDate;
        },
        events);
  } else if (phase == Phase::kContinuous) {
    // Stops that came meanwhile may have been reached before they came.
    if (last_ != 0) {
      if (high_ == 0) anchor_ = low_ = high_ = last_;
      low_ = std::min(low_, last_);
      high_ = std::max(high_, last_);
    }
    run_stops(events);
  }
}

void Matching::on_time(VenueTime now, Events& events) {
  now_ = now;
  while (!expiries_.empty() && expiries_.begin()->first <= now)
    end(orders_.find(expiries_.begin()->second), CancelReason::kExpired, events);
  if (resumes_at_ != 0 && resumes_at_ <= now) set_phase(now, Phase::kContinuous, events);
}

void Matching::note_due() {
  due_at_ = expiries_.empty() ? kNever : expiries_.begin()->first;
  if (resumes_at_ != 0) due_at_ = std::min(due_at_, resumes_at_);
}

}  // namespace polis::exchange
