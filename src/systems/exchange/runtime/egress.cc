#include "systems/exchange/runtime/egress.h"

#include <algorithm>

namespace polis::exchange {

std::shared_ptr<Egress::Place> Egress::place_of(io::Shard& shard, bool make) {
  std::lock_guard lock(mutex_);
  for (const auto& place : places_)
    if (&place->shard == &shard) return place;
  if (!make) return nullptr;
  return places_.emplace_back(std::make_shared<Place>(shard));
}

void Egress::subscribe(EgressListener& listener) {
  place_of(io::Shard::current(), true)->listeners.push_back(&listener);
  listeners_.fetch_add(1, std::memory_order_acq_rel);
}

void Egress::unsubscribe(EgressListener& listener) {
  const auto place = place_of(io::Shard::current(), false);
  if (!place) return;
  const auto found = std::find(place->listeners.begin(), place->listeners.end(), &listener);
  if (found == place->listeners.end()) return;
  listeners_.fetch_sub(1, std::memory_order_acq_rel);
  // A listener may leave while it is told something: its place stays until the batch is over.
  if (place->telling) {
    *found = nullptr;
  } else {
    place->listeners.erase(found);
  }
}

void Egress::tell_here(Place& place, const EgressBatch& batch) {
  place.telling = true;
  const size_t count = place.listeners.size();  // who comes meanwhile begins with the next batch
  for (size_t i = 0; i < count; ++i) {
    for (const auto& item : batch.items) {
      EgressListener* const listener = place.listeners[i];
      if (listener == nullptr) break;
      if (item.is_report) {
        listener->on_report(item.sequence, item.time, batch.reports[item.index]);
      } else {
        listener->on_event(item.sequence, item.time, batch.events[item.index]);
      }
    }
    if (place.listeners[i] != nullptr) place.listeners[i]->on_batch_end();
  }
  place.telling = false;
  std::erase(place.listeners, nullptr);
}

bool Egress::tell(const std::shared_ptr<const EgressBatch>& batch) {
  if (batch->items.empty()) return true;
  bool free = true;
  std::shared_ptr<Place> here;
  {
    std::lock_guard lock(mutex_);
    for (const auto& place : places_) {
      if (&place->shard == &home_) {
        here = place;
        continue;
      }
      free = false;
      place->shard.post([place, batch] { tell_here(*place, *batch); });
    }
  }
  if (here) tell_here(*here, *batch);
  return free;
}

}  // namespace polis::exchange
