#include "systems/stream/partition/compaction.h"

#include <algorithm>

#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {

bool Compaction::aborted(const RecordBatch& batch) const {
  if (!batch.transactional() || batch.control()) return false;
  return std::ranges::any_of(aborted_, [&](const AbortedTransaction& one) {
    return one.producer_id == batch.producer_id() && one.first_offset <= batch.base_offset() &&
           batch.base_offset() < one.marker_offset;
  });
}

Result<bool> Compaction::learn(const RecordBatch& batch) {
  if (newest_.size() >= kKeysMax) return false;
  learned_ = batch.last_offset() + 1;
  if (batch.control() || aborted(batch)) return true;
  Bytes storage;
  RecordReader reader(batch, TRY(open_records(batch, storage)));
  while (const auto record = TRY(reader.next()))
    if (record->key) newest_[base::xxh3_128(*record->key, seed_)] = record->offset;
  return true;
}

Result<std::optional<Bytes>> Compaction::keep(const RecordBatch& batch) {
  const auto whole = [&] { return Bytes(batch.bytes().begin(), batch.bytes().end()); };
  if (batch.control() || batch.base_offset() >= learned_) return whole();
  if (aborted(batch)) return std::nullopt;
  Bytes storage, kept;
  int32_t count = 0;
  RecordReader reader(batch, TRY(open_records(batch, storage)));
  while (const auto record = TRY(reader.next())) {
    // A record without key came before the topic was compacted: nothing replaces it, and nothing needs it.
    if (!record->key) continue;
    const auto newest = newest_.find(base::xxh3_128(*record->key, seed_));
    if (newest != newest_.end() && newest->second > record->offset) continue;
    if (!record->value && record->timestamp < tombstones_before_ms_) continue;
    kept.insert(kept.end(), reader.raw().begin(), reader.raw().end());
    ++count;
  }
  if (count == batch.count()) return whole();
  if (count == 0) return std::nullopt;
  return with_records(batch, kept, count);
}

}  // namespace polis::stream
