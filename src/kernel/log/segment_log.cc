#include "kernel/log/segment_log.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::log {
namespace {

// As many parts as one writev of io takes without a second call.
constexpr size_t kPartsMax = 64;
constexpr size_t kSpareChunksMax = 4;
// Readers fetch this much at once.
constexpr size_t kReadBufferBytes = 64 << 10;
constexpr size_t kRewriteBytes = 256 << 10;
// Heads of frames are looked at through a buffer of this size.
constexpr size_t kSliceReadBytes = 4 << 10;
constexpr std::string_view kUnfinished = ".new";
// A write to the page cache each time costs about as much as handing out a sync.
constexpr Duration kCheckpointInterval = std::chrono::milliseconds(20);
// A block of a stored index is written for so many entries at a time.
constexpr size_t kIndexBlockEntries = 256;
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

// One coroutine that waits for a position. Lists are ordered by position, which costs nothing as positions rise.
class FrameLog::Waiter final : public io::Operation {
 public:
  Waiter(FrameLog& log, Waiters& list, Position before) : log_(log), list_(list), before_(before) {}

  bool await_ready() const noexcept { return false; }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) {
    if (!begin(parent)) return false;
    Waiter* after = list_.last;
    while (after && after->before_ > before_) after = after->previous_;
    previous_ = after;
    next_ = after ? after->next_ : list_.first;
    (previous_ ? previous_->next_ : list_.first) = this;
    (next_ ? next_->previous_ : list_.last) = this;
    return true;
  }
  Result<void> await_resume() const {
    if (cancelled_) return fail(code_, "waiting for " + log_.options_.directory + " was given up; the record stays");
    if (log_.failure_ && !reached_) return fail(*log_.failure_);
    return {};
  }

  Position before() const { return before_; }
  void wake(bool reached) {
    leave();
    unlink();
    reached_ = reached;
    finish();
  }

 private:
  void leave() {
    (previous_ ? previous_->next_ : list_.first) = next_;
    (next_ ? next_->previous_ : list_.last) = previous_;
  }
  void cancel(Code reason) override {
    leave();
    cancelled_ = true;
    code_ = reason;
    finish();
  }

  FrameLog& log_;
  Waiters& list_;
  const Position before_;
  Waiter* previous_ = nullptr;
  Waiter* next_ = nullptr;
  bool reached_ = false;
};

FrameLog::FrameLog(io::Disk& disk, SyncScheduler& scheduler, Random& random, FrameFormat format,
                   SegmentLogOptions options)
    : disk_(disk), scheduler_(scheduler), random_(random), format_(format), options_(std::move(options)) {}

FrameLog::~FrameLog() {
  POLIS_ASSERT(!writing_ && !syncing_);
}

// --- opening

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
    buffer.resize(std::min<uint64_t>(kRewriteBytes, scan.end_offset - offset));
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

// Not synced, and its failure changes nothing but how surely damage is told from a torn tail.
Task<void> FrameLog::write_checkpoint() {
  if (checkpoint_written_ >= checkpoint_.next) co_return;
  checkpoint_written_ = checkpoint_.next;
  checkpoint_written_at_ = io::Shard::current().now();
  (void)co_await checkpoint_file_->write(checkpoint_);
  if (options_.frugal) checkpoint_file_->rest();
}

// --- segments

std::shared_ptr<FrameLog::Segment> FrameLog::plan_segment() {
  auto segment = std::make_shared<Segment>();
  segment->header = {.frame_magic = format_.magic,
                     .frame_version = format_.version,
                     .salt = static_cast<uint32_t>(random_.next()),
                     .first = end_};
  if (tail_) {
    segment->header.previous_first = tail_->header.first;
    segment->header.previous_size_bytes = tail_->planned_bytes;
  }
  segment->path = options_.directory + "/" + segment_name(end_);
  segment->stored.next = end_;
  return segment;
}

