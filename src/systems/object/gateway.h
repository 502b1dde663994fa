// Gateway: the S3 API for those who are signed in to polis, on the main port below /api/object/v1/s3. The console is an
// S3 client through it: one origin, one port, the session instead of an access key, the same rights and the same code
// behind it.
//
//     GET /api/object/v1/s3/photos/2024/a.jpg     is     GET /photos/2024/a.jpg     as the user of the session
//
// Objects are other people's bytes, and here they share an origin with the console: every answer is sandboxed by its
// Content-Security-Policy, never sniffed, and a download.
#pragma once

#include <string>

#include "kernel/auth/principal.h"
#include "kernel/http/router.h"
#include "systems/object/server.h"

namespace polis::object {

// The server outlives the router.
void mount_gateway(http::Router& router, Server& server);

// A request that polis itself makes for somebody, on any shard, with a small body and a small answer.
struct LocalRequest {
  std::string method;
  std::string target;  // "/photos?delete", percent-encoded
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
};
struct LocalAnswer {
  int status = 0;
  std::string body;  // kTooLarge beyond 4 MiB: a page of 1000 long keys takes 1 to 3
};
Task<Result<LocalAnswer>> ask(Server& server, auth::PrincipalPtr principal, const LocalRequest& request);

}  // namespace polis::object
