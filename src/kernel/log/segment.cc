#include "kernel/log/segment.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/io/shard.h"

namespace polis::log {
namespace {

using base::load_little;
using base::store_little;

constexpr std::string_view kSegmentMagic = "POLISSEG";
constexpr std::string_view kSuffix = ".segment";
constexpr size_t kDigits = 20;  // of the largest u64

// Reads ahead this much: large enough that a read costs less than the checksums of what it brings.
constexpr size_t kScanBufferBytes = 256 << 10;
// A scan lets others run after so many bytes: about 0.1 ms.
constexpr uint64_t kYieldBytes = 1 << 20;

bool all_zero(BytesView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

void SegmentHeader::encode(std::byte* out) const {
  std::memset(out, 0, kSegmentHeaderBytes);
  std::memcpy(out, kSegmentMagic.data(), kSegmentMagic.size());
  store_little<uint32_t>(out + 8, kSegmentVersion);
  store_little<uint32_t>(out + 12, frame_magic);
  store_little<uint32_t>(out + 16, frame_version);
  store_little<uint32_t>(out + 20, salt);
  store_little<uint64_t>(out + 24, first);
  store_little<uint64_t>(out + 32, previous_first);
  store_little<uint64_t>(out + 40, previous_size_bytes);
  store_little<uint64_t>(out + 48, rewritten_size_bytes);
  store_little<uint32_t>(out + 60, base::crc32c({out, 60}));
}

Result<SegmentHeader> SegmentHeader::decode(BytesView bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return fail(Code::kCorrupt, "the segment header is cut off");
  const std::byte* in = bytes.data();
  if (as_text(bytes.first(kSegmentMagic.size())) != kSegmentMagic)
    return fail(Code::kCorrupt, "not a segment file (its magic is wrong)");
  if (load_little<uint32_t>(in + 60) != base::crc32c(bytes.first(60)))
    return fail(Code::kCorrupt, "the segment header's checksum is wrong");
  if (const auto version = load_little<uint32_t>(in + 8); version != kSegmentVersion)
    return fail(Code::kUnsupported, fmt::format("segment version {}, this polis knows {}", version, kSegmentVersion));
  return SegmentHeader{.frame_magic = load_little<uint32_t>(in + 12),
                       .frame_version = load_little<uint32_t>(in + 16),
                       .salt = load_little<uint32_t>(in + 20),
                       .first = load_little<uint64_t>(in + 24),
                       .previous_first = load_little<uint64_t>(in + 32),
                       .previous_size_bytes = load_little<uint64_t>(in + 40),
                       .rewritten_size_bytes = load_little<uint64_t>(in + 48)};
}

std::string segment_name(Position first) {
  return fmt::format("{:020}{}", first, kSuffix);
}

std::optional<Position> segment_first(std::string_view name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  Position first = 0;
  for (char c : name.substr(0, kDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(first, Position{10}, &first)) return std::nullopt;
    if (__builtin_add_overflow(first, static_cast<Position>(c - '0'), &first)) return std::nullopt;
  }
  return first;
}

Task<Result<BytesView>> FileWindow::at(io::File& file, uint64_t offset, size_t size_bytes, uint64_t end) {
  if (offset >= end) co_return BytesView{};
  size_bytes = std::min<uint64_t>(size_bytes, end - offset);
  if (offset < offset_ || offset + size_bytes > offset_ + size_bytes_) {
    if (buffer_.size() < size_bytes) buffer_.resize(size_bytes);
    const size_t wanted_bytes = std::min<uint64_t>(buffer_.size(), end - offset);
    size_bytes_ = 0;
    size_bytes_ = CO_TRY(co_await file.read_at(offset, MutableBytes(buffer_).first(wanted_bytes)));
    offset_ = offset;
  }
  const size_t there = offset_ + size_bytes_ - offset;
  co_return BytesView(buffer_).subspan(offset - offset_, std::min(size_bytes, there));
}

namespace {

// What the first bytes say, if they can begin a frame that fits in here.
Task<Result<std::optional<FrameHead>>> head_at(io::File& file, FileWindow& window, const FrameFormat& format,
                                               const SegmentHeader& header, uint64_t offset, Position expected,
                                               uint64_t end) {
  const BytesView bytes = CO_TRY(co_await window.at(file, offset, format.header_bytes, end));
  if (bytes.size() < format.header_bytes) co_return std::nullopt;
  const auto head = format.head(bytes, header.salt);
  if (!head || head->size_bytes < format.header_bytes || head->size_bytes > format.frame_bytes_max)
    co_return std::nullopt;
  const bool exact = format.contiguous || (format.gaps_by_rewrite && header.rewritten_size_bytes == 0);
  if (exact ? head->first != expected : head->first < expected) co_return std::nullopt;
  if (head->size_bytes > end - offset) co_return std::nullopt;
  co_return head;
}

}  // namespace

Task<Result<std::optional<FrameOutline>>> outline_at(io::File& file, FileWindow& window, const FrameFormat& format,
                                                     const SegmentHeader& header, uint64_t offset, Position expected,
                                                     uint64_t end) {
  const auto head = CO_TRY(co_await head_at(file, window, format, header, offset, expected, end));
  if (!head) co_return std::nullopt;
  if (head->next > head->first) co_return FrameOutline{head->first, head->next, offset, head->size_bytes};
  const auto frame = CO_TRY(co_await frame_at(file, window, format, header, offset, expected, end));
  if (!frame) co_return std::nullopt;
  co_return FrameOutline{frame->first, frame->next, offset, frame->bytes.size()};
}

Task<Result<std::optional<FrameView>>> frame_at(io::File& file, FileWindow& window, const FrameFormat& format,
                                                const SegmentHeader& header, uint64_t offset, Position expected,
                                                uint64_t end) {
  const auto head = CO_TRY(co_await head_at(file, window, format, header, offset, expected, end));
  if (!head) co_return std::nullopt;
  const BytesView frame = CO_TRY(co_await window.at(file, offset, head->size_bytes, end));
  if (frame.size() < head->size_bytes) co_return std::nullopt;
  const auto span = format.check(frame, header.salt);
  if (!span || span->next <= span->first || span->first != head->first) co_return std::nullopt;
  co_return FrameView{span->first, span->next, span->durable_before, span->mark, offset, frame};
}

namespace {

// Everything behind the last sound frame: only zeros, torn bytes, or a frame that proves damage?
Task<Result<void>> judge_tail(io::File& file, FileWindow& window, const FrameFormat& format,
                              const SegmentHeader& header, uint64_t size_bytes, SegmentScan& scan) {
  for (uint64_t offset = scan.end_offset; offset < size_bytes;) {
    const BytesView piece = CO_TRY(co_await window.at(file, offset, kScanBufferBytes, size_bytes));
    if (piece.empty()) break;  // the file is shorter than it was
    if (all_zero(piece)) {
      offset += piece.size();
      continue;
    }
    scan.torn = true;
    break;
  }
  if (!scan.torn || !format.knows_durable) co_return {};

  uint64_t since_yield = 0;
  for (uint64_t offset = scan.end_offset; offset + format.header_bytes <= size_bytes; offset += format.alignment) {
    const BytesView bytes = CO_TRY(co_await window.at(file, offset, format.header_bytes, size_bytes));
    if (bytes.size() < format.header_bytes) break;
    if ((since_yield += format.alignment) >= kYieldBytes) {
      since_yield = 0;
      co_await io::yield();
    }
    const auto head = format.head(bytes, header.salt);
    if (!head || head->first < scan.next) continue;
    const auto frame = CO_TRY(co_await frame_at(file, window, format, header, offset, head->first, size_bytes));
    if (!frame || frame->durable_before <= scan.next) continue;
    co_return fail(
        Code::kCorrupt,
        fmt::format(
            "{}: the record at position {}, byte {}, is damaged; it was on disk, for the record at position {}, "
            "byte {}, says so. Restore this file from a backup",
            file.path(), scan.next, scan.end_offset, frame->first, offset));
  }
  co_return {};
}

}  // namespace

Task<Result<SegmentScan>> scan_segment(io::File& file, const FrameFormat& format, const SegmentHeader& header,
                                       ScanStart start, uint64_t size_bytes, uint64_t index_interval_bytes) {
  SegmentScan scan{.end_offset = start.offset, .next = start.next, .mark = start.mark, .index = {}};
  FileWindow window(kScanBufferBytes);
  std::deque<IndexEntry> unproven;
  Position proven = start.next;
  uint64_t yielded_at = start.offset;
  uint64_t indexed_at = 0;
  while (true) {
    const auto frame = CO_TRY(co_await frame_at(file, window, format, header, scan.end_offset, scan.next, size_bytes));
    if (!frame) break;
    if (scan.index.empty() || frame->offset - indexed_at >= index_interval_bytes) {
      scan.index.push_back({frame->first, frame->offset, scan.mark});
      indexed_at = frame->offset;
    }
    proven = std::max(proven, frame->durable_before);
    if (format.knows_durable) {
      unproven.push_back({frame->first, frame->offset, 0});
      while (!unproven.empty() && unproven.front().first < proven) unproven.pop_front();
    }
    scan.mark = std::max(scan.mark, frame->mark);
    scan.next = frame->next;
    scan.end_offset = frame->offset + frame->bytes.size();
    scan.frames++;
    if (scan.end_offset - yielded_at >= kYieldBytes) {
      yielded_at = scan.end_offset;
      co_await io::yield();
    }
  }
  scan.unproven_offset = unproven.empty() ? scan.end_offset : unproven.front().offset;
  CO_TRY(co_await judge_tail(file, window, format, header, size_bytes, scan));
  co_return scan;
}

}  // namespace polis::log
