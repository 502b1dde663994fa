#include "systems/exchange/venue/order_manager.h"

#include <algorithm>

#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {

OrderManager::OrderManager(const VenueLimits& limits) : state_(std::make_unique<State>(limits)) {}
OrderManager::~OrderManager() = default;

OrderManager::State::State(const VenueLimits& wanted)
    : limits{.assets_max = wanted.assets_max,
             .instruments_max = wanted.instruments_max,
             .accounts_max = std::min(wanted.accounts_max, kAccountsMost),
             .sessions_max = wanted.sessions_max,
             .orders_max = wanted.orders_max} {
  assets.push_back();
  instruments.push_back();
  accounts.push_back();
  sessions.push_back();
  define_account({.id = 1, .name = Name("venue")});
}

void OrderManager::on_request(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs) {
  State& state = *state_;
  const auto answer = [&](Refusal refusal) {
    refusal == Refusal::kNone ? state.done(request, outputs) : state.denied(request, refusal, outputs);
  };
  switch (request.kind) {
    case RequestKind::kNewOrder:
      return state.new_order(stamp, request, commands, outputs);
    case RequestKind::kCancel:
      return state.cancel(stamp, request, commands, outputs);
    case RequestKind::kReplace:
      return state.replace(stamp, request, commands, outputs);
    case RequestKind::kStatus:
      return state.status(request, outputs);
    case RequestKind::kMassCancel:
      return state.mass_cancel(stamp, request, commands, outputs);
    case RequestKind::kSessionNumbers:
      return answer(session(request.session) != nullptr ? Refusal::kNone : Refusal::kUnknownSession);
    case RequestKind::kDisconnected: {
      if (session(request.session) == nullptr) return answer(Refusal::kUnknownSession);
      const SessionState& gone = state.sessions[request.session];
      for (TablePlace place = gone.first; place != 0; place = state.orders[place].of_session.next)
        state.cancel_unasked(stamp.now, place, commands);
      return answer(Refusal::kNone);
    }
    case RequestKind::kMessageLogged: {
      if (session(request.session) == nullptr) return answer(Refusal::kUnknownSession);
      const RefusalFields& fields = request.body.refusal;
      Report report = state.refusal(request, fields.of_cancel ? ReportKind::kCancelReject : ReportKind::kRefused,
                                    static_cast<Refusal>(fields.reason));
      report.account = state.sessions[request.session].definition.account;
      report.client_id = fields.client_id;
      report.original_id = fields.original_id;
      return state.tell(report, outputs);
    }
    case RequestKind::kTime: {
      Command& command = commands.emplace_back();
      command.kind = Command::Kind::kTime;
      command.now = stamp.now;
      return;
    }
    case RequestKind::kPhase:
      return answer(state.set_phase(request, commands, stamp.now));
    case RequestKind::kBreakTrade:
      return state.break_trade(request, outputs);
    case RequestKind::kDeposit:
      return state.deposit(request, outputs);
    case RequestKind::kWithdraw:
      return state.withdraw(request, outputs);
    case RequestKind::kSettleDay:
      return state.settle_day(request, commands, stamp.now, outputs);
    case RequestKind::kAccept:
      state.halted = false;
      return answer(Refusal::kNone);
    case RequestKind::kHalt:
      state.halted = true;
      return answer(Refusal::kNone);
    case RequestKind::kAsset:
      return answer(state.define_asset(request.body.asset));
    case RequestKind::kInstrument:
      return answer(state.define_instrument(request.body.instrument, commands, stamp.now));
    case RequestKind::kAccount:
      return answer(state.define_account(request.body.account));
    case RequestKind::kSession:
      return answer(state.define_session(request.body.session));
    case RequestKind::kRisk:
      return answer(state.set_risk(request.body.risk, commands, stamp.now));
    case RequestKind::kRestrict:
      return answer(state.restrict(request.body.restriction));
  }
  answer(Refusal::kUnsupported);
}

// --- money

