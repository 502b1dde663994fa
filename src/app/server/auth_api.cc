#include "app/server/auth_api.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/server/document.h"
#include "kernel/auth/policy.h"
#include "kernel/base/time_format.h"
#include "systems/api.h"

namespace polis::app {
namespace {

namespace json = boost::json;
using http::Method;
using http::Request;
using http::Response;
using systems::actor;
using systems::principal;

constexpr std::string_view kBase = "/api/auth/v1";

std::string at(std::string_view path) {
  return std::string(kBase) + std::string(path);
}

std::string time_text(WallTime time) {
  return base::format_rfc3339_seconds(time);
}

json::object describe(const auth::User& user) {
  json::array policies(user.attached_policies.begin(), user.attached_policies.end());
  return {{"name", user.name},
          {"id", user.id},
          {"account", user.account_id},
          {"display_name", user.display_name},
          {"root", user.root},
          {"administrator", user.administrator},
          {"disabled", user.disabled},
          {"password", user.has_password},
          {"policies", std::move(policies)},
          {"created_at", time_text(user.created_at)}};
}

json::object describe(const auth::Account& account) {
  return {{"id", account.id},
          {"canonical_id", account.canonical_id},
          {"name", account.name},
          {"email", account.email},
          {"created_at", time_text(account.created_at)}};
}

json::object describe(const auth::AccessKeyRecord& key) {
  return {{"id", key.id},
          {"description", key.description},
          {"active", key.active},
          {"created_at", time_text(key.created_at)}};
}

json::object describe(const auth::TokenRecord& token) {
  json::object object{{"id", token.id},
                      {"name", token.name},
                      {"scopes", json::array(token.scopes.begin(), token.scopes.end())},
                      {"created_at", time_text(token.created_at)}};
  if (token.expires_at) object["expires_at"] = time_text(*token.expires_at);
  return object;
}

template <class T>
std::string describe_all(const std::vector<T>& records) {
  json::array list;
  for (const T& record : records) list.emplace_back(describe(record));
  return json::serialize(list);
}

std::string done() {
  return "{}";
}

// Mounts of the one Directory; makes the table of routes below short.
struct Mount {
  http::Router& router;
  auth::Directory& directory;
  systems::Plans& plans;

  void get(std::string_view path, std::string action, systems::ApiHandler handler) {
    systems::mount(router, Method::kGet, at(path), std::move(action), std::move(handler));
  }
  void on(Method method, std::string_view path, std::string action, systems::ApiHandler handler) {
    systems::mount(router, method, at(path), std::move(action), std::move(handler));
  }
  void plan(std::string_view path, std::string action, systems::PlanHandler handler) {
    systems::mount_plan(router, Method::kDelete, at(path), std::move(action), plans, std::move(handler));
  }
};

// The user that a path names; his own when the name is "me".
Task<Result<auth::User>> named_user(auth::Directory& directory, const Request& request) {
  std::string name(request.param("user"));
  const auth::PrincipalPtr& who = principal(request);
  if (name != "me" || who->anonymous()) co_return co_await directory.find_user(name);
  // The command line on the machine itself is nobody in particular: it looks after the root user.
  if (who->credential == auth::CredentialKind::kInternal) {
    for (auth::User& user : CO_TRY(co_await directory.users()))
      if (user.root) co_return std::move(user);
  }
  co_return co_await directory.user(who->user_id);
}

// Who may change an administrator or an account's root user can become him, so a right over users is not enough.
Result<void> guard(const Request& request, const auth::User& user) {
  if ((user.administrator || user.root) && !principal(request)->administrator)
    return fail(Code::kDenied, fmt::format("only an administrator changes {}", user.name));
  return {};
}

// Everybody may look after his own credentials; after others' only with the right.
Result<void> admit_for(const Request& request, const auth::User& user, std::string_view action) {
  const auth::PrincipalPtr& who = principal(request);
  if (who->user_id == user.id && who->scopes.empty()) return {};
  TRY(systems::authorize(request, action, fmt::format("arn:aws:iam::{}:user/{}", user.account_id, user.name),
                         user.account_id));
  return guard(request, user);
}

std::string set_cookie(std::string_view token, bool encrypted, int64_t age_s) {
  return fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}", kSessionCookie, token, age_s,
                     encrypted ? "; Secure" : "");
}

