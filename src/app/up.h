// `polis up`: runs a node until SIGTERM or SIGINT. The calling thread waits for signals; it must be the first thread of
// the process, before any other has started.
#pragma once

#include "app/cli/command_line.h"
#include "app/cli/terminal.h"

namespace polis::app {

systems::Command up_command();
// The exit status of the process.
int run_up(const ParsedCommand& parsed, Terminal& terminal);

}  // namespace polis::app
