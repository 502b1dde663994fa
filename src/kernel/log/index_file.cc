#include "kernel/log/index_file.h"

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"

namespace polis::log {
namespace {

using base::load_little;
using base::store_little;

constexpr std::string_view kIndexMagic = "POLISIDX";
constexpr std::string_view kIndexSuffix = ".index";
constexpr std::string_view kSegmentSuffix = ".segment";
constexpr uint32_t kIndexVersion = 1;
constexpr size_t kIndexHeaderBytes = 32, kIndexBlockHeadBytes = 32, kIndexEntryBytes = 24;
// An entry every 4 KiB of a segment of 8 GiB.
constexpr size_t kIndexFileBytesMax = 64 << 20;

void put_entry(std::byte* out, uint64_t a, uint64_t b, uint64_t c) {
  store_little<uint64_t>(out, a);
  store_little<uint64_t>(out + 8, b);
  store_little<uint64_t>(out + 16, c);
}

}  // namespace

std::string index_name(Position first) {
  std::string name = segment_name(first);
  return name.replace(name.size() - kSegmentSuffix.size(), kSegmentSuffix.size(), kIndexSuffix);
}

std::optional<Position> index_first(std::string_view name) {
  if (!name.ends_with(kIndexSuffix)) return std::nullopt;
  return segment_first(std::string(name.substr(0, name.size() - kIndexSuffix.size())) + std::string(kSegmentSuffix));
}

Task<StoredIndex> read_index(io::Disk& disk, std::string path, const SegmentHeader& segment) {
  StoredIndex index{.upto = {.next = segment.first}, .entries = {}};
  const auto bytes = co_await disk.read_file(std::move(path), kIndexFileBytesMax);
  if (!bytes || bytes->size() < kIndexHeaderBytes) co_return index;
  const std::byte* in = bytes->data();
  if (as_text({in, kIndexMagic.size()}) != kIndexMagic || load_little<uint32_t>(in + 8) != kIndexVersion ||
      load_little<uint32_t>(in + 12) != segment.salt || load_little<uint64_t>(in + 16) != segment.first ||
      load_little<uint32_t>(in + 28) != base::crc32c({in, 28}))
    co_return index;
  const auto salt = index.salt = load_little<uint32_t>(in + 24);
  index.size_bytes = kIndexHeaderBytes;
  BytesView rest = BytesView(*bytes).subspan(kIndexHeaderBytes);
  while (rest.size() >= kIndexBlockHeadBytes) {
    const std::byte* block = rest.data();
    const size_t count = load_little<uint32_t>(block);
    if (count > (rest.size() - kIndexBlockHeadBytes) / kIndexEntryBytes) break;
    const size_t size_bytes = kIndexBlockHeadBytes + count * kIndexEntryBytes;
    uint32_t crc = base::crc32c(salt, {block, 4});
    crc = base::crc32c(crc, rest.subspan(8, size_bytes - 8));
    if (crc != load_little<uint32_t>(block + 4)) break;
    const ScanStart upto{load_little<uint64_t>(block + 8), load_little<uint64_t>(block + 16),
                         load_little<uint64_t>(block + 24)};
    bool orderly = upto.offset >= index.upto.offset && upto.next >= index.upto.next && upto.mark >= index.upto.mark;
    const size_t known = index.entries.size();
    for (size_t i = 0; i < count && orderly; ++i) {
      const std::byte* at = block + kIndexBlockHeadBytes + i * kIndexEntryBytes;
      const IndexEntry entry{load_little<uint64_t>(at), load_little<uint64_t>(at + 8), load_little<uint64_t>(at + 16)};
      orderly = entry.offset >= index.upto.offset && entry.offset < upto.offset && entry.first < upto.next &&
                (index.entries.empty() ||
                 (index.entries.back().offset < entry.offset && index.entries.back().first < entry.first));
      index.entries.push_back(entry);
    }
    if (!orderly) {
      index.entries.resize(known);
      break;
    }
    index.upto = upto;
    index.size_bytes += size_bytes;
    rest = rest.subspan(size_bytes);
  }
  co_return index;
}

Task<Result<IndexWriter>> IndexWriter::create(io::Disk& disk, std::string path, const SegmentHeader& segment,
                                              Random& random) {
  IndexWriter writer(disk, std::move(path), static_cast<uint32_t>(random.next()));
  auto file = CO_TRY(co_await disk.open(writer.path_, io::OpenMode::kCreate));
  CO_TRY(co_await file->resize(0));
  std::byte header[kIndexHeaderBytes] = {};
  std::memcpy(header, kIndexMagic.data(), kIndexMagic.size());
  store_little<uint32_t>(header + 8, kIndexVersion);
  store_little<uint32_t>(header + 12, segment.salt);
  store_little<uint64_t>(header + 16, segment.first);
  store_little<uint32_t>(header + 24, writer.salt_);
  store_little<uint32_t>(header + 28, base::crc32c({header, 28}));
  CO_TRY(co_await file->write_at(0, BytesView(header)));
  writer.size_bytes_ = kIndexHeaderBytes;
  co_return writer;
}

Task<Result<void>> IndexWriter::append(std::span<const IndexEntry> entries, ScanStart upto) {
  Bytes block(kIndexBlockHeadBytes + entries.size() * kIndexEntryBytes);
  store_little<uint32_t>(block.data(), static_cast<uint32_t>(entries.size()));
  put_entry(block.data() + 8, upto.offset, upto.next, upto.mark);
  std::byte* at = block.data() + kIndexBlockHeadBytes;
  for (const IndexEntry& entry : entries) {
    put_entry(at, entry.first, entry.offset, entry.mark);
    at += kIndexEntryBytes;
  }
  uint32_t crc = base::crc32c(salt_, BytesView(block).first(4));
  crc = base::crc32c(crc, BytesView(block).subspan(8));
  store_little<uint32_t>(block.data() + 4, crc);
  auto file = CO_TRY(co_await disk_->open(path_, io::OpenMode::kCreate));
  CO_TRY(co_await file->write_at(size_bytes_, BytesView(block)));
  size_bytes_ += block.size();
  co_return {};
}

}  // namespace polis::log
