// Snapshot files: a machine's state at one position of its journal. A snapshot only shortens replay; it is written
// beside the others under another name, synced and renamed, so it is there whole or not at all. On disk, integers
// little endian:
//
//     snapshot := header piece* end
//     header   := "POLISNAP" version:u32=1 machine:u32 behaviour:u32 zeros:4 position:u64 commands:u64 zeros:20
//                 crc32c:u32                                                            64 bytes
//     piece    := length:u32 (1 .. 16 MiB) crc32c:u32 bytes
//     end      := zeros:4 crc32c:u32 pieces:u64
//     name     := position as 20 decimal digits ".snapshot"
//
// `machine` is a hash of its name. Each checksum continues from the one before it, so that pieces cannot be lost or
// change places.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/file.h"
#include "kernel/log/frame.h"

namespace polis::machine {

using log::Position;

inline constexpr size_t kSnapshotPieceBytesMax = size_t{16} << 20;

struct SnapshotHeader {
  uint32_t machine = 0;
  uint32_t behaviour = 0;
  Position position = 0;  // everything up to here is inside
  uint64_t commands = 0;  // how many commands that were
};

uint32_t machine_number(std::string_view name);
std::string snapshot_path(const std::string& directory, Position position);
// Positions of the snapshots in the folder (made if absent), the newest first; removes what a crash left unfinished.
Task<Result<std::vector<Position>>> list_snapshots(io::Disk& disk, std::string directory);

class SnapshotWriter {
 public:
  static Task<Result<SnapshotWriter>> begin(io::Disk& disk, std::string directory, SnapshotHeader header);
  Task<Result<void>> piece(BytesView bytes);
  // Durable under its name when it returns.
  Task<Result<void>> finish();

 private:
  SnapshotWriter() = default;
  Task<Result<void>> flush();

  io::Disk* disk_ = nullptr;
  std::string directory_, path_;
  std::unique_ptr<io::File> file_;
  Bytes buffer_;
  uint64_t offset_ = 0;
  uint64_t synced_ = 0;
  uint64_t pieces_ = 0;
  uint32_t crc_ = 0;
};

class SnapshotReader {
 public:
  // kCorrupt for damage and for another machine's file, kUnsupported for a version of the future.
  static Task<Result<SnapshotReader>> open(io::Disk& disk, std::string path, uint32_t machine);
  const SnapshotHeader& header() const { return header_; }
  // The next piece, valid until the next call; nothing behind the last one, once the whole file has proved sound.
  Task<Result<std::optional<BytesView>>> next();

 private:
  SnapshotReader() = default;
  std::unexpected<Error> damaged(std::string_view why) const;

  std::unique_ptr<io::File> file_;
  SnapshotHeader header_;
  Bytes buffer_;
  uint64_t offset_ = 0;
  uint64_t size_bytes_ = 0;
  uint64_t pieces_ = 0;
  uint32_t crc_ = 0;
};

}  // namespace polis::machine