// The file gets its name only with a durable header, so a segment is there with a sound header or not at all.
Task<Result<void>> FrameLog::make_segment(std::shared_ptr<Segment> segment) {
  const std::string unfinished = segment->path + std::string(kUnfinished);
  std::shared_ptr<io::File> file = CO_TRY(co_await disk_.open(unfinished, io::OpenMode::kCreateNew));
  std::byte raw[kSegmentHeaderBytes];
  segment->header.encode(raw);
  const BytesView part = raw;
  CO_TRY(co_await file->write_at(0, std::span<const BytesView>(&part, 1)));
  // A hint: a file system that cannot reserve, or has no room to, still takes writes until it is full.
  if (!options_.frugal) {
    if (auto reserved = co_await file->reserve(options_.segment_size_bytes);
        !reserved && reserved.error().code() != Code::kUnsupported && reserved.error().code() != Code::kNoSpace)
      co_return fail(reserved.error());
  }
  CO_TRY(co_await scheduler_.sync(file));
  CO_TRY(co_await disk_.rename(unfinished, segment->path));
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  segment->slot.set(std::move(file), options_.files);
  segment->made = true;
  co_return {};
}

Task<Result<void>> FrameLog::roll(std::shared_ptr<Segment> segment) {
  auto previous = segments_.back();
  if (previous == segment) {  // the first one of a frugal log
    CO_TRY(co_await disk_.make_directories(options_.directory));
    co_return co_await make_segment(segment);
  }
  const Position all = written_;
  const Checkpoint proved{previous->header.first, previous->size_bytes, all};
  CO_TRY(co_await scheduler_.sync(CO_TRY(co_await file_of(previous))));
  // A sync that ran before this one may have failed and dropped pages that this one then found clean: a segment that
  // followed would say that they are on disk.
  if (failure_) co_return fail(*failure_);
  statistics_.syncs++;
  if (proved.next > checkpoint_.next) checkpoint_ = proved;
  durable_ = std::max(durable_, all);
  wake(durable_waiters_, durable_);
  previous->slot.pin(false);
  if (options_.frugal) co_await store_index(previous, {previous->size_bytes, all, previous->mark});
  CO_TRY(co_await make_segment(segment));
  segments_.push_back(segment);
  if (segments_.size() > options_.open_files_max) {
    auto oldest = std::min_element(segments_.begin(), segments_.end() - 2, [](const auto& a, const auto& b) {
      return (a->slot ? a->used_at : UINT64_MAX) < (b->slot ? b->used_at : UINT64_MAX);
    });
    if (oldest != segments_.end() - 2) (*oldest)->slot.reset();
  }
  co_return {};
}

Task<Result<std::shared_ptr<io::File>>> FrameLog::file_of(std::shared_ptr<Segment> segment) {
  segment->used_at = ++uses_;
  if (segment->slot) {
    segment->slot.touch();
    co_return segment->file();
  }
  const bool takes_appends = segment == segments_.back();
  auto opened = co_await disk_.open(segment->path, takes_appends ? io::OpenMode::kReadWrite : io::OpenMode::kRead);
  // Its path then names what a rewrite made of it, or nothing any more.
  if (segment_of(segment->header.first) != segment)
    co_return fail(Code::kOutOfRange, segment->path + ": was trimmed or rewritten while it was read");
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
  if (options_.frugal) stored = co_await read_index(disk_, index_path(*segment), segment->header);
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
  if (!segment->index_writer) {
    segment->stored = stored.upto;
    if (stored.size_bytes > 0) segment->index_writer = IndexWriter::resume(disk_, index_path(*segment), stored);
  }
  co_return {};
}

