// The transaction coordinator (coordinators.h: Transactions). Every transactional id has a home shard, by hash; there
// its requests are taken one at a time.
//
//     AddPartitions ─► row: Ongoing ─► the partitions let the producer in
//     EndTxn ────────► row: PrepareX ─► marker to every partition, all durable ─► CompleteX ─► answer
//     restart ───────► Ongoing: let in again · PrepareX: markers again · a partition's open transaction that nobody
//                      knows of: a marker for it
//
// A change is durable before it is true. PrepareX decides; markers are repeated until every partition has one, and a
// partition that is gone counts as done. CompleteX is written within a second: a crash before only repeats markers.
#pragma once

#include <memory>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/stream/broker/coordinators.h"
#include "systems/stream/broker/topics.h"

namespace polis::stream {

struct TransactionsParts {
  store::Store& store;
  store::Keyspace rows;  // "x" id → Transaction, "p" → producer ids
  Topics& topics;
  Groups& groups;
  std::vector<io::Shard*> shards;
  const Clock& clock;
};

struct TransactionsOptions {
  int32_t timeout_ms_max = 15 * 60 * 1000;          // transaction.max.timeout.ms
  Duration id_expiry = std::chrono::hours(7 * 24);  // transactional.id.expiration.ms
  size_t ids_max = 1'000'000;                       // about 500 bytes of memory each
  size_t partitions_max = 10'000;                   // of one transaction: its row is written with each
  Duration patience = std::chrono::seconds(2);      // a request waits so long for markers on their way
  Duration check_every = std::chrono::seconds(1);   // for time that ran out
};

// On the first shard, when topics and groups are open and before any client comes in: what was open goes on.
Task<Result<std::unique_ptr<Transactions>>> open_transactions(TransactionsParts parts,
                                                              TransactionsOptions options = {});

}  // namespace polis::stream
