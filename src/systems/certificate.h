// Certificates of the ports with TLS that a system opens: PEM files that the operator names, or a self-signed pair made
// at the first start. Options are `<system>.tls_certificate` and `<system>.tls_key`.
#pragma once

#include <string>
#include <vector>

#include "systems/system.h"

namespace polis::systems {

void declare_certificate_options(base::ConfigSchema& schema, const std::string& system);

// The PEM file that this option names; empty if the option is. The error says which option named it.
Task<Result<std::string>> pem_of_option(Context& context, std::string option);

// What the two options name, else the pair DIR/keys/<system>-tls-certificate.pem and <system>-tls-key.pem, which is
// made when it is not there: for localhost, its addresses and `names`. kInvalid if only one of the options is set.
Task<Result<io::Certificate>> port_certificate(Context& context, std::string system,
                                               std::vector<std::string> names = {});

}  // namespace polis::systems
