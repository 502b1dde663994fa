#include "systems/ledger/storage/posting.h"

#include <algorithm>
#include <bit>

namespace polis::ledger {
namespace {

constexpr uintptr_t kPageBytes = 4096;

}  // namespace

inline void Posting::touch(const void* at) const {
  if (!check_) return;
  const uintptr_t page = reinterpret_cast<uintptr_t>(at) / kPageBytes + 1;
  if (page == page_) return;
  check_->check(at, sizeof(uint32_t));
  page_ = page;
}

inline uint32_t Posting::rank_at(uint32_t i) const {
  if (form_ == Form::kTagged) return static_cast<const uint32_t*>(bytes_)[i] & 0xFFFF;
  const uint32_t* ranks = static_cast<const uint32_t*>(bytes_) + i;
  touch(ranks);
  return *ranks;
}

inline bool Posting::meant(uint32_t i) const {
  return form_ != Form::kTagged || static_cast<const uint32_t*>(bytes_)[i] >> 16 == one_;
}

inline uint32_t Posting::word_at(uint32_t i) const {
  const uint32_t* word = static_cast<const uint32_t*>(bytes_) + i;
  touch(word);
  return *word;
}

uint32_t Posting::up(uint32_t rank) {
  switch (form_) {
    case Form::kNone:
      return kEnd;
    case Form::kOne:
      return one_ >= rank ? one_ : kEnd;
    case Form::kAll:
      return rank < count_ ? rank : kEnd;
    case Form::kBitmap: {
      if (rank >= count_) return kEnd;
      uint32_t i = rank / 32;
      uint32_t word = word_at(i) & (~uint32_t{0} << rank % 32);
      while (word == 0) {
        if (++i >= (count_ + 31) / 32) return kEnd;
        word = word_at(i);
      }
      return i * 32 + static_cast<uint32_t>(std::countr_zero(word));
    }
    case Form::kTagged:
    case Form::kList:
      break;
  }
  // Steps double until one lands at or above `rank`; the answer lies between the last two.
  uint32_t low = up_, step = 1;
  while (low < count_ && step <= count_ - low && rank_at(low + step - 1) < rank) {
    low += step;
    step *= 2;
  }
  uint32_t high = std::min(count_, low + step);
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (rank_at(middle) < rank) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  while (low < count_ && !meant(low)) ++low;
  up_ = low;
  return low < count_ ? rank_at(low) : kEnd;
}

uint32_t Posting::down(uint32_t rank) {
  switch (form_) {
    case Form::kNone:
      return kEnd;
    case Form::kOne:
      return one_ <= rank ? one_ : kEnd;
    case Form::kAll:
      return count_ == 0 ? kEnd : std::min(rank, count_ - 1);
    case Form::kBitmap: {
      if (count_ == 0) return kEnd;
      rank = std::min(rank, count_ - 1);
      uint32_t i = rank / 32;
      uint32_t word = word_at(i) & (~uint32_t{0} >> (31 - rank % 32));
      while (word == 0) {
        if (i-- == 0) return kEnd;
        word = word_at(i);
      }
      return i * 32 + 31 - static_cast<uint32_t>(std::countl_zero(word));
    }
    case Form::kTagged:
    case Form::kList:
      break;
  }
  uint32_t high = down_, step = 1;
  while (step <= high && rank_at(high - step) > rank) {
    high -= step;
    step *= 2;
  }
  uint32_t low = step <= high ? high - step : 0;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (rank_at(middle) > rank) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  while (high > 0 && !meant(high - 1)) --high;
  down_ = high;
  return high > 0 ? rank_at(high - 1) : kEnd;
}

uint32_t PostingSearch::seek_either(uint32_t rank) {
  uint32_t best = Posting::kEnd;
  for (size_t i = 0; i < either_count_; ++i) {
    const uint32_t found = seek(either_[i], rank);
    if (found == Posting::kEnd) continue;
    if (best == Posting::kEnd || (descending_ ? found > best : found < best)) best = found;
  }
  return best;
}

// Each posting in turn names the next rank that it has; when all of them agree on one, it is a match.
uint32_t PostingSearch::next(uint32_t rank) {
  const size_t postings = all_count_ + (either_count_ > 0 ? 1 : 0);
  POLIS_ASSERT(postings > 0);
  size_t agreed = 0;
  for (size_t i = 0; agreed < postings; i = i + 1 == postings ? 0 : i + 1) {
    const uint32_t found = i < all_count_ ? seek(all_[i], rank) : seek_either(rank);
    if (found == Posting::kEnd) return Posting::kEnd;
    agreed = found == rank ? agreed + 1 : 1;
    rank = found;
  }
  return rank;
}

}  // namespace polis::ledger
