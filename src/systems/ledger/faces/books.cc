#include "systems/ledger/faces/books.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "kernel/store/transact.h"
#include "systems/ledger/faces/past_account.h"

namespace polis::ledger {
namespace {

// How many accounts a page looks at for a rare owner or label before it answers with what it has.
constexpr size_t kExaminedMax = 4 * kPageMax;

Result<uint64_t> cursor_time(std::string_view cursor) {
  auto value = parse_decimal(cursor);
  if (!value || *value > kTimestampMax) return fail(Code::kInvalid, "the cursor is none that a page gave");
  return static_cast<uint64_t>(*value);
}

bool fits(const NamedAccount& named, const AccountFilters& filters) {
  if (filters.ledger != 0 && named.account.ledger != filters.ledger) return false;
  if (filters.code != 0 && named.account.code != filters.code) return false;
  if (!filters.has_metadata()) return true;
  if (!named.record) return false;
  if (!filters.owner.empty() && named.record->owner != filters.owner) return false;
  if (filters.label_key.empty()) return true;
  auto label = named.record->labels.find(filters.label_key);
  return label != named.record->labels.end() && (filters.label_value.empty() || label->second == filters.label_value);
}

bool same_wish(const AccountRecord& record, const NewAccount& wanted) {
  return record.ledger == wanted.ledger && record.code == wanted.code && record.flags == wanted.flags &&
         (!wanted.id || record.id == *wanted.id) && record.name == wanted.name;
}

}  // namespace

Books::Books(Ledger& ledger, store::Store& store, store::Keyspace rows, const Clock& clock)
    : ledger_(ledger), store_(store), rows_(rows), clock_(clock), home_(io::Shard::current()) {}
Books::~Books() = default;

Signed balance_of(const Account& account) {
  u128 up = account.credits_posted, down = account.debits_posted;
  if (debit_normal(account.code)) std::swap(up, down);
  return up >= down ? Signed{false, up - down} : Signed{true, down - up};
}

Task<Result<std::optional<std::string>>> Books::read(std::string key) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  auto row = CO_TRY(co_await txn->get(rows_, key));
  if (!row) co_return std::optional<std::string>();
  co_return std::optional<std::string>(std::move(row->value));
}

// --- ledgers

Task<Result<Made<LedgerRecord>>> Books::create_ledger(NewLedger wanted) {
  LedgerRecord record{.id = wanted.id, .asset = wanted.asset, .scale = wanted.scale, .created_at = clock_.wall()};
  bool created = false;
  auto body = [&](Txn& txn) -> Task<Result<LedgerRecord>> {
    auto row = CO_TRY(co_await txn.get_for_update(rows_, ledger_key(record.id)));
    created = !row;
    if (row) co_return decode_ledger(row->value);
    CO_TRY(txn.put(rows_, ledger_key(record.id), encode(record)));
    co_return record;
  };
  LedgerRecord stored = CO_TRY(co_await store::transact(store_, body));
  if (stored.asset != wanted.asset || stored.scale != wanted.scale)
    co_return fail(Code::kExists,
                   fmt::format("ledger {} is there with asset {} and scale {}", stored.id, stored.asset, stored.scale));
  co_return Made<LedgerRecord>{std::move(stored), created};
}

Task<Result<std::vector<LedgerRecord>>> Books::ledgers() {
  std::vector<LedgerRecord> found;
  auto txn = CO_TRY(co_await store_.begin());
  store::KeyRange range = store::prefix_range(ledgers_prefix());
  for (;;) {
    store::Scan scan = CO_TRY(co_await txn->scan(rows_, range));
    for (const store::Row& row : scan.rows) found.push_back(CO_TRY(decode_ledger(row.value)));
    if (!scan.more) break;
    range.begin = scan.rows.back().key + '\0';
  }
  co_return found;
}

Task<Result<std::optional<LedgerRecord>>> Books::ledger(uint32_t id) {
  auto value = CO_TRY(co_await read(ledger_key(id)));
  if (!value) co_return std::optional<LedgerRecord>();
  co_return std::optional<LedgerRecord>(CO_TRY(decode_ledger(*value)));
}

// --- accounts

Task<Result<std::optional<Account>>> Books::engine_account(Id id) {
  co_return co_await ledger_.query([id](const Engine& engine) { return engine.account(id); });
}

Task<Result<std::optional<AccountRecord>>> Books::account_record(Id id) {
  auto value = CO_TRY(co_await read(account_key(id)));
  if (!value) co_return std::optional<AccountRecord>();
  co_return std::optional<AccountRecord>(CO_TRY(decode_account(*value)));
}

Task<Result<NamedAccount>> Books::join(Account account) {
  NamedAccount named{.account = account, .record = {}, .ledger = {}};
  named.record = CO_TRY(co_await account_record(account.id));
  named.ledger = CO_TRY(co_await ledger(account.ledger));
  co_return named;
}

