#include "systems/certificate.h"

#include "kernel/base/config.h"
#include "kernel/io/file.h"
#include "kernel/obs/log.h"

namespace polis::systems {
namespace {

constexpr uint64_t kPemBytesMax = 1 << 20;
// As the main port's own certificate: clients refuse more than 825 days.
constexpr Duration kLifetime = std::chrono::hours(24 * 820);

Task<Result<io::Certificate>> own_certificate(Context& context, std::string system, std::vector<std::string> names) {
  const std::string folder = context.data_directory + "/keys";
  const std::string chain_path = folder + "/" + system + "-tls-certificate.pem";
  const std::string key_path = folder + "/" + system + "-tls-key.pem";
  auto chain = co_await context.disk.read_file(chain_path, kPemBytesMax);
  if (chain) {
    const Bytes key = CO_TRY(co_await context.disk.read_file(key_path, kPemBytesMax));
    co_return io::Certificate{.chain_pem = std::string(as_text(*chain)), .key_pem = std::string(as_text(key))};
  }
  if (chain.error().code() != Code::kNotFound) co_return fail(chain.error());
  names.insert(names.begin(), {"localhost", "127.0.0.1", "::1"});
  io::Certificate made = CO_TRY(io::make_self_signed(names, kLifetime));
  CO_TRY(co_await context.disk.make_directories(folder));
  // The key first: a certificate without its key would be taken for whole.
  CO_TRY(co_await context.disk.replace_file(key_path, as_bytes(made.key_pem)));
  CO_TRY(co_await context.disk.replace_file(chain_path, as_bytes(made.chain_pem)));
  obs::log_info("made a self-signed certificate for the ports with TLS", {{"system", system}, {"file", chain_path}});
  co_return made;
}

}  // namespace

void declare_certificate_options(base::ConfigSchema& schema, const std::string& system) {
  schema.add_text(system + ".tls_certificate", "",
                  "Certificate chain of the ports with TLS, a PEM file; empty: a self-signed one in DIR/keys, made at "
                  "the first start.");
  schema.add_text(system + ".tls_key", "", "Its private key, a PEM file.");
}

Task<Result<std::string>> pem_of_option(Context& context, std::string option) {
  const std::string path = context.config.text(option);
  if (path.empty()) co_return std::string();
  auto content = co_await context.disk.read_file(path, kPemBytesMax);
  if (!content)
    co_return fail(Error(content.error().code(), option + " = \"" + path + "\" cannot be read", content.error()));
  co_return std::string(as_text(*content));
}

Task<Result<io::Certificate>> port_certificate(Context& context, std::string system, std::vector<std::string> names) {
  const std::string certificate = system + ".tls_certificate", key = system + ".tls_key";
  io::Certificate named;
  named.chain_pem = CO_TRY(co_await pem_of_option(context, certificate));
  named.key_pem = CO_TRY(co_await pem_of_option(context, key));
  if (named.chain_pem.empty() != named.key_pem.empty())
    co_return fail(Code::kInvalid, certificate + " and " + key + " belong together: set both or none");
  if (!named.chain_pem.empty()) co_return named;
  co_return co_await own_certificate(context, std::move(system), std::move(names));
}

}  // namespace polis::systems
