// What sessions ask: new orders, cancels, replaces, states. Each is refused at once or becomes a command.
#include <algorithm>

#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {
namespace {

bool is_stop_type(OrderType type) {
  return type == OrderType::kStop || type == OrderType::kStopLimit;
}
bool has_limit_price(OrderType type) {
  return type == OrderType::kLimit || type == OrderType::kStopLimit;
}
bool prices_fit(OrderType type, Price price, Price stop_price) {
  if (price < (has_limit_price(type) ? 1 : 0) || price > kPriceMax) return false;
  return is_stop_type(type) ? stop_price >= 1 && stop_price <= kPriceMax : stop_price == 0;
}

[[gnu::always_inline]] inline Command& add_command(Commands& commands, Command::Kind kind, const HeldOrder& order,
                                                   VenueTime now) {
  Command& command = commands.emplace_back();
  command.kind = kind;
  command.instrument = order.instrument;
  command.now = now;
  return command;
}

}  // namespace

// --- who asks, and how often

[[gnu::always_inline]] inline void OrderManager::State::bring_named(const OrderFields& fields) const {
  const auto place = static_cast<TablePlace>(fields.order_id);
  if (fields.by_order_id && place < orders.places()) orders.prefetch(place);
}

[[gnu::always_inline]] inline Refusal OrderManager::State::who(const Request& request, AccountId& account) const {
  const AccountId named = request.body.order.account;
  if (request.session == 0) {
    account = named;
  } else {
    if (request.session >= sessions.size()) return Refusal::kUnknownSession;
    const SessionDefinition& session = sessions[request.session].definition;
    if (!session.enabled || session.role != SessionRole::kOrders) return Refusal::kUnknownSession;
    account = session.account;
    if (named != 0 && named != account) return Refusal::kBadAccount;
  }
  return account != 0 && account < accounts.size() ? Refusal::kNone : Refusal::kBadAccount;
}

// A bucket of tokens, told as the time at which it will be full again.
[[gnu::always_inline]] inline bool OrderManager::State::within_rate(AccountState& account, VenueTime now) {
  if (account.limits.rate_per_second == 0) return true;
  const VenueTime from = std::max(account.next_request, now);
  if (from - now > account.interval_room) return false;
  account.next_request = from + account.interval;
  return true;
}

// --- new orders

void OrderManager::State::new_order(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs) {
  const OrderFields& fields = request.body.order;
  AccountId account = 0;
  Refusal refused = static_cast<Refusal>(fields.refused);
  const Refusal unknown = who(request, account);
  if (refused == Refusal::kNone) refused = unknown;
  if (refused == Refusal::kNone) refused = take_order(stamp, request, account, commands);
  if (refused != Refusal::kNone)
    reject_order(request, unknown == Refusal::kNone ? account : fields.account, refused, outputs);
}

[[gnu::noinline]] void OrderManager::State::reject_order(const Request& request, AccountId account, Refusal refused,
                                                         Outputs& outputs) {
  const OrderFields& fields = request.body.order;
  Report report = refusal(request, ReportKind::kRejected, refused);
  report.side = fields.side;
  report.type = fields.type;
  report.time_in_force = fields.time_in_force;
  report.account = account;
  report.price = fields.price;
  report.stop_price = fields.stop_price;
  report.quantity = fields.quantity;
  report.client_id = fields.client_id;
  report.original_id = fields.original_id;
  tell(report, outputs);
}

inline Refusal OrderManager::State::check_fields(const OrderFields& fields) const {
  if (fields.side > Side::kSell || fields.type > OrderType::kMarketToLimit ||
      fields.time_in_force > TimeInForce::kAtClose || fields.self_match > SelfMatch::kDecrement ||
      fields.self_match_id > kSelfMatchMax)
    return Refusal::kUnsupported;
  if (fields.quantity <= 0 || fields.quantity > kQuantityMax || fields.minimum < 0 ||
      fields.minimum > fields.quantity || fields.shown < kShowAll || fields.shown > fields.quantity)
    return Refusal::kBadQuantity;
  if (!prices_fit(fields.type, fields.price, fields.stop_price)) return Refusal::kBadPrice;
  const bool immediate =
      fields.time_in_force == TimeInForce::kImmediateOrCancel || fields.time_in_force == TimeInForce::kFillOrKill;
  return fields.all_or_none && !immediate ? Refusal::kUnsupported : Refusal::kNone;
}

