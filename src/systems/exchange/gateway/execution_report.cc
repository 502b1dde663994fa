#include "systems/exchange/gateway/execution_report.h"

#include "systems/exchange/decimal.h"

namespace polis::exchange::gateway {
namespace {

using fix::FieldWriter;

constexpr std::string_view kNoOrder = "NONE";  // of OrderID, where there is no order

char exec_type(ReportKind kind) {
  switch (kind) {
    case ReportKind::kNew:
      return '0';
    case ReportKind::kTrade:
      return 'F';
    case ReportKind::kCancelled:
      return '4';
    case ReportKind::kReplaced:
      return '5';
    case ReportKind::kRejected:
      return '8';
    case ReportKind::kExpired:
      return 'C';
    case ReportKind::kTriggered:
    case ReportKind::kRestated:
      return 'D';
    case ReportKind::kTradeBreak:
      return 'H';
    default:
      return 'I';
  }
}

char order_status(OrderStatus status) {
  switch (status) {
    case OrderStatus::kNew:
      return '0';
    case OrderStatus::kPartiallyFilled:
      return '1';
    case OrderStatus::kFilled:
      return '2';
    case OrderStatus::kCancelled:
      return '4';
    case OrderStatus::kExpired:
      return 'C';
    case OrderStatus::kNone:
    case OrderStatus::kRejected:
      return '8';
  }
  return '8';
}

char order_type(OrderType type) {
  switch (type) {
    case OrderType::kMarket:
      return '1';
    case OrderType::kLimit:
      return '2';
    case OrderType::kStop:
      return '3';
    case OrderType::kStopLimit:
      return '4';
    case OrderType::kMarketToLimit:
      return 'K';
  }
  return '2';
}

char time_in_force(TimeInForce in_force) {
  switch (in_force) {
    case TimeInForce::kDay:
      return '0';
    case TimeInForce::kGoodTillCancel:
      return '1';
    case TimeInForce::kAtOpening:
      return '2';
    case TimeInForce::kImmediateOrCancel:
      return '3';
    case TimeInForce::kFillOrKill:
      return '4';
    case TimeInForce::kGoodTillDate:
      return '6';
    case TimeInForce::kAtClose:
      return '7';
  }
  return '0';
}

// OrdRejReason.
int reject_reason(Refusal refusal) {
  switch (refusal) {
    case Refusal::kUnknownInstrument:
      return 1;
    case Refusal::kClosed:
    case Refusal::kHalted:
      return 2;
    case Refusal::kQuantityLimit:
    case Refusal::kNotionalLimit:
    case Refusal::kOpenOrdersLimit:
    case Refusal::kPositionLimit:
    case Refusal::kRateLimit:
    case Refusal::kRestricted:
    case Refusal::kShortSale:
    case Refusal::kKilled:
      return 3;
    case Refusal::kUnknownOrder:
      return 5;
    case Refusal::kBalance:
    case Refusal::kFull:
    case Refusal::kBusy:
      return 0;
    case Refusal::kDuplicateClientId:
      return 6;
    case Refusal::kUnsupported:
      return 11;
    case Refusal::kBadQuantity:
    case Refusal::kLot:
      return 13;
    case Refusal::kBadAccount:
    case Refusal::kUnknownSession:
      return 15;
    default:
      return 99;
  }
}

// CxlRejReason.
int cancel_reject_reason(Refusal refusal) {
  switch (refusal) {
    case Refusal::kTooLate:
      return 0;
    case Refusal::kUnknownOrder:
    case Refusal::kUnknownInstrument:
      return 1;
    case Refusal::kPending:
      return 3;
    case Refusal::kDuplicateClientId:
      return 6;
    case Refusal::kClosed:
    case Refusal::kHalted:
    case Refusal::kBusy:
    case Refusal::kRateLimit:
    case Refusal::kKilled:
    case Refusal::kRestricted:
    case Refusal::kBalance:
      return 2;
    default:
      return 99;
  }
}

// Why an order ended that nobody asked to end.
std::string_view cancel_text(CancelReason reason) {
  switch (reason) {
    case CancelReason::kAsked:
    case CancelReason::kExpired:
      return {};
    case CancelReason::kImmediate:
      return "Not matched at once";
    case CancelReason::kCollar:
      return "Market order reached the collar";
    case CancelReason::kMinimum:
      return "Minimum quantity not reached";
    case CancelReason::kSelfMatch:
      return "Self-match prevention";
    case CancelReason::kReplaced:
      return "Replaced to a quantity that is filled";
    case CancelReason::kNotAuctioned:
      return "Not matched in the auction";
  }
  return {};
}

void write_order_id(FieldWriter& body, const Report& report) {
  if (report.order == 0)
    body.text(37, kNoOrder);
  else
    body.number(37, static_cast<int64_t>(report.order));
}

// What decimals are counted in; units of one where the instrument is unknown.
struct Units {
  Decimal tick{1, 0}, lot{1, 0};
};

void write_quantity(FieldWriter& body, fix::Tag tag, Quantity quantity, const Units& units) {
  body.written(tag, kDecimalTextMax, [&](char* to) { return write_units(to, quantity, units.lot); });
}

void write_price(FieldWriter& body, fix::Tag tag, Price price, const Units& units) {
  body.written(tag, kDecimalTextMax, [&](char* to) { return write_units(to, price, units.tick); });
}

void write_average_price(FieldWriter& body, const Report& report, const Units& units) {
  if (report.filled <= 0) return body.character(6, '0');
  body.written(6, kDecimalTextMax,
               [&](char* to) { return write_average(to, report.notional, report.filled, units.tick); });
}

std::string_view symbol_of(const Report& report, const InstrumentDefinition* instrument) {
  if (instrument) return instrument->symbol.view();
  // The order's own word, if it was refused for it.
  return report.original_id.empty() ? std::string_view("?") : report.original_id.view();
}

std::string_view text_of(const Report& report) {
  if (report.refusal != Refusal::kNone) return refusal_text(report.refusal);
  if (report.kind == ReportKind::kCancelled) return cancel_text(report.cancel);
  return {};
}

std::string_view write_execution(Sequence sequence, VenueTime time, const Report& report,
                                 const Definitions& definitions, FieldWriter& body) {
  const InstrumentDefinition* instrument = definitions.instrument(report.instrument);
  const AccountDefinition* account = definitions.account(report.account);
  const Units units = instrument ? Units{instrument->tick, instrument->lot} : Units{};
  const bool traded = report.kind == ReportKind::kTrade || report.kind == ReportKind::kTradeBreak;
  const bool rejected = report.kind == ReportKind::kRejected;

  if (account) body.text(1, account->name.view());
  write_average_price(body, report, units);
  if (!report.client_id.empty()) body.text(11, report.client_id.view());
  write_quantity(body, 14, report.filled, units);
  body.number(17, static_cast<int64_t>(sequence));
  if (traded) {
    write_price(body, 31, report.last_price, units);
    write_quantity(body, 32, report.last_quantity, units);
  }
  write_order_id(body, report);
  if (report.quantity > 0) write_quantity(body, 38, report.quantity, units);
  body.character(39, order_status(report.status));
  body.character(40, order_type(report.type));
  if (instrument && !report.original_id.empty()) body.text(41, report.original_id.view());
  // The bound that the venue gave a market order is no price of the client's.
  if (report.price > 0 && report.type != OrderType::kMarket && report.type != OrderType::kStop)
    write_price(body, 44, report.price, units);
  body.character(54, report.side == Side::kBuy ? '1' : '2');
  body.text(55, symbol_of(report, instrument));
  if (const std::string_view text = text_of(report); !text.empty()) body.text(58, text);
  body.character(59, time_in_force(report.time_in_force));
  body.time(60, time);
  if (report.stop_price > 0) write_price(body, 99, report.stop_price, units);
  if (rejected) body.number(103, reject_reason(report.refusal));
  body.character(150, exec_type(report.kind));
  write_quantity(body, 151, report.left, units);
  if (report.kind == ReportKind::kTriggered) body.character(378, '8');  // market option
  if (report.kind == ReportKind::kRestated) body.character(378, '5');   // partial decline of the quantity
  // FIX 4.4 has TrdMatchID (880) in trade captures alone; here its place is SecondaryExecID.
  if (traded && report.match != 0) body.number(527, static_cast<int64_t>(report.match));
  if (report.kind == ReportKind::kTrade && (report.flags & Report::kInAuction) == 0)
    body.character(851, report.flags & Report::kMaker ? '1' : '2');
  return "8";
}

std::string_view write_cancel_reject(VenueTime time, const Report& report, const Definitions& definitions,
                                     FieldWriter& body) {
  if (const AccountDefinition* account = definitions.account(report.account)) body.text(1, account->name.view());
  body.text(11, report.client_id.empty() ? kNoOrder : report.client_id.view());
  write_order_id(body, report);
  body.character(39, order_status(report.status));
  body.text(41, report.original_id.empty() ? kNoOrder : report.original_id.view());
  body.text(58, refusal_text(report.refusal));
  body.time(60, time);
  body.number(102, cancel_reject_reason(report.refusal));
  body.character(434, report.flags & Report::kOfReplace ? '2' : '1');
  return "9";
}

std::string_view write_mass_cancel(Sequence sequence, VenueTime time, const Report& report,
                                   const Definitions& definitions, FieldWriter& body) {
  const InstrumentDefinition* instrument = definitions.instrument(report.instrument);
  const bool refused = report.refusal != Refusal::kNone;
  const char scope = report.instrument == 0 && report.refusal != Refusal::kUnknownInstrument ? '7' : '1';
  if (!report.client_id.empty()) body.text(11, report.client_id.view());
  body.number(37, static_cast<int64_t>(sequence));  // an id of the report: there is no one order
  if (instrument) body.text(55, instrument->symbol.view());
  if (refused) body.text(58, refusal_text(report.refusal));
  body.time(60, time);
  body.character(530, scope);
  body.character(531, refused ? '0' : scope);
  if (refused) body.number(532, report.refusal == Refusal::kUnknownInstrument ? 1 : 99);
  body.number(533, refused ? 0 : report.quantity);
  return "r";
}

bool takes_orders(std::string_view type) {
  return type == "D" || type == "F" || type == "G" || type == "H" || type == "q";
}

// BusinessRejectReason.
char business_reason(Refusal refusal, std::string_view type) {
  switch (refusal) {
    case Refusal::kUnknownInstrument:
      return '2';
    case Refusal::kUnsupported:
      return takes_orders(type) ? '0' : '3';
    case Refusal::kBusy:
    case Refusal::kHalted:
      return '4';
    case Refusal::kUnknownSession:
    case Refusal::kBadAccount:
      return '6';
    default:
      return '0';
  }
}

std::string_view write_business_reject(const Report& report, FieldWriter& body) {
  const std::string_view type = report.original_id.view();
  const char reason = business_reason(report.refusal, type);
  if (report.message_number != 0) body.number(45, report.message_number);
  body.text(58, reason == '3' ? std::string_view("Unsupported Message Type") : refusal_text(report.refusal));
  body.text(372, type.empty() ? std::string_view("D") : type);
  if (!report.client_id.empty()) body.text(379, report.client_id.view());
  body.character(380, reason);
  return "j";
}

}  // namespace

std::string_view write_report(Sequence sequence, VenueTime time, const Report& report, const Definitions& definitions,
                              fix::FieldWriter& body) {
  body.clear();
  switch (report.kind) {
    case ReportKind::kCancelReject:
      return write_cancel_reject(time, report, definitions, body);
    case ReportKind::kMassCancelled:
      return write_mass_cancel(sequence, time, report, definitions, body);
    case ReportKind::kRefused:
      return write_business_reject(report, body);
    default:
      return write_execution(sequence, time, report, definitions, body);
  }
}

}  // namespace polis::exchange::gateway
