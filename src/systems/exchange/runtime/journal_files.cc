#include "systems/exchange/runtime/journal_files.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/log/record.h"

namespace polis::exchange {
namespace {

using log::RecordFrame;

// Read at once; stays in the second-level cache until it is taken apart.
constexpr size_t kBlockBytes = 256 << 10;

}  // namespace

JournalFiles::JournalFiles(io::Disk& disk, std::string directory, log::Position from)
    : disk_(&disk), directory_(std::move(directory)), next_(from) {}

Task<Result<std::vector<log::Position>>> JournalFiles::list() {
  std::vector<log::Position> firsts;
  auto entries = co_await disk_->list(directory_);
  if (!entries) {
    if (entries.error().code() == Code::kNotFound) co_return firsts;
    co_return fail(entries.error());
  }
  for (const auto& entry : *entries)
    if (const auto first = log::segment_first(entry.name)) firsts.push_back(*first);
  std::sort(firsts.begin(), firsts.end());
  co_return firsts;
}

Task<Result<void>> JournalFiles::enter(log::Position segment) {
  auto file = CO_TRY(co_await disk_->open(directory_ + "/" + log::segment_name(segment), io::OpenMode::kRead));
  std::byte raw[log::kSegmentHeaderBytes];
  if (CO_TRY(co_await file->read_at(0, raw)) < sizeof raw)
    co_return fail(Code::kCorrupt, file->path() + ": the header is cut off");
  header_ = CO_TRY(log::SegmentHeader::decode(raw));
  if (header_.frame_magic != RecordFrame::kMagic || header_.first != segment)
    co_return fail(Code::kCorrupt, file->path() + ": not a segment of this journal");
  if (header_.frame_version != RecordFrame::kVersion)
    co_return fail(Code::kUnsupported, file->path() + ": records of another version");
  file_ = std::move(file);
  segment_ = segment;
  offset_ = block_offset_ = log::kSegmentHeaderBytes;
  filled_ = 0;
  co_return {};
}

// The next record, if all of it was read and it is sound.
std::optional<log::Record> JournalFiles::take() {
  const BytesView there = ahead();
  if (there.size() < RecordFrame::kHeaderBytes) return std::nullopt;
  const auto head = RecordFrame::head(there.first(RecordFrame::kHeaderBytes), header_.salt);
  if (!head || head->first != next_ || head->size_bytes > there.size()) return std::nullopt;
  const BytesView frame = there.first(head->size_bytes);
  if (!RecordFrame::check(frame, header_.salt)) return std::nullopt;
  offset_ += frame.size();
  return log::Record{next_++, RecordFrame::payload(frame)};
}

// From offset_ on: a block, or a record that is larger. Up to the file's size alone, for a write may be under way
// behind it.
Task<Result<void>> JournalFiles::read_block() {
  block_offset_ = offset_;
  filled_ = 0;
  const uint64_t end = CO_TRY(file_->size());
  for (size_t wanted = kBlockBytes; offset_ < end;) {
    wanted = std::min<uint64_t>(wanted, end - offset_);
    if (block_.size() < wanted) block_.resize(std::max(wanted, kBlockBytes));
    filled_ = CO_TRY(co_await file_->read_at(offset_, MutableBytes(block_).first(wanted)));
    if (filled_ < RecordFrame::kHeaderBytes) break;
    const auto head = RecordFrame::head(ahead().first(RecordFrame::kHeaderBytes), header_.salt);
    if (!head || head->size_bytes <= filled_ || head->size_bytes > end - offset_ || filled_ < wanted) break;
    wanted = head->size_bytes;
  }
  co_return {};
}

Task<Result<JournalFiles>> JournalFiles::open(io::Disk& disk, std::string directory, log::Position from) {
  JournalFiles files(disk, std::move(directory), from);
  const auto firsts = CO_TRY(co_await files.list());
  const auto after = std::upper_bound(firsts.begin(), firsts.end(), from);
  if (after == firsts.begin()) {
    if (!firsts.empty())
      co_return fail(Code::kOutOfRange,
                     fmt::format("{}: begins with record {}, asked for {}", files.directory_, firsts.front(), from));
    co_return files;
  }
  CO_TRY(co_await files.enter(*std::prev(after)));
  files.next_ = files.segment_;
  while (files.next_ < from)
    if (!CO_TRY(co_await files.next(from - 1)))
      co_return fail(Code::kOutOfRange, fmt::format("{}: ends in front of record {}, asked for {}", files.file_->path(),
                                                    files.next_, from));
  co_return files;
}

Task<Result<std::optional<log::Record>>> JournalFiles::next(log::Position last) {
  while (next_ <= last) {
    if (file_) {
      if (const auto record = take()) co_return record;
      CO_TRY(co_await read_block());
      if (const auto record = take()) co_return record;
    }
    // Maybe the records go on in the next file.
    const auto firsts = CO_TRY(co_await list());
    const auto after = std::upper_bound(firsts.begin(), firsts.end(), file_ ? segment_ : 0);
    if (after == firsts.end()) co_return std::nullopt;
    if (*after != next_) {
      // A file that appeared just now: what comes before it may have been written meanwhile.
      if (file_) {
        CO_TRY(co_await read_block());
        if (const auto record = take()) co_return record;
      }
      co_return fail(Code::kCorrupt, fmt::format("{}: record {} cannot be read, though the journal goes on at {}",
                                                 directory_, next_, *after));
    }
    CO_TRY(co_await enter(*after));
  }
  co_return std::nullopt;
}

}  // namespace polis::exchange
