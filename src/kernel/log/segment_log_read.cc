// Reading: the files and indexes of segments, slices for send_file, and the walk over frames.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/log/segment_log.h"

namespace polis::log {
namespace {

// Readers fetch this much at once.
constexpr size_t kReadBufferBytes = 64 << 10;
// Heads of frames are looked at through a buffer of this size.
constexpr size_t kSliceReadBytes = 4 << 10;
// Beyond it what was checked is checked again: readers that jump about.
constexpr size_t kCheckedPartsMax = 256;

}  // namespace

bool CheckedRanges::covers(uint64_t begin, uint64_t end) const {
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), begin,
                                      [](uint64_t at, const Part& part) { return at < part.begin; });
  return after != parts_.begin() && std::prev(after)->end >= end;
}

void CheckedRanges::add(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  // Mostly the newest part grows.
  if (!parts_.empty() && parts_.back().end == begin) {
    parts_.back().end = end;
    return;
  }
  auto first = std::lower_bound(parts_.begin(), parts_.end(), begin,
                                [](const Part& part, uint64_t at) { return part.end < at; });
  auto last = first;
  for (; last != parts_.end() && last->begin <= end; ++last) {
    begin = std::min(begin, last->begin);
    end = std::max(end, last->end);
  }
  first = parts_.erase(first, last);
  if (parts_.size() >= kCheckedPartsMax) {
    parts_.clear();
    first = parts_.begin();
  }
  parts_.insert(first, Part{begin, end});
}

// --- files and indexes

std::shared_ptr<FrameLog::Segment> FrameLog::segment_of(Position position) const {
  auto after = std::upper_bound(segments_.begin(), segments_.end(), position,
                                [](Position p, const auto& segment) { return p < segment->header.first; });
  return after == segments_.begin() ? nullptr : *std::prev(after);
}

std::shared_ptr<FrameLog::Segment> FrameLog::segment_after(const Segment& segment) const {
  auto after = std::upper_bound(segments_.begin(), segments_.end(), segment.header.first,
                                [](Position p, const auto& other) { return p < other->header.first; });
  return after == segments_.end() ? nullptr : *after;
}

Task<Result<std::shared_ptr<io::File>>> FrameLog::file_of(std::shared_ptr<Segment> segment) {
  segment->used_at = ++uses_;
  if (segment->replaced) co_return segment->replaced;
  if (segment->slot) {
    segment->slot.touch();
    co_return segment->file();
  }
  const bool takes_appends = segment == segments_.back();
  auto opened = co_await disk_.open(segment->path, takes_appends ? io::OpenMode::kReadWrite : io::OpenMode::kRead);
  // Meanwhile the path may name what a rewrite made of the segment, or nothing any more.
  if (segment->replaced) co_return segment->replaced;
  if ((!opened && segment->leaving) || segment_of(segment->header.first) != segment)
    co_return fail(Code::kOutOfRange, segment->path + ": was trimmed while it was read");
  std::shared_ptr<io::File> file = CO_TRY(std::move(opened));
  size_t open_files = 0;
  Segment* oldest = nullptr;
  for (const auto& other : segments_) {
    if (!other->slot || other == segments_.back()) continue;
    ++open_files;
    if (!oldest || other->used_at < oldest->used_at) oldest = other.get();
  }
  if (oldest && open_files >= options_.open_files_max) oldest->slot.reset();
  if (segment->slot) co_return segment->file();  // another was faster
  segment->slot.set(file, options_.files);
  co_return file;
}

// Whether every frame must begin where the one before it ended.
bool FrameLog::exact_in(const Segment& segment) const {
  return format_.contiguous || (format_.gaps_by_rewrite && segment.header.rewritten_size_bytes == 0);
}

std::string FrameLog::index_path(const Segment& segment) const {
  return options_.directory + "/" + index_name(segment.header.first);
}

Error FrameLog::damage(const Segment& segment, Position position, uint64_t offset) const {
  return Error(Code::kCorrupt,
               fmt::format("{}: the record at position {}, byte {}, is damaged. Restore this file from a backup",
                           segment.path, position, offset));
}

