#include "kernel/machine/snapshot.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"

namespace polis::machine {
namespace {

using base::load_little;
using base::store_little;

constexpr std::string_view kMagic = "POLISNAP";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kPieceHeaderBytes = 8;
constexpr size_t kEndBytes = 16;
constexpr std::string_view kSuffix = ".snapshot";
constexpr std::string_view kUnfinished = ".new";
constexpr size_t kDigits = 20;
// Small pieces are gathered into writes of this size.
constexpr size_t kWriteBytes = 256 << 10;
// And made durable in steps, so that the journal's next sync does not find a large snapshot waiting for the disk.
constexpr uint64_t kSyncBytes = 8 << 20;

std::optional<Position> snapshot_position(std::string_view name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  Position position = 0;
  for (char c : name.substr(0, kDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(position, Position{10}, &position)) return std::nullopt;
    if (__builtin_add_overflow(position, static_cast<Position>(c - '0'), &position)) return std::nullopt;
  }
  return position;
}

}  // namespace

uint32_t machine_number(std::string_view name) {
  return base::crc32c(as_bytes(name));
}

std::string snapshot_path(const std::string& directory, Position position) {
  return fmt::format("{}/{:020}{}", directory, position, kSuffix);
}

Task<Result<std::vector<Position>>> list_snapshots(io::Disk& disk, std::string directory) {
  CO_TRY(co_await disk.make_directories(directory));
  std::vector<Position> positions;
  for (const auto& entry : CO_TRY(co_await disk.list(directory))) {
    if (entry.name.ends_with(kUnfinished)) {
      CO_TRY(co_await disk.remove(directory + "/" + entry.name));
    } else if (const auto position = snapshot_position(entry.name)) {
      positions.push_back(*position);
    }
  }
  std::sort(positions.rbegin(), positions.rend());
  co_return positions;
}

// --- SnapshotWriter

Task<Result<SnapshotWriter>> SnapshotWriter::begin(io::Disk& disk, std::string directory, SnapshotHeader header) {
  SnapshotWriter writer;
  writer.disk_ = &disk;
  writer.directory_ = std::move(directory);
  writer.path_ = snapshot_path(writer.directory_, header.position);
  writer.file_ = CO_TRY(co_await disk.open(writer.path_ + std::string(kUnfinished), io::OpenMode::kCreate));
  CO_TRY(co_await writer.file_->resize(0));
  writer.buffer_.resize(kHeaderBytes);
  std::byte* out = writer.buffer_.data();
  std::memcpy(out, kMagic.data(), kMagic.size());
  store_little<uint32_t>(out + 8, kVersion);
  store_little<uint32_t>(out + 12, header.machine);
  store_little<uint32_t>(out + 16, header.behaviour);
  store_little<uint64_t>(out + 24, header.position);
  store_little<uint64_t>(out + 32, header.commands);
  writer.crc_ = base::crc32c({out, kHeaderBytes - 4});
  store_little<uint32_t>(out + kHeaderBytes - 4, writer.crc_);
  co_return writer;
}

Task<Result<void>> SnapshotWriter::flush() {
  const BytesView part = buffer_;
  CO_TRY(co_await file_->write_at(offset_, std::span<const BytesView>(&part, 1)));
  offset_ += buffer_.size();
  buffer_.clear();
  if (offset_ - synced_ >= kSyncBytes) {
    CO_TRY(co_await file_->sync());
    synced_ = offset_;
  }
  co_return {};
}

Task<Result<void>> SnapshotWriter::piece(BytesView bytes) {
  if (bytes.empty() || bytes.size() > kSnapshotPieceBytesMax)
    co_return fail(Code::kTooLarge, fmt::format("{}: a piece of {} bytes; 1 to {} are allowed", path_, bytes.size(),
                                                kSnapshotPieceBytesMax));
  std::byte head[kPieceHeaderBytes];
  store_little<uint32_t>(head, static_cast<uint32_t>(bytes.size()));
  crc_ = base::crc32c(base::crc32c(crc_, BytesView(head).first(4)), bytes);
  store_little<uint32_t>(head + 4, crc_);
  buffer_.insert(buffer_.end(), head, head + kPieceHeaderBytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  ++pieces_;
  if (buffer_.size() >= kWriteBytes) CO_TRY(co_await flush());
  co_return {};
}

Task<Result<void>> SnapshotWriter::finish() {
  std::byte end[kEndBytes] = {};
  store_little<uint64_t>(end + 8, pieces_);
  crc_ = base::crc32c(base::crc32c(crc_, BytesView(end).first(4)), BytesView(end).last(8));
  store_little<uint32_t>(end + 4, crc_);
  buffer_.insert(buffer_.end(), end, end + kEndBytes);
  CO_TRY(co_await flush());
  CO_TRY(co_await file_->sync());
  CO_TRY(co_await disk_->rename(path_ + std::string(kUnfinished), path_));
  co_return co_await disk_->sync_directory(directory_);
}

// --- SnapshotReader

std::unexpected<Error> SnapshotReader::damaged(std::string_view why) const {
  return fail(Code::kCorrupt, fmt::format("{}: {} (byte {})", file_->path(), why, offset_));
}

Task<Result<SnapshotReader>> SnapshotReader::open(io::Disk& disk, std::string path, uint32_t machine) {
  SnapshotReader reader;
  reader.file_ = CO_TRY(co_await disk.open(path, io::OpenMode::kRead));
  reader.size_bytes_ = CO_TRY(reader.file_->size());
  std::byte in[kHeaderBytes];
  if (CO_TRY(co_await reader.file_->read_at(0, in)) < kHeaderBytes) co_return reader.damaged("the header is cut off");
  if (as_text(BytesView(in).first(kMagic.size())) != kMagic)
    co_return reader.damaged("not a snapshot (its magic is wrong)");
  reader.crc_ = base::crc32c(BytesView(in).first(kHeaderBytes - 4));
  if (load_little<uint32_t>(in + kHeaderBytes - 4) != reader.crc_)
    co_return reader.damaged("the header's checksum is wrong");
  if (const auto version = load_little<uint32_t>(in + 8); version != kVersion)
    co_return fail(Code::kUnsupported,
                   fmt::format("{}: snapshot version {}, this polis knows {}", path, version, kVersion));
  reader.header_ = {.machine = load_little<uint32_t>(in + 12),
                    .behaviour = load_little<uint32_t>(in + 16),
                    .position = load_little<uint64_t>(in + 24),
                    .commands = load_little<uint64_t>(in + 32)};
  if (reader.header_.machine != machine) co_return reader.damaged("the snapshot of another machine");
  reader.offset_ = kHeaderBytes;
  co_return reader;
}

Task<Result<std::optional<BytesView>>> SnapshotReader::next() {
  std::byte head[kPieceHeaderBytes];
  if (CO_TRY(co_await file_->read_at(offset_, head)) < kPieceHeaderBytes) co_return damaged("the file is cut off");
  const auto length = load_little<uint32_t>(head);
  const auto stored = load_little<uint32_t>(head + 4);
  const size_t wanted = length == 0 ? kEndBytes - kPieceHeaderBytes : length;
  if (length > kSnapshotPieceBytesMax || wanted > size_bytes_ - std::min(size_bytes_, offset_ + kPieceHeaderBytes))
    co_return damaged("a piece is longer than the file");
  buffer_.resize(wanted);
  if (CO_TRY(co_await file_->read_at(offset_ + kPieceHeaderBytes, buffer_)) < wanted)
    co_return damaged("a piece is cut off");
  crc_ = base::crc32c(base::crc32c(crc_, BytesView(head).first(4)), buffer_);
  if (crc_ != stored) co_return damaged("a checksum is wrong");
  if (length == 0) {
    if (load_little<uint64_t>(buffer_.data()) != pieces_) co_return damaged("pieces are missing");
    if (offset_ + kEndBytes != size_bytes_) co_return damaged("bytes follow the end");
    co_return std::nullopt;
  }
  ++pieces_;
  offset_ += kPieceHeaderBytes + length;
  co_return BytesView(buffer_);
}

}  // namespace polis::machine
