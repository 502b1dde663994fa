// Work for a book, prepared before anything is measured: a tape of steps that is made by running it once, so that every
// step names an order that is open when its turn comes. The same tape runs against every book; ids follow from the
// commands alone, so a fresh book gives the ids that the tape names.
#pragma once

#include <vector>

#include "kernel/base/random.h"
#include "systems/exchange/matching/matching.h"

namespace polis::bench {

struct Step {
  enum Kind : uint8_t { kAdd, kImmediate, kCancel, kMove };
  Kind kind = kAdd;
  exchange::Side side = exchange::Side::kBuy;
  uint32_t client = 0;  // the order's number on the tape, from 1
  exchange::AccountId account = 0;
  int32_t price = 0;
  uint32_t quantity = 0;        // whole size
  exchange::OrderId order = 0;  // of cancels and moves: the book's id of it
};

// The mixed load of exchange-core's published benchmark: one symbol, 1,000 accounts, 9% orders that stay, 3% that match
// at once or end, 6% cancels, 82% moves to another price; about 6% of all trade; about `resting` orders in the book, in
// some 750 levels when there are a thousand of them. Orders to change are drawn evenly from all that rest.
struct MixedLoad {
  size_t resting = 1000;
  exchange::Price ticks_a_side = 780;
  uint32_t accounts = 1000;
};

struct Tape {
  std::vector<Step> fill;   // makes the book
  std::vector<Step> steps;  // what is measured
  uint32_t clients = 0;
  // What happened while it was made.
  size_t trades = 0, steps_that_trade = 0, adds = 0, immediates = 0, cancels = 0, moves = 0;
  size_t resting_at_end = 0, levels_at_end = 0;
};

inline exchange::InstrumentRules rules_for(size_t resting) {
  return {.id = 1, .orders_max = resting * 2 + 100'000};
}

// One step to the book; `ns` is the venue's time.
inline void apply(exchange::Matching& book, const Step& step, exchange::VenueTime ns, exchange::Events& events) {
  switch (step.kind) {
    case Step::kAdd:
    case Step::kImmediate:
      book.submit(ns,
                  {.reference = step.client,
                   .account = step.account,
                   .side = step.side,
                   .time_in_force = step.kind == Step::kAdd ? exchange::TimeInForce::kGoodTillCancel
                                                            : exchange::TimeInForce::kImmediateOrCancel,
                   .price = step.price,
                   .quantity = step.quantity},
                  events);
      break;
    case Step::kCancel:
      book.cancel(ns, step.order, step.client, events);
      break;
    case Step::kMove:
      book.replace(ns, {.order = step.order, .reference = step.client, .price = step.price, .quantity = step.quantity},
                   events);
      break;
  }
}

class TapeMaker {
 public:
  TapeMaker(const MixedLoad& load, uint64_t seed) : load_(load), random_(seed), book_(rules_for(load.resting)) {}

  Tape make(size_t steps) {
    Tape tape;
    book_.set_phase(1, exchange::Phase::kContinuous, events_);
    while (open_.size() < load_.resting) run(add(Step::kAdd), tape.fill);
    tape_ = &tape;
    tape.steps.reserve(steps);
    while (tape.steps.size() < steps) run(next(), tape.steps);
    tape.clients = clients_;
    tape.resting_at_end = open_.size();
    tape.levels_at_end = book_.side(exchange::Side::kBuy).levels() + book_.side(exchange::Side::kSell).levels();
    return tape;
  }

 private:
  struct Open {
    exchange::OrderId order = 0;
    exchange::Side side = exchange::Side::kBuy;
    exchange::AccountId account = 0;
    uint32_t quantity = 0;
    uint32_t client = 0;
  };
  static constexpr exchange::Price kCenter = 100'000;

  exchange::Price quiet_price(exchange::Side side) {
    const auto away = 1 + static_cast<exchange::Price>(random_.below(static_cast<uint64_t>(load_.ticks_a_side)));
    return side == exchange::Side::kBuy ? kCenter - away : kCenter + away;
  }
  exchange::Price crossing_price(exchange::Side side) {
    const exchange::Ladder& others = book_.side(exchange::opposite(side));
    return others.empty() ? quiet_price(side) : others.best();
  }
  Step add(Step::Kind kind) {
    Step step{.kind = kind, .side = static_cast<exchange::Side>(random_.below(2)), .client = ++clients_};
    step.account = 2 + static_cast<exchange::AccountId>(random_.below(load_.accounts));
    const bool crosses = kind == Step::kImmediate;
    step.quantity = static_cast<uint32_t>(1 + random_.below(crosses ? 20 : 100));
    step.price = static_cast<int32_t>(crosses ? crossing_price(step.side) : quiet_price(step.side));
    return step;
  }
  Step next() {
    const uint64_t what = random_.below(100);
    if (what < 9 || open_.empty()) return add(Step::kAdd);
    if (what < 12) return add(Step::kImmediate);
    const Open& open = open_[random_.below(open_.size())];
    Step step{.kind = what < 18 ? Step::kCancel : Step::kMove,
              .side = open.side,
              .client = open.client,
              .account = open.account,
              .quantity = open.quantity,
              .order = open.order};
    if (step.kind == Step::kCancel) return step;
    // So many cross that about as many orders go as come.
    const uint64_t crossing_per_mille = open_.size() > load_.resting ? 60 : 10;
    step.price = static_cast<int32_t>(random_.below(1000) < crossing_per_mille ? crossing_price(step.side)
                                                                               : quiet_price(step.side));
    return step;
  }
  void remove(uint64_t client) {
    const size_t at = places_[client];
    open_[at] = open_.back();
    places_[open_[at].client] = at;
    open_.pop_back();
  }
  void run(const Step& step, std::vector<Step>& steps) {
    steps.push_back(step);
    events_.clear();
    apply(book_, step, 1, events_);
    if (tape_) {
      (step.kind == Step::kAdd         ? tape_->adds
       : step.kind == Step::kImmediate ? tape_->immediates
       : step.kind == Step::kCancel    ? tape_->cancels
                                       : tape_->moves)++;
    }
    bool traded = false;
    for (const exchange::Event& event : events_) {
      using Kind = exchange::Event::Kind;
      if (event.kind == Kind::kAccepted) {
        places_.resize(clients_ + 1);
        places_[step.client] = open_.size();
        open_.push_back({event.order, step.side, step.account, step.quantity, step.client});
      } else if (event.kind == Kind::kCancelled) {
        remove(event.reference);
      } else if (event.kind == Kind::kTrade) {
        traded = true;
        if (tape_) ++tape_->trades;
        if (event.left == 0) remove(event.reference);
        if (event.counter_left == 0) remove(event.counter_reference);
      }
    }
    if (tape_ && traded) ++tape_->steps_that_trade;
  }

  const MixedLoad load_;
  base::SeededRandom random_;
  exchange::Matching book_;
  exchange::Events events_;
  Tape* tape_ = nullptr;
  uint32_t clients_ = 0;
  std::vector<Open> open_;
  std::vector<size_t> places_;  // by client
};

// The insert loop of liquibook's performance test: limit orders alone, every other one to buy, ten price steps a side
// of which six cross the other's.
inline std::vector<Step> inserts(size_t count, uint64_t seed) {
  base::SeededRandom random(seed);
  std::vector<Step> steps(count);
  for (size_t i = 0; i < count; ++i) {
    const bool buys = i % 2 != 0;
    steps[i] = {.side = buys ? exchange::Side::kBuy : exchange::Side::kSell,
                .client = static_cast<uint32_t>(i + 1),
                .account = 2,
                .price = static_cast<int32_t>((buys ? 1880 : 1884) + random.below(10)),
                .quantity = static_cast<uint32_t>((1 + random.below(10)) * 100)};
  }
  return steps;
}

}  // namespace polis::bench
