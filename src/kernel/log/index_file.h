// IndexFile: the sparse index of one segment, in a file beside it, so that neither an open nor the first reader has to
// walk over the segment. Derived: what is missing or damaged is made again from the segment.
//
//     file  := header block*
//     header:= "POLISIDX" version:u32=1 segment_salt:u32 segment_first:u64 salt:u32 crc32c:u32         32 bytes
//     block := count:u32 crc32c:u32 offset:u64 next:u64 mark:u64 { first:u64 offset:u64 mark:u64 }     32 + 24 each
//     name  := the segment's, with ".index" in place of ".segment"
//
// Integers little endian. A block tells every index entry between the block before it (or the segment's header) and
// `offset`, where the frame `next` begins; `mark` is the largest of all frames up to there. Blocks are written for
// bytes that are on disk, so a whole block also proves that they were; the file is not synced. The checksum of a block
// begins with the file's salt: bytes of an earlier file in the same place are no blocks.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "kernel/log/segment.h"

namespace polis::log {

std::string index_name(Position first);
// Nothing for names that are no index's.
std::optional<Position> index_first(std::string_view name);

struct StoredIndex {
  ScanStart upto;  // what it knows: everything in front of this
  std::vector<IndexEntry> entries;
  // Where the next block goes, and the salt of the file; 0 if there is no file to go on with.
  uint64_t size_bytes = 0;
  uint32_t salt = 0;
};

// What the file at `path` knows of the segment; nothing known if it is missing, of another segment, or damaged from its
// beginning. Errors of the disk count as that, too.
Task<StoredIndex> read_index(io::Disk& disk, std::string path, const SegmentHeader& segment);

// Writes one index file, block by block. It opens the file for each block, which are rare.
class IndexWriter {
 public:
  // A new file; what was at its path is gone.
  static Task<Result<IndexWriter>> create(io::Disk& disk, std::string path, const SegmentHeader& segment,
                                          Random& random);
  // Goes on behind what was read.
  static IndexWriter resume(io::Disk& disk, std::string path, const StoredIndex& stored) {
    IndexWriter writer(disk, std::move(path), stored.salt);
    writer.size_bytes_ = stored.size_bytes;
    return writer;
  }
  // Appends a block: entries in front of `upto`. After an error the writer is not to be used again.
  Task<Result<void>> append(std::span<const IndexEntry> entries, ScanStart upto);

 private:
  IndexWriter(io::Disk& disk, std::string path, uint32_t salt) : disk_(&disk), path_(std::move(path)), salt_(salt) {}
  io::Disk* disk_;
  std::string path_;
  uint32_t salt_;
  uint64_t size_bytes_ = 0;
};

}  // namespace polis::log
