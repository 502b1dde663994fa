#include "systems/exchange/gateway/reference.h"

#include <algorithm>

#include "systems/exchange/decimal.h"

namespace polis::exchange::gateway {
namespace {

constexpr fix::Tag kSecurityRequestId = 320, kSecurityListRequestType = 559;

// TradSesStatus.
char session_state(const SessionStatus& status) {
  if (!status.known) return '6';  // request rejected
  if (status.halted) return '1';
  switch (status.phase.value_or(Phase::kContinuous)) {
    case Phase::kClosed:
      return '3';
    case Phase::kPreOpen:
      return '4';
    case Phase::kContinuous:
      return '2';
    case Phase::kClosingCall:
      return '5';
    case Phase::kHalted:
      return '1';
  }
  return '0';
}

void write_security(const InstrumentDefinition& instrument, fix::FieldWriter& body) {
  char text[kDecimalTextMax];
  body.text(55, instrument.symbol.view());
  body.text(561, {text, write_units(text, 1, instrument.lot)});  // RoundLot
}

// What stands around the list: 560 says how it went.
void write_end(std::string_view request_id, size_t total, char result, bool last, fix::FieldWriter& body) {
  body.text(kSecurityRequestId, request_id);
  body.text(322, request_id);
  body.number(393, static_cast<int64_t>(total));
  body.character(560, result);
  body.flag(893, last);
}

}  // namespace

InstrumentId write_security_list(const fix::Message& request, const Definitions& definitions, InstrumentId from,
                                 fix::FieldWriter& body) {
  body.clear();
  const std::string_view id = request.find(kSecurityRequestId).value_or(std::string_view());
  const std::string_view type = request.find(kSecurityListRequestType).value_or(std::string_view());
  if (type == "0") {  // one symbol
    const InstrumentDefinition* instrument = definitions.instrument(request.find(55).value_or(std::string_view()));
    if (instrument) {
      body.number(146, 1);
      write_security(*instrument, body);
    }
    write_end(id, instrument ? 1 : 0, instrument ? '0' : '2', true, body);
    return 0;
  }
  if (type != "4") {
    write_end(id, 0, '1', true, body);
    return 0;
  }
  const InstrumentId behind = definitions.instruments() + 1;
  const InstrumentId until = static_cast<InstrumentId>(std::min<size_t>(behind, from + kSecuritiesAtOnce));
  if (until > from) {
    body.number(146, until - from);
    for (InstrumentId next = from; next < until; ++next) write_security(*definitions.instrument(next), body);
  }
  write_end(id, behind - 1, behind == 1 ? '2' : '0', until == behind, body);
  return until == behind ? 0 : until;
}

void write_session_status(std::string_view request_id, std::string_view trading_session, const SessionStatus& status,
                          fix::FieldWriter& body) {
  body.clear();
  body.text(335, request_id);
  body.text(336, trading_session.empty() ? std::string_view("ALL") : trading_session);
  body.character(340, session_state(status));
  if (!status.known) body.character(567, '1');  // unknown or invalid TradingSessionID
}

}  // namespace polis::exchange::gateway
