// The orders that the order manager knows: open ones, and those that ended lately. Found by id without a search, like
// those of the books; each stands in two queues, of its account and of its session, while it is open.
#pragma once

#include <new>

#include "systems/exchange/messages.h"
#include "systems/exchange/venue/cells.h"
#include "systems/exchange/venue/stable_vector.h"

namespace polis::exchange {

using TablePlace = uint32_t;  // in the table; 0: none

struct alignas(64) HeldOrder {
  // What the engine was asked about it and has not answered yet.
  enum class Pending : uint8_t { kNone, kNew, kCancel, kReplace };
  struct Links {
    TablePlace next = 0, previous = 0;
  };

  // What every request and answer touches comes first: three lines of the processor's cache.
  uint32_t generation = 0;
  bool used = false;
  bool open = false;
  bool cancel_wanted = false;  // as soon as it is not pending any more
  bool day_over = false;       // that is why it is cancelled
  bool unasked = false;        // the pending cancel is not of the order's client
  bool triggered = false;      // a stop that now is an order
  bool rested = false;         // a market-to-limit order that has its price
  Pending pending = Pending::kNone;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  OrderStatus status = OrderStatus::kNone;
  AccountId account = 0;
  SessionId session = 0;
  InstrumentId instrument = 0;
  CellNumber base = 0, quote = 0, position = 0;
  OrderId engine_order = 0;
  uint32_t price = 0, stop_price = 0;
  uint32_t bound = 0;  // no lot is bought at a higher price
  uint32_t quantity = 0;

  uint32_t filled = 0, left = 0;
  uint32_t cover = 0;   // lots that a pending replace would add
  uint32_t broken = 0;  // filled lots that the engine still counts and nobody else does
  uint32_t open_lots = 0;
  uint32_t maker_fee = 0, taker_fee = 0;  // of the time when it came, 1/100 basis point
  uint32_t fee_slack = 0;                 // what was rounded up so far, 10^-6 of a quote unit
  Amount reserved = 0;
  int64_t notional = 0;
  // Of the pending command, as wanted_id below.
  uint64_t tag = 0;
  SessionId asker = 0;
  uint32_t message_number = 0;

  uint32_t wanted_price = 0, wanted_stop_price = 0, wanted_bound = 0;
  uint32_t bound_before = 0;
  ClientOrderId client_id;
  Links of_account;  // next: the next free place of one that is not used

  Links of_session;
  Quantity shown = kShowAll;
  VenueTime entered = 0;
  ClientOrderId wanted_id;
};
static_assert(sizeof(HeldOrder) == 256);

class OrderTable {
 public:
  // Place 0 is nobody's.
  explicit OrderTable(size_t orders_max) : orders_(orders_max + 1) { orders_.push_back(); }
  size_t places_max() const { return orders_.count_max(); }

  TablePlace take() {
    if (free_ == 0) {
      const auto place = static_cast<TablePlace>(orders_.size());
      HeldOrder& order = orders_.push_back();
      order.generation = 1;
      order.used = true;
      return place;
    }
    const TablePlace place = free_;
    HeldOrder& order = orders_[place];
    free_ = order.of_account.next;
    const uint32_t generation = order.generation + 1;
    new (&order) HeldOrder();
    order.generation = generation == 0 ? 1 : generation;
    order.used = true;
    return place;
  }
  void give_back(TablePlace place) {
    HeldOrder& order = orders_[place];
    order.used = false;
    order.of_account.next = free_;
    free_ = place;
    prefetch(place);  // the next one that comes
  }

  HeldOrder& operator[](TablePlace place) { return orders_[place]; }
  const HeldOrder& operator[](TablePlace place) const { return orders_[place]; }
  OrderId id(TablePlace place) const { return uint64_t{orders_[place].generation} << 32 | place; }
  TablePlace find(OrderId id) const {
    const auto place = static_cast<TablePlace>(id);
    if (place == 0 || place >= orders_.size()) return 0;
    const HeldOrder& order = orders_[place];
    return order.used && order.generation == id >> 32 ? place : 0;
  }
  // Starts to bring an order near.
  void prefetch(TablePlace place) const {
    const auto* lines = reinterpret_cast<const std::byte*>(&orders_[place]);
    for (size_t line = 0; line < sizeof(HeldOrder); line += 64) __builtin_prefetch(lines + line, 1);
  }
  void populate(size_t more) { orders_.populate(more); }
  size_t places() const { return orders_.size(); }  // all are below

  // Snapshots: what stands at the next place, whole.
  TablePlace free() const { return free_; }
  void set_free(TablePlace place) { free_ = place; }
  HeldOrder& append() { return orders_.push_back(); }

 private:
  StableVector<HeldOrder> orders_;
  TablePlace free_ = 0;
};

}  // namespace polis::exchange
