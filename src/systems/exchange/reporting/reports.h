// Reports: questions about what the reporter wrote down. What is answered is on disk, and as old as the reporter's last
// commit; what is open now the live venue knows. Any shard.
//
// Pages go from the newest to the oldest: pass the sequence (or match) of the last record of a page as `before` to get
// the next one; 0 begins at the newest.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "kernel/store/store.h"
#include "systems/exchange/reporting/records.h"

namespace polis::exchange {

class Reporter;

inline constexpr size_t kPageMax = 1000;

class Reports final : public ReportArchive {
 public:
  // All of it outlives this.
  Reports(store::Store& store, store::Keyspace rows, const Reporter& reporter)
      : store_(store), rows_(rows), reporter_(reporter) {}

  Task<Result<std::vector<StoredReport>>> of_session(SessionId session, uint64_t first_ordinal, size_t most) override;
  Sequence committed() const override;

  Task<Result<std::optional<OrderRecord>>> order(OrderId order);
  // `limit` 1 .. kPageMax, as below.
  Task<Result<std::vector<OrderRecord>>> orders(AccountId account, Sequence before, size_t limit);
  struct FillQuery {
    AccountId account = 0;
    OrderId order = 0;            // 0: of all
    InstrumentId instrument = 0;  // 0: of all
    VenueTime from = 0, to = INT64_MAX;
    Sequence before = 0;
    size_t limit = 100;
  };
  // Looks at 100,000 fills at most; a page that is short for that reason has a `more`.
  struct FillPage {
    std::vector<FillRecord> fills;
    Sequence more_before = 0;  // 0: there are no more
  };
  Task<Result<FillPage>> fills(FillQuery query);
  struct Trade {
    TradeRecord record;
    bool broken = false;
  };
  Task<Result<std::vector<Trade>>> trades(InstrumentId instrument, MatchId before, size_t limit);

  // Every movement of the account with first <= sequence < last, oldest first; `each` returns false to end it.
  Task<Result<void>> movements(AccountId account, Sequence first, Sequence last,
                               std::function<bool(const Movement&)> each);
  // Balances when the day was closed, by asset; those that were 0 are absent. Of all accounts: by account, at most
  // `most` of them from `first` on.
  Task<Result<std::vector<AssetAmount>>> closing(uint32_t day, AccountId account);
  Task<Result<std::vector<std::pair<AccountId, std::vector<AssetAmount>>>>> closings(uint32_t day, AccountId first,
                                                                                     size_t most);
  Task<Result<std::optional<DayRecord>>> day(uint32_t day);
  Task<Result<std::vector<DayRecord>>> days(size_t limit);  // newest first
  // Those that are to be paid, or are paid, from this sequence on, oldest first.
  Task<Result<std::vector<WithdrawalRecord>>> withdrawals(bool paid, Sequence first, size_t most);

 private:
  // The order as the chunks of its block say, from the one that holds `from` on.
  Task<Result<std::optional<OrderRecord>>> order_since(OrderId order, Sequence from);
  // Puts what trades that were taken back left of them in their place.
  Task<Result<void>> mend_broken(AccountId account, std::vector<OrderRecord>& orders);
  // The chunks whose keys are `key` and one more part, and whose records may be below `before` (0: all), newest first;
  // each() gets the chunk's value and returns whether it wants more.
  Task<Result<void>> chunks_down(std::string key, uint64_t before,
                                 const std::function<Result<bool>(std::string_view)>& each);
  // The chunks from the one that holds `from` on, oldest first.
  Task<Result<void>> chunks_up(std::string key, uint64_t from,
                               const std::function<Result<bool>(std::string_view key, std::string_view value)>& each);

  store::Store& store_;
  const store::Keyspace rows_;
  const Reporter& reporter_;
};

}  // namespace polis::exchange
