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
  const auto place = [&]() -> TablePlace {
    if (request.kind == RequestKind::kNewOrder) return 0;
    if (fields.by_order_id) return state.orders.find(fields.order_id);
    const ClientIds::Entry* entry = state.ids.find(request.session, fields.original_id);
    return entry == nullptr ? 0 : state.orders.find(entry->order);
  };
  switch (stage) {
    case 0: {
      if (known) bring(&state.sessions[request.session], sizeof(SessionState));
      const auto at = static_cast<TablePlace>(fields.order_id);
      if (fields.by_order_id && at < state.orders.places()) state.orders.prefetch(at);
      if (!fields.client_id.empty()) state.ids.prefetch(request.session, fields.client_id);
      if (!fields.original_id.empty()) state.ids.prefetch(request.session, fields.original_id);
      return {};
    }
    case 1: {
      const AccountId account = known ? state.sessions[request.session].definition.account : fields.account;
      if (account < state.accounts.size()) bring(&state.accounts[account], sizeof(AccountState));
      const TablePlace at = place();
      if (at == 0) return {};
      const HeldOrder& order = state.orders[at];
      if (!fields.by_order_id) state.orders.prefetch(at);
      __builtin_prefetch(&state.balances[order.side == Side::kBuy ? order.quote : order.base], 1);
      __builtin_prefetch(&state.positions[order.position], 1);
      return {.instrument = order.instrument, .order = order.engine_order};
    }
    default: {
      const TablePlace at = place();
      if (at == 0) return {};
      return {.instrument = state.orders[at].instrument, .order = state.orders[at].engine_order};
    }
  }
}

}  // namespace polis::exchange