Task<void> sign_in(auth::Directory& directory, Request& request, Response& response) {
  Result<Document> body = co_await Document::read(request);
  if (!body) co_return co_await systems::answer_error(response, body.error());
  Result<std::string> user = body->text("user"), password = body->text("password");
  if (!user || !password) co_return co_await systems::answer_error(response, user ? password.error() : user.error());
  Result<auth::IssuedSession> session = co_await directory.sign_in(*user, *password, request.peer().address);
  if (!session) co_return co_await systems::answer_error(response, session.error());
  response.set(http::Field::kSetCookie, set_cookie(session->token, request.encrypted(), 30 * 24 * 3600));
  std::string text = json::serialize(json::object{{"token", session->token},
                                                  {"user", session->principal->user_name},
                                                  {"administrator", session->principal->administrator},
                                                  {"expires_at", time_text(session->expires_at)}});
  co_await systems::answer_json(response, 200, text);
}

std::string_view bearer(const Request& request) {
  auto field = request.field(http::Field::kAuthorization);
  if (!field || field->size() < 7 || !http::equal_ignoring_case(field->substr(0, 7), "bearer ")) return {};
  return http::trim_blanks(field->substr(7));
}

std::string session_token(const Request& request) {
  if (std::string_view token = bearer(request); !token.empty()) return std::string(token);
  return std::string(cookie_value(request.field(http::Field::kCookie).value_or(""), kSessionCookie));
}

void mount_sessions(Mount& mount) {
  auth::Directory& directory = mount.directory;
  mount.router.post(at("/session"), [&directory](Request& request, Response& response) -> Task<void> {
    co_await sign_in(directory, request, response);
  });
  mount.router.del(at("/session"), [&directory](Request& request, Response& response) -> Task<void> {
    auto ended = co_await directory.sign_out(session_token(request));
    response.set(http::Field::kSetCookie, set_cookie("", request.encrypted(), 0));
    if (!ended) co_return co_await systems::answer_error(response, ended.error());
    co_await systems::answer_json(response, 200, "{}");
  });
  mount.get("/session", "", [](Request& request) -> Task<Result<std::string>> {
    const auth::PrincipalPtr& who = principal(request);
    co_return json::serialize(json::object{{"user", who->user_name},
                                           {"arn", who->arn},
                                           {"account", who->account_id},
                                           {"root", who->root},
                                           {"administrator", who->administrator},
                                           {"credential", auth::name(who->credential)}});
  });
}

// Accounts own what their users make. Only administrators see more than their own.
void mount_accounts(Mount& mount) {
  auth::Directory& directory = mount.directory;
  mount.get("/accounts", "organizations:ListAccounts", [&directory](Request&) -> Task<Result<std::string>> {
    co_return describe_all(CO_TRY(co_await directory.accounts()));
  });
  mount.on(Method::kPost, "/accounts", "organizations:CreateAccount",
           [&directory](Request& request) -> Task<Result<std::string>> {
             if (!principal(request)->administrator)
               co_return fail(Code::kDenied, "only an administrator makes accounts");
             Document body = CO_TRY(co_await Document::read(request));
             auth::NewAccount account;
             account.name = CO_TRY(body.text("name"));
             account.email = CO_TRY(body.text("email", ""));
             account.id = CO_TRY(body.text("id", ""));
             account.canonical_id = CO_TRY(body.text("canonical_id", ""));
             co_return json::serialize(
                 describe(CO_TRY(co_await directory.create_account(actor(request), std::move(account)))));
           });
}

