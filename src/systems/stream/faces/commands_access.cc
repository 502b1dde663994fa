#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/stream/faces/command_call.h"
#include "systems/stream/faces/commands.h"

namespace polis::stream {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

// What the flags say of rules: one of --topic, --group, --transactional-id and --cluster, and the rest.
Result<json::object> rule_of(const Invocation& call, bool whole) {
  json::object rule;
  for (const char* type : {"topic", "group", "transactional-id"})
    if (call.has(type)) {
      if (rule.contains("resource"))
        return fail(Code::kInvalid, "name one resource: --topic, --group, --transactional-id or --cluster");
      rule["resource"] = type;
      rule["name"] = flag(call, type);
    }
  if (call.has("cluster")) {
    if (rule.contains("resource"))
      return fail(Code::kInvalid, "name one resource: --topic, --group, --transactional-id or --cluster");
    rule["resource"] = "cluster";
    rule["name"] = "kafka-cluster";
  }
  if (whole && !rule.contains("resource"))
    return fail(Code::kInvalid, "name the resource: --topic, --group, --transactional-id or --cluster");
  for (const char* name : {"principal", "host", "operation"})
    if (call.has(name)) rule[name] = flag(call, name);
  if (whole && !rule.contains("principal")) return fail(Code::kInvalid, "name who it is about: --principal User:NAME");
  if (whole && !rule.contains("operation")) return fail(Code::kInvalid, "name what it is about: --operation Read");
  if (call.has("prefixed")) rule["pattern"] = "prefixed";
  if (call.has("deny"))
    rule["permission"] = "deny";
  else if (whole)
    rule["permission"] = "allow";
  return rule;
}

Done add_rule(Invocation& call) {
  const json::object rule = CO_TRY(rule_of(call, true));
  const auto answer = CO_TRY(co_await call.api.request("POST", api_path({"acls"}), json::serialize(rule)));
  if (call.output.json()) call.output.document(answer.body);
  co_return Result<void>();
}

Done remove_rules(Invocation& call) {
  const json::object filter = CO_TRY(rule_of(call, false));
  co_return co_await call.plan_and_apply("POST", api_path({"acls", "remove"}), json::serialize(filter));
}

Done list_rules(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"acls"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("rules").as_array()) {
    const json::object& rule = one.as_object();
    rows.push_back({text_of(rule, "permission"), text_of(rule, "principal"), text_of(rule, "host"),
                    text_of(rule, "operation"), text_of(rule, "resource"), text_of(rule, "pattern"),
                    text_of(rule, "name")});
  }
  call.output.table({"", "principal", "host", "operation", "resource", "pattern", "name"}, rows);
  co_return Result<void>();
}

Done set_user(Invocation& call) {
  const std::string password = flag(call, "password");
  if (password.empty()) co_return fail(Code::kInvalid, "give the password: --password TEXT");
  json::object body{{"password", password}};
  if (call.has("iterations")) body["iterations"] = CO_TRY(number_flag(call, "iterations", 4096, 16384));
  CO_TRY(co_await call.api.request("PUT", api_path({"users", call.arguments[0]}), json::serialize(body)));
  co_return Result<void>();
}

Done list_users(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"users"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("users").as_array())
    rows.push_back({text_of(one.as_object(), "user"), text_of(one.as_object(), "mechanism"),
                    text_of(one.as_object(), "iterations")});
  call.output.table({"user", "mechanism", "iterations"}, rows);
  co_return Result<void>();
}

Done delete_user(Invocation& call) {
  return call.plan_and_apply("DELETE", api_path({"users", call.arguments[0]}), "");
}

Done set_quota(Invocation& call) {
  json::object entity, limits;
  for (const char* type : {"user", "client-id", "ip"})
    if (call.has(type)) {
      const std::string name = flag(call, type);
      entity[type] = name == "default" ? json::value(nullptr) : json::value(name);
    }
  if (entity.empty()) co_return fail(Code::kInvalid, "name whom it limits: --user, --client-id or --ip");
  for (const std::string& argument : call.arguments)
    for (const auto& [name, value] : CO_TRY(pairs(argument, "a limit")))
      limits[name] = value.empty() ? json::value(nullptr) : json::value(value);
  CO_TRY(co_await call.api.request("POST", api_path({"quotas"}),
                                   json::serialize(json::object{{"entity", entity}, {"limits", limits}})));
  co_return Result<void>();
}

Done list_quotas(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"quotas"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("quotas").as_array()) {
    std::string who;
    for (const auto& [type, name] : one.at("entity").as_object())
      who += fmt::format("{}{} {}", who.empty() ? "" : ", ", std::string_view(type),
                         name.is_null() ? std::string("default") : std::string(name.as_string()));
    for (const auto& [key, limit] : one.at("limits").as_object())
      rows.push_back({who, std::string(key), fmt::format("{}", limit.to_number<double>())});
  }
  call.output.table({"who", "limit", "value"}, rows);
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> access_commands() {
  const std::vector<systems::Flag> kRule{
      {.name = "principal", .help = "User:NAME or User:*", .value = "WHO"},
      {.name = "deny", .help = "a rule that denies, in place of one that allows"},
      {.name = "operation", .help = "Read, Write, Create, Delete, Alter, Describe, All, …", .value = "NAME"},
      {.name = "topic", .help = "on this topic; '*': all", .value = "NAME"},
      {.name = "group", .help = "on this group", .value = "NAME"},
      {.name = "transactional-id", .help = "on this transactional id", .value = "NAME"},
      {.name = "cluster", .help = "on the broker"},
      {.name = "prefixed", .help = "on all whose names begin so"},
      {.name = "host", .help = "from this address; '*': any", .value = "ADDRESS"}};
  const systems::Argument kUser{.name = "user", .help = "his name"};
  return {
      {.name = "acl add", .help = "Adds an access rule", .flags = kRule, .run = add_rule},
      {.name = "acl list", .help = "Lists access rules", .run = list_rules},
      {.name = "acl remove",
       .help = "Removes the access rules that fit",
       .flags = kRule,
       .destructive = true,
       .run = remove_rules},
      {.name = "user set",
       .help = "Gives a user a password for SCRAM-SHA-256 and -512",
       .arguments = {kUser},
       .flags = {{.name = "password", .help = "his password", .value = "TEXT"},
                 {.name = "iterations", .help = "4096 to 16384", .value = "N"}},
       .run = set_user},
      {.name = "user list", .help = "Lists users of SCRAM", .run = list_users},
      {.name = "user delete",
       .help = "Takes a user's SCRAM passwords away",
       .arguments = {kUser},
       .destructive = true,
       .run = delete_user},
      {.name = "quota set",
       .help = "Limits a user or client: producer_byte_rate=1048576; without a value: no limit",
       .arguments = {{.name = "limit", .help = "NAME=VALUE", .repeated = true}},
       .flags = {{.name = "user", .help = "his name, or default", .value = "NAME"},
                 {.name = "client-id", .help = "a client's name, or default", .value = "NAME"},
                 {.name = "ip", .help = "an address, or default", .value = "ADDRESS"}},
       .run = set_quota},
      {.name = "quota list", .help = "Lists quotas", .run = list_quotas},
  };
}

}  // namespace polis::stream
