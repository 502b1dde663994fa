// Producer: appends records to topics, in batches, idempotently or inside transactions.
//
//     send() ─► the lane of its partition: a batch collects while the one before it is appended
//            ─► shard of the partition: checks, offset, copy ─► wait (with all others of that disk) ─► send() answers
//
// Records of one lane keep the order of their send(). Several coroutines of the shard may send at the same time; that
// is what fills batches.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/stream/broker/broker.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {

struct ProducerOptions {
  // Not empty: send() only between begin() and commit() or abort(). A second producer of that id fences the first.
  std::string transactional_id;
  int32_t transaction_timeout_ms = 60'000;
  Compression compression = Compression::kNone;
  size_t batch_bytes_max = 512 << 10;
  // On their way to the disk; beyond it send() waits.
  size_t buffered_bytes_max = 32 << 20;
};

struct NewRecord {
  std::optional<BytesView> key = std::nullopt, value = std::nullopt;
  std::vector<Header> headers = {};
  int64_t timestamp_ms = -1;  // -1: now
};

struct RecordPosition {
  int32_t partition = -1;
  Offset offset = -1;
};

class Producer {
 public:
  // Of a transaction id, answers when what an earlier producer of that id left open has been ended.
  static Task<Result<std::unique_ptr<Producer>>> open(Broker& broker, ProducerOptions options);
  // Every send() was answered, or close() has waited for what is on its way.
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Answers when the record is as durable as the topic asks. The bytes are needed until the first suspension only. By
  // default a key chooses the partition, and records without one take turns. kNotFound, kTooLarge, kInvalid; kNoSpace
  // when the disk is full; kConflict once another producer has the transactional id.
  Task<Result<RecordPosition>> send(std::string_view topic, const NewRecord& record,
                                    std::optional<int32_t> partition = std::nullopt);
  // Several, in their order; answers where the first ones of each partition went. The records as in send().
  Task<Result<void>> send_all(std::string_view topic, std::span<const NewRecord> records);

  // --- transactions
  Result<void> begin();
  // The next offsets to be read, of a consumer group, become part of the transaction.
  Task<Result<void>> send_offsets(std::string_view group, const std::map<TopicPartition, Offset>& offsets,
                                  int32_t generation = -1, std::string_view member = {});
  // After a failed send() or commit(), abort().
  Task<Result<void>> commit();
  Task<Result<void>> abort();

  // After a send() that was cancelled: its record may still be on its way. A transaction that is open stays open, for
  // its time to run out or the next producer of that id.
  Task<void> close() { return tasks_.join(); }

  int64_t id() const { return id_; }
  int16_t epoch() const { return epoch_; }

 private:
  struct Batch;
  struct Lane;
  Producer(Broker& broker, ProducerOptions options);
  Task<Result<void>> init();
  Lane& lane_of(const std::shared_ptr<const TopicTable>& table, const Topic& topic, int32_t partition);
  Task<Result<std::shared_ptr<Batch>>> enqueue(std::string_view topic, const NewRecord& record,
                                               std::optional<int32_t> partition, size_t& index);
  Task<Result<RecordPosition>> outcome(std::shared_ptr<Batch> batch, size_t index);
  Task<void> run(Lane& lane);
  Task<void> append(Lane& lane, std::shared_ptr<Batch> batch);
  Task<Result<void>> admit(Lane& lane);
  Task<void> acknowledge(Lane& lane, std::shared_ptr<Batch> batch, Offset next);
  void answer(Batch& batch, Result<Offset> base);
  Task<Result<void>> end(bool commit);

  Broker& broker_;
  const ProducerOptions options_;
  int64_t id_ = -1;
  int16_t epoch_ = -1;
  std::map<std::pair<Uuid, int32_t>, std::unique_ptr<Lane>> lanes_;
  uint32_t next_turn_ = 0;
  size_t buffered_bytes_ = 0;
  io::Event room_;
  bool in_transaction_ = false, transaction_used_ = false;
  std::optional<Error> transaction_failed_;
  std::optional<Error> fenced_;
  io::TaskGroup tasks_;
};

}  // namespace polis::stream
