// `polis tour`: takes the tour on the polis of the data directory, or, with --once and without --data, on a fresh one
// in a temporary directory on free ports, which is stopped and removed afterwards.
#pragma once

#include "app/cli/command_line.h"
#include "app/cli/terminal.h"
#include "app/server/settings.h"

namespace polis::app {

systems::Command tour_command();
int run_tour(const ParsedCommand& parsed, const SystemList& systems, Terminal& terminal);

}  // namespace polis::app
