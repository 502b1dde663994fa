#include "systems/stream/partition/partition.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>

#include "kernel/base/binary.h"
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/io/shard.h"
#include "kernel/log/segment_log.h"
#include "systems/stream/partition/batch_frame.h"
#include "systems/stream/partition/compaction.h"
#include "systems/stream/partition/producer_table.h"
#include "systems/stream/partition/segment_notes.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

using log::Durability;
using log::Position;

// A reader finds its batch by an entry of the index (24 bytes of memory) and then looks at the heads of at most so many
// bytes.
constexpr uint64_t kIndexIntervalBytes = 8 << 10;
constexpr size_t kChunkBytes = 64 << 10;
// How far back wait_for_data() knows the size of what a reader has before it.
constexpr size_t kRecentAppends = 1024;
constexpr uint8_t kStateVersion = 1;
constexpr size_t kStateBytesMax = 4096;
constexpr size_t kStateCrcAt = 1, kStateContentAt = 5;
// Passes of compaction that are remembered until they are settled.
constexpr size_t kPassesMax = 32;
// 24 h of producers at one a second, with their last five batches.
constexpr size_t kNotesBytesMax = 64 << 20;
// The notes are written anew after so many bytes, and for fewer when the partition comes to rest: what an open may have
// to read, against two syncs.
constexpr uint64_t kNotesIntervalBytes = 64 << 20, kNotesRestBytes = 256 << 10;
// With `polis.durability = os`: what a power cut may take.
constexpr Duration kOsFlushInterval = std::chrono::seconds(1);
// With `polis.delay.ms`: how long a change of it or of the clock may take to be seen.
constexpr Duration kDelayLookAgain = std::chrono::seconds(10);

Durability durability_of(const TopicConfig& config) {
  return config.durability == AckDurability::kOs ? Durability::kOs : Durability::kDisk;
}

}  // namespace

struct Partition::State {
  // A reader that waits for more; linked by the list it stands in.
  struct DataWaiter {
    Offset from = 0;
    uint64_t bytes_min = 1;
    Isolation isolation = Isolation::kReadUncommitted;
    io::Event ready;
  };
  // A pass of compaction: everything below `upto` was cleaned then.
  struct Pass {
    Offset upto = 0;
    int64_t at_ms = 0;
    bool unsettled = false;  // tombstones or markers stayed
  };
  struct Append {
    Offset next = 0;
    uint64_t bytes_before = 0;  // of everything appended in front of it since the partition was opened
  };

  State(io::Disk& disk_in, const Clock& clock_in, PartitionOptions options_in)
      : disk(disk_in), clock(clock_in), options(std::move(options_in)), config(options.config) {}

  Offset end() const { return static_cast<Offset>(log->end()); }
  Offset high_watermark() const {
    return std::max(log_start, static_cast<Offset>(log->reached(durability_of(config))));
  }
  Offset last_stable_offset() { return std::max(log_start, producers.last_stable_offset(high_watermark())); }
  Offset limit(Isolation isolation) {
    const Offset below = isolation == Isolation::kReadCommitted ? last_stable_offset() : high_watermark();
    return delay_ms == 0 ? below : std::max(log_start, std::min(below, due));
  }
  std::string state_path() const { return options.directory + "/state"; }
  std::string notes_path() const { return options.directory + "/segments"; }

  Task<Result<void>> replay();
  Task<Result<Offset>> read_notes();
  bool adopt(SegmentNotes& read);
  void note(const RecordBatch& batch, Offset segment);
  void take_notes(Offset upto);
  Task<void> write_notes();
  Task<void> flush();
  Task<Result<void>> read_state();
  Task<Result<void>> write_state();
  Refusal check_client_batch(const RecordBatch& batch) const;
  AppendResult store(BytesView batch, bool stamp);
  bool has_data(const DataWaiter& waiter);
  void notify();
  Task<void> pump();
  void set_delay();
  void start_delivering();
  Task<void> deliver();
  Task<Result<std::optional<int64_t>>> find_due(int64_t now_ms);
  void drop_notes();
  Task<Result<void>> retain(int64_t now_ms);
  Task<Result<void>> delete_before(Offset offset);
  Task<Result<void>> compact(int64_t now_ms);

