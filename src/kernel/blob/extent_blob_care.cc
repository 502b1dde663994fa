// What keeps bytes whole and space in use: healing of single rows, scrub, repair of drives, compaction. All on the home
// shard; one long operation at a time, each yielding at every row.
#include <algorithm>
#include <bit>
#include <set>

#include "kernel/blob/extent_blob.h"
#include "kernel/io/shard.h"

namespace polis::blob {
namespace {

constexpr size_t kIdsPerQuestion = 1024;
constexpr size_t kMovesAtOnce = 32;
// Extents of a process that wrote little are merged when there are more of them than this.
constexpr size_t kTinyExtentsMax = 8;
constexpr Duration kProgressInterval = std::chrono::milliseconds(100);

// Holds the only permit of a semaphore.
struct Permit {
  explicit Permit(io::Semaphore& s) : semaphore(s) {}
  Permit(const Permit&) = delete;
  ~Permit() { semaphore.release(); }
  io::Semaphore& semaphore;
};

// Runs at the end of a scope.
template <class F>
struct Finally {
  explicit Finally(F given) : at_end(std::move(given)) {}
  Finally(const Finally&) = delete;
  ~Finally() { at_end(); }
  F at_end;
};

// Calls the caller's Progress at most ten times a second.
class Reporter {
 public:
  Reporter(Progress* progress, uint64_t total) : progress_(progress), total_(std::max<uint64_t>(total, 1)) {}
  // False: the caller wants to stop.
  bool at(uint64_t done) {
    const SteadyTime now = io::Shard::current().clock().steady();
    if (!*progress_ || (called_ && now - last_ < kProgressInterval)) return true;
    called_ = true;
    last_ = now;
    return (*progress_)(std::min(done, total_), total_);
  }
  void finished() {
    if (*progress_) (void)(*progress_)(total_, total_);
  }

