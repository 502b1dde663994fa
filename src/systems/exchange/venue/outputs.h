// What one step of the venue puts out, in order: reports to whom they concern, then the event that made them, which is
// market data. Kept by the caller and used again, so that a step allocates nothing once it has seen the largest one.
#pragma once

#include <span>

#include "kernel/base/hash.h"
#include "systems/exchange/batch.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

class Outputs {
 public:
  struct Item {  // one word, which is written and read as one
    uint32_t is_report : 1;
    uint32_t index : 31;
  };
  // One more, for the caller to fill where it stays: a value that is made elsewhere and copied at once stalls the
  // processor longer than making it takes. Good until the next report.
  Report& report() {
    items_.emplace_back() = {.is_report = 1, .index = static_cast<uint32_t>(reports_.size()) & kIndexMask};
    return reports_.emplace_back();
  }
  void report(const Report& report) { this->report() = report; }
  Report& last_report() { return reports_.back(); }
  void event(const Event& event) {
    events_.push_back(event);
    list_event();
  }
  // The engine appends its answer here; each event takes its place among the outputs by list_event().
  Batch<Event>& engine_events() { return events_; }
  size_t events_listed() const { return listed_; }
  void list_event() {
    items_.emplace_back() = {.is_report = 0, .index = static_cast<uint32_t>(listed_++) & kIndexMask};
  }
  void clear() {
    items_.clear();
    reports_.clear();
    events_.clear();
    listed_ = 0;
  }
  void append(const Outputs& more) {
    for (const Item& item : more.items()) item.is_report ? report(more.report_at(item)) : event(more.event_at(item));
  }
  bool empty() const { return items_.empty(); }
  std::span<const Item> items() const { return items_; }
  const Report& report_at(const Item& item) const { return reports_[item.index]; }
  const Event& event_at(const Item& item) const { return events_[item.index]; }
  std::span<const Report> reports() const { return reports_; }
  std::span<const Event> events() const { return events_; }
  // XXH3-64 of each item as it stands, seeded with twice that of the items before it and one more for a report; 0 of
  // none.
  uint64_t digest() const;

 private:
  static constexpr uint32_t kIndexMask = UINT32_MAX >> 1;
  Batch<Item> items_;
  Batch<Report> reports_;
  Batch<Event> events_;
  size_t listed_ = 0;
};

}  // namespace polis::exchange
