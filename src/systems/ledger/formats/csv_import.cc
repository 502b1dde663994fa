#include "systems/ledger/formats/csv_import.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "systems/ledger/formats/csv_reader.h"
#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {
namespace {

constexpr size_t kAbsent = ~size_t{0};

// Flags of the original that are booked again; the others are of the moment (linked, balancing) or set here (imported).
constexpr uint16_t kKeptTransferFlags = transfer_flags::kPending | transfer_flags::kPostPending |
                                        transfer_flags::kVoidPending | transfer_flags::kClosingDebit |
                                        transfer_flags::kClosingCredit;
// An account that a transfer closed is closed by the import of that transfer.
constexpr uint16_t kKeptAccountFlags =
    account_flags::kDebitsMustNotExceedCredits | account_flags::kCreditsMustNotExceedDebits | account_flags::kHistory;

// The named cells of one row, and errors that say where.
template <size_t kColumns>
class Row {
 public:
  Row(const std::array<std::string_view, kColumns>& names, const std::array<size_t, kColumns>& places, uint64_t line,
      const std::vector<std::string_view>& cells)
      : names_(names), places_(places), line_(line), cells_(cells) {}

  uint64_t line() const { return line_; }
  // Empty if the table has no such column.
  std::string_view text(size_t column) const {
    return places_[column] == kAbsent ? std::string_view() : cells_[places_[column]];
  }
  // Without the apostrophe that guards it (csv.h).
  std::string_view name(size_t column) const {
    std::string_view cell = text(column);
    if (cell.starts_with('\'')) cell.remove_prefix(1);
    return cell;
  }
  std::unexpected<Error> refuse(size_t column, std::string_view why) const {
    return fail(Code::kInvalid, fmt::format("line {}, column {}: {}", line_, names_[column], why));
  }
  // Empty is `absent`.
  template <class Number>
  Result<Number> number(size_t column, Number max, Number absent = 0) const {
    const std::string_view cell = text(column);
    if (cell.empty()) return absent;
    auto value = parse_decimal(cell);
    if (!value)
      return refuse(column, fmt::format("'{}' is not a number: {}", one_line(cell, 60), value.error().message()));
    if (*value > max)
      return refuse(column, fmt::format("{} is above {}", to_decimal(*value), to_decimal(static_cast<u128>(max))));
    return static_cast<Number>(*value);
  }
  // An id that a record can have.
  Result<Id> id(size_t column) const {
    const Id value = TRY(number<Id>(column, kU128Max));
    if (value == 0 || value == kU128Max) return refuse(column, "an id is a number from 1 to 2^128-2");
    return value;
  }
  // From a column of nanoseconds or, if that is empty, one of RFC 3339 or dates.
  Result<uint64_t> time(size_t nanoseconds, size_t readable) const {
    if (!text(nanoseconds).empty()) {
      const uint64_t value = TRY(number<uint64_t>(nanoseconds, kTimestampMax - 1));
      if (value == 0) return refuse(nanoseconds, "a timestamp is above 0");
      return value;
    }
    std::string cell(text(readable));
    if (cell.empty()) return refuse(readable, "a time is needed, as 2026-11-22T14:30:00Z or 2026-11-22");
    if (cell.size() == 10) cell += "T00:00:00Z";
    auto parsed = base::parse_rfc3339(cell);
    if (!parsed)
      return refuse(readable, fmt::format("'{}' is not a time such as 2026-11-22T14:30:00Z or 2026-11-22",
                                          one_line(text(readable), 40)));
    const int64_t value = parsed->time_since_epoch().count();
    if (value <= 0) return refuse(readable, "times before 1970 cannot be booked");
    return static_cast<uint64_t>(value);
  }