 private:
  Progress* progress_;
  uint64_t total_;
  SteadyTime last_{};
  bool called_ = false;
};

uint64_t end_of(const ExtentState& state) {
  return state.open ? std::max(state.open->end, state.file_bytes) : state.file_bytes;
}

}  // namespace

// --- healing

void ExtentBlob::note_damage(const Damage& damage) {
  if (!extents_->extents().contains(damage.extent)) return;
  if (repair_queue_.size() < kRepairQueueMax) {
    auto& [row, units] = repair_queue_[{damage.extent, damage.row.offset}];
    row = damage.row;
    units |= damage.units;
    repair_queue_size_ = repair_queue_.size();
  }
  if (options_.heal && !healing_ && !closing_) {
    healing_ = true;
    background_.spawn(heal());
  }
}

Task<void> ExtentBlob::heal() {
  // Damage may be a drive that vanished; that is no work for single rows.
  co_await drives_->check_presence();
  while (!repair_queue_.empty() && !closing_) {
    if (!co_await care_.acquire()) break;
    Permit permit(care_);
    if (repair_queue_.empty()) break;
    const auto [key, damage] = *repair_queue_.begin();
    repair_queue_.erase(repair_queue_.begin());
    repair_queue_size_ = repair_queue_.size();
    // What cannot be healed now is found again by the next read or scrub.
    (void)co_await heal_row(key.first, damage.first, damage.second);
    co_await io::yield();
  }
  healing_ = false;
}

// Answers the units rebuilt.
Task<Result<uint64_t>> ExtentBlob::heal_row(uint64_t extent, RowShape row, UnitMask units) {
  if (!extents_->extents().contains(extent)) co_return uint64_t{0};
  RowWindow window = whole_rows(extent, {row});
  co_await reader().probe(window);
  units &= window.state[0].damaged & drives_->writable();
  if (!units || !window.state[0].header) co_return uint64_t{0};
  CO_TRY(reader().rebuild(window, 0, units));
  std::vector<std::unique_ptr<io::File>> files(erasure_.units());
  const uint64_t written = CO_TRY(co_await write_units(window, 0, units, files));
  for (auto& file : files) {
    if (file) CO_TRY(co_await file->sync());
  }
  co_return written;
}

Task<Result<std::unique_ptr<io::File>>> ExtentBlob::open_for_repair(uint64_t extent, unsigned unit) {
  const std::string path = drives_->extent_path(unit, extent);
  auto file = CO_TRY(co_await disk_.open(path, io::OpenMode::kCreate));
  const Bytes superblock = encode_superblock({.pool = drives_->pool(),
                                              .extent = extent,
                                              .unit = static_cast<uint8_t>(unit),
                                              .data_units = static_cast<uint8_t>(erasure_.data_units()),
                                              .parity_units = static_cast<uint8_t>(erasure_.parity_units())});
  Bytes present(kSuperblockBytes);
  auto got = co_await file->read_at(0, present);
  if (!got || *got != kSuperblockBytes || present != superblock) {
    CO_TRY(co_await file->write_at(0, superblock));
    CO_TRY(co_await disk_.sync_directory(drives_->path(unit)));
  }
  co_return std::move(file);
}

// Writes sound units of a window's row to their files, header and all. `files` are opened as needed and not synced
// here.
Task<Result<uint64_t>> ExtentBlob::write_units(RowWindow& window, size_t row, UnitMask units,
                                               std::vector<std::unique_ptr<io::File>>& files) {
  RowHeader header = *window.state[row].header;
  uint64_t written = 0;
  for (unsigned unit = 0; unit < erasure_.units(); ++unit) {
    if (!(units >> unit & 1)) continue;
    POLIS_ASSERT(window.state[row].sound >> unit & 1);
    if (!files[unit]) files[unit] = CO_TRY(co_await open_for_repair(window.extent, unit));
    const BytesView bytes = window.data(row, unit);
    header.unit = static_cast<uint8_t>(unit);
    header.block_crcs = block_crcs(bytes);
    Bytes head(header.shape.header_bytes);
    encode_row_header(header, head);
    const BytesView parts[] = {head, bytes};
    CO_TRY(co_await files[unit]->write_at(header.shape.offset, parts));
    drives_->add_used(unit, head.size() + bytes.size());
    ++written;
    ++repaired_units_;
  }
  co_return written;
}

// The row at `offset` or, where none is, the next one; `offset` moves behind it. Empty at the end.
Task<Result<std::optional<RowHeader>>> ExtentBlob::next_row(uint64_t extent, uint64_t& offset, uint64_t end) {
  if (offset >= end) co_return std::nullopt;
  auto header = CO_TRY(co_await reader().header_at(extent, offset));
  if (!header) {
    // A gap: room that a put gave up, what a crash left, or damage in every file.
    auto found = CO_TRY(co_await reader().find_row(extent, offset + 1, end));
    if (!found) co_return std::nullopt;
    header = CO_TRY(co_await reader().header_at(extent, *found));
    if (!header) co_return std::nullopt;
  }
  offset = header->shape.end();
  co_return header;
}

// --- scrub

Task<void> ExtentBlob::scrub_row(uint64_t extent, RowHeader header, RepairReport* report) {
  RowWindow window = whole_rows(extent, {header.shape});
  co_await reader().probe(window);
  const auto& row = window.state[0];
  const uint64_t bytes = uint64_t{header.shape.header_bytes + header.shape.unit_bytes} *
                         static_cast<unsigned>(std::popcount(header.written & drives_->readable()));
  ++report->rows_checked;
  report->bytes_read += bytes;
  scrubbed_bytes_ += bytes;
  if (row.damaged) {
    scrub_errors_ += static_cast<unsigned>(std::popcount(row.damaged));
    const UnitMask left = row.sound | (erasure_.all() & ~header.written);
    if (std::popcount(left) < static_cast<int>(erasure_.data_units())) ++report->rows_lost;
    note_damage({extent, header.shape, row.damaged});
  }
}

// Holds the permit for one slice only: drives come back and rows are healed while a scrub of days is under way.
Task<Result<ScrubSlice>> ExtentBlob::scrub_slice_here(ScrubPosition from, uint64_t bytes_max) {
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  if (from.extent == 0 && from.offset == 0) {
    co_await drives_->check_presence();
    extents_->seal_all();  // what grows for months would never be read
  }
  ScrubSlice slice{.next = from};
  auto found = extents_->extents().lower_bound(from.extent);
  while (found != extents_->extents().end() && (found->second.open || found->second.retired)) ++found;
  if (found == extents_->extents().end()) {
    slice.finished = true;
    co_return slice;
  }
  const uint64_t id = found->first, end = end_of(found->second);
  uint64_t offset = id == from.extent ? std::max<uint64_t>(from.offset, kSuperblockBytes) : kSuperblockBytes;
  while (slice.report.bytes_read < bytes_max) {
    auto header = CO_TRY(co_await next_row(id, offset, end));
    if (!header) {
      slice.next = {id + 1, 0};
      co_return slice;
    }
    co_await scrub_row(id, *header, &slice.report);
    co_await io::yield();
  }
  slice.next = {id, offset};
  co_return slice;
}

Task<Result<RepairReport>> ExtentBlob::scrub_here(Progress* progress) {
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  extents_->seal_all();
  std::vector<uint64_t> ids;
  uint64_t total = 0, done = 0;
  for (auto& [id, state] : extents_->extents()) {
    if (state.open) continue;  // a put still writes to it; the next scrub reads it
    ids.push_back(id);
    total += state.file_bytes;
  }
  Reporter reporter(progress, total);
  RepairReport report;
  const SteadyTime began = home_.clock().steady();
  for (uint64_t id : ids) {
    auto found = extents_->extents().find(id);
    if (found == extents_->extents().end()) continue;
    const uint64_t end = end_of(found->second);
    uint64_t offset = kSuperblockBytes;
    while (auto header = CO_TRY(co_await next_row(id, offset, end))) {
      co_await scrub_row(id, *header, &report);
      if (!reporter.at(done + offset)) co_return report;
      if (options_.scrub_bytes_per_second) {
        const Duration due(static_cast<int64_t>(static_cast<double>(report.bytes_read) /
                                                static_cast<double>(options_.scrub_bytes_per_second) * 1e9));
        const Duration ahead = due - (home_.clock().steady() - began);
        if (ahead > std::chrono::milliseconds(1)) CO_TRY(co_await io::sleep_for(ahead));
      }
      co_await io::yield();
    }
    done += end;
  }
  reporter.finished();
  co_return report;
}

// --- repair

Task<Result<RepairReport>> ExtentBlob::repair_here(Progress* progress) {
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  extents_->seal_all();
  RepairReport report;

  // Single rows first: their redundancy is known to be reduced.
  while (!repair_queue_.empty()) {
    const auto [key, damage] = *repair_queue_.begin();
    repair_queue_.erase(repair_queue_.begin());
    repair_queue_size_ = repair_queue_.size();
    ++report.rows_checked;
    auto healed = co_await heal_row(key.first, damage.first, damage.second);
    if (healed) {
      report.units_rebuilt += *healed;
      report.bytes_written += *healed * (damage.first.header_bytes + damage.first.unit_bytes);
    } else if (healed.error().code() == Code::kCorrupt) {
      ++report.rows_lost;
    } else {
      co_return fail(std::move(healed).error());
    }
    co_await io::yield();
  }

  UnitMask targets = drives_->stale() & drives_->writable();
  for (unsigned i = 0; i < drives_->size(); ++i) targets |= UnitMask{drives_->state(i) == DriveState::kReplacing} << i;
  if (!targets) {
    Reporter(progress, 1).finished();
    co_return report;
  }
  std::vector<uint64_t> ids;
  uint64_t total = 0, done = 0;
  bool skipped = false;
  for (auto& [id, state] : extents_->extents()) {
    // Extents with writers: those made with the target have it; others are left for the next repair.
    if (state.open) {
      skipped |= (targets & ~state.open->alive) != 0;
      continue;
    }
    ids.push_back(id);
    total += state.file_bytes;
  }
  Reporter reporter(progress, total);
  RepairPosition position{.drives = targets};
  repair_position_ = &position;
  Finally forget([this] { repair_position_ = nullptr; });
  for (uint64_t id : ids) {
    CO_TRY(co_await repair_extent(id, targets, report));
    if (auto found = extents_->extents().find(id); found != extents_->extents().end()) done += found->second.file_bytes;
    if (!reporter.at(done)) co_return report;
  }
  if (!skipped && (targets & ~drives_->writable()) == 0) {
    for (unsigned i = 0; i < drives_->size(); ++i) {
      if (targets >> i & 1) drives_->finish_replacing(i);
    }
    CO_TRY(co_await drives_->clear_stale(targets));
  }
  co_await drives_->refresh_space();
  reporter.finished();
  co_return report;
}

Task<Result<void>> ExtentBlob::repair_extent(uint64_t extent, UnitMask targets, RepairReport& report) {
  auto found = extents_->extents().find(extent);
  if (found == extents_->extents().end()) co_return {};
  const uint64_t end = end_of(found->second);
  std::vector<std::unique_ptr<io::File>> files(erasure_.units());
  uint64_t offset = kSuperblockBytes;
  while (auto header = CO_TRY(co_await next_row(extent, offset, end))) {
    RowWindow window = whole_rows(extent, {header->shape});
    if (repair_position_) {
      repair_position_->extent = extent;
      repair_position_->offset = header->shape.offset;
    }
    co_await reader().probe(window);
    auto& row = window.state[0];
    const uint64_t unit_bytes = header->shape.header_bytes + header->shape.unit_bytes;
    ++report.rows_checked;
    report.bytes_read += unit_bytes * static_cast<unsigned>(std::popcount(row.verified));
    const UnitMask lacking = header->written & targets & ~row.verified;
    if (lacking && row.header) {
      if (auto rebuilt = reader().rebuild(window, 0, lacking); !rebuilt) {
        ++report.rows_lost;
      } else {
        const uint64_t written = CO_TRY(co_await write_units(window, 0, lacking, files));
        report.units_rebuilt += written;
        report.bytes_written += written * unit_bytes;
      }
    } else if (lacking) {
      ++report.rows_lost;
    }
    co_await io::yield();
  }
  for (auto& file : files) {
    if (file) CO_TRY(co_await file->sync());
  }
  co_return {};
}

// --- drives

Task<Result<void>> ExtentBlob::set_drive_here(unsigned index, DriveState state) {
  if (index >= drives_->size()) {
    co_return fail(Code::kNotFound,
                   "no drive " + std::to_string(index) + ": the pool has " + std::to_string(drives_->size()));
  }
  if (state == DriveState::kMissing || state == DriveState::kFailed) {
    drives_->take_out(index, state, false);
    extents_->without_drive(index);
    co_return {};
  }
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  if (state == DriveState::kOnline) {
    CO_TRY(co_await drives_->bring_back(index));
    CO_TRY(co_await extents_->adopt(index));
  } else {
    if (drives_->state(index) == DriveState::kOnline) {
      co_return fail(Code::kConflict, drives_->path(index) + " is online: take it out before it is replaced");
    }
    CO_TRY(co_await drives_->replace(index));
  }
  extents_count_ = extents_->extents().size();
  co_return {};
}

// --- compaction

// A blob (segment) found in an extent.
struct ExtentBlob::Survivor {
  Location location;
  uint64_t announced = 0;  // kSpread: what its rows say it should hold, 0: unknown
  uint64_t written_ms = 0;
  bool whole = true;  // false: rows at its beginning are missing
};

// Finds what the owner still wants of the extent and counts it. `young`: something unreferenced is too new to be swept.
Task<Result<void>> ExtentBlob::mark(uint64_t extent, std::vector<Survivor>& survivors, bool& young) {
  const unsigned k = erasure_.data_units();
  std::vector<Survivor> all;
  const uint64_t failures = reader().failures();
  uint64_t end = end_of(extents_->extents().at(extent));
  uint64_t offset = kSuperblockBytes;
  while (auto header = CO_TRY(co_await next_row(extent, offset, end))) {
    if (header->kind == RowKind::kPacked) {
      for (const PackedEntry& entry : header->entries) {
        all.push_back({.location = {.kind = RowKind::kPacked,
                                    .extent = extent,
                                    .offset = header->shape.offset,
                                    .length = entry.length,
                                    .unit = entry.unit,
                                    .header_bytes = header->shape.header_bytes,
                                    .unit_bytes = header->shape.unit_bytes,
                                    .inner = entry.inner},
                       .written_ms = header->written_ms});
      }
      co_await io::yield();
      continue;
    }
    const uint64_t before = uint64_t{header->ordinal} * kFullRowStride;
    const bool continues = header->ordinal > 0 && !all.empty() && all.back().location.kind == RowKind::kSpread &&
                           all.back().location.offset + before == header->shape.offset &&
                           all.back().location.length == header->ordinal * row_bytes(k);
    if (continues) {
      all.back().location.length += header->payload_bytes;
      all.back().written_ms = std::max(all.back().written_ms, header->written_ms);
    } else {
      all.push_back(
          {.location = {.kind = RowKind::kSpread,
                        .extent = extent,
                        .offset = header->shape.offset - std::min(before, header->shape.offset - kSuperblockBytes),
                        .length =
                            before ? header->ordinal * row_bytes(k) + header->payload_bytes : header->payload_bytes},
           .announced = header->segment_bytes,
           .written_ms = header->written_ms,
           .whole = header->ordinal == 0});
    }
    co_await io::yield();
  }

  if (reader().failures() != failures) {
    co_return fail(Code::kUnavailable,
                   "extent " + extent_file_name(extent) +
                       " cannot be read completely: what is not seen must not be taken for deleted");
  }

  // A blob whose rows are not all there is asked for under its announced length, too.
  std::vector<BlobId> ids;
  std::vector<std::pair<size_t, bool>> asked;  // index in all, under the announced length?
  for (size_t i = 0; i < all.size(); ++i) {
    const Survivor& blob = all[i];
    ids.push_back(encode_location(blob.location));
    asked.emplace_back(i, false);
    if (blob.announced && blob.announced != blob.location.length) {
      Location announced = blob.location;
      announced.length = blob.announced;
      ids.push_back(encode_location(announced));
      asked.emplace_back(i, true);
    }
  }
  std::vector<bool> referenced(all.size());
  bool damaged = false;
  for (size_t at = 0; at < ids.size(); at += kIdsPerQuestion) {
    const size_t count = std::min(kIdsPerQuestion, ids.size() - at);
    auto answer = CO_TRY(co_await owner_->referenced(
        {ids.begin() + static_cast<ptrdiff_t>(at), ids.begin() + static_cast<ptrdiff_t>(at + count)}));
    if (answer.size() != count)
      co_return fail(Code::kInvalid, "the owner of the blobs answered for another number of ids");
    for (size_t i = 0; i < count; ++i) {
      const auto [index, under_announced] = asked[at + i];
      if (!answer[i]) continue;
      if (under_announced || !all[index].whole)
        damaged = true;
      else
        referenced[index] = true;
    }
  }
  const uint64_t now_ms = wall_ms();
  const uint64_t sweep_ms =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(options_.sweep_after).count());
  // A put may take longer than the sweep waits; its owner's time to commit begins when it ends.
  auto marked = extents_->extents().find(extent);
  const uint64_t released_ms = marked == extents_->extents().end() ? 0 : marked->second.released_ms;
  uint64_t live = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (referenced[i]) {
      live += all[i].location.length;
      survivors.push_back(all[i]);
    } else if (all[i].written_ms + sweep_ms > now_ms || released_ms + sweep_ms > now_ms) {
      young = true;
      live += all[i].location.length;
    } else if (!all[i].whole && !all[i].announced) {
      damaged = true;  // the middle of a blob of unknown size: it cannot be told whether somebody refers to it
    }
  }
  auto found = extents_->extents().find(extent);
  if (found == extents_->extents().end()) co_return {};
  ExtentState& state = found->second;
  live_bytes_ += live - state.live_bytes;
  state.live_bytes = live;
  state.marked = true;
  // Counted as live for now, what is young may be swept soon.
  state.mark_again_at = home_.clock().steady() +
                        (young ? std::min(options_.sweep_after, options_.mark_interval) : options_.mark_interval);
  state.damaged = damaged;
  co_return {};
}

