#include "systems/exchange/reporting/reports.h"

#include <algorithm>
#include <ranges>

#include "kernel/io/shard.h"
#include "systems/exchange/reporting/reporter.h"

namespace polis::exchange {
namespace {

constexpr size_t kFillsExaminedMax = 100'000;
constexpr size_t kReportsMax = 10'000;
constexpr size_t kChunksAtOnce = 16;

Result<void> check_limit(size_t limit, size_t most) {
  if (limit == 0 || limit > most) return fail(Code::kInvalid, "a page has 1 to " + std::to_string(most) + " records");
  return {};
}

std::string with_part(std::string key, uint64_t part) {
  append_part(key, part);
  return key;
}

}  // namespace

Sequence Reports::committed() const {
  return reporter_.committed();
}

Task<Result<void>> Reports::chunks_down(std::string key, uint64_t before,
                                        const std::function<Result<bool>(std::string_view)>& each) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  store::KeyRange range = store::prefix_range(key);
  if (before != 0) range.end = with_part(key, before);
  for (;;) {
    const store::Scan scan =
        CO_TRY(co_await txn->scan(rows_, range, {.limit = kChunksAtOnce, .bytes_limit = 1 << 20, .reverse = true}));
    for (const store::Row& row : scan.rows) {
      if (!CO_TRY(each(row.value))) co_return Result<void>();
      co_await io::yield();  // a chunk is some 0.2 ms of work
    }
    if (!scan.more) co_return Result<void>();
    range.end = scan.rows.back().key;
  }
}

Task<Result<void>> Reports::chunks_up(std::string key, uint64_t from,
                                      const std::function<Result<bool>(std::string_view, std::string_view)>& each) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  store::KeyRange range = store::prefix_range(key);
  // The chunk that begins at or before `from`.
  store::KeyRange below{.begin = range.begin, .end = with_part(key, from) + '\0'};
  const store::Scan before = CO_TRY(co_await txn->scan(rows_, below, {.limit = 1, .reverse = true, .keys_only = true}));
  if (!before.rows.empty()) range.begin = before.rows.front().key;
  for (;;) {
    const store::Scan scan = CO_TRY(co_await txn->scan(rows_, range, {.limit = kChunksAtOnce, .bytes_limit = 1 << 20}));
    for (const store::Row& row : scan.rows) {
      if (!CO_TRY(each(row.key, row.value))) co_return Result<void>();
      co_await io::yield();
    }
    if (!scan.more) co_return Result<void>();
    range.begin = scan.rows.back().key + '\0';
  }
}

Task<Result<std::vector<StoredReport>>> Reports::of_session(SessionId session, uint64_t first_ordinal, size_t most) {
  CO_TRY(check_limit(most, kReportsMax));
  std::vector<StoredReport> found;
  uint64_t next = first_ordinal;
  const std::function<Result<bool>(std::string_view, std::string_view)> each =
      [&](std::string_view key, std::string_view value) -> Result<bool> {
    uint64_t ordinal = TRY(key_part(key, 1));
    for (StoredReport& report : TRY(decode_reports(value, session))) {
      if (ordinal++ < next) continue;
      // Rows that are gone are worse than none: what is told here becomes a client's history.
      if (ordinal != next + 1) return fail(Code::kCorrupt, "reports of a session are missing between two rows");
      found.push_back(std::move(report));
      ++next;
      if (found.size() == most) return false;
    }
    return true;
  };
  CO_TRY(co_await chunks_up(row_key(RowKind::kSessionReports, session), first_ordinal, each));
  co_return std::move(found);
}

Task<Result<std::optional<OrderRecord>>> Reports::order(OrderId order) {
  co_return co_await order_since(order, 0);
}