  io::Disk& disk;
  const Clock& clock;
  const PartitionOptions options;
  TopicConfig config;
  std::unique_ptr<log::FrameLog> log;
  ProducerTable producers;
  Offset log_start = 0;
  Offset stored_start = 0;         // the same as the file `state` has it
  io::Semaphore writing_state{1};  // so that the newest is written last
  std::vector<SegmentNote> closed;
  SegmentNote current;         // the segment that takes appends
  int64_t current_began_ms{};  // when the first batch came to it; at open: now
  Bytes notes;                 // to be written, once the log is on disk up to `notes_upto`
  Offset notes_upto = 0;
  uint64_t bytes_since_notes = 0;
  bool replaying = false;
  bool writing_notes = false;
  Offset compacted_upto = 0;
  std::vector<Pass> passes;  // by time and offset
  bool tending = false;
  uint64_t compaction_seed = 0;
  std::deque<Append> recent;
  uint64_t appended_bytes = 0, appended_batches = 0, duplicates = 0;
  std::vector<DataWaiter*> waiters;
  bool pumping = false;
  bool flushing = false;
  io::Event closing;
  int64_t delay_ms = 0;  // polis.delay.ms
  Offset due = 0;        // with it: everything below is shown
  bool delivering = false;
  Offset tended_end = 0;
  io::TaskGroup tasks;
};

Partition::Partition(std::unique_ptr<State> state) : state_(std::move(state)) {}
Partition::~Partition() = default;

// --- opening

Task<Result<std::unique_ptr<Partition>>> Partition::open(io::Disk& disk, log::SyncScheduler& scheduler,
                                                         const Clock& clock, Random& random, PartitionOptions options) {
  auto state = std::make_unique<State>(disk, clock, std::move(options));
  const TopicConfig& config = state->config;
  CO_TRY(co_await disk.make_directories(state->options.directory));
  CO_TRY(co_await state->read_state());
  state->log = CO_TRY(
      co_await log::SegmentLog<BatchFrame>::open(disk, scheduler, random,
                                                 {.directory = state->options.directory + "/log",
                                                  .segment_size_bytes = static_cast<uint64_t>(config.segment_bytes),
                                                  .chunk_bytes = kChunkBytes,
                                                  .index_interval_bytes = kIndexIntervalBytes,
                                                  .first_position = static_cast<Position>(state->log_start),
                                                  .frugal = true,
                                                  .files = state->options.files}));
  state->log_start = std::max(state->log_start, static_cast<Offset>(state->log->start()));
  state->stored_start = state->log_start;
  state->compaction_seed = random.next();
  state->current_began_ms = base::milliseconds_since_epoch(clock.wall());
  if (auto replayed = co_await state->replay(); !replayed) {
    // The first error is the one to tell.
    (void)co_await state->log->close();
    co_return fail(replayed.error());
  }
  state->due = state->log_start;
  state->delay_ms = config.delay_ms;
  state->set_delay();
  co_return std::unique_ptr<Partition>(new Partition(std::move(state)));
}

// What is known of producers and times is the fold of the batches; the notes spare reading what they know.
Task<Result<void>> Partition::State::replay() {
  const Offset from = CO_TRY(co_await read_notes());
  const auto segments = log->segments();
  auto segment = segments.begin();
  replaying = true;
  const int64_t now_ms = base::milliseconds_since_epoch(clock.wall());
  auto reader = CO_TRY(log->read(static_cast<Position>(from)));
  while (true) {
    const auto frame = CO_TRY(co_await reader.next());
    if (!frame) break;
    while (segment + 1 != segments.end() && (segment + 1)->first <= frame->first) ++segment;
    const RecordBatch batch(frame->bytes);
    note(batch, static_cast<Offset>(segment->first));
    producers.note(batch, now_ms);
  }
  replaying = false;
  producers.trim(log_start);
  tended_end = end();
  co_return {};
}

// Where the replay begins: where the notes end if they know every segment up to there, else at the start.
Task<Result<Offset>> Partition::State::read_notes() {
  const auto start = static_cast<Offset>(log->start());
  current.first = start;
  const auto bytes = co_await disk.read_file(notes_path(), kNotesBytesMax);
  if (!bytes && bytes.error().code() == Code::kNotFound) co_return start;
  auto read = bytes ? SegmentNotes::decode(*bytes) : Result<SegmentNotes>(fail(bytes.error()));
  if (!read || !adopt(*read)) {
    // They are derived. But what is of another life of this partition, or of its original where this is a copy, must
    // not come back when the offsets have caught up.
    CO_TRY(co_await disk.remove(notes_path()));
    CO_TRY(co_await disk.sync_directory(options.directory));
    co_return start;
  }
  co_return read->upto;
}

