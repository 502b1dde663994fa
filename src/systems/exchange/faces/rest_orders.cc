// Orders over REST: made, replaced, cancelled, shown.
#include <charconv>
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

using systems::Body;
using systems::JsonWriter;

constexpr size_t kOrdersShownMax = 1000;

OrderRecord record_of(const OrderState& state) {
  return {.order = state.order,
          .account = state.account,
          .session = state.session,
          .instrument = state.instrument,
          .side = state.side,
          .type = state.type,
          .time_in_force = state.time_in_force,
          .status = state.status,
          .price = state.price,
          .stop_price = state.stop_price,
          .quantity = state.quantity,
          .filled = state.filled,
          .left = state.left,
          .notional = state.notional,
          .client_id = state.client_id,
          .entered = state.entered};
}

void write_record(JsonWriter& out, const OrderRecord& order, const InstrumentDefinition& terms) {
  out.begin_object()
      .member("id", fmt::format("{}", order.order))
      .member("client_id", order.client_id.view())
      .member("symbol", terms.symbol.view())
      .member("side", word(order.side))
      .member("order_type", word(order.type))
      .member("time_in_force", word(order.time_in_force))
      .member("status", word(order.status))
      .member("quantity", units_text(order.quantity, terms.lot))
      .member("filled_quantity", units_text(order.filled, terms.lot))
      .member("remaining_quantity", units_text(order.left, terms.lot));
  if (order.price != 0) out.member("price", units_text(order.price, terms.tick));
  if (order.stop_price != 0) out.member("stop_price", units_text(order.stop_price, terms.tick));
  if (order.filled > 0) out.member("average_price", average_text(order.notional, order.filled, terms.tick));
  out.member("entered", venue_time_text(order.entered)).end_object();
}

std::optional<OrderId> parse_order_id(std::string_view text) {
  OrderId id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

}  // namespace

// What a client wants of an order, before its numbers mean anything.
struct Rest::Wish {
  OrderFields fields;
  std::string symbol;
  std::string price, stop_price, quantity, minimum, shown;  // decimals; empty: not given

  static Result<Wish> of_new(std::string_view json) {
    Body body = TRY(Body::parse(json));
    Wish wish;
    OrderFields& order = wish.fields;
    order.client_id = TRY(client_id(body, true));
    wish.symbol = TRY(body.text("symbol"));
    order.side = TRY(parse_word<Side>("\"side\"", TRY(body.text("side"))));
    order.type = TRY(parse_word<OrderType>("\"order_type\"", TRY(body.text("order_type", "limit"))));
    order.time_in_force = TRY(parse_word<TimeInForce>("\"time_in_force\"", TRY(body.text("time_in_force", "day"))));
    wish.price = TRY(body.text("price", ""));
    wish.stop_price = TRY(body.text("stop_price", ""));
    wish.quantity = TRY(body.text("quantity"));
    wish.minimum = TRY(body.text("min_quantity", ""));
    wish.shown = TRY(body.text("max_floor", ""));
    order.post_only = TRY(body.boolean("post_only", false));
    order.all_or_none = TRY(body.boolean("all_or_none", false));
    order.self_match_id = static_cast<uint32_t>(TRY(body.number("self_match_id", 0, 32767, 0)));
    order.self_match = TRY(parse_word<SelfMatch>("\"self_match\"", TRY(body.text("self_match", "cancel_newest"))));
    const std::string expires = TRY(body.text("expires_at", ""));
    TRY(body.finish());
    if (!expires.empty()) {
      const auto time = base::parse_rfc3339(expires);
      if (!time) return fail(Code::kInvalid, "\"expires_at\" must be a time as 2026-11-22T16:00:00Z");
      order.expires_at = time->time_since_epoch().count();
    }
    if ((order.time_in_force == TimeInForce::kGoodTillDate) != !expires.empty())
      return fail(Code::kInvalid, "\"expires_at\" belongs to the time in force gtd");
    const bool priced = order.type == OrderType::kLimit || order.type == OrderType::kStopLimit;
    const bool stops = order.type == OrderType::kStop || order.type == OrderType::kStopLimit;
    if (priced != !wish.price.empty())
      return fail(Code::kInvalid, priced ? "\"price\" is missing" : "\"price\" belongs to limit and stop_limit orders");
    if (stops != !wish.stop_price.empty())
      return fail(Code::kInvalid, stops ? "\"stop_price\" is missing" : "\"stop_price\" belongs to stop orders");
    return wish;
  }
  static Result<Wish> of_replace(std::string_view json) {
    Body body = TRY(Body::parse(json));
    Wish wish;
    wish.fields.client_id = TRY(client_id(body, false));
    wish.price = TRY(body.text("price", ""));
    wish.stop_price = TRY(body.text("stop_price", ""));
    wish.quantity = TRY(body.text("quantity", ""));
    TRY(body.finish());
    return wish;
  }
  static Result<ClientOrderId> client_id(Body& body, bool required) {
    const std::string text = required ? TRY(body.text("client_id")) : TRY(body.text("client_id", ""));
    if ((required && text.empty()) || !ClientOrderId::fits(text))
      return fail(Code::kInvalid, "\"client_id\" must have 1 to 36 characters");
    return ClientOrderId(text);
  }

