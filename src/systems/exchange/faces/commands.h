// `polis exchange <verb>`: they run in the process of the command line. What is administered goes through the admin API
// below /api/exchange/v1/admin; load, bench and the tour speak FIX, as any client outside.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "systems/command_call.h"

namespace polis::exchange {

std::vector<systems::Command> commands();

// --- by subject
std::vector<systems::Command> definition_commands();  // instruments, accounts, sessions
std::vector<systems::Command> market_commands();      // status, book, orders, phases, risk, breaks, replay
std::vector<systems::Command> money_commands();       // fund, withdraw, settle
std::vector<systems::Command> load_commands();        // load, bench, certify

// "/api/exchange/v1/admin/accounts/A7", each part encoded.
inline std::string admin_path(std::initializer_list<std::string_view> parts) {
  return systems::api_path("/api/exchange/v1/admin", parts);
}

}  // namespace polis::exchange
