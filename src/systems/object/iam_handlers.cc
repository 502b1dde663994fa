// IAM's query API as far as tools use it on their own account: users, their access keys and policies; and STS's
// GetCallerIdentity. The Directory does the work, and audits it; here rights are asked and words translated.
#include <algorithm>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "systems/object/query_api.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

constexpr size_t kIamPageMax = 1000;

QueryFailure as_query_failure(QueryFailure failure) {
  return failure;
}
QueryFailure as_query_failure(const Error& error) {
  return query_failure(error);
}

// As CO_TRY, for functions that answer with QueryAnswer<T>; the expression may be a Result.
#define CO_IAM(...)                                                               \
  ({                                                                              \
    auto&& iam_answer = (__VA_ARGS__);                                            \
    if (!iam_answer.has_value()) [[unlikely]]                                     \
      co_return std::unexpected(as_query_failure(std::move(iam_answer).error())); \
    std::move(iam_answer).value();                                                \
  })

std::unexpected<QueryFailure> iam_refuse(std::string_view code, int status, std::string message) {
  return std::unexpected(QueryFailure{code, status, std::move(message)});
}

// One call: who asks, and what the form says. Lives until the answer is made.
struct IamCall {
  auth::Directory& directory;
  auth::PrincipalPtr principal;
  QueryForm form;
  std::string peer;
  bool temporary = false;  // the caller's own credentials are temporary

  auth::Actor actor() const { return {.principal = principal, .peer = peer}; }
  std::string list_arn(std::string_view kind) const {
    return "arn:aws:iam::" + principal->account_id + ":" + std::string(kind) + "/*";
  }
  QueryAnswer<void> require(std::string_view action, std::string_view resource) const {
    auto decided = auth::authorize({.principal = principal.get(),
                                    .action = action,
                                    .resource = resource,
                                    .resource_account = principal->account_id});
    if (!decided) return std::unexpected(query_failure(decided.error()));
    return {};
  }
  // A field that the action cannot do without.
  QueryAnswer<std::string> needed(std::string_view name) const {
    std::string_view value = form.get(name);
    if (value.empty()) return iam_refuse("ValidationError", 400, "the parameter " + std::string(name) + " is missing");
    return std::string(value);
  }
};
using IamAnswer = Task<QueryAnswer<std::string>>;  // what goes into <ActionResult>

std::string iam_user_xml(const auth::User& user) {
  return query_element("Path", user.path.empty() ? "/" : user.path) + query_element("UserName", user.name) +
         query_element("UserId", user.id) + query_element("Arn", auth::arn(user)) +
         query_element("CreateDate", base::format_rfc3339_seconds(user.created_at));
}

// The user that the form names, or the caller, once the right to the action is proved.
Task<QueryAnswer<auth::User>> iam_user(const IamCall& call, std::string_view action, bool changes) {
  const auth::Principal& who = *call.principal;
  std::string named(call.form.get("UserName"));
  auto found = named.empty() ? co_await call.directory.user(who.user_id)
                             : co_await call.directory.find_user(who.account_id + "/" + named);
  std::string arn = found ? auth::arn(*found) : "arn:aws:iam::" + who.account_id + ":user/" + named;
  CO_IAM(call.require(action, arn));
  auth::User user = CO_IAM(std::move(found));
  // Who may change an administrator or the root of an account can become him: a right over users is not enough.
  bool guarded = user.administrator || user.root;
  if (changes && guarded && user.id != who.user_id && !who.administrator)
    co_return iam_refuse("AccessDenied", 403, "only an administrator changes " + user.name);
  co_return user;
}

// --- users

IamAnswer iam_get_user(const IamCall& call) {
  auth::User user = CO_IAM(co_await iam_user(call, "iam:GetUser", false));
  co_return "<User>" + iam_user_xml(user) + "</User>";
}

