#include "systems/stream/partition/producer_table.h"

#include <algorithm>
#include <limits>

#include "kernel/base/binary.h"

namespace polis::stream {
namespace {

// Control records: key := version:i16=0 type:i16 (0 abort, 1 commit), value := version:i16=0 coordinator_epoch:i32.
constexpr size_t kMarkerKeyBytes = 4, kMarkerValueBytes = 6;
constexpr uint8_t kTableVersion = 1;
constexpr int32_t kNoSequence = -1;

int32_t last_sequence_of(const RecordBatch& batch) {
  // Sequences go round after 2^31-1. Not the count: compaction takes records out.
  return static_cast<int32_t>((static_cast<int64_t>(batch.base_sequence()) + batch.last_offset_delta()) & 0x7fffffff);
}

int32_t following(int32_t sequence) {
  return sequence == std::numeric_limits<int32_t>::max() ? 0 : sequence + 1;
}

Refusal refuse(ErrorCode code, std::string message) {
  return {code, std::move(message)};
}

}  // namespace

void ProducerTable::Producer::remember(Sent one) {
  if (kept == kBatchesKept) {
    std::move(sent.begin() + 1, sent.end(), sent.begin());
    --kept;
  }
  sent[kept++] = one;
}

ProducerTable::Verdict ProducerTable::judge(const RecordBatch& batch, AppendOrigin origin) const {
  const int64_t id = batch.producer_id();
  if (id < 0) {
    if (batch.transactional()) return {refuse(ErrorCode::kInvalidRecord, "a transactional batch without producer id")};
    return {};
  }
  const auto who = [&] { return "producer " + std::to_string(id); };
  const bool unnumbered = origin == AppendOrigin::kCoordinator && batch.base_sequence() == kNoSequence;
  if (batch.producer_epoch() < 0 || (batch.base_sequence() < 0 && !unnumbered))
    return {refuse(ErrorCode::kInvalidRecord, who() + ": a batch without epoch or sequence")};
  const auto found = producers_.find(id);
  const bool known = found != producers_.end() && found->second.epoch >= 0;
  if (known && batch.producer_epoch() < found->second.epoch)
    return {refuse(ErrorCode::kInvalidProducerEpoch, who() + ": epoch " + std::to_string(batch.producer_epoch()) +
                                                         " is older than " + std::to_string(found->second.epoch))};
  if (batch.transactional()) {
    if (found == producers_.end() || found->second.admitted_epoch != batch.producer_epoch())
      return {refuse(ErrorCode::kInvalidTxnState, who() + ": the partition was not added to its transaction")};
  } else if (known && found->second.transaction_first >= 0) {
    return {refuse(ErrorCode::kInvalidTxnState, who() + ": a batch outside of its open transaction")};
  }
  if (unnumbered) return {};
  const bool fresh = !known || batch.producer_epoch() > found->second.epoch || found->second.kept == 0;
  if (fresh) {
    if (batch.base_sequence() == 0) return {};
    // A marker may have brought the epoch before the first batch; such a producer has not sent anything yet.
    if (!known || found->second.kept == 0)
      return {refuse(ErrorCode::kUnknownProducerId, who() + ": nothing is known of what it sent before sequence " +
                                                        std::to_string(batch.base_sequence()))};
    return {refuse(ErrorCode::kOutOfOrderSequenceNumber,
                   who() + ": a new epoch begins with sequence " + std::to_string(batch.base_sequence()))};
  }
  const Producer& producer = found->second;
  for (size_t i = 0; i < producer.kept; ++i)
    if (producer.sent[i].first_sequence == batch.base_sequence() &&
        producer.sent[i].last_sequence == last_sequence_of(batch))
      return {.refusal = {}, .duplicate_of = producer.sent[i].base_offset};
  if (batch.base_sequence() == following(producer.last_sequence())) return {};
  // Older than the five that are kept: it was stored, where is not known any more.
  const auto behind = static_cast<int32_t>(static_cast<uint32_t>(producer.last_sequence()) -
                                           static_cast<uint32_t>(last_sequence_of(batch)));
  if (behind >= 0)
    return {refuse(ErrorCode::kDuplicateSequenceNumber,
                   who() + ": sequence " + std::to_string(batch.base_sequence()) + " was stored long ago")};
  return {refuse(ErrorCode::kOutOfOrderSequenceNumber, who() + ": sequence " + std::to_string(batch.base_sequence()) +
                                                           " after " + std::to_string(producer.last_sequence()))};
}

Refusal ProducerTable::judge_marker(int64_t producer_id, int16_t epoch, int32_t coordinator_epoch) const {
  const auto found = producers_.find(producer_id);
  if (found == producers_.end()) return {};
  if (epoch < found->second.epoch) return refuse(ErrorCode::kInvalidProducerEpoch, "a marker of an older epoch");
  if (coordinator_epoch < found->second.coordinator_epoch)
    return refuse(ErrorCode::kTransactionCoordinatorFenced, "a marker of an older coordinator");
  return {};
}

void ProducerTable::note(const RecordBatch& batch, int64_t now_ms) {
  const int64_t id = batch.producer_id();
  if (id < 0) return;
  if (batch.control()) return note_marker(batch);
  Producer& producer = producers_[id];
  if (batch.producer_epoch() > producer.epoch) producer.kept = 0;
  producer.epoch = batch.producer_epoch();
  producer.last_timestamp = now_ms >= 0 ? now_ms : std::max(producer.last_timestamp, batch.max_timestamp());
  if (batch.base_sequence() != kNoSequence)
    producer.remember({batch.base_sequence(), last_sequence_of(batch), batch.base_offset()});
  if (batch.transactional()) {
    producer.admitted_epoch = batch.producer_epoch();  // a replay has no coordinator to ask
    if (producer.transaction_first < 0) {
      producer.transaction_first = batch.base_offset();
      open_.emplace(batch.base_offset(), id);
    }
  }
}

void ProducerTable::note_marker(const RecordBatch& batch) {
  const auto marker = decode_marker(batch);
  if (!marker) return;
  Producer& producer = producers_[batch.producer_id()];
  if (batch.producer_epoch() > producer.epoch) {
    producer.epoch = batch.producer_epoch();
    producer.kept = 0;
  }
  producer.coordinator_epoch = std::max(producer.coordinator_epoch, marker->coordinator_epoch);
  producer.last_timestamp = std::max(producer.last_timestamp, batch.max_timestamp());
  producer.admitted_epoch = -1;
  if (producer.transaction_first < 0) return;
  const Ended ended{batch.producer_id(), producer.transaction_first, batch.base_offset()};
  unsettled_.push_back(ended);
  if (!marker->commit) {
    aborted_.push_back(ended);
    longest_aborted_ = std::max(longest_aborted_, ended.marker - ended.first);
  }
  open_.erase(producer.transaction_first);
  producer.transaction_first = -1;
}

void ProducerTable::admit(int64_t producer_id, int16_t epoch) {
  Producer& producer = producers_[producer_id];
  if (epoch >= producer.epoch) producer.admitted_epoch = epoch;
}

Offset ProducerTable::last_stable_offset(Offset high_watermark) {
  while (!unsettled_.empty() && unsettled_.front().marker < high_watermark) unsettled_.pop_front();
  Offset first = open_.empty() ? high_watermark : std::min(high_watermark, open_.begin()->first);
  for (const Ended& ended : unsettled_) first = std::min(first, ended.first);
  return first;
}

std::vector<AbortedTransaction> ProducerTable::aborted(Offset from, Offset below) const {
  std::vector<AbortedTransaction> found;
  auto ended = std::lower_bound(aborted_.begin(), aborted_.end(), from,
                                [](const Ended& one, Offset offset) { return one.marker < offset; });
  for (; ended != aborted_.end() && ended->marker - longest_aborted_ < below; ++ended)
    if (ended->first < below) found.push_back({ended->producer_id, ended->first, ended->marker});
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first_offset < b.first_offset; });
  return found;
}

