// Compaction: of each key only the newest record stays. Pure rules for one pass over the closed segments: first learn
// which offset is the newest of each key, then say of each batch what is left of it.
//
// - Records of aborted transactions go, and so does what was replaced.
// - A record without value (a tombstone) deletes its key. It goes itself below `settled`: the place up to which
//   an earlier pass cleaned the log at least delete.retention.ms ago, so that who reads from the start within that
//   time meets it.
// - A transaction's marker goes below `settled`, too, when nothing of its transaction is left.
// - The last batch of a producer stays, without records if need be: its sequence tells a repeated batch from a new one.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "kernel/base/hash.h"
#include "systems/stream/partition/producer_table.h"

namespace polis::stream {

class Compaction {
 public:
  // Keys that one pass learns: 24 bytes each and the table's own, about 200 MiB at the limit. What does not fit stays
  // for the next pass.
  static constexpr size_t kKeysMax = 4'000'000;

  struct Rules {
    std::vector<AbortedTransaction> aborted;           // in the range
    std::unordered_map<int64_t, Offset> last_batches;  // of the producers that are known
    Offset clean_below = 0;                            // what earlier passes have learned
    Offset settled = 0;
    uint64_t seed = 0;  // secret, so that nobody can make two keys look the same
  };
  explicit Compaction(Rules rules);

  // The batches from `clean_below` on, in order. False when the limit is reached: the pass then holds below learned().
  Result<bool> learn(const RecordBatch& batch);
  Offset learned() const { return learned_; }
  // What is left of a batch: all of it, a smaller one, or nothing. In order from the first segment on.
  Result<std::optional<Bytes>> keep(const RecordBatch& batch);

  // Markers that went, by their offset.
  const std::vector<Offset>& dropped_markers() const { return dropped_markers_; }
  // Whether something stayed that goes once this pass is settled.
  bool unsettled() const { return unsettled_; }

 private:
  struct Spread {
    size_t operator()(const base::Hash128& hash) const { return hash.low; }
  };
  bool aborted(const RecordBatch& batch) const;
  bool last_of_producer(const RecordBatch& batch) const;
  bool keep_marker(const RecordBatch& batch);

  const Rules rules_;
  std::unordered_map<int64_t, std::vector<AbortedTransaction>> aborted_;  // by producer
  std::unordered_map<base::Hash128, Offset, Spread> newest_;  // by the key's hash: 128 bits of a secret seed never meet
  Offset learned_ = 0;
  std::unordered_set<int64_t> has_records_;  // producers with something left of the transaction that is being read
  std::vector<Offset> dropped_markers_;
  bool unsettled_ = false;
};

}  // namespace polis::stream
