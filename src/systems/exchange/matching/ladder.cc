#include "systems/exchange/matching/ladder.h"

#include <algorithm>
#include <bit>

#include "kernel/base/result.h"

namespace polis::exchange {

Ladder::Ladder(Side side, size_t window_ticks)
    : side_(side), order_(side == Side::kBuy ? 0 : -1), window_(window_ticks), best_(no_price()) {
  POLIS_ASSERT(std::has_single_bit(window_ticks) && window_ticks >= 64 && window_ticks <= 64 * 64 * 64);
  const size_t blocks = window_ticks / 64, areas = (window_ticks + 4095) / 4096;
  // Levels are used near the market alone: small pages.
  const size_t bytes = window_ticks * (sizeof(Level) + sizeof(Quantity)) + 2 * (blocks + areas) * sizeof(uint64_t);
  near_memory_ = base::ReservedMemory(bytes, bytes);
  near_memory_.open(bytes);
  std::byte* memory = near_memory_.data();
  const auto take = [&]<class T>(T*& values, size_t count) {
    values = reinterpret_cast<T*>(memory);
    memory += count * sizeof(T);
  };
  take(near_levels_, window_ticks);
  take(volumes_, window_ticks);
  take(block_volumes_, blocks);
  take(leaf_, blocks);
  take(area_volumes_, areas);
  take(mid_, areas);
}

// A block that has its first level.
void Ladder::mark_block(size_t index) {
  mid_[index >> 12] |= uint64_t{1} << (index >> 6 & 63);
  top_ |= uint64_t{1} << (index >> 12);
}

// A block that has no level any more.
void Ladder::unmark_block(size_t index) {
  if ((mid_[index >> 12] &= ~(uint64_t{1} << (index >> 6 & 63))) != 0) return;
  top_ &= ~(uint64_t{1} << (index >> 12));
}

std::optional<size_t> Ladder::lowest_from(size_t index) const {
  if (index >= window_) return std::nullopt;
  const auto from = [](uint64_t word, size_t bit) { return bit > 63 ? 0 : word & ~uint64_t{0} << bit; };
  if (const uint64_t word = from(leaf_[index >> 6], index & 63))
    return (index & ~size_t{63}) + static_cast<size_t>(std::countr_zero(word));
  size_t area = index >> 12;
  uint64_t blocks = from(mid_[area], (index >> 6 & 63) + 1);
  if (blocks == 0) {
    const uint64_t areas = from(top_, area + 1);
    if (areas == 0) return std::nullopt;
    area = static_cast<size_t>(std::countr_zero(areas));
    blocks = mid_[area];
  }
  const size_t block = area << 6 | static_cast<size_t>(std::countr_zero(blocks));
  return block << 6 | static_cast<size_t>(std::countr_zero(leaf_[block]));
}

std::optional<size_t> Ladder::highest_up_to(size_t index) const {
  const auto highest = [](uint64_t word) { return static_cast<size_t>(63 - std::countl_zero(word)); };
  const auto below = [](uint64_t word, size_t bit) { return word & ((uint64_t{1} << bit) - 1); };  // bit < 64
  const uint64_t word = (index & 63) == 63 ? leaf_[index >> 6] : below(leaf_[index >> 6], (index & 63) + 1);
  if (word) return (index & ~size_t{63}) + highest(word);
  size_t area = index >> 12;
  uint64_t blocks = below(mid_[area], index >> 6 & 63);
  if (blocks == 0) {
    const uint64_t areas = below(top_, area);
    if (areas == 0) return std::nullopt;
    area = highest(areas);
    blocks = mid_[area];
  }
  const size_t block = area << 6 | highest(blocks);
  return block << 6 | highest(leaf_[block]);
}

std::optional<Price> Ladder::next(std::optional<Price> after) const {
  std::optional<Price> found;
  const Price end = base_ + static_cast<Price>(window_);
  if (side_ == Side::kSell) {
    if (top_ != 0 && (!after || *after < end - 1)) {
      const size_t from = !after || *after < base_ ? 0 : static_cast<size_t>(*after + 1 - base_);
      if (const auto index = lowest_from(from)) found = base_ + static_cast<Price>(*index);
    }
    if (far_.empty()) return found;
    const auto far = after ? far_.upper_bound(*after) : far_.begin();
    if (far != far_.end() && (!found || far->first < *found)) found = far->first;
    return found;
  }
  if (top_ != 0 && (!after || *after > base_)) {
    const size_t from = !after || *after > end ? window_ - 1 : static_cast<size_t>(*after - 1 - base_);
    if (const auto index = highest_up_to(from)) found = base_ + static_cast<Price>(*index);
  }
  if (far_.empty()) return found;
  auto far = after ? far_.lower_bound(*after) : far_.end();
  if (far != far_.begin() && (!found || std::prev(far)->first > *found)) found = std::prev(far)->first;
  return found;
}

const Level* Ladder::find(Price price) const {
  if (near(price)) {
    const Level& level = near_levels_[index_of(price)];
    return level.empty() ? nullptr : &level;
  }
  const auto far = far_.find(price);
  return far == far_.end() ? nullptr : &far->second.level;
}

Ladder::FarLevel& Ladder::far_at(Price price) {
  const auto far = far_.find(price);
  POLIS_ASSERT(far != far_.end());
  return far->second;
}

Level& Ladder::join_far(Price price, Quantity volume) {
  if (near_ticks_ == 0 || worth_moving(price)) move_window(price);
  return restore(price, volume);
}

Level& Ladder::place_far(Price price, Quantity volume) {
  const auto [far, fresh] = far_.try_emplace(price);
  levels_ += fresh;
  if (better(price, best_)) best_ = price;
  far->second.volume += volume;
  return far->second.level;
}

Level& Ladder::leave_far(Price price, Quantity volume) {
  FarLevel& far = far_at(price);
  far.volume -= volume;
  return far.level;
}

void Ladder::left_far(Level& level, Price price) {
  if (!level.empty()) return;
  --levels_;
  far_.erase(price);
  if (price == best_) find_best();
}

Quantity Ladder::volume(Price price) const {
  if (near(price)) return volumes_[index_of(price)];
  const auto far = far_.find(price);
  return far == far_.end() ? 0 : far->second.volume;
}

// At most 126 ticks, 126 blocks and the areas between.
Quantity Ladder::near_volume(size_t low, size_t high) const {
  Quantity sum = 0;
  const auto add = [&](const Quantity* of, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) sum += of[i];
  };
  const size_t end = high + 1;
  const size_t block_begin = (low + 63) >> 6, block_end = end >> 6;
  if (block_begin >= block_end) {
    add(volumes_, low, end);
    return sum;
  }
  add(volumes_, low, block_begin << 6);
  add(volumes_, block_end << 6, end);
  const size_t area_begin = (block_begin + 63) >> 6, area_end = block_end >> 6;
  if (area_begin >= area_end) {
    add(block_volumes_, block_begin, block_end);
    return sum;
  }
  add(block_volumes_, block_begin, area_begin << 6);
  add(block_volumes_, area_end << 6, block_end);
  add(area_volumes_, area_begin, area_end);
  return sum;
}

