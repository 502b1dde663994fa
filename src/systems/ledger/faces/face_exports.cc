#include <fmt/format.h>
#include <map>

#include "kernel/base/time_format.h"
#include "systems/ledger/faces/answers.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/face.h"
#include "systems/ledger/formats/export.h"
#include "systems/ledger/formats/statement.h"

namespace polis::ledger {
namespace {

// Transfers, or accounts, of one visit to the ledger's shard.
constexpr uint32_t kExportSliceMax = 500;
// Sent when it is so long: a few packets, and little memory for a reader who is slow.
constexpr size_t kPieceBytes = 64 * 1024;

struct BookedTransfer {
  Transfer transfer;
  PendingState state = PendingState::kNone;
};

Task<Result<std::vector<BookedTransfer>>> next_slice(Ledger& ledger, const TransferQuery& query) {
  co_return co_await ledger.query([&query](const Engine& engine) {
    std::vector<BookedTransfer> slice;
    for (const Transfer& transfer : engine.transfers(query))
      slice.push_back({transfer, engine.pending_state(transfer.id)});
    return slice;
  });
}

formats::NamedAccount named(const Account& account, const std::optional<AccountRecord>& record) {
  formats::NamedAccount known = formats::unnamed(account);
  if (record) known.name = record->name;
  return known;
}

Task<Result<void>> flush(http::Response& response, std::string& text, size_t at_least) {
  if (text.size() < at_least || text.empty()) co_return Result<void>();
  CO_TRY(co_await response.write(text));
  text.clear();
  co_return Result<void>();
}

}  // namespace

// What transfers are called, looked up as an export meets them. One export's own.
class Face::Lookups {
 public:
  explicit Lookups(Face& face) : books_(face.books_), ledger_(face.parts_.ledger) {}

  Task<Result<formats::NamedAccount>> account(Id id) {
    auto account = CO_TRY(co_await ledger_.query([id](const Engine& engine) { return engine.account(id); }));
    if (!account) co_return fail(Code::kCorrupt, "a transfer names account " + to_decimal(id) + ", which is not there");
    co_return named(*account, CO_TRY(co_await books_.account_record(id)));
  }
  // The last names are kept: an account's partners come again.
  Task<Result<std::string>> name_of(Id id) {
    if (auto known = names_.find(id); known != names_.end()) co_return known->second;
    auto record = CO_TRY(co_await books_.account_record(id));
    if (names_.size() >= kNamesMax) names_.clear();
    co_return names_[id] = record ? record->name : std::string();
  }
  // Valid until the next call. The transfers of one transaction stand together.
  Task<Result<std::string_view>> reference_of(const Transfer& transfer) {
    if (transfer.user_data_128 != transaction_) {
      transaction_ = transfer.user_data_128;
      reference_.clear();
      if (transaction_ != 0)
        if (auto record = CO_TRY(co_await books_.transaction_if_any(transaction_))) {
          reference_ = record->reference;
          if (reference_.empty() && record->parent != 0)
            if (auto parent = CO_TRY(co_await books_.transaction_if_any(record->parent)))
              reference_ = parent->reference;
        }
    }
    co_return std::string_view(reference_);
  }

