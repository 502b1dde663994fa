// What people send as JSON, taken apart and checked, and the compiler that makes linked transfers of a transaction.
// Pure functions: no store, no ledger, no clock. Errors are kInvalid (kTooLarge for too many postings) and name the
// member. Members that are not known are refused, so that a misspelt one is never silently without effect.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "systems/ledger/faces/records.h"

namespace polis::ledger {

// --- POST /ledgers: {"id":1,"asset":"USD","scale":2}

struct NewLedger {
  uint32_t id = 0;
  std::string asset;
  uint8_t scale = 0;
};
Result<NewLedger> parse_new_ledger(std::string_view json);

// --- POST /accounts: {"name":"alice","ledger":1,"type":"liability","limit":"debits_must_not_exceed_credits"}

struct NewAccount {
  std::string name;      // may be empty if there is an id
  std::optional<Id> id;  // else made of the name
  uint32_t ledger = 0;
  uint16_t code = account_codes::kLiability;
  uint16_t flags = 0;  // limits, history
  std::string owner;
  std::map<std::string, std::string> labels;
};
Result<NewAccount> parse_new_account(std::string_view json);

// The names of the rules that "limit" chooses: "none", "debits_must_not_exceed_credits",
// "credits_must_not_exceed_debits".
std::string_view limit_name(uint16_t flags);

// --- PATCH /accounts/X/meta: {"name":"alice","owner":"bob","labels":{"team":"blue","old":null},"version":4}

struct MetadataPatch {
  std::optional<std::string> name, owner;
  // Each is set, or taken away where the value is null.
  std::map<std::string, std::optional<std::string>> labels;
  std::optional<uint64_t> version;  // the one that the change makes: the one that was read, plus one
};
Result<MetadataPatch> parse_metadata_patch(std::string_view json);
// The record with the patch applied and its version raised; kInvalid if it breaks a limit then.
Result<AccountRecord> apply(const MetadataPatch& patch, AccountRecord record);

// --- POST /transactions:
//     {"reference":"order-7","postings":[{"from":"alice","to":"shop","amount":"20000","asset":"USD"}],
//      "pending":true,"timeout":60,"metadata":{...}}

struct NewPosting {
  std::string from, to;  // debited, credited: names or ids
  std::string amount;    // digits in the smallest unit, or with a point if `decimal`
  bool decimal = false;
  std::string asset;  // empty: what the accounts have
};

struct NewTransaction {
  std::string reference;
  std::vector<NewPosting> postings;
  bool pending = false;
  uint32_t timeout_s = 0;
  uint16_t code = 1;
  std::string metadata;  // a JSON object, or empty
};
Result<NewTransaction> parse_new_transaction(std::string_view json);

// What the same key must stand for again: SHA-256 over all that was asked for.
base::Sha256Digest digest_of(const NewTransaction& request);

// --- POST /transactions/X/post: {} or {"amount":"100"} or {"amounts":["100","0", ...]}

struct NewPost {
  std::vector<std::string> amounts;  // empty: all in full
};
Result<NewPost> parse_new_post(std::string_view json);

// --- POST /transactions/X/reverse: {} or {"reference":"order-7-back","metadata":{...}}

struct NewReversal {
  std::string reference, metadata;
};
Result<NewReversal> parse_new_reversal(std::string_view json);

// --- the compiler

// An account as a posting needs it.
struct Party {
  Id id = 0;
  uint32_t ledger = 0;
};

// Why a transaction cannot be made: of which posting, and the status that the engine would have answered.
struct Refusal {
  TransferStatus status = TransferStatus::kCreated;
  uint32_t posting = 0;
  std::string detail;
};

// Names to accounts and ledgers to assets; empty if there is none.
struct Names {
  std::function<std::optional<Party>(const std::string& name_or_id)> party;
  std::function<const LedgerRecord*(uint32_t ledger)> ledger;
};

struct Compiled {
  std::vector<Transfer> transfers;  // linked: all or none
  std::vector<uint32_t> ledgers;    // ascending
};

// The transfers of transaction `id`: one a posting, from the debited to the credited account, with ids made of the
// transaction's id and their place, so that sending them again never books twice.
std::expected<Compiled, Refusal> compile(const NewTransaction& request, Id id, const Names& names);
// What ends the pending transfers of a transaction: posted with `amounts` (empty: in full) or voided. kInvalid if the
// amounts are not one a transfer.
Result<std::vector<Transfer>> compile_end(std::span<const Transfer> pending, Id id, TransactionKind kind,
                                          const NewPost& request);
// What undoes booked transfers: the same amounts the other way round, in reverse order.
std::vector<Transfer> compile_reversal(std::span<const Transfer> booked, Id id);

// An id of decimal digits; empty for anything else.
std::optional<Id> parse_id(std::string_view text);

}  // namespace polis::ledger
