#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "kernel/base/binary.h"
#include "kernel/base/text_encoding.h"
#include "kernel/obs/log.h"
#include "kernel/store/transact.h"
#include "systems/ledger/faces/books.h"

namespace polis::ledger {
namespace {

// Look-ups of one visit to the ledger's shard: at some 100 ns each far below the millisecond that a visit may take.
constexpr size_t kLookupsMax = 1000;
// Between tries of a booking that nobody waits for any more, while the ledger is full.
constexpr Duration kBusyPause = std::chrono::milliseconds(50);
// Two that claim one reference or one reversal meet in the Store; each try costs a read.
constexpr int kIntentTriesMax = 8;

std::string raw_bytes(std::span<const Transfer> transfers) {
  return std::string(reinterpret_cast<const char*>(transfers.data()), transfers.size_bytes());
}

base::Sha256Digest digest_of_follow_up(TransactionKind kind, Id parent, const NewPost& request,
                                       std::string_view reference, std::string_view metadata) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(static_cast<uint8_t>(kind));
  out.sized(encode_id(parent));
  out.sized(reference);
  out.sized(metadata);
  for (const std::string& amount : request.amounts) out.sized(amount);
  return base::sha256(bytes);
}

// What a transaction writes down before it is sent; taken back if nothing of it was booked.
bool claims_reversal(const TransactionRecord& record) {
  return record.kind == TransactionKind::kReverse;
}

}  // namespace

// The outcome of a booking under way, for everybody who waits for it.
struct Books::Booking {
  base::Sha256Digest digest{};
  io::Event accepted, done;  // written down; settled
  bool replayed = false;     // an earlier request had written it down
  bool promised = false;     // somebody was told that it is accepted: it comes to an outcome
  bool forgetting = false;   // nobody was, and nobody will be
  Result<TransactionRecord> outcome;
};

void judge(std::span<const CreateResult> results, TransactionRecord& record) {
  record.state = TransactionState::kBooked;
  for (size_t i = 0; i < results.size(); ++i) {
    const auto status = static_cast<TransferStatus>(results[i].status);
    // Sent a second time: the ids are made of the transaction, so it is there as a whole.
    if (status == TransferStatus::kExists) {
      record.state = TransactionState::kBooked;
      return;
    }
    if (status == TransferStatus::kCreated || status == TransferStatus::kLinkedEventFailed) continue;
    if (record.state == TransactionState::kRefused) continue;
    record.state = TransactionState::kRefused;
    record.status = results[i].status;
    record.posting = static_cast<uint32_t>(i);
  }
}

// --- before booking

struct Books::Resolved {
  std::map<std::string, Party, std::less<>> parties;
  std::map<uint32_t, LedgerRecord> ledgers;
};

Task<Result<Books::Resolved>> Books::resolve(const NewTransaction& request) {
  std::set<std::string> names;
  for (const NewPosting& posting : request.postings) {
    names.insert(posting.from);
    names.insert(posting.to);
  }
  std::vector<std::pair<std::string, Id>> wanted;
  {
    auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
    for (const std::string& name : names) {
      if (auto id = parse_id(name)) {
        wanted.emplace_back(name, *id);
      } else if (check_account_name(name)) {
        auto row = CO_TRY(co_await txn->get(rows_, name_key(name)));
        if (row) wanted.emplace_back(name, CO_TRY(decode_id(row->value)));
      }
    }
  }
  Resolved resolved;
  for (size_t begin = 0; begin < wanted.size(); begin += kLookupsMax) {
    auto part = std::span(wanted).subspan(begin, std::min(kLookupsMax, wanted.size() - begin));
    auto found = CO_TRY(co_await ledger_.query([part](const Engine& engine) {
      std::vector<uint32_t> ledgers;
      for (const auto& [name, id] : part) {
        auto account = engine.account(id);
        ledgers.push_back(account ? account->ledger : 0);
      }
      return ledgers;
    }));
    for (size_t i = 0; i < part.size(); ++i) {
      if (found[i] == 0) continue;
      resolved.parties[part[i].first] = {part[i].second, found[i]};
      resolved.ledgers.try_emplace(found[i]);
    }
  }
  for (auto it = resolved.ledgers.begin(); it != resolved.ledgers.end();) {
    auto record = CO_TRY(co_await ledger(it->first));
    if (record)
      (it++)->second = std::move(*record);
    else
      it = resolved.ledgers.erase(it);
  }
  co_return resolved;
}

