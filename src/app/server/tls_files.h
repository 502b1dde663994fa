// The certificate of the main port: the files that the configuration names, or a self-signed pair in DIR/keys, made
// once.
#pragma once

#include <memory>
#include <string>

#include "kernel/base/result.h"
#include "kernel/io/file.h"
#include "kernel/io/stream.h"

namespace polis::app {

// kInvalid if only one of certificate and key is named.
Task<Result<std::shared_ptr<io::TlsContext>>> open_tls(io::Disk& disk, std::string certificate, std::string key,
                                                       std::string keys_directory);

}  // namespace polis::app
