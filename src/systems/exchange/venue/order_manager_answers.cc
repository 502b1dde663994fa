// What the engine says happened: money moves, orders change, and whoever is concerned is told.
#include <algorithm>

#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {
namespace {

Refusal refusal_of(RejectReason reason) {
  switch (reason) {
    case RejectReason::kNone:
      return Refusal::kNone;
    case RejectReason::kClosed:
      return Refusal::kClosed;
    case RejectReason::kUnknownOrder:
      return Refusal::kTooLate;  // the order manager knew it, so it has ended meanwhile
    case RejectReason::kBadQuantity:
      return Refusal::kBadQuantity;
    case RejectReason::kBadPrice:
      return Refusal::kBadPrice;
    case RejectReason::kUnsupported:
      return Refusal::kUnsupported;
    case RejectReason::kNoLiquidity:
      return Refusal::kNoLiquidity;
    case RejectReason::kWouldMatch:
      return Refusal::kWouldMatch;
    case RejectReason::kExpired:
      return Refusal::kExpired;
    case RejectReason::kFull:
      return Refusal::kFull;
  }
  return Refusal::kUnsupported;
}

OrderStatus status_by_fill(const HeldOrder& order) {
  if (order.left == 0) return OrderStatus::kFilled;
  return order.filled == 0 ? OrderStatus::kNew : OrderStatus::kPartiallyFilled;
}

}  // namespace

void OrderManager::on_answer(const Stamp& stamp, const Command& command, Commands& commands, Outputs& outputs) {
  State& state = *state_;
  OrderId current = 0;
  if (command.kind == Command::Kind::kReplace) current = command.body.replace.reference;
  if (command.kind == Command::Kind::kSubmit) current = command.body.submit.reference;
  if (command.kind == Command::Kind::kCancel) current = command.body.cancel.reference;
  const TablePlace place = current == 0 ? 0 : state.orders.find(current);
  const Batch<Event>& events = outputs.engine_events();
  for (size_t i = outputs.events_listed(); i < events.size(); ++i) {
    const Event& event = events[i];
    // Most orders, and what they do at last.
    if (event.kind == Event::Kind::kReplaced && event.reference == current && place != 0) {
      state.on_replaced(event, state.orders[place], current, outputs);
    } else if (event.kind != Event::Kind::kRested || event.reference != current || place == 0 ||
               state.orders[place].type == OrderType::kMarketToLimit) {
      state.on_event(event, current, outputs);
    }
    outputs.list_event();
  }
  if (place != 0) state.settle_pending(stamp.now, place, commands);
}

void OrderManager::State::on_event(const Event& event, OrderId current, Outputs& outputs) {
  if (event.kind == Event::Kind::kTrade) return on_trade(event, current, outputs);
  if (event.kind == Event::Kind::kAuction) {
    if (event.price != 0) instruments[event.instrument].last = event.price;
    return;
  }
  const TablePlace place = event.reference == 0 ? 0 : orders.find(event.reference);
  if (place == 0) return;  // phases and pauses
  HeldOrder& order = orders[place];
  switch (event.kind) {
    case Event::Kind::kAccepted:
      order.engine_order = event.order;
      order.status = OrderStatus::kNew;
      return told(answer(order, event.reference, current, ReportKind::kNew, outputs), outputs);
    case Event::Kind::kRejected:
      return on_rejected(event, order, outputs);
    case Event::Kind::kCancelled:
      return on_cancelled(event, order, current, outputs);
    case Event::Kind::kReplaced:
      return on_replaced(event, order, current, outputs);
    case Event::Kind::kReduced: {
      order.left = static_cast<uint32_t>(event.left);
      order.quantity -= static_cast<uint32_t>(event.quantity);
      reserve(order);
      Report& report = answer(order, event.reference, current, ReportKind::kRestated, outputs);
      report.flags |= Report::kUnsolicited;
      report.last_quantity = event.quantity;
      return told(report, outputs);
    }
    case Event::Kind::kTriggered:
      order.triggered = true;
      return told(answer(order, event.reference, current, ReportKind::kTriggered, outputs), outputs);
    case Event::Kind::kRested:
      // Now it has a price, and needs no more than that.
      if (order.type == OrderType::kMarketToLimit) {
        order.rested = true;
        order.price = static_cast<uint32_t>(event.price);
        if (order.pending != HeldOrder::Pending::kReplace) order.bound = order.price;
        order.bound_before = order.price;
        reserve(order);
      }
      return;
    case Event::Kind::kTrade:
    case Event::Kind::kRefilled:
    case Event::Kind::kPhase:
    case Event::Kind::kAuction:
    case Event::Kind::kPaused:
      return;
  }
}

