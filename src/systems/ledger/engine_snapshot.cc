// Saving the books while commands go on, and loading them again. A snapshot is a row of pieces, in this order:
//
//     1 header     behaviour u32 | ops u64 | timestamp_last u64 | pending_open u64 | due_stale u64 |
//                  counts u64: sessions, accounts, resolution words, due entries, ledgers, rows of each log
//     2 sessions   rows of Session           5 due        rows of Due
//     3 accounts   rows of Account           6 ledgers    rows of LedgerRow
//     4 resolutions                          7 .. 12      parts of the logs (ChunkedLog::Saver)
//
// A piece begins with its number, u8; most kinds have several pieces, or none. What chunks hold is not in it; ids,
// the chain's end and the ledgers' places are derived from the rows.
#include <algorithm>
#include <fmt/format.h>

#include "systems/ledger/engine_state.h"

namespace polis::ledger {
namespace {

enum Kind : uint8_t {
  kHeader = 1,
  kSessions = 2,
  kAccounts = 3,
  kResolutions = 4,
  kDue = 5,
  kLedgers = 6,
  kAccountLog = 7,
  kTransfers = 8,
  kRefusals = 9,
  kExpiries = 10,
  kBalances = 11,
  kBatches = 12,
};

// A quarter of a millisecond of copying, were memory cold.
constexpr size_t kPieceBytes = 256 << 10;

template <class Row>
BytesView bytes_of(const Row& row) {
  return {reinterpret_cast<const std::byte*>(&row), sizeof row};
}

// Appends rows of a frozen table from `next` on; false if there are none.
template <class Row>
bool save_rows(const PagedTable<Row>& table, uint64_t& next, Kind kind, base::Writer& piece) {
  if (next == table.frozen_size()) return false;
  piece.u8(kind);
  const uint64_t end = std::min<uint64_t>(table.frozen_size(), next + kPieceBytes / sizeof(Row));
  for (; next < end; ++next) piece.bytes(bytes_of(table.frozen(next)));
  return true;
}

template <class Row>
Result<void> load_rows(base::Reader& piece, PagedTable<Row>& table, uint64_t promised) {
  const BytesView rows = piece.rest();
  const size_t count = rows.size() / sizeof(Row);
  if (rows.size() % sizeof(Row) != 0 || count > promised - table.size())
    return fail(Code::kCorrupt, "a snapshot of the ledger has rows that its header does not count");
  for (size_t i = 0; i < count; ++i) table.append(record_at<Row>(rows, i));
  return {};
}

}  // namespace

struct Engine::Saver::State {
  explicit State(Engine::State& of)
      : engine(of),
        sessions(of.sessions.all()),
        logs{ChunkedLog::Saver(of.account_log), ChunkedLog::Saver(of.transfers), ChunkedLog::Saver(of.refusals),
             ChunkedLog::Saver(of.expiries),    ChunkedLog::Saver(of.balances),  ChunkedLog::Saver(of.batches)} {
    POLIS_ASSERT(!of.saving && !of.undo.active);
    of.saving = true;
    of.accounts.freeze();
    of.resolutions.pages().freeze();
    of.due.pages().freeze();
    of.ledgers.freeze();
    base::Writer out(header);
    out.u8(kHeader);
    out.u32(kBehaviour);
    out.u64(of.ops);
    out.u64(of.timestamp_last);
    out.u64(of.pending_open);
    out.u64(of.due.stale());
    out.u64(sessions.size());
    out.u64(of.accounts.size());
    out.u64(of.resolutions.pages().size());
    out.u64(of.due.pages().size());
    out.u64(of.ledgers.size());
    for (const ChunkedLog* log : of.logs()) out.u64(log->size());
  }
  ~State() {
    engine.saving = false;
    engine.accounts.thaw();
    engine.resolutions.pages().thaw();
    engine.due.pages().thaw();
    engine.ledgers.thaw();
  }

  Engine::State& engine;
  Bytes header;
  std::vector<Session> sessions;
  ChunkedLog::Saver logs[6];
  uint8_t kind = kHeader;
  uint64_t next = 0;  // row of this kind
  Bytes part;

