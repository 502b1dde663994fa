// The four doors of the Kafka protocol, and the certificates of the two with TLS.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "systems/stream/server/server.h"
#include "systems/system.h"

namespace polis::base {
class ConfigSchema;
}

namespace polis::stream {

std::vector<systems::Port> ports();
void declare_door_options(base::ConfigSchema& schema);

// The doors by the names of their ports. Without a certificate of the operator one is made at the first start, in
// DIR/keys. kDenied for TLS off loopback that asks nobody who he is.
Task<Result<std::map<std::string, Door>>> make_doors(systems::Context& context);

}  // namespace polis::stream
