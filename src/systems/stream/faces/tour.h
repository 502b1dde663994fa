// The tour of the event log: topics, codecs, a group that takes over, duplicates and aborted transactions that nobody
// sees, and both read paths measured, all through the Kafka protocol as a client outside. Runs in the process of the
// command line; what it made is deleted when all steps held.
#pragma once

#include "systems/tour.h"

namespace polis::stream {

Task<Result<void>> take_tour(systems::Tour& tour);

}  // namespace polis::stream