IamAnswer iam_create_user(const IamCall& call) {
  auth::NewUser wanted{.account_id = call.principal->account_id, .name = CO_IAM(call.needed("UserName"))};
  if (call.form.has("Path")) wanted.path = call.form.get("Path");
  CO_IAM(call.require("iam:CreateUser", "arn:aws:iam::" + wanted.account_id + ":user" +
                                            (wanted.path.empty() ? "/" : wanted.path) + wanted.name));
  if (call.form.has("PermissionsBoundary"))
    co_return iam_refuse("ValidationError", 400, "permissions boundaries are not offered here");
  auth::User user = CO_IAM(co_await call.directory.create_user(call.actor(), wanted));
  co_return "<User>" + iam_user_xml(user) + "</User>";
}

IamAnswer iam_delete_user(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:DeleteUser", true));
  if (user.root) co_return iam_refuse("AccessDenied", 403, "the root user of an account cannot be deleted");
  if (!CO_IAM(co_await call.directory.access_keys(user.id)).empty())
    co_return iam_refuse("DeleteConflict", 409, "Cannot delete entity, must delete access keys first.");
  if (!user.attached_policies.empty() || !CO_IAM(co_await call.directory.user_policies(user.id)).empty())
    co_return iam_refuse("DeleteConflict", 409, "Cannot delete entity, must delete policies first.");
  CO_IAM(co_await call.directory.delete_user(call.actor(), user.id));
  co_return std::string();
}

IamAnswer iam_list_users(const IamCall& call) {
  CO_IAM(call.require("iam:ListUsers", call.list_arn("user")));
  std::string prefix(call.form.get("PathPrefix")), marker(call.form.get("Marker"));
  size_t limit = 100;
  if (call.form.has("MaxItems")) {
    auto asked = number_of("MaxItems", call.form.get("MaxItems"), 1, kIamPageMax);
    if (!asked) co_return iam_refuse("ValidationError", 400, asked.error().message());
    limit = static_cast<size_t>(*asked);
  }
  auto users = CO_IAM(co_await call.directory.users(call.principal->account_id));
  std::string members, last;
  size_t count = 0;
  bool more = false;
  for (const auth::User& user : users) {
    std::string_view path = user.path.empty() ? std::string_view("/") : user.path;
    if (user.root || !path.starts_with(prefix) || (!marker.empty() && user.name <= marker)) continue;
    if (count == limit) {
      more = true;
      break;
    }
    members += "<member>" + iam_user_xml(user) + "</member>";
    last = user.name;
    ++count;
  }
  co_return "<Users>" + members + "</Users>" + query_element("IsTruncated", more ? "true" : "false") +
      (more ? query_element("Marker", last) : "");
}

// --- access keys

std::string iam_key_xml(const auth::User& user, const auth::AccessKeyRecord& key) {
  return query_element("UserName", user.name) + query_element("AccessKeyId", key.id) +
         query_element("Status", key.active ? "Active" : "Inactive") +
         query_element("CreateDate", base::format_rfc3339_seconds(key.created_at));
}

IamAnswer iam_create_access_key(const IamCall& call) {
  auth::User user = CO_IAM(co_await iam_user(call, "iam:CreateAccessKey", true));
  auth::IssuedAccessKey issued = CO_IAM(co_await call.directory.create_access_key(call.actor(), user.id, "IAM"));
  auth::AccessKeyRecord key = CO_IAM(co_await call.directory.access_key_record(issued.id));
  co_return "<AccessKey>" + iam_key_xml(user, key) + query_element("SecretAccessKey", issued.secret) + "</AccessKey>";
}

IamAnswer iam_list_access_keys(const IamCall& call) {
  auth::User user = CO_IAM(co_await iam_user(call, "iam:ListAccessKeys", false));
  std::string members;
  for (const auth::AccessKeyRecord& key : CO_IAM(co_await call.directory.access_keys(user.id)))
    members += "<member>" + iam_key_xml(user, key) + "</member>";
  co_return "<AccessKeyMetadata>" + members + "</AccessKeyMetadata>" + query_element("IsTruncated", "false");
}

// The key that the form names, if it is this user's.
Task<QueryAnswer<std::string>> iam_key_of(const IamCall& call, const auth::User& user) {
  std::string id = CO_IAM(call.needed("AccessKeyId"));
  auto key = co_await call.directory.access_key_record(id);
  if (!key || key->user_id != user.id)
    co_return iam_refuse("NoSuchEntity", 404, "The Access Key with id " + id.substr(0, 128) + " cannot be found.");
  co_return id;
}