// The fee of one more trade of the order: of its whole notional so far, rounded up once, less what it has paid.
Amount OrderManager::State::charge(HeldOrder& order, Amount notional, uint32_t fee) {
  const unsigned __int128 owed = static_cast<unsigned __int128>(notional) * fee;
  if (owed <= order.fee_slack) {
    order.fee_slack -= static_cast<uint32_t>(owed);
    return 0;
  }
  const unsigned __int128 due = owed - order.fee_slack;
  Amount charged = 0;
  if (due <= UINT64_MAX - kFeeUnit) {
    charged = static_cast<Amount>((static_cast<uint64_t>(due) + kFeeUnit - 1) / kFeeUnit);
  } else {
    charged = static_cast<Amount>((due + kFeeUnit - 1) / kFeeUnit);
  }
  order.fee_slack = static_cast<uint32_t>(static_cast<unsigned __int128>(charged) * kFeeUnit - due);
  return charged;
}

// --- reports

void OrderManager::State::tell(const Report& report, Outputs& outputs) {
  outputs.report(report);
  tell_copies(outputs);
}

void OrderManager::State::tell_copies(Outputs& outputs) {
  const Report& report = outputs.last_report();
  if (report.kind > ReportKind::kTradeBreak || report.account == 0 || report.account >= accounts.size()) return;
  if (!accounts[report.account].copied) return;
  const Report original = report;
  const auto copy_to = [&](const std::vector<SessionId>& listeners) {
    for (const SessionId listener : listeners) {
      Report copy = original;
      copy.session = listener;
      copy.tag = 0;
      copy.message_number = 0;
      copy.flags |= Report::kCopy;
      outputs.report(copy);
    }
  };
  copy_to(copies_of_all);
  if (const auto found = copies_of.find(original.account); found != copies_of.end()) copy_to(found->second);
}

Report OrderManager::State::about(TablePlace place, ReportKind kind) const {
  Report report;
  describe(report, orders[place], orders.id(place), kind);
  return report;
}

Report OrderManager::State::refusal(const Request& request, ReportKind kind, Refusal refusal) const {
  Report report;
  report.kind = kind;
  report.status = OrderStatus::kRejected;
  report.refusal = refusal;
  report.session = request.session < sessions.size() ? request.session : 0;  // nobody reads for one that is not
  report.instrument = request.instrument;
  report.message_number = request.message_number;
  report.tag = request.tag;
  return report;
}

void OrderManager::State::done(const Request& request, Outputs& outputs) {
  Report report = refusal(request, ReportKind::kDone, Refusal::kNone);
  report.status = OrderStatus::kNone;
  tell(report, outputs);
}

void OrderManager::State::denied(const Request& request, Refusal reason, Outputs& outputs) {
  Report report = refusal(request, ReportKind::kDenied, reason);
  report.status = OrderStatus::kNone;
  tell(report, outputs);
}

// --- looking

namespace {

template <class States>
auto defined(const States& states, uint32_t id) -> decltype(&states[0].definition) {
  return id != 0 && id < states.size() ? &states[id].definition : nullptr;
}

}  // namespace

const AssetDefinition* OrderManager::asset(AssetId id) const {
  return defined(state_->assets, id);
}
const InstrumentDefinition* OrderManager::instrument(InstrumentId id) const {
  return defined(state_->instruments, id);
}
const AccountDefinition* OrderManager::account(AccountId id) const {
  return defined(state_->accounts, id);
}
const SessionDefinition* OrderManager::session(SessionId id) const {
  return defined(state_->sessions, id);
}
const RiskLimits* OrderManager::risk(AccountId id) const {
  return account(id) != nullptr ? &state_->accounts[id].limits : nullptr;
}
AssetId OrderManager::assets() const {
  return static_cast<AssetId>(state_->assets.size() - 1);
}
InstrumentId OrderManager::instruments() const {
  return static_cast<InstrumentId>(state_->instruments.size() - 1);
}
AccountId OrderManager::accounts() const {
  return static_cast<AccountId>(state_->accounts.size() - 1);
}
SessionId OrderManager::sessions() const {
  return static_cast<SessionId>(state_->sessions.size() - 1);
}
uint64_t OrderManager::ledger_time() const {
  return state_->ledger_time;
}
uint32_t OrderManager::day() const {
  return state_->day;
}
bool OrderManager::halted() const {
  return state_->halted;
}

