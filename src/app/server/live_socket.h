// /api/live: the WebSocket face of the LiveHub (protocol in src/app/README.md).
#pragma once

#include "app/server/live_hub.h"
#include "kernel/auth/directory.h"
#include "kernel/http/router.h"

namespace polis::app {

// `home` is the shard of the hub. All outlive the router. An open socket is closed within 30 s after its session ended.
void mount_live_socket(http::Router& router, LiveHub& hub, auth::Directory& directory, io::Shard& home);

}  // namespace polis::app
