// What handlers of the admin API share: who asks, what he may do, and JSON answers. app proves the credential of every
// request below /api and /<system>/v1 before the handler runs (bearer token, session, or the Unix socket), and attaches
// the principal.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kernel/auth/audit.h"
#include "kernel/auth/principal.h"
#include "kernel/base/result.h"
#include "kernel/http/request.h"
#include "kernel/http/response.h"
#include "kernel/http/router.h"
#include "kernel/io/task.h"
#include "systems/plan.h"

namespace polis::systems {

// Largest JSON document that an admin API takes.
inline constexpr uint64_t kApiBodySizeBytesMax = 1 << 20;

// For app: attaches the principal.
void set_principal(http::Request& request, auth::PrincipalPtr principal);
// The anonymous one if nothing was proved.
const auth::PrincipalPtr& principal(const http::Request& request);
// Who acts, for changes that leave an audit record.
auth::Actor actor(const http::Request& request);
// kUnauthenticated or kDenied unless the principal may do `action` ("object:ReadStatus") on `resource` ("*"). What no
// account owns is the main account's: the root user of another account has no say there.
Result<void> authorize(const http::Request& request, std::string_view action, std::string_view resource = "*",
                       std::string_view resource_account = {});

// Answers with a JSON text, or with the error as application/problem+json. A failed write needs no more care: the
// connection ends.
Task<void> answer_json(http::Response& response, int status, std::string_view json);
Task<void> answer_error(http::Response& response, const Error& error);
// The JSON text, or the error.
Task<void> answer(http::Response& response, const Result<std::string>& json, int status = 200);
// 202 with the plan, or the error.
Task<void> answer_plan(http::Response& response, const Result<Plan>& plan);

// One endpoint that answers JSON: asks authorize() first (no action: anybody who proved who he is), then the handler,
// then answers its text or its error. The handler runs on every shard.
using ApiHandler = std::function<Task<Result<std::string>>(http::Request& request)>;
void mount(http::Router& router, http::Method method, std::string_view pattern, std::string action, ApiHandler handler);
// The same for a destructive one: the handler drafts the plan, the answer is 202 with it.
using PlanHandler = std::function<Task<Result<PlanDraft>>(http::Request& request)>;
void mount_plan(http::Router& router, http::Method method, std::string_view pattern, std::string action, Plans& plans,
                PlanHandler handler);

}  // namespace polis::systems
