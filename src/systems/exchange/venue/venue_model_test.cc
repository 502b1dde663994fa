#include "kernel/sim/seeds.h"
#include "systems/exchange/venue/naive_comparison_test.h"

namespace polis::exchange::testing_venue {
namespace {

class VenueComparison {
 public:
  explicit VenueComparison(uint64_t seed) : random_(seed), requests_(seed * 7919) {
    for (const Request& request : requests_.beginning()) handle(request);
  }
  void run(int count) {
    for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
      now_ += static_cast<VenueTime>(random_.below(2'000'000'000));
      if (const auto due = venue_->next_time(); due && *due <= now_) {
        const VenueTime then = now_;
        now_ = std::max(*due, last_);
        handle(request(RequestKind::kTime));
        now_ = then;
      }
      handle(requests_.next(now_));
      if (i % 250 == 0) compare_balances();
      if (i % 2000 == 1999) venue_ = reloaded(*venue_, limits_);
    }
    compare_balances();
  }
  const std::set<int>& seen() const { return seen_; }

 private:
  void handle(const Request& request) {
    if (request.kind == RequestKind::kBreakTrade &&
        !model_.can_break(request.body.trade.instrument, request.body.trade.match))
      return;
    last_ = now_;
    NaiveVenue::Chosen chosen;
    chosen.due = due();
    const Stamp stamp{.sequence = sequence_, .now = now_};
    sequence_ += venue_->step(stamp, request, outputs_);
    if (request.kind == RequestKind::kNewOrder)
      for (const Report& report : outputs_.reports())
        if (report.tag == request.tag && report.order != 0) {
          chosen.order = report.order;
          break;
        }
    for (const Event& event : outputs_.events())
      if (event.kind == Event::Kind::kAccepted) chosen.book_order = event.order;
    const std::vector<NaiveVenue::Item> expected = model_.step(now_, request, chosen);
    compare(request, expected);
    requests_.learn(outputs_);
  }
  std::vector<InstrumentId> due() const {
    std::vector<std::pair<VenueTime, InstrumentId>> times;
    for (InstrumentId id = 1; id <= RandomRequests::kInstruments; ++id)
      if (const Matching* book = venue_->engine().find(id))
        if (const auto time = book->next_time(); time && *time <= now_) times.push_back({*time, id});
    std::sort(times.begin(), times.end());
    std::vector<InstrumentId> ids;
    for (const auto& [time, id] : times) ids.push_back(id);
    return ids;
  }
  static std::string text(const NaiveVenue::Item& item) {
    return std::visit([](const auto& one) { return text_of(one); }, item);
  }
  void compare(const Request& request, const std::vector<NaiveVenue::Item>& expected) {
    std::vector<NaiveVenue::Item> mine;
    for (const Outputs::Item& item : outputs_.items()) {
      if (item.is_report) {
        mine.push_back(outputs_.report_at(item));
        seen_.insert(static_cast<int>(outputs_.report_at(item).kind));
        seen_.insert(1000 + static_cast<int>(outputs_.report_at(item).refusal));
      } else {
        mine.push_back(outputs_.event_at(item));
      }
    }
    for (size_t i = 0; i < std::max(mine.size(), expected.size()); ++i) {
      if (i < mine.size() && i < expected.size() && same(mine[i], expected[i])) continue;
      std::string all;
      for (const auto& item : mine) all += "\n    " + text(item);
      all += "\n  model:";
      for (const auto& item : expected) all += "\n    " + text(item);
      ADD_FAILURE() << "request " << sequence_ << " of kind " << static_cast<int>(request.kind) << " session "
                    << request.session << ", output " << i << " differs\n  venue:" << all;
      return;
    }
  }
  static bool same(const NaiveVenue::Item& a, const NaiveVenue::Item& b) {
    if (a.index() != b.index()) return false;
    if (const Event* event = std::get_if<Event>(&a)) return *event == std::get<Event>(b);
    return std::memcmp(&std::get<Report>(a), &std::get<Report>(b), sizeof(Report)) == 0;
  }
  void compare_balances() {
    const OrderManager& orders = venue_->orders();
    const auto sums = orders.check_sums(true);
    ASSERT_TRUE(sums.has_value()) << sums.error().text();
    size_t open = 0;
    for (AccountId account = 1; account <= RandomRequests::kAccounts; ++account) {
      for (AssetId asset = 1; asset <= 5; ++asset) {
        ASSERT_EQ(orders.balance(account, asset).total, model_.total(account, asset)) << account << ' ' << asset;
        ASSERT_EQ(orders.balance(account, asset).reserved, model_.reserved(account, asset)) << account << ' ' << asset;
      }
      for (InstrumentId instrument = 1; instrument <= RandomRequests::kInstruments; ++instrument)
        ASSERT_EQ(orders.position(account, instrument), model_.position(account, instrument));
      open += orders.open_orders(account, SIZE_MAX).size();
    }
    ASSERT_EQ(open, model_.open().size());
    for (AssetId asset = 1; asset <= 5; ++asset) {
      Amount sum = 0;
      for (AccountId account = 1; account <= RandomRequests::kAccounts; ++account)
        sum += orders.balance(account, asset).total;
      const auto paid_in = model_.paid_in().find(asset);
      ASSERT_EQ(sum, paid_in == model_.paid_in().end() ? 0 : paid_in->second);
    }
  }

  const VenueLimits limits_{.assets_max = 10, .instruments_max = 10, .accounts_max = 100, .sessions_max = 100};
  base::SeededRandom random_;
  RandomRequests requests_;
  std::unique_ptr<Venue> venue_ = std::make_unique<Venue>(limits_);
  NaiveVenue model_;
  Outputs outputs_;
  Sequence sequence_ = 1;
  VenueTime now_ = 1'700'000'000'000'000'000, last_ = 0;
  std::set<int> seen_;
};

// 10,000 requests a seed: 200,000 in the short form, ten million with POLIS_SEEDS=1000.
TEST(Venue, says_line_by_line_what_the_plain_model_says) {
  std::set<int> seen;
  const auto round = [&](uint64_t seed) {
    VenueComparison comparison(seed);
    comparison.run(10'000);
    seen.insert(comparison.seen().begin(), comparison.seen().end());
  };
  EXPECT_EQ(sim::for_each_seed(sim::seeds(20), round, testing::Test::HasFailure), 0u);
  for (int kind = 1; kind <= static_cast<int>(ReportKind::kRefused); ++kind)
    EXPECT_EQ(seen.count(kind), 1u) << "no report of kind " << kind;
}

}  // namespace
}  // namespace polis::exchange::testing_venue