// When it was entered stands in its first state, everything else in its last.
Task<Result<std::optional<OrderRecord>>> Reports::order_since(OrderId order, Sequence from) {
  std::optional<OrderRecord> found;
  const std::function<Result<bool>(std::string_view, std::string_view)> each =
      [&](std::string_view, std::string_view value) -> Result<bool> {
    for (OrderRecord& state : TRY(decode_chunk<OrderRecord>(value))) {
      if (state.order != order) continue;
      if (found) {
        state.entered_sequence = found->entered_sequence;
        state.entered = found->entered;
      }
      found = std::move(state);
    }
    // What is behind its end comes seldom: whoever asks for many orders looks for that once (mend_broken).
    return from == 0 || !found || !has_ended(found->status);
  };
  const OrderBlock block = order_block(order);
  CO_TRY(co_await chunks_up(row_key(RowKind::kOrder, block.places, block.generations), from, each));
  co_return found;
}

Task<Result<std::vector<OrderRecord>>> Reports::orders(AccountId account, Sequence before, size_t limit) {
  CO_TRY(check_limit(limit, kPageMax));
  std::vector<AccountOrder> page;
  const std::function<Result<bool>(std::string_view)> each = [&](std::string_view value) -> Result<bool> {
    for (const AccountOrder& order : TRY(decode_chunk<AccountOrder>(value)) | std::views::reverse) {
      if (before != 0 && order.sequence >= before) continue;
      page.push_back(order);
      if (page.size() == limit) return false;
    }
    return true;
  };
  CO_TRY(co_await chunks_down(row_key(RowKind::kAccountOrders, account), before, each));
  std::vector<OrderRecord> found;
  for (const auto& [sequence, id] : page) {
    if (auto order = CO_TRY(co_await order_since(id, sequence))) found.push_back(std::move(*order));
  }
  CO_TRY(co_await mend_broken(account, found));
  co_return std::move(found);
}

// Trades that were taken back are so few that all of an account are looked at.
Task<Result<void>> Reports::mend_broken(AccountId account, std::vector<OrderRecord>& orders) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  store::KeyRange range = store::prefix_range(row_key(RowKind::kBrokenOrder, account));
  for (bool more = true; more;) {
    const store::Scan scan = CO_TRY(co_await txn->scan(rows_, range));
    for (const store::Row& row : scan.rows) {
      OrderRecord broken = CO_TRY(decode<OrderRecord>(row.value));
      const auto order = std::ranges::find(orders, broken.order, &OrderRecord::order);
      if (order == orders.end() || order->changed_sequence >= broken.changed_sequence) continue;
      broken.entered_sequence = order->entered_sequence;
      broken.entered = order->entered;
      *order = std::move(broken);
    }
    more = scan.more;
    if (more) range.begin = scan.rows.back().key + '\0';
  }
  co_return Result<void>();
}

Task<Result<Reports::FillPage>> Reports::fills(FillQuery query) {
  CO_TRY(check_limit(query.limit, kPageMax));
  FillPage page;
  size_t examined = 0;
  const std::function<Result<bool>(std::string_view)> each = [&](std::string_view value) -> Result<bool> {
    for (const FillRecord& fill : TRY(decode_chunk<FillRecord>(value)) | std::views::reverse) {
      if (query.before != 0 && fill.sequence >= query.before) continue;
      if (page.fills.size() == query.limit || examined == kFillsExaminedMax) {
        page.more_before = fill.sequence + 1;
        return false;
      }
      ++examined;
      if (fill.time < query.from) return false;  // and so are all before it
      if (fill.time > query.to || (query.order != 0 && fill.order != query.order) ||
          (query.instrument != 0 && fill.instrument != query.instrument))
        continue;
      page.fills.push_back(fill);
    }
    return true;
  };
  CO_TRY(co_await chunks_down(row_key(RowKind::kFills, query.account), query.before, each));
  co_return std::move(page);
}