Task<Result<std::optional<TransactionRecord>>> Books::transaction_if_any(Id id) {
  auto value = CO_TRY(co_await read(transaction_key(id)));
  if (!value) co_return std::optional<TransactionRecord>();
  co_return std::optional<TransactionRecord>(CO_TRY(decode_transaction(*value)));
}

Task<Result<TransactionRecord>> Books::transaction(Id id) {
  auto record = CO_TRY(co_await transaction_if_any(id));
  if (!record) co_return fail(Code::kNotFound, "there is no transaction " + to_decimal(id));
  co_return std::move(*record);
}

Task<Result<Id>> Books::find_transaction(std::string reference) {
  auto value = reference.empty() || reference.size() > kReferenceBytesMax
                   ? std::optional<std::string>()
                   : CO_TRY(co_await read(reference_key(reference)));
  if (!value)
    co_return fail(Code::kNotFound,
                   "no transaction has the reference '" + reference.substr(0, kReferenceBytesMax) + "'");
  co_return decode_id(*value);
}

// The transaction of this id, if it is there: then it must be what is asked for now.
Task<Result<std::optional<Prepared>>> Books::known(Id id, const base::Sha256Digest& digest) {
  auto record = CO_TRY(co_await transaction_if_any(id));
  if (!record) co_return std::optional<Prepared>();
  if (record->digest != digest)
    co_return fail(Code::kConflict, "this key stood for another transaction before: " + to_decimal(id));
  co_return std::optional<Prepared>(
      Prepared{.record = std::move(*record), .transfers = {}, .known = true, .refusal = {}});
}

Task<Result<Prepared>> Books::prepare(NewTransaction request, std::string key) {
  if (key.empty() && request.reference.empty())
    co_return fail(Code::kInvalid, "send an Idempotency-Key, or give the transaction a \"reference\"");
  if (!key.empty()) CO_TRY(check_key(key));
  Prepared prepared;
  TransactionRecord& record = prepared.record;
  record.id = transaction_id(key, request.reference);
  record.digest = digest_of(request);
  if (auto before = CO_TRY(co_await known(record.id, record.digest))) co_return std::move(*before);

  Resolved resolved = CO_TRY(co_await resolve(request));
  const Names names{.party = [&](const std::string& name) -> std::optional<Party> {
                      auto at = resolved.parties.find(name);
                      return at == resolved.parties.end() ? std::nullopt : std::optional(at->second);
                    },
                    .ledger = [&](uint32_t id) -> const LedgerRecord* {
                      auto at = resolved.ledgers.find(id);
                      return at == resolved.ledgers.end() ? nullptr : &at->second;
                    }};
  record.key = std::move(key);
  record.reference = request.reference;
  record.metadata = request.metadata;
  record.pending = request.pending;
  record.timeout_s = request.timeout_s;
  auto compiled = compile(request, record.id, names);
  if (!compiled) {
    // Whoever may not read any of the ledgers must not learn what is in them: the right is asked for those it names.
    std::set<uint32_t> ledgers;
    for (const auto& [name, party] : resolved.parties) ledgers.insert(party.ledger);
    record.ledgers.assign(ledgers.begin(), ledgers.end());
    prepared.refusal = std::move(compiled).error();
    co_return prepared;
  }
  record.count = static_cast<uint32_t>(compiled->transfers.size());
  record.ledgers = std::move(compiled->ledgers);
  prepared.transfers = std::move(compiled->transfers);
  co_return prepared;
}

Task<Result<std::vector<Transfer>>> Books::transfers_of(const TransactionRecord& record) {
  std::vector<Transfer> transfers;
  for (uint32_t begin = 0; begin < record.count; begin += kLookupsMax) {
    const uint32_t end = std::min<uint32_t>(record.count, begin + kLookupsMax);
    auto found = CO_TRY(co_await ledger_.query([id = record.id, begin, end](const Engine& engine) {
      std::vector<Transfer> slice;
      for (uint32_t i = begin; i < end; ++i)
        if (auto transfer = engine.transfer(transfer_id(id, i))) slice.push_back(*transfer);
      return slice;
    }));
    transfers.insert(transfers.end(), found.begin(), found.end());
  }
  co_return transfers;
}