Task<Result<void>> FrameLog::complete_index(std::shared_ptr<Segment> segment) {
  if (segment->index_whole()) co_return {};
  // Meanwhile appends go on behind this place.
  const uint64_t known_from = segment->indexed_from;
  const uint64_t until = std::min(known_from, segment->size_bytes);
  StoredIndex stored{.upto = {.next = segment->header.first}, .entries = {}};
  if (options_.frugal && !segment->leaving) stored = co_await read_index(disk_, index_path(*segment), segment->header);
  if (stored.upto.offset > until) stored = {.upto = {.next = segment->header.first}, .entries = {}};
  ScanStart upto = stored.upto;
  if (upto.offset < until) {
    auto file = CO_TRY(co_await file_of(segment));
    SegmentScan scan =
        CO_TRY(co_await scan_segment(*file, format_, segment->header, upto, until, options_.index_interval_bytes));
    if (scan.end_offset != until) co_return fail(damage(*segment, scan.next, scan.end_offset));
    segment->checked.add(upto.offset, scan.end_offset);
    stored.entries.insert(stored.entries.end(), scan.index.begin(), scan.index.end());
    upto = {until, scan.next, scan.mark};
  }
  // Another was faster; and a rest may have come since.
  if (segment->indexed_from != known_from) co_return co_await complete_index(segment);
  segment->index.insert(segment->index.begin(), stored.entries.begin(), stored.entries.end());
  segment->indexed_from = kSegmentHeaderBytes;
  segment->mark = std::max(segment->mark, upto.mark);
  if (!segment->index_writer && !segment->leaving) {
    segment->stored = stored.upto;
    if (stored.size_bytes > 0) segment->index_writer = IndexWriter::resume(disk_, index_path(*segment), stored);
  }
  co_return {};
}

// Only what is on disk may be told. What goes wrong costs a scan later, and nothing else.
Task<void> FrameLog::store_index(std::shared_ptr<Segment> segment, ScanStart upto) {
  if (!co_await indexing_.acquire()) co_return;
  co_await write_index(*segment, upto);
  indexing_.release();
}

Task<void> FrameLog::write_index(Segment& segment, ScanStart upto) {
  if (segment.leaving || upto.offset <= segment.stored.offset || segment.indexed_from > segment.stored.offset)
    co_return;
  if (!segment.index_writer) {
    auto created = co_await IndexWriter::create(disk_, index_path(segment), segment.header, random_);
    if (created) segment.index_writer = std::move(*created);
    segment.stored = {.next = segment.header.first};
  }
  if (!segment.index_writer) co_return;
  const auto by_offset = [](const IndexEntry& entry, uint64_t offset) { return entry.offset < offset; };
  const auto begin = std::lower_bound(segment.index.begin(), segment.index.end(), segment.stored.offset, by_offset);
  const auto end = std::lower_bound(begin, segment.index.end(), upto.offset, by_offset);
  const std::vector<IndexEntry> entries(begin, end);
  if (co_await segment.index_writer->append(entries, upto)) {
    segment.stored = upto;
  } else {
    segment.stored.offset = UINT64_MAX;  // nothing more of this segment
    segment.index_writer.reset();
  }
}

// For good: what comes to lie at the segment's path must never be found beside an index of what lay there.
Task<Result<void>> FrameLog::remove_index(Segment& segment) {
  if (!options_.frugal) co_return {};
  CO_TRY(co_await indexing_.acquire());
  segment.index_writer.reset();
  auto removed = co_await disk_.remove(index_path(segment));
  indexing_.release();
  if (!removed && removed.error().code() != Code::kNotFound) co_return fail(removed.error());
  co_return {};
}

// The index goes from memory once the file has all of it.
void FrameLog::rest_index(Segment& segment) {
  if (!segment.index_whole() || segment.stored.offset != segment.planned_bytes) return;
  segment.index.clear();
  segment.index.shrink_to_fit();
  segment.indexed_from = segment.planned_bytes;
  segment.indexed_at = 0;
}

