// What a request asks for, and how the answer is written: the bodies of messages. Sans-IO.
//
//     body of a request ─► decode_request ─► a create command for the ledger ─► create_answer ─► body of the reply
//                                        └► a question: answer(engine) ──────────────────────► body of the reply
//
// The limits of one request are those of a message: what its answer could need at most must fit into one reply.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "systems/ledger/engine.h"
#include "systems/ledger/tigerbeetle/message.h"
#include "systems/ledger/tigerbeetle/multi_batch.h"

namespace polis::ledger::tigerbeetle {

// 0.17 speaks 137 and 140 to 147; 0.16 the others: the "sparse" ones answer only what failed, the "unbatched" ones have
// no trailer.
enum class WireOperation : uint8_t {
  kRegister = 2,
  kUnbatchedCreateAccounts = 129,
  kUnbatchedCreateTransfers = 130,
  kUnbatchedLookupAccounts = 131,
  kUnbatchedLookupTransfers = 132,
  kUnbatchedGetAccountTransfers = 133,
  kUnbatchedGetAccountBalances = 134,
  kUnbatchedQueryAccounts = 135,
  kUnbatchedQueryTransfers = 136,
  kGetChangeEvents = 137,
  kSparseCreateAccounts = 138,
  kSparseCreateTransfers = 139,
  kLookupAccounts = 140,
  kLookupTransfers = 141,
  kGetAccountTransfers = 142,
  kGetAccountBalances = 143,
  kQueryAccounts = 144,
  kQueryTransfers = 145,
  kCreateAccounts = 146,
  kCreateTransfers = 147,
};

// What is done, whatever the encoding.
enum class Action : uint8_t {
  kCreateAccounts,
  kCreateTransfers,
  kLookupAccounts,
  kLookupTransfers,
  kGetAccountTransfers,
  kGetAccountBalances,
  kQueryAccounts,
  kQueryTransfers,
  kGetChangeEvents,
};
inline constexpr size_t kActions = 9;
std::string_view name(Action action);  // "create_transfers"

struct OperationShape {
  Action action{};
  uint8_t event_bytes = 0;
  uint16_t result_bytes = 0;
  bool multi_batch = true;
  bool sparse = false;     // creates: only failures are answered, each with its index
  bool one_event = false;  // queries: a batch is one filter
  bool creates() const { return action == Action::kCreateAccounts || action == Action::kCreateTransfers; }
};
// Empty for operations that are none; kRegister has no shape.
std::optional<OperationShape> shape_of(uint8_t operation);

// Rows that a reply of one batch holds.
size_t results_max(const OperationShape& shape);

// The body of a registration, and of its reply.
struct RegisterRequest {
  uint32_t batch_size_limit = 0;
  uint8_t reserved[252] = {};
};
struct RegisterResult {
  uint32_t batch_size_limit = kBodyBytesMax;
  uint8_t reserved[60] = {};
};
static_assert(sizeof(RegisterRequest) == 256 && sizeof(RegisterResult) == 64);

// An answer of the sparse create operations.
struct SparseResult {
  uint32_t index = 0;
  uint32_t status = 0;
};

// The filter and the rows of get_change_events.
struct ChangeEventsFilter {
  uint64_t timestamp_min = 0, timestamp_max = 0;
  uint32_t limit = 0;
  uint8_t reserved[44] = {};
};
struct ChangeEventRecord {
  struct Side {
    u128 id = 0;
    u128 debits_pending = 0, debits_posted = 0, credits_pending = 0, credits_posted = 0;
    u128 user_data_128 = 0;
    uint64_t user_data_64 = 0;
    uint32_t user_data_32 = 0;
    uint16_t code = 0;
    uint16_t flags = 0;
  };
  u128 id = 0, amount = 0, pending_id = 0, user_data_128 = 0;
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint32_t timeout = 0;
  uint16_t code = 0;
  uint16_t flags = 0;
  uint32_t ledger = 0;
  uint8_t kind = 0;  // PendingState
  uint8_t reserved[39] = {};
  Side debit, credit;
  uint64_t timestamp = 0;
  uint64_t transfer_timestamp = 0, debit_timestamp = 0, credit_timestamp = 0;
};
static_assert(sizeof(ChangeEventsFilter) == 64 && sizeof(ChangeEventRecord) == 384 && kIsRecord<ChangeEventRecord>);
ChangeEventRecord to_record(const ChangeEvent& event);

// --- requests

// A request whose body is well formed. Views into the body.
struct WireRequest {
  OperationShape shape;
  BytesView events;              // without the trailer
  std::vector<uint16_t> counts;  // events of each batch; one without a trailer

  size_t event_count() const { return events.size() / shape.event_bytes; }
  // Results that the answer can have at most.
  size_t results_max = 0;
};
// kInvalid for a body that is not whole events in whole batches, that has more than a command takes, or whose answer
// could be too large for a reply. `shape` is shape_of(operation).
Result<WireRequest> decode_request(const OperationShape& shape, BytesView body);

// --- creating

// The command, without what only the ledger knows. `batches` gets the room for Command::batches and outlives the
// command: batches without events say nothing and are left out.
Command to_command(const WireRequest& request, const SessionRequest& from, std::vector<uint16_t>& batches);
// The body of the reply to a create request.
Bytes create_answer(const WireRequest& request, std::span<const CreateResult> results);

// --- asking

// Whose books the client may read. Called while a question runs, on the ledger's shard; empty: all.
using MayRead = std::function<bool(uint32_t ledger)>;

struct Answered {
  Bytes body;
  uint64_t op = 0, timestamp = 0;  // the last command that the answer reflects
};

// The answer to a question while it is made: several filters of one request, which have nothing to do with each other,
// are answered in slices, so that other work of the ledger's shard comes in between. The request outlives it.
class Answer {
 public:
  explicit Answer(const WireRequest& request);
  // Runs on the ledger's shard. False: to be called again.
  bool run(const Engine& engine, const MayRead& may_read);
  // Once run() said true.
  Answered finish() &&;

 private:
  template <class Row>
  void put(const std::vector<Row>& rows);
  void answer_batch(const Engine& engine, const MayRead& may_read, size_t batch);

  const WireRequest& request_;
  size_t next_ = 0, first_event_ = 0;
  Answered answered_;
  std::vector<uint16_t> counts_;
};

// --- bodies that a client sends

// Where the trailer of a body with one batch of `payload_bytes` goes; payload_bytes + trailer is the body.
Result<size_t> finish_body(const OperationShape& shape, MutableBytes room, size_t payload_bytes);
// The payload of a reply's body to a request of one batch. kCorrupt if it is none.
Result<BytesView> payload_of(const OperationShape& shape, BytesView body);

}  // namespace polis::ledger::tigerbeetle
