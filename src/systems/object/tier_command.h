// `polis object tier`: what lies in which storage class, and moving an object to another one.
#pragma once

#include "systems/command.h"

namespace polis::object {

systems::Command tier_command();

}  // namespace polis::object