Task<void> FrameLog::rest() {
  if (!options_.frugal || failure_ || closed_) co_return;
  const bool idle = rested_end_ == end_ && durable_ == end_ && written_ == end_ && tail_ == segments_.back();
  const uint64_t before = std::exchange(rested_uses_, uses_);
  rested_end_ = end_;
  if (idle && tail_->made && tail_->used_at <= before) {
    co_await store_index(tail_, {tail_->size_bytes, end_, tail_->mark});
    if (checkpoint_written_ < checkpoint_.next) co_await write_checkpoint();
  }
  const auto segments = segments_;  // trims go on meanwhile
  for (const auto& segment : segments) {
    if (segment->used_at > before || !segment->made) continue;
    if (segment == segments_.back() && (!idle || end_ != rested_end_)) continue;
    if (segment != segments_.back() && segment->index_whole() && segment->stored.offset < segment->size_bytes) {
      // Rewritten, or its index was lost.
      const auto following = segment_after(*segment);
      if (following) co_await store_index(segment, {segment->size_bytes, following->header.first, segment->mark});
    }
    if (segment->used_at > before || segment->planned_bytes != segment->size_bytes) continue;
    rest_index(*segment);
    segment->slot.reset();
    segment->checked.clear();  // the disk may change what is not looked at
  }
  if (idle && queue_.empty()) {
    spare_.clear();
    spare_.shrink_to_fit();
  }
}

// --- places and slices

Task<Result<Position>> FrameLog::seek_mark(Position segment_first, uint64_t mark) {
  auto segment = segment_of(segment_first);
  if (!segment || segment->header.first != segment_first)
    co_return fail(Code::kOutOfRange, fmt::format("{}: no segment begins at {}", options_.directory, segment_first));
  segment->used_at = ++uses_;
  CO_TRY(co_await complete_index(segment));
  const auto after = std::partition_point(segment->index.begin(), segment->index.end(),
                                          [&](const IndexEntry& entry) { return entry.mark < mark; });
  co_return after == segment->index.begin() ? segment->header.first : std::prev(after)->first;
}

Result<FrameReader> FrameLog::read(Position from) {
  if (from < start() || from > end_)
    return fail(Code::kOutOfRange,
                fmt::format("{}: position {} is outside [{}, {}]", options_.directory, from, start(), end_));
  return FrameReader(*this, segment_of(from), from);
}

// The last place that the index knows in front of the position.
IndexEntry FrameLog::place_in(const Segment& segment, Position position) {
  const auto& index = segment.index;
  const auto after = std::upper_bound(index.begin(), index.end(), position,
                                      [](Position p, const IndexEntry& entry) { return p < entry.first; });
  return after == index.begin() ? IndexEntry{segment.header.first, kSegmentHeaderBytes, 0} : *std::prev(after);
}

Task<Result<FrameLog::Slice>> FrameLog::slice(Position from, uint64_t bytes_max, Position below) {
  below = std::min(below, written_);
  const auto none = [&] {
    return fail(Code::kOutOfRange, fmt::format("{}: no record at position {} to send yet", options_.directory, from));
  };
  if (from < start() || from >= below) co_return none();
  auto segment = segment_of(from);
  auto file = CO_TRY(co_await file_of(segment));
  CO_TRY(co_await complete_index(segment));
  FileWindow window(std::min<uint64_t>(options_.index_interval_bytes, kSliceReadBytes));
  IndexEntry place = place_in(*segment, from);
  IndexEntry begin_place = place;  // what lies in front of the slice is relied upon, too
  Slice slice;
  while (true) {
    if (place.offset >= segment->size_bytes) {
      // The position lies in the gap behind the segment's last frame.
      auto following = segment_after(*segment);
      if (slice.file || !following) break;
      if (options_.frugal)
        CO_TRY(co_await check_slice(segment, file, {begin_place.offset, segment->size_bytes - begin_place.offset},
                                    begin_place.first, place.first));
      if (exact_in(*segment) && following->header.first != place.first)
        co_return fail(damage(*segment, place.first, place.offset));
      segment = std::move(following);
      file = CO_TRY(co_await file_of(segment));
      CO_TRY(co_await complete_index(segment));
      window.clear();
      begin_place = place = {segment->header.first, kSegmentHeaderBytes, 0};
      continue;
    }
    const auto frame = CO_TRY(
        co_await outline_at(*file, window, format_, segment->header, place.offset, place.first, segment->size_bytes));
    if (!frame) co_return fail(damage(*segment, place.first, place.offset));
    place = {frame->next, frame->offset + frame->size_bytes, 0};
    if (frame->next <= from) continue;
    if (frame->first >= below) break;
    if (!slice.file) {
      slice = {file, {frame->offset, frame->size_bytes}, frame->first, frame->next};
      // Borders that the index knows within both limits need no look at the frames in between.
      const uint64_t begin = frame->offset;
      auto border = std::upper_bound(segment->index.begin(), segment->index.end(), begin + bytes_max,
                                     [](uint64_t offset, const IndexEntry& entry) { return offset < entry.offset; });
      while (border != segment->index.begin()) {
        --border;
        if (border->offset <= place.offset) break;
        if (border->first > below || border->offset > segment->size_bytes) continue;
        slice.range.size = border->offset - begin;
        slice.next = border->first;
        place = *border;
        break;
      }
      continue;
    }
    if (slice.range.size + frame->size_bytes > bytes_max) break;
    slice.range.size += frame->size_bytes;
    slice.next = frame->next;
  }
  if (!slice.file) co_return none();
  if (options_.frugal)
    CO_TRY(co_await check_slice(segment, file,
                                {begin_place.offset, slice.range.offset + slice.range.size - begin_place.offset},
                                begin_place.first, slice.next));
  co_return slice;
}