// Only what is on disk may be told. What goes wrong costs a scan later, and nothing else.
Task<void> FrameLog::store_index(std::shared_ptr<Segment> segment, ScanStart upto) {
  if (storing_index_ || upto.offset <= segment->stored.offset || segment->indexed_from > segment->stored.offset)
    co_return;
  storing_index_ = true;
  if (!segment->index_writer) {
    auto created = co_await IndexWriter::create(disk_, index_path(*segment), segment->header, random_);
    if (created) segment->index_writer = std::move(*created);
    segment->stored = {.next = segment->header.first};
  }
  if (segment->index_writer) {
    const auto by_offset = [](const IndexEntry& entry, uint64_t offset) { return entry.offset < offset; };
    const auto begin =
        std::lower_bound(segment->index.begin(), segment->index.end(), segment->stored.offset, by_offset);
    const auto end = std::lower_bound(begin, segment->index.end(), upto.offset, by_offset);
    const std::vector<IndexEntry> entries(begin, end);
    if (co_await segment->index_writer->append(entries, upto)) {
      segment->stored = upto;
    } else {
      segment->stored.offset = UINT64_MAX;  // nothing more of this segment
      segment->index_writer.reset();
    }
  }
  storing_index_ = false;
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

void FrameLog::note_frame(Segment& segment, Position first, uint64_t offset, uint64_t mark) const {
  if (segment.index.empty() || offset - segment.indexed_at >= options_.index_interval_bytes) {
    segment.index.push_back({first, offset, segment.mark});
    segment.indexed_at = offset;
  }
  segment.mark = std::max(segment.mark, mark);
}

// --- appending

Result<void> FrameLog::admit(size_t size_bytes) const {
  if (failure_) return fail(*failure_);
  if (closed_) return fail(Code::kClosed, options_.directory + " is closed");
  if (size_bytes > format_.frame_bytes_max)
    return fail(Code::kTooLarge, fmt::format("{}: a record of {} bytes, at most {} are allowed", options_.directory,
                                             size_bytes, format_.frame_bytes_max));
  if (queued_bytes_ > 0 && queued_bytes_ + size_bytes > options_.buffer_bytes_max)
    return fail(Code::kBusy, options_.directory + ": the disk is behind; try later");
  return {};
}

FrameLog::Chunk FrameLog::take_chunk(size_t size_bytes) {
  if (size_bytes <= options_.chunk_bytes && !spare_.empty()) {
    Chunk chunk = std::move(spare_.back());
    spare_.pop_back();
    return chunk;
  }
  Chunk chunk;
  chunk.capacity_bytes = std::max(size_bytes, options_.chunk_bytes);
  chunk.bytes = std::make_unique_for_overwrite<std::byte[]>(chunk.capacity_bytes);
  return chunk;
}

Result<FrameLog::Slot> FrameLog::append(size_t size_bytes, Position first, Position next, uint64_t mark) {
  TRY(admit(size_bytes));
  POLIS_ASSERT(size_bytes >= format_.header_bytes && size_bytes % format_.alignment == 0 && next > first);
  POLIS_ASSERT(format_.contiguous ? first == end_ : first >= end_);
  const bool full = close_wanted_ || tail_->planned_bytes + size_bytes > options_.segment_size_bytes;
  if (full && tail_->planned_bytes > kSegmentHeaderBytes) {
    tail_ = plan_segment();
  }
  close_wanted_ = false;
  if (queue_.empty() || queue_.back().segment != tail_ ||
      queue_.back().capacity_bytes - queue_.back().size_bytes < size_bytes) {
    queue_.push_back(take_chunk(size_bytes));
    queue_.back().segment = tail_;
  }
  Chunk& chunk = queue_.back();
  const Slot slot{{chunk.bytes.get() + chunk.size_bytes, size_bytes}, tail_->header.salt, durable_};
  note_frame(*tail_, first, tail_->planned_bytes, mark);
  chunk.size_bytes += size_bytes;
  chunk.next = next;
  tail_->planned_bytes += size_bytes;
  queued_bytes_ += size_bytes;
  end_ = next;
  statistics_.appends++;
  statistics_.appended_bytes += size_bytes;
  start_writing();
  return slot;
}

Result<void> FrameLog::append(std::span<const BytesView> parts, Position first, Position next) {
  size_t size_bytes = 0;
  for (BytesView part : parts) size_bytes += part.size();
  const Slot slot = TRY(append(size_bytes, first, next));
  size_t at = 0;
  for (BytesView part : parts) {
    if (part.empty()) continue;
    std::memcpy(slot.bytes.data() + at, part.data(), part.size());
    at += part.size();
  }
  return {};
}

void FrameLog::start_writing() {
  if (queued_bytes_ >= options_.flush_bytes) write_now_.set();
  if (std::exchange(writing_, true)) return;
  tasks_.spawn(write_loop());
}

void FrameLog::start_syncing() {
  if (failure_ || syncing_ || sync_wanted_ <= durable_ || written_ <= durable_) return;
  syncing_ = true;
  tasks_.spawn(sync_loop());
}

Task<void> FrameLog::write_loop() {
  while (!failure_ && !queue_.empty()) {
    if (write_wanted_ <= written_ && queued_bytes_ < options_.flush_bytes) {
      write_now_.reset();
      // Both outcomes mean the same: it is time.
      (void)co_await io::with_timeout(options_.linger, write_now_.wait());
      if (failure_) break;  // a sync failed meanwhile
    }
    auto segment = queue_.front().segment;
    Result<void> done;
    if (!segment->made) done = co_await roll(segment);
    if (done && !failure_) done = co_await write_batch(segment);
    if (!done) stop(done.error());
    start_syncing();
  }
  writing_ = false;
}

Task<Result<void>> FrameLog::write_batch(std::shared_ptr<Segment> segment) {
  std::vector<Chunk> batch;
  std::vector<BytesView> parts;
  uint64_t size_bytes = 0;
  while (!queue_.empty() && queue_.front().segment == segment && parts.size() < kPartsMax) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
    parts.push_back({batch.back().bytes.get(), batch.back().size_bytes});
    size_bytes += batch.back().size_bytes;
  }
  const std::shared_ptr<io::File> file = CO_TRY(co_await file_of(segment));
  segment->slot.pin(true);  // until its sync
  CO_TRY(co_await file->write_at(segment->size_bytes, parts));
  statistics_.writes++;
  segment->checked.add(segment->size_bytes, segment->size_bytes + size_bytes);
  segment->size_bytes += size_bytes;
  queued_bytes_ -= size_bytes;
  written_ = batch.back().next;
  for (Chunk& chunk : batch) {
    if (chunk.capacity_bytes != options_.chunk_bytes || spare_.size() >= kSpareChunksMax) continue;
    chunk.size_bytes = 0;
    chunk.segment.reset();
    spare_.push_back(std::move(chunk));
  }
  const size_t kept = options_.frugal ? 0 : 1;
  if (queue_.empty() && spare_.size() > kept) spare_.resize(kept);
  wake(written_waiters_, written_);
  co_return {};
}

