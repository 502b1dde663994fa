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
  static constexpr bool kKnowsDurable = false;                 // the format has no room to say it

  static std::optional<log::FrameHead> head(BytesView header, uint32_t /*salt*/) {
    const RecordBatch batch(header);
    const auto size = RecordBatch::size_of(header);
    if (!size || !*size || batch.magic() != 2 || batch.base_offset() < 0 || batch.last_offset_delta() < 0)
      return std::nullopt;
    return log::FrameHead{**size, static_cast<log::Position>(batch.base_offset()),
                          static_cast<log::Position>(batch.last_offset()) + 1};
  }
  static std::optional<log::FrameSpan> check(BytesView frame, uint32_t /*salt*/) {
    const RecordBatch batch(frame);
    // Not the count: compaction takes records out and keeps the offsets.
    if (!batch.sound()) return std::nullopt;
    return log::FrameSpan{static_cast<log::Position>(batch.base_offset()),
                          static_cast<log::Position>(batch.last_offset()) + 1};
  }
};

}  // namespace polis::stream