// Of what the order is by now; what its client called it before stays as it stands in the report.
[[gnu::always_inline]] inline void OrderManager::State::fill_in(Report& report, const HeldOrder& order, OrderId id,
                                                                OrderId current, ReportKind kind) const {
  describe(report, order, id, kind);
  if (id != current) return;
  report.tag = order.tag;
  if (order.asker == order.session) report.message_number = order.message_number;
}

[[gnu::always_inline]] inline Report& OrderManager::State::answer(const HeldOrder& order, OrderId id, OrderId current,
                                                                  ReportKind kind, Outputs& outputs) const {
  Report& report = outputs.report();
  fill_in(report, order, id, current, kind);
  return report;
}

[[gnu::always_inline]] inline void OrderManager::State::on_replaced(const Event& event, HeldOrder& order,
                                                                    OrderId current, Outputs& outputs) {
  Report& report = outputs.report();
  if (!order.wanted_id.empty() && order.asker == order.session) {
    report.original_id = order.client_id;
    order.client_id = order.wanted_id;
  }
  order.pending = HeldOrder::Pending::kNone;
  order.price = order.wanted_price;
  order.stop_price = order.wanted_stop_price;
  const bool same = order.left + order.cover == static_cast<uint32_t>(event.left) &&
                    (order.side == Side::kSell || order.bound == order.wanted_bound);
  order.bound = order.wanted_bound;
  order.quantity = static_cast<uint32_t>(event.quantity) - order.broken;
  order.left = static_cast<uint32_t>(event.left);
  order.cover = 0;
  order.status = status_by_fill(order);
  if (!same) reserve(order);
  fill_in(report, order, event.reference, current, ReportKind::kReplaced);
  told(report, outputs);
}

// --- trades

[[gnu::always_inline]] inline Amount OrderManager::State::fill(HeldOrder& order, const InstrumentDefinition& instrument,
                                                               const Event& event, Quantity left, bool maker) {
  const Amount notional = event.price * event.quantity * instrument.quote_per_tick_lot;
  const Amount fee = charge(order, notional, maker ? order.maker_fee : order.taker_fee);
  order.filled += static_cast<uint32_t>(event.quantity);
  order.left = static_cast<uint32_t>(left);
  order.notional += event.price * event.quantity;
  order.status = status_by_fill(order);
  const Amount base = event.quantity * instrument.base_per_lot;
  const bool buys = order.side == Side::kBuy;
  add(order.base, buys ? base : -base);
  add(order.quote, buys ? -notional - fee : notional - fee);
  positions[order.position].position += buys ? event.quantity : -event.quantity;
  reserve(order);
  return fee;
}

void OrderManager::State::on_trade(const Event& event, OrderId current, Outputs& outputs) {
  InstrumentState& instrument = instruments[event.instrument];
  instrument.last = event.price;
  const bool auction = (event.flags & Event::kInAuction) != 0;
  const TablePlace place = orders.find(event.reference), other_place = orders.find(event.counter_reference);
  if (place == 0 || other_place == 0) return;
  HeldOrder &one = orders[place], &other = orders[other_place];
  // In an auction nobody takes.
  const Amount one_fee = fill(one, instrument.definition, event, event.left, true);
  const Amount other_fee = fill(other, instrument.definition, event, event.counter_left, auction);
  add(assets[instrument.definition.quote].fees, one_fee + other_fee);

  const bool one_buys = one.side == Side::kBuy;
  const HeldOrder &buy = one_buys ? one : other, &sell = one_buys ? other : one;
  TradeState& trade = instrument.trades.size() < kTradesKept ? instrument.trades.push_back()
                                                             : instrument.trades[(event.match - 1) % kTradesKept];
  trade.match = event.match;
  trade.buy = one_buys ? event.reference : event.counter_reference;
  trade.sell = one_buys ? event.counter_reference : event.reference;
  trade.buyer = buy.account;
  trade.seller = sell.account;
  trade.buy_session = buy.session;
  trade.sell_session = sell.session;
  trade.price = static_cast<uint32_t>(event.price);
  trade.quantity = static_cast<uint32_t>(event.quantity);
  trade.buy_fee = one_buys ? one_fee : other_fee;
  trade.sell_fee = one_buys ? other_fee : one_fee;
  trade.broken = false;

  const auto tell_of = [&](HeldOrder& order, TablePlace at, OrderId id, Amount fee, bool maker) {
    Report& report = answer(order, id, current, ReportKind::kTrade, outputs);
    report.last_price = event.price;
    report.last_quantity = event.quantity;
    report.match = event.match;
    report.fee = fee;
    report.flags = auction ? Report::kInAuction : maker ? Report::kMaker : 0;
    told(report, outputs);
    if (order.left == 0) end(order, at, OrderStatus::kFilled);
  };
  tell_of(one, place, event.reference, one_fee, true);
  tell_of(other, other_place, event.counter_reference, other_fee, false);
}

