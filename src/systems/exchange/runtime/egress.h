// Egress: from the bus to whoever listens, on every shard that has listeners, in the order of the bus, as soon as it is
// safe. Lives on the home shard.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/exchange/runtime/runtime.h"
#include "systems/exchange/venue/outputs.h"

namespace polis::exchange {

// What some steps put out, to be told together.
struct EgressBatch {
  struct Item {
    Sequence sequence = 0;
    VenueTime time = 0;
    bool is_report = false;
    uint32_t index = 0;
  };
  std::vector<Item> items;
  std::vector<Report> reports;
  std::vector<Event> events;
  // Tags of ask() whose request is over, in order.
  std::vector<uint64_t> asked;

  void report(Sequence sequence, VenueTime time, const Report& report) {
    items.push_back({sequence, time, true, static_cast<uint32_t>(reports.size())});
    reports.push_back(report);
  }
  void event(Sequence sequence, VenueTime time, const Event& event) {
    items.push_back({sequence, time, false, static_cast<uint32_t>(events.size())});
    events.push_back(event);
  }
  bool empty() const { return items.empty() && asked.empty(); }
  // Memory that it keeps when it is cleared.
  size_t capacity_bytes() const {
    return items.capacity() * sizeof(Item) + reports.capacity() * sizeof(Report) + events.capacity() * sizeof(Event);
  }
  void clear() {
    items.clear();
    reports.clear();
    events.clear();
    asked.clear();
  }
};

class Egress {
 public:
  explicit Egress(io::Shard& home) : home_(home) {}

  // The listeners' shard.
  void subscribe(EgressListener& listener);
  void unsubscribe(EgressListener& listener);
  // Home shard: whether anybody listens.
  bool wanted() const { return listeners_.load(std::memory_order_acquire) != 0; }

  // Home shard: tells everybody. Answers whether the batch is free again: no other shard holds it.
  bool tell(const std::shared_ptr<const EgressBatch>& batch);

 private:
  // The listeners of one shard, touched on that shard alone.
  struct Place {
    explicit Place(io::Shard& s) : shard(s) {}
    io::Shard& shard;
    std::vector<EgressListener*> listeners;
    bool telling = false;
  };
  static void tell_here(Place& place, const EgressBatch& batch);
  std::shared_ptr<Place> place_of(io::Shard& shard, bool make);

  io::Shard& home_;
  std::mutex mutex_;  // of places_; taken for changes and once a batch
  std::vector<std::shared_ptr<Place>> places_;
  std::atomic<size_t> listeners_{0};
};

}  // namespace polis::exchange