void mount_users(Mount& mount) {
  auth::Directory& directory = mount.directory;
  mount.get("/users", "iam:ListUsers", [&directory](Request&) -> Task<Result<std::string>> {
    co_return describe_all(CO_TRY(co_await directory.users()));
  });
  mount.on(Method::kPost, "/users", "iam:CreateUser", [&directory](Request& request) -> Task<Result<std::string>> {
    Document body = CO_TRY(co_await Document::read(request));
    auth::NewUser user;
    user.name = CO_TRY(body.text("name"));
    user.display_name = CO_TRY(body.text("display_name", ""));
    user.email = CO_TRY(body.text("email", ""));
    user.password = CO_TRY(body.text("password", ""));
    user.administrator = CO_TRY(body.boolean("administrator", false));
    user.root = CO_TRY(body.boolean("root", false));
    user.account_id = CO_TRY(body.text("account", ""));
    user.id = CO_TRY(body.text("id", ""));
    bool elsewhere = !user.account_id.empty() && user.account_id != principal(request)->account_id;
    if ((user.root || elsewhere) && !principal(request)->administrator)
      co_return fail(Code::kDenied, "only an administrator makes root users, or users of another account");
    if (user.administrator && !principal(request)->administrator)
      co_return fail(Code::kDenied, "only an administrator makes administrators");
    co_return json::serialize(describe(CO_TRY(co_await directory.create_user(actor(request), std::move(user)))));
  });
  mount.get("/users/{user}", "iam:GetUser", [&directory](Request& request) -> Task<Result<std::string>> {
    co_return json::serialize(describe(CO_TRY(co_await named_user(directory, request))));
  });
  mount.plan("/users/{user}", "iam:DeleteUser", [&directory](Request& request) -> Task<Result<systems::PlanDraft>> {
    auth::User user = CO_TRY(co_await named_user(directory, request));
    CO_TRY(guard(request, user));
    auto keys = CO_TRY(co_await directory.access_keys(user.id));
    auto tokens = CO_TRY(co_await directory.tokens(user.id));
    systems::PlanDraft draft;
    draft.title =
        fmt::format("Remove the user {} with {} access keys and {} tokens", user.name, keys.size(), tokens.size());
    draft.touches.push_back("user " + user.name);
    for (const auto& key : keys) draft.touches.push_back("access key " + key.id);
    for (const auto& token : tokens) draft.touches.push_back("token " + token.name);
    draft.touched_count = draft.touches.size();
    draft.apply = [&directory, who = actor(request), id = user.id]() -> Task<Result<std::string>> {
      CO_TRY(co_await directory.delete_user(who, id));
      co_return done();
    };
    co_return draft;
  });
  mount.on(Method::kPost, "/users/{user}/password", "", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::User user = CO_TRY(co_await named_user(directory, request));
    CO_TRY(admit_for(request, user, "iam:UpdateLoginProfile"));
    Document body = CO_TRY(co_await Document::read(request));
    CO_TRY(co_await directory.set_password(actor(request), user.id, CO_TRY(body.text("password"))));
    co_return done();
  });
  mount.on(Method::kPost, "/users/{user}/disabled", "iam:UpdateUser",
           [&directory](Request& request) -> Task<Result<std::string>> {
             auth::User user = CO_TRY(co_await named_user(directory, request));
             CO_TRY(guard(request, user));
             Document body = CO_TRY(co_await Document::read(request));
             CO_TRY(co_await directory.set_disabled(actor(request), user.id, CO_TRY(body.boolean("disabled", true))));
             co_return done();
           });
}