Quantity Ladder::volume_between(Price low, Price high) const {
  if (low > high) return 0;
  Quantity sum = 0;
  const Price near_low = std::max(low, base_), near_high = std::min(high, base_ + static_cast<Price>(window_) - 1);
  if (top_ != 0 && near_low <= near_high) sum = near_volume(index_of(near_low), index_of(near_high));
  if (!far_.empty())
    for (auto far = far_.lower_bound(low); far != far_.end() && far->first <= high; ++far) sum += far->second.volume;
  return sum;
}

Quantity Ladder::volume_until(Price limit) const {
  return side_ == Side::kBuy ? volume_between(limit, kPriceMax) : volume_between(0, limit);
}

// The market has left: the best price lies outside, or much does. Not before as many levels were made as will be moved.
bool Ladder::worth_moving(Price price) const {
  const bool leads = empty() || better(price, best());
  return (leads || far_.size() >= 64) && made_since_move_ > levels_;
}

void Ladder::move_window(Price center) {
  std::vector<std::pair<Price, FarLevel>> moved;
  moved.reserve(levels_);
  for (std::optional<size_t> index = lowest_from(0); index; index = lowest_from(*index + 1)) {
    moved.push_back({base_ + static_cast<Price>(*index), {near_levels_[*index], volumes_[*index]}});
    near_levels_[*index] = {};
    volumes_[*index] = 0;
    block_volumes_[*index >> 6] = 0;
    area_volumes_[*index >> 12] = 0;
  }
  for (auto& [price, far] : far_) moved.push_back({price, far});
  far_.clear();
  std::fill_n(leaf_, window_ / 64, 0);
  std::fill_n(mid_, (window_ + 4095) / 4096, 0);
  top_ = 0;
  levels_ = 0;
  best_ = no_price();
  base_ = std::max<Price>(0, center - static_cast<Price>(window_ / 2));
  near_ticks_ = window_;
  for (const auto& [price, far] : moved) restore(price, far.volume) = far.level;
  made_since_move_ = 0;
}

}  // namespace polis::exchange
