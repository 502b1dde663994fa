#include "systems/stream/faces/doors.h"

#include <fmt/format.h>

#include "kernel/base/config.h"
#include "kernel/io/file.h"
#include "kernel/io/stream.h"
#include "kernel/obs/log.h"

namespace polis::stream {
namespace {

constexpr std::string_view kPlain = "kafka", kTls = "kafka_tls", kSasl = "kafka_sasl", kSaslTls = "kafka_sasl_tls";
constexpr uint64_t kPemBytesMax = 1 << 20;
// As the main port's own certificate: clients refuse more than 825 days.
constexpr Duration kLifetime = std::chrono::hours(24 * 820);

Task<Result<std::string>> pem(systems::Context& context, std::string option) {
  const std::string path = context.config.text(option);
  if (path.empty()) co_return std::string();
  auto content = co_await context.disk.read_file(path, kPemBytesMax);
  if (!content)
    co_return fail(
        Error(content.error().code(), fmt::format("{} = \"{}\" cannot be read", option, path), content.error()));
  co_return std::string(as_text(*content));
}

// The pair in DIR/keys, made if there is none.
Task<Result<io::Certificate>> own_certificate(systems::Context& context) {
  const std::string folder = context.data_directory + "/keys";
  const std::string chain_path = folder + "/stream-tls-certificate.pem", key_path = folder + "/stream-tls-key.pem";
  auto chain = co_await context.disk.read_file(chain_path, kPemBytesMax);
  if (chain) {
    const Bytes key = CO_TRY(co_await context.disk.read_file(key_path, kPemBytesMax));
    co_return io::Certificate{.chain_pem = std::string(as_text(*chain)), .key_pem = std::string(as_text(key))};
  }
  if (chain.error().code() != Code::kNotFound) co_return fail(chain.error());
  const std::string names[] = {"localhost", "127.0.0.1", "::1"};
  io::Certificate made = CO_TRY(io::make_self_signed(names, kLifetime));
  CO_TRY(co_await context.disk.make_directories(folder));
  // The key first: a certificate without its key would be taken for whole.
  CO_TRY(co_await context.disk.replace_file(key_path, as_bytes(made.key_pem)));
  CO_TRY(co_await context.disk.replace_file(chain_path, as_bytes(made.chain_pem)));
  obs::log_info("stream: made a self-signed certificate for the ports with TLS", {{"file", chain_path}});
  co_return made;
}

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
  schema.add_text("stream.tls_certificate", "",
                  "Certificate chain of the ports with TLS, a PEM file; empty: a self-signed one in DIR/keys, made at "
                  "the first start.");
  schema.add_text("stream.tls_key", "", "Its private key, a PEM file.");
  schema.add_text("stream.tls_client_authorities", "",
                  "Authorities whose client certificates port 19092 takes, a PEM file; it then takes no client without "
                  "one. The certificate's common name is the user whose rights hold.");
}

Task<Result<std::map<std::string, Door>>> make_doors(systems::Context& context) {
  io::TlsContext::ServerOptions tls{.protocols = {}};
  tls.certificate_chain_pem = CO_TRY(co_await pem(context, "stream.tls_certificate"));
  tls.private_key_pem = CO_TRY(co_await pem(context, "stream.tls_key"));
  if (tls.certificate_chain_pem.empty() != tls.private_key_pem.empty())
    co_return fail(Code::kInvalid, "stream.tls_certificate and stream.tls_key belong together: set both or none");
  if (tls.certificate_chain_pem.empty()) {
    io::Certificate own = CO_TRY(co_await own_certificate(context));
    tls.certificate_chain_pem = std::move(own.chain_pem);
    tls.private_key_pem = std::move(own.key_pem);
  }
  const std::string authorities = CO_TRY(co_await pem(context, "stream.tls_client_authorities"));
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
