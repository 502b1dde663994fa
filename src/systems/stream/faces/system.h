// The system `stream`: registers the event log with polis.
#pragma once

#include <memory>

#include "systems/system.h"

namespace polis::stream {

std::unique_ptr<systems::System> make_system();

}  // namespace polis::stream
