// The engine from the inside: what it remembers, and the steps of a command. One file of definitions a subject:
//
//     engine.cc             commands in, replies out: timestamps, sessions, the chain
//     engine_batch.cc       what accounts and transfers have in common: the order of checks, linked chains, undo
//     engine_accounts.cc    creating accounts
//     engine_transfers.cc   creating transfers of one phase, and the first of two
//     engine_pending.cc     the second phase: post, void, expire
//     engine_queries.cc     filters, searches
//     engine_history.cc     balances and changes of the past, from the logs
//     engine_proofs.cc      links, inclusion proofs, replies of the past
//     engine_snapshot.cc    saving while commands go on, loading
//     engine_command.cc     commands as bytes
#pragma once

#include <array>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "systems/ledger/engine.h"
#include "systems/ledger/engine_due.h"
#include "systems/ledger/engine_resolutions.h"
#include "systems/ledger/engine_rows.h"
#include "systems/ledger/engine_rules.h"
#include "systems/ledger/engine_sessions.h"
#include "systems/ledger/storage/chunked_log.h"
#include "systems/ledger/storage/id_index.h"
#include "systems/ledger/storage/paged_table.h"

namespace polis::ledger {

// Transfers of a ledger, for the trial balance.
struct LedgerRow {
  uint64_t transfers = 0;
  uint32_t ledger = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(LedgerRow) == 16 && kIsRecord<LedgerRow>);

struct Engine::State {
  static constexpr uint64_t kNone = IdIndex::kNone;
  // An account without `history` gets a BalanceRow when the transfer's slot is a multiple: the sum from the last one is
  // short on average, and rows take 3 bytes a transfer.
  static constexpr uint64_t kBalanceEvery = 64;

  explicit State(const EngineOptions& options);

  // --- what stands in the books
  EngineOptions options;
  PagedTable<Account> accounts;  // as they are now
  ChunkedLog account_log;        // as they were created; the same slots
  IdIndex account_ids;           // to slots
  ChunkedLog transfers;
  IdIndex transfer_ids;  // to transfer_reference(slot) or burned_reference(slot)
  Resolutions resolutions;
  DueQueue due;
  uint64_t pending_open = 0;
  ChunkedLog refusals;
  ChunkedLog expiries;
  ChunkedLog balances;
  ChunkedLog batches;
  PagedTable<LedgerRow> ledgers;
  std::unordered_map<uint32_t, uint64_t> ledger_slots;  // derived from `ledgers`
  Sessions sessions{kSessionsMax};
  uint64_t ops = 0;
  uint64_t timestamp_last = 0;
  BatchHead head;
  Hash head_hash{};  // of the chain's end; derived from `head` and the last command
  bool saving = false;

  static uint64_t transfer_reference(uint64_t slot) { return slot * 2; }
  static uint64_t burned_reference(uint64_t refusal_slot) { return refusal_slot * 2 + 1; }
  static bool is_burned(uint64_t reference) { return (reference & 1) != 0; }

  Transfer transfer_at(uint64_t slot) const { return row_at<Transfer>(transfers, slot); }
  // Slots, or kNone.
  uint64_t find_account(Id id) const { return find_account(id, account_ids.hash(id)); }
  uint64_t find_account(Id id, uint64_t hash) const {
    return account_ids.find(hash, [&](uint64_t slot) { return accounts[slot].id == id; });
  }
  // A reference, or kNone.
  uint64_t find_transfer_id(Id id, uint64_t hash) const {
    return transfer_ids.find(hash, [&](uint64_t reference) {
      const std::byte* row = is_burned(reference) ? refusals.row(reference / 2) : transfers.row(reference / 2);
      return read_row<Id>(row) == id;
    });
  }
  // What was looked up for an event before its turn.
  struct Lookahead {
    uint64_t id_hash = 0;
    uint64_t debit_hash = 0, credit_hash = 0;
    uint64_t debit_slot = 0, credit_slot = 0;  // probably; kNone: certainly none
    // Of a second phase: the hash of the pending transfer's id, and its reference, probably; kNone: none a while ago.
    uint64_t pending_hash = 0, pending_reference = 0;
  };
  // The slot of the transfer that an event's second phase is of, or kNone.
  uint64_t find_pending(Id id, const Lookahead& ahead) const {
    uint64_t reference = ahead.pending_reference;
    // A chain that was undone meanwhile may have taken its transfers along.
    const bool known = reference != kNone && !is_burned(reference) && reference / 2 < transfers.size();
    if (!known || transfer_at(reference / 2).id != id) reference = find_transfer_id(id, ahead.pending_hash);
    return reference == kNone || is_burned(reference) ? kNone : reference / 2;
  }
  // The slot of a transfer that exists, or kNone.
  uint64_t find_transfer(Id id) const {
    const uint64_t reference = find_transfer_id(id, transfer_ids.hash(id));
    return reference == kNone || is_burned(reference) ? kNone : reference / 2;
  }
  bool is_open(const Due& entry) const { return resolutions[entry.transfer] == Resolution::kOpen; }
  // Slots of the rows of a log in order of time whose timestamps, at that offset, are in [min, max].
  struct Slots {
    uint64_t begin = 0, end = 0;
  };
  static Slots slots_between(const ChunkedLog& log, uint64_t timestamp_offset, uint64_t timestamp_min,
                             uint64_t timestamp_max);

