// Filters and searches.
#include <algorithm>

#include "systems/ledger/engine_state.h"

namespace polis::ledger {
namespace {

bool all_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

// Limit, times and flags, which all filters have.
template <class Filter>
bool is_valid(const Filter& filter, uint32_t flags_known) {
  return filter.limit != 0 && filter.timestamp_min <= kTimestampMax && filter.timestamp_max <= kTimestampMax &&
         (filter.timestamp_max == 0 || filter.timestamp_min <= filter.timestamp_max) &&
         (filter.flags & ~flags_known) == 0 && all_zero(filter.reserved);
}

// What all filters and queries say of records.
template <class Query, class Filter>
Query common_query(const Filter& filter, uint32_t flag_reversed) {
  Query query;
  query.user_data_128 = filter.user_data_128;
  query.user_data_64 = filter.user_data_64;
  query.user_data_32 = filter.user_data_32;
  query.code = filter.code;
  query.timestamp_min = filter.timestamp_min;
  query.timestamp_max = filter.timestamp_max == 0 ? kTimestampMax : filter.timestamp_max;
  query.limit = filter.limit;
  query.reversed = (filter.flags & flag_reversed) != 0;
  return query;
}

template <class Query, class Record>
bool user_data_and_code_match(const Query& query, const Record& record) {
  return (query.user_data_128 == 0 || record.user_data_128 == query.user_data_128) &&
         (query.user_data_64 == 0 || record.user_data_64 == query.user_data_64) &&
         (query.user_data_32 == 0 || record.user_data_32 == query.user_data_32) &&
         (query.ledger == 0 || record.ledger == query.ledger) && (query.code == 0 || record.code == query.code);
}

bool matches(const TransferQuery& query, const Transfer& transfer) {
  if (query.account) {
    const bool debits = query.debits && transfer.debit_account_id == *query.account;
    const bool credits = query.credits && transfer.credit_account_id == *query.account;
    if (!debits && !credits) return false;
  }
  return user_data_and_code_match(query, transfer) && transfer.amount >= query.amount_min &&
         transfer.amount <= query.amount_max;
}

// The predicates that an index answers.
class Predicates {
 public:
  void add(uint8_t field, u128 value) {
    if (value != 0) values_[count_++] = {.field = field, .value = field_value(value)};
  }
  std::span<const FieldValue> span() const { return {values_, count_}; }

