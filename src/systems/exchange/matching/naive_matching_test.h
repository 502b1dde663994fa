// The rules of matching.h once more, as plainly as they can be written: orders in one list, looked through from front
// to back for everything. Slow, and obviously right; matching is held against it.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <tuple>

#include "systems/exchange/matching/matching.h"

namespace polis::exchange {

class NaiveMatching {
 public:
  struct Waiting {
    OrderId id = 0;
    NewOrder terms;
    enum class Where { kBook, kStop, kParked, kAuction } where = Where::kBook;
    Quantity left = 0, filled = 0, whole = 0;
    Quantity open = 0;  // of `left`: what may be matched before the next peak
    uint64_t turn = 0;  // in the queue of its price
    uint64_t entered = 0;
    bool hidden() const { return terms.shown == 0; }
    bool iceberg() const { return terms.shown > 0 && terms.shown < original; }
    Quantity original = 0;  // that it came with
  };

  // Ids are the venue's to choose: the model takes them from what the engine answered.
  explicit NaiveMatching(const InstrumentRules& rules) : rules_(rules) {}

  void submit(VenueTime now, const NewOrder& order, OrderId id, Events& events);
  void cancel(VenueTime now, OrderId id, uint64_t reference, Events& events);
  void replace(VenueTime now, const ReplaceOrder& replace, Events& events);
  void set_phase(VenueTime now, Phase phase, Events& events);
  void on_time(VenueTime now, Events& events);

  const std::list<Waiting>& waiting() const { return waiting_; }
  Quantity volume(Side side, Price price) const {
    Quantity sum = 0;
    for (const Waiting& one : waiting_)
      if (one.where == Waiting::Where::kBook && one.terms.side == side && one.terms.price == price) sum += one.left;
    return sum;
  }

 private:
  using Where = Waiting::Where;
  using Place = std::list<Waiting>::iterator;
  static bool limited(OrderType type) { return type == OrderType::kLimit || type == OrderType::kStopLimit; }
  static bool stops(OrderType type) { return type == OrderType::kStop || type == OrderType::kStopLimit; }
  static bool at_once(TimeInForce t) { return t == TimeInForce::kImmediateOrCancel || t == TimeInForce::kFillOrKill; }

  Place find(OrderId id) {
    return std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.id == id; });
  }
  // Whether a comes before b in the book of one side.
  static bool before(const Waiting& a, const Waiting& b) {
    const Price pa = a.terms.side == Side::kBuy ? -a.terms.price : a.terms.price;
    const Price pb = b.terms.side == Side::kBuy ? -b.terms.price : b.terms.price;
    return std::tuple(pa, a.hidden(), a.turn) < std::tuple(pb, b.hidden(), b.turn);
  }
  Place best(Side side) {
    auto found = waiting_.end();
    for (auto i = waiting_.begin(); i != waiting_.end(); ++i)
      if (i->where == Where::kBook && i->terms.side == side && (found == waiting_.end() || before(*i, *found)))
        found = i;
    return found;
  }
  Place best_in_auction(Side side) {
    auto found = waiting_.end();
    for (auto i = waiting_.begin(); i != waiting_.end(); ++i)
      if (i->where == Where::kAuction && i->terms.side == side && (found == waiting_.end() || i->turn < found->turn))
        found = i;
    return found != waiting_.end() ? found : best(side);
  }
  static bool reaches(Side side, Price limit, Price other) {
    return side == Side::kBuy ? limit >= other : limit <= other;
  }
  Event event(Event::Kind kind, const Waiting& one) const {
    Event event;
    event.kind = kind;
    event.side = one.terms.side;
    event.instrument = rules_.id;
    event.order = one.id;
    event.reference = one.terms.reference;
    return event;
  }
  void end(Place one, CancelReason reason, Events& events) {
    Event cancelled = event(Event::Kind::kCancelled, *one);
    cancelled.cancel = reason;
    cancelled.price = one->terms.price;
    cancelled.quantity = one->left;
    events.push_back(cancelled);
    waiting_.erase(one);
  }
  RejectReason check(const NewOrder& order);
  void route(Place one, Events& events);
  void enter(Place one, Events& events);
  void rest(Place one, Events& events);
  bool fill(Place one, Quantity quantity, Events& events);
  void trade(Place one, Place other, Side side, Price price, Quantity quantity, uint8_t flags, Events& events);
  bool reached(const Waiting& one) const {
    return last_ != 0 && (one.terms.side == Side::kBuy ? last_ >= one.terms.stop_price : last_ <= one.terms.stop_price);
  }
  void trigger(Place one, Events& events);
  void collect();
  void run_stops(Events& events);
  void uncross(Events& events);
  template <class Which>
  void end_all(CancelReason reason, Which which, Events& events) {
    std::vector<OrderId> ids;
    for (const Waiting& one : waiting_)
      if (which(one)) ids.push_back(one.id);
    std::sort(ids.begin(), ids.end());
    for (OrderId id : ids) end(find(id), reason, events);
  }

  const InstrumentRules rules_;
  std::list<Waiting> waiting_;
  Phase phase_ = Phase::kClosed;
  VenueTime now_ = 0, resumes_at_ = 0;
  uint64_t turns_ = 0;
  MatchId matches_ = 0;
  Price last_ = 0, reference_ = 0;
  std::vector<Price> fresh_;  // trades that no stop was held against yet
  Price before_fresh_ = 0;
  std::vector<std::pair<VenueTime, Price>> trades_;  // of the reference
  std::list<OrderId> turn_of_stops_;
};

