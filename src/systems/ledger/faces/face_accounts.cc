#include <charconv>
#include <fmt/format.h>

#include "systems/api.h"
#include "systems/ledger/faces/answers.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/face.h"

namespace polis::ledger {
namespace {

// "3", 3, or W/"3" as a version of metadata.
std::optional<uint64_t> version_of(std::string_view tag) {
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  if (tag.size() >= 2 && tag.front() == '"' && tag.back() == '"') tag = tag.substr(1, tag.size() - 2);
  uint64_t version = 0;
  auto [end, error] = std::from_chars(tag.data(), tag.data() + tag.size(), version);
  if (tag.empty() || error != std::errc() || end != tag.data() + tag.size()) return std::nullopt;
  return version;
}

std::string etag(uint64_t version) {
  return fmt::format("\"{}\"", version);
}

Task<Result<std::string>> body_of(http::Request& request) {
  Bytes bytes = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
  co_return std::string(as_text(bytes));
}

}  // namespace

// --- ledgers

Face::Answering Face::make_ledger(http::Request& request) {
  const NewLedger wanted = CO_TRY(parse_new_ledger(CO_TRY(co_await body_of(request))));
  CO_TRY(may(request, "ledger:Manage", wanted.id));
  Made<LedgerRecord> made = CO_TRY(co_await books_.create_ledger(wanted));
  JsonWriter out;
  write(out, made.value);
  co_return Answer{.status = made.created ? 201 : 200, .body = out.take(), .fields = {}};
}

// Those that the asker may read.
Face::Answering Face::list_ledgers(http::Request& request) {
  JsonWriter out;
  out.begin_object().key("ledgers").begin_array();
  for (const LedgerRecord& record : CO_TRY(co_await books_.ledgers()))
    if (may(request, "ledger:Read", record.id)) write(out, record);
  co_return Answer{.body = out.end_array().end_object().take(), .fields = {}};
}

// --- accounts

Face::Answering Face::make_account(http::Request& request) {
  NewAccount wanted = CO_TRY(parse_new_account(CO_TRY(co_await body_of(request))));
  CO_TRY(may(request, "ledger:Manage", wanted.ledger));
  Made<NamedAccount> made = CO_TRY(co_await books_.create_account(std::move(wanted)));
  JsonWriter out;
  write(out, made.value);
  Answer answer{.status = made.created ? 201 : 200, .body = out.take(), .fields = {}};
  answer.fields.emplace_back("Location", "/ledger/v1/accounts/" + to_decimal(made.value.account.id));
  answer.fields.emplace_back("ETag", etag(made.value.record ? made.value.record->version : 0));
  if (!made.created) answer.fields.emplace_back("Idempotent-Replayed", "true");
  co_return answer;
}

Face::Answering Face::list_accounts(http::Request& request) {
  AccountFilters filters;
  filters.ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  CO_TRY(may(request, "ledger:Read", filters.ledger));
  filters.code = static_cast<uint16_t>(CO_TRY(number_parameter(request, "code", 0, 0, UINT16_MAX)));
  if (const std::string type = CO_TRY(text_parameter(request, "type", 32)); !type.empty()) {
    auto code = account_code(type);
    if (!code) co_return fail(Code::kInvalid, "\"type\" is one of asset, liability, equity, income, expense");
    filters.code = *code;
  }
  filters.name_prefix = CO_TRY(text_parameter(request, "name_prefix", kNameBytesMax));
  filters.owner = CO_TRY(text_parameter(request, "owner", kOwnerBytesMax));
  // label=team or label=team:blue
  const std::string label = CO_TRY(text_parameter(request, "label", kLabelKeyBytesMax + kLabelValueBytesMax + 1));
  const size_t colon = label.find(':');
  filters.label_key = label.substr(0, colon);
  if (colon != std::string::npos) filters.label_value = label.substr(colon + 1);
  const std::string cursor = CO_TRY(text_parameter(request, "cursor", 4 * kNameBytesMax));
  const size_t limit = CO_TRY(number_parameter(request, "limit", 100, 1, kPageMax));
  Page<NamedAccount> page = CO_TRY(co_await books_.accounts(std::move(filters), cursor, limit));
  JsonWriter out;
  out.begin_object().key("accounts").begin_array();
  for (const NamedAccount& named : page.items) write(out, named);
  out.end_array();
  if (!page.next.empty()) out.member("next", page.next);
  co_return Answer{.body = out.end_object().take(), .fields = {}};
}

Task<Result<NamedAccount>> Face::readable_account(const http::Request& request) {
  NamedAccount named = CO_TRY(co_await books_.account(std::string(request.param("account"))));
  CO_TRY(may(request, "ledger:Read", named.account.ledger));
  co_return named;
}

Task<Result<NamedAccount>> Face::recomputed(const http::Request& request, const NamedAccount& now, std::string& from) {
  const Id id = now.account.id;
  const std::string at = CO_TRY(text_parameter(request, "at", 64));
  from = CO_TRY(text_parameter(request, "from", 16));
  if (!from.empty() && from != "history" && from != "journal")
    co_return fail(Code::kInvalid, "\"from\" is history or journal");
  std::optional<uint64_t> timestamp;
  if (!at.empty()) timestamp = CO_TRY(co_await moment(at));
  if (from == "journal") {
    // Reads every command since the first one: as expensive as verifying, and as much a right over all ledgers.
    CO_TRY(may(request, "ledger:Manage", 0u));
    std::optional<Account> account;
    CO_TRY(co_await parts_.ledger.replay(
        [&](const Engine& engine) { account = timestamp ? engine.account_at(id, *timestamp) : engine.account(id); },
        {}));
    if (!account) co_return fail(Code::kNotFound, "the journal had no such account at that time");
    co_return NamedAccount{.account = *account, .record = now.record, .ledger = now.ledger};
  }
  if (from.empty() && !timestamp) {
    from = "stored";
    co_return now;
  }
  from = "history";
  co_return co_await books_.account_at(now, timestamp.value_or(kTimestampMax));
}

Face::Answering Face::show_account(http::Request& request) {
  const NamedAccount now = CO_TRY(co_await readable_account(request));
  std::string from;
  const NamedAccount then = CO_TRY(co_await recomputed(request, now, from));
  JsonWriter out;
  write(out, then);
  std::string json = out.take();
  json.insert(json.size() - 1, ",\"computed_from\":\"" + from + "\"");
  Answer answer{.body = std::move(json), .fields = {}};
  answer.fields.emplace_back("ETag", etag(now.record ? now.record->version : 0));
  co_return answer;
}

Face::Answering Face::show_metadata(http::Request& request) {
  const NamedAccount named = CO_TRY(co_await readable_account(request));
  AccountRecord record = named.record.value_or(AccountRecord{.id = named.account.id});
  Answer answer{.body = to_json(record), .fields = {}};
  answer.fields.emplace_back("ETag", etag(record.version));
  co_return answer;
}

// Optimistic: who changes says which version he has read, and loses against whoever was faster.
Face::Answering Face::change_metadata(http::Request& request) {
  NamedAccount named = CO_TRY(co_await books_.account(std::string(request.param("account"))));
  CO_TRY(may(request, "ledger:Manage", named.account.ledger));
  std::optional<std::string> tag = CO_TRY(request.query_value("if_match"));
  if (auto field = request.field("If-Match")) tag = std::string(*field);
  if (!tag)
    co_return problem(428, "precondition_required",
                      "send If-Match with the version that you have read: it is the account's ETag");
  const auto version = version_of(*tag);
  if (!version) co_return fail(Code::kInvalid, "If-Match must be one version, as in \"3\"");
  const MetadataPatch patch = CO_TRY(parse_metadata_patch(CO_TRY(co_await body_of(request))));
  AccountRecord record = CO_TRY(co_await books_.change_metadata(named.account.id, *version, patch));
  Answer answer{.body = to_json(record), .fields = {}};
  answer.fields.emplace_back("ETag", etag(record.version));
  co_return answer;
}

// --- what happened to an account

namespace {

struct HistoryQuery {
  TransferQuery query;
  size_t limit = 0;
};

Result<HistoryQuery> history_query(const http::Request& request, Id account) {
  HistoryQuery wanted;
  wanted.limit = TRY(number_parameter(request, "limit", 100, 1, kPageMax));
  TransferQuery& query = wanted.query;
  query.account = account;
  query.timestamp_min = TRY(number_parameter(request, "timestamp_min", 0, 0, kTimestampMax));
  query.timestamp_max = TRY(number_parameter(request, "timestamp_max", kTimestampMax, 0, kTimestampMax));
  query.code = static_cast<uint16_t>(TRY(number_parameter(request, "code", 0, 0, UINT16_MAX)));
  const std::string side = TRY(text_parameter(request, "side", 8));
  if (!side.empty() && side != "debit" && side != "credit") return fail(Code::kInvalid, "\"side\" is debit or credit");
  query.debits = side != "credit";
  query.credits = side != "debit";
  query.reversed = TRY(text_parameter(request, "order", 8)) != "oldest";
  // One more tells whether there is a next page.
  query.limit = static_cast<uint32_t>(wanted.limit + 1);
  return wanted;
}

}  // namespace

// Newest first, unless order=oldest; `next` is a timestamp for timestamp_max (or timestamp_min).
Face::Answering Face::account_transfers(http::Request& request) {
  const NamedAccount named = CO_TRY(co_await readable_account(request));
  HistoryQuery wanted = CO_TRY(history_query(request, named.account.id));
  auto transfers =
      CO_TRY(co_await parts_.ledger.query([&wanted](const Engine& engine) { return engine.transfers(wanted.query); }));
  std::string next;
  if (transfers.size() > wanted.limit) {
    next = std::to_string(transfers.back().timestamp);
    transfers.pop_back();
  }
  co_return Answer{.body = CO_TRY(co_await transfers_json(std::move(transfers), std::move(next))), .fields = {}};
}

Face::Answering Face::account_balances(http::Request& request) {
  const NamedAccount named = CO_TRY(co_await readable_account(request));
  if (!(named.account.flags & account_flags::kHistory))
    co_return fail(Code::kConflict, "the account was made without \"history\"");
  HistoryQuery wanted = CO_TRY(history_query(request, named.account.id));
  auto balances =
      CO_TRY(co_await parts_.ledger.query([&wanted](const Engine& engine) { return engine.balances(wanted.query); }));
  std::string next;
  if (balances.size() > wanted.limit) {
    next = std::to_string(balances.back().timestamp);
    balances.pop_back();
  }
  JsonWriter out;
  out.begin_object().key("balances").begin_array();
  for (const AccountBalance& balance : balances) {
    out.begin_object().digits("timestamp", balance.timestamp).member("at", to_time_text(balance.timestamp));
    out.digits("debits_pending", balance.debits_pending).digits("debits_posted", balance.debits_posted);
    out.digits("credits_pending", balance.credits_pending).digits("credits_posted", balance.credits_posted);
    out.end_object();
  }
  out.end_array();
  if (!next.empty()) out.member("next", next);
  co_return Answer{.body = out.end_object().take(), .fields = {}};
}

}  // namespace polis::ledger
