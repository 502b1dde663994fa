#include "systems/object/key_ring_admin.h"

#include <boost/json.hpp>

#include "kernel/base/time_format.h"
#include "systems/api.h"

namespace polis::object {
namespace {

namespace json = boost::json;

constexpr std::string_view kKeysPath = "/api/object/v1/kms/keys";

json::object key_json(const KmsKey& key) {
  return {{"name", key.name}, {"created_at", base::format_rfc3339(key.created_at)}, {"enabled", key.enabled}};
}

Error key_error(const Failure& failure) {
  switch (failure.code()) {
    case ErrorCode::kKmsNotFound:
      return Error(Code::kNotFound, failure.message());
    case ErrorCode::kOperationAborted:
      return Error(Code::kConflict, failure.message());
    default:
      return Error(shape(failure.code()).status >= 500 ? Code::kIo : Code::kInvalid, failure.message());
  }
}

struct KeyRequest {
  std::string name;
  std::optional<bool> enabled;
};

Task<Result<KeyRequest>> read_key_request(http::Request& request) {
  Bytes body = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
  json::error_code error;
  json::value root = json::parse(as_text(body), error);
  const json::object* object = error ? nullptr : root.if_object();
  const json::value* name = object ? object->if_contains("name") : nullptr;
  if (!name || !name->is_string()) co_return fail(Code::kInvalid, "the body shall be {\"name\": \"…\"}");
  KeyRequest out{.name = std::string(name->get_string()), .enabled = {}};
  if (const json::value* enabled = object->if_contains("enabled")) {
    if (!enabled->is_bool()) co_return fail(Code::kInvalid, "enabled is true or false");
    out.enabled = enabled->get_bool();
  }
  co_return out;
}

// What the handlers stand on; lives as long as the router.
class KeyRingApi {
 public:
  KeyRingApi(Server& server, auth::Directory& directory, const Clock& clock, Random& random)
      : server_(server), directory_(directory), clock_(clock), random_(random) {}

  Task<Result<std::string>> list() {
    auto txn = CO_TRY(co_await server_.store().begin());
    auto keys = co_await server_.service().key_ring().list(*txn);
    if (!keys) co_return fail(key_error(keys.error()));
    json::array all;
    for (const KmsKey& key : *keys) all.push_back(key_json(key));
    co_return json::serialize(json::object{{"keys", std::move(all)}});
  }

  Task<Result<std::string>> create(http::Request& request) {
    KeyRequest asked = CO_TRY(co_await read_key_request(request));
    auth::Actor actor = systems::actor(request);
    auto attempt = [&](store::Txn& txn) -> Task<Answer<KmsKey>> {
      KmsKey key = CO_ASK(co_await server_.service().key_ring().create(txn, asked.name, clock_.wall(), random_));
      CO_ASK(note(txn, actor, "object:CreateKmsKey", key));
      co_return key;
    };
    auto key = co_await store::transact(server_.store(), std::ref(attempt));
    if (!key) co_return fail(key_error(key.error()));
    co_return json::serialize(key_json(*key));
  }

  Task<Result<std::string>> change(http::Request& request) {
    KeyRequest asked = CO_TRY(co_await read_key_request(request));
    if (!asked.enabled) co_return fail(Code::kInvalid, "enabled is missing");
    auth::Actor actor = systems::actor(request);
    auto attempt = [&](store::Txn& txn) -> Task<Answer<KmsKey>> {
      KmsKey key = CO_ASK(co_await server_.service().key_ring().set_enabled(txn, asked.name, *asked.enabled));
      CO_ASK(note(txn, actor, key.enabled ? "object:EnableKmsKey" : "object:DisableKmsKey", key));
      co_return key;
    };
    auto key = co_await store::transact(server_.store(), std::ref(attempt));
    if (!key) co_return fail(key_error(key.error()));
    co_return json::serialize(key_json(*key));
  }

 private:
  Result<void> note(store::Txn& txn, const auth::Actor& actor, std::string_view action, const KmsKey& key) {
    auth::AuditLog& audit = directory_.audit();
    return audit.append(txn, audit.describe(actor, std::string(action), key.name, auth::AuditOutcome::kSuccess));
  }

  Server& server_;
  auth::Directory& directory_;
  const Clock& clock_;
  Random& random_;
};

// --- commands

using systems::Invocation;

std::string name_body(const std::string& name, std::optional<bool> enabled = {}) {
  json::object body{{"name", name}};
  if (enabled) body["enabled"] = *enabled;
  return json::serialize(body);
}

Task<Result<void>> list_keys(Invocation& call) {
  auto response = CO_TRY(co_await call.api.request("GET", std::string(kKeysPath)));
  if (call.output.json()) {
    call.output.document(response.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& key : json::parse(response.body).at("keys").as_array())
    rows.push_back({std::string(key.at("name").as_string()), key.at("enabled").as_bool() ? "enabled" : "disabled",
                    std::string(key.at("created_at").as_string())});
  call.output.table({"key", "state", "made"}, rows);
  co_return Result<void>();
}

Task<Result<void>> answer_key(Invocation& call, std::string method, std::string body, std::string said) {
  auto response = CO_TRY(co_await call.api.request(std::move(method), std::string(kKeysPath), std::move(body)));
  if (call.output.json())
    call.output.document(response.body);
  else
    call.output.line(said);
  co_return Result<void>();
}

Task<Result<void>> create_key(Invocation& call) {
  return answer_key(call, "POST", name_body(call.arguments[0]), "made key " + call.arguments[0]);
}

Task<Result<void>> disable_key(Invocation& call) {
  return answer_key(call, "PUT", name_body(call.arguments[0], false),
                    "disabled key " + call.arguments[0] + ": what lies under it is refused");
}

Task<Result<void>> enable_key(Invocation& call) {
  return answer_key(call, "PUT", name_body(call.arguments[0], true), "enabled key " + call.arguments[0]);
}

}  // namespace

void mount_key_ring(http::Router& router, Server& server, auth::Directory& directory, const Clock& clock,
                    Random& random) {
  auto api = std::make_shared<KeyRingApi>(server, directory, clock, random);
  systems::mount(router, http::Method::kGet, kKeysPath, "object:ReadStatus",
                 [api](http::Request&) { return api->list(); });
  systems::mount(router, http::Method::kPost, kKeysPath, "object:ManageKeys",
                 [api](http::Request& request) { return api->create(request); });
  systems::mount(router, http::Method::kPut, kKeysPath, "object:ManageKeys",
                 [api](http::Request& request) { return api->change(request); });
}

std::vector<systems::Command> key_ring_commands() {
  const systems::Argument kKey{.name = "key", .help = "its name, as clients give it for the KMS key id"};
  return {
      {.name = "kms list", .help = "Lists the keys of SSE-KMS", .run = list_keys},
      {.name = "kms create", .help = "Makes a key for SSE-KMS", .arguments = {kKey}, .run = create_key},
      {.name = "kms disable", .help = "Refuses what lies under a key", .arguments = {kKey}, .run = disable_key},
      {.name = "kms enable", .help = "Allows what lies under a key again", .arguments = {kKey}, .run = enable_key},
  };
}

}  // namespace polis::object
