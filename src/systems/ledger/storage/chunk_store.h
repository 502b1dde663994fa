// Where full chunks of the engine's logs go: files of immutable bytes that are derived from the journal, so that
// history needs no memory and snapshots need not repeat it. A port: files in production, memory in tests.
//
//     append-only log:  [chunk 0][chunk 1] ... [chunk k-1]   [tail: rows and index runs in memory]
//                        in the ChunkStore, mapped            written with the snapshot
//
// Lives on the engine's shard.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::ledger {

class Chunk;  // chunk.h: one that can be read

// A full chunk on its way to the store. Shared: the log reads its rows in memory until the store has the chunk, and the
// store reads its bytes while it writes; the last of them lets go.
class ChunkImage {
 public:
  virtual ~ChunkImage() = default;
  // Sorts and lays out the chunk's bytes, which live as long as this. Called once, on any thread: up to 0.2 s of work
  // for a million rows.
  virtual BytesView build() = 0;
  // Memory that it may take, at most.
  virtual uint64_t room_bytes() const = 0;
};

class ChunkStore {
 public:
  virtual ~ChunkStore() = default;
  // Takes the full chunk and begins to build and write it. Never waits. `log` is "transfers", "refusals", ...; numbers
  // begin at 0 and have no gaps. Chunks of that number and above that were there are forgotten.
  virtual void put(std::string_view log, uint64_t number, std::shared_ptr<ChunkImage> image) = 0;
  // The chunk; null if there is none, or it was put and cannot be read from here yet. The pointer holds until it is put
  // again or dropped, or the end. Touching bytes that fail their checksum ends the process, after marking the file so
  // that the next start rebuilds from the journal.
  virtual const Chunk* get(std::string_view log, uint64_t number) const = 0;
  // Bytes of memory that were put and are not on disk yet; a caller that books slows down above its limit.
  virtual uint64_t backlog_bytes() const = 0;
  // Forgets chunks from `number` on: they are behind what a snapshot knows. Before anything is put.
  virtual void drop_from(std::string_view log, uint64_t number) = 0;
  // Until everything put before the call is on disk: before a snapshot that refers to it is published.
  virtual Task<Result<void>> sync() = 0;
};

}  // namespace polis::ledger
