// The named keys of SSE-KMS for administrators: /api/object/v1/kms/keys, and `polis object kms …` on top of it.
//
//   GET   → {"keys": [{"name", "created_at", "enabled"}]}
//   POST  {"name"}             → the key, new
//   PUT   {"name", "enabled"}  → the key, changed; what lies under a disabled key is refused until it is enabled again
#pragma once

#include <vector>

#include "kernel/auth/directory.h"
#include "kernel/http/router.h"
#include "systems/command.h"
#include "systems/object/server.h"

namespace polis::object {

// During start. Reading takes object:ReadStatus, changing object:ManageKeys; changes are audited.
void mount_key_ring(http::Router& router, Server& server, auth::Directory& directory, const Clock& clock,
                    Random& random);

std::vector<systems::Command> key_ring_commands();

}  // namespace polis::object
