// SegmentNotes: what is worth knowing of a partition without reading its segments: the newest timestamp of each, and
// the producers' table as it was at some offset. Kept in a small file, written anew when a segment is closed and now
// and then in between, always behind the log: what it knows was on disk before. Derived: if the file is missing or
// damaged, the segments are read.
//
//     file := version:u8=2 crc32c:u32 (of the rest) count:varint { first:varint newest_offset:zigzag
//             newest_timestamp:zigzag } began_ms:zigzag table:rest           table as ProducerTable::encode()
#pragma once

#include <optional>
#include <vector>

#include "systems/stream/partition/producer_table.h"

namespace polis::stream {

struct SegmentNote {
  Offset first = 0;           // of the segment, as its name says
  OffsetAndTimestamp newest;  // its batch with the largest timestamp: the last offset of it
};

struct SegmentNotes {
  std::vector<SegmentNote> segments;  // by offset; the last one as far as it goes below `upto`
  int64_t began_ms = 0;               // when the last one took its first batch
  ProducerTable producers;
  Offset upto = 0;  // what they know: everything below

  static Bytes encode(std::span<const SegmentNote> closed, const SegmentNote& current, int64_t began_ms,
                      const ProducerTable& producers, Offset upto);
  static Result<SegmentNotes> decode(BytesView bytes);
};

}  // namespace polis::stream
