// What every exporter does the same way: keeps the ledgers and accounts that it was given, gives each a label of its
// own, checks what comes in. A format says how labels look and writes the lines.
#pragma once

#include <map>
#include <set>
#include <string>

#include "systems/ledger/formats/export.h"
#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {

class BooksExporter : public Exporter {
 public:
  Result<void> ledger(const NamedLedger& ledger, std::string& out) final;
  Result<void> account(const NamedAccount& account, std::string& out) final;
  Result<void> transfer(const NamedTransfer& transfer, std::string& out) final;
  bool knows(Id account) const final { return accounts_.contains(account); }
  Counts counts() const final { return counts_; }

 protected:
  struct KnownLedger {
    NamedLedger given;
    std::string commodity;  // as the file names it
  };
  struct KnownAccount {
    NamedAccount given;
    std::string label;  // as the file names it; no other account has it
    const KnownLedger* ledger = nullptr;
  };

  // A label for the name, and for the same name with what makes it unique behind it. The format's own rules:
  // characters, length, reserved words.
  virtual std::string commodity_label(std::string_view asset, std::string_view suffix) const = 0;
  virtual std::string account_label(const NamedAccount& account, std::string_view suffix) const = 0;

  virtual void write_commodity(const KnownLedger& ledger, std::string& out) = 0;
  virtual void write_account(const KnownAccount& account, std::string& out) = 0;
  // False if the format leaves it out.
  virtual bool write_transfer(const NamedTransfer& transfer, const KnownAccount& debit, const KnownAccount& credit,
                              std::string& out) = 0;

  Calendar calendar_;

 private:
  std::map<uint32_t, KnownLedger> ledgers_;
  // Ordered, not hashed: ids are the clients' choice.
  std::map<Id, KnownAccount> accounts_;
  std::map<std::pair<std::string, uint8_t>, std::string> assets_;  // asset and scale → commodity
  std::set<std::string> commodities_, labels_;
  uint64_t timestamp_last_ = 0;
  Counts counts_;
};

// Single-phase transfers and posts: what changes posted balances.
bool is_posted(const Transfer& transfer);

// The first line of a journal, and its last.
inline constexpr std::string_view kJournalBegin =
    "; The books of polis: one transaction a posted transfer, debits positive, credits negative.\n";
std::string journal_end(const Exporter::Counts& counts);

// Calls visit(name, number) for what a journal notes beside a transaction.
template <class Visit>
void for_each_note(const Transfer& transfer, Visit visit) {
  visit("transfer", transfer.id);
  visit("timestamp", u128{transfer.timestamp});
  visit("code", u128{transfer.code});
  if (transfer.user_data_128 != 0) visit("transaction", transfer.user_data_128);
  if (transfer.pending_id != 0) visit("pending", transfer.pending_id);
}

std::unique_ptr<Exporter> make_ledger_exporter();
std::unique_ptr<Exporter> make_hledger_exporter();
std::unique_ptr<Exporter> make_beancount_exporter();
std::unique_ptr<Exporter> make_csv_exporter();

}  // namespace polis::ledger::formats
