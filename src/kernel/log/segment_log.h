// SegmentLog: an append-only log of frames in segment files, with group commit. What every durable ordered history in
// polis stands on: the journal, stream's partitions, the records of exchange and ledger.
//
//     append ──► chunks in memory ──one gathered write──► the newest segment ──one fdatasync for all that wait──► disk
//                (a memcpy)           (Durability::kOs)                                        (Durability::kDisk)
//
// append() never waits and assigns nothing: the owner names the positions. wait() suspends until a position is as
// durable as asked. While one write or sync runs, the next group collects; a wait makes both start at once, otherwise
// they linger for a few milliseconds. A failed write or sync stops the log for good: the state of its pages is unknown,
// so only opening it again (which reads what is there and writes the unproven part anew) can go on.
//
// Lives on one shard. close() before it is destroyed.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"
#include "kernel/io/stream.h"
#include "kernel/log/checkpoint.h"
#include "kernel/log/durability.h"
#include "kernel/log/index_file.h"
#include "kernel/log/open_files.h"
#include "kernel/log/segment.h"
#include "kernel/log/sync_scheduler.h"

namespace polis::log {

struct SegmentLogOptions {
  std::string directory;  // made if absent; holds nothing else
  // A segment is closed before the frame that would pass this. 64 MiB: read in well under a second when the log is
  // opened.
  uint64_t segment_size_bytes = uint64_t{64} << 20;
  // Appended and not yet written; beyond it append answers kBusy. Half a second of a disk that writes 64 MB/s.
  uint64_t buffer_bytes_max = uint64_t{32} << 20;
  // Memory is taken in pieces of this size; a log at rest keeps one.
  size_t chunk_bytes = 256 << 10;
  // Without anyone waiting, bytes are written when so many have come together, or after `linger`.
  uint64_t flush_bytes = 256 << 10;
  Duration linger = std::chrono::milliseconds(5);
  // A reader finds its place by an index entry and then walks at most this far. 16 bytes of memory an entry.
  uint64_t index_interval_bytes = 64 << 10;
  // Of an empty log.
  Position first_position = 1;
  // Segment files kept open besides the newest.
  size_t open_files_max = 32;
  // For one of thousands of logs with large segments, most of them at rest:
  //   - neither directory nor file before the first write, no reserved space, no chunk at rest; rest() closes the files
  //   and frees indexes;
  //   - each segment's index is stored beside it (index_file.h), so that an open reads only what lies behind the index
  //     of the newest segment, and a slice checks the bytes that it gives, when they are first given, instead of the
  //     whole segment. Damage in front of that is found by whoever reads it.
  // Not for formats with kKnowsDurable, whose newest segment is always read as a whole.
  bool frugal = false;
  // Every append is written at once and synced as soon as no other sync runs, whether anybody waits or not: for a log
  // whose every record is waited for, so that neither write nor sync stands still until the waiter has noticed the one
  // before.
  bool eager = false;
  // Bounds the files that all logs of the shard keep open together; outlives the log. Null: not bounded but by
  // open_files_max.
  OpenFiles* files = nullptr;
};

struct SegmentLogStatistics {
  uint64_t appends = 0, appended_bytes = 0;
  uint64_t writes = 0, syncs = 0;
  uint64_t segments = 0, size_bytes = 0;
  uint64_t buffered_bytes = 0;
  uint64_t torn_bytes = 0;  // cut off when the log was opened
};

class FrameReader;

// Which parts of a file were found to be sound. Parts meet, since they begin and end with frames; a few at a time.
class CheckedRanges {
 public:
  bool covers(uint64_t begin, uint64_t end) const;
  void add(uint64_t begin, uint64_t end);
  void clear() { parts_.clear(); }

 private:
  struct Part {
    uint64_t begin, end;
  };
  std::vector<Part> parts_;  // by place, apart from each other
};

class FrameLog {
 public:
  static Task<Result<std::unique_ptr<FrameLog>>> open(io::Disk& disk, SyncScheduler& scheduler, Random& random,
                                                      FrameFormat format, SegmentLogOptions options);
  ~FrameLog();
  FrameLog(const FrameLog&) = delete;
  FrameLog& operator=(const FrameLog&) = delete;

  // Room for one frame, to be filled before the shard does anything else.
  struct Slot {
    MutableBytes bytes;
    uint32_t salt;            // of the segment that the frame goes to
    Position durable_before;  // what is on disk at this moment
  };
  // Takes the frame [first, next), where first is end(), or not below it for a format with gaps. Errors as admit().
  Result<Slot> append(size_t size_bytes, Position first, Position next, uint64_t mark = 0);
  // The same for a frame that stands ready in parts.
  Result<void> append(std::span<const BytesView> parts, Position first, Position next);
  // Whether an append of this size would succeed now: kBusy when the buffer is full, kTooLarge, kClosed, or why the log
  // stopped.
  Result<void> admit(size_t size_bytes) const;

