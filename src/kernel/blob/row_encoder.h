// From payload to what each file gets: parity, checksums and headers, then runs of bytes to write. CPU only, about 100
// µs for half a MiB; callers yield between rows.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "kernel/blob/layout.h"
#include "kernel/blob/packing.h"

namespace polis::blob {

// What one file gets: pieces that lie behind one another in a run are written by one call.
struct UnitRun {
  uint64_t offset = 0;
  uint64_t end = 0;
  std::vector<BytesView> parts;
};
struct RowWrites {
  std::array<std::vector<UnitRun>, Erasure::kUnitsMax> units;
  void add(unsigned unit, uint64_t offset, BytesView part);
  void clear();
};

// Encodes one row and adds it to `writes`. `base` says everything but unit and block_crcs, which are filled in here.
// data[i] is the unit's bytes, null where base.written lacks it; `parity` has room for the parity units in a row.
// Headers are appended to `headers`, which must have capacity for them: the writes refer to it.
void encode_row(const Erasure& erasure, RowHeader base, std::span<const std::byte* const> data, MutableBytes parity,
                Bytes& headers, RowWrites& writes);

// A kUnitBytesMax of zeros.
const std::byte* zero_unit();

}  // namespace polis::blob