bool ProducerTable::open_transaction(int64_t producer_id) const {
  const auto found = producers_.find(producer_id);
  return found != producers_.end() && found->second.transaction_first >= 0;
}

void ProducerTable::forget_aborted(Offset marker_offset) {
  std::erase_if(aborted_, [&](const Ended& ended) { return ended.marker == marker_offset; });
}

std::unordered_map<int64_t, Offset> ProducerTable::last_batches() const {
  std::unordered_map<int64_t, Offset> batches;
  for (const auto& [id, producer] : producers_)
    if (producer.kept > 0) batches.emplace(id, producer.sent[producer.kept - 1].base_offset);
  return batches;
}

void ProducerTable::expire(int64_t now_ms, int64_t age_ms_max) {
  std::erase_if(producers_, [&](const auto& entry) {
    const Producer& producer = entry.second;
    // An admitted producer without a batch yet has no time: its coordinator ends its transaction.
    return producer.transaction_first < 0 && producer.admitted_epoch < 0 &&
           now_ms - producer.last_timestamp > age_ms_max;
  });
}

void ProducerTable::trim(Offset log_start) {
  std::erase_if(aborted_, [&](const Ended& ended) { return ended.marker < log_start; });
}

std::vector<ProducerState> ProducerTable::states() const {
  std::vector<ProducerState> states;
  for (const auto& [id, producer] : producers_)
    states.push_back({id, producer.epoch, producer.last_sequence(), producer.last_timestamp, producer.transaction_first,
                      producer.coordinator_epoch});
  std::sort(states.begin(), states.end(), [](const auto& a, const auto& b) { return a.producer_id < b.producer_id; });
  return states;
}