Task<void> FrameLog::sync_loop() {
  while (!failure_ && sync_wanted_ > durable_ && written_ > durable_) {
    // Everything below `all` is in this segment or in one that was synced before this one was made.
    const Position all = written_;
    const std::shared_ptr<Segment> segment = segments_.back();
    const Checkpoint proved{segment->header.first, segment->size_bytes, all};
    const uint64_t mark = segment->mark;  // perhaps of a frame that comes later: a bound all the same
    const auto synced = co_await scheduler_.sync(segment->file());
    statistics_.syncs++;
    if (!synced) {
      stop(synced.error());
      break;
    }
    // The segment was closed meanwhile, and that sync failed: this one found its dropped pages clean.
    if (failure_) break;
    durable_ = std::max(durable_, all);
    if (proved.next > checkpoint_.next) checkpoint_ = proved;
    wake(durable_waiters_, durable_);
    // Not while a write is under way: what it brings needs this file for its sync.
    if (durable_ == end_ && segment == segments_.back()) segment->slot.pin(false);
    if (options_.frugal && segment == segments_.back() &&
        proved.offset >= segment->stored.offset + kIndexBlockEntries * options_.index_interval_bytes)
      co_await store_index(segment, {proved.offset, proved.next, mark});
    if (io::Shard::current().now() - checkpoint_written_at_ >= kCheckpointInterval) co_await write_checkpoint();
  }
  syncing_ = false;
}

