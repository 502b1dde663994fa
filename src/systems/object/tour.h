// The tour of the object store: what it claims, shown on real bytes through its own S3 port.
#pragma once

#include "systems/tour.h"

namespace polis::object {

Task<Result<void>> take_tour(systems::Tour& tour);

}  // namespace polis::object
