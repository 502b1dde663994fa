#include "app/server/settings.h"

#include <filesystem>
#include <fmt/format.h>

#include "kernel/obs/log.h"

namespace polis::app {

base::ConfigSchema declare_options(const SystemList& systems) {
  base::ConfigSchema schema;
  schema.add_text("main.listen", "127.0.0.1:7400",
                  "Address and port of console, admin API and metrics. Port 0 takes any free one.");
  schema.add_text("main.tls_listen", "",
                  "Address and port of the same over TLS (\"0.0.0.0:7443\"); empty: none. Needs main.tls_certificate "
                  "and main.tls_key, "
                  "or makes a self-signed pair in DIR/keys.");
  schema.add_text("main.tls_certificate", "", "PEM file with the certificate chain.");
  schema.add_text("main.tls_key", "", "PEM file with the private key.");
  schema.add_text("main.console_directory", "",
                  "Folder of the built console; empty: beside the binary, or console/dist of the source tree.");
  schema.add_bool("main.public_metrics", true,
                  "Serve /metrics without authentication on loopback; elsewhere it always needs a token.");
  schema.add_list(
      "main.names", {},
      "Host names under which /metrics is asked for without authentication, besides localhost and addresses; "
      "any other name may be a foreign page's.");
  schema.add_text("main.region", "us-east-1", "Region that systems report and accept in signatures.");
  schema.add_integer("runtime.shards", 0, {0, 256}, "Event loops; 0: one a core.");
  schema.add_integer("runtime.blocking_threads", 8, {1, 256}, "Threads for calls that block on the disk.");
  obs::declare_log_options(schema);
  schema.add_size("store.cache_bytes", uint64_t{32} << 20, {int64_t{1} << 20, int64_t{1} << 40},
                  "Block cache of the row store.");
  schema.add_list("blob.drives", {},
                  "Six to 32 folders on different drives, in an order that never changes (new ones go to the end); empty: "
                  "DIR/blob/0 to DIR/blob/5, which protects against corruption, not against losing the drive.");
  for (const auto& system : systems) {
    for (const systems::Port& port : system->ports())
      schema.add_text(
          listen_option(system->name(), port), fmt::format("127.0.0.1:{}", port.port),
          fmt::format("Address and port{}: {}. Port 0 takes any free one.", port.udp ? " (UDP)" : "", port.what));
    system->declare_options(schema);
  }
  return schema;
}

Result<base::Config> resolve_settings(const base::ConfigSchema& schema, const SettingsSources& sources) {
  base::ConfigSources all;
  all.environment = base::polis_environment();
  all.settings = sources.settings;
  std::string path = sources.config_path.empty() ? sources.data_directory + "/polis.toml" : sources.config_path;
  auto text = base::read_config_file(path);
  if (text) {
    all.file_text = std::move(*text);
    all.file_name = path;
  } else if (text.error().code() != Code::kNotFound || !sources.config_path.empty()) {
    return fail(text.error());
  }
  return schema.resolve(all);
}

std::string listen_option(std::string_view system, const systems::Port& port) {
  return fmt::format("{}.{}_listen", system, port.name);
}

Result<io::Endpoint> listen_endpoint(const base::Config& config, const std::string& option, bool free_port) {
  const std::string& text = config.text(option);
  auto endpoint = io::Endpoint::parse(text);
  if (!endpoint)
    return fail(Code::kInvalid,
                fmt::format("{} = \"{}\" is no address and port: write for example \"127.0.0.1:9000\" or \"[::1]:0\"",
                            option, text));
  if (free_port && !endpoint->unix_socket) endpoint->port = 0;
  return endpoint;
}

Result<void> check_listeners(const base::Config& config, const SystemList& systems) {
  TRY(listen_endpoint(config, "main.listen", false));
  if (!config.text("main.tls_listen").empty()) TRY(listen_endpoint(config, "main.tls_listen", false));
  for (const auto& system : systems)
    for (const systems::Port& port : system->ports()) {
      std::string option = listen_option(system->name(), port);
      TRY(check_exposure(option, TRY(listen_endpoint(config, option, false)), port.authenticated));
    }
  return {};
}

Result<void> check_exposure(const std::string& option, const io::Endpoint& endpoint, bool authenticated) {
  if (authenticated || endpoint.loopback() || endpoint.unix_socket) return {};
  return fail(
      Code::kDenied,
      fmt::format("{} = \"{}\" would open a port without authentication to the network: choose an address of loopback "
                  "(127.0.0.1), or switch on authentication for this listener",
                  option, endpoint.text()));
}

}  // namespace polis::app
