// Partition: one append-only sequence of record batches, and everything that must be decided in its order: offsets,
// duplicates, transactions, what a reader may see.
//
//     append ──► check, deduplicate ──► offset ──► SegmentLog (format of disk = format of wire) ──► wait: fsync or os
//     fetch  ──► (file, range) of whole batches below the high watermark ──► sendfile
//
// One node: the in-sync set is this node alone, so the high watermark is what is as durable as the topic asks
// (`polis.durability`); leader epochs and the set exist so that followers can be added. All state is rebuilt from the
// segments: they are the only home. Beside them lie derived files (index, checkpoint, notes), so that opening reads
// only what came last; and what is wrong with those is no more than slow.
//
// At rest it holds no file and no buffer: about 5 KiB. Nothing is made on the disk for its records before the first
// one.
//
// Lives on one shard. close() before it is destroyed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "kernel/io/stream.h"
#include "kernel/io/task.h"
#include "kernel/log/open_files.h"
#include "kernel/log/sync_scheduler.h"
#include "systems/stream/types.h"

namespace polis::stream {

enum class Isolation : int8_t { kReadUncommitted = 0, kReadCommitted = 1 };

// Who appends: what a client sent is checked in full; the broker's own records (offsets, markers) are trusted.
enum class AppendOrigin : uint8_t { kClient, kCoordinator };

struct AppendResult {
  Refusal refusal;
  Offset base_offset = -1;       // of the batch; of the first one for a duplicate
  Offset next_offset = -1;       // behind it: wait for this
  int64_t log_append_time = -1;  // ms, if the topic stamps
  bool duplicate = false;        // it was there already: success, with its old offset
};

struct AbortedTransaction {
  int64_t producer_id = 0;
  Offset first_offset = 0;
  Offset marker_offset = 0;  // of the marker that ended it
};

// Bytes for a consumer: whole batches that begin at or below the wanted offset, in a file or (copied) in memory.
struct Fetched {
  Refusal refusal;
  Offset high_watermark = -1, last_stable_offset = -1, log_start_offset = -1;
  std::shared_ptr<io::File> file;  // null: nothing, or `bytes`
  io::ByteRange range;
  Bytes bytes;                              // read.path = copy
  std::vector<AbortedTransaction> aborted;  // read_committed: those that the range may hold
  uint64_t size_bytes() const { return file ? range.size : bytes.size(); }
};

struct OffsetAndTimestamp {
  Offset offset = -1;
  int64_t timestamp = -1;  // ms
  int32_t leader_epoch = 0;
};

struct ProducerState {
  int64_t producer_id = 0;
  int16_t epoch = 0;
  int32_t last_sequence = -1;
  int64_t last_timestamp = -1;
  Offset transaction_first_offset = -1;  // of its open transaction; -1: none
  int32_t coordinator_epoch = -1;
};

struct PartitionOptions {
  std::string directory;
  TopicConfig config;
  Duration producer_expiry = std::chrono::hours(24);
  // Bounds the files that the partitions of one shard hold open together; outlives them. Null: no bound but each
  // partition's own.
  log::OpenFiles* files = nullptr;
};

struct PartitionStatistics {
  Offset log_start_offset = 0, high_watermark = 0, last_stable_offset = 0, end_offset = 0;
  uint64_t size_bytes = 0, segments = 0, appended_batches = 0, appended_bytes = 0, duplicates = 0;
  uint64_t torn_bytes = 0;
  uint64_t memory_bytes = 0;
  size_t producers = 0, open_transactions = 0;
};

class Partition {
 public:
  // Opens or makes it. kCorrupt names the segment and the offset that are damaged.
  static Task<Result<std::unique_ptr<Partition>>> open(io::Disk& disk, log::SyncScheduler& scheduler,
                                                       const Clock& clock, Random& random, PartitionOptions options);
  ~Partition();
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  // --- writing
  // Appends one batch; base offset and leader epoch are patched in the copy. Never waits, so calls take effect in their
  // order. The bytes are needed until it returns. Refusals: kCorruptMessage, kMessageTooLarge, kInvalidRecord,
  // kOutOfOrderSequenceNumber, kInvalidProducerEpoch, kUnknownProducerId, kInvalidTxnState, kKafkaStorageError,
  // kThrottlingQuotaExceeded when the disk is behind (the server then stops reading).
  AppendResult append(BytesView batch, AppendOrigin origin);
  // A transaction marker: ends the producer's open transaction here. Repeating it is harmless.
  AppendResult end_transaction(int64_t producer_id, int16_t epoch, bool commit, int32_t coordinator_epoch);
  // Lets the producer's next transactional batch in (AddPartitionsToTxn came first), or not.
  void begin_transaction(int64_t producer_id, int16_t epoch);
  // Until everything below `next` counts as acknowledged: `leader` (acks=1) or all in-sync replicas (acks=-1), which on
  // one node is the same: fsync or os, as the topic says. Refused with kKafkaStorageError when the log has failed.
  Task<Result<void>> wait(Offset next);

  // --- reading
  // From the batch that holds `from`, at least one whole batch if `from` is below what the isolation level shows and
  // otherwise at most `bytes_max`; nothing at the end. kOffsetOutOfRange.
  Task<Fetched> fetch(Offset from, uint64_t bytes_max, Isolation isolation);
  // Returns when at least `bytes_min` bytes can be fetched from `from` (or it is out of range), or the scope ends.
  Task<Result<void>> wait_for_data(Offset from, uint64_t bytes_min, Isolation isolation);
  Offset high_watermark() const;
  Offset last_stable_offset() const;
  Offset log_start_offset() const;
  Offset end_offset() const;  // of the next record
  // The first record at or after that time; kLatestOffset, kEarliestOffset, kMaxTimestampOffset as the protocol says.
  Task<Result<OffsetAndTimestamp>> offset_for(int64_t timestamp, Isolation isolation);
  int32_t leader_epoch() const;
  // The end of `epoch`: its last offset + 1, for OffsetForLeaderEpoch.
  std::pair<int32_t, Offset> end_of_epoch(int32_t epoch) const;
  std::vector<ProducerState> producers() const;

  // --- keeping
  // DeleteRecords: nothing below is shown any more; whole segments go. kOffsetOutOfRange above the high watermark.
  Task<Result<Offset>> delete_before(Offset offset);
  // Retention by time and size, rolling by age, producer expiry; compaction if the policy says so. Call it about every
  // 30 s. Yields often.
  Task<Result<void>> tend();
  void configure(const TopicConfig& config);

  // Why it takes no more writes; empty while healthy. Reads go on where the bytes are sound.
  const std::optional<Error>& failure() const;
  PartitionStatistics statistics() const;
  Task<Result<void>> close();

 private:
  struct State;
  explicit Partition(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::stream