void mount_credentials(Mount& mount) {
  auth::Directory& directory = mount.directory;
  mount.get("/users/{user}/keys", "", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::User user = CO_TRY(co_await named_user(directory, request));
    CO_TRY(admit_for(request, user, "iam:ListAccessKeys"));
    co_return describe_all(CO_TRY(co_await directory.access_keys(user.id)));
  });
  mount.on(Method::kPost, "/users/{user}/keys", "", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::User user = CO_TRY(co_await named_user(directory, request));
    CO_TRY(admit_for(request, user, "iam:CreateAccessKey"));
    Document body = CO_TRY(co_await Document::read(request));
    auth::IssuedAccessKey key =
        CO_TRY(co_await directory.create_access_key(actor(request), user.id, CO_TRY(body.text("description", "")),
                                                    CO_TRY(body.text("id", "")), CO_TRY(body.text("secret", ""))));
    co_return json::serialize(json::object{{"user", user.name}, {"access_key", key.id}, {"secret_key", key.secret}});
  });
  mount.on(Method::kPost, "/keys/{key}/active", "", [&directory](Request& request) -> Task<Result<std::string>> {
    std::string id(request.param("key"));
    auth::AccessKeyRecord key = CO_TRY(co_await directory.access_key_record(id));
    CO_TRY(admit_for(request, CO_TRY(co_await directory.user(key.user_id)), "iam:UpdateAccessKey"));
    Document body = CO_TRY(co_await Document::read(request));
    CO_TRY(co_await directory.set_access_key_active(actor(request), id, CO_TRY(body.boolean("active", true))));
    co_return done();
  });
  mount.plan("/keys/{key}", "", [&directory](Request& request) -> Task<Result<systems::PlanDraft>> {
    std::string id(request.param("key"));
    auth::AccessKeyRecord key = CO_TRY(co_await directory.access_key_record(id));
    auth::User user = CO_TRY(co_await directory.user(key.user_id));
    CO_TRY(admit_for(request, user, "iam:DeleteAccessKey"));
    systems::PlanDraft draft;
    draft.title = fmt::format("Remove access key {} of {}", id, user.name);
    draft.touches = {"access key " + id};
    draft.touched_count = 1;
    draft.apply = [&directory, who = actor(request), id]() -> Task<Result<std::string>> {
      CO_TRY(co_await directory.delete_access_key(who, id));
      co_return done();
    };
    co_return draft;
  });
  mount.get("/users/{user}/tokens", "", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::User user = CO_TRY(co_await named_user(directory, request));
    CO_TRY(admit_for(request, user, "iam:ListAccessKeys"));
    co_return describe_all(CO_TRY(co_await directory.tokens(user.id)));
  });
  mount.on(Method::kPost, "/users/{user}/tokens", "", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::User user = CO_TRY(co_await named_user(directory, request));
    CO_TRY(admit_for(request, user, "iam:CreateAccessKey"));
    Document body = CO_TRY(co_await Document::read(request));
    std::optional<Duration> lifetime;
    if (auto seconds = CO_TRY(body.integer("lifetime_s"))) {
      if (*seconds < 1 || *seconds > int64_t{10} * 365 * 24 * 3600)
        co_return fail(Code::kInvalid, "\"lifetime_s\" must lie between a second and ten years");
      lifetime = std::chrono::seconds(*seconds);
    }
    auth::IssuedToken token = CO_TRY(co_await directory.create_token(actor(request), user.id, CO_TRY(body.text("name")),
                                                                     CO_TRY(body.texts("scopes")), lifetime));
    co_return json::serialize(json::object{{"user", user.name}, {"id", token.id}, {"token", token.token}});
  });
  mount.plan("/tokens/{token}", "", [&directory](Request& request) -> Task<Result<systems::PlanDraft>> {
    std::string id(request.param("token"));
    auth::TokenRecord token = CO_TRY(co_await directory.token_record(id));
    auth::User user = CO_TRY(co_await directory.user(token.user_id));
    CO_TRY(admit_for(request, user, "iam:DeleteAccessKey"));
    systems::PlanDraft draft;
    draft.title = fmt::format("Remove token {} ({}) of {}", id, token.name, user.name);
    draft.touches = {"token " + id};
    draft.touched_count = 1;
    draft.apply = [&directory, who = actor(request), id]() -> Task<Result<std::string>> {
      CO_TRY(co_await directory.delete_token(who, id));
      co_return done();
    };
    co_return draft;
  });
}

