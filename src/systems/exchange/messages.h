// What is said inside the venue. Every message is a plain value of fixed size without pointers: it is copied as it
// stands into slots of the bus, into the journal and between threads.
//
//     Request   whatever changes the venue, from sessions, operators and timers; sequenced first
//     Command   what the order manager tells the matching engine
//     Event     what the matching engine says happened (types.h)
//     Report    what the order manager tells whoever is concerned: execution reports, refusals, answers
#pragma once

#include <cstring>
#include <string_view>

#include "systems/exchange/types.h"

namespace polis::exchange {

using Sequence = uint64_t;   // a place on the venue's bus: counts slots, from 1
using SessionId = uint32_t;  // 0: no session (operators, timers)
using AssetId = uint32_t;
using Amount = int64_t;  // of an asset, in its smallest units

// A sequenced message's place and time.
struct Stamp {
  Sequence sequence = 0;
  VenueTime now = 0;
};

// Text of a fixed size, filled up with zeros. Holds no zero inside.
template <size_t N>
struct Text {
  char characters[N] = {};
  // Whether it can be held.
  static constexpr bool fits(std::string_view text) { return text.size() <= N && text.find('\0') == text.npos; }
  constexpr Text() = default;
  explicit Text(std::string_view text) {
    if (!text.empty()) std::memcpy(characters, text.data(), text.size() < N ? text.size() : N);
  }
  std::string_view view() const { return {characters, strnlen(characters, N)}; }
  bool empty() const { return characters[0] == 0; }
  friend bool operator==(const Text&, const Text&) = default;
};
using ClientOrderId = Text<36>;  // FIX ClOrdID; a UUID fits
using Name = Text<24>;           // of accounts and sessions (CompIDs)
using Symbol = Text<8>;          // of instruments and assets; ITCH has 8 characters

// mantissa × 10^exponent; exponent -9 .. 9.
struct Decimal {
  int64_t mantissa = 0;
  int8_t exponent = 0;
  friend bool operator==(const Decimal&, const Decimal&) = default;
};

// --- definitions. Ids are dense and given by whoever defines (1, 2, ...); a definition that stands is changed by
// sending it anew.

struct AssetDefinition {
  AssetId id = 0;
  Symbol symbol;
  uint8_t decimals = 0;  // 0 .. 9: an Amount counts 10^-decimals of it
};

enum class Calendar : uint8_t { kAlways, kUsEquity };  // 24x7; 09:30 to 16:00 in New York, Monday to Friday

struct InstrumentDefinition {
  InstrumentId id = 0;
  AssetId base = 0, quote = 0;
  Symbol symbol;
  Decimal tick, lot;
  Amount base_per_lot = 0;        // base units that one lot is, > 0
  Amount quote_per_tick_lot = 0;  // quote units that one lot costs at a price of one tick, > 0
  uint32_t band_bp = 1000;        // see InstrumentRules
  uint32_t collar_bp = 500;
  uint32_t pause_seconds = 300;
  uint32_t maker_fee_hundredths_bp = 0, taker_fee_hundredths_bp = 200;  // 1/100 basis point of the notional
  uint32_t window_ticks = 1 << 16;
  uint32_t orders_max = 10'000'000;
  Calendar calendar = Calendar::kAlways;
};

// 0 means: no such limit, but for the flags.
struct RiskLimits {
  Quantity order_quantity_max = 0;
  Amount order_notional_max = 0;  // quote units
  uint32_t open_orders_max = 100'000;
  uint32_t rate_per_second = 1000, rate_burst = 2000;  // requests of one account, by venue time
  uint32_t price_band_bp = 0;                          // a limit price so far from the last trade at most
  Quantity position_max = 0;                           // lots, of each instrument, with what open orders could add
  bool short_sale_allowed = false;                     // sells below 0 of the base asset down to -short_max base units
  bool killed = false;                                 // the kill switch: everything open is cancelled, nothing new
  Amount short_max = 0;
};

struct AccountDefinition {
  AccountId id = 0;  // 1 is the venue's own, which collects fees; it exists from the beginning
  Name name;
};

enum class SessionRole : uint8_t { kOrders, kDropCopy, kMarketData, kReflect };

struct SessionDefinition {
  SessionId id = 0;
  AccountId account = 0;  // whose orders; 0 for drop copies of all accounts
  Name name;              // the client's CompID; for REST keys: the key's id
  SessionRole role = SessionRole::kOrders;
  bool reset_on_logon = false;
  bool enabled = true;
  int32_t cancel_on_disconnect_seconds = -1;  // grace 0 .. 60; -1: orders stay
  uint32_t rate_per_second = 1000, rate_burst = 2000;
  uint32_t resend_chunk = 0;  // 0: ResendRequest to infinity
};

// --- requests

enum class RequestKind : uint16_t {
  kNewOrder = 1,  // order
  kCancel,        // order: original (or order_id), client_id, instrument, side
  kReplace,       // order: as kCancel, and price, stop_price, quantity
  kStatus,        // order: as kCancel; answers a kStatus report
  kMassCancel,    // order: account's; instrument 0: of all; side if one_side
  // A session's FIX numbers, of messages that are no orders and no reports (see sessions.h): numbers
  kSessionNumbers,
  kDisconnected,   // of a session with cancel on disconnect, after its grace
  kMessageLogged,  // an application message that was refused before it became a request, answered by a report: refusal
  // Of operators and timers.
  kTime = 32,   // nothing but its stamp: what is due happens
  kPhase,       // phase: of one instrument, or of all (0)
  kBreakTrade,  // trade
  kDeposit,     // transfer: from a wallet of the ledger; the same transfer id again changes nothing
  kWithdraw,    // transfer: to a wallet; answered when sequenced, paid when durable
  kSettleDay,   // day: closes the trading day: day orders end, ClOrdIDs may be used again
  kAccept,      // an operator takes what survived a lost host: a venue that opened halted goes on
  kHalt,        // nothing new is accepted until kAccept, cancels are; of operators, and of a venue that doubts itself
  kAsset = 64,  // asset
  kInstrument,  // instrument
  kAccount,     // account
  kSession,     // session_definition
  kRisk,        // risk
  kRestrict,    // restriction
};

struct OrderFields {
  AccountId account = 0;
  uint32_t self_match_id = 0;
  SelfMatch self_match = SelfMatch::kCancelNewest;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  bool post_only = false;
  bool all_or_none = false;  // with immediate or cancel and fill or kill alone
  bool one_side = false;
  bool by_order_id = false;  // order_id names it, not original_id
  Price price = 0;
  Price stop_price = 0;
  Quantity quantity = 0;
  Quantity minimum = 0;
  Quantity shown = kShowAll;
  VenueTime expires_at = 0;
  OrderId order_id = 0;  // the venue's: what reports carry
  ClientOrderId client_id, original_id;
  // Not kNone: what the door found wrong with it (tick, account, ...); answered by that and nothing else is looked at.
  // A new order with an unknown symbol carries it in original_id.
  uint8_t refused = 0;  // a Refusal
};

struct NumbersFields {
  uint32_t next_in = 0, next_out = 0;         // expected and given next, after this
  uint32_t admin_first = 0, admin_count = 0;  // outgoing numbers that were no application messages; count 0: none
  Sequence after_report = 0;  // the last report that had its number before them; 0: none since the reset
  bool reset = false;         // both count from 1 again, before the rest is looked at
};

struct TradeFields {
  InstrumentId instrument = 0;
  MatchId match = 0;
};

struct TransferFields {
  AccountId account = 0;
  AssetId asset = 0;
  Amount amount = 0;                 // > 0
  uint64_t id_low = 0, id_high = 0;  // of the ledger's transfer
  uint64_t ledger_time = 0;          // of deposits: ns, rises with each
};

struct RiskFields {
  AccountId account = 0;
  RiskLimits limits;
};

struct RestrictFields {
  AccountId account = 0;  // 0: everybody
  InstrumentId instrument = 0;
  bool restricted = false;
};

struct RefusalFields {
  uint32_t reason = 0;  // Refusal
  ClientOrderId client_id, original_id;
  bool of_cancel = false;
};

struct Request {
  RequestKind kind = RequestKind::kTime;
  uint16_t unused = 0;
  SessionId session = 0;
  uint32_t message_number = 0;  // FIX MsgSeqNum that brought it, 0: none
  InstrumentId instrument = 0;
  uint64_t tag = 0;  // the sender's; given back in the reports that this request causes at once
  union Body {
    OrderFields order;
    NumbersFields numbers;
    TradeFields trade;
    TransferFields transfer;
    Phase phase;
    uint32_t day;  // yyyymmdd
    AssetDefinition asset;
    InstrumentDefinition instrument;
    AccountDefinition account;
    SessionDefinition session;
    RiskFields risk;
    RestrictFields restriction;
    RefusalFields refusal;
    std::byte bytes[168];
    Body() : bytes{} {}
  } body;
};
static_assert(sizeof(Request) == 192 && std::is_trivially_copyable_v<Request>);

// --- commands of the order manager to the matching engine

struct Command {
  enum class Kind : uint8_t { kDefine, kSubmit, kCancel, kReplace, kPhase, kTime };
  Kind kind = Kind::kTime;
  InstrumentId instrument = 0;
  VenueTime now = 0;
  union Body {
    NewOrder submit;
    ReplaceOrder replace;
    InstrumentDefinition define;
    struct {
      OrderId order;
      uint64_t reference;
    } cancel;
    Phase phase;
    Body() : phase(Phase::kClosed) {}
  } body;
};
static_assert(std::is_trivially_copyable_v<Command>);

// --- reports

enum class ReportKind : uint8_t {
  kNew = 1,        // accepted (FIX 150=0)
  kTrade,          // F
  kCancelled,      // 4
  kReplaced,       // 5
  kRejected,       // 8
  kExpired,        // C
  kTriggered,      // D, a stop that now is an order
  kRestated,       // D, size reduced without a trade (self-match)
  kTradeBreak,     // H
  kStatus,         // I
  kCancelReject,   // FIX 35=9
  kMassCancelled,  // 35=r, quantity: orders cancelled; refusal: 531
  kRefused,        // 35=j: a message that could not become a request
  // Answers to operators and timers, and movements of balances; tag says whose.
  kDone = 32,  // the request was carried out
  kDenied,     // it was not: refusal
  kDeposited,  // account, instrument: the asset, last_quantity: amount, left: balance after it
  kWithdrawn,  // as kDeposited
  kDayClosed,  // quantity: the day, yyyymmdd
  kHalted,     // the venue has halted itself
};

enum class OrderStatus : uint8_t { kNone, kNew, kPartiallyFilled, kFilled, kCancelled, kExpired, kRejected };

// Why not; refusal_text() gives the words that FIX's tag 58 and REST's reason carry.
enum class Refusal : uint8_t {
  kNone,
  kUnknownInstrument,
  kClosed,
  kUnknownOrder,
  kTooLate,  // to cancel or replace: it has ended
  kDuplicateClientId,
  kBadQuantity,
  kBadPrice,
  kTick,  // price is no multiple of the tick
  kLot,
  kBand,
  kUnsupported,
  kNoLiquidity,
  kWouldMatch,
  kExpired,
  kFull,
  kBadAccount,
  kBalance,
  kQuantityLimit,
  kNotionalLimit,
  kOpenOrdersLimit,
  kPositionLimit,
  kRateLimit,
  kRestricted,
  kShortSale,
  kKilled,
  kHalted,
  kPending,  // a cancel or replace of this order is under way
  kUnknownSession,
  kBadDefinition,
  kUnknownTrade,
  kBusy,
};
std::string_view refusal_text(Refusal refusal);

struct Report {
  ReportKind kind = ReportKind::kNew;
  OrderStatus status = OrderStatus::kNone;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  Refusal refusal = Refusal::kNone;
  CancelReason cancel = CancelReason::kAsked;
  uint8_t flags = 0;
  SessionId session = 0;  // whom it is for
  AccountId account = 0;
  InstrumentId instrument = 0;
  uint32_t message_number = 0;  // of the request that it answers; 0: of none
  uint64_t tag = 0;
  OrderId order = 0;  // the venue's
  Price price = 0, stop_price = 0;
  Quantity quantity = 0, filled = 0, left = 0;
  Price last_price = 0;
  Quantity last_quantity = 0;
  int64_t notional = 0;  // sum of price × quantity over its trades, ticks × lots; below 2^63 by the limits of both
  MatchId match = 0;
  Amount fee = 0;  // of this trade, quote units
  ClientOrderId client_id, original_id;
  enum Flag : uint8_t {
    kMaker = 1,
    kUnsolicited = 2,
    kInAuction = 4,
    kOfReplace = 8,
    kCopy = 16,  // for a drop copy session; the report itself stands before it
  };
};
static_assert(sizeof(Report) == 192 && std::is_trivially_copyable_v<Report>);

}  // namespace polis::exchange
