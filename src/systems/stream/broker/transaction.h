// Transaction: what the coordinator knows of one transactional id, and the rules by which that changes. Values and pure
// functions: a rule says what the next state would be, the coordinator (transactions.cc) makes it durable and then
// true.
//
//     Empty ──► Ongoing ──► PrepareCommit ──► CompleteCommit ──┐
//       ▲         │ ▲                                          │   add partitions: Ongoing again
//       │         │ └──────────────────────────────────────────┤
//       │         └───────► PrepareAbort ────► CompleteAbort ──┘
//       └── InitProducerId, from Empty and Complete ───────────┘
//
// What was decided is decided: from PrepareX only CompleteX follows. Rules and error codes: KIP-98, KIP-360, KIP-588.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/stream/types.h"

namespace polis::stream {

// Numbers are stored.
enum class TransactionState : uint8_t {
  kEmpty = 0,
  kOngoing = 1,
  kPrepareCommit = 2,
  kPrepareAbort = 3,
  kCompleteCommit = 4,
  kCompleteAbort = 5,
};
std::string_view name(TransactionState state);  // "PrepareCommit"
std::optional<TransactionState> transaction_state(std::string_view name);

struct ProducerIdentity {
  int64_t id = -1;
  int16_t epoch = -1;
  auto operator<=>(const ProducerIdentity&) const = default;
};

// The highest epoch that a client gets: the one above is left for fencing it.
inline constexpr int16_t kProducerEpochMax = 32766;

struct Transaction {
  ProducerIdentity producer;  // epoch -1: nobody has it yet
  // What the present producer had before, as long as nobody else has come in between: a repeated InitProducerId that
  // names it is answered as the first one was.
  ProducerIdentity previous;
  int32_t timeout_ms = 0;
  TransactionState state = TransactionState::kEmpty;
  int64_t started_ms = -1;  // wall clock; of the present or last transaction
  int64_t updated_ms = -1;
  // Of the present transaction. Kept when it is complete, until the next one: a partition that lost its marker with the
  // page cache (polis.durability=os) can be told again.
  std::set<TopicPartition> partitions;

  bool prepared() const {
    return state == TransactionState::kPrepareCommit || state == TransactionState::kPrepareAbort;
  }
  bool ongoing() const { return state == TransactionState::kOngoing; }
  // The stored form; and back. kCorrupt.
  Bytes encode() const;
  static Result<Transaction> decode(BytesView bytes);
  bool operator==(const Transaction&) const = default;
};

// What a request leads to: refused, nothing to change, or the next state, which is to be made durable first.
struct TransactionStep {
  ErrorCode code = ErrorCode::kNone;
  std::optional<Transaction> next;
  bool needs_producer_id = false;  // epochs are used up: ask again with a fresh id
};

// InitProducerId. While a transaction is open the next state is its abort (with a higher epoch, which nobody is told):
// complete that and ask again. `expected`: who the caller believes to be (KIP-360).
TransactionStep begin_producer(const Transaction& now, std::optional<ProducerIdentity> expected, int32_t timeout_ms,
                               int64_t now_ms, std::optional<int64_t> fresh_producer_id);
TransactionStep add_partitions(const Transaction& now, ProducerIdentity producer,
                               const std::set<TopicPartition>& partitions, int64_t now_ms);
// EndTxn.
TransactionStep end_transaction(const Transaction& now, ProducerIdentity producer, bool commit, int64_t now_ms);
// The coordinator's own abort, of an open transaction: time ran out, or an operator said so. The producer is fenced,
// but may come back by InitProducerId with what it had.
Transaction abort_transaction(const Transaction& now, int64_t now_ms);
// Every partition has its marker.
Transaction complete_transaction(const Transaction& now, int64_t now_ms);

}  // namespace polis::stream
