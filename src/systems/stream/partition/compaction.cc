#include "systems/stream/partition/compaction.h"

#include <algorithm>

#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {

Compaction::Compaction(Rules rules) : rules_(std::move(rules)), learned_(rules_.clean_below) {
  for (const AbortedTransaction& one : rules_.aborted) aborted_[one.producer_id].push_back(one);
}

bool Compaction::aborted(const RecordBatch& batch) const {
  if (!batch.transactional() || batch.control()) return false;
  const auto own = aborted_.find(batch.producer_id());
  if (own == aborted_.end()) return false;
  return std::ranges::any_of(own->second, [&](const AbortedTransaction& one) {
    return one.first_offset <= batch.base_offset() && batch.base_offset() < one.marker_offset;
  });
}

bool Compaction::last_of_producer(const RecordBatch& batch) const {
  const auto last = rules_.last_batches.find(batch.producer_id());
  return last != rules_.last_batches.end() && last->second == batch.base_offset();
}

Result<bool> Compaction::learn(const RecordBatch& batch) {
  if (newest_.size() >= kKeysMax) return false;
  learned_ = batch.last_offset() + 1;
  if (batch.control() || aborted(batch)) return true;
  Bytes storage;
  RecordReader reader(batch, TRY(open_records(batch, storage)));
  while (const auto record = TRY(reader.next()))
    if (record->key) newest_[base::xxh3_128(*record->key, rules_.seed)] = record->offset;
  return true;
}

bool Compaction::keep_marker(const RecordBatch& batch) {
  if (!decode_marker(batch)) return true;
  if (has_records_.erase(batch.producer_id()) > 0) return true;
  if (batch.last_offset() < rules_.settled) {
    dropped_markers_.push_back(batch.base_offset());
    return false;
  }
  unsettled_ = true;
  return true;
}

Result<std::optional<Bytes>> Compaction::keep(const RecordBatch& batch) {
  const auto whole = [&] { return Bytes(batch.bytes().begin(), batch.bytes().end()); };
  if (batch.base_offset() >= learned_) return whole();
  if (batch.control()) {
    if (!keep_marker(batch)) return std::nullopt;
    return whole();
  }
  Bytes storage, kept;
  int32_t count = 0;
  if (!aborted(batch)) {
    RecordReader reader(batch, TRY(open_records(batch, storage)));
    while (const auto record = TRY(reader.next())) {
      // A record without key came before the topic was compacted: nothing replaces it, and nothing needs it.
      if (!record->key) continue;
      const auto newest = newest_.find(base::xxh3_128(*record->key, rules_.seed));
      if (newest != newest_.end() && newest->second > record->offset) continue;
      if (!record->value) {
        if (record->offset < rules_.settled) continue;
        unsettled_ = true;
      }
      kept.insert(kept.end(), reader.raw().begin(), reader.raw().end());
      ++count;
    }
  }
  if (count == 0 && !last_of_producer(batch)) return std::nullopt;
  if (batch.transactional()) has_records_.insert(batch.producer_id());
  if (count == batch.count()) return whole();
  return with_records(batch, kept, count);
}

}  // namespace polis::stream
