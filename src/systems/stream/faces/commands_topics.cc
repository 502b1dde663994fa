#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/stream/faces/command_call.h"
#include "systems/stream/faces/commands.h"
#include "systems/stream/types.h"

namespace polis::stream {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

Done create_topic(Invocation& call) {
  json::object body{{"name", call.arguments[0]}};
  if (const int64_t partitions = CO_TRY(number_flag(call, "partitions", 1, kPartitionsMax)))
    body["partitions"] = partitions;
  json::object config;
  for (const auto& [name, value] : CO_TRY(pairs(flag(call, "config"), "--config"))) config[name] = value;
  body["config"] = std::move(config);
  auto made = co_await call.api.request("POST", api_path({"topics"}), json::serialize(body));
  if (!made && made.error().message().starts_with("TOPIC_ALREADY_EXISTS") && call.has("if-not-exists"))
    made = co_await call.api.request("GET", api_path({"topics", call.arguments[0]}));
  if (!made) co_return fail(std::move(made).error());
  if (call.output.json()) {
    call.output.document(made->body);
  } else {
    const json::object topic = CO_TRY(object_of(made->body));
    call.output.line(fmt::format("{}: {} partitions", text_of(topic, "name"), text_of(topic, "partition_count")));
  }
  co_return Result<void>();
}

Done list_topics(Invocation& call) {
  std::string path = api_path({"topics"});
  if (call.has("internal")) add_query(path, "internal", "true");
  const auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("topics").as_array()) {
    const json::object& topic = one.as_object();
    rows.push_back({text_of(topic, "name"), text_of(topic, "partition_count"), text_of(topic, "records"),
                    text_of(topic, "size_bytes"), text_of(topic, "cleanup_policy"), text_of(topic, "durability"),
                    text_of(topic, "read_path")});
  }
  call.output.table({"topic", "partitions", "records", "bytes", "cleanup", "durability", "read path"}, rows);
  co_return Result<void>();
}

Done describe_topic(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"topics", call.arguments[0]})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  const json::object topic = CO_TRY(object_of(answer.body));
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : topic.at("partitions").as_array()) {
    const json::object& part = one.as_object();
    rows.push_back({text_of(part, "partition"), text_of(part, "log_start_offset"), text_of(part, "high_watermark"),
                    text_of(part, "last_stable_offset"), text_of(part, "size_bytes"), text_of(part, "segments"),
                    text_of(part, "producers"), text_of(part, "open_transactions"), text_of(part, "error")});
  }
  call.output.table(
      {"partition", "start", "high watermark", "last stable", "bytes", "segments", "producers", "open txns", "trouble"},
      rows);
  rows.clear();
  for (const json::value& one : topic.at("config").as_array()) {
    const json::object& option = one.as_object();
    if (!call.has("all") && !option.at("overridden").as_bool()) continue;
    rows.push_back(
        {text_of(option, "name"), text_of(option, "value"), text_of(option, "default"), text_of(option, "help")});
  }
  if (!rows.empty()) call.output.table({"option", "value", "default", ""}, rows);
  co_return Result<void>();
}

// `retention.ms=3600000` sets, `retention.ms=` takes the override away.
Done set_topic(Invocation& call) {
  json::object config;
  for (size_t at = 1; at < call.arguments.size(); ++at)
    for (const auto& [name, value] : CO_TRY(pairs(call.arguments[at], "an option")))
      config[name] = value.empty() ? json::value(nullptr) : json::value(value);
  json::object body{{"config", std::move(config)}};
  if (const int64_t partitions = CO_TRY(number_flag(call, "partitions", 1, kPartitionsMax)))
    body["partitions"] = partitions;
  const auto answer =
      CO_TRY(co_await call.api.request("PATCH", api_path({"topics", call.arguments[0]}), json::serialize(body)));
  if (call.output.json()) call.output.document(answer.body);
  co_return Result<void>();
}

Done delete_topic(Invocation& call) {
  return call.plan_and_apply("DELETE", api_path({"topics", call.arguments[0]}), "");
}

Done delete_records(Invocation& call) {
  const json::object body{{"partition", call.arguments[1]}, {"before", call.arguments[2]}};
  co_return co_await call.plan_and_apply("POST", api_path({"topics", call.arguments[0], "delete-records"}),
                                         json::serialize(body));
}

}  // namespace

std::vector<systems::Command> topic_commands() {
  const systems::Argument kTopic{.name = "topic", .help = "its name"};
  const systems::Flag kPartitions{.name = "partitions", .help = "how many", .value = "N"};
  return {
      {.name = "topic create",
       .help = "Makes a topic",
       .arguments = {kTopic},
       .flags = {kPartitions,
                 {.name = "config",
                  .help = "an option, as in retention.ms=3600000",
                  .value = "NAME=VALUE",
                  .repeated = true},
                 {.name = "if-not-exists", .help = "is content with one that exists"}},
       .run = create_topic},
      {.name = "topic list",
       .help = "Lists topics",
       .flags = {{.name = "internal", .help = "also those that the broker keeps for itself"}},
       .run = list_topics},
      {.name = "topic describe",
       .help = "Partitions and options of a topic",
       .arguments = {kTopic},
       .flags = {{.name = "all", .help = "also options that have their defaults"}},
       .run = describe_topic},
      {.name = "topic set",
       .help = "Changes options of a topic, or adds partitions",
       .arguments = {kTopic,
                     {.name = "option",
                      .help = "read.path=copy; retention.ms= takes it back",
                      .required = false,
                      .repeated = true}},
       .flags = {kPartitions},
       .run = set_topic},
      {.name = "topic delete",
       .help = "Deletes a topic with its records",
       .arguments = {kTopic},
       .destructive = true,
       .run = delete_topic},
      {.name = "topic delete-records",
       .help = "Deletes the records of a partition before an offset",
       .arguments = {kTopic,
                     {.name = "partition", .help = "its number"},
                     {.name = "offset", .help = "the first to stay"}},
       .destructive = true,
       .run = delete_records},
  };
}

}  // namespace polis::stream
