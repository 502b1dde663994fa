// Packing: which small blob of one commit goes where. Each lies whole inside one data unit, so that reading it touches
// one drive; the units of a row are filled evenly, because parity is as long as the fullest. Pure.
#pragma once

#include <span>
#include <vector>

#include "kernel/blob/layout.h"

namespace polis::blob {

struct PlannedRow {
  uint32_t header_bytes = 0;
  uint32_t unit_bytes = 0;
  UnitMask data_units = 0;  // those that hold anything
  std::vector<PackedEntry> entries;
  std::vector<size_t> blobs;  // blobs[i] is the index of the blob of entries[i]
};

// Every size is 1..kUnitBytesMax. Largest first, each into the emptiest unit: fill differs by at most one blob, and the
// waste of full rows stays below the smallest blob.
std::vector<PlannedRow> plan_rows(std::span<const uint32_t> sizes, unsigned data_units);

}  // namespace polis::blob
