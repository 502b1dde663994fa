#include "systems/exchange/matching/ladder.h"

#include <algorithm>
#include <bit>

#include "kernel/base/result.h"

namespace polis::exchange {

template <class T>
Ladder::Zeros<T> Ladder::zeros(size_t count) {
  T* memory = static_cast<T*>(std::calloc(count, sizeof(T)));
  POLIS_ASSERT(memory);
  return Zeros<T>(memory);
}

Ladder::Ladder(Side side, size_t window_ticks)
    : side_(side),
      window_(window_ticks),
      near_levels_(zeros<Level>(window_ticks)),
      volumes_(zeros<Quantity>(window_ticks)),
      block_volumes_(zeros<Quantity>(window_ticks / 64)),
      area_volumes_(zeros<Quantity>((window_ticks + 4095) / 4096)),
      leaf_(window_ticks / 64),
      mid_((window_ticks + 4095) / 4096) {
  POLIS_ASSERT(std::has_single_bit(window_ticks) && window_ticks >= 64 && window_ticks <= 64 * 64 * 64);
}

void Ladder::mark(size_t index) {
  leaf_[index >> 6] |= uint64_t{1} << (index & 63);
  mid_[index >> 12] |= uint64_t{1} << (index >> 6 & 63);
  top_ |= uint64_t{1} << (index >> 12);
}

void Ladder::unmark(size_t index) {
  if ((leaf_[index >> 6] &= ~(uint64_t{1} << (index & 63))) != 0) return;
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

Price Ladder::best() const {
  return *next(std::nullopt);
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
    const Level& level = near_levels_[static_cast<size_t>(price - base_)];
    return level.empty() ? nullptr : &level;
  }
  const auto far = far_.find(price);
  return far == far_.end() ? nullptr : &far->second.level;
}

Level& Ladder::at(Price price) {
  if (near(price)) return near_levels_[static_cast<size_t>(price - base_)];
  const auto far = far_.find(price);
  POLIS_ASSERT(far != far_.end());
  return far->second.level;
}

Level& Ladder::make(Price price) {
  ++made_since_move_;
  if (!placed_ || (!near(price) && worth_moving(price))) move_window(price);
  return place(price);
}

Level& Ladder::place(Price price) {
  if (near(price)) {
    const auto index = static_cast<size_t>(price - base_);
    Level& level = near_levels_[index];
    if (level.empty()) {
      mark(index);
      ++levels_;
    }
    return level;
  }
  const auto [far, fresh] = far_.try_emplace(price);
  levels_ += fresh;
  return far->second.level;
}

void Ladder::erase(Price price) {
  --levels_;
  if (near(price)) {
    unmark(static_cast<size_t>(price - base_));
    return;
  }
  far_.erase(price);
}

void Ladder::add_volume(Price price, Quantity delta) {
  all_ += delta;
  if (!near(price)) {
    const auto far = far_.find(price);
    POLIS_ASSERT(far != far_.end());
    far->second.volume += delta;
    return;
  }
  const auto index = static_cast<size_t>(price - base_);
  volumes_[index] += delta;
  block_volumes_[index >> 6] += delta;
  area_volumes_[index >> 12] += delta;
  near_all_ += delta;
}

Quantity Ladder::volume(Price price) const {
  if (near(price)) return volumes_[static_cast<size_t>(price - base_)];
  const auto far = far_.find(price);
  return far == far_.end() ? 0 : far->second.volume;
}

// At most 126 ticks, 126 blocks and the areas between.
Quantity Ladder::near_volume(size_t low, size_t high) const {
  Quantity sum = 0;
  const auto add = [&](const Zeros<Quantity>& of, size_t begin, size_t end) {
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
  if (near_all_ != 0 && near_low <= near_high)
    sum = near_volume(static_cast<size_t>(near_low - base_), static_cast<size_t>(near_high - base_));
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
  std::fill(leaf_.begin(), leaf_.end(), 0);
  std::fill(mid_.begin(), mid_.end(), 0);
  top_ = 0;
  near_all_ = all_ = 0;
  levels_ = 0;
  base_ = std::max<Price>(0, center - static_cast<Price>(window_ / 2));
  placed_ = true;
  for (const auto& [price, far] : moved) {
    place(price) = far.level;
    add_volume(price, far.volume);
  }
  made_since_move_ = 0;
}

}  // namespace polis::exchange