IamAnswer iam_delete_access_key(const IamCall& call) {
  auth::User user = CO_IAM(co_await iam_user(call, "iam:DeleteAccessKey", true));
  std::string id = CO_IAM(co_await iam_key_of(call, user));
  CO_IAM(co_await call.directory.delete_access_key(call.actor(), id));
  co_return std::string();
}

IamAnswer iam_update_access_key(const IamCall& call) {
  auth::User user = CO_IAM(co_await iam_user(call, "iam:UpdateAccessKey", true));
  std::string id = CO_IAM(co_await iam_key_of(call, user));
  std::string status = CO_IAM(call.needed("Status"));
  if (status != "Active" && status != "Inactive")
    co_return iam_refuse("ValidationError", 400, "the Status of an access key is Active or Inactive");
  CO_IAM(co_await call.directory.set_access_key_active(call.actor(), id, status == "Active"));
  co_return std::string();
}

// --- policies of users

IamAnswer iam_put_user_policy(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:PutUserPolicy", true));
  std::string name = CO_IAM(call.needed("PolicyName")), text = CO_IAM(call.needed("PolicyDocument"));
  auto put = co_await call.directory.put_user_policy(call.actor(), user.id, name, text);
  if (!put && put.error().code() == Code::kInvalid)
    co_return iam_refuse("MalformedPolicyDocument", 400, put.error().message());
  CO_IAM(std::move(put));
  co_return std::string();
}

IamAnswer iam_get_user_policy(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:GetUserPolicy", false));
  std::string name = CO_IAM(call.needed("PolicyName"));
  auth::PolicyRecord policy = CO_IAM(co_await call.directory.user_policy(user.id, name));
  co_return query_element("UserName", user.name) + query_element("PolicyName", policy.name) +
      query_element("PolicyDocument", base::url_encode(policy.text));
}

IamAnswer iam_list_user_policies(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:ListUserPolicies", false));
  std::string members;
  for (const auth::PolicyRecord& policy : CO_IAM(co_await call.directory.user_policies(user.id)))
    members += query_element("member", policy.name);
  co_return "<PolicyNames>" + members + "</PolicyNames>" + query_element("IsTruncated", "false");
}

IamAnswer iam_delete_user_policy(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:DeleteUserPolicy", true));
  std::string name = CO_IAM(call.needed("PolicyName"));
  CO_IAM(co_await call.directory.delete_user_policy(call.actor(), user.id, name));
  co_return std::string();
}

// Managed policies have no account here: "arn:aws:iam::aws:policy/NAME", or the caller's account in place of "aws".
QueryAnswer<std::string> iam_policy_name(const IamCall& call) {
  std::string_view arn = call.form.get("PolicyArn");
  for (const std::string& prefix :
       {std::string("arn:aws:iam::aws:policy/"), "arn:aws:iam::" + call.principal->account_id + ":policy/"})
    if (arn.starts_with(prefix) && arn.size() > prefix.size()) return std::string(arn.substr(arn.rfind('/') + 1));
  return iam_refuse("ValidationError", 400, "the parameter PolicyArn is missing or no ARN of a policy");
}

IamAnswer iam_attach_user_policy(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:AttachUserPolicy", true));
  std::string name = CO_IAM(iam_policy_name(call));
  CO_IAM(co_await call.directory.attach_policy(call.actor(), user.id, name));
  co_return std::string();
}

IamAnswer iam_detach_user_policy(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:DetachUserPolicy", true));
  std::string name = CO_IAM(iam_policy_name(call));
  CO_IAM(co_await call.directory.detach_policy(call.actor(), user.id, name));
  co_return std::string();
}

IamAnswer iam_list_attached_user_policies(const IamCall& call) {
  CO_IAM(call.needed("UserName"));
  auth::User user = CO_IAM(co_await iam_user(call, "iam:ListAttachedUserPolicies", false));
  std::string members;
  for (const std::string& name : user.attached_policies)
    members += "<member>" + query_element("PolicyName", name) +
               query_element("PolicyArn", "arn:aws:iam::aws:policy/" + name) + "</member>";
  co_return "<AttachedPolicies>" + members + "</AttachedPolicies>" + query_element("IsTruncated", "false");
}

