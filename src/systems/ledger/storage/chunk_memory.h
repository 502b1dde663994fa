// MemoryChunks: a ChunkStore that keeps chunks in memory, for tests. It builds them at put(), or later when told, as
// the files of production do: a log must not care.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "systems/ledger/storage/chunk.h"
#include "systems/ledger/storage/chunk_store.h"

namespace polis::ledger {

class MemoryChunks final : public ChunkStore {
 public:
  // With `at_once` false, chunks wait for finish() or sync().
  explicit MemoryChunks(bool at_once = true) : at_once_(at_once) {}

  void put(std::string_view log, uint64_t number, std::shared_ptr<ChunkImage> image) override {
    auto& chunks = logs_[std::string(log)];
    POLIS_ASSERT(number <= chunks.size());
    chunks.resize(number);
    chunks.push_back(nullptr);
    waiting_.push_back({.log = std::string(log), .number = number, .image = std::move(image)});
    if (at_once_) finish(1);
  }
  const Chunk* get(std::string_view log, uint64_t number) const override {
    const auto found = logs_.find(log);
    return found == logs_.end() || number >= found->second.size() ? nullptr : found->second[number].get();
  }
  uint64_t backlog_bytes() const override {
    uint64_t size_bytes = 0;
    for (const Waiting& chunk : waiting_) size_bytes += chunk.image->room_bytes();
    return size_bytes;
  }
  void drop_from(std::string_view log, uint64_t number) override {
    const auto found = logs_.find(log);
    if (found != logs_.end() && found->second.size() > number) found->second.resize(number);
  }
  Task<Result<void>> sync() override {
    finish(waiting_.size());
    co_return {};
  }
  // Makes up to `count` of the waiting chunks readable, the oldest first.
  void finish(size_t count) {
    for (; count > 0 && !waiting_.empty(); --count, waiting_.pop_front()) {
      Waiting& chunk = waiting_.front();
      const BytesView bytes = chunk.image->build();
      auto& chunks = logs_[chunk.log];
      auto built = Chunk::in_memory(std::move(chunk.image), bytes);
      POLIS_ASSERT(built);
      if (chunk.number < chunks.size()) chunks[chunk.number] = std::move(*built);
    }
  }

 private:
  struct Waiting {
    std::string log;
    uint64_t number = 0;
    std::shared_ptr<ChunkImage> image;  // see chunk_store.h
  };
  const bool at_once_;
  std::map<std::string, std::vector<std::unique_ptr<Chunk>>, std::less<>> logs_;
  std::deque<Waiting> waiting_;
};

}  // namespace polis::ledger
