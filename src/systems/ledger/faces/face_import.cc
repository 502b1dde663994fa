#include <fmt/format.h>
#include <map>

#include "kernel/store/transact.h"
#include "systems/ledger/faces/answers.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/face.h"
#include "systems/ledger/formats/csv_import.h"

namespace polis::ledger {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kBatchMax = kPostingsMax;
// Names that a table may use; books with more of them are imported by id. 100 bytes each.
constexpr size_t kNamesMax = 200'000;
// Rows that are told one by one when they were refused; the rest are counted.
constexpr size_t kRefusedShownMax = 100;
// Records of accounts of one transaction of the Store.
constexpr size_t kRecordsMax = 500;

struct Outcome {
  uint64_t created = 0, existed = 0, refused = 0;
  std::vector<std::pair<uint64_t, std::string>> shown;  // line, why

  void refuse(uint64_t line, std::string why) {
    ++refused;
    if (shown.size() < kRefusedShownMax) shown.emplace_back(line, std::move(why));
  }
  std::string json(const formats::CsvImport::Counts& counts) const {
    JsonWriter out;
    out.begin_object().count("rows", counts.rows).count("skipped", counts.skipped);
    out.count("created", created).count("existed", existed).count("refused", refused);
    out.key("refusals").begin_array();
    for (const auto& [line, why] : shown) out.begin_object().count("line", line).member("status", why).end_object();
    return out.end_array().end_object().take();
  }
};

// The same row gets the same id in a second run.
Id id_of_row(const formats::ImportedTransfer& row) {
  return derive_id("polis ledger import",
                   {std::to_string(row.line), as_text(std::as_bytes(std::span(&row.transfer, 1)))});
}

}  // namespace

// Reads a table as it arrives and books it in batches.
class Face::Import {
 public:
  explicit Import(Face& face) : face_(face), ledger_(face.parts_.ledger) {}

  Task<Result<std::string>> transfers(http::Request& request) {
    CO_TRY(co_await load_names());
    auto import = formats::import_transfers(names(), [this](formats::ImportedTransfer row) {
      if (row.transfer.id == 0) row.transfer.id = id_of_row(row);
      if (row.transfer.user_data_64 == 0) row.transfer.user_data_64 = reference_tag(row.reference);
      rows_.push_back(std::move(row));
      return Result<void>();
    });
    CO_TRY(co_await feed(request, *import));
    co_return outcome_.json(import->counts());
  }

  Task<Result<std::string>> accounts(http::Request& request) {
    auto import = formats::import_accounts([this](formats::ImportedAccount row) {
      accounts_.push_back(std::move(row));
      return Result<void>();
    });
    CO_TRY(co_await feed(request, *import));
    co_return outcome_.json(import->counts());
  }

 private:
  Task<Result<void>> feed(http::Request& request, formats::CsvImport& import) {
    Bytes block(kReadBytes);
    for (;;) {
      const size_t size = CO_TRY(co_await request.read(block));
      if (size == 0) break;
      CO_TRY(import.feed(as_text(BytesView(block).first(size))));
      while (rows_.size() >= kBatchMax) CO_TRY(co_await book_transfers(kBatchMax));
      while (accounts_.size() >= kBatchMax) CO_TRY(co_await book_accounts(kBatchMax));
    }
    CO_TRY(import.finish());
    if (!rows_.empty()) CO_TRY(co_await book_transfers(rows_.size()));
    if (!accounts_.empty()) CO_TRY(co_await book_accounts(accounts_.size()));
    co_return Result<void>();
  }

  Task<Result<void>> book_transfers(size_t count) {
    std::vector<Transfer> batch;
    for (size_t i = 0; i < count; ++i) batch.push_back(rows_[i].transfer);
    const auto results = CO_TRY(co_await ledger_.create_transfers(batch));
    for (size_t i = 0; i < count; ++i) {
      const auto status = static_cast<TransferStatus>(results[i].status);
      if (status == TransferStatus::kCreated)
        ++outcome_.created;
      else if (status == TransferStatus::kExists)
        ++outcome_.existed;
      else
        outcome_.refuse(rows_[i].line, status_name(status));
    }
    rows_.erase(rows_.begin(), rows_.begin() + static_cast<ptrdiff_t>(count));
    co_return Result<void>();
  }

  Task<Result<void>> book_accounts(size_t count) {
    std::vector<Account> batch;
    for (size_t i = 0; i < count; ++i) batch.push_back(accounts_[i].account);
    const auto results = CO_TRY(co_await ledger_.create_accounts(batch));
    std::vector<const formats::ImportedAccount*> named;
    for (size_t i = 0; i < count; ++i) {
      const auto status = static_cast<AccountStatus>(results[i].status);
      if (status == AccountStatus::kCreated)
        ++outcome_.created;
      else if (status == AccountStatus::kExists)
        ++outcome_.existed;
      else
        outcome_.refuse(accounts_[i].line, status_name(status));
      const bool there = status == AccountStatus::kCreated || status == AccountStatus::kExists;
      if (there && !accounts_[i].name.empty()) named.push_back(&accounts_[i]);
    }
    for (size_t begin = 0; begin < named.size(); begin += kRecordsMax)
      CO_TRY(co_await name(std::span(named).subspan(begin, std::min(kRecordsMax, named.size() - begin))));
    accounts_.erase(accounts_.begin(), accounts_.begin() + static_cast<ptrdiff_t>(count));
    co_return Result<void>();
  }

