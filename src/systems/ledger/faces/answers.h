// What the JSON face answers: the nouns of the books as JSON. Pure.
#pragma once

#include <string>

#include "systems/ledger/faces/books.h"
#include "systems/ledger/faces/json_writer.h"

namespace polis::ledger {

void write(JsonWriter& out, const LedgerRecord& record);
void write(JsonWriter& out, const NamedAccount& named);
// What a transfer's numbers are called. `ledger` null: then without amount_decimal; names empty: without them.
struct TransferNames {
  const LedgerRecord* ledger = nullptr;
  std::string_view from, to;
};
void write(JsonWriter& out, const Transfer& transfer, const TransferNames& names);
// The members of a record, without braces, so that more may follow.
void write_members(JsonWriter& out, const TransactionRecord& record);
void write(JsonWriter& out, const BatchLink& link);

std::string to_json(const AccountRecord& record);  // id, name, owner, labels, version
std::string to_json(const SignedHead& head);
std::string to_json(const Ledger::Statistics& statistics);
std::string trial_balance_json(const std::vector<Engine::Totals>& totals, const std::vector<LedgerRecord>& ledgers);

std::string hex(const Hash& hash);

}  // namespace polis::ledger
