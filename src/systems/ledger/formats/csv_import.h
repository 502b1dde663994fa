// Reads transfers, or accounts, from CSV (RFC 4180): polis's own export, or a table that a person made. Makes records
// with the imported flag, ready for create_transfers and create_accounts; says of every wrong row its line, its column
// and what is wrong with it. Sans I/O: bytes come in pieces of any size, memory is one row.
//
//     feed(bytes) ─► rows ─► the visitor, one record a row, in order ─► finish
//
// The first row names the columns, in any order; unknown ones are ignored. Transfers: debit_account, credit_account,
// amount_minor or amount, and timestamp or time must be there; id, ledger, code, flags, pending_id, user_data_128,
// user_data_64, user_data_32, reference, state may. Accounts: id, ledger, and timestamp or time; code, flags,
// user_data_*, name, kind may.
//
// What an import cannot repeat is dropped: rows whose state is expired (they moved nothing), the timeout (an imported
// pending transfer must not have one), the flags linked, balancing_* and imported of the original (each row stands for
// itself with the amount that was booked). A leading apostrophe of a text is dropped: the export puts it before what a
// spreadsheet would take for a formula.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "systems/ledger/formats/export.h"

namespace polis::ledger::formats {

inline constexpr size_t kCsvRowBytesMax = 64 << 10;
inline constexpr size_t kCsvColumnsMax = 64;

struct ImportedTransfer {
  uint64_t line = 0;  // where the row begins, from 1
  Transfer transfer;  // id 0 if the table has none: the caller chooses one that a second run chooses again
  std::string reference;
};

struct ImportedAccount {
  uint64_t line = 0;
  Account account;
  std::string name;
  AccountKind kind = AccountKind::kEquity;
};

// What the table says by name.
struct ImportNames {
  // The account of this name; a cell of digits only is an id and is not asked for. Empty: no cell may be a name.
  std::function<Result<Id>(std::string_view name)> account;
  // The ledger of an account: for tables without a column `ledger`.
  std::function<Result<uint32_t>(Id account)> ledger;
  // Digits behind the point, for the column `amount`.
  std::function<Result<uint8_t>(uint32_t ledger)> scale;
};

class CsvImport {
 public:
  virtual ~CsvImport() = default;
  // kInvalid: "line 7, column amount: '1,5' is not an amount; ..." Nothing may follow an error.
  virtual Result<void> feed(std::string_view bytes) = 0;
  // The last row needs no line end. kInvalid if a quote is open or there was no row of names.
  virtual Result<void> finish() = 0;
  // Rows handed to the visitor, and rows left out.
  struct Counts {
    uint64_t rows = 0, skipped = 0;
  };
  virtual Counts counts() const = 0;
};

using TransferVisitor = std::function<Result<void>(ImportedTransfer)>;
using AccountVisitor = std::function<Result<void>(ImportedAccount)>;
std::unique_ptr<CsvImport> import_transfers(ImportNames names, TransferVisitor visit);
std::unique_ptr<CsvImport> import_accounts(AccountVisitor visit);

}  // namespace polis::ledger::formats
