// ChunkedLog: an append-only array of fixed-size rows without end, with an index from the values of chosen fields to
// the rows that carry them. Rows are numbered by slots from 0 in the order of append, which is the order of time.
//
//     [chunk 0 .. k-1: rows + field index, in the ChunkStore] [tail: rows in memory; a small index (run) for every
//      rows_per_run of them; the last, unfinished run is scanned]
//
// Sealing a run sorts its fields' values; a full chunk is handed to the ChunkStore, which merges its runs and writes it
// off the shard, and stays readable by its runs until the store has it. Cost of append: a copy, and sorting that does
// not grow with history. A search walks runs and chunks in time order and touches, in each, only the values asked for,
// intersecting the fields; it costs the rows found plus a look-up a chunk. Lives on the engine's shard.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/ledger/storage/chunk_builder.h"
#include "systems/ledger/storage/chunk_store.h"

namespace polis::ledger {

struct ChunkedLogOptions {
  std::string name;          // in the ChunkStore: a-z 0-9 _, at most 32
  uint32_t row_bytes = 128;  // 8 .. 128, a multiple of 8
  // Powers of two; a run at most 2^16, a chunk at most 2^24 and at least a run.
  uint32_t rows_per_chunk = 1 << 20;
  uint32_t rows_per_run = 1 << 15;
  uint8_t fields = 0;  // of the index; 0: none, at most 16
  // The values of a row, at most `fields`, into `values`; returns how many. Pure, called on any thread.
  IndexRow index = nullptr;
  // A hash a row that is stored in its own column of the chunk, so that an id index is rebuilt without reading rows;
  // null: none. `key_seed` is passed along; a column that was written with another seed is computed again. Pure.
  uint64_t (*key)(const std::byte* row, uint64_t key_seed) = nullptr;
  uint64_t key_seed = 0;
};

class ChunkedLog {
 public:
  // `chunks` null keeps everything in memory.
  ChunkedLog(ChunkedLogOptions options, ChunkStore* chunks);
  ~ChunkedLog();
  ChunkedLog(const ChunkedLog&) = delete;
  ChunkedLog& operator=(const ChunkedLog&) = delete;

  uint64_t size() const { return size_; }
  // Row bytes, 8-byte aligned; valid until the next seal(), truncate() below it, or end. An old row may be read from
  // disk.
  const std::byte* row(uint64_t slot) const {
    const Rows& rows = rows_[slot >> chunk_bits_];
    const std::byte* at = rows.begin + (slot & chunk_mask_) * row_bytes_;
    if (rows.check) [[unlikely]]
      rows.check->check(at, row_bytes_);
    return at;
  }
  void prefetch(uint64_t slot) const {
    const std::byte* at = rows_[slot >> chunk_bits_].begin + (slot & chunk_mask_) * row_bytes_;
    __builtin_prefetch(at);
    __builtin_prefetch(at + row_bytes_ - 1);
  }
  uint64_t append(const std::byte* row) {
    if (append_at_ == append_end_) [[unlikely]]
      open_tail();
    if (row_bytes_ == 128) {
      std::memcpy(append_at_, row, 128);
    } else {
      std::memcpy(append_at_, row, row_bytes_);
    }
    append_at_ += row_bytes_;
    return size_++;
  }
  // Back to `size`, not below what was sealed: undo inside a command.
  void truncate(uint64_t size);
  // Between commands: makes runs and chunks of what is complete.
  void seal();

  // Called with rows that match; answers whether to go on. The pointer is valid as row() says.
  using Visit = std::function<bool(uint64_t slot, const std::byte* row)>;
  // Calls visit(slot, row) for rows in [begin, end) that carry ALL values (at most 8), ascending or descending, until
  // it answers false. No values: all rows. Rows may be visited that merely collide: compare.
  void search(std::span<const FieldValue> all, uint64_t begin, uint64_t end, bool descending,
              const Visit& visit) const {
    search({}, all, begin, end, descending, visit);
  }
  // The same for rows that carry any of `either` (at most 2: both sides of a transfer; none: no such demand) and all of
  // `all`; each row once.
  void search(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin, uint64_t end,
              bool descending, const Visit& visit) const;
  // The first slot in [0, size()] whose row is not before, by binary search; before() is true for a prefix of the log.
  uint64_t lower_bound(const std::function<bool(const std::byte* row)>& before) const;

