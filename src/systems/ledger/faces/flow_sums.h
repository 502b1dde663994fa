// How much went from where to where: transfers added up by pairs of accounts, or of account codes, for the console's
// picture of flows. Values only.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "systems/ledger/types.h"

namespace polis::ledger {

class FlowSums {
 public:
  struct Sum {
    u128 amount = 0;  // stays at 2^128-1 when it would run over
    uint64_t transfers = 0;
  };
  struct Flow {
    // Account id or code; empty for "all others".
    std::string debit, credit;
    Sum sum;
  };

  void add(u128 debit, u128 credit, u128 amount);
  // At most `ends_max` different debited ends and as many credited ones, the largest; what the rest moved is summed up
  // as "all others". Largest first.
  std::vector<Flow> largest(size_t ends_max) const;
  const Sum& total() const { return total_; }

 private:
  std::map<std::pair<u128, u128>, Sum> pairs_;
  Sum total_;
};

}  // namespace polis::ledger