  // The next piece of the current kind; false if there is none left.
  bool save(base::Writer& piece) {
    switch (kind) {
      case kHeader:
        if (next++ > 0) return false;
        piece.bytes(header);
        return true;
      case kSessions:
        if (next == sessions.size()) return false;
        piece.u8(kSessions);
        for (; next < sessions.size(); ++next) piece.bytes(bytes_of(sessions[next]));  // 192 kB at most
        return true;
      case kAccounts:
        return save_rows(engine.accounts, next, kAccounts, piece);
      case kResolutions:
        return save_rows(engine.resolutions.pages(), next, kResolutions, piece);
      case kDue:
        return save_rows(engine.due.pages(), next, kDue, piece);
      case kLedgers:
        return save_rows(engine.ledgers, next, kLedgers, piece);
      default:
        return save_log(piece);
    }
  }

  bool save_log(base::Writer& piece) {
    part.clear();
    base::Writer out(part);
    if (!logs[kind - kAccountLog].next(out, kPieceBytes)) return false;
    piece.u8(kind);
    piece.bytes(part);
    return true;
  }
};

Engine::Saver::Saver(const Engine& engine) : state_(std::make_unique<State>(*engine.state_)) {}
Engine::Saver::~Saver() = default;

bool Engine::Saver::next(base::Writer& piece) {
  for (; state_->kind <= kBatches; ++state_->kind, state_->next = 0)
    if (state_->save(piece)) return true;
  return false;
}

Result<void> Engine::State::load_log(size_t number, base::Reader& piece) {
  // Every log has at least one piece; that of an empty one changes nothing, so it is counted here.
  bool& seen = loading.log_seen[number];
  if (seen && loading.logs[number] == 0) return fail(Code::kCorrupt, "a snapshot of the ledger has an empty log twice");
  seen = true;
  TRY(logs()[number]->load(piece));
  return piece.finish();
}

Result<void> Engine::load(BytesView piece) {
  State& s = *state_;
  base::Reader reader(piece);
  const uint8_t kind = reader.u8();
  if (kind < s.loading.kind || (kind == kHeader) != (s.loading.kind == 0) || kind > kBatches)
    return fail(Code::kCorrupt, fmt::format("a snapshot of the ledger has a piece of kind {} behind one of kind {}",
                                            kind, s.loading.kind));
  if (kind == kSessions && s.loading.kind == kSessions)
    return fail(Code::kCorrupt, "a snapshot of the ledger has its sessions twice");
  s.loading.kind = kind;
  switch (kind) {
    case kHeader: {
      POLIS_ASSERT(s.ops == 0 && s.accounts.size() == 0);
      const uint32_t behaviour = reader.u32();
      s.ops = reader.u64();
      s.timestamp_last = reader.u64();
      s.pending_open = reader.u64();
      s.due.load_stale(reader.u64());
      s.loading.sessions = reader.u64();
      s.loading.accounts = reader.u64();
      s.loading.resolutions = reader.u64();
      s.loading.due = reader.u64();
      s.loading.ledgers = reader.u64();
      for (uint64_t& rows : s.loading.logs) rows = reader.u64();
      if (behaviour > kBehaviour) reader.reject("a snapshot of rules that this build does not know");
      return reader.finish();
    }
    case kSessions: {
      const BytesView rows = reader.rest();
      if (rows.size() % sizeof(Session) != 0) reader.reject("a part of a session");
      for (size_t i = 0; i < rows.size() / sizeof(Session); ++i) s.sessions.load(record_at<Session>(rows, i));
      return reader.finish();
    }
    case kAccounts:
      return load_rows(reader, s.accounts, s.loading.accounts);
    case kResolutions:
      return load_rows(reader, s.resolutions.pages(), s.loading.resolutions);
    case kDue:
      return load_rows(reader, s.due.pages(), s.loading.due);
    case kLedgers:
      return load_rows(reader, s.ledgers, s.loading.ledgers);
    default:
      return s.load_log(kind - kAccountLog, reader);
  }
}

Result<void> Engine::load_finished() {
  State& s = *state_;
  const auto check = [](bool holds, const char* what) -> Result<void> {
    if (!holds) return fail(Code::kCorrupt, fmt::format("a snapshot of the ledger does not fit together: {}", what));
    return {};
  };
  TRY(check(s.loading.kind != 0, "it has no header"));
  TRY(check(s.sessions.size() == s.loading.sessions, "sessions are missing"));
  TRY(check(s.accounts.size() == s.loading.accounts, "accounts are missing"));
  TRY(check(s.resolutions.pages().size() == s.loading.resolutions, "resolutions are missing"));
  TRY(check(s.due.pages().size() == s.loading.due, "due transfers are missing"));
  TRY(check(s.ledgers.size() == s.loading.ledgers, "ledgers are missing"));

  TRY(s.account_log.finish_load({}));
  TRY(s.transfers.finish_load([&s](uint64_t slot, uint64_t hash) {
    if (slot == 0) s.transfer_ids.reserve(s.transfers.size());
    s.transfer_ids.insert(hash, State::transfer_reference(slot));
  }));
  TRY(s.refusals.finish_load([&s](uint64_t slot, uint64_t hash) {
    if (hash != 0) s.transfer_ids.insert(hash, State::burned_reference(slot));
  }));
  TRY(s.expiries.finish_load({}));
  TRY(s.balances.finish_load({}));
  TRY(s.batches.finish_load({}));

  for (size_t i = 0; i < s.loading.logs.size(); ++i)
    TRY(check(s.loading.log_seen[i] && s.logs()[i]->size() == s.loading.logs[i], "the number of rows of a log"));
  TRY(check(s.batches.size() == s.ops, "the number of commands"));
  const BatchRow last = s.ops == 0 ? BatchRow{} : s.batch_row(s.ops);
  TRY(check(last.timestamp == s.timestamp_last, "the last timestamp"));
  TRY(check(last.accounts == s.accounts.size() && last.accounts == s.account_log.size(), "the number of accounts"));
  TRY(check(last.transfers == s.transfers.size(), "the number of transfers"));
  TRY(check(last.refusals == s.refusals.size(), "the number of refusals"));
  TRY(check(last.expiries == s.expiries.size(), "the number of expiries"));
  TRY(check(s.resolutions.holds(s.transfers.size()), "the number of resolutions"));
  for (uint64_t i = 0; i < s.due.pages().size(); ++i)
    TRY(check(s.due.pages()[i].transfer < s.transfers.size(), "a due transfer that is not there"));

  for (uint64_t i = 0; i < s.ledgers.size(); ++i) s.ledger_slots[s.ledgers[i].ledger] = i;
  s.account_ids.reserve(s.accounts.size());
  for (uint64_t slot = 0; slot < s.accounts.size(); ++slot) {
    const Account& account = s.accounts[slot];
    TRY(check(s.ledger_slots.contains(account.ledger), "an account of an unknown ledger"));
    s.account_ids.insert(s.account_ids.hash(account.id), slot);
  }
  if (s.ops > 0) {
    s.head = {.previous = last.previous, .root = last.root};
    s.head_hash = State::link_of(s.ops, last).head_after();
  }
  return {};
}

std::array<ChunkedLog*, 6> Engine::State::logs() {
  return {&account_log, &transfers, &refusals, &expiries, &balances, &batches};
}

uint64_t Engine::State::memory_bytes() const {
  return accounts.memory_bytes() + resolutions.pages().memory_bytes() + due.pages().memory_bytes() +
         ledgers.memory_bytes() + account_ids.memory_bytes() + transfer_ids.memory_bytes() +
         account_log.memory_bytes() + transfers.memory_bytes() + refusals.memory_bytes() + expiries.memory_bytes() +
         balances.memory_bytes() + batches.memory_bytes() + records.size() * sizeof(Record) +
         lookahead.size() * sizeof(Lookahead);
}

}  // namespace polis::ledger
