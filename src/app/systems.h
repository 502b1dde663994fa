// The list of systems. Adding one is one line in systems.cc.
#pragma once

#include "app/server/settings.h"

namespace polis::app {

SystemList all_systems();

}  // namespace polis::app