// Whether the notes know every segment up to where they end.
bool Partition::State::adopt(SegmentNotes& read) {
  const auto start = static_cast<Offset>(log->start());
  if (read.upto <= start || read.upto > end()) return false;
  std::vector<SegmentNote> known;
  for (const auto& segment : log->segments()) {
    const auto first = static_cast<Offset>(segment.first);
    if (first >= read.upto) break;
    const auto note = std::ranges::lower_bound(read.segments, first, {}, &SegmentNote::first);
    if (note == read.segments.end() || note->first != first) return false;
    known.push_back(*note);
  }
  current = known.back();  // the first one begins at `start`
  if (current.first == read.segments.back().first) current_began_ms = read.began_ms;
  known.pop_back();
  closed = std::move(known);
  producers = std::move(read.producers);
  return true;
}

// Before the producers know of the batch: the table then stands where the batch begins.
void Partition::State::note(const RecordBatch& batch, Offset segment) {
  if (!replaying && (segment != current.first || bytes_since_notes >= kNotesIntervalBytes))
    take_notes(batch.base_offset());
  bytes_since_notes += batch.bytes().size();
  if (segment != current.first) {
    closed.push_back(current);
    current = {.first = segment, .newest = {}};
    current_began_ms = base::milliseconds_since_epoch(clock.wall());
  }
  if (!batch.control() && batch.max_timestamp() > current.newest.timestamp)
    current.newest = {batch.last_offset(), batch.max_timestamp(), 0};
}

void Partition::State::take_notes(Offset upto) {
  notes = SegmentNotes::encode(closed, current, current_began_ms, producers, upto);
  notes_upto = upto;
  bytes_since_notes = 0;
}

Task<void> Partition::State::write_notes() {
  while (!notes.empty()) {
    const Bytes bytes = std::exchange(notes, {});
    // They must not know more than a power cut leaves.
    if (!co_await log->wait(static_cast<Position>(notes_upto), Durability::kDisk)) break;
    (void)co_await disk.replace_file(notes_path(), bytes);  // without them the segments are read
  }
  writing_notes = false;
}

// What only reached the operating system is on disk a second later.
Task<void> Partition::State::flush() {
  while (!log->failure() && !closing.is_set() && log->reached(Durability::kDisk) < log->end()) {
    // The time is over, or the partition is being closed, which makes everything durable itself.
    (void)co_await io::with_timeout(kOsFlushInterval, closing.wait());
    (void)co_await log->wait(log->end(), Durability::kDisk);
  }
  flushing = false;
}

// state := version:u8=1 crc32c:u32 (of the rest) log_start:varint compacted_upto:varint
//          passes:varint { upto:varint at_ms:zigzag unsettled:u8 }
Task<Result<void>> Partition::State::read_state() {
  const auto bytes = co_await disk.read_file(state_path(), kStateBytesMax);
  if (!bytes && bytes.error().code() == Code::kNotFound) co_return {};
  if (!bytes) co_return fail(bytes.error());
  if (bytes->size() < kStateContentAt || base::load_little<uint32_t>(bytes->data() + kStateCrcAt) !=
                                             base::crc32c(BytesView(*bytes).subspan(kStateContentAt)))
    co_return fail(Code::kCorrupt, state_path() + " is damaged. Restore this file from a backup");
  if ((*bytes)[0] != std::byte{kStateVersion})
    co_return fail(Code::kUnsupported, state_path() + " is of a later version of polis");
  base::Reader in(BytesView(*bytes).subspan(kStateContentAt));
  log_start = static_cast<Offset>(in.varint());
  compacted_upto = static_cast<Offset>(in.varint());
  for (size_t count = in.count(3); count > 0 && in.ok(); --count) {
    Pass pass;
    pass.upto = static_cast<Offset>(in.varint());
    pass.at_ms = in.zigzag();
    pass.unsettled = in.u8() != 0;
    passes.push_back(pass);
  }
  if (auto whole = in.finish(); !whole)
    co_return fail(Error(Code::kCorrupt, state_path() + " cannot be read", whole.error()));
  co_return {};
}

Task<Result<void>> Partition::State::write_state() {
  CO_TRY(co_await writing_state.acquire());
  const Offset start = log_start;
  Bytes bytes(kStateContentAt);
  bytes[0] = std::byte{kStateVersion};
  base::Writer out(bytes);
  out.varint(static_cast<uint64_t>(log_start));
  out.varint(static_cast<uint64_t>(compacted_upto));
  out.varint(passes.size());
  for (const Pass& pass : passes) {
    out.varint(static_cast<uint64_t>(pass.upto));
    out.zigzag(pass.at_ms);
    out.u8(pass.unsettled);
  }
  base::store_little<uint32_t>(bytes.data() + kStateCrcAt, base::crc32c(BytesView(bytes).subspan(kStateContentAt)));
  auto written = co_await disk.replace_file(state_path(), bytes);
  if (written) stored_start = start;
  writing_state.release();
  co_return written;
}

