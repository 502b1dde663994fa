// Compressed record batches: opened for whoever must look into the records (browsing, compaction, times), and made anew
// where a topic asks for another compression than the producer's. Pure; any thread.
//
//     gzip, lz4, zstd   as kernel/base/compression.h has them
//     snappy            what the Java clients write: "\x82SNAPPY\0" version:i32 oldest:i32 { size:i32 block }, or one
//     raw
//                       block, which some clients write; both are read
#pragma once

#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {

// What may come out of one batch; a batch of the largest size that topics allow, of text, stays well below.
inline constexpr size_t kDecompressedBytesMax = size_t{64} << 20;

// The records of a batch, decompressed if need be, in `storage` or where they lie. kCorrupt, kTooLarge.
Result<BytesView> open_records(const RecordBatch& batch, Bytes& storage);

// The same batch with its records in this compression. kCorrupt, kTooLarge if the present one cannot be opened.
Result<Bytes> with_compression(const RecordBatch& batch, Compression compression);

// The batch with only these `count` records (as RecordReader::raw() gives them, one behind the other), compressed as it
// was. They keep their offsets, and the batch keeps the range that it covers; it may have none left.
Bytes with_records(const RecordBatch& batch, BytesView records, int32_t count);

}  // namespace polis::stream