 private:
  const std::array<std::string_view, kColumns>& names_;
  const std::array<size_t, kColumns>& places_;
  uint64_t line_;
  const std::vector<std::string_view>& cells_;
};

// Times must ascend and be unique. Rows of one time, as tables with dates have them, get the next nanoseconds.
class AscendingTime {
 public:
  template <size_t kColumns>
  Result<uint64_t> next(const Row<kColumns>& row, size_t nanoseconds, size_t readable) {
    const uint64_t given = TRY(row.time(nanoseconds, readable));
    if (given < given_last_)
      return row.refuse(row.text(nanoseconds).empty() ? readable : nanoseconds,
                        "rows must be in the order of time; this one is before the row ahead of it");
    given_last_ = given;
    last_ = std::max(given, last_ + 1);
    return last_;
  }

 private:
  uint64_t given_last_ = 0, last_ = 0;
};

// A table whose first row names its columns.
template <size_t kColumns>
class Table : public CsvImport {
 public:
  explicit Table(const std::array<std::string_view, kColumns>& names) : names_(names) { places_.fill(kAbsent); }

  Result<void> feed(std::string_view bytes) final { return reader_.feed(bytes); }
  Result<void> finish() final {
    TRY(reader_.finish());
    if (width_ == 0) return fail(Code::kInvalid, "line 1: the table is empty; its first row names the columns");
    return {};
  }
  Counts counts() const final { return counts_; }

 protected:
  bool has(size_t column) const { return places_[column] != kAbsent; }
  virtual Result<void> check_columns() const = 0;
  virtual Result<void> take(const Row<kColumns>& row) = 0;
  Counts counts_;

 private:
  Result<void> take_cells(uint64_t line, const std::vector<std::string_view>& cells) {
    if (width_ == 0) return take_names(line, cells);
    if (cells.size() != width_)
      return fail(Code::kInvalid,
                  fmt::format("line {}: the row has {} cells, the table {} columns", line, cells.size(), width_));
    return take(Row<kColumns>(names_, places_, line, cells));
  }
  Result<void> take_names(uint64_t line, const std::vector<std::string_view>& cells) {
    width_ = cells.size();
    for (size_t i = 0; i < cells.size(); ++i) {
      const auto known = std::ranges::find(names_, cells[i]);
      if (known == names_.end()) continue;
      size_t& place = places_[static_cast<size_t>(known - names_.begin())];
      if (place != kAbsent)
        return fail(Code::kInvalid, fmt::format("line {}: the column {} is there twice", line, cells[i]));
      place = i;
    }
    if (cells.size() == 1 && cells[0].find_first_of(";\t") != std::string_view::npos)
      return fail(Code::kInvalid, fmt::format("line {}: cells are parted by commas", line));
    return check_columns();
  }

  const std::array<std::string_view, kColumns>& names_;
  std::array<size_t, kColumns> places_;
  size_t width_ = 0;
  CsvReader reader_{
      [this](uint64_t line, const std::vector<std::string_view>& cells) { return take_cells(line, cells); }};
};

namespace transfer_column {
enum : size_t {
  kTimestamp,
  kTime,
  kId,
  kLedger,
  kDebit,
  kCredit,
  kAmount,
  kAmountMinor,
  kCode,
  kFlags,
  kState,
  kPendingId,
  kUserData128,
  kUserData64,
  kUserData32,
  kReference,
  kCount
};
}
constexpr std::array<std::string_view, transfer_column::kCount> kTransferColumns = {
    "timestamp", "time",  "id",    "ledger",     "debit_account", "credit_account", "amount",       "amount_minor",
    "code",      "flags", "state", "pending_id", "user_data_128", "user_data_64",   "user_data_32", "reference"};

class TransferTable : public Table<transfer_column::kCount> {
 public:
  TransferTable(ImportNames names, TransferVisitor visit)
      : Table(kTransferColumns), resolve_(std::move(names)), visit_(std::move(visit)) {}

 protected:
  using Cells = Row<transfer_column::kCount>;

  Result<void> check_columns() const override {
    using namespace transfer_column;
    if (!has(kDebit) || !has(kCredit))
      return fail(Code::kInvalid, "the table needs the columns debit_account and credit_account");
    if (!has(kAmount) && !has(kAmountMinor))
      return fail(Code::kInvalid, "the table needs the column amount or amount_minor (in the smallest unit)");
    if (!has(kTimestamp) && !has(kTime))
      return fail(Code::kInvalid, "the table needs the column time or timestamp (ns since 1970)");
    if (!has(kLedger) && !resolve_.ledger) return fail(Code::kInvalid, "the table needs the column ledger");
    return {};
  }