// --- writing

Refusal Partition::State::check_client_batch(const RecordBatch& batch) const {
  if (const auto sound = batch.check(); !sound) {
    const bool unsupported = sound.error().code() == Code::kUnsupported;
    const bool old_format = batch.bytes().size() >= kBatchHeaderBytes && batch.magic() != 2;
    return {!unsupported ? ErrorCode::kCorruptMessage
            : old_format ? ErrorCode::kUnsupportedForMessageFormat
                         : ErrorCode::kUnsupportedCompressionType,
            sound.error().text()};
  }
  if (batch.control()) return {ErrorCode::kInvalidRecord, "only the broker writes transaction markers"};
  if (batch.bytes().size() > static_cast<size_t>(config.max_message_bytes))
    return {ErrorCode::kMessageTooLarge, fmt::format("a batch of {} bytes; max.message.bytes is {}",
                                                     batch.bytes().size(), config.max_message_bytes)};
  if (config.cleanup_policy == CleanupPolicy::kDelete) return {};
  Bytes storage;
  const auto records = open_records(batch, storage);
  if (!records) return {ErrorCode::kCorruptMessage, records.error().text()};
  RecordReader reader(batch, *records);
  while (true) {
    const auto record = reader.next();
    if (!record) return {ErrorCode::kCorruptMessage, record.error().text()};
    if (!*record) return {};
    if (!(*record)->key) return {ErrorCode::kInvalidRecord, "a compacted topic takes no record without a key"};
  }
}

// Everything was checked: it goes to the end of the log.
AppendResult Partition::State::store(BytesView bytes, bool stamp) {
  const Offset base = end();
  const Offset next = base + RecordBatch(bytes).last_offset_delta() + 1;
  const int64_t now_ms = stamp ? base::milliseconds_since_epoch(clock.wall()) : -1;
  const uint64_t mark = stamp ? BatchFrame::mark_of(now_ms) : BatchFrame::mark_of(RecordBatch(bytes));
  const auto slot = log->append(bytes.size(), static_cast<Position>(base), static_cast<Position>(next), mark);
  if (!slot) return {.refusal = {error_code(slot.error()), slot.error().text()}};
  std::memcpy(slot->bytes.data(), bytes.data(), bytes.size());
  set_base_offset(slot->bytes, base);
  set_leader_epoch(slot->bytes, 0);
  AppendResult result{.refusal = {}, .base_offset = base, .next_offset = next};
  if (stamp) {
    result.log_append_time = now_ms;
    set_log_append_time(slot->bytes, result.log_append_time);
  }
  const RecordBatch stored(slot->bytes);
  note(stored, static_cast<Offset>(log->newest_segment()));
  producers.note(stored, base::milliseconds_since_epoch(clock.wall()));
  if (!notes.empty() && !std::exchange(writing_notes, true)) tasks.spawn(write_notes());
  recent.push_back({next, appended_bytes});
  if (recent.size() > kRecentAppends) recent.pop_front();
  appended_bytes += bytes.size();
  ++appended_batches;
  if (!std::exchange(pumping, true)) tasks.spawn(pump());
  if (config.durability == AckDurability::kOs && !std::exchange(flushing, true)) tasks.spawn(flush());
  if (delay_ms > 0) start_delivering();
  return result;
}

AppendResult Partition::append(BytesView bytes, AppendOrigin origin) {
  State& state = *state_;
  const RecordBatch batch(bytes);
  if (origin == AppendOrigin::kClient) {
    if (Refusal refusal = state.check_client_batch(batch); !refusal.ok()) return {.refusal = std::move(refusal)};
  }
  ProducerTable::Verdict verdict = state.producers.judge(batch, origin);
  if (!verdict.refusal.ok()) return {.refusal = std::move(verdict.refusal)};
  if (verdict.duplicate_of >= 0) {
    ++state.duplicates;
    return {.refusal = {},
            .base_offset = verdict.duplicate_of,
            .next_offset = verdict.duplicate_of + batch.last_offset_delta() + 1,
            .duplicate = true};
  }
  const bool stamp = state.config.timestamp_type == TimestampType::kLogAppendTime;
  if (state.config.compression && *state.config.compression != batch.compression()) {
    const auto packed = with_compression(batch, *state.config.compression);
    if (!packed) return {.refusal = {ErrorCode::kCorruptMessage, packed.error().text()}};
    return state.store(*packed, stamp);
  }
  return state.store(bytes, stamp);
}

