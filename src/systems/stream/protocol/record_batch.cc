#include "systems/stream/protocol/record_batch.h"

#include <string>

#include "kernel/base/binary.h"
#include "kernel/base/crc.h"

namespace polis::stream {
namespace {

constexpr size_t kCrcAt = 17, kAttributesAt = 21, kMaxTimestampAt = 35;
constexpr int8_t kMagic = 2;

template <class T>
void store(MutableBytes batch, size_t at, T value) {
  base::store_big<std::make_unsigned_t<T>>(batch.data() + at, static_cast<std::make_unsigned_t<T>>(value));
}

void seal(MutableBytes batch) {
  store(batch, kCrcAt, base::crc32c(batch.subspan(kAttributesAt)));
}

// Zigzag varints as the records have them: shortest form is not demanded, since clients differ.
bool take_varint(BytesView& rest, int64_t& value) {
  uint64_t raw = 0;
  for (unsigned shift = 0; shift < 70 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest[0]);
    rest = rest.subspan(1);
    raw |= shift < 64 ? uint64_t{byte & 0x7fu} << shift : 0;
    if (byte < 0x80) {
      value = base::zigzag_decode(raw);
      return true;
    }
  }
  return false;
}

// Length-prefixed bytes; -1 is null.
bool take_bytes(BytesView& rest, std::optional<BytesView>& value) {
  int64_t length = 0;
  if (!take_varint(rest, length) || length < -1 || length > static_cast<int64_t>(rest.size())) return false;
  if (length < 0) {
    value.reset();
    return true;
  }
  value = rest.first(static_cast<size_t>(length));
  rest = rest.subspan(static_cast<size_t>(length));
  return true;
}

void put_bytes(base::Writer& out, std::optional<BytesView> value) {
  if (!value) return out.zigzag(-1);
  out.zigzag(static_cast<int64_t>(value->size()));
  out.bytes(*value);
}

}  // namespace

Result<std::optional<size_t>> RecordBatch::size_of(BytesView bytes) {
  if (bytes.size() < kBatchLengthEnds) return std::nullopt;
  const auto length = static_cast<int32_t>(base::load_big<uint32_t>(bytes.data() + 8));
  if (length < static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnds))
    return fail(Code::kCorrupt,
                "a record batch says it has " + std::to_string(length) + " bytes, less than its header");
  return static_cast<size_t>(length) + kBatchLengthEnds;
}

Result<void> RecordBatch::check() const {
  if (bytes_.size() < kBatchHeaderBytes) return fail(Code::kCorrupt, "a record batch is cut off in its header");
  if (magic() != kMagic)
    return fail(Code::kUnsupported, "record format " + std::to_string(magic()) + "; this broker takes format 2");
  const auto size = TRY(size_of(bytes_));
  if (size != bytes_.size()) return fail(Code::kCorrupt, "a record batch is not as long as it says");
  if (!sound()) return fail(Code::kCorrupt, "the checksum of a record batch is wrong");
  if (compression() > Compression::kZstd) return fail(Code::kUnsupported, "an unknown compression");
  if (count() <= 0 || last_offset_delta() != count() - 1)
    return fail(Code::kCorrupt, "a record batch of " + std::to_string(count()) + " records has last offset delta " +
                                    std::to_string(last_offset_delta()));
  return {};
}

bool RecordBatch::sound() const {
  return base::crc32c(bytes_.subspan(kAttributesAt)) == crc();
}

void set_base_offset(MutableBytes batch, Offset offset) {
  store(batch, 0, offset);
}

void set_leader_epoch(MutableBytes batch, int32_t epoch) {
  store(batch, 12, epoch);
}

void set_log_append_time(MutableBytes batch, int64_t timestamp_ms) {
  const auto attributes = static_cast<int16_t>(RecordBatch(batch).attributes() | batch_attributes::kLogAppendTime);
  store(batch, kAttributesAt, attributes);
  store(batch, kMaxTimestampAt, timestamp_ms);
  seal(batch);
}

void set_compression(MutableBytes batch, Compression compression) {
  const int16_t others = static_cast<int16_t>(RecordBatch(batch).attributes() & ~batch_attributes::kCompression);
  store(batch, 8, static_cast<int32_t>(batch.size() - kBatchLengthEnds));
  store(batch, kAttributesAt, static_cast<int16_t>(others | static_cast<int16_t>(compression)));
  seal(batch);
}

void set_producer(MutableBytes batch, const BatchProducer& producer) {
  const int others = RecordBatch(batch).attributes() & ~batch_attributes::kTransactional;
  store(batch, kAttributesAt,
        static_cast<int16_t>(producer.transactional ? others | batch_attributes::kTransactional : others));
  store(batch, 43, producer.id);
  store(batch, 51, producer.epoch);
  store(batch, 53, producer.base_sequence);
  seal(batch);
}

