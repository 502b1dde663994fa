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

// The bytes of a chunk, readable while this lives.
class Chunk {
 public:
  virtual ~Chunk() = default;
  virtual BytesView bytes() const = 0;
};

class ChunkStore {
 public:
  virtual ~ChunkStore() = default;
  // Takes the finished chunk and begins to write it. Never waits; `content` serves reads until the file can. `log` is
  // "transfers", "refusals", ...; numbers begin at 0 and have no gaps. A chunk of the same name is replaced.
  virtual void put(std::string_view log, uint64_t number, std::unique_ptr<Chunk> content) = 0;
  // The chunk; null if there is none. The pointer holds until drop_from() or the end. Touching bytes that fail their
  // checksum ends the process, after marking the file so that the next start rebuilds from the journal.
  virtual const Chunk* get(std::string_view log, uint64_t number) const = 0;
  // Bytes that were put and are not on disk yet; a caller that books slows down above its limit.
  virtual uint64_t backlog_bytes() const = 0;
  // Forgets chunks from `number` on: they are behind what a snapshot knows. Before anything is put.
  virtual void drop_from(std::string_view log, uint64_t number) = 0;
  // Until everything put before the call is on disk: before a snapshot that refers to it is published.
  virtual Task<Result<void>> sync() = 0;
};

}  // namespace polis::ledger