Task<Result<std::vector<Reports::Trade>>> Reports::trades(InstrumentId instrument, MatchId before, size_t limit) {
  CO_TRY(check_limit(limit, kPageMax));
  std::vector<Trade> found;
  const std::function<Result<bool>(std::string_view)> each = [&](std::string_view value) -> Result<bool> {
    for (const TradeRecord& trade : TRY(decode_chunk<TradeRecord>(value)) | std::views::reverse) {
      if (before != 0 && trade.match >= before) continue;
      found.push_back({.record = trade});
      if (found.size() == limit) return false;
    }
    return true;
  };
  CO_TRY(co_await chunks_down(row_key(RowKind::kTrades, instrument), before, each));
  if (found.empty()) co_return std::move(found);
  // Breaks are rare, so they are read as one range rather than one by one.
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  const store::KeyRange range{.begin = row_key(RowKind::kBrokenTrade, instrument, found.back().record.match),
                              .end = row_key(RowKind::kBrokenTrade, instrument, found.front().record.match + 1)};
  const store::Scan broken = CO_TRY(co_await txn->scan(rows_, range, {.limit = kPageMax, .keys_only = true}));
  for (const store::Row& row : broken.rows) {
    const MatchId match = CO_TRY(key_part(row.key, 1));
    for (Trade& trade : found) trade.broken |= trade.record.match == match;
  }
  co_return std::move(found);
}

Task<Result<void>> Reports::movements(AccountId account, Sequence first, Sequence last,
                                      std::function<bool(const Movement&)> each) {
  const std::function<Result<bool>(std::string_view, std::string_view)> chunk =
      [&](std::string_view, std::string_view value) -> Result<bool> {
    for (const Movement& movement : TRY(decode_chunk<Movement>(value))) {
      if (movement.sequence < first) continue;
      if (movement.sequence >= last || !each(movement)) return false;
    }
    return true;
  };
  co_return co_await chunks_up(row_key(RowKind::kMovements, account), first, chunk);
}

Task<Result<std::vector<AssetAmount>>> Reports::closing(uint32_t day, AccountId account) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  const auto row = CO_TRY(co_await txn->get(rows_, row_key(RowKind::kClosing, day, account)));
  if (!row) co_return std::vector<AssetAmount>();
  co_return decode_chunk<AssetAmount>(row->value);
}

Task<Result<std::vector<std::pair<AccountId, std::vector<AssetAmount>>>>> Reports::closings(uint32_t day,
                                                                                            AccountId first,
                                                                                            size_t most) {
  CO_TRY(check_limit(most, kPageMax));
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  store::KeyRange range = store::prefix_range(row_key(RowKind::kClosing, day));
  range.begin = row_key(RowKind::kClosing, day, first);
  const store::Scan scan = CO_TRY(co_await txn->scan(rows_, range, {.limit = most, .bytes_limit = 8 << 20}));
  std::vector<std::pair<AccountId, std::vector<AssetAmount>>> found;
  for (const store::Row& row : scan.rows)
    found.emplace_back(static_cast<AccountId>(CO_TRY(key_part(row.key, 1))),
                       CO_TRY(decode_chunk<AssetAmount>(row.value)));
  co_return std::move(found);
}

Task<Result<std::optional<DayRecord>>> Reports::day(uint32_t day) {
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  const auto row = CO_TRY(co_await txn->get(rows_, row_key(RowKind::kDay, day)));
  if (!row) co_return std::optional<DayRecord>();
  co_return CO_TRY(decode<DayRecord>(row->value));
}

Task<Result<std::vector<DayRecord>>> Reports::days(size_t limit) {
  CO_TRY(check_limit(limit, kPageMax));
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  const store::Scan scan =
      CO_TRY(co_await txn->scan(rows_, store::prefix_range(row_key(RowKind::kDay)), {.limit = limit, .reverse = true}));
  std::vector<DayRecord> found;
  for (const store::Row& row : scan.rows) found.push_back(CO_TRY(decode<DayRecord>(row.value)));
  co_return std::move(found);
}

Task<Result<std::vector<WithdrawalRecord>>> Reports::withdrawals(bool paid, Sequence first, size_t most) {
  CO_TRY(check_limit(most, kPageMax));
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  const RowKind kind = paid ? RowKind::kPaidWithdrawal : RowKind::kWithdrawal;
  store::KeyRange range = store::prefix_range(row_key(kind));
  range.begin = row_key(kind, first);
  const store::Scan scan = CO_TRY(co_await txn->scan(rows_, range, {.limit = most}));
  std::vector<WithdrawalRecord> found;
  for (const store::Row& row : scan.rows) found.push_back(CO_TRY(decode<WithdrawalRecord>(row.value)));
  co_return std::move(found);
}

}  // namespace polis::exchange
