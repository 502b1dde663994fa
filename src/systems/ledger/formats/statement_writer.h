// What every statement does the same way: checks the head, follows the balance from entry to entry, and compares it
// with the closing one. A format checks its own limits and writes.
#pragma once

#include <string>

#include "systems/ledger/formats/statement.h"
#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {

// Debits and credits are unsigned sums; their difference is a mark and a magnitude.
struct Balance {
  bool credit = true;  // credits >= debits
  u128 amount = 0;
};
Balance balance_of(const PostedSums& sums);

// One posted transfer as the account sees it.
struct Line {
  const NamedTransfer& transfer;
  bool credit = false;  // the account is credited
  Id counterparty = 0;
  std::string_view counterparty_name;  // may be empty
};

class BalancedWriter : public StatementWriter {
 public:
  Result<void> check(const StatementHead& head) const final;
  void begin(const StatementHead& head, std::string& out) final;
  Result<void> entry(const StatementEntry& entry, std::string& out) final;
  Result<void> finish(std::string& out) final;

 protected:
  virtual Result<void> check_limits(const StatementHead& head) const = 0;
  virtual Result<void> check_amount(u128 amount) const = 0;  // of an entry
  virtual void write_head(std::string& out) = 0;
  // running() is the balance after the line.
  virtual void write_line(const Line& line, std::string& out) = 0;
  virtual void write_end(std::string& out) = 0;

  const StatementHead& head() const { return head_; }
  const PostedSums& running() const { return running_; }
  uint64_t lines() const { return lines_; }
  Calendar calendar_;

 private:
  StatementHead head_;
  PostedSums running_;
  uint64_t timestamp_last_ = 0, lines_ = 0;
};

// "USD" and nothing else is a currency in SWIFT's and ISO's formats; kUnsupported names the format.
Result<void> check_currency(std::string_view asset, std::string_view format);

std::unique_ptr<StatementWriter> make_json_statement_writer();
std::unique_ptr<StatementWriter> make_mt940_writer();
std::unique_ptr<StatementWriter> make_camt053_writer();

}  // namespace polis::ledger::formats
