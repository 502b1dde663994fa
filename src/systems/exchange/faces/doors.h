// The two doors of the FIX protocol, and the certificate of the one with TLS.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "systems/exchange/gateway/gateway.h"
#include "systems/system.h"

namespace polis::base {
class ConfigSchema;
}

namespace polis::exchange {

std::vector<systems::Port> ports();
void declare_door_options(base::ConfigSchema& schema);

// The doors by the names of their ports. Without a certificate of the operator one is made at the first start, in
// DIR/keys.
Task<Result<std::map<std::string, gateway::Door>>> make_doors(systems::Context& context);

}  // namespace polis::exchange
