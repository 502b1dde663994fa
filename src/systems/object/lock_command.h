// `polis object lock`: what keeps versions from being removed, of a bucket by default or of one version.
#pragma once

#include "systems/command.h"

namespace polis::object {

systems::Command lock_command();

}  // namespace polis::object
