#include "kernel/blob/extent_blob.h"

#include <algorithm>
#include <bit>

#include "kernel/io/shard.h"

namespace polis::blob {

// --- the port's helpers

std::vector<BlobId> segments(const Receipt& receipt) {
  std::vector<BlobId> ids;
  std::string_view rest = receipt.location;
  while (!rest.empty()) {
    const size_t length = static_cast<unsigned char>(rest[0]);
    if (length == 0 || length >= rest.size()) break;
    ids.emplace_back(rest.substr(1, length));
    rest.remove_prefix(1 + length);
  }
  return ids;
}

// --- life

namespace {

constexpr uint64_t kAddedDrivesBytesMax = 64 * 1024;

// The directories that were added to a pool while it ran, one a line; none if there is no such file.
Task<Result<std::vector<std::string>>> read_added_drives(io::Disk& disk, const std::string& path) {
  std::vector<std::string> added;
  if (path.empty()) co_return added;
  auto bytes = co_await disk.read_file(path, kAddedDrivesBytesMax);
  if (!bytes && bytes.error().code() == Code::kNotFound) co_return added;
  if (!bytes) co_return fail(std::move(bytes).error());
  std::string_view rest = as_text(*bytes);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (end > 0) added.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  co_return added;
}

Scheme scheme_of(const ExtentBlobOptions& options) {
  return {static_cast<uint8_t>(options.data_units), static_cast<uint8_t>(options.parity_units)};
}

}  // namespace

ExtentBlob::ExtentBlob(io::Disk& disk, ExtentBlobOptions options)
    : disk_(disk),
      options_(std::move(options)),
      scheme_(scheme_of(options_)),
      home_(io::Shard::current()),
      put_memory_("uploads", options_.put_memory_bytes_max) {}

Task<Result<std::unique_ptr<ExtentBlob>>> ExtentBlob::open(io::Disk& disk, ExtentBlobOptions options, Random& random) {
  CO_TRY(Erasure::make(options.data_units, options.parity_units));
  for (std::string& added : CO_TRY(co_await read_added_drives(disk, options.added_drives_file))) {
    if (std::ranges::find(options.drives, added) == options.drives.end()) options.drives.push_back(std::move(added));
  }
  std::unique_ptr<ExtentBlob> blob(new ExtentBlob(disk, std::move(options)));
  blob->drives_ = CO_TRY(co_await DriveSet::open(disk, blob->options_.drives, blob->scheme_, random));
  blob->extents_ =
      std::make_unique<ExtentStore>(disk, *blob->drives_, blob->placements_,
                                    ExtentStoreOptions{.extent_payload_bytes = blob->options_.extent_payload_bytes,
                                                       .space_reserve_bytes = blob->options_.space_reserve_bytes,
                                                       .mark_interval = blob->options_.mark_interval});
  CO_TRY(co_await blob->extents_->load());
  blob->extents_count_ = blob->extents_->extents().size();
  co_return std::move(blob);
}

// Durable before the pool counts on the drive.
Task<Result<void>> ExtentBlob::write_added_drives(std::string path) {
  if (options_.added_drives_file.empty())
    co_return fail(Code::kUnsupported, "drives are added in the configuration of this pool");
  auto added = CO_TRY(co_await read_added_drives(disk_, options_.added_drives_file));
  if (std::ranges::find(added, path) == added.end()) added.push_back(std::move(path));
  std::string text;
  for (const std::string& line : added) text += line + "\n";
  co_return co_await disk_.replace_file(options_.added_drives_file, as_bytes(text));
}

ExtentBlob::~ExtentBlob() {
  for (auto& reader : readers_) POLIS_ASSERT(reader.load() == nullptr);
}

Task<Result<void>> ExtentBlob::close() {
  return io::on(home_, [this] { return close_here(); });
}

Task<Result<void>> ExtentBlob::close_here() {
  closing_ = true;
  co_await background_.join();
  extents_->seal_all();
  for (size_t i = 0; i < kShardsMax; ++i) {
    if (!readers_[i].load()) continue;
    // Files are closed on the shard that used them.
    co_await io::on(*reader_shards_[i], [this, i]() -> Task<void> {
      delete readers_[i].exchange(nullptr);
      co_return;
    });
  }
  co_return {};
}

WallTime ExtentBlob::wall() const {
  return options_.clock ? options_.clock->wall() : home_.clock().wall();
}
uint64_t ExtentBlob::wall_ms() const {
  return static_cast<uint64_t>(std::max<int64_t>(0, base::milliseconds_since_epoch(wall())));
}

// --- get

RowReader& ExtentBlob::reader() {
  io::Shard& shard = io::Shard::current();
  POLIS_ASSERT(shard.index() < kShardsMax);
  auto& slot = readers_[shard.index()];
  if (RowReader* here = slot.load(std::memory_order_acquire)) return *here;
  reader_shards_[shard.index()] = &shard;
  auto* made = new RowReader(disk_, *drives_, placements_, codes_, options_.open_files_max,
                             [this](const Damage& damage) { home_.post([this, damage] { note_damage(damage); }); });
  slot.store(made, std::memory_order_release);
  return *made;
}

// Keeps the extents of these segments from being deleted: while one of them is sent, the others must stay, too.
class ExtentBlob::Using {
 public:
  Using(std::array<std::atomic<uint32_t>, kUsedExtents>& counts, std::vector<Location> segments)
      : counts_(counts), segments_(std::move(segments)) {
    for (const Location& segment : segments_) ++counts_[segment.extent % kUsedExtents];
  }
  Using(const Using&) = delete;
  ~Using() {
    for (const Location& segment : segments_) --counts_[segment.extent % kUsedExtents];
  }
  const std::vector<Location>& segments() const { return segments_; }

