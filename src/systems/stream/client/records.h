// Records out of what a fetch gave: batches one behind the other, of any compression, with markers and aborted
// transactions left out where the reader wants that. Pure; any thread.
#pragma once

#include <functional>
#include <vector>

#include "systems/stream/protocol/batch_compression.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {

// By the protocol's numbers.
inline constexpr std::string_view kCompressionNames[] = {"none", "gzip", "snappy", "lz4", "zstd"};

// A transaction that was aborted, as a fetch with read_committed names it.
struct AbortedRange {
  int64_t producer_id = 0;
  Offset first_offset = 0;
};

// What stands around a record.
struct RecordPlace {
  const RecordBatch& batch;
  bool aborted = false;  // part of a transaction that was aborted
};

struct ScanOptions {
  Offset from = 0;                    // records below are skipped: a fetch gives whole batches
  std::vector<AbortedRange> aborted;  // by first offset
  bool markers = false;               // shows transaction markers, too
  bool aborted_records = false;       // shows records of aborted transactions, too
};

// Calls `each` for the records in their order until it answers false; the last batch may be cut off. Answers the offset
// to go on from: behind the last record that was taken, or behind the last whole batch. kCorrupt, kTooLarge.
Result<Offset> scan_records(BytesView batches, ScanOptions options,
                            const std::function<bool(const Record&, const RecordPlace&)>& each);

}  // namespace polis::stream
