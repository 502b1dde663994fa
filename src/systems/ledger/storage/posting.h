// Postings: the rows that carry one value of one field, as ranks (row numbers inside a run or a chunk) in ascending
// order, and the search that intersects several. A posting is a view of bytes that somebody else owns, in one of the
// forms that indexes use; bytes from disk are checked page by page as they are first read (PageCheck).
//
// Seeking gallops from where the last seek ended (Bentley and Yao, "An almost optimal algorithm for unbounded
// searching", 1976), so that an intersection costs the shorter posting times the logarithm of the gaps in the longer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"

namespace polis::ledger {

// Pages of a chunk that is read from disk. check() makes sure that `size` bytes at `at` are what was written, or does
// not return.
class PageCheck {
 public:
  virtual void check(const void* at, size_t size) const = 0;

 protected:
  ~PageCheck() = default;
};

class Posting {
 public:
  static constexpr uint32_t kEnd = UINT32_MAX;  // no such rank

  // No rank.
  Posting() = default;
  // One rank.
  static Posting one(uint32_t rank) {
    Posting p(Form::kOne, 1);
    p.one_ = rank;
    return p;
  }
  // Every rank below `rows`.
  static Posting all(uint32_t rows) { return Posting(Form::kAll, rows); }
  // Entries of a run, of which those are meant whose top 16 bits are `tag`; the low 16 bits are ranks, ascending.
  static Posting tagged(std::span<const uint32_t> entries, uint16_t tag) {
    Posting p(Form::kTagged, static_cast<uint32_t>(entries.size()));
    p.bytes_ = entries.data();
    p.one_ = tag;
    return p;
  }
  // Ranks, ascending.
  static Posting list(std::span<const uint32_t> ranks, const PageCheck* check) {
    Posting p(Form::kList, static_cast<uint32_t>(ranks.size()));
    p.bytes_ = ranks.data();
    p.check_ = check;
    return p;
  }
  // Rank r is in if bit r%32 of word r/32 is set; no bit is set at `rows` or above.
  static Posting bitmap(std::span<const uint32_t> words, uint32_t rows, const PageCheck* check) {
    POLIS_ASSERT(words.size() == (uint64_t{rows} + 31) / 32);
    Posting p(Form::kBitmap, rows);
    p.bytes_ = words.data();
    p.check_ = check;
    return p;
  }

  // The smallest rank >= `rank`; kEnd if there is none. The ranks asked for must not go down between calls.
  uint32_t up(uint32_t rank);
  // The largest rank <= `rank`; kEnd if there is none. The ranks asked for must not go up between calls.
  uint32_t down(uint32_t rank);

 private:
  enum class Form : uint8_t { kNone, kOne, kAll, kTagged, kList, kBitmap };
  Posting(Form form, uint32_t count) : form_(form), count_(count), down_(count) {}
  uint32_t rank_at(uint32_t i) const;
  bool meant(uint32_t i) const;
  uint32_t word_at(uint32_t i) const;
  void touch(const void* at) const;

  Form form_ = Form::kNone;
  uint32_t count_ = 0;  // of entries; of a bitmap and of "all" the rows
  uint32_t one_ = 0;    // the rank of kOne, the tag of kTagged
  uint32_t up_ = 0;     // every entry before is below what was asked last
  uint32_t down_ = 0;   // every entry from here on is above what was asked last
  const void* bytes_ = nullptr;
  const PageCheck* check_ = nullptr;
  mutable uintptr_t page_ = 0;  // checked last
};

// The rows of a run or a chunk that carry any of `either` (if it was given) and all of `all`, one after the other.
class PostingSearch {
 public:
  static constexpr size_t kEitherMax = 2;
  static constexpr size_t kAllMax = 8;

  explicit PostingSearch(bool descending) : descending_(descending) {}
  void add_either(Posting posting) {
    POLIS_ASSERT(either_count_ < kEitherMax);
    either_[either_count_++] = posting;
  }
  void add_all(Posting posting) {
    POLIS_ASSERT(all_count_ < kAllMax);
    all_[all_count_++] = posting;
  }
  // The first match at or after `rank` in the search's direction; kEnd at the end. Ranks only go on in that direction.
  uint32_t next(uint32_t rank);

 private:
  uint32_t seek(Posting& posting, uint32_t rank) const { return descending_ ? posting.down(rank) : posting.up(rank); }
  uint32_t seek_either(uint32_t rank);

  const bool descending_;
  size_t either_count_ = 0, all_count_ = 0;
  Posting either_[kEitherMax];
  Posting all_[kAllMax];
};

}  // namespace polis::ledger
