// An account as it was at a moment of the past, summed up from its transfers in slices, so that the history of a busy
// account holds nobody up: commands go on between two slices.
#pragma once

#include "systems/ledger/ledger.h"

namespace polis::ledger {

struct PastAccountOptions {
  uint32_t slice = 4'096;              // transfers that one query adds up: about a millisecond
  uint64_t transfers_max = 2'000'000;  // about half a second; beyond it the account stays unknown
};

struct PastAccount {
  Account account;
  bool known = true;  // false: its history is too long to be summed up while somebody waits
};

// `account` is the account as it is now; it existed at `timestamp`. Any shard.
Task<Result<PastAccount>> past_account(Ledger& ledger, Account account, uint64_t timestamp,
                                       PastAccountOptions options = {});

}  // namespace polis::ledger
