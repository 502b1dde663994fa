// `polis ledger bench`: a load generator that speaks the TigerBeetle protocol to the ledger that runs, from the process
// of the command line. It is cheap on purpose, because on a small machine it shares the cores with what it measures:
// batches stand ready in the message buffer, and only ids, accounts and amounts change from one to the next.
//
// It books into accounts of its own and never removes them: not for the books of a business.
#pragma once

#include "systems/command.h"

namespace polis::ledger {

systems::Command bench_command();

}  // namespace polis::ledger
