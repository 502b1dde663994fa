#include "systems/ledger/faces/bench_load.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

namespace polis::ledger {
namespace {

constexpr size_t kCount = 8'189;

std::vector<Transfer> transfers_of(const BenchLoad& load, uint64_t first, size_t count, bool post, u128& sum) {
  Bytes body(count * sizeof(Transfer));
  sum = load.write_transfers(body, first, count, post);
  std::vector<Transfer> transfers;
  for (size_t i = 0; i < count; ++i) transfers.push_back(record_at<Transfer>(body, i));
  return transfers;
}

TEST(BenchLoad, transfers_have_ids_of_their_own_over_batches_and_stay_between_different_accounts_of_the_books) {
  BenchLoad load({.accounts = 10, .books = 7, .run = 9});
  std::set<Id> ids;
  u128 sum = 0;
  for (uint64_t batch = 0; batch < 3; ++batch)
    for (const Transfer& transfer : transfers_of(load, batch * kCount, kCount, false, sum)) {
      EXPECT_TRUE(ids.insert(transfer.id).second);
      EXPECT_NE(transfer.debit_account_id, transfer.credit_account_id);
      for (Id account : {transfer.debit_account_id, transfer.credit_account_id}) {
        EXPECT_GE(account, load.account_id(0));
        EXPECT_LE(account, load.account_id(9));
      }
    }
}

TEST(BenchLoad, the_sum_is_that_of_the_amounts) {
  BenchLoad load({.accounts = 2, .books = 7, .run = 9});
  u128 sum = 0, added = 0;
  for (const Transfer& transfer : transfers_of(load, 5, 100, false, sum)) added += transfer.amount;
  EXPECT_TRUE(sum == added);
}

TEST(BenchLoad, a_posting_batch_posts_exactly_what_the_batch_of_the_same_numbers_reserved) {
  BenchLoad load({.accounts = 100, .two_phase = true, .books = 7, .run = 9});
  u128 reserved_sum = 0, posted_sum = 0;
  auto reserved = transfers_of(load, 1'000, 50, false, reserved_sum);
  auto posted = transfers_of(load, 1'000, 50, true, posted_sum);
  EXPECT_TRUE(reserved_sum == posted_sum);
  for (size_t i = 0; i < reserved.size(); ++i) {
    EXPECT_EQ(reserved[i].flags, transfer_flags::kPending);
    EXPECT_EQ(posted[i].flags, transfer_flags::kPostPending);
    EXPECT_TRUE(posted[i].pending_id == reserved[i].id);
    EXPECT_TRUE(posted[i].id != reserved[i].id);
  }
}

TEST(BenchLoad, a_fifth_of_the_accounts_takes_four_fifths_of_the_sides) {
  BenchLoad load({.accounts = 1'000, .hot_percent = 20, .books = 7, .run = 9});
  u128 sum = 0;
  double hot = 0;
  for (const Transfer& transfer : transfers_of(load, 0, kCount, false, sum))
    for (Id account : {transfer.debit_account_id, transfer.credit_account_id})
      hot += account < load.account_id(200) ? 1 : 0;
  EXPECT_NEAR(hot / (2 * kCount), 0.8, 0.02);
}

}  // namespace
}  // namespace polis::ledger