  // --- snapshots: what full chunks do not hold. The state at construction, while appends go on (rows never change).
  class Saver {
   public:
    explicit Saver(const ChunkedLog& log);
    // Appends the next part, at most `size_bytes_max` (at least 256); false when there is none left.
    bool next(base::Writer& piece, size_t size_bytes_max);

   private:
    const ChunkedLog& log_;
    const uint64_t size_, chunks_;
    bool head_done_ = false;
    uint64_t chunks_done_ = 0, rows_done_;
  };
  // The parts in order, into an empty log whose chunks are in the ChunkStore. kCorrupt if chunks are missing, or of
  // another history.
  Result<void> load(base::Reader& part);
  // Once all parts are in: rebuilds the runs of the tail, and calls key(slot, hash) for every row if the options have
  // one. kCorrupt if parts are missing.
  Result<void> finish_load(const std::function<void(uint64_t slot, uint64_t hash)>& key);

  uint64_t memory_bytes() const;

 private:
  // Where the rows of a chunk are; what every access needs and no more.
  struct Rows {
    const std::byte* begin = nullptr;
    const PageCheck* check = nullptr;  // null in memory
  };
  // What else is known of a chunk.
  struct Part {
    // Until the store has the chunk. Shared: the store builds and writes it meanwhile.
    std::shared_ptr<ChunkBuilder> builder;
    const Chunk* chunk = nullptr;  // from then on
    uint64_t identity = 0;         // once it was put
  };
  // The index of some rows behind the last run, made when a search first needs it.
  struct Fresh {
    uint64_t first = 0;
    uint32_t count = 0;
    RunIndex run;
  };
  // The rows from `first` on that share one index, as an index answers for them.
  template <class Find>
  bool search_index(uint64_t first, Find find, std::span<const FieldValue> either, std::span<const FieldValue> all,
                    uint64_t begin, uint64_t end, bool descending, const Visit& visit) const;

  void open_tail();
  void aim_append();
  void put_full_chunks();
  void adopt_ready_chunks();
  void adopt(uint64_t number, const Chunk& chunk);
  void index_fresh_rows() const;
  Result<void> load_head(base::Reader& part);
  Result<void> load_chunks(base::Reader& part);
  Result<void> load_rows(base::Reader& part);
  Result<void> match(const ChunkHeader& header, uint64_t number, uint64_t identity) const;
  std::unexpected<Error> damaged(const std::string& why) const;
  bool scan(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin, uint64_t end,
            bool descending, const Visit& visit) const;
  bool carries(const std::byte* row, std::span<const FieldValue> either, std::span<const FieldValue> all) const;

  const ChunkedLogOptions options_;
  ChunkStore* const chunks_;
  const uint32_t row_bytes_;
  const unsigned chunk_bits_, run_bits_;
  const uint64_t chunk_mask_;

  uint64_t size_ = 0;
  std::byte* append_at_ = nullptr;
  std::byte* append_end_ = nullptr;
  std::vector<Rows> rows_;    // by chunk
  std::vector<Part> parts_;   // the same
  uint64_t sealed_ = 0;       // rows that are in runs; a multiple of rows_per_run
  uint64_t put_ = 0;          // chunks that were handed over
  uint64_t adopted_ = 0;      // of these, those that are read from the store
  ChunkBuilder::Used spare_;  // for the next tail
  // Mutable: a cache of what the rows say.
  mutable std::vector<Fresh> fresh_;
  mutable RunIndex::Scratch scratch_;
  // What the head of a snapshot promises.
  uint64_t load_size_ = 0, load_chunks_ = 0;
};

}  // namespace polis::ledger
