// The bytes on the drives, as plain structures: extent files, rows, units, the drive's own file, and the location that
// a receipt carries. No I/O. The grammar stands in README.md; this file and layout.cc are the only ones that know it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/blob/blob.h"
#include "kernel/blob/erasure.h"

namespace polis::blob {

// Verified as one: a page, the smallest thing that disks damage.
inline constexpr uint32_t kBlockBytes = 4096;
// A unit is what one drive holds of a row.
inline constexpr uint32_t kUnitBytesMax = 64 * 1024;
inline constexpr uint32_t kBlocksMax = kUnitBytesMax / kBlockBytes;
// Units and headers are multiples of a cache line, which is also the step of a search for the next row.
inline constexpr uint32_t kAlignBytes = 64;
inline constexpr uint32_t kHeaderFixedBytes = 64;
inline constexpr uint32_t kHeaderBytesMax = 4096;
// A row of small blobs: 64 + 16 x 4 + 448 x at most 8 bytes stays below kHeaderBytesMax.
inline constexpr size_t kEntriesMax = 448;
inline constexpr uint32_t kSuperblockBytes = 64;
// One segment of a blob lies in one extent.
inline constexpr uint64_t kSegmentBytesMax = uint64_t{1} << 30;
// 64 TiB; guards arithmetic on receipts that come from outside.
inline constexpr uint64_t kBlobBytesMax = uint64_t{1} << 46;

constexpr uint64_t align_up(uint64_t value, uint64_t step) {
  return (value + step - 1) / step * step;
}

struct PoolId {
  uint64_t high = 0, low = 0;
  bool operator==(const PoolId&) const = default;
};
// What rows of one extent carry so that no stored payload can pass for a row: known only to the pool.
uint64_t extent_nonce(const PoolId& pool, uint64_t extent);

// --- geometry

enum class RowKind : uint8_t {
  kPacked = 1,  // small blobs, each whole inside one data unit
  kSpread = 2,  // a piece of one blob across all data units
};

// Where the parts of one row lie; the same in every file of the extent.
struct RowShape {
  uint64_t offset = 0;  // of the header, in the file
  uint32_t header_bytes = 0;
  uint32_t unit_bytes = 0;
  uint64_t unit_offset() const { return offset + header_bytes; }
  uint64_t end() const { return offset + header_bytes + unit_bytes; }
  uint32_t blocks() const { return (unit_bytes + kBlockBytes - 1) / kBlockBytes; }
  uint32_t block_bytes(uint32_t block) const { return std::min(kBlockBytes, unit_bytes - block * kBlockBytes); }
};

constexpr uint64_t row_bytes(unsigned data_units) {
  return uint64_t{data_units} * kUnitBytesMax;
}
constexpr uint32_t spread_header_bytes(uint32_t unit_bytes) {
  return static_cast<uint32_t>(
      align_up(kHeaderFixedBytes + 4 * ((unit_bytes + kBlockBytes - 1) / kBlockBytes), kAlignBytes));
}
constexpr uint32_t spread_unit_bytes(uint64_t payload_bytes, unsigned data_units) {
  return static_cast<uint32_t>(align_up((payload_bytes + data_units - 1) / data_units, kAlignBytes));
}
// Bytes in each file of one full spread row.
constexpr uint64_t kFullRowStride = spread_header_bytes(kUnitBytesMax) + kUnitBytesMax;

// Row `ordinal` of a spread segment that starts at `offset` and holds `length` bytes: all rows but the last are full.
RowShape spread_row(uint64_t offset, uint64_t length, uint64_t ordinal, unsigned data_units);
uint64_t spread_rows(uint64_t length, unsigned data_units);
// Bytes in each file of the whole segment.
uint64_t spread_file_bytes(uint64_t length, unsigned data_units);

// --- location

// Everything needed to read one segment back. Its encoding is the segment's BlobId: one location has one encoding.
struct Location {
  RowKind kind = RowKind::kSpread;
  uint64_t extent = 0;
  uint64_t offset = 0;  // of the (first) row's header in each file
  uint64_t length = 0;
  // kPacked only:
  uint8_t unit = 0;
  uint32_t header_bytes = 0;
  uint32_t unit_bytes = 0;
  uint32_t inner = 0;  // in the unit

