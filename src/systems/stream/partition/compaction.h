// Compaction: of each key only the newest record stays. Pure rules for one pass over the closed segments: first learn
// which offset is the newest of each key, then say of each batch what is left of it.
//
// Records of aborted transactions go; transaction markers stay. A record without value (a tombstone) deletes its key
// and goes itself when it is older than delete.retention.ms.
#pragma once

#include <unordered_map>

#include "kernel/base/hash.h"
#include "systems/stream/partition/producer_table.h"

namespace polis::stream {

class Compaction {
 public:
  // Keys that one pass learns: 24 bytes each and the table's own, about 200 MiB at the limit. What does not fit stays
  // for the next pass.
  static constexpr size_t kKeysMax = 4'000'000;

  // `aborted` are the transactions that were aborted in the range; `tombstones_before_ms` is the time before which they
  // go; `seed` is secret, so that nobody can make two keys look the same.
  Compaction(std::vector<AbortedTransaction> aborted, int64_t tombstones_before_ms, uint64_t seed)
      : aborted_(std::move(aborted)), tombstones_before_ms_(tombstones_before_ms), seed_(seed) {}

  // The batches of the range, in order. False when the limit is reached: the pass then holds below learned().
  Result<bool> learn(const RecordBatch& batch);
  Offset learned() const { return learned_; }
  // What is left of a batch: all of it, a smaller one, or nothing. In order from the first segment on.
  Result<std::optional<Bytes>> keep(const RecordBatch& batch);

 private:
  struct Spread {
    size_t operator()(const base::Hash128& hash) const { return hash.low; }
  };
  bool aborted(const RecordBatch& batch) const;

  const std::vector<AbortedTransaction> aborted_;
  const int64_t tombstones_before_ms_;
  const uint64_t seed_;
  std::unordered_map<base::Hash128, Offset, Spread> newest_;  // by the key's hash: 128 bits of a secret seed never meet
  Offset learned_ = 0;
};

}  // namespace polis::stream
