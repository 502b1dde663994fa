// The object store as a system of polis.
#pragma once

#include <memory>

#include "systems/system.h"

namespace polis::object {

std::unique_ptr<systems::System> make_system();

}  // namespace polis::object
