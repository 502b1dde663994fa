// The order of appends where the disk is behind. Partition::append() never waits: it takes a batch or says that its
// buffer is full. Then the batch waits here for its turn, and everything that comes later for that partition behind it,
// so that the batches of one producer keep their order however many requests are under way.
//
// One for all shards; each uses its own part of it.
#pragma once

#include <array>
#include <map>
#include <optional>

#include "kernel/io/shard.h"
#include "systems/stream/partition/partition.h"

namespace polis::stream {

class AppendTurns {
 public:
  // On the partition's shard. Nothing if the batch must wait; its place is taken then, and append_in_turn() must be
  // called once for it, in the order of the places.
  std::optional<AppendResult> append(Partition& partition, BytesView batch);
  // The partition lives until it returns.
  Task<AppendResult> append_in_turn(Partition& partition, BytesView batch);

 private:
  struct Queue {
    io::Semaphore turn{1};
    size_t places = 0;
  };
  struct alignas(64) OneShard {
    std::map<const Partition*, Queue> queues;  // only where somebody waits
  };
  OneShard& here();

  std::array<OneShard, 256> shards_;
};

}  // namespace polis::stream