  Result<void> take(const Cells& row) override {
    using namespace transfer_column;
    constexpr std::array<std::string_view, 5> kStates = {"", "pending", "posted", "voided", "expired"};
    if (std::ranges::find(kStates, row.text(kState)) == kStates.end())
      return row.refuse(kState, "a state is empty, pending, posted, voided or expired");
    ImportedTransfer made{.line = row.line(), .transfer = {}, .reference = std::string(row.name(kReference))};
    Transfer& transfer = made.transfer;
    if (!row.text(kId).empty()) transfer.id = TRY(row.id(kId));
    transfer.debit_account_id = TRY(account(row, kDebit));
    transfer.credit_account_id = TRY(account(row, kCredit));
    if (transfer.debit_account_id == transfer.credit_account_id)
      return row.refuse(kCredit, "a transfer needs two different accounts");
    transfer.ledger = TRY(ledger(row, transfer.debit_account_id));
    transfer.amount = TRY(amount(row, transfer.ledger));
    if (!row.text(kPendingId).empty() && row.text(kPendingId) != "0") transfer.pending_id = TRY(row.id(kPendingId));
    transfer.user_data_128 = TRY(row.number<u128>(kUserData128, kU128Max));
    transfer.user_data_64 = TRY(row.number<uint64_t>(kUserData64, UINT64_MAX));
    transfer.user_data_32 = TRY(row.number<uint32_t>(kUserData32, UINT32_MAX));
    transfer.code = TRY(row.number<uint16_t>(kCode, UINT16_MAX, 1));
    if (transfer.code == 0) return row.refuse(kCode, "a code is above 0");
    const auto flags = TRY(row.number<uint16_t>(kFlags, transfer_flags::kAll));
    transfer.flags = static_cast<uint16_t>((flags & kKeptTransferFlags) | transfer_flags::kImported);
    const bool resolves = (flags & (transfer_flags::kPostPending | transfer_flags::kVoidPending)) != 0;
    if (resolves != (transfer.pending_id != 0))
      return row.refuse(kPendingId, "a transfer that posts or voids names the pending one, and no other does");
    transfer.timestamp = TRY(time_.next(row, kTimestamp, kTime));
    if (row.text(kState) == "expired") {
      ++counts_.skipped;
      return {};
    }
    ++counts_.rows;
    return visit_(std::move(made));
  }

 private:
  // What the resolver refuses gets its place in the table.
  template <class T>
  static Result<T> placed(const Cells& row, size_t column, Result<T> found) {
    if (found) return found;
    return row.refuse(column, found.error().message());
  }
  Result<Id> account(const Cells& row, size_t column) const {
    const std::string_view cell = row.name(column);
    if (cell.empty()) return row.refuse(column, "an account is needed");
    if (cell.find_first_not_of("0123456789") == std::string_view::npos) return row.id(column);
    if (!resolve_.account) return row.refuse(column, fmt::format("'{}' is not an account's id", one_line(cell, 60)));
    return placed(row, column, resolve_.account(cell));
  }
  Result<uint32_t> ledger(const Cells& row, Id debit) const {
    using namespace transfer_column;
    if (row.text(kLedger).empty()) {
      if (!resolve_.ledger) return row.refuse(kLedger, "a ledger is needed");
      return placed(row, kDebit, resolve_.ledger(debit));
    }
    const auto value = TRY(row.number<uint32_t>(kLedger, UINT32_MAX));
    if (value == 0) return row.refuse(kLedger, "a ledger is a number above 0");
    return value;
  }
  Result<u128> amount(const Cells& row, uint32_t ledger) const {
    using namespace transfer_column;
    if (!row.text(kAmountMinor).empty()) return row.number<u128>(kAmountMinor, kU128Max);
    if (row.text(kAmount).empty()) return row.refuse(has(kAmount) ? kAmount : kAmountMinor, "an amount is needed");
    if (!resolve_.scale)
      return row.refuse(kAmount, "the asset's digits behind the point are not known here; give amount_minor");
    const uint8_t scale = TRY(placed(row, kAmount, resolve_.scale(ledger)));
    return placed(row, kAmount, parse_amount(row.text(kAmount), scale));
  }