  Task<Result<void>> name(std::span<const formats::ImportedAccount* const> rows) {
    std::vector<std::pair<uint64_t, std::string>> refused;
    auto body = [&](store::Txn& txn) -> Task<Result<void>> {
      refused.clear();
      for (const formats::ImportedAccount* row : rows) {
        if (auto good = check_account_name(row->name); !good) {
          refused.emplace_back(row->line, good.error().message());
          continue;
        }
        const Account& account = row->account;
        auto owner = CO_TRY(co_await txn.get_for_update(face_.parts_.rows, name_key(row->name)));
        if (owner && CO_TRY(decode_id(owner->value)) != account.id) {
          refused.emplace_back(row->line, "the name '" + row->name + "' is another account's");
          continue;
        }
        if (CO_TRY(co_await txn.get_for_update(face_.parts_.rows, account_key(account.id)))) continue;
        const AccountRecord record{.id = account.id,
                                   .name = row->name,
                                   .version = 1,
                                   .ledger = account.ledger,
                                   .code = account.code,
                                   .flags = account.flags,
                                   .created_at = face_.parts_.clock.wall()};
        CO_TRY(txn.put(face_.parts_.rows, name_key(row->name), encode_id(account.id)));
        CO_TRY(txn.put(face_.parts_.rows, account_key(account.id), encode(record)));
      }
      co_return Result<void>();
    };
    CO_TRY(co_await store::transact(face_.parts_.store, body));
    for (auto& [line, why] : refused) outcome_.refuse(line, std::move(why));
    co_return Result<void>();
  }

  // A row is read without waiting, so what it may name is at hand before.
  Task<Result<void>> load_names() {
    for (const LedgerRecord& record : CO_TRY(co_await face_.books_.ledgers())) scales_[record.id] = record.scale;
    auto txn = CO_TRY(co_await face_.parts_.store.begin());
    store::KeyRange range = store::prefix_range(names_prefix({}));
    while (ids_.size() < kNamesMax) {
      store::Scan scan = CO_TRY(co_await txn->scan(face_.parts_.rows, range));
      for (const store::Row& row : scan.rows) {
        const Id id = CO_TRY(decode_id(row.value));
        ids_[row.key.substr(1)] = id;
        auto value = CO_TRY(co_await txn->get(face_.parts_.rows, account_key(id)));
        if (value) ledgers_[id] = CO_TRY(decode_account(value->value)).ledger;
      }
      if (!scan.more) break;
      range.begin = scan.rows.back().key + '\0';
    }
    co_return Result<void>();
  }

  formats::ImportNames names() const {
    return {.account = [this](std::string_view name) -> Result<Id> {
              auto at = ids_.find(name);
              if (at == ids_.end()) return fail(Code::kNotFound, fmt::format("there is no account '{}'", name));
              return at->second;
            },
            .ledger = [this](Id account) -> Result<uint32_t> {
              auto at = ledgers_.find(account);
              if (at == ledgers_.end())
                return fail(Code::kNotFound, "the account has no name here: the table needs a column \"ledger\"");
              return at->second;
            },
            .scale = [this](uint32_t ledger) -> Result<uint8_t> {
              auto at = scales_.find(ledger);
              if (at == scales_.end())
                return fail(Code::kNotFound, fmt::format("there is no ledger {}: make it first", ledger));
              return at->second;
            }};
  }

  Face& face_;
  Ledger& ledger_;
  std::map<std::string, Id, std::less<>> ids_;
  std::map<Id, uint32_t> ledgers_;
  std::map<uint32_t, uint8_t> scales_;
  std::vector<formats::ImportedTransfer> rows_;
  std::vector<formats::ImportedAccount> accounts_;
  Outcome outcome_;
};

// The body is CSV, as the export writes it, of any length. What was booked before a row that cannot be read stays: the
// same table again books the rest.
Face::Answering Face::import_books(http::Request& request) {
  CO_TRY(may(request, "ledger:Manage", 0u));
  const std::string what = CO_TRY(text_parameter(request, "what", 16));
  if (!what.empty() && what != "transfers" && what != "accounts")
    co_return fail(Code::kInvalid, "\"what\" is transfers or accounts");
  Import import(*this);
  std::string json =
      what == "accounts" ? CO_TRY(co_await import.accounts(request)) : CO_TRY(co_await import.transfers(request));
  co_return Answer{.body = std::move(json), .fields = {}};
}

}  // namespace polis::ledger
