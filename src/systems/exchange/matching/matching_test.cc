#include "systems/exchange/matching/matching.h"

#include <gtest/gtest.h>
#include <limits>

#include "kernel/base/random.h"
#include "kernel/sim/seeds.h"
#include "systems/exchange/matching/naive_matching_test.h"

namespace polis::exchange {
namespace {

// A thousand seeds are ten million commands.
#if defined(POLIS_DEBUG) || defined(POLIS_TSAN)
constexpr int kCommandsOfSeed = 1000;
#else
constexpr int kCommandsOfSeed = 10'000;
#endif

std::string text(const Event& e) {
  std::string out = "kind " + std::to_string(int(e.kind));
  const auto add = [&](const char* name, int64_t value) {
    if (value != 0) out += std::string(" ") + name + " " + std::to_string(value);
  };
  add("flags", e.flags);
  add("side", int(e.side));
  add("reject", int(e.reject));
  add("cancel", int(e.cancel));
  add("phase", int(e.phase));
  add("order", static_cast<int64_t>(e.order));
  add("counter", static_cast<int64_t>(e.counter_order));
  add("ref", static_cast<int64_t>(e.reference));
  add("counter_ref", static_cast<int64_t>(e.counter_reference));
  add("price", e.price);
  add("quantity", e.quantity);
  add("left", e.left);
  add("counter_left", e.counter_left);
  add("shown", e.shown);
  add("match", static_cast<int64_t>(e.match));
  return out;
}

std::string all(const Events& events) {
  std::string out;
  for (const Event& event : events) out += "\n  " + text(event);
  return out;
}

std::vector<Bytes> saved(const Matching& matching) {
  std::vector<Bytes> pieces;
  const auto saver = matching.save();
  for (;;) {
    Bytes piece;
    base::Writer writer(piece);
    if (!saver->next(writer)) return pieces;
    pieces.push_back(std::move(piece));
  }
}

// Null with a failure noted if it is not one.
std::unique_ptr<Matching> loaded(const std::vector<Bytes>& pieces) {
  auto first = Matching::load_first(pieces.at(0));
  if (!first) {
    ADD_FAILURE() << first.error().text();
    return nullptr;
  }
  for (size_t i = 1; i < pieces.size(); ++i)
    if (const auto done = (*first)->load(pieces[i]); !done) {
      ADD_FAILURE() << done.error().text();
      return nullptr;
    }
  EXPECT_TRUE((*first)->loaded());
  return std::move(*first);
}

// Random commands to both; every event must be the same.
class Comparison {
 public:
  explicit Comparison(uint64_t seed, InstrumentRules rules = {.id = 7, .orders_max = 4096, .window_ticks = 64})
      : random_(seed), engine_(rules), model_(rules), twin_(std::make_unique<Matching>(rules)) {}