// Takes the name and writes the record, or finds both as an earlier request left them.
Task<Result<AccountRecord>> Books::write_account(Txn& txn, const NewAccount& wanted, bool& created) {
  if (!CO_TRY(co_await txn.get(rows_, ledger_key(wanted.ledger))))
    co_return fail(Code::kNotFound, fmt::format("there is no ledger {}: make it first", wanted.ledger));
  created = false;
  if (!wanted.name.empty()) {
    if (auto owner = CO_TRY(co_await txn.get_for_update(rows_, name_key(wanted.name)))) {
      auto row = CO_TRY(co_await txn.get(rows_, account_key(CO_TRY(decode_id(owner->value)))));
      if (!row) co_return fail(Code::kCorrupt, "the name '" + wanted.name + "' belongs to no account");
      co_return decode_account(row->value);
    }
  }
  AccountRecord record{.name = wanted.name,
                       .owner = wanted.owner,
                       .labels = wanted.labels,
                       .version = 1,
                       .ledger = wanted.ledger,
                       .code = wanted.code,
                       .flags = wanted.flags,
                       .created_at = clock_.wall()};
  if (wanted.id) {
    record.id = *wanted.id;
    if (auto row = CO_TRY(co_await txn.get_for_update(rows_, account_key(record.id)))) {
      co_return decode_account(row->value);
    }
  } else {
    // The name's own id, unless an account that was renamed since has it.
    for (uint32_t attempt = 0;; ++attempt) {
      record.id = account_id(wanted.name, attempt);
      if (!CO_TRY(co_await txn.get_for_update(rows_, account_key(record.id)))) break;
    }
  }
  created = true;
  if (!record.name.empty()) CO_TRY(txn.put(rows_, name_key(record.name), encode_id(record.id)));
  CO_TRY(txn.put(rows_, account_key(record.id), encode(record)));
  co_return record;
}

// Of an account that the engine did not take.
Task<Result<void>> Books::erase_account(AccountRecord record) {
  auto body = [&](Txn& txn) -> Task<Result<void>> {
    auto row = CO_TRY(co_await txn.get_for_update(rows_, account_key(record.id)));
    if (!row || CO_TRY(decode_account(row->value)) != record) co_return Result<void>();
    CO_TRY(txn.erase(rows_, account_key(record.id)));
    if (!record.name.empty()) CO_TRY(txn.erase(rows_, name_key(record.name)));
    co_return Result<void>();
  };
  co_return co_await store::transact(store_, body);
}

Task<Result<Made<NamedAccount>>> Books::create_account(NewAccount wanted) {
  bool created = false;
  auto body = [&](Txn& txn) { return write_account(txn, wanted, created); };
  AccountRecord record = CO_TRY(co_await store::transact(store_, body));
  if (!same_wish(record, wanted)) {
    co_return fail(Code::kExists,
                   fmt::format("the {} is taken by another account: id {}, ledger {}, code {}, limit {}",
                               record.name == wanted.name && !wanted.name.empty() ? "name" : "id",
                               to_decimal(record.id), record.ledger, record.code, limit_name(record.flags)));
  }
  Account account;
  account.id = record.id;
  account.ledger = record.ledger;
  account.code = record.code;
  account.flags = record.flags;
  auto results = co_await ledger_.create_accounts({&account, 1});
  if (!results) co_return fail(std::move(results).error());
  const auto status = static_cast<AccountStatus>(results->front().status);
  if (status != AccountStatus::kCreated && status != AccountStatus::kExists) {
    // The id is an account of the binary port with other properties: the record would be untrue.
    if (created) CO_TRY(co_await erase_account(record));
    co_return fail(Code::kExists, fmt::format("account {} is there already and differs: {}", to_decimal(record.id),
                                              status_name(status)));
  }
  auto stored = CO_TRY(co_await engine_account(record.id));
  if (!stored) co_return fail(Code::kCorrupt, "an account that was made is not there");
  co_return Made<NamedAccount>{CO_TRY(co_await join(*stored)), created || status == AccountStatus::kCreated};
}

Task<Result<Id>> Books::find_account(std::string name_or_id) {
  if (auto id = parse_id(name_or_id)) co_return *id;
  if (auto good = check_account_name(name_or_id); !good)
    co_return fail(Code::kNotFound, "there is no account '" + name_or_id.substr(0, kNameBytesMax) + "'");
  auto value = CO_TRY(co_await read(name_key(name_or_id)));
  if (!value) co_return fail(Code::kNotFound, "there is no account '" + name_or_id + "'");
  co_return decode_id(*value);
}

Task<Result<NamedAccount>> Books::account(std::string name_or_id) {
  const Id id = CO_TRY(co_await find_account(name_or_id));
  auto account = CO_TRY(co_await engine_account(id));
  if (!account) co_return fail(Code::kNotFound, "there is no account '" + name_or_id + "' in the books");
  co_return co_await join(*account);
}

Task<Result<Account>> Books::account_then(const Account& now, uint64_t timestamp) {
  if (timestamp < now.timestamp)
    co_return fail(Code::kNotFound, "there was no account " + to_decimal(now.id) + " at that time");
  // However long it takes: in slices, between which commands go on.
  PastAccount past = CO_TRY(co_await past_account(ledger_, now, timestamp, {.transfers_max = UINT64_MAX}));
  co_return past.account;
}

