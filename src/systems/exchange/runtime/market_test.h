// A small market for tests: what must be defined first, and random requests of all kinds.
#pragma once

#include <fmt/format.h>
#include <vector>

#include "kernel/base/random.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

class TestMarket {
 public:
  static constexpr AccountId kAccounts = 12;  // 2 .. 13
  static constexpr SessionId kSessions = 6;
  static constexpr InstrumentId kInstruments = 3;

  // Assets, instruments, accounts, sessions, money; and all instruments trade.
  static std::vector<Request> beginning() {
    std::vector<Request> all;
    for (AssetId id = 1; id <= kInstruments + 1; ++id) {
      Request request = of(RequestKind::kAsset);
      request.body.asset.id = id;
      request.body.asset.symbol = id == 1 ? Symbol("USD") : Symbol(fmt::format("S{}", id - 1));
      request.body.asset.decimals = id == 1 ? 2 : 0;
      all.push_back(request);
    }
    for (InstrumentId id = 1; id <= kInstruments; ++id) {
      Request request = of(RequestKind::kInstrument);
      InstrumentDefinition definition;
      definition.id = id;
      definition.base = id + 1;
      definition.quote = 1;
      definition.symbol = Symbol(fmt::format("S{}", id));
      definition.tick = {1, -2};
      definition.lot = {1, 0};
      definition.base_per_lot = 1;
      definition.quote_per_tick_lot = 1;
      definition.band_bp = 0;
      definition.orders_max = 100'000;
      request.body.instrument = definition;
      all.push_back(request);
    }
    for (AccountId id = 2; id < 2 + kAccounts; ++id) {
      Request request = of(RequestKind::kAccount);
      request.body.account.id = id;
      request.body.account.name = Name(fmt::format("A{}", id));
      all.push_back(request);
      Request risk = of(RequestKind::kRisk);
      RiskFields fields;
      fields.account = id;
      fields.limits.rate_per_second = 0;
      fields.limits.rate_burst = 0;
      risk.body.risk = fields;
      all.push_back(risk);
    }
    for (SessionId id = 1; id <= kSessions; ++id) {
      Request request = of(RequestKind::kSession);
      SessionDefinition definition;
      definition.id = id;
      definition.account = 1 + id;
      definition.name = Name(fmt::format("BRK{}", id));
      request.body.session = definition;
      all.push_back(request);
    }
    uint64_t transfer = 0;
    for (AccountId account = 2; account < 2 + kAccounts; ++account)
      for (AssetId asset = 1; asset <= kInstruments + 1; ++asset)
        all.push_back(deposit(account, asset, 1'000'000'000, ++transfer));
    Request open = of(RequestKind::kPhase);
    open.body.phase = Phase::kContinuous;
    all.push_back(open);
    return all;
  }

  static Request deposit(AccountId account, AssetId asset, Amount amount, uint64_t transfer) {
    Request request = of(RequestKind::kDeposit);
    TransferFields fields;
    fields.account = account;
    fields.asset = asset;
    fields.amount = amount;
    fields.id_low = transfer;
    fields.ledger_time = transfer;
    request.body.transfer = fields;
    return request;
  }

  // An order of a session at a price.
  Request order(SessionId session, Side side, Price price, Quantity quantity, InstrumentId instrument = 1) {
    Request request = of(RequestKind::kNewOrder);
    request.session = session;
    request.instrument = instrument;
    request.message_number = ++number_;
    OrderFields fields;
    fields.account = 1 + session;
    fields.side = side;
    fields.price = price;
    fields.quantity = quantity;
    fields.client_id = ClientOrderId(fmt::format("{}-{}", prefix, ++clients_));
    request.body.order = fields;
    return request;
  }

  Request random(Random& random) {
    const auto session = static_cast<SessionId>(1 + random.below(kSessions));
    const auto instrument = static_cast<InstrumentId>(1 + random.below(kInstruments));
    Request request =
        order(session, random.chance(1, 2) ? Side::kBuy : Side::kSell, static_cast<Price>(9'950 + random.below(100)),
              static_cast<Quantity>(1 + random.below(500)), instrument);
    OrderFields& fields = request.body.order;
    const uint64_t dice = random.below(1000);
    if (dice < 600) {
      if (random.chance(1, 4)) fields.type = static_cast<OrderType>(random.below(5));
      if (random.chance(1, 4)) fields.time_in_force = static_cast<TimeInForce>(random.below(7));
      if (fields.type == OrderType::kMarket || fields.type == OrderType::kStop ||
          fields.type == OrderType::kMarketToLimit)
        fields.price = 0;
      if (fields.type == OrderType::kStop || fields.type == OrderType::kStopLimit)
        fields.stop_price = static_cast<Price>(9'950 + random.below(100));
      if (random.chance(1, 10)) fields.shown = static_cast<Quantity>(random.below(50));
      if (random.chance(1, 5)) fields.self_match_id = 1 + static_cast<uint32_t>(random.below(3));
      fields.self_match = static_cast<SelfMatch>(random.below(4));
      if (fields.time_in_force == TimeInForce::kGoodTillDate)
        fields.expires_at = static_cast<VenueTime>(1'700'000'000'000'000'000 + random.below(600'000'000'000));
      sent_.push_back({session, fields.client_id});
    } else if (dice < 900 && !sent_.empty()) {
      const auto& sent = sent_[random.below(sent_.size())];
      request.kind = random.chance(1, 2) ? RequestKind::kCancel : RequestKind::kReplace;
      request.session = sent.session;
      fields.account = 1 + sent.session;
      fields.original_id = sent.id;
      if (request.kind == RequestKind::kReplace) sent_.push_back({sent.session, fields.client_id});
    } else if (dice < 910) {
      request.kind = RequestKind::kMassCancel;
      request.instrument = random.chance(1, 2) ? instrument : 0;
    } else if (dice < 930) {
      request = deposit(static_cast<AccountId>(2 + random.below(kAccounts)), 1, 1'000, 1'000'000 + ++clients_);
    } else if (dice < 935) {
      request = of(RequestKind::kPhase);
      request.instrument = instrument;
      request.body.phase = random.chance(1, 2) ? Phase::kHalted : Phase::kClosingCall;
    } else if (dice < 960) {
      request = of(RequestKind::kPhase);
      request.body.phase = Phase::kContinuous;
    } else if (dice < 965) {
      request = of(RequestKind::kSettleDay);
      request.body.day = 20'260'000 + static_cast<uint32_t>(++days_);
    } else if (dice < 990) {
      request = of(RequestKind::kTime);
    } else {
      request = of(RequestKind::kSessionNumbers);
      request.session = session;
      request.body.numbers = NumbersFields{};
    }
    return request;
  }

  static Request of(RequestKind kind) {
    Request request;
    request.kind = kind;
    return request;
  }

  std::string prefix = "c";  // of client order ids: one a life of the test's client

 private:
  struct Sent {
    SessionId session;
    ClientOrderId id;
  };
  std::vector<Sent> sent_;
  uint64_t clients_ = 0;
  uint64_t days_ = 0;
  uint32_t number_ = 0;
};

}  // namespace polis::exchange
