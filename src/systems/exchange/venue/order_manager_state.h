// What the order manager holds, and the steps of which its answers are made. Seen by order_manager*.cc alone.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "systems/exchange/venue/cells.h"
#include "systems/exchange/venue/client_ids.h"
#include "systems/exchange/venue/order_manager.h"
#include "systems/exchange/venue/order_table.h"

namespace polis::exchange {

// No sum of an asset, and no amount of one order, is above; two of them can be added without a look.
inline constexpr Amount kAmountMax = Amount{1} << 61;
// 10^5 accounts that are short by so much stay below kAmountMax.
inline constexpr Amount kShortMax = Amount{1} << 44;
// Fees are 10^-6 of the notional; this is all of it.
inline constexpr uint32_t kFeeUnit = 1'000'000;
// Orders that have ended and are still known. Older ones are in the reporter's tables.
inline constexpr size_t kEndedKept = 1 << 13;
// The newest trades of an instrument: those that can still be broken.
inline constexpr size_t kTradesKept = 1 << 16;
// Self-match ids are the account's own: 15 bits of its choice below 17 bits of the account.
inline constexpr uint32_t kSelfMatchMax = (1 << 15) - 1;
inline constexpr uint32_t kAccountsMost = (1 << 17) - 1;

struct AssetState {
  AssetDefinition definition;
  Amount sum = 0;       // over all accounts, kept as balances change
  Amount paid_in = 0;   // deposits less withdrawals
  CellNumber fees = 0;  // of account 1
};

struct TradeState {
  MatchId match = 0;
  OrderId buy = 0, sell = 0;
  AccountId buyer = 0, seller = 0;
  SessionId buy_session = 0, sell_session = 0;
  uint32_t price = 0, quantity = 0;
  Amount buy_fee = 0, sell_fee = 0;
  bool broken = false;
};

struct InstrumentState {
  InstrumentDefinition definition;
  bool restricted = false;                       // for everybody
  Price last = 0;                                // of the last trade or auction, as far as answers have told
  StableVector<TradeState> trades{kTradesKept};  // at its match id modulo kTradesKept
  uint32_t top_fee() const { return std::max(definition.maker_fee_hundredths_bp, definition.taker_fee_hundredths_bp); }
};

struct alignas(64) AccountState {
  RiskLimits limits;
  VenueTime next_request = 0;                 // of the rate: the time by which it is used up
  VenueTime interval = 0, interval_room = 0;  // of the limits: between two requests, and how far ahead they may be
  uint32_t open_orders = 0;
  TablePlace first = 0, last = 0;
  bool copied = false;  // to some drop copy session
  AccountDefinition definition;

  AccountState() { set_limits(limits); }
  void set_limits(const RiskLimits& wanted) {
    limits = wanted;
    interval = wanted.rate_per_second == 0 ? 0 : 1'000'000'000 / wanted.rate_per_second;
    interval_room = interval * (std::max(wanted.rate_burst, 1u) - 1);
  }
};

static_assert(sizeof(AccountState) == 128);

struct alignas(64) SessionState {
  SessionDefinition definition;
  TablePlace first = 0, last = 0;  // its open orders
};

// What an order asks for at most, of all that a request says.
struct OrderTermsAsked {
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  Price price = 0, stop_price = 0;
  Quantity quantity = 0;
};

struct OrderManager::State {
  const VenueLimits limits;
  // By id; 0 is nobody's.
  StableVector<AssetState> assets{size_t{limits.assets_max} + 1};
  StableVector<InstrumentState> instruments{size_t{limits.instruments_max} + 1};
  StableVector<AccountState> accounts{size_t{limits.accounts_max} + 1};
  StableVector<SessionState> sessions{size_t{limits.sessions_max} + 1};
  std::map<std::string, uint32_t, std::less<>> asset_symbols, instrument_symbols, account_names, session_names;
  // Drop copy sessions, of all accounts and of one.
  std::vector<SessionId> copies_of_all;
  std::map<AccountId, std::vector<SessionId>> copies_of;

  Cells<BalanceCell> balances{limits.accounts_max, limits.assets_max};
  Cells<PositionCell> positions{limits.accounts_max, limits.instruments_max};
  // Open ones, as many that end before the engine has answered what was asked about them, and those that ended.
  OrderTable orders{size_t{limits.orders_max} * 2 + kEndedKept};
  ClientIds ids;
  size_t open_orders = 0;
  // The places of orders that have ended, a ring; 0: none.
  std::vector<TablePlace> ended = std::vector<TablePlace>(kEndedKept);
  size_t ended_next = 0;

  uint64_t ledger_time = 0;
  uint32_t day = 0;
  bool halted = false;
  uint8_t loaded_piece = 0;  // the kind of the newest piece of a snapshot that was loaded

  explicit State(const VenueLimits& limits);

