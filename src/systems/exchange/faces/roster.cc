#include "systems/exchange/faces/roster.h"

namespace polis::exchange {

Task<Result<void>> Roster::load(VenueRuntime& venue) {
  std::vector<AssetDefinition> assets;
  std::vector<InstrumentDefinition> instruments;
  std::vector<AccountDefinition> accounts;
  std::vector<SessionDefinition> sessions;
  CO_TRY(co_await venue.inspect([&](const Venue& live) {
    const OrderManager& orders = live.orders();
    const auto copy = [](auto& into, uint32_t count, auto one) {
      into.reserve(count);
      for (uint32_t id = 1; id <= count; ++id)
        if (const auto* found = one(id)) into.push_back(*found);
    };
    copy(assets, orders.assets(), [&](AssetId id) { return orders.asset(id); });
    copy(instruments, orders.instruments(), [&](InstrumentId id) { return orders.instrument(id); });
    copy(accounts, orders.accounts(), [&](AccountId id) { return orders.account(id); });
    copy(sessions, orders.sessions(), [&](SessionId id) { return orders.session(id); });
  }));
  for (const auto& one : assets) put(one);
  for (const auto& one : instruments) put(one);
  for (const auto& one : accounts) put(one);
  for (const auto& one : sessions) put(one);
  co_return {};
}

}  // namespace polis::exchange