// --- ends

void OrderManager::State::on_cancelled(const Event& event, HeldOrder& order, OrderId current, Outputs& outputs) {
  const auto place = static_cast<TablePlace>(event.reference);
  const bool is_current = event.reference == current;
  Report& report = outputs.report();
  if (event.cancel == CancelReason::kReplaced && is_current) {
    // Replaced to a size that it has reached already.
    if (!order.wanted_id.empty() && order.asker == order.session) {
      report.original_id = order.client_id;
      order.client_id = order.wanted_id;
    }
    fill_in(report, order, event.reference, current, ReportKind::kReplaced);
    order.quantity = order.filled;
    end(order, place, OrderStatus::kFilled);
    report.status = OrderStatus::kFilled;
    report.quantity = order.quantity;
    report.left = 0;
    return told(report, outputs);
  }
  const bool expired =
      event.cancel == CancelReason::kExpired || (event.cancel == CancelReason::kAsked && order.day_over) ||
      (event.cancel == CancelReason::kNotAuctioned &&
       (order.time_in_force == TimeInForce::kAtOpening || order.time_in_force == TimeInForce::kAtClose));
  end(order, place, expired ? OrderStatus::kExpired : OrderStatus::kCancelled);
  fill_in(report, order, event.reference, current, expired ? ReportKind::kExpired : ReportKind::kCancelled);
  report.cancel = expired && event.cancel == CancelReason::kAsked ? CancelReason::kExpired : event.cancel;
  report.last_quantity = event.quantity;
  const bool asked = event.cancel == CancelReason::kAsked && is_current && !order.unasked;
  if (asked && order.asker == order.session) {
    report.original_id = order.client_id;
    if (!order.wanted_id.empty()) report.client_id = order.client_id = order.wanted_id;
  } else {
    report.flags |= Report::kUnsolicited;
  }
  told(report, outputs);
}

void OrderManager::State::on_rejected(const Event& event, HeldOrder& order, Outputs& outputs) {
  const auto place = static_cast<TablePlace>(event.reference);
  const Refusal refused = refusal_of(event.reject);
  if (order.pending == HeldOrder::Pending::kNew) {
    end(order, place, OrderStatus::kRejected);
    Report& report = answer(order, event.reference, event.reference, ReportKind::kRejected, outputs);
    report.refusal = refused;
    return told(report, outputs);
  }
  if (order.pending == HeldOrder::Pending::kReplace) {
    order.bound = order.bound_before;
    order.cover = 0;
    reserve(order);
  } else if (order.unasked) {
    return;  // nobody waits for it
  }
  Report report = about(place, ReportKind::kCancelReject);
  report.refusal = refused;
  report.session = order.asker;
  report.message_number = order.message_number;
  report.tag = order.tag;
  report.original_id = order.client_id;
  report.client_id = order.wanted_id;
  if (order.pending == HeldOrder::Pending::kReplace) report.flags |= Report::kOfReplace;
  tell(report, outputs);
}

// Out of every queue and sum. It is known for a while.
void OrderManager::State::end(HeldOrder& order, TablePlace place, OrderStatus status) {
  order.status = status;
  order.open = false;
  order.left = 0;
  order.cover = 0;
  reserve(order);
  --open_orders;
  AccountState& account = accounts[order.account];
  --account.open_orders;
  unlink(account, &HeldOrder::of_account, place);
  if (order.session != 0) unlink(sessions[order.session], &HeldOrder::of_session, place);
  if (order.pending == HeldOrder::Pending::kNone) retire(place);
}

// The one that ended longest ago makes room.
void OrderManager::State::retire(TablePlace place) {
  TablePlace& slot = ended[ended_next];
  ended_next = (ended_next + 1) % kEndedKept;
  if (slot != 0) orders.give_back(slot);
  slot = place;
}

// The command was answered: nothing about its order is pending any more.
[[gnu::always_inline]] inline void OrderManager::State::settle_pending(VenueTime now, TablePlace place,
                                                                       Commands& commands) {
  HeldOrder& order = orders[place];
  const bool was_pending = order.pending != HeldOrder::Pending::kNone;
  order.pending = HeldOrder::Pending::kNone;
  order.unasked = false;
  order.tag = 0;
  order.message_number = 0;
  if (!order.open) {
    if (was_pending) retire(place);
    return;
  }
  if (order.cancel_wanted) {
    order.cancel_wanted = false;
    cancel_unasked(now, place, commands);
  }
}

}  // namespace polis::exchange
