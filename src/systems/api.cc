#include "systems/api.h"

#include "kernel/auth/policy.h"

namespace polis::systems {

void set_principal(http::Request& request, auth::PrincipalPtr principal) {
  request.context = std::move(principal);
}

const auth::PrincipalPtr& principal(const http::Request& request) {
  const auto* attached = std::any_cast<auth::PrincipalPtr>(&request.context);
  return attached && *attached ? *attached : auth::anonymous_principal();
}

auth::Actor actor(const http::Request& request) {
  return {.principal = principal(request), .peer = request.peer().text()};
}

Result<void> authorize(const http::Request& request, std::string_view action, std::string_view resource,
                       std::string_view resource_account) {
  const auth::PrincipalPtr& who = principal(request);
  if (!who->anonymous() && resource_account.empty() && !who->administrator && !who->of_main_account)
    return fail(Code::kDenied, who->arn + " may not " + std::string(action) +
                                   ": only users of the main account can be given rights over polis itself");
  auth::Context context;
  auth::set_global_keys(context, *who, request.peer().address, request.encrypted(), base::SystemClock().wall());
  return auth::authorize({.principal = who.get(),
                          .action = action,
                          .resource = resource,
                          .resource_account = resource_account,
                          .context = &context});
}

Task<void> answer_json(http::Response& response, int status, std::string_view json) {
  response.status(status).set(http::Field::kCacheControl, "no-store");
  (void)co_await response.send("application/json", json);
}

Task<void> answer_error(http::Response& response, const Error& error) {
  (void)co_await response.error(error);
}

Task<void> answer(http::Response& response, const Result<std::string>& json, int status) {
  if (!json) co_return co_await answer_error(response, json.error());
  co_await answer_json(response, status, *json);
}

Task<void> answer_plan(http::Response& response, const Result<Plan>& plan) {
  if (!plan) co_return co_await answer_error(response, plan.error());
  co_await answer_json(response, 202, to_json(*plan));
}

namespace {

Result<void> admit(const http::Request& request, const std::string& action) {
  if (!action.empty()) return authorize(request, action);
  if (principal(request)->anonymous()) return fail(Code::kUnauthenticated, "sign in first, or send a bearer token");
  return {};
}

// Who applies a plan needs what drafting it took. Where the handler alone knew what that was, a token with scopes
// applies only what it drafted itself.
Result<void> admit_plan(const http::Request& request, const std::string& action, const std::string& credential_id) {
  TRY(admit(request, action));
  const auth::PrincipalPtr& who = principal(request);
  if (action.empty() && !who->scopes.empty() && who->credential_id != credential_id)
    return fail(Code::kDenied, "a token with scopes applies only plans that it asked for itself");
  return {};
}

}  // namespace

void mount(http::Router& router, http::Method method, std::string_view pattern, std::string action,
           ApiHandler handler) {
  router.add(method, pattern,
             [action = std::move(action), handler = std::move(handler)](http::Request& request,
                                                                        http::Response& response) -> Task<void> {
               if (auto admitted = admit(request, action); !admitted)
                 co_return co_await answer_error(response, admitted.error());
               Result<std::string> json = co_await handler(request);
               co_await answer(response, json);
             });
}

void mount_plan(http::Router& router, http::Method method, std::string_view pattern, std::string action, Plans& plans,
                PlanHandler handler) {
  router.add(method, pattern,
             [action = std::move(action), handler = std::move(handler), &plans](
                 http::Request& request, http::Response& response) -> Task<void> {
               if (auto admitted = admit(request, action); !admitted)
                 co_return co_await answer_error(response, admitted.error());
               Result<PlanDraft> draft = co_await handler(request);
               if (!draft) co_return co_await answer_error(response, draft.error());
               draft->user_id = principal(request)->user_id;
               draft->admit = [action, credential = principal(request)->credential_id](const http::Request& applying) {
                 return admit_plan(applying, action, credential);
               };
               Result<Plan> plan = co_await plans.propose(std::move(*draft));
               co_await answer_plan(response, plan);
             });
}

}  // namespace polis::systems