void set_count(MutableBytes batch, int32_t count) {
  store(batch, 57, count);
  seal(batch);
}

RecordReader::RecordReader(const RecordBatch& batch, BytesView records)
    : base_offset_(batch.base_offset()),
      base_timestamp_(batch.base_timestamp()),
      max_timestamp_(batch.max_timestamp()),
      append_time_((batch.attributes() & batch_attributes::kLogAppendTime) != 0),
      left_(batch.count()),
      rest_(records) {}

Result<std::optional<Record>> RecordReader::next() {
  const auto corrupt = [] { return fail(Code::kCorrupt, "a record is cut off or has a length that cannot be"); };
  if (left_ < 0) return fail(Code::kCorrupt, "a record batch of fewer than no records");
  if (left_ == 0) {
    if (!rest_.empty()) return fail(Code::kCorrupt, "a record batch holds more than its records");
    return std::nullopt;
  }
  std::optional<BytesView> body;
  const BytesView begin = rest_;
  if (!take_bytes(rest_, body) || !body || body->empty()) return corrupt();
  raw_ = begin.first(begin.size() - rest_.size());
  BytesView rest = body->subspan(1);  // its attributes: none are defined
  Record record;
  int64_t timestamp_delta = 0, offset_delta = 0, headers = 0;
  if (!take_varint(rest, timestamp_delta) || !take_varint(rest, offset_delta)) return corrupt();
  if (!take_bytes(rest, record.key) || !take_bytes(rest, record.value)) return corrupt();
  // A header takes at least two bytes.
  if (!take_varint(rest, headers) || headers < 0 || headers > static_cast<int64_t>(rest.size() / 2)) return corrupt();
  record.headers.reserve(static_cast<size_t>(headers));
  for (int64_t i = 0; i < headers; ++i) {
    std::optional<BytesView> key;
    Header header;
    if (!take_bytes(rest, key) || !key || !take_bytes(rest, header.value)) return corrupt();
    header.key = as_text(*key);
    record.headers.push_back(header);
  }
  if (!rest.empty()) return corrupt();
  // Added as unsigned numbers: hostile deltas wrap instead of being undefined.
  record.timestamp =
      append_time_
          ? max_timestamp_
          : static_cast<int64_t>(static_cast<uint64_t>(base_timestamp_) + static_cast<uint64_t>(timestamp_delta));
  record.offset = static_cast<Offset>(static_cast<uint64_t>(base_offset_) + static_cast<uint64_t>(offset_delta));
  --left_;
  return record;
}

BatchBuilder::BatchBuilder(Producer producer, bool control) : producer_(producer), control_(control) {
  batch_.resize(kBatchHeaderBytes);
}

void BatchBuilder::add(int64_t timestamp_ms, std::optional<BytesView> key, std::optional<BytesView> value,
                       std::span<const Header> headers) {
  if (count_ == 0) base_timestamp_ = timestamp_ms;
  max_timestamp_ = std::max(max_timestamp_, timestamp_ms);
  record_.clear();
  base::Writer body(record_);
  body.u8(0);
  body.zigzag(timestamp_ms - base_timestamp_);
  body.zigzag(count_);
  put_bytes(body, key);
  put_bytes(body, value);
  body.zigzag(static_cast<int64_t>(headers.size()));
  for (const Header& header : headers) {
    put_bytes(body, as_bytes(header.key));
    put_bytes(body, header.value);
  }
  base::Writer out(batch_);
  put_bytes(out, record_);
  ++count_;
}

Bytes BatchBuilder::finish(Offset base_offset) {
  POLIS_ASSERT(count_ > 0);
  MutableBytes batch(batch_);
  int16_t attributes = 0;
  if (producer_.transactional) attributes |= batch_attributes::kTransactional;
  if (control_) attributes |= batch_attributes::kControl;
  set_base_offset(batch, base_offset);
  store(batch, 8, static_cast<int32_t>(batch_.size() - kBatchLengthEnds));
  set_leader_epoch(batch, 0);
  batch_[16] = static_cast<std::byte>(kMagic);
  store(batch, kAttributesAt, attributes);
  store(batch, 23, count_ - 1);
  store(batch, 27, base_timestamp_);
  store(batch, kMaxTimestampAt, max_timestamp_);
  store(batch, 43, producer_.id);
  store(batch, 51, producer_.epoch);
  store(batch, 53, producer_.base_sequence);
  store(batch, 57, count_);
  seal(batch);
  Bytes finished = std::move(batch_);
  batch_.assign(kBatchHeaderBytes, std::byte{0});
  count_ = 0;
  max_timestamp_ = -1;
  return finished;
}

}  // namespace polis::stream
