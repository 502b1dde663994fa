// QueueDesk: the queues (events/queue.h) that people and programs outside use through the admin API. A queue is opened
// by the first who asks for it, with the options that he gives, and closed when nobody has used it for a while: what
// matters of it lies in the Store. On one shard.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "systems/stream/events/queue.h"

namespace polis::stream {

// Each holds a reader and what it has read ahead.
inline constexpr size_t kQueuesOpenMax = 64;
inline constexpr Duration kQueueIdleMax = std::chrono::minutes(10);

class QueueDesk {
 public:
  explicit QueueDesk(QueueParts parts) : parts_(parts) {}
  ~QueueDesk();  // after stop()

  // The queue of that name on that topic; opened if it is not. Its options stay those of the first who asked until it
  // is closed. kBusy when too many are open, kClosed when polis stops. Valid as long as it is held.
  class Use;
  Task<Result<Use>> use(QueueOptions options);
  // Closes those that nobody has used for a while; at the next use() in any case.
  Task<void> tidy();
  Task<void> stop();

  struct Opened {
    QueueOptions options;
    QueueStatistics statistics;
  };
  std::vector<Opened> list() const;

 private:
  struct Place {
    QueueOptions options;
    std::unique_ptr<Queue> queue;
    size_t users = 0;
    SteadyTime used_at{};
  };
  QueueParts parts_;
  std::map<std::pair<std::string, std::string>, Place> places_;  // by name and topic
  io::Semaphore opening_{1};
  bool stopped_ = false;

 public:
  // Keeps the queue open.
  class Use {
   public:
    explicit Use(Place& place) : place_(&place) { ++place.users; }
    Use(Use&& other) noexcept : place_(std::exchange(other.place_, nullptr)) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (!place_) return;
      --place_->users;
      place_->used_at = io::Shard::current().now();
    }
    Queue* operator->() const { return place_->queue.get(); }

   private:
    Place* place_;
  };
};

}  // namespace polis::stream
