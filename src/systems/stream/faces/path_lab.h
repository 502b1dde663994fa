// The four-copy and the zero-copy way of a log to a consumer, measured arrow by arrow on the machine that runs polis:
// the same bytes of real segments go through a loopback connection, once by read() and write(), once by sendfile().
//
//     copy       page cache ──read()──► process ──write()──► socket ──► consumer
//     sendfile   page cache ───────────────sendfile()──────► socket ──► consumer
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "kernel/io/stream.h"

namespace polis::stream {

// What the calls of one arrow did: wall time, and time of the CPU on the calling thread (which does the work of the
// network for a loopback connection, too).
struct PathArrow {
  uint64_t bytes = 0, calls = 0, wall_ns = 0, cpu_ns = 0;
};

struct PathMeasurement {
  PathArrow read, write;  // of the copying way
  PathArrow sendfile;
};

// A part of a file; the descriptor stays open while it is measured.
struct PathRange {
  int descriptor = -1;
  io::ByteRange range;
};

// Blocks for as long as it takes to send `bytes_wanted` twice, at most about `limit` each way: for a thread that may
// wait. The ranges are read once before, so that both ways find them in the page cache, and again and again until
// enough is sent. kInvalid without bytes, kIo.
Result<PathMeasurement> measure_paths(std::span<const PathRange> ranges, uint64_t bytes_wanted, Duration limit);

// What has been measured last, and what is under way. On the face's shard.
struct PathLab {
  bool running = false;
  std::optional<WallTime> begun;
  std::string topic, error;
  int32_t partition = 0;
  std::optional<PathMeasurement> result;
};

}  // namespace polis::stream
