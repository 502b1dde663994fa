// What the JSON face answers: the nouns of the books as JSON. Pure.
#pragma once

#include <string>

#include "systems/ledger/faces/books.h"
#include "systems/ledger/faces/json_writer.h"

namespace polis::ledger {

void write(JsonWriter& out, const LedgerRecord& record);
void write(JsonWriter& out, const NamedAccount& named);
// `ledger` may be null: then without amount_decimal.
void write(JsonWriter& out, const Transfer& transfer, const LedgerRecord* ledger);
// The members of a record, without braces, so that more may follow.
void write_members(JsonWriter& out, const TransactionRecord& record);
void write(JsonWriter& out, const BatchLink& link);

std::string to_json(const AccountRecord& record);  // id, name, owner, labels, version
std::string to_json(const SignedHead& head);
std::string to_json(const Ledger::Statistics& statistics);
std::string trial_balance_json(const std::vector<Engine::Totals>& totals, const std::vector<LedgerRecord>& ledgers);

std::string hex(const Hash& hash);

}  // namespace polis::ledger
