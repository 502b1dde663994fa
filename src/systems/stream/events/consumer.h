// Consumer: reads the records of partitions that were assigned to it, or that a consumer group gives it. The group may
// have members outside of the process too: it is the protocol's classic one, with Kafka's "range" assignment.
//
//     poll() ─► next partition in turn that has something ─► one read of the page cache ─► records, as views
//
// Positions are the caller's business (seek() and position(), to keep them in his own rows together with what he
// derived), or the group's (commit()).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/stream/broker/broker.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {

struct ConsumerOptions {
  // With a group: which topics it reads. Without: assign().
  std::string group;
  std::vector<std::string> topics;
  Isolation isolation = Isolation::kReadCommitted;
  // Where a partition begins that has no committed offset, or one that is gone: kEarliestOffset or kLatestOffset.
  Offset otherwise = kEarliestOffset;
  uint64_t fetch_bytes_max = 1 << 20;
  int32_t session_timeout_ms = 10'000;
  int32_t rebalance_timeout_ms = 10'000;
};

// What one poll gave: records of one partition, in order. Views live until the next poll.
struct Polled {
  std::string topic;  // empty: nothing came in time
  int32_t partition = -1;
  std::vector<Record> records;
  bool empty() const { return records.empty(); }
};

class Consumer {
 public:
  static Task<Result<std::unique_ptr<Consumer>>> open(Broker& broker, ConsumerOptions options);
  // After close().
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // Without a group: these partitions, from these offsets on; kEarliestOffset and kLatestOffset are resolved. Replaces
  // what was assigned. kNotFound.
  Task<Result<void>> assign(const std::map<TopicPartition, Offset>& partitions);
  // Reads on; waits for at most `wait`. In a group it takes part in rebalances. kUnavailable for a partition that
  // cannot be read; kCorrupt.
  Task<Result<Polled>> poll(Duration wait);
  // The group gets the positions behind everything that poll() gave. kConflict: the group has rebalanced meanwhile,
  // what was not committed will be given to somebody again.
  Task<Result<void>> commit();

  // The next offset to be read, by partition.
  std::map<TopicPartition, Offset> positions() const;
  Result<void> seek(const TopicPartition& partition, Offset offset);
  // How many records are there to be read; -1 for an unknown partition.
  Task<int64_t> lag(const TopicPartition& partition);

  // Of the group, for Producer::send_offsets().
  const std::string& member() const { return member_; }
  int32_t generation() const { return generation_; }

  // Leaves the group, so that others go on at once.
  Task<void> close();

 private:
  struct Reading {
    TopicPartition where;
    std::shared_ptr<const TopicTable> table;  // shared with the registry: the topic lies in it
    const Topic* topic = nullptr;
    Offset next = 0;  // to be fetched
    Offset committed = -1;
  };
  Consumer(Broker& broker, ConsumerOptions options) : broker_(broker), options_(std::move(options)) {}
  Task<Result<void>> join();
  Task<Result<bool>> join_once(const Bytes& subscription);
  Task<Result<Bytes>> sync(const JoinGroupResponse& joined);
  Task<Result<void>> take(const std::vector<TopicPartition>& assigned);
  Task<Result<Offset>> resolve(const Topic& topic, int32_t partition, Offset wanted);
  Task<void> heartbeats();
  Task<Result<bool>> fetch(Reading& reading, Polled& polled);
  Result<void> decode(Reading& reading, const Fetched& fetched, Polled& polled);
  Task<void> wait_for_any(Duration wait);

  Broker& broker_;
  const ConsumerOptions options_;
  std::vector<Reading> readings_;
  size_t next_turn_ = 0;
  Bytes fetched_;                // what the views of the last poll point into,
  std::vector<Bytes> unpacked_;  // or these, where batches were compressed
  // --- of the group
  std::string member_;
  int32_t generation_ = -1;
  bool joined_ = false;
  std::optional<Error> lost_;  // heartbeats cannot go on
  io::Event rebalance_;        // wakes poll()
  io::TaskGroup tasks_;
};

}  // namespace polis::stream
