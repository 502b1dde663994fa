// Any frame that parses becomes a request of one of the known kinds, or is not served; what is not refused lies within
// the venue's limits.
#include "systems/exchange/gateway/order_entry.h"

namespace {

polis::exchange::gateway::Definitions fuzz_definitions() {
  using namespace polis::exchange;
  gateway::Definitions known;
  InstrumentDefinition instrument;
  instrument.id = 1;
  instrument.symbol = Symbol("ABC");
  instrument.tick = {1, -2};
  instrument.lot = {1, 0};
  known.put(instrument);
  known.put(AccountDefinition{.id = 2, .name = Name("A7")});
  return known;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis::exchange;
  static const gateway::Definitions definitions = fuzz_definitions();
  // A body, put into a frame that is right: sums are not what is looked for here.
  std::string inside(reinterpret_cast<const char*>(data), size);
  for (char& c : inside)
    if (c == '|') c = fix::kSeparator;
  inside = "35=" + inside;
  if (inside.back() != fix::kSeparator) inside += fix::kSeparator;
  std::string frame =
      "8=FIX.4.4\x01"
      "9=" +
      std::to_string(inside.size()) + fix::kSeparator + inside;
  unsigned sum = 0;
  for (char c : frame) sum += static_cast<uint8_t>(c);
  const std::string digits = std::to_string(sum % 256);
  frame += "10=" + std::string(3 - digits.size(), '0') + digits + fix::kSeparator;
  fix::Message message;
  if (!message.parse(frame)) return 0;
  SessionDefinition session;
  session.id = 1;
  session.account = 2;
  Request request;
  const gateway::OrderEntry entry = gateway::order_entry(message, session, 5, definitions, request);
  if (!entry.served || request.kind == RequestKind::kMessageLogged) return 0;
  const OrderFields& order = request.body.order;
  if (order.quantity < 0 || order.quantity > kQuantityMax || order.price < 0 || order.price > kPriceMax)
    __builtin_trap();
  if (order.refused == 0 && request.kind == RequestKind::kNewOrder && (order.quantity == 0 || request.instrument != 1))
    __builtin_trap();
  return 0;
}
