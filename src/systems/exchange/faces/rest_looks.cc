// What REST shows of the market and of an account.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "systems/body.h"
#include "systems/exchange/decimal.h"
#include "systems/exchange/faces/pictures.h"
#include "systems/exchange/faces/rest.h"
#include "systems/exchange/words.h"
#include "systems/json_writer.h"

namespace polis::exchange {
namespace {

using systems::JsonWriter;

constexpr size_t kBookDepthMax = 1000;
constexpr InstrumentId kInstrumentsAtOnce = 50;  // some 100 µs
constexpr size_t kBookOrdersMax = 1000;          // of level 3, a side

InstrumentId find_instrument(const OrderManager& orders, std::string_view symbol) {
  for (InstrumentId id = 1; id <= orders.instruments(); ++id)
    if (orders.instrument(id)->symbol.view() == symbol) return id;
  return 0;
}

// What others see of a side, best first: by price (orders: how many), or order by order.
struct SeenLevel {
  Price price = 0;
  Quantity shown = 0;
  uint64_t orders = 0;  // level 3: the order's id
};
std::vector<SeenLevel> seen(const Matching& book, Side side, int level, size_t depth) {
  std::vector<SeenLevel> found;
  const Ladder& ladder = book.side(side);
  for (auto price = ladder.next({}); price && depth > 0; price = ladder.next(price)) {
    const Level* at = ladder.find(*price);
    if (!at || at->orders == 0) continue;  // hidden orders are nobody's business
    --depth;
    if (level < 3) {
      found.push_back({.price = *price, .shown = at->shown, .orders = at->orders});
      continue;
    }
    for (Slot slot = at->head; slot != 0; slot = book.orders()[slot].next) {
      if (found.size() == kBookOrdersMax) return found;
      found.push_back({.price = *price, .shown = book.orders()[slot].open, .orders = book.orders()[slot].reference});
    }
  }
  return found;
}

void write_seen(JsonWriter& out, const std::vector<SeenLevel>& levels, const InstrumentDefinition& terms, int level) {
  out.begin_array();
  for (const SeenLevel& one : levels) {
    out.begin_array();
    if (level == 3) out.digits(one.orders);
    out.text(units_text(one.price, terms.tick)).text(units_text(one.shown, terms.lot));
    if (level < 3) out.number(one.orders);
    out.end_array();
  }
  out.end_array();
}

}  // namespace

Task<Result<std::optional<InstrumentDefinition>>> Rest::instrument(std::string_view symbol) {
  std::optional<InstrumentDefinition> found;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
    if (const InstrumentId id = find_instrument(venue.orders(), symbol)) found = *venue.orders().instrument(id);
  }));
  co_return found;
}

Rest::Answering Rest::show_time(Call&) {
  const WallTime now = parts_.clock.wall();
  JsonWriter out;
  out.begin_object()
      .count("ms", static_cast<uint64_t>(base::milliseconds_since_epoch(now)))
      .member("time", base::format_rfc3339(now))
      .count("seq", parts_.venue.statistics().sequence - 1)
      .end_object();
  co_return Answer{.body = out.take()};
}

// In slices, so that thousands of instruments do not hold the path up.
Rest::Answering Rest::list_instruments(Call&) {
  JsonWriter out;
  out.begin_object().key("instruments").begin_array();
  bool more = true;
  for (InstrumentId first = 1; more; first += kInstrumentsAtOnce)
    CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
      const OrderManager& orders = venue.orders();
      const InstrumentId last = std::min(orders.instruments(), first + kInstrumentsAtOnce - 1);
      for (InstrumentId id = first; id <= last; ++id) {
        const Matching* book = venue.engine().find(id);
        JsonWriter one;
        write_definition(one, orders, *orders.instrument(id));
        std::string text = one.take();
        text.pop_back();
        fmt::format_to(std::back_inserter(text), ",\"phase\":\"{}\"}}", word(book ? book->phase() : Phase::kClosed));
        out.raw(text);
      }
      more = last < orders.instruments();
    }));
  out.end_array().end_object();
  co_return Answer{.body = out.take()};
}

Rest::Answering Rest::show_book(Call& call) {
  const auto level = static_cast<int>(CO_TRY(systems::number_parameter(call.request, "level", 2, 1, 3)));
  auto depth = static_cast<size_t>(CO_TRY(systems::number_parameter(call.request, "depth", 10, 1, kBookDepthMax)));
  if (level == 1) depth = 1;
  const std::string symbol(call.request.param("symbol"));
  std::optional<InstrumentDefinition> terms;
  std::vector<SeenLevel> bids, asks;
  Phase phase = Phase::kClosed;
  Price last = 0;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
    const InstrumentId id = find_instrument(venue.orders(), symbol);
    if (id == 0) return;
    terms = *venue.orders().instrument(id);
    if (const Matching* book = venue.engine().find(id)) {
      bids = seen(*book, Side::kBuy, level, depth);
      asks = seen(*book, Side::kSell, level, depth);
      phase = book->phase();
      last = book->last_price();
    }
  }));
  if (!terms) co_return fault(Refusal::kUnknownInstrument);
  const Sequence sequence = parts_.venue.statistics().sequence - 1;
  JsonWriter out;
  out.begin_object().member("sym", terms->symbol.view()).count("seq", sequence).member("phase", word(phase));
  if (last != 0) out.member("last", units_text(last, terms->tick));
  write_seen(out.key("bids"), bids, *terms, level);
  write_seen(out.key("asks"), asks, *terms, level);
  out.end_object();
  CO_TRY(co_await settled());
  co_return Answer{.body = out.take()};
}

