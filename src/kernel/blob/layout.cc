#include "kernel/blob/layout.h"

#include <bit>
#include <charconv>

#include "kernel/base/binary.h"
#include "kernel/base/crc.h"

namespace polis::blob {

using base::crc32c;

namespace {

constexpr uint32_t kRowMagic = 0x31575250;         // "PRW1"
constexpr uint32_t kSuperblockMagic = 0x31585450;  // "PTX1"
constexpr uint32_t kDriveMagic = 0x31524450;       // "PDR1"
constexpr uint16_t kVersion = 1;
constexpr uint16_t kDriveVersionMax = 2;  // 2: has DriveFile::drives
constexpr size_t kHeaderCrcAt = 60;

uint64_t mix(uint64_t x) {  // SplitMix64's finalizer: every input bit reaches every output bit.
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

// CRC of a record whose own CRC stands at `at`, taken as zero.
uint32_t crc_around(BytesView bytes, size_t at) {
  static constexpr std::byte kZero[4] = {};
  return crc32c(crc32c(crc32c(bytes.first(at)), kZero), bytes.subspan(at + 4));
}

bool sound_shape(uint32_t header_bytes, uint32_t unit_bytes) {
  return header_bytes >= kHeaderFixedBytes && header_bytes <= kHeaderBytesMax && header_bytes % kAlignBytes == 0 &&
         unit_bytes > 0 && unit_bytes <= kUnitBytesMax && unit_bytes % kAlignBytes == 0;
}

// Fixed-size files: fields, zeros, CRC in the last four bytes.
Bytes seal(Bytes bytes, size_t size_bytes) {
  POLIS_ASSERT(bytes.size() <= size_bytes - 4);
  bytes.resize(size_bytes);
  base::store_little(bytes.data() + size_bytes - 4, crc32c(BytesView(bytes).first(size_bytes - 4)));
  return bytes;
}

Result<void> check_seal(BytesView bytes, size_t size_bytes, uint32_t magic, const char* what,
                        uint16_t version_max = kVersion) {
  if (bytes.size() != size_bytes || base::load_little<uint32_t>(bytes.data()) != magic) {
    return fail(Code::kCorrupt, std::string(what) + ": not a file of polis");
  }
  if (base::load_little<uint32_t>(bytes.data() + size_bytes - 4) != crc32c(bytes.first(size_bytes - 4))) {
    return fail(Code::kCorrupt, std::string(what) + ": checksum does not match");
  }
  if (auto version = base::load_little<uint16_t>(bytes.data() + 4); version < kVersion || version > version_max) {
    return fail(Code::kUnsupported,
                std::string(what) + ": written by a newer polis (format " + std::to_string(version) + ")");
  }
  return {};
}

}  // namespace

uint64_t extent_nonce(const PoolId& pool, uint64_t extent) {
  return mix(mix(pool.high ^ mix(extent)) + pool.low);
}

RowShape spread_row(uint64_t offset, uint64_t length, uint64_t ordinal, unsigned data_units) {
  const uint64_t full = row_bytes(data_units);
  const uint64_t payload = std::min(full, length - ordinal * full);
  const uint32_t unit = spread_unit_bytes(payload, data_units);
  return {offset + ordinal * kFullRowStride, spread_header_bytes(unit), unit};
}

uint64_t spread_rows(uint64_t length, unsigned data_units) {
  return (length + row_bytes(data_units) - 1) / row_bytes(data_units);
}

uint64_t spread_file_bytes(uint64_t length, unsigned data_units) {
  if (length == 0) return 0;
  return spread_row(0, length, spread_rows(length, data_units) - 1, data_units).end();
}

std::string encode_location(const Location& location) {
  Bytes bytes;
  base::Writer out(bytes, kLocationBytesMax);
  out.u8(static_cast<uint8_t>(location.kind));
  out.varint(location.extent);
  out.varint(location.offset / kAlignBytes);
  out.varint(location.length);
  if (location.kind == RowKind::kPacked) {
    out.u8(location.unit);
    out.u8(static_cast<uint8_t>(location.header_bytes / kAlignBytes));
    out.varint(location.unit_bytes / kAlignBytes);
    out.varint(location.inner);
  }
  POLIS_ASSERT(out.ok());
  return std::string(as_text(bytes));
}

Result<Location> decode_location(BytesView id, unsigned data_units) {
  base::Reader in(id);
  Location location;
  const uint8_t kind = in.u8();
  if (kind != static_cast<uint8_t>(RowKind::kPacked) && kind != static_cast<uint8_t>(RowKind::kSpread))
    in.reject("unknown kind");
  location.kind = static_cast<RowKind>(kind);
  location.extent = in.varint();
  location.offset = in.varint_up_to(kBlobBytesMax) * kAlignBytes;
  location.length = in.varint_up_to(kSegmentBytesMax);
  if (location.length == 0) in.reject("an empty segment");
  if (location.kind == RowKind::kPacked) {
    location.unit = in.u8();
    location.header_bytes = uint32_t{in.u8()} * kAlignBytes;
    location.unit_bytes = static_cast<uint32_t>(in.varint_up_to(kUnitBytesMax)) * kAlignBytes;
    location.inner = static_cast<uint32_t>(in.varint_up_to(kUnitBytesMax));
    if (!sound_shape(location.header_bytes, location.unit_bytes)) in.reject("impossible row");
    if (location.unit >= data_units) in.reject("no such data unit");
    if (uint64_t{location.inner} + location.length > location.unit_bytes) in.reject("outside its unit");
  }
  if (location.offset < kSuperblockBytes) in.reject("inside the superblock");
  if (auto done = in.finish(); !done) return fail(Error(Code::kInvalid, "blob id is malformed", done.error()));
  return location;
}

std::string join_segments(std::span<const Location> segments) {
  std::string joined;
  for (const Location& segment : segments) {
    std::string id = encode_location(segment);
    joined += static_cast<char>(id.size());
    joined += id;
  }
  return joined;
}

Result<std::vector<Location>> split_segments(std::string_view location, uint64_t size_bytes, unsigned data_units) {
  std::vector<Location> segments;
  uint64_t total = 0;
  while (!location.empty()) {
    const size_t length = static_cast<unsigned char>(location[0]);
    if (length == 0 || length >= location.size())
      return fail(Code::kInvalid, "receipt is malformed: a segment is cut off");
    segments.push_back(TRY(decode_location(as_bytes(location.substr(1, length)), data_units)));
    total += segments.back().length;
    location.remove_prefix(1 + length);
  }
  if (total != size_bytes) {
    return fail(Code::kInvalid, "receipt is malformed: its segments hold " + std::to_string(total) + " bytes, not " +
                                    std::to_string(size_bytes));
  }
  return segments;
}

namespace {

void encode_entries(std::span<const PackedEntry> entries, Bytes& into) {
  base::Writer out(into);
  for (const PackedEntry& entry : entries) {
    out.u8(entry.unit);
    out.varint(entry.inner);
    out.varint(entry.length);
  }
}

}  // namespace

uint32_t packed_header_bytes(uint32_t unit_bytes, std::span<const PackedEntry> entries) {
  size_t size = kHeaderFixedBytes + 4 * ((unit_bytes + kBlockBytes - 1) / kBlockBytes);
  for (const PackedEntry& entry : entries)
    size += 1 + base::varint_size_bytes(entry.inner) + base::varint_size_bytes(entry.length);
  return static_cast<uint32_t>(align_up(size, kAlignBytes));
}

void encode_row_header(const RowHeader& header, MutableBytes into) {
  POLIS_ASSERT(into.size() == header.shape.header_bytes &&
               sound_shape(header.shape.header_bytes, header.shape.unit_bytes));
  POLIS_ASSERT(header.block_crcs.size() == header.shape.blocks() && header.entries.size() <= kEntriesMax);
  Bytes bytes;
  bytes.reserve(into.size());
  base::Writer out(bytes);
  out.u32(kRowMagic);
  out.u16(static_cast<uint16_t>(header.shape.header_bytes));
  out.u16(static_cast<uint16_t>(header.written));
  out.u64(header.nonce);
  out.u64(header.shape.offset);
  out.u32(header.shape.unit_bytes);
  out.u8(header.unit);
  out.u8(header.data_units);
  out.u8(header.parity_units);
  out.u8(static_cast<uint8_t>(header.kind));
  out.u64(header.written_ms);
  out.u32(header.payload_bytes);
  out.u32(header.ordinal);
  out.u64(header.segment_bytes);
  out.u16(static_cast<uint16_t>(header.entries.size()));
  out.u16(kVersion);
  out.u32(0);  // CRC
  for (uint32_t crc : header.block_crcs) out.u32(crc);
  encode_entries(header.entries, bytes);
  POLIS_ASSERT(bytes.size() <= into.size());
  bytes.resize(into.size());
  base::store_little(bytes.data() + kHeaderCrcAt, crc_around(bytes, kHeaderCrcAt));
  std::copy(bytes.begin(), bytes.end(), into.begin());
}

std::optional<uint32_t> peek_row_header(BytesView fixed, uint64_t nonce, uint64_t offset) {
  if (fixed.size() < kHeaderFixedBytes) return std::nullopt;
  const std::byte* at = fixed.data();
  if (base::load_little<uint32_t>(at) != kRowMagic || base::load_little<uint64_t>(at + 8) != nonce ||
      base::load_little<uint64_t>(at + 16) != offset) {
    return std::nullopt;
  }
  const uint32_t header_bytes = base::load_little<uint16_t>(at + 4);
  if (!sound_shape(header_bytes, base::load_little<uint32_t>(at + 24))) return std::nullopt;
  return header_bytes;
}

Result<RowHeader> decode_row_header(BytesView bytes, uint64_t nonce, uint64_t offset) {
  const auto header_bytes = peek_row_header(bytes, nonce, offset);
  if (!header_bytes || *header_bytes > bytes.size()) return fail(Code::kCorrupt, "no row starts here");
  bytes = bytes.first(*header_bytes);
  if (base::load_little<uint32_t>(bytes.data() + kHeaderCrcAt) != crc_around(bytes, kHeaderCrcAt)) {
    return fail(Code::kCorrupt, "row header: checksum does not match");
  }
  base::Reader in(bytes);
  RowHeader header;
  in.u32();
  header.shape.header_bytes = in.u16();
  header.written = in.u16();
  header.nonce = in.u64();
  header.shape.offset = in.u64();
  header.shape.unit_bytes = in.u32();
  header.unit = in.u8();
  header.data_units = in.u8();
  header.parity_units = in.u8();
  header.kind = static_cast<RowKind>(in.u8());
  header.written_ms = in.u64();
  header.payload_bytes = in.u32();
  header.ordinal = in.u32();
  header.segment_bytes = in.u64();
  const size_t entries = in.u16();
  if (in.u16() != kVersion) in.reject("unknown version");
  in.u32();
  // The checksum holds, but a field may still be out of its range in a file that somebody made.
  if (header.kind != RowKind::kPacked && header.kind != RowKind::kSpread) in.reject("unknown kind");
  if (header.data_units < 1 || header.parity_units < 1 ||
      header.data_units + header.parity_units > int{Erasure::kUnitsMax} ||
      header.unit >= header.data_units + header.parity_units) {
    in.reject("impossible code");
  }
  if (!in.ok()) return fail(in.status().error());
  if (header.payload_bytes > row_bytes(header.data_units) || header.segment_bytes > kSegmentBytesMax)
    in.reject("impossible size");
  if (entries > kEntriesMax) in.reject("too many blobs");
  if (in.ok()) {
    header.block_crcs.resize(header.shape.blocks());
    for (uint32_t& crc : header.block_crcs) crc = in.u32();
    header.entries.resize(entries);
    for (PackedEntry& entry : header.entries) {
      entry.unit = in.u8();
      entry.inner = static_cast<uint32_t>(in.varint_up_to(kUnitBytesMax));
      entry.length = static_cast<uint32_t>(in.varint_up_to(kUnitBytesMax));
      if (entry.unit >= header.data_units || entry.inner + entry.length > header.shape.unit_bytes)
        in.reject("outside its unit");
    }
  }
  if (auto status = in.status(); !status) return fail(std::move(status).error());
  return header;
}

std::vector<uint32_t> block_crcs(BytesView unit) {
  std::vector<uint32_t> crcs;
  crcs.reserve(kBlocksMax);
  for (size_t at = 0; at < unit.size(); at += kBlockBytes) {
    crcs.push_back(crc32c(unit.subspan(at, std::min<size_t>(kBlockBytes, unit.size() - at))));
  }
  return crcs;
}

Bytes encode_superblock(const Superblock& superblock) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u32(kSuperblockMagic);
  out.u16(kVersion);
  out.u64(superblock.pool.high);
  out.u64(superblock.pool.low);
  out.u64(superblock.extent);
  out.u8(superblock.unit);
  out.u8(superblock.data_units);
  out.u8(superblock.parity_units);
  return seal(std::move(bytes), kSuperblockBytes);
}

Result<Superblock> decode_superblock(BytesView bytes) {
  TRY(check_seal(bytes, kSuperblockBytes, kSuperblockMagic, "extent file"));
  base::Reader in(bytes.subspan(6));
  Superblock superblock;
  superblock.pool.high = in.u64();
  superblock.pool.low = in.u64();
  superblock.extent = in.u64();
  superblock.unit = in.u8();
  superblock.data_units = in.u8();
  superblock.parity_units = in.u8();
  TRY(in.status());
  return superblock;
}

Bytes encode_drive_file(const DriveFile& drive) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u32(kDriveMagic);
  out.u16(drive.drives ? kDriveVersionMax : kVersion);
  out.u64(drive.pool.high);
  out.u64(drive.pool.low);
  out.u8(drive.index);
  out.u8(drive.data_units);
  out.u8(drive.parity_units);
  out.u64(drive.epoch);
  out.u64(drive.extent_floor);
  out.u32(drive.stale);
  if (drive.drives) out.u8(drive.drives);
  return seal(std::move(bytes), kDriveFileBytes);
}

