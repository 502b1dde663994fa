// Producers for the benchmarks: each a connection of its own with one batch under way, so that an answer's time is what
// a caller who waits for it feels. Belongs to one shard.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/base/histogram.h"
#include "systems/stream/client/client.h"

namespace polis::stream {

enum class Guarantee : uint8_t { kPlain, kIdempotent, kTransactional };

struct LoadPlan {
  std::string topic;
  int32_t partitions = 1;
  int16_t acks = -1;
  int32_t producers = 1;
  int32_t records_a_batch = 1, record_bytes = 1024;
  Duration time = std::chrono::seconds(3);
  Guarantee guarantee = Guarantee::kPlain;
  int32_t batches_a_transaction = 1;
};

struct LoadResult {
  uint64_t records = 0, batches = 0, bytes = 0, transactions = 0;
  double seconds = 0;
  base::Histogram latency_us = base::Histogram();      // of a batch, until its answer (acks=0: until it was sent)
  base::Histogram transaction_us = base::Histogram();  // from its first request to the answer of its end
  double records_per_second() const { return seconds > 0 ? static_cast<double>(records) / seconds : 0; }
};

// Runs the plan against the broker at `endpoint`.
Task<Result<LoadResult>> run_load(io::Endpoint endpoint, LoadPlan plan);

}  // namespace polis::stream