Task<Result<NamedAccount>> Books::account_at(NamedAccount now, uint64_t timestamp) {
  now.account = CO_TRY(co_await account_then(now.account, timestamp));
  co_return now;
}

Task<Result<Page<NamedAccount>>> Books::accounts_by_name(AccountFilters filters, std::string after, size_t limit) {
  Page<NamedAccount> page;
  auto txn = CO_TRY(co_await store_.begin());
  store::KeyRange range = store::prefix_range(names_prefix(filters.name_prefix));
  if (!after.empty()) range.begin = std::max(range.begin, name_key(after) + '\0');
  size_t examined = 0;
  while (page.items.size() < limit && examined < kExaminedMax) {
    store::Scan scan = CO_TRY(co_await txn->scan(rows_, range, {.limit = limit}));
    for (const store::Row& row : scan.rows) {
      if (page.items.size() == limit) {
        scan.more = true;
        break;
      }
      after = row.key.substr(1);
      ++examined;
      auto account = CO_TRY(co_await engine_account(CO_TRY(decode_id(row.value))));
      if (!account) continue;  // a request that has not come to its end
      NamedAccount named = CO_TRY(co_await join(*account));
      if (fits(named, filters)) page.items.push_back(std::move(named));
    }
    if (!scan.more) co_return page;
    range.begin = name_key(after) + '\0';
  }
  page.next = "n" + base::hex_encode(as_bytes(after));
  co_return page;
}

Task<Result<Page<NamedAccount>>> Books::accounts(AccountFilters filters, std::string cursor, size_t limit) {
  if (!filters.name_prefix.empty()) {
    std::string after;
    if (!cursor.empty()) {
      auto bytes = cursor.front() == 'n' ? base::hex_decode(std::string_view(cursor).substr(1)) : Result<Bytes>();
      if (!bytes || bytes->empty()) co_return fail(Code::kInvalid, "the cursor is none that a page gave");
      after = as_text(*bytes);
    }
    co_return co_await accounts_by_name(std::move(filters), std::move(after), limit);
  }
  AccountQuery query{.ledger = filters.ledger, .code = filters.code};
  if (!cursor.empty()) query.timestamp_min = CO_TRY(cursor_time(cursor)) + 1;
  Page<NamedAccount> page;
  for (size_t examined = 0; page.items.size() < limit && examined < kExaminedMax;) {
    // One more than the page needs tells whether there is a next one.
    query.limit = static_cast<uint32_t>(limit - page.items.size() + 1);
    auto found = CO_TRY(co_await ledger_.query([&query](const Engine& engine) { return engine.accounts(query); }));
    const bool more = found.size() == query.limit;
    if (more) found.pop_back();
    for (const Account& account : found) {
      NamedAccount named = CO_TRY(co_await join(account));
      if (fits(named, filters)) page.items.push_back(std::move(named));
    }
    examined += found.size();
    if (!more) co_return page;
    query.timestamp_min = found.back().timestamp + 1;
  }
  page.next = std::to_string(query.timestamp_min - 1);
  co_return page;
}

Task<Result<AccountRecord>> Books::patch_account(Txn& txn, Id id, uint64_t version, const MetadataPatch& patch,
                                                 const Account& account) {
  auto row = CO_TRY(co_await txn.get_for_update(rows_, account_key(id)));
  AccountRecord record{.id = id,
                       .ledger = account.ledger,
                       .code = account.code,
                       .flags = account.flags,
                       .created_at = WallTime(Duration(static_cast<int64_t>(account.timestamp)))};
  if (row) record = CO_TRY(decode_account(row->value));
  if (record.version != version)
    co_return fail(Code::kVersionMismatch,
                   fmt::format("the metadata has version {}, not {}: read it again", record.version, version));
  AccountRecord changed = CO_TRY(apply(patch, record));
  if (changed.name != record.name) {
    if (CO_TRY(co_await txn.get_for_update(rows_, name_key(changed.name))))
      co_return fail(Code::kExists, "the name '" + changed.name + "' is taken");
    CO_TRY(txn.put(rows_, name_key(changed.name), encode_id(id)));
    if (!record.name.empty()) CO_TRY(txn.erase(rows_, name_key(record.name)));
  }
  CO_TRY(txn.put(rows_, account_key(id), encode(changed)));
  co_return changed;
}

Task<Result<AccountRecord>> Books::change_metadata(Id id, uint64_t version, MetadataPatch patch) {
  auto account = CO_TRY(co_await engine_account(id));
  if (!account) co_return fail(Code::kNotFound, "there is no account " + to_decimal(id));
  if (patch.version && *patch.version != version + 1)
    co_return fail(Code::kVersionMismatch, fmt::format("a change of version {} makes version {}, not {}", version,
                                                       version + 1, *patch.version));
  auto body = [&](Txn& txn) { return patch_account(txn, id, version, patch, *account); };
  co_return co_await store::transact(store_, body);
}

}  // namespace polis::ledger