inline RejectReason NaiveMatching::check(const NewOrder& o) {
  using enum RejectReason;
  const bool auction = o.time_in_force == TimeInForce::kAtOpening || o.time_in_force == TimeInForce::kAtClose;
  const bool call = is_call(phase_);
  if (phase_ == Phase::kClosed) return kClosed;
  if (o.quantity < 1 || o.quantity > kQuantityMax || o.minimum < 0 || o.minimum > o.quantity || o.shown < -1 ||
      o.shown > o.quantity || (o.shown > 0 && o.quantity > 1000 * o.shown))
    return kBadQuantity;
  if ((limited(o.type) || o.price != 0) && (o.price < 1 || o.price > kPriceMax)) return kBadPrice;
  if (stops(o.type) != (o.stop_price > 0 && o.stop_price <= kPriceMax) || (!stops(o.type) && o.stop_price != 0))
    return kBadPrice;
  if (stops(o.type) && (auction || o.minimum > 0)) return kUnsupported;
  if (o.post_only && (o.type != OrderType::kLimit || at_once(o.time_in_force) || auction || o.minimum > 0))
    return kUnsupported;
  if (o.shown != kShowAll && (o.type == OrderType::kMarket || o.type == OrderType::kStop)) return kUnsupported;
  if (o.minimum > 0 && (auction || phase_ != Phase::kContinuous)) return kUnsupported;
  if (o.time_in_force == TimeInForce::kAtOpening && phase_ != Phase::kPreOpen) return kClosed;
  if (o.time_in_force == TimeInForce::kGoodTillDate ? o.expires_at <= now_ : o.expires_at != 0) return kExpired;
  if (stops(o.type)) return kNone;
  if (call) return at_once(o.time_in_force) ? kClosed : kNone;
  if (auction) return kNone;
  const auto other = best(opposite(o.side));
  if (!limited(o.type) && other == waiting_.end()) return kNoLiquidity;
  if (o.post_only && other != waiting_.end() && reaches(o.side, o.price, other->terms.price)) return kWouldMatch;
  return kNone;
}

inline void NaiveMatching::submit(VenueTime now, const NewOrder& order, OrderId id, Events& events) {
  now_ = now;
  const RejectReason reason = check(order);
  if (reason != RejectReason::kNone) {
    Event rejected;
    rejected.kind = Event::Kind::kRejected;
    rejected.side = order.side;
    rejected.reject = reason;
    rejected.instrument = rules_.id;
    rejected.reference = order.reference;
    rejected.price = order.price;
    rejected.quantity = order.quantity;
    events.push_back(rejected);
    return;
  }
  waiting_.push_back({.id = id,
                      .terms = order,
                      .left = order.quantity,
                      .whole = order.quantity,
                      .entered = ++turns_,
                      .original = order.quantity});
  const auto one = std::prev(waiting_.end());
  Event accepted = event(Event::Kind::kAccepted, *one);
  accepted.price = order.price;
  accepted.quantity = accepted.left = order.quantity;
  events.push_back(accepted);
  route(one, events);
  run_stops(events);
}

