// OrderManager: the rules between a session and the book. Pre-trade risk, balances, client order ids, states of orders,
// fees, execution reports. A pure function of what it is told, like the engine behind it: it sees sequenced requests
// and the engine's answers, in whatever order the sequencer put them, and says commands and reports.
//
//     on_request(stamp, request) ─► reports now, and commands for the engine in order (none, one, or many)
//     on_answer(stamp, outputs)  ─► the answer to the oldest command that is not answered yet: reports, and the events
//
// Between a command and its answer an order is pending: what else is asked about it is refused as pending (or too late)
// by what is known then, so fused and split threads agree on every journal, though not on every race.
//
// Money. Acceptance reserves the worst case: a buyer's quote (price × size, a market order's bound, and the highest fee
// of it, rounded up), a seller's base. Trades move both between the accounts at once and the fee to account 1; what is
// reserved too much goes back when the order ends or trades better. Fees are integers rounded up against the payer, of
// the order's whole notional so far, so rounding never adds up. Per asset the sum over all accounts changes by deposits
// and withdrawals alone.
//
// All of it is O(1) in orders, accounts and instruments, but for requests that name many (mass cancel, kill, day's
// end).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/exchange/messages.h"
#include "systems/exchange/venue/outputs.h"

namespace polis::exchange {

struct VenueLimits {
  uint32_t assets_max = 4096;
  uint32_t instruments_max = 4096;
  uint32_t accounts_max = 100'000;
  uint32_t sessions_max = 10'000;
  uint32_t orders_max = 20'000'000;  // open at once, of all instruments
};

struct Balance {
  Amount total = 0;
  Amount reserved = 0;  // of it, for open orders
  Amount free() const { return total - reserved; }
};

// What is known of an order that is open, or ended in this trading day.
struct OrderState {
  OrderId order = 0;
  AccountId account = 0;
  SessionId session = 0;
  InstrumentId instrument = 0;
  Side side = Side::kBuy;
  OrderType type = OrderType::kLimit;
  TimeInForce time_in_force = TimeInForce::kDay;
  OrderStatus status = OrderStatus::kNone;
  bool pending = false;
  Price price = 0, stop_price = 0;
  Quantity quantity = 0, filled = 0, left = 0, shown = kShowAll;
  int64_t notional = 0;
  ClientOrderId client_id;
  VenueTime entered = 0;
};

using Commands = Batch<Command>;

class OrderManager {
 public:
  explicit OrderManager(const VenueLimits& limits);
  ~OrderManager();
  OrderManager(const OrderManager&) = delete;
  OrderManager& operator=(const OrderManager&) = delete;

  // Appends to both. A request that makes no sense is answered by a report, never by an assertion.
  void on_request(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs);
  // `stamp`: of the request that caused the command. The answer's events stand in outputs.engine_events() and find
  // their places among the outputs here. May cause commands of its own (a cancel that waited); `command` may stand in
  // `commands`.
  void on_answer(const Stamp& stamp, const Command& command, Commands& commands, Outputs& outputs);

  // Brings near what a request that will come soon touches (venue.h says when), and names the book's order that it is
  // about, 0 if that is not known.
  struct Ahead {
    InstrumentId instrument = 0;
    OrderId order = 0;
    Price price = 0;  // where it will stand; 0: that is not known
  };
  Ahead prefetch(const Request& request, unsigned stage) const;

  // As Venue::populate().
  void populate(size_t orders);

  // --- looking, between two steps
  std::optional<OrderState> order(OrderId order) const;
  std::optional<OrderState> order(SessionId session, std::string_view client_id) const;  // by its newest ClOrdID too
  std::vector<OrderState> open_orders(AccountId account, size_t most) const;
  Balance balance(AccountId account, AssetId asset) const;
  // Every balance that is not zero: (asset, balance), by asset.
  std::vector<std::pair<AssetId, Balance>> balances(AccountId account) const;
  Quantity position(AccountId account, InstrumentId instrument) const;  // lots bought less sold, since ever
  const AssetDefinition* asset(AssetId id) const;
  const InstrumentDefinition* instrument(InstrumentId id) const;
  const AccountDefinition* account(AccountId id) const;
  const SessionDefinition* session(SessionId id) const;
  const RiskLimits* risk(AccountId id) const;
  // Largest id given so far; ids from 1 on without gaps.
  AssetId assets() const;
  InstrumentId instruments() const;
  AccountId accounts() const;
  SessionId sessions() const;
  uint64_t ledger_time() const;  // of the newest deposit
  uint32_t day() const;          // the last day that was closed, yyyymmdd; 0: none
  bool halted() const;

  // Per asset: sum over accounts against deposits less withdrawals. Names the first that differs. O(assets): sums are
  // kept as balances change, and recomputed from the accounts if `thorough`.
  Result<void> check_sums(bool thorough) const;

  // Pieces of 1 byte .. 1 MiB for snapshots, and back into a fresh one. kCorrupt for what save() never wrote.
  class Saver;
  std::unique_ptr<Saver> save() const;
  Result<void> load(BytesView piece);

  struct State;  // order_manager_state.h

 private:
  std::unique_ptr<State> state_;
};

class OrderManager::Saver {
 public:
  virtual ~Saver() = default;
  virtual bool next(base::Writer& piece) = 0;  // false: none is left
};

}  // namespace polis::exchange
