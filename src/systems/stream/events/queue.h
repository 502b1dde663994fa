// Queue: workers that compete for the messages of a topic: each message goes to one of them, who acknowledges it alone.
// What is not acknowledged in time goes to another worker; what was tried too often goes to a dead-letter topic. The
// topic stays what it is: groups with offsets and other queues read the same records beside it.
//
//                    ┌──────────── given back, or the worker's time is over ────────────┐
//     topic ─► ready ─┴► receive() ─► with a worker ─► acknowledge() ─► done ─► the floor moves
//                                          └─ tried too often ─► TOPIC.dead-letter ─► done
//
// Of every partition one row of the Store says up to where messages were given out, and which of those are not done,
// with how often they were tried. So an acknowledgement that was answered holds after a crash; what a worker had at
// that moment comes again. Order is given up: that is what a group is for.
//
// Lives on the shard that opened it; any number of coroutines there receive and acknowledge.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/stream/events/event_log.h"

namespace polis::stream {

struct QueueParts {
  Broker& broker;
  store::Store& store;
  store::Keyspace rows;  // of stream
};

struct QueueOptions {
  std::string name;   // of the workers together, [a-z0-9_.-]{1,64}
  std::string topic;  // must exist
  Duration redeliver_after = std::chrono::seconds(30);
  int32_t tries_max = 5;
  std::string dead_letter_topic;  // empty: TOPIC.dead-letter, made when it is needed
  // Messages of one partition that were given out and are not done; beyond, no new ones are given. The row of a
  // partition holds so many.
  size_t outstanding_max = 10'000;
};

// Headers of a dead letter, besides its own: where it was, and how often it was tried.
inline constexpr std::string_view kDeadLetterOriginHeader = "polis-dead-letter-origin";  // "orders-3@17"
inline constexpr std::string_view kDeadLetterTriesHeader = "polis-dead-letter-tries";

struct MessageId {
  int32_t partition = -1;
  Offset offset = -1;
  auto operator<=>(const MessageId&) const = default;
};

// One message with a worker. Owns its bytes: a worker may take his time.
struct Message {
  MessageId id;
  int32_t tries = 1;  // with this one
  int64_t timestamp_ms = 0;
  std::optional<Bytes> key, value;
  std::vector<std::pair<std::string, std::optional<Bytes>>> headers;
};

struct QueueStatistics {
  uint64_t received = 0, acknowledged = 0, redelivered = 0, dead = 0;
  size_t with_workers = 0, waiting_again = 0;
};

class Queue {
 public:
  static Task<Result<std::unique_ptr<Queue>>> open(QueueParts parts, QueueOptions options);
  ~Queue();  // after close()
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // At least one message and at most `most`; none if nothing came in time.
  Task<Result<std::vector<Message>>> receive(size_t most, Duration wait);
  // They are done: durable when it answers. kNotFound if one of them is with no worker any more (its time was over and
  // it goes, or went, to another): the others are done nevertheless.
  Task<Result<void>> acknowledge(std::vector<MessageId> ids);
  // Somebody else shall try, at once. kNotFound as above.
  Result<void> give_back(MessageId id);
  // The worker needs so much longer, from now on. kNotFound as above.
  Result<void> extend(MessageId id, Duration by);

  QueueStatistics statistics() const;
  Task<void> close();

 private:
  struct Outstanding {
    int32_t tries = 0;
    bool lent = false;  // with a worker, until then
    SteadyTime until{};
  };
  // One partition.
  struct Lane {
    Offset given = 0;  // everything below was given out at least once
    std::map<Offset, Outstanding> outstanding;
    bool changed = false;
  };
  // Those who wait for the same commit of the rows.
  struct Saving {
    io::Event done;
    std::optional<Result<void>> result;
  };

  Queue(QueueParts parts, QueueOptions options);
  Task<Result<void>> begin();
  Task<Result<void>> forget_erased();
  Task<Result<void>> take_partitions();
  std::string row_key(int32_t partition) const;
  Outstanding* lent(MessageId id);
  Task<Result<std::optional<Message>>> read_again(MessageId id);
  Message lend(Lane& lane, Message message, int32_t tries);
  void return_message(MessageId id, Outstanding& outstanding);
  Task<void> read();
  Task<void> watch();
  Task<Result<void>> bury(MessageId id, int32_t tries);
  Task<Result<void>> save();
  Task<void> save_loop();
  Task<Result<void>> write_rows();

  const QueueParts parts_;
  const QueueOptions options_;
  Uuid topic_id_;  // a topic made anew under its name is another one: nothing of the old one counts
  std::map<int32_t, Lane> lanes_;
  std::unique_ptr<Consumer> consumer_;  // of read()
  std::unique_ptr<Producer> producer_;  // of dead letters; made when it is needed
  std::deque<Message> fresh_;           // read, not yet given out
  std::deque<MessageId> again_;         // to be given to another worker
  std::deque<MessageId> dying_;         // tried too often
  io::Event come_;                      // there is something to be given out
  io::Event room_;                      // for more to be read
  std::shared_ptr<Saving> collecting_;  // shared by those who wait
  bool saving_ = false;
  QueueStatistics counts_;
  io::TaskGroup tasks_;
};

}  // namespace polis::stream
