#include "systems/ledger/faces/command_call.h"

namespace polis::ledger {

void add_flags(std::string& path, const systems::Invocation& call,
               std::initializer_list<std::pair<std::string_view, std::string_view>> flags_and_names) {
  for (const auto& [name, parameter] : flags_and_names)
    if (std::string value = flag(call, std::string(name)); !value.empty()) add_query(path, parameter, value);
}

}  // namespace polis::ledger