  ImportNames resolve_;
  TransferVisitor visit_;
  AscendingTime time_;
};

namespace account_column {
enum : size_t {
  kTimestamp,
  kTime,
  kId,
  kLedger,
  kName,
  kKind,
  kCode,
  kFlags,
  kUserData128,
  kUserData64,
  kUserData32,
  kCount
};
}
constexpr std::array<std::string_view, account_column::kCount> kAccountColumns = {
    "timestamp", "time",          "id",           "ledger",      "name", "kind", "code",
    "flags",     "user_data_128", "user_data_64", "user_data_32"};

class AccountTable : public Table<account_column::kCount> {
 public:
  explicit AccountTable(AccountVisitor visit) : Table(kAccountColumns), visit_(std::move(visit)) {}

 protected:
  Result<void> check_columns() const override {
    using namespace account_column;
    if (!has(kId) || !has(kLedger)) return fail(Code::kInvalid, "the table needs the columns id and ledger");
    if (!has(kTimestamp) && !has(kTime))
      return fail(Code::kInvalid, "the table needs the column time or timestamp (ns since 1970)");
    return {};
  }

  Result<void> take(const Row<account_column::kCount>& row) override {
    using namespace account_column;
    ImportedAccount made{.line = row.line(), .account = {}, .name = std::string(row.name(kName)), .kind = {}};
    Account& account = made.account;
    account.id = TRY(row.id(kId));
    account.ledger = TRY(row.number<uint32_t>(kLedger, UINT32_MAX));
    if (account.ledger == 0) return row.refuse(kLedger, "a ledger is a number above 0");
    account.user_data_128 = TRY(row.number<u128>(kUserData128, kU128Max));
    account.user_data_64 = TRY(row.number<uint64_t>(kUserData64, UINT64_MAX));
    account.user_data_32 = TRY(row.number<uint32_t>(kUserData32, UINT32_MAX));
    const auto flags = TRY(row.number<uint16_t>(kFlags, account_flags::kAll));
    account.flags = static_cast<uint16_t>((flags & kKeptAccountFlags) | account_flags::kImported);
    const auto kind = TRY(this->kind(row));
    account.code =
        TRY(row.number<uint16_t>(kCode, UINT16_MAX, static_cast<uint16_t>(kind.value_or(AccountKind::kEquity))));
    if (account.code == 0) return row.refuse(kCode, "a code is above 0");
    made.kind = kind.value_or(kind_of(account));
    account.timestamp = TRY(time_.next(row, kTimestamp, kTime));
    ++counts_.rows;
    return visit_(std::move(made));
  }

 private:
  static Result<std::optional<AccountKind>> kind(const Row<account_column::kCount>& row) {
    const std::string_view cell = row.text(account_column::kKind);
    if (cell.empty()) return std::nullopt;
    for (AccountKind kind : {AccountKind::kAsset, AccountKind::kLiability, AccountKind::kEquity, AccountKind::kIncome,
                             AccountKind::kExpense})
      if (cell == formats::name(kind)) return kind;
    return row.refuse(account_column::kKind, "a kind is asset, liability, equity, income or expense");
  }

  AccountVisitor visit_;
  AscendingTime time_;
};

}  // namespace

std::unique_ptr<CsvImport> import_transfers(ImportNames names, TransferVisitor visit) {
  return std::make_unique<TransferTable>(std::move(names), std::move(visit));
}

std::unique_ptr<CsvImport> import_accounts(AccountVisitor visit) {
  return std::make_unique<AccountTable>(std::move(visit));
}

}  // namespace polis::ledger::formats
