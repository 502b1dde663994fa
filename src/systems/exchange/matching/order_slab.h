// Where the orders of one instrument lie: 64 bytes that matching touches and, beside them, 48 that it mostly does not.
// A slot is found by an order's id without a search, and is used again under another generation.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

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
  Price price = 0;              // of limit orders; of market orders, once they match, how far they may go
  Quantity open = 0;            // to be matched now: what others see, or all of a hidden one
  Quantity reserve = 0;         // of an iceberg: what comes after
  uint64_t reference = 0;
  AccountId account = 0;
  uint32_t self_match_id = 0;
  uint32_t peak = 0;  // of an iceberg
  uint32_t generation = 0;
  Place place = Place::kFree;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  SelfMatch self_match = SelfMatch::kCancelNewest;
  bool post_only = false;
  bool hidden = false;
  bool unused = false;
  Quantity left() const { return open + reserve; }
};
static_assert(sizeof(Order) == 64);

struct OrderTerms {
  Quantity quantity = 0;  // whole
  Quantity filled = 0;
  Quantity minimum = 0;
  Price stop_price = 0;
  VenueTime expires_at = 0;
  uint64_t entered = 0;  // counts what came to the instrument
};

class OrderSlab {
 public:
  explicit OrderSlab(size_t orders_max) : orders_max_(orders_max) {}

  // 0 when there is no room.
  Slot take() {
    if (free_ == 0 && !grow()) return 0;
    const Slot slot = free_;
    Order& order = (*this)[slot];
    free_ = order.next;
    const uint32_t generation = order.generation + 1;
    order = {.generation = generation == 0 ? 1 : generation, .place = Place::kMoving};
    terms(slot) = {};
    ++used_;
    return slot;
  }
  void give_back(Slot slot) {
    Order& order = (*this)[slot];
    order.place = Place::kFree;
    order.next = free_;
    free_ = slot;
    --used_;
  }

  Order& operator[](Slot slot) { return chunks_[slot >> kChunkBits].orders[slot & kChunkMask]; }
  const Order& operator[](Slot slot) const { return chunks_[slot >> kChunkBits].orders[slot & kChunkMask]; }
  OrderTerms& terms(Slot slot) { return chunks_[slot >> kChunkBits].terms[slot & kChunkMask]; }
  const OrderTerms& terms(Slot slot) const { return chunks_[slot >> kChunkBits].terms[slot & kChunkMask]; }

  OrderId id(Slot slot) const { return uint64_t{(*this)[slot].generation} << 32 | slot; }
  // 0 for an order that is over, or never was.
  Slot find(OrderId id) const {
    const auto slot = static_cast<Slot>(id);
    if (slot == 0 || slot >= slots_ || (*this)[slot].generation != id >> 32 || (*this)[slot].place == Place::kFree)
      return 0;
    return slot;
  }

  size_t size() const { return used_; }
  Slot slots() const { return slots_; }  // all slots are below

  // --- snapshots
  Slot first_free() const { return free_; }
  // Whether one with this limit can have so many slots.
  Result<void> check_slots(Slot slots) const {
    if ((slots & kChunkMask) != 0 || (slots != 0 && std::max<size_t>(slots - kChunkMask - 1, 1) > orders_max_))
      return fail(Code::kCorrupt, "order slab of an impossible size");
    return {};
  }
  // The next chunk, for the caller to fill; when all are there, restore_free().
  void restore_chunk() { grow(); }
  // Where the free slots begin, and how many are in use.
  Result<void> restore_free(Slot first_free, size_t used) {
    size_t free = slots_ == 0 ? 0 : slots_ - 1 - used;
    for (Slot slot = first_free; slot != 0; slot = (*this)[slot].next)
      if (slot >= slots_ || (*this)[slot].place != Place::kFree || free-- == 0)
        return fail(Code::kCorrupt, "broken list of free slots");
    if (free != 0) return fail(Code::kCorrupt, "free slots that nothing leads to");
    free_ = first_free;
    used_ = used;
    return {};
  }

 private:
  static constexpr unsigned kChunkBits = 12;
  static constexpr Slot kChunkMask = (1 << kChunkBits) - 1;
  struct Chunk {
    std::unique_ptr<Order[]> orders;
    std::unique_ptr<OrderTerms[]> terms;
  };
  bool grow() {
    const Slot first = slots_ == 0 ? 1 : slots_;  // slot 0 is nobody's
    if (first > orders_max_) return false;
    chunks_.push_back({std::make_unique<Order[]>(kChunkMask + 1), std::make_unique<OrderTerms[]>(kChunkMask + 1)});
    const auto end = static_cast<Slot>(chunks_.size() << kChunkBits);
    for (Slot slot = end - 1; slot >= first; --slot) {
      (*this)[slot].next = free_;
      free_ = slot;
    }
    slots_ = end;
    return true;
  }

  const size_t orders_max_;
  std::vector<Chunk> chunks_;
  Slot free_ = 0;
  Slot slots_ = 0;
  size_t used_ = 0;
};

}  // namespace polis::exchange
