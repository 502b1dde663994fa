// The reporter's rows: what is kept of every order, report, fill, trade and movement of money, for whoever asks later.
// All of it follows from the journal. Values, their encodings and their keys; pure.
//
//     key  := kind:char part*
//     part := n:u8, n bytes big endian without zeros in front; sorts as its number
//
//     's' session, ordinal      chunk of reports: what the session was told, ordinals from the key's on without gaps
//     'o' block of order, batch chunk of orders as a batch of steps left them; in the first one they were entered
//     'u' account, order        the order as a trade that was taken back left it
//     'n' account, sequence     chunk of (sequence, order): which orders the account made
//     'f' account, sequence     chunk of fills
//     'm' account, sequence     chunk of movements of money
//     't' instrument, match     chunk of trades; 'b' instrument, match: that trade was broken
//     'd' day                   a closed day; 'c' day, account: its closing balances; 'x' day, n: its settlement file
//     'w' sequence              a withdrawal that is to be paid; 'v' sequence: one that is
//     'k' text                  an API key; 'l' asset: its number in the ledger; 'g': how far all this goes
//
//     record value := version:u8 record        (record_codec.h)
//     chunk value  := version:u8 record+
//
// A chunk holds what one batch gathered for its key, at most kChunkRecordsMax records, and its key names the first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "systems/exchange/messages.h"
#include "systems/exchange/reporting/report_archive.h"

