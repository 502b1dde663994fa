// Random requests of all kinds to the venue and to the naive one: three instruments, twenty accounts, twenty sessions
// with orders and two with drop copies.
#pragma once

#include <array>
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/exchange/venue/naive_venue_test.h"
#include "systems/exchange/venue/venue_test_support.h"

namespace polis::exchange::testing_venue {

inline std::string text_of(const Report& r) {
  std::string out = "report";
  const auto add = [&](const char* name, auto value) {
    if (static_cast<int64_t>(value) != 0)
      out += std::string(" ") + name + " " + std::to_string(static_cast<int64_t>(value));
  };
  add("kind", r.kind), add("status", r.status), add("side", r.side), add("type", r.type), add("tif", r.time_in_force);
  add("refusal", r.refusal), add("cancel", r.cancel), add("flags", r.flags), add("session", r.session);
  add("account", r.account), add("instrument", r.instrument), add("message", r.message_number), add("tag", r.tag);
  add("order", r.order), add("price", r.price), add("stop", r.stop_price), add("quantity", r.quantity);
  add("filled", r.filled), add("left", r.left), add("last_price", r.last_price), add("last_quantity", r.last_quantity);
  add("notional", r.notional), add("match", r.match), add("fee", r.fee);
  return out + " id '" + std::string(r.client_id.view()) + "' of '" + std::string(r.original_id.view()) + "'";
}
inline std::string text_of(const Event& e) {
  std::string out = "event";
  const auto add = [&](const char* name, auto value) {
    if (static_cast<int64_t>(value) != 0)
      out += std::string(" ") + name + " " + std::to_string(static_cast<int64_t>(value));
  };
  add("kind", e.kind), add("flags", e.flags), add("side", e.side), add("reject", e.reject), add("cancel", e.cancel);
  add("phase", e.phase), add("instrument", e.instrument), add("order", e.order), add("counter", e.counter_order);
  add("reference", e.reference), add("counter_reference", e.counter_reference), add("price", e.price);
  add("quantity", e.quantity), add("left", e.left), add("counter_left", e.counter_left), add("shown", e.shown);
  add("match", e.match);
  return out;
}

// Makes requests; remembers what was asked, so that much of it is about orders that exist.
class RandomRequests {
 public:
  static constexpr AccountId kAccounts = 20;
  static constexpr SessionId kOrderSessions = 20;  // of accounts 2 .. 20, and a second one of 2
  static constexpr InstrumentId kInstruments = 3;

  // `tame`: nothing that lets a balance fall below zero (short sales, trades taken back).
  explicit RandomRequests(uint64_t seed, bool tame = false) : random_(seed), tame_(tame) {}

  // What there is before the first random request.
  std::vector<Request> beginning() {
    std::vector<Request> all = {asset(1, "AAA", 0), asset(2, "BBB", 8), asset(3, "CCC", 4), asset(4, "USD", 2),
                                asset(5, "EUR", 6)};
    for (InstrumentId id = 1; id <= kInstruments; ++id) all.push_back(instrument(definition(id)));
    for (AccountId id = 2; id <= kAccounts; ++id) {
      all.push_back(account(id, "account" + std::to_string(id)));
      all.push_back(session(id - 1, "session" + std::to_string(id - 1), id));
      for (AssetId asset = 1; asset <= 5; ++asset) all.push_back(deposit(id, asset, riches(asset)));
      RiskLimits free;
      free.rate_per_second = 0;
      all.push_back(risk(id, free));
    }
    all.push_back(session(20, "session20", 2));
    all.push_back(session(21, "copies", 0, SessionRole::kDropCopy));
    all.push_back(session(22, "copies3", 3, SessionRole::kDropCopy));
    for (InstrumentId id = 1; id <= kInstruments; ++id) all.push_back(phase(id, Phase::kContinuous));
    return all;
  }

