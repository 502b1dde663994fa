// How bytes come in. Small blobs of all shards meet in one queue on the home shard and share rows, writes and syncs;
// large ones are encoded where they arrive, half a MiB at a time, and the next half MiB is read while one is written.
#include <algorithm>

#include "kernel/blob/extent_blob.h"
#include "kernel/blob/packing.h"
#include "kernel/blob/row_encoder.h"
#include "kernel/io/shard.h"

namespace polis::blob {
namespace {

// Rows of a large put that are encoded and written together: 2 x 256 KiB of payload.
constexpr uint64_t kChunkRows = 2;
// One round of small puts: 1 MiB, as the spec's group commit; about 200 µs of CPU.
constexpr uint64_t kBatchBytesMax = 1 << 20;
constexpr size_t kBatchPutsMax = 1024;
// A blob of unknown size takes room in pieces that double.
constexpr uint64_t kFirstPieceRows = 64;      // 16 MiB
constexpr uint64_t kLargestPieceRows = 4096;  // 1 GiB

// Fills `into` from the source; less only at its end.
Task<Result<size_t>> read_all(ByteSource& source, MutableBytes into) {
  size_t done = 0;
  while (done < into.size()) {
    const size_t got = CO_TRY(co_await source.read(into.subspan(done)));
    if (got == 0) break;
    if (got > into.size() - done)
      co_return fail(Code::kInvalid, "a byte source returned more bytes than it was asked for");
    done += got;
  }
  co_return done;
}

}  // namespace

// A small blob on its way through the home shard. Lives in the frame of its put, which waits for `done` whatever
// happens.
struct ExtentBlob::SmallPut final : io::Job {
  SmallPut(ExtentBlob& b, Scheme s, Bytes p) : blob(b), scheme(s), payload(std::move(p)) {}
  void run() override { blob.enqueue(*this); }

