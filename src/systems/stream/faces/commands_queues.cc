#include <boost/json.hpp>

#include "systems/stream/faces/command_call.h"
#include "systems/stream/faces/commands.h"

namespace polis::stream {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

Done receive_messages(Invocation& call) {
  json::object body{{"topic", call.arguments[1]}};
  body["most"] = CO_TRY(number_flag(call, "count", 1, 1000, 1));
  body["wait_ms"] = CO_TRY(number_flag(call, "wait", 0, 30, 0)) * 1000;
  body["redeliver_after_ms"] = CO_TRY(number_flag(call, "redeliver-after", 1, 86'400, 30)) * 1000;
  body["tries_max"] = CO_TRY(number_flag(call, "tries", 1, 1000, 5));
  const auto answer = CO_TRY(
      co_await call.api.request("POST", api_path({"queues", call.arguments[0], "receive"}), json::serialize(body)));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  const auto text = [](const json::object& message, std::string_view name) {
    const json::value& value = message.at(name);
    if (!value.is_object()) return std::string();
    return text_of(value.as_object(), value.as_object().contains("text") ? "text" : "base64");
  };
  for (const json::value& one : list.at("messages").as_array())
    rows.push_back({text_of(one.as_object(), "id"), text_of(one.as_object(), "tries"), text(one.as_object(), "key"),
                    text(one.as_object(), "value")});
  call.output.table({"message", "tries", "key", "value"}, rows);
  co_return Result<void>();
}

Done end_messages(Invocation& call, const char* how) {
  json::array messages;
  for (size_t at = 2; at < call.arguments.size(); ++at) messages.push_back(json::string(call.arguments[at]));
  const json::object body{{"topic", call.arguments[1]}, {"messages", std::move(messages)}};
  const auto answer =
      CO_TRY(co_await call.api.request("POST", api_path({"queues", call.arguments[0], how}), json::serialize(body)));
  if (call.output.json()) call.output.document(answer.body);
  co_return Result<void>();
}

Done acknowledge_messages(Invocation& call) {
  return end_messages(call, "acknowledge");
}
Done give_back_messages(Invocation& call) {
  return end_messages(call, "give-back");
}

Done list_queues(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"queues"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("queues").as_array()) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const char* name : {"queue", "topic", "received", "acknowledged", "redelivered", "dead", "with_workers"})
      row.push_back(text_of(one.as_object(), name));
  }
  call.output.table({"queue", "topic", "received", "acknowledged", "redelivered", "dead", "with workers"}, rows);
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> queue_commands() {
  const systems::Argument kName{.name = "queue", .help = "name of the workers together"};
  const systems::Argument kOf{.name = "topic", .help = "whose messages they share"};
  const systems::Argument kIds{.name = "message", .help = "PARTITION@OFFSET", .repeated = true};
  return {
      {.name = "queue receive",
       .help = "Takes messages that no other worker has",
       .arguments = {kName, kOf},
       .flags = {{.name = "count", .help = "at most so many", .value = "N", .value_default = "1"},
                 {.name = "wait", .help = "seconds, if there are none", .value = "SECONDS"},
                 {.name = "redeliver-after",
                  .help = "seconds until another worker gets what was not acknowledged",
                  .value = "SECONDS",
                  .value_default = "30"},
                 {.name = "tries", .help = "then it goes to TOPIC.dead-letter", .value = "N", .value_default = "5"}},
       .run = receive_messages},
      {.name = "queue ack",
       .help = "Says that messages are done",
       .arguments = {kName, kOf, kIds},
       .run = acknowledge_messages},
      {.name = "queue give-back",
       .help = "Leaves messages to another worker, at once",
       .arguments = {kName, kOf, kIds},
       .run = give_back_messages},
      {.name = "queue list", .help = "Queues that are in use", .run = list_queues},
  };
}

}  // namespace polis::stream
