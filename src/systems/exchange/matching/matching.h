// Matching: the book of one instrument and the rules by which orders meet. A pure function of what it is told: commands
// with their venue time come in, events come out, in the order in which they happened. No clock, no randomness, no
// thread; two of them that get the same commands give the same events, bit by bit.
//
// Price, then shown before hidden, then time. A trade happens at the price of the order that rests. What a command does
// it does at once, with everything that follows from it: stops that its trades reach run after it, nearest stop price
// first, then in the order in which they came.
#pragma once

#include <map>
#include <memory_resource>
#include <optional>
#include <set>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/exchange/batch.h"
#include "systems/exchange/matching/ladder.h"
#include "systems/exchange/matching/order_slab.h"
#include "systems/exchange/types.h"

namespace polis::exchange {

struct InstrumentRules {
  InstrumentId id = 0;
  size_t orders_max = 10'000'000;  // 64 bytes each and 16 of addresses, taken as they come
  size_t window_ticks = 1 << 16;   // of each side
  // How far from the best opposite price a market order goes, in basis points; at least one tick.
  uint32_t collar_bp = 500;
  // How far from the reference a trade may be before trading pauses, in basis points; 0: no band. The reference is the
  // mean price of the trades of the last five minutes, or the last auction's price.
  uint32_t band_bp = 1000;
  VenueTime pause_ns = 300'000'000'000;
};

// An iceberg shows at least so much of its size at a time, so that no command has more to say of it.
inline constexpr Quantity kPeaksMax = 1000;

using Events = Batch<Event>;

// What an auction would match now.
struct AuctionOutlook {
  Price price = 0;  // 0: nothing would match
  Quantity quantity = 0;
  Quantity imbalance = 0;  // above 0: so much more to buy at that price; below 0: to sell
};

class Matching {
 public:
  explicit Matching(const InstrumentRules& rules);
  const InstrumentRules& rules() const { return rules_; }
  // Collar, band and pause from now on; all else of an instrument that stands stays as it is.
  void change_rules(const InstrumentRules& rules);

  // Each appends what happened to `events`.
  void submit(VenueTime now, const NewOrder& order, Events& events);
  // `reference` names the asker in a rejection.
  void cancel(VenueTime now, OrderId order, uint64_t reference, Events& events);
  void replace(VenueTime now, const ReplaceOrder& replace, Events& events);
  // Leaving a call matches what has gathered. From one phase to itself: nothing.
  void set_phase(VenueTime now, Phase phase, Events& events);
  // What is due: orders good till a date, the end of a pause.
  void on_time(VenueTime now, Events& events);
  // When on_time has something to do.
  static constexpr VenueTime kNever = INT64_MAX;
  VenueTime due_at() const { return due_at_; }
  std::optional<VenueTime> next_time() const {
    return due_at_ == kNever ? std::nullopt : std::optional<VenueTime>(due_at_);
  }

  Phase phase() const { return phase_; }
  Price last_price() const { return last_; }
  Price reference_price() const { return reference_; }
  const Ladder& side(Side side) const { return ladders_[static_cast<size_t>(side)]; }
  const OrderSlab& orders() const { return orders_; }
  AuctionOutlook outlook() const;

  // Memory ahead for so many more orders, so that none of them waits for the system to give it.
  void populate(size_t orders) { orders_.populate(orders); }

  // For whoever knows which orders will be cancelled or replaced next: brings near what that touches. The first call
  // some eight commands ahead, the second some four.
  void prefetch(OrderId order) const { orders_.prefetch(order); }
  // `to`: the price of a replace.
  void prefetch_neighbours(OrderId order, Price to = 0) const;

  // --- snapshots, between two commands. What is loaded goes on exactly as what was saved: ids, queues, everything.
  class Saver;
  // Looks at this one until it is done; nothing may change meanwhile.
  std::unique_ptr<Saver> save() const;
  // From the first piece; the others follow in order through load(), until loaded(). kCorrupt for what save() never
  // wrote; the rest is of no use then.
  static Result<std::unique_ptr<Matching>> load_first(BytesView piece);
  Result<void> load(BytesView piece);
  bool loaded() const { return slots_loaded_ == slots_to_load_; }

 private:
  struct Queue {
    Slot first = 0, last = 0;
  };
  using StopLevels = std::pmr::map<Price, Queue>;
  Ladder& ladder(Side side) { return ladders_[static_cast<size_t>(side)]; }
  StopLevels& stops(Side side) { return side == Side::kBuy ? buy_stops_ : sell_stops_; }
  Queue& auction_queue(Side side) { return side == Side::kBuy ? auction_buys_ : auction_sells_; }
  Quantity& auction_volume(Side side) { return side == Side::kBuy ? auction_buy_volume_ : auction_sell_volume_; }
  Event& tell(Event::Kind kind, Slot slot, Events& events) const;
  RejectReason check(const NewOrder& order) const;
  RejectReason check(const ReplaceOrder& replace, const Order& order) const;
  bool crosses(Side side, Price price) const;

