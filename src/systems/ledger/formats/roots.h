// The five roots that plain-text accounting sorts accounts under, and the parts of an account's name below them.
#pragma once

#include <string_view>

#include "systems/ledger/formats/export.h"

namespace polis::ledger::formats {

// "Assets", "Liabilities", "Equity", "Income", "Expenses": the default of all three programs.
std::string_view root_of(AccountKind kind);

// How deep a hierarchy is taken over; the rest stays in the last part.
inline constexpr size_t kPartsMax = 16;

// The name that stands below the root: cut to kNameBytesMax, the id if there is none, without a first part that repeats
// the root ("assets:cash" of an asset is "cash").
std::string name_below_root(const NamedAccount& account);

// Calls visit for each ':'-separated part, at least one; parts may be empty.
template <class Visit>
void for_each_part(const NamedAccount& account, Visit visit) {
  const std::string name = name_below_root(account);
  std::string_view rest = name;
  for (size_t parts = 1; parts < kPartsMax; ++parts) {
    const size_t colon = rest.find(':');
    if (colon == std::string_view::npos) break;
    visit(rest.substr(0, colon));
    rest.remove_prefix(colon + 1);
  }
  visit(rest);
}

}  // namespace polis::ledger::formats