Task<Result<Prepared>> Books::prepare_end(Id parent, TransactionKind kind, NewPost request, std::string key) {
  if (!key.empty()) CO_TRY(check_key(key));
  const TransactionRecord pending = CO_TRY(co_await transaction(parent));
  Prepared prepared;
  TransactionRecord& record = prepared.record;
  record.id = follow_up_id(kind, parent, key);
  record.digest = digest_of_follow_up(kind, parent, request, {}, {});
  if (auto before = CO_TRY(co_await known(record.id, record.digest))) co_return std::move(*before);
  if (!pending.pending) co_return fail(Code::kConflict, "transaction " + to_decimal(parent) + " is not a pending one");
  if (pending.state != TransactionState::kBooked)
    co_return fail(Code::kConflict, fmt::format("transaction {} is {}", to_decimal(parent), name(pending.state)));
  record.kind = kind;
  record.parent = parent;
  record.key = std::move(key);
  record.count = pending.count;
  record.ledgers = pending.ledgers;
  prepared.transfers = CO_TRY(compile_end(CO_TRY(co_await transfers_of(pending)), record.id, kind, request));
  co_return prepared;
}

Task<Result<Prepared>> Books::prepare_reversal(Id parent, std::string reference, std::string metadata,
                                               std::string key) {
  if (!key.empty()) CO_TRY(check_key(key));
  CO_TRY(check_text("the reference", reference, kReferenceBytesMax));
  const TransactionRecord booked = CO_TRY(co_await transaction(parent));
  Prepared prepared;
  TransactionRecord& record = prepared.record;
  record.id = follow_up_id(TransactionKind::kReverse, parent, key);
  record.digest = digest_of_follow_up(TransactionKind::kReverse, parent, {}, reference, metadata);
  if (auto before = CO_TRY(co_await known(record.id, record.digest))) co_return std::move(*before);
  if (booked.state != TransactionState::kBooked)
    co_return fail(Code::kConflict, fmt::format("transaction {} is {}", to_decimal(parent), name(booked.state)));
  if (booked.kind == TransactionKind::kVoid)
    co_return fail(Code::kConflict, "a void moved nothing that could be reversed");
  if (booked.pending)
    co_return fail(Code::kConflict, "a pending transaction is voided; once posted, the post is what is reversed");
  prepared.transfers = compile_reversal(CO_TRY(co_await transfers_of(booked)), record.id);
  if (prepared.transfers.empty()) co_return fail(Code::kConflict, "it moved nothing that could be reversed");
  record.kind = TransactionKind::kReverse;
  record.parent = parent;
  record.key = std::move(key);
  record.reference = std::move(reference);
  record.metadata = std::move(metadata);
  record.count = static_cast<uint32_t>(prepared.transfers.size());
  record.ledgers = booked.ledgers;
  co_return prepared;
}

// --- booking

// Everything that is needed to finish it, on disk before the first transfer is sent.
Task<Result<void>> Books::write_intent(const Prepared& prepared) {
  const TransactionRecord& record = prepared.record;
  auto txn = CO_TRY(co_await store_.begin());
  if (!record.reference.empty()) {
    if (CO_TRY(co_await txn->get_for_update(rows_, reference_key(record.reference))))
      co_return fail(Code::kExists, "the reference '" + record.reference + "' is another transaction's");
    CO_TRY(txn->put(rows_, reference_key(record.reference), encode_id(record.id)));
  }
  if (claims_reversal(record)) {
    if (auto row = CO_TRY(co_await txn->get_for_update(rows_, reversal_key(record.parent))))
      co_return fail(Code::kConflict, fmt::format("transaction {} is reversed by {}", to_decimal(record.parent),
                                                  to_decimal(CO_TRY(decode_id(row->value)))));
    CO_TRY(txn->put(rows_, reversal_key(record.parent), encode_id(record.id)));
  }
  CO_TRY(txn->insert(rows_, transaction_key(record.id), encode(record)));
  CO_TRY(txn->put(rows_, recent_key(record.created_at, record.id), {}));
  CO_TRY(txn->put(rows_, working_key(record.id), raw_bytes(prepared.transfers)));
  CO_TRY(co_await txn->commit(store::Sync::kDisk));
  co_return Result<void>();
}

// `forget`: nothing was booked and the key may be used again. Not synced otherwise: what a power cut takes back is
// asked of the engine again.
Task<Result<void>> Books::write_outcome(const TransactionRecord& record, bool forget) {
  auto body = [&](Txn& txn) -> Task<Result<void>> {
    CO_TRY(txn.erase(rows_, working_key(record.id)));
    if (forget) {
      CO_TRY(txn.erase(rows_, transaction_key(record.id)));
      CO_TRY(txn.erase(rows_, recent_key(record.created_at, record.id)));
    } else {
      CO_TRY(txn.put(rows_, transaction_key(record.id), encode(record)));
    }
    if (forget || record.state == TransactionState::kRefused) {
      if (!record.reference.empty()) CO_TRY(txn.erase(rows_, reference_key(record.reference)));
      if (claims_reversal(record)) CO_TRY(txn.erase(rows_, reversal_key(record.parent)));
    }
    co_return Result<void>();
  };
  co_return co_await store::transact(store_, body, forget ? store::Sync::kDisk : store::Sync::kOs);
}

