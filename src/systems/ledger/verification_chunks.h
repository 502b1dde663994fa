// VerificationChunks: the chunk store of an engine that replays the journal beside the running one. Every full chunk
// that the replay makes is built again, compared byte by byte with the running engine's file of the same name, and then
// shared with it: so verification reads all of history, needs no disk and little memory, and finds a file that differs.
//
//     put ─► build (blocking pool) ─► compare with the running store's chunk ─► get answers that one
//
// Lives on the ledger's shard, not longer than the running store. settle() before it is destroyed.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "kernel/io/shard.h"
#include "systems/ledger/storage/chunk.h"
#include "systems/ledger/storage/chunk_store.h"

namespace polis::ledger {

class VerificationChunks final : public ChunkStore {
 public:
  explicit VerificationChunks(ChunkStore& running) : running_(running) {}

  void put(std::string_view log, uint64_t number, std::shared_ptr<ChunkImage> image) override;
  const Chunk* get(std::string_view log, uint64_t number) const override;
  uint64_t backlog_bytes() const override { return waiting_; }
  void drop_from(std::string_view log, uint64_t number) override;
  Task<Result<void>> sync() override;

  // More chunks than one wait to be compared: the replay should too.
  bool behind() const { return waiting_ > kWaitingMax; }
  // Until everything put was compared. kCorrupt names the first chunk and rows that differ.
  Task<Result<void>> settle();

 private:
  // Chunks of a replay in memory at a time, up to 200 MB each.
  static constexpr uint64_t kWaitingMax = 2;
  Task<void> compare(std::string log, uint64_t number, std::shared_ptr<ChunkImage> image);
  Task<Result<void>> compare_one(const std::string& log, uint64_t number, ChunkImage& image);

  ChunkStore& running_;
  std::map<std::string, uint64_t, std::less<>> compared_;  // chunks of each log, from 0 without gaps
  uint64_t waiting_ = 0;
  std::optional<Error> difference_;
  io::Semaphore one_{1};  // in the order of put
  io::TaskGroup tasks_;
};

}  // namespace polis::ledger
