// One side of a book: what waits at which price. Levels of a window of ticks lie in an array, found by a bitmap of
// three steps and summed in blocks of 64, so that the best price, the volume of a level and the volume between two
// prices cost the same with ten orders and with ten million. Prices outside the window lie in a tree; the window
// follows the market when it has left for good.
//
// A level is all zeros while empty, so the arrays are taken from the system untouched: an instrument that trades in a
// hundred ticks has a page or two of them.
#pragma once

#include <map>
#include <memory_resource>
#include <optional>

#include "kernel/base/reserved_array.h"
#include "systems/exchange/types.h"

namespace polis::exchange {

// The place of an order in the slab; 0: none.
using Slot = uint32_t;

// First come, first served, those that are shown before those that are hidden.
struct Level {
  Slot head = 0, tail = 0;
  Slot hidden_head = 0, hidden_tail = 0;
  uint32_t orders = 0;  // shown ones
  uint32_t hidden_orders = 0;
  Quantity shown = 0;  // what others see; the volume with all that is hidden stands in the ladder's sums
  bool empty() const { return (head | hidden_head) == 0; }
};
static_assert(sizeof(Level) == 32);

class Ladder {
 public:
  // `window_ticks`: a power of two from 64 to 2^18.
  Ladder(Side side, size_t window_ticks);

  bool empty() const { return levels_ == 0; }
  size_t levels() const { return levels_; }
  // The highest price to buy, the lowest to sell. Of an empty side: worse than all there are.
  Price best() const { return best_; }
  // The next level that is worse than this price; the best for nothing. Cost: a few words of the bitmap.
  std::optional<Price> next(std::optional<Price> after) const;
  // Whether one price comes before the other on this side.
  bool better(Price a, Price b) const { return (a ^ order_) > (b ^ order_); }

  // Null if nothing waits there.
  const Level* find(Price price) const;
  // The level of an order that waits there.
  Level& at(Price price) {
    if (near(price)) [[likely]]
      return near_levels_[index_of(price)];
    return far_at(price).level;
  }

  // An order comes and goes: join() gives the level that the caller puts it in, made if it is not there, and may move
  // the window, and with it every level; leave() gives the level that he takes it out of, and left() follows when he
  // has. `volume`: all of the order, shown or not. No branch of these depends on whether the level is empty: in a thin
  // book nobody could foretell it.
  Level& join(Price price, Quantity volume) {
    ++made_since_move_;
    if (!near(price)) [[unlikely]]
      return join_far(price, volume);
    return place(index_of(price), price, volume);
  }
  Level& leave(Price price, Quantity volume) {
    if (!near(price)) [[unlikely]]
      return leave_far(price, volume);
    const size_t index = index_of(price);
    add_near_volume(index, -volume);
    return near_levels_[index];
  }
  void left(Level& level, Price price) {
    if (!near(price)) [[unlikely]]
      return left_far(level, price);
    const size_t index = index_of(price);
    const uint64_t gone = level.empty();
    levels_ -= gone;
    if ((leaf_[index >> 6] &= ~(gone << (index & 63))) == 0) unmark_block(index);
    if (gone & (price == best_)) [[unlikely]]
      find_best();
  }

  // All that waits, shown or not.
  void add_volume(Price price, Quantity delta) {
    if (!near(price)) [[unlikely]] {
      far_at(price).volume += delta;
      return;
    }
    add_near_volume(index_of(price), delta);
  }
  Quantity volume(Price price) const;
  // From the best up to and including `limit`.
  Quantity volume_until(Price limit) const;
  Quantity volume_between(Price low, Price high) const;  // both included
  Quantity volume() const { return volume_between(0, kPriceMax); }

  // Starts to bring the level's line near, for a command that will come soon.
  void prefetch(Price price) const {
    if (near(price)) __builtin_prefetch(&near_levels_[index_of(price)], 1);
  }
  // The last of those that are shown there; 0: none, or outside the window.
  Slot tail(Price price) const { return near(price) ? near_levels_[index_of(price)].tail : 0; }

  // --- snapshots: levels come back through restore(), where they were.
  struct Window {
    Price base = 0;
    bool placed = false;
    uint64_t made_since_move = 0;
  };
  Window window() const { return {base_, near_ticks_ != 0, made_since_move_}; }
  void set_window(const Window& window) {
    base_ = window.base;
    near_ticks_ = window.placed ? window_ : 0;
    made_since_move_ = window.made_since_move;
  }
  // As join(), but never moves the window.
  Level& restore(Price price, Quantity volume) {
    return near(price) ? place(index_of(price), price, volume) : place_far(price, volume);
  }

 private:
  struct FarLevel {
    Level level;
    Quantity volume = 0;
  };

  // Of whatever price, sound or not.
  bool near(Price price) const { return static_cast<uint64_t>(price) - static_cast<uint64_t>(base_) < near_ticks_; }
  size_t index_of(Price price) const { return static_cast<size_t>(price - base_); }
  void mark_block(size_t index);
  void unmark_block(size_t index);
  Price no_price() const { return order_ ^ INT64_MIN; }
  void find_best() { best_ = levels_ == 0 ? no_price() : *next(std::nullopt); }
  std::optional<size_t> lowest_from(size_t index) const;    // the first marked one at or above
  std::optional<size_t> highest_up_to(size_t index) const;  // the last marked one at or below
  void add_near_volume(size_t index, Quantity delta) {
    volumes_[index] += delta;
    block_volumes_[index >> 6] += delta;
    area_volumes_[index >> 12] += delta;
  }
  Quantity near_volume(size_t low, size_t high) const;
  bool worth_moving(Price price) const;
  FarLevel& far_at(Price price);
  Level& place(size_t index, Price price, Quantity volume) {
    Level& level = near_levels_[index];
    levels_ += level.empty();
    uint64_t& leaf = leaf_[index >> 6];
    if (leaf == 0) mark_block(index);
    leaf |= uint64_t{1} << (index & 63);
    if (better(price, best_)) best_ = price;
    add_near_volume(index, volume);
    return level;
  }
  Level& join_far(Price price, Quantity volume);
  Level& place_far(Price price, Quantity volume);
  Level& leave_far(Price price, Quantity volume);
  void left_far(Level& level, Price price);
  void move_window(Price center);

  const Side side_;
  const Price order_;  // prices compare as they are to buy, turned over to sell
  const uint64_t window_;
  Price base_ = 0;           // the price of index 0
  uint64_t near_ticks_ = 0;  // of the window; 0: it has no place yet
  Price best_;
  size_t levels_ = 0;
  uint64_t top_ = 0;
  uint64_t made_since_move_ = 0;
  // In one piece of memory: levels, volumes of 1, 64 and 4096 ticks, bitmaps of ticks and of blocks.
  base::ReservedMemory near_memory_;
  Level* near_levels_ = nullptr;
  Quantity *volumes_ = nullptr, *block_volumes_ = nullptr, *area_volumes_ = nullptr;
  uint64_t *leaf_ = nullptr, *mid_ = nullptr;
  std::pmr::unsynchronized_pool_resource far_memory_;
  std::pmr::map<Price, FarLevel> far_{&far_memory_};
};

}  // namespace polis::exchange
