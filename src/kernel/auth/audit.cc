#include "kernel/auth/audit.h"

#include <algorithm>

#include "kernel/auth/policy.h"
#include "kernel/base/encoding.h"

namespace polis::auth {
namespace {

// Row: "l/" u64 big-endian milliseconds, 8 random bytes. Order of keys is order of time; the random part keeps records
// of one millisecond apart.
constexpr std::string_view kPrefix = "l/";
constexpr size_t kKeyBytes = 2 + 8 + 8;
constexpr uint8_t kVersion = 1;

std::string_view cut(std::string& text) {
  if (text.size() > kAuditTextBytesMax) {
    text.resize(kAuditTextBytesMax - 3);
    while (!text.empty() && !base::utf8_valid(text) && (static_cast<unsigned char>(text.back()) & 0x80) != 0)
      text.pop_back();
    text += "...";
  }
  return text;
}

std::string time_key(WallTime at) {
  std::string key(kPrefix);
  uint64_t at_ms = static_cast<uint64_t>(std::max<int64_t>(0, base::milliseconds_since_epoch(at)));
  key.resize(kPrefix.size() + 8);
  base::store_big(key.data() + kPrefix.size(), at_ms);
  return key;
}

std::string encode(AuditRecord& record) {
  Bytes bytes;
  base::Writer writer(bytes);
  writer.u8(kVersion);
  writer.u64(static_cast<uint64_t>(record.at.time_since_epoch().count()));
  writer.u8(static_cast<uint8_t>(record.outcome));
  for (std::string* text : {&record.user_id, &record.user_name, &record.credential, &record.action, &record.resource,
                            &record.detail, &record.peer})
    writer.sized(cut(*text));
  return std::string(as_text(bytes));
}

Result<AuditRecord> decode(std::string_view value) {
  base::Reader reader(as_bytes(value));
  AuditRecord record;
  if (reader.u8() != kVersion) reader.reject("an audit record has an unknown version");
  record.at = WallTime(Duration(static_cast<int64_t>(reader.u64())));
  uint8_t outcome = reader.u8();
  if (outcome > static_cast<uint8_t>(AuditOutcome::kFailure)) reader.reject("an audit record has an unknown outcome");
  record.outcome = static_cast<AuditOutcome>(outcome);
  for (std::string* text : {&record.user_id, &record.user_name, &record.credential, &record.action, &record.resource,
                            &record.detail, &record.peer})
    *text = reader.sized_text(kAuditTextBytesMax);
  TRY(reader.finish());
  return record;
}

bool fits(const AuditRecord& record, const AuditQuery& query) {
  if (!query.user_id.empty() && record.user_id != query.user_id) return false;
  if (query.outcome && record.outcome != *query.outcome) return false;
  return query.action_pattern.empty() || matches_wildcard(query.action_pattern, record.action);
}

// Rows looked at for one page of a query that few records fit; the page's `next` goes on behind them.
constexpr size_t kRowsLookedAtMax = 10'000;

}  // namespace

std::string_view name(AuditOutcome outcome) {
  switch (outcome) {
    case AuditOutcome::kSuccess:
      return "success";
    case AuditOutcome::kDenied:
      return "denied";
    case AuditOutcome::kFailure:
      return "failure";
  }
  return "unknown";
}

AuditLog::AuditLog(store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random,
                   AuditOptions options)
    : store_(store), keyspace_(keyspace), clock_(clock), random_(random), options_(options) {}

Result<void> AuditLog::append(store::Txn& txn, AuditRecord record) {
  std::string key = time_key(record.at);
  key.resize(kKeyBytes);
  random_.fill(as_writable_bytes(key).last(8));
  return txn.put(keyspace_, key, encode(record));
}

Task<Result<void>> AuditLog::record(AuditRecord record) {
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(append(*txn, std::move(record)));
  CO_TRY(co_await txn->commit(store::Sync::kOs));
  co_return {};
}

Task<Result<AuditPage>> AuditLog::query(AuditQuery query) {
  if (query.limit < 1 || query.limit > 1000) co_return fail(Code::kInvalid, "an audit page has 1 to 1000 records");
  store::KeyRange range = store::prefix_range(kPrefix);
  if (query.since) range.begin = time_key(*query.since);
  if (!query.before.empty()) {
    Bytes position = CO_TRY(base::hex_decode(query.before));
    if (position.size() != kKeyBytes || !as_text(position).starts_with(kPrefix))
      co_return fail(Code::kInvalid, "the position of the audit page is malformed");
    range.end = as_text(position);
  }
  auto txn = CO_TRY(co_await store_.begin());
  AuditPage page;
  size_t looked_at = 0;
  while (range.begin < range.end) {
    auto scan = CO_TRY(co_await txn->scan(keyspace_, range, {.limit = 256, .reverse = true}));
    for (store::Row& row : scan.rows) {
      AuditRecord record = CO_TRY(decode(row.value));
      ++looked_at;
      bool fitting = fits(record, query);
      if (fitting) page.records.push_back(std::move(record));
      if (page.records.size() == query.limit || looked_at == kRowsLookedAtMax) {
        page.next = base::hex_encode(as_bytes(row.key));
        co_return page;
      }
    }
    if (!scan.more) break;
    range.end = scan.rows.back().key;
  }
  co_return page;
}

Task<Result<size_t>> AuditLog::trim() {
  store::KeyRange range = store::prefix_range(kPrefix);
  std::string oldest_kept = time_key(clock_.wall() - options_.age_max);
  size_t kept = 0;
  // Newest first: find the first key that falls out, by number or by age.
  auto txn = CO_TRY(co_await store_.begin());
  bool found = false;
  while (!found) {
    auto scan = CO_TRY(co_await txn->scan(keyspace_, range, {.limit = 1000, .reverse = true, .keys_only = true}));
    for (const store::Row& row : scan.rows) {
      range.end = row.key;
      if (kept == options_.records_max || row.key < oldest_kept) {
        range.end += '\0';  // This one goes, too.
        found = true;
        break;
      }
      ++kept;
    }
    if (!found && !scan.more) co_return size_t{0};
  }
  txn.reset();
  size_t erased = 0;
  for (;;) {
    auto erasing = CO_TRY(co_await store_.begin());
    auto scan = CO_TRY(co_await erasing->scan(keyspace_, range, {.limit = 1000, .keys_only = true}));
    for (const store::Row& row : scan.rows) CO_TRY(erasing->erase(keyspace_, row.key));
    if (scan.rows.empty()) co_return erased;
    CO_TRY(co_await erasing->commit(store::Sync::kOs));
    erased += scan.rows.size();
    if (!scan.more) co_return erased;
  }
}

AuditRecord AuditLog::describe(const Actor& actor, std::string_view action, std::string_view resource,
                               AuditOutcome outcome, std::string_view detail) const {
  const Principal& who = *actor.principal;
  AuditRecord record{.at = clock_.wall(), .user_id = who.user_id, .user_name = who.user_name};
  if (!who.anonymous()) {
    record.credential = name(who.credential);
    if (!who.credential_id.empty()) record.credential += " " + who.credential_id;
  }
  record.action = action;
  record.resource = resource;
  record.outcome = outcome;
  record.detail = detail;
  record.peer = actor.peer;
  return record;
}

}  // namespace polis::auth
