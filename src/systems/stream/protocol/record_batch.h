// Record batches of format 2, the form in which records travel and lie on disk alike: what a producer sent is what a
// consumer gets, and a broker changes only the two fields in front of the checksum.
//
//      0 base_offset i64      8 batch_length i32 (bytes behind this field)   12 leader_epoch i32   16 magic i8 = 2
//     17 crc u32 (CRC-32C of everything from 21 on)   21 attributes i16   23 last_offset_delta i32   27 base_timestamp
//     i64 35 max_timestamp i64   43 producer_id i64   51 producer_epoch i16   53 base_sequence i32   57 records i32 61
//     ...
//
//     record := length:varint attributes:i8 timestamp_delta:varint offset_delta:varint key value headers
//     key, value := length:varint (-1: null) bytes        headers := count:varint { key value }      varints are zigzag
//
// Big endian but for the varints. Sans-IO; values; any thread.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/endian.h"
#include "kernel/base/result.h"

namespace polis::stream {

using Offset = int64_t;

enum class Compression : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };

namespace batch_attributes {
inline constexpr int16_t kCompression = 0x07;
inline constexpr int16_t kLogAppendTime = 0x08;  // timestamps are the broker's
inline constexpr int16_t kTransactional = 0x10;
inline constexpr int16_t kControl = 0x20;  // holds a transaction marker, not the user's records
inline constexpr int16_t kDeleteHorizon = 0x40;
inline constexpr int16_t kAll = 0x7f;
}  // namespace batch_attributes

inline constexpr size_t kBatchHeaderBytes = 61;
inline constexpr size_t kBatchLengthEnds = 12;  // batch_length counts what follows it

// A view of one whole batch. The functions read the bytes where they lie.
class RecordBatch {
 public:
  explicit RecordBatch(BytesView bytes) : bytes_(bytes) {}

  // Bytes of the batch at the front of `bytes`, header included; nothing until 12 bytes are there. kCorrupt if it
  // cannot be one: a length below the header's.
  static Result<std::optional<size_t>> size_of(BytesView bytes);
  // What an appending broker must know to be true, without opening the records: magic, checksum, attributes, counts.
  // The bytes are exactly one batch. kCorrupt or kUnsupported (another magic, an unknown compression).
  Result<void> check() const;
  // Whether the checksum holds; for bytes that are as long as they say.
  bool sound() const;

  Offset base_offset() const { return static_cast<Offset>(load<uint64_t>(0)); }
  int32_t leader_epoch() const { return static_cast<int32_t>(load<uint32_t>(12)); }
  int8_t magic() const { return static_cast<int8_t>(bytes_[16]); }
  uint32_t crc() const { return load<uint32_t>(17); }
  int16_t attributes() const { return static_cast<int16_t>(load<uint16_t>(21)); }
  int32_t last_offset_delta() const { return static_cast<int32_t>(load<uint32_t>(23)); }
  int64_t base_timestamp() const { return static_cast<int64_t>(load<uint64_t>(27)); }  // ms since 1970
  int64_t max_timestamp() const { return static_cast<int64_t>(load<uint64_t>(35)); }
  int64_t producer_id() const { return static_cast<int64_t>(load<uint64_t>(43)); }  // -1: none
  int16_t producer_epoch() const { return static_cast<int16_t>(load<uint16_t>(51)); }
  int32_t base_sequence() const { return static_cast<int32_t>(load<uint32_t>(53)); }
  int32_t count() const { return static_cast<int32_t>(load<uint32_t>(57)); }
  Offset last_offset() const { return base_offset() + last_offset_delta(); }
  Compression compression() const { return static_cast<Compression>(attributes() & batch_attributes::kCompression); }
  bool transactional() const { return (attributes() & batch_attributes::kTransactional) != 0; }
  bool control() const { return (attributes() & batch_attributes::kControl) != 0; }
  BytesView bytes() const { return bytes_; }
  // The records, as they lie: compressed if the batch is.
  BytesView records() const { return bytes_.subspan(kBatchHeaderBytes); }

 private:
  template <class T>
  T load(size_t at) const {
    return base::load_big<T>(bytes_.data() + at);
  }
  BytesView bytes_;
};

// In front of the checksum: for the broker that appends it.
void set_base_offset(MutableBytes batch, Offset offset);
void set_leader_epoch(MutableBytes batch, int32_t epoch);
// Behind it, so the checksum is made anew: the batch carries the time of the append.
void set_log_append_time(MutableBytes batch, int64_t timestamp_ms);
// Names the compression of records that were exchanged, with the length and checksum that follow from them.
void set_compression(MutableBytes batch, Compression compression);
// Who produced it, and where it stands among his batches; the checksum is made anew.
struct BatchProducer {
  int64_t id = -1;
  int16_t epoch = -1;
  int32_t base_sequence = -1;
  bool transactional = false;
};
void set_producer(MutableBytes batch, const BatchProducer& producer);
// How many records are left of those that the batch had; its range of offsets stays. The checksum is made anew.
void set_count(MutableBytes batch, int32_t count);

struct Header {
  std::string_view key;
  std::optional<BytesView> value;
};

struct Record {
  int64_t timestamp = 0;  // ms since 1970
  Offset offset = 0;
  std::optional<BytesView> key, value;
  std::vector<Header> headers;
};

// Walks over the records of a batch whose records are not (or no longer) compressed. Views live as long as `records`.
class RecordReader {
 public:
  // `records` as RecordBatch::records(), or what decompression made of them.
  RecordReader(const RecordBatch& batch, BytesView records);
  // The next one; nothing at the end. kCorrupt: cut off, a length that lies, more or fewer than the header says.
  Result<std::optional<Record>> next();
  // The bytes of the record that next() gave last, its length included.
  BytesView raw() const { return raw_; }

 private:
  Offset base_offset_;
  int64_t base_timestamp_, max_timestamp_;
  bool append_time_;
  int32_t left_;
  BytesView rest_, raw_;
};

// Makes one batch, uncompressed.
class BatchBuilder {
 public:
  using Producer = BatchProducer;
  BatchBuilder() : BatchBuilder(Producer{}) {}
  explicit BatchBuilder(Producer producer, bool control = false);

  void add(int64_t timestamp_ms, std::optional<BytesView> key, std::optional<BytesView> value,
           std::span<const Header> headers = {});
  int32_t count() const { return count_; }
  size_t size_bytes() const { return batch_.size(); }
  // The batch, complete with its checksum; not empty. The builder is then as new.
  Bytes finish(Offset base_offset = 0);

 private:
  Producer producer_;
  bool control_;
  Bytes batch_;
  Bytes record_;
  int32_t count_ = 0;
  int64_t base_timestamp_ = 0, max_timestamp_ = -1;
};

}  // namespace polis::stream
