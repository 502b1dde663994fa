// The guided drive through a running venue: the example book and its market order, rules at the door, a million orders,
// and the same venue recomputed from its journal.
#pragma once

#include "systems/tour.h"

namespace polis::exchange {

Task<Result<void>> take_tour(systems::Tour& tour);

}  // namespace polis::exchange
