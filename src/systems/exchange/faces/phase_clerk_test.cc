#include "systems/exchange/faces/phase_clerk.h"

#include "kernel/base/time_format.h"
#include "systems/exchange/reporting/desk_test.h"
#include "systems/exchange/runtime/market_test.h"

namespace polis::exchange {
namespace {

constexpr InstrumentId kStock = 1, kCoin = 2;

class PhaseClerkTest : public testing::Test {
 protected:
  // The first instrument keeps New York's hours, the second is open around the clock.
  Task<Result<void>> begin() {
    CO_TRY(co_await desk.open());
    for (Request request : TestMarket::beginning()) {
      if (request.kind == RequestKind::kDeposit) continue;
      if (request.kind == RequestKind::kInstrument && request.body.instrument.id == kStock)
        request.body.instrument.calendar = Calendar::kUsEquity;
      CO_TRY(desk.venue->submit(request));
    }
    CO_TRY(co_await roster.load(*desk.venue));
    restart();
    co_return Result<void>();
  }
  void restart() { clerk.emplace(*desk.venue, roster, clock); }
  Task<Result<void>> say(InstrumentId id, Phase phase) {
    Request request;
    request.kind = RequestKind::kPhase;
    request.instrument = id;
    request.body.phase = phase;
    CO_TRY(co_await desk.venue->ask(request));
    co_return Result<void>();
  }
  // In New York, on a Wednesday.
  Task<Phase> at(std::string_view time, InstrumentId id) {
    const WallTime wall = base::parse_rfc3339("2026-01-14T" + std::string(time) + "-05:00").value();
    clock.step_wall(wall - clock.wall());
    co_await clerk->look();
    Phase phase = Phase::kClosed;
    EXPECT_TRUE(co_await desk.venue->inspect([&](const Venue& venue) { phase = venue.engine().find(id)->phase(); }));
    co_return phase;
  }

  TestDesk desk;
  base::ManualClock clock;
  Roster roster;
  std::optional<PhaseClerk> clerk;
};

TEST_F(PhaseClerkTest, a_stock_goes_through_the_phases_of_its_day) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    EXPECT_EQ(co_await at("08:00:00", kStock), Phase::kClosed);
    EXPECT_EQ(co_await at("09:00:00", kStock), Phase::kPreOpen);
    EXPECT_EQ(co_await at("09:30:00", kStock), Phase::kContinuous);
    EXPECT_EQ(co_await at("15:50:00", kStock), Phase::kClosingCall);
    EXPECT_EQ(co_await at("16:00:01", kStock), Phase::kClosed);
    EXPECT_EQ(co_await at("16:00:02", kCoin), Phase::kContinuous);
    co_await desk.close();
  });
}

TEST_F(PhaseClerkTest, what_an_operator_says_holds_until_the_next_turn) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    EXPECT_EQ(co_await at("10:00:00", kStock), Phase::kContinuous);
    CO_EXPECT(co_await say(kStock, Phase::kHalted));
    CO_EXPECT(co_await say(kCoin, Phase::kClosed));
    EXPECT_EQ(co_await at("11:00:00", kStock), Phase::kHalted);
    EXPECT_EQ(co_await at("15:50:00", kStock), Phase::kClosingCall);
    EXPECT_EQ(co_await at("15:51:00", kCoin), Phase::kClosed);
    co_await desk.close();
  });
}

TEST_F(PhaseClerkTest, after_a_restart_the_calendar_is_caught_up_but_a_halt_stays) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    EXPECT_EQ(co_await at("10:00:00", kStock), Phase::kContinuous);
    restart();
    EXPECT_EQ(co_await at("17:00:00", kStock), Phase::kClosed);
    CO_EXPECT(co_await say(kStock, Phase::kHalted));
    CO_EXPECT(co_await say(kCoin, Phase::kClosed));
    restart();
    EXPECT_EQ(co_await at("18:00:00", kStock), Phase::kHalted);
    EXPECT_EQ(co_await at("18:01:00", kCoin), Phase::kClosed);
    co_await desk.close();
  });
}

}  // namespace
}  // namespace polis::exchange
