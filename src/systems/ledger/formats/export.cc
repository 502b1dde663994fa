#include "systems/ledger/formats/export.h"

#include <fmt/format.h>

#include "systems/ledger/formats/books_exporter.h"

namespace polis::ledger::formats {

std::string_view name(AccountKind kind) {
  switch (kind) {
    case AccountKind::kAsset:
      return "asset";
    case AccountKind::kLiability:
      return "liability";
    case AccountKind::kEquity:
      return "equity";
    case AccountKind::kIncome:
      return "income";
    case AccountKind::kExpense:
      return "expense";
  }
  return "equity";
}

AccountKind kind_of(const Account& account) {
  if (account.code >= 1 && account.code <= 5) return static_cast<AccountKind>(account.code);
  if (account.flags & account_flags::kCreditsMustNotExceedDebits) return AccountKind::kAsset;
  if (account.flags & account_flags::kDebitsMustNotExceedCredits) return AccountKind::kLiability;
  return AccountKind::kEquity;
}

NamedLedger unnamed(uint32_t ledger) {
  return {.id = ledger, .asset = fmt::format("LEDGER{}", ledger), .scale = 0};
}

NamedAccount unnamed(const Account& account) {
  return {
      .id = account.id, .ledger = account.ledger, .kind = kind_of(account), .name = {}, .timestamp = account.timestamp};
}

Result<ExportFormat> parse_export_format(std::string_view text) {
  if (text == "ledger") return ExportFormat::kLedger;
  if (text == "hledger") return ExportFormat::kHledger;
  if (text == "beancount") return ExportFormat::kBeancount;
  if (text == "csv") return ExportFormat::kCsv;
  return fail(Code::kInvalid, fmt::format("'{}' is not an export format; there are ledger, hledger, beancount and csv",
                                          one_line(text, 40)));
}

std::string_view media_type(ExportFormat format) {
  return format == ExportFormat::kCsv ? "text/csv; charset=utf-8" : "text/plain; charset=utf-8";
}

std::string_view file_extension(ExportFormat format) {
  switch (format) {
    case ExportFormat::kLedger:
      return "ledger";
    case ExportFormat::kHledger:
      return "journal";
    case ExportFormat::kBeancount:
      return "beancount";
    case ExportFormat::kCsv:
      return "csv";
  }
  return "txt";
}

std::unique_ptr<Exporter> make_exporter(ExportFormat format) {
  switch (format) {
    case ExportFormat::kLedger:
      return make_ledger_exporter();
    case ExportFormat::kHledger:
      return make_hledger_exporter();
    case ExportFormat::kBeancount:
      return make_beancount_exporter();
    case ExportFormat::kCsv:
      return make_csv_exporter();
  }
  return nullptr;
}

}  // namespace polis::ledger::formats
