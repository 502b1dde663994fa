#include "systems/stream/faces/queue_desk.h"

namespace polis::stream {

QueueDesk::~QueueDesk() {
  POLIS_ASSERT(places_.empty());
}

Task<Result<QueueDesk::Use>> QueueDesk::use(QueueOptions options) {
  // One at a time: two who come together must not open the same queue twice.
  CO_TRY(co_await opening_.acquire());
  Result<Use> found = co_await [](QueueDesk& desk, QueueOptions wanted) -> Task<Result<Use>> {
    if (desk.stopped_) co_return fail(Code::kClosed, "polis is stopping");
    co_await desk.tidy();
    const std::pair key(wanted.name, wanted.topic);
    if (auto at = desk.places_.find(key); at != desk.places_.end()) co_return Use(at->second);
    if (desk.places_.size() >= kQueuesOpenMax)
      co_return fail(Code::kBusy, "too many queues are in use: come again when some of them rest");
    auto queue = CO_TRY(co_await Queue::open(desk.parts_, wanted));
    Place& place = desk.places_[key];
    place.options = std::move(wanted);
    place.queue = std::move(queue);
    co_return Use(place);
  }(*this, std::move(options));
  opening_.release();
  co_return found;
}

Task<void> QueueDesk::tidy() {
  const SteadyTime now = io::Shard::current().now();
  for (auto at = places_.begin(); at != places_.end();) {
    Place& place = at->second;
    // A message that is with a worker comes back to the others only while the queue is open.
    const bool resting =
        place.users == 0 && place.queue->statistics().with_workers == 0 && now - place.used_at > kQueueIdleMax;
    if (!resting) {
      ++at;
      continue;
    }
    const std::unique_ptr<Queue> queue = std::move(place.queue);
    at = places_.erase(at);
    co_await queue->close();
  }
}

Task<void> QueueDesk::stop() {
  stopped_ = true;
  while (!places_.empty()) {
    auto node = places_.extract(places_.begin());
    co_await node.mapped().queue->close();
  }
}

std::vector<QueueDesk::Opened> QueueDesk::list() const {
  std::vector<Opened> opened;
  for (const auto& [key, place] : places_)
    opened.push_back({.options = place.options, .statistics = place.queue->statistics()});
  return opened;
}

}  // namespace polis::stream
