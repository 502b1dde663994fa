// What the next requests will touch, brought near while the ones before them are at work.
#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {
namespace {

void bring(const void* address, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(static_cast<const std::byte*>(address) + line, 1);
}

}  // namespace

OrderManager::Ahead OrderManager::prefetch(const Request& request, unsigned stage) const {
  const State& state = *state_;
  if (request.kind > RequestKind::kReplace) return {};
  const OrderFields& fields = request.body.order;
  const bool known = request.session != 0 && request.session < state.sessions.size();
  const bool is_new = request.kind == RequestKind::kNewOrder;
  if (stage == 0) {
    if (known) bring(&state.sessions[request.session], sizeof(SessionState));
    const auto at = static_cast<TablePlace>(fields.order_id);
    if (fields.by_order_id && at < state.orders.places()) state.orders.prefetch(at);
    if (!fields.client_id.empty()) state.ids.prefetch(request.session, fields.client_id);
    if (!fields.original_id.empty()) state.ids.prefetch(request.session, fields.original_id);
    return {};
  }
  const Price price = request.kind == RequestKind::kCancel ? 0 : fields.price;
  const AccountId account = known ? state.sessions[request.session].definition.account : fields.account;
  if (stage == 1 && account < state.accounts.size()) bring(&state.accounts[account], sizeof(AccountState));
  if (is_new) {
    if (request.instrument == 0 || request.instrument >= state.instruments.size()) return {};
    const InstrumentDefinition& instrument = state.instruments[request.instrument].definition;
    state.positions.prefetch(account, request.instrument, stage != 1);
    state.balances.prefetch(account, instrument.base, stage != 1);
    state.balances.prefetch(account, instrument.quote, stage != 1);
    return {.instrument = request.instrument, .price = price};
  }
  TablePlace at = 0;
  if (fields.by_order_id) {
    at = state.orders.find(fields.order_id);
  } else if (const ClientIds::Entry* entry = state.ids.find(request.session, fields.original_id)) {
    at = state.orders.find(entry->order);
  }
  if (at == 0) return {};
  const HeldOrder& order = state.orders[at];
  if (stage == 1) {
    if (!fields.by_order_id) state.orders.prefetch(at);
    __builtin_prefetch(&state.balances[order.side == Side::kBuy ? order.quote : order.base], 1);
    __builtin_prefetch(&state.positions[order.position], 1);
  }
  return {.instrument = order.instrument, .order = order.engine_order, .price = price};
}

void OrderManager::populate(size_t orders) {
  State& state = *state_;
  state.orders.populate(orders);
  state.ids.populate(orders);
  for (InstrumentId id = 1; id < state.instruments.size(); ++id)
    state.instruments[id].trades.populate(orders / (state.instruments.size() - 1));
}

}  // namespace polis::exchange
