// `polis ledger <verb>`: they run in the process of the command line and speak to a running polis through
// /api/ledger/v1; bench speaks the TigerBeetle protocol, simulate needs no polis at all.
#pragma once

#include <vector>

#include "systems/command.h"

namespace polis::ledger {

std::vector<systems::Command> commands();

// --- by subject
std::vector<systems::Command> account_commands();      // ledgers, accounts, balances, history
std::vector<systems::Command> transaction_commands();  // transfer, post, void, reverse
std::vector<systems::Command> book_commands();         // statements, exports, imports, proofs, verification, simulation

}  // namespace polis::ledger