namespace {

class MemorySink final : public ByteSink {
 public:
  explicit MemorySink(MutableBytes into) : into_(into) {}
  Task<Result<void>> write(BytesView bytes) override {
    if (bytes.size() > into_.size() - at_) co_return fail(Code::kTooLarge, "more bytes than asked for");
    std::ranges::copy(bytes, into_.begin() + static_cast<ptrdiff_t>(at_));
    at_ += bytes.size();
    co_return {};
  }

 private:
  MutableBytes into_;
  size_t at_ = 0;
};

// Reads a stored blob as a source, for the copy of a compaction.
class StoredSource final : public ByteSource {
 public:
  StoredSource(Blob& blob, Receipt receipt) : blob_(blob), receipt_(std::move(receipt)) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    const uint64_t size = std::min<uint64_t>(into.size(), receipt_.size_bytes - at_);
    if (size == 0) co_return size_t{0};
    MemorySink sink(into);
    CO_TRY(co_await blob_.get(receipt_, {at_, size}, sink));
    at_ += size;
    co_return static_cast<size_t>(size);
  }

 private:
  Blob& blob_;
  Receipt receipt_;
  uint64_t at_ = 0;
};

}  // namespace

Task<void> ExtentBlob::move_one(Survivor survivor, Result<void>* outcome) {
  const Receipt from{join_segments({&survivor.location, 1}), survivor.location.length};
  StoredSource source(*this, from);
  auto copy = co_await put(source, from.size_bytes);
  if (!copy) {
    *outcome = fail(std::move(copy).error());
    co_return;
  }
  // A segment fits into one segment again, whatever its size.
  const auto to = segments(*copy);
  POLIS_ASSERT(to.size() == 1);
  auto moved = co_await owner_->moved(encode_location(survivor.location), to[0]);
  if (moved) co_return;
  erase(*copy);
  const Code code = moved.error().code();
  if (code == Code::kConflict || code == Code::kNotFound) {
    // Whether the row let go of the segment or merely could not be changed decides if the extent may go: ask.
    auto still = co_await owner_->referenced({encode_location(survivor.location)});
    if (still && still->size() == 1 && !still->front()) co_return;
  }
  *outcome = std::move(moved);
}

