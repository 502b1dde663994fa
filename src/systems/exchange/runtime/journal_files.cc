#include "systems/exchange/runtime/journal_files.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/log/record.h"

namespace polis::exchange {
namespace {

constexpr log::FrameFormat kFormat = log::format_of<log::RecordFrame>();
constexpr size_t kWindowBytes = 256 << 10;

}  // namespace

JournalFiles::JournalFiles(io::Disk& disk, std::string directory, log::Position from)
    : disk_(&disk), directory_(std::move(directory)), next_(from), window_(kWindowBytes) {}

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
  if (header_.frame_magic != kFormat.magic || header_.first != segment)
    co_return fail(Code::kCorrupt, file->path() + ": not a segment of this journal");
  if (header_.frame_version != kFormat.version)
    co_return fail(Code::kUnsupported, file->path() + ": records of another version");
  file_ = std::move(file);
  segment_ = segment;
  offset_ = log::kSegmentHeaderBytes;
  window_.clear();
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
  for (log::Position at = files.segment_; at < from;) {
    const uint64_t end = CO_TRY(files.file_->size());
    const auto outline =
        CO_TRY(co_await log::outline_at(*files.file_, files.window_, kFormat, files.header_, files.offset_, at, end));
    if (!outline)
      co_return fail(Code::kOutOfRange,
                     fmt::format("{}: ends in front of record {}, asked for {}", files.file_->path(), at, from));
    at = outline->next;
    files.offset_ += outline->size_bytes;
  }
  co_return files;
}

Task<Result<std::optional<log::Record>>> JournalFiles::next(log::Position last) {
  while (next_ <= last) {
    if (file_) {
      const uint64_t end = CO_TRY(file_->size());
      const auto frame = CO_TRY(co_await log::frame_at(*file_, window_, kFormat, header_, offset_, next_, end));
      if (frame) {
        offset_ += frame->bytes.size();
        next_ = frame->next;
        co_return log::Record{frame->first, log::RecordFrame::payload(frame->bytes)};
      }
      window_.clear();  // what is being written there will look different
    }
    // Maybe the records go on in the next file.
    const auto firsts = CO_TRY(co_await list());
    const auto after = std::upper_bound(firsts.begin(), firsts.end(), file_ ? segment_ : 0);
    if (after == firsts.end()) co_return std::nullopt;
    if (*after != next_) {
      // A file that appeared just now: what comes before it may have been written meanwhile.
      if (file_) {
        const uint64_t end = CO_TRY(file_->size());
        const auto again = CO_TRY(co_await log::frame_at(*file_, window_, kFormat, header_, offset_, next_, end));
        if (again) continue;
      }
      co_return fail(Code::kCorrupt, fmt::format("{}: record {} cannot be read, though the journal goes on at {}",
                                                 directory_, next_, *after));
    }
    CO_TRY(co_await enter(*after));
  }
  co_return std::nullopt;
}

}  // namespace polis::exchange