Task<Result<TransactionRecord>> Books::settle(Prepared& prepared, Booking& booking) {
  TransactionRecord& record = prepared.record;
  auto results = co_await ledger_.create_transfers(prepared.transfers);
  while (!results && results.error().code() == Code::kBusy) {
    // Somebody waits for a new one: he is told to come again. One that was accepted before is sent until it is taken.
    if (!prepared.known && !booking.promised) {
      booking.forgetting = true;
      CO_TRY(co_await write_outcome(record, true));
      co_return fail(results.error());
    }
    if (stopping_) co_return fail(results.error());
    CO_TRY(co_await io::sleep_for(kBusyPause));
    results = co_await ledger_.create_transfers(prepared.transfers);
  }
  if (!results) co_return fail(std::move(results).error());
  judge(*results, record);
  CO_TRY(co_await write_outcome(record, false));
  co_return record;
}

// Writes down what is to be booked, or finds what an earlier request wrote. False: that has its outcome already.
Task<Result<bool>> Books::make_ready(Prepared& prepared) {
  const Id id = prepared.record.id;
  for (int tries = 0;; ++tries) {
    if (prepared.known) {
      auto record = CO_TRY(co_await transaction_if_any(id));
      if (!record) co_return fail(Code::kBusy, "the ledger was full and has forgotten this transaction: come again");
      prepared.record = std::move(*record);
      if (prepared.record.state != TransactionState::kAccepted) co_return false;
      prepared.transfers = CO_TRY(co_await working_transfers(id));
      co_return true;
    }
    prepared.record.created_at = clock_.wall();
    auto written = co_await write_intent(prepared);
    if (written) co_return true;
    const Code code = written.error().code();
    if (code != Code::kConflict && code != Code::kExists) co_return fail(std::move(written).error());
    if (auto left = CO_TRY(co_await known(id, prepared.record.digest))) {
      prepared = std::move(*left);
    } else if (code == Code::kExists || tries == kIntentTriesMax) {
      co_return fail(std::move(written).error());
    }
  }
}

// Runs to its end whoever waits for it, or nobody.
Task<void> Books::run_booking(std::shared_ptr<Booking> booking, Prepared prepared) {
  const Id id = prepared.record.id;
  auto ready = co_await make_ready(prepared);
  booking->replayed = prepared.known;
  booking->accepted.set();
  if (!ready)
    booking->outcome = fail(std::move(ready).error());
  else if (!*ready)
    booking->outcome = std::move(prepared.record);
  else
    booking->outcome = co_await settle(prepared, *booking);
  if (!booking->outcome && booking->outcome.error().code() == Code::kUnavailable)
    obs::log_warning("a transaction has no outcome yet; it is sent again at the next start",
                     {{"transaction", to_decimal(id)}, {"error", booking->outcome.error()}});
  bookings_.erase(id);
  booking->done.set();
}

Task<Result<std::vector<Transfer>>> Books::working_transfers(Id id) {
  auto value = CO_TRY(co_await read(working_key(id)));
  if (!value || value->size() % sizeof(Transfer) != 0)
    co_return fail(Code::kCorrupt, "the transfers of transaction " + to_decimal(id) + " are not there as a whole");
  std::vector<Transfer> transfers(value->size() / sizeof(Transfer));
  std::memcpy(transfers.data(), value->data(), value->size());
  co_return transfers;
}

Task<Result<Booked>> Books::book(Prepared prepared, Duration wait) {
  POLIS_ASSERT(!prepared.refusal);
  if (prepared.known && prepared.record.state != TransactionState::kAccepted)
    co_return Booked{.record = std::move(prepared.record), .replayed = true};
  // The closure outlives the task: both live in this frame.
  auto at_home = [this, &prepared, wait] { return book_at_home(std::move(prepared), wait); };
  co_return co_await io::on(home_, at_home);
}

