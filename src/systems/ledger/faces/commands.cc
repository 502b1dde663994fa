#include "systems/ledger/faces/commands.h"

#include "systems/ledger/faces/bench_command.h"

namespace polis::ledger {

std::vector<systems::Command> commands() {
  std::vector<systems::Command> all;
  for (auto list : {account_commands(), transaction_commands(), book_commands()})
    for (systems::Command& command : list) all.push_back(std::move(command));
  all.push_back(bench_command());
  return all;
}

}  // namespace polis::ledger