AppendResult Partition::end_transaction(int64_t producer_id, int16_t epoch, bool commit, int32_t coordinator_epoch) {
  if (Refusal refusal = state_->producers.judge_marker(producer_id, epoch, coordinator_epoch); !refusal.ok())
    return {.refusal = std::move(refusal)};
  const Bytes marker = encode_marker(producer_id, epoch, {.commit = commit, .coordinator_epoch = coordinator_epoch},
                                     base::milliseconds_since_epoch(state_->clock.wall()));
  return state_->store(marker, false);
}

void Partition::begin_transaction(int64_t producer_id, int16_t epoch) {
  state_->producers.admit(producer_id, epoch);
}

Task<Result<void>> Partition::wait(Offset next) {
  return state_->log->wait(static_cast<Position>(next), durability_of(state_->config));
}

// --- reading

Task<Fetched> Partition::fetch(Offset from, uint64_t bytes_max, Isolation isolation) {
  State& state = *state_;
  Fetched fetched;
  fetched.high_watermark = state.high_watermark();
  fetched.last_stable_offset = state.last_stable_offset();
  fetched.log_start_offset = state.log_start;
  if (from < state.log_start || from > state.end()) {
    fetched.refusal = {ErrorCode::kOffsetOutOfRange,
                       fmt::format("offset {} is outside [{}, {}]", from, state.log_start, state.end())};
    co_return fetched;
  }
  const Offset limit = state.limit(isolation);
  if (from >= limit) co_return fetched;
  auto slice = co_await state.log->slice(static_cast<Position>(from), bytes_max, static_cast<Position>(limit));
  if (!slice) {
    if (slice.error().code() != Code::kOutOfRange)
      fetched.refusal = {ErrorCode::kKafkaStorageError, slice.error().text()};
    co_return fetched;
  }
  if (isolation == Isolation::kReadCommitted)
    fetched.aborted = state.producers.aborted(from, static_cast<Offset>(slice->next));
  fetched.range = slice->range;
  if (state.config.read_path == ReadPath::kSendfile) {
    fetched.file = std::move(slice->file);
    co_return fetched;
  }
  fetched.bytes.resize(slice->range.size);
  const auto read = co_await slice->file->read_at(slice->range.offset, fetched.bytes);
  if (!read || *read != fetched.bytes.size()) {
    fetched.bytes.clear();
    fetched.refusal = {ErrorCode::kKafkaStorageError,
                       read ? std::string("the segment became shorter") : read.error().text()};
  }
  co_return fetched;
}

bool Partition::State::has_data(const DataWaiter& waiter) {
  const Offset below = limit(waiter.isolation);
  if (waiter.from < log_start || waiter.from > end() || log->failure()) return true;  // there is something to say
  if (waiter.from >= below) return false;
  if (waiter.bytes_min <= 1 || recent.empty()) return true;
  const auto after = [&](Offset offset) {
    return std::lower_bound(recent.begin(), recent.end(), offset,
                            [](const Append& append, Offset o) { return append.next <= o; });
  };
  const auto first = after(waiter.from), last = after(below);
  if (first == recent.begin() && first->bytes_before > 0) return true;  // further back than is remembered
  const uint64_t end_bytes = last == recent.end() ? appended_bytes : last->bytes_before;
  return first == recent.end() || end_bytes - first->bytes_before >= waiter.bytes_min;
}

void Partition::State::notify() {
  std::erase_if(waiters, [&](DataWaiter* waiter) {
    if (!has_data(*waiter)) return false;
    waiter->ready.set();
    return true;
  });
}

// Tells readers whenever what may be read has grown; runs only while something is on its way to the disk.
Task<void> Partition::State::pump() {
  while (!log->failure() && high_watermark() < end()) {
    // A failure wakes the readers too: they find out what it was.
    (void)co_await log->wait(log->end(), durability_of(config));
    notify();
  }
  pumping = false;
  notify();
}

// --- delayed delivery

void Partition::State::set_delay() {
  if (delay_ms == 0 && config.delay_ms > 0) due = high_watermark();  // what was shown stays shown
  delay_ms = config.delay_ms;
  if (delay_ms > 0) start_delivering();
  notify();
}

void Partition::State::start_delivering() {
  if (due < end() && !std::exchange(delivering, true)) tasks.spawn(deliver());
}

