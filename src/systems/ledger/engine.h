// The rules of double-entry books: create commands in, one result an event out, and answers to questions.
// Deterministic: no I/O, clock, thread or randomness; time arrives inside commands. A Machine
// (kernel/machine/machine.h), so the Replica makes it durable, recovers and proves it.
//
//     command ─► for each event: checks in their fixed order ─► balances, history, indexes ─► result
//             └► Merkle tree over the batch's records and results ─► chain of heads (chain.h) = the outcome's digest
//
// Lives on one shard. State, and what a million transfers cost:
//
//     accounts      PagedTable of 128-byte records, hashed by id                  memory
//     history       ChunkedLog of 128-byte transfers, indexed by field            128 MB of chunk files, mapped
//     ids           IdIndex: 8 bytes an entry                                     12 to 16 MB of memory
//     refusals      ChunkedLog: what failed; a transient failure burns its id     64 MB if all failed
//     batches       ChunkedLog: Merkle root and head of every command             128 bytes a command
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/ledger/chain.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

class ChunkStore;  // storage/chunk_store.h: where full chunks of the logs go; null keeps them in memory

// What changes the books. The numbers are those of the client protocol where it has one.
enum class Operation : uint8_t {
  kRegister = 2,  // opens a client session; its reply is the session's number
  kExpire = 128,  // timer: releases pending transfers that are due
  kCreateAccounts = 146,
  kCreateTransfers = 147,
};

// The most events of a command; a message of 1 MiB holds 8,189 of them. More is a broken invariant, not an error:
// callers check.
inline constexpr size_t kBatchEventsMax = 8'190;
inline constexpr size_t kSessionsMax = 4'096;

// Who sent a command, for at-most-once: the engine keeps the last reply of each session. Zeros: nobody's session.
struct SessionRequest {
  u128 client = 0;
  uint64_t session = 0;
  uint32_t request = 0;
};

// One record of the journal. Does not own its bytes: they live until submit() has returned, or while it is decoded.
struct Command {
  Operation operation = Operation::kCreateTransfers;
  // Of the last event; event i of n gets timestamp-(n-1-i). Above timestamp_last() + n: the caller asks
  // next_timestamp().
  uint64_t timestamp = 0;
  SessionRequest from;
  // Events that stand together, in order; a linked chain does not reach across. Empty: all events are one batch.
  std::span<const uint16_t> batches;
  BytesView events;  // 128 bytes each, any alignment; empty for kRegister and kExpire
};

struct Reply {
  uint64_t op = 0;                    // number of the command, from 1, without gaps
  uint64_t timestamp = 0;             // the command's
  uint64_t session = 0;               // kRegister: the session's number, which is the op
  bool replayed = false;              // an older reply to the same request
  std::vector<CreateResult> results;  // one an event
  BatchHead head;                     // of the chain after this command
};

struct EngineOptions {
  ChunkStore* chunks = nullptr;  // outlives the engine
  // Rows of a chunk, and of a run of its index: powers of two. Small ones are for tests.
  uint32_t rows_per_chunk = 1 << 20;
  uint32_t rows_per_run = 1 << 15;
  // A secret of the installation, so that nobody chooses ids that meet in one place of the id indexes. No result
  // depends on it, but chunks keep hashes made with it: another one costs their computation at a start.
  uint64_t id_hash_key = 0;
};

// A question about transfers with every predicate that there is; all that are set must hold. The filters of the
// protocol become one of these.
struct TransferQuery {
  std::optional<Id> account;  // on either side, as the next two say
  bool debits = true, credits = true;
  u128 user_data_128 = 0;  // 0: any, as for the next four
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint32_t ledger = 0;
  uint16_t code = 0;
  u128 amount_min = 0, amount_max = kU128Max;
  uint64_t timestamp_min = 0, timestamp_max = kTimestampMax;
  uint32_t limit = 0;
  bool reversed = false;  // newest first
};

struct AccountQuery {
  u128 user_data_128 = 0;
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint32_t ledger = 0;
  uint16_t code = 0;
  uint64_t timestamp_min = 0, timestamp_max = kTimestampMax;
  uint32_t limit = 0;
  bool reversed = false;
};

// Empty for a filter that is not valid: limit 0, min above max, a timestamp of 2^63 or more, an unknown flag, a
// reserved byte that is not zero, no side, an id that no account can have.
std::optional<TransferQuery> to_query(const AccountFilter& filter);
std::optional<TransferQuery> to_transfer_query(const QueryFilter& filter);
std::optional<AccountQuery> to_account_query(const QueryFilter& filter);

enum class PendingState : uint8_t { kNone = 0, kPending = 1, kPosted = 2, kVoided = 3, kExpired = 4 };

