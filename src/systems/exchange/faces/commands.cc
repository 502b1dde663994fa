#include "systems/exchange/faces/commands.h"

namespace polis::exchange {

std::vector<systems::Command> commands() {
  std::vector<systems::Command> all;
  for (auto subject : {definition_commands, market_commands, money_commands, load_commands})
    for (systems::Command& command : subject()) all.push_back(std::move(command));
  return all;
}

}  // namespace polis::exchange
