#include "systems/stream/faces/doors.h"

#include <fmt/format.h>

#include "kernel/base/config.h"
#include "kernel/io/stream.h"
#include "systems/certificate.h"

namespace polis::stream {
namespace {

constexpr std::string_view kPlain = "kafka", kTls = "kafka_tls", kSasl = "kafka_sasl", kSaslTls = "kafka_sasl_tls";

}  // namespace

std::vector<systems::Port> ports() {
  return {{.name = std::string(kPlain), .port = 9092, .what = "Kafka clients", .authenticated = false},
          {.name = std::string(kTls),
           .port = 19092,
           .what = "Kafka clients over TLS; certificates say who they are if stream.tls_client_authorities is set"},
          {.name = std::string(kSasl), .port = 19093, .what = "Kafka clients with SASL"},
          {.name = std::string(kSaslTls), .port = 19094, .what = "Kafka clients with SASL over TLS"}};
}

void declare_door_options(base::ConfigSchema& schema) {
  systems::declare_certificate_options(schema, "stream");
  schema.add_text("stream.tls_client_authorities", "",
                  "Authorities whose client certificates port 19092 takes, a PEM file; it then takes no client without "
                  "one. The certificate's common name is the user whose rights hold.");
}

Task<Result<std::map<std::string, Door>>> make_doors(systems::Context& context) {
  io::Certificate certificate = CO_TRY(co_await systems::port_certificate(context, "stream"));
  io::TlsContext::ServerOptions tls{.protocols = {}};
  tls.certificate_chain_pem = std::move(certificate.chain_pem);
  tls.private_key_pem = std::move(certificate.key_pem);
  const std::string authorities = CO_TRY(co_await systems::pem_of_option(context, "stream.tls_client_authorities"));
  const io::Endpoint& secure = context.listen.at(std::string(kTls));
  if (authorities.empty() && !secure.loopback() && !secure.unix_socket)
    co_return fail(Code::kDenied,
                   fmt::format("stream.{}_listen = \"{}\" would open a port without authentication to the network: set "
                               "stream.tls_client_authorities, use port 19094 (SASL over TLS), or an address of "
                               "loopback",
                               kTls, secure.text()));

  std::map<std::string, Door> doors;
  doors[std::string(kPlain)] = {.name = std::string(kPlain), .tls = nullptr, .plain = true};
  doors[std::string(kSasl)] = {.name = std::string(kSasl), .tls = nullptr, .must_authenticate = true};
  doors[std::string(kSaslTls)] = {
      .name = std::string(kSaslTls), .tls = CO_TRY(io::TlsContext::server(tls)), .must_authenticate = true};
  tls.client_authorities_pem = authorities;
  doors[std::string(kTls)] = {.name = std::string(kTls),
                              .tls = CO_TRY(io::TlsContext::server(tls)),
                              .certificates = !authorities.empty(),
                              .plain = authorities.empty()};
  co_return doors;
}

}  // namespace polis::stream
