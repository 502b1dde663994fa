// ChunkedLog: an append-only array of fixed-size rows without end, with an index from the values of chosen fields to
// the rows that carry them. Rows are numbered by slots from 0 in the order of append, which is the order of time.
//
//     [chunk 0 .. k-1: rows + field index, in the ChunkStore] [tail chunk: rows in memory; a small index (run) for
//     every
//      rows_per_run of them; the last, unfinished run is scanned]
//
// Sealing a run sorts rows_per_run values a field; sealing a chunk merges its runs and hands it over. Cost of append:
// a copy, and O(log) amortised sorting. A search walks chunks in time order and touches, in each, only the values asked
// for, intersecting the fields; it costs the rows found plus a binary search a chunk. Lives on the engine's shard.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/ledger/storage/chunk_store.h"

namespace polis::ledger {

// One value of one field. Fields are small numbers that the log's owner chooses; values are hashed to 64 bits by him:
// different values may collide, so a search always compares the row itself too.
struct FieldValue {
  uint8_t field = 0;
  uint64_t value = 0;
};

struct ChunkedLogOptions {
  std::string name;          // in the ChunkStore
  uint32_t row_bytes = 128;  // 8 .. 128
  uint32_t rows_per_chunk = 1 << 20;
  uint32_t rows_per_run = 1 << 15;
  uint8_t fields = 0;  // of the index; 0: none
  // The values of a row, at most `fields`, into `values`; returns how many. Pure.
  size_t (*index)(const std::byte* row, FieldValue* values) = nullptr;
  // A hash a row that is stored in its own column of the chunk, so that an id index is rebuilt without reading rows;
  // null: none.
  uint64_t (*key)(const std::byte* row) = nullptr;
};

class ChunkedLog {
 public:
  // `chunks` null keeps everything in memory.
  ChunkedLog(ChunkedLogOptions options, ChunkStore* chunks);
  ~ChunkedLog();

  uint64_t size() const;
  // Row bytes; valid until the next seal(). An old row may be read from disk.
  const std::byte* row(uint64_t slot) const;
  void prefetch(uint64_t slot) const;
  uint64_t append(const std::byte* row);
  // Back to `size`, not below what was sealed: undo inside a command.
  void truncate(uint64_t size);
  // Between commands: makes runs and chunks of what is complete.
  void seal();

  // Calls visit(slot, row) for rows in [begin, end) that carry ALL values, ascending or descending, until it answers
  // false. No values: all rows. Rows may be visited that merely collide: compare.
  void search(std::span<const FieldValue> all, uint64_t begin, uint64_t end, bool descending,
              const std::function<bool(uint64_t slot, const std::byte* row)>& visit) const;
  // The same for rows that carry any of `either` (at most 2: both sides of a transfer) and all of `all`; each row once.
  void search(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin, uint64_t end,
              bool descending, const std::function<bool(uint64_t slot, const std::byte* row)>& visit) const;
  // The first slot in [0, size()] whose row is not before, by binary search; before() is true for a prefix of the log.
  uint64_t lower_bound(const std::function<bool(const std::byte* row)>& before) const;

  // --- snapshots: what full chunks do not hold. The state at construction, while appends go on (rows never change).
  class Saver {
   public:
    explicit Saver(const ChunkedLog& log);
    // Appends the next part, at most `size_bytes_max`; false when there is none left.
    bool next(base::Writer& piece, size_t size_bytes_max);

   private:
    const ChunkedLog& log_;
    uint64_t size_, next_;
    bool first_ = true;
  };
  // The parts in order, into an empty log whose chunks are in the ChunkStore. kCorrupt if chunks are missing.
  Result<void> load(base::Reader& part);
  // Once all parts are in: rebuilds the runs of the tail, and calls key(slot, hash) for every row that has one.
  Result<void> finish_load(const std::function<void(uint64_t slot, uint64_t hash)>& key);

  uint64_t memory_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polis::ledger