Result<DriveFile> decode_drive_file(BytesView bytes) {
  TRY(check_seal(bytes, kDriveFileBytes, kDriveMagic, kDriveFileName, kDriveVersionMax));
  base::Reader in(bytes.subspan(6));
  DriveFile drive;
  drive.pool.high = in.u64();
  drive.pool.low = in.u64();
  drive.index = in.u8();
  drive.data_units = in.u8();
  drive.parity_units = in.u8();
  drive.epoch = in.u64();
  drive.extent_floor = in.u64();
  drive.stale = in.u32();
  if (base::load_little<uint16_t>(bytes.data() + 4) == kDriveVersionMax) drive.drives = in.u8();
  TRY(in.status());
  return drive;
}

namespace {

constexpr std::string_view kExtentSuffix = ".ext";
constexpr size_t kHexDigits = 16;

// A decimal number without leading zeros in front of `rest`, which moves behind it.
std::optional<unsigned> take_number(std::string_view& rest, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  const auto digits = static_cast<size_t>(end - rest.data());
  if (error != std::errc() || digits == 0 || value > max || (digits > 1 && rest[0] == '0')) return std::nullopt;
  rest.remove_prefix(digits);
  return value;
}

bool take(std::string_view& rest, char wanted) {
  if (rest.empty() || rest[0] != wanted) return false;
  rest.remove_prefix(1);
  return true;
}

}  // namespace

