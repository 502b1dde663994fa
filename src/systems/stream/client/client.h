// A client for the command line, the tour, the benchmarks and tests: topics, producing, reading, transactions, each by
// one request. Broker errors are Errors whose message begins with the code's name ("PRODUCER_FENCED (90): ...").
// Belongs to one shard and one coroutine at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "systems/stream/client/connection.h"
#include "systems/stream/client/records.h"

namespace polis::stream {

// What one fetch of one partition gave. The bytes are a view until the next request.
struct FetchedBytes {
  BytesView batches;
  Offset high_watermark = -1, last_stable_offset = -1, log_start_offset = -1;
  std::vector<AbortedRange> aborted;
};

struct FetchWish {
  std::string_view topic;
  int32_t partition = 0;
  Offset from = 0;
  int32_t bytes_max = 1 << 20;
  int32_t bytes_min = 1;
  int32_t wait_ms = 500;
  bool committed_only = false;  // read_committed
};

struct Produced {
  Offset base_offset = -1;
  int64_t log_append_time = -1;
};

// Who produces: an idempotent producer counts its batches, one of transactions has a name, too.
struct ProducerId {
  int64_t id = -1;
  int16_t epoch = -1;
};

class Client {
 public:
  explicit Client(ClientConnection connection) : connection_(std::move(connection)) {}
  static Task<Result<Client>> open(io::Endpoint endpoint, std::string client_id);
  ClientConnection& connection() { return connection_; }

  // --- topics
  Task<Result<void>> create_topic(std::string name, int32_t partitions, std::map<std::string, std::string> config = {});
  Task<Result<void>> erase_topic(std::string name);
  Task<Result<void>> configure_topic(std::string name, std::map<std::string, std::string> config);
  // kNotFound unless it exists; it is not made by asking, except with `make`.
  Task<Result<int32_t>> partitions_of(std::string topic, bool make = false);

  // --- records
  // Appends one batch (BatchBuilder::finish) and waits for the answer, unless acks is 0.
  Task<Result<Produced>> produce(std::string_view topic, int32_t partition, BytesView batch, int16_t acks = -1,
                                 std::optional<std::string_view> transactional_id = {});
  // The same in two parts, for several batches under way.
  Task<Result<void>> send_batch(std::string_view topic, int32_t partition, BytesView batch, int16_t acks,
                                std::optional<std::string_view> transactional_id = {});
  Task<Result<Produced>> batch_answer();
  Task<Result<FetchedBytes>> fetch(const FetchWish& wish);
  Task<Result<void>> send_fetch(const FetchWish& wish);
  Task<Result<FetchedBytes>> fetch_answer();
  // kLatestOffset, kEarliestOffset, kMaxTimestampOffset, or milliseconds since 1970.
  Task<Result<Offset>> offset_for(std::string_view topic, int32_t partition, int64_t timestamp,
                                  bool committed_only = false);

  // --- producers and transactions
  Task<Result<ProducerId>> init_producer(std::optional<std::string_view> transactional_id = {},
                                         int32_t timeout_ms = 60'000);
  // While the broker still ends the transaction before, these ask again for at most ten seconds.
  Task<Result<void>> add_partition(std::string transactional_id, ProducerId producer, std::string topic,
                                   int32_t partition);
  Task<Result<void>> commit_offset_in_transaction(std::string transactional_id, ProducerId producer, std::string group,
                                                  std::string topic, int32_t partition, Offset offset);
  Task<Result<void>> end_transaction(std::string transactional_id, ProducerId producer, bool commit);

  // --- positions of groups
  Task<Result<void>> commit(std::string group, std::string topic, int32_t partition, Offset offset,
                            int32_t generation = -1, std::string member = {});
  Task<Result<std::optional<Offset>>> committed(std::string group, std::string topic, int32_t partition);

 private:
  ClientConnection connection_;
};

// A batch of these values (with keys, if there are as many), compressed so.
Bytes make_batch(const std::vector<std::string>& keys, const std::vector<std::string>& values, int64_t timestamp_ms,
                 Compression compression = Compression::kNone, BatchBuilder::Producer producer = {});

}  // namespace polis::stream
