// Requests for tests of the venue and of what stands on it.
#pragma once

#include <string>

#include "systems/exchange/venue/venue.h"

namespace polis::exchange::testing_venue {

inline Request request(RequestKind kind, SessionId session = 0) {
  Request request;
  request.kind = kind;
  request.session = session;
  return request;
}

inline Request asset(AssetId id, std::string_view symbol, uint8_t decimals) {
  Request made = request(RequestKind::kAsset);
  made.body.asset = {.id = id, .symbol = Symbol(symbol), .decimals = decimals};
  return made;
}

// Ticks of 0.01, lots of 1, a base asset without decimals and a quote asset with two: a lot at one tick costs one unit.
inline InstrumentDefinition shares(InstrumentId id, std::string_view symbol, AssetId base, AssetId quote) {
  InstrumentDefinition definition;
  definition.id = id;
  definition.base = base;
  definition.quote = quote;
  definition.symbol = Symbol(symbol);
  definition.tick = {1, -2};
  definition.lot = {1, 0};
  definition.base_per_lot = 1;
  definition.quote_per_tick_lot = 1;
  return definition;
}

inline Request instrument(const InstrumentDefinition& definition) {
  Request made = request(RequestKind::kInstrument);
  made.body.instrument = definition;
  return made;
}

inline Request account(AccountId id, std::string_view name) {
  Request made = request(RequestKind::kAccount);
  made.body.account = {.id = id, .name = Name(name)};
  return made;
}

inline Request session(SessionId id, std::string_view name, AccountId account,
                       SessionRole role = SessionRole::kOrders) {
  Request made = request(RequestKind::kSession);
  SessionDefinition definition;
  definition.id = id;
  definition.account = account;
  definition.name = Name(name);
  definition.role = role;
  made.body.session = definition;
  return made;
}

inline Request risk(AccountId account, const RiskLimits& limits) {
  Request made = request(RequestKind::kRisk);
  made.body.risk = {.account = account, .limits = limits};
  return made;
}

inline Request deposit(AccountId account, AssetId asset, Amount amount, uint64_t ledger_time = 0) {
  Request made = request(RequestKind::kDeposit);
  made.body.transfer = {.account = account, .asset = asset, .amount = amount, .ledger_time = ledger_time};
  return made;
}

inline Request withdraw(AccountId account, AssetId asset, Amount amount) {
  Request made = request(RequestKind::kWithdraw);
  made.body.transfer = {.account = account, .asset = asset, .amount = amount};
  return made;
}

inline Request phase(InstrumentId instrument, Phase phase) {
  Request made = request(RequestKind::kPhase);
  made.instrument = instrument;
  made.body.phase = phase;
  return made;
}

inline Request settle(uint32_t day) {
  Request made = request(RequestKind::kSettleDay);
  made.body.day = day;
  return made;
}

inline Request order(SessionId session, InstrumentId instrument, std::string_view client_id, Side side,
                     Quantity quantity, Price price, OrderType type = OrderType::kLimit,
                     TimeInForce time_in_force = TimeInForce::kDay) {
  Request made = request(RequestKind::kNewOrder, session);
  made.instrument = instrument;
  OrderFields fields;
  fields.side = side;
  fields.type = type;
  fields.time_in_force = time_in_force;
  fields.quantity = quantity;
  fields.price = price;
  fields.client_id = ClientOrderId(client_id);
  made.body.order = fields;
  return made;
}

inline Request cancel(SessionId session, std::string_view client_id, std::string_view original_id) {
  Request made = request(RequestKind::kCancel, session);
  OrderFields fields;
  fields.client_id = ClientOrderId(client_id);
  fields.original_id = ClientOrderId(original_id);
  made.body.order = fields;
  return made;
}

inline Request replace(SessionId session, std::string_view client_id, std::string_view original_id, Quantity quantity,
                       Price price) {
  Request made = cancel(session, client_id, original_id);
  made.kind = RequestKind::kReplace;
  made.body.order.quantity = quantity;
  made.body.order.price = price;
  return made;
}

// A venue with a clock that counts, and the outputs of the last step.
struct TestVenue {
  Venue venue;
  Outputs outputs;
  Sequence sequence = 1;
  VenueTime now = 1'700'000'000'000'000'000;
  explicit TestVenue(const VenueLimits& limits = {}) : venue(limits) {}
  std::span<const Report> send(const Request& request) {
    now += 1000;
    sequence += venue.step({.sequence = sequence, .now = now}, request, outputs);
    return outputs.reports();
  }
  // One instrument ABC (1) of asset ABC (1) for USD (2), continuous; accounts 2 and 3 with sessions 1 and 2, rich in
  // both.
  void prepare() {
    send(asset(1, "ABC", 0));
    send(asset(2, "USD", 2));
    send(instrument(shares(1, "ABC", 1, 2)));
    for (const uint32_t id : {1u, 2u}) {
      send(account(id + 1, "A" + std::to_string(id)));
      send(session(id, "BRK" + std::to_string(id), id + 1));
      send(deposit(id + 1, 1, 1'000'000));
      send(deposit(id + 1, 2, 1'000'000'000));
    }
    send(phase(1, Phase::kContinuous));
  }
};

}  // namespace polis::exchange::testing_venue
