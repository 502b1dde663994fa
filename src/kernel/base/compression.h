// Compression of whole buffers in the formats that protocols name. Pure; any thread.
//
//     gzip    RFC 1952 (zlib)         zstd    RFC 8878 (libzstd)
//     lz4     the LZ4 frame format    snappy  the raw format: no framing, the length comes first
//
// What is decompressed may be hostile: the caller says how large the result may become, and memory grows only with what
// was really decoded.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace polis::base {

enum class CompressionFormat : uint8_t { kGzip, kSnappy, kLz4, kZstd };

// At the format's default level. Appends to `out`.
void compress(CompressionFormat format, BytesView plain, Bytes& out);

// Appends what `packed` holds to `out`. kCorrupt if it is damaged, cut off or followed by something else; kTooLarge if
// more than `size_bytes_max` would come out. `out` then holds any part of it.
Result<void> decompress(CompressionFormat format, BytesView packed, size_t size_bytes_max, Bytes& out);

}  // namespace polis::base
