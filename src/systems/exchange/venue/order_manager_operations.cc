// What operators and timers do: phases, money in and out, the end of the day, trades that are taken back.
#include <algorithm>

#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {

Refusal OrderManager::State::set_phase(const Request& request, Commands& commands, VenueTime now) {
  if (request.body.phase > Phase::kHalted) return Refusal::kUnsupported;
  if (request.instrument >= instruments.size()) return Refusal::kUnknownInstrument;
  const InstrumentId first = request.instrument == 0 ? 1 : request.instrument;
  const auto last = request.instrument == 0 ? static_cast<InstrumentId>(instruments.size() - 1) : request.instrument;
  for (InstrumentId id = first; id <= last; ++id) {
    Command& command = commands.emplace_back();
    command.kind = Command::Kind::kPhase;
    command.instrument = id;
    command.now = now;
    command.body.phase = request.body.phase;
  }
  return Refusal::kNone;
}

// --- money

void OrderManager::State::deposit(const Request& request, Outputs& outputs) {
  const TransferFields& transfer = request.body.transfer;
  if (transfer.account == 0 || transfer.account >= accounts.size())
    return denied(request, Refusal::kBadAccount, outputs);
  if (transfer.asset == 0 || transfer.asset >= assets.size() || transfer.amount <= 0)
    return denied(request, Refusal::kBadQuantity, outputs);
  // Ledger times rise, so what is not newer was taken already.
  if (transfer.ledger_time != 0 && transfer.ledger_time <= ledger_time) return done(request, outputs);
  AssetState& asset = assets[transfer.asset];
  if (transfer.amount > kAmountMax - std::max<Amount>(asset.paid_in, 0))
    return denied(request, Refusal::kBadQuantity, outputs);
  if (transfer.ledger_time != 0) ledger_time = transfer.ledger_time;
  const CellNumber cell = balances.make(transfer.account, transfer.asset);
  add(cell, transfer.amount);
  asset.paid_in += transfer.amount;
  Report report = refusal(request, ReportKind::kDeposited, Refusal::kNone);
  report.status = OrderStatus::kNone;
  report.account = transfer.account;
  report.instrument = transfer.asset;
  report.last_quantity = transfer.amount;
  report.left = balances[cell].total;
  tell(report, outputs);
}

void OrderManager::State::withdraw(const Request& request, Outputs& outputs) {
  const TransferFields& transfer = request.body.transfer;
  if (halted) return denied(request, Refusal::kHalted, outputs);
  if (transfer.account == 0 || transfer.account >= accounts.size())
    return denied(request, Refusal::kBadAccount, outputs);
  if (transfer.asset == 0 || transfer.asset >= assets.size() || transfer.amount <= 0)
    return denied(request, Refusal::kBadQuantity, outputs);
  const CellNumber cell = balances.find(transfer.account, transfer.asset);
  if (cell == kNoCell || balances[cell].total - balances[cell].reserved < transfer.amount)
    return denied(request, Refusal::kBalance, outputs);
  add(cell, -transfer.amount);
  assets[transfer.asset].paid_in -= transfer.amount;
  Report report = refusal(request, ReportKind::kWithdrawn, Refusal::kNone);
  report.status = OrderStatus::kNone;
  report.account = transfer.account;
  report.instrument = transfer.asset;
  report.last_quantity = transfer.amount;
  report.left = balances[cell].total;
  tell(report, outputs);
}

// --- the end of a day

void OrderManager::State::settle_day(const Request& request, Commands& commands, VenueTime now, Outputs& outputs) {
  if (request.body.day <= day) return denied(request, Refusal::kTooLate, outputs);
  day = request.body.day;
  Report report = refusal(request, ReportKind::kDayClosed, Refusal::kNone);
  report.status = OrderStatus::kNone;
  report.quantity = day;
  tell(report, outputs);

  // Client order ids are free again, but for those by which orders are known that go on.
  ids.clear();
  std::vector<OrderId> over;
  for (TablePlace place = 1; place < orders.places(); ++place) {
    HeldOrder& order = orders[place];
    if (!order.used || !order.open) continue;
    if (order.time_in_force == TimeInForce::kDay) {
      over.push_back(orders.id(place));
      continue;
    }
    if (!order.client_id.empty() && ids.find(order.session, order.client_id) == nullptr)
      ids.add(order.session, order.client_id, orders.id(place));
    // What is being asked stays used up too.
    if (order.pending != HeldOrder::Pending::kNone && !order.wanted_id.empty() &&
        ids.find(order.asker, order.wanted_id) == nullptr)
      ids.add(order.asker, order.wanted_id, orders.id(place));
  }
  std::sort(over.begin(), over.end());
  for (const OrderId id : over) {
    const TablePlace place = orders.find(id);
    orders[place].day_over = true;
    cancel_unasked(now, place, commands);
  }
}

