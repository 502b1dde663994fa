#include "systems/exchange/gateway/order_entry.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "systems/exchange/decimal.h"

namespace polis::exchange::gateway {
namespace {

// The fields that order entry looks at, found in one pass.
struct OrderView {
  std::string_view account, client_id, exec_inst, order_id, quantity, type, original_id, price, side, symbol,
      time_in_force, stop_price, minimum, shown, expire_time, expire_date, mass_type, self_match_id, self_match;
  bool possible_resend = false;
};

OrderView view_of(const fix::Message& message) {
  OrderView view;
  for (const fix::Field& field : message.fields()) switch (field.tag) {
      case 1:
        view.account = field.value;
        break;
      case 11:
        view.client_id = field.value;
        break;
      case 18:
        view.exec_inst = field.value;
        break;
      case 37:
        view.order_id = field.value;
        break;
      case 38:
        view.quantity = field.value;
        break;
      case 40:
        view.type = field.value;
        break;
      case 41:
        view.original_id = field.value;
        break;
      case 44:
        view.price = field.value;
        break;
      case 54:
        view.side = field.value;
        break;
      case 55:
        view.symbol = field.value;
        break;
      case 59:
        view.time_in_force = field.value;
        break;
      case fix::tag::kPossResend:
        view.possible_resend = field.value == "Y";
        break;
      case 99:
        view.stop_price = field.value;
        break;
      case 110:
        view.minimum = field.value;
        break;
      case 111:
        view.shown = field.value;
        break;
      case 126:
        view.expire_time = field.value;
        break;
      case 432:
        view.expire_date = field.value;
        break;
      case 530:
        view.mass_type = field.value;
        break;
      case 7928:
        view.self_match_id = field.value;
        break;
      case 8000:
        view.self_match = field.value;
        break;
      default:
        break;
    }
  return view;
}

// The first thing that is found wrong stays.
void refuse(OrderFields& order, Refusal why) {
  if (order.refused == 0) order.refused = static_cast<uint8_t>(why);
}

// In place: a value that is copied right after it was put together waits for its bytes to reach the cache.
template <size_t N>
void put(Text<N>& to, std::string_view text) {
  if (!text.empty()) std::memcpy(to.characters, text.data(), std::min(text.size(), N));
}

bool one_character(std::string_view text) {
  return text.size() == 1;
}

void read_side(std::string_view text, OrderFields& order) {
  if (text == "1")
    order.side = Side::kBuy;
  else if (text == "2" || text == "5")  // sell short: whether one may is the account's limit, not the order's word
    order.side = Side::kSell;
  else
    refuse(order, Refusal::kUnsupported);
}

void read_type(std::string_view text, OrderFields& order) {
  switch (one_character(text) ? text[0] : '\0') {
    case '1':
      order.type = OrderType::kMarket;
      break;
    case '2':
      order.type = OrderType::kLimit;
      break;
    case '3':
      order.type = OrderType::kStop;
      break;
    case '4':
      order.type = OrderType::kStopLimit;
      break;
    case 'K':
      order.type = OrderType::kMarketToLimit;
      break;
    default:
      refuse(order, Refusal::kUnsupported);
  }
}

void read_time_in_force(std::string_view text, OrderFields& order) {
  if (text.empty()) return;  // the day
  switch (one_character(text) ? text[0] : '\0') {
    case '0':
      order.time_in_force = TimeInForce::kDay;
      break;
    case '1':
      order.time_in_force = TimeInForce::kGoodTillCancel;
      break;
    case '2':
      order.time_in_force = TimeInForce::kAtOpening;
      break;
    case '3':
      order.time_in_force = TimeInForce::kImmediateOrCancel;
      break;
    case '4':
      order.time_in_force = TimeInForce::kFillOrKill;
      break;
    case '6':
      order.time_in_force = TimeInForce::kGoodTillDate;
      break;
    case '7':
      order.time_in_force = TimeInForce::kAtClose;
      break;
    default:
      refuse(order, Refusal::kUnsupported);
  }
}

// Letters with spaces between them.
void read_instructions(std::string_view text, OrderFields& order) {
  for (char letter : text) switch (letter) {
      case ' ':
        break;
      case '6':
        order.post_only = true;
        break;
      case 'G':
        order.all_or_none = true;
        break;
      default:
        refuse(order, Refusal::kUnsupported);
    }
}

void read_quantity(std::string_view text, const Decimal& lot, Quantity least, Quantity& quantity, OrderFields& order) {
  const std::optional<Decimal> value = parse_decimal(text);
  if (!value || value->mantissa < 0) return refuse(order, Refusal::kBadQuantity);
  const std::optional<int64_t> lots = units_of(*value, lot);
  if (!lots) return refuse(order, Refusal::kLot);
  if (*lots < least || *lots > kQuantityMax) return refuse(order, Refusal::kBadQuantity);
  quantity = *lots;
}

void read_price(std::string_view text, const Decimal& tick, Price& price, OrderFields& order) {
  const std::optional<Decimal> value = parse_decimal(text);
  if (!value || value->mantissa <= 0) return refuse(order, Refusal::kBadPrice);
  const std::optional<int64_t> ticks = units_of(*value, tick);
  if (!ticks) return refuse(order, Refusal::kTick);
  if (*ticks > kPriceMax) return refuse(order, Refusal::kBadPrice);
  price = *ticks;
}

// The end of that day, UTC.
std::optional<VenueTime> end_of_date(std::string_view date) {
  char text[] = "00000000-23:59:59.999";
  if (date.size() != 8) return {};
  date.copy(text, 8);
  const std::optional<VenueTime> end = fix::read_timestamp(text);
  return end ? std::optional(*end + 999'999) : std::nullopt;
}

void read_expiry(const OrderView& view, OrderFields& order) {
  if (order.time_in_force != TimeInForce::kGoodTillDate) return;
  const std::optional<VenueTime> at =
      view.expire_time.empty() ? end_of_date(view.expire_date) : fix::read_timestamp(view.expire_time);
  if (!at) return refuse(order, Refusal::kUnsupported);
  order.expires_at = *at;
}

void read_self_match(const OrderView& view, OrderFields& order) {
  if (!view.self_match_id.empty()) {
    const std::optional<int64_t> id = fix::read_number(view.self_match_id);
    if (!id || *id > UINT32_MAX) return refuse(order, Refusal::kUnsupported);
    order.self_match_id = static_cast<uint32_t>(*id);
  }
  if (view.self_match.empty()) return;
  switch (one_character(view.self_match) ? view.self_match[0] : '\0') {
    case 'N':
      order.self_match = SelfMatch::kCancelNewest;
      break;
    case 'O':
      order.self_match = SelfMatch::kCancelOldest;
      break;
    case 'B':
      order.self_match = SelfMatch::kCancelBoth;
      break;
    case 'D':
      order.self_match = SelfMatch::kDecrement;
      break;
    default:
      refuse(order, Refusal::kUnsupported);
  }
}

bool takes_price(OrderType type) {
  return type == OrderType::kLimit || type == OrderType::kStopLimit;
}
bool takes_stop_price(OrderType type) {
  return type == OrderType::kStop || type == OrderType::kStopLimit;
}

// Size and prices, of new orders and replacements alike.
void read_terms(const OrderView& view, const InstrumentDefinition* instrument, OrderFields& order) {
  read_type(view.type, order);
  read_time_in_force(view.time_in_force, order);
  read_instructions(view.exec_inst, order);
  if (!instrument) return refuse(order, Refusal::kUnknownInstrument);
  read_quantity(view.quantity, instrument->lot, 1, order.quantity, order);
  if (takes_price(order.type)) read_price(view.price, instrument->tick, order.price, order);
  if (takes_stop_price(order.type)) read_price(view.stop_price, instrument->tick, order.stop_price, order);
  if (!view.minimum.empty()) read_quantity(view.minimum, instrument->lot, 0, order.minimum, order);
  if (!view.shown.empty()) read_quantity(view.shown, instrument->lot, 0, order.shown, order);
  read_expiry(view, order);
  read_self_match(view, order);
}

void read_mass_cancel(const OrderView& view, const InstrumentDefinition* instrument, OrderFields& order) {
  order.one_side = !view.side.empty();
  if (order.one_side) read_side(view.side, order);
  if (view.mass_type == "1") {
    if (!instrument) refuse(order, Refusal::kUnknownInstrument);
  } else if (view.mass_type != "7") {
    refuse(order, Refusal::kUnsupported);
  }
}

std::optional<RequestKind> kind_of(std::string_view type) {
  if (type.size() != 1) return {};
  switch (type[0]) {
    case 'D':
      return RequestKind::kNewOrder;
    case 'F':
      return RequestKind::kCancel;
    case 'G':
      return RequestKind::kReplace;
    case 'H':
      return RequestKind::kStatus;
    case 'q':
      return RequestKind::kMassCancel;
    default:
      return {};
  }
}

}  // namespace

OrderEntry order_entry(const fix::Message& message, const SessionDefinition& session, uint32_t number,
                       const Definitions& definitions, Request& request) {
  const std::optional<RequestKind> kind = kind_of(message.type());
  if (!kind) return {};
  const OrderView view = view_of(message);
  OrderEntry entry{.served = true, .possible_resend = view.possible_resend};
  if (!ClientOrderId::fits(view.client_id) || !ClientOrderId::fits(view.original_id)) {
    refused_message(message, session.id, number, Refusal::kUnsupported, request);
    return entry;
  }
  std::construct_at(&request);
  request.kind = *kind;
  request.session = session.id;
  request.message_number = number;
  OrderFields& order = *std::construct_at(&request.body.order);
  order.account = session.account;
  put(order.client_id, view.client_id);
  put(order.original_id, view.original_id);
  const InstrumentDefinition* instrument = definitions.instrument(view.symbol);
  if (instrument) request.instrument = instrument->id;
  const AccountDefinition* account = definitions.account(session.account);
  if (!account || (!view.account.empty() && view.account != account->name.view())) refuse(order, Refusal::kBadAccount);

  switch (*kind) {
    case RequestKind::kNewOrder:
      read_side(view.side, order);
      read_terms(view, instrument, order);
      if (!instrument) order.original_id = ClientOrderId(view.symbol);  // to be said again in the refusal
      break;
    case RequestKind::kReplace:
      read_side(view.side, order);
      read_terms(view, instrument, order);
      break;
    case RequestKind::kCancel:
      read_side(view.side, order);
      if (!instrument) refuse(order, Refusal::kUnknownInstrument);
      break;
    case RequestKind::kStatus: {
      read_side(view.side, order);
      order.original_id = order.client_id;
      const std::optional<int64_t> id = fix::read_number(view.order_id);
      if (id && *id > 0) {
        order.by_order_id = true;
        order.order_id = static_cast<OrderId>(*id);
      }
      break;
    }
    default:
      read_mass_cancel(view, instrument, order);
      if (view.mass_type == "7") request.instrument = 0;
  }
  return entry;
}

void refused_message(const fix::Message& message, SessionId session, uint32_t number, Refusal why, Request& request) {
  request = Request();
  request.kind = RequestKind::kMessageLogged;
  request.session = session;
  request.message_number = number;
  RefusalFields& refusal = request.body.refusal = RefusalFields();
  refusal.reason = static_cast<uint32_t>(why);
  const std::string_view reference = message.find(11).value_or(std::string_view());
  if (ClientOrderId::fits(reference)) refusal.client_id = ClientOrderId(reference);
  refusal.original_id = ClientOrderId(message.type());
}

}  // namespace polis::exchange::gateway
