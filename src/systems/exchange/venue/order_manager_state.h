// What the order manager holds, and the steps of which its answers are made. Seen by order_manager*.cc alone.
#pragma once

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
  bool restricted = false;     // for everybody
  Price last = 0;              // of the last trade or auction, as far as answers have told
  Chunked<TradeState> trades{kTradesKept};  // at its match id modulo kTradesKept
  uint32_t top_fee() const {
    return definition.maker_fee_hundredths_bp > definition.taker_fee_hundredths_bp ? definition.maker_fee_hundredths_bp
                                                                                   : definition.taker_fee_hundredths_bp;
  }
};

struct alignas(64) AccountState {
  RiskLimits limits;
  VenueTime next_request = 0;  // of the rate: the time by which it is used up
  AccountDefinition definition;
  uint32_t open_orders = 0;
  TablePlace first = 0, last = 0;
  std::vector<SessionId> copies;  // its drop copy sessions
};

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
  VenueLimits limits;
  // By id; 0 is nobody's.
  std::vector<AssetState> assets{1};
  std::vector<InstrumentState> instruments{1};
  std::vector<AccountState> accounts{1};
  std::vector<SessionState> sessions{1};
  std::map<std::string, uint32_t, std::less<>> asset_symbols, instrument_symbols, account_names, session_names;
  std::vector<SessionId> copies_of_all;  // drop copy sessions of all accounts

  Cells<BalanceCell> balances;
  Cells<PositionCell> positions;
  OrderTable orders;
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
  // What an order must have reserved: 128 bits, for nobody has looked at the numbers yet.
  static __int128 buying_cost(__int128 quote_per_tick_lot, uint32_t price, uint64_t lots, uint32_t fee, uint32_t slack);
  Amount needed(const HeldOrder& order) const;
  // Makes what is reserved, and the open lots of the position, what the order's fields say.
  void reserve(HeldOrder& order);
  Amount charge(HeldOrder& order, Amount notional, uint32_t fee);

  // --- reports
  void tell(const Report& report, Outputs& outputs);
  // The drop copies of the report that was told last.
  void tell_copies(Outputs& outputs);
  void describe(Report& report, TablePlace place, ReportKind kind) const;
  Report about(TablePlace place, ReportKind kind) const;
  // Of a request that came to nothing.
  Report refusal(const Request& request, ReportKind kind, Refusal refusal) const;
  void done(const Request& request, Outputs& outputs);
  void denied(const Request& request, Refusal refusal, Outputs& outputs);

  // --- requests of sessions: order_manager_orders.cc
  Refusal who(const Request& request, AccountId& account) const;
  bool within_rate(AccountState& account, VenueTime now);
  void new_order(const Stamp& stamp, const Request& request, std::vector<Command>& commands, Outputs& outputs);
  Refusal take_order(const Stamp& stamp, const Request& request, AccountId account, std::vector<Command>& commands);
  Refusal check_fields(const OrderFields& fields) const;
  Refusal check_limits(const AccountState& account, const InstrumentState& instrument, const PositionCell& position,
                       Side side, OrderType type, Price price, Price worth, Quantity quantity, Quantity added) const;
  // The price that bounds a buy and the one that its value is measured by; kBalance if nothing is affordable.
  Refusal bound(const AccountState& account, const InstrumentState& instrument, const OrderTermsAsked& asked,
                Amount free, Price& bound, Price& worth) const;
  Amount available(const AccountState& account, Side side, CellNumber cell) const;
  TablePlace named(const Request& request, AccountId account) const;
  void cancel(const Stamp& stamp, const Request& request, std::vector<Command>& commands, Outputs& outputs);
  void replace(const Stamp& stamp, const Request& request, std::vector<Command>& commands, Outputs& outputs);
  // What both look at first: kNone if the order may be asked about.
  Refusal asked(const Request& request, AccountId account, TablePlace& place);
  Refusal change(const Stamp& stamp, const Request& request, TablePlace place, std::vector<Command>& commands);
  Report cancel_reject(const Request& request, AccountId account, TablePlace place, Refusal refused) const;
  void status(const Request& request, Outputs& outputs);
  void mass_cancel(const Stamp& stamp, const Request& request, std::vector<Command>& commands, Outputs& outputs);
  // Cancels without being asked by the order's client, now or when it is not pending any more. False: that was on its
  // way already.
  bool cancel_unasked(VenueTime now, TablePlace place, std::vector<Command>& commands);
  void cancel_all_of(VenueTime now, AccountId account, std::vector<Command>& commands);

  // --- answers: order_manager_answers.cc. `current`: the order that the answered command was about; 0: none.
  void on_event(const Event& event, TablePlace current, Outputs& outputs);
  void on_trade(const Event& event, TablePlace current, Outputs& outputs);
  void on_cancelled(const Event& event, TablePlace place, TablePlace current, Outputs& outputs);
  void on_rejected(const Event& event, TablePlace place, Outputs& outputs);
  Amount fill(HeldOrder& order, const Event& event, Quantity left, bool maker);
  // A report about an order that an event changed, where it stays; it answers the pending request if that is the
  // current one. When it is complete: told().
  Report& answer(TablePlace place, TablePlace current, ReportKind kind, Outputs& outputs) const;
  void told(Outputs& outputs) {
    const Report& report = outputs.last_report();
    if (!copies_of_all.empty() || (report.account != 0 && !accounts[report.account].copies.empty()))
      tell_copies(outputs);
  }
  void end(TablePlace place, OrderStatus status);
  void retire(TablePlace place);
  void settle_pending(VenueTime now, TablePlace place, std::vector<Command>& commands);

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
  Refusal define_instrument(const InstrumentDefinition& instrument, std::vector<Command>& commands, VenueTime now);
  Refusal define_account(const AccountDefinition& account);
  Refusal define_session(const SessionDefinition& session);
  Refusal set_risk(const RiskFields& risk, std::vector<Command>& commands, VenueTime now);
  Refusal restrict(const RestrictFields& restriction);
  void collect_copies();

  // --- order_manager_operations.cc
  Refusal set_phase(const Request& request, std::vector<Command>& commands, VenueTime now);
  void break_trade(const Request& request, Outputs& outputs);
  void take_back(TradeState& trade, InstrumentId instrument, bool buy, Outputs& outputs);
  void deposit(const Request& request, Outputs& outputs);
  void withdraw(const Request& request, Outputs& outputs);
  void settle_day(const Request& request, std::vector<Command>& commands, VenueTime now, Outputs& outputs);

  // --- order_manager_snapshot.cc: behind the last piece
  Result<void> check_loaded();
};

}  // namespace polis::exchange
