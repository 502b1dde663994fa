// Requests and answers in whatever order two threads could have them: nothing that holds may break, and whoever reads
// the order again says the same.
#include <deque>

#include "kernel/sim/seeds.h"
#include "systems/exchange/venue/naive_comparison_test.h"

namespace polis::exchange::testing_venue {
namespace {

struct Turn {
  bool is_request = false;
  Request request;
  Stamp stamp;
};

class SplitVenue {
 public:
  SplitVenue(uint64_t seed, bool tame) : random_(seed), requests_(seed * 104'729, tame), tame_(tame) {}

  void run(int count) {
    for (const Request& request : requests_.beginning()) {
      ask(request);
      while (venue_->pending()) take_answer();
    }
    for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
      now_ += static_cast<VenueTime>(random_.below(200'000'000));
      if (const auto due = venue_->next_time(); due && *due <= now_) ask(request(RequestKind::kTime));
      ask(requests_.next(now_));
      // Sometimes the engine is far behind, sometimes it has done everything.
      const uint64_t answers = random_.below(12) == 0 ? 1000 : random_.below(3);
      for (uint64_t n = 0; n < answers && venue_->pending(); ++n) take_answer();
      if (i % 500 == 499) {
        look();
        auto again = reloaded(*venue_, limits_);
        if (!testing::Test::HasFailure()) venue_ = std::move(again);
      }
    }
    while (venue_->pending()) take_answer();
    look();
    for (AccountId account = 1; account <= RandomRequests::kAccounts; ++account)
      for (const OrderState& order : venue_->orders().open_orders(account, SIZE_MAX)) EXPECT_FALSE(order.pending);
  }
  const std::vector<Turn>& turns() const { return turns_; }
  const std::vector<uint64_t>& digests() const { return digests_; }
  const Venue& venue() const { return *venue_; }
  const std::set<Refusal>& refusals() const { return refusals_; }

 private:
  void ask(const Request& request) {
    const Stamp stamp{.sequence = sequence_, .now = now_};
    turns_.push_back({.is_request = true, .request = request, .stamp = stamp});
    sequence_ += venue_->request(stamp, request, outputs_);
    told();
  }
  void take_answer() {
    turns_.push_back({.is_request = false, .request = {}, .stamp = {.sequence = sequence_, .now = now_}});
    sequence_ += venue_->answer(sequence_, outputs_);
    told();
  }
  void told() {
    digests_.push_back(outputs_.digest());
    requests_.learn(outputs_);
    for (const Report& report : outputs_.reports()) {
      refusals_.insert(report.refusal);
      if (report.kind < ReportKind::kCancelReject && report.order != 0 && report.left > 0) {
        EXPECT_EQ(report.filled + report.left, report.quantity) << text_of(report);
      }
      EXPECT_GE(report.filled, 0);
      EXPECT_LE(report.filled, report.quantity) << text_of(report);
    }
  }
  // Money is where it was, nobody owes more than allowed, and books and orders agree once nothing is on its way.
  void look() {
    const OrderManager& orders = venue_->orders();
    const auto sums = orders.check_sums(true);
    ASSERT_TRUE(sums.has_value()) << sums.error().text();
    size_t open = 0;
    for (AccountId account = 1; account <= RandomRequests::kAccounts; ++account) {
      for (AssetId asset = 1; asset <= 5; ++asset) {
        const Balance balance = orders.balance(account, asset);
        EXPECT_GE(balance.reserved, 0);
        if (tame_) {
          EXPECT_GE(balance.free(), 0) << account << ' ' << asset;
        }
      }
      open += orders.open_orders(account, SIZE_MAX).size();
    }
    if (venue_->pending()) return;
    size_t resting = 0;
    for (InstrumentId id = 1; id <= RandomRequests::kInstruments; ++id)
      resting += venue_->engine().find(id)->orders().size();
    EXPECT_EQ(open, resting);
  }