Task<Result<void>> ExtentBlob::move_survivors(std::vector<Survivor> survivors) {
  for (size_t at = 0; at < survivors.size(); at += kMovesAtOnce) {
    const size_t count = std::min(kMovesAtOnce, survivors.size() - at);
    std::vector<Result<void>> outcomes(count);
    io::TaskGroup group;
    for (size_t i = 0; i < count; ++i) group.spawn(move_one(survivors[at + i], &outcomes[i]));
    co_await group.join();
    for (auto& outcome : outcomes) CO_TRY(std::move(outcome));
  }
  co_return {};
}

Task<Result<uint64_t>> ExtentBlob::delete_retired() {
  std::vector<uint64_t> ready;
  if (holds_all_ > 0) co_return uint64_t{0};
  const SteadyTime now = home_.clock().steady();
  for (auto& [id, state] : extents_->extents()) {
    if (state.retired && now - state.retired_at >= options_.delete_grace &&
        gets_running_[id % gets_running_.size()] == 0)
      ready.push_back(id);
  }
  uint64_t freed = 0;
  for (uint64_t id : ready) {
    const uint64_t bytes = extents_->extents().at(id).file_bytes;
    CO_TRY(co_await extents_->remove(id));
    freed += bytes * erasure_.units();
    for (size_t i = 0; i < kShardsMax; ++i) {
      if (!readers_[i].load()) continue;
      // Open files would keep the space.
      co_await io::on(*reader_shards_[i], [this, i, id]() -> Task<void> {
        if (RowReader* there = readers_[i].load()) there->forget(id);
        co_return;
      });
    }
  }
  // What is used now is counted from the drives: removals may have failed on some.
  for (unsigned i = 0; !ready.empty() && i < drives_->size(); ++i) {
    if (drives_->writable() >> i & 1) CO_TRY(co_await extents_->adopt(i));
  }
  extents_count_ = extents_->extents().size();
  co_return freed;
}

