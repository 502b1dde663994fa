// Exports of the books as files that other programs read: the journals of ledger-cli, hledger and beancount, and CSV.
// One transfer of the books is one transaction of the file. Text goes into a string of the caller's, who writes it out
// and clears it now and then, so an export of any length needs memory for its accounts only:
//
//     begin ─► ledger, account (before the first transfer that touches them) ─► transfer, in time order ─► finish
//
// The journals hold what was posted: single-phase transfers, and a pending one at the time and with the amount that it
// was posted with. What is merely reserved, voided or expired moved nothing and is left out, as are refused events;
// corrections are transfers like any other. CSV holds every transfer, with its state, and can be imported again
// (csv_import.h). Debits are positive, credits negative.
//
// Names may be hostile: what a format cannot hold is replaced, two names that become one get the account's id behind
// them. Values and pure functions; one exporter belongs to one task.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "systems/ledger/engine.h"

namespace polis::ledger::formats {

enum class AccountKind : uint8_t { kAsset = 1, kLiability = 2, kEquity = 3, kIncome = 4, kExpense = 5 };
// "asset" and so on.
std::string_view name(AccountKind kind);
// The kind of an account that nobody named: by its code if that is 1..5, else by the limit that it keeps (an account
// whose credits must not exceed its debits is an asset, the other way round a liability), else equity.
AccountKind kind_of(const Account& account);

// An amount of 12345 is 123.45 at scale 2. 2^128-1 has 39 digits: more would say nothing.
inline constexpr uint8_t kScaleMax = 38;
// What is longer is cut off in the formats that have no limit of their own.
inline constexpr size_t kNameBytesMax = 256;

struct NamedLedger {
  uint32_t id = 0;
  std::string asset;  // "USD"; ledgers of the same asset and scale share one commodity
  uint8_t scale = 0;  // digits behind the point
};
// For a ledger that nobody named: asset "LEDGER7", scale 0.
NamedLedger unnamed(uint32_t ledger);

struct NamedAccount {
  Id id = 0;
  uint32_t ledger = 0;
  AccountKind kind = AccountKind::kEquity;
  std::string name;  // empty: its id is shown; ':' parts a hierarchy
  uint64_t timestamp = 0;
};
NamedAccount unnamed(const Account& account);

struct NamedTransfer {
  Transfer record;                           // as the books have it: a post or void with what it inherited
  PendingState state = PendingState::kNone;  // Engine::pending_state(), for CSV
  std::string_view reference;                // the client's own, may be empty
};

enum class ExportFormat : uint8_t { kLedger, kHledger, kBeancount, kCsv };
// "ledger", "hledger", "beancount", "csv"; kInvalid names the four.
Result<ExportFormat> parse_export_format(std::string_view text);
// "text/csv; charset=utf-8" or "text/plain; charset=utf-8".
std::string_view media_type(ExportFormat format);
// "ledger", "journal", "beancount", "csv": behind the dot of a file's name.
std::string_view file_extension(ExportFormat format);

class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual void begin(std::string& out) = 0;
  // Each once; again with the same content is nothing, with another kInvalid, as is a scale above kScaleMax.
  virtual Result<void> ledger(const NamedLedger& ledger, std::string& out) = 0;
  // After its ledger; the same rule.
  virtual Result<void> account(const NamedAccount& account, std::string& out) = 0;
  // kNotFound if one of its accounts was not given before, kInvalid if their ledgers differ or the time goes back.
  virtual Result<void> transfer(const NamedTransfer& transfer, std::string& out) = 0;
  virtual void finish(std::string& out) = 0;
  // True once the account was given: the caller looks up names only for those that were not.
  virtual bool knows(Id account) const = 0;

  struct Counts {
    uint64_t transfers = 0, posted = 0, accounts = 0;
  };
  virtual Counts counts() const = 0;
};
std::unique_ptr<Exporter> make_exporter(ExportFormat format);

// All accounts as CSV, for an import into other books: id, ledger, asset, name, kind, code, flags, user data,
// timestamp.
void begin_accounts_csv(std::string& out);
void append_account_csv(const Account& account, std::string_view asset, std::string_view name, std::string& out);

}  // namespace polis::ledger::formats
