#include "systems/ledger/faces/flow_sums.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace polis::ledger {
namespace {

void grow(FlowSums::Sum& sum, u128 amount, uint64_t transfers) {
  sum.amount = amount > kU128Max - sum.amount ? kU128Max : sum.amount + amount;
  sum.transfers += transfers;
}

std::set<u128> largest_ends(const std::map<u128, u128>& amounts, size_t most) {
  std::vector<std::pair<u128, u128>> ranked;  // amount, end
  for (const auto& [end, amount] : amounts) ranked.emplace_back(amount, end);
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  if (ranked.size() > most) ranked.resize(most);
  std::set<u128> ends;
  for (const auto& [amount, end] : ranked) ends.insert(end);
  return ends;
}

}  // namespace

void FlowSums::add(u128 debit, u128 credit, u128 amount) {
  grow(pairs_[{debit, credit}], amount, 1);
  grow(total_, amount, 1);
}

std::vector<FlowSums::Flow> FlowSums::largest(size_t ends_max) const {
  std::map<u128, u128> debited, credited;
  for (const auto& [pair, sum] : pairs_) {
    for (u128* end : {&debited[pair.first], &credited[pair.second]})
      *end = sum.amount > kU128Max - *end ? kU128Max : *end + sum.amount;
  }
  const std::set<u128> debits = largest_ends(debited, ends_max), credits = largest_ends(credited, ends_max);
  std::map<std::pair<std::string, std::string>, Sum> shown;
  for (const auto& [pair, sum] : pairs_) {
    std::string debit = debits.contains(pair.first) ? to_decimal(pair.first) : "";
    std::string credit = credits.contains(pair.second) ? to_decimal(pair.second) : "";
    grow(shown[{std::move(debit), std::move(credit)}], sum.amount, sum.transfers);
  }
  std::vector<Flow> flows;
  for (const auto& [pair, sum] : shown) flows.push_back({pair.first, pair.second, sum});
  std::sort(flows.begin(), flows.end(), [](const Flow& a, const Flow& b) {
    return std::tie(b.sum.amount, a.debit, a.credit) < std::tie(a.sum.amount, b.debit, b.credit);
  });
  return flows;
}

}  // namespace polis::ledger
