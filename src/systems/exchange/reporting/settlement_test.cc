#include "systems/exchange/reporting/settlement.h"

#include <gmock/gmock.h>
#include <sstream>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/exchange/reporting/desk_test.h"
#include "systems/exchange/runtime/market_test.h"

namespace polis::exchange {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr AssetId kUsd = 1, kShares = 2;
constexpr AccountId kAlice = 2, kBob = 3;
constexpr ledger::Id kWallet = 4711;

class MoneyTest : public testing::Test {
 protected:
  // Two accounts, two sessions, one instrument of two assets; no money yet.
  Task<Result<void>> define() {
    for (const Request& request : TestMarket::beginning())
      if (request.kind != RequestKind::kDeposit) CO_TRY(desk.venue->submit(request));
    co_return Result<void>();
  }
  Task<Result<void>> begin() {
    CO_TRY(co_await desk.open());
    CO_TRY(co_await define());
    CO_TRY(co_await desk.open_money());
    const ledger::Account wallet{.id = kWallet, .ledger = CO_TRY(co_await desk.funding->ledger_of(kUsd)), .code = 1};
    CO_TRY(co_await desk.ledger->create_accounts(std::span(&wallet, 1)));
    co_return Result<void>();
  }
  Task<Amount> balance(AccountId account, AssetId asset) {
    Amount total = 0;
    EXPECT_TRUE(co_await desk.venue->inspect(
        [&](const Venue& venue) { total = venue.orders().balance(account, asset).total; }));
    co_return total;
  }
  Task<Amount> booked(AccountId account, AssetId asset) {
    const auto amount = co_await desk.funding->ledger_balance(account, asset);
    EXPECT_TRUE(amount);
    co_return static_cast<Amount>(amount.value_or(0));
  }
  Task<Amount> in_wallet() {
    const auto wallet =
        co_await desk.ledger->query([](const ledger::Engine& engine) { return engine.account(kWallet); });
    POLIS_ASSERT(wallet && *wallet);
    co_return static_cast<Amount>((*wallet)->credits_posted) - static_cast<Amount>((*wallet)->debits_posted);
  }
  // A deposit as the wallet's owner books it, without asking the venue.
  Task<Result<void>> book_deposit(ledger::Id id, Amount amount) {
    const ledger::Transfer transfer{.id = id,
                                    .debit_account_id = kWallet,
                                    .credit_account_id = member_account_id(kAlice, kUsd),
                                    .amount = static_cast<ledger::u128>(amount),
                                    .ledger = CO_TRY(co_await desk.funding->ledger_of(kUsd)),
                                    .code = 1};
    const auto results = CO_TRY(co_await desk.ledger->create_transfers(std::span(&transfer, 1)));
    POLIS_ASSERT(results.at(0).created());
    co_return Result<void>();
  }
  template <class Holds>
  Task<void> until(Holds holds) {
    for (int i = 0; i < 5000; ++i) {
      if (co_await holds()) co_return;
      (void)co_await io::sleep_for(std::chrono::milliseconds(2));
    }
    ADD_FAILURE() << "it did not happen within 10 s";
  }
  Task<void> same_in_both_books() {
    for (AccountId account = 1; account < 2 + TestMarket::kAccounts; ++account)
      for (AssetId asset = kUsd; asset <= 4; ++asset)
        EXPECT_EQ(co_await balance(account, asset), co_await booked(account, asset)) << account << ' ' << asset;
  }

  TestDesk desk;
  TestMarket market;
};

TEST_F(MoneyTest, money_comes_from_wallets_and_goes_back) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1000, LedgerName(kWallet), LedgerName(77)));
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1000, LedgerName(kWallet), LedgerName(77)));
    EXPECT_EQ(co_await balance(kAlice, kUsd), 1000);
    EXPECT_EQ(co_await in_wallet(), -1000);
    CO_EXPECT(co_await desk.funding->fund(kBob, kUsd, 5));
    EXPECT_EQ(co_await balance(kBob, kUsd), 5);

    const auto report = co_await desk.funding->withdraw(kAlice, kUsd, 400, LedgerName(kWallet));
    CO_EXPECT(report);
    EXPECT_EQ(report->left, 600);
    co_await until([this]() -> Task<bool> { co_return co_await in_wallet() == -600; });
    EXPECT_EQ(co_await booked(kAlice, kUsd), 600);
    co_await desk.close();
  });
}