namespace {

OrderState state_of(const HeldOrder& order, OrderId id) {
  return {.order = id,
          .account = order.account,
          .session = order.session,
          .instrument = order.instrument,
          .side = order.side,
          .type = order.type,
          .time_in_force = order.time_in_force,
          .status = order.status,
          .pending = order.pending != HeldOrder::Pending::kNone,
          .price = order.price,
          .stop_price = order.stop_price,
          .quantity = order.quantity,
          .filled = order.filled,
          .left = order.open ? order.left : 0,
          .shown = order.shown,
          .notional = order.notional,
          .client_id = order.client_id,
          .entered = order.entered};
}

}  // namespace

std::optional<OrderState> OrderManager::order(OrderId id) const {
  const TablePlace place = state_->orders.find(id);
  if (place == 0) return std::nullopt;
  return state_of(state_->orders[place], id);
}

std::optional<OrderState> OrderManager::order(SessionId session, std::string_view client_id) const {
  if (client_id.empty() || !ClientOrderId::fits(client_id)) return std::nullopt;
  const ClientIds::Entry* entry = std::as_const(state_->ids).find(session, ClientOrderId(client_id));
  if (entry == nullptr) return std::nullopt;
  return order(entry->order);
}

std::vector<OrderState> OrderManager::open_orders(AccountId id, size_t most) const {
  std::vector<OrderState> open;
  if (account(id) == nullptr) return open;
  for (TablePlace place = state_->accounts[id].first; place != 0 && open.size() < most;
       place = state_->orders[place].of_account.next)
    open.push_back(state_of(state_->orders[place], state_->orders.id(place)));
  return open;
}

Balance OrderManager::balance(AccountId account, AssetId asset) const {
  const CellNumber cell = state_->balances.find(account, asset);
  if (cell == kNoCell) return {};
  return {.total = state_->balances[cell].total, .reserved = state_->balances[cell].reserved};
}

std::vector<std::pair<AssetId, Balance>> OrderManager::balances(AccountId account) const {
  std::vector<std::pair<AssetId, Balance>> all;
  for (AssetId asset = 1; asset <= assets(); ++asset) {
    const Balance one = balance(account, asset);
    if (one.total != 0 || one.reserved != 0) all.push_back({asset, one});
  }
  return all;
}

Quantity OrderManager::position(AccountId account, InstrumentId instrument) const {
  const CellNumber cell = state_->positions.find(account, instrument);
  return cell == kNoCell ? 0 : state_->positions[cell].position;
}

Result<void> OrderManager::check_sums(bool thorough) const {
  const State& state = *state_;
  const auto differs = [&](AssetId asset, Amount sum) {
    return fail(Code::kCorrupt, "accounts hold " + std::to_string(sum) + " of asset " +
                                    std::string(state.assets[asset].definition.symbol.view()) + ", paid in were " +
                                    std::to_string(state.assets[asset].paid_in));
  };
  for (AssetId asset = 1; asset <= assets(); ++asset)
    if (state.assets[asset].sum != state.assets[asset].paid_in) return differs(asset, state.assets[asset].sum);
  if (!thorough) return {};
  std::vector<__int128> sums(state.assets.size());
  for (size_t i = 0; i < state.balances.size(); ++i) {
    const BalanceCell& cell = state.balances[static_cast<CellNumber>(i)];
    sums[cell.of] += cell.total;
  }
  for (AssetId asset = 1; asset <= assets(); ++asset)
    if (sums[asset] != state.assets[asset].paid_in) return differs(asset, static_cast<Amount>(sums[asset]));
  return {};
}

}  // namespace polis::exchange