// `worth`: the price by which the order's value is measured, 0 if there is none. `added`: lots that it could trade more
// than before.
[[gnu::always_inline]] inline Refusal OrderManager::State::check_limits(const AccountState& account,
                                                                        const InstrumentState& instrument,
                                                                        const PositionCell& position, Side side,
                                                                        OrderType type, Price price, Price worth,
                                                                        Quantity quantity, Quantity added) const {
  const RiskLimits& risk = account.limits;
  if (risk.order_quantity_max != 0 && quantity > risk.order_quantity_max) return Refusal::kQuantityLimit;
  if (risk.price_band_bp != 0 && instrument.last != 0 && has_limit_price(type) &&
      std::abs(price - instrument.last) * 10'000 > instrument.last * risk.price_band_bp)
    return Refusal::kBand;
  const Amount value = buying_cost(instrument.definition.quote_per_tick_lot, static_cast<uint32_t>(worth),
                                   static_cast<uint64_t>(quantity), 0, 0);
  if (value > kAmountMax || (risk.order_notional_max != 0 && value > risk.order_notional_max))
    return Refusal::kNotionalLimit;
  if (risk.position_max != 0 && added > 0) {
    const Quantity reached = side == Side::kBuy ? position.position + position.open_buys + added
                                                : position.open_sells + added - position.position;
    if (reached > risk.position_max) return Refusal::kPositionLimit;
  }
  return Refusal::kNone;
}

[[gnu::always_inline]] inline Refusal OrderManager::State::bound(const AccountState& account,
                                                                 const InstrumentState& instrument,
                                                                 const OrderTermsAsked& asked, Amount free,
                                                                 Price& bound, Price& worth) const {
  if (!has_limit_price(asked.type)) return bound_at_market(account, instrument, asked, free, bound, worth);
  bound = worth = asked.price;
  return Refusal::kNone;
}

[[gnu::noinline]] Refusal OrderManager::State::bound_at_market(const AccountState& account,
                                                               const InstrumentState& instrument,
                                                               const OrderTermsAsked& asked, Amount free, Price& bound,
                                                               Price& worth) const {
  const InstrumentDefinition& definition = instrument.definition;
  const Price near = is_stop_type(asked.type) ? asked.stop_price : instrument.last;
  bound = asked.price;
  worth = near;
  if (asked.side == Side::kSell) return Refusal::kNone;
  // A buy at any price: as far as the collar lets it go from what is known, and no further than the account can pay.
  Price most =
      near == 0 ? kPriceMax : std::min(near + std::max<Price>(near * definition.collar_bp / 10'000, 1), kPriceMax);
  if (asked.price != 0) most = std::min(most, asked.price);
  const __int128 per_price = static_cast<__int128>(definition.quote_per_tick_lot) * asked.quantity;
  const Amount notional_max = account.limits.order_notional_max;
  if (near == 0 && notional_max != 0) {
    most = static_cast<Price>(std::min<__int128>(most, notional_max / per_price));
    if (most == 0) return Refusal::kNotionalLimit;
  }
  if (free <= 0) return Refusal::kBalance;
  const __int128 affordable = static_cast<__int128>(free) * kFeeUnit / (per_price * (kFeeUnit + instrument.top_fee()));
  if (affordable < std::min(most, std::max<Price>(near, 1))) return Refusal::kBalance;
  bound = worth = static_cast<Price>(std::min<__int128>(most, affordable));
  return Refusal::kNone;
}

// What a seller or buyer may still reserve.
[[gnu::always_inline]] inline Amount OrderManager::State::available(const AccountState& account, Side side,
                                                                    CellNumber cell) const {
  const Amount free = cell == kNoCell ? 0 : balances[cell].total - balances[cell].reserved;
  return side == Side::kSell && account.limits.short_sale_allowed ? free + account.limits.short_max : free;
}

Refusal OrderManager::State::take_order(const Stamp& stamp, const Request& request, AccountId account_id,
                                        Commands& commands) {
  const OrderFields& fields = request.body.order;
  AccountState& account = accounts[account_id];
  if (!within_rate(account, stamp.now)) return Refusal::kRateLimit;
  if (halted) return Refusal::kHalted;
  ClientIds::Entry* entry = nullptr;
  if (!fields.client_id.empty()) {
    if (ids.find(request.session, fields.client_id) != nullptr) return Refusal::kDuplicateClientId;
    entry = &ids.add(request.session, fields.client_id, 0);
  }
  if (request.instrument == 0 || request.instrument >= instruments.size()) return Refusal::kUnknownInstrument;
  const InstrumentState& instrument = instruments[request.instrument];
  const InstrumentDefinition& definition = instrument.definition;
  if (account.limits.killed) return Refusal::kKilled;
  static constexpr PositionCell kNothing;
  const CellNumber position_cell = positions.find(account_id, request.instrument);
  const PositionCell& position = position_cell == kNoCell ? kNothing : positions[position_cell];
  if (instrument.restricted || position.restricted) return Refusal::kRestricted;
  if (const Refusal refused = check_fields(fields); refused != Refusal::kNone) return refused;

  const CellNumber base_cell = balances.find(account_id, definition.base);
  const CellNumber quote_cell = balances.find(account_id, definition.quote);
  const Amount free = available(account, fields.side, fields.side == Side::kBuy ? quote_cell : base_cell);
  Price most = 0, worth = 0;
  const OrderTermsAsked terms{.side = fields.side,
                              .type = fields.type,
                              .price = fields.price,
                              .stop_price = fields.stop_price,
                              .quantity = fields.quantity};
  if (const Refusal refused = bound(account, instrument, terms, free, most, worth); refused != Refusal::kNone)
    return refused;
  if (const Refusal refused = check_limits(account, instrument, position, fields.side, fields.type, fields.price, worth,
                                           fields.quantity, fields.quantity);
      refused != Refusal::kNone)
    return refused;
  if (account.limits.open_orders_max != 0 && account.open_orders >= account.limits.open_orders_max)
    return Refusal::kOpenOrdersLimit;
  const Amount need = fields.side == Side::kBuy
                          ? buying_cost(definition.quote_per_tick_lot, static_cast<uint32_t>(most),
                                        static_cast<uint64_t>(fields.quantity), instrument.top_fee(), 0)
                          : selling_cost(definition.base_per_lot, static_cast<uint64_t>(fields.quantity));
  if (need > free)
    return fields.side == Side::kSell && account.limits.short_sale_allowed ? Refusal::kShortSale : Refusal::kBalance;
  if (open_orders >= limits.orders_max) return Refusal::kFull;

  const TablePlace place = orders.take();
  HeldOrder& order = orders[place];
  order.open = true;
  order.pending = HeldOrder::Pending::kNew;
  order.side = fields.side;
  order.type = fields.type;
  order.time_in_force = fields.time_in_force;
  order.account = account_id;
  order.session = request.session;
  order.instrument = request.instrument;
  order.base = base_cell != kNoCell ? base_cell : balances.make(account_id, definition.base);
  order.quote = quote_cell != kNoCell ? quote_cell : balances.make(account_id, definition.quote);
  order.position = position_cell != kNoCell ? position_cell : positions.make(account_id, request.instrument);
  order.price = static_cast<uint32_t>(fields.price);
  order.stop_price = static_cast<uint32_t>(fields.stop_price);
  order.bound = static_cast<uint32_t>(most);
  order.quantity = order.left = static_cast<uint32_t>(fields.quantity);
  order.maker_fee = definition.maker_fee_hundredths_bp;
  order.taker_fee = definition.taker_fee_hundredths_bp;
  order.shown = fields.shown;
  order.entered = stamp.now;
  order.client_id = fields.client_id;
  order.asker = request.session;
  order.message_number = request.message_number;
  order.tag = request.tag;
  hold(order, need, order.left);
  ++open_orders;
  ++account.open_orders;
  link(account, &HeldOrder::of_account, place);
  if (request.session != 0) link(sessions[request.session], &HeldOrder::of_session, place);
  const OrderId id = orders.id(place);
  if (entry != nullptr) entry->order = id;

  Command& command = add_command(commands, Command::Kind::kSubmit, order, stamp.now);
  const bool whole = fields.all_or_none && fields.time_in_force == TimeInForce::kImmediateOrCancel;
  new (&command.body.submit)
      NewOrder{.reference = id,
               .account = account_id,
               .self_match_id = fields.self_match_id == 0 ? 0 : account_id << 15 | fields.self_match_id,
               .self_match = fields.self_match,
               .side = fields.side,
               .type = fields.type,
               .time_in_force = fields.time_in_force,
               .post_only = fields.post_only,
               .price = most,
               .stop_price = fields.stop_price,
               .quantity = fields.quantity,
               .minimum = whole ? fields.quantity : fields.minimum,
               .shown = fields.shown,
               .expires_at = fields.expires_at};
  return Refusal::kNone;
}

// --- what is asked about an order

[[gnu::always_inline]] inline TablePlace OrderManager::State::named(const Request& request, AccountId account) const {
  const OrderFields& fields = request.body.order;
  TablePlace place = 0;
  if (fields.by_order_id) {
    place = orders.find(fields.order_id);
  } else if (const ClientIds::Entry* entry = ids.find(request.session, fields.original_id)) {
    place = orders.find(entry->order);
  }
  return place != 0 && orders[place].account == account ? place : 0;
}

// It may have ended so long ago that only its id is known.
[[gnu::noinline]] Refusal OrderManager::State::unknown(const Request& request) const {
  const OrderFields& fields = request.body.order;
  if (fields.by_order_id) {
    const auto old = static_cast<TablePlace>(fields.order_id);
    const bool was = old != 0 && old < orders.places() && fields.order_id >> 32 != 0 &&
                     fields.order_id >> 32 < orders[old].generation;
    return was ? Refusal::kTooLate : Refusal::kUnknownOrder;
  }
  const ClientIds::Entry* entry = ids.find(request.session, fields.original_id);
  return entry != nullptr && entry->order != 0 && orders.find(entry->order) == 0 ? Refusal::kTooLate
                                                                                 : Refusal::kUnknownOrder;
}

[[gnu::always_inline]] inline Refusal OrderManager::State::asked(const Request& request, AccountId account,
                                                                 TablePlace& place) {
  const OrderFields& fields = request.body.order;
  place = named(request, account);
  if (!fields.client_id.empty()) {
    if (ids.find(request.session, fields.client_id) != nullptr) return Refusal::kDuplicateClientId;
    ids.add(request.session, fields.client_id, place == 0 ? 0 : orders.id(place));
  }
  if (place == 0) return unknown(request);
  const HeldOrder& order = orders[place];
  if (!fields.by_order_id && (order.session != request.session || order.client_id != fields.original_id))
    return Refusal::kUnknownOrder;
  if (request.instrument != 0 && request.instrument != order.instrument) return Refusal::kUnknownOrder;
  if (!order.open) return Refusal::kTooLate;
  return order.pending != HeldOrder::Pending::kNone ? Refusal::kPending : Refusal::kNone;
}

[[gnu::noinline]] void OrderManager::State::reject_cancel(const Request& request, AccountId account, TablePlace place,
                                                          Refusal refused, Outputs& outputs) {
  const OrderFields& fields = request.body.order;
  Report report = refusal(request, ReportKind::kCancelReject, refused);
  if (place != 0) {
    report = about(place, ReportKind::kCancelReject);
    report.refusal = refused;
    report.session = request.session;
    report.message_number = request.message_number;
    report.tag = request.tag;
  } else {
    report.account = account;
    report.side = fields.side;
    if (fields.by_order_id) report.order = fields.order_id;
  }
  if (request.kind == RequestKind::kReplace) report.flags |= Report::kOfReplace;
  report.original_id = fields.by_order_id && place != 0 ? orders[place].client_id : fields.original_id;
  report.client_id = fields.client_id;
  tell(report, outputs);
}

void OrderManager::State::cancel(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs) {
  const OrderFields& fields = request.body.order;
  AccountId account = 0;
  TablePlace place = 0;
  Refusal refused = static_cast<Refusal>(fields.refused);
  if (refused == Refusal::kNone) refused = who(request, account);
  if (refused == Refusal::kNone) refused = asked(request, account, place);
  if (refused != Refusal::kNone) return reject_cancel(request, account, place, refused, outputs);
  HeldOrder& order = orders[place];
  order.pending = HeldOrder::Pending::kCancel;
  order.asker = request.session;
  order.message_number = request.message_number;
  order.tag = request.tag;
  order.wanted_id = fields.client_id;
  Command& command = add_command(commands, Command::Kind::kCancel, order, stamp.now);
  command.body.cancel = {.order = order.engine_order, .reference = orders.id(place)};
}

void OrderManager::State::replace(const Stamp& stamp, const Request& request, Commands& commands, Outputs& outputs) {
  AccountId account = 0;
  TablePlace place = 0;
  bring_named(request.body.order);
  Refusal refused = static_cast<Refusal>(request.body.order.refused);
  if (refused == Refusal::kNone) refused = who(request, account);
  if (refused == Refusal::kNone && !within_rate(accounts[account], stamp.now)) refused = Refusal::kRateLimit;
  if (refused == Refusal::kNone && halted) refused = Refusal::kHalted;
  if (refused == Refusal::kNone) refused = asked(request, account, place);
  if (refused == Refusal::kNone) refused = change(stamp, request, place, commands);
  if (refused != Refusal::kNone) reject_cancel(request, account, place, refused, outputs);
}

// What the order is by now: a stop may have become another, and a market-to-limit order have a price.
void OrderManager::State::become(const HeldOrder& order, OrderTermsAsked& wanted) {
  if (order.triggered) {
    wanted.type = order.type == OrderType::kStop ? OrderType::kMarket : OrderType::kLimit;
    wanted.stop_price = 0;
  } else if (order.type == OrderType::kMarketToLimit && order.rested) {
    wanted.type = OrderType::kLimit;
    if (wanted.price == 0) wanted.price = order.price;
  }
}

[[gnu::always_inline]] inline Refusal OrderManager::State::change(const Stamp& stamp, const Request& request,
                                                                  TablePlace place, Commands& commands) {
  HeldOrder& order = orders[place];
  const AccountState& account = accounts[order.account];
  const InstrumentState& instrument = instruments[order.instrument];
  if (account.limits.killed) return Refusal::kKilled;
  const PositionCell& position = positions[order.position];
  if (instrument.restricted || position.restricted) return Refusal::kRestricted;

  const OrderFields& fields = request.body.order;
  OrderTermsAsked wanted{.side = order.side,
                         .type = order.type,
                         .price = fields.price,
                         .stop_price = fields.stop_price,
                         .quantity = fields.quantity};
  if (order.type != OrderType::kLimit) [[unlikely]]
    become(order, wanted);
  if (wanted.quantity <= 0 || wanted.quantity > kQuantityMax) return Refusal::kBadQuantity;
  if (!prices_fit(wanted.type, wanted.price, wanted.stop_price)) return Refusal::kBadPrice;

  const bool buys = order.side == Side::kBuy;
  const Quantity left = std::max<Quantity>(wanted.quantity - order.filled, 0);
  const Quantity most_left = std::max<Quantity>(left, order.left);
  const bool same_terms = wanted.price == order.price && (order.triggered || wanted.stop_price == order.stop_price);
  Price most = order.bound;
  Amount need = order.reserved;
  if (!same_terms || most_left > order.left) {
    const Amount free = available(account, order.side, buys ? order.quote : order.base) + order.reserved;
    OrderTermsAsked measured = wanted;
    measured.quantity = most_left;
    Price worth = most;
    if (const Refusal refused = bound(account, instrument, measured, free, most, worth); refused != Refusal::kNone)
      return refused;
    if (const Refusal refused = check_limits(account, instrument, position, order.side, wanted.type, wanted.price,
                                             worth, wanted.quantity, most_left - order.left);
        refused != Refusal::kNone)
      return refused;
    // Until it is answered either price and size may come to trade.
    need =
        buys ? buying_cost(instrument.definition.quote_per_tick_lot,
                           static_cast<uint32_t>(std::max<Price>(most, order.bound)), static_cast<uint64_t>(most_left),
                           std::max(order.maker_fee, order.taker_fee), order.fee_slack)
             : selling_cost(instrument.definition.base_per_lot, static_cast<uint64_t>(most_left));
    if (need > order.reserved && need > free)
      return !buys && account.limits.short_sale_allowed ? Refusal::kShortSale : Refusal::kBalance;
  }
  order.pending = HeldOrder::Pending::kReplace;
  order.asker = request.session;
  order.message_number = request.message_number;
  order.tag = request.tag;
  order.wanted_id = fields.client_id;
  order.wanted_price = static_cast<uint32_t>(wanted.price);
  order.wanted_stop_price = order.triggered ? order.stop_price : static_cast<uint32_t>(wanted.stop_price);
  order.wanted_bound = static_cast<uint32_t>(most);
  order.bound_before = order.bound;
  order.bound = std::max(order.bound, order.wanted_bound);
  order.cover = static_cast<uint32_t>(most_left - order.left);
  if (order.cover != 0 || (buys && order.bound != order.bound_before))
    hold(order, need, static_cast<uint32_t>(most_left));
  Command& command = add_command(commands, Command::Kind::kReplace, order, stamp.now);
  new (&command.body.replace) ReplaceOrder{.order = order.engine_order,
                                           .reference = orders.id(place),
                                           .price = most,
                                           .stop_price = wanted.stop_price,
                                           .quantity = wanted.quantity + order.broken};
  return Refusal::kNone;
}

void OrderManager::State::status(const Request& request, Outputs& outputs) {
  const OrderFields& fields = request.body.order;
  AccountId account = 0;
  Refusal refused = static_cast<Refusal>(fields.refused);
  if (refused == Refusal::kNone) refused = who(request, account);
  const TablePlace place = refused == Refusal::kNone ? named(request, account) : 0;
  if (place == 0) {
    Report report = refusal(request, ReportKind::kStatus, refused == Refusal::kNone ? Refusal::kUnknownOrder : refused);
    report.account = account;
    report.side = fields.side;
    if (fields.by_order_id) report.order = fields.order_id;
    report.client_id = fields.client_id;
    report.original_id = fields.original_id;
    return tell(report, outputs);
  }
  Report report = about(place, ReportKind::kStatus);
  report.session = request.session;
  report.message_number = request.message_number;
  report.tag = request.tag;
  tell(report, outputs);
}

// --- cancels of many

bool OrderManager::State::cancel_unasked(VenueTime now, TablePlace place, Commands& commands) {
  HeldOrder& order = orders[place];
  if (order.pending == HeldOrder::Pending::kCancel || order.cancel_wanted) return false;
  if (order.pending != HeldOrder::Pending::kNone) {
    order.cancel_wanted = true;
    return true;
  }
  order.pending = HeldOrder::Pending::kCancel;
  order.unasked = true;
  order.asker = 0;
  order.message_number = 0;
  order.tag = 0;
  order.wanted_id = {};
  Command& command = add_command(commands, Command::Kind::kCancel, order, now);
  command.body.cancel = {.order = order.engine_order, .reference = orders.id(place)};
  return true;
}

void OrderManager::State::cancel_all_of(VenueTime now, AccountId account, Commands& commands) {
  for (TablePlace place = accounts[account].first; place != 0; place = orders[place].of_account.next)
    cancel_unasked(now, place, commands);
}

void OrderManager::State::mass_cancel(const Stamp& stamp, const Request& request, Commands& commands,
                                      Outputs& outputs) {
  const OrderFields& fields = request.body.order;
  AccountId account = 0;
  Refusal refused = static_cast<Refusal>(fields.refused);
  // An operator may name no account: of all.
  const bool of_all = request.session == 0 && fields.account == 0;
  if (refused == Refusal::kNone && !of_all) refused = who(request, account);
  if (refused == Refusal::kNone && request.instrument >= instruments.size()) refused = Refusal::kUnknownInstrument;
  Quantity count = 0;
  const auto one = [&](TablePlace place) {
    const HeldOrder& order = orders[place];
    if (request.instrument != 0 && order.instrument != request.instrument) return;
    if (fields.one_side && order.side != fields.side) return;
    if (cancel_unasked(stamp.now, place, commands)) ++count;
  };
  if (refused == Refusal::kNone) {
    const AccountId first = of_all ? 1 : account;
    const auto last = of_all ? static_cast<AccountId>(accounts.size() - 1) : account;
    for (AccountId id = first; id <= last; ++id)
      for (TablePlace place = accounts[id].first; place != 0; place = orders[place].of_account.next) one(place);
  }
  Report report = refusal(request, ReportKind::kMassCancelled, refused);
  report.status = OrderStatus::kNone;
  report.side = fields.side;
  report.account = account;
  report.quantity = count;
  report.client_id = fields.client_id;
  report.original_id = fields.original_id;
  tell(report, outputs);
}

}  // namespace polis::exchange
