// What people call accounts and ledgers, as far as the console shows it. Kept by the JSON face beside its metadata; the
// books themselves know numbers only. Any shard.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/io/task.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

struct LedgerName {
  uint32_t ledger = 0;
  std::string asset;   // "USD"
  uint32_t scale = 0;  // digits behind the point: an amount of 12345 is 123.45 at 2
};

class NameBook {
 public:
  virtual ~NameBook() = default;
  // One an account, in order; empty where there is none. At most 1000 are asked for.
  virtual Task<Result<std::vector<std::string>>> names(std::vector<Id> accounts) = 0;
  // Accounts whose name contains the text, at most `limit` (1..100).
  virtual Task<Result<std::vector<Id>>> find(std::string text, size_t limit) = 0;
  // Those that have a name, in any order.
  virtual Task<Result<std::vector<LedgerName>>> ledgers() = 0;
};

}  // namespace polis::ledger