std::string extent_file_name(const ExtentFile& file) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string name(kHexDigits, '0');
  uint64_t extent = file.extent;
  for (size_t i = kHexDigits; i-- > 0; extent >>= 4) name[i] = kDigits[extent & 15];
  if (file.scheme != Scheme{}) {
    name += "." + std::to_string(file.scheme.data_units) + "-" + std::to_string(file.scheme.parity_units) + "." +
            std::to_string(file.unit) + "." + std::to_string(file.generation);
  }
  return name.append(kExtentSuffix);
}

std::optional<ExtentFile> parse_extent_file_name(std::string_view name) {
  if (name.size() < kHexDigits + kExtentSuffix.size() || !name.ends_with(kExtentSuffix)) return std::nullopt;
  ExtentFile file;
  for (char digit : name.substr(0, kHexDigits)) {
    if (digit >= '0' && digit <= '9')
      file.extent = file.extent << 4 | static_cast<uint64_t>(digit - '0');
    else if (digit >= 'a' && digit <= 'f')
      file.extent = file.extent << 4 | static_cast<uint64_t>(digit - 'a' + 10);
    else
      return std::nullopt;
  }
  std::string_view rest = name.substr(kHexDigits, name.size() - kHexDigits - kExtentSuffix.size());
  if (rest.empty()) return file;
  const auto k = take(rest, '.') ? take_number(rest, Erasure::kUnitsMax) : std::nullopt;
  const auto m = take(rest, '-') ? take_number(rest, Erasure::kUnitsMax) : std::nullopt;
  const auto unit = take(rest, '.') ? take_number(rest, Erasure::kUnitsMax - 1) : std::nullopt;
  const auto generation = take(rest, '.') ? take_number(rest, UINT16_MAX) : std::nullopt;
  if (!k || !m || !unit || !generation || !rest.empty()) return std::nullopt;
  if (*k == 0 || *m == 0 || *k + *m > Erasure::kUnitsMax || *unit >= *k + *m) return std::nullopt;
  file.scheme = {static_cast<uint8_t>(*k), static_cast<uint8_t>(*m)};
  file.unit = static_cast<uint8_t>(*unit);
  file.generation = static_cast<uint16_t>(*generation);
  return file;
}

}  // namespace polis::blob