  bool operator==(const Location&) const = default;
  RowShape packed_row() const { return {offset, header_bytes, unit_bytes}; }
};

// 1 + 10 + 8 + 5 + 1 + 1 + 2 + 3 bytes at most.
inline constexpr size_t kLocationBytesMax = 48;

std::string encode_location(const Location& location);
// kInvalid for anything that encode_location does not produce for a code of so many data units.
Result<Location> decode_location(BytesView id, unsigned data_units);
// A receipt's location is its segments, each behind one byte of length. Empty for an empty blob.
std::string join_segments(std::span<const Location> segments);
// kInvalid unless the segments are well-formed and add up to `size_bytes`.
Result<std::vector<Location>> split_segments(std::string_view location, uint64_t size_bytes, unsigned data_units);

// --- row header

// A small blob inside a packed row.
struct PackedEntry {
  uint8_t unit = 0;
  uint32_t inner = 0;
  uint32_t length = 0;
  bool operator==(const PackedEntry&) const = default;
};

struct RowHeader {
  RowShape shape;
  uint64_t nonce = 0;
  RowKind kind = RowKind::kSpread;
  uint8_t unit = 0;  // whose header this is
  uint8_t data_units = 0, parity_units = 0;
  UnitMask written = 0;     // the others are zeros that were never written
  uint64_t written_ms = 0;  // wall clock
  uint32_t payload_bytes = 0;
  uint32_t ordinal = 0;        // kSpread: which row of its segment
  uint64_t segment_bytes = 0;  // kSpread: what the segment was announced to hold; 0: unknown
  std::vector<uint32_t> block_crcs;
  std::vector<PackedEntry> entries;  // kPacked
};

uint32_t packed_header_bytes(uint32_t unit_bytes, std::span<const PackedEntry> entries);
// `into` is exactly header.shape.header_bytes long.
void encode_row_header(const RowHeader& header, MutableBytes into);
// What the fixed part says of the header's full size, or empty if no row of this extent starts here.
std::optional<uint32_t> peek_row_header(BytesView fixed, uint64_t nonce, uint64_t offset);
// kCorrupt unless the header is whole and belongs to this extent at this offset.
Result<RowHeader> decode_row_header(BytesView bytes, uint64_t nonce, uint64_t offset);
std::vector<uint32_t> block_crcs(BytesView unit);

// --- files

struct Superblock {
  PoolId pool;
  uint64_t extent = 0;
  uint8_t unit = 0, data_units = 0, parity_units = 0;
  bool operator==(const Superblock&) const = default;
};
Bytes encode_superblock(const Superblock& superblock);
Result<Superblock> decode_superblock(BytesView bytes);

// What a drive says of itself and, as of `epoch`, of its pool. The newest epoch on any drive is the truth.
struct DriveFile {
  PoolId pool;
  uint8_t index = 0, data_units = 0, parity_units = 0;
  uint64_t epoch = 0;
  uint64_t extent_floor = 0;  // extents from here on were never made
  uint32_t stale = 0;         // drives, by bit, that may lack rows which the others hold
  // How many drives the pool has, or 0: as many as units, and every extent lies in order on all of them. Formats of
  // polis that knew nothing else; what is not 0 they refuse.
  uint8_t drives = 0;
  bool operator==(const DriveFile&) const = default;
};
inline constexpr size_t kDriveFileBytes = 64;
inline constexpr const char* kDriveFileName = "drive.polis";
Bytes encode_drive_file(const DriveFile& drive);
Result<DriveFile> decode_drive_file(BytesView bytes);

// A file of an extent as its name tells it. The short name, "<16 hex digits>.ext", says no scheme (zeros): the pool's
// own, and the unit is the drive's index. The long one is "<16 hex digits>.<k>-<m>.<unit>.<generation>.ext".
struct ExtentFile {
  uint64_t extent = 0;
  Scheme scheme;
  uint8_t unit = 0;
  uint16_t generation = 0;  // how often the unit moved to another drive; the newest file of a unit counts
  bool operator==(const ExtentFile&) const = default;
};
std::string extent_file_name(const ExtentFile& file);
inline std::string extent_file_name(uint64_t extent) {
  return extent_file_name(ExtentFile{.extent = extent, .scheme = {}});
}
// Empty for any name that extent_file_name does not give.
std::optional<ExtentFile> parse_extent_file_name(std::string_view name);
// A file that is still being filled has this behind its name; after a crash it is nobody's.
inline constexpr std::string_view kPartSuffix = ".part";

}  // namespace polis::blob
