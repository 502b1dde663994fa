// The growing end: frames are appended, written and synced together, and waited for.
#include "kernel/log/segment_log.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::log {
namespace {

// As many parts as one writev of io takes without a second call.
constexpr size_t kPartsMax = 64;
constexpr size_t kSpareChunksMax = 4;
// A write to the page cache each time costs about as much as handing out a sync.
constexpr Duration kCheckpointInterval = std::chrono::milliseconds(20);
// A block of a stored index is written for so many entries at a time.
constexpr size_t kIndexBlockEntries = 256;

}  // namespace

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

std::vector<FrameLog::SegmentSummary> FrameLog::segments() const {
  std::vector<SegmentSummary> summaries;
  for (const auto& segment : segments_) summaries.push_back({segment->header.first, segment->planned_bytes});
  if (tail_ != segments_.back()) summaries.push_back({tail_->header.first, tail_->planned_bytes});
  return summaries;
}

// --- appending

void FrameLog::note_frame(Segment& segment, Position first, uint64_t offset, uint64_t mark) const {
  if (segment.index.empty() || offset - segment.indexed_at >= options_.index_interval_bytes) {
    segment.index.push_back({first, offset, segment.mark});
    segment.indexed_at = offset;
  }
  segment.mark = std::max(segment.mark, mark);
}

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
  if (options_.eager) {
    write_wanted_ = sync_wanted_ = end_;
    write_now_.set();
  }
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
    if (!checkpointing_ && io::Shard::current().now() - checkpoint_written_at_ >= kCheckpointInterval) {
      checkpointing_ = true;
      tasks_.spawn(write_checkpoint());  // beside the next sync
    }
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

// --- closing

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

// Not synced, and its failure changes nothing but how surely damage is told from a torn tail.
Task<void> FrameLog::write_checkpoint() {
  if (checkpoint_written_ < checkpoint_.next) {
    checkpoint_written_ = checkpoint_.next;
    checkpoint_written_at_ = io::Shard::current().now();
    (void)co_await checkpoint_file_->write(checkpoint_);
    if (options_.frugal) checkpoint_file_->rest();
  }
  checkpointing_ = false;
}

}  // namespace polis::log
