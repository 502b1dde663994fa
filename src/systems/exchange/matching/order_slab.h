// Where the orders of one instrument lie: 64 bytes each, one line of the processor's cache, and beside them 16 that few
// orders need. A slot is found by an order's id without a search, and is used again under another generation.
//
// Addresses for all orders are reserved at once and memory is given to them as they come, so a slot is an index and
// nothing ever moves; beyond the first 2 MiB in huge pages, because orders are touched in no order.
#pragma once

#include <algorithm>

#include "kernel/base/reserved_array.h"
#include "kernel/base/result.h"
#include "systems/exchange/matching/ladder.h"

namespace polis::exchange {

// Where an order waits.
enum class Place : uint8_t {
  kFree,
  kMoving,     // at work
  kShown,      // in the queue of its level
  kHidden,     // in the queue behind it
  kStop,       // for the last trade to reach its stop price
  kTriggered,  // reached, and for its turn
  kParked,     // for the closing call
  kAuction,    // a market order for the auction
};

struct Order {
  Slot next = 0, previous = 0;  // in whatever queue its place has
  uint32_t open = 0;            // to be matched now: what others see, or all of a hidden one
  uint32_t reserve = 0;         // of an iceberg: what comes after
  uint32_t filled = 0;
  uint32_t peak = 0;  // of an iceberg
  int32_t price = 0;  // of limit orders; of market orders, once they match, how far they may go
  uint32_t generation = 0;
  uint64_t reference = 0;
  uint64_t entered = 0;  // counts what came to the instrument
  AccountId account = 0;
  uint32_t self_match_id = 0;
  Place place = Place::kFree;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  SelfMatch self_match = SelfMatch::kCancelNewest;
  bool post_only = false;
  bool hidden = false;
  bool has_terms = false;
  Quantity left() const { return Quantity{open} + reserve; }
  Quantity quantity() const { return left() + filled; }  // whole
};
static_assert(sizeof(Order) == 64);

// Of orders that have such wishes, or one of them.
struct OrderTerms {
  uint32_t minimum = 0;
  int32_t stop_price = 0;
  VenueTime expires_at = 0;
};
static_assert(sizeof(OrderTerms) == 16);

inline constexpr size_t kOrdersMax = 100'000'000;  // 8 GB of addresses

class OrderSlab {
 public:
  // `orders_max`: 1 .. kOrdersMax.
  explicit OrderSlab(size_t orders_max) : orders_max_(orders_max), orders_(orders_max + 1), terms_(orders_max + 1) {
    POLIS_ASSERT(orders_max > 0 && orders_max <= kOrdersMax);
  }

  // An order of which only the generation stands, the rest is for the caller to make; 0 when there is no room.
  Slot take() {
    const Slot slot = free_;
    if (slot == 0) return take_new();
    Order& order = orders_[slot];
    free_ = order.next;
    order.generation += order.generation == UINT32_MAX ? 2 : 1;
    ++used_;
    return slot;
  }
  void give_back(Slot slot) {
    Order& order = orders_[slot];
    order.place = Place::kFree;
    order.next = free_;
    free_ = slot;
    --used_;
  }

  Order& operator[](Slot slot) { return orders_[slot]; }
  const Order& operator[](Slot slot) const { return orders_[slot]; }
  // Nothing but defaults of an order that has none.
  OrderTerms terms(Slot slot) const { return orders_[slot].has_terms ? terms_[slot] : OrderTerms(); }
  void set_terms(Slot slot, const OrderTerms& terms) {
    orders_[slot].has_terms = terms.minimum != 0 || terms.stop_price != 0 || terms.expires_at != 0;
    if (orders_[slot].has_terms) terms_[slot] = terms;
  }

  OrderId id(Slot slot) const { return uint64_t{orders_[slot].generation} << 32 | slot; }
  // 0 for an order that is over, or never was.
  Slot find(OrderId id) const {
    const auto slot = static_cast<Slot>(id);
    if (slot == 0 || slot >= slots_ || orders_[slot].generation != id >> 32 || orders_[slot].place == Place::kFree)
      return 0;
    return slot;
  }
  // Starts to bring an order's line near.
  void prefetch_slot(Slot slot) const { __builtin_prefetch(&orders_[slot], 1); }
  // The same for a command that will come soon, whatever it names.
  void prefetch(OrderId id) const {
    if (const auto slot = static_cast<Slot>(id); slot < slots_) prefetch_slot(slot);
  }

  size_t size() const { return used_; }
  Slot slots() const { return slots_; }  // all slots that ever had an order are below, from 1 on
  // Memory for so many more orders than ever were at once, so that none of them waits for it.
  void populate(size_t more) {
    const auto end = static_cast<Slot>(std::min<size_t>(slots_ + more, orders_max_ + 1));
    if (end <= slots_ || (end > open_ && !open(end - 1))) return;
    orders_.populate(slots_, end);
  }

  // --- snapshots
  Slot first_free() const { return free_; }
  // Whether one with this limit can have so many slots.
  Result<void> check_slots(Slot slots) const {
    if (slots == 0 || slots - 1 > orders_max_) return fail(Code::kCorrupt, "order slab of an impossible size");
    return {};
  }
  // Slots before `end` for the caller to fill; when all are there, restore_free().
  void restore_slots(Slot end) {
    if (end > open_) POLIS_ASSERT(open(end - 1));
    slots_ = end;
  }
  // Where the free slots begin, and how many are in use.
  Result<void> restore_free(Slot first_free, size_t used) {
    size_t free = slots_ - 1 - used;
    for (Slot slot = first_free; slot != 0; slot = orders_[slot].next)
      if (slot >= slots_ || orders_[slot].place != Place::kFree || free-- == 0)
        return fail(Code::kCorrupt, "broken list of free slots");
    if (free != 0) return fail(Code::kCorrupt, "free slots that nothing leads to");
    free_ = first_free;
    used_ = used;
    return {};
  }

 private:
  // One that nobody had yet. Nothing of it is read, so nobody waits for its line.
  Slot take_new() {
    if (slots_ >= open_ && !open(slots_)) return 0;
    const Slot slot = slots_++;
    if (slot + kLinesAhead < open_) prefetch_slot(slot + kLinesAhead);
    orders_[slot].generation = 1;
    ++used_;
    return slot;
  }
  static constexpr Slot kLinesAhead = 8;
  // This slot and some more.
  bool open(Slot slot) {
    if (slot > orders_max_) return false;
    orders_.open(slot + size_t{1});
    open_ = static_cast<Slot>(std::min<size_t>(orders_.open(), orders_max_ + 1));
    terms_.open(open_);
    return true;
  }

  const size_t orders_max_;
  base::ReservedArray<Order> orders_;
  base::ReservedArray<OrderTerms> terms_;
  Slot free_ = 0;
  Slot slots_ = 1;  // slot 0 is nobody's
  Slot open_ = 0;
  size_t used_ = 0;
};

}  // namespace polis::exchange
