// Books: the operations of the JSON face, without HTTP. Joins what the engine knows (balances, transfers) with what the
// Store knows (names, references, metadata), in an order that every crash leaves mendable:
//
//     account:      rows (name taken, id chosen) ─► engine.   A repeated request finishes what a crash interrupted.
//     transaction:  row "accepted" with its transfers, synced ─► engine ─► row "booked" or "refused".
//                   start() sends again what was accepted and has no outcome: same ids, so nothing is booked twice.
//
// Made on its home shard; all functions but start() and stop() may be called on any shard. `wait` bounds how long a
// caller waits for an outcome, never the booking itself.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/ledger/faces/requests.h"
#include "systems/ledger/ledger.h"

namespace polis::ledger {

// An account as people see it. An account that was made on the binary port has no record until somebody names it.
struct NamedAccount {
  Account account;
  std::optional<AccountRecord> record;
  std::optional<LedgerRecord> ledger;
};

template <class T>
struct Made {
  T value;
  bool created = false;  // false: it was there already, made by the same request
};

// A transaction that may be booked now, or one whose key was used before.
struct Prepared {
  TransactionRecord record;
  std::vector<Transfer> transfers;  // empty for one that is known already
  bool known = false;
  // What stands against it before anything was written; then there is nothing to book.
  std::optional<Refusal> refusal;
};

struct Booked {
  TransactionRecord record;  // kAccepted: no outcome within the wait
  bool replayed = false;     // it had its outcome before this request
};

struct TransactionView {
  TransactionRecord record;
  std::vector<Transfer> transfers;             // as the engine has them; empty unless booked
  PendingState pending = PendingState::kNone;  // of the first one
};

struct AccountFilters {
  uint32_t ledger = 0;
  uint16_t code = 0;
  std::string name_prefix, owner, label_key, label_value;  // empty: any
  bool has_metadata() const { return !owner.empty() || !label_key.empty(); }
};

template <class T>
struct Page {
  std::vector<T> items;
  std::string next;  // empty: no more
};

inline constexpr size_t kPageMax = 1000;

class Books {
 public:
  Books(Ledger& ledger, store::Store& store, store::Keyspace rows, const Clock& clock);
  ~Books();

  // Sends again what a crash left without an outcome; the outcomes arrive later.
  Task<Result<void>> start();
  // Waits for the outcomes under way.
  Task<void> stop();

  Ledger& ledger() { return ledger_; }
  const Clock& clock() const { return clock_; }

  // --- ledgers
  Task<Result<Made<LedgerRecord>>> create_ledger(NewLedger wanted);  // kExists: another asset or scale
  Task<Result<std::vector<LedgerRecord>>> ledgers();
  Task<Result<std::optional<LedgerRecord>>> ledger(uint32_t id);

  // --- accounts
  // kNotFound: no such ledger; kExists: the name or id is taken by another account.
  Task<Result<Made<NamedAccount>>> create_account(NewAccount wanted);
  Task<Result<NamedAccount>> account(std::string name_or_id);
  // The account as it was after everything up to `timestamp`, summed up from its history.
  // kNotFound if it did not exist then.
  Task<Result<NamedAccount>> account_at(NamedAccount now, uint64_t timestamp);
  Task<Result<Account>> account_then(const Account& now, uint64_t timestamp);
  Task<Result<Page<NamedAccount>>> accounts(AccountFilters filters, std::string cursor, size_t limit);
  // kVersionMismatch unless its metadata has this version (0: has none yet).
  Task<Result<AccountRecord>> change_metadata(Id id, uint64_t version, MetadataPatch patch);
  // Records by id, for exports: empty where there is none.
  Task<Result<std::optional<AccountRecord>>> account_record(Id id);
  Task<Result<Id>> find_account(std::string name_or_id);

  // --- transactions
  // kConflict: the key stood for another transaction; kExists: the reference is another transaction's.
  Task<Result<Prepared>> prepare(NewTransaction request, std::string key);
  // Posts or voids pending transaction `parent`.
  Task<Result<Prepared>> prepare_end(Id parent, TransactionKind kind, NewPost request, std::string key);
  // Reverses what `parent` booked. kConflict if something else does so already.
  Task<Result<Prepared>> prepare_reversal(Id parent, std::string reference, std::string metadata, std::string key);
  // kBusy: nothing was booked. kUnavailable: the outcome is unknown and will be settled at the next start.
  Task<Result<Booked>> book(Prepared prepared, Duration wait);

  Task<Result<TransactionRecord>> transaction(Id id);
  Task<Result<Id>> find_transaction(std::string reference);
  Task<Result<TransactionView>> view(TransactionRecord record);
  // Newest first. `ledger` 0: all.
  Task<Result<Page<TransactionRecord>>> transactions(uint32_t ledger, std::string cursor, size_t limit);
  Task<Result<std::optional<TransactionRecord>>> transaction_if_any(Id id);

 private:
  struct Booking;
  using Txn = store::Txn;

  Task<Result<std::optional<std::string>>> read(std::string key);
  Task<Result<std::optional<Account>>> engine_account(Id id);
  Task<Result<NamedAccount>> join(Account account);
  Task<Result<Page<NamedAccount>>> accounts_by_name(AccountFilters filters, std::string after, size_t limit);
  Task<Result<AccountRecord>> write_account(Txn& txn, const NewAccount& wanted, bool& created);
  Task<Result<AccountRecord>> patch_account(Txn& txn, Id id, uint64_t version, const MetadataPatch& patch,
                                            const Account& account);
  Task<Result<void>> erase_account(AccountRecord record);

  struct Resolved;
  Task<Result<Resolved>> resolve(const NewTransaction& request);
  Task<Result<std::vector<Transfer>>> transfers_of(const TransactionRecord& record);
  Task<Result<std::optional<Prepared>>> known(Id id, const base::Sha256Digest& digest);
  Task<Result<void>> write_intent(const Prepared& prepared);
  Task<Result<Booked>> book_at_home(Prepared prepared, Duration wait);
  Task<Result<bool>> make_ready(Prepared& prepared);
  Task<void> run_booking(std::shared_ptr<Booking> booking, Prepared prepared);
  Task<Result<TransactionRecord>> settle(Prepared& prepared, Booking& booking);
  Task<Result<void>> write_outcome(const TransactionRecord& record, bool forget);
  Task<Result<std::vector<Transfer>>> working_transfers(Id id);

  Ledger& ledger_;
  store::Store& store_;
  store::Keyspace rows_;
  const Clock& clock_;
  io::Shard& home_;
  // On the home shard. Shared by the task that books and by the requests that wait for it; the last one frees it.
  std::map<Id, std::shared_ptr<Booking>> bookings_;
  io::TaskGroup running_;
  bool stopping_ = false;
};

// The outcome of a transaction's transfers, from the engine's results: booked, or refused and why.
void judge(std::span<const CreateResult> results, TransactionRecord& record);

// Signed balance on the account's normal side: debits less credits for assets and expenses, else credits less debits.
struct Signed {
  bool negative = false;
  u128 amount = 0;
};
Signed balance_of(const Account& account);

}  // namespace polis::ledger