uint64_t ProducerTable::memory_bytes() const {
  constexpr uint64_t kNodeBytes = 32;  // of a hash or tree node besides its value
  return producers_.size() * (sizeof(Producer) + kNodeBytes) + open_.size() * (16 + kNodeBytes) +
         (aborted_.capacity() + unsettled_.size()) * sizeof(Ended);
}

Bytes ProducerTable::encode(Offset upto) const {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kTableVersion);
  out.zigzag(upto);
  out.varint(producers_.size());
  for (const auto& [id, producer] : producers_) {
    out.zigzag(id);
    out.zigzag(producer.epoch);
    out.zigzag(producer.coordinator_epoch);
    out.zigzag(producer.last_timestamp);
    out.zigzag(producer.transaction_first);
    out.zigzag(producer.admitted_epoch);
    out.u8(producer.kept);
    for (size_t i = 0; i < producer.kept; ++i) {
      out.zigzag(producer.sent[i].first_sequence);
      out.zigzag(producer.sent[i].last_sequence);
      out.zigzag(producer.sent[i].base_offset);
    }
  }
  out.varint(aborted_.size());
  for (const Ended& ended : aborted_) {
    out.zigzag(ended.producer_id);
    out.zigzag(ended.first);
    out.zigzag(ended.marker);
  }
  return bytes;
}

Result<std::pair<ProducerTable, Offset>> ProducerTable::decode(BytesView bytes) {
  base::Reader in(bytes);
  ProducerTable table;
  if (in.u8() != kTableVersion) in.reject("an unknown version of the producers' table");
  const Offset upto = in.zigzag();
  for (size_t count = in.count(7); count > 0 && in.ok(); --count) {
    const int64_t id = in.zigzag();
    Producer producer;
    producer.epoch = static_cast<int16_t>(in.zigzag());
    producer.coordinator_epoch = static_cast<int32_t>(in.zigzag());
    producer.last_timestamp = in.zigzag();
    producer.transaction_first = in.zigzag();
    producer.admitted_epoch = static_cast<int16_t>(in.zigzag());
    producer.kept = in.u8();
    if (producer.kept > kBatchesKept) in.reject("more batches than are kept");
    for (size_t i = 0; i < producer.kept && in.ok(); ++i) {
      producer.sent[i].first_sequence = static_cast<int32_t>(in.zigzag());
      producer.sent[i].last_sequence = static_cast<int32_t>(in.zigzag());
      producer.sent[i].base_offset = in.zigzag();
    }
    if (!in.ok()) break;
    if (producer.transaction_first >= 0) table.open_.emplace(producer.transaction_first, id);
    if (!table.producers_.emplace(id, producer).second) in.reject("a producer twice");
  }
  for (size_t count = in.count(3); count > 0 && in.ok(); --count) {
    Ended ended;
    ended.producer_id = in.zigzag();
    ended.first = in.zigzag();
    ended.marker = in.zigzag();
    if (ended.first < 0 || ended.marker < ended.first) in.reject("a marker before its transaction");
    if (!table.aborted_.empty() && table.aborted_.back().marker > ended.marker) in.reject("markers out of order");
    if (!in.ok()) break;
    table.aborted_.push_back(ended);
    table.longest_aborted_ = std::max(table.longest_aborted_, ended.marker - ended.first);
  }
  TRY(in.finish());
  return std::pair{std::move(table), upto};
}

Bytes encode_marker(int64_t producer_id, int16_t epoch, Marker marker, int64_t timestamp_ms) {
  std::array<std::byte, kMarkerKeyBytes> key{};
  key[3] = std::byte{marker.commit};
  std::array<std::byte, kMarkerValueBytes> value{};
  base::store_big<uint32_t>(value.data() + 2, static_cast<uint32_t>(marker.coordinator_epoch));
  BatchBuilder builder({.id = producer_id, .epoch = epoch, .base_sequence = -1, .transactional = true}, true);
  builder.add(timestamp_ms, BytesView(key), BytesView(value));
  return builder.finish();
}

std::optional<Marker> decode_marker(const RecordBatch& batch) {
  if (!batch.control() || batch.compression() != Compression::kNone) return std::nullopt;
  RecordReader reader(batch, batch.records());
  const auto record = reader.next();
  if (!record || !*record || !(*record)->key || (*record)->key->size() < kMarkerKeyBytes) return std::nullopt;
  const auto type = base::load_big<uint16_t>((*record)->key->data() + 2);
  if (type > 1) return std::nullopt;
  Marker marker{.commit = type == 1};
  if ((*record)->value && (*record)->value->size() >= kMarkerValueBytes)
    marker.coordinator_epoch = static_cast<int32_t>(base::load_big<uint32_t>((*record)->value->data() + 2));
  return marker;
}

}  // namespace polis::stream