// A change of two accounts, as change-data-capture shows it: a transfer that was created, or a pending one that
// expired.
struct ChangeEvent {
  Transfer transfer;                        // as stored; for an expiry the pending transfer
  PendingState kind = PendingState::kNone;  // kNone: single-phase; kPending: reserved; then what ended the reservation
  uint64_t timestamp = 0;                   // of the change
  Account debit_account, credit_account;    // right after it
};

class Engine {
 public:
  static constexpr std::string_view kName = "ledger";
  static constexpr uint32_t kBehaviour = 1;
  static constexpr uint32_t kOldestBehaviour = 1;
  using Command = ledger::Command;
  using Reply = ledger::Reply;
  using Digest = BatchHead;  // previous head and Merkle root: what replay must reproduce

  explicit Engine(EngineOptions options = {});
  ~Engine();

  // --- commands
  void behave_as(uint32_t behaviour);
  Reply apply(const Command& command);
  // The timestamp for a command of `events` events (0 counts as 1) submitted at `now_ns`: above everything before it.
  uint64_t next_timestamp(uint64_t now_ns, size_t events) const;
  // When the next pending transfer is due, in ns since 1970; empty if none is. kExpire with a timestamp at or above it
  // releases those that are due, oldest due first: as many as there are timestamps behind the last command's, and at
  // most kBatchEventsMax. The rest is next_expiry() again.
  std::optional<uint64_t> next_expiry() const;
  // The reply that the session's last command got, if it was this request. Then it must not be submitted again. A
  // request to register (session 0) has one as long as the client's session had no other command.
  std::optional<Reply> stored_reply(const SessionRequest& from) const;
  // kCurrent: the session's last request (then stored_reply() has the answer) or a later one. kPast: a request before
  // it. kUnknown: evicted or never registered. kOlder, kNewer: `from.session` is below or above the client's session.
  enum class SessionState : uint8_t { kCurrent, kUnknown, kOlder, kNewer, kPast };
  SessionState session_state(const SessionRequest& from) const;

  // --- questions: what is committed now. Pure reads, but a cold chunk may fault a page in.
  std::optional<Account> account(Id id) const;
  std::optional<Transfer> transfer(Id id) const;
  PendingState pending_state(Id transfer_id) const;
  std::vector<Transfer> transfers(const TransferQuery& query) const;
  std::vector<Account> accounts(const AccountQuery& query) const;
  // Balances after the transfers that the query finds, of its account; empty unless that account keeps history.
  std::vector<AccountBalance> balances(const TransferQuery& query) const;
  // Every change in [timestamp_min, timestamp_max], oldest first, at most `limit`.
  std::vector<ChangeEvent> changes(uint64_t timestamp_min, uint64_t timestamp_max, uint32_t limit) const;
  // The account as it was after everything up to and including `timestamp`, summed up from its history (not from stored
  // balances, which are only changed by commands): O(its transfers). Empty if it did not exist then.
  std::optional<Account> account_at(Id id, uint64_t timestamp) const;

  // Debits and credits of all accounts of a ledger; equal, pending and posted each, or the books are broken.
  struct Totals {
    uint32_t ledger = 0;
    uint64_t accounts = 0, transfers = 0;
    u128 debits_pending = 0, debits_posted = 0, credits_pending = 0, credits_posted = 0;
  };
  std::vector<Totals> trial_balance() const;  // by ledger; O(accounts)

  struct Counts {
    uint64_t ops = 0, accounts = 0, transfers = 0, refusals = 0, expired = 0, pending_open = 0, sessions = 0;
    uint64_t timestamp_last = 0;
    uint64_t memory_bytes = 0;
  };
  Counts counts() const;

  // --- the chain
  const BatchHead& head() const;  // after the last command
  // The command `op` as the chain has it; kOutOfRange unless 1 <= op <= counts().ops.
  Result<BatchLink> link(uint64_t op) const;
  // Everything needed to check, without polis, that the transfer or account is in the chain (chain.h). kNotFound.
  Result<InclusionProof> prove(Id transfer_id) const;

  // --- Machine
  static void encode(const Command& command, base::Writer& out);
  static Result<Command> decode(BytesView in);
  static Digest digest(const Reply& reply) { return reply.head; }
  // Saves the state as it is at construction, while commands go on: pages that change are copied first. One at a time.
  class Saver {
   public:
    explicit Saver(const Engine& engine);
    ~Saver();
    bool next(base::Writer& piece);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };
  static constexpr bool kSavesWhileRunning = true;
  Result<void> load(BytesView piece);
  // After the last piece: rebuilds the indexes from the chunks. kCorrupt if chunks are missing or damaged.
  Result<void> load_finished();

  struct State;  // engine_state.h

 private:
  std::unique_ptr<State> state_;
};

}  // namespace polis::ledger
