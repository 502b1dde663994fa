#include "kernel/blob/packing.h"

#include <algorithm>
#include <numeric>

namespace polis::blob {
namespace {

struct Bin {
  uint32_t filled = 0;
  std::vector<size_t> blobs;
};

// Blobs into `count` bins, or false when they do not fit.
bool fill(std::span<const uint32_t> sizes, std::span<const size_t> order, size_t entries_max, std::vector<Bin>& bins) {
  for (size_t blob : order) {
    Bin* best = nullptr;
    for (Bin& bin : bins) {
      if (bin.filled + sizes[blob] > kUnitBytesMax || bin.blobs.size() >= entries_max) continue;
      if (!best || bin.filled < best->filled) best = &bin;
    }
    if (!best) return false;
    best->filled += sizes[blob];
    best->blobs.push_back(blob);
  }
  return true;
}

}  // namespace

std::vector<PlannedRow> plan_rows(std::span<const uint32_t> sizes, unsigned data_units) {
  std::vector<PlannedRow> rows;
  if (sizes.empty()) return rows;
  uint64_t total = 0;
  for (uint32_t size : sizes) {
    POLIS_ASSERT(size >= 1 && size <= kUnitBytesMax);
    total += size;
  }
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) { return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b; });

  std::vector<Bin> bins;
  const size_t entries_max = kEntriesMax / data_units;
  for (size_t count = (total + row_bytes(data_units) - 1) / row_bytes(data_units);; ++count) {
    bins.assign(std::min(count * data_units, sizes.size()), {});
    if (fill(sizes, order, entries_max, bins)) break;
  }
  // Units of like fill share a row.
  std::ranges::sort(
      bins, [](const Bin& a, const Bin& b) { return a.filled != b.filled ? a.filled > b.filled : a.blobs < b.blobs; });
  for (size_t first = 0; first < bins.size(); first += data_units) {
    PlannedRow row;
    row.unit_bytes = static_cast<uint32_t>(align_up(bins[first].filled, kAlignBytes));
    for (size_t i = first; i < std::min(bins.size(), first + data_units); ++i) {
      uint32_t inner = 0;
      for (size_t blob : bins[i].blobs) {
        row.entries.push_back({static_cast<uint8_t>(i - first), inner, sizes[blob]});
        row.blobs.push_back(blob);
        inner += sizes[blob];
      }
      if (inner) row.data_units |= UnitMask{1} << (i - first);
    }
    if (row.blobs.empty()) break;
    row.header_bytes = packed_header_bytes(row.unit_bytes, row.entries);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace polis::blob
