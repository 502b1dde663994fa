#include "systems/ledger/faces/bench_load.h"

#include <algorithm>
#include <cstring>

namespace polis::ledger {
namespace {

// Of the high 32 bits: a multiplication instead of a division (Lemire, 2019; the bias of 2^-32 * bound is nothing to a
// load).
uint64_t scale(uint64_t random, uint64_t bound) {
  return ((random >> 32) * bound) >> 32;
}

}  // namespace

BenchLoad::BenchLoad(const BenchWorkload& workload) : workload_(workload) {
  POLIS_ASSERT(workload.accounts >= 2 && workload.accounts <= UINT32_MAX);
  if (workload.hot_percent > 0 && workload.hot_percent < 100)
    hot_accounts_ = std::max<uint64_t>(1, workload.accounts * workload.hot_percent / 100);
}

Id BenchLoad::account_id(uint64_t index) const {
  return (Id{workload_.books} << 64) | (index + 1);
}

uint64_t BenchLoad::pick(uint64_t random) const {
  if (hot_accounts_ == 0) return scale(random, workload_.accounts);
  // The lowest byte says on which side of 80 % this one lies; scale() uses the high half.
  if ((random & 0xFF) < 205) return scale(random, hot_accounts_);
  return hot_accounts_ + scale(random, workload_.accounts - hot_accounts_);
}

void BenchLoad::write_accounts(MutableBytes body, uint64_t first, size_t count) const {
  POLIS_ASSERT(body.size() >= count * sizeof(Account));
  for (size_t i = 0; i < count; ++i) {
    Account account;
    account.id = account_id(first + i);
    account.ledger = workload_.ledger;
    account.code = 1;
    std::memcpy(body.data() + i * sizeof account, &account, sizeof account);
  }
}

u128 BenchLoad::write_transfers(MutableBytes body, uint64_t first, size_t count, bool post) const {
  POLIS_ASSERT(body.size() >= count * sizeof(Transfer));
  u128 sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t number = first + i;
    const uint64_t reserved = split_mix(number * 2);
    const uint64_t random = split_mix(reserved);
    const uint64_t amount = 1 + (random & 0x3FF);
    sum += amount;
    Transfer transfer;
    transfer.ledger = workload_.ledger;
    transfer.code = 1;
    transfer.id = (Id{workload_.run} << 64) | (post ? split_mix(number * 2 + 1) : reserved);
    if (post) {
      transfer.pending_id = (Id{workload_.run} << 64) | reserved;
      transfer.amount = kU128Max;
      transfer.flags = transfer_flags::kPostPending;
    } else {
      const uint64_t debit = pick(random);
      uint64_t credit = pick(split_mix(random));
      if (credit == debit) credit = debit + 1 < workload_.accounts ? debit + 1 : 0;
      transfer.debit_account_id = account_id(debit);
      transfer.credit_account_id = account_id(credit);
      transfer.amount = amount;
      transfer.flags = workload_.two_phase ? transfer_flags::kPending : 0;
    }
    std::memcpy(body.data() + i * sizeof transfer, &transfer, sizeof transfer);
  }
  return sum;
}

}  // namespace polis::ledger
