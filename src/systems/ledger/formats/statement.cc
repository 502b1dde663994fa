#include "systems/ledger/formats/statement.h"

#include <algorithm>
#include <fmt/format.h>

#include "systems/ledger/formats/books_exporter.h"
#include "systems/ledger/formats/statement_writer.h"

namespace polis::ledger::formats {

Balance balance_of(const PostedSums& sums) {
  if (sums.credits >= sums.debits) return {.credit = true, .amount = sums.credits - sums.debits};
  return {.credit = false, .amount = sums.debits - sums.credits};
}

Result<void> check_currency(std::string_view asset, std::string_view format) {
  if (asset.size() == 3 && std::ranges::all_of(asset, [](char c) { return c >= 'A' && c <= 'Z'; })) return {};
  return fail(Code::kUnsupported,
              fmt::format("{} knows currencies of three capital letters, this account's asset is '{}'; use json",
                          format, one_line(asset, 40)));
}

Result<void> BalancedWriter::check(const StatementHead& head) const {
  if (head.from > head.to || head.to > kTimestampMax)
    return fail(
        Code::kInvalid,
        fmt::format("the statement's period from {} to {} ends before it begins or after 2^63-1", head.from, head.to));
  if (head.number < 1 || head.number > 99'999)
    return fail(Code::kInvalid, fmt::format("statement number {} is not in 1..99999", head.number));
  if (head.ledger.scale > kScaleMax)
    return fail(Code::kInvalid, fmt::format("scale {} is above {}", head.ledger.scale, kScaleMax));
  if (head.account.ledger != head.ledger.id)
    return fail(Code::kInvalid, fmt::format("account {} is of ledger {}, not {}", to_decimal(head.account.id),
                                            head.account.ledger, head.ledger.id));
  if (head.closing.debits < head.opening.debits || head.closing.credits < head.opening.credits)
    return fail(Code::kInvalid, "posted sums never shrink, but the closing ones are below the opening ones");
  return check_limits(head);
}

void BalancedWriter::begin(const StatementHead& head, std::string& out) {
  head_ = head;
  running_ = head.opening;
  timestamp_last_ = head.from;
  lines_ = 0;
  write_head(out);
}

Result<void> BalancedWriter::entry(const StatementEntry& entry, std::string& out) {
  const Transfer& record = entry.transfer.record;
  const Id own = head_.account.id;
  const bool credit = record.credit_account_id == own;
  if (!credit && record.debit_account_id != own)
    return fail(Code::kInvalid,
                fmt::format("transfer {} does not touch account {}", to_decimal(record.id), to_decimal(own)));
  if (record.timestamp < timestamp_last_ || record.timestamp > head_.to)
    return fail(Code::kInvalid, fmt::format("transfer {} at {} lies outside the period or before the one ahead of it",
                                            to_decimal(record.id), record.timestamp));
  timestamp_last_ = record.timestamp;
  if (!is_posted(record)) return {};
  TRY(check_amount(record.amount));
  u128& sum = credit ? running_.credits : running_.debits;
  if (record.amount > kU128Max - sum)
    return fail(Code::kCorrupt,
                fmt::format("transfer {} takes the account's sum above 2^128-1", to_decimal(record.id)));
  sum += record.amount;
  ++lines_;
  write_line({.transfer = entry.transfer,
              .credit = credit,
              .counterparty = credit ? record.debit_account_id : record.credit_account_id,
              .counterparty_name = entry.counterparty_name},
             out);
  return {};
}

Result<void> BalancedWriter::finish(std::string& out) {
  if (running_.debits != head_.closing.debits || running_.credits != head_.closing.credits)
    return fail(
        Code::kCorrupt,
        fmt::format("the statement of account {} does not add up: opening balance and entries give debits {} and "
                    "credits {}, the closing balance says {} and {}",
                    to_decimal(head_.account.id), to_decimal(running_.debits), to_decimal(running_.credits),
                    to_decimal(head_.closing.debits), to_decimal(head_.closing.credits)));
  write_end(out);
  return {};
}

Result<StatementFormat> parse_statement_format(std::string_view text) {
  if (text == "json") return StatementFormat::kJson;
  if (text == "mt940") return StatementFormat::kMt940;
  if (text == "camt053") return StatementFormat::kCamt053;
  return fail(Code::kInvalid,
              fmt::format("'{}' is not a statement format; there are json, mt940 and camt053", one_line(text, 40)));
}

std::string_view media_type(StatementFormat format) {
  switch (format) {
    case StatementFormat::kJson:
      return "application/json";
    case StatementFormat::kMt940:
      return "text/plain; charset=us-ascii";
    case StatementFormat::kCamt053:
      return "application/xml";
  }
  return "application/octet-stream";
}

std::string_view file_extension(StatementFormat format) {
  switch (format) {
    case StatementFormat::kJson:
      return "json";
    case StatementFormat::kMt940:
      return "sta";
    case StatementFormat::kCamt053:
      return "xml";
  }
  return "bin";
}

std::unique_ptr<StatementWriter> make_statement_writer(StatementFormat format) {
  switch (format) {
    case StatementFormat::kJson:
      return make_json_statement_writer();
    case StatementFormat::kMt940:
      return make_mt940_writer();
    case StatementFormat::kCamt053:
      return make_camt053_writer();
  }
  return nullptr;
}

}  // namespace polis::ledger::formats