  // Until every position below `before` is that durable. kOutOfRange beyond end(); kUnavailable for kReplicated, which
  // a log on one disk cannot give. Cancelling gives up the answer only.
  Task<Result<void>> wait(Position before, Durability durability);
  // Every position below this one is that durable.
  Position reached(Durability durability) const;
  Position start() const { return segments_.front()->header.first; }  // the first position kept
  Position end() const { return end_; }                               // the next to be appended

  // Reads frames from the one that holds `from`, up to what has reached the operating system. kOutOfRange outside
  // [start, end].
  Result<FrameReader> read(Position from);

  // Bytes of whole frames for send_file, beginning with the one that holds `from`: at least one and otherwise at most
  // `bytes_max`; of one segment; only frames that begin below `below`, a border of frames that has reached the
  // operating system. Reads no frame whose first bytes say enough; a segment is checked once, when it is first sliced.
  // kOutOfRange if there is no such frame yet.
  struct Slice {
    std::shared_ptr<io::File> file;  // shared so that a trim does not close it under a transfer
    io::ByteRange range;
    Position first = 0, next = 0;  // what the bytes hold
  };
  Task<Result<Slice>> slice(Position from, uint64_t bytes_max, Position below);
  Task<Result<Slice>> slice(Position from, uint64_t bytes_max, Durability durability) {
    return slice(from, bytes_max, reached(durability));
  }

  // The first position of a frame in the segment that begins at `segment_first`, at or in front of its first frame with
  // at least this mark (FrameSpan::mark): read from there. kOutOfRange if there is no such segment.
  Task<Result<Position>> seek_mark(Position segment_first, uint64_t mark);

  // Frees what was not used since the last call: the files of segments, and their indexes once they are stored.
  // Harmless at any time. Does nothing unless the log is frugal.
  Task<void> rest();

  // Removes the segments that hold only positions below `before`; the newest stays.
  Task<Result<void>> trim(Position before);

  // The segments, oldest first; the last is the one that takes the next append.
  struct SegmentSummary {
    Position first = 0;
    uint64_t size_bytes = 0;  // with what is still in memory
  };
  std::vector<SegmentSummary> segments() const;
  // Where the segment begins that took the last append.
  Position newest_segment() const { return tail_->header.first; }
  // The next append begins a new segment, unless the newest is empty.
  void close_segment() { close_wanted_ = true; }

  // Writes a segment that is not the newest anew: `keep` gets each frame and answers what stands in its place, which
  // holds the same positions or fewer; nothing for a frame that goes. Readers that are inside go on in the old file.
  // Only for formats with gaps. Answers the bytes saved.
  using Keep = std::function<Result<std::optional<Bytes>>(const FrameView& frame)>;
  Task<Result<uint64_t>> rewrite(Position segment_first, Keep keep);

  // Makes everything durable and ends. Answers the failure if the log had stopped.
  Task<Result<void>> close();

  // Why the log stopped; empty while healthy.
  const std::optional<Error>& failure() const { return failure_; }
  SegmentLogStatistics statistics() const;
  const std::string& directory() const { return options_.directory; }
  const FrameFormat& format() const { return format_; }

 private:
  friend class FrameReader;
  // A file whose making a crash may end.
  static constexpr std::string_view kUnfinished = ".new";
  // Whole segments are read and written in pieces of this size.
  static constexpr size_t kCopyBytes = 256 << 10;

  struct Segment {
    SegmentHeader header;
    std::string path;
    bool made = false;                             // its file is there
    OpenFiles::Slot slot;                          // its file, shared with slices and syncs; empty while closed
    uint64_t size_bytes = kSegmentHeaderBytes;     // sound bytes in the file
    uint64_t planned_bytes = kSegmentHeaderBytes;  // with what is still in memory
    std::vector<IndexEntry> index;                 // of the frames that begin at `indexed_from` or behind it
    uint64_t indexed_from = kSegmentHeaderBytes;
    uint64_t indexed_at = 0;                  // where the last entry begins
    uint64_t mark = 0;                        // the largest so far
    ScanStart stored;                         // what the index file knows: everything in front
    std::optional<IndexWriter> index_writer;  // while the segment's index is being stored
    CheckedRanges checked;                    // bytes that are known to be sound
    // A trim or a rewrite is about to take the file from its path, or has: nothing is stored about it any more.
    bool leaving = false;
    // The file that a rewrite took from the path: who is inside goes on in it.
    std::shared_ptr<io::File> replaced;
    uint64_t used_at = 0;
    bool index_whole() const { return indexed_from == kSegmentHeaderBytes; }
    const std::shared_ptr<io::File>& file() const { return slot.file(); }
  };
  struct Chunk {
    std::unique_ptr<std::byte[]> bytes;
    size_t capacity_bytes = 0;
    size_t size_bytes = 0;
    Position next = 0;
    std::shared_ptr<Segment> segment;
  };
  class Waiter;
  struct Waiters {
    Waiter* first = nullptr;
    Waiter* last = nullptr;
  };

