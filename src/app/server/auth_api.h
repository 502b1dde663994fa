// The API of users, credentials, policies and the audit trail, below /api/auth/v1, and the gate in front of every API:
// what proves who asks. Handlers run on every shard; the Directory is made for that.
#pragma once

#include "kernel/auth/directory.h"
#include "kernel/http/router.h"
#include "systems/plan.h"

namespace polis::app {

inline constexpr std::string_view kSessionCookie = "polis_session";

// Mounts the routes; references outlive the router.
void mount_auth_api(http::Router& router, auth::Directory& directory, systems::Plans& plans);

// Who asks: `Authorization: Bearer` (session or API token), the session cookie, or the Unix socket (the owner of the
// directory: acts as the internal principal). Anonymous without any of them; kUnauthenticated for a credential that
// does not hold; kDenied for a cookie that another site's page sent along with a change.
Task<Result<auth::PrincipalPtr>> identify(auth::Directory& directory, const http::Request& request);

// The value of a cookie in a Cookie field; "" if it is not there.
std::string_view cookie_value(std::string_view cookies, std::string_view name);

}  // namespace polis::app
