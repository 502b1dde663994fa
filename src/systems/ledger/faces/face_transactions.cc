#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "systems/api.h"
#include "systems/ledger/faces/answers.h"
#include "systems/ledger/faces/console_json.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/face.h"
#include "systems/ledger/faces/refusal.h"

namespace polis::ledger {
namespace {

// How long a request waits for the outcome before it is told where to ask (202).
constexpr uint64_t kWaitMsDefault = 10'000;
constexpr uint64_t kWaitMsMax = 60'000;
// Transfers that the answer to a booking repeats; GET shows all.
constexpr size_t kTransfersShownMax = 100;
// Transfers of one visit to the ledger's shard, and of one page that looks for amounts.
constexpr uint32_t kSliceMax = 2'000;
constexpr size_t kExaminedMax = 200'000;

Task<Result<std::string>> transaction_body(http::Request& request) {
  Bytes bytes = CO_TRY(co_await request.read_all(kTransactionBytesMax));
  co_return std::string(as_text(bytes));
}

// RFC 7240's "Prefer: wait=SECONDS", or wait_ms in the query.
Result<Duration> wait_of(const http::Request& request) {
  uint64_t wait_ms = TRY(number_parameter(request, "wait_ms", kWaitMsDefault, 0, kWaitMsMax));
  if (auto prefer = request.field("Prefer"); prefer && prefer->starts_with("wait="))
    if (auto seconds = parse_number("wait", prefer->substr(5), 0, kWaitMsMax / 1000)) wait_ms = *seconds * 1000;
  return std::chrono::milliseconds(wait_ms);
}

// The field, or `key` in the query for who cannot send fields.
Result<std::string> idempotency_key(const http::Request& request) {
  if (auto field = request.field("Idempotency-Key")) return std::string(*field);
  return TRY(request.query_value("key")).value_or("");
}

Result<Id> transaction_param(const http::Request& request) {
  auto id = parse_id(request.param("transaction"));
  if (!id) return fail(Code::kNotFound, "a transaction's id is a decimal number");
  return *id;
}

std::string place_of(Id transaction) {
  return "/ledger/v1/transactions/" + to_decimal(transaction);
}

std::string refusal_json(std::string_view detail, std::string_view code, uint32_t posting, Id transaction) {
  JsonWriter out;
  out.begin_object().member("title", "Unprocessable Content").count("status", 422);
  out.member("code", code).member("detail", detail).count("posting", posting);
  if (transaction != 0) out.digits("transaction", transaction);
  return out.end_object().take();
}

}  // namespace

// The transfers as a list, with the names of their accounts and the scales of their ledgers.
Task<Result<void>> Face::write_transfers(JsonWriter& out, const std::vector<Transfer>& transfers) {
  std::map<uint32_t, std::optional<LedgerRecord>> ledgers;
  std::map<Id, std::string> names;
  for (const Transfer& transfer : transfers) {
    if (!ledgers.contains(transfer.ledger)) ledgers[transfer.ledger] = CO_TRY(co_await books_.ledger(transfer.ledger));
    names.try_emplace(transfer.debit_account_id);
    names.try_emplace(transfer.credit_account_id);
  }
  std::vector<Id> ids;
  for (const auto& [id, name] : names) ids.push_back(id);
  std::vector<std::string> found = CO_TRY(co_await names_->names(std::move(ids)));
  size_t next = 0;
  for (auto& [id, name] : names) name = std::move(found[next++]);
  out.begin_array();
  for (const Transfer& transfer : transfers) {
    const auto& ledger = ledgers[transfer.ledger];
    write(out, transfer,
          {.ledger = ledger ? &*ledger : nullptr,
           .from = names[transfer.debit_account_id],
           .to = names[transfer.credit_account_id]});
  }
  out.end_array();
  co_return Result<void>();
}

Task<Result<std::string>> Face::transaction_json(TransactionRecord record, size_t transfers_max) {
  TransactionView view = CO_TRY(co_await books_.view(std::move(record)));
  JsonWriter out;
  out.begin_object();
  write_members(out, view.record);
  if (view.record.pending) out.member("pending_state", pending_state_name(view.pending));
  if (view.transfers.size() <= transfers_max) {
    out.key("transfers");
    CO_TRY(co_await write_transfers(out, view.transfers));
  }
  co_return out.end_object().take();
}

// 201: booked now. 200: booked before. 202: no outcome yet. 422: refused, now or before.
Face::Answering Face::book(http::Request& request, Prepared prepared) {
  const Duration wait = CO_TRY(wait_of(request));
  if (prepared.refusal) {
    const Refusal& refused = *prepared.refusal;
    const std::string detail = fmt::format("posting {}: {}", refused.posting, refused.detail);
    if (refused.status == TransferStatus::kCreated) co_return problem(400, "invalid", detail);
    co_return Answer{.status = 422,
                     .body = refusal_json(detail, status_name(refused.status), refused.posting, 0),
                     .content_type = "application/problem+json",
                     .fields = {}};
  }
  const Booked booked = CO_TRY(co_await books_.book(std::move(prepared), wait));
  const TransactionRecord& record = booked.record;
  Answer answer;
  answer.fields.emplace_back("Location", place_of(record.id));
  if (booked.replayed) answer.fields.emplace_back("Idempotent-Replayed", "true");
  switch (record.state) {
    case TransactionState::kAccepted:
      answer.status = 202;
      answer.fields.emplace_back("Retry-After", "1");
      break;
    case TransactionState::kBooked:
      answer.status = booked.replayed ? 200 : 201;
      break;
    case TransactionState::kRefused: {
      const auto status = static_cast<TransferStatus>(record.status);
      answer.status = 422;
      answer.content_type = "application/problem+json";
      answer.body = refusal_json(fmt::format("posting {}: {}", record.posting, refusal(status).message()),
                                 status_name(status), record.posting, record.id);
      co_return answer;
    }
  }
  answer.body = CO_TRY(co_await transaction_json(record, kTransfersShownMax));
  co_return answer;
}

Face::Answering Face::make_transaction(http::Request& request) {
  std::string key = CO_TRY(idempotency_key(request));
  NewTransaction wanted = CO_TRY(parse_new_transaction(CO_TRY(co_await transaction_body(request))));
  Prepared prepared = CO_TRY(co_await books_.prepare(std::move(wanted), std::move(key)));
  CO_TRY(may(request, "ledger:Post", prepared.record.ledgers));
  co_return co_await book(request, std::move(prepared));
}

Face::Answering Face::end_transaction(http::Request& request, TransactionKind kind) {
  const Id id = CO_TRY(transaction_param(request));
  std::string key = CO_TRY(idempotency_key(request));
  NewPost wanted = CO_TRY(parse_new_post(CO_TRY(co_await transaction_body(request))));
  if (kind == TransactionKind::kVoid && !wanted.amounts.empty())
    co_return fail(Code::kInvalid, "a void releases everything: it takes no amounts");
  CO_TRY(may(request, "ledger:Post", CO_TRY(co_await books_.transaction(id)).ledgers));
  co_return co_await book(request, CO_TRY(co_await books_.prepare_end(id, kind, std::move(wanted), std::move(key))));
}

Face::Answering Face::post_transaction(http::Request& request) {
  return end_transaction(request, TransactionKind::kPost);
}

Face::Answering Face::void_transaction(http::Request& request) {
  return end_transaction(request, TransactionKind::kVoid);
}

Face::Answering Face::reverse_transaction(http::Request& request) {
  const Id id = CO_TRY(transaction_param(request));
  std::string key = CO_TRY(idempotency_key(request));
  NewReversal wanted = CO_TRY(parse_new_reversal(CO_TRY(co_await transaction_body(request))));
  CO_TRY(may(request, "ledger:Post", CO_TRY(co_await books_.transaction(id)).ledgers));
  co_return co_await book(request, CO_TRY(co_await books_.prepare_reversal(
                                       id, std::move(wanted.reference), std::move(wanted.metadata), std::move(key))));
}

Face::Answering Face::show_transaction(http::Request& request) {
  const Id id = CO_TRY(transaction_param(request));
  TransactionRecord record = CO_TRY(co_await books_.transaction(id));
  CO_TRY(may(request, "ledger:Read", record.ledgers));
  co_return Answer{.body = CO_TRY(co_await transaction_json(std::move(record), kPostingsMax)), .fields = {}};
}

// ?reference= finds one; ?account= those of an account, by its transfers; else all, newest first.
Face::Answering Face::list_transactions(http::Request& request) {
  const std::string reference = CO_TRY(text_parameter(request, "reference", kReferenceBytesMax));
  const std::string cursor = CO_TRY(text_parameter(request, "cursor", 64));
  const size_t limit = CO_TRY(number_parameter(request, "limit", 100, 1, kPageMax));
  const auto ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  Page<TransactionRecord> page;
  if (!reference.empty()) {
    TransactionRecord record = CO_TRY(co_await books_.transaction(CO_TRY(co_await books_.find_transaction(reference))));
    CO_TRY(may(request, "ledger:Read", record.ledgers));
    page.items.push_back(std::move(record));
  } else {
    CO_TRY(may(request, "ledger:Read", ledger));
    page = CO_TRY(co_await books_.transactions(ledger, cursor, limit));
    // One that touches other ledgers, too, is shown to who may read them all.
    std::erase_if(page.items, [&](const TransactionRecord& record) {
      return ledger != 0 && !may(request, "ledger:Read", record.ledgers);
    });
  }
  JsonWriter out;
  out.begin_object().key("transactions").begin_array();
  for (const TransactionRecord& record : page.items) {
    out.begin_object();
    write_members(out, record);
    out.end_object();
  }
  out.end_array();
  if (!page.next.empty()) out.member("next", page.next);
  co_return Answer{.body = out.end_object().take(), .fields = {}};
}

// --- transfers: the engine's own records, whoever made them

Task<Result<std::string>> Face::transfers_json(std::vector<Transfer> transfers, std::string next) {
  JsonWriter out;
  out.begin_object().key("transfers");
  CO_TRY(co_await write_transfers(out, transfers));
  if (!next.empty()) out.member("next", next);
  co_return out.end_object().take();
}

// Amounts have no index: they are compared here, in slices between which commands go on, and a page ends early when
// so many were looked at.
Task<Result<Page<Transfer>>> Face::find_transfers(TransferQuery query, size_t limit) {
  const u128 least = std::exchange(query.amount_min, 0), most = std::exchange(query.amount_max, kU128Max);
  const bool any_amount = least == 0 && most == kU128Max;
  Page<Transfer> page;
  query.limit = static_cast<uint32_t>(any_amount ? limit + 1 : kSliceMax);
  for (size_t examined = 0; query.timestamp_min <= query.timestamp_max;) {
    const auto slice =
        CO_TRY(co_await parts_.ledger.query([&query](const Engine& engine) { return engine.transfers(query); }));
    for (const Transfer& transfer : slice) {
      const bool full = page.items.size() == limit;
      if (full || examined++ == kExaminedMax) {
        page.next = std::to_string(transfer.timestamp);
        co_return page;
      }
      if (transfer.amount >= least && transfer.amount <= most) page.items.push_back(transfer);
    }
    if (slice.size() < query.limit) break;
    if (query.reversed)
      query.timestamp_max = slice.back().timestamp - 1;
    else
      query.timestamp_min = slice.back().timestamp + 1;
  }
  co_return page;
}

// Any mix of predicates.
Face::Answering Face::list_transfers(http::Request& request) {
  TransferQuery query;
  query.ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  CO_TRY(may(request, "ledger:Read", query.ledger));
  if (std::string account = CO_TRY(text_parameter(request, "account", kNameBytesMax)); !account.empty())
    query.account = CO_TRY(co_await books_.find_account(std::move(account)));
  query.code = static_cast<uint16_t>(CO_TRY(number_parameter(request, "code", 0, 0, UINT16_MAX)));
  query.user_data_64 = CO_TRY(number_parameter(request, "user_data_64", 0, 0, UINT64_MAX));
  query.user_data_32 = static_cast<uint32_t>(CO_TRY(number_parameter(request, "user_data_32", 0, 0, UINT32_MAX)));
  query.timestamp_min = CO_TRY(number_parameter(request, "timestamp_min", 0, 0, kTimestampMax));
  query.timestamp_max = CO_TRY(number_parameter(request, "timestamp_max", kTimestampMax, 0, kTimestampMax));
  for (auto [name, number] : {std::pair{"user_data_128", &query.user_data_128},
                              std::pair{"amount_min", &query.amount_min}, std::pair{"amount_max", &query.amount_max}})
    if (std::string text = CO_TRY(text_parameter(request, name, 40)); !text.empty())
      *number = CO_TRY(parse_decimal(text));
  query.reversed = CO_TRY(text_parameter(request, "order", 8)) != "oldest";
  const size_t limit = CO_TRY(number_parameter(request, "limit", 100, 1, kPageMax));
  Page<Transfer> page = CO_TRY(co_await find_transfers(query, limit));
  co_return Answer{.body = CO_TRY(co_await transfers_json(std::move(page.items), std::move(page.next))), .fields = {}};
}

Face::Answering Face::show_transfer(http::Request& request) {
  auto id = parse_id(request.param("transfer"));
  if (!id) co_return fail(Code::kNotFound, "a transfer's id is a decimal number");
  struct Found {
    std::optional<Transfer> transfer;
    PendingState state = PendingState::kNone;
  };
  const Found found = CO_TRY(co_await parts_.ledger.query(
      [id](const Engine& engine) { return Found{engine.transfer(*id), engine.pending_state(*id)}; }));
  if (!found.transfer) co_return fail(Code::kNotFound, "there is no transfer " + to_decimal(*id));
  CO_TRY(may(request, "ledger:Read", found.transfer->ledger));
  JsonWriter out;
  CO_TRY(co_await write_transfers(out, {*found.transfer}));
  std::string json = out.take();
  json = json.substr(1, json.size() - 2);  // the one in the list
  if (found.state != PendingState::kNone)
    json.insert(json.size() - 1, fmt::format(",\"pending_state\":\"{}\"", pending_state_name(found.state)));
  co_return Answer{.body = std::move(json), .fields = {}};
}

}  // namespace polis::ledger
