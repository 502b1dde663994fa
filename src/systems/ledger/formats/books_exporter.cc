#include "systems/ledger/formats/books_exporter.h"

#include <fmt/format.h>

namespace polis::ledger::formats {
namespace {

bool same(const NamedLedger& a, const NamedLedger& b) {
  return a.asset == b.asset && a.scale == b.scale;
}
bool same(const NamedAccount& a, const NamedAccount& b) {
  return a.ledger == b.ledger && a.kind == b.kind && a.name == b.name && a.timestamp == b.timestamp;
}

}  // namespace

bool is_posted(const Transfer& transfer) {
  return (transfer.flags & (transfer_flags::kPending | transfer_flags::kVoidPending)) == 0;
}

std::string journal_end(const Exporter::Counts& counts) {
  return fmt::format("; {} transactions of {} transfers\n", counts.posted, counts.transfers);
}

Result<void> BooksExporter::ledger(const NamedLedger& ledger, std::string& out) {
  if (ledger.scale > kScaleMax)
    return fail(Code::kInvalid,
                fmt::format("ledger {} has scale {}; the largest is {}", ledger.id, ledger.scale, kScaleMax));
  if (auto known = ledgers_.find(ledger.id); known != ledgers_.end()) {
    if (same(known->second.given, ledger)) return {};
    return fail(Code::kInvalid, fmt::format("ledger {} was given before, with another asset or scale", ledger.id));
  }
  const auto asset = std::pair(ledger.asset, ledger.scale);
  if (auto known = assets_.find(asset); known != assets_.end()) {
    ledgers_.emplace(ledger.id, KnownLedger{ledger, known->second});
    return {};
  }
  std::string label = commodity_label(ledger.asset, {});
  if (commodities_.contains(label)) label = commodity_label(ledger.asset, fmt::format("-{}", ledger.id));
  // A hostile asset may be spelt like another one with its suffix.
  for (int i = 2; commodities_.contains(label); ++i)
    label = commodity_label(ledger.asset, fmt::format("-{}-{}", ledger.id, i));
  commodities_.insert(label);
  assets_.emplace(asset, label);
  const auto added = ledgers_.emplace(ledger.id, KnownLedger{ledger, std::move(label)}).first;
  write_commodity(added->second, out);
  return {};
}

Result<void> BooksExporter::account(const NamedAccount& account, std::string& out) {
  if (auto known = accounts_.find(account.id); known != accounts_.end()) {
    if (same(known->second.given, account)) return {};
    return fail(Code::kInvalid, fmt::format("account {} was given before, with another name, kind, ledger or time",
                                            to_decimal(account.id)));
  }
  const auto ledger = ledgers_.find(account.ledger);
  if (ledger == ledgers_.end())
    return fail(Code::kNotFound,
                fmt::format("ledger {} of account {} was not given before it", account.ledger, to_decimal(account.id)));
  const std::string id = to_decimal(account.id);
  std::string label = account_label(account, {});
  if (labels_.contains(label)) label = account_label(account, fmt::format("-{}", id));
  for (int i = 2; labels_.contains(label); ++i) label = account_label(account, fmt::format("-{}-{}", id, i));
  labels_.insert(label);
  const auto added = accounts_.emplace(account.id, KnownAccount{account, std::move(label), &ledger->second}).first;
  ++counts_.accounts;
  write_account(added->second, out);
  return {};
}

Result<void> BooksExporter::transfer(const NamedTransfer& transfer, std::string& out) {
  const Transfer& record = transfer.record;
  const auto debit = accounts_.find(record.debit_account_id), credit = accounts_.find(record.credit_account_id);
  if (debit == accounts_.end() || credit == accounts_.end())
    return fail(Code::kNotFound,
                fmt::format("account {} of transfer {} was not given before it",
                            to_decimal(debit == accounts_.end() ? record.debit_account_id : record.credit_account_id),
                            to_decimal(record.id)));
  if (debit->second.given.ledger != record.ledger || credit->second.given.ledger != record.ledger)
    return fail(Code::kInvalid,
                fmt::format("transfer {} is of ledger {}, its accounts of {} and {}", to_decimal(record.id),
                            record.ledger, debit->second.given.ledger, credit->second.given.ledger));
  if (record.timestamp < timestamp_last_ || record.timestamp > kTimestampMax)
    return fail(Code::kInvalid, fmt::format("transfer {} at {} comes after one at {}", to_decimal(record.id),
                                            record.timestamp, timestamp_last_));
  timestamp_last_ = record.timestamp;
  ++counts_.transfers;
  counts_.posted += write_transfer(transfer, debit->second, credit->second, out) ? 1 : 0;
  return {};
}

}  // namespace polis::ledger::formats