void mount_policies(Mount& mount) {
  auth::Directory& directory = mount.directory;
  mount.get("/policies", "iam:ListPolicies", [&directory](Request&) -> Task<Result<std::string>> {
    json::array list;
    for (const auth::PolicyRecord& policy : CO_TRY(co_await directory.policies()))
      list.push_back({{"name", policy.name}, {"builtin", policy.builtin}});
    co_return json::serialize(list);
  });
  mount.get("/policies/{policy}", "iam:GetPolicy", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::PolicyRecord policy = CO_TRY(co_await directory.policy(std::string(request.param("policy"))));
    co_return json::serialize(
        json::object{{"name", policy.name}, {"builtin", policy.builtin}, {"document", json::parse(policy.text)}});
  });
  // The body is the policy document itself.
  mount.on(Method::kPut, "/policies/{policy}", "iam:CreatePolicy",
           [&directory](Request& request) -> Task<Result<std::string>> {
             Bytes text = CO_TRY(co_await request.read_all(auth::kPolicySizeBytesMax));
             CO_TRY(co_await directory.put_policy(actor(request), std::string(request.param("policy")),
                                                  std::string(as_text(text))));
             co_return done();
           });
  mount.plan("/policies/{policy}", "iam:DeletePolicy",
             [&directory](Request& request) -> Task<Result<systems::PlanDraft>> {
               std::string name(request.param("policy"));
               CO_TRY(co_await directory.policy(name));
               systems::PlanDraft draft;
               draft.title = "Remove policy " + name;
               draft.touches = {"policy " + name};
               draft.touched_count = 1;
               draft.apply = [&directory, who = actor(request), name]() -> Task<Result<std::string>> {
                 CO_TRY(co_await directory.delete_policy(who, name));
                 co_return done();
               };
               co_return draft;
             });
  mount.on(Method::kPut, "/users/{user}/policies/{policy}", "iam:AttachUserPolicy",
           [&directory](Request& request) -> Task<Result<std::string>> {
             auth::User user = CO_TRY(co_await named_user(directory, request));
             CO_TRY(guard(request, user));
             CO_TRY(co_await directory.attach_policy(actor(request), user.id, std::string(request.param("policy"))));
             co_return done();
           });
  mount.on(Method::kDelete, "/users/{user}/policies/{policy}", "iam:DetachUserPolicy",
           [&directory](Request& request) -> Task<Result<std::string>> {
             auth::User user = CO_TRY(co_await named_user(directory, request));
             CO_TRY(guard(request, user));
             CO_TRY(co_await directory.detach_policy(actor(request), user.id, std::string(request.param("policy"))));
             co_return done();
           });
  mount.get("/audit", "iam:ReadAudit", [&directory](Request& request) -> Task<Result<std::string>> {
    auth::AuditQuery query;
    query.before = CO_TRY(request.query_value("before")).value_or("");
    query.action_pattern = CO_TRY(request.query_value("action")).value_or("");
    auth::AuditPage page = CO_TRY(co_await directory.audit().query(query));
    json::array records;
    for (const auth::AuditRecord& record : page.records)
      records.push_back({{"at", base::format_rfc3339(record.at)},
                         {"user", record.user_name},
                         {"action", record.action},
                         {"resource", record.resource},
                         {"outcome", auth::name(record.outcome)},
                         {"detail", record.detail},
                         {"peer", record.peer},
                         {"credential", record.credential}});
    co_return json::serialize(json::object{{"records", std::move(records)}, {"next", page.next}});
  });
}

// A change by cookie must come from our own page. Browsers say where a request comes from; without either field it is
// no browser.
bool same_site(const Request& request) {
  if (auto site = request.field(http::Field::kSecFetchSite)) return *site == "same-origin" || *site == "none";
  auto origin = request.field(http::Field::kOrigin);
  if (!origin) return true;
  size_t scheme = origin->find("://");
  return scheme != std::string_view::npos && origin->substr(scheme + 3) == request.authority();
}

}  // namespace

std::string_view cookie_value(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    size_t end = cookies.find(';');
    std::string_view cookie = http::trim_blanks(cookies.substr(0, end));
    if (cookie.size() > name.size() && cookie.starts_with(name) && cookie[name.size()] == '=')
      return cookie.substr(name.size() + 1);
    if (end == std::string_view::npos) break;
    cookies.remove_prefix(end + 1);
  }
  return {};
}

Task<Result<auth::PrincipalPtr>> identify(auth::Directory& directory, const Request& request) {
  if (std::string_view token = bearer(request); !token.empty()) {
    auto session = co_await directory.authenticate_session(std::string(token));
    if (session || session.error().code() != Code::kUnauthenticated) co_return session;
    co_return co_await directory.authenticate_token(std::string(token));
  }
  if (std::string_view cookie = cookie_value(request.field(http::Field::kCookie).value_or(""), kSessionCookie);
      !cookie.empty()) {
    // WebSockets carry cookies across sites without a preflight, so their GET counts as a change.
    bool reads = (request.method() == Method::kGet || request.method() == Method::kHead) && !request.head().upgrade;
    if (!reads && !same_site(request)) co_return fail(Code::kDenied, "this request comes from another site's page");
    auto session = co_await directory.authenticate_session(std::string(cookie));
    // A stale cookie must not keep anyone from signing in again.
    if (!session && session.error().code() == Code::kUnauthenticated) co_return auth::anonymous_principal();
    co_return session;
  }
  if (request.local().unix_socket) co_return auth::internal_principal("command line");
  co_return auth::anonymous_principal();
}

void mount_auth_api(http::Router& router, auth::Directory& directory, systems::Plans& plans) {
  Mount mount{router, directory, plans};
  mount_sessions(mount);
  mount_accounts(mount);
  mount_users(mount);
  mount_credentials(mount);
  mount_policies(mount);
}

}  // namespace polis::app
