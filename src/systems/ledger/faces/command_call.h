// What the commands share: paths of the API, and answers taken apart.
#pragma once

#include <string>
#include <string_view>

#include "systems/command_call.h"

namespace polis::ledger {

inline constexpr std::string_view kApi = "/api/ledger/v1";

// "/api/ledger/v1/accounts/alice", each part encoded.
inline std::string api_path(std::initializer_list<std::string_view> parts) {
  return systems::api_path(kApi, parts);
}
using systems::add_query, systems::flag;
// Adds "name=value" for each flag that is set, to a path that may have a query.
void add_flags(std::string& path, const systems::Invocation& call,
               std::initializer_list<std::pair<std::string_view, std::string_view>> flags_and_names);

}  // namespace polis::ledger
