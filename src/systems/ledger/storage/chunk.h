// A chunk: full, immutable, one contiguous piece of bytes that is the same in memory and on disk, so that a file of it
// is used where it is mapped. Integers little endian; every section begins at a multiple of 4096, zeros before it:
//
//     chunk     := header rows keys? index{fields} checks
//     header    := "POLISCHK" version:u32=1 row_bytes:u32 number:u64 rows:u64 key_seed:u64 identity:u64 name:32
//                  fields:u32 has_keys:u32 (values:u32 postings:u32){16} size_bytes:u64 checks_crc:u32 crc:u32
//                  4096 bytes with zeros behind; crc is CRC-32C of all that stands before it
//     rows      := row{rows}              row_bytes each
//     keys      := hash:u64{rows}         a hash a row, made with key_seed
//     index     := entry{values} posting:u32{postings}
//     entry     := value:u32 begin:u32 count:u32          ascending by value, of 28 bits (run_index.h)
//     checks    := crc:u32{pages}         CRC-32C of each 4096 bytes before this section; 0 for the header's page
//
// The rows of an entry: count = 1: `begin` itself. count = rows: all of them. count >= rows/32: a bitmap from
// posting[begin] on. Otherwise a list of ranks, ascending, from posting[begin] on. So an index never takes more than 12
// bytes a value of a row, and a value that every row carries takes nothing.
//
// identity is a hash of the first and the last row: a snapshot knows with it which history a chunk is from.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/ledger/storage/posting.h"
#include "systems/ledger/storage/run_index.h"

namespace polis::ledger {

inline constexpr uint64_t kChunkPageBytes = 4096;
inline constexpr uint32_t kChunkVersion = 1;
inline constexpr size_t kChunkNameBytesMax = 32;
inline constexpr uint32_t kRowsPerChunkMax = 1 << 24;
inline constexpr uint32_t kRowBytesMax = 128;

struct ChunkHeader {
  std::string name;  // of the log
  uint64_t number = 0;
  uint32_t row_bytes = 0;
  uint32_t rows = 0;
  bool has_keys = false;
  uint64_t key_seed = 0;
  uint64_t identity = 0;
  struct Field {
    uint32_t values = 0, postings = 0;
  };
  std::vector<Field> fields;
  uint32_t checks_crc = 0;
};

// Where the sections are; follows from the header alone.
struct ChunkLayout {
  explicit ChunkLayout(const ChunkHeader& header);
  uint64_t rows_at = 0, keys_at = 0, checks_at = 0, size_bytes = 0;
  struct Field {
    uint64_t entries_at = 0, postings_at = 0;
  };
  std::vector<Field> fields;
  uint64_t pages() const { return checks_at / kChunkPageBytes; }
};

struct ChunkEntry {
  uint32_t value = 0, begin = 0, count = 0;
};
static_assert(sizeof(ChunkEntry) == 12);

// The header's page.
Bytes encode_header(const ChunkHeader& header);
// Of the first bytes of a chunk that is `size_bytes` large in all. kCorrupt with the reason; kUnsupported for a version
// of the future.
Result<ChunkHeader> decode_header(BytesView first, uint64_t size_bytes);
uint64_t chunk_identity(const std::byte* first_row, const std::byte* last_row, uint32_t row_bytes);

// A chunk that can be read. Where its bytes come from a disk, pages are checked as they are first touched. Belongs to
// the engine's shard, but for verify_page.
class Chunk final : public PageCheck {
 public:
  // Called with a page that is not as it was written; must end the process.
  using Damaged = std::function<void(const Chunk& chunk, uint64_t page)>;

  // Bytes that this process made and still holds. `memory` keeps them.
  static Result<std::unique_ptr<Chunk>> in_memory(std::shared_ptr<const void> memory, BytesView bytes);
  // Bytes from a disk: checks the header and the checks now, kCorrupt or kUnsupported with the reason.
  static Result<std::unique_ptr<Chunk>> from_disk(std::shared_ptr<const void> memory, BytesView bytes, Damaged damaged);

  const ChunkHeader& header() const { return header_; }
  BytesView bytes() const { return bytes_; }
  const std::byte* rows() const { return bytes_.data() + layout_.rows_at; }
  // What must check a row before it is read; null if nothing.
  const PageCheck* row_check() const { return damaged_ ? this : nullptr; }
  // The key column, checked; empty if there is none.
  std::span<const uint64_t> keys() const;
  // The rows that carry a value (run_index.h). The chunk outlives it.
  Posting find(uint8_t field, uint32_t index_value) const;

  // PageCheck.
  void check(const void* at, size_t size) const override;

  uint64_t pages() const { return layout_.pages(); }
  // Whether a page is as it was written. Any thread.
  bool verify_page(uint64_t page) const;
  // "rows 3145728 to 3145759", "the keys of rows 0 to 511", "the index of field 2"; rows counted over the whole log.
  std::string what_is_on(uint64_t page) const;

 private:
  Chunk(std::shared_ptr<const void> memory, BytesView bytes, ChunkHeader header)
      : memory_(std::move(memory)), bytes_(bytes), header_(std::move(header)), layout_(header_) {}
  void check_page(uint64_t page) const;
  ChunkEntry entry_at(uint8_t field, uint32_t i) const;

  // Shared: the log's own memory of the rows, or a mapping.
  std::shared_ptr<const void> memory_;
  BytesView bytes_;
  ChunkHeader header_;
  ChunkLayout layout_;
  Damaged damaged_;                     // empty: nothing needs checking
  mutable std::vector<uint64_t> seen_;  // a bit a page that was checked
};

}  // namespace polis::ledger
