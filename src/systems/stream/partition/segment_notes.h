// SegmentNotes: what is worth knowing of a partition's closed segments without reading them: their newest timestamps,
// and the producers' table as it was where the newest segment begins. Kept in a small file, written anew when a segment
// is closed. Derived: if the file is missing or damaged, the segments are read.
//
//     file := version:u8=1 count:varint { first:varint newest_offset:zigzag newest_timestamp:zigzag } table:rest
//             table as ProducerTable::encode()
#pragma once

#include <optional>
#include <vector>

#include "systems/stream/partition/producer_table.h"

namespace polis::stream {

struct SegmentNote {
  Offset first = 0;           // of the segment, as its name says
  OffsetAndTimestamp newest;  // its record with the largest timestamp
};

struct SegmentNotes {
  std::vector<SegmentNote> closed;  // by offset
  ProducerTable producers;
  Offset upto = 0;  // what `producers` knows: everything below

  static Bytes encode(const std::vector<SegmentNote>& closed, const ProducerTable& producers, Offset upto);
  static Result<SegmentNotes> decode(BytesView bytes);
};

}  // namespace polis::stream
