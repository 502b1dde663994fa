#include "systems/system.h"

#include "systems/command.h"

namespace polis::systems {

std::vector<Command> System::commands() const {
  return {};
}

}  // namespace polis::systems
