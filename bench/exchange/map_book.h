// The control: a price-time book as one writes it in an afternoon. A tree of levels, a list of orders in each, a hash
// table of ids; limit orders, cancel, move. It keeps no accounts, no order types and no auctions, and says less.
#pragma once

#include <list>
#include <map>
#include <unordered_map>

#include "exchange/tape.h"

namespace polis::bench {

class MapBook {
 public:
  struct Fill {
    uint32_t maker = 0, taker = 0;
    int32_t price = 0;
    uint32_t quantity = 0;
  };
  using Fills = std::vector<Fill>;

  void apply(const Step& step, Fills& fills) {
    switch (step.kind) {
      case Step::kAdd:
      case Step::kImmediate:
        add({step.client, step.quantity}, step.side, step.price, step.kind == Step::kAdd, fills);
        break;
      case Step::kCancel:
        if (const auto found = orders_.find(step.client); found != orders_.end()) remove(found);
        break;
      case Step::kMove:
        if (const auto found = orders_.find(step.client); found != orders_.end()) {
          const Order order = *found->second.place;
          remove(found);
          add(order, step.side, step.price, true, fills);
        }
        break;
    }
  }
  size_t size() const { return orders_.size(); }

 private:
  struct Order {
    uint32_t client = 0;
    uint32_t quantity = 0;
  };
  using Queue = std::list<Order>;
  using Bids = std::map<int32_t, Queue, std::greater<>>;
  using Asks = std::map<int32_t, Queue>;
  struct Where {
    exchange::Side side = exchange::Side::kBuy;
    int32_t price = 0;
    Queue::iterator place;
  };
  using Orders = std::unordered_map<uint32_t, Where>;

  template <class Levels, class Reaches>
  void match(Levels& levels, Order& taker, Reaches reaches, Fills& fills) {
    while (taker.quantity > 0 && !levels.empty() && reaches(levels.begin()->first)) {
      Queue& queue = levels.begin()->second;
      Order& maker = queue.front();
      const uint32_t quantity = std::min(maker.quantity, taker.quantity);
      fills.push_back({maker.client, taker.client, levels.begin()->first, quantity});
      maker.quantity -= quantity;
      taker.quantity -= quantity;
      if (maker.quantity > 0) continue;
      orders_.erase(maker.client);
      queue.pop_front();
      if (queue.empty()) levels.erase(levels.begin());
    }
  }
  void add(Order order, exchange::Side side, int32_t price, bool stays, Fills& fills) {
    const bool buys = side == exchange::Side::kBuy;
    if (buys) {
      match(asks_, order, [&](int32_t other) { return other <= price; }, fills);
    } else {
      match(bids_, order, [&](int32_t other) { return other >= price; }, fills);
    }
    if (order.quantity == 0 || !stays) return;
    Queue& queue = buys ? bids_[price] : asks_[price];
    queue.push_back(order);
    orders_[order.client] = {side, price, std::prev(queue.end())};
  }
  void remove(Orders::iterator found) {
    const auto [side, price, place] = found->second;
    const auto from = [&](auto& levels) {
      const auto level = levels.find(price);
      level->second.erase(place);
      if (level->second.empty()) levels.erase(level);
    };
    side == exchange::Side::kBuy ? from(bids_) : from(asks_);
    orders_.erase(found);
  }

  Bids bids_;
  Asks asks_;
  Orders orders_;
};

}  // namespace polis::bench
