// A record batch as a Frame of the kernel's SegmentLog: segments hold batches exactly as they travel, one behind the
// other.
#pragma once

#include "kernel/log/segment_log.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {

struct BatchFrame {
  static constexpr uint32_t kMagic = 0x4b464b32;  // "2KFK"
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kHeaderBytes = kBatchHeaderBytes;
  static constexpr size_t kAlignment = 1;
  static constexpr size_t kFrameBytesMax = size_t{100} << 20;  // as large as a frame of the protocol may be
  static constexpr bool kContiguous = false;                   // compaction leaves gaps
  static constexpr bool kGapsByRewrite = true;                 // and nothing else does
  static constexpr bool kKnowsDurable = false;                 // the format has no room to say it

  // The index's marks are times: of the newest record, one more than its milliseconds; 0 for what has none.
  static uint64_t mark_of(int64_t timestamp_ms) {
    return timestamp_ms < 0 ? 0 : static_cast<uint64_t>(timestamp_ms) + 1;
  }
  static uint64_t mark_of(const RecordBatch& batch) { return batch.control() ? 0 : mark_of(batch.max_timestamp()); }

  static std::optional<log::FrameHead> head(BytesView header, uint32_t /*salt*/) {
    const RecordBatch batch(header);
    const auto size = RecordBatch::size_of(header);
    // Base offset, length, epoch and magic are outside of the checksum: each is checked for what it must be (the base
    // offset by the log). A node alone is always in its first leader epoch.
    if (!size || !*size || batch.magic() != 2 || batch.base_offset() < 0 || batch.last_offset_delta() < 0 ||
        batch.leader_epoch() != 0)
      return std::nullopt;
    return log::FrameHead{**size, static_cast<log::Position>(batch.base_offset()),
                          static_cast<log::Position>(batch.last_offset()) + 1};
  }
  static std::optional<log::FrameSpan> check(BytesView frame, uint32_t /*salt*/) {
    const RecordBatch batch(frame);
    // Not the count: compaction takes records out and keeps the offsets.
    if (!batch.sound()) return std::nullopt;
    return log::FrameSpan{static_cast<log::Position>(batch.base_offset()),
                          static_cast<log::Position>(batch.last_offset()) + 1, 0, mark_of(batch)};
  }
};

}  // namespace polis::stream