  // --- money
  void add(CellNumber balance, Amount amount) {
    BalanceCell& cell = balances[balance];
    cell.total += amount;
    assets[cell.of].sum += amount;
  }
  // What an order must have reserved: kTooMuch if it is above kAmountMax, for nobody has looked at the numbers yet.
  static Amount buying_cost(Amount quote_per_tick_lot, uint32_t price, uint64_t lots, uint32_t fee, uint32_t slack);
  static Amount selling_cost(Amount base_per_lot, uint64_t lots);
  Amount needed(const HeldOrder& order) const;
  // Makes what is reserved, and the open lots of the position, what the order's fields say.
  void reserve(HeldOrder& order);
  void hold(HeldOrder& order, Amount amount, uint32_t lots);
  Amount charge(HeldOrder& order, Amount notional, uint32_t fee);

  // --- reports
  void tell(const Report& report, Outputs& outputs);
  // The drop copies of the report that was told last.
  void tell_copies(Outputs& outputs);
  static void describe(Report& report, const HeldOrder& order, OrderId id, ReportKind kind);
  Report about(TablePlace place, ReportKind kind) const;
  // Of a request that came to nothing.
  Report refusal(const Request& request, ReportKind kind, Refusal refusal) const;
  void done(const Request& request, Outputs& outputs);
  void denied(const Request& request, Refusal refusal, Outputs& outputs);

  // --- requests of sessions: order_manager_orders.cc. What every order goes through is made part of its caller, what
  // few do stands apart.
  // All lines of an order that a request names by its id, while its session and account are looked at.
  void bring_named(const OrderFields& fields) const;
  Refusal who(const Request& request, AccountId& account) const;
  bool within_rate(AccountState& account, VenueTime now);
  void new_order(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs);
  Refusal take_order(const Stamp& stamp, const Request& request, AccountId account, Commands& commands);
  Refusal check_fields(const OrderFields& fields) const;
  Refusal check_limits(const AccountState& account, const InstrumentState& instrument, const PositionCell& position,
                       Side side, OrderType type, Price price, Price worth, Quantity quantity, Quantity added) const;
  // The price that bounds a buy and the one that its value is measured by; kBalance if nothing is affordable.
  Refusal bound(const AccountState& account, const InstrumentState& instrument, const OrderTermsAsked& asked,
                Amount free, Price& bound, Price& worth) const;
  Refusal bound_at_market(const AccountState& account, const InstrumentState& instrument, const OrderTermsAsked& asked,
                          Amount free, Price& bound, Price& worth) const;
  Amount available(const AccountState& account, Side side, CellNumber cell) const;
  TablePlace named(const Request& request, AccountId account) const;
  Refusal unknown(const Request& request) const;
  void cancel(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs);
  void replace(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs);
  // What both look at first: kNone if the order may be asked about.
  Refusal asked(const Request& request, AccountId account, TablePlace& place);
  static void become(const HeldOrder& order, OrderTermsAsked& wanted);
  Refusal change(const Stamp& stamp, const Request& request, TablePlace place, Commands& commands);
  void reject_order(const Request& request, AccountId account, Refusal refused, Outputs& outputs);
  void reject_cancel(const Request& request, AccountId account, TablePlace place, Refusal refused, Outputs& outputs);
  void status(const Request& request, Outputs& outputs);
  void mass_cancel(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs);
  // Cancels without being asked by the order's client, now or when it is not pending any more. False: that was on its
  // way already.
  bool cancel_unasked(VenueTime now, TablePlace place, Commands& commands);
  void cancel_all_of(VenueTime now, AccountId account, Commands& commands);

  // --- answers: order_manager_answers.cc. `current`: the order that the answered command was about; 0: none.
  void on_event(const Event& event, OrderId current, Outputs& outputs);
  void on_trade(const Event& event, OrderId current, Outputs& outputs);
  void on_replaced(const Event& event, HeldOrder& order, OrderId current, Outputs& outputs);
  void on_cancelled(const Event& event, HeldOrder& order, OrderId current, Outputs& outputs);
  void on_rejected(const Event& event, HeldOrder& order, Outputs& outputs);
  Amount fill(HeldOrder& order, const InstrumentDefinition& instrument, const Event& event, Quantity left, bool maker);
  // A report about an order that an event changed, where it stays; it answers the pending request if that is the
  // current one. When it is complete: told().
  Report& answer(const HeldOrder& order, OrderId id, OrderId current, ReportKind kind, Outputs& outputs) const;
  void fill_in(Report& report, const HeldOrder& order, OrderId id, OrderId current, ReportKind kind) const;
  void told(const Report& report, Outputs& outputs) {
    if (accounts[report.account].copied) [[unlikely]]
      tell_copies(outputs);
  }
  void end(HeldOrder& order, TablePlace place, OrderStatus status);
  void retire(TablePlace place);
  void settle_pending(VenueTime now, TablePlace place, Commands& commands);