Task<Result<uint64_t>> ExtentBlob::compact_here(Progress* progress) {
  if (!owner_) co_return fail(Code::kInvalid, "compaction needs an owner that says what is still referred to");
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  // A small row may have its only headers on the drives that are out.
  if (drives_->readable() != erasure_.all() || drives_->stale() != 0) {
    co_return fail(Code::kUnavailable, "compaction needs every drive online and repaired");
  }
  uint64_t freed = CO_TRY(co_await delete_retired());
  const unsigned k = erasure_.data_units();
  const SteadyTime now = home_.clock().steady();
  auto sparse = [&](const ExtentState& state) { return state.live_bytes * 2 < end_of(state) * k; };
  auto tiny = [&](const ExtentState& state) { return end_of(state) * k < options_.extent_payload_bytes / 16; };

  std::vector<uint64_t> candidates;
  size_t tiny_count = 0;
  for (auto& [id, state] : extents_->extents()) tiny_count += tiny(state) && !state.open;
  for (auto& [id, state] : extents_->extents()) {
    if (state.retired || (state.open && state.open->writers > 0)) continue;
    const bool old_mark = !state.open && now >= state.mark_again_at;
    if (!state.marked || old_mark || sparse(state) || (tiny_count > kTinyExtentsMax && tiny(state) && !state.open))
      candidates.push_back(id);
  }
  Reporter reporter(progress, candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint64_t id = candidates[i];
    auto found = extents_->extents().find(id);
    if (found == extents_->extents().end() || found->second.retired) continue;
    extents_->seal_one(id);
    if (found->second.open) continue;  // a put came in meanwhile
    std::vector<Survivor> survivors;
    bool young = false;
    CO_TRY(co_await mark(id, survivors, young));
    found = extents_->extents().find(id);
    if (found == extents_->extents().end()) continue;
    const bool worth = sparse(found->second) || (tiny_count > kTinyExtentsMax && tiny(found->second));
    if (worth && !young && !found->second.damaged) {
      auto moved = co_await move_survivors(std::move(survivors));
      found = extents_->extents().find(id);
      if (!moved && moved.error().code() == Code::kCorrupt) {
        found->second.damaged = true;  // keeps what can still be read in part
      } else if (!moved) {
        co_return fail(std::move(moved).error());
      } else {
        live_bytes_ -= std::min<uint64_t>(live_bytes_, found->second.live_bytes);
        found->second.live_bytes = 0;
        found->second.retired = true;
        found->second.retired_at = home_.clock().steady();
      }
    }
    if (!reporter.at(i + 1)) co_return freed;
  }
  freed += CO_TRY(co_await delete_retired());
  reporter.finished();
  co_return freed;
}

}  // namespace polis::blob