  // Most of what comes, and what is not so plain.
  bool is_plain(const NewOrder& order) const;
  bool is_plain(const ReplaceOrder& replace, const Order& order) const;
  void submit_plain(const NewOrder& order, Slot slot, Events& events);
  void submit_other(const NewOrder& order, Events& events);
  void move_plain(const ReplaceOrder& replace, Slot slot, Events& events);
  void replace_other(const ReplaceOrder& replace, Slot slot, Events& events);
  void enter_plain(Order& order, Slot slot, Events& events);
  void rest_shown(Order& order, Slot slot, Events& events);
  void leave_shown(Order& order);

  // Queues.
  void push(Slot& first, Slot& last, Slot slot);
  void unlink(Slot& first, Slot& last, Slot slot);
  void rest(Slot slot, Events& events);
  void wait_for_stop(Slot slot);
  void wait_for_auction(Slot slot);
  void park(Slot slot);
  void leave(Slot slot);
  void leave_book(Slot slot);
  void leave_queue(Slot slot);
  void finish(Slot slot);
  void end(Slot slot, CancelReason reason, Events& events);
  template <class Which>
  std::vector<OrderId> ids_of(Which which) const;
  template <class Which>
  void end_all(CancelReason reason, Which which, Events& events);

  // Trading. What the order may do next is done: afterwards it waits somewhere, or is over.
  void enter(Slot slot, Events& events);
  bool match(Slot slot, Price limit, Events& events);
  bool avoid_self(Slot taker, Slot maker, Events& events);
  void reduce(Slot slot, Quantity quantity);
  bool fill(Slot slot, Quantity quantity, Events& events);
  void trade(Slot order, Slot counter, Side side, Price price, Quantity quantity, uint8_t flags, Events& events);
  Price limit_of_market(Side side) const;
  Quantity matchable(const Order& order, Price limit, Quantity enough) const;
  bool outside_band(Price price) const { return price < band_low_ || price > band_high_; }
  void set_reference(Price reference);
  void note_trade(Price price);
  void begin_slice();
  void note_due();

  // Stops.
  bool reached(Side side, Price stop_price) const;
  void trigger(Slot slot, Events& events);
  void collect_stops();
  void run_stops(Events& events);
  void after_trades(Events& events);

  // Auctions.
  Quantity wanted(Price price) const;   // to buy at this price
  Quantity offered(Price price) const;  // to sell
  void uncross(Events& events);
  Slot first_of(Side side);

  // Snapshots.
  Result<void> load_order(base::Reader& in, Slot slot);
  Result<size_t> load_queue(Slot head);
  Result<void> finish_load();

  InstrumentRules rules_;
  Ladder ladders_[2];  // by side
  OrderSlab orders_;
  Phase phase_ = Phase::kClosed;
  VenueTime now_ = 0;
  uint64_t entered_ = 0;
  MatchId matches_ = 0;
  Price last_ = 0;
  // Of the trades that no stop was held against yet, 0: none; and the price before them.
  Price low_ = 0, high_ = 0, anchor_ = 0;

  std::pmr::unsynchronized_pool_resource memory_;
  StopLevels buy_stops_{&memory_}, sell_stops_{&memory_};
  Queue parked_, auction_buys_, auction_sells_;
  Quantity auction_buy_volume_ = 0, auction_sell_volume_ = 0;
  bool bounded_in_call_ = false;  // market orders with a bound may rest in the book until the auction
  std::vector<Slot> triggered_;
  std::pmr::set<std::pair<VenueTime, OrderId>> expiries_{&memory_};

  // The reference: trades in ten slices of half a minute.
  static constexpr size_t kSlices = 10;
  struct Slice {
    int64_t number = -1;
    int64_t price_sum = 0;
    int64_t trades = 0;
  };
  Slice slices_[kSlices];
  // The one that trades go to now, while venue time is in its half minute.
  size_t slice_ = 0;
  VenueTime slice_begin_ = INT64_MAX / 2;
  Price reference_ = 0;
  Price band_low_ = -kPriceMax, band_high_ = kPriceMax;
  VenueTime resumes_at_ = 0;  // end of a pause; 0: none
  VenueTime due_at_ = kNever;

  // While a snapshot is loaded.
  Slot slots_loaded_ = 1, slots_to_load_ = 1, first_free_to_load_ = 0;
};

class Matching::Saver {
 public:
  explicit Saver(const Matching& matching) : matching_(matching) {}
  // Appends the next piece, 1 byte .. 512 KiB; false: none is left.
  bool next(base::Writer& piece);

 private:
  const Matching& matching_;
  bool begun_ = false;
  Slot slot_ = 1;
};

}  // namespace polis::exchange
