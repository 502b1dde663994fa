// The system `ledger`: registers the books with polis.
#pragma once

#include <memory>

#include "systems/system.h"

namespace polis::ledger {

std::unique_ptr<systems::System> make_system();

}  // namespace polis::ledger