  // Counts in the instrument's units. kInvalid: no decimal at all; the refusal: no multiple of its unit.
  Result<Refusal> measure(const InstrumentDefinition& terms) {
    OrderFields& order = fields;
    Refusal refusal = Refusal::kNone;
    const auto take = [&](std::string_view name, const std::string& text, const Decimal& unit, Refusal wrong,
                          int64_t& into) -> Result<void> {
      if (text.empty()) return {};
      if (!parse_decimal(text))
        return fail(Code::kInvalid, fmt::format("\"{}\" must be a decimal as \"100.10\", in quotes", name));
      if (const auto units = units_of(text, unit))
        into = *units;
      else if (refusal == Refusal::kNone)
        refusal = wrong;
      return {};
    };
    TRY(take("price", price, terms.tick, Refusal::kTick, order.price));
    TRY(take("stop_price", stop_price, terms.tick, Refusal::kTick, order.stop_price));
    TRY(take("quantity", quantity, terms.lot, Refusal::kLot, order.quantity));
    TRY(take("min_quantity", minimum, terms.lot, Refusal::kLot, order.minimum));
    TRY(take("max_floor", shown, terms.lot, Refusal::kLot, order.shown));
    return refusal;
  }
  bool same_as(const OrderState& order, InstrumentId instrument) const {
    return order.instrument == instrument && order.side == fields.side && order.type == fields.type &&
           order.time_in_force == fields.time_in_force && order.stop_price == fields.stop_price &&
           (order.price == fields.price || fields.price == 0) && order.quantity == fields.quantity;
  }
};

// --- made

Rest::Answering Rest::make_order(Call& call) {
  Wish wish = CO_TRY(Wish::of_new(call.body));
  const auto terms = CO_TRY(co_await instrument(wish.symbol));
  if (!terms) co_return fault(Refusal::kUnknownInstrument);
  if (const Refusal refusal = CO_TRY(wish.measure(*terms)); refusal != Refusal::kNone) co_return fault(refusal);

  // The order that this client id stands for already.
  std::optional<OrderState> standing;
  const auto look = [&](const Venue& venue) {
    standing = venue.orders().order(call.caller.session, wish.fields.client_id.view());
  };
  CO_TRY(co_await parts_.venue.inspect(look));
  if (!standing) {
    Request request;
    request.kind = RequestKind::kNewOrder;
    request.session = call.caller.session;
    request.instrument = terms->id;
    request.body.order = wish.fields;
    const Report report = CO_TRY(co_await parts_.venue.ask(request));
    if (report.kind != ReportKind::kRejected)
      co_return CO_TRY(co_await order_answer(201, report.order, call.caller.account));
    if (report.refusal != Refusal::kDuplicateClientId) co_return fault(report.refusal);
    // Another request with it was faster, or was rejected.
    CO_TRY(co_await parts_.venue.inspect(look));
    if (!standing) co_return fault(Refusal::kDuplicateClientId);
  }
  if (!wish.same_as(*standing, terms->id)) co_return fault(Refusal::kDuplicateClientId);
  co_return CO_TRY(co_await order_answer(200, standing->order, call.caller.account));
}

// --- changed

Rest::Answering Rest::replace_order(Call& call) {
  Wish wish = CO_TRY(Wish::of_replace(call.body));
  const auto id = parse_order_id(call.request.param("order"));
  const auto found = id ? CO_TRY(co_await find_order(*id, call.caller.account)) : std::optional<OrderRecord>();
  if (!found) co_return fault(Refusal::kUnknownOrder);
  std::optional<InstrumentDefinition> terms;
  CO_TRY(co_await parts_.venue.inspect(
      [&](const Venue& venue) { terms = *venue.orders().instrument(found->instrument); }));
  // What is not said stays as it is.
  wish.fields.price = found->price;
  wish.fields.stop_price = found->stop_price;
  wish.fields.quantity = found->quantity;
  if (const Refusal refusal = CO_TRY(wish.measure(*terms)); refusal != Refusal::kNone) co_return fault(refusal);

  Request request;
  request.kind = RequestKind::kReplace;
  request.session = call.caller.session;
  request.instrument = found->instrument;
  request.body.order = wish.fields;
  request.body.order.side = found->side;
  request.body.order.type = found->type;
  request.body.order.by_order_id = true;
  request.body.order.order_id = *id;
  const Report report = CO_TRY(co_await parts_.venue.ask(request));
  if (report.kind == ReportKind::kCancelReject) co_return fault(report.refusal);
  co_return CO_TRY(co_await order_answer(200, *id, call.caller.account));
}

