// ApiConnection: the ApiClient of the command line, over the Unix socket of a data directory or over --url with a
// token.
#pragma once

#include <memory>
#include <string>

#include "app/cli/terminal.h"
#include "kernel/io/file.h"
#include "systems/command.h"

namespace polis::app {

struct ApiTarget {
  std::string data_directory;  // for the Unix socket and the ports
  std::string url;             // "http://host:7400"; empty: the Unix socket
  std::string token;           // with url
};

// Made and used on one shard; `terminal` outlives it.
std::unique_ptr<systems::ApiClient> make_api_connection(ApiTarget target, Terminal& terminal);

}  // namespace polis::app