// Shows what has become due; runs only while something is not.
Task<void> Partition::State::deliver() {
  while (!log->failure() && !closing.is_set() && delay_ms > 0 && due < end()) {
    const auto next_ms = co_await find_due(base::milliseconds_since_epoch(clock.wall()));
    notify();
    if (!next_ms) {  // what cannot be read tells so where it is read; or a trim was faster
      (void)co_await io::with_timeout(kDelayLookAgain, closing.wait());
      continue;
    }
    if (!*next_ms) {
      if (due < end()) (void)co_await log->wait(log->end(), durability_of(config));
      continue;
    }
    // Looked at again in between: the delay may be changed, and the clock set.
    const int64_t left_ms = std::clamp<int64_t>(**next_ms - base::milliseconds_since_epoch(clock.wall()), 1,
                                                kDelayLookAgain / std::chrono::milliseconds(1));
    (void)co_await io::with_timeout(std::chrono::milliseconds(left_ms), closing.wait());
  }
  delivering = false;
}

// Moves `due` to the first batch that is not, and answers when it is; nothing where all are that reached the system.
Task<Result<std::optional<int64_t>>> Partition::State::find_due(int64_t now_ms) {
  const int64_t before_ms = now_ms - delay_ms;  // what is not younger is due
  due = std::max(due, log_start);
  // Whole segments first, then by the index near the place: what is due is not read.
  for (const SegmentNote& one : closed) {
    if (one.newest.timestamp > before_ms) break;
    const size_t next = static_cast<size_t>(&one - closed.data()) + 1;
    due = std::max(due, next < closed.size() ? closed[next].first : current.first);
  }
  Offset segment = current.first;
  for (const SegmentNote& one : closed)
    if (one.first <= due) segment = one.first;
  if (due >= current.first) segment = current.first;
  const auto place =
      co_await log->seek_mark(static_cast<Position>(segment), BatchFrame::mark_of(std::max<int64_t>(0, before_ms + 1)));
  if (!place && place.error().code() != Code::kOutOfRange) co_return fail(place.error());
  if (place) due = std::max(due, static_cast<Offset>(*place));
  if (due >= static_cast<Offset>(log->reached(Durability::kOs))) co_return std::optional<int64_t>();
  auto reader = CO_TRY(log->read(static_cast<Position>(due)));
  while (const auto frame = CO_TRY(co_await reader.next())) {
    const RecordBatch batch(frame->bytes);
    if (!batch.control() && batch.max_timestamp() > before_ms)
      co_return std::optional<int64_t>(std::min(batch.max_timestamp(), INT64_MAX / 2) + delay_ms);
    due = std::max(due, batch.last_offset() + 1);
  }
  co_return std::optional<int64_t>();
}

Task<Result<void>> Partition::wait_for_data(Offset from, uint64_t bytes_min, Isolation isolation) {
  State::DataWaiter waiter{.from = from, .bytes_min = bytes_min, .isolation = isolation, .ready = {}};
  if (state_->has_data(waiter)) co_return {};
  state_->waiters.push_back(&waiter);
  const auto waited = co_await waiter.ready.wait();
  std::erase(state_->waiters, &waiter);
  co_return waited;
}

Offset Partition::high_watermark() const {
  return state_->high_watermark();
}
Offset Partition::last_stable_offset() const {
  return state_->last_stable_offset();
}
Offset Partition::log_start_offset() const {
  return state_->log_start;
}
Offset Partition::end_offset() const {
  return state_->end();
}
int32_t Partition::leader_epoch() const {
  return 0;
}

std::pair<int32_t, Offset> Partition::end_of_epoch(int32_t epoch) const {
  return epoch == 0 ? std::pair{0, state_->end()} : std::pair{-1, Offset{-1}};
}

Task<Result<OffsetAndTimestamp>> Partition::offset_for(int64_t timestamp, Isolation isolation) {
  State& state = *state_;
  if (timestamp == kLatestOffset) co_return OffsetAndTimestamp{.offset = state.limit(isolation)};
  if (timestamp == kEarliestOffset) co_return OffsetAndTimestamp{.offset = state.log_start};
  // A whole segment that is too old is passed over; in the first that is not, the index leads near the place.
  const bool newest_wanted = timestamp == kMaxTimestampOffset;
  Offset first = state.current.first;
  if (newest_wanted) {
    OffsetAndTimestamp newest = state.current.newest;
    for (const SegmentNote& one : state.closed)
      if (one.newest.timestamp >= 0 && one.newest.timestamp >= newest.timestamp) {
        newest = one.newest;
        first = one.first;
      }
    if (newest.timestamp < 0 || newest.offset < state.log_start) co_return OffsetAndTimestamp{};
    timestamp = newest.timestamp;
  } else {
    const auto candidate =
        std::ranges::find_if(state.closed, [&](const SegmentNote& one) { return one.newest.timestamp >= timestamp; });
    if (candidate != state.closed.end()) first = candidate->first;
  }
  const auto place = co_await state.log->seek_mark(static_cast<Position>(first), BatchFrame::mark_of(timestamp));
  if (!place && place.error().code() != Code::kOutOfRange) co_return fail(place.error());
  // Without a place the segment is not on disk yet, or has gone.
  const Offset from = std::max(state.log_start, place ? static_cast<Offset>(*place) : first);
  auto reader = CO_TRY(state.log->read(static_cast<Position>(from)));
  while (true) {
    const auto frame = CO_TRY(co_await reader.next());
    if (!frame || static_cast<Offset>(frame->first) >= state.limit(isolation)) co_return OffsetAndTimestamp{};
    const RecordBatch batch(frame->bytes);
    if (batch.control() || batch.max_timestamp() < timestamp) continue;
    Bytes storage;
    RecordReader records(batch, CO_TRY(open_records(batch, storage)));
    while (const auto record = CO_TRY(records.next()))
      if (record->timestamp >= timestamp && record->offset >= state.log_start)
        co_return OffsetAndTimestamp{record->offset, record->timestamp, 0};
  }
}

