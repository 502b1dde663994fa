// ProducerIds: numbers that no other producer of this broker ever had. A block of them is reserved in the Store at a
// time; what is left of it when polis ends is never given out. Any shard; state on one.
#pragma once

#include <cstdint>

#include "kernel/io/shard.h"
#include "kernel/io/task.h"
#include "kernel/store/store.h"

namespace polis::stream {

class ProducerIds {
 public:
  // One durable commit a thousand producers.
  static constexpr int64_t kBlock = 1000;

  ProducerIds(store::Store& store, store::Keyspace rows, io::Shard& home) : store_(store), rows_(rows), home_(home) {}

  Task<Result<int64_t>> take();

 private:
  Task<Result<int64_t>> take_here();
  Task<Result<int64_t>> reserve();

  store::Store& store_;
  const store::Keyspace rows_;
  io::Shard& home_;
  io::Semaphore reserving_{1};
  int64_t next_ = 0, end_ = 0;
};

}  // namespace polis::stream
