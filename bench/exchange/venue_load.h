// The tape's work as what sessions ask of a whole venue: a thousand accounts with a session each, every limit of risk
// in force, balances, fees, execution reports. Orders are named by the venue's own ids, as exchange-core does it.
#pragma once

#include "exchange/tape.h"
#include "systems/exchange/venue/venue.h"
#include "systems/exchange/venue/venue_test_support.h"

namespace polis::bench {

inline exchange::VenueLimits venue_limits(size_t orders) {
  return {.assets_max = 4,
          .instruments_max = 4,
          .accounts_max = 2000,
          .sessions_max = 2000,
          .orders_max = static_cast<uint32_t>(orders)};
}

// What must stand before anybody trades.
inline std::vector<exchange::Request> opening(const MixedLoad& load, size_t orders_max) {
  namespace make = exchange::testing_venue;
  std::vector<exchange::Request> all{make::asset(1, "ABC", 0), make::asset(2, "USD", 2)};
  exchange::InstrumentDefinition shares = make::shares(1, "ABC", 1, 2);
  shares.orders_max = static_cast<uint32_t>(orders_max);
  all.push_back(make::instrument(shares));
  exchange::RiskLimits limits;
  limits.order_quantity_max = 1'000'000;
  limits.order_notional_max = int64_t{1} << 50;
  limits.open_orders_max = 100'000'000;
  limits.rate_per_second = limits.rate_burst = 100'000'000;
  limits.price_band_bp = 2000;
  limits.position_max = int64_t{1} << 40;
  for (uint32_t id = 2; id < load.accounts + 2; ++id) {
    all.push_back(make::account(id, "A" + std::to_string(id)));
    all.push_back(make::session(id - 1, "BRK" + std::to_string(id), id));
    all.push_back(make::risk(id, limits));
    all.push_back(make::deposit(id, 1, int64_t{1} << 40));
    all.push_back(make::deposit(id, 2, int64_t{1} << 50));
  }
  all.push_back(make::phase(1, exchange::Phase::kContinuous));
  return all;
}

class LoadedVenue {
 public:
  LoadedVenue(const MixedLoad& load, size_t orders_max) : venue_(venue_limits(orders_max)) {
    for (const exchange::Request& request : opening(load, orders_max)) send(request);
    venue_.populate(kOrdersAhead);
  }
  void send(const exchange::Request& request) {
    now_ += 1000;
    sequence_ += venue_.step({.sequence = sequence_, .now = now_}, request, outputs_);
  }
  // As a loop does that sees what lies ahead in its queue.
  void send_looking_ahead(const std::vector<exchange::Request>& requests) {
    for (size_t i = 0; i < requests.size(); ++i) {
      for (const auto& [ahead, stage] : {std::pair{12u, 0u}, {8u, 1u}, {4u, 2u}})
        if (i + ahead < requests.size()) venue_.prefetch(requests[i + ahead], stage);
      send(requests[i]);
    }
  }
  const exchange::Outputs& outputs() const { return outputs_; }
  const exchange::Venue& venue() const { return venue_; }

 private:
  // More than this load has at once with those that ended and are still known, and as many trades as are kept.
  static constexpr size_t kOrdersAhead = 65'536;
  exchange::Venue venue_;
  exchange::Outputs outputs_;
  exchange::Sequence sequence_ = 1;
  exchange::VenueTime now_ = 1'700'000'000'000'000'000;
};

struct VenueTape {
  std::vector<exchange::Request> fill, steps;
};

// By doing it once: every step must do what it did to the book alone.
inline VenueTape venue_tape(const MixedLoad& load, const Tape& tape, size_t orders_max) {
  LoadedVenue venue(load, orders_max);
  VenueTape made;
  std::vector<exchange::OrderId> orders(tape.clients + 1);
  size_t trades = 0;
  const auto add = [&](const Step& step, std::vector<exchange::Request>& requests) {
    exchange::Request& request = requests.emplace_back();
    const bool is_new = step.kind == Step::kAdd || step.kind == Step::kImmediate;
    request.kind = is_new                       ? exchange::RequestKind::kNewOrder
                   : step.kind == Step::kCancel ? exchange::RequestKind::kCancel
                                                : exchange::RequestKind::kReplace;
    request.session = step.account - 1;
    request.instrument = 1;
    exchange::OrderFields fields;
    fields.side = step.side;
    fields.price = step.kind == Step::kCancel ? 0 : step.price;
    fields.quantity = step.kind == Step::kCancel ? 0 : step.quantity;
    fields.time_in_force = step.kind == Step::kImmediate ? exchange::TimeInForce::kImmediateOrCancel
                                                         : exchange::TimeInForce::kGoodTillCancel;
    if (!is_new) {
      fields.by_order_id = true;
      fields.order_id = orders[step.client];
    }
    request.body.order = fields;
    venue.send(request);
    for (const exchange::Report& report : venue.outputs().reports()) {
      if (report.kind == exchange::ReportKind::kNew && is_new && orders[step.client] == 0)
        orders[step.client] = report.order;
      POLIS_ASSERT(report.kind != exchange::ReportKind::kRejected &&
                   report.kind != exchange::ReportKind::kCancelReject);
    }
    for (const exchange::Event& event : venue.outputs().events())
      if (event.kind == exchange::Event::Kind::kTrade) ++trades;
  };
  for (const Step& step : tape.fill) add(step, made.fill);
  POLIS_ASSERT(trades == 0);
  made.steps.reserve(tape.steps.size());
  for (const Step& step : tape.steps) add(step, made.steps);
  POLIS_ASSERT(trades == tape.trades);
  return made;
}

}  // namespace polis::bench