std::vector<ProducerState> Partition::producers() const {
  return state_->producers.states();
}

// --- keeping

Task<Result<void>> Partition::State::delete_before(Offset offset) {
  if (offset <= stored_start) co_return {};
  // The log must never end in front of its start, whatever a power cut takes.
  CO_TRY(co_await log->wait(static_cast<Position>(offset), Durability::kDisk));
  if (offset <= stored_start) co_return {};  // another was faster
  log_start = std::max(log_start, offset);
  CO_TRY(co_await write_state());
  CO_TRY(co_await log->trim(static_cast<Position>(offset)));
  producers.trim(offset);
  drop_notes();
  notify();
  co_return {};
}

void Partition::State::drop_notes() {
  std::erase_if(closed, [&](const SegmentNote& one) { return one.first < static_cast<Offset>(log->start()); });
}

Task<Result<Offset>> Partition::delete_before(Offset offset) {
  State& state = *state_;
  if (offset == kLatestOffset) offset = state.high_watermark();
  if (offset < 0 || offset > state.high_watermark())
    co_return fail(Code::kOutOfRange,
                   fmt::format("offset {} is above the high watermark {}", offset, state.high_watermark()));
  CO_TRY(co_await state.delete_before(offset));
  co_return state.log_start;
}

// By age: segments whose newest record is too old, and if that is all of them, everything that was acknowledged. By
// size: the oldest segments without which the partition is still as large as allowed.
Task<Result<void>> Partition::State::retain(int64_t now_ms) {
  if (config.cleanup_policy == CleanupPolicy::kCompact) co_return {};
  Offset before = log_start;
  if (config.retention_ms >= 0) {
    const int64_t oldest_ms = now_ms - config.retention_ms;
    size_t expired = 0;
    while (expired < closed.size() && closed[expired].newest.timestamp < oldest_ms) ++expired;
    if (expired > 0) before = expired < closed.size() ? closed[expired].first : current.first;
    if (expired == closed.size() && current.newest.timestamp >= 0 && current.newest.timestamp < oldest_ms) {
      before = high_watermark();
      log->close_segment();  // so that its file goes, too, with the next batch
    }
  }
  if (config.retention_bytes >= 0) {
    const auto segments = log->segments();
    uint64_t size_bytes = 0;
    for (const auto& segment : segments) size_bytes += segment.size_bytes;
    for (size_t i = 0; i + 1 < segments.size(); ++i) {
      size_bytes -= segments[i].size_bytes;
      if (size_bytes < static_cast<uint64_t>(config.retention_bytes)) break;
      before = std::max(before, static_cast<Offset>(segments[i + 1].first));
    }
  }
  co_return co_await delete_before(std::min(before, high_watermark()));
}

