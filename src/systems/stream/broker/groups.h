// How the groups of a broker are opened; what they do is in coordinators.h.
//
//     any shard ── group id ──► partition of `__consumer_offsets` ──► its shard: GroupCoordinator
//
// The topic is made when the first group needs it, so a broker without groups has none.
#pragma once

#include <memory>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "systems/stream/broker/coordinators.h"
#include "systems/stream/broker/topics.h"

namespace polis::stream {

struct GroupsOptions {
  GroupLimits limits;
  // Of the offsets topic, when it is made. Kafka's 50 spread groups over brokers; here they spread over shards, and
  // commits of one partition share an fsync, so few are better.
  int32_t offsets_partitions = 8;
  // A coordinator reads its whole partition at start; compaction keeps that to about two segments.
  int64_t offsets_segment_bytes = 16 << 20;
  // How long the offsets of a group without members are kept, as Kafka's offsets.retention.minutes.
  Duration offsets_retention = std::chrono::hours(7 * 24);
  size_t offset_metadata_bytes_max = 4096;
  Duration expiry_every = std::chrono::minutes(10);
  // Of one partition of the offsets topic. An empty group takes about 1 KiB.
  size_t groups_max = 25'000;
};

struct GroupsParts {
  Topics& topics;
  const Clock& clock;
  Random& random;  // thread-safe
  GroupsOptions options = {};
};

// On any shard, once the topics are open. Reading the groups back goes on behind it; requests meanwhile wait a moment
// and are then answered kCoordinatorLoadInProgress.
Task<Result<std::unique_ptr<Groups>>> open_groups(GroupsParts parts);

}  // namespace polis::stream