  void run(int commands) {
    for (int i = 0; i < commands && !testing::Test::HasFailure(); ++i) {
      now_ += static_cast<VenueTime>(random_.below(2'000'000'000));
      step();
      compare(i);
    }
  }
  size_t kinds_seen() const { return static_cast<size_t>(std::count(seen_.begin(), seen_.end(), true)); }

  // From now on a second engine goes on from a snapshot of the first, taken every so often.
  void keep_twin(uint64_t one_in) { reload_one_in_ = one_in; }

 private:
  Price price() {
    // Mostly near, sometimes far outside of the ladder's window.
    if (random_.below(200) == 0) return 1 + static_cast<Price>(random_.below(100'000));
    return center_ - 8 + static_cast<Price>(random_.below(17));
  }
  NewOrder order() {
    NewOrder order;
    order.reference = ++references_;
    order.account = static_cast<AccountId>(1 + random_.below(20));
    order.self_match_id = random_.below(3) == 0 ? 0 : static_cast<uint32_t>(1 + random_.below(6));
    order.self_match = static_cast<SelfMatch>(random_.below(4));
    order.side = static_cast<Side>(random_.below(2));
    order.type = random_.below(3) != 0 ? OrderType::kLimit : static_cast<OrderType>(random_.below(5));
    order.time_in_force =
        random_.below(2) != 0 ? TimeInForce::kGoodTillCancel : static_cast<TimeInForce>(random_.below(7));
    order.post_only = random_.below(12) == 0;
    order.quantity = static_cast<Quantity>(1 + random_.below(50));
    if (order.type == OrderType::kLimit || order.type == OrderType::kStopLimit || random_.below(4) == 0)
      order.price = price();
    if (order.type == OrderType::kStop || order.type == OrderType::kStopLimit) order.stop_price = price();
    if (random_.below(5) == 0)
      order.shown = static_cast<Quantity>(random_.below(static_cast<uint64_t>(order.quantity) + 1));
    if (random_.below(150) == 0) {  // an iceberg that shows about as little as it may
      order.quantity = 1500 + static_cast<Quantity>(random_.below(1000));
      order.shown = 1 + static_cast<Quantity>(random_.below(3));
    }
    if (random_.below(15) == 0)
      order.minimum = static_cast<Quantity>(1 + random_.below(static_cast<uint64_t>(order.quantity)));
    if (order.time_in_force == TimeInForce::kGoodTillDate)
      order.expires_at = now_ - 1'000'000'000 + static_cast<VenueTime>(random_.below(40'000'000'000));
    if (random_.below(100) == 0) order.quantity = random_.below(2) == 0 ? 0 : kQuantityMax + 1;
    if (random_.below(100) == 0) order.price = random_.below(2) == 0 ? -1 : kPriceMax + 1;
    return order;
  }
  OrderId known() { return ids_.empty() ? 5 : ids_[random_.below(ids_.size())]; }
  // To the engine and to its twin.
  template <class Command>
  void tell(Command command) {
    command(engine_, mine_);
    if (reload_one_in_ != 0) command(*twin_, twins_);
  }
  void step() {
    mine_.clear();
    theirs_.clear();
    twins_.clear();
    if (reload_one_in_ != 0 && random_.below(reload_one_in_) == 0) reload();
    tell([&](Matching& to, Events& events) { to.on_time(now_, events); });
    model_.on_time(now_, theirs_);
    const uint64_t what = random_.below(1000);
    if (what < 640) {
      const NewOrder wanted = order();
      tell([&](Matching& to, Events& events) { to.submit(now_, wanted, events); });
      OrderId id = 0;
      for (const Event& event : mine_)
        if (event.kind == Event::Kind::kAccepted) id = event.order;
      if (id != 0) ids_.push_back(id);
      if (ids_.size() > 200) ids_.erase(ids_.begin());
      model_.submit(now_, wanted, id, theirs_);
    } else if (what < 780) {
      const OrderId id = known();
      ++references_;
      tell([&](Matching& to, Events& events) { to.cancel(now_, id, references_, events); });
      model_.cancel(now_, id, references_, theirs_);
    } else if (what < 960) {
      ReplaceOrder replace{.order = known(), .reference = ++references_};
      replace.quantity = static_cast<Quantity>(random_.below(random_.below(50) == 0 ? 5000 : 60));
      for (const auto& one : model_.waiting())
        if (one.id == replace.order) {
          replace.price = one.terms.price;
          replace.stop_price = one.terms.stop_price;
        }
      if (random_.below(2) == 0 && replace.price != 0) replace.price = price();
      if (random_.below(3) == 0 && replace.stop_price != 0) replace.stop_price = price();
      if (random_.below(30) == 0) replace.price = price();
      tell([&](Matching& to, Events& events) { to.replace(now_, replace, events); });
      model_.replace(now_, replace, theirs_);
    } else if (what < 985) {
      // Continuous trading most of the time.
      const Phase phase = random_.below(2) == 0 ? Phase::kContinuous : static_cast<Phase>(random_.below(5));
      tell([&](Matching& to, Events& events) { to.set_phase(now_, phase, events); });
      model_.set_phase(now_, phase, theirs_);
    } else if (what < 990) {
      now_ += 60'000'000'000;
    } else if (what == 990) {
      center_ = 50 + static_cast<Price>(random_.below(1000));
    } else {
      tell([&](Matching& to, Events& events) { to.set_phase(now_, Phase::kContinuous, events); });
      model_.set_phase(now_, Phase::kContinuous, theirs_);
    }
  }
  void reload() {
    const std::vector<Bytes> pieces = saved(engine_);
    twin_ = loaded(pieces);
    ASSERT_TRUE(twin_);
    ASSERT_EQ(saved(*twin_), pieces);
    ASSERT_EQ(twin_->orders().size(), engine_.orders().size());
    ASSERT_EQ(twin_->next_time(), engine_.next_time());
  }
  void compare(int number) {
    if (reload_one_in_ != 0) ASSERT_EQ(twins_, mine_) << all(twins_) << all(mine_);
    for (size_t i = 0; i < std::max(mine_.size(), theirs_.size()); ++i) {
      if (i < mine_.size()) seen_[static_cast<size_t>(mine_[i].kind)] = true;
      if (i < mine_.size() && i < theirs_.size() && mine_[i] == theirs_[i]) continue;
      ADD_FAILURE() << "command " << number << ", event " << i
                    << "\n  engine: " << (i < mine_.size() ? text(mine_[i]) : "nothing")
                    << "\n  model:  " << (i < theirs_.size() ? text(theirs_[i]) : "nothing")
                    << "\nthe engine's:" << all(mine_) << "\nthe model's:" << all(theirs_);
      return;
    }
    ASSERT_EQ(engine_.orders().size(), model_.waiting().size());
    if (number % 16 != 0) return;
    for (const Side side : {Side::kBuy, Side::kSell}) {
      Quantity all = 0;
      size_t levels = 0;
      const Ladder& ladder = engine_.side(side);
      for (auto at = ladder.next(std::nullopt); at; at = ladder.next(at)) {
        ASSERT_EQ(ladder.volume(*at), model_.volume(side, *at));
        ++levels;
        all += ladder.volume(*at);
        ASSERT_EQ(ladder.volume_until(*at), all);
      }
      ASSERT_EQ(levels, ladder.levels());
      ASSERT_EQ(all, ladder.volume());
    }
  }

  base::SeededRandom random_;
  Matching engine_;
  NaiveMatching model_;
  std::unique_ptr<Matching> twin_;
  uint64_t reload_one_in_ = 0;
  VenueTime now_ = 1'700'000'000'000'000'000;
  Price center_ = 100;
  uint64_t references_ = 0;
  std::vector<OrderId> ids_;
  Events mine_, theirs_, twins_;
  std::array<bool, 16> seen_{};
};

TEST(Matching, does_what_the_plain_model_does) {
  size_t kinds = 0;
  const auto round = [&](uint64_t seed) {
    Comparison comparison(seed);
    comparison.run(kCommandsOfSeed);
    kinds = std::max(kinds, comparison.kinds_seen());
  };
  EXPECT_EQ(sim::for_each_seed(sim::seeds(15), round, testing::Test::HasFailure), 0u);
  EXPECT_EQ(kinds, 12u) << "some kind of event never came";
}

TEST(Matching, goes_on_from_a_snapshot_as_if_nothing_had_been) {
  const auto round = [&](uint64_t seed) {
    Comparison comparison(seed + 1'000'000);
    comparison.keep_twin(200);
    comparison.run(2000);
  };
  EXPECT_EQ(sim::for_each_seed(sim::seeds(20), round, testing::Test::HasFailure), 0u);
}

// What is damaged is refused, or is another sound state: then it takes commands, and nothing of it is read outside of
// it.
TEST(Matching, a_damaged_snapshot_never_loads_into_something_broken) {
  Matching book({.id = 3, .window_ticks = 64});
  Events events;
  base::SeededRandom random(5);
  book.set_phase(1, Phase::kContinuous, events);
  for (uint64_t i = 1; i < 300; ++i)
    book.submit(1,
                {.reference = i,
                 .account = 1,
                 .side = static_cast<Side>(i & 1),
                 .type = i % 7 == 0 ? OrderType::kStopLimit : OrderType::kLimit,
                 .time_in_force = i % 5 == 0 ? TimeInForce::kAtClose : TimeInForce::kDay,
                 .price = static_cast<Price>(90 + i % 20),
                 .stop_price = i % 7 == 0 ? Price{200} : 0,
                 .quantity = static_cast<Quantity>(i)},
                events);
  const std::vector<Bytes> sound = saved(book);
  size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<Bytes> pieces = sound;
    Bytes& piece = pieces[random.below(4) == 0 ? 0 : 1];
    if (random.below(8) == 0) {
      piece.resize(random.below(piece.size()));
    } else {
      piece[random.below(std::min<size_t>(piece.size(), 9000))] = static_cast<std::byte>(random.next());
    }
    auto first = Matching::load_first(pieces[0]);
    if (!first || !(*first)->load(pieces[1]) || !(*first)->loaded()) {
      ++refused;
      continue;
    }
    events.clear();
    (*first)->submit(2, {.side = Side::kBuy, .type = OrderType::kMarket, .quantity = 100'000}, events);
    (*first)->set_phase(3, Phase::kPreOpen, events);
    (*first)->set_phase(4, Phase::kClosed, events);
  }
  EXPECT_GT(refused, 1000u);
}

TEST(Matching, two_that_get_the_same_commands_give_the_same_events_whatever_the_window) {
  for (const size_t window : {size_t{64}, size_t{4096}, size_t{1} << 18}) {
    Comparison comparison(99, {.id = 1, .orders_max = 4096, .window_ticks = window});
    comparison.run(2000);
  }
}

// The worked example: a market buy of 2,700 takes all of 100.10 and 900 at 100.11.
TEST(Matching, a_market_order_walks_through_the_book_of_the_example) {
  Matching book({.id = 1});
  Events events;
  book.set_phase(1, Phase::kContinuous, events);
  uint64_t reference = 0;
  const auto add = [&](Side side, Price price, std::initializer_list<Quantity> sizes) {
    for (const Quantity size : sizes)
      book.submit(1, {.reference = ++reference, .account = 1, .side = side, .price = price, .quantity = size}, events);
  };
  add(Side::kSell, 10010, {200, 400, 1100, 100});
  add(Side::kSell, 10011, {900, 700, 400});
  add(Side::kSell, 10012, {600, 900});
  add(Side::kSell, 10013, {100, 200});
  add(Side::kBuy, 10008, {500, 600, 900});
  add(Side::kBuy, 10007, {100, 700});
  add(Side::kBuy, 10006, {1100, 400, 300, 200});
  add(Side::kBuy, 10005, {500, 100});
  EXPECT_EQ(book.side(Side::kSell).volume_between(10010, 10012), 5300);
  events.clear();
  book.submit(2, {.reference = 100, .account = 2, .side = Side::kBuy, .type = OrderType::kMarket, .quantity = 2700},
              events);
  std::vector<std::pair<Price, Quantity>> trades;
  for (const Event& event : events)
    if (event.kind == Event::Kind::kTrade) trades.push_back({event.price, event.quantity});
  const std::vector<std::pair<Price, Quantity>> expected = {
      {10010, 200}, {10010, 400}, {10010, 1100}, {10010, 100}, {10011, 900}};
  EXPECT_EQ(trades, expected);
  EXPECT_EQ(book.side(Side::kSell).best(), 10011);
  const Level& level = *book.side(Side::kSell).find(10011);
  EXPECT_EQ(level.orders, 2u);
  EXPECT_EQ(book.orders()[level.head].open, 700);
  EXPECT_EQ(book.orders()[level.tail].open, 400);
  EXPECT_EQ(book.side(Side::kBuy).best(), 10008);
}

TEST(Matching, an_id_of_an_order_that_is_over_finds_nothing) {
  Matching book({.id = 1});
  Events events;
  book.set_phase(1, Phase::kContinuous, events);
  book.submit(1, {.reference = 1, .side = Side::kBuy, .price = 10, .quantity = 1}, events);
  const OrderId first = events.back().order;
  book.cancel(1, first, 2, events);
  book.submit(1, {.reference = 3, .side = Side::kBuy, .price = 10, .quantity = 1}, events);
  EXPECT_NE(events.back().order, first);
  book.cancel(1, first, 4, events);
  EXPECT_EQ(events.back().reject, RejectReason::kUnknownOrder);
}

TEST(Matching, a_price_that_cannot_be_is_refused_however_far_it_lies) {
  Matching book({.id = 1});
  Events events;
  book.set_phase(1, Phase::kContinuous, events);
  book.submit(1, {.reference = 1, .account = 1, .price = 1'000'000, .quantity = 5}, events);
  const OrderId order = events.back().order;
  for (const Price price :
       {std::numeric_limits<Price>::min(), Price{-1}, Price{0}, kPriceMax + 1, std::numeric_limits<Price>::max()}) {
    events.clear();
    book.prefetch_neighbours(order, price);
    book.submit(1, {.reference = 2, .account = 1, .price = price, .quantity = 5}, events);
    book.replace(1, {.order = order, .reference = 3, .price = price, .quantity = 5}, events);
    ASSERT_EQ(events.size(), 2u);
    for (const Event& event : events) EXPECT_EQ(event.reject, RejectReason::kBadPrice) << price;
  }
  EXPECT_EQ(book.side(Side::kBuy).volume(1'000'000), 5);
}

TEST(Matching, an_iceberg_shows_at_least_a_thousandth) {
  Matching book({.id = 1});
  Events events;
  book.set_phase(1, Phase::kContinuous, events);
  book.submit(1, {.reference = 1, .side = Side::kSell, .price = 10, .quantity = 1'000'001, .shown = 1000}, events);
  EXPECT_EQ(events.back().reject, RejectReason::kBadQuantity);
  book.submit(1, {.reference = 2, .side = Side::kSell, .price = 10, .quantity = 1'000'000, .shown = 1000}, events);
  ASSERT_EQ(events.back().kind, Event::Kind::kRested);
  const OrderId iceberg = events.back().order;
  book.replace(1, {.order = iceberg, .reference = 3, .price = 10, .quantity = 1'000'001}, events);
  EXPECT_EQ(events.back().reject, RejectReason::kBadQuantity);
  events.clear();
  book.submit(1, {.reference = 4, .side = Side::kBuy, .price = 10, .quantity = 1'000'000}, events);
  EXPECT_EQ(events.size(), 1u + 1000 + 999);  // accepted, a trade a peak, and the next peak but for the last
}

TEST(Matching, a_full_slab_says_so) {
  Matching book({.id = 1, .orders_max = 1});
  Events events;
  book.set_phase(1, Phase::kContinuous, events);
  while (events.back().kind != Event::Kind::kRejected && events.size() < 100'000)
    book.submit(1, {.side = Side::kBuy, .price = 10, .quantity = 1}, events);
  EXPECT_EQ(events.back().reject, RejectReason::kFull);
}

}  // namespace
}  // namespace polis::exchange