inline void NaiveMatching::route(Place one, Events& events) {
  if (stops(one->terms.type)) {
    if (phase_ == Phase::kContinuous && reached(*one)) return trigger(one, events);
    one->where = Where::kStop;
    one->turn = ++turns_;
  } else if (one->terms.time_in_force == TimeInForce::kAtClose && phase_ != Phase::kClosingCall) {
    one->where = Where::kParked;
    one->turn = ++turns_;
  } else {
    enter(one, events);
  }
}

inline void NaiveMatching::cancel(VenueTime now, OrderId id, uint64_t reference, Events& events) {
  now_ = now;
  const auto one = find(id);
  if (one != waiting_.end()) return end(one, CancelReason::kAsked, events);
  Event rejected;
  rejected.kind = Event::Kind::kRejected;
  rejected.reject = RejectReason::kUnknownOrder;
  rejected.instrument = rules_.id;
  rejected.order = id;
  rejected.reference = reference;
  events.push_back(rejected);
}

inline void NaiveMatching::replace(VenueTime now, const ReplaceOrder& wanted, Events& events) {
  now_ = now;
  const auto one = find(wanted.order);
  RejectReason reason = RejectReason::kNone;
  if (one == waiting_.end()) {
    reason = RejectReason::kUnknownOrder;
  } else if (phase_ == Phase::kClosed) {
    reason = RejectReason::kClosed;
  } else if (wanted.quantity < 1 || wanted.quantity > kQuantityMax ||
             (one->iceberg() && wanted.quantity > 1000 * one->terms.shown)) {
    reason = RejectReason::kBadQuantity;
  } else if (((limited(one->terms.type) || wanted.price != 0) && (wanted.price < 1 || wanted.price > kPriceMax)) ||
             (stops(one->terms.type) ? wanted.stop_price < 1 || wanted.stop_price > kPriceMax
                                     : wanted.stop_price != 0)) {
    reason = RejectReason::kBadPrice;
  } else if (one->terms.post_only && phase_ == Phase::kContinuous && wanted.price != one->terms.price) {
    const auto other = best(opposite(one->terms.side));
    if (other != waiting_.end() && reaches(one->terms.side, wanted.price, other->terms.price))
      reason = RejectReason::kWouldMatch;
  }
  if (reason != RejectReason::kNone) {
    Event rejected;
    rejected.kind = Event::Kind::kRejected;
    rejected.side = one == waiting_.end() ? Side::kBuy : one->terms.side;
    rejected.reject = reason;
    rejected.instrument = rules_.id;
    rejected.order = wanted.order;
    rejected.reference = wanted.reference;
    rejected.price = wanted.price;
    rejected.quantity = wanted.quantity;
    events.push_back(rejected);
    return;
  }
  one->terms.reference = wanted.reference;
  if (wanted.quantity <= one->filled) return end(one, CancelReason::kReplaced, events);
  const bool keeps =
      wanted.price == one->terms.price && wanted.stop_price == one->terms.stop_price && wanted.quantity <= one->whole;
  if (keeps) {
    const Quantity less = one->whole - wanted.quantity, reserve = one->left - one->open;
    one->left -= less;
    if (one->where == Where::kBook) one->open -= std::max<Quantity>(less - reserve, 0);
    if (one->where == Where::kAuction) one->open = one->left;
  } else {
    one->left = wanted.quantity - one->filled;
    one->terms.price = wanted.price;
    one->terms.stop_price = wanted.stop_price;
    one->entered = ++turns_;
  }
  one->whole = wanted.quantity;
  one->terms.minimum = 0;
  Event replaced = event(Event::Kind::kReplaced, *one);
  replaced.flags = keeps ? Event::kKeptPriority : 0;
  replaced.price = wanted.price;
  replaced.quantity = wanted.quantity;
  replaced.left = one->left;
  replaced.shown = keeps && one->where == Where::kBook && !one->hidden() ? one->open : 0;
  events.push_back(replaced);
  if (keeps) return;
  one->where = Where::kParked;  // in no book while it goes its way
  route(one, events);
  run_stops(events);
}