Rest::Answering Rest::list_trades(Call& call) {
  const std::string symbol = CO_TRY(systems::text_parameter(call.request, "symbol"));
  const auto before = static_cast<MatchId>(CO_TRY(systems::number_parameter(call.request, "before", 0, 0, INT64_MAX)));
  const auto limit = static_cast<size_t>(CO_TRY(systems::number_parameter(call.request, "limit", 100, 1, kPageMax)));
  const auto terms = CO_TRY(co_await instrument(symbol));
  if (!terms) co_return fault(Refusal::kUnknownInstrument);
  const auto trades = CO_TRY(co_await parts_.reports.trades(terms->id, before, limit));
  JsonWriter out;
  out.begin_object().member("symbol", terms->symbol.view()).key("trades").begin_array();
  for (const auto& [trade, broken] : trades) {
    out.begin_object()
        .count("id", trade.match)
        .member("price", units_text(trade.price, terms->tick))
        .member("quantity", units_text(trade.quantity, terms->lot));
    if (!trade.auction) out.member("side", word(trade.side));
    out.member("time", venue_time_text(trade.time)).flag("auction", trade.auction);
    if (broken) out.flag("broken", true);
    out.end_object();
  }
  out.end_array();
  if (trades.size() == limit) out.count("before", trades.back().record.match);
  out.end_object();
  co_return Answer{.body = out.take()};
}

Rest::Answering Rest::list_fills(Call& call) {
  const http::Request& request = call.request;
  Reports::FillQuery query{.account = call.caller.account};
  query.order = static_cast<OrderId>(CO_TRY(systems::number_parameter(request, "order", 0, 0, INT64_MAX)));
  query.before = static_cast<Sequence>(CO_TRY(systems::number_parameter(request, "before", 0, 0, INT64_MAX)));
  query.limit = static_cast<size_t>(CO_TRY(systems::number_parameter(request, "limit", 100, 1, kPageMax)));
  if (const std::string symbol = CO_TRY(systems::text_parameter(request, "symbol")); !symbol.empty()) {
    const auto terms = CO_TRY(co_await instrument(symbol));
    if (!terms) co_return fault(Refusal::kUnknownInstrument);
    query.instrument = terms->id;
  }
  for (const auto& [name, into] : {std::pair("from", &query.from), std::pair("to", &query.to)}) {
    const std::string text = CO_TRY(systems::text_parameter(request, name));
    if (text.empty()) continue;
    const auto time = base::parse_rfc3339(text);
    if (!time) co_return fail(Code::kInvalid, fmt::format("\"{}\" must be a time as 2026-11-22T16:00:00Z", name));
    *into = time->time_since_epoch().count();
  }
  const auto page = CO_TRY(co_await parts_.reports.fills(query));
  JsonWriter out;
  out.begin_object().key("fills").begin_array();
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
    for (const FillRecord& fill : page.fills) {
      const InstrumentDefinition& terms = *venue.orders().instrument(fill.instrument);
      out.begin_object()
          .count("id", fill.sequence)
          .member("order", fmt::format("{}", fill.order))
          .member("client_id", fill.client_id.view())
          .member("symbol", terms.symbol.view())
          .member("side", word(fill.side))
          .member("price", units_text(fill.price, terms.tick))
          .member("quantity", units_text(fill.quantity, terms.lot))
          .member("remaining_quantity", units_text(fill.left, terms.lot))
          .member("fee", amount_text(fill.fee, venue.orders().asset(terms.quote)->decimals))
          .member("liquidity", fill.auction ? "auction"
                               : fill.maker ? "maker"
                                            : "taker")
          .count("trade", fill.match)
          .member("time", venue_time_text(fill.time));
      if (fill.broken) out.flag("broken", true);
      out.end_object();
    }
  }));
  out.end_array();
  if (page.more_before != 0) out.count("before", page.more_before);
  out.end_object();
  co_return Answer{.body = out.take()};
}

Rest::Answering Rest::list_balances(Call& call) {
  JsonWriter out;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) { write_account(out, venue, call.caller.account); }));
  CO_TRY(co_await settled());
  co_return Answer{.body = out.take()};
}

}  // namespace polis::exchange