namespace polis::exchange {

inline constexpr size_t kChunkRecordsMax = 512;  // 30 KiB of reports

enum class RowKind : char {
  kSessionReports = 's',
  kOrder = 'o',
  kBrokenOrder = 'u',
  kAccountOrders = 'n',
  kFills = 'f',
  kMovements = 'm',
  kTrades = 't',
  kBrokenTrade = 'b',
  kDay = 'd',
  kClosing = 'c',
  kSettlementFile = 'x',
  kWithdrawal = 'w',
  kPaidWithdrawal = 'v',
  kApiKey = 'k',
  kLedgerNumber = 'l',
  kProgress = 'g',
};
void append_part(std::string& key, uint64_t part);
template <class... Parts>
std::string row_key(RowKind kind, Parts... parts) {
  std::string key(1, static_cast<char>(kind));
  (append_part(key, parts), ...);
  return key;
}
// The n-th part of a key, from 0. kCorrupt if it has none.
Result<uint64_t> key_part(std::string_view key, size_t n);
// 2048 orders that had neighbouring places at about the same time, so that a batch finds many of its orders in few
// blocks, and whoever asks for one of them looks at few rows.
struct OrderBlock {
  uint32_t places = 0, generations = 0;
  friend auto operator<=>(const OrderBlock&, const OrderBlock&) = default;
};
constexpr OrderBlock order_block(OrderId order) {
  constexpr int kPlaceBits = 8, kGenerationBits = 3;  // of an id: generation << 32 | place
  return {static_cast<uint32_t>(order) >> kPlaceBits, static_cast<uint32_t>(order >> (32 + kGenerationBits))};
}

// --- what stands in the rows

struct OrderRecord {
  OrderId order = 0;
  AccountId account = 0;
  SessionId session = 0;
  InstrumentId instrument = 0;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  OrderStatus status = OrderStatus::kNone;
  Price price = 0, stop_price = 0;
  Quantity quantity = 0, filled = 0, left = 0;
  int64_t notional = 0;
  ClientOrderId client_id;
  Sequence entered_sequence = 0, changed_sequence = 0;
  VenueTime entered = 0, changed = 0;
  friend bool operator==(const OrderRecord&, const OrderRecord&) = default;
};
// No request changes it any more.
constexpr bool has_ended(OrderStatus status) {
  return status >= OrderStatus::kFilled;
}
// The order as its report tells it; `entered` of both kinds is the report's own.
OrderRecord order_of(Sequence sequence, VenueTime time, const Report& report);

struct AccountOrder {
  Sequence sequence = 0;
  OrderId order = 0;
  friend bool operator==(const AccountOrder&, const AccountOrder&) = default;
};

struct FillRecord {
  Sequence sequence = 0;  // of the report: its ExecID
  VenueTime time = 0;
  OrderId order = 0;
  InstrumentId instrument = 0;
  Side side = Side::kBuy;
  bool maker = false, auction = false, broken = false;  // broken: this tells that the trade of `match` was taken back
  Price price = 0;
  Quantity quantity = 0, left = 0;
  MatchId match = 0;
  Amount fee = 0;
  ClientOrderId client_id;
  friend bool operator==(const FillRecord&, const FillRecord&) = default;
};

struct TradeRecord {
  MatchId match = 0;
  Sequence sequence = 0;
  VenueTime time = 0;
  Side side = Side::kBuy;  // of the order that came
  bool auction = false;
  Price price = 0;
  Quantity quantity = 0;
  friend bool operator==(const TradeRecord&, const TradeRecord&) = default;
};

enum class MovementKind : uint8_t { kDeposit = 1, kWithdrawal, kTrade, kFee, kFeeIncome, kTradeBreak };
std::string_view name(MovementKind kind);

// One change of one balance.
struct Movement {
  Sequence sequence = 0;
  VenueTime time = 0;
  MovementKind kind = MovementKind::kTrade;
  AssetId asset = 0;
  Amount amount = 0;  // what the balance grew by
  InstrumentId instrument = 0;
  MatchId match = 0;
  OrderId order = 0;
  friend bool operator==(const Movement&, const Movement&) = default;
};

enum class DayState : uint8_t { kClosed, kPosted, kWritten };
struct DayRecord {
  uint32_t day = 0;              // yyyymmdd
  uint32_t previous_day = 0;     // whose closing balances are this day's opening ones; 0: none
  Sequence first = 0, last = 0;  // movements with first <= sequence < last
  VenueTime closed = 0;
  DayState state = DayState::kClosed;
  // Once it is written:
  uint64_t file_chunks = 0, file_bytes = 0, lines = 0;
  std::string sha256;   // of the file, hex
  std::string problem;  // sums that do not hold; empty: they do
  friend bool operator==(const DayRecord&, const DayRecord&) = default;
};

struct AssetAmount {
  AssetId asset = 0;
  Amount amount = 0;
  friend bool operator==(const AssetAmount&, const AssetAmount&) = default;
};

struct WithdrawalRecord {
  Sequence sequence = 0;  // of the report that told it
  VenueTime time = 0;
  AccountId account = 0;
  AssetId asset = 0;
  Amount amount = 0;
  uint64_t wallet_low = 0, wallet_high = 0;  // the ledger account that gets it
  uint32_t attempt = 0;                      // names in the ledger that are burned
  std::string problem;                       // why the ledger refused it last; empty: it did not
  friend bool operator==(const WithdrawalRecord&, const WithdrawalRecord&) = default;
};

struct ProgressRecord {
  Sequence committed = 0;  // as Follower::committed(): the rows hold every step that begins below
  VenueTime first_time = 0, last_time = 0;
  uint32_t day = 0;        // the last one that was closed
  Sequence day_first = 0;  // where the day that is open begins
  friend bool operator==(const ProgressRecord&, const ProgressRecord&) = default;
};

// --- encodings. Decoders answer kCorrupt for what was not written by the encoder.

// OrderRecord (of a broken trade), DayRecord, WithdrawalRecord, ProgressRecord.
template <class Record>
std::string encoded(const Record& record);
template <class Record>
Result<Record> decode(std::string_view value);

// OrderRecord, StoredReport (without its session, which is in the key), AccountOrder, FillRecord, TradeRecord,
// Movement, AssetAmount.
template <class Record>
class ChunkWriter {
 public:
  void append(const Record& record);
  size_t records() const { return records_; }
  size_t size_bytes() const { return value_.size(); }
  // What was appended; the next chunk begins.
  std::string take();

 private:
  std::string value_;
  Record before_;
  size_t records_ = 0;
};
template <class Record>
Result<std::vector<Record>> decode_chunk(std::string_view value);
Result<std::vector<StoredReport>> decode_reports(std::string_view chunk, SessionId session);

}  // namespace polis::exchange
