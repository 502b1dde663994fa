// JournalFiles: reads the files of a journal without owning it, while somebody else appends or with nobody there.
// Changes nothing, so it also stops in front of a torn tail, which only the owner may cut. One shard.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/file.h"
#include "kernel/log/journal.h"
#include "kernel/log/segment.h"

namespace polis::exchange {

class JournalFiles {
 public:
  // From position `from` on; kOutOfRange if the folder begins behind it. An empty or absent folder has no records.
  static Task<Result<JournalFiles>> open(io::Disk& disk, std::string directory, log::Position from = 1);
  // The next record, valid until the next call; nothing if none is there (yet), or if it lies behind `last`. kCorrupt
  // if the records go on in a later file but not here.
  Task<Result<std::optional<log::Record>>> next(log::Position last = UINT64_MAX);
  log::Position position() const { return next_; }  // of the record that next() gives

 private:
  JournalFiles(io::Disk& disk, std::string directory, log::Position from);
  Task<Result<std::vector<log::Position>>> list();
  Task<Result<void>> enter(log::Position segment);
  Task<Result<void>> read_block();
  BytesView ahead() const { return BytesView(block_).first(filled_).subspan(offset_ - block_offset_); }
  std::optional<log::Record> take();

  io::Disk* disk_;
  std::string directory_;
  log::Position next_;
  std::unique_ptr<io::File> file_;  // null: in none
  log::Position segment_ = 0;       // where it begins
  log::SegmentHeader header_;
  uint64_t offset_ = 0;  // in the file, of the next record
  // What was read of the file: filled_ bytes from block_offset_ on.
  Bytes block_;
  uint64_t block_offset_ = 0;
  size_t filled_ = 0;
};

}  // namespace polis::exchange