Rest::Answering Rest::cancel_order(Call& call) {
  const auto id = parse_order_id(call.request.param("order"));
  const auto found = id ? CO_TRY(co_await find_order(*id, call.caller.account)) : std::optional<OrderRecord>();
  if (!found) co_return fault(Refusal::kUnknownOrder);
  Request request;
  request.kind = RequestKind::kCancel;
  request.session = call.caller.session;
  request.instrument = found->instrument;
  request.body.order.side = found->side;
  request.body.order.by_order_id = true;
  request.body.order.order_id = *id;
  const Report report = CO_TRY(co_await parts_.venue.ask(request));
  if (report.kind == ReportKind::kCancelReject) co_return fault(report.refusal);
  co_return CO_TRY(co_await order_answer(200, *id, call.caller.account));
}

Rest::Answering Rest::cancel_orders(Call& call) {
  Request request;
  request.kind = RequestKind::kMassCancel;
  request.session = call.caller.session;
  if (const std::string symbol = CO_TRY(systems::text_parameter(call.request, "symbol")); !symbol.empty()) {
    const auto terms = CO_TRY(co_await instrument(symbol));
    if (!terms) co_return fault(Refusal::kUnknownInstrument);
    request.instrument = terms->id;
  }
  if (const std::string side = CO_TRY(systems::text_parameter(call.request, "side")); !side.empty()) {
    request.body.order.side = CO_TRY(parse_word<Side>("\"side\"", side));
    request.body.order.one_side = true;
  }
  const Report report = CO_TRY(co_await parts_.venue.ask(request));
  if (report.kind == ReportKind::kMassCancelled && report.refusal != Refusal::kNone) co_return fault(report.refusal);
  if (report.kind == ReportKind::kCancelReject || report.kind == ReportKind::kDenied) co_return fault(report.refusal);
  JsonWriter out;
  out.begin_object();
  if (report.kind == ReportKind::kMassCancelled) out.count("cancelled", static_cast<uint64_t>(report.quantity));
  out.end_object();
  co_return Answer{.body = out.take()};
}

// --- shown

// The live venue knows what is open or ended today, the rows what came before.
Task<Result<std::optional<OrderRecord>>> Rest::find_order(OrderId order, AccountId account) {
  std::optional<OrderState> state;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) { state = venue.orders().order(order); }));
  std::optional<OrderRecord> found;
  if (state)
    found = record_of(*state);
  else
    found = CO_TRY(co_await parts_.reports.order(order));
  if (!found || found->account != account) co_return std::optional<OrderRecord>();
  co_return found;
}

Task<Result<Rest::Answer>> Rest::order_answer(int status, OrderId order, AccountId account) {
  const auto found = CO_TRY(co_await find_order(order, account));
  if (!found) co_return fault(Refusal::kUnknownOrder);
  JsonWriter out;
  CO_TRY(co_await parts_.venue.inspect(
      [&](const Venue& venue) { write_record(out, *found, *venue.orders().instrument(found->instrument)); }));
  CO_TRY(co_await settled());
  co_return Answer{.status = status, .body = out.take()};
}

Rest::Answering Rest::show_order(Call& call) {
  const auto id = parse_order_id(call.request.param("order"));
  if (!id) co_return fault(Refusal::kUnknownOrder);
  co_return CO_TRY(co_await order_answer(200, *id, call.caller.account));
}

Rest::Answering Rest::list_orders(Call& call) {
  const std::string history = CO_TRY(systems::text_parameter(call.request, "history"));
  const auto limit =
      static_cast<size_t>(CO_TRY(systems::number_parameter(call.request, "limit", 100, 1, kOrdersShownMax)));
  const auto before = static_cast<Sequence>(CO_TRY(systems::number_parameter(call.request, "before", 0, 0, INT64_MAX)));
  std::vector<OrderRecord> orders;
  Sequence more = 0;
  if (history == "true") {
    orders = CO_TRY(co_await parts_.reports.orders(call.caller.account, before, limit));
    if (orders.size() == limit) more = orders.back().entered_sequence;
  } else if (history.empty() || history == "false") {
    CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
      for (const OrderState& state : venue.orders().open_orders(call.caller.account, limit))
        orders.push_back(record_of(state));
    }));
  } else {
    co_return fail(Code::kInvalid, "\"history\" must be true or false");
  }
  JsonWriter out;
  out.begin_object().key("orders").begin_array();
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
    for (const OrderRecord& order : orders) write_record(out, order, *venue.orders().instrument(order.instrument));
  }));
  out.end_array();
  if (more != 0) out.count("before", more);
  out.end_object();
  CO_TRY(co_await settled());
  co_return Answer{.body = out.take()};
}

}  // namespace polis::exchange
