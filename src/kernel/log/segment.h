// One segment file: its name, its header, and the walk over its frames. On disk, integers little endian:
//
//     segment  := header frame* zeros?          zeros: space that was reserved and not used; in the newest segment only
//     header   := "POLISSEG" version:u32=1 frame_magic:u32 frame_version:u32 salt:u32
//                 first:u64 previous_first:u64 previous_size_bytes:u64 rewritten_size_bytes:u64 zeros:4 crc32c:u32
//                 64 bytes
//     name     := first as 20 decimal digits ".segment"
//
// `first` is the smallest position that the segment may hold. previous_* describe the segment before (first all ones:
// there is none), so that a lost or shortened file is noticed when the log is opened, without reading it. A segment
// that compaction has rewritten says its new size itself; else rewritten_size_bytes is 0.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/io/file.h"
#include "kernel/log/frame.h"

namespace polis::log {

inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr uint32_t kSegmentVersion = 1;
inline constexpr Position kNoPosition = UINT64_MAX;

struct SegmentHeader {
  uint32_t frame_magic = 0;
  uint32_t frame_version = 0;
  uint32_t salt = 0;
  Position first = 0;
  Position previous_first = kNoPosition;
  uint64_t previous_size_bytes = 0;
  uint64_t rewritten_size_bytes = 0;

  void encode(std::byte* out) const;  // kSegmentHeaderBytes
  // kCorrupt for damage and foreign files, kUnsupported for a version of the future.
  static Result<SegmentHeader> decode(BytesView bytes);
};

std::string segment_name(Position first);
// Nothing for names that are no segment's.
std::optional<Position> segment_first(std::string_view name);

// Where a frame begins: a sparse index of a segment.
struct IndexEntry {
  Position first;
  uint64_t offset;
  uint64_t mark;  // the largest of the frames in front of it, in this segment
  bool operator==(const IndexEntry&) const = default;
};

// Reads a file front to back through one buffer; grows it for a large frame, up to what is asked.
class FileWindow {
 public:
  explicit FileWindow(size_t buffer_bytes) : buffer_(buffer_bytes) {}
  // The bytes [offset, offset + size_bytes) of the file, or fewer where `end` cuts them off. Valid until the next call.
  // `end` is where sound bytes end: nothing behind it is kept, for a write may be under way there.
  Task<Result<BytesView>> at(io::File& file, uint64_t offset, size_t size_bytes, uint64_t end);
  void clear() { size_bytes_ = 0; }

 private:
  Bytes buffer_;
  uint64_t offset_ = 0;
  size_t size_bytes_ = 0;
};

// A whole, checked frame in place.
struct FrameView {
  Position first = 0;
  Position next = 0;
  Position durable_before = 0;
  uint64_t mark = 0;
  uint64_t offset = 0;
  BytesView bytes;
};

// The frame at `offset`, or nothing if no sound frame lies there before `end`. `expected` is the position that must
// begin there (or, for a format with gaps, the smallest that may).
Task<Result<std::optional<FrameView>>> frame_at(io::File& file, FileWindow& window, const FrameFormat& format,
                                                const SegmentHeader& header, uint64_t offset, Position expected,
                                                uint64_t end);

// The same without reading and checking the whole frame, where its first bytes say enough: for frames that were checked
// before.
struct FrameOutline {
  Position first = 0;
  Position next = 0;
  uint64_t offset = 0;
  size_t size_bytes = 0;
};
Task<Result<std::optional<FrameOutline>>> outline_at(io::File& file, FileWindow& window, const FrameFormat& format,
                                                     const SegmentHeader& header, uint64_t offset, Position expected,
                                                     uint64_t end);

// Where a walk begins: behind the header, or at a border that is known.
struct ScanStart {
  uint64_t offset = kSegmentHeaderBytes;
  Position next = 0;
  uint64_t mark = 0;
};

// What a walk over a segment found.
struct SegmentScan {
  uint64_t end_offset = kSegmentHeaderBytes;  // behind the last sound frame
  Position next = 0;                          // the position that comes there
  uint64_t mark = 0;                          // the largest
  uint64_t frames = 0;
  // Where the frames begin that no later frame proves to be on disk.
  uint64_t unproven_offset = kSegmentHeaderBytes;
  // Bytes other than zeros follow: a torn tail.
  bool torn = false;
  std::vector<IndexEntry> index;
};

// Walks from `start` to the first place without a sound frame, or to `size_bytes`. kCorrupt if a later frame proves
// that this place was on disk: then it is damage, not a torn tail.
Task<Result<SegmentScan>> scan_segment(io::File& file, const FrameFormat& format, const SegmentHeader& header,
                                       ScanStart start, uint64_t size_bytes, uint64_t index_interval_bytes);
inline Task<Result<SegmentScan>> scan_segment(io::File& file, const FrameFormat& format, const SegmentHeader& header,
                                              uint64_t size_bytes, uint64_t index_interval_bytes) {
  return scan_segment(file, format, header, {.next = header.first}, size_bytes, index_interval_bytes);
}

}  // namespace polis::log
