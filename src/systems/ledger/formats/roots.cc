#include "systems/ledger/formats/roots.h"

#include <algorithm>

#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y); });
}

}  // namespace

std::string_view root_of(AccountKind kind) {
  switch (kind) {
    case AccountKind::kAsset:
      return "Assets";
    case AccountKind::kLiability:
      return "Liabilities";
    case AccountKind::kEquity:
      return "Equity";
    case AccountKind::kIncome:
      return "Income";
    case AccountKind::kExpense:
      return "Expenses";
  }
  return "Equity";
}

std::string name_below_root(const NamedAccount& account) {
  std::string_view given = account.name;
  const size_t colon = given.find(':');
  if (colon != std::string_view::npos && colon + 1 < given.size() &&
      (same_word(given.substr(0, colon), root_of(account.kind)) ||
       same_word(given.substr(0, colon), name(account.kind))))
    given.remove_prefix(colon + 1);
  std::string below;
  while (!given.empty()) {
    const size_t before = below.size();
    append_character(below, take_character(given));
    if (below.size() > kNameBytesMax) {
      below.resize(before);
      break;
    }
  }
  if (below.empty()) append_number(below, account.id);
  return below;
}

}  // namespace polis::ledger::formats