 private:
  static constexpr size_t kNamesMax = 10'000;
  Books& books_;
  Ledger& ledger_;
  std::map<Id, std::string> names_;
  Id transaction_ = 0;
  std::string reference_;
};

// --- exports

// ?format=ledger|hledger|beancount|csv&ledger=&from=&to=, or &what=accounts for all accounts as CSV.
Task<Result<void>> Face::export_books(http::Request& request, http::Response& response) {
  const auto ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  CO_TRY(may(request, "ledger:Export", ledger));
  const std::string what = CO_TRY(text_parameter(request, "what", 16));
  if (what == "accounts") co_return co_await export_accounts(response, ledger);
  if (!what.empty() && what != "transfers") co_return fail(Code::kInvalid, "\"what\" is transfers or accounts");
  const auto format = CO_TRY(formats::parse_export_format(CO_TRY(text_parameter(request, "format", 16))));
  TransferQuery query{.ledger = ledger, .limit = kExportSliceMax};
  if (std::string from = CO_TRY(text_parameter(request, "from", 64)); !from.empty())
    query.timestamp_min = CO_TRY(co_await moment(std::move(from)));
  // What is booked while the export runs is not in it.
  query.timestamp_max =
      CO_TRY(co_await parts_.ledger.query([](const Engine& engine) { return engine.counts().timestamp_last; }));
  if (std::string to = CO_TRY(text_parameter(request, "to", 64)); !to.empty())
    query.timestamp_max = std::min(query.timestamp_max, CO_TRY(co_await moment(std::move(to))));

  std::map<uint32_t, LedgerRecord> ledgers;
  for (LedgerRecord& record : CO_TRY(co_await books_.ledgers())) ledgers[record.id] = std::move(record);
  auto exporter = formats::make_exporter(format);
  Lookups lookups(*this);
  std::string text;
  exporter->begin(text);
  response.status(200).set(http::Field::kContentType, formats::media_type(format));
  response.set("Content-Disposition",
               fmt::format("attachment; filename=\"books.{}\"", formats::file_extension(format)));
  while (query.timestamp_min <= query.timestamp_max) {
    const auto slice = CO_TRY(co_await next_slice(parts_.ledger, query));
    for (const BookedTransfer& booked : slice) {
      const Transfer& transfer = booked.transfer;
      for (Id id : {transfer.debit_account_id, transfer.credit_account_id}) {
        if (exporter->knows(id)) continue;
        const formats::NamedAccount account = CO_TRY(co_await lookups.account(id));
        auto known = ledgers.find(account.ledger);
        formats::NamedLedger as = formats::unnamed(account.ledger);
        if (known != ledgers.end())
          as = {.id = account.ledger, .asset = known->second.asset, .scale = known->second.scale};
        CO_TRY(exporter->ledger(as, text));
        CO_TRY(exporter->account(account, text));
      }
      const std::string_view reference = CO_TRY(co_await lookups.reference_of(transfer));
      CO_TRY(exporter->transfer({.record = transfer, .state = booked.state, .reference = reference}, text));
      CO_TRY(co_await flush(response, text, kPieceBytes));
    }
    if (slice.size() < kExportSliceMax) break;
    query.timestamp_min = slice.back().transfer.timestamp + 1;
  }
  exporter->finish(text);
  CO_TRY(co_await flush(response, text, 0));
  co_return co_await response.finish();
}

Task<Result<void>> Face::export_accounts(http::Response& response, uint32_t ledger) {
  std::map<uint32_t, LedgerRecord> ledgers;
  for (LedgerRecord& record : CO_TRY(co_await books_.ledgers())) ledgers[record.id] = std::move(record);
  std::string text;
  formats::begin_accounts_csv(text);
  response.status(200).set(http::Field::kContentType, formats::media_type(formats::ExportFormat::kCsv));
  response.set("Content-Disposition", "attachment; filename=\"accounts.csv\"");
  AccountQuery query{.ledger = ledger, .limit = kExportSliceMax};
  for (;;) {
    auto slice =
        CO_TRY(co_await parts_.ledger.query([&query](const Engine& engine) { return engine.accounts(query); }));
    for (const Account& account : slice) {
      const auto record = CO_TRY(co_await books_.account_record(account.id));
      auto known = ledgers.find(account.ledger);
      formats::append_account_csv(account, known == ledgers.end() ? std::string_view() : known->second.asset,
                                  record ? record->name : std::string(), text);
      CO_TRY(co_await flush(response, text, kPieceBytes));
    }
    if (slice.size() < kExportSliceMax) break;
    query.timestamp_min = slice.back().timestamp + 1;
  }
  CO_TRY(co_await flush(response, text, 0));
  co_return co_await response.finish();
}

// --- statements

// ?account=&from=&to=&format=json|mt940|camt053&number=
Task<Result<void>> Face::statement(http::Request& request, http::Response& response) {
  const std::string name = CO_TRY(text_parameter(request, "account", kNameBytesMax));
  if (name.empty()) co_return fail(Code::kInvalid, "\"account\" must be the name or id of an account");
  NamedAccount account = CO_TRY(co_await books_.account(name));
  CO_TRY(may(request, "ledger:Read", account.account.ledger));
  std::string format_name = CO_TRY(text_parameter(request, "format", 16));
  const auto format = CO_TRY(formats::parse_statement_format(format_name.empty() ? "json" : format_name));

  formats::StatementHead head;
  head.account = named(account.account, account.record);
  head.ledger = formats::unnamed(account.account.ledger);
  if (account.ledger)
    head.ledger = {.id = account.ledger->id, .asset = account.ledger->asset, .scale = account.ledger->scale};
  head.from = account.account.timestamp;
  head.to = static_cast<uint64_t>(parts_.clock.wall().time_since_epoch().count());
  head.created_at = head.to;
  head.number = static_cast<uint32_t>(CO_TRY(number_parameter(request, "number", 1, 1, 99'999)));
  if (std::string from = CO_TRY(text_parameter(request, "from", 64)); !from.empty())
    head.from = CO_TRY(co_await moment(std::move(from)));
  if (std::string to = CO_TRY(text_parameter(request, "to", 64)); !to.empty())
    head.to = CO_TRY(co_await moment(std::move(to)));
  // What is booked while the statement is written is not in it.
  const uint64_t horizon = std::min(
      head.to,
      CO_TRY(co_await parts_.ledger.query([](const Engine& engine) { return engine.counts().timestamp_last; })));
  const Id id = account.account.id;
  for (auto [sums, at] : {std::pair{&head.opening, head.from}, std::pair{&head.closing, horizon + 1}}) {
    if (at <= account.account.timestamp) continue;  // there was nothing yet
    const Account then = CO_TRY(co_await books_.account_then(account.account, at - 1));
    *sums = {.debits = then.debits_posted, .credits = then.credits_posted};
  }
  auto writer = formats::make_statement_writer(format);
  CO_TRY(writer->check(head));

  Lookups lookups(*this);
  std::string text;
  writer->begin(head, text);
  response.status(200).set(http::Field::kContentType, formats::media_type(format));
  response.set("Content-Disposition",
               fmt::format("attachment; filename=\"statement.{}\"", formats::file_extension(format)));
  TransferQuery query{.account = id, .timestamp_min = head.from, .timestamp_max = horizon, .limit = kExportSliceMax};
  while (query.timestamp_min <= query.timestamp_max) {
    const auto slice = CO_TRY(co_await next_slice(parts_.ledger, query));
    for (const BookedTransfer& booked : slice) {
      const Transfer& transfer = booked.transfer;
      const Id other = transfer.debit_account_id == id ? transfer.credit_account_id : transfer.debit_account_id;
      const std::string counterparty = CO_TRY(co_await lookups.name_of(other));
      const std::string_view reference = CO_TRY(co_await lookups.reference_of(transfer));
      CO_TRY(writer->entry({.transfer = {.record = transfer, .state = booked.state, .reference = reference},
                            .counterparty_name = counterparty},
                           text));
      CO_TRY(co_await flush(response, text, kPieceBytes));
    }
    if (slice.size() < kExportSliceMax) break;
    query.timestamp_min = slice.back().transfer.timestamp + 1;
  }
  CO_TRY(writer->finish(text));
  CO_TRY(co_await flush(response, text, 0));
  co_return co_await response.finish();
}

}  // namespace polis::ledger
