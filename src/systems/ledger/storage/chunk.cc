#include "systems/ledger/storage/chunk.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "kernel/base/binary.h"
#include "kernel/base/hash.h"

namespace polis::ledger {
namespace {

constexpr std::string_view kMagic = "POLISCHK";

uint64_t whole_pages(uint64_t size_bytes) {
  return (size_bytes + kChunkPageBytes - 1) / kChunkPageBytes * kChunkPageBytes;
}

std::unexpected<Error> damaged_header(std::string why) {
  return fail(Code::kCorrupt, "the chunk's header is damaged: " + std::move(why));
}

bool name_valid(std::string_view name) {
  return !name.empty() && name.size() <= kChunkNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

ChunkLayout::ChunkLayout(const ChunkHeader& header) {
  rows_at = kChunkPageBytes;
  keys_at = whole_pages(rows_at + uint64_t{header.rows} * header.row_bytes);
  uint64_t end = header.has_keys ? whole_pages(keys_at + uint64_t{header.rows} * sizeof(uint64_t)) : keys_at;
  for (const auto& field : header.fields) {
    const uint64_t postings_at = end + uint64_t{field.values} * sizeof(ChunkEntry);
    fields.push_back({.entries_at = end, .postings_at = postings_at});
    end = whole_pages(postings_at + uint64_t{field.postings} * sizeof(uint32_t));
  }
  checks_at = end;
  size_bytes = checks_at + pages() * sizeof(uint32_t);
}

Bytes encode_header(const ChunkHeader& header) {
  POLIS_ASSERT(name_valid(header.name) && header.fields.size() <= kFieldsMax);
  Bytes page;
  base::Writer out(page);
  out.bytes(as_bytes(kMagic));
  out.u32(kChunkVersion);
  out.u32(header.row_bytes);
  out.u64(header.number);
  out.u64(header.rows);
  out.u64(header.key_seed);
  out.u64(header.identity);
  out.bytes(as_bytes(header.name));
  out.bytes(Bytes(kChunkNameBytesMax - header.name.size()));
  out.u32(static_cast<uint32_t>(header.fields.size()));
  out.u32(header.has_keys);
  for (size_t i = 0; i < kFieldsMax; ++i) {
    out.u32(i < header.fields.size() ? header.fields[i].values : 0);
    out.u32(i < header.fields.size() ? header.fields[i].postings : 0);
  }
  out.u64(ChunkLayout(header).size_bytes);
  out.u32(header.checks_crc);
  out.u32(base::crc32c(page));
  page.resize(kChunkPageBytes);
  return page;
}

Result<ChunkHeader> decode_header(BytesView first, uint64_t size_bytes) {
  if (first.size() < kChunkPageBytes) return damaged_header("the file ends inside it");
  first = first.first(kChunkPageBytes);
  base::Reader in(first);
  if (as_text(in.bytes(kMagic.size())) != kMagic) return damaged_header("it does not begin with POLISCHK");
  const uint32_t version = in.u32();
  ChunkHeader header;
  header.row_bytes = in.u32();
  header.number = in.u64();
  const uint64_t rows = in.u64();
  header.key_seed = in.u64();
  header.identity = in.u64();
  const std::string_view name = as_text(in.bytes(kChunkNameBytesMax));
  header.name = std::string(name.substr(0, name.find('\0')));
  const uint32_t fields = in.u32();
  const uint32_t has_keys = in.u32();
  for (size_t i = 0; i < kFieldsMax; ++i) header.fields.push_back({.values = in.u32(), .postings = in.u32()});
  const uint64_t stored_size = in.u64();
  header.checks_crc = in.u32();
  const uint32_t crc = base::crc32c(first.first(in.position()));
  if (in.u32() != crc) return damaged_header("its checksum does not match");
  TRY(in.status());
  // From here on the bytes are what somebody wrote: another version, or not ours.
  if (version > kChunkVersion)
    return fail(Code::kUnsupported, fmt::format("the chunk has version {}; this polis knows up to {}. Start the polis "
                                                "that wrote it",
                                                version, kChunkVersion));
  if (version != kChunkVersion) return damaged_header(fmt::format("version {}", version));
  if (!name_valid(header.name)) return damaged_header("the log's name");
  if (header.row_bytes < 8 || header.row_bytes > kRowBytesMax || header.row_bytes % 8 != 0)
    return damaged_header(fmt::format("rows of {} bytes", header.row_bytes));
  if (rows == 0 || rows > kRowsPerChunkMax) return damaged_header(fmt::format("{} rows", rows));
  header.rows = static_cast<uint32_t>(rows);
  if (header.number > UINT64_MAX / kRowsPerChunkMax) return damaged_header(fmt::format("number {}", header.number));
  if (fields > kFieldsMax) return damaged_header(fmt::format("{} fields", fields));
  if (has_keys > 1) return damaged_header("keys");
  header.has_keys = has_keys == 1;
  header.fields.resize(fields);
  if (stored_size != ChunkLayout(header).size_bytes) return damaged_header("its size is not that of its sections");
  if (size_bytes != stored_size)
    return damaged_header(fmt::format("the file has {} bytes of {}", size_bytes, stored_size));
  // Nothing may hide in what is not used.
  const Bytes page = encode_header(header);
  if (!std::equal(page.begin(), page.end(), first.begin())) return damaged_header("what must be zeros is not");
  return header;
}

uint64_t chunk_identity(const std::byte* first_row, const std::byte* last_row, uint32_t row_bytes) {
  return base::xxh3_64(BytesView(first_row, row_bytes), base::xxh3_64(BytesView(last_row, row_bytes)));
}

Result<std::unique_ptr<Chunk>> Chunk::in_memory(std::shared_ptr<const void> memory, BytesView bytes) {
  auto header = TRY(decode_header(bytes, bytes.size()));
  return std::unique_ptr<Chunk>(new Chunk(std::move(memory), bytes, std::move(header)));
}

Result<std::unique_ptr<Chunk>> Chunk::from_disk(std::shared_ptr<const void> memory, BytesView bytes, Damaged damaged) {
  POLIS_ASSERT(damaged);
  auto chunk = TRY(in_memory(std::move(memory), bytes));
  if (base::crc32c(bytes.subspan(chunk->layout_.checks_at)) != chunk->header_.checks_crc)
    return fail(Code::kCorrupt, "the checksums at the chunk's end are damaged");
  chunk->damaged_ = std::move(damaged);
  chunk->seen_.resize((chunk->pages() + 63) / 64);
  return chunk;
}

bool Chunk::verify_page(uint64_t page) const {
  const BytesView content = bytes_.subspan(page * kChunkPageBytes, kChunkPageBytes);
  if (page == 0) return decode_header(content, bytes_.size()).has_value();
  uint32_t crc = 0;
  std::memcpy(&crc, bytes_.data() + layout_.checks_at + page * sizeof crc, sizeof crc);
  return base::crc32c(content) == crc;
}

void Chunk::check_page(uint64_t page) const {
  if (verify_page(page)) {
    seen_[page / 64] |= uint64_t{1} << page % 64;
    return;
  }
  damaged_(*this, page);
  base::assertion_failed("a damaged chunk was not survived", __FILE__, __LINE__);
}

void Chunk::check(const void* at, size_t size) const {
  if (!damaged_ || size == 0) return;
  const uint64_t begin = static_cast<uint64_t>(static_cast<const std::byte*>(at) - bytes_.data());
  const uint64_t last = (begin + size - 1) / kChunkPageBytes;
  for (uint64_t page = begin / kChunkPageBytes; page <= last; ++page)
    if (!(seen_[page / 64] >> page % 64 & 1)) [[unlikely]]
      check_page(page);
}

std::span<const uint64_t> Chunk::keys() const {
  if (!header_.has_keys) return {};
  const auto* keys = reinterpret_cast<const uint64_t*>(bytes_.data() + layout_.keys_at);
  check(keys, header_.rows * sizeof(uint64_t));
  return {keys, header_.rows};
}

ChunkEntry Chunk::entry_at(uint8_t field, uint32_t i) const {
  const std::byte* at = bytes_.data() + layout_.fields[field].entries_at + uint64_t{i} * sizeof(ChunkEntry);
  check(at, sizeof(ChunkEntry));
  ChunkEntry entry;
  std::memcpy(&entry, at, sizeof entry);
  return entry;
}

// Values are spread evenly over 28 bits, so the first guess is near; from there the steps double until the value is
// between two of them.
Posting Chunk::find(uint8_t field, uint32_t value) const {
  const uint32_t values = header_.fields[field].values;
  if (values == 0) return {};
  const uint32_t guess = static_cast<uint32_t>(uint64_t{value} * values >> kValueBits);
  uint32_t low = 0, high = values;
  if (entry_at(field, guess).value < value) {
    low = guess + 1;
    for (uint32_t step = 1; low < high && step <= high - low; step *= 2) {
      if (entry_at(field, low + step - 1).value >= value) {
        high = low + step;
        break;
      }
      low += step;
    }
  } else {
    high = guess + 1;
    for (uint32_t step = 1; step < high; step *= 2) {
      if (entry_at(field, high - 1 - step).value < value) {
        low = high - step;
        break;
      }
      high -= step;
    }
  }
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (entry_at(field, middle).value < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == values) return {};
  const ChunkEntry entry = entry_at(field, low);
  if (entry.value != value) return {};

  const PageCheck* check = row_check();
  const auto* postings = reinterpret_cast<const uint32_t*>(bytes_.data() + layout_.fields[field].postings_at);
  const auto inside = [&](uint32_t words) {
    POLIS_ASSERT(uint64_t{entry.begin} + words <= header_.fields[field].postings);
    return std::span(postings + entry.begin, words);
  };
  if (entry.count == 1) return Posting::one(entry.begin);
  if (entry.count == header_.rows) return Posting::all(header_.rows);
  if (entry.count >= header_.rows / 32) return Posting::bitmap(inside((header_.rows + 31) / 32), header_.rows, check);
  return Posting::list(inside(entry.count), check);
}

std::string Chunk::what_is_on(uint64_t page) const {
  const uint64_t at = page * kChunkPageBytes, first = header_.number * header_.rows;
  const auto rows_of = [&](uint64_t section, uint64_t row_bytes) {
    const uint64_t begin = (at - section) / row_bytes;
    const uint64_t end = std::min<uint64_t>((at + kChunkPageBytes - section - 1) / row_bytes, header_.rows - 1);
    return fmt::format("rows {} to {}", first + begin, first + end);
  };
  if (at < layout_.rows_at) return "the header";
  if (at < layout_.keys_at) return rows_of(layout_.rows_at, header_.row_bytes);
  for (size_t i = header_.fields.size(); i-- > 0;)
    if (at >= layout_.fields[i].entries_at)
      return fmt::format("the index of field {}, rows {} to {}", i, first, first + header_.rows - 1);
  return "the keys of " + rows_of(layout_.keys_at, sizeof(uint64_t));
}

}  // namespace polis::ledger
