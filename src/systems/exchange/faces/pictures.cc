#include "systems/exchange/faces/pictures.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "systems/exchange/decimal.h"
#include "systems/exchange/faces/terms.h"
#include "systems/exchange/gateway/gateway.h"
#include "systems/exchange/words.h"

namespace polis::exchange {
namespace {

using systems::JsonWriter;

std::string signed_digits(int64_t value) {
  return std::to_string(value);
}

void write_side(JsonWriter& out, const Matching& book, Side side, const InstrumentDefinition& terms,
                const BookPicture& wish) {
  const Ladder& ladder = book.side(side);
  out.begin_array();
  size_t left = std::min(wish.depth, kPictureLevelsMax);
  for (auto price = ladder.next({}); price && left > 0; price = ladder.next(price)) {
    const Level* level = ladder.find(*price);
    if (!level || level->orders == 0) continue;  // hidden orders are nobody's business
    --left;
    out.begin_object()
        .member("price", units_text(*price, terms.tick))
        .member("size", units_text(level->shown, terms.lot))
        .count("orders", level->orders);
    if (wish.queues) {
      out.key("queue").begin_array();
      size_t shown = 0;
      for (Slot slot = level->head; slot != 0 && shown < kPictureQueueMax; slot = book.orders()[slot].next, ++shown)
        out.text(units_text(book.orders()[slot].open, terms.lot));
      out.end_array();
    }
    out.end_object();
  }
  out.end_array();
}

std::string_view symbol_of(const OrderManager& orders, InstrumentId id) {
  const InstrumentDefinition* instrument = orders.instrument(id);
  return instrument ? instrument->symbol.view() : std::string_view();
}
std::string_view symbol_of_asset(const OrderManager& orders, AssetId id) {
  const AssetDefinition* asset = orders.asset(id);
  return asset ? asset->symbol.view() : std::string_view();
}

}  // namespace

void write_book(JsonWriter& out, const Venue& venue, InstrumentId instrument, const BookPicture& wish) {
  const InstrumentDefinition& terms = *venue.orders().instrument(instrument);
  out.begin_object().member("symbol", terms.symbol.view());
  const Matching* book = venue.engine().find(instrument);
  if (!book) {
    out.member("phase", word(Phase::kClosed)).key("bids").begin_array().end_array();
    out.key("asks").begin_array().end_array().end_object();
    return;
  }
  out.member("phase", word(book->phase()));
  if (book->last_price() != 0) out.member("last", units_text(book->last_price(), terms.tick));
  if (book->reference_price() != 0) out.member("reference", units_text(book->reference_price(), terms.tick));
  write_side(out.key("bids"), *book, Side::kBuy, terms, wish);
  write_side(out.key("asks"), *book, Side::kSell, terms, wish);
  if (is_call(book->phase())) {
    const AuctionOutlook outlook = book->outlook();
    out.key("auction").begin_object().member("size", units_text(outlook.quantity, terms.lot));
    if (outlook.price != 0) out.member("price", units_text(outlook.price, terms.tick));
    out.member("imbalance", units_text(outlook.imbalance, terms.lot)).end_object();
  }
  out.end_object();
}

void write_order(JsonWriter& out, const Venue& venue, const OrderState& order) {
  const OrderManager& orders = venue.orders();
  const InstrumentDefinition* terms = orders.instrument(order.instrument);
  const AccountDefinition* account = orders.account(order.account);
  const SessionDefinition* session = orders.session(order.session);
  const Decimal tick = terms ? terms->tick : Decimal{1, 0}, lot = terms ? terms->lot : Decimal{1, 0};
  out.begin_object()
      .member("order", std::to_string(order.order))
      .member("client_id", order.client_id.view())
      .member("account", account ? account->name.view() : std::string_view());
  if (session) out.member("session", session->name.view());
  out.member("symbol", symbol_of(orders, order.instrument))
      .member("side", word(order.side))
      .member("type", word(order.type))
      .member("time_in_force", word(order.time_in_force))
      .member("status", word(order.status))
      .member("quantity", units_text(order.quantity, lot))
      .member("filled", units_text(order.filled, lot))
      .member("remaining", units_text(order.left, lot));
  if (order.price != 0) out.member("price", units_text(order.price, tick));
  if (order.stop_price != 0) out.member("stop_price", units_text(order.stop_price, tick));
  if (order.shown != kShowAll) out.member("shown", units_text(order.shown, lot));
  if (order.filled > 0) out.member("average_price", average_text(order.notional, order.filled, tick));
  out.member("entered", venue_time_text(order.entered)).end_object();
}

void write_orders(JsonWriter& out, const Venue& venue, AccountId account, size_t most) {
  out.begin_array();
  for (const OrderState& order : venue.orders().open_orders(account, std::min(most, kPictureOrdersMax)))
    write_order(out, venue, order);
  out.end_array();
}

void write_account(JsonWriter& out, const Venue& venue, AccountId account) {
  const OrderManager& orders = venue.orders();
  const AccountDefinition* known = orders.account(account);
  out.begin_object().member("account", known ? known->name.view() : std::string_view());
  out.key("balances").begin_array();
  for (const auto& [id, balance] : orders.balances(account)) {
    const AssetDefinition* asset = orders.asset(id);
    const uint8_t decimals = asset ? asset->decimals : 0;
    out.begin_object()
        .member("asset", symbol_of_asset(orders, id))
        .member("total", amount_text(balance.total, decimals))
        .member("reserved", amount_text(balance.reserved, decimals))
        .member("free", amount_text(balance.free(), decimals))
        .end_object();
  }
  out.end_array().key("positions").begin_array();
  for (InstrumentId id = 1; id <= orders.instruments(); ++id)
    if (const Quantity position = orders.position(account, id); position != 0)
      out.begin_object()
          .member("symbol", symbol_of(orders, id))
          .member("quantity", units_text(position, orders.instrument(id)->lot))
          .end_object();
  out.end_array().end_object();
}

void write_limits(JsonWriter& out, const RiskLimits& limits) {
  out.begin_object()
      .member("order_quantity_max", signed_digits(limits.order_quantity_max))
      .member("order_notional_max", signed_digits(limits.order_notional_max))
      .count("open_orders_max", limits.open_orders_max)
      .count("rate_per_second", limits.rate_per_second)
      .count("rate_burst", limits.rate_burst)
      .member("price_band", share_text(limits.price_band_bp * 100))
      .member("position_max", signed_digits(limits.position_max))
      .flag("short_sale_allowed", limits.short_sale_allowed)
      .member("short_max", signed_digits(limits.short_max))
      .flag("killed", limits.killed)
      .end_object();
}

void write_definition(JsonWriter& out, const OrderManager& orders, const InstrumentDefinition& instrument) {
  out.begin_object()
      .member("symbol", instrument.symbol.view())
      .member("base", symbol_of_asset(orders, instrument.base))
      .member("quote", symbol_of_asset(orders, instrument.quote))
      .member("tick", decimal_text(instrument.tick))
      .member("lot", decimal_text(instrument.lot))
      .member("phases", word(instrument.calendar))
      .member("band", share_text(instrument.band_bp * 100))
      .member("collar", share_text(instrument.collar_bp * 100))
      .count("pause_seconds", instrument.pause_seconds)
      .member("fee_maker", share_text(instrument.maker_fee_hundredths_bp))
      .member("fee_taker", share_text(instrument.taker_fee_hundredths_bp))
      .count("window_ticks", instrument.window_ticks)
      .count("orders_max", instrument.orders_max)
      .end_object();
}

void write_definition(JsonWriter& out, const OrderManager& orders, const SessionDefinition& session,
                      const gateway::SessionView* connected) {
  const AccountDefinition* account = orders.account(session.account);
  out.begin_object()
      .member("name", session.name.view())
      .member("account", account ? account->name.view() : std::string_view())
      .member("app", word(session.role))
      .flag("enabled", session.enabled)
      .flag("reset_on_logon", session.reset_on_logon)
      .member("cancel_on_disconnect", session.cancel_on_disconnect_seconds < 0
                                          ? std::string("no")
                                          : fmt::format("{}s", session.cancel_on_disconnect_seconds))
      .count("rate", session.rate_per_second)
      .count("burst", session.rate_burst)
      .count("resend_chunk", session.resend_chunk);
  if (connected) {
    out.flag("logged_on", connected->logged_on)
        .count("next_in", connected->next_in)
        .count("next_out", connected->next_out);
    if (!connected->peer.empty()) out.member("peer", connected->peer);
  }
  out.end_object();
}

std::string venue_time_text(VenueTime time) {
  const base::CivilTime at = base::civil_time(WallTime(Duration(time)));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", at.year, at.month, at.day, at.hour, at.minute,
                     at.second, at.nanosecond);
}

}  // namespace polis::exchange