  Request next(VenueTime now) {
    Request made = body(now);
    made.tag = ++tags_;
    if (made.session != 0) made.message_number = static_cast<uint32_t>(1 + below(100'000));
    return made;
  }

  // What the venue answered.
  void learn(const Outputs& outputs) {
    for (const Report& report : outputs.reports()) {
      if (report.order != 0 && (report.flags & Report::kCopy) == 0 &&
          (report.kind == ReportKind::kNew || report.kind == ReportKind::kReplaced))
        remember(orders_, Known{report.order, report.session, std::string(report.client_id.view()), report.account,
                                report.instrument, report.type, report.price, report.stop_price, report.quantity});
    }
    for (const Event& event : outputs.events())
      if (event.kind == Event::Kind::kTrade) remember(trades_, std::pair(event.instrument, event.match));
  }
  const std::vector<std::pair<InstrumentId, MatchId>>& trades() const { return trades_; }

 private:
  struct Known {
    OrderId order = 0;
    SessionId session = 0;
    std::string client_id;
    AccountId account = 0;
    InstrumentId instrument = 0;
    OrderType type = OrderType::kLimit;
    Price price = 0, stop_price = 0;
    Quantity quantity = 0;
  };
  uint64_t below(uint64_t bound) { return random_.below(bound); }
  template <class T>
  static void remember(std::vector<T>& all, T one) {
    all.push_back(std::move(one));
    if (all.size() > 200) all.erase(all.begin(), all.begin() + 20);
  }
  static Amount riches(AssetId asset) {
    return std::array<Amount, 6>{0, 1'000, 2'000'000'000, 100'000'000, 200'000, 200'000'000'000}[asset];
  }
  static InstrumentDefinition definition(InstrumentId id) {
    InstrumentDefinition made = shares(1, "AAA", 1, 4);
    if (id == 2) {
      made = shares(2, "BBB", 2, 4);
      made.tick = {5, -1};
      made.lot = {2, -2};
      made.base_per_lot = 2'000'000;
      made.maker_fee_hundredths_bp = made.taker_fee_hundredths_bp = 0;
      made.window_ticks = 64;
    } else if (id == 3) {
      made = shares(3, "CCC", 3, 5);
      made.tick = {25, -2};
      made.lot = {1, 1};
      made.base_per_lot = 100'000;
      made.quote_per_tick_lot = 2'500'000;
      made.maker_fee_hundredths_bp = 333;
      made.taker_fee_hundredths_bp = 177;
    } else {
      made.maker_fee_hundredths_bp = 50;
    }
    made.orders_max = 100'000;
    return made;
  }
  Price price() {
    if (below(300) == 0) return 1 + static_cast<Price>(below(2000));
    return center_ - 8 + static_cast<Price>(below(17));
  }
  // A third of all comes from two accounts, so that orders meet their own.
  SessionId some_session() {
    if (below(3) == 0) return static_cast<SessionId>(1 + below(2));
    return static_cast<SessionId>(below(60) == 0 ? below(25) : 1 + below(kOrderSessions));
  }
  std::string new_id() {
    if (below(60) == 0 && ids_ > 50) return "c" + std::to_string(ids_ - below(50));
    if (below(40) == 0) return "";
    return "c" + std::to_string(++ids_);
  }
  OrderFields terms(VenueTime now) {
    OrderFields f;
    f.self_match_id = below(2) == 0 ? static_cast<uint32_t>(1 + below(8) / 7) : 0;
    f.self_match = static_cast<SelfMatch>(below(4));
    f.side = static_cast<Side>(below(2));
    f.type = below(3) != 0 ? OrderType::kLimit : static_cast<OrderType>(below(5));
    f.time_in_force = below(2) != 0 ? static_cast<TimeInForce>(below(2)) : static_cast<TimeInForce>(below(7));
    f.post_only = below(15) == 0;
    f.all_or_none = below(20) == 0;
    f.quantity = static_cast<Quantity>(1 + below(50));
    if (f.type == OrderType::kLimit || f.type == OrderType::kStopLimit || below(4) == 0) f.price = price();
    if (f.type == OrderType::kStop || f.type == OrderType::kStopLimit) f.stop_price = price();
    if (below(5) == 0) f.shown = static_cast<Quantity>(below(static_cast<uint64_t>(f.quantity) + 1));
    if (below(15) == 0) f.minimum = static_cast<Quantity>(1 + below(static_cast<uint64_t>(f.quantity)));
    if (f.time_in_force == TimeInForce::kGoodTillDate)
      f.expires_at = now - 1'000'000'000 + static_cast<VenueTime>(below(60'000'000'000));
    // What nobody should send.
    switch (below(400)) {
      case 0:
        f.quantity = 0;
        break;
      case 1:
        f.quantity = kQuantityMax + 1;
        break;
      case 2:
        f.price = -1;
        break;
      case 3:
        f.price = kPriceMax + 1;
        break;
      case 4:
        f.self_match_id = 40'000;
        break;
      case 5:
        f.refused = static_cast<uint8_t>(Refusal::kTick);
        break;
      case 6:
        f.shown = f.quantity + 1;
        break;
      case 7:
        f.account = static_cast<AccountId>(below(30));
        break;
      case 8:
        f.quantity = kQuantityMax;
        break;
      case 9:
        f.price = kPriceMax;
        break;
      case 10:
        f.stop_price = 7;
        break;
      default:
        break;
    }
    f.client_id = ClientOrderId(new_id());
    return f;
  }
  // About an order that is known, or sometimes one that is not.
  Request about_order(RequestKind kind) {
    Known known;
    if (!orders_.empty()) known = orders_[orders_.size() - 1 - below(std::min<uint64_t>(orders_.size(), 120))];
    Request made = request(kind, known.session);
    OrderFields f;
    f.client_id = ClientOrderId(new_id());
    f.original_id = ClientOrderId(known.client_id);
    f.quantity = static_cast<Quantity>(below(60));
    f.price = known.price;
    f.stop_price = known.stop_price;
    if (below(2) == 0 && known.price != 0) f.price = price();
    if (below(3) == 0 && known.stop_price != 0) f.stop_price = price();
    if (below(4) == 0) f.quantity = known.quantity;
    if (below(4) == 0 || known.client_id.empty()) {
      f.by_order_id = true;
      f.order_id = known.order;
      if (known.session == 0) f.account = known.account;
    }
    if (below(3) == 0) made.instrument = known.instrument;
    switch (below(100)) {
      case 0:
        made.session = some_session();
        break;
      case 1:
        f.original_id = ClientOrderId("nobody");
        break;
      case 2:
        f.order_id = 5;
        break;
      case 3:
        made.instrument = static_cast<InstrumentId>(1 + below(4));
        break;
      case 4:
        f.refused = static_cast<uint8_t>(Refusal::kLot);
        break;
      case 5:
        f.price = static_cast<Price>(below(2)) * (kPriceMax + 1);
        break;
      case 6:
        f.quantity = kQuantityMax - static_cast<Quantity>(below(2));
        break;
      default:
        break;
    }
    if (made.session == 0 && f.account == 0) f.account = known.account;
    made.body.order = f;
    return made;
  }
  Request body(VenueTime now) {
    const auto some_account = [&] {
      return static_cast<AccountId>(below(60) == 0 ? below(25) : 2 + below(kAccounts - 1));
    };
    const auto some_instrument = [&] { return static_cast<InstrumentId>(1 + below(kInstruments)); };
    if (below(700) == 0) center_ = 40 + static_cast<Price>(below(150));
    const uint64_t what = below(1000);
    if (what < 560) {
      Request made = request(RequestKind::kNewOrder, some_session());
      made.instrument = below(200) == 0 ? static_cast<InstrumentId>(below(6)) : some_instrument();
      made.body.order = terms(now);
      if (made.session == 0) made.body.order.account = some_account();
      return made;
    }
    if (what < 690) return about_order(RequestKind::kCancel);
    if (what < 870) return about_order(RequestKind::kReplace);
    if (what < 880) return about_order(RequestKind::kStatus);
    if (what < 884) {
      Request made = request(RequestKind::kMassCancel, below(4) == 0 ? 0 : some_session());
      OrderFields f;
      f.client_id = ClientOrderId(new_id());
      f.one_side = below(2) == 0;
      f.side = static_cast<Side>(below(2));
      if (made.session == 0) f.account = below(10) == 0 ? 0 : some_account();
      made.instrument = static_cast<InstrumentId>(below(5));
      made.body.order = f;
      return made;
    }
    if (what < 886) return request(RequestKind::kDisconnected, some_session());
    if (what < 889) {
      Request made = request(RequestKind::kMessageLogged, some_session());
      RefusalFields f;
      f.reason = static_cast<uint32_t>(Refusal::kUnsupported);
      f.client_id = ClientOrderId("logged");
      f.of_cancel = below(2) == 0;
      made.body.refusal = f;
      return made;
    }
    if (what < 891) {
      Request made = request(RequestKind::kSessionNumbers, some_session());
      made.body.numbers = NumbersFields{};
      return made;
    }
    if (what < 905) {
      // Continuous trading most of the time.
      const Phase to = below(2) == 0 ? Phase::kContinuous : static_cast<Phase>(below(5));
      return phase(below(4) == 0 ? static_cast<InstrumentId>(below(5)) : some_instrument(), to);
    }
    if (what < 920) return phase(some_instrument(), Phase::kContinuous);
    if (what < 926 && !tame_) {
      Request made = request(RequestKind::kBreakTrade);
      TradeFields f;
      if (!trades_.empty()) {
        const auto& trade = trades_[below(trades_.size())];
        f = {.instrument = trade.first, .match = trade.second};
      }
      if (below(10) == 0) f = {.instrument = static_cast<InstrumentId>(below(5)), .match = below(2) * 1'000'000'000};
      made.body.trade = f;
      return made;
    }
    if (what < 955) {
      const auto asset = static_cast<AssetId>(below(50) == 0 ? below(8) : 1 + below(5));
      const Amount amount = asset > 5 || below(60) == 0
                                ? 0
                                : 1 + static_cast<Amount>(below(static_cast<uint64_t>(riches(asset) / 3 + 1)));
      if (what < 940) {
        if (below(3) != 0) ledger_time_ += below(3);
        return deposit(some_account(), asset, amount, ledger_time_);
      }
      return withdraw(some_account(), asset, amount);
    }
    if (what < 957)
      return halts_ = !halts_, request(halts_ && below(3) == 0 ? RequestKind::kHalt : RequestKind::kAccept);
    if (what < 960) return request(RequestKind::kAccept);
    if (what < 980) {
      RiskLimits limits;
      limits.rate_per_second = 0;
      switch (below(12)) {
        case 0:
          limits.order_quantity_max = 20;
          break;
        case 1:
          limits.order_notional_max = 3'000;
          break;
        case 2:
          limits.open_orders_max = static_cast<uint32_t>(below(8));
          break;
        case 3:
          limits.rate_per_second = 2, limits.rate_burst = 3;
          break;
        case 4:
          limits.price_band_bp = 300;
          break;
        case 5:
          limits.position_max = 60;
          break;
        case 6:
          limits.short_sale_allowed = !tame_, limits.short_max = 500;
          break;
        case 7:
          limits.short_sale_allowed = !tame_, limits.short_max = 50'000'000;
          break;
        case 8:
          limits.killed = below(4) == 0;
          break;
        default:
          break;
      }
      return risk(some_account(), limits);
    }
    if (what < 986) {
      Request made = request(RequestKind::kRestrict);
      made.body.restriction = {.account = below(4) == 0 ? 0 : static_cast<AccountId>(2 + below(kAccounts - 1)),
                               .instrument = some_instrument(),
                               .restricted = below(16) == 0};
      return made;
    }
    if (what < 988) {
      InstrumentDefinition changed = definition(some_instrument());
      changed.maker_fee_hundredths_bp = static_cast<uint32_t>(below(400));
      changed.taker_fee_hundredths_bp = static_cast<uint32_t>(below(400));
      return instrument(changed);
    }
    if (what == 988) {
      Request made = session(22, "copies3", 3, SessionRole::kDropCopy);
      made.body.session.enabled = below(2) == 0;
      return made;
    }
    if (what == 989 && below(3) == 0) return settle(static_cast<uint32_t>(++day_));
    return request(RequestKind::kTime);
  }

  base::SeededRandom random_;
  const bool tame_;
  uint64_t tags_ = 0, ids_ = 0, day_ = 20240000, ledger_time_ = 1;
  bool halts_ = false;
  Price center_ = 100;
  std::vector<Known> orders_;
  std::vector<std::pair<InstrumentId, MatchId>> trades_;
};

// The venue as it comes back from its own snapshot.
inline std::unique_ptr<Venue> reloaded(const Venue& venue, const VenueLimits& limits) {
  auto fresh = std::make_unique<Venue>(limits);
  const auto saver = venue.save();
  for (;;) {
    Bytes piece;
    base::Writer writer(piece);
    if (!saver->next(writer)) break;
    EXPECT_GT(piece.size(), 0u);
    EXPECT_LE(piece.size(), size_t{1} << 20);
    const auto loaded = fresh->load(piece);
    EXPECT_TRUE(loaded.has_value()) << loaded.error().text();
    if (!loaded.has_value()) break;
  }
  return fresh;
}

}  // namespace polis::exchange::testing_venue