  ExtentBlob& blob;
  const Scheme scheme;
  const Bytes payload;
  Location location;
  io::Completion<Result<void>> done;
};

// Up to kChunkRows rows of a large blob on their way to the drives.
struct ExtentBlob::Chunk {
  Bytes data;        // payload, zero-padded to whole units of the last row
  size_t bytes = 0;  // of payload
  Bytes parity, headers;
  RowWrites writes;
};

Task<Result<Receipt>> ExtentBlob::put(ByteSource& source, uint64_t size_hint, Scheme scheme) {
  if (!offers(scheme)) {
    co_return fail(Code::kInvalid, "blobs of " + std::to_string(scheme.data_units) + "+" +
                                       std::to_string(scheme.parity_units) + " are not offered by a pool of " +
                                       std::to_string(drives_->size()) + " drives");
  }
  if (scheme == Scheme{}) scheme = scheme_;
  ++puts_;
  const uint64_t full = row_bytes(scheme.data_units);
  // One byte more than announced, so that the end is seen without another call.
  const uint64_t head_bytes = std::min(full, size_hint == UINT64_MAX ? full : size_hint + 1);
  // The head and, for a large blob, two chunks with their parity: below 2 MiB for 4+2.
  const uint64_t large_bytes = full + 2 * kChunkRows * row_bytes(scheme.units());
  const bool large = size_hint >= full;
  auto lease = CO_TRY(put_memory_.lease(large ? large_bytes : 3 * head_bytes));

  Bytes head(head_bytes);
  size_t got = CO_TRY(co_await read_all(source, head));
  if (got == head.size() && head.size() < full) {  // more than was announced
    head.resize(full);
    got += CO_TRY(co_await read_all(source, MutableBytes(head).subspan(got)));
  }
  head.resize(got);
  if (got == 0) co_return Receipt{};
  if (got <= kUnitBytesMax) co_return co_await put_small(scheme, std::move(head));
  if (got == full && !large) {
    if (!lease.resize(large_bytes)) {
      co_return fail(Code::kBusy, "too many uploads at once; try later");
    }
  }
  co_return co_await put_large(scheme, source, size_hint == UINT64_MAX ? size_hint : std::max<uint64_t>(size_hint, got),
                               std::move(head));
}

// --- small

Task<Result<Receipt>> ExtentBlob::put_small(Scheme scheme, Bytes payload) {
  SmallPut put(*this, scheme, std::move(payload));
  home_.post(put);
  CO_TRY(co_await put.done);
  co_return Receipt{join_segments({&put.location, 1}), put.payload.size()};
}

void ExtentBlob::enqueue(SmallPut& put) {
  if (closing_) {
    put.done.set(fail(Code::kClosed, "the blob store is closing"));
    return;
  }
  SmallPuts& puts = small_puts_[{put.scheme.data_units, put.scheme.parity_units}];
  puts.waiting.push_back(&put);
  // One round runs at a time and whoever comes meanwhile shares the next: a lone put never waits, a crowd is batched.
  if (!puts.committing) {
    puts.committing = true;
    background_.spawn(commit_small_puts(put.scheme));
  }
}

Task<void> ExtentBlob::commit_small_puts(Scheme scheme) {
  SmallPuts& puts = small_puts_[{scheme.data_units, scheme.parity_units}];
  std::deque<SmallPut*>& waiting = puts.waiting;
  while (!waiting.empty()) {
    std::vector<SmallPut*> batch;
    uint64_t bytes = 0;
    while (!waiting.empty() && batch.size() < kBatchPutsMax &&
           (batch.empty() || bytes + waiting.front()->payload.size() <= kBatchBytesMax)) {
      bytes += waiting.front()->payload.size();
      batch.push_back(waiting.front());
      waiting.pop_front();
    }
    auto written = co_await write_small_puts(scheme, batch);
    for (SmallPut* put : batch) put->done.set(written);
  }
  puts.committing = false;
}

Task<Result<void>> ExtentBlob::write_small_puts(Scheme scheme, std::span<SmallPut* const> batch) {
  const unsigned k = scheme.data_units, m = scheme.parity_units;
  const Erasure& erasure = codes_.of(scheme);
  std::vector<uint32_t> sizes;
  for (const SmallPut* put : batch) sizes.push_back(static_cast<uint32_t>(put->payload.size()));
  const std::vector<PlannedRow> rows = plan_rows(sizes, k);

  uint64_t file_bytes = 0, unit_bytes = 0, header_bytes = 0, payload_bytes = 0;
  for (const PlannedRow& row : rows) {
    file_bytes += row.header_bytes + row.unit_bytes;
    unit_bytes += uint64_t{row.unit_bytes} * erasure.units();
    header_bytes += uint64_t{row.header_bytes} * erasure.units();
  }
  for (uint32_t size : sizes) payload_bytes += size;

  const Reservation reservation = CO_TRY(co_await extents_->reserve(scheme, file_bytes));
  Bytes units(unit_bytes), headers;
  headers.reserve(header_bytes);
  RowWrites writes;
  const uint64_t now_ms = wall_ms();
  uint64_t offset = reservation.offset;
  size_t at = 0;
  for (const PlannedRow& row : rows) {
    RowHeader header;
    header.shape = {offset, row.header_bytes, row.unit_bytes};
    header.nonce = reservation.extent->nonce;
    header.kind = RowKind::kPacked;
    header.data_units = static_cast<uint8_t>(k);
    header.parity_units = static_cast<uint8_t>(m);
    header.written = row.data_units | (erasure.all() & ~erasure.all_data());
    header.written_ms = now_ms;
    header.entries = row.entries;
    std::array<const std::byte*, Erasure::kUnitsMax> data{};
    for (unsigned unit = 0; unit < k; ++unit) {
      if (row.data_units >> unit & 1) data[unit] = units.data() + at + uint64_t{unit} * row.unit_bytes;
    }
    for (size_t i = 0; i < row.entries.size(); ++i) {
      const PackedEntry& entry = row.entries[i];
      SmallPut& put = *batch[row.blobs[i]];
      std::ranges::copy(put.payload, units.begin() + static_cast<ptrdiff_t>(at + uint64_t{entry.unit} * row.unit_bytes +
                                                                            entry.inner));
      header.payload_bytes += entry.length;
      put.location = {.kind = RowKind::kPacked,
                      .extent = reservation.extent->id,
                      .offset = offset,
                      .length = entry.length,
                      .unit = entry.unit,
                      .header_bytes = row.header_bytes,
                      .unit_bytes = row.unit_bytes,
                      .inner = entry.inner};
    }
    encode_row(erasure, std::move(header), std::span(data).first(k),
               MutableBytes(units).subspan(at + uint64_t{k} * row.unit_bytes, uint64_t{m} * row.unit_bytes), headers,
               writes);
    at += uint64_t{row.unit_bytes} * erasure.units();
    offset += row.header_bytes + row.unit_bytes;
    co_await io::yield();
  }
  auto written = co_await extents_->write(*reservation.extent, writes);
  if (written) written = co_await extents_->commit(*reservation.extent);
  // The room counts as used even when the write failed: a place is written at most once, so that generations never mix.
  extents_->release(reservation, reservation.bytes, written ? payload_bytes : 0);
  syncs_ = extents_->syncs();
  live_bytes_ += written ? payload_bytes : 0;
  co_return written;
}

// --- large

Task<Result<Reservation>> ExtentBlob::reserve(Scheme scheme, uint64_t bytes) {
  return io::on(home_, [this, scheme, bytes] { return extents_->reserve(scheme, bytes); });
}

Task<Result<void>> ExtentBlob::commit(OpenExtent* extent) {
  return io::on(home_, [this, extent] { return extents_->commit(*extent); });
}

// Posted, so that it happens even when the put was cancelled.
void ExtentBlob::release(Reservation reservation, uint64_t used_bytes, uint64_t payload_bytes) {
  home_.post([this, reservation, used_bytes, payload_bytes] {
    extents_->extents().at(reservation.extent->id).released_ms = wall_ms();
    extents_->release(reservation, used_bytes, payload_bytes);
    live_bytes_ += payload_bytes;
    syncs_ = extents_->syncs();
  });
}

Task<Result<Receipt>> ExtentBlob::put_large(Scheme scheme, ByteSource& source, uint64_t size_hint, Bytes head) {
  std::vector<Location> segments;
  auto streamed = co_await stream(scheme, source, size_hint, std::move(head), segments);
  if (!streamed) co_return fail(std::move(streamed).error());
  Receipt receipt{join_segments(segments), 0};
  for (const Location& segment : segments) receipt.size_bytes += segment.length;
  co_return receipt;
}

void ExtentBlob::encode_chunk(Scheme scheme, Chunk& chunk, const Reservation& reservation, uint64_t row_offset,
                              uint32_t ordinal, uint64_t segment_bytes) {
  const unsigned k = scheme.data_units, m = scheme.parity_units;
  const Erasure& erasure = codes_.of(scheme);
  const uint64_t full = row_bytes(k);
  chunk.writes.clear();
  chunk.headers.clear();
  chunk.headers.reserve(kChunkRows * erasure.units() * spread_header_bytes(kUnitBytesMax));
  chunk.parity.resize(kChunkRows * row_bytes(m));
  const uint64_t now_ms = wall_ms();
  for (uint64_t at = 0, row = 0; at < chunk.bytes; at += full, ++row) {
    const uint64_t payload = std::min(full, chunk.bytes - at);
    const uint32_t unit_bytes = spread_unit_bytes(payload, k);
    std::fill_n(chunk.data.begin() + static_cast<ptrdiff_t>(at + payload), uint64_t{unit_bytes} * k - payload,
                std::byte{0});
    RowHeader header;
    header.shape = {row_offset + row * kFullRowStride, spread_header_bytes(unit_bytes), unit_bytes};
    header.nonce = reservation.extent->nonce;
    header.kind = RowKind::kSpread;
    header.data_units = static_cast<uint8_t>(k);
    header.parity_units = static_cast<uint8_t>(m);
    header.written = erasure.all();
    header.written_ms = now_ms;
    header.payload_bytes = static_cast<uint32_t>(payload);
    header.ordinal = ordinal + static_cast<uint32_t>(row);
    header.segment_bytes = segment_bytes;
    std::array<const std::byte*, Erasure::kUnitsMax> data{};
    for (unsigned unit = 0; unit < k; ++unit) data[unit] = chunk.data.data() + at + uint64_t{unit} * unit_bytes;
    encode_row(erasure, std::move(header), std::span(data).first(k),
               MutableBytes(chunk.parity).subspan(row * row_bytes(m), row_bytes(m)), chunk.headers, chunk.writes);
  }
}

Task<void> ExtentBlob::write_chunk(Chunk* chunk, OpenExtent* extent, Result<void>* outcome) {
  *outcome = co_await io::on(home_, [this, chunk, extent] { return extents_->write(*extent, chunk->writes); });
}

// Reads the source to its end and appends what was written to `segments`; after an error these hold no sound blob.
Task<Result<void>> ExtentBlob::stream(Scheme scheme, ByteSource& source, uint64_t size_hint, Bytes head,
                                      std::vector<Location>& segments) {
  const uint64_t full = row_bytes(scheme.data_units);
  const uint64_t chunk_bytes = kChunkRows * full;
  const bool known = size_hint != UINT64_MAX;

  Chunk chunks[2];  // one is being written while the other is read
  unsigned next = 0;
  uint64_t announced_left = size_hint;  // meaningful when known
  uint64_t piece_rows = kFirstPieceRows;

  Chunk* ready = &chunks[next++ % 2];
  ready->data.resize(head.size() < full ? align_up(head.size() + Erasure::kUnitsMax * kAlignBytes, kAlignBytes)
                                        : chunk_bytes);
  std::ranges::copy(head, ready->data.begin());
  ready->bytes = head.size();
  bool ended = head.size() < full;
  head = {};
  if (!ended) {
    ready->bytes += CO_TRY(co_await read_all(source, MutableBytes(ready->data).subspan(full, chunk_bytes - full)));
    ended = ready->bytes < chunk_bytes;
  }

  io::TaskGroup writing;  // no parent: what was handed over finishes, and the buffers are ours
  Result<void> written;
  Reservation reservation;
  uint64_t segment_used = 0;  // bytes of the reservation that were written or tried
  uint64_t segment_payload = 0;
  uint64_t segment_announced = 0;
  std::vector<Reservation> held;  // of finished segments, kept until the commit
  std::vector<std::pair<uint64_t, uint64_t>> held_used;
  Result<void> outcome;

  while (ready->bytes > 0) {
    // Room for this chunk.
    const uint64_t rows = spread_rows(ready->bytes, scheme.data_units);
    const uint64_t need = spread_file_bytes(ready->bytes, scheme.data_units);
    bool fresh = !reservation.extent || segment_payload + ready->bytes > kSegmentBytesMax;
    if (!fresh && segment_used + need > reservation.bytes) {
      const uint64_t more = known ? need : piece_rows * kFullRowStride;
      auto extended = co_await io::on(
          home_, [this, &reservation, more]() -> Task<Result<bool>> { co_return extents_->extend(reservation, more); });
      if (!extended) {  // no early return: the chunk before is still being written
        outcome = fail(std::move(extended).error());
        break;
      }
      fresh = !*extended;
      piece_rows = std::min(piece_rows * 2, kLargestPieceRows);
    }
    if (fresh) {
      if (reservation.extent) {
        held.push_back(reservation);
        held_used.emplace_back(segment_used, segment_payload);
        reservation = {};
      }
      uint64_t want = std::max(rows, ended ? rows : piece_rows) * kFullRowStride;
      segment_announced = 0;
      if (ended) {
        want = need;
        segment_announced = ready->bytes;
      } else if (known && announced_left >= ready->bytes) {
        // Whole chunks, unless all that is left fits: then the blob stays in one segment, which compaction counts on.
        segment_announced =
            announced_left <= kSegmentBytesMax ? announced_left : kSegmentBytesMax / chunk_bytes * chunk_bytes;
        want = spread_file_bytes(segment_announced, scheme.data_units);
      }
      auto reserved = co_await reserve(scheme, want);
      if (!reserved) {
        outcome = fail(std::move(reserved).error());
        break;
      }
      reservation = *reserved;
      segment_used = segment_payload = 0;
    }

    co_await writing.join();
    if (!written) break;
    if (segment_payload == 0) {
      segments.push_back(
          {.kind = RowKind::kSpread, .extent = reservation.extent->id, .offset = reservation.offset, .length = 0});
    }
    encode_chunk(scheme, *ready, reservation, reservation.offset + segment_used,
                 static_cast<uint32_t>(segment_payload / full), segment_announced);
    co_await io::yield();
    segment_used += need;
    segment_payload += ready->bytes;
    segments.back().length += ready->bytes;
    if (known) announced_left -= std::min(announced_left, ready->bytes);
    writing.spawn(write_chunk(ready, reservation.extent, &written));

    ready = &chunks[next++ % 2];
    ready->bytes = 0;
    if (!ended) {
      if (ready->data.empty()) ready->data.resize(chunk_bytes);
      auto got = co_await read_all(source, ready->data);
      if (!got) {
        outcome = fail(std::move(got).error());
        break;
      }
      ready->bytes = *got;
      ended = *got < chunk_bytes;
    }
  }
  co_await writing.join();
  if (outcome && !written) outcome = written;
  if (reservation.extent) {
    held.push_back(reservation);
    held_used.emplace_back(segment_used, segment_payload);
  }
  OpenExtent* synced = nullptr;
  for (const Reservation& part : held) {
    if (!outcome) break;
    if (part.extent != synced) outcome = co_await commit(part.extent);
    synced = part.extent;
  }
  for (size_t i = 0; i < held.size(); ++i) release(held[i], held_used[i].first, outcome ? held_used[i].second : 0);
  co_return outcome;
}

}  // namespace polis::blob
