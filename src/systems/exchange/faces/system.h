// The system `exchange`: registers the venue with polis.
#pragma once

#include <memory>

#include "systems/system.h"

namespace polis::exchange {

std::unique_ptr<systems::System> make_system();

}  // namespace polis::exchange