// --- waiting

Position FrameLog::reached(Durability durability) const {
  switch (durability) {
    case Durability::kMemory:
      return end_;
    case Durability::kOs:
      return written_;
    case Durability::kDisk:
      return durable_;
    case Durability::kReplicated:
      break;
  }
  return start();
}

Task<Result<void>> FrameLog::wait(Position before, Durability durability) {
  if (before > end_)
    co_return fail(Code::kOutOfRange,
                   fmt::format("{}: position {} was not appended yet", options_.directory, before - 1));
  if (durability == Durability::kReplicated)
    co_return fail(Code::kUnavailable, options_.directory + ": replication is not configured");
  if (reached(durability) >= before) {
    if (durability == Durability::kMemory && failure_) co_return fail(*failure_);
    co_return {};
  }
  if (failure_) co_return fail(*failure_);
  write_wanted_ = std::max(write_wanted_, before);
  if (written_ < before) write_now_.set();
  if (durability == Durability::kDisk) {
    sync_wanted_ = std::max(sync_wanted_, before);
    start_syncing();
  }
  Waiter waiter(*this, durability == Durability::kDisk ? durable_waiters_ : written_waiters_, before);
  co_return co_await waiter;
}

void FrameLog::wake(Waiters& waiters, Position reached) {
  while (waiters.first && waiters.first->before() <= reached) waiters.first->wake(true);
}

void FrameLog::stop(Error error) {
  if (failure_) return;
  failure_ =
      Error(Code::kUnavailable,
            options_.directory + " stopped after a failed write or sync; nothing is accepted until it is opened again",
            std::move(error));
  queue_.clear();
  for (Waiters* waiters : {&written_waiters_, &durable_waiters_})
    while (waiters->first) waiters->first->wake(false);
}

// --- reading, trimming, closing

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
  FileWindow window(std::min<uint64_t>(range.size, kRewriteBytes));
  Position expected = first;
  uint64_t yielded_at = range.offset;
  for (uint64_t offset = range.offset; offset < end;) {
    const auto frame =
        CO_TRY(co_await frame_at(*file, window, format_, segment->header, offset, expected, segment->size_bytes));
    if (!frame || frame->first < first || offset + frame->bytes.size() > end)
      co_return fail(damage(*segment, expected, offset));
    expected = frame->next;
    offset += frame->bytes.size();
    if (offset - yielded_at >= kRewriteBytes) {
      yielded_at = offset;
      co_await io::yield();
    }
  }
  if (exact_in(*segment) ? expected != next : expected > next) co_return fail(damage(*segment, next, end));
  segment->checked.add(range.offset, end);
  co_return {};
}

Task<Result<void>> FrameLog::trim(Position before) {
  CO_TRY(co_await trimming_.acquire());
  Result<void> result;
  bool removed = false;
  while (result && segments_.size() > 1 && segments_[1]->header.first <= before) {
    if (options_.frugal) (void)co_await disk_.remove(index_path(*segments_.front()));  // derived
    result = co_await disk_.remove(segments_.front()->path);
    if (!result) break;
    segments_.pop_front();
    removed = true;
  }
  if (result && removed) result = co_await disk_.sync_directory(options_.directory);
  trimming_.release();
  co_return result;
}

std::vector<FrameLog::SegmentSummary> FrameLog::segments() const {
  std::vector<SegmentSummary> summaries;
  for (const auto& segment : segments_) summaries.push_back({segment->header.first, segment->planned_bytes});
  if (tail_ != segments_.back()) summaries.push_back({tail_->header.first, tail_->planned_bytes});
  return summaries;
}

Task<Result<uint64_t>> FrameLog::rewrite(Position segment_first, Keep keep) {
  POLIS_ASSERT(!format_.contiguous);
  // Not while a trim takes segments away.
  CO_TRY(co_await trimming_.acquire());
  auto result = co_await rewrite_segment(segment_first, std::move(keep));
  trimming_.release();
  co_return result;
}

