#include "app/cli/commands.h"

#include <boost/json.hpp>
#include <filesystem>
#include <fmt/format.h>

#include "app/cli/terminal.h"
#include "kernel/base/text_encoding.h"
#include "kernel/io/shard.h"

namespace polis::app {
namespace {

namespace json = boost::json;
using systems::Command;
using systems::Invocation;

Result<json::value> parsed(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error) return fail(Code::kCorrupt, "polis answered something that is not JSON: is this the port of polis?");
  return value;
}

std::string text_of(const json::object& object, std::string_view member) {
  const json::value* value = object.if_contains(member);
  if (!value) return "";
  return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

std::string listed_ports(const json::object& system) {
  std::string text;
  if (const json::value* ports = system.if_contains("ports"); ports && ports->is_object())
    for (const auto& port : ports->get_object())
      text +=
          fmt::format("{}{} {}", text.empty() ? "" : ", ", std::string_view(port.key()), json::serialize(port.value()));
  return text;
}

Task<Result<void>> status(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", "/api/polis/v1/status"));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  json::value value = CO_TRY(parsed(answer.body));
  const json::object& object = value.as_object();
  call.output.line(fmt::format("polis {}  process {}  up {} s  {}", text_of(object, "version"), text_of(object, "pid"),
                               text_of(object, "uptime_s"), text_of(object, "data_directory")));
  std::vector<std::vector<std::string>> rows;
  if (const json::value* list = object.if_contains("systems"); list && list->is_array())
    for (const json::value& entry : list->get_array()) {
      const json::object& system = entry.as_object();
      rows.push_back({text_of(system, "name"), text_of(system, "state"), listed_ports(system),
                      text_of(system, "summary"), text_of(system, "message")});
    }
  call.output.table({"system", "state", "ports", "what", "message"}, rows);
  co_return Result<void>();
}

Task<Result<void>> apply(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("POST", "/api/plan/v1/" + base::url_encode(call.arguments[0])));
  call.output.document(answer.body);
  call.output.line("applied");
  co_return Result<void>();
}

Task<Result<void>> config_show(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", "/api/polis/v1/config"));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  json::value value = CO_TRY(parsed(answer.body));
  std::vector<std::vector<std::string>> rows;
  for (const json::value& entry : value.as_array()) {
    const json::object& option = entry.as_object();
    rows.push_back({text_of(option, "name"), text_of(option, "value"), text_of(option, "source")});
  }
  call.output.table({"option", "value", "from"}, rows);
  co_return Result<void>();
}

Task<Result<void>> logs(Invocation& call) {
  auto answer =
      CO_TRY(co_await call.api.request("GET", "/api/polis/v1/logs?limit=" + base::url_encode(call.flags.at("limit"))));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  json::value value = CO_TRY(parsed(answer.body));
  for (const json::value& entry : value.as_array()) call.output.line(text_of(entry.as_object(), "line"));
  co_return Result<void>();
}

Task<Result<void>> backup(Invocation& call) {
  std::error_code error;
  json::object body{{"directory", std::filesystem::absolute(call.arguments[0], error).lexically_normal().string()},
                    {"with_keys", call.has("with-keys")}};
  if (call.has("with-keys")) body["passphrase"] = CO_TRY(line_of_input("passphrase"));
  CO_TRY(co_await call.api.request("POST", "/api/polis/v1/backup", json::serialize(body)));
  for (;;) {
    auto answer = CO_TRY(co_await call.api.request("GET", "/api/polis/v1/backup"));
    json::value value = CO_TRY(parsed(answer.body));
    const json::object& progress = value.as_object();
    if (text_of(progress, "running") == "true") {
      call.output.progress("backup", progress.at("done_bytes").to_number<uint64_t>(),
                           std::max<uint64_t>(1, progress.at("total_bytes").to_number<uint64_t>()));
      CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(50)));
      continue;
    }
    if (const json::value* failure = progress.if_contains("error"))
      co_return fail(Code::kIo, "the backup was not made: " + text_of(failure->as_object(), "message"));
    const json::object& report = progress.at("report").as_object();
    if (call.output.json()) call.output.document(json::serialize(report));
    call.output.line(fmt::format("{} files, {}, into {}", text_of(report, "files"),
                                 readable_size(report.at("size_bytes").to_number<uint64_t>()),
                                 text_of(body, "directory")));
    if (!call.has("with-keys"))
      call.output.remark(
          "Without the keys (--with-keys) access keys made before cannot be used after a restore; passwords can.");
    co_return Result<void>();
  }
}

}  // namespace

Task<Result<void>> plan_and_apply(Invocation& call, bool yes, std::function<bool(std::string_view)> confirm,
                                  std::string method, std::string target, std::string body) {
  auto answer = CO_TRY(co_await call.api.request(std::move(method), std::move(target), std::move(body)));
  json::value value = CO_TRY(parsed(answer.body));
  const json::object& plan = value.as_object();
  std::string id = text_of(plan, "id");
  if (!call.output.json()) {
    call.output.line(text_of(plan, "title"));
    if (const json::value* touches = plan.if_contains("touches"); touches && touches->is_array())
      for (const json::value& line : touches->get_array()) call.output.line("  " + std::string(line.as_string()));
  }
  bool agreed = yes || (confirm && confirm("Do exactly this?"));
  if (!agreed) {
    if (call.output.json()) call.output.document(answer.body);
    call.output.line(fmt::format("Nothing was done. `polis apply {}` does exactly this within ten minutes.", id));
    co_return Result<void>();
  }
  auto done = CO_TRY(co_await call.api.request("POST", "/api/plan/v1/" + id));
  if (call.output.json() || done.body.size() > 2) call.output.document(done.body);
  call.output.line("done");
  co_return Result<void>();
}

Result<std::string> line_of_input(std::string_view what) {
  std::string line;
  for (int c = std::getc(stdin); c != EOF && c != '\n'; c = std::getc(stdin)) line += static_cast<char>(c);
  if (line.empty())
    return fail(Code::kInvalid, fmt::format("no {} on standard input: write it there as one line", what));
  return line;
}

std::string json_object(std::initializer_list<std::pair<std::string_view, std::string_view>> members) {
  json::object object;
  for (const auto& [name, value] : members)
    if (!value.empty()) object[name] = value;
  return json::serialize(object);
}

std::string json_member(std::string_view object, std::string_view member) {
  auto value = parsed(object);
  return value && value->is_object() ? text_of(value->get_object(), member) : "";
}

std::vector<Command> node_commands() {
  std::vector<Command> list;
  list.push_back({.name = "status", .help = "What runs, how it is, and on which ports", .run = status});
  list.push_back({.name = "apply",
                  .help = "Does exactly what a plan lists",
                  .arguments = {{.name = "plan", .help = "the plan's id"}},
                  .destructive = true,
                  .run = apply});
  list.push_back({.name = "config show",
                  .help = "Every option of the running polis, its value and where that came from",
                  .run = config_show});
  list.push_back({.name = "logs",
                  .help = "The latest log lines",
                  .flags = {{.name = "limit", .help = "how many", .value = "N", .value_default = "100"}},
                  .run = logs});
  list.push_back(
      {.name = "backup",
       .help = "Copies everything into a fresh directory while polis runs",
       .arguments = {{.name = "directory", .help = "absent or empty; on the machine where polis runs"}},
       .flags = {{.name = "with-keys", .help = "the node's keys too, under a passphrase read from standard input"}},
       .run = backup});
  return list;
}

}  // namespace polis::app
