// The venue once more, as plainly as it can be written: maps, lists that are looked through from front to back, sums
// that are added up anew whenever somebody asks. Slow, and obviously right; the venue is held against it. The books
// behind it are the naive ones of matching.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "systems/exchange/matching/naive_matching_test.h"
#include "systems/exchange/venue/venue.h"

namespace polis::exchange {

class NaiveVenue {
 public:
  using Item = std::variant<Report, Event>;
  using Wide = __int128;
  struct Fill {
    Price price = 0;
    Quantity quantity = 0;
    bool maker = false;
    Amount fee = 0;
  };
  struct Held {
    OrderId id = 0;
    OrderId book_id = 0;
    OrderFields terms;  // price, stop price and quantity as they are by now
    AccountId account = 0;
    SessionId session = 0;
    InstrumentId instrument = 0;
    OrderStatus status = OrderStatus::kNone;
    bool open = true, triggered = false, rested = false;
    Price bound = 0;
    Quantity filled = 0, left = 0, broken = 0;
    int64_t notional = 0;
    uint32_t maker_fee = 0, taker_fee = 0;
    std::vector<Fill> fills;
    std::string client_id;
  };
  struct Trade {
    OrderId buy = 0, sell = 0;
    AccountId buyer = 0, seller = 0;
    SessionId buy_session = 0, sell_session = 0;
    Price price = 0;
    Quantity quantity = 0;
    Amount buy_fee = 0, sell_fee = 0;
    bool broken = false;
  };
  // What the model takes from the venue: the ids of a new order, and which books have something to do at a time, the
  // one that waits longest first.
  struct Chosen {
    OrderId order = 0, book_order = 0;
    std::vector<InstrumentId> due;
  };

  NaiveVenue() { names_["venue"] = 1; }

  std::vector<Item> step(VenueTime now, const Request& request, const Chosen& chosen);

  Amount total(AccountId account, AssetId asset) const {
    const auto found = totals_.find({account, asset});
    return found == totals_.end() ? 0 : found->second;
  }
  Amount reserved(AccountId account, AssetId asset) const {
    Amount sum = 0;
    for (const auto& [id, held] : held_)
      if (held.open && held.account == account && paid_asset(held) == asset) sum += static_cast<Amount>(need(held));
    return sum;
  }
  Quantity position(AccountId account, InstrumentId instrument) const {
    const auto found = positions_.find({account, instrument});
    return found == positions_.end() ? 0 : found->second;
  }
  // Open orders; those that have ended are known for a while.
  const std::map<OrderId, Held>& open() const { return held_; }
  bool can_break(InstrumentId instrument, MatchId match) const {
    const auto trade = trades_.find({instrument, match});
    return trade == trades_.end() || (find(trade->second.buy) != nullptr && find(trade->second.sell) != nullptr);
  }
  const std::map<AssetId, Amount>& paid_in() const { return paid_in_; }

