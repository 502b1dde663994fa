// Checkpoint: how much of a log is known to be on disk, in a small file beside its segments. Without it damage in the
// newest record looks like a record that was never finished; with it, opening a log that ends before its checkpoint
// reports the damage instead of cutting.
//
//     file := slot:0 zeros slot:512          two sectors, written in turn, so that one is always whole
//     slot := "POLISCKP" version:u32=1 zeros:4 segment_first:u64 offset:u64 next:u64 zeros:4 crc32c:u32       48 bytes
//
// It is a lower bound that may be old: it is written without a sync, after one of the segment, at most every 20 ms and
// when the log is closed. After kill -9 the page cache still has it; after power loss an older slot may be what is
// left. It belongs to this very copy of the segments: a backup leaves it out.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "kernel/io/file.h"
#include "kernel/log/frame.h"

namespace polis::log {

inline constexpr std::string_view kCheckpointName = "checkpoint";

struct Checkpoint {
  Position segment_first = 0;
  uint64_t offset = 0;  // in that segment: everything before it was on disk
  Position next = 0;    // the position that begins there
};

class CheckpointFile {
 public:
  // Reads the newest whole slot; makes the file at the first write.
  static Task<Result<CheckpointFile>> open(io::Disk& disk, std::string path);
  const std::optional<Checkpoint>& found() const { return found_; }
  // Not synced; a failure is harmless and answered for the record only.
  Task<Result<void>> write(Checkpoint checkpoint);
  // Until the next write the file needs no descriptor.
  void rest() { file_.reset(); }

 private:
  CheckpointFile(io::Disk& disk, std::string path) : disk_(&disk), path_(std::move(path)) {}
  io::Disk* disk_;
  std::string path_;
  std::unique_ptr<io::File> file_;
  std::optional<Checkpoint> found_;
  unsigned slot_ = 0;  // the next to be written
};

}  // namespace polis::log
