// `polis object <verb>`: they run in the process of the command line and speak to a running polis through its admin API, whose
// /api/object/v1/s3/ is S3 for whoever has signed in.
#pragma once

#include <vector>

#include "systems/command.h"

namespace polis::object {

std::vector<systems::Command> commands();

}  // namespace polis::object
