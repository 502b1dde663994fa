// Makes a chunk where its rows already are: the log's tail is the beginning of the future file, and its memory has room
// for the rest behind.
#pragma once

#include "systems/ledger/storage/chunk.h"
#include "systems/ledger/storage/chunk_store.h"

namespace polis::ledger {

// Bytes that take memory only once they are written to; large ones in large pages where the machine has them, but for
// the first part, so that a log with few rows stays small.
class ChunkMemory {
 public:
  explicit ChunkMemory(uint64_t size_bytes);
  ~ChunkMemory();
  ChunkMemory(const ChunkMemory&) = delete;
  ChunkMemory& operator=(const ChunkMemory&) = delete;
  std::byte* data() const { return data_; }
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_;
  const uint64_t size_bytes_;
};

struct ChunkOptions {
  std::string name;
  uint32_t row_bytes = 0;
  uint32_t rows = 0;          // a power of two
  uint32_t rows_per_run = 0;  // the same
  uint8_t fields = 0;
  IndexRow index = nullptr;
  uint64_t (*key)(const std::byte* row, uint64_t key_seed) = nullptr;
  uint64_t key_seed = 0;
};

// A chunk on its way: rows that fill up, then runs over them, then the whole. Rows and runs may be read on the shard
// while build() works on another thread.
class ChunkBuilder final : public ChunkImage {
 public:
  // What a chunk took from the machine, to be used again by the next with the same options: fresh memory costs more
  // than filling it.
  struct Used {
    std::unique_ptr<ChunkMemory> memory;
    std::vector<RunIndex> runs;
  };
  ChunkBuilder(ChunkOptions options, uint64_t number, bool to_be_built, Used used = {});
  // Nothing may be read from here afterwards.
  Used give_used() { return {std::move(memory_), std::move(runs_)}; }
  std::byte* rows() const { return memory_->data() + kChunkPageBytes; }
  // Of the next rows_per_run rows.
  void add_run(RunIndex::Scratch& scratch);
  const std::vector<RunIndex>& runs() const { return runs_; }
  BytesView build() override;
  uint64_t room_bytes() const override;
  uint64_t runs_memory_bytes() const;

 private:
  void build_keys(uint64_t keys_at);
  void zero_page_from(uint64_t at);
  ChunkHeader::Field build_field(uint8_t field, uint64_t entries_at);
  uint32_t build_checks(const ChunkLayout& layout);

  const ChunkOptions options_;
  const uint64_t number_;
  std::unique_ptr<ChunkMemory> memory_;
  std::vector<RunIndex> runs_;
  std::vector<RunIndex> used_runs_;
};

}  // namespace polis::ledger