// --- what no account has here: the lists are empty

IamAnswer iam_list_groups(const IamCall& call) {
  CO_IAM(call.require("iam:ListGroups", call.list_arn("group")));
  co_return "<Groups></Groups>" + query_element("IsTruncated", "false");
}
IamAnswer iam_list_groups_for_user(const IamCall& call) {
  CO_IAM(co_await iam_user(call, "iam:ListGroupsForUser", false));
  co_return "<Groups></Groups>" + query_element("IsTruncated", "false");
}
IamAnswer iam_list_roles(const IamCall& call) {
  CO_IAM(call.require("iam:ListRoles", call.list_arn("role")));
  co_return "<Roles></Roles>" + query_element("IsTruncated", "false");
}
IamAnswer iam_list_providers(const IamCall& call) {
  CO_IAM(call.require("iam:ListOpenIDConnectProviders", "*"));
  co_return std::string("<OpenIDConnectProviderList></OpenIDConnectProviderList>");
}

IamAnswer sts_get_caller_identity(const IamCall& call) {
  // Needs no right: whoever proved who he is may be told.
  co_return query_element("UserId", call.principal->root ? call.principal->account_id : call.principal->user_id) +
      query_element("Account", call.principal->account_id) + query_element("Arn", call.principal->arn);
}

IamAnswer sts_get_session_token(const IamCall& call) {
  if (call.temporary) co_return iam_refuse("AccessDenied", 403, "Cannot call GetSessionToken with session credentials");
  if (call.form.has("SerialNumber") || call.form.has("TokenCode"))
    co_return iam_refuse("ValidationError", 400, "multi-factor authentication is not offered here");
  // As Amazon's, it needs no right: the token can do nothing that its user cannot.
  uint64_t seconds = 12 * 3600;  // STS's own default
  if (call.form.has("DurationSeconds")) {
    auto asked = number_of("DurationSeconds", call.form.get("DurationSeconds"), 900, 36 * 3600);
    if (!asked) co_return iam_refuse("ValidationError", 400, asked.error().message());
    seconds = *asked;
  }
  auth::IssuedTemporaryKey key = CO_IAM(co_await call.directory.create_temporary_key(
      call.actor(), call.principal->user_id, std::chrono::seconds(static_cast<int64_t>(seconds))));
  co_return "<Credentials>" + query_element("AccessKeyId", key.id) + query_element("SecretAccessKey", key.secret) +
      query_element("SessionToken", key.token) +
      query_element("Expiration", base::format_rfc3339_seconds(key.expires_at)) + "</Credentials>";
}

struct IamAction {
  std::string_view name;
  IamAnswer (*run)(const IamCall&);
  bool sts = false;
};
constexpr IamAction kIamActions[] = {
    {"GetUser", iam_get_user},
    {"CreateUser", iam_create_user},
    {"DeleteUser", iam_delete_user},
    {"ListUsers", iam_list_users},
    {"CreateAccessKey", iam_create_access_key},
    {"ListAccessKeys", iam_list_access_keys},
    {"DeleteAccessKey", iam_delete_access_key},
    {"UpdateAccessKey", iam_update_access_key},
    {"PutUserPolicy", iam_put_user_policy},
    {"GetUserPolicy", iam_get_user_policy},
    {"ListUserPolicies", iam_list_user_policies},
    {"DeleteUserPolicy", iam_delete_user_policy},
    {"AttachUserPolicy", iam_attach_user_policy},
    {"DetachUserPolicy", iam_detach_user_policy},
    {"ListAttachedUserPolicies", iam_list_attached_user_policies},
    {"ListGroups", iam_list_groups},
    {"ListGroupsForUser", iam_list_groups_for_user},
    {"ListRoles", iam_list_roles},
    {"ListOpenIDConnectProviders", iam_list_providers},
    {"GetCallerIdentity", sts_get_caller_identity, true},
    {"GetSessionToken", sts_get_session_token, true},
};