Task<Result<void>> Partition::State::compact(int64_t now_ms) {
  if (config.cleanup_policy == CleanupPolicy::kDelete || closed.empty()) co_return {};
  // What was cleaned long enough ago that its tombstones may go.
  Offset settled = 0;
  bool settling = false;
  while (!passes.empty() && passes.front().at_ms <= now_ms - config.delete_retention_ms) {
    settled = passes.front().upto;
    settling = passes.front().unsettled;
    if (passes.size() > 1 && passes[1].at_ms > now_ms - config.delete_retention_ms) break;
    if (passes.size() == 1) break;
    passes.erase(passes.begin());
  }
  // Only what is closed, stable, and old enough.
  const Offset end = std::min(current.first, last_stable_offset());
  uint64_t dirty_bytes = 0, size_bytes = 0;
  for (const auto& segment : log->segments()) {
    if (static_cast<Offset>(segment.first) >= end) break;
    size_bytes += segment.size_bytes;
    if (static_cast<Offset>(segment.first) >= compacted_upto) dirty_bytes += segment.size_bytes;
  }
  const bool dirty = dirty_bytes > 0 && static_cast<double>(dirty_bytes) >=
                                            config.min_cleanable_dirty_ratio * static_cast<double>(size_bytes);
  if (!dirty && !settling) co_return {};
  const Offset clean_below = std::max(log_start, compacted_upto);
  Compaction pass({.aborted = producers.aborted(log_start, end),
                   .last_batches = producers.last_batches(),
                   .clean_below = clean_below,
                   .settled = settled,
                   .seed = compaction_seed});
  auto reader = CO_TRY(log->read(static_cast<Position>(clean_below)));
  while (true) {
    const auto frame = CO_TRY(co_await reader.next());
    if (!frame || static_cast<Offset>(frame->first) >= end) break;
    const RecordBatch batch(frame->bytes);
    if (batch.max_timestamp() > now_ms - config.min_compaction_lag_ms) break;
    if (!CO_TRY(pass.learn(batch))) break;
  }
  if (pass.learned() <= clean_below && !settling) co_return {};
  for (const auto& segment : log->segments()) {
    if (static_cast<Offset>(segment.first) >= std::min(pass.learned(), current.first)) break;
    CO_TRY(co_await log->rewrite(segment.first,
                                 [&](const log::FrameView& frame) { return pass.keep(RecordBatch(frame.bytes)); }));
  }
  for (const Offset marker : pass.dropped_markers()) producers.forget_aborted(marker);
  compacted_upto = pass.learned();
  if (!passes.empty() && passes.front().upto == settled) passes.front().unsettled = false;  // has gone
  if (passes.size() >= kPassesMax) passes.erase(passes.end() - 1);  // its records wait for this pass
  passes.push_back({compacted_upto, now_ms, pass.unsettled()});
  co_return co_await write_state();
}

Task<Result<void>> Partition::tend() {
  State& state = *state_;
  if (std::exchange(state.tending, true)) co_return {};  // the last round is not over
  const int64_t now_ms = base::milliseconds_since_epoch(state.clock.wall());
  state.producers.expire(now_ms,
                         std::chrono::duration_cast<std::chrono::milliseconds>(state.options.producer_expiry).count());
  if (now_ms - state.current_began_ms >= state.config.segment_ms) state.log->close_segment();
  Result<void> done = co_await state.retain(now_ms);
  if (done) done = co_await state.compact(now_ms);
  if (std::exchange(state.tended_end, state.end()) == state.end() && !state.log->failure()) {
    if (state.bytes_since_notes >= kNotesRestBytes && !std::exchange(state.writing_notes, true)) {
      state.take_notes(state.end());
      co_await state.write_notes();
    }
    if (state.recent.size() > 0) {
      state.recent.clear();
      state.recent.shrink_to_fit();
    }
  }
  co_await state.log->rest();
  state.tending = false;
  co_return done;
}

void Partition::configure(const TopicConfig& config) {
  state_->config = config;
  state_->set_delay();
}

const std::optional<Error>& Partition::failure() const {
  return state_->log->failure();
}

PartitionStatistics Partition::statistics() const {
  const State& state = *state_;
  const log::SegmentLogStatistics log = state.log->statistics();
  return {.log_start_offset = state.log_start,
          .high_watermark = state.high_watermark(),
          .last_stable_offset = state_->last_stable_offset(),
          .end_offset = state.end(),
          .size_bytes = log.size_bytes,
          .segments = log.segments,
          .appended_batches = state.appended_batches,
          .appended_bytes = state.appended_bytes,
          .duplicates = state.duplicates,
          .torn_bytes = log.torn_bytes,
          .memory_bytes = sizeof(State) + state.producers.memory_bytes() + log.buffered_bytes +
                          state.recent.size() * sizeof(State::Append),
          .producers = state.producers.size(),
          .open_transactions = state.producers.open_transactions()};
}

Task<Result<void>> Partition::close() {
  State& state = *state_;
  state.closing.set();
  if (state.bytes_since_notes >= kNotesRestBytes && !state.log->failure()) {
    state.take_notes(state.end());
    if (!std::exchange(state.writing_notes, true)) co_await state.write_notes();
  }
  auto closed = co_await state.log->close();
  co_await state_->tasks.join();
  for (State::DataWaiter* waiter : std::exchange(state_->waiters, {})) waiter->ready.set();
  co_return closed;
}

}  // namespace polis::stream