TEST_F(MoneyTest, what_makes_no_sense_moves_no_money) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    Funding& funding = *desk.funding;
    EXPECT_EQ((co_await funding.fund(kAlice, kUsd, 0)).error().code(), Code::kInvalid);
    EXPECT_EQ((co_await funding.fund(99, kUsd, 1)).error().code(), Code::kNotFound);
    EXPECT_EQ((co_await funding.fund(kAlice, 99, 1)).error().code(), Code::kNotFound);
    const auto nobody = co_await funding.fund(kAlice, kUsd, 1, LedgerName(123456));
    EXPECT_FALSE(nobody);
    EXPECT_THAT(nobody.error().message(), HasSubstr("debit_account_not_found"));
    EXPECT_EQ((co_await funding.withdraw(kAlice, kUsd, 1, LedgerName(kWallet))).error().message(),
              refusal_text(Refusal::kBalance));
    EXPECT_EQ((co_await funding.withdraw(kAlice, kUsd, 1, LedgerName(123456))).error().code(), Code::kNotFound);
    EXPECT_EQ((co_await funding.withdraw(kAlice, kUsd, 1, LedgerName(member_account_id(kBob, kUsd)))).error().code(),
              Code::kInvalid);
    // The wallet is one of another asset's ledger.
    EXPECT_EQ((co_await funding.withdraw(kAlice, kShares, 1, LedgerName(kWallet))).error().code(), Code::kInvalid);
    EXPECT_EQ((co_await funding.set_ledger(kUsd, 5)).error().code(), Code::kExists);
    EXPECT_EQ(co_await in_wallet(), 0);
    EXPECT_EQ(co_await balance(kAlice, kUsd), 0);
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_deposit_that_the_venue_missed_is_taken_at_the_next_start_and_once) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1));
    for (int life = 1; life <= 3; ++life) {
      // Booked in the ledger while the venue does not look; what it took before is not taken again.
      CO_EXPECT(co_await book_deposit(static_cast<ledger::Id>(100 + life), 10));
      co_await desk.close();
      CO_EXPECT(co_await desk.open());
      CO_EXPECT(co_await desk.open_money());
      co_await until([&]() -> Task<bool> { co_return co_await balance(kAlice, kUsd) >= 1 + 10 * life; });
      EXPECT_EQ(co_await balance(kAlice, kUsd), 1 + 10 * life);
    }
    EXPECT_EQ(co_await booked(kAlice, kUsd), 31);
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_promise_of_money_is_no_deposit_until_it_is_kept) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1));
    ledger::Transfer promise{.id = 500,
                             .debit_account_id = kWallet,
                             .credit_account_id = member_account_id(kAlice, kUsd),
                             .amount = 70,
                             .ledger = *co_await desk.funding->ledger_of(kUsd),
                             .code = 1,
                             .flags = ledger::transfer_flags::kPending};
    CO_EXPECT(co_await desk.ledger->create_transfers(std::span(&promise, 1)));
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1));
    EXPECT_EQ(co_await balance(kAlice, kUsd), 2);
    const ledger::Transfer kept{
        .id = 501, .amount = 60, .pending_id = 500, .flags = ledger::transfer_flags::kPostPending};
    CO_EXPECT(co_await desk.ledger->create_transfers(std::span(&kept, 1)));
    co_await until([&]() -> Task<bool> { co_return co_await balance(kAlice, kUsd) > 2; });
    EXPECT_EQ(co_await balance(kAlice, kUsd), 62);
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_withdrawal_is_paid_once_whenever_the_process_ended) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1000));
    // The balance falls, and nobody is there to pay.
    co_await desk.close_money();
    Request request = TestMarket::of(RequestKind::kWithdraw);
    request.body.transfer = {.account = kAlice, .asset = kUsd, .amount = 300, .id_low = low_half(kWallet)};
    const auto report = co_await desk.venue->ask(request);
    CO_EXPECT(report);
    EXPECT_EQ(report->kind, ReportKind::kWithdrawn);
    co_await desk.close();
    CO_EXPECT(co_await desk.open());
    CO_EXPECT(co_await desk.open_money());
    co_await until([&]() -> Task<bool> { co_return co_await in_wallet() == 300; });

    // It is paid, but the row that says so was lost.
    co_await until([&]() -> Task<bool> { co_return !(co_await desk.reports->withdrawals(true, 0, 10))->empty(); });
    const auto paid = co_await desk.reports->withdrawals(true, 0, 10);
    auto txn = *co_await desk.store->begin();
    CO_EXPECT(txn->put(desk.rows, row_key(RowKind::kWithdrawal, paid->at(0).sequence), encoded(paid->at(0))));
    CO_EXPECT(txn->erase(desk.rows, row_key(RowKind::kPaidWithdrawal, paid->at(0).sequence)));
    CO_EXPECT(co_await txn->commit());
    txn.reset();
    co_await desk.close();
    CO_EXPECT(co_await desk.open());
    CO_EXPECT(co_await desk.open_money());
    co_await until([&]() -> Task<bool> { co_return (co_await desk.reports->withdrawals(false, 0, 10))->empty(); });
    EXPECT_EQ(co_await in_wallet(), 300);
    EXPECT_EQ(co_await booked(kAlice, kUsd), 700);
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_wallet_that_is_closed_meanwhile_is_an_open_problem_and_paid_when_it_opens) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1000));
    const ledger::Transfer closing{.id = 900,
                                   .debit_account_id = kWallet,
                                   .credit_account_id = issuer_account_id(kUsd),
                                   .amount = 0,
                                   .ledger = *co_await desk.funding->ledger_of(kUsd),
                                   .code = 1,
                                   .flags = ledger::transfer_flags::kPending | ledger::transfer_flags::kClosingDebit};
    CO_EXPECT(co_await desk.ledger->create_transfers(std::span(&closing, 1)));
    EXPECT_EQ((co_await desk.funding->withdraw(kAlice, kUsd, 1, LedgerName(kWallet))).error().code(), Code::kInvalid);
    Request request = TestMarket::of(RequestKind::kWithdraw);
    request.body.transfer = {.account = kAlice, .asset = kUsd, .amount = 300, .id_low = low_half(kWallet)};
    CO_EXPECT(co_await desk.venue->ask(request));
    co_await until([&]() -> Task<bool> { co_return !desk.funding->statistics().problem.empty(); });
    EXPECT_EQ(desk.funding->statistics().unpaid, 1u);
    const ledger::Transfer opening{.id = 901, .pending_id = 900, .flags = ledger::transfer_flags::kVoidPending};
    CO_EXPECT(co_await desk.ledger->create_transfers(std::span(&opening, 1)));
    co_await until([&]() -> Task<bool> { co_return co_await in_wallet() == 300; });
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_settled_day_makes_both_books_equal_and_its_file_adds_up) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    for (const AccountId account : {kAlice, kBob}) {
      CO_EXPECT(co_await desk.funding->fund(account, kUsd, 10'000'000));
      CO_EXPECT(co_await desk.funding->fund(account, kShares, 1'000));
    }
    CO_EXPECT(co_await desk.venue->ask(market.order(1, Side::kSell, 10'010, 300)));
    CO_EXPECT(co_await desk.venue->ask(market.order(2, Side::kBuy, 10'010, 200)));
    CO_EXPECT(co_await desk.funding->withdraw(kAlice, kUsd, 1'000, LedgerName(kWallet)));
    const auto day = co_await desk.settlement->settle(20261122);
    CO_EXPECT(day);
    EXPECT_EQ(day->problem, "");
    EXPECT_EQ(day->state, DayState::kWritten);
    co_await until([this]() -> Task<bool> { co_return co_await in_wallet() == 1'000; });
    co_await same_in_both_books();
    EXPECT_GT(co_await balance(1, kUsd), 0);  // fees

    std::string file;
    const std::function<Task<Result<void>>(std::string_view)> gather =
        [&file](std::string_view piece) -> Task<Result<void>> {
      file += piece;
      co_return Result<void>();
    };
    CO_EXPECT(co_await desk.settlement->read(20261122, 0, gather));
    EXPECT_EQ(file.size(), day->file_bytes);
    EXPECT_EQ(base::hex_encode(base::sha256(file)), day->sha256);
    EXPECT_THAT(file, HasSubstr("account,name,asset,type,time,sequence,symbol,match,order,amount,balance\n"));
    EXPECT_THAT(file, HasSubstr(",S1,1,"));
    EXPECT_THAT(file, HasSubstr("2,A2,USD,withdrawal,"));
    EXPECT_THAT(file, HasSubstr(",-10.00,"));
    EXPECT_THAT(file, HasSubstr("3,A3,S1,closing,,,,,,,1200\n"));
    std::string own;
    const std::function<Task<Result<void>>(std::string_view)> gather_own =
        [&own](std::string_view piece) -> Task<Result<void>> {
      own += piece;
      co_return Result<void>();
    };
    CO_EXPECT(co_await desk.settlement->read(20261122, kBob, gather_own));
    std::istringstream lines(own);
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) EXPECT_TRUE(line.starts_with("3,A3,")) << line;
    EXPECT_EQ((co_await desk.settlement->read(20261121, 0, gather)).error().code(), Code::kNotFound);

    // The day is over; the next one begins with what this one left.
    EXPECT_EQ((co_await desk.settlement->settle(20261122)).error().code(), Code::kExists);
    EXPECT_EQ((co_await desk.settlement->settle(20261399)).error().code(), Code::kInvalid);
    CO_EXPECT(co_await desk.venue->ask(market.order(1, Side::kSell, 10'000, 5)));
    CO_EXPECT(co_await desk.venue->ask(market.order(2, Side::kBuy, 10'000, 5)));
    const auto next = co_await desk.settlement->settle(20261123);
    CO_EXPECT(next);
    EXPECT_EQ(next->problem, "");
    EXPECT_EQ(next->previous_day, 20261122u);
    file.clear();
    CO_EXPECT(co_await desk.settlement->read(20261123, 0, gather));
    EXPECT_THAT(file, HasSubstr("3,A3,S1,opening,,,,,,,1200\n"));
    EXPECT_THAT(file, HasSubstr("3,A3,S1,closing,,,,,,,1205\n"));
    co_await same_in_both_books();
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_day_that_was_closed_and_not_settled_is_settled_at_the_next_start_and_booked_once) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    base::SeededRandom random{5};
    for (const AccountId account : {kAlice, kBob})
      for (AssetId asset = 1; asset <= 4; ++asset)
        CO_EXPECT(co_await desk.funding->fund(account, asset, 1'000'000'000));
    for (int i = 0; i < 400; ++i) {
      const Side side = random.chance(1, 2) ? Side::kBuy : Side::kSell;
      CO_EXPECT(co_await desk.venue->ask(
          market.order(static_cast<SessionId>(1 + random.below(2)), side, static_cast<Price>(9'990 + random.below(20)),
                       static_cast<Quantity>(1 + random.below(100)), static_cast<InstrumentId>(1 + random.below(3)))));
    }
    co_await desk.close_money();
    Request request = TestMarket::of(RequestKind::kSettleDay);
    request.body.day = 20261122;
    CO_EXPECT(co_await desk.venue->ask(request));
    co_await desk.close();

    CO_EXPECT(co_await desk.open());
    CO_EXPECT(co_await desk.open_money());
    const auto written = [&]() -> Task<bool> {
      const auto day = co_await desk.reports->day(20261122);
      co_return day && *day && (*day)->state == DayState::kWritten;
    };
    co_await until(written);
    co_await same_in_both_books();
    const auto first = **co_await desk.reports->day(20261122);
    EXPECT_EQ(first.problem, "");

    // The row was lost behind the booking: the same is done again, and changes nothing.
    auto txn = *co_await desk.store->begin();
    DayRecord again = first;
    again.state = DayState::kClosed;
    again.sha256.clear();
    CO_EXPECT(txn->put(desk.rows, row_key(RowKind::kDay, 20261122), encoded(again)));
    CO_EXPECT(co_await txn->commit());
    txn.reset();
    co_await desk.close();
    CO_EXPECT(co_await desk.open());
    CO_EXPECT(co_await desk.open_money());
    co_await until(written);
    EXPECT_EQ(**co_await desk.reports->day(20261122), first);
    co_await same_in_both_books();
    co_await desk.close();
  });
}

TEST_F(MoneyTest, a_day_is_closed_when_it_is_over) {
  desk.run([this]() -> Task<void> {
    CO_EXPECT(co_await begin());
    CO_EXPECT(co_await desk.funding->fund(kAlice, kUsd, 1'000));
    co_await desk.caught_up();
    co_await desk.close_money();
    CO_EXPECT(co_await desk.open_money(true));
    const uint32_t today = day_of(desk.clock.wall().time_since_epoch().count());
    // The day has begun and is not over.
    (void)co_await io::sleep_for(std::chrono::milliseconds(50));
    EXPECT_TRUE((co_await desk.reports->days(10))->empty());
    desk.clock.shift(std::chrono::hours(24));
    desk.settlement->look_at_rows();
    co_await until([&]() -> Task<bool> {
      const auto day = co_await desk.reports->day(today);
      co_return day && *day && (*day)->state == DayState::kWritten;
    });
    EXPECT_EQ((co_await desk.reports->days(10))->size(), 1u);
    co_await desk.close();
  });
}

TEST(LedgerNames, tell_members_from_everything_else) {
  EXPECT_EQ(member_of(member_account_id(7, 3)), (Member{.account = 7, .asset = 3}));
  EXPECT_FALSE(member_of(clearing_account_id(3)));
  EXPECT_FALSE(member_of(issuer_account_id(3)));
  EXPECT_FALSE(member_of(4711));
  EXPECT_NE(settlement_transfer_id(20261122, 0, 1, 1), settlement_transfer_id(20261122, 1, 1, 1));
  EXPECT_NE(withdrawal_transfer_id(5, 0), withdrawal_transfer_id(uint64_t{5} << 32, 0));
}

TEST(Days, are_dates) {
  EXPECT_EQ(day_of(0), 19700101u);
  EXPECT_EQ(day_of(1'795'305'600'000'000'000 - 1), 20261121u);
  EXPECT_TRUE(is_day(20240229));
  EXPECT_FALSE(is_day(20230229));
  EXPECT_FALSE(is_day(0));
  EXPECT_FALSE(is_day(UINT32_MAX));
}

}  // namespace
}  // namespace polis::exchange
