// Which order a session's client order id named in this trading day; an id that is in here is used up until the day is
// over. Exact: the ids themselves are compared.
//
// 48 bytes an id and 8 to 16 for finding it. The table is 1,024 small ones that grow each for itself, so that with ten
// million ids the longest stop is one of ten thousand.
#pragma once

#include <array>
#include <vector>

#include "systems/exchange/messages.h"
#include "systems/exchange/venue/stable_vector.h"

namespace polis::exchange {

class ClientIds {
 public:
  struct Entry {
    ClientOrderId id;
    SessionId session = 0;
    OrderId order = 0;  // 0: it was refused before it was an order
  };

  // Null if the id is free. Good until clear().
  Entry* find(SessionId session, const ClientOrderId& id);
  const Entry* find(SessionId session, const ClientOrderId& id) const;
  // Starts to bring near what find() will look at first.
  void prefetch(SessionId session, const ClientOrderId& id) const;
  // The id must be free.
  Entry& add(SessionId session, const ClientOrderId& id, OrderId order);
  void clear();
  // Memory now for so many more.
  void populate(size_t more) { entries_.populate(more); }

  // In the order in which they came.
  size_t size() const { return entries_.size(); }
  const Entry& at(size_t i) const { return entries_[i]; }

 private:
  static constexpr size_t kPartBits = 10;
  struct Part {
    std::vector<uint64_t> places;  // upper half of the hash << 32 | number of the entry + 1; 0: free
    size_t used = 0;
  };
  static uint64_t hash(SessionId session, const ClientOrderId& id);
  static void put(Part& part, uint64_t place);
  const Entry* look(SessionId session, const ClientOrderId& id) const;

  StableVector<Entry> entries_;
  std::array<Part, size_t{1} << kPartBits> parts_;
};

}  // namespace polis::exchange
