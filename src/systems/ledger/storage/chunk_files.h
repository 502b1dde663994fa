// ChunkFiles: the ChunkStore of production, a file a chunk in one directory, mapped once it is on disk.
//
//     put ─► queue ─► build (blocking pool) ─► write NAME.new ─► sync ─► rename ─► sync directory ─► map ─► get
//
//     name := log "-" number as 12 decimal digits ".chunk"; what it holds: chunk.h
//
// One chunk is written at a time, in slices, each synced, so that the journal's syncs wait for little. A write that
// fails is tried again, whole and under a fresh file: every second, and at once at the next put() or sync(); until then
// the chunk stays in memory and counts as backlog.
//
// A page that is not as it was written ends the process at its first touch, after the file was renamed to
// NAME.damaged: the next start does not find the chunk, and the ledger is rebuilt from its journal. On a disk whose
// files cannot be mapped (the simulation's), chunks are held in memory and checked when they are opened.
// Lives on the engine's shard.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "kernel/io/file.h"
#include "kernel/io/shard.h"
#include "systems/ledger/storage/chunk.h"
#include "systems/ledger/storage/chunk_store.h"

namespace polis::ledger {

struct ChunkFilesOptions {
  // Written between two syncs: what a sync of the journal may find in its way.
  uint64_t slice_bytes = uint64_t{8} << 20;
  Duration retry_after = std::chrono::seconds(1);  // a write that failed
  // Told what was found when a page is damaged; must not return. Empty: the message goes to stderr and the process
  // aborts.
  std::function<void(const std::string& message)> damaged;
};

class ChunkFiles final : public ChunkStore {
 public:
  // Makes the directory if it is absent, removes what a crash left unfinished, reads and checks the header and the
  // checksums of every chunk. A chunk that fails is renamed to NAME.damaged and missing from then on (set_aside()); one
  // of a future version is kUnsupported. `disk` outlives the store.
  static Task<Result<std::unique_ptr<ChunkFiles>>> open(io::Disk& disk, std::string directory,
                                                        ChunkFilesOptions options = {});
  ~ChunkFiles() override;
  // Waits for what is being written; the rest of the queue is dropped, as a crash would. Before the end.
  Task<void> close();

  // ChunkStore.
  void put(std::string_view log, uint64_t number, std::shared_ptr<ChunkImage> image) override;
  const Chunk* get(std::string_view log, uint64_t number) const override;
  uint64_t backlog_bytes() const override { return backlog_bytes_; }
  void drop_from(std::string_view log, uint64_t number) override;
  Task<Result<void>> sync() override;

  // Reads every page of every chunk again, in the blocking pool. kCorrupt names the file and the rows of the first that
  // is not as it was written. Returns the bytes read.
  Task<Result<uint64_t>> verify();

  struct Statistics {
    uint64_t chunks = 0, chunk_bytes = 0;  // that can be read
    uint64_t written = 0, write_failures = 0;
    uint64_t waiting = 0;  // chunks
  };
  Statistics statistics() const;
  // Why the oldest waiting chunk could not be written; empty once it could.
  const std::optional<Error>& failure() const { return failure_; }
  // What open() found damaged, a sentence each, with the file's name.
  const std::vector<std::string>& set_aside() const { return set_aside_; }

 private:
  // Shared: a verification may be reading a chunk that is dropped.
  using Shared = std::shared_ptr<const Chunk>;
  struct Waiting {
    std::string log;
    uint64_t number = 0;
    std::shared_ptr<ChunkImage> image;  // see chunk_store.h
    BytesView bytes;                    // once built
  };

  ChunkFiles(io::Disk& disk, std::string directory, ChunkFilesOptions options);
  std::string path(std::string_view log, uint64_t number) const;
  Task<Result<void>> open_all();
  Task<Result<Shared>> open_chunk(std::string path, std::string log, uint64_t number);
  Task<Result<Shared>> read_whole(std::unique_ptr<io::File> file, uint64_t size_bytes);
  Task<Result<void>> move_aside(std::string path, Error why);
  void write_in_background();
  Task<void> write_queue();
  Task<Result<Shared>> write(Waiting& chunk);
  [[noreturn]] void end_process(const std::string& path, const Chunk& chunk, uint64_t page) const;
  Chunk::Damaged damaged_in(std::string path) const;

  io::Disk& disk_;
  const std::string directory_;
  const ChunkFilesOptions options_;
  std::map<std::string, std::vector<Shared>, std::less<>> logs_;  // null: put and not there yet
  std::deque<Waiting> queue_;                                     // the first is being written
  uint64_t backlog_bytes_ = 0;
  uint64_t put_ = 0, done_ = 0;  // ever
  uint64_t written_ = 0, write_failures_ = 0;
  std::optional<Error> failure_;  // of the last write
  bool writing_ = false, closing_ = false;
  io::Event changed_;    // a write has ended, well or not
  io::Event try_again_;  // do not wait for the second to pass
  io::TaskGroup tasks_;
  std::vector<std::string> set_aside_;
};

}  // namespace polis::ledger