Task<Result<uint64_t>> FrameLog::rewrite_segment(Position segment_first, Keep keep) {
  auto found = std::find_if(segments_.begin(), segments_.end(),
                            [&](const auto& segment) { return segment->header.first == segment_first; });
  if (found == segments_.end() || *found == segments_.back())
    co_return fail(Code::kOutOfRange,
                   fmt::format("{}: no closed segment begins at {}", options_.directory, segment_first));
  const std::shared_ptr<Segment> old = *found;
  auto source = CO_TRY(co_await file_of(old));
  auto made = std::make_shared<Segment>();
  made->header = old->header;
  made->path = old->path;
  const std::string unfinished = old->path + std::string(kUnfinished);
  if (auto removed = co_await disk_.remove(unfinished); !removed && removed.error().code() != Code::kNotFound)
    co_return fail(removed.error());
  std::shared_ptr<io::File> target = CO_TRY(co_await disk_.open(unfinished, io::OpenMode::kCreateNew));

  Bytes buffer(kSegmentHeaderBytes);  // the header is written last, when the size is known
  made->size_bytes = 0;
  const auto flush = [&]() -> Task<Result<void>> {
    CO_TRY(co_await target->write_at(made->size_bytes, BytesView(buffer)));
    made->size_bytes += buffer.size();
    buffer.clear();
    co_return {};
  };
  FileWindow window(kReadBufferBytes);
  Position expected = old->header.first;
  for (uint64_t offset = kSegmentHeaderBytes; offset < old->size_bytes;) {
    const auto frame =
        CO_TRY(co_await frame_at(*source, window, format_, old->header, offset, expected, old->size_bytes));
    if (!frame) co_return fail(damage(*old, expected, offset));
    offset += frame->bytes.size();
    expected = frame->next;
    if (const auto kept = CO_TRY(keep(*frame))) {
      note_frame(*made, frame->first, made->size_bytes + buffer.size(), frame->mark);
      buffer.insert(buffer.end(), kept->begin(), kept->end());
    }
    if (buffer.size() >= kRewriteBytes) CO_TRY(co_await flush());
  }
  CO_TRY(co_await flush());
  made->header.rewritten_size_bytes = made->size_bytes;
  buffer.resize(kSegmentHeaderBytes);
  made->header.encode(buffer.data());
  CO_TRY(co_await target->write_at(0, BytesView(buffer)));
  CO_TRY(co_await scheduler_.sync(target));
  // First the index: it must never be found beside a segment that it does not describe.
  old->stored.offset = UINT64_MAX;
  old->index_writer.reset();
  if (options_.frugal) {
    if (auto removed = co_await disk_.remove(index_path(*old)); !removed && removed.error().code() != Code::kNotFound)
      co_return fail(removed.error());
  }
  CO_TRY(co_await disk_.rename(unfinished, old->path));
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  made->made = true;
  made->slot.set(std::move(target), options_.files);
  made->planned_bytes = made->size_bytes;
  made->stored.next = made->header.first;
  made->checked.add(kSegmentHeaderBytes, made->size_bytes);
  made->used_at = ++uses_;
  // Only trims take segments away, and they wait; appends add at the end.
  found = std::find(segments_.begin(), segments_.end(), old);
  *found = made;
  co_return old->size_bytes - made->size_bytes;
}

Task<Result<void>> FrameLog::close() {
  closed_ = true;
  Result<void> result;
  if (durable_ < end_ || failure_) result = co_await wait(end_, Durability::kDisk);
  co_await tasks_.join();
  if (result && failure_) result = fail(*failure_);
  if (result && options_.frugal && tail_->made) co_await store_index(tail_, {tail_->size_bytes, end_, tail_->mark});
  if (result) co_await write_checkpoint();
  co_return result;
}

SegmentLogStatistics FrameLog::statistics() const {
  SegmentLogStatistics now = statistics_;
  now.segments = segments_.size();
  for (const auto& segment : segments_) now.size_bytes += segment->size_bytes;
  now.buffered_bytes = queued_bytes_;
  return now;
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