 private:
  std::array<std::atomic<uint32_t>, kUsedExtents>& counts_;
  const std::vector<Location> segments_;
};

std::shared_ptr<const void> ExtentBlob::hold(const Receipt& receipt) {
  auto parts = split_segments(receipt.location, receipt.size_bytes, Erasure::kUnitsMax);
  if (!parts) return nullptr;  // names nothing that could be kept
  return std::make_shared<Using>(gets_running_, std::move(*parts));
}

std::shared_ptr<const void> ExtentBlob::hold_all() {
  ++holds_all_;
  return std::shared_ptr<const void>(&holds_all_, [this](const void*) { --holds_all_; });
}

Task<Result<void>> ExtentBlob::get(const Receipt& receipt, Range range, ByteSink& sink) {
  ++gets_;
  const Using in_use(gets_running_, CO_TRY(split_segments(receipt.location, receipt.size_bytes, Erasure::kUnitsMax)));
  if (range.offset > receipt.size_bytes || range.size > receipt.size_bytes - range.offset) {
    co_return fail(Code::kOutOfRange, "range " + std::to_string(range.offset) + "+" + std::to_string(range.size) +
                                          " lies outside of a blob of " + std::to_string(receipt.size_bytes) +
                                          " bytes");
  }
  for (const Location& segment : in_use.segments()) {
    if (range.size == 0) break;
    if (range.offset >= segment.length) {
      range.offset -= segment.length;
      continue;
    }
    const uint64_t size = std::min(range.size, segment.length - range.offset);
    CO_TRY(co_await get_segment(segment, {range.offset, size}, sink));
    range.offset = 0;
    range.size -= size;
  }
  co_return {};
}

Task<Result<void>> ExtentBlob::get_segment(const Location& segment, Range range, ByteSink& sink) {
  const auto placement = placements_.find(segment.extent);
  if (!placement) {
    co_return fail(drives_->readable() == drives_->all() ? Code::kCorrupt : Code::kUnavailable,
                   "extent " + extent_file_name(segment.extent) + " lies on no drive that is there");
  }
  const unsigned k = placement->scheme.data_units;
  if (segment.kind == RowKind::kSpread) co_return co_await get_spread(segment, k, range, sink);
  if (segment.unit >= k) co_return fail(Code::kInvalid, "blob id is malformed: its extent has no such data unit");

  const uint64_t begin = segment.inner + range.offset;
  RowWindow window = part_of_row(segment.extent, segment.packed_row(), begin, begin + range.size);
  CO_TRY(co_await reader().load(window, UnitMask{1} << segment.unit));
  co_return co_await sink.write(window.data(0, segment.unit).subspan(begin - window.first_byte(), range.size));
}

namespace {

// A window of a spread segment and what of it goes to the sink.
struct SpreadPiece {
  RowWindow window;
  UnitMask wanted = 0;
  uint64_t begin = 0, end = 0;  // in the segment
  uint64_t first_row = 0;
};

// The piece that starts at `begin`: up to kRowsMax rows that are wanted whole, or one that is not.
SpreadPiece next_piece(const Location& segment, uint64_t begin, uint64_t end, unsigned k) {
  const uint64_t full = row_bytes(k);
  SpreadPiece piece;
  piece.begin = begin;
  piece.first_row = begin / full;
  auto row_end = [&](uint64_t row) { return std::min(segment.length, (row + 1) * full); };
  auto shape = [&](uint64_t row) { return spread_row(segment.offset, segment.length, row, k); };
  if (begin % full == 0 && row_end(piece.first_row) <= end) {
    std::vector<RowShape> rows;
    uint64_t row = piece.first_row;
    while (rows.size() < RowWindow::kRowsMax && row * full < end && row_end(row) <= end) rows.push_back(shape(row++));
    piece.end = row_end(row - 1);
    piece.window = whole_rows(segment.extent, std::move(rows));
    piece.wanted = (UnitMask{1} << k) - 1;
    return piece;
  }
  piece.end = std::min(end, row_end(piece.first_row));
  const RowShape row = shape(piece.first_row);
  const uint64_t first = piece.begin - piece.first_row * full, last = piece.end - 1 - piece.first_row * full;
  const uint64_t first_unit = first / row.unit_bytes, last_unit = last / row.unit_bytes;
  for (uint64_t unit = first_unit; unit <= last_unit; ++unit) piece.wanted |= UnitMask{1} << unit;
  piece.window = first_unit == last_unit
                     ? part_of_row(segment.extent, row, first % row.unit_bytes, last % row.unit_bytes + 1)
                     : whole_rows(segment.extent, {row});
  return piece;
}

Task<Result<void>> emit(const SpreadPiece& piece, unsigned k, ByteSink& sink) {
  const uint64_t full = row_bytes(k);
  for (size_t i = 0; i < piece.window.rows.size(); ++i) {
    const uint64_t row_begin = (piece.first_row + i) * full;
    const RowShape& shape = piece.window.rows[i];
    for (unsigned unit = 0; unit < k; ++unit) {
      if (!(piece.wanted >> unit & 1)) continue;
      // What the window holds of this unit, in the segment; then what of it was asked for.
      const BytesView bytes = piece.window.data(i, unit);
      const uint64_t at = row_begin + uint64_t{unit} * shape.unit_bytes + piece.window.first_byte();
      const uint64_t begin = std::max(at, piece.begin), end = std::min(at + bytes.size(), piece.end);
      if (begin < end) CO_TRY(co_await sink.write(bytes.subspan(begin - at, end - begin)));
    }
  }
  co_return {};
}

Task<void> load_piece(RowReader* reader, SpreadPiece* piece, Result<void>* outcome) {
  *outcome = co_await reader->load(piece->window, piece->wanted);
}

}  // namespace

Task<Result<void>> ExtentBlob::get_spread(const Location& segment, unsigned k, Range range, ByteSink& sink) {
  const uint64_t end = range.offset + range.size;
  SpreadPiece now = next_piece(segment, range.offset, end, k);
  CO_TRY(co_await reader().load(now.window, now.wanted));
  std::vector<Bytes> spare;  // buffers of the piece before, so that a long get allocates and clears only two sets
  while (now.end < end) {
    SpreadPiece ahead = next_piece(segment, now.end, end, k);
    ahead.window.units = std::move(spare);
    Result<void> loaded;
    io::TaskGroup reading;  // no parent: it fills our buffers
    reading.spawn(load_piece(&reader(), &ahead, &loaded));
    auto written = co_await emit(now, k, sink);
    co_await reading.join();
    CO_TRY(std::move(written));
    CO_TRY(std::move(loaded));
    spare = std::move(now.window.units);
    now = std::move(ahead);
  }
  co_return co_await emit(now, k, sink);
}

// --- the rest

void ExtentBlob::erase(const Receipt& receipt) {
  auto parts = split_segments(receipt.location, receipt.size_bytes, Erasure::kUnitsMax);
  if (!parts || parts->empty()) return;  // a hint: what is malformed names nothing
  home_.post([this, erased = std::move(*parts)] {
    for (const Location& segment : erased) {
      extents_->erased(segment.extent, segment.length);
      live_bytes_ -= std::min<uint64_t>(live_bytes_, segment.length);
    }
  });
}

std::vector<DriveStatus> ExtentBlob::drives() const {
  std::vector<DriveStatus> all;
  for (unsigned i = 0; i < drives_->size(); ++i) all.push_back(drives_->status(i));
  return all;
}

BlobStatistics ExtentBlob::statistics() const {
  BlobStatistics statistics;
  statistics.extents = extents_count_;
  statistics.live_bytes = live_bytes_;
  for (unsigned i = 0; i < drives_->size(); ++i) statistics.stored_bytes += drives_->status(i).used_bytes;
  statistics.puts = puts_;
  statistics.gets = gets_;
  for (const auto& slot : readers_) {
    if (const RowReader* reader = slot.load(std::memory_order_acquire))
      statistics.degraded_reads += reader->degraded_reads();
  }
  statistics.repaired_units = repaired_units_;
  statistics.syncs = syncs_;
  statistics.repair_queue = repair_queue_size_;
  statistics.scrubbed_bytes = scrubbed_bytes_;
  statistics.scrub_errors = scrub_errors_;
  if (const DriveMask readable = drives_->readable(); readable != drives_->all()) {
    placements_.for_each([&](const Placement& placement) {
      const int left = std::popcount(placement.units_on(readable));
      statistics.reduced_extents += left < static_cast<int>(placement.units());
      // What never had so many known units is no extent in use: a drive that was away brought it back.
      const int known = std::popcount(placement.units_on(drives_->all()));
      statistics.unreadable_extents +=
          left < int{placement.scheme.data_units} && known >= int{placement.scheme.data_units};
    });
  }
  return statistics;
}

Task<Result<void>> ExtentBlob::set_drive(unsigned index, DriveState state) {
  return io::on(home_, [this, index, state] { return set_drive_here(index, state); });
}
Task<Result<unsigned>> ExtentBlob::add_drive(std::string path) {
  return io::on(home_, [this, path = std::move(path)]() mutable { return add_drive_here(std::move(path)); });
}
Task<Result<RepairReport>> ExtentBlob::scrub(Progress progress) {
  return io::on(home_, [this, progress = std::move(progress)]() mutable { return scrub_here(&progress); });
}
Task<Result<ScrubSlice>> ExtentBlob::scrub_slice(ScrubPosition from, uint64_t bytes_max) {
  return io::on(home_, [this, from, bytes_max] { return scrub_slice_here(from, bytes_max); });
}
Task<Result<RepairReport>> ExtentBlob::repair(Progress progress) {
  return io::on(home_, [this, progress = std::move(progress)]() mutable { return repair_here(&progress); });
}
Task<Result<uint64_t>> ExtentBlob::compact(Progress progress) {
  return io::on(home_, [this, progress = std::move(progress)]() mutable { return compact_here(&progress); });
}

}  // namespace polis::blob
