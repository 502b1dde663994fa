// The tour of the ledger: a sale and a currency sale over JSON, a million transfers over the TigerBeetle protocol, and
// the checks that whoever doubts them can make. Runs in the process of the command line. Books forget nothing: what it
// books stays, in two ledgers of its own.
#pragma once

#include "systems/tour.h"

namespace polis::ledger {

Task<Result<void>> take_tour(systems::Tour& tour);

}  // namespace polis::ledger