  const VenueLimits limits_{.assets_max = 10, .instruments_max = 10, .accounts_max = 100, .sessions_max = 100};
  base::SeededRandom random_;
  RandomRequests requests_;
  const bool tame_;
  std::unique_ptr<Venue> venue_ = std::make_unique<Venue>(limits_);
  Outputs outputs_;
  Sequence sequence_ = 1;
  VenueTime now_ = 1'700'000'000'000'000'000;
  std::vector<Turn> turns_;
  std::vector<uint64_t> digests_;
  std::set<Refusal> refusals_;
};

TEST(SplitVenue, keeps_money_and_books_together_whatever_the_order_of_requests_and_answers) {
  std::set<Refusal> refusals;
  const auto round = [&](uint64_t seed) {
    SplitVenue venue(seed, seed % 2 == 0);
    venue.run(5000);
    refusals.insert(venue.refusals().begin(), venue.refusals().end());
  };
  EXPECT_EQ(sim::for_each_seed(sim::seeds(20), round, testing::Test::HasFailure), 0u);
  EXPECT_EQ(refusals.count(Refusal::kPending), 1u);
  EXPECT_EQ(refusals.count(Refusal::kTooLate), 1u);
}

TEST(SplitVenue, says_the_same_again_when_its_order_is_replayed_and_by_its_halves_too) {
  SplitVenue first(4711, false);
  first.run(3000);
  const VenueLimits limits{.assets_max = 10, .instruments_max = 10, .accounts_max = 100, .sessions_max = 100};
  Venue whole(limits), halves(limits);
  std::deque<Venue::Unanswered> queue;
  std::vector<Venue::Unanswered> commands;
  Outputs outputs, of_halves;
  Events events;
  for (size_t i = 0; i < first.turns().size(); ++i) {
    const Turn& turn = first.turns()[i];
    commands.clear();
    uint64_t slots = 0, slots_of_halves = 0;
    if (turn.is_request) {
      slots = whole.request(turn.stamp, turn.request, outputs);
      slots_of_halves = halves.request_half(turn.stamp, turn.request, commands, of_halves);
    } else {
      slots = whole.answer(turn.stamp.sequence, outputs);
      const Venue::Unanswered asked = queue.front();
      queue.pop_front();
      events.clear();
      halves.engine_half().execute(asked.command, events);
      slots_of_halves = halves.answer_half(turn.stamp.sequence, asked, events, commands, of_halves);
    }
    queue.insert(queue.end(), commands.begin(), commands.end());
    ASSERT_EQ(slots, slots_of_halves);
    ASSERT_EQ(outputs.digest(), first.digests()[i]) << i;
    ASSERT_EQ(of_halves.digest(), first.digests()[i]) << i;
    if (i + 1 < first.turns().size()) ASSERT_EQ(turn.stamp.sequence + slots, first.turns()[i + 1].stamp.sequence);
  }
}

TEST(SplitVenue, a_fused_step_answers_first_what_split_threads_left_open) {
  TestVenue it;
  it.prepare();
  Outputs outputs;
  it.sequence += it.venue.request({it.sequence, ++it.now}, order(1, 1, "a", Side::kBuy, 5, 100), outputs);
  EXPECT_TRUE(outputs.empty());
  ASSERT_TRUE(it.venue.pending());
  const auto reports = it.send(order(2, 1, "b", Side::kSell, 5, 100));
  EXPECT_FALSE(it.venue.pending());
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(reports[0].client_id.view(), "a");
  EXPECT_EQ(reports[0].kind, ReportKind::kNew);
  EXPECT_EQ(reports[3].kind, ReportKind::kTrade);
}

// A cancel meets a fill that the order manager has not heard of yet: it loses.
TEST(SplitVenue, a_cancel_that_comes_behind_the_fill_is_too_late) {
  TestVenue it;
  it.prepare();
  it.send(order(1, 1, "rests", Side::kBuy, 5, 100));
  Outputs outputs;
  const auto ask = [&](const Request& request) {
    it.sequence += it.venue.request({it.sequence, ++it.now}, request, outputs);
  };
  ask(order(2, 1, "takes", Side::kSell, 5, 100));
  ask(cancel(1, "c", "rests"));
  EXPECT_TRUE(outputs.empty());
  ask(cancel(1, "c2", "rests"));
  ASSERT_EQ(outputs.reports().size(), 1u);
  EXPECT_EQ(outputs.reports()[0].refusal, Refusal::kPending);
  it.sequence += it.venue.answer(it.sequence, outputs);
  ASSERT_EQ(outputs.reports().size(), 3u);
  EXPECT_EQ(outputs.reports()[1].status, OrderStatus::kFilled);
  it.sequence += it.venue.answer(it.sequence, outputs);
  ASSERT_EQ(outputs.reports().size(), 1u);
  const Report& report = outputs.reports()[0];
  EXPECT_EQ(report.kind, ReportKind::kCancelReject);
  EXPECT_EQ(report.refusal, Refusal::kTooLate);
  EXPECT_EQ(report.client_id.view(), "c");
  EXPECT_EQ(report.original_id.view(), "rests");
  EXPECT_EQ(report.status, OrderStatus::kFilled);
  EXPECT_FALSE(it.venue.pending());
}

TEST(SplitVenue, a_kill_waits_for_orders_that_are_pending) {
  TestVenue it;
  it.prepare();
  Outputs outputs;
  it.sequence += it.venue.request({it.sequence, ++it.now}, order(1, 1, "a", Side::kBuy, 5, 100), outputs);
  RiskLimits limits;
  limits.killed = true;
  it.sequence += it.venue.request({it.sequence, ++it.now}, risk(2, limits), outputs);
  ASSERT_EQ(outputs.reports().size(), 1u);
  std::vector<ReportKind> kinds;
  while (it.venue.pending()) {
    it.sequence += it.venue.answer(it.sequence, outputs);
    for (const Report& report : outputs.reports()) kinds.push_back(report.kind);
  }
  EXPECT_EQ(kinds, (std::vector{ReportKind::kNew, ReportKind::kCancelled}));
  EXPECT_EQ(it.venue.orders().balance(2, 2).reserved, 0);
}

}  // namespace
}  // namespace polis::exchange::testing_venue
