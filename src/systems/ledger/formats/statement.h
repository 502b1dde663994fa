// Statements: what happened to one account in a period, as its holder or his bookkeeping gets it. JSON for programs,
// MT940 (SWIFT's customer statement, as banks deliver it) and camt.053 (its successor, ISO 20022 version .08). Text
// goes into a string of the caller's, who writes it out and clears it between the calls:
//
//     check ─► begin ─► entry, in time order ─► finish
//
// C (credit) and D (debit) are those of the books: a transfer that credits the account is an entry marked C, a balance
// with more credits than debits is one marked C. Entries are what was posted, as in the exports (export.h). Values; a
// writer belongs to one task.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "systems/ledger/formats/export.h"

namespace polis::ledger::formats {

enum class StatementFormat : uint8_t { kJson, kMt940, kCamt053 };
// "json", "mt940", "camt053"; kInvalid names the three.
Result<StatementFormat> parse_statement_format(std::string_view text);
std::string_view media_type(StatementFormat format);
std::string_view file_extension(StatementFormat format);  // "json", "sta", "xml"

struct PostedSums {
  u128 debits = 0, credits = 0;
};

struct StatementHead {
  NamedAccount account;
  NamedLedger ledger;
  uint64_t from = 0;  // ns, inclusive, both
  uint64_t to = 0;
  PostedSums opening;       // posted right before `from`: Engine::account_at(id, from - 1), zeros if it did not exist
  PostedSums closing;       // posted at `to`: Engine::account_at(id, to)
  uint64_t created_at = 0;  // ns, of the statement
  uint32_t number = 1;      // of the statement among the account's; 1..99,999
};

struct StatementEntry {
  NamedTransfer transfer;              // pending ones and voids are skipped
  std::string_view counterparty_name;  // of the other account; empty: its id
};

class StatementWriter {
 public:
  virtual ~StatementWriter() = default;
  // Before anything is written: kUnsupported if the format cannot hold this account (MT940 and camt.053 need an asset
  // of three capital letters, camt.053 at most 5 digits behind the point), kTooLarge if a balance is too long for it
  // (15 characters in MT940, 18 digits in camt.053), kInvalid if the period or the number is wrong.
  virtual Result<void> check(const StatementHead& head) const = 0;
  // check() has passed.
  virtual void begin(const StatementHead& head, std::string& out) = 0;
  // kInvalid if the transfer is not of the account or lies outside the period or before the last one; kTooLarge as
  // above.
  virtual Result<void> entry(const StatementEntry& entry, std::string& out) = 0;
  // kCorrupt if opening balance and entries do not give the closing balance.
  virtual Result<void> finish(std::string& out) = 0;
};
std::unique_ptr<StatementWriter> make_statement_writer(StatementFormat format);

}  // namespace polis::ledger::formats
