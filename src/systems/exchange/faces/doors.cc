#include "systems/exchange/faces/doors.h"

#include "kernel/base/config.h"
#include "kernel/io/stream.h"
#include "systems/certificate.h"

namespace polis::exchange {
namespace {

constexpr std::string_view kPlain = "fix", kTls = "fix_tls";

}  // namespace

std::vector<systems::Port> ports() {
  return {{.name = std::string(kPlain), .port = 9878, .what = "FIX 4.4 order entry", .authenticated = false},
          {.name = std::string(kTls),
           .port = 9879,
           .what = "FIX 4.4 over TLS; the session's password or, with exchange.tls_client_authorities, a client "
                   "certificate says who comes"}};
}

void declare_door_options(base::ConfigSchema& schema) {
  systems::declare_certificate_options(schema, "exchange");
  schema.add_text("exchange.tls_client_authorities", "",
                  "Authorities whose client certificates port 9879 takes, a PEM file; it then takes no client without "
                  "one. The certificate's common name is the session that may log on.");
}

Task<Result<std::map<std::string, gateway::Door>>> make_doors(systems::Context& context) {
  io::Certificate certificate = CO_TRY(co_await systems::port_certificate(context, "exchange"));
  io::TlsContext::ServerOptions tls{.protocols = {}};
  tls.certificate_chain_pem = std::move(certificate.chain_pem);
  tls.private_key_pem = std::move(certificate.key_pem);
  tls.client_authorities_pem = CO_TRY(co_await systems::pem_of_option(context, "exchange.tls_client_authorities"));
  std::map<std::string, gateway::Door> doors;
  doors[std::string(kPlain)] = {};
  doors[std::string(kTls)] = {.tls = CO_TRY(io::TlsContext::server(tls)),
                              .certificates = !tls.client_authorities_pem.empty()};
  co_return doors;
}

}  // namespace polis::exchange
