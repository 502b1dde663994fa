// Opening: what a process before left behind, whole or torn.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/log/segment_log.h"

namespace polis::log {

Task<Result<std::unique_ptr<FrameLog>>> FrameLog::open(io::Disk& disk, SyncScheduler& scheduler, Random& random,
                                                       FrameFormat format, SegmentLogOptions options) {
  if (options.segment_size_bytes < 2 * kSegmentHeaderBytes || options.chunk_bytes == 0)
    co_return fail(Code::kInvalid, options.directory + ": the segment size or the chunk size is too small");
  if (options.frugal && format.knows_durable)
    co_return fail(Code::kInvalid, options.directory + ": a log whose records say what was on disk cannot be frugal");
  std::unique_ptr<FrameLog> log(new FrameLog(disk, scheduler, random, format, std::move(options)));
  CO_TRY(co_await log->recover());
  co_return log;
}

Task<Result<void>> FrameLog::recover() {
  const std::string& directory = options_.directory;
  if (!options_.frugal) CO_TRY(co_await disk_.make_directories(directory));
  auto entries = co_await disk_.list(directory);
  if (!entries && !(options_.frugal && entries.error().code() == Code::kNotFound)) co_return fail(entries.error());
  if (!entries) entries.emplace();  // the first write makes it
  std::vector<Position> firsts, indexed;
  for (const auto& entry : *entries) {
    // What a crash left of a segment that was being made; nothing was ever written to it.
    if (entry.name.ends_with(kUnfinished)) {
      CO_TRY(co_await disk_.remove(directory + "/" + entry.name));
    } else if (const auto first = segment_first(entry.name)) {
      firsts.push_back(*first);
    } else if (const auto of = index_first(entry.name); of && options_.frugal) {
      indexed.push_back(*of);
    } else if (entry.name != kCheckpointName) {
      co_return fail(Code::kInvalid, directory + "/" + entry.name + ": a file that is no segment; move it elsewhere");
    }
  }
  std::sort(firsts.begin(), firsts.end());
  for (const Position first : indexed)
    if (!std::binary_search(firsts.begin(), firsts.end(), first))
      CO_TRY(co_await disk_.remove(directory + "/" + index_name(first)));
  // The process before may have ended over a sync of the folder that failed: its newest segment is seen here, and would
  // be gone after a power cut.
  checkpoint_file_ = CO_TRY(co_await CheckpointFile::open(disk_, directory + "/" + std::string(kCheckpointName)));
  const auto& known = checkpoint_file_->found();
  const bool name_was_synced = options_.frugal && known && !firsts.empty() && firsts.back() == known->segment_first;
  if (!firsts.empty() && !name_was_synced) CO_TRY(co_await disk_.sync_directory(directory));
  if (known && (firsts.empty() || firsts.back() < known->segment_first))
    co_return fail(Code::kCorrupt,
                   fmt::format("{}: {} is missing; it was on disk, up to position {}. Restore it from a backup",
                               directory, segment_name(known->segment_first), known->next));

  for (size_t i = 0; i < firsts.size(); ++i) {
    auto segment = std::make_shared<Segment>();
    segment->path = directory + "/" + segment_name(firsts[i]);
    segment->made = true;
    segment->slot.set(CO_TRY(co_await disk_.open(segment->path, io::OpenMode::kReadWrite)), options_.files);
    const std::shared_ptr<io::File> file = segment->file();
    const uint64_t size_bytes = CO_TRY(file->size());
    std::byte raw[kSegmentHeaderBytes];
    const size_t there = CO_TRY(co_await file->read_at(0, raw));
    auto header = SegmentHeader::decode(BytesView(raw).first(there));
    if (!header) co_return fail(Error(header.error().code(), segment->path + " cannot be opened", header.error()));
    if (header->frame_magic != format_.magic)
      co_return fail(Code::kCorrupt, segment->path + ": holds records of another kind");
    if (header->frame_version > format_.version)
      co_return fail(Code::kUnsupported, fmt::format("{}: records of version {}, this polis knows up to {}",
                                                     segment->path, header->frame_version, format_.version));
    if (header->first != firsts[i])
      co_return fail(Code::kCorrupt, segment->path + ": its name and its header disagree");
    if (i > 0) {
      Segment& previous = *segments_.back();
      if (header->previous_first != previous.header.first)
        co_return fail(Code::kCorrupt, fmt::format("{}: the segment before it, {}, is missing", segment->path,
                                                   segment_name(header->previous_first)));
      const uint64_t closed_bytes = previous.header.rewritten_size_bytes != 0 ? previous.header.rewritten_size_bytes
                                                                              : header->previous_size_bytes;
      if (previous.size_bytes < closed_bytes)
        co_return fail(Code::kCorrupt, fmt::format("{}: has {} bytes, but had {} when it was closed", previous.path,
                                                   previous.size_bytes, closed_bytes));
      // Longer: a torn tail that was cut, but came back when the power failed after a sync that had failed.
      previous.size_bytes = previous.planned_bytes = closed_bytes;
    }
    segment->header = *header;
    segment->size_bytes = size_bytes;
    if (i + 1 == firsts.size()) {
      CO_TRY(co_await recover_tail(*segment, size_bytes));
    } else {
      segment->indexed_from = UINT64_MAX;  // nothing is known
    }
    if (options_.frugal || firsts.size() - i > options_.open_files_max) segment->slot.reset();
    segment->planned_bytes = segment->size_bytes;
    segments_.push_back(std::move(segment));
  }

  if (segments_.empty()) {
    end_ = options_.first_position;
    auto segment = plan_segment();
    if (!options_.frugal) CO_TRY(co_await make_segment(segment));
    segments_.push_back(std::move(segment));
  }
  tail_ = segments_.back();
  written_ = durable_ = write_wanted_ = sync_wanted_ = end_;
  co_return {};
}

Task<Result<void>> FrameLog::recover_tail(Segment& segment, uint64_t file_size_bytes) {
  const std::shared_ptr<io::File> file = segment.file();
  // What an index knows was on disk, and so was what lies in front of the checkpoint.
  StoredIndex stored{.upto = {.next = segment.header.first}, .entries = {}};
  uint64_t proven_offset = 0;
  Position proven = 0;
  if (options_.frugal) {
    stored = co_await read_index(disk_, index_path(segment), segment.header);
    proven_offset = stored.upto.offset;
    proven = stored.upto.next;
  }
  if (const auto& known = checkpoint_file_->found();
      known && known->segment_first == segment.header.first && known->offset >= proven_offset) {
    proven_offset = known->offset;
    proven = known->next;
  }
  const bool skip = stored.upto.offset <= file_size_bytes;
  SegmentScan scan = CO_TRY(co_await scan_segment(*file, format_, segment.header,
                                                  skip ? stored.upto : ScanStart{.next = segment.header.first},
                                                  file_size_bytes, options_.index_interval_bytes));
  if (scan.end_offset < proven_offset)
    co_return fail(Code::kCorrupt,
                   fmt::format("{}: the record at position {}, byte {}, is damaged; it was on disk, for the checkpoint "
                               "at position {} says so. Restore this file from a backup",
                               segment.path, scan.next, scan.end_offset, proven));
  if (!format_.knows_durable) scan.unproven_offset = std::max<uint64_t>(kSegmentHeaderBytes, proven_offset);
  // Cut even zeros: later frames must never meet bytes of an earlier life behind them.
  bool changed = file_size_bytes > scan.end_offset;
  if (changed) CO_TRY(co_await file->resize(scan.end_offset));
  if (scan.torn) statistics_.torn_bytes = file_size_bytes - scan.end_offset;
  // Pages that a failed sync marked as clean look fine until the power fails. Writing them anew makes the next sync
  // mean them.
  Bytes buffer;
  for (uint64_t offset = scan.unproven_offset; offset < scan.end_offset;) {
    buffer.resize(std::min<uint64_t>(kCopyBytes, scan.end_offset - offset));
    const size_t count = CO_TRY(co_await file->read_at(offset, buffer));
    if (count == 0) co_return fail(Code::kIo, segment.path + " became shorter while it was read");
    const BytesView part = BytesView(buffer).first(count);
    CO_TRY(co_await file->write_at(offset, std::span<const BytesView>(&part, 1)));
    offset += count;
    changed = true;
  }
  if (changed || !options_.frugal) CO_TRY(co_await scheduler_.sync(file));
  segment.size_bytes = scan.end_offset;
  segment.mark = scan.mark;
  if (skip) {
    segment.checked.add(stored.upto.offset, scan.end_offset);
    segment.stored = stored.upto;
    if (stored.size_bytes > 0) segment.index_writer = IndexWriter::resume(disk_, index_path(segment), stored);
    segment.index = std::move(stored.entries);
  }
  segment.index.insert(segment.index.end(), scan.index.begin(), scan.index.end());
  segment.indexed_at = segment.index.empty() ? 0 : segment.index.back().offset;
  end_ = scan.next;
  checkpoint_ = {segment.header.first, scan.end_offset, scan.next};
  segment.planned_bytes = segment.size_bytes;
  if (options_.frugal) rest_index(segment);
  co_return {};
}

}  // namespace polis::log