Task<Result<Booked>> Books::book_at_home(Prepared prepared, Duration wait) {
  const Id id = prepared.record.id;
  std::shared_ptr<Booking> booking;
  bool joined = false;
  if (auto under_way = bookings_.find(id); under_way != bookings_.end()) {
    booking = under_way->second;
    joined = true;
    if (booking->digest != prepared.record.digest)
      co_return fail(Code::kConflict, "this key stands for another transaction: " + to_decimal(id));
  } else {
    if (stopping_) co_return fail(Code::kUnavailable, "the ledger is closing");
    booking = std::make_shared<Booking>();
    booking->digest = prepared.record.digest;
    bookings_[id] = booking;
    running_.spawn(run_booking(booking, std::move(prepared)));
  }
  // Nobody is told "accepted" before it is written down.
  if (!booking->accepted.is_set()) CO_TRY(co_await booking->accepted.wait());
  if (!booking->done.is_set()) {
    auto arrived = co_await io::with_timeout(wait, booking->done.wait());
    if (!arrived && arrived.error().code() != Code::kTimeout) co_return fail(std::move(arrived).error());
  }
  if (!booking->done.is_set() && booking->forgetting) CO_TRY(co_await booking->done.wait());
  if (!booking->done.is_set()) {
    booking->promised = true;
    co_return Booked{.record = CO_TRY(co_await transaction(id)), .replayed = false};
  }
  if (!booking->outcome) co_return fail(booking->outcome.error());
  co_return Booked{.record = *booking->outcome, .replayed = joined || booking->replayed};
}

Task<Result<void>> Books::start() {
  auto txn = CO_TRY(co_await store_.begin());
  store::KeyRange range = store::prefix_range(working_prefix());
  for (;;) {
    store::Scan scan = CO_TRY(co_await txn->scan(rows_, range, {.keys_only = true}));
    for (const store::Row& row : scan.rows) {
      Prepared prepared;
      prepared.known = true;
      prepared.record = CO_TRY(co_await transaction(CO_TRY(id_at_end(row.key))));
      auto booking = std::make_shared<Booking>();
      booking->digest = prepared.record.digest;
      bookings_[prepared.record.id] = booking;
      running_.spawn(run_booking(booking, std::move(prepared)));
    }
    if (!scan.more) co_return Result<void>();
    range.begin = scan.rows.back().key + '\0';
  }
}

Task<void> Books::stop() {
  stopping_ = true;
  co_await running_.join();
}

// --- reading

Task<Result<TransactionView>> Books::view(TransactionRecord record) {
  TransactionView view;
  if (record.state != TransactionState::kRefused) view.transfers = CO_TRY(co_await transfers_of(record));
  // The row may lag behind a power cut; what the engine has is what happened.
  if (!view.transfers.empty() && record.state == TransactionState::kAccepted) record.state = TransactionState::kBooked;
  if (record.pending && !view.transfers.empty())
    view.pending = CO_TRY(co_await ledger_.query(
        [id = view.transfers.front().id](const Engine& engine) { return engine.pending_state(id); }));
  view.record = std::move(record);
  co_return view;
}

Task<Result<Page<TransactionRecord>>> Books::transactions(uint32_t ledger, std::string cursor, size_t limit) {
  store::KeyRange range = store::prefix_range(recent_prefix());
  if (!cursor.empty()) {
    auto bytes = base::hex_decode(cursor);
    if (!bytes || bytes->size() != 24) co_return fail(Code::kInvalid, "the cursor is none that a page gave");
    range.begin = recent_prefix() + std::string(as_text(*bytes)) + '\0';
  }
  Page<TransactionRecord> page;
  auto txn = CO_TRY(co_await store_.begin());
  std::string last;
  for (size_t examined = 0; page.items.size() < limit && examined < 4 * kPageMax;) {
    store::Scan scan = CO_TRY(co_await txn->scan(rows_, range, {.limit = limit, .keys_only = true}));
    for (const store::Row& row : scan.rows) {
      if (page.items.size() == limit) {
        scan.more = true;
        break;
      }
      last = row.key;
      ++examined;
      auto value = CO_TRY(co_await txn->get(rows_, transaction_key(CO_TRY(id_at_end(row.key)))));
      if (!value) continue;
      TransactionRecord record = CO_TRY(decode_transaction(value->value));
      if (ledger == 0 || std::ranges::binary_search(record.ledgers, ledger)) page.items.push_back(std::move(record));
    }
    if (!scan.more) co_return page;
    range.begin = last + '\0';
  }
  page.next = base::hex_encode(as_bytes(std::string_view(last).substr(1)));
  co_return page;
}

}  // namespace polis::ledger