 private:
  FieldValue values_[8];
  size_t count_ = 0;
};

}  // namespace

std::optional<TransferQuery> to_query(const AccountFilter& filter) {
  using namespace account_filter_flags;
  if (!is_valid(filter, kAll)) return std::nullopt;
  if (filter.account_id == 0 || filter.account_id == kU128Max) return std::nullopt;
  if ((filter.flags & (kDebits | kCredits)) == 0) return std::nullopt;
  auto query = common_query<TransferQuery>(filter, kReversed);
  query.account = filter.account_id;
  query.debits = (filter.flags & kDebits) != 0;
  query.credits = (filter.flags & kCredits) != 0;
  return query;
}

std::optional<TransferQuery> to_transfer_query(const QueryFilter& filter) {
  if (!is_valid(filter, query_filter_flags::kAll)) return std::nullopt;
  auto query = common_query<TransferQuery>(filter, query_filter_flags::kReversed);
  query.ledger = filter.ledger;
  return query;
}

std::optional<AccountQuery> to_account_query(const QueryFilter& filter) {
  if (!is_valid(filter, query_filter_flags::kAll)) return std::nullopt;
  auto query = common_query<AccountQuery>(filter, query_filter_flags::kReversed);
  query.ledger = filter.ledger;
  return query;
}

// Accounts, transfers and expiries each stand in the order of their timestamps.
Engine::State::Slots Engine::State::slots_between(const ChunkedLog& log, uint64_t timestamp_offset,
                                                  uint64_t timestamp_min, uint64_t timestamp_max) {
  const auto timestamp = [&](const std::byte* row) { return read_row<uint64_t>(row + timestamp_offset); };
  if (timestamp_min > timestamp_max || log.size() == 0) return {};
  // Most ask for the newest.
  const uint64_t newest = timestamp(log.row(log.size() - 1));
  if (timestamp_min > newest) return {log.size(), log.size()};
  const uint64_t begin =
      timestamp_min == 0 ? 0 : log.lower_bound([&](const std::byte* row) { return timestamp(row) < timestamp_min; });
  const uint64_t end = timestamp_max >= newest
                           ? log.size()
                           : log.lower_bound([&](const std::byte* row) { return timestamp(row) <= timestamp_max; });
  return {begin, end};
}

template <class Visit>
void Engine::State::visit_transfers(const TransferQuery& query, Visit visit) const {
  if (query.limit == 0 || (query.account && !query.debits && !query.credits)) return;
  FieldValue either[2];
  size_t sides = 0;
  if (query.account) {
    const uint64_t value = field_value(*query.account);
    if (query.debits) either[sides++] = {.field = transfer_field::kDebitAccount, .value = value};
    if (query.credits) either[sides++] = {.field = transfer_field::kCreditAccount, .value = value};
  }
  Predicates all;
  all.add(transfer_field::kUserData128, query.user_data_128);
  all.add(transfer_field::kUserData64, query.user_data_64);
  all.add(transfer_field::kUserData32, query.user_data_32);
  all.add(transfer_field::kLedger, query.ledger);
  all.add(transfer_field::kCode, query.code);
  const Slots slots = slots_between(transfers, offsetof(Transfer, timestamp), query.timestamp_min, query.timestamp_max);
  uint32_t found = 0;
  transfers.search(std::span(either, sides), all.span(), slots.begin, slots.end, query.reversed,
                   [&](uint64_t slot, const std::byte* row) {
                     const auto transfer = read_row<Transfer>(row);
                     if (!matches(query, transfer)) return true;
                     visit(slot, transfer);
                     return ++found < query.limit;
                   });
}

std::vector<Transfer> Engine::transfers(const TransferQuery& query) const {
  std::vector<Transfer> found;
  state_->visit_transfers(query, [&](uint64_t, const Transfer& transfer) { found.push_back(transfer); });
  return found;
}

std::vector<Account> Engine::accounts(const AccountQuery& query) const {
  const State& s = *state_;
  std::vector<Account> found;
  if (query.limit == 0) return found;
  Predicates all;
  all.add(account_field::kUserData128, query.user_data_128);
  all.add(account_field::kUserData64, query.user_data_64);
  all.add(account_field::kUserData32, query.user_data_32);
  all.add(account_field::kLedger, query.ledger);
  all.add(account_field::kCode, query.code);
  const State::Slots slots =
      State::slots_between(s.account_log, offsetof(Account, timestamp), query.timestamp_min, query.timestamp_max);
  s.account_log.search(all.span(), slots.begin, slots.end, query.reversed, [&](uint64_t slot, const std::byte*) {
    // What is indexed never changes; the rest is as it stands now.
    const Account& account = s.accounts[slot];
    if (!user_data_and_code_match(query, account)) return true;
    found.push_back(account);
    return found.size() < query.limit;
  });
  return found;
}

std::vector<AccountBalance> Engine::balances(const TransferQuery& query) const {
  const State& s = *state_;
  std::vector<AccountBalance> found;
  if (!query.account) return found;
  const uint64_t account_slot = s.find_account(*query.account);
  if (account_slot == State::kNone || !has(s.accounts[account_slot].flags, account_flags::kHistory)) return found;
  s.visit_transfers(query, [&](uint64_t slot, const Transfer& transfer) {
    const BalanceRow row = s.balance_after(slot, account_slot);
    AccountBalance& balance = found.emplace_back();
    balance.debits_pending = row.debits_pending;
    balance.debits_posted = row.debits_posted;
    balance.credits_pending = row.credits_pending;
    balance.credits_posted = row.credits_posted;
    balance.timestamp = transfer.timestamp;
  });
  return found;
}

// The row that was noted for a transfer of an account that keeps history.
BalanceRow Engine::State::balance_after(uint64_t transfer_slot, uint64_t account_slot) const {
  // At most two rows are of one transfer.
  uint64_t at =
      balances.lower_bound([&](const std::byte* row) { return read_row<BalanceRow>(row).transfer < transfer_slot; });
  BalanceRow row = row_at<BalanceRow>(balances, at);
  if (row.account != account_slot) row = row_at<BalanceRow>(balances, at + 1);
  POLIS_ASSERT(row.transfer == transfer_slot && row.account == account_slot);
  return row;
}

}  // namespace polis::ledger
