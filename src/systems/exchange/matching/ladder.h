// One side of a book: what waits at which price. Levels of a window of ticks lie in an array, found by a bitmap of
// three steps and summed in blocks of 64, so that the best price, the volume of a level and the volume between two
// prices cost the same with ten orders and with ten million. Prices outside the window lie in a tree; the window
// follows the market when it has left for good.
//
// A level is all zeros while empty, so the arrays are taken from the system untouched: an instrument that trades in a
// hundred ticks has a page or two of them.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <vector>

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
  // The highest price to buy, the lowest to sell. Not of an empty side.
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
  // The level, made if it is not there; the caller puts an order in. May move the window, and with it every level.
  Level& make(Price price) {
    ++made_since_move_;
    if (!near(price) || !placed_) [[unlikely]]
      return make_far(price);
    return place(price);
  }
  // A level that has become empty, after its volume was taken from the sums.
  void erase(Price price);

  // All that waits, shown or not.
  void add_volume(Price price, Quantity delta) {
    all_ += delta;
    if (!near(price)) [[unlikely]] {
      far_at(price).volume += delta;
      return;
    }
    const size_t index = index_of(price);
    volumes_[index] += delta;
    block_volumes_[index >> 6] += delta;
    area_volumes_[index >> 12] += delta;
  }
  Quantity volume(Price price) const;
  // From the best up to and including `limit`.
  Quantity volume_until(Price limit) const;
  Quantity volume_between(Price low, Price high) const;  // both included
  Quantity volume() const { return all_; }

  // Starts to bring the level's line near, for a command that will come soon.
  void prefetch(Price price) const {
    if (near(price)) __builtin_prefetch(&near_levels_[index_of(price)], 1);
  }

  // --- snapshots: levels come back through restore(), where they were.
  struct Window {
    Price base = 0;
    bool placed = false;
    uint64_t made_since_move = 0;
  };
  Window window() const { return {base_, placed_, made_since_move_}; }
  void set_window(const Window& window) {
    base_ = window.base;
    placed_ = window.placed;
    made_since_move_ = window.made_since_move;
  }
  // As make(), but never moves the window.
  Level& restore(Price price) { return near(price) ? place(price) : place_far(price); }

 private:
  struct FarLevel {
    Level level;
    Quantity volume = 0;
  };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  template <class T>
  using Zeros = std::unique_ptr<T[], Free>;
  template <class T>
  static Zeros<T> zeros(size_t count);

  bool near(Price price) const { return static_cast<uint64_t>(price - base_) < window_; }
  size_t index_of(Price price) const { return static_cast<size_t>(price - base_); }
  void mark(size_t index) {
    leaf_[index >> 6] |= uint64_t{1} << (index & 63);
    mid_[index >> 12] |= uint64_t{1} << (index >> 6 & 63);
    top_ |= uint64_t{1} << (index >> 12);
  }
  void unmark(size_t index);
  // One level more.
  void count(Price price) {
    if (levels_++ == 0 || better(price, best_)) best_ = price;
  }
  std::optional<size_t> lowest_from(size_t index) const;    // the first marked one at or above
  std::optional<size_t> highest_up_to(size_t index) const;  // the last marked one at or below
  Quantity near_volume(size_t low, size_t high) const;
  bool worth_moving(Price price) const;
  FarLevel& far_at(Price price);
  Level& make_far(Price price);
  // The level, inside the window or outside.
  Level& place(Price price) {
    const size_t index = index_of(price);
    Level& level = near_levels_[index];
    if (level.empty()) {
      mark(index);
      count(price);
    }
    return level;
  }
  Level& place_far(Price price);
  void move_window(Price center);

  const Side side_;
  const Price order_;  // prices compare as they are to buy, turned over to sell
  const uint64_t window_;
  Price base_ = 0;  // the price of index 0
  bool placed_ = false;
  Price best_ = 0;  // while there is a level
  size_t levels_ = 0;
  Quantity all_ = 0;
  uint64_t top_ = 0;
  uint64_t made_since_move_ = 0;
  Zeros<Level> near_levels_;
  Zeros<Quantity> volumes_, block_volumes_, area_volumes_;  // of 1, 64 and 4096 ticks
  std::vector<uint64_t> leaf_, mid_;
  std::pmr::unsynchronized_pool_resource far_memory_;
  std::pmr::map<Price, FarLevel> far_{&far_memory_};
};

}  // namespace polis::exchange
