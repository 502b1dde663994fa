// LiveHub: samples live topics while somebody is subscribed and keeps for each subscriber what to send next (README.md
// of app has the protocol). Lives on shard 0. A connection on any shard owns one Subscriber id and asks next() for its
// messages through io::on.
//
//     sampler ──► topic (last value) ──► per subscriber: acknowledged value ──► snapshot or merge patch
//
// Each subscription remembers the value its client has, as text, so that a slow client gets one patch with all that
// changed and costs the memory of one sample, not of a queue.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "kernel/io/shard.h"
#include "systems/live.h"

namespace polis::app {

// RFC 7396: what turns `from` into `to`; both are JSON objects as text. "" when they are equal.
Result<std::string> merge_patch(std::string_view from, std::string_view to);

class LiveHub final : public systems::LiveTopics {
 public:
  static constexpr size_t kSubscribersMax = 256;
  static constexpr size_t kTopicsPerSubscriberMax = 64;
  static constexpr size_t kUnacknowledgedMax = 4;
  static constexpr size_t kFramesMax = 5 * kTopicsPerSubscriberMax;  // four of each topic, and an error
  static constexpr size_t kSampleSizeBytesMax = 256 * 1024;
  static constexpr Duration kSilenceMax = std::chrono::seconds(30);

  using SubscriberId = uint64_t;

  explicit LiveHub(const Clock& clock) : clock_(clock) {}
  ~LiveHub() override;

  // --- any shard, during start
  Result<void> declare(systems::LiveTopic topic) override;
  // Immutable after start: readable from any shard. Null if there is none.
  const systems::LiveTopic* find(std::string_view topic) const;
  std::vector<std::string> topic_names() const;

  // --- shard 0
  Result<SubscriberId> connect();
  void disconnect(SubscriberId id);
  Result<void> subscribe(SubscriberId id, const std::string& topic);
  void unsubscribe(SubscriberId id, const std::string& topic);
  void acknowledge(SubscriberId id, const std::string& topic, uint64_t sequence);
  // The frames to send now; waits until there are some. kClosed: the subscriber is gone or too slow, or the hub stops.
  Task<Result<std::vector<std::string>>> next(SubscriberId id);
  // Ends samplers and waiting subscribers.
  Task<void> stop();

 private:
  struct Subscription {
    std::string sent;       // the value the client has when it has read everything sent
    uint64_t sequence = 0;  // of the last frame sent
    uint64_t acknowledged = 0;
    SteadyTime stalled_since{};  // meaningful while kUnacknowledgedMax frames are under way
    std::string error;           // last error sent; not repeated
  };
  struct Subscriber {
    std::map<std::string, Subscription> subscriptions;
    std::deque<std::string> frames;
    io::Event wake;
    bool gone = false;
    bool waiting = false;
  };
  struct Topic {
    systems::LiveTopic declared;
    size_t subscribers = 0;
    bool sampling = false;
    std::string value;  // last sample; empty before the first
    std::string error;  // or why there is none
  };

  Task<void> sample(Topic* topic);
  void deliver(Topic& topic, Subscriber& subscriber, Subscription& subscription);
  void push(Subscriber& subscriber, std::string frame);

  const Clock& clock_;
  std::map<std::string, std::unique_ptr<Topic>, std::less<>> topics_;
  std::map<SubscriberId, std::shared_ptr<Subscriber>> subscribers_;  // shared: next() may wait while disconnect() runs
  SubscriberId last_id_ = 0;
  bool stopping_ = false;
  io::TaskGroup samplers_;
};

}  // namespace polis::app
