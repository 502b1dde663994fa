// What the JSON face keeps about the books that the engine does not: names, owners and labels of accounts, assets of
// ledgers, references and metadata of transactions. Values, and how they lie in the Store. The books themselves
// (accounts, transfers, balances) live in the engine alone.
//
// Keys of the keyspace "ledger"; numbers in keys are big endian:
//
//   l <ledger u32>                    -> LedgerRecord
//   a <account id u128>               -> AccountRecord
//   n <name>                          -> account id u128: whose name this is
//   t <transaction id u128>           -> TransactionRecord
//   r <reference>                     -> transaction id u128
//   s <~created_at u64> <id u128>     -> empty: transactions, newest first
//   w <transaction id u128>           -> its transfers, 128 bytes each, until their outcome is known
//   v <transaction id u128>           -> id u128 of the transaction that reverses it
//
// Values begin with a format number; decoders answer kCorrupt for what they do not understand.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/digest.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// Limits of what people name things. Names end up in URLs, exports and on screens.
inline constexpr size_t kNameBytesMax = 128;
inline constexpr size_t kReferenceBytesMax = 256;
inline constexpr size_t kKeyBytesMax = 256;  // of an Idempotency-Key
inline constexpr size_t kOwnerBytesMax = 128;
inline constexpr size_t kLabelsMax = 64;
inline constexpr size_t kLabelKeyBytesMax = 64;
inline constexpr size_t kLabelValueBytesMax = 256;
inline constexpr size_t kMetadataBytesMax = 16 * 1024;
inline constexpr size_t kPostingsMax = 8'189;  // one command, as on the binary port
inline constexpr unsigned kScaleMax = 30;      // 2^128 has 39 digits: eight are left in front of the point

struct LedgerRecord {
  uint32_t id = 0;    // the ledger number of accounts and transfers
  std::string asset;  // "USD", "BTC", "points": [A-Za-z0-9._-]{1,24}
  uint8_t scale = 0;  // digits behind the point
  WallTime created_at{};
  bool operator==(const LedgerRecord&) const = default;
};

// The five kinds of accounts of bookkeeping, as codes of account records. Other codes are the client's own.
namespace account_codes {
inline constexpr uint16_t kAsset = 1;
inline constexpr uint16_t kLiability = 2;
inline constexpr uint16_t kEquity = 3;
inline constexpr uint16_t kIncome = 4;
inline constexpr uint16_t kExpense = 5;
}  // namespace account_codes

// "asset", ...; "other" for a code that is none of the five.
std::string_view account_type(uint16_t code);
std::optional<uint16_t> account_code(std::string_view type);
// Assets and expenses grow by debits, everything else by credits.
bool debit_normal(uint16_t code);

struct AccountRecord {
  Id id = 0;
  std::string name;  // unique; empty: only its id
  std::string owner;
  std::map<std::string, std::string> labels;
  uint64_t version = 0;  // of name, owner and labels: 1 at the beginning, +1 a change
  // As they were asked for: what a repeated request must ask for, too.
  uint32_t ledger = 0;
  uint16_t code = 0;
  uint16_t flags = 0;
  WallTime created_at{};
  bool operator==(const AccountRecord&) const = default;
};

enum class TransactionKind : uint8_t { kPlain = 0, kPost = 1, kVoid = 2, kReverse = 3 };
std::string_view name(TransactionKind kind);

enum class TransactionState : uint8_t {
  kAccepted = 0,  // written down; its transfers are on their way, or will be sent again at the next start
  kBooked = 1,
  kRefused = 2,  // nothing of it was booked, and nothing will be
};
std::string_view name(TransactionState state);

struct TransactionRecord {
  Id id = 0;
  TransactionKind kind = TransactionKind::kPlain;
  Id parent = 0;  // of what it posts, voids or reverses
  std::string key, reference;
  std::string metadata;         // a JSON object, or empty
  base::Sha256Digest digest{};  // of what was asked for: the same key with another digest is a conflict
  uint32_t count = 0;           // transfers
  bool pending = false;
  uint32_t timeout_s = 0;
  std::vector<uint32_t> ledgers;  // that it touches, ascending: what reading it takes the right to
  WallTime created_at{};
  TransactionState state = TransactionState::kAccepted;
  uint32_t status = 0;   // kRefused: TransferStatus
  uint32_t posting = 0;  // kRefused: which of them, from 0
  bool operator==(const TransactionRecord&) const = default;
};

// --- checks of what people send; the message names the rule

// 1..128 bytes of UTF-8 without control characters and '/', and not digits alone: these would be an id.
Result<void> check_account_name(std::string_view name);
Result<void> check_asset(std::string_view asset);
// 1..256 printable ASCII characters, for an Idempotency-Key.
Result<void> check_key(std::string_view key);
// UTF-8 without control characters, at most so long.
Result<void> check_text(std::string_view what, std::string_view text, size_t bytes_max);
Result<void> check_labels(const std::map<std::string, std::string>& labels);

// --- ids

// An id of its own for everything that a text stands for: the first 16 bytes of SHA-256 over the domain and the parts,
// each with its length, so that no two lists of parts are the same bytes. Never 0 and never 2^128-1.
Id derive_id(std::string_view domain, std::initializer_list<std::string_view> parts);
// By the client's key; by the reference where there is no key. The two never meet.
Id transaction_id(std::string_view key, std::string_view reference);
// Of what posts, voids or reverses `parent`. One a key: the empty key is one of its own.
Id follow_up_id(TransactionKind kind, Id parent, std::string_view key);
Id transfer_id(Id transaction, uint32_t index);
// `attempt` 0 is the name's own id; later ones are for a name that was given away and taken again.
Id account_id(std::string_view name, uint32_t attempt);
// What transfers carry in user_data_64 so that they are found by reference.
uint64_t reference_tag(std::string_view reference);

// --- rows

std::string ledger_key(uint32_t ledger);
std::string ledgers_prefix();
std::string account_key(Id id);
std::string name_key(std::string_view name);
std::string names_prefix(std::string_view begin_of_name);
std::string transaction_key(Id id);
std::string reference_key(std::string_view reference);
std::string recent_key(WallTime created_at, Id id);
std::string recent_prefix();
std::string working_key(Id id);
std::string working_prefix();
std::string reversal_key(Id id);

// The id at the end of a key of `s` or `w`.
Result<Id> id_at_end(std::string_view key);

std::string encode_id(Id id);
Result<Id> decode_id(std::string_view value);
std::string encode(const LedgerRecord& record);
std::string encode(const AccountRecord& record);
std::string encode(const TransactionRecord& record);
Result<LedgerRecord> decode_ledger(std::string_view value);
Result<AccountRecord> decode_account(std::string_view value);
Result<TransactionRecord> decode_transaction(std::string_view value);

}  // namespace polis::ledger