 private:
  static bool stops(OrderType t) { return t == OrderType::kStop || t == OrderType::kStopLimit; }
  static bool limited(OrderType t) { return t == OrderType::kLimit || t == OrderType::kStopLimit; }
  const InstrumentDefinition& definition(const Held& held) const { return instruments_.at(held.instrument); }
  AssetId paid_asset(const Held& held) const {
    return held.terms.side == Side::kBuy ? definition(held).quote : definition(held).base;
  }
  static Wide rounded_up(Wide parts) { return (parts + 999'999) / 1'000'000; }
  // All fees that the order owes for what it has traded, in millionths.
  Wide owed(const Held& held) const {
    Wide sum = 0;
    for (const Fill& fill : held.fills)
      sum += Wide{fill.price} * fill.quantity * definition(held).quote_per_tick_lot *
             (fill.maker ? held.maker_fee : held.taker_fee);
    return sum;
  }
  // What must lie aside for `lots` more at `bound`, so that all fees together are rounded up once.
  Wide need(const Held& held, Price bound, Quantity lots) const {
    if (held.terms.side == Side::kSell) return Wide{lots} * definition(held).base_per_lot;
    const Wide notional = Wide{bound} * lots * definition(held).quote_per_tick_lot;
    const Wide top = std::max(held.maker_fee, held.taker_fee);
    return notional + rounded_up(owed(held) + notional * top) - rounded_up(owed(held));
  }
  Wide need(const Held& held) const { return need(held, held.bound, held.left); }
  Amount available(AccountId account, Side side, AssetId asset) const {
    const RiskLimits& risk = risk_.count(account) ? risk_.at(account) : default_risk_;
    const Amount free = total(account, asset) - reserved(account, asset);
    return side == Side::kSell && risk.short_sale_allowed ? free + risk.short_max : free;
  }
  const RiskLimits& risk(AccountId account) const { return risk_.count(account) ? risk_.at(account) : default_risk_; }
  Quantity open_lots(AccountId account, InstrumentId instrument, Side side) const {
    Quantity sum = 0;
    for (const auto& [id, held] : held_)
      if (held.open && held.account == account && held.instrument == instrument && held.terms.side == side)
        sum += held.left;
    return sum;
  }
  uint32_t open_orders(AccountId account) const {
    uint32_t count = 0;
    for (const auto& [id, held] : held_) count += held.open && held.account == account;
    return count;
  }

  // --- telling
  void tell(const Report& report) {
    items_.push_back(report);
    if (report.kind > ReportKind::kTradeBreak) return;
    // Drop copies: of all accounts first, then the account's own, each by session.
    for (const bool of_all : {true, false})
      for (const auto& [id, session] : sessions_)
        if (session.role == SessionRole::kDropCopy && session.enabled && accounts_.count(report.account) != 0 &&
            (of_all ? session.account == 0 : session.account == report.account)) {
          Report copy = report;
          copy.session = id;
          copy.tag = 0;
          copy.message_number = 0;
          copy.flags |= Report::kCopy;
          items_.push_back(copy);
        }
  }
  Report plain(const Request& request, ReportKind kind, Refusal refusal = Refusal::kNone) const {
    Report report;
    report.kind = kind;
    report.refusal = refusal;
    report.session = sessions_.count(request.session) ? request.session : 0;
    report.instrument = request.instrument;
    report.message_number = request.message_number;
    report.tag = request.tag;
    return report;
  }
  void answer(const Request& request, Refusal refusal) {
    tell(plain(request, refusal == Refusal::kNone ? ReportKind::kDone : ReportKind::kDenied, refusal));
  }
  Report about(const Held& held, ReportKind kind) const {
    Report report;
    report.kind = kind;
    report.status = held.status;
    report.side = held.terms.side;
    report.type = held.terms.type;
    report.time_in_force = held.terms.time_in_force;
    report.session = held.session;
    report.account = held.account;
    report.instrument = held.instrument;
    report.order = held.id;
    report.price = held.terms.price;
    report.stop_price = held.terms.stop_price;
    report.quantity = held.terms.quantity;
    report.filled = held.filled;
    report.left = held.open ? held.left : 0;
    report.notional = held.notional;
    report.client_id = ClientOrderId(held.client_id);
    // The answer to the request at work.
    if (asking_ != nullptr && held.id == asked_) {
      report.tag = asking_->tag;
      if (asking_->session == held.session) report.message_number = asking_->message_number;
    }
    return report;
  }
  static OrderStatus by_fill(const Held& held) {
    if (held.left == 0) return OrderStatus::kFilled;
    return held.filled == 0 ? OrderStatus::kNew : OrderStatus::kPartiallyFilled;
  }

  // --- the order's way
  Refusal who(const Request& request, AccountId& account) const;
  Refusal bound(AccountId account, InstrumentId instrument, const OrderFields& wanted, Amount free, uint32_t top_fee,
                Price& bound, Price& worth) const;
  Refusal limits(AccountId account, InstrumentId instrument, const OrderFields& wanted, Price worth,
                 Quantity added) const;
  bool in_rate(AccountId account);
  Refusal take(const Request& request, const Chosen& chosen);
  Held* named(const Request& request, AccountId account);
  Refusal asked(const Request& request, AccountId account, Held*& held);
  Refusal change(const Request& request, Held& held);
  void reject_cancel(const Request& request, AccountId account, const Held* held, Refusal refusal);
  void cancel_unasked(std::vector<OrderId> ids, bool day_over);
  template <class Which>
  std::vector<OrderId> open_of(Which which) const {
    std::vector<std::pair<uint64_t, OrderId>> found;
    for (const auto& [id, held] : held_)
      if (held.open && which(held)) found.push_back({came_.at(id), id});
    std::sort(found.begin(), found.end());
    std::vector<OrderId> ids;
    for (const auto& [turn, id] : found) ids.push_back(id);
    return ids;
  }

  // --- what the books say
  enum class Asked { kNothing, kNew, kCancel, kReplace, kUnasked, kDayOver };
  void happened(const Events& events, Asked why);
  void traded(const Event& event);
  Amount fill(Held& held, const Event& event, Quantity left, bool maker);
  void ended(Held& held, OrderStatus status) {
    held.open = false;
    held.left = 0;
    held.status = status;
  }
  void broken(Trade& trade, InstrumentId instrument, MatchId match, bool buy);

  VenueTime now_ = 0;
  std::map<AssetId, AssetDefinition> assets_;
  std::map<InstrumentId, InstrumentDefinition> instruments_;
  std::map<InstrumentId, NaiveMatching> books_;
  std::map<InstrumentId, Price> last_;
  std::map<AccountId, std::string> accounts_{{1, "venue"}};
  std::map<std::string, uint32_t> names_;
  std::map<SessionId, SessionDefinition> sessions_;
  std::map<AccountId, RiskLimits> risk_;
  const RiskLimits default_risk_;
  std::map<AccountId, VenueTime> rate_;
  std::set<std::pair<AccountId, InstrumentId>> restricted_;
  std::map<std::pair<AccountId, AssetId>, Amount> totals_;
  std::map<std::pair<AccountId, InstrumentId>, Quantity> positions_;
  std::map<AssetId, Amount> paid_in_;
  static constexpr size_t kOverKept = 3000;
  const Held* find(OrderId id) const {
    if (const auto held = held_.find(id); held != held_.end()) return &held->second;
    const auto over = over_.find(id);
    return over == over_.end() ? nullptr : &over->second;
  }
  Held* find(OrderId id) { return const_cast<Held*>(std::as_const(*this).find(id)); }
  // Behind a step: what has ended is looked at no more when sums are made.
  void put_away() {
    for (auto held = held_.begin(); held != held_.end();) {
      if (held->second.open) {
        ++held;
        continue;
      }
      over_ids_.push_back(held->first);
      came_.erase(held->first);
      over_.insert(held_.extract(held++));
    }
    while (over_ids_.size() > kOverKept) {
      over_.erase(over_ids_.front());
      over_ids_.pop_front();
    }
    while (trade_ids_.size() > kOverKept) {
      trades_.erase(trade_ids_.front());
      trade_ids_.pop_front();
    }
  }
  std::map<OrderId, Held> held_, over_;
  std::deque<OrderId> over_ids_;
  std::map<OrderId, uint64_t> came_;
  uint64_t turns_ = 0;
  std::map<std::pair<SessionId, std::string>, OrderId> ids_;
  std::map<std::pair<InstrumentId, MatchId>, Trade> trades_;
  std::deque<std::pair<InstrumentId, MatchId>> trade_ids_;
  uint64_t ledger_time_ = 0;
  uint32_t day_ = 0;
  bool halted_ = false;

  // Of the step at work.
  std::vector<Item> items_;
  const Request* asking_ = nullptr;
  OrderId asked_ = 0;
};

inline Refusal NaiveVenue::who(const Request& request, AccountId& account) const {
  account = request.body.order.account;
  if (request.session != 0) {
    const auto session = sessions_.find(request.session);
    if (session == sessions_.end() || !session->second.enabled || session->second.role != SessionRole::kOrders)
      return account = 0, Refusal::kUnknownSession;
    if (account != 0 && account != session->second.account)
      return account = session->second.account, Refusal::kBadAccount;
    account = session->second.account;
  }
  return accounts_.count(account) != 0 ? Refusal::kNone : Refusal::kBadAccount;
}

inline bool NaiveVenue::in_rate(AccountId account) {
  const RiskLimits& r = risk(account);
  if (r.rate_per_second == 0) return true;
  const VenueTime each = 1'000'000'000 / r.rate_per_second;
  const VenueTime from = std::max(rate_[account], now_);
  if (from > now_ + each * (std::max<VenueTime>(r.rate_burst, 1) - 1)) return false;
  rate_[account] = from + each;
  return true;
}

// How high a buyer may go at most.
inline Refusal NaiveVenue::bound(AccountId account, InstrumentId instrument, const OrderFields& wanted, Amount free,
                                 uint32_t top_fee, Price& bound, Price& worth) const {
  const Price near = stops(wanted.type) ? wanted.stop_price : last_.count(instrument) ? last_.at(instrument) : 0;
  bound = wanted.price;
  worth = limited(wanted.type) ? wanted.price : near;
  if (limited(wanted.type) || wanted.side == Side::kSell) return Refusal::kNone;
  const InstrumentDefinition& d = instruments_.at(instrument);
  Price most = kPriceMax;
  if (near != 0) most = std::min<Price>(kPriceMax, near + std::max<Price>(1, near * d.collar_bp / 10'000));
  if (wanted.price != 0) most = std::min(most, wanted.price);
  const Wide each = Wide{d.quote_per_tick_lot} * wanted.quantity;
  if (near == 0 && risk(account).order_notional_max != 0) {
    most = static_cast<Price>(std::min<Wide>(most, risk(account).order_notional_max / each));
    if (most < 1) return Refusal::kNotionalLimit;
  }
  if (free <= 0) return Refusal::kBalance;
  const Wide affordable = Wide{free} * 1'000'000 / (each * (1'000'000 + top_fee));
  if (affordable < std::min(most, std::max<Price>(near, 1))) return Refusal::kBalance;
  bound = worth = static_cast<Price>(std::min<Wide>(most, affordable));
  return Refusal::kNone;
}

inline Refusal NaiveVenue::limits(AccountId account, InstrumentId instrument, const OrderFields& wanted, Price worth,
                                  Quantity added) const {
  const RiskLimits& r = risk(account);
  if (r.order_quantity_max != 0 && wanted.quantity > r.order_quantity_max) return Refusal::kQuantityLimit;
  const Price last = last_.count(instrument) ? last_.at(instrument) : 0;
  if (r.price_band_bp != 0 && last != 0 && limited(wanted.type) &&
      std::abs(wanted.price - last) * 10'000 > last * r.price_band_bp)
    return Refusal::kBand;
  const Wide value = Wide{worth} * wanted.quantity * instruments_.at(instrument).quote_per_tick_lot;
  if (value > (int64_t{1} << 61) || (r.order_notional_max != 0 && value > r.order_notional_max))
    return Refusal::kNotionalLimit;
  if (r.position_max != 0 && added > 0) {
    const Quantity sign = wanted.side == Side::kBuy ? 1 : -1;
    if (sign * position(account, instrument) + open_lots(account, instrument, wanted.side) + added > r.position_max)
      return Refusal::kPositionLimit;
  }
  return Refusal::kNone;
}

inline Refusal NaiveVenue::take(const Request& request, const Chosen& chosen) {
  const OrderFields& f = request.body.order;
  AccountId account = 0;
  if (f.refused != 0) return static_cast<Refusal>(f.refused);
  if (const Refusal unknown = who(request, account); unknown != Refusal::kNone) return unknown;
  if (!in_rate(account)) return Refusal::kRateLimit;
  if (halted_) return Refusal::kHalted;
  const std::pair key{request.session, std::string(f.client_id.view())};
  if (!key.second.empty()) {
    if (ids_.count(key) != 0) return Refusal::kDuplicateClientId;
    ids_[key] = 0;
  }
  if (instruments_.count(request.instrument) == 0) return Refusal::kUnknownInstrument;
  const InstrumentDefinition& d = instruments_.at(request.instrument);
  if (risk(account).killed) return Refusal::kKilled;
  if (restricted_.count({0, request.instrument}) || restricted_.count({account, request.instrument}))
    return Refusal::kRestricted;
  if (f.self_match_id > 32767) return Refusal::kUnsupported;
  if (f.quantity < 1 || f.quantity > kQuantityMax || f.minimum < 0 || f.minimum > f.quantity || f.shown < -1 ||
      f.shown > f.quantity)
    return Refusal::kBadQuantity;
  if (f.price < 0 || f.price > kPriceMax || (limited(f.type) && f.price == 0)) return Refusal::kBadPrice;
  if (f.stop_price < 0 || f.stop_price > kPriceMax || stops(f.type) != (f.stop_price != 0)) return Refusal::kBadPrice;
  const bool fok = f.time_in_force == TimeInForce::kFillOrKill,
             ioc = f.time_in_force == TimeInForce::kImmediateOrCancel;
  if (f.all_or_none && !fok && !ioc) return Refusal::kUnsupported;

  const uint32_t top = std::max(d.maker_fee_hundredths_bp, d.taker_fee_hundredths_bp);
  const Amount free = available(account, f.side, f.side == Side::kBuy ? d.quote : d.base);
  Held held;
  held.terms = f;
  held.account = account;
  held.session = request.session;
  held.instrument = request.instrument;
  held.left = f.quantity;
  held.maker_fee = d.maker_fee_hundredths_bp;
  held.taker_fee = d.taker_fee_hundredths_bp;
  held.client_id = key.second;
  Price worth = 0;
  if (const Refusal no = bound(account, request.instrument, f, free, top, held.bound, worth); no != Refusal::kNone)
    return no;
  if (const Refusal no = limits(account, request.instrument, f, worth, f.quantity); no != Refusal::kNone) return no;
  if (risk(account).open_orders_max != 0 && open_orders(account) >= risk(account).open_orders_max)
    return Refusal::kOpenOrdersLimit;
  if (need(held) > free)
    return f.side == Side::kSell && risk(account).short_sale_allowed ? Refusal::kShortSale : Refusal::kBalance;

  held.id = chosen.order;
  held.book_id = chosen.book_order;
  if (!key.second.empty()) ids_[key] = held.id;
  held_[held.id] = held;
  came_[held.id] = ++turns_;
  asked_ = held.id;
  NewOrder order;
  order.reference = held.id;
  order.account = account;
  order.self_match_id = f.self_match_id == 0 ? 0 : account * 32768 + f.self_match_id;
  order.self_match = f.self_match;
  order.side = f.side;
  order.type = f.type;
  order.time_in_force = f.time_in_force;
  order.post_only = f.post_only;
  order.price = held.bound;
  order.stop_price = f.stop_price;
  order.quantity = f.quantity;
  order.minimum = f.all_or_none && ioc ? f.quantity : f.minimum;
  order.shown = f.shown;
  order.expires_at = f.expires_at;
  Events events;
  books_.at(request.instrument).submit(now_, order, held.book_id, events);
  happened(events, Asked::kNew);
  return Refusal::kNone;
}

inline NaiveVenue::Held* NaiveVenue::named(const Request& request, AccountId account) {
  const OrderFields& f = request.body.order;
  OrderId id = f.order_id;
  if (!f.by_order_id) {
    const auto found = ids_.find({request.session, std::string(f.original_id.view())});
    id = found == ids_.end() ? 0 : found->second;
  }
  Held* held = find(id);
  return held != nullptr && held->account == account ? held : nullptr;
}

inline Refusal NaiveVenue::asked(const Request& request, AccountId account, Held*& held) {
  const OrderFields& f = request.body.order;
  held = named(request, account);
  const std::pair key{request.session, std::string(f.client_id.view())};
  if (!key.second.empty()) {
    if (ids_.count(key) != 0) return Refusal::kDuplicateClientId;
    ids_[key] = held == nullptr ? 0 : held->id;
  }
  if (held == nullptr) return Refusal::kUnknownOrder;
  if (!f.by_order_id && (held->session != request.session || held->client_id != f.original_id.view()))
    return Refusal::kUnknownOrder;
  if (request.instrument != 0 && request.instrument != held->instrument) return Refusal::kUnknownOrder;
  return held->open ? Refusal::kNone : Refusal::kTooLate;
}

inline void NaiveVenue::reject_cancel(const Request& request, AccountId account, const Held* held, Refusal refusal) {
  const OrderFields& f = request.body.order;
  Report report = plain(request, ReportKind::kCancelReject, refusal);
  report.status = OrderStatus::kRejected;
  report.account = account;
  report.side = f.side;
  if (f.by_order_id) report.order = f.order_id;
  if (held != nullptr) {
    report = about(*held, ReportKind::kCancelReject);
    report.refusal = refusal;
    report.session = request.session;
    report.message_number = request.message_number;
    report.tag = request.tag;
  }
  if (request.kind == RequestKind::kReplace) report.flags |= Report::kOfReplace;
  report.client_id = f.client_id;
  report.original_id = f.by_order_id && held != nullptr ? ClientOrderId(held->client_id) : f.original_id;
  tell(report);
}

inline Refusal NaiveVenue::change(const Request& request, Held& held) {
  if (risk(held.account).killed) return Refusal::kKilled;
  if (restricted_.count({0, held.instrument}) || restricted_.count({held.account, held.instrument}))
    return Refusal::kRestricted;
  OrderFields f = request.body.order;
  f.side = held.terms.side;
  f.type = held.terms.type;
  if (held.triggered) {
    f.type = f.type == OrderType::kStop ? OrderType::kMarket : OrderType::kLimit;
    f.stop_price = 0;
  } else if (f.type == OrderType::kMarketToLimit && held.rested) {
    f.type = OrderType::kLimit;
    if (f.price == 0) f.price = held.terms.price;
  }
  if (f.quantity < 1 || f.quantity > kQuantityMax) return Refusal::kBadQuantity;
  if (f.price < 0 || f.price > kPriceMax || (limited(f.type) && f.price == 0)) return Refusal::kBadPrice;
  if (f.stop_price < 0 || f.stop_price > kPriceMax || stops(f.type) != (f.stop_price != 0)) return Refusal::kBadPrice;

  const Quantity left = std::max({f.quantity - held.filled, Quantity{0}, held.left});
  Price most = held.bound, worth = held.bound;
  const bool same = f.price == held.terms.price && (held.triggered || f.stop_price == held.terms.stop_price);
  if (!same || left > held.left) {
    const InstrumentDefinition& d = definition(held);
    const Amount free = available(held.account, f.side, paid_asset(held)) + static_cast<Amount>(need(held));
    OrderFields measured = f;
    measured.quantity = left;
    const uint32_t top = std::max(d.maker_fee_hundredths_bp, d.taker_fee_hundredths_bp);
    if (const Refusal no = bound(held.account, held.instrument, measured, free, top, most, worth); no != Refusal::kNone)
      return no;
    if (const Refusal no = limits(held.account, held.instrument, f, worth, left - held.left); no != Refusal::kNone)
      return no;
    const Wide most_need = need(held, std::max(most, held.bound), left);
    if (most_need > need(held) && most_need > free)
      return f.side == Side::kSell && risk(held.account).short_sale_allowed ? Refusal::kShortSale : Refusal::kBalance;
  }
  asked_ = held.id;
  const Held before = held;
  held.terms.price = f.price;
  held.terms.stop_price = held.triggered ? held.terms.stop_price : f.stop_price;
  held.bound = most;
  ReplaceOrder order;
  order.order = held.book_id;
  order.reference = held.id;
  order.price = most;
  order.stop_price = f.stop_price;
  order.quantity = f.quantity + held.broken;
  Events events;
  books_.at(held.instrument).replace(now_, order, events);
  const Event& first = events.front();
  const bool refused = first.kind == Event::Kind::kRejected;
  const bool over = first.kind == Event::Kind::kCancelled;
  if (refused || over) held = before;
  happened(events, Asked::kReplace);
  return Refusal::kNone;
}

inline void NaiveVenue::cancel_unasked(std::vector<OrderId> ids, bool day_over) {
  const Request* before = asking_;
  asking_ = nullptr;
  for (const OrderId id : ids) {
    Held& held = held_.at(id);
    asked_ = id;
    Events events;
    books_.at(held.instrument).cancel(now_, held.book_id, id, events);
    happened(events, day_over ? Asked::kDayOver : Asked::kUnasked);
  }
  asking_ = before;
}

inline Amount NaiveVenue::fill(Held& held, const Event& event, Quantity left, bool maker) {
  const Wide before = rounded_up(owed(held));
  held.fills.push_back({.price = event.price, .quantity = event.quantity, .maker = maker});
  const auto fee = static_cast<Amount>(rounded_up(owed(held)) - before);
  held.fills.back().fee = fee;
  const InstrumentDefinition& d = definition(held);
  const Quantity sign = held.terms.side == Side::kBuy ? 1 : -1;
  totals_[{held.account, d.base}] += sign * event.quantity * d.base_per_lot;
  totals_[{held.account, d.quote}] -= sign * event.price * event.quantity * d.quote_per_tick_lot + fee;
  totals_[{1, d.quote}] += fee;
  positions_[{held.account, held.instrument}] += sign * event.quantity;
  held.filled += event.quantity;
  held.left = left;
  held.notional += event.price * event.quantity;
  held.status = by_fill(held);
  return fee;
}

inline void NaiveVenue::traded(const Event& event) {
  last_[event.instrument] = event.price;
  const bool auction = (event.flags & Event::kInAuction) != 0;
  Held &one = held_.at(event.reference), &other = held_.at(event.counter_reference);
  const Amount one_fee = fill(one, event, event.left, true);
  const Amount other_fee = fill(other, event, event.counter_left, auction);
  const bool buys = one.terms.side == Side::kBuy;
  const Held &buy = buys ? one : other, &sell = buys ? other : one;
  trade_ids_.push_back({event.instrument, event.match});
  trades_[{event.instrument, event.match}] = {.buy = buy.id,
                                              .sell = sell.id,
                                              .buyer = buy.account,
                                              .seller = sell.account,
                                              .buy_session = buy.session,
                                              .sell_session = sell.session,
                                              .price = event.price,
                                              .quantity = event.quantity,
                                              .buy_fee = buys ? one_fee : other_fee,
                                              .sell_fee = buys ? other_fee : one_fee};
  for (Held* held : {&one, &other}) {
    const bool maker = held == &one;
    Report report = about(*held, ReportKind::kTrade);
    report.last_price = event.price;
    report.last_quantity = event.quantity;
    report.match = event.match;
    report.fee = maker ? one_fee : other_fee;
    report.flags = auction ? Report::kInAuction : maker ? Report::kMaker : 0;
    tell(report);
    if (held->left == 0) ended(*held, OrderStatus::kFilled);
  }
}

inline void NaiveVenue::happened(const Events& events, Asked why) {
  for (const Event& event : events) {
    using Kind = Event::Kind;
    Held* held = held_.count(event.reference) ? &held_.at(event.reference) : nullptr;
    const bool of_asked = held != nullptr && held->id == asked_;
    const std::string new_id = asking_ == nullptr ? "" : std::string(asking_->body.order.client_id.view());
    const auto renamed = [&](Report& report) {
      if (asking_->session != held->session) return false;
      if (!new_id.empty()) {
        report.original_id = ClientOrderId(held->client_id);
        held->client_id = new_id;
        report.client_id = ClientOrderId(new_id);
      }
      return true;
    };
    if (event.kind == Kind::kTrade) {
      traded(event);
    } else if (event.kind == Kind::kAuction) {
      if (event.price != 0) last_[event.instrument] = event.price;
    } else if (held == nullptr) {
      // phases
    } else if (event.kind == Kind::kAccepted) {
      held->status = OrderStatus::kNew;
      tell(about(*held, ReportKind::kNew));
    } else if (event.kind == Kind::kRejected && why == Asked::kNew) {
      ended(*held, OrderStatus::kRejected);
      Report report = about(*held, ReportKind::kRejected);
      static const std::map<RejectReason, Refusal> words = {
          {RejectReason::kClosed, Refusal::kClosed},           {RejectReason::kBadQuantity, Refusal::kBadQuantity},
          {RejectReason::kBadPrice, Refusal::kBadPrice},       {RejectReason::kUnsupported, Refusal::kUnsupported},
          {RejectReason::kNoLiquidity, Refusal::kNoLiquidity}, {RejectReason::kWouldMatch, Refusal::kWouldMatch},
          {RejectReason::kExpired, Refusal::kExpired},         {RejectReason::kFull, Refusal::kFull}};
      report.refusal = words.at(event.reject);
      tell(report);
    } else if (event.kind == Kind::kRejected) {
      const std::map<RejectReason, Refusal> words = {{RejectReason::kClosed, Refusal::kClosed},
                                                     {RejectReason::kBadQuantity, Refusal::kBadQuantity},
                                                     {RejectReason::kBadPrice, Refusal::kBadPrice},
                                                     {RejectReason::kWouldMatch, Refusal::kWouldMatch}};
      Report report = about(*held, ReportKind::kCancelReject);
      report.refusal = words.at(event.reject);
      report.session = asking_->session;
      report.message_number = asking_->message_number;
      report.tag = asking_->tag;
      report.flags |= Report::kOfReplace;
      report.original_id = ClientOrderId(held->client_id);
      report.client_id = asking_->body.order.client_id;
      tell(report);
    } else if (event.kind == Kind::kReplaced) {
      held->terms.quantity = event.quantity - held->broken;
      held->left = event.left;
      held->status = by_fill(*held);
      Report report = about(*held, ReportKind::kReplaced);
      renamed(report);
      tell(report);
    } else if (event.kind == Kind::kCancelled && event.cancel == CancelReason::kReplaced) {
      held->terms.quantity = held->filled;
      ended(*held, OrderStatus::kFilled);
      Report report = about(*held, ReportKind::kReplaced);
      renamed(report);
      tell(report);
    } else if (event.kind == Kind::kCancelled) {
      const TimeInForce t = held->terms.time_in_force;
      const bool for_auction = t == TimeInForce::kAtOpening || t == TimeInForce::kAtClose;
      const bool expired = event.cancel == CancelReason::kExpired || why == Asked::kDayOver ||
                           (event.cancel == CancelReason::kNotAuctioned && for_auction);
      ended(*held, expired ? OrderStatus::kExpired : OrderStatus::kCancelled);
      Report report = about(*held, expired ? ReportKind::kExpired : ReportKind::kCancelled);
      report.cancel = why == Asked::kDayOver ? CancelReason::kExpired : event.cancel;
      report.last_quantity = event.quantity;
      if (why == Asked::kCancel && of_asked && asking_->session == held->session) {
        report.original_id = ClientOrderId(held->client_id);
        renamed(report);
      } else {
        report.flags |= Report::kUnsolicited;
      }
      tell(report);
    } else if (event.kind == Kind::kReduced) {
      held->left = event.left;
      held->terms.quantity -= event.quantity;
      Report report = about(*held, ReportKind::kRestated);
      report.flags |= Report::kUnsolicited;
      report.last_quantity = event.quantity;
      tell(report);
    } else if (event.kind == Kind::kTriggered) {
      held->triggered = true;
      tell(about(*held, ReportKind::kTriggered));
    } else if (event.kind == Kind::kRested && held->terms.type == OrderType::kMarketToLimit) {
      held->rested = true;
      held->terms.price = held->bound = event.price;
    }
    items_.push_back(event);
  }
}

inline void NaiveVenue::broken(Trade& trade, InstrumentId instrument, MatchId match, bool buy) {
  const InstrumentDefinition& d = instruments_.at(instrument);
  const AccountId account = buy ? trade.buyer : trade.seller;
  const Amount fee = buy ? trade.buy_fee : trade.sell_fee;
  const Quantity sign = buy ? -1 : 1;
  totals_[{account, d.base}] += sign * trade.quantity * d.base_per_lot;
  totals_[{account, d.quote}] += -sign * trade.price * trade.quantity * d.quote_per_tick_lot + fee;
  totals_[{1, d.quote}] -= fee;
  positions_[{account, instrument}] += sign * trade.quantity;
  Held& held = *find(buy ? trade.buy : trade.sell);
  held.filled -= trade.quantity;
  held.notional -= trade.price * trade.quantity;
  if (held.open) {
    held.terms.quantity -= trade.quantity;
    held.broken += trade.quantity;
    held.status = by_fill(held);
  } else if (held.status == OrderStatus::kFilled) {
    held.status = OrderStatus::kCancelled;
  }
  Report report = about(held, ReportKind::kTradeBreak);
  report.last_price = trade.price;
  report.last_quantity = trade.quantity;
  report.match = match;
  report.fee = fee;
  report.flags = Report::kUnsolicited;
  tell(report);
}

inline std::vector<NaiveVenue::Item> NaiveVenue::step(VenueTime now, const Request& request, const Chosen& chosen) {
  now_ = now;
  items_.clear();
  asking_ = &request;
  asked_ = 0;
  const OrderFields& f = request.body.order;
  AccountId account = 0;
  Held* held = nullptr;
  switch (request.kind) {
    case RequestKind::kNewOrder: {
      const Refusal refused = take(request, chosen);
      if (refused == Refusal::kNone) break;
      const Refusal unknown = who(request, account);
      Report report = plain(request, ReportKind::kRejected, refused);
      report.status = OrderStatus::kRejected;
      report.side = f.side;
      report.type = f.type;
      report.time_in_force = f.time_in_force;
      report.account = unknown == Refusal::kNone ? account : f.account;
      report.price = f.price;
      report.stop_price = f.stop_price;
      report.quantity = f.quantity;
      report.client_id = f.client_id;
      report.original_id = f.original_id;
      tell(report);
      break;
    }
    case RequestKind::kCancel: {
      Refusal refused = static_cast<Refusal>(f.refused);
      if (refused == Refusal::kNone) refused = who(request, account);
      if (refused == Refusal::kNone) refused = asked(request, account, held);
      if (refused != Refusal::kNone) {
        reject_cancel(request, account, held, refused);
        break;
      }
      asked_ = held->id;
      Events events;
      books_.at(held->instrument).cancel(now, held->book_id, held->id, events);
      happened(events, Asked::kCancel);
      break;
    }
    case RequestKind::kReplace: {
      Refusal refused = static_cast<Refusal>(f.refused);
      if (refused == Refusal::kNone) refused = who(request, account);
      if (refused == Refusal::kNone && !in_rate(account)) refused = Refusal::kRateLimit;
      if (refused == Refusal::kNone && halted_) refused = Refusal::kHalted;
      if (refused == Refusal::kNone) refused = asked(request, account, held);
      if (refused == Refusal::kNone) refused = change(request, *held);
      if (refused != Refusal::kNone) reject_cancel(request, account, held, refused);
      break;
    }
    case RequestKind::kStatus: {
      Refusal refused = static_cast<Refusal>(f.refused);
      if (refused == Refusal::kNone) refused = who(request, account);
      if (refused == Refusal::kNone) held = named(request, account);
      if (held == nullptr) {
        Report report =
            plain(request, ReportKind::kStatus, refused == Refusal::kNone ? Refusal::kUnknownOrder : refused);
        report.status = OrderStatus::kRejected;
        report.account = account;
        report.side = f.side;
        if (f.by_order_id) report.order = f.order_id;
        report.client_id = f.client_id;
        report.original_id = f.original_id;
        tell(report);
        break;
      }
      Report report = about(*held, ReportKind::kStatus);
      report.session = request.session;
      report.message_number = request.message_number;
      report.tag = request.tag;
      tell(report);
      break;
    }
    case RequestKind::kMassCancel: {
      Refusal refused = static_cast<Refusal>(f.refused);
      const bool all = request.session == 0 && f.account == 0;
      if (refused == Refusal::kNone && !all) refused = who(request, account);
      if (refused == Refusal::kNone && request.instrument != 0 && instruments_.count(request.instrument) == 0)
        refused = Refusal::kUnknownInstrument;
      std::vector<OrderId> ids;
      if (refused == Refusal::kNone)
        for (const auto& [of, name] : accounts_)
          if (all || of == account)
            for (const OrderId id : open_of([&](const Held& one) {
                   return one.account == of && (request.instrument == 0 || one.instrument == request.instrument) &&
                          (!f.one_side || one.terms.side == f.side);
                 }))
              ids.push_back(id);
      Report report = plain(request, ReportKind::kMassCancelled, refused);
      report.side = f.side;
      report.account = account;
      report.quantity = static_cast<Quantity>(ids.size());
      report.client_id = f.client_id;
      report.original_id = f.original_id;
      tell(report);
      cancel_unasked(ids, false);
      break;
    }
    case RequestKind::kSessionNumbers:
      answer(request, sessions_.count(request.session) ? Refusal::kNone : Refusal::kUnknownSession);
      break;
    case RequestKind::kDisconnected:
      if (sessions_.count(request.session) == 0) {
        answer(request, Refusal::kUnknownSession);
      } else {
        answer(request, Refusal::kNone);
        cancel_unasked(open_of([&](const Held& one) { return one.session == request.session; }), false);
      }
      break;
    case RequestKind::kMessageLogged: {
      if (sessions_.count(request.session) == 0) {
        answer(request, Refusal::kUnknownSession);
        break;
      }
      const RefusalFields& r = request.body.refusal;
      Report report = plain(request, r.of_cancel ? ReportKind::kCancelReject : ReportKind::kRefused,
                            static_cast<Refusal>(r.reason));
      report.status = OrderStatus::kRejected;
      report.account = sessions_.at(request.session).account;
      report.client_id = r.client_id;
      report.original_id = r.original_id;
      tell(report);
      break;
    }
    case RequestKind::kTime:
      for (const InstrumentId id : chosen.due) {
        Events events;
        books_.at(id).on_time(now, events);
        happened(events, Asked::kNothing);
      }
      break;
    case RequestKind::kPhase:
      if (request.instrument != 0 && instruments_.count(request.instrument) == 0) {
        answer(request, Refusal::kUnknownInstrument);
        break;
      }
      answer(request, Refusal::kNone);
      for (auto& [id, book] : books_) {
        if (request.instrument != 0 && request.instrument != id) continue;
        Events events;
        book.set_phase(now, request.body.phase, events);
        happened(events, Asked::kNothing);
      }
      break;
    case RequestKind::kBreakTrade: {
      const TradeFields& t = request.body.trade;
      const auto found = trades_.find({t.instrument, t.match});
      if (instruments_.count(t.instrument) == 0) {
        answer(request, Refusal::kUnknownInstrument);
      } else if (found == trades_.end() || found->second.broken) {
        answer(request, Refusal::kUnknownTrade);
      } else {
        answer(request, Refusal::kNone);
        asking_ = nullptr;
        found->second.broken = true;
        broken(found->second, t.instrument, t.match, true);
        broken(found->second, t.instrument, t.match, false);
      }
      break;
    }
    case RequestKind::kDeposit:
    case RequestKind::kWithdraw: {
      const TransferFields& t = request.body.transfer;
      const bool in = request.kind == RequestKind::kDeposit;
      Refusal refused = !in && halted_ ? Refusal::kHalted : Refusal::kNone;
      if (refused == Refusal::kNone && accounts_.count(t.account) == 0) refused = Refusal::kBadAccount;
      if (refused == Refusal::kNone && (assets_.count(t.asset) == 0 || t.amount <= 0)) refused = Refusal::kBadQuantity;
      if (refused == Refusal::kNone && !in && total(t.account, t.asset) - reserved(t.account, t.asset) < t.amount)
        refused = Refusal::kBalance;
      const bool again = in && refused == Refusal::kNone && t.ledger_time != 0 && t.ledger_time <= ledger_time_;
      if (refused != Refusal::kNone || again) {
        answer(request, refused);
        break;
      }
      if (in) ledger_time_ = std::max(ledger_time_, t.ledger_time);
      totals_[{t.account, t.asset}] += in ? t.amount : -t.amount;
      paid_in_[t.asset] += in ? t.amount : -t.amount;
      Report report = plain(request, in ? ReportKind::kDeposited : ReportKind::kWithdrawn);
      report.account = t.account;
      report.instrument = t.asset;
      report.last_quantity = t.amount;
      report.left = total(t.account, t.asset);
      tell(report);
      break;
    }
    case RequestKind::kSettleDay: {
      if (request.body.day <= day_) {
        answer(request, Refusal::kTooLate);
        break;
      }
      day_ = request.body.day;
      Report report = plain(request, ReportKind::kDayClosed);
      report.quantity = day_;
      tell(report);
      ids_.clear();
      std::vector<OrderId> over;
      for (const auto& [id, one] : held_) {
        if (!one.open) continue;
        if (one.terms.time_in_force == TimeInForce::kDay) {
          over.push_back(id);
        } else if (!one.client_id.empty()) {
          ids_[{one.session, one.client_id}] = id;
        }
      }
      std::sort(over.begin(), over.end());
      cancel_unasked(over, true);
      break;
    }
    case RequestKind::kAccept:
    case RequestKind::kHalt:
      halted_ = request.kind == RequestKind::kHalt;
      answer(request, Refusal::kNone);
      break;
    case RequestKind::kAsset:
      assets_[request.body.asset.id] = request.body.asset;
      answer(request, Refusal::kNone);
      break;
    case RequestKind::kInstrument: {
      const InstrumentDefinition& d = request.body.instrument;
      instruments_[d.id] = d;
      books_.try_emplace(d.id, InstrumentRules{.id = d.id,
                                               .orders_max = d.orders_max,
                                               .window_ticks = d.window_ticks,
                                               .collar_bp = d.collar_bp,
                                               .band_bp = d.band_bp,
                                               .pause_ns = VenueTime{d.pause_seconds} * 1'000'000'000});
      answer(request, Refusal::kNone);
      break;
    }
    case RequestKind::kAccount:
      accounts_[request.body.account.id] = std::string(request.body.account.name.view());
      answer(request, Refusal::kNone);
      break;
    case RequestKind::kSession:
      sessions_[request.body.session.id] = request.body.session;
      answer(request, Refusal::kNone);
      break;
    case RequestKind::kRisk: {
      const RiskFields& r = request.body.risk;
      if (accounts_.count(r.account) == 0) {
        answer(request, Refusal::kBadAccount);
        break;
      }
      risk_[r.account] = r.limits;
      answer(request, Refusal::kNone);
      if (r.limits.killed) cancel_unasked(open_of([&](const Held& one) { return one.account == r.account; }), false);
      break;
    }
    case RequestKind::kRestrict: {
      const RestrictFields& r = request.body.restriction;
      if (r.restricted) {
        restricted_.insert({r.account, r.instrument});
      } else {
        restricted_.erase({r.account, r.instrument});
      }
      answer(request, Refusal::kNone);
      break;
    }
  }
  asking_ = nullptr;
  put_away();
  return items_;
}

}  // namespace polis::exchange