  // --- queues of open orders
  template <class Owner>
  void link(Owner& owner, HeldOrder::Links HeldOrder::* links, TablePlace place) {
    HeldOrder::Links& own = orders[place].*links;
    own = {.next = 0, .previous = owner.last};
    (owner.last != 0 ? (orders[owner.last].*links).next : owner.first) = place;
    owner.last = place;
  }
  template <class Owner>
  void unlink(Owner& owner, HeldOrder::Links HeldOrder::* links, TablePlace place) {
    const HeldOrder::Links own = orders[place].*links;
    (own.previous != 0 ? (orders[own.previous].*links).next : owner.first) = own.next;
    (own.next != 0 ? (orders[own.next].*links).previous : owner.last) = own.previous;
  }

  // --- operators: order_manager_definitions.cc
  Refusal define_asset(const AssetDefinition& asset);
  Refusal define_instrument(const InstrumentDefinition& instrument, Commands& commands, VenueTime now);
  Refusal define_account(const AccountDefinition& account);
  Refusal define_session(const SessionDefinition& session);
  Refusal set_risk(const RiskFields& risk, Commands& commands, VenueTime now);
  Refusal restrict(const RestrictFields& restriction);
  void collect_copies();
  bool is_copied(AccountId account) const { return !copies_of_all.empty() || copies_of.contains(account); }

  // --- order_manager_operations.cc
  Refusal set_phase(const Request& request, Commands& commands, VenueTime now);
  void break_trade(const Request& request, Outputs& outputs);
  void take_back(TradeState& trade, InstrumentId instrument, bool buy, Outputs& outputs);
  void deposit(const Request& request, Outputs& outputs);
  void withdraw(const Request& request, Outputs& outputs);
  void settle_day(const Request& request, Commands& commands, VenueTime now, Outputs& outputs);

  // --- order_manager_snapshot.cc: behind the last piece
  Result<void> check_loaded();
};

// --- on the way of every order, so they stand here

inline constexpr Amount kTooMuch = INT64_MAX;

[[gnu::always_inline]] inline Amount OrderManager::State::buying_cost(Amount quote_per_tick_lot, uint32_t price,
                                                                      uint64_t lots, uint32_t fee, uint32_t slack) {
  uint64_t notional = 0;  // prices are below 2^31 and lots below 2^33
  if (__builtin_mul_overflow(price * lots, static_cast<uint64_t>(quote_per_tick_lot), &notional) ||
      notional > static_cast<uint64_t>(kAmountMax)) [[unlikely]]
    return kTooMuch;
  if (notional <= UINT64_MAX / 2 / kFeeUnit) [[likely]] {
    const uint64_t owed = notional * fee;
    return static_cast<Amount>(notional + (owed > slack ? (owed - slack + kFeeUnit - 1) / kFeeUnit : 0));
  }
  const unsigned __int128 owed = static_cast<unsigned __int128>(notional) * fee;
  return static_cast<Amount>(notional +
                             (owed > slack ? static_cast<uint64_t>((owed - slack + kFeeUnit - 1) / kFeeUnit) : 0));
}

[[gnu::always_inline]] inline Amount OrderManager::State::selling_cost(Amount base_per_lot, uint64_t lots) {
  Amount amount = 0;
  return __builtin_mul_overflow(base_per_lot, lots, &amount) ? kTooMuch : amount;
}

inline Amount OrderManager::State::needed(const HeldOrder& order) const {
  if (!order.open) return 0;
  const InstrumentDefinition& instrument = instruments[order.instrument].definition;
  const uint64_t lots = uint64_t{order.left} + order.cover;
  if (order.side == Side::kSell) return static_cast<Amount>(lots) * instrument.base_per_lot;
  return buying_cost(instrument.quote_per_tick_lot, order.bound, lots, std::max(order.maker_fee, order.taker_fee),
                     order.fee_slack);
}

[[gnu::always_inline]] inline void OrderManager::State::hold(HeldOrder& order, Amount amount, uint32_t lots) {
  const bool buys = order.side == Side::kBuy;
  balances[buys ? order.quote : order.base].reserved += amount - order.reserved;
  order.reserved = amount;
  PositionCell& position = positions[order.position];
  (buys ? position.open_buys : position.open_sells) += Quantity{lots} - order.open_lots;
  order.open_lots = lots;
}

inline void OrderManager::State::reserve(HeldOrder& order) {
  hold(order, needed(order), order.open ? order.left + order.cover : 0);
}

[[gnu::always_inline]] inline void OrderManager::State::describe(Report& report, const HeldOrder& order, OrderId id,
                                                                 ReportKind kind) {
  report.kind = kind;
  report.status = order.status;
  report.side = order.side;
  report.type = order.type;
  report.time_in_force = order.time_in_force;
  report.session = order.session;
  report.account = order.account;
  report.instrument = order.instrument;
  report.order = id;
  report.price = order.price;
  report.stop_price = order.stop_price;
  report.quantity = order.quantity;
  report.filled = order.filled;
  report.left = order.open ? order.left : 0;
  report.notional = order.notional;
  report.client_id = order.client_id;
}

}  // namespace polis::exchange