inline void NaiveMatching::rest(Place one, Events& events) {
  one->where = Where::kBook;
  one->turn = ++turns_;
  one->open = one->iceberg() ? std::min(one->terms.shown, one->left) : one->left;
  Event rested = event(Event::Kind::kRested, *one);
  rested.price = one->terms.price;
  rested.left = one->left;
  rested.shown = one->hidden() ? 0 : one->open;
  events.push_back(rested);
}

inline void NaiveMatching::trade(Place one, Place other, Side side, Price price, Quantity quantity, uint8_t flags,
                                 Events& events) {
  Event trade = event(Event::Kind::kTrade, *one);
  trade.flags = flags;
  trade.side = side;
  trade.counter_order = other->id;
  trade.counter_reference = other->terms.reference;
  trade.price = price;
  trade.quantity = quantity;
  trade.left = one->left - quantity;
  trade.counter_left = other->left - quantity;
  trade.match = ++matches_;
  events.push_back(trade);
  if (fresh_.empty()) before_fresh_ = last_ != 0 ? last_ : price;
  fresh_.push_back(price);
  last_ = price;
  constexpr VenueTime kSlice = 30'000'000'000;
  if (trades_.empty() || trades_.back().first / kSlice != now_ / kSlice) {
    int64_t sum = 0, count = 0;
    for (const auto& [time, traded] : trades_)
      if (time / kSlice + 10 >= now_ / kSlice) sum += traded, ++count;
    if (count > 0) reference_ = sum / count;
  }
  trades_.push_back({now_, price});
  if (reference_ == 0) reference_ = price;
}

inline bool NaiveMatching::fill(Place one, Quantity quantity, Events& events) {
  one->filled += quantity;
  one->left -= quantity;
  one->open -= quantity;
  if (one->left == 0) {
    waiting_.erase(one);
    return false;
  }
  if (one->where == Where::kBook && one->open == 0) {
    one->open = std::min(one->terms.shown, one->left);
    one->turn = ++turns_;
    Event refilled = event(Event::Kind::kRefilled, *one);
    refilled.price = one->terms.price;
    refilled.left = one->left;
    refilled.shown = one->open;
    events.push_back(refilled);
  }
  return true;
}

