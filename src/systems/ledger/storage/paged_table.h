// PagedTable: records that change in place, in pages, so that a snapshot can read an old state while commands go on:
// the first write to a page after freeze() copies it aside. Slots are handed out in order and never taken back, but the
// newest ones by truncate(). Lives on the engine's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernel/base/result.h"

namespace polis::ledger {

template <class Row>
  requires std::is_trivially_copyable_v<Row>
class PagedTable {
 public:
  static constexpr size_t kPageBytes = 4096;
  static constexpr size_t kRowsPerPage = kPageBytes / sizeof(Row);

  uint64_t size() const { return size_; }
  const Row& operator[](uint64_t slot) const { return pages_[slot / kRowsPerPage]->rows[slot % kRowsPerPage]; }
  // For changing it; keeps the page for the frozen state if there is one. Valid until the next append.
  Row& change(uint64_t slot) {
    const uint64_t page = slot / kRowsPerPage;
    if (page < frozen_pages_ && !kept_[page]) keep(page);
    return pages_[page]->rows[slot % kRowsPerPage];
  }
  void prefetch(uint64_t slot) const { __builtin_prefetch(&(*this)[slot], 1); }
  uint64_t append(const Row& row) {
    if (size_ == pages_.size() * kRowsPerPage) pages_.push_back(std::make_unique<Page>());
    change(size_) = row;
    return size_++;
  }
  void truncate(uint64_t size) {
    POLIS_ASSERT(size <= size_);
    size_ = size;
  }

  // The state of this moment, read with frozen() until thaw(). One at a time.
  void freeze() {
    POLIS_ASSERT(frozen_size_ == 0 && frozen_pages_ == 0);
    frozen_size_ = size_;
    frozen_pages_ = (size_ + kRowsPerPage - 1) / kRowsPerPage;
    kept_.clear();
    kept_.resize(frozen_pages_);
  }
  uint64_t frozen_size() const { return frozen_size_; }
  const Row& frozen(uint64_t slot) const {
    const uint64_t page = slot / kRowsPerPage;
    const Page& from = kept_[page] ? *kept_[page] : *pages_[page];
    return from.rows[slot % kRowsPerPage];
  }
  void thaw() {
    frozen_size_ = frozen_pages_ = kept_pages_ = 0;
    kept_.clear();
    kept_.shrink_to_fit();
  }
  uint64_t memory_bytes() const {
    return (pages_.size() + kept_.size()) * sizeof(void*) + (pages_.size() + kept_pages_) * sizeof(Page);
  }

 private:
  struct alignas(64) Page {
    Row rows[kRowsPerPage];
  };
  void keep(uint64_t page) {
    kept_[page] = std::make_unique<Page>(*pages_[page]);
    ++kept_pages_;
  }

  std::vector<std::unique_ptr<Page>> pages_;
  uint64_t size_ = 0;
  uint64_t frozen_size_ = 0, frozen_pages_ = 0, kept_pages_ = 0;
  std::vector<std::unique_ptr<Page>> kept_;
};

}  // namespace polis::ledger
