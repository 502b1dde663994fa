#include "kernel/blob/row_reader.h"

#include <algorithm>
#include <bit>

#include "kernel/base/crc.h"
#include "kernel/blob/row_encoder.h"
#include "kernel/io/shard.h"

namespace polis::blob {
namespace {

// A header and the first blocks behind it are read by one call when they are this near.
constexpr uint64_t kNearBytes = 16 * 1024;
constexpr size_t kSearchBytes = 256 * 1024;

uint64_t blocks_begin(const RowWindow& window, size_t row) {
  return window.rows[row].unit_offset() + window.first_byte();
}
uint64_t blocks_bytes(const RowWindow& window, size_t row) {
  const RowShape& shape = window.rows[row];
  return std::min<uint64_t>(shape.unit_bytes, uint64_t{window.end_block} * kBlockBytes) - window.first_byte();
}
// Where the row's header and its blocks stand in the buffer of a unit.
size_t header_at_in_buffer(const RowWindow& window, size_t row) {
  return window.rows[row].offset - window.rows[0].offset;
}
size_t blocks_at_in_buffer(const RowWindow& window, size_t row) {
  return header_at_in_buffer(window, row) + window.rows[row].header_bytes;
}

}  // namespace

BytesView RowWindow::data(size_t row, unsigned unit) const {
  return BytesView(units[unit]).subspan(blocks_at_in_buffer(*this, row), blocks_bytes(*this, row));
}

RowWindow whole_rows(uint64_t extent, std::vector<RowShape> rows) {
  POLIS_ASSERT(!rows.empty() && rows.size() <= RowWindow::kRowsMax);
  RowWindow window;
  window.extent = extent;
  window.end_block = kBlocksMax;
  window.state.resize(rows.size());
  window.rows = std::move(rows);
  return window;
}

RowWindow part_of_row(uint64_t extent, RowShape row, uint64_t first_byte, uint64_t end_byte) {
  RowWindow window = whole_rows(extent, {row});
  window.first_block = static_cast<uint32_t>(first_byte / kBlockBytes);
  window.end_block = static_cast<uint32_t>((end_byte + kBlockBytes - 1) / kBlockBytes);
  return window;
}

RowReader::RowReader(io::Disk& disk, DriveSet& drives, const PlacementTable& placements, const Codes& codes,
                     size_t open_files_max, std::function<void(const Damage&)> on_damage)
    : disk_(disk),
      drives_(drives),
      placements_(placements),
      codes_(codes),
      open_files_max_(std::max<size_t>(open_files_max, Erasure::kUnitsMax)),
      on_damage_(std::move(on_damage)) {}

bool RowReader::place(RowWindow& window) const {
  auto placement = placements_.find(window.extent);
  if (placement) window.placement = *placement;
  return placement.has_value();
}

Task<Result<std::shared_ptr<io::File>>> RowReader::open(uint64_t extent, unsigned unit) {
  const std::pair key{extent, unit};
  auto placement = placements_.find(extent);
  while (true) {
    if (!placement || unit >= placement->units() || placement->drives[unit] == Placement::kNowhere)
      co_return fail(Code::kNotFound, "extent " + extent_file_name(extent) + " is not known");
    const unsigned drive = placement->drives[unit];
    const uint32_t generation = drives_.generation(drive);
    if (auto found = files_.find(key); found != files_.end()) {
      if (found->second.drive == drive && found->second.generation == generation) {
        recent_.splice(recent_.begin(), recent_, found->second.recent);
        co_return found->second.file;
      }
      recent_.erase(found->second.recent);
      files_.erase(found);
    }
    auto opened = co_await disk_.open(drives_.unit_path(extent, *placement, unit), io::OpenMode::kRead);
    if (!opened) {
      // It may have moved to another drive a moment ago.
      auto now = placements_.find(extent);
      if (now == placement) co_return fail(std::move(opened).error());
      placement = std::move(now);
      continue;
    }
    std::shared_ptr<io::File> file = std::move(*opened);
    if (files_.contains(key)) co_return file;  // opened twice at once: the other one stays
    while (files_.size() >= open_files_max_) {
      files_.erase(recent_.back());
      recent_.pop_back();
    }
    recent_.push_front(key);
    files_[key] = {file, drive, generation, recent_.begin()};
    co_return file;
  }
}

void RowReader::forget(uint64_t extent) {
  for (auto it = files_.lower_bound({extent, 0}); it != files_.end() && it->first.first == extent;) {
    recent_.erase(it->second.recent);
    it = files_.erase(it);
  }
}

Task<void> RowReader::read_unit(RowWindow* window, unsigned unit) {
  const unsigned drive = window->placement.drives[unit];
  auto file = co_await open(window->extent, unit);
  Result<void> got;
  if (!file)
    got = fail(std::move(file).error());
  else
    got = co_await read_file(window, unit, std::move(*file));
  if (!got && got.error().code() != Code::kNotFound) drives_.count_read_error(drive);
}

// Reads and verifies what the window wants of a unit.
Task<Result<void>> RowReader::read_file(RowWindow* window, unsigned unit, std::shared_ptr<io::File> file) {
  Bytes& buffer = window->units[unit];
  const size_t last = window->rows.size() - 1;
  const size_t span_bytes = blocks_at_in_buffer(*window, last) + blocks_bytes(*window, last);
  if (buffer.size() < span_bytes) buffer.resize(span_bytes);

  Result<size_t> got = size_t{0};
  uint64_t header_got = 0, blocks_got = 0;  // of a single row read in two pieces
  const bool in_one = window->first_byte() <= kNearBytes;
  if (in_one) {
    // Header, the blocks before the wanted ones, the wanted ones: read in place, then moved to where blocks stand in
    // the buffer.
    const uint64_t all_bytes = blocks_begin(*window, last) + blocks_bytes(*window, last) - window->rows[0].offset;
    if (buffer.size() < all_bytes) buffer.resize(all_bytes);
    got = co_await file->read_at(window->rows[0].offset, MutableBytes(buffer).first(all_bytes));
    if (got && window->first_block > 0 && *got == all_bytes) {
      std::memmove(buffer.data() + window->rows[0].header_bytes,
                   buffer.data() + window->rows[0].header_bytes + window->first_byte(), blocks_bytes(*window, 0));
    } else if (got && window->first_block > 0) {
      *got = 0;
    }
    if (got && *got == all_bytes) *got = span_bytes;
  } else {
    const uint32_t header_bytes = window->rows[0].header_bytes;
    got = co_await file->read_at(window->rows[0].offset, MutableBytes(buffer).first(header_bytes));
    if (got) {
      header_got = *got;
      got = co_await file->read_at(blocks_begin(*window, 0),
                                   MutableBytes(buffer).subspan(header_bytes, blocks_bytes(*window, 0)));
    }
    if (got) {
      blocks_got = *got;
      *got = header_got == header_bytes ? header_got + blocks_got : 0;
    }
  }
  if (!got) co_return fail(std::move(got).error());
  for (size_t row = 0; row < window->rows.size(); ++row) {
    const size_t blocks_at = blocks_at_in_buffer(*window, row);
    const size_t bytes = blocks_bytes(*window, row);
    if (blocks_at + bytes > *got) break;  // the file ends before
    verify(*window, unit, row,
           BytesView(buffer).subspan(header_at_in_buffer(*window, row), window->rows[row].header_bytes),
           BytesView(buffer).subspan(blocks_at, bytes));
  }
  co_return {};
}

void RowReader::verify(RowWindow& window, unsigned unit, size_t row, BytesView header_bytes, BytesView blocks) {
  const RowShape& shape = window.rows[row];
  RowWindow::Row& state = window.state[row];
  auto header = decode_row_header(header_bytes, extent_nonce(drives_.pool(), window.extent), shape.offset);
  if (!header || header->unit != unit || header->shape.header_bytes != shape.header_bytes ||
      header->shape.unit_bytes != shape.unit_bytes || header->data_units != window.placement.scheme.data_units ||
      header->parity_units != window.placement.scheme.parity_units) {
    return;
  }
  state.written = header->written;
  uint64_t bad = 0;
  for (uint32_t block = window.first_block; block < std::min(window.end_block, shape.blocks()); ++block) {
    const uint64_t at = (block - window.first_block) * uint64_t{kBlockBytes};
    if (base::crc32c(blocks.subspan(at, shape.block_bytes(block))) != header->block_crcs[block]) ++bad;
  }
  if (bad) {
    drives_.count_corrupt_blocks(window.placement.drives[unit], bad);
  } else {
    state.verified |= UnitMask{1} << unit;
    state.sound |= UnitMask{1} << unit;
  }
  if (!state.header) state.header = std::move(*header);
}

Task<void> RowReader::read_units(RowWindow& window, UnitMask units) {
  window.units.resize(window.placement.units());
  if (std::popcount(units) == 1) {
    co_await read_unit(&window, static_cast<unsigned>(std::countr_zero(units)));
    co_return;
  }
  io::TaskGroup group;  // no parent: the buffers are the window's, so what began must end
  for (unsigned unit = 0; unit < window.placement.units(); ++unit) {
    if (units >> unit & 1) group.spawn(read_unit(&window, unit));
  }
  co_await group.join();
}

UnitMask RowReader::zeros(const RowWindow& window, const RowWindow::Row& row) {
  return row.written ? window.placement.all() & ~row.written : 0;
}

void RowReader::find_damage(RowWindow& window, UnitMask tried) const {
  // A drive that went out meanwhile is repaired as a whole.
  tried &= readable(window.placement);
  for (auto& row : window.state) row.damaged = tried & ~row.verified & (row.written ? row.written : ~UnitMask{0});
}

Result<void> RowReader::rebuild(RowWindow& window, size_t row, UnitMask wanted) {
  RowWindow::Row& state = window.state[row];
  const Scheme scheme = window.placement.scheme;
  const unsigned all_units = scheme.units();
  const UnitMask known_zero = zeros(window, state);
  const UnitMask sound = state.sound | known_zero;
  wanted &= ~state.sound;
  if (!wanted) return {};
  if (std::popcount(sound) < static_cast<int>(scheme.data_units)) {
    return fail(Code::kCorrupt, "extent " + extent_file_name(window.extent) + " row at " +
                                    std::to_string(window.rows[row].offset) + ": only " +
                                    std::to_string(std::popcount(sound)) + " sound units are left, " +
                                    std::to_string(scheme.data_units) + " are needed");
  }
  window.units.resize(all_units);
  const size_t at = blocks_at_in_buffer(window, row), bytes = blocks_bytes(window, row);
  std::array<std::byte*, Erasure::kUnitsMax> pointers{};
  for (unsigned unit = 0; unit < all_units; ++unit) {
    if (known_zero >> unit & 1 && !(wanted >> unit & 1)) {
      pointers[unit] = const_cast<std::byte*>(zero_unit());  // only read
      continue;
    }
    if (!((state.sound | wanted) >> unit & 1)) continue;
    if (window.units[unit].size() < at + bytes) window.units[unit].resize(at + bytes);
    pointers[unit] = window.units[unit].data() + at;
  }
  // Units that were never written need no decoding.
  for (unsigned unit = 0; unit < all_units; ++unit) {
    if (wanted & known_zero & (UnitMask{1} << unit)) std::memset(pointers[unit], 0, bytes);
  }
  auto decoder = decoders_.find({scheme.data_units, scheme.parity_units});
  if (decoder == decoders_.end()) {
    decoder = decoders_.emplace(std::pair(scheme.data_units, scheme.parity_units), codes_.of(scheme)).first;
  }
  decoder->second.decode(bytes, sound & ~(wanted & ~known_zero), wanted & ~known_zero,
                         std::span(pointers).first(all_units));
  state.sound |= wanted;
  return {};
}

Task<void> RowReader::probe(RowWindow& window) {
  if (!place(window)) co_return;
  const UnitMask units = readable(window.placement);
  co_await read_units(window, units);
  find_damage(window, units);
}

Task<void> RowReader::probe_file(RowWindow& window, unsigned unit, std::string path) {
  auto file = co_await disk_.open(std::move(path), io::OpenMode::kRead);
  if (file) (void)co_await read_file(&window, unit, std::move(*file));
}

Task<Result<void>> RowReader::load(RowWindow& window, UnitMask wanted) {
  if (!place(window)) {
    co_return fail(drives_.readable() == drives_.all() ? Code::kCorrupt : Code::kUnavailable,
                   "extent " + extent_file_name(window.extent) + " lies on no drive that is there");
  }
  const Placement& placement = window.placement;
  const int k = static_cast<int>(placement.scheme.data_units);
  const UnitMask there = readable(placement);
  if (wanted & ~placement.all()) co_return fail(Code::kInvalid, "the blob's unit does not exist in its extent");
  UnitMask tried = wanted & there;
  if (tried) co_await read_units(window, tried);
  bool degraded = false;
  while (true) {
    int lacking = 0;  // sound units that the worst row still needs
    bool incomplete = false;
    for (auto& row : window.state) {
      const UnitMask have = row.sound | zeros(window, row);
      if ((wanted & ~row.sound) == 0) continue;
      incomplete = true;
      lacking = std::max(lacking, k - std::popcount(have));
    }
    if (!incomplete) break;
    degraded = true;
    if (lacking > 0) {
      UnitMask more = 0;
      // Parity first: every row has it, and its header tells which data units were never written.
      for (unsigned i = 0; i < placement.units() && std::popcount(more) < lacking; ++i) {
        const unsigned unit = (i + placement.scheme.data_units) % placement.units();
        if ((there & ~tried) >> unit & 1) more |= UnitMask{1} << unit;
      }
      if (more == 0) break;
      co_await read_units(window, more);
      tried |= more;
      continue;
    }
    for (size_t row = 0; row < window.rows.size(); ++row) CO_TRY(rebuild(window, row, wanted));
    break;
  }
  if (!degraded) co_return {};
  ++degraded_reads_;
  find_damage(window, tried);
  for (size_t i = 0; i < window.rows.size(); ++i) {
    if (window.state[i].damaged) on_damage_({window.extent, window.rows[i], window.state[i].damaged});
  }
  Result<void> outcome;
  for (size_t i = 0; i < window.rows.size(); ++i) {
    auto& row = window.state[i];
    if (wanted & ~row.sound) {
      const int out = std::popcount(placement.all() & ~readable(placement));
      outcome =
          fail(out > 0 ? Code::kUnavailable : Code::kCorrupt,
               "extent " + extent_file_name(window.extent) + " row at " + std::to_string(window.rows[i].offset) + ": " +
                   std::to_string(std::popcount(row.sound | zeros(window, row))) + " sound units are left, " +
                   std::to_string(k) + " are needed; " + std::to_string(out) + " of its drives are out");
    }
  }
  co_return outcome;
}

Task<Result<std::optional<RowHeader>>> RowReader::header_at(uint64_t extent, uint64_t offset) {
  const uint64_t nonce = extent_nonce(drives_.pool(), extent);
  const auto placement = placements_.find(extent);
  if (!placement) co_return std::nullopt;
  Bytes buffer(kHeaderBytesMax);
  for (unsigned i = 0; i < placement->units(); ++i) {
    const unsigned unit = (i + placement->scheme.data_units) % placement->units();
    if (!(readable(*placement) >> unit & 1)) continue;
    auto file = co_await open(extent, unit);
    if (!file) {
      count_failure(file.error());
      continue;
    }
    auto got = co_await (*file)->read_at(offset, buffer);
    if (!got) {
      count_failure(got.error());
      drives_.count_read_error(placement->drives[unit]);
      continue;
    }
    if (auto header = decode_row_header(BytesView(buffer).first(*got), nonce, offset)) co_return std::move(*header);
  }
  co_return std::nullopt;
}

Task<Result<std::optional<uint64_t>>> RowReader::find_row(uint64_t extent, uint64_t from, uint64_t end) {
  const uint64_t nonce = extent_nonce(drives_.pool(), extent);
  const auto placement = placements_.find(extent);
  if (!placement) co_return std::nullopt;
  from = align_up(from, kAlignBytes);
  Bytes buffer(kSearchBytes + kHeaderBytesMax);
  for (uint64_t at = from; at < end; at += kSearchBytes) {
    std::optional<uint64_t> nearest;
    for (unsigned unit = 0; unit < placement->units(); ++unit) {
      if (!(readable(*placement) >> unit & 1)) continue;
      auto file = co_await open(extent, unit);
      if (!file) {
        count_failure(file.error());
        continue;
      }
      auto got = co_await (*file)->read_at(at, buffer);
      if (!got) {
        count_failure(got.error());
        continue;
      }
      for (uint64_t step = 0; step + kHeaderFixedBytes <= *got && step < kSearchBytes; step += kAlignBytes) {
        if (nearest && at + step >= *nearest) break;
        const BytesView here = BytesView(buffer).subspan(step, *got - step);
        if (!peek_row_header(here, nonce, at + step)) continue;
        if (decode_row_header(here, nonce, at + step)) nearest = at + step;
      }
      co_await io::yield();
    }
    if (nearest) co_return nearest;
  }
  co_return std::nullopt;
}

}  // namespace polis::blob
