#include "systems/exchange/gateway/definitions.h"

#include <algorithm>

namespace polis::exchange::gateway {
namespace {

// One look at the venue copies so many at most: under 100 µs.
constexpr uint32_t kChunk = 1000;

uint64_t symbol_key(std::string_view symbol) {
  // Byte by byte: what is copied into memory by small pieces cannot be loaded as a whole at once.
  uint64_t key = 0;
  for (size_t i = 0; i < std::min(symbol.size(), sizeof key); ++i)
    key |= uint64_t{static_cast<uint8_t>(symbol[i])} << 8 * i;
  return key;
}

// [from, to) of one kind of definitions, as they stand at one moment.
template <class Definition>
struct Chunk {
  std::vector<Definition> items;
  uint32_t known = 0;  // how many the venue has
};

template <class Definition, class Count, class Get>
Task<Result<Chunk<Definition>>> chunk_of(VenueRuntime& venue, uint32_t from, Count count, Get get) {
  Chunk<Definition> chunk;
  chunk.items.reserve(kChunk);
  CO_TRY(co_await venue.inspect([&chunk, from, count, get](const Venue& live) {
    chunk.known = count(live.orders());
    for (uint32_t id = from; id <= chunk.known && id < from + kChunk; ++id)
      if (const Definition* found = get(live.orders(), id)) chunk.items.push_back(*found);
  }));
  co_return std::move(chunk);
}

template <class Definition, class Count, class Get>
Task<Result<void>> take_all(Definitions& into, VenueRuntime& venue, uint32_t from, Count count, Get get) {
  while (true) {
    const Chunk<Definition> chunk = CO_TRY(co_await chunk_of<Definition>(venue, from, count, get));
    for (const Definition& definition : chunk.items) into.put(definition);
    from += kChunk;
    if (from > chunk.known) co_return {};
  }
}

}  // namespace

const InstrumentDefinition* Definitions::instrument(std::string_view symbol) const {
  if (symbol.size() > sizeof(uint64_t)) return nullptr;
  const auto found = by_symbol_.find(symbol_key(symbol));
  return found == by_symbol_.end() ? nullptr : instrument(found->second);
}

const SessionDefinition* Definitions::session(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : session(found->second);
}

void Definitions::put(const InstrumentDefinition& definition) {
  if (definition.id == 0) return;
  if (definition.id > instruments_.size()) instruments_.resize(definition.id);
  InstrumentDefinition& known = instruments_[definition.id - 1];
  if (known.id != 0 && !(known.symbol == definition.symbol)) by_symbol_.erase(symbol_key(known.symbol.view()));
  known = definition;
  by_symbol_[symbol_key(definition.symbol.view())] = definition.id;
}

void Definitions::put(const AccountDefinition& definition) {
  if (definition.id == 0) return;
  if (definition.id > accounts_.size()) accounts_.resize(definition.id);
  accounts_[definition.id - 1] = definition;
}

void Definitions::put(const SessionDefinition& definition) {
  if (definition.id == 0) return;
  if (definition.id > sessions_.size()) sessions_.resize(definition.id);
  SessionDefinition& known = sessions_[definition.id - 1];
  if (known.id != 0 && !(known.name == definition.name)) {
    const auto old = by_name_.find(known.name.view());
    if (old != by_name_.end() && old->second == known.id) by_name_.erase(old);
  }
  known = definition;
  by_name_[std::string(definition.name.view())] = definition.id;
}

Task<Result<void>> Definitions::refresh(VenueRuntime& venue, bool all) {
  CO_TRY(co_await take_all<InstrumentDefinition>(
      *this, venue, all ? 1 : static_cast<uint32_t>(instruments_.size()) + 1,
      [](const OrderManager& orders) { return orders.instruments(); },
      [](const OrderManager& orders, uint32_t id) { return orders.instrument(id); }));
  CO_TRY(co_await take_all<AccountDefinition>(
      *this, venue, all ? 1 : static_cast<uint32_t>(accounts_.size()) + 1,
      [](const OrderManager& orders) { return orders.accounts(); },
      [](const OrderManager& orders, uint32_t id) { return orders.account(id); }));
  CO_TRY(co_await take_all<SessionDefinition>(
      *this, venue, all ? 1 : static_cast<uint32_t>(sessions_.size()) + 1,
      [](const OrderManager& orders) { return orders.sessions(); },
      [](const OrderManager& orders, uint32_t id) { return orders.session(id); }));
  co_return {};
}

}  // namespace polis::exchange::gateway
