// EventLog: the event log for the other systems of this process: the same records, groups and transactions as for the
// clients of the protocol, without a socket. Bytes are copied once when they are appended and once when they are read.
//
//     Producer   send() ─► a batch per partition, of whatever came while the last one was appended ─► its shard
//     Consumer   poll() ─► (file, range) below the high watermark ─► one read of the page cache ─► views of records
//     Outbox     rows of a transaction of the Store ─► a topic, exactly once                               (outbox.h)
//     Queue      acknowledgement per message, redelivery, dead letters                                     (queue.h)
//
// A Producer or Consumer belongs to the shard that made it, and to one coroutine at a time but for Producer::send().
// Nobody asks what who may do: a system decides that for its own users.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/task.h"
#include "systems/stream/broker/broker.h"
#include "systems/stream/events/consumer.h"
#include "systems/stream/events/producer.h"

namespace polis::stream {

// Any shard. The broker outlives it, and it outlives what it made.
class EventLog {
 public:
  explicit EventLog(Broker& broker) : broker_(broker) {}

  // The topic, made if there is none of that name; one that is there stays as it is.
  Task<Result<std::shared_ptr<const TopicTable>>> ensure_topic(NewTopic topic);
  Task<Result<std::unique_ptr<Producer>>> producer(ProducerOptions options = {});
  Task<Result<std::unique_ptr<Consumer>>> consumer(ConsumerOptions options);
  Broker& broker() const { return broker_; }

 private:
  Broker& broker_;
};

}  // namespace polis::stream
