// The nouns of double-entry bookkeeping: accounts, transfers between two of them, and what is asked about both. They
// have the layout of the TigerBeetle 0.17 client protocol (little endian, no padding), so a record is the same bytes on
// the wire, in the journal, in memory and under a hash.
//
// Every transfer debits one account and credits another of the same ledger by the same amount: no single-sided entry
// can be said. Balances are four unsigned sums (pending and posted, debits and credits), never one signed number.
// Amounts are integers in the smallest unit of the ledger's asset; timestamps are nanoseconds since 1970, unique over
// all accounts and transfers, and ascending in the order of execution.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace polis::ledger {

static_assert(std::endian::native == std::endian::little, "records are used as they arrive");

using u128 = unsigned __int128;
using Id = u128;  // of an account or a transfer: chosen by the client, never 0 and never 2^128-1

inline constexpr u128 kU128Max = ~u128{0};
inline constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
// Timestamps are below 2^63, so that clients with signed numbers can hold them.
inline constexpr uint64_t kTimestampMax = (uint64_t{1} << 63) - 1;

// --- accounts

namespace account_flags {
inline constexpr uint16_t kLinked = 1;  // stands or falls with the next event of the batch
inline constexpr uint16_t kDebitsMustNotExceedCredits = 2;
inline constexpr uint16_t kCreditsMustNotExceedDebits = 4;
inline constexpr uint16_t kHistory = 8;    // the balance after each transfer is kept
inline constexpr uint16_t kImported = 16;  // the client gives the timestamp, which lies in the past
inline constexpr uint16_t kClosed = 32;    // takes no transfers, except to void the one that closed it
inline constexpr uint16_t kAll = 63;
}  // namespace account_flags

struct Account {
  Id id = 0;
  u128 debits_pending = 0;
  u128 debits_posted = 0;
  u128 credits_pending = 0;
  u128 credits_posted = 0;
  u128 user_data_128 = 0;
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint32_t reserved = 0;
  uint32_t ledger = 0;  // accounts of one ledger have one asset; transfers stay inside it
  uint16_t code = 0;    // the kind of account, as the client names it
  uint16_t flags = 0;
  uint64_t timestamp = 0;

  bool operator==(const Account&) const = default;
};

// --- transfers

namespace transfer_flags {
inline constexpr uint16_t kLinked = 1;
inline constexpr uint16_t kPending = 2;  // reserves the amount until it is posted, voided, or expires
inline constexpr uint16_t kPostPending = 4;
inline constexpr uint16_t kVoidPending = 8;
inline constexpr uint16_t kBalancingDebit = 16;   // at most what keeps debits within credits
inline constexpr uint16_t kBalancingCredit = 32;  // at most what keeps credits within debits
inline constexpr uint16_t kClosingDebit = 64;     // pending only: closes the account until voided
inline constexpr uint16_t kClosingCredit = 128;
inline constexpr uint16_t kImported = 256;
inline constexpr uint16_t kAll = 511;
}  // namespace transfer_flags

struct Transfer {
  Id id = 0;
  Id debit_account_id = 0;
  Id credit_account_id = 0;
  u128 amount = 0;
  Id pending_id = 0;  // of the pending transfer that this one posts or voids; else 0
  u128 user_data_128 = 0;
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint32_t timeout = 0;  // s, of a pending transfer; 0: never expires
  uint32_t ledger = 0;
  uint16_t code = 0;
  uint16_t flags = 0;
  uint64_t timestamp = 0;

  bool operator==(const Transfer&) const = default;
};

// --- what became of a create event