// --- trades that are taken back

void OrderManager::State::break_trade(const Request& request, Outputs& outputs) {
  const TradeFields& named = request.body.trade;
  if (named.instrument == 0 || named.instrument >= instruments.size())
    return denied(request, Refusal::kUnknownInstrument, outputs);
  InstrumentState& instrument = instruments[named.instrument];
  if (named.match == 0 || instrument.trades.size() == 0) return denied(request, Refusal::kUnknownTrade, outputs);
  const size_t at = (named.match - 1) % kTradesKept;
  if (at >= instrument.trades.size() || instrument.trades[at].match != named.match || instrument.trades[at].broken)
    return denied(request, Refusal::kUnknownTrade, outputs);
  TradeState& trade = instrument.trades[at];
  // Whoever has spent meanwhile what the trade brought goes below zero, but not out of bounds.
  const InstrumentDefinition& definition = instrument.definition;
  const Amount base = trade.quantity * definition.base_per_lot;
  const Amount notional = static_cast<Amount>(trade.price) * trade.quantity * definition.quote_per_tick_lot;
  const auto total = [&](AccountId account, AssetId asset) { return balances[balances.make(account, asset)].total; };
  if (total(trade.buyer, definition.base) < base - kAmountMax ||
      total(trade.seller, definition.quote) < notional - kAmountMax ||
      total(1, definition.quote) < trade.buy_fee + trade.sell_fee - kAmountMax)
    return denied(request, Refusal::kBalance, outputs);
  trade.broken = true;
  done(request, outputs);
  take_back(trade, named.instrument, true, outputs);
  take_back(trade, named.instrument, false, outputs);
}

void OrderManager::State::take_back(TradeState& trade, InstrumentId id, bool buy, Outputs& outputs) {
  const InstrumentDefinition& definition = instruments[id].definition;
  const AccountId account = buy ? trade.buyer : trade.seller;
  const Amount fee = buy ? trade.buy_fee : trade.sell_fee;
  const Amount base = trade.quantity * definition.base_per_lot;
  const Amount notional = static_cast<Amount>(trade.price) * trade.quantity * definition.quote_per_tick_lot;
  add(balances.make(account, definition.base), buy ? -base : base);
  add(balances.make(account, definition.quote), (buy ? notional : -notional) + fee);
  add(assets[definition.quote].fees, -fee);
  positions[positions.make(account, id)].position += buy ? -Quantity{trade.quantity} : Quantity{trade.quantity};

  Report report;
  const TablePlace place = orders.find(buy ? trade.buy : trade.sell);
  if (place != 0) {
    HeldOrder& order = orders[place];
    order.filled -= trade.quantity;
    order.notional -= static_cast<int64_t>(trade.price) * trade.quantity;
    if (order.open) {
      // It goes on as if it had been so much smaller; the engine counts what was filled as it did.
      order.quantity -= trade.quantity;
      order.broken += trade.quantity;
      order.status = order.filled == 0 ? OrderStatus::kNew : OrderStatus::kPartiallyFilled;
    } else if (order.status == OrderStatus::kFilled) {
      order.status = OrderStatus::kCancelled;
    }
    report = about(place, ReportKind::kTradeBreak);
  } else {
    report.kind = ReportKind::kTradeBreak;
    report.status = OrderStatus::kCancelled;
    report.side = buy ? Side::kBuy : Side::kSell;
    report.session = buy ? trade.buy_session : trade.sell_session;
    report.account = account;
    report.instrument = id;
    report.order = buy ? trade.buy : trade.sell;
    report.quantity = trade.quantity;
  }
  report.last_price = trade.price;
  report.last_quantity = trade.quantity;
  report.match = trade.match;
  report.fee = fee;
  report.flags = Report::kUnsolicited;
  tell(report, outputs);
}

}  // namespace polis::exchange
