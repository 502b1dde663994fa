// /api/live: the WebSocket face of the LiveHub (protocol in src/app/README.md).
#pragma once

#include "app/server/live_hub.h"
#include "kernel/http/router.h"

namespace polis::app {

// `home` is the shard of the hub. Both outlive the router.
void mount_live_socket(http::Router& router, LiveHub& hub, io::Shard& home);

}  // namespace polis::app