// The first status that applies wins; the order of the checks stands in the engine, not in the numbers.
enum class AccountStatus : uint32_t {
  kLinkedEventFailed = 1,
  kLinkedEventChainOpen = 2,
  kTimestampMustBeZero = 3,
  kReservedField = 4,
  kReservedFlag = 5,
  kIdMustNotBeZero = 6,
  kIdMustNotBeIntMax = 7,
  kFlagsAreMutuallyExclusive = 8,
  kDebitsPendingMustBeZero = 9,
  kDebitsPostedMustBeZero = 10,
  kCreditsPendingMustBeZero = 11,
  kCreditsPostedMustBeZero = 12,
  kLedgerMustNotBeZero = 13,
  kCodeMustNotBeZero = 14,
  kExistsWithDifferentFlags = 15,
  kExistsWithDifferentUserData128 = 16,
  kExistsWithDifferentUserData64 = 17,
  kExistsWithDifferentUserData32 = 18,
  kExistsWithDifferentLedger = 19,
  kExistsWithDifferentCode = 20,
  kExists = 21,
  kImportedEventExpected = 22,
  kImportedEventNotExpected = 23,
  kImportedEventTimestampOutOfRange = 24,
  kImportedEventTimestampMustNotAdvance = 25,
  kImportedEventTimestampMustNotRegress = 26,
  kCreated = 0xFFFF'FFFF,
};

enum class TransferStatus : uint32_t {
  kLinkedEventFailed = 1,
  kLinkedEventChainOpen = 2,
  kTimestampMustBeZero = 3,
  kReservedFlag = 4,
  kIdMustNotBeZero = 5,
  kIdMustNotBeIntMax = 6,
  kFlagsAreMutuallyExclusive = 7,
  kDebitAccountIdMustNotBeZero = 8,
  kDebitAccountIdMustNotBeIntMax = 9,
  kCreditAccountIdMustNotBeZero = 10,
  kCreditAccountIdMustNotBeIntMax = 11,
  kAccountsMustBeDifferent = 12,
  kPendingIdMustBeZero = 13,
  kPendingIdMustNotBeZero = 14,
  kPendingIdMustNotBeIntMax = 15,
  kPendingIdMustBeDifferent = 16,
  kTimeoutReservedForPendingTransfer = 17,
  kLedgerMustNotBeZero = 19,
  kCodeMustNotBeZero = 20,
  kDebitAccountNotFound = 21,
  kCreditAccountNotFound = 22,
  kAccountsMustHaveTheSameLedger = 23,
  kTransferMustHaveTheSameLedgerAsAccounts = 24,
  kPendingTransferNotFound = 25,
  kPendingTransferNotPending = 26,
  kPendingTransferHasDifferentDebitAccountId = 27,
  kPendingTransferHasDifferentCreditAccountId = 28,
  kPendingTransferHasDifferentLedger = 29,
  kPendingTransferHasDifferentCode = 30,
  kExceedsPendingTransferAmount = 31,
  kPendingTransferHasDifferentAmount = 32,
  kPendingTransferAlreadyPosted = 33,
  kPendingTransferAlreadyVoided = 34,
  kPendingTransferExpired = 35,
  kExistsWithDifferentFlags = 36,
  kExistsWithDifferentDebitAccountId = 37,
  kExistsWithDifferentCreditAccountId = 38,
  kExistsWithDifferentAmount = 39,
  kExistsWithDifferentPendingId = 40,
  kExistsWithDifferentUserData128 = 41,
  kExistsWithDifferentUserData64 = 42,
  kExistsWithDifferentUserData32 = 43,
  kExistsWithDifferentTimeout = 44,
  kExistsWithDifferentCode = 45,
  kExists = 46,
  kOverflowsDebitsPending = 47,
  kOverflowsCreditsPending = 48,
  kOverflowsDebitsPosted = 49,
  kOverflowsCreditsPosted = 50,
  kOverflowsDebits = 51,
  kOverflowsCredits = 52,
  kOverflowsTimeout = 53,
  kExceedsCredits = 54,
  kExceedsDebits = 55,
  kImportedEventExpected = 56,
  kImportedEventNotExpected = 57,
  kImportedEventTimestampOutOfRange = 58,
  kImportedEventTimestampMustNotAdvance = 59,
  kImportedEventTimestampMustNotRegress = 60,
  kImportedEventTimestampMustPostdateDebitAccount = 61,
  kImportedEventTimestampMustPostdateCreditAccount = 62,
  kImportedEventTimeoutMustBeZero = 63,
  kClosingTransferMustBePending = 64,
  kDebitAccountAlreadyClosed = 65,
  kCreditAccountAlreadyClosed = 66,
  kExistsWithDifferentLedger = 67,
  kIdAlreadyFailed = 68,
  kCreated = 0xFFFF'FFFF,
};

