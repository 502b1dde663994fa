// What the engine's logs hold beside accounts and transfers, row by row. These bytes lie in chunk files and snapshots:
// no padding, little endian, sizes that never change.
#pragma once

#include "systems/ledger/chain.h"
#include "systems/ledger/storage/chunked_log.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// An event that was refused. Its leaf is kept, so that a proof of its neighbours needs no journal.
struct RefusalRow {
  static constexpr uint32_t kOfAccount = uint32_t{1} << 31;

  Id id = 0;
  Hash leaf{};
  uint64_t timestamp = 0;  // of the result
  uint32_t status = 0;
  uint32_t index = 0;  // of the event in its command; kOfAccount is set if it was to create an account
};

// A pending transfer that expired.
struct ExpiryRow {
  Id debit_account_id = 0;
  Id credit_account_id = 0;
  u128 amount = 0;
  uint64_t timestamp = 0;  // of the expiry
  uint64_t transfer = 0;   // slot of the pending transfer
  uint32_t flags = 0;      // of the pending transfer
  uint32_t reserved[7] = {};
};

// An account right after a transfer: of accounts with `history` after each, of others now and then, so that the
// balances at any moment are a short sum.
struct BalanceRow {
  u128 debits_pending = 0;
  u128 debits_posted = 0;
  u128 credits_pending = 0;
  u128 credits_posted = 0;
  uint64_t transfer = 0;  // slot of the transfer that it includes as the last
  uint64_t account = 0;   // slot
  uint64_t expiries = 0;  // how many of all expiries it includes
  uint32_t flags = 0;     // of the account
  uint32_t reserved = 0;
};

// A command: its link of the chain, and the sizes of the logs after it, so that its rows are those behind the command
// before.
struct BatchRow {
  uint64_t timestamp = 0;
  uint32_t count = 0;      // leaves
  uint32_t operation = 0;  // Operation
  Hash previous{};
  Hash root{};
  uint64_t accounts = 0;
  uint64_t transfers = 0;
  uint64_t refusals = 0;
  uint64_t expiries = 0;
};

static_assert(sizeof(RefusalRow) == 64 && kIsRecord<RefusalRow>);
static_assert(sizeof(ExpiryRow) == 96 && kIsRecord<ExpiryRow>);
static_assert(sizeof(BalanceRow) == 96 && kIsRecord<BalanceRow>);
static_assert(sizeof(BatchRow) == 112 && kIsRecord<BatchRow>);

// Fields of the logs' indexes. Zeros are not indexed, as no query asks for them.
namespace transfer_field {
inline constexpr uint8_t kDebitAccount = 0, kCreditAccount = 1, kUserData128 = 2, kUserData64 = 3, kUserData32 = 4,
                         kLedger = 5, kCode = 6, kCount = 7;
}
namespace account_field {
inline constexpr uint8_t kUserData128 = 0, kUserData64 = 1, kUserData32 = 2, kLedger = 3, kCode = 4, kCount = 5;
}
namespace expiry_field {
inline constexpr uint8_t kDebitAccount = 0, kCreditAccount = 1, kCount = 2;
}
namespace balance_field {
inline constexpr uint8_t kAccount = 0, kCount = 1;
}

// 128 bits as the 64 of an index.
inline uint64_t field_value(u128 value) {
  const u128 mixed = static_cast<u128>(static_cast<uint64_t>(value) ^ 0x9E37'79B9'7F4A'7C15) *
                     (static_cast<uint64_t>(value >> 64) ^ 0xD1B5'4A32'D192'ED03);
  return static_cast<uint64_t>(mixed) ^ static_cast<uint64_t>(mixed >> 64) ^ static_cast<uint64_t>(value);
}

template <class Row>
Row read_row(const std::byte* bytes) {
  Row row;
  std::memcpy(&row, bytes, sizeof row);
  return row;
}
template <class Row>
Row row_at(const ChunkedLog& log, uint64_t slot) {
  return read_row<Row>(log.row(slot));
}
template <class Row>
uint64_t append_row(ChunkedLog& log, const Row& row) {
  return log.append(reinterpret_cast<const std::byte*>(&row));
}

struct LogSizes {
  uint32_t rows_per_chunk = 1 << 20;
  uint32_t rows_per_run = 1 << 15;
  uint64_t key_seed = 0;  // of the id hash
};
ChunkedLogOptions account_log_options(const LogSizes& sizes);
ChunkedLogOptions transfer_log_options(const LogSizes& sizes);
ChunkedLogOptions refusal_log_options(const LogSizes& sizes);
ChunkedLogOptions expiry_log_options(const LogSizes& sizes);
ChunkedLogOptions balance_log_options(const LogSizes& sizes);
ChunkedLogOptions batch_log_options(const LogSizes& sizes);

}  // namespace polis::ledger
