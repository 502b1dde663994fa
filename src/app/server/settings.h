// Settings: the options of app itself, one listener option for each port of each system, and how all sources come
// together. Pure but for reading the one file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/config.h"
#include "kernel/base/result.h"
#include "kernel/io/stream.h"
#include "systems/system.h"

namespace polis::app {

using SystemList = std::vector<std::unique_ptr<systems::System>>;

struct SettingsSources {
  std::string data_directory;         // DIR/polis.toml is read if there is no config_path
  std::string config_path;            // --config; must exist
  std::vector<std::string> settings;  // --set
};

// Every option of app and of `systems`.
base::ConfigSchema declare_options(const SystemList& systems);
Result<base::Config> resolve_settings(const base::ConfigSchema& schema, const SettingsSources& sources);

// "object.s3_listen"
std::string listen_option(std::string_view system, const systems::Port& port);
// The endpoint of a listener option; `free_port` overrides its port with 0. kInvalid names the option.
Result<io::Endpoint> listen_endpoint(const base::Config& config, const std::string& option, bool free_port);
// Every listener option of app and of `systems`: well-formed, and not exposed (below). Before anything is opened.
Result<void> check_listeners(const base::Config& config, const SystemList& systems);
// kDenied for an endpoint off loopback whose port has no authentication.
Result<void> check_exposure(const std::string& option, const io::Endpoint& endpoint, bool authenticated);

}  // namespace polis::app
