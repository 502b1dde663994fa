// `polis restore`: puts a backup into a fresh data directory. Needs no running polis.
#pragma once

#include "app/cli/command_line.h"
#include "app/cli/terminal.h"

namespace polis::app {

systems::Command restore_command();
int run_restore(const ParsedCommand& parsed, Terminal& terminal);

}  // namespace polis::app
