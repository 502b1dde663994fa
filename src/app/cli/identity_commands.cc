#include <fmt/format.h>
#include <fstream>

#include "app/cli/commands.h"
#include "kernel/base/config.h"
#include "kernel/base/text_encoding.h"

namespace polis::app {
namespace {

using systems::Argument;
using systems::Command;
using systems::Flag;
using systems::Invocation;

constexpr std::string_view kBase = "/api/auth/v1/";

// "/api/auth/v1/users/ann/keys" of parts that may hold anything.
std::string path(std::initializer_list<std::string_view> parts) {
  std::string text(kBase);
  for (std::string_view part : parts) {
    if (text.back() != '/') text += '/';
    text += base::url_encode(part);
  }
  return text;
}

std::string user_of(const Invocation& call) {
  return call.has("user") ? call.flags.at("user") : "me";
}

// A command that shows the answer of one request.
using Target = std::function<Result<std::string>(const Invocation&)>;
std::function<Task<Result<void>>(Invocation&)> show(std::string method, Target target, Target body = {}) {
  return [method = std::move(method), target = std::move(target),
          body = std::move(body)](Invocation& call) -> Task<Result<void>> {
    std::string where = CO_TRY(target(call));
    std::string what;
    if (body) what = CO_TRY(body(call));
    auto answer = CO_TRY(co_await call.api.request(method, std::move(where), std::move(what)));
    if (call.output.json() || answer.body.size() > 2) call.output.document(answer.body);
    if (method != "GET") call.output.remark("ok");
    co_return Result<void>();
  };
}

std::function<Task<Result<void>>(Invocation&)> plan(Target target) {
  return [target = std::move(target)](Invocation& call) -> Task<Result<void>> {
    co_return co_await call.plan_and_apply("DELETE", CO_TRY(target(call)), "");
  };
}

const Argument kName{.name = "name", .help = "name of the user"};
const Argument kKey{.name = "key", .help = "id of the access key"};
const Argument kPolicy{.name = "policy", .help = "name of the policy"};
const Flag kUser{.name = "user", .help = "whose [default: your own]", .value = "NAME"};

Result<std::string> named(const Invocation& call) {
  return path({"users", call.arguments[0]});
}

void add_users(std::vector<Command>& list) {
  list.push_back({.name = "user list",
                  .help = "All users",
                  .run = show("GET", [](const Invocation&) -> Result<std::string> { return path({"users"}); })});
  list.push_back({.name = "user show", .help = "One user", .arguments = {kName}, .run = show("GET", named)});
  list.push_back({.name = "user add",
                  .help = "Makes a user",
                  .arguments = {kName},
                  .flags = {{.name = "password-stdin",
                             .help = "password from standard input; without it the user cannot sign in to the console"},
                            {.name = "administrator", .help = "may do everything"},
                            {.name = "email", .help = "address", .value = "ADDRESS"}},
                  .run = show(
                      "POST", [](const Invocation&) -> Result<std::string> { return path({"users"}); },
                      [](const Invocation& call) -> Result<std::string> {
                        std::string password;
                        if (call.has("password-stdin")) password = TRY(line_of_input("password"));
                        std::string body =
                            json_object({{"name", call.arguments[0]},
                                         {"password", password},
                                         {"email", call.has("email") ? std::string_view(call.flags.at("email"))
                                                                     : std::string_view()}});
                        if (call.has("administrator")) body.insert(body.size() - 1, ",\"administrator\":true");
                        return body;
                      })});
  list.push_back(
      {.name = "user password",
       .help = "Sets a password, read from standard input; ends the user's sessions",
       .arguments = {kName},
       .run = show(
           "POST",
           [](const Invocation& call) -> Result<std::string> { return path({"users", call.arguments[0], "password"}); },
           [](const Invocation&) -> Result<std::string> {
             return json_object({{"password", TRY(line_of_input("password"))}});
           })});
  for (bool disabled : {true, false})
    list.push_back({.name = disabled ? "user disable" : "user enable",
                    .help = disabled ? "No credential of the user works any more, until enabled"
                                     : "The user's credentials work again",
                    .arguments = {kName},
                    .run = show(
                        "POST",
                        [](const Invocation& call) -> Result<std::string> {
                          return path({"users", call.arguments[0], "disabled"});
                        },
                        [disabled](const Invocation&) -> Result<std::string> {
                          return fmt::format("{{\"disabled\":{}}}", disabled);
                        })});
  list.push_back({.name = "user remove",
                  .help = "Removes a user with all credentials",
                  .arguments = {kName},
                  .destructive = true,
                  .run = plan(named)});
}

void add_keys(std::vector<Command>& list) {
  Target keys = [](const Invocation& call) -> Result<std::string> { return path({"users", user_of(call), "keys"}); };
  list.push_back({.name = "key list", .help = "Access keys of a user", .flags = {kUser}, .run = show("GET", keys)});
  list.push_back({.name = "key add",
                  .help = "Makes an access key pair; the secret is shown once",
                  .flags = {kUser, {.name = "description", .help = "what it is for", .value = "TEXT"}},
                  .run = show("POST", keys, [](const Invocation& call) -> Result<std::string> {
                    return json_object(
                        {{"description", call.has("description") ? std::string_view(call.flags.at("description"))
                                                                 : std::string_view()}});
                  })});
  for (bool active : {false, true})
    list.push_back(
        {.name = active ? "key enable" : "key disable",
         .help = active ? "The key works again" : "The key does not work until enabled",
         .arguments = {kKey},
         .run = show(
             "POST",
             [](const Invocation& call) -> Result<std::string> { return path({"keys", call.arguments[0], "active"}); },
             [active](const Invocation&) -> Result<std::string> { return fmt::format("{{\"active\":{}}}", active); })});
  list.push_back(
      {.name = "key remove",
       .help = "Removes an access key",
       .arguments = {kKey},
       .destructive = true,
       .run = plan([](const Invocation& call) -> Result<std::string> { return path({"keys", call.arguments[0]}); })});
}

void add_tokens(std::vector<Command>& list) {
  Target tokens = [](const Invocation& call) -> Result<std::string> {
    return path({"users", user_of(call), "tokens"});
  };
  list.push_back({.name = "token list", .help = "API tokens of a user", .flags = {kUser}, .run = show("GET", tokens)});
  list.push_back({.name = "token add",
                  .help = "Makes an API token; it is shown once",
                  .arguments = {{.name = "name", .help = "what it is for"}},
                  .flags = {kUser,
                            {.name = "lifetime",
                             .help = "until it expires (\"12h\", \"30d\"); without it, never",
                             .value = "TIME"}},
                  .run = show("POST", tokens, [](const Invocation& call) -> Result<std::string> {
                    std::string body = json_object({{"name", call.arguments[0]}});
                    if (call.has("lifetime")) {
                      Duration lifetime = TRY(base::parse_duration(call.flags.at("lifetime")));
                      body.insert(body.size() - 1,
                                  fmt::format(",\"lifetime_s\":{}",
                                              std::chrono::duration_cast<std::chrono::seconds>(lifetime).count()));
                    }
                    return body;
                  })});
  list.push_back(
      {.name = "token remove",
       .help = "Removes an API token",
       .arguments = {{.name = "token", .help = "its id"}},
       .destructive = true,
       .run = plan([](const Invocation& call) -> Result<std::string> { return path({"tokens", call.arguments[0]}); })});
}

void add_policies(std::vector<Command>& list) {
  Target one = [](const Invocation& call) -> Result<std::string> { return path({"policies", call.arguments[0]}); };
  Target of_user = [](const Invocation& call) -> Result<std::string> {
    return path({"users", call.arguments[1], "policies", call.arguments[0]});
  };
  list.push_back({.name = "policy list",
                  .help = "Managed policies",
                  .run = show("GET", [](const Invocation&) -> Result<std::string> { return path({"policies"}); })});
  list.push_back({.name = "policy show", .help = "One policy", .arguments = {kPolicy}, .run = show("GET", one)});
  list.push_back({.name = "policy put",
                  .help = "Makes or replaces a policy from a file in the AWS policy language",
                  .arguments = {kPolicy, {.name = "file", .help = "JSON document"}},
                  .run = show("PUT", one, [](const Invocation& call) -> Result<std::string> {
                    std::ifstream in(call.arguments[1], std::ios::binary);
                    if (!in) return fail(Code::kNotFound, fmt::format("{} cannot be read", call.arguments[1]));
                    return std::string(std::istreambuf_iterator<char>(in), {});
                  })});
  list.push_back({.name = "policy attach",
                  .help = "Gives a policy to a user",
                  .arguments = {kPolicy, kName},
                  .run = show("PUT", of_user)});
  list.push_back({.name = "policy detach",
                  .help = "Takes a policy from a user",
                  .arguments = {kPolicy, kName},
                  .run = show("DELETE", of_user)});
  list.push_back({.name = "policy remove",
                  .help = "Removes a policy that no user has",
                  .arguments = {kPolicy},
                  .destructive = true,
                  .run = plan(one)});
  list.push_back({.name = "audit",
                  .help = "Who did what, newest first",
                  .flags = {{.name = "action", .help = "pattern, as \"s3:Delete*\"", .value = "PATTERN"},
                            {.name = "before", .help = "the page before this one", .value = "MARK"}},
                  .run = show("GET", [](const Invocation& call) -> Result<std::string> {
                    std::string where = path({"audit"}) + "?";
                    for (const char* flag : {"action", "before"})
                      if (call.has(flag)) where += fmt::format("{}={}&", flag, base::url_encode(call.flags.at(flag)));
                    return where;
                  })});
}

}  // namespace

std::vector<Command> identity_commands() {
  std::vector<Command> list;
  add_users(list);
  add_keys(list);
  add_tokens(list);
  add_policies(list);
  return list;
}

}  // namespace polis::app
