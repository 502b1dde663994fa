#include "systems/exchange/venue/client_ids.h"

#include <algorithm>

#include "kernel/base/hash.h"

namespace polis::exchange {

uint64_t ClientIds::hash(SessionId session, const ClientOrderId& id) {
  return base::xxh3_64(BytesView(reinterpret_cast<const std::byte*>(id.characters), sizeof id.characters), session);
}

const ClientIds::Entry* ClientIds::look(SessionId session, const ClientOrderId& id) const {
  const uint64_t hashed = hash(session, id);
  const Part& part = parts_[hashed & (parts_.size() - 1)];
  if (part.places.empty()) return nullptr;
  const size_t mask = part.places.size() - 1;
  for (size_t at = hashed >> 32 & mask; part.places[at] != 0; at = (at + 1) & mask) {
    if (part.places[at] >> 32 != hashed >> 32) continue;
    const Entry& entry = entries_[(part.places[at] & UINT32_MAX) - 1];
    if (entry.session == session && entry.id == id) return &entry;
  }
  return nullptr;
}

void ClientIds::prefetch(SessionId session, const ClientOrderId& id) const {
  const uint64_t hashed = hash(session, id);
  const Part& part = parts_[hashed & (parts_.size() - 1)];
  if (!part.places.empty()) __builtin_prefetch(&part.places[hashed >> 32 & (part.places.size() - 1)], 1);
}

ClientIds::Entry* ClientIds::find(SessionId session, const ClientOrderId& id) {
  return const_cast<Entry*>(look(session, id));
}
const ClientIds::Entry* ClientIds::find(SessionId session, const ClientOrderId& id) const {
  return look(session, id);
}

void ClientIds::put(Part& part, uint64_t place) {
  const size_t mask = part.places.size() - 1;
  size_t at = place >> 32 & mask;
  while (part.places[at] != 0) at = (at + 1) & mask;
  part.places[at] = place;
}

ClientIds::Entry& ClientIds::add(SessionId session, const ClientOrderId& id, OrderId order) {
  const uint64_t hashed = hash(session, id);
  Part& part = parts_[hashed & (parts_.size() - 1)];
  if ((part.used + 1) * 2 > part.places.size()) {
    std::vector<uint64_t> before(std::max<size_t>(part.places.size() * 2, 16));
    before.swap(part.places);
    for (const uint64_t place : before)
      if (place != 0) put(part, place);
  }
  ++part.used;
  Entry& entry = entries_.push_back({.id = id, .session = session, .order = order});
  put(part, hashed >> 32 << 32 | entries_.size());
  return entry;
}

void ClientIds::clear() {
  entries_.clear();
  for (Part& part : parts_) {
    std::fill(part.places.begin(), part.places.end(), 0);
    part.used = 0;
  }
}

}  // namespace polis::exchange
