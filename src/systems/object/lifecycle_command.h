// `polis object lifecycle`: the rules of a bucket, shown, set and removed.
#pragma once

#include "systems/command.h"

namespace polis::object {

systems::Command lifecycle_command();

}  // namespace polis::object