// "exceeds_credits"; "status_999" for a number without a name.
std::string status_name(AccountStatus status);
std::string status_name(TransferStatus status);

// The result of one create event, of either kind. `timestamp` is the record's: for `exists` the original's.
struct CreateResult {
  uint64_t timestamp = 0;
  uint32_t status = 0;
  uint32_t reserved = 0;

  bool created() const { return status == 0xFFFF'FFFF; }
  bool operator==(const CreateResult&) const = default;
};

// --- questions

namespace account_filter_flags {
inline constexpr uint32_t kDebits = 1;
inline constexpr uint32_t kCredits = 2;
inline constexpr uint32_t kReversed = 4;
inline constexpr uint32_t kAll = 7;
}  // namespace account_filter_flags

// The transfers, or balances, of one account. In fields other than account_id and limit, 0 means "any".
struct AccountFilter {
  Id account_id = 0;
  u128 user_data_128 = 0;
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint16_t code = 0;
  uint8_t reserved[58] = {};
  uint64_t timestamp_min = 0;  // inclusive, both
  uint64_t timestamp_max = 0;
  uint32_t limit = 0;
  uint32_t flags = 0;
};

namespace query_filter_flags {
inline constexpr uint32_t kReversed = 1;
inline constexpr uint32_t kAll = 1;
}  // namespace query_filter_flags

// Accounts or transfers by any mix of fields.
struct QueryFilter {
  u128 user_data_128 = 0;
  uint64_t user_data_64 = 0;
  uint32_t user_data_32 = 0;
  uint32_t ledger = 0;
  uint16_t code = 0;
  uint8_t reserved[6] = {};
  uint64_t timestamp_min = 0;
  uint64_t timestamp_max = 0;
  uint32_t limit = 0;
  uint32_t flags = 0;
};

// The balance of an account right after the transfer of that timestamp.
struct AccountBalance {
  u128 debits_pending = 0;
  u128 debits_posted = 0;
  u128 credits_pending = 0;
  u128 credits_posted = 0;
  uint64_t timestamp = 0;
  uint8_t reserved[56] = {};

  bool operator==(const AccountBalance&) const = default;
};

template <class T>
inline constexpr bool kIsRecord = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;
static_assert(sizeof(Account) == 128 && kIsRecord<Account>);
static_assert(sizeof(Transfer) == 128 && kIsRecord<Transfer>);
static_assert(sizeof(CreateResult) == 16 && kIsRecord<CreateResult>);
static_assert(sizeof(AccountFilter) == 128 && kIsRecord<AccountFilter>);
static_assert(sizeof(QueryFilter) == 64 && kIsRecord<QueryFilter>);
static_assert(sizeof(AccountBalance) == 128 && kIsRecord<AccountBalance>);

// Record i of bytes that may lie at any alignment.
template <class T>
T record_at(BytesView records, size_t i) {
  T record;
  std::memcpy(&record, records.data() + i * sizeof(T), sizeof(T));
  return record;
}

// --- 128-bit numbers as text

// Decimal, without sign or separators.
std::string to_decimal(u128 value);
// 1..39 digits and no more than 2^128-1; kInvalid otherwise.
Result<u128> parse_decimal(std::string_view digits);

}  // namespace polis::ledger