QueryFailure query_failure_of(const AuthFailure& failure) {
  if (failure.code == "InvalidAccessKeyId")
    return {"InvalidClientTokenId", 403, "The security token included in the request is invalid."};
  return {failure.code, failure.status, failure.message};
}

}  // namespace

bool Service::is_query_api(const Call& call) const {
  return call.bucket.empty() && call.request.method() == http::Method::kPost && !call.proved &&
         call.header("content-type").starts_with("application/x-www-form-urlencoded");
}

// The signature covers the body, and names "iam" or "sts" as its service.
Task<std::expected<bool, AuthFailure>> Service::authenticate_query(Call& call, const Bytes& body) {
  std::vector<HeaderView> headers;
  headers.reserve(call.request.fields().size());
  for (http::FieldLine line : call.request.fields()) headers.push_back({line.name, line.value});
  RequestView view{.method = call.request.method_text(), .target = call.request.target(), .headers = headers};
  SigningOptions options = signing_;
  options.service = "iam";
  auto credentials = find_credentials(view, options);
  if (!credentials) {
    options.service = "sts";
    if (auto again = find_credentials(view, options)) credentials = std::move(again);
  }
  if (!credentials) co_return std::unexpected(std::move(credentials).error());
  if (credentials->scheme != AuthScheme::kV4Header)
    co_return std::unexpected(AuthFailure{
        .code = "MissingAuthenticationToken", .status = 403, .message = "Request is missing Authentication Token"});
  std::string body_hash = base::hex_encode(base::sha256(as_text(body)));
  if (credentials->payload_hash.empty()) credentials->payload_hash = body_hash;
  auto found = co_await key_of(*credentials);
  if (!found) {
    const ErrorShape& why = shape(found.error().code());
    co_return std::unexpected(
        AuthFailure{.code = why.name, .status = static_cast<int>(why.status), .message = found.error().message()});
  }
  auth::AccessKeyPtr key = std::move(*found);
  auto verified = verify(view, *credentials, key->secret, call.now, options, signing_keys_);
  if (!verified) co_return std::unexpected(std::move(verified).error());
  // Nothing less: on the way, an unsigned form could be exchanged for one that makes somebody an administrator.
  if (verified->payload != PayloadMode::kHash || verified->payload_hash != body_hash)
    co_return std::unexpected(AuthFailure{
        .code = "SignatureDoesNotMatch", .status = 403, .message = "The body is not the one that was signed."});
  call.principal = key->principal;
  co_return !credentials->security_token.empty();
}

Service::Done Service::query_api(Call& call) {
  call.operation = "QueryApi";
  ++statistics_.operations[call.operation];
  auto answer = co_await run_query(call);
  if (!answer) {
    ++(answer.error().status >= 500 ? statistics_.errors_server : statistics_.errors_client);
    call.error_name = answer.error().code;
    co_return co_await send_xml(call, answer.error().status, query_error_document(answer.error(), call.request_id));
  }
  co_return co_await send_xml(call, 200, std::move(*answer));
}

Task<QueryAnswer<std::string>> Service::run_query(Call& call) {
  Bytes body = CO_IAM(co_await call.request.read_all(kQueryFormBytesMax));
  auto proved = co_await authenticate_query(call, body);
  if (!proved) co_return std::unexpected(query_failure_of(proved.error()));
  IamCall iam{.directory = directory_,
              .principal = call.principal,
              .form = CO_IAM(QueryForm::parse(as_text(body))),
              .peer = call.request.peer().unix_socket ? std::string() : std::string(call.request.peer().address),
              .temporary = *proved};
  std::string_view action = iam.form.get("Action");
  for (const IamAction& one : kIamActions) {
    if (one.name != action) continue;
    if (iam.temporary && !one.sts)
      co_return iam_refuse("AccessDenied", 403, "IAM cannot be called with the credentials of a session");
    std::string inner = CO_IAM(co_await one.run(iam));
    co_return query_document(one.name, inner, call.request_id, one.sts);
  }
  co_return iam_refuse("InvalidAction", 400,
                       "The action " + std::string(action.substr(0, 128)) + " is not offered here");
}

#undef CO_IAM

}  // namespace polis::object
