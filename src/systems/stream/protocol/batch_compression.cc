#include "systems/stream/protocol/batch_compression.h"

#include <algorithm>
#include <array>

#include "kernel/base/compression.h"
#include "kernel/base/crc.h"

namespace polis::stream {
namespace {

using base::CompressionFormat;

constexpr std::array<uint8_t, 16> kFramedSnappy = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
constexpr size_t kMagicBytes = 8;
constexpr size_t kSnappyBlockBytes = 32 << 10;

CompressionFormat format_of(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return CompressionFormat::kGzip;
    case Compression::kSnappy:
      return CompressionFormat::kSnappy;
    case Compression::kLz4:
      return CompressionFormat::kLz4;
    default:
      return CompressionFormat::kZstd;
  }
}

Result<void> open_snappy(BytesView packed, Bytes& out) {
  const BytesView frame = std::as_bytes(std::span(kFramedSnappy));
  if (packed.size() < frame.size() || !std::ranges::equal(packed.first(kMagicBytes), frame.first(kMagicBytes)))
    return base::decompress(CompressionFormat::kSnappy, packed, kDecompressedBytesMax, out);
  packed = packed.subspan(frame.size());
  while (!packed.empty()) {
    if (packed.size() < 4) return fail(Code::kCorrupt, "the snappy data is cut off");
    const size_t size = base::load_big<uint32_t>(packed.data());
    packed = packed.subspan(4);
    if (size > packed.size()) return fail(Code::kCorrupt, "the snappy data is cut off");
    TRY(base::decompress(CompressionFormat::kSnappy, packed.first(size), kDecompressedBytesMax - out.size(), out));
    packed = packed.subspan(size);
  }
  return {};
}

void pack_snappy(BytesView plain, Bytes& out) {
  const BytesView frame = std::as_bytes(std::span(kFramedSnappy));
  out.insert(out.end(), frame.begin(), frame.end());
  while (!plain.empty()) {
    const BytesView block = plain.first(std::min(plain.size(), kSnappyBlockBytes));
    plain = plain.subspan(block.size());
    const size_t length_at = out.size();
    out.resize(length_at + 4);
    base::compress(CompressionFormat::kSnappy, block, out);
    base::store_big<uint32_t>(out.data() + length_at, static_cast<uint32_t>(out.size() - length_at - 4));
  }
}

// The header of the batch, and these records.
Bytes assemble(const RecordBatch& batch, BytesView records, Compression compression) {
  const BytesView header = batch.bytes().first(kBatchHeaderBytes);
  Bytes made(header.begin(), header.end());
  if (compression == Compression::kNone) {
    made.insert(made.end(), records.begin(), records.end());
  } else if (compression == Compression::kSnappy) {
    pack_snappy(records, made);
  } else {
    base::compress(format_of(compression), records, made);
  }
  set_compression(made, compression);
  return made;
}

}  // namespace

Result<BytesView> open_records(const RecordBatch& batch, Bytes& storage) {
  storage.clear();
  switch (batch.compression()) {
    case Compression::kNone:
      return batch.records();
    case Compression::kSnappy:
      TRY(open_snappy(batch.records(), storage));
      return BytesView(storage);
    case Compression::kGzip:
    case Compression::kLz4:
    case Compression::kZstd:
      TRY(base::decompress(format_of(batch.compression()), batch.records(), kDecompressedBytesMax, storage));
      return BytesView(storage);
  }
  return fail(Code::kUnsupported, "an unknown compression");
}

Result<Bytes> with_compression(const RecordBatch& batch, Compression compression) {
  Bytes storage;
  return assemble(batch, TRY(open_records(batch, storage)), compression);
}

Bytes with_records(const RecordBatch& batch, BytesView records, int32_t count) {
  Bytes made = assemble(batch, records, count == 0 ? Compression::kNone : batch.compression());
  set_count(made, count);
  return made;
}

}  // namespace polis::stream