inline void NaiveMatching::enter(Place one, Events& events) {
  const NewOrder terms = one->terms;
  if (is_call(phase_)) {
    if (at_once(terms.time_in_force)) return end(one, CancelReason::kImmediate, events);
    if (terms.price != 0) return rest(one, events);
    one->where = Where::kAuction;
    one->turn = ++turns_;
    one->open = one->left;
    return;
  }
  one->where = Where::kParked;  // in no book while it matches
  one->open = one->left;
  Price limit = terms.price;
  if (!limited(terms.type)) {
    const auto other = best(opposite(terms.side));
    if (other == waiting_.end()) return end(one, CancelReason::kCollar, events);
    const Price touch = other->terms.price;
    limit = touch;
    if (terms.type == OrderType::kMarket) {
      const Price collar = std::max<Price>(touch * rules_.collar_bp / 10'000, 1);
      limit = terms.side == Side::kBuy ? std::min(touch + collar, kPriceMax) : std::max<Price>(touch - collar, 1);
    }
    if (terms.price != 0)
      limit = terms.side == Side::kBuy ? std::min(limit, terms.price) : std::max(limit, terms.price);
    if (!reaches(terms.side, limit, touch)) return end(one, CancelReason::kCollar, events);
  }
  const auto outside = [&](Price price) {
    return rules_.band_bp != 0 && reference_ != 0 &&
           std::abs(price - reference_) > reference_ * rules_.band_bp / 10'000;
  };
  const Quantity needed = terms.time_in_force == TimeInForce::kFillOrKill ? one->left : terms.minimum;
  if (needed > 0) {
    std::vector<const Waiting*> others;
    for (const Waiting& other : waiting_)
      if (other.where == Where::kBook && other.terms.side != terms.side &&
          reaches(terms.side, limit, other.terms.price))
        others.push_back(&other);
    std::sort(others.begin(), others.end(), [](const Waiting* a, const Waiting* b) { return before(*a, *b); });
    Quantity sum = 0;
    for (const Waiting* other : others) {
      if (outside(other->terms.price)) break;
      const bool own = terms.self_match_id != 0 && other->terms.self_match_id == terms.self_match_id;
      if (own && terms.self_match != SelfMatch::kCancelOldest) break;
      if (!own) sum += other->left;
    }
    if (sum < needed) return end(one, CancelReason::kMinimum, events);
  }
  while (true) {
    const auto maker = best(opposite(terms.side));
    if (maker == waiting_.end() || !reaches(terms.side, limit, maker->terms.price)) break;
    const Price price = maker->terms.price;
    if (outside(price)) {
      phase_ = Phase::kHalted;
      resumes_at_ = now_ + rules_.pause_ns;
      Event paused;
      paused.kind = Event::Kind::kPaused;
      paused.phase = Phase::kHalted;
      paused.instrument = rules_.id;
      paused.price = price;
      events.push_back(paused);
      break;
    }
    if (terms.self_match_id != 0 && maker->terms.self_match_id == terms.self_match_id) {
      if (terms.self_match == SelfMatch::kDecrement) {
        const Quantity smaller = std::min(one->left, maker->left);
        bool over = false;
        for (const auto place : {maker, one}) {
          if (place->left == smaller) {
            over |= place == one;
            end(place, CancelReason::kSelfMatch, events);
            continue;
          }
          const Quantity reserve = place->left - place->open;
          place->left -= smaller;
          place->open -= std::max<Quantity>(smaller - reserve, 0);
          place->whole -= smaller;
          Event reduced = event(Event::Kind::kReduced, *place);
          reduced.quantity = smaller;
          reduced.left = place->left;
          reduced.shown = place->where == Where::kBook && !place->hidden() ? place->open : 0;
          events.push_back(reduced);
        }
        if (over) return;
        continue;
      }
      if (terms.self_match != SelfMatch::kCancelNewest) end(maker, CancelReason::kSelfMatch, events);
      if (terms.self_match == SelfMatch::kCancelOldest) continue;
      return end(one, CancelReason::kSelfMatch, events);
    }
    const Quantity quantity = std::min(one->left, maker->open);
    trade(maker, one, terms.side, price, quantity, maker->hidden() ? Event::kHiddenMaker : 0, events);
    fill(maker, quantity, events);
    if (!fill(one, quantity, events)) return;
  }
  if (at_once(terms.time_in_force)) return end(one, CancelReason::kImmediate, events);
  if (terms.type == OrderType::kMarket) return end(one, CancelReason::kCollar, events);
  if (terms.type == OrderType::kMarketToLimit) {
    one->terms.type = OrderType::kLimit;
    one->terms.price = limit;
  }
  rest(one, events);
}

inline void NaiveMatching::trigger(Place one, Events& events) {
  one->terms.type = one->terms.type == OrderType::kStop ? OrderType::kMarket : OrderType::kLimit;
  one->terms.stop_price = 0;
  Event triggered = event(Event::Kind::kTriggered, *one);
  triggered.price = one->terms.price;
  triggered.left = one->left;
  events.push_back(triggered);
  enter(one, events);
}

inline void NaiveMatching::collect() {
  if (phase_ != Phase::kContinuous || fresh_.empty()) return;
  std::vector<std::tuple<Price, uint64_t, OrderId>> found;
  for (const Waiting& one : waiting_) {
    if (one.where != Where::kStop) continue;
    if (std::find(turn_of_stops_.begin(), turn_of_stops_.end(), one.id) != turn_of_stops_.end()) continue;
    const bool hit = std::any_of(fresh_.begin(), fresh_.end(), [&](Price price) {
      return one.terms.side == Side::kBuy ? price >= one.terms.stop_price : price <= one.terms.stop_price;
    });
    if (hit) found.push_back({std::abs(one.terms.stop_price - before_fresh_), one.entered, one.id});
  }
  fresh_.clear();
  std::sort(found.begin(), found.end());
  for (const auto& [distance, entered, id] : found) turn_of_stops_.push_back(id);
}

inline void NaiveMatching::run_stops(Events& events) {
  collect();
  while (!turn_of_stops_.empty()) {
    const auto one = find(turn_of_stops_.front());
    turn_of_stops_.pop_front();
    if (one == waiting_.end()) continue;
    trigger(one, events);
    collect();
  }
}

inline void NaiveMatching::uncross(Events& events) {
  const auto volume = [&](Side side, Price price) {
    Quantity sum = 0;
    for (const Waiting& one : waiting_) {
      if (one.terms.side != side) continue;
      if (one.where == Where::kAuction || (one.where == Where::kBook && reaches(side, one.terms.price, price)))
        sum += one.left;
    }
    return sum;
  };
  // Every price from the lowest to the highest that comes into question.
  std::vector<Price> named;
  for (const Side side : {Side::kBuy, Side::kSell}) {
    const auto first = best(side);
    if (first != waiting_.end()) named.push_back(first->terms.price);
    Quantity needed = 0, sum = 0;
    for (const Waiting& one : waiting_)
      if (one.where == Where::kAuction && one.terms.side != side) needed += one.left;
    std::map<Price, Quantity> levels;  // by how good they are
    for (const Waiting& one : waiting_)
      if (one.where == Where::kBook && one.terms.side == side)
        levels[side == Side::kBuy ? -one.terms.price : one.terms.price] += one.left;
    for (auto level = levels.begin(); needed > 0 && level != levels.end(); ++level) {
      sum += level->second;
      if (sum >= needed || std::next(level) == levels.end()) {
        named.push_back(std::abs(level->first));
        break;
      }
    }
  }
  const Price reference = reference_ != 0 ? reference_ : last_;
  if (named.empty() && reference != 0) named.push_back(reference);
  Price price = 0;
  Quantity quantity = 0;
  if (!named.empty()) {
    const auto [low, high] = std::minmax_element(named.begin(), named.end());
    Quantity most = 0, least = 0;
    std::vector<Price> candidates;
    // Between two prices that somebody named nothing changes: their borders and the reference stand for all.
    std::set<Price> prices = {*low, *high, std::clamp(reference, *low, *high)};
    for (const Waiting& one : waiting_)
      for (Price p = one.terms.price - 1; p <= one.terms.price + 1; ++p)
        if (p >= *low && p <= *high) prices.insert(p);
    for (const Price p : prices) {
      const Quantity buy = volume(Side::kBuy, p), sell = volume(Side::kSell, p);
      const Quantity matched = std::min(buy, sell), imbalance = std::abs(buy - sell);
      if (matched == 0 || matched < most || (matched == most && imbalance > least && !candidates.empty())) continue;
      if (matched > most || imbalance < least) candidates.clear();
      most = matched;
      least = imbalance;
      candidates.push_back(p);
    }
    // Of those with more wanted only the highest stays, of those with more offered only the lowest.
    std::optional<Price> highest_wanted, lowest_offered;
    std::vector<Price> finalists;
    for (Price p : candidates) {
      const Quantity excess = volume(Side::kBuy, p) - volume(Side::kSell, p);
      if (excess > 0) highest_wanted = p;
      if (excess < 0 && !lowest_offered) lowest_offered = p;
      if (excess == 0) finalists.push_back(p);
    }
    if (highest_wanted) finalists.push_back(*highest_wanted);
    if (lowest_offered) finalists.push_back(*lowest_offered);
    for (Price p : finalists) {
      const auto rank = [&](Price one) {
        return reference == 0 ? std::pair<Price, Price>(0, one) : std::pair(std::abs(one - reference), one);
      };
      if (price == 0 || rank(p) < rank(price)) price = p;
    }
    quantity = price == 0 ? 0 : most;
  }
  Event auction;
  auction.kind = Event::Kind::kAuction;
  auction.phase = phase_;
  auction.instrument = rules_.id;
  auction.price = price;
  auction.quantity = quantity;
  events.push_back(auction);
  while (quantity > 0) {
    const auto buyer = best_in_auction(Side::kBuy), seller = best_in_auction(Side::kSell);
    const Quantity traded = std::min({quantity, buyer->open, seller->open});
    trade(buyer, seller, Side::kBuy, price, traded, Event::kInAuction, events);
    fill(buyer, traded, events);
    fill(seller, traded, events);
    quantity -= traded;
  }
  const auto settle = [&](Place one) {
    if (one->terms.type == OrderType::kMarket || price == 0 || one->terms.time_in_force == TimeInForce::kAtOpening ||
        one->terms.time_in_force == TimeInForce::kAtClose)
      return end(one, CancelReason::kNotAuctioned, events);
    one->terms.type = OrderType::kLimit;
    one->terms.price = price;
    rest(one, events);
  };
  for (const Side side : {Side::kBuy, Side::kSell}) {
    while (true) {
      const auto one = best_in_auction(side);
      if (one == waiting_.end() || one->where != Where::kAuction) break;
      settle(one);
    }
  }
  std::vector<OrderId> bounded;
  for (const Waiting& one : waiting_)
    if (one.where == Where::kBook &&
        (one.terms.type == OrderType::kMarket || one.terms.type == OrderType::kMarketToLimit))
      bounded.push_back(one.id);
  std::sort(bounded.begin(), bounded.end());
  for (const OrderId id : bounded) settle(find(id));
  if (price == 0) return;
  reference_ = price;
  trades_.clear();
}

inline void NaiveMatching::set_phase(VenueTime now, Phase phase, Events& events) {
  now_ = now;
  if (phase == phase_) return;
  resumes_at_ = 0;
  const Phase before = phase_;
  if (phase == Phase::kContinuous || (before == Phase::kClosingCall && phase == Phase::kClosed)) uncross(events);
  if (before == Phase::kPreOpen && phase != Phase::kHalted)
    end_all(
        CancelReason::kNotAuctioned,
        [](const Waiting& one) { return one.terms.time_in_force == TimeInForce::kAtOpening; }, events);
  phase_ = phase;
  Event changed;
  changed.kind = Event::Kind::kPhase;
  changed.phase = phase;
  changed.instrument = rules_.id;
  events.push_back(changed);
  if (phase == Phase::kClosingCall) {
    std::vector<std::pair<uint64_t, OrderId>> parked;
    for (const Waiting& one : waiting_)
      if (one.where == Where::kParked) parked.push_back({one.turn, one.id});
    std::sort(parked.begin(), parked.end());
    for (const auto& [turn, id] : parked) enter(find(id), events);
  } else if (phase == Phase::kClosed) {
    end_all(
        CancelReason::kNotAuctioned,
        [](const Waiting& one) {
          return one.terms.time_in_force == TimeInForce::kAtClose ||
                 one.terms.time_in_force == TimeInForce::kAtOpening || one.where == Where::kAuction ||
                 (one.where == Where::kBook &&
                  (one.terms.type == OrderType::kMarket || one.terms.type == OrderType::kMarketToLimit));
        },
        events);
    end_all(
        CancelReason::kExpired,
        [](const Waiting& one) {
          return one.terms.time_in_force != TimeInForce::kGoodTillCancel &&
                 one.terms.time_in_force != TimeInForce::kGoodTillDate;
        },
        events);
  } else if (phase == Phase::kContinuous) {
    if (last_ != 0) {
      if (fresh_.empty()) before_fresh_ = last_;
      fresh_.push_back(last_);
    }
    run_stops(events);
  }
}

inline void NaiveMatching::on_time(VenueTime now, Events& events) {
  now_ = now;
  std::vector<std::pair<VenueTime, OrderId>> due;
  for (const Waiting& one : waiting_)
    if (one.terms.expires_at != 0 && one.terms.expires_at <= now) due.push_back({one.terms.expires_at, one.id});
  std::sort(due.begin(), due.end());
  for (const auto& [time, id] : due) end(find(id), CancelReason::kExpired, events);
  if (resumes_at_ != 0 && resumes_at_ <= now) set_phase(now, Phase::kContinuous, events);
}

}  // namespace polis::exchange