  // --- the command at work: scratch that is reused
  struct alignas(64) Record {
    std::byte bytes[128];
  };
  std::vector<Record> records;        // events as sent at first, as stored when created
  std::vector<CreateResult> results;  // one an event
  std::vector<uint32_t> statuses;     // of `results`, for the leaves
  std::vector<Hash> leaves;
  std::vector<Lookahead> lookahead;
  std::vector<RefusalRow> refused;
  BytesView events;               // as sent
  uint64_t refusals_before = 0;   // the command
  uint64_t ledger_slot_last = 0;  // where the last transfer was counted

  template <class Event>
  Event& event(size_t i) {
    return *reinterpret_cast<Event*>(records[i].bytes);
  }

  // --- undo: what a linked chain has changed so far
  struct Undo {
    bool active = false;
    uint64_t accounts = 0, transfers = 0, balances = 0, ledgers = 0;  // sizes when it began
    std::vector<std::pair<uint64_t, Account>> changed;                // accounts by slot, as they were before
    std::vector<uint64_t> resolved;                                   // slots of pending transfers
    std::vector<Due> due;                                             // joins the queue when the chain holds
    uint64_t due_stale = 0;
    uint64_t pending_open = 0;
  };
  Undo undo;
  void begin_chain();
  void keep_chain();
  void undo_chain();

  // --- engine.cc
  Reply apply(const Command& command);
  void finish(const Command& command, size_t leaf_count);

  // --- engine_batch.cc
  void create(const Command& command);
  template <class Rules>
  void create_batch(size_t begin, size_t count, uint64_t timestamp);
  template <class Rules>
  void refuse(size_t i, uint32_t status, uint64_t timestamp);
  void hash_leaves(size_t count, uint64_t timestamp);

  // --- engine_accounts.cc. The status, and the timestamp of the account that was created or exists.
  AccountStatus create_account(size_t i, uint64_t timestamp_event, uint64_t& timestamp);

  // --- engine_transfers.cc
  void look_far_ahead(size_t begin, size_t end);
  void look_near_ahead(size_t begin, size_t end);
  // A transfer without flags between open accounts, if nothing at all stands against it; else false, and the long way
  // finds out what.
  bool create_plain(size_t i, uint64_t timestamp_event);
  TransferStatus create_transfer(size_t i, uint64_t timestamp_event, uint64_t& timestamp);
  TransferStatus existing_transfer(const Transfer& event, uint64_t reference, uint64_t& timestamp) const;
  // kCreated if an imported event of this timestamp may stand; else why not.
  TransferStatus check_imported(const Transfer& event) const;
  uint64_t probable_account(Id id, uint64_t probable_slot, uint64_t hash) const;
  Account& change_account(uint64_t slot);
  // Appends the record of event i as it stands now; returns its slot.
  uint64_t store_transfer(size_t i);
  void note_balances(uint64_t transfer_slot, uint64_t debit_slot, uint64_t credit_slot);
  void note_balance(uint64_t transfer_slot, uint64_t account_slot);

  // --- engine_pending.cc
  TransferStatus finish_pending(size_t i, uint64_t timestamp_event, uint64_t& timestamp);
  void resolve(uint64_t slot, const Transfer& pending, Resolution resolution);
  size_t expire(uint64_t timestamp);

  // --- engine_queries.cc
  // Calls visit(slot, transfer) for what the query finds, in its order.
  template <class Visit>
  void visit_transfers(const TransferQuery& query, Visit visit) const;
  BalanceRow balance_after(uint64_t transfer_slot, uint64_t account_slot) const;

  // --- engine_proofs.cc
  static BatchLink link_of(uint64_t op, const BatchRow& row);
  std::vector<CreateResult> results_of(uint64_t op) const;
  BatchRow batch_row(uint64_t op) const { return row_at<BatchRow>(batches, op - 1); }
  // The sizes before `op`.
  BatchRow batch_row_before(uint64_t op) const { return op <= 1 ? BatchRow{} : batch_row(op - 1); }

  // --- engine_snapshot.cc
  // What the header of the snapshot promises, while it is loaded.
  struct Loading {
    uint8_t kind = 0;  // of the last piece
    uint64_t sessions = 0, accounts = 0, resolutions = 0, due = 0, ledgers = 0;
    std::array<uint64_t, 6> logs{};  // rows
    std::array<bool, 6> log_seen{};
  };
  Loading loading;
  Result<void> load_log(size_t number, base::Reader& piece);
  std::array<ChunkedLog*, 6> logs();  // in the order of the snapshot
  uint64_t memory_bytes() const;
};

}  // namespace polis::ledger
