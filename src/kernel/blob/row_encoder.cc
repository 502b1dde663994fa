#include "kernel/blob/row_encoder.h"

namespace polis::blob {

const std::byte* zero_unit() {
  alignas(64) static constexpr std::byte kZeros[kUnitBytesMax] = {};
  return kZeros;
}

void RowWrites::add(unsigned unit, uint64_t offset, BytesView part) {
  auto& runs = units[unit];
  if (runs.empty() || runs.back().end != offset) runs.push_back({offset, offset, {}});
  runs.back().parts.push_back(part);
  runs.back().end += part.size();
}

void RowWrites::clear() {
  for (auto& runs : units) runs.clear();
}

void encode_row(const Erasure& erasure, RowHeader base, std::span<const std::byte* const> data, MutableBytes parity,
                Bytes& headers, RowWrites& writes) {
  const unsigned k = erasure.data_units(), m = erasure.parity_units();
  const uint32_t unit_bytes = base.shape.unit_bytes, header_bytes = base.shape.header_bytes;
  POLIS_ASSERT(data.size() == k && parity.size() >= size_t{m} * unit_bytes);
  POLIS_ASSERT(headers.capacity() - headers.size() >= size_t{erasure.units()} * header_bytes);

  std::array<const std::byte*, Erasure::kUnitsMax> in{};
  std::array<std::byte*, Erasure::kUnitsMax> out{};
  for (unsigned i = 0; i < k; ++i) in[i] = data[i] ? data[i] : zero_unit();
  for (unsigned i = 0; i < m; ++i) out[i] = parity.data() + size_t{i} * unit_bytes;
  erasure.encode(unit_bytes, std::span(in).first(k), std::span(out).first(m));

  for (unsigned unit = 0; unit < erasure.units(); ++unit) {
    if (!(base.written >> unit & 1)) continue;
    const BytesView bytes{unit < k ? in[unit] : out[unit - k], unit_bytes};
    base.unit = static_cast<uint8_t>(unit);
    base.block_crcs = block_crcs(bytes);
    const size_t at = headers.size();
    headers.resize(at + header_bytes);
    const MutableBytes header = MutableBytes(headers).subspan(at, header_bytes);
    encode_row_header(base, header);
    writes.add(unit, base.shape.offset, header);
    writes.add(unit, base.shape.unit_offset(), bytes);
  }
}

}  // namespace polis::blob