  FrameLog(io::Disk& disk, SyncScheduler& scheduler, Random& random, FrameFormat format, SegmentLogOptions options);
  Task<Result<void>> recover();
  Task<Result<void>> recover_tail(Segment& segment, uint64_t file_size_bytes);
  Task<void> write_checkpoint();
  Task<Result<void>> make_segment(std::shared_ptr<Segment> segment);
  Task<Result<void>> roll(std::shared_ptr<Segment> segment);
  Task<Result<std::shared_ptr<io::File>>> file_of(std::shared_ptr<Segment> segment);
  Task<Result<void>> complete_index(std::shared_ptr<Segment> segment);
  Task<void> store_index(std::shared_ptr<Segment> segment, ScanStart upto);
  Task<void> write_index(Segment& segment, ScanStart upto);
  Task<Result<void>> remove_index(Segment& segment);
  Task<Result<void>> check_slice(std::shared_ptr<Segment> segment, std::shared_ptr<io::File> file, io::ByteRange range,
                                 Position first, Position next);
  static void rest_index(Segment& segment);
  bool exact_in(const Segment& segment) const;
  Error damage(const Segment& segment, Position position, uint64_t offset) const;
  std::string index_path(const Segment& segment) const;
  Task<Result<uint64_t>> rewrite_segment(Position segment_first, Keep keep);
  std::shared_ptr<Segment> plan_segment();
  static IndexEntry place_in(const Segment& segment, Position position);
  std::shared_ptr<Segment> segment_of(Position position) const;
  std::shared_ptr<Segment> segment_after(const Segment& segment) const;
  Chunk take_chunk(size_t size_bytes);
  void note_frame(Segment& segment, Position first, uint64_t offset, uint64_t mark) const;

  void start_writing();
  void start_syncing();
  Task<void> write_loop();
  Task<void> sync_loop();
  Task<Result<void>> write_batch(std::shared_ptr<Segment> segment);
  void wake(Waiters& waiters, Position reached);
  void stop(Error error);

  io::Disk& disk_;
  SyncScheduler& scheduler_;
  Random& random_;
  const FrameFormat format_;
  const SegmentLogOptions options_;

  std::deque<std::shared_ptr<Segment>>
      segments_;                   // on disk, by position; shared with readers, which a trim must not hurt
  std::shared_ptr<Segment> tail_;  // where the next append goes; perhaps not on disk yet
  std::deque<Chunk> queue_;
  std::vector<Chunk> spare_;
  uint64_t queued_bytes_ = 0;

  Position end_ = 0;
  Position written_ = 0;
  Position durable_ = 0;
  Position write_wanted_ = 0;
  Position sync_wanted_ = 0;
  std::optional<CheckpointFile> checkpoint_file_;
  Checkpoint checkpoint_;            // what the last sync has proved
  Position checkpoint_written_ = 0;  // next of the one that was written last
  SteadyTime checkpoint_written_at_{};
  bool checkpointing_ = false;
  Waiters written_waiters_, durable_waiters_;
  io::Event write_now_;
  bool writing_ = false;
  bool syncing_ = false;
  bool closed_ = false;
  bool close_wanted_ = false;
  std::optional<Error> failure_;
  io::Semaphore trimming_{1};
  io::TaskGroup tasks_;
  uint64_t uses_ = 0;
  uint64_t rested_uses_ = 0;   // `uses_` at the last rest()
  Position rested_end_ = 0;    // `end_` then
  io::Semaphore indexing_{1};  // one index file is written or taken away at a time
  SegmentLogStatistics statistics_;
};

// Walks frames, each checked: damage is kCorrupt, never skipped. Several readers, appends and trims may go on together.
// Not longer than the log lives.
class FrameReader {
 public:
  // The next frame, valid until the next call; nothing at the end of what has reached the operating system (more may
  // come). kOutOfRange if a trim has overtaken the reader.
  Task<Result<std::optional<FrameView>>> next();
  // Where the next frame begins at the earliest.
  Position position() const { return std::max(from_, expected_); }

 private:
  friend class FrameLog;
  FrameReader(FrameLog& log, std::shared_ptr<FrameLog::Segment> segment, Position from);
  Task<Result<void>> find_place();

  FrameLog* log_;
  std::shared_ptr<FrameLog::Segment> segment_;  // shared so that a trim does not take it away in the middle of a read
  Position from_;
  Position expected_;
  uint64_t offset_ = 0;  // 0 until the place is found
  FileWindow window_;
};

// The log of one kind of frame.
template <Frame F>
class SegmentLog {
 public:
  static Task<Result<std::unique_ptr<FrameLog>>> open(io::Disk& disk, SyncScheduler& scheduler, Random& random,
                                                      SegmentLogOptions options) {
    return FrameLog::open(disk, scheduler, random, format_of<F>(), std::move(options));
  }
};

}  // namespace polis::log
