// What the commands share: paths of the API, and answers taken apart.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "systems/command.h"

namespace polis::ledger {

inline constexpr std::string_view kApi = "/api/ledger/v1";

// "/api/ledger/v1/accounts/alice", each part encoded.
std::string api_path(std::initializer_list<std::string_view> parts);
// Adds "name=value" for each flag that is set, to a path that may have a query.
void add_flags(std::string& path, const systems::Invocation& call,
               std::initializer_list<std::pair<std::string_view, std::string_view>> flags_and_names);
void add_query(std::string& path, std::string_view name, std::string_view value);
std::string flag(const systems::Invocation& call, const std::string& name);

}  // namespace polis::ledger
