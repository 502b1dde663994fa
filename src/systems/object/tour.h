// The tour of the object store: a client of its own (HTTP and SigV4) that puts real bytes in, loses drives, and reads
// every byte back. Runs in the process of the command line.
#pragma once

#include "systems/tour.h"

namespace polis::object {

Task<Result<void>> take_tour(systems::Tour& tour);

}  // namespace polis::object
