// ProducerTable: what a partition knows of its producers, so that a retried batch is stored once and a stale producer
// is refused: for each producer id its epoch, its last batches and its open transaction. And with that the
// transactions: the last stable offset, and which were aborted.
//
// Pure rules, no I/O: every change is told by the batches themselves, in their order, so replaying the segments makes
// the same table. Lives with its partition. Rules: KIP-98, KIP-360; a batch counts as repeated if it is one of the last
// five.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <unordered_map>
#include <vector>

#include "systems/stream/partition/partition.h"

namespace polis::stream {

class ProducerTable {
 public:
  // What appending this batch would mean; changes nothing. `offset` is where it would go. For a duplicate the refusal
  // is empty and `duplicate_of` tells the old base offset.
  struct Verdict {
    Refusal refusal;
    Offset duplicate_of = -1;
  };
  // The broker's own transactional batches (offsets of groups) have no sequence: only epoch and admission are judged.
  Verdict judge(const RecordBatch& batch, AppendOrigin origin = AppendOrigin::kClient) const;
  // For a marker that is to be written.
  Refusal judge_marker(int64_t producer_id, int16_t epoch, int32_t coordinator_epoch) const;
  // The batch, or marker, stands at its base offset: after an append, and for each one on replay. `now_ms`: when it was
  // met, for expire(), since the times of records may be of any year; -1: they tell it.
  void note(const RecordBatch& batch, int64_t now_ms = -1);

  // The coordinator has added the partition to the producer's transaction: batches of it may come.
  void admit(int64_t producer_id, int16_t epoch);

  // The first offset of a transaction that is open, or whose marker is not below `high_watermark`; else high_watermark,
  // which never falls from call to call.
  Offset last_stable_offset(Offset high_watermark);
  // Transactions that were aborted and have records in [from, below).
  std::vector<AbortedTransaction> aborted(Offset from, Offset below) const;
  bool open_transaction(int64_t producer_id) const;
  // The marker is no longer in the log, nor is any record of its transaction.
  void forget_aborted(Offset marker_offset);
  // Where the last batch with a sequence begins, for each producer.
  std::unordered_map<int64_t, Offset> last_batches() const;

  // Forgets producers without open transaction whose last batch is older, and what lies below `log_start`.
  void expire(int64_t now_ms, int64_t age_ms_max);
  void trim(Offset log_start);

  std::vector<ProducerState> states() const;
  size_t size() const { return producers_.size(); }
  size_t open_transactions() const { return open_.size(); }
  uint64_t memory_bytes() const;

  // The table as bytes, valid for the log up to `upto`; and back. kCorrupt.
  Bytes encode(Offset upto) const;
  static Result<std::pair<ProducerTable, Offset>> decode(BytesView bytes);

 private:
  static constexpr size_t kBatchesKept = 5;
  struct Sent {
    int32_t first_sequence = -1, last_sequence = -1;
    Offset base_offset = -1;
  };
  struct Producer {
    int16_t epoch = -1;
    int32_t coordinator_epoch = -1;
    int64_t last_timestamp = -1;
    Offset transaction_first = -1;
    int16_t admitted_epoch = -1;  // may send transactional batches of this epoch
    uint8_t kept = 0;             // of `sent`, newest last
    std::array<Sent, kBatchesKept> sent;

    int32_t last_sequence() const { return kept == 0 ? -1 : sent[kept - 1].last_sequence; }
    void remember(Sent one);
  };
  struct Ended {
    int64_t producer_id = 0;
    Offset first = 0, marker = 0;
  };
  void note_marker(const RecordBatch& batch);

  std::unordered_map<int64_t, Producer> producers_;
  std::map<Offset, int64_t> open_;  // first offset → producer
  std::vector<Ended> aborted_;      // by marker
  Offset longest_aborted_ = 0;      // from the first record to the marker
  std::deque<Ended> unsettled_;     // by marker: ended either way, above the high watermark that was last asked for
};

// The content of a control batch.
struct Marker {
  bool commit = false;
  int32_t coordinator_epoch = 0;
};
Bytes encode_marker(int64_t producer_id, int16_t epoch, Marker marker, int64_t timestamp_ms);
// Nothing if it is no transaction marker.
std::optional<Marker> decode_marker(const RecordBatch& batch);

}  // namespace polis::stream