Task<Result<void>> FrameLog::check_slice(std::shared_ptr<Segment> segment, std::shared_ptr<io::File> file,
                                         io::ByteRange range, Position first, Position next) {
  const uint64_t end = range.offset + range.size;
  if (segment->checked.covers(range.offset, end)) co_return {};
  FileWindow window(std::min<uint64_t>(range.size, kCopyBytes));
  Position expected = first;
  uint64_t yielded_at = range.offset;
  for (uint64_t offset = range.offset; offset < end;) {
    const auto frame =
        CO_TRY(co_await frame_at(*file, window, format_, segment->header, offset, expected, segment->size_bytes));
    if (!frame || frame->first < first || offset + frame->bytes.size() > end)
      co_return fail(damage(*segment, expected, offset));
    expected = frame->next;
    offset += frame->bytes.size();
    if (offset - yielded_at >= kCopyBytes) {
      yielded_at = offset;
      co_await io::yield();
    }
  }
  if (exact_in(*segment) ? expected != next : expected > next) co_return fail(damage(*segment, next, end));
  segment->checked.add(range.offset, end);
  co_return {};
}

// --- FrameReader

FrameReader::FrameReader(FrameLog& log, std::shared_ptr<FrameLog::Segment> segment, Position from)
    : log_(&log),
      segment_(std::move(segment)),
      from_(from),
      expected_(segment_->header.first),
      window_(kReadBufferBytes) {}

Task<Result<void>> FrameReader::find_place() {
  offset_ = kSegmentHeaderBytes;
  if (from_ <= segment_->header.first) co_return {};
  CO_TRY(co_await log_->complete_index(segment_));
  const IndexEntry place = FrameLog::place_in(*segment_, from_);
  offset_ = place.offset;
  expected_ = place.first;
  co_return {};
}

Task<Result<std::optional<FrameView>>> FrameReader::next() {
  if (offset_ == 0) CO_TRY(co_await find_place());
  while (true) {
    if (expected_ >= log_->written_) co_return std::nullopt;
    if (offset_ >= segment_->size_bytes) {
      auto following = log_->segment_after(*segment_);
      if (!following) co_return std::nullopt;
      if (following->header.previous_first != segment_->header.first)
        co_return fail(Code::kOutOfRange,
                       fmt::format("{}: position {} was trimmed while it was read", log_->directory(), expected_));
      if (log_->exact_in(*segment_) && following->header.first != expected_)
        co_return fail(Code::kCorrupt, fmt::format("{}: ends at position {}, but the next segment begins at {}",
                                                   segment_->path, expected_, following->header.first));
      segment_ = std::move(following);
      expected_ = std::max(expected_, segment_->header.first);
      offset_ = kSegmentHeaderBytes;
      window_.clear();
      continue;  // a rewrite may have left nothing of it
    }
    auto file = CO_TRY(co_await log_->file_of(segment_));
    const auto frame = CO_TRY(
        co_await frame_at(*file, window_, log_->format_, segment_->header, offset_, expected_, segment_->size_bytes));
    if (!frame) co_return fail(log_->damage(*segment_, expected_, offset_));
    offset_ = frame->offset + frame->bytes.size();
    expected_ = frame->next;
    if (frame->next > from_) co_return frame;
  }
}

}  // namespace polis::log
